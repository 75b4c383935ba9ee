//! ATTESTATION_REPORT as a template, and its 1,184 bytes (AMD 56860, SEV-SNP Firmware ABI, rev. 1.58, table 23).

use crate::keys::Key;

/// Length of a report.
pub const REPORT_LENGTH: usize = 0x4A0;

/// Length of what the signature covers.
pub const SIGNED_LENGTH: usize = 0x2A0;

/// The fields of a report. Whatever is set here is what gets signed, whether a version of the report knows the field or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// VERSION, u32 at 0x000.
    pub version: u32,
    /// GUEST_SVN, u32 at 0x004.
    pub guest_svn: u32,
    /// POLICY, u64 at 0x008.
    pub policy: u64,
    /// FAMILY_ID, 16 bytes at 0x010.
    pub family_id: [u8; 16],
    /// IMAGE_ID, 16 bytes at 0x020.
    pub image_id: [u8; 16],
    /// VMPL, u32 at 0x030.
    pub vmpl: u32,
    /// SIGNATURE_ALGO, u32 at 0x034; 1 is ECDSA P-384 with SHA-384.
    pub signature_algo: u32,
    /// CURRENT_TCB, 8 bytes at 0x038.
    pub current_tcb: [u8; 8],
    /// PLATFORM_INFO, u64 at 0x040.
    pub platform_info: u64,
    /// FLAGS, u32 at 0x048: AUTHOR_KEY_EN, MASK_CHIP_KEY, SIGNING_KEY in bits 4:2.
    pub flags: u32,
    /// REPORT_DATA, 64 bytes at 0x050.
    pub report_data: [u8; 64],
    /// MEASUREMENT, 48 bytes at 0x090.
    pub measurement: [u8; 48],
    /// HOST_DATA, 32 bytes at 0x0C0.
    pub host_data: [u8; 32],
    /// ID_KEY_DIGEST, 48 bytes at 0x0E0.
    pub id_key_digest: [u8; 48],
    /// AUTHOR_KEY_DIGEST, 48 bytes at 0x110.
    pub author_key_digest: [u8; 48],
    /// REPORT_ID, 32 bytes at 0x140.
    pub report_id: [u8; 32],
    /// REPORT_ID_MA, 32 bytes at 0x160; all 0xFF without a migration agent.
    pub report_id_ma: [u8; 32],
    /// REPORTED_TCB, 8 bytes at 0x180.
    pub reported_tcb: [u8; 8],
    /// CPUID_FAM_ID, CPUID_MOD_ID, CPUID_STEP, a byte each at 0x188; zero in version 2.
    pub cpuid: [u8; 3],
    /// CHIP_ID, 64 bytes at 0x1A0.
    pub chip_id: [u8; 64],
    /// COMMITTED_TCB, 8 bytes at 0x1E0.
    pub committed_tcb: [u8; 8],
    /// CURRENT_MAJOR, _MINOR, _BUILD; in memory build first, at 0x1E8.
    pub current_firmware: [u8; 3],
    /// COMMITTED_MAJOR, _MINOR, _BUILD; in memory build first, at 0x1EC.
    pub committed_firmware: [u8; 3],
    /// LAUNCH_TCB, 8 bytes at 0x1F0.
    pub launch_tcb: [u8; 8],
    /// LAUNCH_MIT_VECTOR, u64 at 0x1F8; zero before version 5.
    pub launch_mitigations: u64,
    /// CURRENT_MIT_VECTOR, u64 at 0x200; zero before version 5.
    pub current_mitigations: u64,
}

impl Report {
    /// The signed part, little-endian throughout; every byte not named is zero.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; SIGNED_LENGTH];
        let mut put = |offset: usize, field: &[u8]| bytes[offset..offset + field.len()].copy_from_slice(field);
        let firmware = |[major, minor, build]: [u8; 3]| [build, minor, major];
        put(0x000, &self.version.to_le_bytes());
        put(0x004, &self.guest_svn.to_le_bytes());
        put(0x008, &self.policy.to_le_bytes());
        put(0x010, &self.family_id);
        put(0x020, &self.image_id);
        put(0x030, &self.vmpl.to_le_bytes());
        put(0x034, &self.signature_algo.to_le_bytes());
        put(0x038, &self.current_tcb);
        put(0x040, &self.platform_info.to_le_bytes());
        put(0x048, &self.flags.to_le_bytes());
        put(0x050, &self.report_data);
        put(0x090, &self.measurement);
        put(0x0C0, &self.host_data);
        put(0x0E0, &self.id_key_digest);
        put(0x110, &self.author_key_digest);
        put(0x140, &self.report_id);
        put(0x160, &self.report_id_ma);
        put(0x180, &self.reported_tcb);
        put(0x188, &self.cpuid);
        put(0x1A0, &self.chip_id);
        put(0x1E0, &self.committed_tcb);
        put(0x1E8, &firmware(self.current_firmware));
        put(0x1EC, &firmware(self.committed_firmware));
        put(0x1F0, &self.launch_tcb);
        put(0x1F8, &self.launch_mitigations.to_le_bytes());
        put(0x200, &self.current_mitigations.to_le_bytes());
        bytes
    }
}

/// Appends SIGNATURE to the signed bytes: r and s as 72-byte little-endian numbers at 0x2A0 and 0x2E8, then zeros.
pub(crate) fn sign(mut bytes: Vec<u8>, key: &Key) -> Vec<u8> {
    let signature = key.sign(&bytes);
    let (r, s) = signature.split_at(signature.len() / 2);
    for number in [r, s] {
        let mut field: Vec<u8> = number.iter().rev().copied().collect();
        field.resize(72, 0);
        bytes.extend(field);
    }
    bytes.resize(REPORT_LENGTH, 0);
    bytes
}
