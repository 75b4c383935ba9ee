//! Tensors, as they pass between a program and the protocol.

use std::fmt;

use serde::Serialize;

/// One named tensor: `data` in row-major order, as many elements as `shape` counts.
#[derive(Clone, PartialEq)]
pub struct Tensor {
    /// The name that the model gives it.
    pub name: String,
    /// Its extent along each axis, outermost first.
    pub shape: Vec<u64>,
    /// Its elements.
    pub data: TensorData,
}

/// The elements of a tensor, in the data types that travel as JSON without loss.
#[derive(Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum TensorData {
    /// `BOOL`
    Bool(Vec<bool>),
    /// `UINT8`
    Uint8(Vec<u8>),
    /// `UINT16`
    Uint16(Vec<u16>),
    /// `UINT32`
    Uint32(Vec<u32>),
    /// `UINT64`
    Uint64(Vec<u64>),
    /// `INT8`
    Int8(Vec<i8>),
    /// `INT16`
    Int16(Vec<i16>),
    /// `INT32`
    Int32(Vec<i32>),
    /// `INT64`
    Int64(Vec<i64>),
    /// `FP32`
    Fp32(Vec<f32>),
    /// `FP64`
    Fp64(Vec<f64>),
}

impl TensorData {
    /// The protocol's word for this data type.
    pub fn datatype(&self) -> &'static str {
        match self {
            Self::Bool(_) => "BOOL",
            Self::Uint8(_) => "UINT8",
            Self::Uint16(_) => "UINT16",
            Self::Uint32(_) => "UINT32",
            Self::Uint64(_) => "UINT64",
            Self::Int8(_) => "INT8",
            Self::Int16(_) => "INT16",
            Self::Int32(_) => "INT32",
            Self::Int64(_) => "INT64",
            Self::Fp32(_) => "FP32",
            Self::Fp64(_) => "FP64",
        }
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Bool(v) => v.len(),
            Self::Uint8(v) => v.len(),
            Self::Uint16(v) => v.len(),
            Self::Uint32(v) => v.len(),
            Self::Uint64(v) => v.len(),
            Self::Int8(v) => v.len(),
            Self::Int16(v) => v.len(),
            Self::Int32(v) => v.len(),
            Self::Int64(v) => v.len(),
            Self::Fp32(v) => v.len(),
            Self::Fp64(v) => v.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({} dimensions, {:?})", self.shape.len(), self.data)
    }
}

impl fmt::Debug for TensorData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.len(), self.datatype())
    }
}

impl TensorData {
    /// Whether every element has a word in JSON, which a NaN and an infinity have not.
    pub(super) fn is_sayable(&self) -> bool {
        match self {
            Self::Fp32(v) => v.iter().all(|value| value.is_finite()),
            Self::Fp64(v) => v.iter().all(|value| value.is_finite()),
            _ => true,
        }
    }

    /// The elements as raw little-endian bytes, row-major: the binary tensor extension.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        match self {
            Self::Bool(v) => v.iter().map(|value| u8::from(*value)).collect(),
            Self::Uint8(v) => v.clone(),
            Self::Uint16(v) => v.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Uint32(v) => v.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Uint64(v) => v.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Int8(v) => v.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Int16(v) => v.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Int32(v) => v.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Int64(v) => v.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Fp32(v) => v.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Fp64(v) => v.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }

    /// The inverse of [`TensorData::to_le_bytes`]; `None` for another data type, for a length that is no multiple of an
    /// element's, or a `BOOL` that is neither 0 nor 1.
    pub(super) fn from_le_bytes(datatype: &str, bytes: &[u8]) -> Option<Self> {
        fn read<T, const N: usize>(bytes: &[u8], from: fn([u8; N]) -> T) -> Option<Vec<T>> {
            let (chunks, rest) = bytes.as_chunks::<N>();
            rest.is_empty().then(|| chunks.iter().map(|chunk| from(*chunk)).collect())
        }
        Some(match datatype {
            "BOOL" if bytes.iter().any(|byte| *byte > 1) => return None,
            "BOOL" => Self::Bool(bytes.iter().map(|byte| *byte == 1).collect()),
            "UINT8" => Self::Uint8(bytes.to_vec()),
            "UINT16" => Self::Uint16(read(bytes, u16::from_le_bytes)?),
            "UINT32" => Self::Uint32(read(bytes, u32::from_le_bytes)?),
            "UINT64" => Self::Uint64(read(bytes, u64::from_le_bytes)?),
            "INT8" => Self::Int8(read(bytes, i8::from_le_bytes)?),
            "INT16" => Self::Int16(read(bytes, i16::from_le_bytes)?),
            "INT32" => Self::Int32(read(bytes, i32::from_le_bytes)?),
            "INT64" => Self::Int64(read(bytes, i64::from_le_bytes)?),
            "FP32" => Self::Fp32(read(bytes, f32::from_le_bytes)?),
            "FP64" => Self::Fp64(read(bytes, f64::from_le_bytes)?),
            _ => return None,
        })
    }
}
