//! Fixed-length byte strings as types of their own, so that swapping two of them does not compile.

use std::fmt;

/// Lower-case hexadecimal of `bytes`.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        for nibble in [byte >> 4, byte & 0xF] {
            text.push(char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }));
        }
    }
    text
}

/// The bytes that `text` spells in hexadecimal, in either case; `None` unless it is an even number of digits.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
            _ => None,
        })
        .collect()
}

/// The bytes that an author spells in a policy or in reference values: hexadecimal, with or without `0x` in front.
pub(crate) fn written_hex(text: &str) -> Option<Vec<u8>> {
    from_hex(text.strip_prefix("0x").unwrap_or(text))
}

/// Exactly `N` bytes from hexadecimal.
pub(crate) fn array_from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    from_hex(text)?.try_into().ok()
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// A byte string of one fixed length that can be written in a policy as hexadecimal.
pub(crate) trait HexBytes: Sized {
    /// Its length in bytes.
    const LENGTH: usize;
    /// The value that an author spells with `text`.
    fn parse_hex(text: &str) -> Option<Self>;
    /// The bytes themselves.
    fn as_bytes(&self) -> &[u8];
}

macro_rules! fixed_bytes {
    ($($(#[$doc:meta])* $vis:vis $name:ident($length:literal);)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        $vis struct $name(pub [u8; $length]);

        impl HexBytes for $name {
            const LENGTH: usize = $length;
            fn parse_hex(text: &str) -> Option<Self> { written_hex(text)?.try_into().ok().map(Self) }
            fn as_bytes(&self) -> &[u8] { &self.0 }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&to_hex(&self.0)) }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "{}({self})", stringify!($name)) }
        }
    )+};
}

fixed_bytes! {
    /// Launch digest of an SEV-SNP guest (`MEASUREMENT`), SHA-384. AMD 56860 rev. 1.58, table 23.
    pub Measurement(48);
    /// What the host bound at launch (`HOST_DATA`), 32 bytes. AMD 56860 rev. 1.58, table 23.
    pub HostData(32);
    /// The 64 bytes that the guest asked to have attested: `REPORT_DATA` (SNP), `REPORTDATA` (TDX).
    pub ReportData(64);
    /// Identity of the processor (`CHIP_ID`), 64 bytes; on Turin 8 bytes and 56 of zero. AMD 56860 rev. 1.58, table 23.
    pub ChipId(64);
    /// A SHA-384 measurement register or identity digest: MRTD, RTMR0..3, MRSEAM, MRCONFIGID, … of a TD; ID and author key digests of SNP.
    pub Mr(48);
    /// A family or image id of an SNP ID block, 16 bytes.
    pub(crate) BlockId(16);
    /// Id of a guest report or of its migration agent (`REPORT_ID_MA`), 32 bytes.
    pub(crate) ReportId(32);
    /// Platform provisioning id of an Intel PCK certificate (`PPID`), 16 bytes.
    pub(crate) Ppid(16);
    /// Family, model, stepping, platform and custom SKU of an Intel platform (`FMSPC`), 6 bytes.
    pub Fmspc(6);
}
