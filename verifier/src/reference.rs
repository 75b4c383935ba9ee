//! What a policy expects of one value. Absence never means acceptance: not to check is a word that must be written.

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

use crate::bytes::HexBytes;

/// An expectation of one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expect<T> {
    /// Written as the value itself.
    Exactly(T),
    /// Written as a list.
    AnyOf(Vec<T>),
    /// Written as `{ at_least = … }`.
    AtLeast(T),
    /// Written as `"unchecked"`.
    Unchecked,
}

/// The word that waives a check.
pub(crate) const UNCHECKED: &str = "unchecked";

/// The word by which a template asks for a reference value.
pub(crate) const NEEDED: &str = "reference-value-needed";

impl<T: PartialOrd> Expect<T> {
    /// Whether `actual` is as expected; `None` where nothing is expected.
    pub(crate) fn is_met_by(&self, actual: &T) -> Option<bool> {
        match self {
            Self::Exactly(expected) => Some(actual == expected),
            Self::AnyOf(expected) => Some(expected.contains(actual)),
            Self::AtLeast(least) => Some(actual >= least),
            Self::Unchecked => None,
        }
    }
}

impl<T> Expect<T> {
    /// Whether a value is expected at all.
    pub(crate) const fn is_pinned(&self) -> bool {
        !matches!(self, Self::Unchecked)
    }
}

impl<T: fmt::Display> fmt::Display for Expect<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(expected) => expected.fmt(f),
            Self::AnyOf(expected) => {
                f.write_str("one of ")?;
                expected
                    .iter()
                    .enumerate()
                    .try_for_each(|(index, value)| write!(f, "{}{value}", if index > 0 { ", " } else { "" }))
            }
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::Unchecked => f.write_str(UNCHECKED),
        }
    }
}

/// A byte string cannot be "at least" another: its order means nothing, so none is offered.
macro_rules! unordered {
    ($($name:ty),+) => {$(
        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                (self == other).then_some(std::cmp::Ordering::Equal)
            }
        }
    )+};
}
unordered!(
    crate::bytes::Measurement,
    crate::bytes::HostData,
    crate::bytes::ReportData,
    crate::bytes::ChipId,
    crate::bytes::Mr,
    crate::bytes::BlockId,
    crate::bytes::ReportId,
    crate::bytes::Ppid
);

/// A scalar as a policy writes it.
pub(crate) trait Scalar: Sized {
    /// For errors: what was expected.
    fn form() -> String;
    /// From a text, where the type is written as one.
    fn from_text(text: &str) -> Option<Self>;
    /// From a number, where the type is written as one.
    fn from_number(_: u64) -> Option<Self> {
        None
    }
    /// Whether `at_least` makes sense.
    const ORDERED: bool;
}

impl<T: HexBytes> Scalar for T {
    const ORDERED: bool = false;
    fn form() -> String {
        format!("{} hexadecimal digits", 2 * T::LENGTH)
    }
    fn from_text(text: &str) -> Option<Self> {
        T::parse_hex(text)
    }
}

impl Scalar for u32 {
    const ORDERED: bool = true;
    fn form() -> String {
        "a number".to_owned()
    }
    fn from_text(_: &str) -> Option<Self> {
        None
    }
    fn from_number(number: u64) -> Option<Self> {
        number.try_into().ok()
    }
}

impl<'de, T: Scalar> Deserialize<'de> for Expect<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExpectVisitor(PhantomData))
    }
}

struct ExpectVisitor<T>(PhantomData<T>);

/// One scalar inside a list or an `at_least`.
struct One<T>(T);

impl<'de, T: Scalar> Deserialize<'de> for One<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(ExpectVisitor(PhantomData))? {
            Expect::Exactly(value) => Ok(One(value)),
            _ => Err(de::Error::custom(format_args!("expected {} here", T::form()))),
        }
    }
}

impl<'de, T: Scalar> Visitor<'de> for ExpectVisitor<T> {
    type Value = Expect<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, a list of such, or \"{UNCHECKED}\"", T::form())?;
        if T::ORDERED { f.write_str(", or { at_least = … }") } else { Ok(()) }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        if text == UNCHECKED {
            return Ok(Expect::Unchecked);
        }
        if text == NEEDED {
            return Err(E::custom(format_args!(
                "a reference value is needed here: expected {}, or the written word \"{UNCHECKED}\"",
                T::form()
            )));
        }
        T::from_text(text).map(Expect::Exactly).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        T::from_number(number)
            .map(Expect::Exactly)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(One(value)) = list.next_element::<One<T>>()? {
            values.push(value);
        }
        if values.is_empty() {
            return Err(de::Error::custom(format_args!(
                "an empty list accepts nothing: name a value, or write \"{UNCHECKED}\""
            )));
        }
        Ok(Expect::AnyOf(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        match map.next_key::<String>()?.as_deref() {
            Some("at_least") if T::ORDERED => {
                let One(value) = map.next_value()?;
                match map.next_key::<String>()? {
                    None => Ok(Expect::AtLeast(value)),
                    Some(other) => Err(de::Error::unknown_field(&other, &["at_least"])),
                }
            }
            Some(other) => Err(de::Error::unknown_field(other, if T::ORDERED { &["at_least"] } else { &[] })),
            None => Err(de::Error::missing_field("at_least")),
        }
    }
}
