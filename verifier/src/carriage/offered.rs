//! What passes between a platform, its carriage and what is judged afterwards. A carriage names no platform, and a platform no carriage.

use crate::bytes::ReportData;

/// What an authentic report of any platform offers to a carriage.
#[derive(Clone, Copy)]
pub(crate) struct Offered<'v> {
    /// The 64 bytes that whoever asked for the report chose.
    pub(crate) report_data: &'v ReportData,
    /// What the hardware measured at launch: MEASUREMENT (SEV-SNP), MRTD (TDX), SHA-384.
    pub(crate) launch_measurement: &'v [u8; 48],
    /// What the host bound at launch, where the platform has 32 bytes for it: HOST_DATA (SEV-SNP).
    pub(crate) host_data: Option<&'v [u8; 32]>,
    /// The privilege level that asked for the report, where the platform has such levels; 0 is the most privileged.
    pub(crate) privilege_level: Option<u32>,
    /// Whether the platform extends registers of its own, and judges the event log of those: RTMRs (TDX).
    pub(crate) has_registers: bool,
}

/// What the workload chose.
pub(crate) struct Workload {
    /// The 64 bytes that it asked to have attested.
    pub(crate) report_data: ReportData,
}
