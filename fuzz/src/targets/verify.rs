//! The whole of `verify`, on cases that are changed part by part, and sometimes signed again with the forged keys.
//!
//! What must hold: nothing panics; the verdict is the same twice and with a memory of signatures; the report has every check; and
//! nothing is accepted but what the forged platform signed, unless the change was signed too, and then only what the policy asks
//! for.

use std::sync::{Arc, LazyLock, Mutex};

use teegate_forge::time::AT;
use teegate_fuzz_engine::{Effort, Target, mutate};
use teegate_verifier::{
    Attested, Check, Evidence, Outcome, Policy, Rejection, Report, Tee, UnixTime, Verifier, expired, hints_of, needs_of,
};

use crate::case::{Case, Part};
use crate::hold;
use crate::policy::policy_under;
use crate::signed_again::signed_again;
use crate::targets::platforms::quote;

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "verify_sev_snp",
        about: "a report with its endorsements, under a policy that pins everything",
        effort: Effort::Walk,
        run: verify,
        mutate: case,
        words: &[],
        max_bytes: 40_000,
    },
    Target {
        name: "verify_tdx",
        about: "a quote with its collateral and event log, under a policy that pins everything",
        effort: Effort::Walk,
        run: verify,
        mutate: case,
        words: &[
            "tcbInfo",
            "id",
            "version",
            "issueDate",
            "nextUpdate",
            "fmspc",
            "pceId",
            "tcbType",
            "tcbEvaluationDataNumber",
            "tdxModule",
            "mrsigner",
            "attributes",
            "attributesMask",
            "tdxModuleIdentities",
            "tcbLevels",
            "tcb",
            "isvsvn",
            "tcbDate",
            "tcbStatus",
            "UpToDate",
            "OutOfDate",
            "Revoked",
            "sgxtcbcomponents",
            "tdxtcbcomponents",
            "svn",
            "pcesvn",
            "advisoryIDs",
        ],
        max_bytes: 60_000,
    },
];

/// Loading a policy costs as much as a verdict: it changes with the roots alone.
fn policy_of(roots: &str) -> Option<Arc<Policy>> {
    static LAST: Mutex<Vec<(String, Arc<Policy>)>> = Mutex::new(Vec::new());
    let mut last = LAST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((_, policy)) = last.iter().find(|(known, _)| known == roots) {
        return Some(Arc::clone(policy));
    }
    let zeros = format!("\"{}\"", "00".repeat(64));
    let policy = Arc::new(Policy::parse(&policy_under(roots, &zeros)).ok()?);
    last.truncate(7);
    last.insert(0, (roots.to_owned(), Arc::clone(&policy)));
    Some(policy)
}

/// Remembers the signatures of all executions of this process, as that of a gateway does: most of them are the same again, and
/// what strangers sent before must not change a verdict.
static VERIFIER: LazyLock<Verifier> = LazyLock::new(Verifier::new);

fn verify(input: &[u8]) {
    // What is no case is not read by the product, and only a mutation of bytes made it.
    let Some(case) = Case::decode(input) else { return };
    let Some(policy) = policy_of(&case.roots) else { return };
    let endorsements = case.endorsements();
    let evidence = case.evidence(&endorsements);
    let now = UnixTime::from_seconds(AT);
    let verdict = VERIFIER.verify(&evidence, &policy, now);
    total(report_of(&verdict), case.tee);
    match &verdict {
        Ok(attested) => accepted(&case, attested),
        Err(rejection) => rejected(&case, rejection),
    }
    let chosen = hold::one_in_eight(input);
    if chosen || verdict.is_ok() {
        // A memory must not be what accepts.
        afresh(&verdict, &evidence, &policy, now);
    }
    if chosen {
        again(&verdict, &evidence, &policy, now);
        let _ = (needs_of(&evidence), hints_of(&endorsements), expired(&evidence, &policy, now));
    }
}

fn report_of(verdict: &Result<Attested, Rejection>) -> &Report {
    match verdict {
        Ok(attested) => attested.report(),
        Err(rejection) => rejection.report(),
    }
}

/// The report has a line for each check of its TEE.
fn total(report: &Report, tee: Tee) {
    let prefix = if tee == Tee::SevSnp { "snp." } else { "tdx." };
    let every = Check::all().map(|check| check.id()).filter(|id| id.starts_with(prefix));
    let named = report.findings().iter().map(|finding| finding.check().id()).filter(|id| id.starts_with(prefix));
    assert!(every.eq(named), "a check is missing in the report, or stands elsewhere");
}

/// Only what the platform signed, and what the policy asks for.
fn accepted(case: &Case, attested: &Attested) {
    let (bytes, report) = (case.evidence_bytes(), attested.report());
    for finding in report.findings() {
        assert!(!matches!(finding.outcome(), Outcome::Fail | Outcome::NotReached), "accepted with {}", finding.check());
    }
    assert!(report.accepted());
    let at = |start: usize, length: usize| bytes.get(start..start + length).expect("accepted, and too short");
    match case.tee {
        Tee::SevSnp => {
            assert_eq!(bytes.len(), 1_184);
            assert!(at(0x90, 48) == [0x4D; 48] && at(0x50, 64) == [0; 64] && at(0xC0, 32) == [0; 32], "another guest");
            assert!(at(0x30, 4) == [0; 4] && at(0x08, 8)[2] & 0x08 == 0, "another VMPL, or debug");
        }
        Tee::Tdx => {
            let body = if at(0, 2) == [4, 0] { 48 } else { 54 };
            assert!(at(body + 136, 48) == [0x7D; 48] && at(body + 520, 64) == [0; 64], "another TD");
            let booted = teegate_forge::tdx::event_log::registers(&teegate_forge::tdx::event_log::BOOT);
            for (index, after_boot) in booted.iter().enumerate() {
                let register = at(body + 328 + 48 * index, 48);
                assert!(register == [0xA0 + index as u8; 48] || register == after_boot, "another register {index}");
            }
            assert!(at(body + 120, 1)[0] & 1 == 0, "debug");
        }
        tee => unreachable!("no seeds of {tee}"),
    }
    // Where nothing was signed again, what counts is what was signed at first, and no longer than it held then.
    if let Some((signed, until)) = &case.signed {
        assert!(bytes.starts_with(signed), "accepted, and it is not what the platform signed");
        assert!(attested.valid_until().seconds() <= *until, "accepted for longer than anybody signed");
    }
}

fn rejected(case: &Case, rejection: &Rejection) {
    let failed: Vec<_> = rejection.failures().collect();
    assert!(!failed.is_empty(), "rejected for nothing");
    for finding in failed {
        assert_eq!(finding.outcome(), &Outcome::Fail, "{} was neither judged nor waived", finding.check());
        assert!(!finding.expected().is_empty() && !finding.actual().is_empty() && !finding.remedy().is_empty());
    }
    assert!(!rejection.report().accepted() && rejection.report().valid_until().is_none());
    let words = rejection.to_string();
    assert!(words.len() < 40_000, "a rejection of more than a few pages");
    case.parts.iter().for_each(|part| hold::echo_but_digits(part.bytes(), &words));
}

fn text(verdict: &Result<Attested, Rejection>) -> String {
    serde_json::to_string(report_of(verdict)).expect("a report")
}

/// The same report from the function that remembers nothing.
fn afresh(verdict: &Result<Attested, Rejection>, evidence: &Evidence<'_>, policy: &Policy, now: UnixTime) {
    let fresh = teegate_verifier::verify(evidence, policy, now);
    assert_eq!(text(&fresh), text(verdict), "a memory of other cases' signatures changed the report");
}

/// The same report twice from one that has seen this case alone, cold and warm.
fn again(verdict: &Result<Attested, Rejection>, evidence: &Evidence<'_>, policy: &Policy, now: UnixTime) {
    let first = text(verdict);
    let verifier = Verifier::new();
    for _ in 0..2 {
        assert_eq!(text(&verifier.verify(evidence, policy, now)), first, "a memory of signatures changed the report");
    }
}

fn case(mutator: &mut mutate::Mutator<'_>, input: &mut Vec<u8>) {
    let Some(mut case) = Case::decode(input) else { return mutate::bytes(mutator, input) };
    if mutator.random.once_in(6) {
        case = signed_again(mutator, case.tee);
    }
    for _ in 0..mutator.changes() {
        change(mutator, &mut case);
    }
    *input = case.encode();
}

/// One part of the case is changed, doubled, left out or comes from elsewhere. Its roots stay: they are the policy's.
fn change(mutator: &mut mutate::Mutator<'_>, case: &mut Case) {
    let count = case.parts.len();
    if count == 0 {
        return;
    }
    // What is signed by hardware is one part of many, and matters most.
    let evidence = case.parts.iter().position(|part| matches!(part, Part::Evidence(_)));
    let index = evidence.filter(|_| mutator.random.once_in(3)).unwrap_or_else(|| mutator.random.below(count));
    match mutator.random.below(12) {
        0 => drop(case.parts.remove(index)),
        1 => case.parts.insert(mutator.random.below(count + 1), case.parts[index].clone()),
        2 => case.parts.swap(index, mutator.random.below(count)),
        3 => {
            let Some(other) = Case::decode(mutator.other) else { return };
            let from = mutator.random.below(other.parts.len());
            // Other evidence would be signed as well, and what may be accepted is this case's.
            if let Some(part) = other.parts.get(from).filter(|part| !matches!(part, Part::Evidence(_))) {
                case.parts.insert(mutator.random.below(count + 1), part.clone());
            }
        }
        _ => {
            let Some(part) = case.parts.get_mut(index) else { return };
            match part {
                Part::Evidence(bytes) if case.tee == Tee::SevSnp => mutate::few_bytes(mutator, bytes),
                // Header and body, which are an eighth of a quote and what it is about.
                Part::Evidence(bytes) if bytes.len() > 702 && mutator.random.once_in(2) => {
                    let behind = bytes.split_off(702);
                    mutate::few_bytes(mutator, bytes);
                    bytes.extend(behind);
                }
                Part::Evidence(bytes) => quote(mutator, bytes),
                Part::Certificate(der) | Part::List(der) => mutate::der(mutator, der),
                Part::TcbInfo(signed) | Part::QeIdentity(signed) => {
                    if mutator.random.once_in(4) || signed.len() < 64 {
                        return mutate::few_bytes(mutator, signed);
                    }
                    let mut body = signed.split_off(64);
                    mutate::json(mutator, &mut body);
                    signed.extend(body);
                }
                Part::Log(bytes) => mutate::bytes(mutator, bytes),
            }
        }
    }
}
