//! What one field of a profile asks, in one form for all fields, and the only place that says what each form admits:
//! verdicts, records and examples are all judged here.

use std::collections::BTreeMap;
use std::fmt;

use super::bits::Bits;
use super::shown::Shown;
use super::value::{Value, Values};
use crate::time::UnixTime;

/// What one field asks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ask {
    /// Nothing: the policy says `unchecked`.
    Nothing,
    /// A reference value that a template still needs. Until it is there, nothing is accepted.
    Needed,
    /// One of these and nothing else.
    OneOf(Values),
    /// Everything but these.
    NoneOf(Values),
    /// This number or a greater one.
    AtLeast(u64),
    /// This instant or a later one.
    NotBefore(UnixTime),
    /// This version or a later one, its first part first.
    Version(Vec<u8>),
    /// A floor of components for each product; a product without one is refused.
    Floors(BTreeMap<&'static str, Floor>),
    /// None of a set of named things, but those excepted, and each only from so many days on; the number names the set.
    NoneOpen {
        /// Which set.
        set: u32,
        /// How long each may stay open.
        grace_days: u32,
        /// What may stay open for ever.
        except: Values,
    },
    /// Nothing beside what another field lists, but what each of these lets in: by name, what, and until when.
    Exceptions(BTreeMap<String, (Values, UnixTime)>),
    /// At most so many days.
    AtMostDays(u32),
    /// Issued less than so many days ago.
    Age(u32),
    /// Bits by name.
    Bits(Bits),
    /// Bits that must be 1, and those that may be.
    Mask {
        /// Those that must be 1.
        required: u64,
        /// Those that may be.
        allowed: u64,
    },
    /// The 64 bytes that the caller names; nothing where none are named.
    Caller,
    /// A word of a scale: what a higher rank accepts, every lower one accepts too.
    Word(u8, &'static str),
}

/// The least of each component, in the order in which reports show them.
pub type Floor = Vec<(&'static str, u8)>;

impl Ask {
    /// One of these names.
    pub(crate) fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self::OneOf(names.into_iter().map(|name| Value::Name(name.to_owned())).collect())
    }

    /// None of these names.
    pub(crate) fn no_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self::NoneOf(names.into_iter().map(|name| Value::Name(name.to_owned())).collect())
    }

    /// Whether everything is accepted.
    pub fn is_waived(&self) -> bool {
        matches!(self, Self::Nothing) || matches!(self, Self::NoneOf(denied) if denied.is_empty())
    }

    /// Whether evidence that shows this passes the rule.
    pub fn admits(&self, shown: &Shown<'_>) -> bool {
        match (self, shown) {
            (Self::Nothing, _) => true,
            (Self::Caller, Shown::ReportData(_, named)) => *named,
            (Self::OneOf(statuses), Shown::OutOfDate(_)) => statuses.contains(&Value::Name("OutOfDate".to_owned())),
            (Self::OneOf(values), shown) => shown.value().is_some_and(|value| values.holds(value)),
            (Self::NoneOf(values), shown) => shown.value().is_some_and(|value| !values.holds(value)),
            (Self::AtLeast(least), Shown::Number(number)) => number >= least,
            (Self::NotBefore(first), Shown::Date(date)) => date >= first,
            (Self::Version(least), Shown::Version(version)) => version >= least,
            (Self::Floors(floors), Shown::Tcb(product, parts)) => {
                floors.get(&**product).is_some_and(|floor| is_reached(floor, |name| parts.get(name).copied()))
            }
            (Self::Bits(bits), Shown::Bits(shown)) => bits.admits(*shown),
            (Self::Mask { required, allowed }, Shown::Mask(bits)) => {
                bits & required == *required && bits & !allowed == 0
            }
            (Self::Word(rank, _), Shown::State(refused_from, _)) => rank < refused_from,
            (Self::NoneOpen { grace_days, except, .. }, Shown::Bulletin(id, days)) => {
                days < grace_days || except.contains(&Value::Name(id.to_string()))
            }
            (Self::AtMostDays(grace), Shown::OutOfDate(days)) => days < grace,
            (Self::Age(most), Shown::Aged(days)) => days < most,
            (Self::Exceptions(exceptions), Shown::Advisory(id, status, at, _)) => exceptions
                .get(&**id)
                .is_some_and(|(statuses, until)| statuses.contains(&Value::Name(status.to_string())) && at < until),
            _ => false,
        }
    }
}

/// Whether every component that the floor names is there, and not below it.
fn is_reached(floor: &Floor, part: impl Fn(&str) -> Option<u8>) -> bool {
    floor.iter().all(|(name, least)| part(name).is_some_and(|part| part >= *least))
}

/// More values than this are counted, and not listed.
const LISTED: usize = 32;

/// What is expected, as a finding says it.
impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("anything"),
            Self::Needed => f.write_str("a reference value that is not there yet"),
            Self::OneOf(values) => match values.as_slice() {
                [value] => value.fmt(f),
                many if many.len() > LISTED => write!(f, "one of {} values", many.len()),
                _ => write!(f, "one of {}", values.join(", ")),
            },
            Self::NoneOf(values) => write!(f, "none of {}", values.join(", ")),
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::NotBefore(first) => write!(f, "{first} or later"),
            Self::Version(least) => write!(f, "at least {}", Shown::Version(least.clone())),
            Self::Floors(floors) => {
                let words = floors.iter().map(|(product, floor)| format!("{} on {product}", in_words(floor)));
                write!(f, "at least {}", words.collect::<Vec<_>>().join("; "))
            }
            Self::Bits(bits) => bits.fmt(f),
            Self::Mask { required, allowed: u64::MAX } => write!(f, "{required:#x}"),
            Self::Mask { required, allowed } => write!(f, "{required:#x} and nothing outside {allowed:#x}"),
            Self::NoneOpen { set, grace_days, .. } => write!(f, "none of set {set} open for {grace_days} days or more"),
            Self::Exceptions(exceptions) => write!(f, "{} exceptions", exceptions.len()),
            Self::AtMostDays(days) => write!(f, "at most {days} days"),
            Self::Age(days) => write!(f, "issued less than {days} days ago"),
            Self::Caller => f.write_str("the 64 bytes that the caller names"),
            Self::Word(_, words) => f.write_str(words),
        }
    }
}

/// The components of a floor with their numbers.
fn in_words(floor: &Floor) -> String {
    floor.iter().map(|(name, least)| format!("{name} {least}")).collect::<Vec<_>>().join(" ")
}

/// A rule in the form that all fields share.
pub(crate) trait Asks {
    fn ask(&self) -> Ask;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each form with what it admits and what is next to that; of another kind of value nothing is admitted.
    #[test]
    fn every_form_admits_what_it_says_and_nothing_beside_it() {
        let name = |text: &'static str| Shown::Name(text.into());
        let tcb = |parts: &[(&'static str, u8)]| Shown::Tcb("milan".into(), parts.iter().copied().collect());
        let bits = |required, forbidden, unknown_refused| {
            Ask::Bits(Bits { names: &[("a", 0), ("b", 1)], elsewhere: 1 << 9, required, forbidden, unknown_refused })
        };
        let instant = UnixTime::from_seconds;
        let until = |status: &'static str, at| Shown::Advisory("INTEL-SA-00001".into(), status.into(), instant(at), 0);
        let excepted = [Value::Name("OutOfDate".to_owned())].into_iter().collect();
        let rows: Vec<(Ask, Vec<Shown<'_>>, Vec<Shown<'_>>)> = vec![
            (Ask::Nothing, vec![Shown::Number(1), name("x")], vec![]),
            (Ask::Needed, vec![], vec![Shown::Number(1), name("x"), Shown::bytes(&[1])]),
            (Ask::names(["x", "y"]), vec![name("x"), name("y")], vec![name("z"), Shown::Number(1), Shown::Bits(1)]),
            (Ask::no_names(["x"]), vec![name("y")], vec![name("x"), Shown::State(1, "s")]),
            (Ask::AtLeast(3), vec![Shown::Number(3), Shown::Number(4)], vec![Shown::Number(2), Shown::Mask(9)]),
            (
                Ask::NotBefore(instant(5)),
                vec![Shown::Date(instant(5))],
                vec![Shown::Date(instant(4)), Shown::Number(9)],
            ),
            (
                Ask::Version(vec![1, 55]),
                vec![Shown::Version(vec![1, 55]), Shown::Version(vec![2, 0])],
                vec![Shown::Version(vec![1, 54]), Shown::Version(vec![0, 255])],
            ),
            (
                Ask::Floors([("milan", vec![("tee", 1), ("snp", 8)])].into()),
                vec![tcb(&[("tee", 1), ("snp", 8)]), tcb(&[("tee", 2), ("snp", 9)])],
                vec![tcb(&[("tee", 1), ("snp", 7)]), tcb(&[("snp", 8)]), Shown::Tcb("genoa".into(), BTreeMap::new())],
            ),
            (
                bits(1, 2, true),
                vec![Shown::Bits(1)],
                vec![Shown::Bits(0), Shown::Bits(3), Shown::Bits(5), Shown::Mask(1)],
            ),
            (bits(0, 2, false), vec![Shown::Bits(0), Shown::Bits(4)], vec![Shown::Bits(2)]),
            (
                Ask::Mask { required: 1, allowed: 3 },
                vec![Shown::Mask(1), Shown::Mask(3)],
                vec![Shown::Mask(2), Shown::Mask(5), Shown::Bits(1)],
            ),
            (Ask::Age(7), vec![Shown::Aged(6)], vec![Shown::Aged(7), Shown::OutOfDate(1)]),
            (Ask::AtMostDays(7), vec![Shown::OutOfDate(6)], vec![Shown::OutOfDate(7), Shown::Aged(1)]),
            (Ask::Word(1, "w"), vec![Shown::State(2, "s")], vec![Shown::State(1, "s"), Shown::State(0, "s")]),
            (
                Ask::Caller,
                vec![Shown::ReportData([0; 64].as_slice().into(), true)],
                vec![Shown::ReportData([0; 64].as_slice().into(), false), Shown::bytes(&[0; 64])],
            ),
            (
                Ask::NoneOpen { set: 1, grace_days: 3, except: [Value::Name("B".to_owned())].into_iter().collect() },
                vec![Shown::Bulletin("A".into(), 2), Shown::Bulletin("B".into(), 99)],
                vec![Shown::Bulletin("A".into(), 3)],
            ),
            (
                Ask::Exceptions([("INTEL-SA-00001".to_owned(), (excepted, instant(9)))].into()),
                vec![until("OutOfDate", 8)],
                vec![until("OutOfDate", 9), until("ConfigurationNeeded", 8)],
            ),
        ];
        for (ask, admitted, refused) in rows {
            assert!(admitted.iter().all(|shown| ask.admits(shown)), "{ask:?}");
            assert!(!refused.iter().any(|shown| ask.admits(shown)), "{ask:?}");
            assert!(!ask.to_string().is_empty());
        }
    }

    #[test]
    fn a_long_list_is_counted_and_a_short_one_is_listed() {
        let numbers = |count| Ask::OneOf((0..count).map(Value::Number).collect());
        assert_eq!(numbers(1).to_string(), "0");
        assert_eq!(numbers(3).to_string(), "one of 0, 1, 2");
        assert_eq!(numbers(33).to_string(), "one of 33 values");
    }
}
