//! What it takes to pin the code of a guest. Each platform has one definition of it; whatever the host chooses or the guest
//! extends, and every claim about a workload, counts only beside it.
//!
//! Pinned is a property of the set that a rule accepts, and not of how the rule is written: a set that also holds a value
//! that names nobody pins nobody.

use super::expect::Expect;
use super::field::{Blank, Field};
use crate::bytes::HexBytes;

/// What is compared byte by byte.
pub(crate) trait Digest {
    fn bytes(&self) -> &[u8];
}

impl<T: HexBytes> Digest for T {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// Whether every value that the rule of a field accepts names somebody, or says that there is none.
pub(crate) fn pins<T: Digest>(field: &Field, rule: &Expect<T>) -> bool {
    rule.accepts_only(|value| field.blank(value.bytes()) != Some(Blank::Nobody))
}

/// One condition of a definition.
pub(crate) struct Pin {
    field: &'static str,
    holds: bool,
    /// What is missing where it does not hold, and what to write.
    instead: &'static str,
}

pub(crate) const fn pin(field: &'static str, holds: bool, instead: &'static str) -> Pin {
    Pin { field, holds, instead }
}

/// Fields that count only with the code that enforces them, each with whether it asks for something, and what pins that code.
pub(crate) struct Undertaken {
    pub(crate) bound: Vec<(&'static str, bool)>,
    pub(crate) code: Vec<Pin>,
}

/// The first field that counts only beside a pin which does not hold, and that pin, in words. What something else stands for need
/// not be pinned here.
pub(crate) fn unpinned(undertaken: &Undertaken, stood_for: impl Fn(&str) -> bool) -> Option<(&'static str, String)> {
    let (bound, _) = undertaken.bound.iter().find(|(_, asked)| *asked)?;
    let Pin { field, instead, .. } = undertaken.code.iter().find(|pin| !pin.holds && !stood_for(pin.field))?;
    let words = format!(
        "expects `{bound}` while `{field}` does not pin who enforces it: {instead}, or write `{bound} = \"unchecked\"`"
    );
    Some((bound, words))
}
