//! AMD SEV-SNP: attestation reports and the hierarchy that vouches for them.

mod across;
mod appraise;
mod authenticate;
mod baseline;
mod checks;
mod choose;
mod fields;
pub(crate) mod leaf;
mod needs;
mod powers;
pub(crate) mod profile;
mod report;
pub(crate) mod roots;
mod tcb;
mod windows;

pub use needs::{SnpLeaf, SnpNeeds, SnpTcb};
pub(crate) use needs::{issued_for, snp_needs};
pub use report::ReportBytes;

use appraise::appraise;
use authenticate::{Vouched, authenticate};
pub(crate) use checks::CHECKS;
use fields::FIELDS;
use profile::SnpProfile;
use report::Report;
use roots::AMD;

use crate::carriage::Offered;
use crate::check::{Check, Tee};
use crate::evidence::{Endorsements, Evidence};
use crate::findings::{Findings, Stop};
use crate::platform::{Given, KeyChecks, Platform, Rules, Wanted};
use crate::report::BoundTo;
use crate::roots::{PinnedRoots, Vendor};
use crate::rule::{Ask, Field, Pin, Revocation, Undertaken};
use crate::stage::Unverified;
use crate::windows::Windows;
use crate::wrapping::Wrapping;

impl<'a> Evidence<'a> {
    /// Evidence that is an SEV-SNP attestation report, with certificates and CRLs in any order.
    pub const fn sev_snp(report: &'a [u8], endorsements: &'a Endorsements) -> Self {
        Self::of(Tee::SevSnp, report, endorsements)
    }
}

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

/// As a platform: an attestation report and whoever vouches for it.
pub(crate) enum SevSnp {}

impl Platform for SevSnp {
    const TEE: Tee = Tee::SevSnp;
    const VENDOR: &'static Vendor = &AMD;
    const CHECKS: &'static [Check] = CHECKS;
    const KEY_CHECKS: KeyChecks = KeyChecks {
        root: Check::SNP_CHAIN_ARK_PINNED,
        signature: Check::SNP_SIGNATURE,
        code: Check::SNP_GUEST_MEASUREMENT,
        code_fact: "measurement",
        report_data: Check::SNP_GUEST_REPORT_DATA,
    };
    type Profile = SnpProfile;
    type Claim<'a> = Report<'a>;
    type Vouched<'a> = Vouched<'a>;

    fn fields() -> Vec<&'static Field> {
        FIELDS.iter().map(|row| &row.field).collect()
    }

    fn asked_by(check: Check) -> Vec<&'static Field> {
        FIELDS.iter().filter(|row| row.is_asked_by(check)).map(|row| &row.field).collect()
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

    fn offers<'v>(vouched: &'v Vouched<'_>) -> Offered<'v> {
        let report = vouched.report.get();
        Offered {
            report_data: &report.report_data,
            launch_measurement: &report.measurement.0,
            host_data: Some(&report.host_data.0),
            privilege_level: Some(report.vmpl),
            has_registers: false,
        }
    }

    fn appraise(vouched: &Vouched<'_>, wanted: Wanted<'_, SnpProfile>, findings: &mut Findings) {
        appraise(vouched, wanted, findings);
    }

    fn look_at_windows(
        report: &Report<'_>,
        endorsements: &Endorsements,
        anchors: PinnedRoots<'_>,
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

    fn code(&self) -> Vec<Pin> {
        across::code(self).into()
    }

    fn contradiction(&self) -> Option<(&'static str, String)> {
        across::contradiction(self)
    }
}
