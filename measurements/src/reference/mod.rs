//! Reference values: what was collected, how it is written, and how a template is filled from it.

mod collected;
mod fill;
mod text;

pub use collected::{ReferenceValue, ReferenceValues, ReferenceValuesError, Stated};
pub use fill::{Filled, fill, only};
