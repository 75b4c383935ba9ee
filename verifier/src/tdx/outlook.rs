//! What each supplied evaluation of a platform says. Intel serves an early and a standard one at the same time, and a
//! collection of collateral may hold one that is issued only later: whoever has them sees today what the verdict will be.

use super::accept::{self, Outcome};
use super::authenticate::Vouched;
use super::collateral::{QeIdentity, TcbInfo};
use super::tcb;
use crate::findings::Prospect;
use crate::policy::{DecidingEvaluation, TdxProfile};
use crate::time::UnixTime;

/// One prospect for each evaluation, by its number; nothing where only one was supplied.
pub(super) fn foresee(vouched: &Vouched<'_, '_>, profile: &TdxProfile, now: UnixTime) -> Vec<Prospect> {
    if vouched.alternatives.is_empty() {
        return Vec::new();
    }
    let deciding = (&vouched.tcb_info, &vouched.qe_identity, true);
    let others = vouched
        .alternatives
        .iter()
        .map(|other| (&other.tcb_info, other.qe_identity.as_ref().unwrap_or(&vouched.qe_identity), false));
    let mut prospects: Vec<_> = std::iter::once(deciding)
        .chain(others)
        .map(|(info, qe, decides)| prospect(vouched, info, qe, decides, profile, now))
        .collect();
    prospects.sort_by_key(|prospect| prospect.evaluation);
    prospects
}

/// An evaluation that will decide in place of another.
pub(super) struct TakingOver {
    pub(super) from: UnixTime,
    pub(super) replaces: u32,
}

/// When the first evaluation begins to decide that the policy does not accept: a verdict does not outlive that.
pub(super) fn first_refusal(outlook: &[Prospect], profile: &TdxProfile, now: UnixTime) -> Option<TakingOver> {
    let decides = outlook.iter().find(|prospect| prospect.decides)?;
    let floor = profile.minimum_evaluation_number.required().copied().unwrap_or_default();
    let would_decide = |prospect: &&Prospect| match profile.deciding_evaluation {
        DecidingEvaluation::Highest => prospect.evaluation > decides.evaluation,
        DecidingEvaluation::Lowest => (floor..decides.evaluation).contains(&prospect.evaluation),
    };
    let refused = outlook.iter().filter(|prospect| prospect.from > now && !prospect.accepted).filter(would_decide);
    let from = refused.map(|prospect| prospect.from).min()?;
    Some(TakingOver { from, replaces: decides.evaluation })
}

fn prospect(
    vouched: &Vouched<'_, '_>,
    info: &TcbInfo<'_>,
    qe: &QeIdentity<'_>,
    decides: bool,
    profile: &TdxProfile,
    now: UnixTime,
) -> Prospect {
    let (evaluation, from, until) = (info.evaluation_number, info.issue_date.0, info.next_update.0);
    // What is issued later is judged at the moment from which it holds.
    let (accepted, status, advisories, why) = match outcome(vouched, info, qe, profile, now.max(from)) {
        Err(why) => (false, None, Vec::new(), Some(why)),
        Ok((complaint, status, advisories)) => {
            (complaint.is_none(), Some(status.clone()), advisories, complaint.filter(|complaint| *complaint != status))
        }
    };
    let floor = profile.minimum_evaluation_number.required().copied().unwrap_or_default();
    let below = evaluation < floor || qe.evaluation_number < floor;
    let mixed = profile.one_evaluation.required().is_some() && evaluation != qe.evaluation_number;
    let accepted = accepted && !below && !mixed;
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

/// What is not accepted, the status, and the advisories; or why there is no evaluation at all.
type Judged = (Option<String>, String, Vec<String>);

fn outcome(
    vouched: &Vouched<'_, '_>,
    info: &TcbInfo<'_>,
    qe: &QeIdentity<'_>,
    profile: &TdxProfile,
    at: UnixTime,
) -> Result<Judged, String> {
    let quote = vouched.quote.get();
    if let Some(complaint) = tcb::module_complaint(info, &quote.body)? {
        return Err(complaint);
    }
    let evaluate =
        |svn: &[u8; 16]| tcb::evaluate(info, qe, quote.qe.isvsvn, &vouched.pck, svn).map_err(|none| none.to_string());
    let launch = evaluate(quote.body.tee_tcb_svn)?;
    let current = quote.body.td15.as_ref().map(|td15| evaluate(td15.tee_tcb_svn2)).transpose()?;
    let status = current.as_ref().map_or(launch.converged, |now| tcb::relaunch(launch.converged, now.converged));
    let verdict = accept::judge(Outcome { launch: &launch, current: current.as_ref(), status }, profile, at);
    let revoked = current.as_ref().is_some_and(|now| now.converged == tcb::TcbStatus::Revoked);
    let complaint = verdict
        .complaint
        .or_else(|| revoked.then(|| "the running module is Revoked".to_owned()))
        .or_else(|| (!accept::takes_qe(&launch, profile)).then(|| format!("the quoting enclave is {}", launch.qe)));
    Ok((complaint, status.to_string(), launch.advisories.into_iter().collect()))
}
