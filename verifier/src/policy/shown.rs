//! What evidence can show of one field, and whether a rule takes it: on forged bytes as on recorded ones, without the bytes.

use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

use super::demand::Demand;
use crate::sev_snp::profile::{PLATFORM_BITS, POLICY_BITS};
use crate::tdx::profile::ATTRIBUTE_BITS;

/// The value of one field in some evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A name, a digest or an id, as a policy spells it. Of advisories: the only one.
    Text(String),
    /// A number.
    Number(u64),
    /// An instant, in seconds since 1970.
    Date(u64),
    /// A version, its first part first.
    Version(Vec<u8>),
    /// Security versions of the firmware's components, and the product whose they are.
    Tcb(String, BTreeMap<&'static str, u8>),
    /// Bits that have names.
    Bits(u64),
    /// Bits that have none.
    Mask(u64),
    /// 64 bytes, and whether the caller names them.
    ReportData(String, bool),
    /// A bulletin that is open, and the days since it was published.
    Bulletin(String, u32),
    /// A statement that was issued so many days ago.
    Aged(u32),
    /// A platform that is out of date, and the days since the date of its TCB level.
    OutOfDate(u32),
    /// A platform that is open to this advisory alone, its status, the instant of the verdict in seconds since 1970, and the
    /// days from the date of its TCB level to then.
    Advisory(String, String, u64, u32),
    /// Something that words describe; rules of this rank or a higher one refuse it.
    State(u8, &'static str),
}

impl Demand {
    /// Whether evidence that shows this passes the rule of a field of this name.
    pub(super) fn admits(&self, field: &str, shown: &Shown) -> bool {
        match (self, shown) {
            (Self::Nothing, _) => true,
            (Self::Caller, Shown::ReportData(_, named)) => *named,
            (Self::OneOf(values), Shown::ReportData(text, _) | Shown::Text(text)) => values.contains(text),
            (Self::NoneOf(values), Shown::Text(text)) => !values.contains(text),
            (Self::OneOf(values), Shown::Number(number)) => values.contains(&number.to_string()),
            (Self::AtLeast(least, _), Shown::Number(number) | Shown::Date(number)) => number >= least,
            (Self::Version(least, _), Shown::Version(version)) => version >= least,
            (Self::Floors(floors), Shown::Tcb(product, parts)) => floors.get(product).is_some_and(|floor| {
                floor.iter().all(|(name, least)| parts.get(name).is_some_and(|part| part >= least))
            }),
            (Self::Bits { required, forbidden, unknown_refused }, Shown::Bits(bits)) => {
                let known = known_bits(field);
                let is_set = |name: &String| bits & bit(known, name) != 0;
                let unknown = bits & !known.iter().fold(0, |named, (_, bit)| named | 1 << bit);
                required.iter().all(is_set) && !forbidden.iter().any(is_set) && !(*unknown_refused && unknown != 0)
            }
            (Self::Mask { required, allowed }, Shown::Mask(bits)) => {
                bits & required == *required && bits & !allowed == 0
            }
            (Self::Word(rank, _), Shown::State(refused_from, _)) => rank < refused_from,
            (Self::NoneOpen { grace_days, except, .. }, Shown::Bulletin(id, days)) => {
                days < grace_days || except.contains(id)
            }
            (Self::AtMostDays(grace), Shown::OutOfDate(days)) => days < grace,
            (Self::Age(most), Shown::Aged(days)) => days < most,
            (Self::OneOf(statuses), Shown::OutOfDate(_)) => statuses.contains("OutOfDate"),
            (Self::Exceptions(exceptions), Shown::Advisory(id, status, at, _)) => {
                exceptions.get(id).is_some_and(|(statuses, until, _)| statuses.contains(status) && at < until)
            }
            _ => false,
        }
    }
}

/// The names of the bits of a field.
pub(super) fn known_bits(field: &str) -> &'static [(&'static str, u32)] {
    match field {
        "platform_info" => PLATFORM_BITS,
        "policy_flags" => POLICY_BITS,
        "attributes" => ATTRIBUTE_BITS,
        _ => &[],
    }
}

/// The bit of this name.
pub(super) fn bit(known: &[(&str, u32)], name: &str) -> u64 {
    known.iter().find(|(own, _)| *own == name).map_or(0, |(_, bit)| 1 << bit)
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Date(seconds) => crate::time::UnixTime::from_seconds(*seconds).fmt(f),
            Self::Version(parts) => f.write_str(&parts.iter().map(u8::to_string).collect::<Vec<_>>().join(".")),
            Self::Tcb(product, parts) => {
                parts.iter().try_for_each(|(name, part)| write!(f, "{name} {part} "))?;
                write!(f, "on {product}")
            }
            Self::Bits(bits) | Self::Mask(bits) => write!(f, "{bits:#x}"),
            Self::ReportData(bytes, true) => write!(f, "{bytes}, and the caller names these bytes"),
            Self::ReportData(bytes, false) => write!(f, "{bytes}, and the caller names none"),
            Self::Bulletin(id, days) => write!(f, "{id} open, {days} days after it was published"),
            Self::Aged(days) => write!(f, "issued {days} days ago"),
            Self::OutOfDate(days) => write!(f, "OutOfDate, {days} days after the date of its TCB level"),
            Self::Advisory(id, status, at, days) => {
                write!(f, "{status} and open to {id}, at {}", crate::time::UnixTime::from_seconds(*at))?;
                if *days > 0 { write!(f, ", {days} days after the date of its TCB level") } else { Ok(()) }
            }
            Self::State(_, words) => f.write_str(words),
        }
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_u64(*number),
            other => serializer.collect_str(other),
        }
    }
}
