//! What a lint says.

use serde::Serialize;
use teegate_verifier::Severity;

use super::kind::RemarkKind;

/// One remark about a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// How bad it is.
    pub severity: Severity,
    /// What is remarked of the field.
    #[serde(rename = "remark")]
    pub kind: RemarkKind,
    /// The line of the field's name, from 1.
    pub line: usize,
    /// The column of the field's name in characters, from 1.
    pub column: usize,
    /// The field, such as `sev-snp.strict.debug`.
    pub field: String,
    /// What it opens, or what contradicts what.
    pub opens: String,
    /// What to write instead.
    pub instead: String,
}
