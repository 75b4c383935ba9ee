//! In what the evidence of a platform was carried here. Once somebody vouches for the platform's report, a smaller walk says what
//! the workload put into it, and that is what a policy and a caller ask about.
//!
//! A carriage names no platform: it reads what every platform's report offers.

use crate::bytes::ReportData;
use crate::check::Check;
use crate::findings::{Findings, Stop};
use crate::wrapping::Wrapping;

/// What lies around the evidence of a platform.
#[derive(Clone, Copy)]
pub(crate) enum Carriage {
    /// Nothing: the workload itself chose the 64 bytes of the report.
    Raw,
    /// 64 bytes of a workload, whose SHA-256 stands in the report of a carrier that nobody builds, followed by zeros.
    #[cfg(test)]
    MadeUp([u8; 64]),
}

/// What an authentic report of any platform offers to a carriage.
pub(crate) struct Offered {
    /// The 64 bytes that whoever asked for the report chose.
    pub(crate) report_data: ReportData,
}

/// What the workload chose.
pub(crate) struct Workload {
    pub(crate) report_data: ReportData,
}

impl Carriage {
    /// Its name.
    pub(crate) const fn wrapping(self) -> Wrapping {
        match self {
            Self::Raw => Wrapping::Raw,
            #[cfg(test)]
            Self::MadeUp(_) => Wrapping::MadeUp,
        }
    }

    /// The checks that judge it, in the order of its walk.
    pub(crate) const fn checks(self) -> &'static [Check] {
        match self {
            Self::Raw => &[],
            #[cfg(test)]
            Self::MadeUp(_) => tests::CHECKS,
        }
    }

    /// From what the report says to what the workload says. Ends at the first check that fails.
    #[cfg_attr(not(test), expect(unused_variables, reason = "where nobody stands between there is nothing to find"))]
    pub(crate) fn open(self, offered: Offered, findings: &mut Findings) -> Result<Workload, Stop> {
        match self {
            Self::Raw => Ok(Workload { report_data: offered.report_data }),
            #[cfg(test)]
            Self::MadeUp(inner) => tests::open(inner, offered, findings),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::checks;
    use crate::findings::Comparison;
    use crate::signature::sha256;

    checks! {
        None;

        MADE_UP_CARRIER "made-up.carrier" Authenticate Hardware { stops: "other bytes", source: "this test", remedy: "none", }
    }

    pub(super) fn open(inner: [u8; 64], offered: Offered, findings: &mut Findings) -> Result<Workload, Stop> {
        let digest = sha256(&[&inner]);
        let holds = offered.report_data.0.starts_with(&digest) && offered.report_data.0.ends_with(&[0; 32]);
        let (expected, actual) = (ReportData(inner).to_string().into(), offered.report_data.to_string().into());
        findings.require(holds, Comparison { check: Check::MADE_UP_CARRIER, expected, actual })?;
        Ok(Workload { report_data: ReportData(inner) })
    }
}
