//! How a report is wanted: the options that `verify` and `bundle verify` share.

use std::path::PathBuf;

use clap::Args;

use super::kind::ReportFormat;
use super::sign::SigningKey;
use crate::output;
use crate::screen::{Length, Screen};

/// How to show a report.
#[derive(Args, Debug)]
pub(crate) struct ShownArgs {
    /// How to show the report
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) format: ReportFormat,

    /// Of the text every check, also on a terminal
    #[arg(long)]
    long: bool,

    /// Of the text a screenful, also where it is not a terminal: the verdict, what weakens it, what failed, what was not asked
    #[arg(long, conflicts_with = "long")]
    short: bool,

    /// Nothing but errors: the exit status is the answer
    #[arg(long, short, conflicts_with_all = ["format", "long", "short"])]
    quiet: bool,

    /// The private key that signs `--format ear`: PKCS#8 in PEM, P-256 or P-384
    #[arg(long, value_name = "FILE")]
    ear_key: Option<PathBuf>,
}

impl ShownArgs {
    /// What the text is shown on.
    pub(crate) fn screen(&self) -> Screen {
        Screen::of_stdout(match (self.long, self.short) {
            (true, _) => Some(Length::Whole),
            (_, true) => Some(Length::Short),
            _ => None,
        })
    }

    /// What signs the result, where it is one that is signed. From here on it is quiet, where the user wants that.
    pub(crate) fn prepare(&self) -> Result<Option<SigningKey>, String> {
        output::be_quiet(self.quiet);
        SigningKey::for_format(self.ear_key.as_deref(), self.format)
    }
}
