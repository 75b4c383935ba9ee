//! Intel TDX: quotes, the hierarchy that vouches for them, and Intel's evaluation of their TCB.

mod accept;
mod across;
mod appraise;
mod authenticate;
mod chain;
mod checks;
mod choose;
mod converged;
mod fields;
mod needs;
mod outlook;
pub(crate) mod profile;
mod quote;
mod shortfall;
mod tcb;
mod windows;

use appraise::appraise;
use authenticate::{Vouched, authenticate};
pub(crate) use checks::CHECKS;
use fields::FIELDS;
pub(crate) use needs::tdx_needs;
pub use needs::{TdxNeeds, TdxPlatform};
use profile::{TdxProfile, Trailing};
use quote::Quote;

use crate::carriage::Offered;
use crate::check::{Check, Tee};
use crate::evidence::{Endorsements, Evidence};
use crate::findings::{Findings, Stop};
use crate::intel::roots::INTEL;
use crate::platform::{Given, KeyChecks, Platform, Rules, Wanted};
use crate::report::BoundTo;
use crate::roots::{PinnedRoots, Vendor};
use crate::rule::{Ask, Field, Pin, Undertaken};
use crate::stage::Unverified;
use crate::windows::Windows;
use crate::wrapping::Wrapping;

impl<'a> Evidence<'a> {
    /// Evidence that is a TDX quote as received, with whatever stands behind it, and with certificates, CRLs, TCB info and QE
    /// identity in any order.
    pub const fn tdx(quote: &'a [u8], endorsements: &'a Endorsements) -> Self {
        Self::of(Tee::Tdx, quote, endorsements)
    }
}

/// Bytes -> unverified quote, with every field stated as a fact.
pub(crate) fn parse<'a>(
    bytes: &'a [u8],
    trailing: Trailing,
    findings: &mut Findings,
) -> Result<Unverified<Quote<'a>>, Stop> {
    let quote = quote::parse(bytes, trailing, findings)?;
    quote::state(&quote, findings);
    Ok(Unverified::new(quote))
}

/// As a platform: a quote and whoever vouches for it.
pub(crate) enum Tdx {}

impl Platform for Tdx {
    const TEE: Tee = Tee::Tdx;
    const VENDOR: &'static Vendor = &INTEL;
    const CHECKS: &'static [Check] = CHECKS;
    const KEY_CHECKS: KeyChecks = KeyChecks {
        root: Check::TDX_CHAIN_ROOT_PINNED,
        signature: Check::TDX_SIGNATURE,
        code: Check::TDX_TD_MRTD,
        code_fact: "mrtd",
        report_data: Check::TDX_TD_REPORT_DATA,
    };
    type Profile = TdxProfile;
    type Claim<'a> = Quote<'a>;
    type Vouched<'a> = Vouched<'a>;

    fn fields() -> Vec<&'static Field> {
        FIELDS.iter().map(|row| &row.field).collect()
    }

    fn asked_by(check: Check) -> Vec<&'static Field> {
        FIELDS.iter().filter(|row| row.is_asked_by(check)).map(|row| &row.field).collect()
    }

    fn parse<'a>(
        bytes: &'a [u8],
        profile: Option<&TdxProfile>,
        findings: &mut Findings,
    ) -> Result<Unverified<Self::Claim<'a>>, Stop> {
        parse(bytes, profile.map_or(Trailing::Zero, |profile| profile.trailing_bytes), findings)
    }

    fn read<'a>(bytes: &'a [u8], findings: &mut Findings) -> Result<Unverified<Self::Claim<'a>>, Stop> {
        parse(bytes, Trailing::Any, findings)
    }

    fn authenticate<'a>(
        quote: Unverified<Self::Claim<'a>>,
        given: Given<'_, '_, TdxProfile>,
        findings: &mut Findings,
    ) -> Result<Self::Vouched<'a>, Stop> {
        authenticate(quote, given, findings)
    }

    fn offers<'v>(vouched: &'v Vouched<'_>) -> Offered<'v> {
        let body = &vouched.quote.get().body;
        let (report_data, launch_measurement) = (&body.report_data, &body.mrtd.0);
        let (host_data, privilege_level, has_registers) = (None, None, true);
        Offered { report_data, launch_measurement, host_data, privilege_level, has_registers }
    }

    fn appraise(vouched: &Vouched<'_>, wanted: Wanted<'_, TdxProfile>, findings: &mut Findings) {
        appraise(vouched, wanted, findings);
    }

    fn look_at_windows(
        quote: &Quote<'_>,
        endorsements: &Endorsements,
        anchors: PinnedRoots<'_>,
        _profile: Option<&TdxProfile>,
        windows: &mut Windows,
    ) {
        windows::look_at_windows(quote, endorsements, anchors, windows);
    }
}

impl Rules for TdxProfile {
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
        across::code(self)
    }

    fn contradiction(&self) -> Option<(&'static str, String)> {
        across::contradiction(self)
    }

    fn borne(&self) -> Option<(&'static str, &str)> {
        self.unjudged_acpi_tables.as_deref().map(|reason| ("unjudged_acpi_tables", reason))
    }

    fn rebuilt(&self) -> Option<(&'static str, &str)> {
        self.rebuilt_acpi_tables.as_deref().map(|from| ("rebuilt_acpi_tables", from))
    }
}
