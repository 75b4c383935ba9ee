//! AMD SEV-SNP: attestation reports and the hierarchy that vouches for them.

mod appraise;
mod authenticate;
mod baseline;
mod checks;
mod choose;
pub(crate) mod leaf;
mod powers;
mod report;
mod tcb;
mod windows;

pub use report::ReportBytes;

use appraise::appraise;
use authenticate::{Vouched, authenticate};
pub(crate) use checks::CHECKS;
pub(crate) use report::{Report, SigningKey};
pub(crate) use tcb::{Product, TcbVersion};

use crate::check::{Check, Tee};
use crate::evidence::Endorsements;
use crate::facts::FactValue;
use crate::findings::{Findings, Stop};
use crate::platform::{Given, Platform, Wanted};
use crate::policy::{Policy, Revocation, SnpProfile};
use crate::report::{BoundTo, Finding};
use crate::stage::Unverified;
use crate::time::UnixTime;
use crate::windows::Windows;

/// The table of AMD's bulletins in Markdown: the middle of `BASELINE.md`.
pub fn bulletin_table() -> String {
    baseline::table()
}

/// Bytes -> unverified report, with every field stated as a fact.
pub(crate) fn parse<'a>(bytes: &'a [u8], findings: &mut Findings) -> Result<Unverified<Report<'a>>, Stop> {
    let report = report::parse(bytes, findings)?;
    report::state(&report, findings);
    Ok(Unverified::new(report))
}

/// What the bytes of a report say. **Nothing is verified**: anybody can write such bytes.
pub fn inspect(bytes: &[u8]) -> Result<Vec<(&'static str, FactValue)>, Box<Finding>> {
    let mut findings = Findings::new(Tee::SevSnp, CHECKS, UnixTime::from_seconds(0));
    match parse(bytes, &mut findings) {
        Ok(_) => Ok(findings.facts.iter().map(|(name, value)| (name, value.clone())).collect()),
        Err(stop) => Err(findings.failure(stop)),
    }
}

/// As a platform: an attestation report and whoever vouches for it.
pub(crate) enum SevSnp {}

impl Platform for SevSnp {
    const TEE: Tee = Tee::SevSnp;
    const CHECKS: &'static [Check] = CHECKS;
    type Profile = SnpProfile;
    type Claim<'a> = Report<'a>;
    type Vouched<'a> = Vouched<'a>;

    fn profile(policy: &Policy) -> Option<(&str, &SnpProfile)> {
        policy.sev_snp()
    }

    fn bound_to(profile: &SnpProfile) -> Option<BoundTo> {
        profile.bound_to.required().copied()
    }

    fn parse<'a>(
        bytes: &'a [u8],
        _profile: Option<&SnpProfile>,
        findings: &mut Findings,
    ) -> Result<Unverified<Self::Claim<'a>>, Stop> {
        parse(bytes, findings)
    }

    fn authenticate<'a>(
        report: Unverified<Self::Claim<'a>>,
        given: Given<'_, '_, SnpProfile>,
        findings: &mut Findings,
    ) -> Result<Self::Vouched<'a>, Stop> {
        authenticate(report, given, findings)
    }

    fn appraise(vouched: &Vouched<'_>, wanted: Wanted<'_, SnpProfile>, findings: &mut Findings) {
        appraise(vouched, wanted, findings);
    }

    fn look_at_windows(report: &Report<'_>, endorsements: &Endorsements, policy: &Policy, windows: &mut Windows) {
        let lists = Self::profile(policy).is_none_or(|(_, profile)| profile.revocation != Revocation::Unchecked);
        windows::look_at_windows(report, endorsements, policy.anchors(), lists, windows);
    }
}
