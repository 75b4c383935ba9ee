//! Exit status: what a script may conclude without reading a line.

use teegate_verifier::Stage;

/// The evidence was accepted, or the question was answered.
pub(crate) const ACCEPTED: u8 = 0;
/// There is no verdict: usage, input or output, an unreadable policy.
pub(crate) const COULD_NOT_RUN: u8 = 1;
/// `policy lint` has warnings or errors.
pub(crate) const FOUND: u8 = 4;
/// `fetch`: something that the evidence needs could not be had.
pub(crate) const INCOMPLETE: u8 = 6;

/// For the end of `--help`.
pub(crate) const EXPLANATION: &str =
    "Exit status: 0 accepted; 1 could not run; rejected as 2 malformed, 3 unauthentic, 4 unacceptable.";

/// The status of a rejection at `stage`.
pub(crate) const fn of_rejection(stage: Stage) -> u8 {
    match stage {
        Stage::Parse => 2,
        Stage::Authenticate => 3,
        Stage::Appraise => 4,
    }
}
