//! TCB evaluation exactly as Intel's Quote Verification Library does it: level match, module identity, convergence,
//! relaunch, in that order. Pure functions of signed collateral and signed SVNs.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;

use super::quote::Body;
use crate::bytes::array_from_hex;
use crate::intel::collateral::{Component, IsvLevel, ModuleIdentity, QeIdentity, Status, TcbInfo, TcbLevel};
use crate::intel::pck::Pck;
use crate::intel::words::{AdvisoryId, TcbStatus};
use crate::time::UnixTime;

/// Why there is no evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoEvaluation {
    /// No platform level matches, or the levels contradict each other.
    Platform(String),
    /// The module is not one that Intel lists, or too old for every level.
    Module(String),
    /// The quoting enclave is too old for every level.
    Qe(String),
    /// A matched level bears a status that is not known here.
    Status(String),
}

impl fmt::Display for NoEvaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (part, why) = match self {
            Self::Platform(why) => ("no platform level", why),
            Self::Module(why) => ("the TDX module", why),
            Self::Qe(why) => ("the quoting enclave", why),
            Self::Status(why) => ("a level", why),
        };
        write!(f, "{part}: {why}")
    }
}

/// What one part of a platform says for itself: platform, module or quoting enclave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) status: TcbStatus,
    pub(crate) advisories: BTreeSet<AdvisoryId>,
}

/// One whole evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Evaluation {
    pub(crate) platform: TcbStatus,
    /// `None` where the module has no levels of its own (TEE_TCB_SVN[1] = 0).
    pub(crate) module: Option<TcbStatus>,
    pub(crate) qe: TcbStatus,
    pub(crate) converged: TcbStatus,
    /// The earliest of the matched levels' dates.
    pub(crate) date: UnixTime,
    /// Of all parts together.
    pub(crate) advisories: BTreeSet<AdvisoryId>,
    /// Platform, quoting enclave, and the module where it has levels of its own.
    pub(crate) parts: Vec<Part>,
}

/// Evaluates platform, module and quoting enclave for one set of TEE_TCB_SVN.
pub(crate) fn evaluate(
    info: &TcbInfo,
    qe: &QeIdentity,
    qe_svn: u16,
    pck: &Pck,
    tee_tcb_svn: &[u8; 16],
) -> Result<Evaluation, NoEvaluation> {
    let [module_svn, module_version, ..] = *tee_tcb_svn;
    let platform = match_platform(info, pck, tee_tcb_svn)?;
    let identity = module_identity(info, module_version).map_err(NoEvaluation::Module)?;
    let module = match identity {
        None => None,
        Some(identity) => {
            let level = match_isv(&identity.levels, "SVN", u16::from(module_svn));
            Some(level.map_err(|why| NoEvaluation::Module(format!("{}: {why}", identity.id)))?)
        }
    };
    let qe = match_isv(&qe.levels, "ISVSVN", qe_svn).map_err(NoEvaluation::Qe)?;

    let platform_status = known(&platform.status, |_| true)?;
    let module_status = module.map(|level| known(&level.status, is_module_status)).transpose()?;
    let qe_status = known(&qe.status, is_qe_status)?;
    let part = |status, advisories: &[AdvisoryId]| Part { status, advisories: advisories.iter().cloned().collect() };
    let mut parts = vec![part(platform_status, &platform.advisories), part(qe_status, &qe.advisories)];
    parts.extend(module.zip(module_status).map(|(level, status)| part(status, &level.advisories)));
    let advisories = parts.iter().flat_map(|part| &part.advisories).cloned().collect();
    let date = platform.date.min(qe.date).min(module.map_or(platform.date, |level| level.date));
    Ok(Evaluation {
        platform: platform_status,
        module: module_status,
        qe: qe_status,
        converged: converge(platform_status, module_status, qe_status),
        date: date.0,
        advisories,
        parts,
    })
}

fn known(status: &Status, allowed: impl Fn(TcbStatus) -> bool) -> Result<TcbStatus, NoEvaluation> {
    match status {
        Status::Known(known) if allowed(*known) => Ok(*known),
        _ => Err(NoEvaluation::Status(format!("unknown status `{status}`"))),
    }
}

fn is_module_status(status: TcbStatus) -> bool {
    matches!(status, TcbStatus::UpToDate | TcbStatus::OutOfDate | TcbStatus::Revoked)
}

fn is_qe_status(status: TcbStatus) -> bool {
    is_module_status(status)
        || matches!(status, TcbStatus::ConfigurationNeeded | TcbStatus::OutOfDateConfigurationNeeded)
}

/// The highest level that the platform reaches in every component.
///
/// The order of the JSON is not relied on: levels are sorted by (SGX SVNs, PCESVN, TDX SVNs), descending.
fn match_platform<'i>(info: &'i TcbInfo, pck: &Pck, tee_tcb_svn: &[u8; 16]) -> Result<&'i TcbLevel, NoEvaluation> {
    let mut levels: Vec<_> = info.levels.iter().collect();
    levels.sort_by(|one, other| other.tcb.cmp(&one.tcb));
    if levels.windows(2).any(|pair| matches!(pair, [one, other] if one.tcb == other.tcb)) {
        return Err(NoEvaluation::Platform("the same level twice".to_owned()));
    }
    // From TDX module 1.5 on (version above 0) the first two SVNs are the module's, judged by its own identity.
    let [_, module_version, ..] = *tee_tcb_svn;
    let from = if module_version > 0 { 2 } else { 0 };
    let reaches = |own: &[u8; 16], least: &[Component; 16], from: usize| {
        own.iter().zip(least).skip(from).all(|(own, least)| *own >= least.svn)
    };
    let matched = levels.into_iter().find(|level| {
        reaches(&pck.components, &level.tcb.sgx, 0)
            && pck.pce_svn >= level.tcb.pce_svn
            && level.tcb.tdx.as_ref().is_some_and(|least| reaches(tee_tcb_svn, least, from))
    });
    matched.ok_or_else(|| {
        NoEvaluation::Platform(format!(
            "SGX SVNs {:?}, PCESVN {}, TDX SVNs {tee_tcb_svn:?}",
            pck.components, pck.pce_svn
        ))
    })
}

/// The identity `TDX_XX` for a module of version XX; none for version 0, which has only the signer of the base module.
pub(crate) fn module_identity(info: &TcbInfo, version: u8) -> Result<Option<&ModuleIdentity>, String> {
    if version == 0 {
        return Ok(None);
    }
    let is_wanted = |identity: &&ModuleIdentity| {
        let named = identity.id.split_at_checked(4).filter(|(name, _)| name.eq_ignore_ascii_case("TDX_"));
        named.is_some_and(|(_, number)| array_from_hex(number) == Some([version]))
    };
    let mut found = info.module_identities.iter().filter(is_wanted);
    match (found.next(), found.next()) {
        (Some(identity), None) => Ok(Some(identity)),
        (None, _) => Err(format!("no identity TDX_{version:02X}")),
        (Some(_), Some(_)) => Err(format!("the identity TDX_{version:02X} twice")),
    }
}

/// What in the module's signer and attributes is not Intel's; `None` where all is.
pub(crate) fn module_complaint(info: &TcbInfo, body: &Body<'_>) -> Result<Option<String>, String> {
    let [_, version, ..] = *body.tee_tcb_svn;
    let (mrsigner, attributes) = match module_identity(info, version)? {
        Some(identity) => (identity.mrsigner, identity.attributes),
        None => info
            .module
            .as_ref()
            .map(|module| (module.mrsigner, module.attributes))
            .ok_or_else(|| "no tdxModule".to_owned())?,
    };
    Ok(if body.mrsignerseam.0 != mrsigner.0 {
        Some(format!("MRSIGNERSEAM {}", body.mrsignerseam))
    } else if *body.seam_attributes != [0; 8] || *body.seam_attributes != attributes.0 {
        Some(format!("SEAMATTRIBUTES {}", crate::bytes::to_hex(body.seam_attributes)))
    } else {
        None
    })
}

/// The highest level whose ISVSVN is reached; the order of the JSON is not relied on, so two levels of one ISVSVN would say
/// two things.
fn match_isv<'i>(levels: &'i [IsvLevel], what: &str, svn: u16) -> Result<&'i IsvLevel, String> {
    let mut sorted: Vec<_> = levels.iter().collect();
    sorted.sort_by_key(|level| Reverse(level.tcb.isvsvn));
    if sorted.windows(2).any(|pair| matches!(pair, [one, other] if one.tcb.isvsvn == other.tcb.isvsvn)) {
        return Err("the same level twice".to_owned());
    }
    sorted.iter().copied().find(|level| level.tcb.isvsvn <= svn).ok_or_else(|| {
        let lowest = sorted.last().map(|level| format!("from {what} {} on", level.tcb.isvsvn));
        format!("no level for {what} {svn}; levels are {}", lowest.as_deref().unwrap_or("none"))
    })
}

/// Intel's convergence: only OutOfDate and Revoked of module or quoting enclave change the platform's status.
pub(crate) fn converge(platform: TcbStatus, module: Option<TcbStatus>, qe: TcbStatus) -> TcbStatus {
    let parts = [module.unwrap_or(TcbStatus::UpToDate), qe];
    if platform == TcbStatus::Revoked || parts.contains(&TcbStatus::Revoked) {
        TcbStatus::Revoked
    } else if parts.contains(&TcbStatus::OutOfDate) {
        match platform {
            TcbStatus::ConfigurationNeeded
            | TcbStatus::ConfigurationAndSWHardeningNeeded
            | TcbStatus::OutOfDateConfigurationNeeded => TcbStatus::OutOfDateConfigurationNeeded,
            _ => TcbStatus::OutOfDate,
        }
    } else {
        platform
    }
}

/// The status of a TD 1.5 that was launched at `launch` while the platform is now at `current`.
pub(crate) fn relaunch(launch: TcbStatus, current: TcbStatus) -> TcbStatus {
    let current_is_good = !current.is_out_of_date() && current != TcbStatus::Revoked;
    match (launch.is_out_of_date() && current_is_good, launch.needs_configuration() || current.needs_configuration()) {
        (true, false) => TcbStatus::TDRelaunchAdvised,
        (true, true) => TcbStatus::TDRelaunchAdvisedConfigurationNeeded,
        (false, _) => launch,
    }
}

#[cfg(test)]
mod tests {
    use super::TcbStatus::*;
    use super::*;

    #[test]
    fn convergence_is_intels_whole_table() {
        let platforms = [
            UpToDate,
            SWHardeningNeeded,
            ConfigurationNeeded,
            ConfigurationAndSWHardeningNeeded,
            OutOfDate,
            OutOfDateConfigurationNeeded,
            Revoked,
        ];
        let out_of_date = [
            OutOfDate,
            OutOfDate,
            OutOfDateConfigurationNeeded,
            OutOfDateConfigurationNeeded,
            OutOfDate,
            OutOfDateConfigurationNeeded,
            Revoked,
        ];
        for (platform, when_out_of_date) in platforms.into_iter().zip(out_of_date) {
            for module in [None, Some(UpToDate), Some(OutOfDate), Some(Revoked)] {
                for qe in [UpToDate, OutOfDate, ConfigurationNeeded, OutOfDateConfigurationNeeded, Revoked] {
                    let expected = if module == Some(Revoked) || qe == Revoked {
                        Revoked
                    } else if module == Some(OutOfDate) || qe == OutOfDate {
                        when_out_of_date
                    } else {
                        platform
                    };
                    assert_eq!(converge(platform, module, qe), expected, "{platform} {module:?} {qe}");
                }
            }
        }
    }

    #[test]
    fn relaunch_is_advised_only_from_old_to_good() {
        for (launch, current, expected) in [
            (OutOfDate, UpToDate, TDRelaunchAdvised),
            (OutOfDate, SWHardeningNeeded, TDRelaunchAdvised),
            (OutOfDate, ConfigurationNeeded, TDRelaunchAdvisedConfigurationNeeded),
            (OutOfDateConfigurationNeeded, UpToDate, TDRelaunchAdvisedConfigurationNeeded),
            (OutOfDate, OutOfDate, OutOfDate),
            (OutOfDate, Revoked, OutOfDate),
            (UpToDate, OutOfDate, UpToDate),
            (Revoked, UpToDate, Revoked),
        ] {
            assert_eq!(relaunch(launch, current), expected, "{launch} then {current}");
        }
    }
}
