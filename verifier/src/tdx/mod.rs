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
mod log;
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
use profile::{TdxProfile, Trailing};
pub(crate) use quote::{Certification, Quote};

use crate::carriage::Offered;
use crate::check::{Check, Tee};
use crate::evidence::Endorsements;
use crate::facts::FactValue;
use crate::findings::{Findings, Stop};
use crate::platform::{Given, Platform, Rules, Wanted};
use crate::report::{BoundTo, Finding};
use crate::roots::TrustAnchors;
use crate::rule::{Ask, Field, Undertaken};

use crate::stage::Unverified;
use crate::time::UnixTime;
use crate::windows::Windows;
use crate::wrapping::Wrapping;

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

/// What the bytes of a quote say. **Nothing is verified**: anybody can write such bytes.
pub fn inspect(bytes: &[u8]) -> Result<Vec<(&'static str, FactValue)>, Box<Finding>> {
    let mut findings = Findings::new(Tee::Tdx, CHECKS, UnixTime::from_seconds(0));
    match parse(bytes, Trailing::Any, &mut findings) {
        Ok(_) => Ok(findings.facts.iter().map(|(name, value)| (name, value.clone())).collect()),
        Err(stop) => Err(findings.failure(stop)),
    }
}

/// Every field that a profile has.
pub(crate) fn fields() -> Vec<&'static Field> {
    FIELDS.iter().map(|row| &row.field).collect()
}

/// As a platform: a quote and whoever vouches for it.
pub(crate) enum Tdx {}

impl Platform for Tdx {
    const TEE: Tee = Tee::Tdx;
    const CHECKS: &'static [Check] = CHECKS;
    type Profile = TdxProfile;
    type Claim<'a> = Quote<'a>;
    type Vouched<'a> = Vouched<'a>;

    fn parse<'a>(
        bytes: &'a [u8],
        profile: Option<&TdxProfile>,
        findings: &mut Findings,
    ) -> Result<Unverified<Self::Claim<'a>>, Stop> {
        parse(bytes, profile.map_or(Trailing::Zero, |profile| profile.trailing_bytes), findings)
    }

    fn authenticate<'a>(
        quote: Unverified<Self::Claim<'a>>,
        given: Given<'_, '_, TdxProfile>,
        findings: &mut Findings,
    ) -> Result<Self::Vouched<'a>, Stop> {
        authenticate(quote, given, findings)
    }

    fn offers(vouched: &Vouched<'_>) -> Offered {
        Offered { report_data: vouched.quote.get().body.report_data }
    }

    fn appraise(vouched: &Vouched<'_>, wanted: Wanted<'_, TdxProfile>, findings: &mut Findings) {
        appraise(vouched, wanted, findings);
    }

    fn look_at_windows(
        quote: &Quote<'_>,
        endorsements: &Endorsements,
        anchors: &TrustAnchors,
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

    fn contradiction(&self) -> Option<(&'static str, String)> {
        across::contradiction(self)
    }
}
