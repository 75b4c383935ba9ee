//! Exit status: what a script may conclude without reading a line.

use std::path::Path;

use teegate_intake::{Defect, IntakeError};
use teegate_verifier::Stage;

/// The evidence was accepted, or the question was answered.
pub(crate) const ACCEPTED: u8 = 0;
/// There is no verdict: usage, input or output, an unreadable policy.
pub(crate) const COULD_NOT_RUN: u8 = 1;
/// What was read is no evidence, or not what was made: an altered bundle.
pub(crate) const MALFORMED: u8 = 2;
/// `policy lint` has warnings or errors.
pub(crate) const FOUND: u8 = 4;
/// `fetch`: something that the evidence needs could not be had.
pub(crate) const INCOMPLETE: u8 = 6;

/// `watch`: everything is accepted now, and something will be refused too soon.
pub(crate) const ENDS_SOON: u8 = 7;

/// The status of a rejection at `stage`.
pub(crate) const fn of_rejection(stage: Stage) -> u8 {
    match stage {
        Stage::Parse => MALFORMED,
        Stage::Authenticate => 3,
        Stage::Appraise => 4,
    }
}

/// Why there is no report, and the status to end with.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) status: u8,
    pub(crate) message: String,
}

impl From<String> for Stop {
    fn from(message: String) -> Self {
        Self { status: COULD_NOT_RUN, message }
    }
}

impl Stop {
    /// The same, said of this file among others.
    pub(crate) fn about(self, file: &Path) -> Self {
        let name = format!("`{}`", file.display());
        let is_named =
            self.message.starts_with(&name) || (file == Path::new("-") && self.message.starts_with("`standard input`"));
        if is_named { self } else { Self { message: format!("{name}: {}", self.message), ..self } }
    }

    /// Of evidence, or of a bundle, that could not be taken in. Whoever presents it chooses its bytes, and must not be able to
    /// make a rejection look like a run that failed: only what could not be read leaves no verdict.
    pub(crate) fn of_evidence(error: &IntakeError) -> Self {
        let status = if matches!(error.defect(), Defect::Unreadable { .. }) { COULD_NOT_RUN } else { MALFORMED };
        Self { status, message: error.to_string() }
    }
}
