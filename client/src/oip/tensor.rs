//! Tensors, as they pass between a program and the protocol.

use std::fmt;

use serde::{Serialize, Serializer};
use teegate_protocol::oip::Datatype;

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

/// The elements of a tensor.
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
    /// `FP16`, as its bits: [`f32_from_fp16`](super::f32_from_fp16) is their value.
    #[serde(serialize_with = "never")]
    Fp16(Vec<u16>),
    /// `BF16`, as its bits: [`f32_from_bf16`](super::f32_from_bf16) is their value.
    #[serde(serialize_with = "never")]
    Bf16(Vec<u16>),
    /// `FP32`
    Fp32(Vec<f32>),
    /// `FP64`
    Fp64(Vec<f64>),
    /// `BYTES`: text most often, and then UTF-8.
    #[serde(serialize_with = "text")]
    Bytes(Vec<Vec<u8>>),
}

impl TensorData {
    /// The data type.
    pub fn datatype(&self) -> Datatype {
        match self {
            Self::Bool(_) => Datatype::Bool,
            Self::Uint8(_) => Datatype::Uint8,
            Self::Uint16(_) => Datatype::Uint16,
            Self::Uint32(_) => Datatype::Uint32,
            Self::Uint64(_) => Datatype::Uint64,
            Self::Int8(_) => Datatype::Int8,
            Self::Int16(_) => Datatype::Int16,
            Self::Int32(_) => Datatype::Int32,
            Self::Int64(_) => Datatype::Int64,
            Self::Fp16(_) => Datatype::Fp16,
            Self::Bf16(_) => Datatype::Bf16,
            Self::Fp32(_) => Datatype::Fp32,
            Self::Fp64(_) => Datatype::Fp64,
            Self::Bytes(_) => Datatype::Bytes,
        }
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Bool(v) => v.len(),
            Self::Uint8(v) => v.len(),
            Self::Uint16(v) | Self::Fp16(v) | Self::Bf16(v) => v.len(),
            Self::Uint32(v) => v.len(),
            Self::Uint64(v) => v.len(),
            Self::Int8(v) => v.len(),
            Self::Int16(v) => v.len(),
            Self::Int32(v) => v.len(),
            Self::Int64(v) => v.len(),
            Self::Fp32(v) => v.len(),
            Self::Fp64(v) => v.len(),
            Self::Bytes(v) => v.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether every element has a word in JSON. A NaN and an infinity have none, nor has any `FP16` or `BF16`, nor `BYTES`
    /// that are no text.
    pub(super) fn is_sayable(&self) -> bool {
        match self {
            Self::Fp32(v) => v.iter().all(|value| value.is_finite()),
            Self::Fp64(v) => v.iter().all(|value| value.is_finite()),
            Self::Bytes(v) => v.iter().all(|value| std::str::from_utf8(value).is_ok()),
            _ => self.datatype().is_in_json(),
        }
    }
}

/// What JSON has no form for is sent as raw bytes, and an attempt to write it is an error rather than another spelling.
fn never<S: Serializer>(_: &[u16], _: S) -> Result<S::Ok, S::Error> {
    Err(serde::ser::Error::custom("a data type that travels as raw bytes only"))
}

fn text<S: Serializer>(elements: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
    let texts: Result<Vec<&str>, _> = elements.iter().map(|element| std::str::from_utf8(element)).collect();
    texts.map_err(|_| serde::ser::Error::custom("bytes that are no text"))?.serialize(serializer)
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
