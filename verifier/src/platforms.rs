//! The platforms that are understood: one row each, and through the rows every check there is.

use crate::check::{Check, Tee};
use crate::evidence::Evidence;
use crate::instances;
use crate::platform::Platform;
use crate::policy::{self, Owned, Policy};
use crate::report::{Attested, Rejection};
use crate::sev_snp::SevSnp;
use crate::tdx::Tdx;
use crate::walk::{self, Asked};
use crate::windows::Windows;

/// One platform, as a row.
pub(crate) struct Row {
    /// Its name in the catalogue.
    title: &'static str,
    checks: &'static [Check],
    pub(crate) walk: fn(&Evidence<'_>, Asked<'_, '_>) -> Result<Attested, Rejection>,
    pub(crate) windows: fn(&Evidence<'_>, &Policy, &mut Windows),
}

const fn row<P: Platform>(title: &'static str) -> Row
where
    P::Profile: Owned,
{
    Row { title, checks: P::CHECKS, walk: walk::walk::<P>, windows: walk::windows::<P> }
}

const SEV_SNP: Row = row::<SevSnp>("AMD SEV-SNP");
const TDX: Row = row::<Tdx>("Intel TDX");

/// All of them, in the order in which they are shown.
const ALL: [&Row; 2] = [&SEV_SNP, &TDX];

/// The row of a TEE.
pub(crate) const fn of(tee: Tee) -> &'static Row {
    match tee {
        Tee::SevSnp => &SEV_SNP,
        Tee::Tdx => &TDX,
    }
}

impl Check {
    /// Every check, in the order of the walk.
    pub fn all() -> impl Iterator<Item = Check> {
        let platforms = ALL.iter().flat_map(|row| row.checks);
        policy::CHECKS.iter().chain(platforms).chain(instances::CHECKS).copied()
    }

    /// Whether it judges what an instance sends around its evidence, and the instance itself: client and gateway do, the
    /// verifier never sees it.
    pub fn is_around_evidence(self) -> bool {
        instances::CHECKS.contains(&self)
    }

    /// The check with this id.
    pub fn from_id(id: &str) -> Option<Check> {
        Self::all().find(|check| check.id() == id)
    }

    /// The whole catalogue in Markdown: `CHECKS.md` is this text, and a test holds it to that.
    pub fn catalogue() -> String {
        let mut text =
            "# Checks\n\nEvery check that a report can show, by its stable id, in the order of the walk. Written by \
                        `teegate verify --explain all`; do not edit.\n"
                .to_owned();
        let platforms = ALL.iter().map(|row| (row.title, row.checks));
        let all = std::iter::once(("Policy", policy::CHECKS)).chain(platforms);
        for (title, checks) in all.chain([("Instances", instances::CHECKS)]) {
            text.push_str(&format!(
                "\n## {title}\n\n| id | rejects as | rests on | establishes | source | if it fails | judged in | kept by |\n|---|---|---|---|---|---|---|---|\n"
            ));
            for check in checks {
                text.push_str(&format!(
                    "| `{}` | {} | {} | {} | {} | {} | {} | {} |\n",
                    check.id(),
                    check.stage().rejection(),
                    check.rests_on().name(),
                    check.stops(),
                    check.source(),
                    check.remedy(),
                    check.code(),
                    check.test()
                ));
            }
        }
        text
    }
}
