//! How a verification report is shown: one file a format. FORMATS.md says what each contains and how it was mapped.

mod about;
mod checks;
mod ear;
mod inputs;
mod junit;
mod kind;
mod markdown;
mod sarif;
mod several;
mod short;
mod shown;
mod sign;
pub(crate) mod text;
mod vector;
mod weakness;

use serde::Serialize;
use teegate_verifier::{Expired, Report};

pub(crate) use about::{About, File};
pub(crate) use inputs::{Inputs, Moment};
pub(crate) use kind::ReportFormat;
pub(crate) use sarif::{SCHEMA as SARIF_SCHEMA, uri_reference};
pub(crate) use shown::ShownArgs;
pub(crate) use sign::SigningKey;

use about::exit_status;

/// The report as it is wanted.
pub(crate) fn render(report: &Report, about: &About<'_>, shown: &ShownArgs) -> Result<String, String> {
    match shown.format {
        ReportFormat::Text => Ok(text::whole(report, about, shown.screen())),
        ReportFormat::Json => pretty(&Whole::of(report, about)),
        ReportFormat::Ear => ear::render(report, about),
        ReportFormat::Junit => Ok(junit::render(&[File::judged(report, about)])),
        ReportFormat::Sarif => pretty(&sarif::log(&[File::judged(report, about)], exit_status(report))),
        ReportFormat::Markdown => Ok(markdown::render(&[File::judged(report, about)])),
    }
}

/// The verdicts about many files, of which `status` is the highest.
pub(crate) fn render_all(files: &[File<'_>], status: u8, shown: &ShownArgs) -> Result<String, String> {
    match shown.format {
        ReportFormat::Text => Ok(several::text(files, status, shown.screen())),
        ReportFormat::Json => pretty(&several::Reports::of(files, status)),
        ReportFormat::Ear => Err("an attestation result is about one piece of evidence".to_owned()),
        ReportFormat::Junit => Ok(junit::render(files)),
        ReportFormat::Sarif => pretty(&sarif::log(files, status)),
        ReportFormat::Markdown => Ok(markdown::render(files)),
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

impl<'a> Whole<'a> {
    fn of(report: &'a Report, about: &About<'a>) -> Self {
        Self { report, expired: about.expired, inputs: about.inputs, not_to_be_had: about.in_vain }
    }
}

fn pretty(value: &impl Serialize) -> Result<String, String> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|error| format!("the report cannot be written: {error}"))?;
    text.push('\n');
    Ok(text)
}
