//! What each supplied evaluation of a platform says. Intel serves an early and a standard one at the same time, and a
//! collection of collateral may hold one that is issued only later: whoever has them sees today what the verdict will be.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::accept::{self, Evaluated};
use super::authenticate::{Alternative, Vouched, identity_complaint};
use super::choose::TimePlace;
use super::profile::TdxProfile;
use super::tcb;
use crate::intel::collateral::{Dated, QeIdentity, TcbInfo};
use crate::intel::words::TcbStatus;
use crate::report::Prospect;
use crate::time::UnixTime;

/// One prospect for each evaluation, by its number; nothing where only one was supplied.
pub(super) fn foresee(vouched: &Vouched<'_>, profile: &TdxProfile, now: UnixTime) -> Vec<Prospect> {
    let mut others: Vec<_> = vouched
        .other_tcb_infos
        .iter()
        .filter_map(|other| other.text.as_ref().ok())
        .filter(|info| info.evaluation_number != vouched.tcb_info.evaluation_number)
        .collect();
    if others.is_empty() {
        return Vec::new();
    }
    // Of several texts of one evaluation, the latest.
    others.sort_by_key(|info| Reverse((info.evaluation_number, info.issue_date)));
    others.dedup_by_key(|info| info.evaluation_number);
    let qe_of = |info: &TcbInfo| {
        let read = vouched.other_qe_identities.iter().filter_map(|other| other.text.as_ref().ok());
        read.into_iter().find(|qe| qe.evaluation_number == info.evaluation_number).unwrap_or(&vouched.qe_identity)
    };
    let decides = (&vouched.tcb_info, &vouched.qe_identity, true);
    let others = others.into_iter().map(|info| (info, qe_of(info), false));
    let mut prospects: Vec<_> = std::iter::once(decides)
        .chain(others)
        .map(|(info, qe, decides)| prospect(vouched, info, qe, decides, profile, now))
        .collect();
    prospects.sort_by_key(|prospect| prospect.evaluation);
    prospects
}

/// A text that will decide in place of another.
pub(super) struct TakingOver {
    pub(super) from: UnixTime,
    pub(super) replaces: u32,
}

/// The first time at which the texts that were supplied say what the policy does not accept: a verdict does not outlive
/// that. Every time at which one of them begins or ends, or at which a grace or an exception ends on which one of them would
/// be accepted, is judged as it will be then.
pub(super) fn first_refusal(vouched: &Vouched<'_>, profile: &TdxProfile, now: UnixTime) -> Option<TakingOver> {
    let infos = vouched.other_tcb_infos.iter().map(|other| other.dated);
    let identities = vouched.other_qe_identities.iter().map(|other| other.dated);
    let mut times: BTreeSet<_> = infos.chain(identities).flat_map(|dated| [dated.from, dated.until]).collect();
    times.retain(|time| *time > now);
    while let Some(at) = times.pop_first() {
        let own = vouched.tcb_info.dated();
        let info = deciding(&*vouched.tcb_info, own, &vouched.other_tcb_infos, |dated| {
            vouched.deciding.place_of_tcb_info(dated, at)
        });
        let own = vouched.qe_identity.dated();
        let qe = deciding(&*vouched.qe_identity, own, &vouched.other_qe_identities, |dated| {
            vouched.deciding.place_of_qe_identity(dated, at)
        });
        // What cannot be read decides all the same, and is refused.
        let foreseen = info.zip(qe).map(|(info, qe)| Foreseen::judge(vouched, info, qe, profile, at));
        match foreseen {
            Some(Foreseen { accepted: true, rests_on, .. }) => times.extend(rests_on),
            _ => return Some(TakingOver { from: at, replaces: vouched.tcb_info.evaluation_number }),
        }
    }
    None
}

/// The text that decides among all that were supplied, if it can be read.
fn deciding<'v, T>(
    own: &'v T,
    own_dated: Dated,
    others: &'v [Alternative<T>],
    place: impl Fn(Dated) -> TimePlace,
) -> Option<&'v T> {
    let others = others.iter().map(|other| (other.dated, other.text.as_deref().ok()));
    // Of two in one place the first decides, as it does when one is chosen: `max_by_key` takes the last.
    let all = others.rev().chain(std::iter::once((own_dated, Some(own))));
    all.max_by_key(|(dated, _)| place(*dated)).and_then(|(_, text)| text)
}

fn prospect(
    vouched: &Vouched<'_>,
    info: &TcbInfo,
    qe: &QeIdentity,
    decides: bool,
    profile: &TdxProfile,
    now: UnixTime,
) -> Prospect {
    let (evaluation, from, until) = (info.evaluation_number, info.issue_date.0, info.next_update.0);
    // What is issued later is judged at the moment from which it holds.
    let Foreseen { accepted, below, mixed, status, advisories, why, .. } =
        Foreseen::judge(vouched, info, qe, profile, now.max(from));
    let judgement = match (accepted, below, why) {
        (_, true, _) => "an evaluation below the policy's minimum".to_owned(),
        (false, _, None) if mixed => {
            "which the policy does not accept without the QE identity of the same evaluation".to_owned()
        }
        (true, ..) => "which the policy accepts".to_owned(),
        (false, _, Some(why)) => format!("which the policy does not accept: {why}"),
        (false, _, None) => "which the policy does not accept".to_owned(),
    };
    let said = status.as_deref().unwrap_or("without any TCB level that matches");
    let text = if from > now {
        format!("will be {said} from {from} (evaluation {evaluation}), {judgement}")
    } else if decides {
        format!("is {said} until {until} at least (evaluation {evaluation}, which decides), {judgement}")
    } else {
        format!("is {said} under evaluation {evaluation}, issued {from}, {judgement}")
    };
    Prospect { evaluation, decides, from, until, tcb_status: status, advisories, accepted, text }
}

/// What the rules of a policy say of one platform under one pair of texts, at one time.
struct Foreseen {
    accepted: bool,
    /// The evaluation is below the policy's minimum.
    below: bool,
    /// The texts are of two evaluations, which the policy does not take.
    mixed: bool,
    status: Option<String>,
    advisories: Vec<String>,
    why: Option<String>,
    /// When the grace and the exceptions end that it is accepted by.
    rests_on: Vec<UnixTime>,
}

impl Foreseen {
    fn judge(vouched: &Vouched<'_>, info: &TcbInfo, qe: &QeIdentity, profile: &TdxProfile, at: UnixTime) -> Self {
        let floor = profile.minimum_evaluation_number.required().copied().unwrap_or_default();
        let below = info.evaluation_number < floor || qe.evaluation_number < floor;
        let mixed = profile.one_evaluation.required().is_some() && info.evaluation_number != qe.evaluation_number;
        match outcome(vouched, info, qe, profile, at) {
            Err(why) => {
                let (status, advisories, rests_on) = (None, Vec::new(), Vec::new());
                Self { accepted: false, below, mixed, status, advisories, why: Some(why), rests_on }
            }
            Ok(Judged { complaint, status, advisories, rests_on }) => {
                let accepted = complaint.is_none() && !below && !mixed;
                let why = complaint.filter(|complaint| *complaint != status);
                Self { accepted, below, mixed, status: Some(status), advisories, why, rests_on }
            }
        }
    }
}

/// One evaluation, and what of it is not accepted.
struct Judged {
    complaint: Option<String>,
    status: String,
    advisories: Vec<String>,
    rests_on: Vec<UnixTime>,
}

/// The whole evaluation; or why there is none.
fn outcome(
    vouched: &Vouched<'_>,
    info: &TcbInfo,
    qe: &QeIdentity,
    profile: &TdxProfile,
    at: UnixTime,
) -> Result<Judged, String> {
    let quote = vouched.quote.get();
    if let Some(complaint) = identity_complaint(quote, qe) {
        return Err(format!("the quoting enclave: {complaint}"));
    }
    if let Some(complaint) = tcb::module_complaint(info, &quote.body)? {
        return Err(complaint);
    }
    let evaluate =
        |svn: &[u8; 16]| tcb::evaluate(info, qe, quote.qe.isvsvn, &vouched.pck, svn).map_err(|none| none.to_string());
    let launch = evaluate(quote.body.tee_tcb_svn)?;
    let current = quote.body.td15.as_ref().map(|td15| evaluate(td15.tee_tcb_svn2)).transpose()?;
    let status = current.as_ref().map_or(launch.converged, |now| tcb::relaunch(launch.converged, now.converged));
    let verdict = accept::judge(Evaluated { launch: &launch, current: current.as_ref(), status }, profile, at);
    let revoked = current.as_ref().is_some_and(|now| now.converged == TcbStatus::Revoked);
    let complaint = verdict
        .complaint
        .or_else(|| revoked.then(|| "the running module is Revoked".to_owned()))
        .or_else(|| (!accept::takes_qe(&launch, profile)).then(|| format!("the quoting enclave is {}", launch.qe)));
    Ok(Judged {
        complaint,
        status: status.to_string(),
        advisories: launch.advisories.iter().map(ToString::to_string).collect(),
        rests_on: verdict.rests_on.into_iter().map(|(end, _)| end).collect(),
    })
}
