//! Every check there is: those of policies, of each platform, and of instances.

use crate::check::{Check, Tee};
use crate::{carriage, instances, platforms, policy};

impl Check {
    /// Every check, in the order of the walk.
    pub fn all() -> impl Iterator<Item = Check> {
        let platforms = Tee::all().flat_map(platforms::checks);
        let carriages = carriage::CHECKS.iter().flat_map(|(_, checks)| *checks);
        policy::CHECKS.iter().chain(platforms).chain(carriages).chain(instances::CHECKS).copied()
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
        let platforms = Tee::all().map(|tee| (tee.title(), platforms::checks(tee)));
        let all = std::iter::once(("Policy", policy::CHECKS)).chain(platforms).chain(carriage::CHECKS.iter().copied());
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
