//! In what the evidence of a platform was carried here. Once somebody vouches for the platform's report, a smaller walk says what
//! the workload put into it, and that is what a policy and a caller ask about.
//!
//! A carriage names no platform: it reads what every platform's report offers. Each that is more than nothing is a folder, with the
//! three steps of the walk, the table of its checks, and the table of the fields that a policy has for it beside the platform's.

pub(crate) mod aci;
pub(crate) mod azure_vtpm;
mod offered;
mod rules;

pub use aci::{AciContext, inspect_aci};
pub use azure_vtpm::{AzureVtpm, TpmQuote, inspect_azure_vtpm};
pub(crate) use offered::{Offered, Workload};
pub(crate) use rules::{Beside, asked_by, fields_of, is_paravisor};

use crate::check::{Check, Tee};
use crate::findings::{Comparison, Findings, Stop};
use crate::judge::Rule;
use crate::signature::{Memo, Signatures};
use crate::wrapping::Wrapping;

/// What lies around the evidence of a platform.
#[derive(Clone, Copy)]
pub(crate) enum Carriage<'a> {
    /// Nothing: the workload itself chose the 64 bytes of the report.
    Raw,
    /// The paravisor of an Azure confidential VM, with the vTPM that it runs.
    AzureVtpm(&'a AzureVtpm),
    /// The security context of a container group of Confidential ACI.
    Aci(&'a AciContext),
    /// 64 bytes of a workload, whose SHA-256 stands in the report of a carrier that nobody builds, followed by zeros.
    #[cfg(test)]
    MadeUp([u8; 64]),
}

/// The same, parsed and believed by nobody.
pub(crate) enum Claim<'a> {
    Raw,
    AzureVtpm(Box<azure_vtpm::Claim<'a>>),
    Aci(Box<aci::Claim<'a>>),
    #[cfg(test)]
    MadeUp([u8; 64]),
}

/// The same, once the platform's report and what it binds vouch for it.
pub(crate) enum Vouched<'a> {
    Raw,
    AzureVtpm(Box<azure_vtpm::Vouched<'a>>),
    Aci(aci::Vouched),
    #[cfg(test)]
    MadeUp,
}

/// Every check of any carriage, by the name of what it is.
pub(crate) const CHECKS: &[(&str, &[Check])] = &[(azure_vtpm::TITLE, azure_vtpm::CHECKS), (aci::TITLE, aci::CHECKS)];

impl<'a> Carriage<'a> {
    /// Its name.
    pub(crate) const fn wrapping(self) -> Wrapping {
        match self {
            Self::Raw => Wrapping::Raw,
            Self::AzureVtpm(_) => Wrapping::AzureVtpm,
            Self::Aci(_) => Wrapping::AzureAci,
            #[cfg(test)]
            Self::MadeUp(_) => Wrapping::MadeUp,
        }
    }

    /// The checks that judge it, in the order of its walk.
    pub(crate) const fn checks(self) -> &'static [Check] {
        match self {
            Self::Raw => &[],
            Self::AzureVtpm(_) => azure_vtpm::CHECKS,
            Self::Aci(_) => aci::CHECKS,
            #[cfg(test)]
            Self::MadeUp(_) => tests::CHECKS,
        }
    }

    /// Parse: what its bytes are, around the evidence of this TEE. Ends at the first check that fails.
    pub(crate) fn parse(self, tee: Tee, findings: &mut Findings) -> Result<Claim<'a>, Stop> {
        match self {
            Self::Raw => Ok(Claim::Raw),
            Self::AzureVtpm(bytes) => azure_vtpm::parse(bytes, tee, findings).map(Box::new).map(Claim::AzureVtpm),
            Self::Aci(context) => aci::parse(context, findings).map(Box::new).map(Claim::Aci),
            #[cfg(test)]
            Self::MadeUp(inner) => Ok(Claim::MadeUp(inner)),
        }
    }
}

impl<'a> Claim<'a> {
    /// Authenticate: from what the report says to what the workload says. `asked` is whether the policy or the caller expects
    /// particular bytes of it, `beside` what the policy says of the carriage. Ends at the first check that fails.
    pub(crate) fn authenticate(
        self,
        offered: Offered<'_>,
        asked: bool,
        beside: &Beside,
        memo: Option<&Memo>,
        findings: &mut Findings,
    ) -> Result<(Vouched<'a>, Workload), Stop> {
        match self {
            Self::Raw => Ok((Vouched::Raw, Workload { report_data: *offered.report_data })),
            Self::AzureVtpm(claim) => {
                let (vouched, workload) = azure_vtpm::authenticate(*claim, offered, asked, findings)?;
                Ok((Vouched::AzureVtpm(Box::new(vouched)), workload))
            }
            Self::Aci(claim) => {
                // A profile is chosen by the wrapping: there is none of another carriage here.
                let Beside::Aci(profile) = beside else {
                    let (expected, actual) = ("rules for Confidential ACI".into(), "others".into());
                    return Err(findings.fail(Comparison { check: Check::POLICY_PROFILE, expected, actual }));
                };
                let mut signatures = memo.map_or_else(Signatures::stateless, Signatures::remembering);
                let (vouched, workload) = aci::authenticate(*claim, profile, offered, &mut signatures, findings)?;
                Ok((Vouched::Aci(vouched), workload))
            }
            #[cfg(test)]
            Self::MadeUp(inner) => tests::open(inner, offered, findings).map(|workload| (Vouched::MadeUp, workload)),
        }
    }
}

impl Vouched<'_> {
    /// Appraise: every rule that a policy has for it, to the last. Under the rules of another carriage nothing is judged, and so
    /// nothing accepted.
    pub(crate) fn appraise(
        &self,
        beside: &Beside,
        code: Option<Rule<'_>>,
        offered: Offered<'_>,
        event_log: Option<&[u8]>,
        findings: &mut Findings,
    ) {
        match (self, beside) {
            (Self::AzureVtpm(vouched), Beside::AzureVtpm(profile)) => {
                azure_vtpm::appraise(vouched, profile, code, offered, event_log, findings);
            }
            (Self::Aci(vouched), Beside::Aci(profile)) => aci::appraise(vouched, profile, findings),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::ReportData;
    use crate::check::checks;
    use crate::signature::sha256;

    checks! {
        None;

        MADE_UP_CARRIER "made-up.carrier" Authenticate Hardware { stops: "other bytes", source: "this test", remedy: "none", }
    }

    pub(super) fn open(inner: [u8; 64], offered: Offered<'_>, findings: &mut Findings) -> Result<Workload, Stop> {
        let digest = sha256(&[&inner]);
        let holds = offered.report_data.0.starts_with(&digest) && offered.report_data.0.ends_with(&[0; 32]);
        let (expected, actual) = (ReportData(inner).to_string().into(), offered.report_data.to_string().into());
        findings.require(holds, Comparison { check: Check::MADE_UP_CARRIER, expected, actual })?;
        Ok(Workload { report_data: ReportData(inner) })
    }
}
