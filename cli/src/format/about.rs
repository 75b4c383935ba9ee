//! What every format says beside the report itself, in the same words.

use std::path::Path;

use teegate_verifier::{Expired, Policy, Report, ReportData, Roots};

use super::inputs::Inputs;
use super::sign::SigningKey;
use crate::exit;

/// What a report is shown with, beside itself.
pub(crate) struct About<'a> {
    /// The policy that judged.
    pub(crate) policy: &'a Policy,
    /// The policy as the user named it.
    pub(crate) named: &'a str,
    /// The policy's text.
    pub(crate) policy_text: &'a str,
    /// The evidence as the user named it.
    pub(crate) evidence: &'a Path,
    /// The report data that the user asked for on the command line: nobody else is the caller.
    pub(crate) report_data: Option<ReportData>,
    /// Whose each input was.
    pub(crate) inputs: &'a Inputs,
    /// What the vendors were asked for and nobody gave.
    pub(crate) in_vain: &'a [String],
    /// The endorsements that the time lies outside of.
    pub(crate) expired: &'a [Expired],
    /// What signs an attestation result.
    pub(crate) ear_key: Option<&'a SigningKey>,
}

pub(super) const fn verdict(report: &Report) -> &'static str {
    if report.accepted() { "accepted" } else { "rejected" }
}

/// Whether this is an acceptance that says nothing of the vendors' hardware: in no format may it look better than a warning.
/// One that does not say whose roots it rests on counts as one.
pub(crate) fn rests_on_foreign_roots(report: &Report) -> bool {
    report.accepted() && report.trust_anchors() != Some(Roots::Vendors)
}

/// What every format says of such an acceptance.
pub(crate) const FOREIGN_ROOTS: &str = "accepted under roots that the policy pins and that are not AMD's or Intel's: it says nothing of the \
     vendors' hardware";

pub(super) const fn exit_status(report: &Report) -> u8 {
    match report.stage() {
        None => exit::ACCEPTED,
        Some(stage) => exit::of_rejection(stage),
    }
}

/// `WHAT, valid from A to B`: one line of the list of what has expired.
pub(crate) fn window(expired: &Expired) -> String {
    match expired.until() {
        Some(until) => format!("{}, valid from {} to {until}", expired.what(), expired.from()),
        None => format!("{}, of {}, without an end", expired.what(), expired.from()),
    }
}
