//! Appraisal policies (RFC 9334, section 8.5): TOML, version 1, one or more named profiles, each complete for one TEE.
//!
//! Every field of a profile must be written: as an expectation, or as the word `unchecked`. An unknown key, a missing
//! field or a value of another form is an error that names the place; nothing has a default. A field that came after policies
//! of this version were in use may be missing, and means what it meant before there was one: `unchecked`, which the report
//! shows as that.

mod checks;
mod demand;
mod diff;
mod document;
mod explain;
mod holes;
mod lint;
mod names;
mod pinned;
mod place;
mod refusal;
mod seen;
mod shown;
mod values;
mod witness;

pub(crate) use checks::CHECKS;
pub use diff::{Difference, Direction};
pub(crate) use document::Profiled;
pub use document::{Policy, PolicyError};
pub use explain::{Sentence, Topic};
pub use lint::{Remark, Severity, Shipped, lint as lint_policy};
pub use shown::Shown;
pub use values::{Filled, Given, ReferenceValue, ReferenceValues, ReferenceValuesError};
pub use witness::{Example, Side};
