//! Whether an authentic endorsement is wanted. Every rule is judged; every failure is shown.

use super::authenticate::Vouched;
use super::profile::AciProfile;
use super::uvm::shown;
use crate::check::Check;
use crate::findings::{Comparison, Findings};
use crate::words::words;

/// Judges every rule of the profile; where it asks for no endorsement, that was said before.
pub(crate) fn appraise(vouched: &Vouched, profile: &AciProfile, findings: &mut Findings) {
    let Some(endorsed) = &vouched.endorsed else { return };
    match profile.uvm_feeds.required() {
        None => {
            let why = format!("the policy names no line of releases; it is `{}`", shown(&endorsed.feed));
            findings.not_checked(Check::UVM_FEED, "uvm_feeds", why);
        }
        Some(feeds) => {
            let (expected, actual) = (feeds.join(" or ").into(), shown(&endorsed.feed).into());
            findings.judge(feeds.contains(&endorsed.feed), Comparison { check: Check::UVM_FEED, expected, actual });
        }
    }
    let svn = u64::from(endorsed.svn);
    match profile.uvm_svn.is_met_by(&endorsed.svn) {
        None => {
            let why = words!("the policy asks for no version; it is {}", svn);
            findings.not_checked(Check::UVM_SVN, "uvm_svn", why);
        }
        Some(holds) => {
            let (expected, actual) = (profile.uvm_svn.to_string().into(), words!("{}", svn));
            findings.judge(holds, Comparison { check: Check::UVM_SVN, expected, actual });
        }
    }
}
