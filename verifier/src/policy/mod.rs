//! Appraisal policies (RFC 9334, section 8.5): TOML, version 1, one or more named profiles, each complete for the evidence of one
//! TEE in one wrapping.
//!
//! Every field of a profile must be written: as an expectation, or as the word `unchecked`. An unknown key, a missing
//! field or a value of another form is an error that names the place; nothing has a default. A field that came after policies
//! of this version were in use may be missing, and means what it meant before there was one: `unchecked`, which the report
//! shows as that.

mod checks;
mod document;
mod draft;
mod error;
mod load;
mod needed;
mod profile;
mod refusal;

pub(crate) use checks::CHECKS;
pub use document::{Document, Policy};
pub use draft::Draft;
pub use error::PolicyError;
pub use needed::{Needed, still_needed};
pub use profile::Profile;
