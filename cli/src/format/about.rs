//! What every format says beside the report itself, in the same words.

use std::path::Path;

use teegate_verifier::{Check, Expired, Policy, Report, ReportData, Roots};

use super::inputs::Inputs;
use super::sign::SigningKey;
use crate::exit::{self, Stop};

/// What a report is shown with, beside itself.
#[derive(Clone, Copy)]
pub(crate) struct About<'a> {
    /// The policy that judged.
    pub(crate) policy: &'a Policy,
    /// The policy as the user named it.
    pub(crate) named: &'a str,
    /// The policy's text.
    pub(crate) policy_text: &'a str,
    /// The evidence as the user named it.
    pub(crate) evidence: &'a Path,
    /// The form that the evidence was found in.
    pub(crate) form: &'a str,
    /// The member of somebody's JSON that it was taken out of.
    pub(crate) member: Option<&'a str>,
    /// What is said before the report, in lines.
    pub(crate) preface: &'a str,
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

/// One file that was named: its verdict, or why there is none.
pub(crate) struct File<'a> {
    /// As the user named it.
    pub(crate) name: &'a Path,
    pub(crate) outcome: Result<(&'a Report, About<'a>), &'a Stop>,
}

impl<'a> File<'a> {
    /// A file with a verdict.
    pub(super) fn judged(report: &'a Report, about: &About<'a>) -> Self {
        Self { name: about.evidence, outcome: Ok((report, *about)) }
    }

    /// The status of this file alone.
    pub(super) fn status(&self) -> u8 {
        match &self.outcome {
            Ok((report, _)) => exit_status(report),
            Err(stop) => stop.status,
        }
    }

    /// The verdict in a word or two.
    pub(super) fn verdict(&self) -> &'static str {
        match &self.outcome {
            Ok((report, _)) => report.stage().map_or("accepted", teegate_verifier::Stage::rejection),
            Err(stop) if stop.status == exit::MALFORMED => "malformed",
            Err(_) => "could not run",
        }
    }
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

/// The fields of the policy that decide a check, on a line behind `head`; nothing where every policy asks the same.
pub(crate) fn asked_by(check: Check, head: &str) -> String {
    let names: Vec<_> = check.fields().iter().map(|field| format!("`{}`", field.name)).collect();
    if names.is_empty() { String::new() } else { format!("{head}{}\n", names.join(", ")) }
}

/// `WHAT, valid from A to B`: one line of the list of what has expired.
pub(crate) fn window(expired: &Expired) -> String {
    match expired.until() {
        Some(until) => format!("{}, valid from {} to {until}", expired.what(), expired.from()),
        None => format!("{}, of {}, without an end", expired.what(), expired.from()),
    }
}
