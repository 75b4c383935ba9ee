//! The whole argument, in one place, and the same for every platform: parse, authenticate, appraise.

use std::sync::Arc;

use crate::check::{Check, Stage};
use crate::evidence::Evidence;
use crate::findings::{Comparison, Findings};
use crate::memory::Memory;
use crate::platform::{Given, Platform, Wanted};
use crate::policy::Policy;
use crate::report::{Attested, Rejection, Text};
use crate::signature::Signatures;
use crate::time::UnixTime;
use crate::windows::Windows;
use crate::words::words;
use crate::x509::chains::Chains;

/// What evidence is held against, beside its endorsements.
pub(crate) struct Asked<'a, 'm> {
    pub(crate) policy: &'a Policy,
    pub(crate) now: UnixTime,
    pub(crate) signatures: Signatures<'m>,
    pub(crate) chains: Option<&'a Chains>,
    pub(crate) memory: Option<&'a Memory>,
}

/// Bytes -> verdict.
pub(crate) fn walk<P: Platform>(
    evidence: &Evidence<'_>,
    Asked { policy, now, signatures, chains, memory }: Asked<'_, '_>,
) -> Result<Attested, Rejection> {
    let Evidence { bytes, endorsements, event_log, .. } = *evidence;
    let mut findings = Findings::new(P::TEE, P::CHECKS, now);
    let profile = P::profile(policy);
    let claim = match P::parse(bytes, profile.map(|(_, profile)| profile), &mut findings) {
        Ok(claim) => claim,
        Err(stop) => return Err(findings.refuse(Stage::Parse, stop)),
    };
    // Evidence that nobody wrote a rule for is never accepted.
    let name = profile.map(|(name, _)| Arc::from(name));
    let actual = name.clone().map_or("none".into(), Text::Name);
    let expected = words!("a profile for {}", P::TEE.name());
    let named = Comparison { check: Check::POLICY_PROFILE, expected, actual };
    let (_, profile) = match findings.require_some(profile, named) {
        Ok(named) => named,
        Err(stop) => return Err(findings.refuse(Stage::Appraise, stop)),
    };
    findings.appraised_by(name, P::bound_to(profile));
    let given = Given { endorsements, anchors: policy.anchors(), profile, now, signatures, chains, memory };
    let vouched = match P::authenticate(claim, given, &mut findings) {
        Ok(vouched) => vouched,
        Err(stop) => return Err(findings.refuse(Stage::Authenticate, stop)),
    };
    P::appraise(&vouched, Wanted { profile, policy, memory, event_log }, &mut findings);
    findings.conclude()
}

/// The windows that the evidence depends on. Malformed evidence depends on nothing that could be named.
pub(crate) fn windows<P: Platform>(evidence: &Evidence<'_>, policy: &Policy, windows: &mut Windows) {
    let mut findings = Findings::new(P::TEE, P::CHECKS, windows.now());
    let profile = P::profile(policy).map(|(_, profile)| profile);
    if let Ok(claim) = P::parse(evidence.bytes, profile, &mut findings) {
        P::look_at_windows(claim.hints(), evidence.endorsements, policy, windows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Tee, checks};
    use crate::evidence::Endorsements;
    use crate::findings::Stop;
    use crate::report::BoundTo;
    use crate::signature::sha256;
    use crate::stage::{Authentic, Signed, Unverified};

    /// A platform that nobody builds: a byte that says whether it is debugged, then SHA-256 of that byte and of a key that the
    /// policy pins. It borrows the name of a TEE, and nothing else.
    enum MadeUp {}

    struct Claim<'a> {
        debug: u8,
        tag: &'a [u8],
    }

    struct Profile {
        key: [u8; 4],
        debug: bool,
    }

    checks! {
        Some(Tee::SevSnp);

        MADE_UP_LENGTH "made-up.length" Parse Derived { stops: "33 bytes", source: "this test", remedy: "none", }
        MADE_UP_TAG "made-up.tag" Authenticate Hardware { stops: "another key", source: "this test", remedy: "none", }
        MADE_UP_DEBUG "made-up.debug" Appraise Hardware { stops: "debugging", source: "this test", remedy: "none", }
    }

    impl Signed for Claim<'_> {
        type Key<'k> = &'k [u8; 4];

        fn is_signed_by(&self, key: &[u8; 4]) -> bool {
            sha256(&[&[self.debug], key]) == self.tag
        }
    }

    impl Platform for MadeUp {
        const TEE: Tee = Tee::SevSnp;
        const CHECKS: &'static [Check] = CHECKS;
        type Profile = Profile;
        type Claim<'a> = Claim<'a>;
        type Vouched<'a> = Authentic<Claim<'a>>;

        fn profile(policy: &Policy) -> Option<(&str, &Profile)> {
            const PROFILE: &Profile = &Profile { key: *b"root", debug: false };
            policy.sev_snp().map(|(name, _)| (name, PROFILE))
        }

        fn bound_to(_: &Profile) -> Option<BoundTo> {
            Some(BoundTo::Guest)
        }

        fn parse<'a>(
            bytes: &'a [u8],
            _: Option<&Profile>,
            findings: &mut Findings,
        ) -> Result<Unverified<Claim<'a>>, Stop> {
            let claim = bytes.split_first().filter(|(_, tag)| tag.len() == 32);
            let actual = format!("{} bytes", bytes.len()).into();
            let length = Comparison { check: Check::MADE_UP_LENGTH, expected: "33 bytes".into(), actual };
            let (debug, tag) = findings.require_some(claim, length)?;
            Ok(Unverified::new(Claim { debug: *debug, tag }))
        }

        fn authenticate<'a>(
            claim: Unverified<Self::Claim<'a>>,
            given: Given<'_, '_, Profile>,
            findings: &mut Findings,
        ) -> Result<Self::Vouched<'a>, Stop> {
            findings.ends(UnixTime::from_seconds(1_000), "this platform");
            let signed = claim.authenticated_by(&given.profile.key);
            let tag = Comparison::of_signature(Check::MADE_UP_TAG, "a tag by the key", signed.is_some());
            findings.require_some(signed, tag)
        }

        fn appraise(vouched: &Self::Vouched<'_>, wanted: Wanted<'_, Profile>, findings: &mut Findings) {
            let debug = vouched.get().debug;
            let (expected, actual) = ("no debugging".into(), debug.to_string().into());
            findings.judge(
                wanted.profile.debug || debug == 0,
                Comparison { check: Check::MADE_UP_DEBUG, expected, actual },
            );
        }

        fn look_at_windows(_: &Claim<'_>, _: &Endorsements, _: &Policy, _: &mut Windows) {}
    }

    fn verdict(bytes: &[u8]) -> Result<Attested, Rejection> {
        let policy = Policy::parse(include_str!("../../measurements/policy/genuine.toml")).unwrap();
        let (endorsements, now) = (Endorsements::new(), UnixTime::from_seconds(7));
        let asked = Asked { policy: &policy, now, signatures: Signatures::stateless(), chains: None, memory: None };
        walk::<MadeUp>(&Evidence::sev_snp(bytes, &endorsements), asked)
    }

    fn evidence(debug: u8, key: &[u8; 4]) -> Vec<u8> {
        [&[debug][..], &sha256(&[&[debug], key])].concat()
    }

    #[test]
    fn a_platform_that_nobody_builds_is_verified_by_the_same_walk() {
        let attested = verdict(&evidence(0, b"root")).unwrap();
        assert_eq!(attested.valid_until(), UnixTime::from_seconds(1_000));
        assert_eq!(attested.bound_to(), Some(BoundTo::Guest));
        let ids: Vec<_> = attested.report().findings().iter().map(|finding| finding.check().id()).collect();
        assert_eq!(ids, ["policy.profile", "made-up.length", "made-up.tag", "made-up.debug"]);

        for (bytes, stage, check) in [
            (evidence(0, b"root")[1..].to_vec(), Stage::Parse, Check::MADE_UP_LENGTH),
            (evidence(0, b"toor"), Stage::Authenticate, Check::MADE_UP_TAG),
            (evidence(1, b"root"), Stage::Appraise, Check::MADE_UP_DEBUG),
        ] {
            let rejection = verdict(&bytes).unwrap_err();
            assert_eq!((rejection.stage(), rejection.failed_checks()), (stage, vec![check.id()]));
        }
    }
}
