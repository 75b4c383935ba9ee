//! Until when evidence is accepted, and what refuses it then: the verifier's own verdicts at instants to come, with the statements
//! that are in hand now. Nothing is foreseen that is not written in them: what a vendor will revoke tomorrow is in no list of today.
//!
//! The instants are those at which something can change by what is in hand: a statement ends, an evaluation that was supplied begins
//! or ends, and whatever else the verifier says that a verdict ends with (a grace period, an exception of the policy).

use std::collections::BTreeMap;

use serde::Serialize;
use teegate_verifier::{Evidence, Policy, Report, Stage, UnixTime, Verifier};

/// Instants that are judged at most: those of one verdict are a dozen.
const MAX_INSTANTS: usize = 48;

/// What is to come of one piece of evidence under one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Forecast {
    /// Now.
    pub at: UnixTime,
    /// The first instant from which it is refused; `None` where it is refused now.
    pub accepted_until: Option<UnixTime>,
    /// What the verdict of now says that ends first; it may be followed by something that stands in for it.
    pub ends_first: Option<String>,
    /// The stage that refuses it now; `None` where it is accepted now.
    #[serde(skip)]
    pub stage: Option<Stage>,
    /// The checks that refuse it then, or now.
    pub refused_by: Vec<&'static str>,
    /// The first of them in words, with both sides.
    pub reason: String,
    /// What to do about that.
    pub remedy: String,
    /// Every change in sight, in the order of time.
    pub changes: Vec<Change>,
    /// What each supplied evaluation says of the platform, in a sentence.
    pub outlook: Vec<String>,
}

/// An instant at which something changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// When.
    pub at: UnixTime,
    /// What ends or begins then, each in words.
    pub what: Vec<String>,
    /// The checks that refuse the evidence from then on; none where it is accepted.
    pub refused_by: Vec<&'static str>,
}

impl Forecast {
    /// Whether it is accepted now.
    pub fn is_accepted(&self) -> bool {
        self.accepted_until.is_some()
    }
}

/// A verdict, as far as a forecast has to know it.
struct Verdict {
    report: Report,
    valid_until: Option<UnixTime>,
    refused_by: Vec<&'static str>,
}

/// Judges `evidence` under `policy` now and at every instant to come at which the verdict can change.
#[must_use]
pub fn forecast(evidence: &Evidence<'_>, policy: &Policy, now: UnixTime, verifier: &Verifier) -> Forecast {
    let judge = |at| match verifier.verify(evidence, policy, at) {
        Ok(attested) => Verdict {
            valid_until: Some(attested.valid_until()),
            report: attested.report().clone(),
            refused_by: Vec::new(),
        },
        Err(rejection) => {
            Verdict { valid_until: None, refused_by: rejection.failed_checks(), report: rejection.report().clone() }
        }
    };
    let today = judge(now);
    let (accepted_until, last) = first_refusal(&judge, &today);
    let failed = last.as_ref().unwrap_or(&today).report.findings().iter().find(|one| one.outcome().name() == "fail");
    let changes = instants(&today.report, now).into_iter().map(|(at, what)| {
        let refused_by = judge(at).refused_by;
        Change { at, what, refused_by }
    });
    Forecast {
        at: now,
        accepted_until,
        stage: today.report.stage(),
        ends_first: today.report.ends_first().map(str::to_owned),
        reason: failed.map_or_else(String::new, ToString::to_string),
        remedy: failed.map_or_else(String::new, |finding| finding.remedy().to_owned()),
        changes: changes.collect(),
        outlook: today.report.outlook().iter().map(|prospect| prospect.text.clone()).collect(),
        refused_by: last.map_or(today.refused_by, |last| last.refused_by),
    }
}

/// From one end of a verdict to the next, until the first that refuses. Where that is beyond all steps, the last step counts: it is never
/// too late.
fn first_refusal(judge: &impl Fn(UnixTime) -> Verdict, today: &Verdict) -> (Option<UnixTime>, Option<Verdict>) {
    let Some(mut end) = today.valid_until else { return (None, None) };
    for _ in 0..MAX_INSTANTS {
        let then = judge(end);
        match then.valid_until {
            None => return (Some(end), Some(then)),
            // Of a certificate the last second is named, and not the first after it.
            Some(next) => end = next.max(after(end)),
        }
    }
    (Some(end), None)
}

const fn after(at: UnixTime) -> UnixTime {
    UnixTime::from_seconds(at.seconds().saturating_add(1))
}

/// When something in hand begins or ends, and what.
fn instants(report: &Report, now: UnixTime) -> BTreeMap<UnixTime, Vec<String>> {
    let mut instants: BTreeMap<UnixTime, Vec<String>> = BTreeMap::new();
    let mut add = |at: UnixTime, what: String| {
        let known = instants.entry(at).or_default();
        if at > now && !known.contains(&what) {
            known.push(what);
        }
    };
    for one in report.endorsements() {
        if let Some(until) = one.until {
            let is_its_last_second = one.kind == "certificate";
            add(
                if is_its_last_second { after(until) } else { until },
                format!("{} `{}` ends", one.kind, crate::words::shown(&one.name)),
            );
        }
    }
    for prospect in report.outlook() {
        add(prospect.from, format!("evaluation {} begins", prospect.evaluation));
        add(prospect.until, format!("evaluation {} ends", prospect.evaluation));
    }
    // What no statement says: a grace period, an exception of the policy.
    if let (Some(until), Some(what)) = (report.valid_until(), report.ends_first())
        && !report.endorsements().iter().any(|one| one.until == Some(until))
    {
        add(until, format!("{what} ends"));
    }
    instants.retain(|at, what| *at > now && !what.is_empty());
    while instants.len() > MAX_INSTANTS {
        instants.pop_last();
    }
    instants
}
