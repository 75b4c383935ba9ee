//! TD report body of a quote: 1.0 (584 bytes), 1.5 (648) and 1.5-EX (885), all little-endian (Intel TDX DCAP quote format; offsets from its start).

/// The fields of a TD report body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TdReport {
    /// TEE_TCB_SVN, 16 bytes at 0: module minor, module major, last SEAM patch.
    pub tee_tcb_svn: [u8; 16],
    /// MRSEAM, 48 bytes at 16.
    pub mrseam: [u8; 48],
    /// MRSIGNERSEAM, 48 bytes at 64; zero for Intel's module.
    pub mrsignerseam: [u8; 48],
    /// SEAMATTRIBUTES, u64 at 112.
    pub seam_attributes: u64,
    /// TDATTRIBUTES, u64 at 120.
    pub attributes: u64,
    /// XFAM, u64 at 128.
    pub xfam: u64,
    /// MRTD, 48 bytes at 136.
    pub mrtd: [u8; 48],
    /// MRCONFIGID, 48 bytes at 184.
    pub mrconfigid: [u8; 48],
    /// MROWNER, 48 bytes at 232.
    pub mrowner: [u8; 48],
    /// MROWNERCONFIG, 48 bytes at 280.
    pub mrownerconfig: [u8; 48],
    /// RTMR0..RTMR3, 48 bytes each at 328.
    pub rtmr: [[u8; 48]; 4],
    /// REPORTDATA, 64 bytes at 520.
    pub report_data: [u8; 64],
    /// TEE_TCB_SVN2, 16 bytes at 584 (1.5).
    pub tee_tcb_svn2: [u8; 16],
    /// MRSERVICETD, 48 bytes at 600 (1.5).
    pub mrservicetd: [u8; 48],
    /// What follows at 648 in body type 4: VMID, TD id, device info, service-TD hashes and attributes, initial SVNs.
    pub extended: [u8; 237],
}

/// Offsets of the fields inside [`TdReport::extended`].
pub mod extended {
    #![expect(missing_docs, reason = "the names are Intel's")]
    pub const VMID: usize = 0;
    pub const TD_ID: usize = 1;
    pub const DEVICE_INFO: usize = 33;
    pub const INITIAL_SERVICE_TD_HASH: usize = 81;
    pub const INITIAL_SERVICE_TD_ATTRIBUTES: usize = 129;
    pub const INITIAL_CPUSVN: usize = 137;
    pub const INITIAL_TEE_TCB_SVN: usize = 153;
    pub const INITIAL_TEE_FMSPC: usize = 169;
    pub const CURRENT_SERVICE_TD_HASH: usize = 181;
    pub const CURRENT_SERVICE_TD_ATTRIBUTES: usize = 229;
}

impl TdReport {
    /// The bytes of body type 2, 3 or 4; another type is written like 3.
    pub fn to_bytes(&self, body_type: u16) -> Vec<u8> {
        let mut bytes = [
            &self.tee_tcb_svn[..],
            &self.mrseam,
            &self.mrsignerseam,
            &self.seam_attributes.to_le_bytes(),
            &self.attributes.to_le_bytes(),
            &self.xfam.to_le_bytes(),
            &self.mrtd,
            &self.mrconfigid,
            &self.mrowner,
            &self.mrownerconfig,
            &self.rtmr.concat(),
            &self.report_data,
        ]
        .concat();
        if body_type != 2 {
            bytes.extend(self.tee_tcb_svn2);
            bytes.extend(self.mrservicetd);
        }
        if body_type == 4 {
            bytes.extend(self.extended);
        }
        bytes
    }
}
