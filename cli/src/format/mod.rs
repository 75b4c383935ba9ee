//! How a verification report is shown: one file a format. FORMATS.md says what each contains and how it was mapped.

mod checks;
mod ear;
mod junit;
mod sarif;
mod sign;
mod vector;

use std::path::Path;

use clap::ValueEnum;
use serde::Serialize;
use teegate_verifier::{Expired, Policy, Report, ReportData};

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
    /// The report data that the user asked for on the command line.
    pub(crate) report_data: Option<ReportData>,
    /// Whether the time was stated, so that a verdict of the past is replayed.
    pub(crate) replayed: bool,
    /// The endorsements that the time lies outside of.
    pub(crate) expired: &'a [Expired],
    /// What signs an attestation result.
    pub(crate) ear_key: Option<&'a SigningKey>,
}

/// The report in one format.
pub(crate) fn render(report: &Report, about: &About<'_>, format: ReportFormat) -> Result<String, String> {
    match format {
        ReportFormat::Text => Ok(show::report(report, about.policy, about.named, about.expired, Style::of_stdout())),
        ReportFormat::Json => pretty(&Whole { report, expired: about.expired }),
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
