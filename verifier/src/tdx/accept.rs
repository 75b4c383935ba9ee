//! Whether a policy takes an evaluation: status, advisories and date, with the grace and the exceptions that it names.

use super::profile::{Accepted, Advisory, Grace, TdxProfile};
use std::sync::Arc;

use super::tcb::Evaluation;
use crate::intel::words::{AdvisoryId, TcbStatus};
use crate::report::Text;
use crate::rule::Waivable;
use crate::time::UnixTime;

/// What the TCB rules of a profile say of one platform.
pub(super) struct Verdict {
    /// What is not as they ask.
    pub(super) complaint: Option<String>,
    /// Grace and exceptions that the verdict rests on, each with its end.
    pub(super) rests_on: Vec<(UnixTime, Text)>,
}

/// The outcome of the whole evaluation: of the launch, and under TD 1.5 of what runs now.
#[derive(Clone, Copy)]
pub(super) struct Evaluated<'e> {
    pub(super) launch: &'e Evaluation,
    pub(super) current: Option<&'e Evaluation>,
    /// The launch status, after relaunch.
    pub(super) status: TcbStatus,
}

/// Judges the TCB rules of `profile` at `now`. Revoked is never accepted, whatever the policy waives.
pub(super) fn judge(outcome: Evaluated<'_>, profile: &TdxProfile, now: UnixTime) -> Verdict {
    let Evaluated { launch, current, status } = outcome;
    let evaluations = || std::iter::once(launch).chain(current);
    let mut verdict = Verdict { complaint: None, rests_on: Vec::new() };
    verdict.complaint = (status == TcbStatus::Revoked).then(|| "Revoked".to_owned());
    if let Waivable::Required(statuses) = &profile.tcb_status {
        let running = current.filter(|current| current.converged != TcbStatus::UpToDate);
        let states = std::iter::once((launch, status)).chain(running.map(|current| (current, current.converged)));
        for (evaluation, status) in states {
            match accept(evaluation, status, statuses, profile, now) {
                Ok(None) => {}
                Ok(Some(rests_on)) => verdict.rests_on.extend(rests_on),
                Err(complaint) => verdict.complaint = verdict.complaint.or(Some(complaint)),
            }
        }
    }
    if let Waivable::Required(allowed) = &profile.allowed_advisories {
        let other = |id: &&AdvisoryId| !allowed.iter().any(|allowed| allowed.0 == **id);
        let other = evaluations().flat_map(|one| &one.advisories).find(other).map(AdvisoryId::to_string);
        verdict.complaint = verdict.complaint.or(other);
    }
    if let Waivable::Required(denied) = &profile.denied_advisories {
        let open = |denied: &&Advisory| evaluations().any(|one| one.advisories.contains(&denied.0));
        let open = denied.iter().find(open).map(|denied| denied.0.to_string());
        verdict.complaint = verdict.complaint.or(open);
    }
    if let Waivable::Required(floor) = &profile.minimum_tcb_date {
        let early = evaluations().find(|one| one.date < floor.0).map(|one| format!("TCB date {}", one.date));
        verdict.complaint = verdict.complaint.or(early);
    }
    verdict
}

/// Whether `status` is one that is taken.
pub(super) fn is_listed(statuses: &[Accepted], status: TcbStatus) -> bool {
    statuses.contains(&Accepted(status))
}

/// Accepted outright, or for a time by grace or by exception; else why not.
fn accept(
    evaluation: &Evaluation,
    status: TcbStatus,
    statuses: &[Accepted],
    profile: &TdxProfile,
    now: UnixTime,
) -> Result<Option<Vec<(UnixTime, Text)>>, String> {
    if is_listed(statuses, status) {
        return Ok(None);
    }
    if status == TcbStatus::Revoked {
        return Err(status.to_string());
    }
    if let Some(end) = grace_end(evaluation, status, statuses, profile.out_of_date_grace)
        && now < end
    {
        return Ok(Some(vec![(end, format!("the grace for {status} (out_of_date_grace)").into())]));
    }
    match exceptions(evaluation, status, statuses, profile, now) {
        Some(excepted) => Ok(Some(excepted)),
        _ if evaluation.advisories.is_empty() => Err(format!("{status} of {}", evaluation.date)),
        _ => Err(format!("{status} of {}, open to {}", evaluation.date, joined(evaluation.advisories.iter()))),
    }
}

/// The exceptions that excuse this evaluation, each with its end; `None` where they do not.
///
/// Every advisory of every part must be named: one that no exception names is one that nobody has looked at. And every part
/// that is not as the policy asks must have one: a status without any advisory is explained by no exception for another
/// part's.
fn exceptions(
    evaluation: &Evaluation,
    status: TcbStatus,
    statuses: &[Accepted],
    profile: &TdxProfile,
    now: UnixTime,
) -> Option<Vec<(UnixTime, Text)>> {
    let mut excepted = Vec::new();
    for part in &evaluation.parts {
        let lets_in = |listed: &[Accepted]| is_listed(listed, part.status) || is_listed(listed, status);
        if part.advisories.is_empty() && part.status != TcbStatus::UpToDate && !is_listed(statuses, part.status) {
            return None;
        }
        for id in &part.advisories {
            let one = profile.tcb_exceptions.get(id).filter(|one| lets_in(&one.statuses) && now < one.until.0)?;
            excepted.push((one.until.0, Text::from(format!("the exception for {id}: {}", one.reason))));
        }
    }
    (!excepted.is_empty()).then_some(excepted)
}

/// Whether the policy takes what the quoting enclave needs. Intel's convergence passes over an enclave that needs
/// configuration; here it counts as what it says.
pub(super) fn takes_qe(evaluation: &Evaluation, profile: &TdxProfile) -> bool {
    !evaluation.qe.needs_configuration()
        || profile.tcb_status.required().is_none_or(|statuses| is_listed(statuses, evaluation.qe))
}

/// Until when a platform that is out of date is taken. The days count from the TCB date of what it runs, the earliest of
/// platform, module and quoting enclave: from then on its firmware was not the newest. Intel's appraisal library counts
/// its `platform_grace_period` the same way.
fn grace_end(evaluation: &Evaluation, status: TcbStatus, statuses: &[Accepted], grace: Grace) -> Option<UnixTime> {
    let Grace::Days(days) = grace else { return None };
    let is_old = |status| is_listed(Grace::lets_in(statuses), status);
    // Convergence turns a platform that needs hardening, with an old module or enclave, into one that is out of date: what
    // the policy refuses of a part must not pass because another part is old.
    let part_is_taken = |status| status == TcbStatus::UpToDate || is_listed(statuses, status) || is_old(status);
    let covered = is_old(status) && evaluation.parts.iter().all(|part| part_is_taken(part.status));
    let seconds = u64::from(days).saturating_mul(86_400);
    covered.then(|| UnixTime::from_seconds(evaluation.date.seconds().saturating_add(seconds)))
}

/// Every rule in words, as findings say it: written at the first verdict by a policy, and kept with it. Empty where the profile
/// has none.
pub(super) fn expected(profile: &TdxProfile) -> Arc<str> {
    profile.tcb_rules_in_words.get_or_init(|| in_words(profile).into()).clone()
}

fn in_words(profile: &TdxProfile) -> String {
    let rules = [
        profile.tcb_status.required().map(|statuses| statuses_in_words(statuses, profile)),
        profile.allowed_advisories.required().map(|allowed| format!("no advisory but {}", names(allowed))),
        profile.denied_advisories.required().map(|denied| format!("none of {}", names(denied))),
        profile.minimum_tcb_date.required().map(|floor| format!("a TCB date of {} or later", floor.0)),
    ];
    let mut rules: Vec<_> = rules.into_iter().flatten().collect();
    if !rules.is_empty() && profile.tcb_status.required().is_none() {
        rules.push("any status but Revoked (tcb_status is unchecked)".to_owned());
    }
    rules.join(", ")
}

fn statuses_in_words(statuses: &[Accepted], profile: &TdxProfile) -> String {
    let names: Vec<_> = statuses.iter().map(|status| status.0.name()).collect();
    let mut text = format!("one of [{}]", names.join(", "));
    if let Grace::Days(days) = profile.out_of_date_grace {
        text.push_str(&format!(", or out of date for at most {days} days"));
    }
    if !profile.tcb_exceptions.is_empty() {
        text.push_str(&format!(", or open to nothing but {}", joined(profile.tcb_exceptions.keys())));
    }
    text
}

fn names(advisories: &[Advisory]) -> String {
    joined(advisories.iter().map(|advisory| &advisory.0))
}

fn joined<'a>(names: impl Iterator<Item = &'a AdvisoryId>) -> String {
    names.map(AdvisoryId::to_string).collect::<Vec<_>>().join(", ")
}
