//! Elements as raw little-endian bytes, row-major: the binary tensor extension.
//! <https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md>. Before each element of
//! `BYTES` stands its length, four bytes.

use teegate_protocol::oip::Datatype;

use super::tensor::TensorData;

impl TensorData {
    /// The elements as raw bytes. `None` if one of `BYTES` is longer than its length can say (4 GiB).
    pub fn to_le_bytes(&self) -> Option<Vec<u8>> {
        Some(match self {
            Self::Bool(v) => v.iter().map(|value| u8::from(*value)).collect(),
            Self::Uint8(v) => v.clone(),
            Self::Uint16(v) | Self::Fp16(v) | Self::Bf16(v) => v.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Uint32(v) => v.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Uint64(v) => v.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Int8(v) => v.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Int16(v) => v.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Int32(v) => v.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Int64(v) => v.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Fp32(v) => v.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Fp64(v) => v.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Bytes(v) => {
                let mut bytes = Vec::new();
                for element in v {
                    bytes.extend_from_slice(&u32::try_from(element.len()).ok()?.to_le_bytes());
                    bytes.extend_from_slice(element);
                }
                bytes
            }
        })
    }

    /// The inverse of [`TensorData::to_le_bytes`]; `None` for a length that is no multiple of an element's, a `BOOL` that is
    /// neither 0 nor 1, and `BYTES` whose lengths do not end where the bytes do.
    pub fn from_le_bytes(datatype: Datatype, bytes: &[u8]) -> Option<Self> {
        fn read<T, const N: usize>(bytes: &[u8], from: fn([u8; N]) -> T) -> Option<Vec<T>> {
            let (chunks, rest) = bytes.as_chunks::<N>();
            rest.is_empty().then(|| chunks.iter().map(|chunk| from(*chunk)).collect())
        }
        Some(match datatype {
            Datatype::Bool if bytes.iter().any(|byte| *byte > 1) => return None,
            Datatype::Bool => Self::Bool(bytes.iter().map(|byte| *byte == 1).collect()),
            Datatype::Uint8 => Self::Uint8(bytes.to_vec()),
            Datatype::Uint16 => Self::Uint16(read(bytes, u16::from_le_bytes)?),
            Datatype::Uint32 => Self::Uint32(read(bytes, u32::from_le_bytes)?),
            Datatype::Uint64 => Self::Uint64(read(bytes, u64::from_le_bytes)?),
            Datatype::Int8 => Self::Int8(read(bytes, i8::from_le_bytes)?),
            Datatype::Int16 => Self::Int16(read(bytes, i16::from_le_bytes)?),
            Datatype::Int32 => Self::Int32(read(bytes, i32::from_le_bytes)?),
            Datatype::Int64 => Self::Int64(read(bytes, i64::from_le_bytes)?),
            Datatype::Fp16 => Self::Fp16(read(bytes, u16::from_le_bytes)?),
            Datatype::Bf16 => Self::Bf16(read(bytes, u16::from_le_bytes)?),
            Datatype::Fp32 => Self::Fp32(read(bytes, f32::from_le_bytes)?),
            Datatype::Fp64 => Self::Fp64(read(bytes, f64::from_le_bytes)?),
            Datatype::Bytes => Self::Bytes(elements(bytes)?),
        })
    }
}

/// The elements of `BYTES`, each behind its length.
fn elements(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut elements = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (element, behind) = rest.split_at_checked(length)?;
        elements.push(element.to_vec());
        bytes = behind;
    }
    bytes.is_empty().then_some(elements)
}
