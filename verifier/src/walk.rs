//! The whole argument, in one place, and the same for every platform: parse, authenticate, appraise.

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
    let Evidence { bytes, carriage, endorsements, event_log, devices, .. } = *evidence;
    let mut findings = Findings::new(P::TEE, P::CHECKS, now);
    findings.carried_in(carriage.wrapping(), carriage.checks());
    devices.iter().for_each(|device| findings.also_by(device.checks()));
    let profile = policy.profile::<P>(carriage.wrapping());
    let carried = match carriage.parse(P::TEE, &mut findings) {
        Ok(carried) => carried,
        Err(stop) => return Err(findings.refuse(Stage::Parse, stop)),
    };
    let claim = match P::parse(bytes, profile.map(|(_, profile)| profile), &mut findings) {
        Ok(claim) => claim,
        Err(stop) => return Err(findings.refuse(Stage::Parse, stop)),
    };
    // Evidence that nobody wrote a rule for is never accepted.
    let name = profile.map(|(found, _)| found.shared_name());
    let weaker = profile.and_then(|(found, _)| found.weaker());
    let actual = match (&name, weaker) {
        (None, _) => "none".into(),
        (Some(name), None) => Text::Name(name.clone()),
        // It may claim less than another profile of this TEE, and says why.
        (Some(name), Some(reason)) => words!("{} (weaker: {})", name, Text::from(reason.to_owned())),
    };
    let expected = words!("a profile for {}{}", P::TEE.name(), carriage.wrapping().asked_for());
    let named = Comparison { check: Check::POLICY_PROFILE, expected, actual };
    let (found, profile) = match findings.require_some(profile, named) {
        Ok(named) => named,
        Err(stop) => return Err(findings.refuse(Stage::Appraise, stop)),
    };
    findings.appraised_by(name, found.bound_to());
    let memo = signatures.memo();
    let given = Given { endorsements, anchors: policy.anchors::<P>(), profile, now, signatures, chains, memory };
    let vouched = match P::authenticate(claim, given, &mut findings) {
        Ok(vouched) => vouched,
        Err(stop) => return Err(findings.refuse(Stage::Authenticate, stop)),
    };
    let report_data = policy.report_data();
    let offered = P::offers(&vouched);
    let asked = report_data.is_some() || found.asks_for_report_data();
    let (carried, workload) = match carried.authenticate(offered, asked, found.beside(), memo, &mut findings) {
        Ok(opened) => opened,
        Err(stop) => return Err(findings.refuse(Stage::Authenticate, stop)),
    };
    if let Err(stop) = devices.iter().try_for_each(|device| device.stand_beside(&workload, &mut findings)) {
        return Err(findings.refuse(Stage::Authenticate, stop));
    }
    let (rules, workload) = (found.rules_in_words(), &workload);
    P::appraise(&vouched, Wanted { profile, rules, workload, report_data, memory, event_log }, &mut findings);
    carried.appraise(found.beside(), found.about_code::<P>(), offered, event_log, &mut findings);
    findings.conclude()
}

/// The windows that the evidence depends on. Malformed evidence depends on nothing that could be named.
pub(crate) fn windows<P: Platform>(evidence: &Evidence<'_>, policy: &Policy, windows: &mut Windows) {
    let mut findings = Findings::new(P::TEE, P::CHECKS, windows.now());
    let profile = policy.profile::<P>(evidence.carriage.wrapping()).map(|(_, profile)| profile);
    if let Ok(claim) = P::parse(evidence.bytes, profile, &mut findings) {
        P::look_at_windows(claim.hints(), evidence.endorsements, policy.anchors::<P>(), profile, windows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::ReportData;
    use crate::carriage::{Carriage, Offered};
    use crate::check::{Tee, checks};
    use crate::devices::Device;
    use crate::evidence::Endorsements;
    use crate::findings::Stop;
    use crate::platform::{KeyChecks, Rules};
    use crate::report::{BoundTo, Report};
    use crate::roots::{PinnedRoots, Vendor};
    use crate::rule::{Ask, Field, Pin, Undertaken};
    use crate::sev_snp::roots::AMD;
    use crate::signature::sha256;
    use crate::stage::{Authentic, Signed, Unverified};
    use crate::wrapping::Wrapping;
    use serde::Deserialize;

    /// A platform that nobody builds: a byte that says whether it is debugged, 32 that the workload chose, then SHA-256 of
    /// those and of a key that the policy pins. It borrows the name of a TEE, and nothing else.
    enum MadeUp {}

    struct Claim<'a> {
        debug: u8,
        chosen: ReportData,
        tag: &'a [u8],
    }

    /// Its rules are read from no policy: any profile for SEV-SNP stands for these.
    #[derive(Debug, Deserialize)]
    struct Profile {
        key: [u8; 4],
        debug: bool,
    }

    impl Rules for Profile {
        fn asks(&self) -> Vec<(&'static Field, Ask)> {
            Vec::new()
        }

        fn wrapping(&self) -> Wrapping {
            Wrapping::Raw
        }

        fn bound_to(&self) -> Option<BoundTo> {
            None
        }

        fn undertaken(&self) -> Vec<Undertaken> {
            Vec::new()
        }

        fn code(&self) -> Vec<Pin> {
            Vec::new()
        }

        fn contradiction(&self) -> Option<(&'static str, String)> {
            None
        }
    }

    checks! {
        Some(Tee::SevSnp);

        MADE_UP_LENGTH "made-up.length" Parse Derived { stops: "65 bytes", source: "this test", remedy: "none", }
        MADE_UP_TAG "made-up.tag" Authenticate Hardware { stops: "another key", source: "this test", remedy: "none", }
        MADE_UP_DEBUG "made-up.debug" Appraise Hardware { stops: "debugging", source: "this test", remedy: "none", }
        MADE_UP_CHOSEN "made-up.chosen" Appraise Hardware { stops: "another", source: "this test", remedy: "none", }
    }

    impl Signed for Claim<'_> {
        type Key<'k> = &'k [u8; 4];

        fn is_signed_by(&self, key: &[u8; 4]) -> bool {
            sha256(&[&[self.debug], &self.chosen.0[..32], key]) == self.tag
        }
    }

    impl Platform for MadeUp {
        const TEE: Tee = Tee::SevSnp;
        const VENDOR: &'static Vendor = &AMD;
        const CHECKS: &'static [Check] = CHECKS;
        const KEY_CHECKS: KeyChecks = KeyChecks {
            root: Check::MADE_UP_TAG,
            signature: Check::MADE_UP_TAG,
            code: Check::MADE_UP_DEBUG,
            code_fact: "debug",
            report_data: Check::MADE_UP_CHOSEN,
        };
        type Profile = Profile;
        type Claim<'a> = Claim<'a>;
        type Vouched<'a> = Authentic<Claim<'a>>;

        fn fields() -> Vec<&'static Field> {
            Vec::new()
        }

        fn asked_by(_: Check) -> Vec<&'static Field> {
            Vec::new()
        }

        fn rules(_: &dyn Rules) -> Option<&Profile> {
            const PROFILE: &Profile = &Profile { key: *b"root", debug: false };
            Some(PROFILE)
        }

        fn parse<'a>(
            bytes: &'a [u8],
            _: Option<&Profile>,
            findings: &mut Findings,
        ) -> Result<Unverified<Claim<'a>>, Stop> {
            let claim = bytes.split_first().filter(|(_, rest)| rest.len() == 64);
            let actual = format!("{} bytes", bytes.len()).into();
            let length = Comparison { check: Check::MADE_UP_LENGTH, expected: "65 bytes".into(), actual };
            let (debug, rest) = findings.require_some(claim, length)?;
            let (chosen, tag) = rest.split_at(32);
            let mut report_data = ReportData([0; 64]);
            report_data.0[..32].copy_from_slice(chosen);
            Ok(Unverified::new(Claim { debug: *debug, chosen: report_data, tag }))
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

        fn offers<'v>(vouched: &'v Self::Vouched<'_>) -> Offered<'v> {
            let report_data = &vouched.get().chosen;
            let (host_data, privilege_level, has_registers) = (None, None, false);
            Offered { report_data, launch_measurement: &[0; 48], host_data, privilege_level, has_registers }
        }

        fn appraise(vouched: &Self::Vouched<'_>, wanted: Wanted<'_, Profile>, findings: &mut Findings) {
            let debug = vouched.get().debug;
            let (expected, actual) = ("no debugging".into(), debug.to_string().into());
            findings.judge(
                wanted.profile.debug || debug == 0,
                Comparison { check: Check::MADE_UP_DEBUG, expected, actual },
            );
            let chosen = &wanted.workload.report_data;
            let (expected, actual) = ("what the caller names".into(), chosen.to_string().into());
            let holds = wanted.report_data.is_none_or(|named| named == chosen);
            findings.judge(holds, Comparison { check: Check::MADE_UP_CHOSEN, expected, actual });
        }

        fn look_at_windows(_: &Claim<'_>, _: &Endorsements, _: PinnedRoots<'_>, _: Option<&Profile>, _: &mut Windows) {}
    }

    const GENUINE: &str = include_str!("../../measurements/policy/genuine.toml");

    fn verdict(policy: &Policy, bytes: &[u8], carriage: Carriage<'_>) -> Result<Attested, Rejection> {
        verdict_beside(policy, bytes, carriage, &[])
    }

    fn verdict_beside(
        policy: &Policy,
        bytes: &[u8],
        carriage: Carriage<'_>,
        devices: &[Device],
    ) -> Result<Attested, Rejection> {
        let (endorsements, now) = (Endorsements::new(), UnixTime::from_seconds(7));
        let asked = Asked { policy, now, signatures: Signatures::stateless(), chains: None, memory: None };
        walk::<MadeUp>(&Evidence { carriage, devices, ..Evidence::sev_snp(bytes, &endorsements) }, asked)
    }

    fn evidence(debug: u8, chosen: [u8; 32], key: &[u8; 4]) -> Vec<u8> {
        [&[debug][..], &chosen, &sha256(&[&[debug], &chosen, key])].concat()
    }

    fn ids(report: &Report) -> Vec<&str> {
        report.findings().iter().map(|finding| finding.check().id()).collect()
    }

    #[test]
    fn a_platform_that_nobody_builds_is_verified_by_the_same_walk() {
        let policy = Policy::parse(GENUINE).unwrap();
        let attested = verdict(&policy, &evidence(0, [1; 32], b"root"), Carriage::Raw).unwrap();
        assert_eq!(attested.valid_until(), UnixTime::from_seconds(1_000));
        let all = ["policy.profile", "made-up.length", "made-up.tag", "made-up.debug", "made-up.chosen"];
        assert_eq!(ids(attested.report()), all);

        for (bytes, stage, check) in [
            (evidence(0, [1; 32], b"root")[1..].to_vec(), Stage::Parse, Check::MADE_UP_LENGTH),
            (evidence(0, [1; 32], b"toor"), Stage::Authenticate, Check::MADE_UP_TAG),
            (evidence(1, [1; 32], b"root"), Stage::Appraise, Check::MADE_UP_DEBUG),
        ] {
            let rejection = verdict(&policy, &bytes, Carriage::Raw).unwrap_err();
            assert_eq!((rejection.stage(), rejection.failed_checks()), (stage, vec![check.id()]));
        }
    }

    /// The same report means another thing in another carriage: another profile judges it, and what the caller names is held
    /// against what the workload chose, not against what its carrier asked the hardware for.
    #[test]
    fn one_policy_holds_two_profiles_of_one_tee_under_two_wrappings() {
        let (raw, rest) = GENUINE.split_once("[tdx.genuine]").unwrap();
        let wrapped =
            raw.split_once("[sev-snp.genuine]").unwrap().1.replace("wrapping = \"none\"", "wrapping = \"made-up\"");
        let both = Policy::parse(&format!("{raw}[sev-snp.wrapped]{wrapped}[tdx.genuine]{rest}")).unwrap();
        let inner = [7; 64];
        let bytes = evidence(0, sha256(&[&inner]), b"root");
        let carried = Carriage::MadeUp(inner);

        let claims = raw
            .replace("bound_to = \"unchecked\"", "bound_to = \"guest\"")
            .replace("measurement = \"unchecked\"", &format!("measurement = \"{}\"", "11".repeat(48)))
            .replace("vmpl = \"unchecked\"", "vmpl = 0");
        let weaker = format!("{claims}[sev-snp.wrapped]\nweaker = \"until March\"{wrapped}");
        let weaker = verdict(&Policy::parse(&weaker).unwrap(), &bytes, carried).unwrap();
        let shown = weaker.report().finding(Check::POLICY_PROFILE).unwrap().actual();
        assert_eq!(shown, "wrapped (weaker: until March)");

        let judged = |carriage| verdict(&both, &bytes, carriage).unwrap().report().clone();
        let (bare, wrapped) = (judged(Carriage::Raw), judged(carried));
        assert_eq!((bare.profile(), bare.wrapping()), (Some("genuine"), Wrapping::Raw));
        assert_eq!((wrapped.profile(), wrapped.wrapping()), (Some("wrapped"), Wrapping::MadeUp));
        assert!(ids(&wrapped).contains(&"made-up.carrier") && !ids(&bare).contains(&"made-up.carrier"));

        let asks = both.with_report_data(ReportData(inner));
        verdict(&asks, &bytes, carried).unwrap();
        let rejection = verdict(&asks, &bytes, Carriage::Raw).unwrap_err();
        assert_eq!(rejection.failed_checks(), ["made-up.chosen"]);
        let rejection = verdict(&asks, &bytes, Carriage::MadeUp([8; 64])).unwrap_err();
        assert_eq!((rejection.stage(), rejection.failed_checks()), (Stage::Authenticate, vec!["made-up.carrier"]));
        // A wrapping that nobody wrote a rule for is never accepted.
        let rejection = verdict(&Policy::parse(GENUINE).unwrap(), &bytes, carried).unwrap_err();
        assert_eq!(rejection.failed_checks(), ["policy.profile"]);
    }

    /// What stands beside a TEE is believed where the workload asked it, in whatever carriage the workload's bytes came.
    #[test]
    fn a_device_answers_what_the_workload_asked() {
        let policy = Policy::parse(GENUINE).unwrap();
        let mut chosen = [0; 64];
        chosen[..32].fill(1);
        let bytes = evidence(0, [1; 32], b"root");
        let attested = verdict_beside(&policy, &bytes, Carriage::Raw, &[Device::MadeUp(chosen)]).unwrap();
        assert_eq!(ids(attested.report()).last(), Some(&"made-up.device"));
        let refused = verdict_beside(&policy, &bytes, Carriage::Raw, &[Device::MadeUp([2; 64])]).unwrap_err();
        assert_eq!((refused.stage(), refused.failed_checks()), (Stage::Authenticate, vec!["made-up.device"]));
        // A device of another machine cannot stand in for the one that was asked.
        let two = [Device::MadeUp(chosen), Device::MadeUp([2; 64])];
        let refused = verdict_beside(&policy, &bytes, Carriage::Raw, &two).unwrap_err();
        assert_eq!(refused.failed_checks(), ["made-up.device"]);
    }
}
