//! Rules about the bits of one word that have names.

use std::fmt;

/// Bits of one word that have names: each with its number.
pub type BitNames = &'static [(&'static str, u32)];

/// Bits, by name, that must be or must not be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits {
    /// Every bit of the word that has a name.
    pub names: BitNames,
    /// Bits of the same word that other fields rule: this rule says nothing of them.
    pub elsewhere: u64,
    /// Those that must be 1.
    pub required: u64,
    /// Those that must be 0.
    pub forbidden: u64,
    /// Whether a bit without a name is refused.
    pub unknown_refused: bool,
}

impl Bits {
    /// Those of `bits` that have a name.
    pub fn named(names: BitNames, bits: u64) -> impl Iterator<Item = &'static str> {
        names.iter().filter(move |(_, bit)| bits >> bit & 1 == 1).map(|(name, _)| *name)
    }

    /// Whether the bit of this name must be 0.
    pub fn forbids(&self, name: &str) -> bool {
        Self::named(self.names, self.forbidden).any(|own| own == name)
    }

    /// Whether the bit of this name must be 1.
    pub fn requires(&self, name: &str) -> bool {
        Self::named(self.names, self.required).any(|own| own == name)
    }

    /// Every bit that has a name.
    pub fn known(&self) -> u64 {
        self.names.iter().fold(0, |known, (_, bit)| known | 1 << bit)
    }

    /// Those of `value` that have no name here, and that no other field rules.
    pub fn unknown(&self, value: u64) -> u64 {
        value & !self.known() & !self.elsewhere
    }

    /// Whether `value` is as these bits ask.
    pub fn admits(&self, value: u64) -> bool {
        let unknown = self.unknown_refused && self.unknown(value) != 0;
        value & self.required == self.required && value & self.forbidden == 0 && !unknown
    }

    /// What in `value` is not as these bits ask, in words.
    pub(crate) fn complaint(&self, value: u64) -> String {
        let missing = Self::named(self.names, self.required & !value).map(|name| format!("{name} is 0"));
        let present = Self::named(self.names, self.forbidden & value).map(|name| format!("{name} is 1"));
        let unknown = self.unknown(value);
        let unknown = (self.unknown_refused && unknown != 0).then(|| format!("unknown bits {unknown:#x}"));
        missing.chain(present).chain(unknown).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let required = Self::named(self.names, self.required).map(|name| format!("{name} 1"));
        let forbidden = Self::named(self.names, self.forbidden).map(|name| format!("{name} 0"));
        let unknown = self.unknown_refused.then(|| "no unknown bit".to_owned());
        let words: Vec<String> = required.chain(forbidden).chain(unknown).collect();
        f.write_str(&if words.is_empty() { "any".to_owned() } else { words.join(", ") })
    }
}
