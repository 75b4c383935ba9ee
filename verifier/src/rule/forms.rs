//! The forms that a rule of a policy can take, beside a plain expectation.

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer, U64Deserializer};
use serde::de::{self, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use super::ask::{Ask, Asks};
use super::bits::{BitNames, Bits};
use super::value::Value;
use super::words::{SAYS_NOTHING, UNCHECKED};
use crate::bytes::{HexBytes, ReportData};
use crate::report::BoundTo;
use crate::time::UnixTime;

/// A rule, or the written word that there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Waivable<T> {
    Required(T),
    Unchecked,
}

impl<T> Waivable<T> {
    /// The rule, where there is one.
    pub(crate) const fn required(&self) -> Option<&T> {
        match self {
            Self::Required(rule) => Some(rule),
            Self::Unchecked => None,
        }
    }

    /// What a policy says that was written before there was such a field: what it said then.
    pub(crate) const fn unwritten() -> Self {
        Self::Unchecked
    }
}

/// A list that may not be waived, so that an empty one would accept nothing.
pub(crate) fn not_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let list = Vec::<T>::deserialize(deserializer)?;
    if list.is_empty() {
        return Err(de::Error::custom("an empty list accepts nothing: name what you take"));
    }
    Ok(list)
}

/// A reason that a report shows, for whatever a policy says against the rule.
pub(crate) fn reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.trim().is_empty() {
        return Err(de::Error::custom("a reason that says nothing: the report shows it, so write why"));
    }
    Ok(text)
}

/// Reasons, each by what it is for.
pub(crate) fn reasons<'de, D, K>(deserializer: D) -> Result<BTreeMap<K, String>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord,
{
    #[derive(Deserialize)]
    struct Reason(#[serde(deserialize_with = "reason")] String);
    let written = BTreeMap::<K, Reason>::deserialize(deserializer)?;
    Ok(written.into_iter().map(|(key, Reason(text))| (key, text)).collect())
}

/// Longer than this is no grace: ten years without leap days.
pub(crate) const MAX_GRACE_DAYS: u32 = 3_650;

/// How old a statement may be, counted from the day on which it was issued: written `{ days = … }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Age {
    #[serde(deserialize_with = "age_days")]
    pub(crate) days: u32,
}

impl Form for Age {}

impl Age {
    /// The first instant at which something issued at `issued` is too old.
    pub(crate) fn ends(self, issued: UnixTime) -> UnixTime {
        UnixTime::from_seconds(issued.seconds().saturating_add(u64::from(self.days).saturating_mul(86_400)))
    }
}

fn age_days<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let days = u32::deserialize(deserializer)?;
    if (1..=MAX_GRACE_DAYS).contains(&days) {
        return Ok(days);
    }
    Err(de::Error::custom(format_args!("an age of {days} days: expected 1 to {MAX_GRACE_DAYS}, or \"unchecked\"")))
}

/// The first end that is none, 2037-01-01T00:00:00Z: ten years after the year of this release. The loader has no clock.
pub(crate) const NO_END: UnixTime = UnixTime::from_seconds(2_114_380_800);

/// As much of what somebody wrote as an error repeats.
pub(crate) fn clipped(text: &str) -> String {
    text.chars().take(80).collect()
}

/// How a rule is written, and whether it says anything at all.
pub(crate) trait Form {
    /// Whether it is written as a list; a table's fields may not be given by position.
    const LIST: bool = false;
    /// Whether the rule accepts everything. That has a word of its own, so that a report can show it.
    fn says_nothing(&self) -> bool {
        false
    }
}

/// What a list holds.
pub(crate) trait Listed: Sized {
    /// Whether a list of these holds every value that there is.
    fn is_everything(_: &[Self]) -> bool {
        false
    }
}

impl Listed for String {}

impl<T: Listed> Form for Vec<T> {
    const LIST: bool = true;
    fn says_nothing(&self) -> bool {
        self.is_empty() || T::is_everything(self)
    }
}

impl<K, V> Form for BTreeMap<K, V> {
    fn says_nothing(&self) -> bool {
        self.is_empty()
    }
}

impl Form for u32 {
    fn says_nothing(&self) -> bool {
        *self == 0
    }
}

impl Form for BoundTo {}

/// The rule, unless it says nothing.
fn meaningful<T: Form, E: de::Error>(rule: T) -> Result<Waivable<T>, E> {
    if rule.says_nothing() {
        return Err(E::custom(SAYS_NOTHING));
    }
    Ok(Waivable::Required(rule))
}

impl<'de, T: Deserialize<'de> + Form> Deserialize<'de> for Waivable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WaivableVisitor(PhantomData))
    }
}

struct WaivableVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Form> Visitor<'de> for WaivableVisitor<T> {
    type Value = Waivable<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a rule, or \"{UNCHECKED}\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        if text == UNCHECKED {
            return Ok(Waivable::Unchecked);
        }
        let deserializer: StrDeserializer<'_, E> = text.into_deserializer();
        meaningful(T::deserialize(deserializer)?)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        let number = u64::try_from(number)
            .map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &"a number that is not negative"))?;
        let deserializer: U64Deserializer<E> = number.into_deserializer();
        meaningful(T::deserialize(deserializer)?)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        if !T::LIST {
            return Err(de::Error::invalid_type(de::Unexpected::Seq, &self));
        }
        meaningful(T::deserialize(SeqAccessDeserializer::new(list))?)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        meaningful(T::deserialize(MapAccessDeserializer::new(map))?)
    }
}

/// Whether something dangerous is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Switch {
    Rejected,
    Allowed,
}

/// What becomes of bits that this release has no name for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unknown {
    Rejected,
    Allowed,
}

/// Whether AMD's CRL must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Revocation {
    Required,
    IfSupplied,
    Unchecked,
}

/// As a policy writes them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBits {
    required: Vec<String>,
    forbidden: Vec<String>,
    unknown: Unknown,
}

/// A rule about bits, all of whose names are known; a bit of which both values are asked is refused.
pub(crate) fn bits_of<'de, D: Deserializer<'de>>(
    deserializer: D,
    names: BitNames,
    elsewhere: u64,
) -> Result<Waivable<Bits>, D::Error> {
    let Waivable::Required(written) = Waivable::<WrittenBits>::deserialize(deserializer)? else {
        return Ok(Waivable::Unchecked);
    };
    let bits = |listed: &[String]| {
        listed.iter().try_fold(0_u64, |bits, name| match names.iter().find(|(own, _)| own == name) {
            Some((_, bit)) => Ok(bits | 1 << bit),
            None => {
                let known: Vec<_> = names.iter().map(|(own, _)| *own).collect();
                let what = format!("unknown bit `{}`: expected one of {}", clipped(name), known.join(", "));
                Err(de::Error::custom(what))
            }
        })
    };
    let (required, forbidden) = (bits(&written.required)?, bits(&written.forbidden)?);
    match Bits::named(names, required & forbidden).next() {
        Some(name) => Err(de::Error::custom(format_args!("`{name}` is required and forbidden: nothing is accepted"))),
        None => {
            let unknown_refused = written.unknown == Unknown::Rejected;
            Ok(Waivable::Required(Bits { names, elsewhere, required, forbidden, unknown_refused }))
        }
    }
}

impl Form for WrittenBits {
    fn says_nothing(&self) -> bool {
        self.required.is_empty() && self.forbidden.is_empty() && self.unknown == Unknown::Allowed
    }
}

/// What is expected of the 64 bytes that the guest chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReportDataRule {
    /// The caller says which bytes; without them nothing is accepted.
    Caller,
    /// Exactly these.
    Exactly(ReportData),
    /// Whatever they are, unless the caller says which.
    Unchecked,
}

impl<'de> Deserialize<'de> for ReportDataRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            UNCHECKED => Ok(Self::Unchecked),
            "caller" => Ok(Self::Caller),
            text => ReportData::parse_hex(text).map(Self::Exactly).ok_or_else(|| {
                de::Error::custom(format_args!("expected \"caller\", 128 hexadecimal digits, or \"{UNCHECKED}\""))
            }),
        }
    }
}

impl<'de> Deserialize<'de> for BoundTo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "guest" => Ok(Self::Guest),
            "pod" => Ok(Self::Pod),
            "workload" => Ok(Self::Workload),
            other => Err(de::Error::unknown_variant(other, &["guest", "pod", "workload", UNCHECKED])),
        }
    }
}

/// A 64-bit mask, written as `"0x…"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mask(pub(crate) u64);

impl<'de> Deserialize<'de> for Mask {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        digits
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .map(Self)
            .ok_or_else(|| de::Error::custom(format_args!("`{}`: expected a mask such as \"0x3\"", clipped(&text))))
    }
}

impl Form for Mask {
    fn says_nothing(&self) -> bool {
        self.0 == 0
    }
}

impl<const N: usize> Form for Version<N> {
    fn says_nothing(&self) -> bool {
        self.0 == [0; N]
    }
}

/// A version written as `"1.55.29"`, of `N` parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version<const N: usize>(pub(crate) [u8; N]);

impl<const N: usize> fmt::Display for Version<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(index, part)| write!(f, "{}{part}", if index > 0 { "." } else { "" }))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Version<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parts: Option<Vec<u8>> = text.split('.').map(|part| part.parse().ok()).collect();
        parts.and_then(|parts| parts.try_into().ok()).map(Self).ok_or_else(|| {
            let text = clipped(&text);
            de::Error::custom(format_args!("`{text}`: expected a version of {N} parts such as \"1.55\" or \"1.55.29\""))
        })
    }
}

impl ReportDataRule {
    /// Whether `actual` is as the rule and the caller ask, with the expectation in words; `None` where neither asks.
    pub(crate) fn judge(&self, caller: Option<&ReportData>, actual: &ReportData) -> Option<(bool, String)> {
        match (self, caller) {
            (Self::Unchecked, None) => None,
            (Self::Caller, None) => Some((false, "the 64 bytes that the caller names (none were named)".to_owned())),
            (Self::Unchecked | Self::Caller, Some(expected)) => Some((actual == expected, expected.to_string())),
            (Self::Exactly(expected), None) => Some((actual == expected, expected.to_string())),
            (Self::Exactly(expected), Some(named)) => {
                Some((actual == expected && actual == named, format!("{expected} by policy, {named} by the caller")))
            }
        }
    }
}

impl<T: Asks> Asks for Waivable<T> {
    fn ask(&self) -> Ask {
        self.required().map_or(Ask::Nothing, Asks::ask)
    }
}

/// A number that must be reached.
impl Asks for u32 {
    fn ask(&self) -> Ask {
        Ask::AtLeast((*self).into())
    }
}

impl Asks for Switch {
    fn ask(&self) -> Ask {
        match self {
            Self::Rejected => Ask::Word(1, "is refused"),
            Self::Allowed => Ask::Word(0, "is allowed"),
        }
    }
}

impl Asks for Bits {
    fn ask(&self) -> Ask {
        Ask::Bits(*self)
    }
}

impl Asks for Age {
    fn ask(&self) -> Ask {
        Ask::Age(self.days)
    }
}

impl<const N: usize> Asks for Version<N> {
    fn ask(&self) -> Ask {
        Ask::Version(self.0.to_vec())
    }
}

impl Asks for Mask {
    fn ask(&self) -> Ask {
        Ask::Mask { required: self.0, allowed: u64::MAX }
    }
}

impl Asks for ReportDataRule {
    fn ask(&self) -> Ask {
        match self {
            Self::Caller => Ask::Caller,
            Self::Exactly(bytes) => Ask::OneOf([Value::Bytes(bytes.0.to_vec())].into_iter().collect()),
            Self::Unchecked => Ask::Nothing,
        }
    }
}
