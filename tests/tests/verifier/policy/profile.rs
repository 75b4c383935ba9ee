//! The type of the evidence selects the profile; evidence for which nobody wrote one is refused.

use teegate_measurements::GENUINE;
use teegate_verifier::{BoundTo, Outcome, Policy, Stage, Tee};

use crate::subject::good;

#[test]
fn evidence_without_a_profile_is_refused() {
    for tee in [Tee::SevSnp, Tee::Tdx] {
        let mut subject = good(tee);
        subject.accepted();
        if tee == Tee::SevSnp {
            subject.policy.snp.clear()
        } else {
            subject.policy.tdx.clear()
        }
        let rejection = subject.rejected();
        assert_eq!(rejection.failed_checks(), ["policy.profile"]);
        assert_eq!(rejection.stage(), Stage::Appraise);
        let report = rejection.report();
        assert_eq!(report.profile(), None);
        let finding = report.findings().iter().find(|finding| finding.check().id() == "policy.profile").unwrap();
        assert_eq!((finding.expected(), finding.actual()), (&*format!("a profile for {tee}"), "none"));
        // What was not judged says so.
        let reached = |finding: &&teegate_verifier::Finding| finding.check().stage() == Stage::Authenticate;
        assert!(report.findings().iter().filter(reached).all(|finding| finding.outcome() == &Outcome::NotReached));
        // Malformed evidence is malformed first, profile or not.
        let malformed = subject.with_evidence(|bytes| bytes.truncate(2)).rejected();
        assert_eq!(malformed.stage(), Stage::Parse);
    }
}

#[test]
fn an_acceptance_says_which_profile_and_what_it_is_bound_to() {
    for tee in [Tee::SevSnp, Tee::Tdx] {
        for (word, bound_to) in [
            ("\"guest\"", Some(BoundTo::Guest)),
            ("\"pod\"", Some(BoundTo::Pod)),
            ("\"workload\"", Some(BoundTo::Workload)),
            ("\"unchecked\"", None),
        ] {
            let report = good(tee).under("bound_to", word).accepted();
            assert_eq!((report.profile(), report.bound_to()), (Some("forged"), bound_to));
        }
    }
}

/// No forged device passes under a policy that this project ships.
#[test]
fn shipped_policies_trust_no_forged_root() {
    let genuine = Policy::parse(GENUINE).unwrap();
    assert!(genuine.trusts_only_vendors());
    for (tee, check) in [(Tee::SevSnp, "snp.chain.ark-pinned"), (Tee::Tdx, "tdx.chain.root-pinned")] {
        let subject = good(tee);
        let endorsements = subject.pool.to_endorsements();
        let evidence = crate::subject::evidence(tee, &subject.evidence, &endorsements);
        let now = teegate_verifier::UnixTime::from_seconds(subject.now);
        assert_eq!(teegate_verifier::verify(&evidence, &genuine, now).unwrap_err().failed_checks(), [check]);
    }
}
