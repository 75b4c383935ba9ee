//! AMD SEV-SNP: attestation reports and the hierarchy that vouches for them.

mod across;
mod appraise;
mod authenticate;
mod baseline;
mod checks;
mod choose;
mod fields;
pub(crate) mod leaf;
mod powers;
pub(crate) mod profile;
mod report;
mod tcb;
mod windows;

pub use report::ReportBytes;

use appraise::appraise;
use authenticate::{Vouched, authenticate};
pub(crate) use checks::CHECKS;
use fields::FIELDS;
use profile::SnpProfile;
pub(crate) use report::{Report, SigningKey};
pub(crate) use tcb::{Product, TcbVersion};

use crate::carriage::Offered;
use crate::check::{Check, Tee};
use crate::evidence::Endorsements;
use crate::facts::FactValue;
use crate::findings::{Findings, Stop};
use crate::platform::{Given, Platform, Rules, Wanted};
use crate::report::{BoundTo, Finding};
use crate::roots::TrustAnchors;
use crate::rule::{Ask, Field, Revocation, Undertaken};

use crate::stage::Unverified;
use crate::time::UnixTime;
use crate::windows::Windows;
use crate::wrapping::Wrapping;

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

/// Every field that a profile has.
pub(crate) fn fields() -> Vec<&'static Field> {
    FIELDS.iter().map(|row| &row.field).collect()
}

/// As a platform: an attestation report and whoever vouches for it.
pub(crate) enum SevSnp {}

impl Platform for SevSnp {
    const TEE: Tee = Tee::SevSnp;
    const CHECKS: &'static [Check] = CHECKS;
    type Profile = SnpProfile;
    type Claim<'a> = Report<'a>;
    type Vouched<'a> = Vouched<'a>;

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

    fn offers(vouched: &Vouched<'_>) -> Offered {
        Offered { report_data: vouched.report.get().report_data }
    }

    fn appraise(vouched: &Vouched<'_>, wanted: Wanted<'_, SnpProfile>, findings: &mut Findings) {
        appraise(vouched, wanted, findings);
    }

    fn look_at_windows(
        report: &Report<'_>,
        endorsements: &Endorsements,
        anchors: &TrustAnchors,
        profile: Option<&SnpProfile>,
        windows: &mut Windows,
    ) {
        let lists = profile.is_none_or(|profile| profile.revocation != Revocation::Unchecked);
        windows::look_at_windows(report, endorsements, anchors, lists, windows);
    }
}

impl Rules for SnpProfile {
    fn asks(&self) -> Vec<(&'static Field, Ask)> {
        FIELDS.iter().map(|row| (&row.field, (row.asks)(self))).collect()
    }

    fn wrapping(&self) -> Wrapping {
        self.wrapping
    }

    fn bound_to(&self) -> Option<BoundTo> {
        self.bound_to.required().copied()
    }

    fn undertaken(&self) -> Vec<Undertaken> {
        across::undertaken(self)
    }

    fn contradiction(&self) -> Option<(&'static str, String)> {
        across::contradiction(self)
    }
}
