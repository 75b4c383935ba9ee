//! The checks of a report as a list, for formats that have a place of their own for the rest.

use serde::Serialize;
use teegate_verifier::{Finding, Report};

/// One check: how it ended, and why it was not judged.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    pub(super) id: &'static str,
    pub(super) result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<&'a str>,
}

/// Every check, in the order of the walk.
pub(super) fn lines(report: &Report) -> Vec<Line<'_>> {
    report.findings().iter().map(line).collect()
}

fn line(finding: &Finding) -> Line<'_> {
    Line { id: finding.check().id(), result: finding.outcome().name(), why: finding.outcome().why() }
}
