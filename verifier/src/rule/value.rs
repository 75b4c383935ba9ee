//! Single values: as a rule lists them, and the sets that they make. A list may hold as many as a file has room for, so each
//! is found without reading the others.

use std::fmt;

use crate::bytes::to_hex;

/// One value that a rule accepts or refuses by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// A measurement, digest or id.
    Bytes(Vec<u8>),
    /// A number, such as a privilege level.
    Number(u64),
    /// A name, as a policy spells it.
    Name(String),
}

/// A value that somebody else holds. The order is that of [`Value`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Borrowed<'v> {
    Bytes(&'v [u8]),
    Number(u64),
    Name(&'v str),
}

impl Value {
    pub(super) fn borrowed(&self) -> Borrowed<'_> {
        match self {
            Self::Bytes(bytes) => Borrowed::Bytes(bytes),
            Self::Number(number) => Borrowed::Number(*number),
            Self::Name(name) => Borrowed::Name(name),
        }
    }
}

/// As reports show it: bytes in hexadecimal.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => f.write_str(&to_hex(bytes)),
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A set of values, in the order in which they were written.
#[derive(Clone, Default)]
pub struct Values {
    /// Each once.
    written: Vec<Value>,
    /// Where each stands in `written`, by its order.
    sorted: Vec<usize>,
}

impl Values {
    /// Whether this is one of them.
    pub fn contains(&self, value: &Value) -> bool {
        self.holds(value.borrowed())
    }

    pub(super) fn holds(&self, value: Borrowed<'_>) -> bool {
        self.at(value).is_ok()
    }

    fn at(&self, value: Borrowed<'_>) -> Result<usize, usize> {
        let own = |place: &usize| self.written.get(*place).map(Value::borrowed);
        self.sorted.binary_search_by(|place| own(place).cmp(&Some(value)))
    }

    /// Whether `other` has all of them.
    pub fn are_within(&self, other: &Self) -> bool {
        self.written.iter().all(|value| other.contains(value))
    }

    /// In the order in which they were written.
    pub fn as_slice(&self) -> &[Value] {
        &self.written
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    /// With this between them.
    pub fn join(&self, between: &str) -> String {
        self.written.iter().map(Value::to_string).collect::<Vec<_>>().join(between)
    }
}

/// The same whatever their order.
impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        self.written.len() == other.written.len() && self.are_within(other)
    }
}

impl Eq for Values {}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} values", self.written.len())
    }
}

impl FromIterator<Value> for Values {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> Self {
        let all: Vec<Value> = values.into_iter().collect();
        // Of equal values the one that was written first stays.
        let mut places: Vec<usize> = (0..all.len()).collect();
        places.sort_by(|one, other| all.get(*one).cmp(&all.get(*other)).then(one.cmp(other)));
        places.dedup_by(|later, first| all.get(*later) == all.get(*first));
        places.sort_unstable();
        let mut kept = places.into_iter().peekable();
        let numbered = all.into_iter().enumerate();
        let written: Vec<Value> =
            numbered.filter(|(place, _)| kept.next_if_eq(place).is_some()).map(|(_, one)| one).collect();
        let mut sorted: Vec<usize> = (0..written.len()).collect();
        sorted.sort_by_key(|place| written.get(*place).map(Value::borrowed));
        Self { written, sorted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_repetition_change_no_set() {
        let names = |list: &[&str]| list.iter().map(|text| Value::Name((*text).to_owned())).collect::<Values>();
        let (two, same) = (names(&["b", "a", "b"]), names(&["a", "b"]));
        assert_eq!(two, same);
        assert_eq!((two.join(", "), same.join(", ")), ("b, a".to_owned(), "a, b".to_owned()));
        assert!(two.are_within(&names(&["c", "b", "a"])) && !names(&["c", "b", "a"]).are_within(&two));
        assert!(two.contains(&Value::Name("a".to_owned())) && !two.contains(&Value::Name("c".to_owned())));
        assert!(!two.contains(&Value::Number(0)) && !two.contains(&Value::Bytes(b"a".to_vec())));
        assert!(names(&[]).is_empty() && names(&[]) != two);
    }

    #[test]
    fn every_value_of_a_mixed_list_is_found() {
        let all: Vec<_> = (0..50_u8)
            .flat_map(|number| {
                [Value::Bytes(vec![number; 3]), Value::Number(99 - u64::from(number)), Value::Name(number.to_string())]
            })
            .collect();
        let values: Values = all.iter().rev().cloned().collect();
        assert!(all.iter().all(|value| values.contains(value)));
        assert!(!values.contains(&Value::Number(49)) && !values.contains(&Value::Bytes(vec![1; 2])));
        assert_eq!(values.as_slice().len(), all.len());
    }
}
