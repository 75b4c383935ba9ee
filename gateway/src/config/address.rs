//! Where an instance is looked for.

use std::fmt;

/// The address of an instance, `host:port`. It is where to look, never who is there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Address(String);

impl Address {
    /// Checks the form `host:port`.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        (!host.is_empty() && text.len() <= 255 && host.chars().all(is_plain) && port.parse::<u16>().is_ok())
            .then(|| Self(text.to_owned()))
    }

    /// As it was configured.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
