//! From checks to an AR4SI trustworthiness vector (draft-ietf-rats-ar4si, section 2.3). FORMATS.md holds the same table in words.
//!
//! A claim affirms only where every check in its list passed, or has nothing to judge: one that the policy waives, or that
//! was not reached, leaves the claim at 0, *no claim*. A failed check gives the claim the worst value that a failure has.

use teegate_verifier::{Check, Claim, FactValue, Finding, Outcome, Report, Stage};

/// The tier of a claim's value, or of the whole (AR4SI, section 2.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tier {
    None,
    Affirming,
    Warning,
    Contraindicated,
}

impl Tier {
    /// The tier that `value` lies in.
    const fn of(value: i8) -> Self {
        match value {
            -1..=1 => Self::None,
            -32..=31 => Self::Affirming,
            -96..=95 => Self::Warning,
            _ => Self::Contraindicated,
        }
    }

    /// Its name on the wire.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Affirming => "affirming",
            Self::Warning => "warning",
            Self::Contraindicated => "contraindicated",
        }
    }
}

/// No claim.
const NO_CLAIM: i8 = 0;
/// The evidence cannot be parsed.
const UNEXPECTED_EVIDENCE: i8 = 1;
/// Genuine hardware with known weaknesses; also hardware whose maker is nobody that the vendors vouch for.
const UNSAFE_HARDWARE: i8 = 32;
/// Genuine, and refused.
const CONTRAINDICATED_HARDWARE: i8 = 96;
/// Not shown to be genuine.
const UNRECOGNISED_HARDWARE: i8 = 97;
/// A signature that does not hold, or not under the key that it must.
const CRYPTO_FAILED: i8 = 99;

/// A claim with its name, the value by which it affirms, and that by which a failure contradicts it. File system, stored and
/// sourced data are never claimed: evidence of a TEE says nothing of them.
struct Rule {
    claim: Claim,
    name: &'static str,
    affirms: i8,
    fails: i8,
}

const RULES: [Rule; 5] = [
    // 2: recognised, and not known to be compromised.
    Rule { claim: Claim::InstanceIdentity, name: "instance-identity", affirms: 2, fails: 97 },
    // 2: a known and approved configuration.
    Rule { claim: Claim::Configuration, name: "configuration", affirms: 2, fails: 96 },
    // 3: only approved executables were loaded during boot. What runs afterwards (2) no launch measurement shows.
    Rule { claim: Claim::Executables, name: "executables", affirms: 3, fails: 33 },
    // 2: genuine and supported. Of the authenticate stage only revocation can be waived; that the rest holds is what a
    // report that came to the appraise stage says.
    Rule { claim: Claim::Hardware, name: "hardware", affirms: 2, fails: CONTRAINDICATED_HARDWARE },
    // 2: encrypted, and opaque to host and neighbours; 96: visible to them.
    Rule { claim: Claim::RuntimeOpaque, name: "runtime-opaque", affirms: 2, fails: 96 },
];

/// Every claim by name, in the order of AR4SI, with its value; the three that are never made are there with 0. Where the
/// chains ended in `foreign` roots, nothing is affirmed of whose hardware it is, and of the hardware there is a warning.
pub(super) fn vector(report: &Report, foreign: bool) -> [(&'static str, i8); 8] {
    let value = |wanted| {
        let value = RULES.iter().find(|rule| rule.claim == wanted).map_or(NO_CLAIM, |rule| value(rule, report));
        match (wanted, Tier::of(value)) {
            (Claim::Hardware, Tier::None | Tier::Affirming) if foreign => UNSAFE_HARDWARE,
            (Claim::InstanceIdentity, Tier::Affirming) if foreign => UNSAFE_HARDWARE,
            _ => value,
        }
    };
    [
        (name(Claim::InstanceIdentity), value(Claim::InstanceIdentity)),
        (name(Claim::Configuration), value(Claim::Configuration)),
        (name(Claim::Executables), value(Claim::Executables)),
        ("file-system", NO_CLAIM),
        (name(Claim::Hardware), value(Claim::Hardware)),
        (name(Claim::RuntimeOpaque), value(Claim::RuntimeOpaque)),
        ("storage-opaque", NO_CLAIM),
        ("sourced-data", NO_CLAIM),
    ]
}

fn name(claim: Claim) -> &'static str {
    RULES.iter().find(|rule| rule.claim == claim).map_or("", |rule| rule.name)
}

/// The status of the whole. A rejection is contraindicated, whatever the single claims are. An acceptance affirms only
/// where it affirms both the platform and the code: one that left either open is a warning, so that a relying party that
/// looks at nothing but the status never takes *genuine* for *safe to send to*. Under foreign roots the hardware is never
/// affirmed, so neither is the whole.
pub(super) fn status(report: &Report, vector: &[(&'static str, i8)]) -> Tier {
    if !report.accepted() {
        return Tier::Contraindicated;
    }
    let worst = vector.iter().map(|(_, value)| Tier::of(*value)).max().unwrap_or(Tier::None);
    let affirms = |claim| vector.iter().any(|(own, value)| *own == name(claim) && Tier::of(*value) == Tier::Affirming);
    if affirms(Claim::Hardware) && affirms(Claim::Executables) { worst } else { Tier::Warning.max(worst) }
}

fn value(rule: &Rule, report: &Report) -> i8 {
    match report.stage() {
        Some(Stage::Parse) => return UNEXPECTED_EVIDENCE,
        // Nothing in the evidence is believed, so nothing is said of the guest.
        Some(Stage::Authenticate) => return unauthentic(rule.claim, report),
        Some(Stage::Appraise) | None => {}
    }
    let of = |claim| report.findings().iter().filter(move |finding| finding.check().claims().contains(&claim));
    let fails = |finding: &Finding| *finding.outcome() == Outcome::Fail;
    let hardware = rule.claim == Claim::Hardware;
    if of(rule.claim).any(fails) || hardware && of(Claim::HardwareIfFailed).any(fails) {
        return rule.fails;
    }
    // Intel's own judgement counts, also where the policy accepts a lesser one or does not ask.
    if hardware && report.fact("tcb_status").is_some_and(|status| *status != FactValue::Text("UpToDate".into())) {
        return UNSAFE_HARDWARE;
    }
    // AMD has no such judgement; an open bulletin, or what no report can exclude of a product, stands in its place.
    let open = |report: &Report| match report.fact("bulletins_open") {
        Some(FactValue::List(open)) => !open.is_empty(),
        _ => false,
    };
    if hardware && (open(report) || report.warnings().next().is_some()) {
        return UNSAFE_HARDWARE;
    }
    let holds = |finding: &Finding| matches!(finding.outcome(), Outcome::Pass | Outcome::NotApplicable(_));
    // A claim that nothing supports is none.
    let supported = of(rule.claim).next().is_some();
    if supported && of(rule.claim).all(holds) { rule.affirms } else { NO_CLAIM }
}

fn is_cryptographic(check: Check) -> bool {
    check.claims().contains(&Claim::Cryptography)
}

fn unauthentic(claim: Claim, report: &Report) -> i8 {
    let failed = |wanted: &dyn Fn(Check) -> bool| {
        authentication(report).any(|(check, outcome)| *outcome == Outcome::Fail && wanted(check))
    };
    match claim {
        Claim::Hardware if failed(&is_cryptographic) => CRYPTO_FAILED,
        Claim::Hardware => UNRECOGNISED_HARDWARE,
        Claim::InstanceIdentity if failed(&is_cryptographic) => CRYPTO_FAILED,
        _ => NO_CLAIM,
    }
}

fn authentication(report: &Report) -> impl Iterator<Item = (Check, &Outcome)> {
    report
        .findings()
        .iter()
        .map(|finding| (finding.check(), finding.outcome()))
        .filter(|(check, _)| check.stage() == Stage::Authenticate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use teegate_verifier::Tee;

    #[test]
    fn values_lie_in_the_tiers_that_the_draft_gives_them() {
        for (value, tier) in [
            (-1, Tier::None),
            (0, Tier::None),
            (1, Tier::None),
            (2, Tier::Affirming),
            (31, Tier::Affirming),
            (32, Tier::Warning),
            (95, Tier::Warning),
            (96, Tier::Contraindicated),
            (99, Tier::Contraindicated),
        ] {
            assert_eq!(Tier::of(value), tier, "{value}");
        }
    }

    #[test]
    fn every_claim_rests_on_checks_of_each_kind_of_evidence() {
        for rule in &RULES {
            for tee in Tee::all() {
                let own = |check: &Check| check.tee() == Some(tee) && check.claims().contains(&rule.claim);
                assert!(Check::all().any(|check| own(&check)), "{} {tee}", rule.name);
            }
        }
    }
}
