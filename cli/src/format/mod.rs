//! How a verification report is shown: one file a format. FORMATS.md says what each contains and how it was mapped.

mod about;
mod checks;
mod ear;
mod inputs;
mod junit;
mod kind;
mod sarif;
mod sign;
pub(crate) mod text;
mod vector;

use serde::Serialize;
use teegate_verifier::{Expired, Report};

pub(crate) use about::About;
pub(crate) use inputs::{Inputs, Moment};
pub(crate) use kind::ReportFormat;
pub(crate) use sign::SigningKey;

use crate::output::Style;

/// The report in one format.
pub(crate) fn render(report: &Report, about: &About<'_>, format: ReportFormat) -> Result<String, String> {
    match format {
        ReportFormat::Text => Ok(text::whole(report, about, Style::of_stdout())),
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
