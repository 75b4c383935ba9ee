//! What evidence shows of one field: on the report of a verification, on records and on made-up examples alike.

use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use super::value::Borrowed;
use crate::bytes::to_hex;
use crate::time::UnixTime;

/// The value of one field in some evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shown<'v> {
    /// A digest or an id.
    Bytes(Cow<'v, [u8]>),
    /// A name, as a policy spells it. Of advisories: the only one.
    Name(Cow<'v, str>),
    /// A number.
    Number(u64),
    /// An instant.
    Date(UnixTime),
    /// A version, its first part first.
    Version(Vec<u8>),
    /// Security versions of the firmware's components, and the product whose they are.
    Tcb(Cow<'v, str>, BTreeMap<&'static str, u8>),
    /// Bits that have names.
    Bits(u64),
    /// Bits that have none.
    Mask(u64),
    /// 64 bytes, and whether the caller names them.
    ReportData(Cow<'v, [u8]>, bool),
    /// A bulletin that is open, and the days since it was published.
    Bulletin(Cow<'v, str>, u32),
    /// A statement that was issued so many days ago.
    Aged(u32),
    /// A platform that is out of date, and the days since the date of its TCB level.
    OutOfDate(u32),
    /// A platform that is open to this advisory alone, its status, the instant of the verdict, and the days from the date of
    /// its TCB level to then.
    Advisory(Cow<'v, str>, Cow<'v, str>, UnixTime, u32),
    /// Something that words describe; rules of this rank or a higher one refuse it.
    State(u8, &'static str),
}

impl<'v> Shown<'v> {
    /// Bytes that the evidence holds.
    pub(crate) fn bytes(bytes: &'v [u8]) -> Self {
        Self::Bytes(Cow::Borrowed(bytes))
    }

    /// As a value that a list may hold.
    pub(super) fn value(&self) -> Option<Borrowed<'_>> {
        match self {
            Self::Bytes(bytes) | Self::ReportData(bytes, _) => Some(Borrowed::Bytes(bytes)),
            Self::Name(name) => Some(Borrowed::Name(name)),
            Self::Number(number) => Some(Borrowed::Number(*number)),
            _ => None,
        }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => f.write_str(&to_hex(bytes)),
            Self::Name(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Date(instant) => instant.fmt(f),
            Self::Version(parts) => f.write_str(&parts.iter().map(u8::to_string).collect::<Vec<_>>().join(".")),
            Self::Tcb(product, parts) => {
                parts.iter().try_for_each(|(name, part)| write!(f, "{name} {part} "))?;
                write!(f, "on {product}")
            }
            Self::Bits(bits) | Self::Mask(bits) => write!(f, "{bits:#x}"),
            Self::ReportData(bytes, true) => write!(f, "{}, and the caller names these bytes", to_hex(bytes)),
            Self::ReportData(bytes, false) => write!(f, "{}, and the caller names none", to_hex(bytes)),
            Self::Bulletin(id, days) => write!(f, "{id} open, {days} days after it was published"),
            Self::Aged(days) => write!(f, "issued {days} days ago"),
            Self::OutOfDate(days) => write!(f, "OutOfDate, {days} days after the date of its TCB level"),
            Self::Advisory(id, status, at, days) => {
                write!(f, "{status} and open to {id}, at {at}")?;
                if *days > 0 { write!(f, ", {days} days after the date of its TCB level") } else { Ok(()) }
            }
            Self::State(_, words) => f.write_str(words),
        }
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_u64(*number),
            other => serializer.collect_str(other),
        }
    }
}
