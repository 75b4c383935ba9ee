//! What a template still needs.

use std::fmt;
use std::ops::Range;

use crate::check::Tee;
use crate::rule::{Field, clipped};

/// A field that still needs a reference value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Needed {
    /// The TEE of its profile.
    pub tee: Tee,
    /// The name of its profile.
    pub profile: String,
    /// The field.
    pub field: &'static Field,
    /// Where the word stands in the text, in bytes.
    pub span: Range<usize>,
    /// Its line, from 1.
    pub line: usize,
    /// Its column in characters, from 1.
    pub column: usize,
}

/// All of these, in one sentence; `None` where there are none.
pub fn still_needed<'n>(needed: impl IntoIterator<Item = &'n Needed>) -> Option<String> {
    let names: Vec<_> = needed.into_iter().map(Needed::to_string).collect();
    (!names.is_empty()).then(|| {
        format!(
            "a reference value is needed here: {}; give them with reference values, or write each, or the word \"unchecked\"",
            names.join(", ")
        )
    })
}

impl fmt::Display for Needed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tee, field, line, column, .. } = self;
        let place = clipped(&format!("{tee}.{}", self.profile));
        write!(f, "`{place}.{}` (line {line}, column {column}; {})", field.name, field.written)
    }
}
