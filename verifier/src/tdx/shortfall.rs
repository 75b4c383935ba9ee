//! What a platform lacks for the nearest better level of Intel's table, in words: which component, its value, and the one
//! that the level asks for. Said where a status is not the best or no level matches; no verdict rests on it.

use serde::Deserialize;
use std::borrow::Cow;

use super::tcb;
use crate::intel::collateral::{Component, IsvLevel, QeIdentity, Status, TcbInfo, TcbLevel};
use crate::intel::pck::Pck;
use crate::intel::words::TcbStatus;

/// One line for each part that is short of something: platform, module, quoting enclave.
pub(super) fn of(info: &TcbInfo, qe: &QeIdentity, qe_svn: u16, pck: &Pck, tee_tcb_svn: &[u8; 16]) -> Vec<String> {
    let [module_svn, module_version, ..] = *tee_tcb_svn;
    let module = tcb::module_identity(info, module_version).ok().flatten();
    let module = module.and_then(|identity| {
        isv(&identity.levels, u16::from(module_svn))
            .map(|words| format!("the TDX module ({}) {words}: the host updates it", identity.id))
    });
    let qe = isv(&qe.levels, qe_svn);
    let qe = qe.map(|words| format!("the quoting enclave {words}: the host updates Intel's DCAP"));
    platform(info, pck, tee_tcb_svn).into_iter().chain(module).chain(qe).collect()
}

/// What the platform's components lack for the nearest level that is better than the one it reaches.
fn platform(info: &TcbInfo, pck: &Pck, tee_tcb_svn: &[u8; 16]) -> Option<String> {
    let mut levels: Vec<_> = info.levels.iter().enumerate().collect();
    levels.sort_by(|(_, one), (_, other)| other.tcb.cmp(&one.tcb));
    let lacking: Vec<_> = levels.iter().map(|(_, level)| lacks(level, pck, tee_tcb_svn)).collect();
    let reached = lacking.iter().position(Vec::is_empty);
    let is_better = |level: &TcbLevel| match reached.and_then(|reached| levels.get(reached)) {
        None => true,
        Some((_, own)) => level.status != own.status && is_good(&level.status),
    };
    let above = lacking.iter().enumerate().take(reached.unwrap_or(lacking.len()));
    let better = above.filter(|(at, _)| levels.get(*at).is_some_and(|(_, level)| is_better(level)));
    // The fewest components short; of those with as many, the lowest level.
    let (at, lacking) = better.min_by_key(|(at, lacking)| (lacking.len(), usize::MAX - at))?;
    let (served, level) = levels.get(at)?;
    let names = Names::read(&info.text, *served);
    let lacking: Vec<_> = lacking.iter().map(|lack| lack.in_words(&names)).collect();
    Some(format!("for {} (the level of {}) the platform lacks {}", level.status, level.date, lacking.join(", ")))
}

const UP_TO_DATE: Status = Status::Known(TcbStatus::UpToDate);

fn is_good(status: &Status) -> bool {
    matches!(status, Status::Known(known) if !known.is_out_of_date() && *known != TcbStatus::Revoked)
}

/// One component that is short.
struct Lack {
    what: Part,
    own: u16,
    least: u16,
}

enum Part {
    Sgx(usize),
    Tdx(usize),
    Pce,
}

fn lacks(level: &TcbLevel, pck: &Pck, tee_tcb_svn: &[u8; 16]) -> Vec<Lack> {
    let [_, module_version, ..] = *tee_tcb_svn;
    let from = if module_version > 0 { 2 } else { 0 };
    let short = |own: &[u8; 16], least: &[Component; 16], from: usize| {
        let pairs = own.iter().zip(least).enumerate().skip(from);
        let short = pairs.filter(|(_, (own, least))| **own < least.svn);
        short.map(|(index, (own, least))| (index, u16::from(*own), u16::from(least.svn))).collect::<Vec<_>>()
    };
    let sgx = short(&pck.components, &level.tcb.sgx, 0);
    let mut lacks: Vec<_> =
        sgx.into_iter().map(|(index, own, least)| Lack { what: Part::Sgx(index), own, least }).collect();
    if pck.pce_svn < level.tcb.pce_svn {
        lacks.push(Lack { what: Part::Pce, own: pck.pce_svn, least: level.tcb.pce_svn });
    }
    match &level.tcb.tdx {
        Some(least) => {
            let tdx = short(tee_tcb_svn, least, from);
            lacks.extend(tdx.into_iter().map(|(index, own, least)| Lack { what: Part::Tdx(index), own, least }));
        }
        // A level of SGX alone is none of a TD's.
        None => lacks.push(Lack { what: Part::Tdx(0), own: 0, least: u16::MAX }),
    }
    lacks
}

impl Lack {
    fn in_words(&self, names: &Names<'_>) -> String {
        let Self { own, least, .. } = self;
        let named = |components: &[ComponentName<'_>], index: usize| match components.get(index) {
            Some(ComponentName { category: Some(category), kind: Some(kind) }) => format!(" ({category}: {kind})"),
            Some(ComponentName { category: Some(name), .. } | ComponentName { kind: Some(name), .. }) => {
                format!(" ({name})")
            }
            _ => String::new(),
        };
        match self.what {
            Part::Sgx(index) => format!("SGX component {}{} {least}, has {own}", index + 1, named(&names.sgx, index)),
            Part::Tdx(index) => format!("TDX component {}{} {least}, has {own}", index + 1, named(&names.tdx, index)),
            Part::Pce => format!("PCESVN {least}, has {own}"),
        }
    }
}

/// What a module or an enclave lacks for the nearest level that is up to date.
fn isv(levels: &[IsvLevel], svn: u16) -> Option<String> {
    let above = levels.iter().filter(|level| level.tcb.isvsvn > svn && level.status == UP_TO_DATE);
    let nearest = above.min_by_key(|level| level.tcb.isvsvn)?;
    let reached = levels.iter().filter(|level| level.tcb.isvsvn <= svn).max_by_key(|level| level.tcb.isvsvn);
    let is_best = reached.is_some_and(|level| level.status == UP_TO_DATE);
    (!is_best).then(|| format!("has SVN {svn}, and {} is UpToDate (of {})", nearest.tcb.isvsvn, nearest.date))
}

/// How Intel calls the components of one level. Read only here: nothing else needs the words.
#[derive(Default)]
struct Names<'a> {
    sgx: Vec<ComponentName<'a>>,
    tdx: Vec<ComponentName<'a>>,
}

#[derive(Deserialize)]
struct ComponentName<'a> {
    #[serde(borrow, default)]
    category: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct NamedInfo<'a> {
    #[serde(borrow, rename = "tcbLevels")]
    levels: Vec<NamedLevel<'a>>,
}

#[derive(Deserialize)]
struct NamedLevel<'a> {
    #[serde(borrow)]
    tcb: NamedTcb<'a>,
}

#[derive(Deserialize)]
struct NamedTcb<'a> {
    #[serde(borrow, default, rename = "sgxtcbcomponents")]
    sgx: Vec<ComponentName<'a>>,
    #[serde(borrow, default, rename = "tdxtcbcomponents")]
    tdx: Vec<ComponentName<'a>>,
}

impl<'a> Names<'a> {
    fn read(text: &'a [u8], level: usize) -> Self {
        let info: Option<NamedInfo<'a>> = serde_json::from_slice(text).ok();
        let level = info.and_then(|mut info| (level < info.levels.len()).then(|| info.levels.swap_remove(level)));
        level.map(|level| Self { sgx: level.tcb.sgx, tdx: level.tcb.tdx }).unwrap_or_default()
    }
}
