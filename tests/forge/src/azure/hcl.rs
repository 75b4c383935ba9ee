//! The paravisor's report (HCL), which NV index 0x01400001 holds: little-endian, 1,236 bytes before the claims.

/// Room for the hardware's report.
const HARDWARE: usize = 1_184;

/// The fields. What is `None` is computed from the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hcl {
    /// At 0.
    pub signature: [u8; 4],
    /// At 4: 1 or 2.
    pub header_version: u32,
    /// At 8: all but the tail.
    pub length: Option<u32>,
    /// At 12.
    pub request_type: u32,
    /// At 16.
    pub status: u32,
    /// At 20.
    pub reserved: [u8; 12],
    /// At 32, filled with zeros to 1,184 bytes: SEV-SNP report, or TDREPORT.
    pub hardware: Vec<u8>,
    /// At 1,216: 20 and the length of the claims.
    pub data_length: Option<u32>,
    /// At 1,220.
    pub data_version: u32,
    /// At 1,224: 2 SEV-SNP, 4 TDX.
    pub report_type: u32,
    /// At 1,228: 1 SHA-256, 2 SHA-384, 3 SHA-512.
    pub hash_type: u32,
    /// At 1,232.
    pub claims_length: Option<u32>,
    /// At 1,236.
    pub claims: Vec<u8>,
    /// What follows: zeros up to the end of the NV index.
    pub tail: Vec<u8>,
}

impl Hcl {
    /// A report of this type that nothing is wrong with, in an index of 2,600 bytes.
    pub fn new(report_type: u32, hardware: Vec<u8>, claims: Vec<u8>) -> Self {
        let tail = vec![0; 2_600_usize.saturating_sub(1_236 + claims.len())];
        Self {
            signature: *b"HCLA",
            header_version: 2,
            length: None,
            request_type: 2,
            status: 0,
            reserved: [0; 12],
            hardware,
            data_length: None,
            data_version: 1,
            report_type,
            hash_type: 1,
            claims_length: None,
            claims,
            tail,
        }
    }

    /// The bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let claims = u32::try_from(self.claims.len()).expect("claims of less than 4 GiB");
        let mut hardware = self.hardware.clone();
        hardware.resize(HARDWARE, 0);
        let mut bytes = Vec::new();
        bytes.extend(self.signature);
        bytes.extend(self.header_version.to_le_bytes());
        bytes.extend(self.length.unwrap_or(32 + 1_184 + 20 + claims).to_le_bytes());
        bytes.extend(self.request_type.to_le_bytes());
        bytes.extend(self.status.to_le_bytes());
        bytes.extend(self.reserved);
        bytes.extend(hardware);
        bytes.extend(self.data_length.unwrap_or(20 + claims).to_le_bytes());
        bytes.extend(self.data_version.to_le_bytes());
        bytes.extend(self.report_type.to_le_bytes());
        bytes.extend(self.hash_type.to_le_bytes());
        bytes.extend(self.claims_length.unwrap_or(claims).to_le_bytes());
        bytes.extend(&self.claims);
        bytes.extend(&self.tail);
        bytes
    }
}

/// TDREPORT_STRUCT (1,024 bytes) as far as it is shown: REPORTDATA at 128, and MRTD in TDINFO_STRUCT at 528.
pub(super) fn td_report(report_data: &[u8; 64], mrtd: &[u8; 48]) -> Vec<u8> {
    let mut bytes = vec![0; 1_024];
    // REPORTTYPE: TDX.
    bytes[0] = 0x81;
    bytes[128..192].copy_from_slice(report_data);
    bytes[528..576].copy_from_slice(mrtd);
    bytes
}
