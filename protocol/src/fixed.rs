//! Newtypes over fixed-length byte strings, written as lower-case hex, so that one digest cannot be passed for another.

use std::fmt;
use teegate_encoding::hex;

/// A text that is not the lower-case hex of a value of that length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotFixedBytes {
    /// How many bytes the value has.
    pub expected_bytes: usize,
}

impl fmt::Display for NotFixedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {} bytes in lower-case hex", self.expected_bytes)
    }
}

impl std::error::Error for NotFixedBytes {}

/// Reads exactly `N` bytes of lower-case hex: one spelling per value, because names and cache keys are made of it.
pub(crate) fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], NotFixedBytes> {
    let refused = NotFixedBytes { expected_bytes: N };
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(refused);
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| refused)?;
    Ok(bytes)
}

/// Declares such a newtype with its conversions.
macro_rules! hex_bytes {
    ($(#[$doc:meta])* pub struct $name:ident($length:literal);) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&teegate_encoding::hex::encode(self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::fixed::NotFixedBytes;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::fixed::parse_hex(text).map(Self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}
pub(crate) use hex_bytes;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_per_value() {
        assert_eq!(parse_hex::<2>("0aff"), Ok([0x0a, 0xff]));
        for refused in ["0AFF", "0aff00", "0a", "0af", "0agg", " 0aff", ""] {
            assert_eq!(parse_hex::<2>(refused), Err(NotFixedBytes { expected_bytes: 2 }), "{refused}");
        }
    }
}
