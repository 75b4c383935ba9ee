//! SGX report body (384 bytes), which the Quoting Enclave has signed about itself (Intel SDM vol. 3D, REPORT; offsets from its start).

/// The fields of an SGX report body; reserved bytes are zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QeReport {
    /// CPUSVN, 16 bytes at 0.
    pub cpusvn: [u8; 16],
    /// MISCSELECT, 4 bytes at 16.
    pub miscselect: [u8; 4],
    /// ATTRIBUTES (flags, then XFRM), 16 bytes at 48.
    pub attributes: [u8; 16],
    /// MRENCLAVE, 32 bytes at 64.
    pub mrenclave: [u8; 32],
    /// MRSIGNER, 32 bytes at 128.
    pub mrsigner: [u8; 32],
    /// ISVPRODID, u16 at 256.
    pub isvprodid: u16,
    /// ISVSVN, u16 at 258.
    pub isvsvn: u16,
    /// REPORTDATA, 64 bytes at 320: SHA-256(attestation key ‖ authentication data), then 32 zero bytes.
    pub report_data: [u8; 64],
}

impl QeReport {
    /// The 384 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; 384];
        let mut put = |offset: usize, field: &[u8]| bytes[offset..offset + field.len()].copy_from_slice(field);
        put(0, &self.cpusvn);
        put(16, &self.miscselect);
        put(48, &self.attributes);
        put(64, &self.mrenclave);
        put(128, &self.mrsigner);
        put(256, &self.isvprodid.to_le_bytes());
        put(258, &self.isvsvn.to_le_bytes());
        put(320, &self.report_data);
        bytes
    }
}
