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
    match profile.minimum_uvm_svn.required() {
        None => {
            let why = words!("the policy asks for no version; it is {}", endorsed.svn);
            findings.not_checked(Check::UVM_SVN, "minimum_uvm_svn", why);
        }
        Some(least) => {
            let (least, svn) = (u64::from(*least), endorsed.svn);
            let (expected, actual) = (words!("at least {}", least), words!("{}", svn));
            findings.judge(svn >= least, Comparison { check: Check::UVM_SVN, expected, actual });
        }
    }
}
