//! What the bytes say, by name: every decoded field, for reports and for people. Facts carry no judgement.

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::bytes::to_hex;
use crate::words::{Text, Words};

/// The value of one fact.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FactValue {
    /// A word or a version.
    Text(Words),
    /// Bytes, shown in lower-case hexadecimal.
    Bytes(FactBytes),
    /// A number.
    Number(u64),
    /// A bit.
    Flag(bool),
    /// Several words.
    List(Vec<String>),
    /// Not present in this evidence.
    Absent,
}

/// The bytes of a fact: a register, a digest, an id.
#[derive(Clone)]
pub struct FactBytes(Held);

/// No field of a report or a quote that is stated has more than 64 bytes; what has is held elsewhere.
#[derive(Clone)]
enum Held {
    Here([u8; 64], u8),
    Elsewhere(Box<[u8]>),
}

impl FactBytes {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Held::Here(bytes, length) => bytes.get(..usize::from(*length)).unwrap_or(bytes),
            Held::Elsewhere(bytes) => bytes,
        }
    }
}

impl From<&[u8]> for FactBytes {
    fn from(bytes: &[u8]) -> Self {
        let mut here = [0; 64];
        Self(match (here.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(bytes);
                Held::Here(here, length)
            }
            _ => Held::Elsewhere(bytes.into()),
        })
    }
}

impl std::ops::Deref for FactBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl PartialEq for FactBytes {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for FactBytes {}

impl std::fmt::Debug for FactBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&to_hex(self))
    }
}

impl Serialize for FactValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_str(&to_hex(bytes)),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::List(list) => list.serialize(serializer),
            Self::Absent => serializer.serialize_none(),
        }
    }
}

impl std::fmt::Display for FactValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Bytes(bytes) => f.write_str(&to_hex(bytes)),
            Self::Number(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::List(list) if list.is_empty() => f.write_str("none"),
            Self::List(list) => f.write_str(&list.join(", ")),
            Self::Absent => f.write_str("-"),
        }
    }
}

/// Facts in the order in which they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts(Vec<(&'static str, FactValue)>);

impl Facts {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    pub(crate) fn text(&mut self, name: &'static str, value: impl Into<Text>) {
        self.0.push((name, FactValue::Text(value.into().into())));
    }

    pub(crate) fn bytes(&mut self, name: &'static str, value: &[u8]) {
        self.0.push((name, FactValue::Bytes(value.into())));
    }

    pub(crate) fn number(&mut self, name: &'static str, value: impl Into<u64>) {
        self.0.push((name, FactValue::Number(value.into())));
    }

    pub(crate) fn flag(&mut self, name: &'static str, value: bool) {
        self.0.push((name, FactValue::Flag(value)));
    }

    pub(crate) fn list(&mut self, name: &'static str, value: Vec<String>) {
        self.0.push((name, FactValue::List(value)));
    }

    pub(crate) fn absent(&mut self, name: &'static str) {
        self.0.push((name, FactValue::Absent));
    }

    pub(crate) fn get(&self, name: &str) -> Option<&FactValue> {
        self.0.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &FactValue)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Facts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_length_are_the_same_wherever_they_are_held() {
        for length in [0, 1, 63, 64, 65, 256, 300] {
            let bytes = vec![0xA5; length];
            let fact = FactBytes::from(bytes.as_slice());
            assert_eq!(fact.as_slice(), bytes, "{length}");
            assert_eq!(FactValue::Bytes(fact).to_string(), "a5".repeat(length));
        }
    }
}
