//! What is attested beside the TEE, such as a GPU that the guest hands its data to. The device answers a challenge, and
//! that challenge must be bound in the 64 bytes that the workload chose: else the device may be another machine's.
//!
//! No device is read by this release. A made-up one, in tests, holds the place in the walk.

use crate::carriage::Workload;
use crate::check::Check;
use crate::findings::{Findings, Stop};

/// Evidence of one device.
#[derive(Clone, Copy)]
pub(crate) enum Device {
    /// The challenge that a device which nobody builds has answered, as it stands in the workload's 64 bytes.
    #[cfg(test)]
    MadeUp([u8; 64]),
}

impl Device {
    /// The checks that judge it, in the order of its walk.
    pub(crate) const fn checks(self) -> &'static [Check] {
        match self {
            #[cfg(test)]
            Self::MadeUp(_) => tests::CHECKS,
        }
    }

    /// Whether it answered what the workload asked. Ends at the first check that fails.
    #[cfg_attr(not(test), expect(unused_variables, reason = "there is no device to ask"))]
    pub(crate) fn stand_beside(self, workload: &Workload, findings: &mut Findings) -> Result<(), Stop> {
        match self {
            #[cfg(test)]
            Self::MadeUp(challenge) => tests::stand_beside(challenge, workload, findings),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::ReportData;
    use crate::check::checks;
    use crate::findings::Comparison;

    checks! {
        None;

        MADE_UP_DEVICE "made-up.device" Authenticate Hardware { stops: "another device", source: "this test", remedy: "none", }
    }

    pub(super) fn stand_beside(challenge: [u8; 64], workload: &Workload, findings: &mut Findings) -> Result<(), Stop> {
        let (asked, answered) = (workload.report_data.to_string(), ReportData(challenge).to_string());
        let holds = workload.report_data.0 == challenge;
        findings.require(
            holds,
            Comparison { check: Check::MADE_UP_DEVICE, expected: asked.into(), actual: answered.into() },
        )
    }
}
