//! How a verification report is shown: one file a format. FORMATS.md says what each contains and how it was mapped.

mod checks;
mod ear;
mod inputs;
mod junit;
mod sarif;
mod sign;
mod vector;

use std::path::Path;

use clap::ValueEnum;
use serde::Serialize;
use teegate_verifier::{Expired, Policy, Report, ReportData, Roots};

pub(crate) use inputs::{Inputs, Moment};
pub(crate) use sign::SigningKey;

use crate::output::Style;
use crate::{exit, show};

/// A format of the verification report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people
    Text,
    /// For programs: the whole report
    Json,
    /// For relying parties: an EAT Attestation Result, signed with `--ear-key`
    Ear,
    /// For CI systems: a test case for each check
    Junit,
    /// For code scanning: a result for each failed check
    Sarif,
}

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

/// The report in one format.
pub(crate) fn render(report: &Report, about: &About<'_>, format: ReportFormat) -> Result<String, String> {
    match format {
        ReportFormat::Text => Ok(show::whole(report, about, Style::of_stdout())),
        ReportFormat::Json => {
            pretty(&Whole { report, expired: about.expired, inputs: about.inputs, not_to_be_had: about.in_vain })
        }
        ReportFormat::Ear => ear::render(report, about),
        ReportFormat::Junit => Ok(junit::render(report, about)),
        ReportFormat::Sarif => pretty(&sarif::log(report, about)),
    }
}

/// Schema `teegate/report/1`: the verifier's report, and what the command knows beside it.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    report: &'a Report,
    expired: &'a [Expired],
    inputs: &'a Inputs,
    not_to_be_had: &'a [String],
}

fn pretty(value: &impl Serialize) -> Result<String, String> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|error| format!("the report cannot be written: {error}"))?;
    text.push('\n');
    Ok(text)
}

const fn verdict(report: &Report) -> &'static str {
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

const fn exit_status(report: &Report) -> u8 {
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
