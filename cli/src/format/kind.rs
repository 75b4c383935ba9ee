//! The formats by their names on the command line.

use clap::ValueEnum;

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
    /// For the summary of a CI job: a table of verdicts, and what failed
    Markdown,
}
