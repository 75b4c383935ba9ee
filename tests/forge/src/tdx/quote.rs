//! A quote, version 4 or 5, as its parts: every type word and every declared length can lie (Intel TDX DCAP quote format).

/// The parts of a quote. A length of `None` is the true one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuoteParts {
    /// u16 at 0: 4 or 5.
    pub version: u16,
    /// u16 at 2: 2 is ECDSA P-256.
    pub attestation_key_type: u16,
    /// u32 at 4: 0x81 is TDX.
    pub tee_type: u32,
    /// Bytes 8..12: zero in versions 4 and 5.
    pub reserved: [u8; 4],
    /// 16 bytes at 12.
    pub qe_vendor_id: [u8; 16],
    /// 20 bytes at 28.
    pub user_data: [u8; 20],
    /// Body descriptor (version 5): u16 at 48.
    pub body_type: u16,
    /// Body descriptor (version 5): u32 at 50.
    pub body_size: Option<u32>,
    /// The TD report.
    pub body: Vec<u8>,
    /// u32 behind the body.
    pub signature_data_length: Option<u32>,
    /// r ‖ s; `None` is a true signature of the attestation key over header, descriptor and body.
    pub signature: Option<[u8; 64]>,
    /// x ‖ y of the attestation key as it stands in the quote.
    pub attestation_key: [u8; 64],
    /// Type of the outer certification data: 6.
    pub outer_type: u16,
    /// Size of the outer certification data.
    pub outer_length: Option<u32>,
    /// QE report, 384 bytes.
    pub qe_report: Vec<u8>,
    /// r ‖ s of the PCK key over the QE report.
    pub qe_report_signature: [u8; 64],
    /// QE authentication data.
    pub auth_data: Vec<u8>,
    /// u16 before the authentication data.
    pub auth_data_length: Option<u16>,
    /// Type of the inner certification data: 5 is a PEM chain.
    pub inner_type: u16,
    /// Size of the inner certification data.
    pub inner_length: Option<u32>,
    /// The inner certification data.
    pub inner_data: Vec<u8>,
    /// Bytes behind the last certification data, inside the outer one.
    pub inner_trailing: Vec<u8>,
    /// Bytes behind the quote.
    pub trailing: Vec<u8>,
}

/// The bytes of Intel's QE vendor id, 939A7233-F79C-4CA9-940A-0DB3957F0607.
pub const INTEL_QE_VENDOR_ID: [u8; 16] =
    [0x93, 0x9A, 0x72, 0x33, 0xF7, 0x9C, 0x4C, 0xA9, 0x94, 0x0A, 0x0D, 0xB3, 0x95, 0x7F, 0x06, 0x07];

impl QuoteParts {
    /// What the attestation key signs: header, in version 5 the body descriptor, body.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.attestation_key_type.to_le_bytes());
        bytes.extend(self.tee_type.to_le_bytes());
        bytes.extend(self.reserved);
        bytes.extend(self.qe_vendor_id);
        bytes.extend(self.user_data);
        if self.version >= 5 {
            bytes.extend(self.body_type.to_le_bytes());
            bytes.extend(self.body_size.unwrap_or(self.body.len() as u32).to_le_bytes());
        }
        bytes.extend(&self.body);
        bytes
    }

    /// The whole quote around bytes that were signed.
    pub(super) fn to_bytes(&self, mut quote: Vec<u8>, signature: &[u8]) -> Vec<u8> {
        let mut outer = self.qe_report.clone();
        outer.extend(self.qe_report_signature);
        outer.extend(self.auth_data_length.unwrap_or(self.auth_data.len() as u16).to_le_bytes());
        outer.extend(&self.auth_data);
        outer.extend(self.inner_type.to_le_bytes());
        outer.extend(self.inner_length.unwrap_or(self.inner_data.len() as u32).to_le_bytes());
        outer.extend(&self.inner_data);
        outer.extend(&self.inner_trailing);

        let mut signature_data = self.signature.map_or_else(|| signature.to_vec(), |forced| forced.to_vec());
        signature_data.extend(self.attestation_key);
        signature_data.extend(self.outer_type.to_le_bytes());
        signature_data.extend(self.outer_length.unwrap_or(outer.len() as u32).to_le_bytes());
        signature_data.extend(outer);

        quote.extend(self.signature_data_length.unwrap_or(signature_data.len() as u32).to_le_bytes());
        quote.extend(signature_data);
        quote.extend(&self.trailing);
        quote
    }
}
