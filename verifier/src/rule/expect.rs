//! What a policy expects of one value. Absence never means acceptance: not to check is a word that must be written.

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

use super::ask::{Ask, Asks};
use super::value::Value;
use super::words::{NEEDED, SAYS_NOTHING, UNCHECKED};
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
    /// Written as `"reference-value-needed"`, in a template: nothing is as expected until the value is there.
    Needed,
}

impl<T: PartialOrd> Expect<T> {
    /// Whether `actual` is as expected; `None` where nothing is expected.
    pub(crate) fn is_met_by(&self, actual: &T) -> Option<bool> {
        match self {
            Self::Exactly(expected) => Some(actual == expected),
            Self::AnyOf(expected) => Some(expected.contains(actual)),
            Self::AtLeast(least) => Some(actual >= least),
            Self::Needed => Some(false),
            Self::Unchecked => None,
        }
    }
}

impl<T> Expect<T> {
    /// Whether anything is asked.
    pub(crate) const fn is_asked(&self) -> bool {
        !matches!(self, Self::Unchecked)
    }

    /// Every value that is accepted; `None` where they cannot be told one by one.
    pub(crate) fn accepted(&self) -> Option<&[T]> {
        match self {
            Self::Exactly(value) => Some(std::slice::from_ref(value)),
            Self::AnyOf(values) => Some(values),
            Self::AtLeast(_) | Self::Unchecked | Self::Needed => None,
        }
    }

    /// Whether every value that is accepted is one of which this holds. What a template still needs is judged once it is there.
    pub(crate) fn accepts_only(&self, holds: impl FnMut(&T) -> bool) -> bool {
        matches!(self, Self::Needed) || self.accepted().is_some_and(|values| values.iter().all(holds))
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
            Self::Needed => f.write_str(NEEDED),
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
    crate::bytes::Pcr,
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
    /// As lists and reports hold it.
    fn value(&self) -> Value;
    /// Why a rule cannot be a floor; `None` where it can.
    const NO_FLOOR: Option<&'static str>;
    /// Whether a rule accepts every value that there is.
    fn is_everything(_: &Expect<Self>) -> bool {
        false
    }
}

impl<T: HexBytes> Scalar for T {
    const NO_FLOOR: Option<&'static str> = Some("bytes have no order that means anything; name the values");
    fn form() -> String {
        format!("{} hexadecimal digits", 2 * T::LENGTH)
    }
    fn from_text(text: &str) -> Option<Self> {
        T::parse_hex(text)
    }
    fn value(&self) -> Value {
        Value::Bytes(self.as_bytes().to_vec())
    }
}

impl Scalar for u32 {
    const NO_FLOOR: Option<&'static str> = None;
    fn is_everything(rule: &Expect<Self>) -> bool {
        matches!(rule, Expect::AtLeast(0))
    }
    fn form() -> String {
        "a number".to_owned()
    }
    fn from_text(_: &str) -> Option<Self> {
        None
    }
    fn from_number(number: u64) -> Option<Self> {
        number.try_into().ok()
    }
    fn value(&self) -> Value {
        Value::Number((*self).into())
    }
}

impl<T: Scalar> Asks for Expect<T> {
    fn ask(&self) -> Ask {
        match self {
            Self::Exactly(value) => Ask::OneOf([value.value()].into_iter().collect()),
            Self::AnyOf(values) => Ask::OneOf(values.iter().map(Scalar::value).collect()),
            // Bytes and levels have no floor, which the loader refuses: nothing is accepted by one.
            Self::AtLeast(least) => match least.value() {
                Value::Number(least) => Ask::AtLeast(least),
                Value::Bytes(_) | Value::Name(_) => Ask::names([]),
            },
            Self::Unchecked => Ask::Nothing,
            Self::Needed => Ask::Needed,
        }
    }
}

impl<'de, T: Scalar> Deserialize<'de> for Expect<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExpectVisitor(PhantomData))
    }
}

/// The rule, unless it accepts everything.
fn meaningful<T: Scalar, E: de::Error>(rule: Expect<T>) -> Result<Expect<T>, E> {
    if T::is_everything(&rule) { Err(E::custom(SAYS_NOTHING)) } else { Ok(rule) }
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
        if T::NO_FLOOR.is_none() { f.write_str(", or { at_least = … }") } else { Ok(()) }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        if text == UNCHECKED {
            return Ok(Expect::Unchecked);
        }
        if text == NEEDED {
            return Ok(Expect::Needed);
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
        meaningful(Expect::AnyOf(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        match map.next_key::<String>()?.as_deref() {
            Some("at_least") => {
                if let Some(why) = T::NO_FLOOR {
                    return Err(de::Error::custom(format_args!("`at_least` does not fit: {why}")));
                }
                let One(value) = map.next_value()?;
                match map.next_key::<String>()? {
                    None => meaningful(Expect::AtLeast(value)),
                    Some(other) => Err(de::Error::unknown_field(&other, &["at_least"])),
                }
            }
            Some(other) => {
                Err(de::Error::unknown_field(other, if T::NO_FLOOR.is_none() { &["at_least"] } else { &[] }))
            }
            None => Err(de::Error::missing_field("at_least")),
        }
    }
}
