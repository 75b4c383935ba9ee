//! What a bundle says of whoever made it: release, policy, conclusion. All of it is a stranger's word.

use std::path::Path;

use teegate_intake::bundle::{Conclusion, PolicyText, Verdict};

use crate::output::{plain, short};
use crate::policy;

/// The release that writes and reads here.
pub(crate) const CREATOR: &str = concat!("teegate ", env!("CARGO_PKG_VERSION"));

/// Where a policy lay on the machine that made the bundle is nobody else's business, and the same policy makes the same bundle.
pub(super) fn file_name(named: &str) -> String {
    Path::new(named).file_name().map_or_else(|| named.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// What to call a bundle's policy. A stranger may call anything `genuine`.
pub(crate) fn called(kept: &PolicyText) -> String {
    let built_in = matches!(kept.name.as_str(), "genuine" | "strict");
    let same = built_in && policy::read_text(&kept.name).is_ok_and(|text| text == kept.text);
    if built_in && !same { format!("{} (another text than this release's)", kept.name) } else { kept.name.clone() }
}

/// In which direction the conclusion changed, by the checks that made it change.
pub(super) fn change(recorded: &Conclusion, now: &Conclusion, creator: &str) -> String {
    let beyond = |one: &Conclusion, other: &Conclusion| {
        let ids: Vec<_> = one.failed.iter().filter(|id| !other.failed.contains(id)).take(SHOWN_CHECKS).collect();
        ids.iter().map(|id| format!("`{}`", short(id))).collect::<Vec<_>>().join(", ")
    };
    let (stricter, laxer) = (beyond(now, recorded), beyond(recorded, now));
    match (recorded.verdict, now.verdict) {
        (Verdict::Accepted, Verdict::Rejected) => {
            format!("It is STRICTER: {stricter} refuses what {creator} accepted.")
        }
        (Verdict::Rejected, Verdict::Accepted) => {
            format!("It is LAXER, which no release should be: {laxer} refused for {creator}, and nothing does now.")
        }
        (Verdict::Rejected, Verdict::Rejected) => {
            let or_none = |ids: String| if ids.is_empty() { "none".to_owned() } else { ids };
            format!("Rejected then and now: {} fails now, {} no longer.", or_none(stricter), or_none(laxer))
        }
        (Verdict::Accepted, Verdict::Accepted) => "Accepted then and now: the verdict ends at another time.".to_owned(),
    }
}

/// As many check ids are named; a bundle may list any number.
const SHOWN_CHECKS: usize = 8;

/// A conclusion in words, of which a stranger may have written as much as a bundle holds.
pub(crate) fn shown(conclusion: &Conclusion) -> String {
    let mut conclusion = conclusion.clone();
    let failed = conclusion.failed.len();
    conclusion.failed.truncate(SHOWN_CHECKS);
    conclusion.failed.iter_mut().for_each(|id| *id = short(id));
    let more = if failed > SHOWN_CHECKS { format!(" and {} more", failed - SHOWN_CHECKS) } else { String::new() };
    format!("{}{more}", plain(&conclusion.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_called_by_its_file_name() {
        for (named, called) in [("genuine", "genuine"), ("/srv/secret/a.toml", "a.toml"), ("./genuine", "genuine")] {
            assert_eq!(file_name(named), called);
        }
    }
}
