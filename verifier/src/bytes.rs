//! Fixed-length byte strings as types of their own, so that swapping two of them does not compile.

use std::fmt;

use teegate_encoding::hex;

/// Lower-case hexadecimal of `bytes`.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

/// The bytes that an author spells in a policy or in reference values: hexadecimal, with or without `0x` in front.
pub(crate) fn written_hex(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).ok()
}

/// Exactly `N` bytes from hexadecimal.
pub(crate) fn array_from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    hex::array(text).ok()
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
    /// A platform configuration register of a TPM's SHA-256 bank, 32 bytes.
    pub(crate) Pcr(32);
    /// A family or image id of an SNP ID block, 16 bytes.
    pub(crate) BlockId(16);
    /// Id of a guest report or of its migration agent (`REPORT_ID_MA`), 32 bytes.
    pub(crate) ReportId(32);
    /// Platform provisioning id of an Intel PCK certificate (`PPID`), 16 bytes.
    pub(crate) Ppid(16);
    /// Family, model, stepping, platform and custom SKU of an Intel platform (`FMSPC`), 6 bytes.
    pub Fmspc(6);
}
