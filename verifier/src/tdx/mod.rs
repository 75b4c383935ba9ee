//! Intel TDX: quotes, the hierarchy that vouches for them, and Intel's evaluation of their TCB.

mod accept;
mod appraise;
mod authenticate;
mod chain;
mod checks;
mod choose;
mod log;
mod outlook;
mod quote;
mod shortfall;
mod tcb;
mod windows;

use appraise::appraise;
use authenticate::{Vouched, authenticate};
pub(crate) use checks::CHECKS;
pub(crate) use quote::{Certification, Quote};

use crate::check::{Check, Tee};
use crate::evidence::Endorsements;
use crate::facts::FactValue;
use crate::findings::{Findings, Stop};
use crate::platform::{Given, Platform, Wanted};
use crate::policy::{Policy, TdxProfile, Trailing};
use crate::report::{BoundTo, Finding};
use crate::stage::Unverified;
use crate::time::UnixTime;
use crate::windows::Windows;

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

/// As a platform: a quote and whoever vouches for it.
pub(crate) enum Tdx {}

impl Platform for Tdx {
    const TEE: Tee = Tee::Tdx;
    const CHECKS: &'static [Check] = CHECKS;
    type Profile = TdxProfile;
    type Claim<'a> = Quote<'a>;
    type Vouched<'a> = Vouched<'a>;

    fn profile(policy: &Policy) -> Option<(&str, &TdxProfile)> {
        policy.tdx()
    }

    fn bound_to(profile: &TdxProfile) -> Option<BoundTo> {
        profile.bound_to.required().copied()
    }

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

    fn appraise(vouched: &Vouched<'_>, wanted: Wanted<'_, TdxProfile>, findings: &mut Findings) {
        appraise(vouched, wanted, findings);
    }

    fn look_at_windows(quote: &Quote<'_>, endorsements: &Endorsements, policy: &Policy, windows: &mut Windows) {
        windows::look_at_windows(quote, endorsements, policy.anchors(), windows);
    }
}
