//! What an accepting verdict says in a few lines, for whoever operates the gateway. The report itself is not kept: it is large,
//! and there is one for every address and every round.

use std::sync::Arc;

use teegate_intake::envelope::Refused;
use teegate_verifier::{FactValue, Report, Roots, UnixTime};

/// So many statements of a verdict are named; a verdict rests on fewer than twenty.
const STATEMENTS: usize = 32;
/// So many characters of a name are kept, and so many of what a check says.
const NAME: usize = 80;
const SAID: usize = 240;
/// So many failed checks are told.
const FAILURES: usize = 8;

/// What is known of an attested platform.
#[derive(Clone, Debug)]
pub struct Summary {
    /// `sev-snp` or `tdx`.
    pub tee: &'static str,
    /// What lies around its evidence.
    pub wrapping: &'static str,
    /// The profile of the policy that accepted it.
    pub profile: String,
    /// What the policy says that the evidence is bound to; `None` where it makes no such claim.
    pub bound_to: Option<&'static str>,
    /// Whose roots its chain ended in: `vendors` or `policy`.
    pub trust_anchors: Option<&'static str>,
    /// What the measurement of its code is called: `measurement` (SEV-SNP) or `mrtd` (TDX).
    pub code_name: &'static str,
    /// That measurement, SHA-384, 96 hexadecimal digits.
    pub code: String,
    /// Its TCB in a line: Intel's status, or AMD's versions, and what is open.
    pub tcb: String,
    /// What the verdict rests on and when each ends, the first first.
    pub endings: Vec<Ending>,
    /// What ends the verdict, and when. It may be something else than a statement: a date of the policy.
    pub first: Option<Ending>,
}

/// When something ends.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ending {
    /// When.
    pub at: UnixTime,
    /// `certificate`, `crl`, `tcb-info`, `qe-identity`, or `verdict` where it is what the verifier says of the whole.
    pub kind: &'static str,
    /// Subject, issuer or platform.
    pub name: String,
}

impl Summary {
    /// Of an accepting report.
    pub(crate) fn of(report: &Report) -> Self {
        let code_name = report.tee().key_checks().code_fact;
        let mut endings: Vec<Ending> = report
            .endorsements()
            .iter()
            .filter_map(|one| Some(Ending { at: one.until?, kind: one.kind, name: short(&one.name) }))
            .collect();
        endings.sort();
        endings.dedup();
        endings.truncate(STATEMENTS);
        Self {
            tee: report.tee().name(),
            wrapping: report.wrapping().name(),
            profile: short(report.profile().unwrap_or_default()),
            bound_to: report.bound_to().map(teegate_verifier::BoundTo::name),
            trust_anchors: report.trust_anchors().map(Roots::name),
            code_name,
            code: report.fact(code_name).map(ToString::to_string).unwrap_or_default(),
            tcb: tcb(report),
            first: report.valid_until().map(|at| Ending {
                at,
                kind: "verdict",
                name: short(report.ends_first().unwrap_or_default()),
            }),
            endings,
        }
    }
}

fn tcb(report: &Report) -> String {
    let count = |name: &str| match report.fact(name) {
        Some(FactValue::List(names)) => names.len(),
        _ => 0,
    };
    if let Some(status) = report.fact("tcb_status") {
        return format!("{status}, open advisories: {}", count("advisories"));
    }
    let versions = report.fact("reported_tcb_version").map(ToString::to_string).unwrap_or_default();
    format!("{}, open bulletins: {}", short(&versions), count("bulletins_open"))
}

fn short(text: &str) -> String {
    cut(text, NAME)
}

fn cut(text: &str, most: usize) -> String {
    let mut characters = text.chars();
    let kept: String = characters.by_ref().take(most).collect();
    if characters.next().is_some() { kept + "…" } else { kept }
}

/// One check that refused evidence: for the operator, who is told both sides of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failed {
    /// Its id, as the catalogue has it.
    pub check: &'static str,
    /// What it asked for; empty where the check is not the verifier's.
    pub expected: String,
    /// What it found, or why in words.
    pub found: String,
    /// What helps.
    pub remedy: String,
}

impl Failed {
    /// Every check of a refusal, the first ones where there are many.
    pub(crate) fn all(refused: &Refused) -> Arc<[Self]> {
        let Some(rejection) = &refused.rejection else {
            let found = cut(&refused.reason, SAID);
            let alone = |check: &&'static str| Self {
                check,
                expected: String::new(),
                found: found.clone(),
                remedy: String::new(),
            };
            return refused.checks.iter().take(FAILURES).map(alone).collect();
        };
        let failed = rejection.failures().take(FAILURES).map(|finding| Self {
            check: finding.check().id(),
            expected: cut(finding.expected(), SAID),
            found: cut(finding.actual(), SAID),
            remedy: cut(finding.remedy(), SAID),
        });
        failed.collect()
    }
}
