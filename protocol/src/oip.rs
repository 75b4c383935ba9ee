//! The element types of the Open Inference Protocol, version 2 (`inference_rest.md`, *Tensor Data Types*), with `BF16`, which
//! the servers and clients of the protocol have added since, and the order of a model's versions. Client and enclave read them
//! here.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// The type of a tensor's elements, under the name of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Datatype {
    /// `BOOL`, one byte an element, 0 or 1.
    Bool,
    /// `UINT8`.
    Uint8,
    /// `UINT16`.
    Uint16,
    /// `UINT32`.
    Uint32,
    /// `UINT64`.
    Uint64,
    /// `INT8`.
    Int8,
    /// `INT16`.
    Int16,
    /// `INT32`.
    Int32,
    /// `INT64`.
    Int64,
    /// `FP16`, IEEE 754 binary16.
    Fp16,
    /// `BF16`, the upper half of an IEEE 754 binary32.
    Bf16,
    /// `FP32`, IEEE 754 binary32.
    Fp32,
    /// `FP64`, IEEE 754 binary64.
    Fp64,
    /// `BYTES`, elements of any length: as binary data each a little-endian `u32` and so many bytes, in JSON a string.
    Bytes,
}

/// What stands before each element of `BYTES` in binary data: its length, a little-endian `u32`.
pub const BYTES_PREFIX: usize = size_of::<u32>();

impl Datatype {
    /// All of them, for error messages and tests.
    pub const ALL: [Self; 14] = [
        Self::Bool,
        Self::Uint8,
        Self::Uint16,
        Self::Uint32,
        Self::Uint64,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Fp16,
        Self::Bf16,
        Self::Fp32,
        Self::Fp64,
        Self::Bytes,
    ];

    /// The name in the protocol.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Fp16 => "FP16",
            Self::Bf16 => "BF16",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }

    /// The datatype with that name, which is written in capitals and in no other way.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|datatype| datatype.name() == name)
    }

    /// Bytes of one element as binary data; `None` for [`Datatype::Bytes`], each element of which has a length of its own.
    #[must_use]
    pub fn size(self) -> Option<usize> {
        (self != Self::Bytes).then(|| self.least_size())
    }

    /// Bytes that one element takes at the least as binary data: an empty one of [`Datatype::Bytes`] is a length of
    /// [`BYTES_PREFIX`].
    #[must_use]
    pub fn least_size(self) -> usize {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => 1,
            Self::Uint16 | Self::Int16 | Self::Fp16 | Self::Bf16 => 2,
            Self::Uint32 | Self::Int32 | Self::Fp32 => 4,
            Self::Uint64 | Self::Int64 | Self::Fp64 => 8,
            Self::Bytes => BYTES_PREFIX,
        }
    }

    /// Whether JSON can carry it. Neither 16-bit float has a form there: Triton and KServe refuse both in JSON, in requests and
    /// in answers, and their clients send them as binary data.
    #[must_use]
    pub fn is_in_json(self) -> bool {
        !matches!(self, Self::Fp16 | Self::Bf16)
    }
}

impl std::fmt::Display for Datatype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The order of two versions of a model. A request that names none means the greatest, as at Triton: the highest number, and
/// where no version is a number, the last in the order of bytes.
#[must_use]
pub fn version_order(one: &str, other: &str) -> Ordering {
    // As text, so that a number may have any length; zeros before it count only where nothing else differs.
    let number = |version: &str| {
        let digits = version.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| version.trim_start_matches('0').to_owned()).map(|digits| (digits.len(), digits))
    };
    // What is no number is less than what is one.
    number(one).cmp(&number(other)).then_with(|| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_number_is_the_greatest_version() {
        let sorted = ["1.5", "b", "v2", "0", "01", "1", "2", "9", "10", "18446744073709551615", "18446744073709551616"];
        for (place, one) in sorted.iter().enumerate() {
            for (places, other) in sorted.iter().enumerate() {
                assert_eq!(version_order(one, other), place.cmp(&places), "{one} {other}");
            }
        }
    }

    #[test]
    fn a_name_is_the_same_to_readers_of_json_and_of_text() {
        for datatype in Datatype::ALL {
            assert_eq!(serde_json::to_string(&datatype).unwrap(), format!("\"{datatype}\""));
            assert_eq!(Datatype::from_name(datatype.name()), Some(datatype));
            assert_eq!(Datatype::from_name(&datatype.name().to_lowercase()), None);
        }
        assert_eq!(Datatype::from_name("FP8"), None);
    }

    #[test]
    fn only_elements_of_one_length_have_a_size() {
        for (datatype, size) in [
            (Datatype::Bool, 1),
            (Datatype::Int16, 2),
            (Datatype::Fp16, 2),
            (Datatype::Bf16, 2),
            (Datatype::Fp32, 4),
            (Datatype::Uint64, 8),
        ] {
            assert_eq!((datatype.size(), datatype.least_size()), (Some(size), size), "{datatype}");
        }
        assert_eq!((Datatype::Bytes.size(), Datatype::Bytes.least_size()), (None, 4));
        let not_in_json: Vec<_> = Datatype::ALL.into_iter().filter(|datatype| !datatype.is_in_json()).collect();
        assert_eq!(not_in_json, [Datatype::Fp16, Datatype::Bf16]);
    }
}
