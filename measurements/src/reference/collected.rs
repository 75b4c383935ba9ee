//! Reference values (RFC 9334, section 2): what the fields of a profile should measure, apart from the policy that asks
//! for them. One type, whatever file they came from.

use std::collections::BTreeSet;
use std::fmt;

use teegate_encoding::hex;
use teegate_verifier::place::shortened;
use teegate_verifier::{Ask, Draft, Field, Tee, Value, Wrapping, Written, fields_around, fields_of};

use crate::covers::covers;

/// As much of a name as an error repeats: a line. Whoever wrote the values chose it.
pub(super) fn named(name: &str) -> String {
    shortened(name, 80)
}

/// Reference values of one or several releases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferenceValues {
    names: Vec<String>,
    given: Vec<Stated>,
}

/// One reference value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ReferenceValue {
    /// A measurement, digest or id.
    Bytes(Vec<u8>),
    /// A number, such as a privilege level.
    Number(u64),
    /// This number or a greater one. It stands alone.
    AtLeast(u64),
}

/// What one field may be, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stated {
    tee: Tee,
    field: &'static str,
    pub(super) accepted: Vec<ReferenceValue>,
    origin: String,
    source: Option<String>,
    rebuilt_acpi_tables: Option<String>,
    signed_by: Option<String>,
}

/// Reference values were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceValuesError(pub(super) String);

impl fmt::Display for ReferenceValuesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ReferenceValuesError {}

impl ReferenceValues {
    /// No value yet, under the name that errors and explanations show.
    pub fn new(name: impl Into<String>) -> Self {
        Self { names: vec![name.into()], given: Vec::new() }
    }

    /// The name, or the names where several files were joined.
    pub fn name(&self) -> String {
        self.names.join(" + ")
    }

    /// Every field that has values.
    pub fn given(&self) -> &[Stated] {
        &self.given
    }

    /// Those of one TEE alone.
    #[must_use]
    pub fn of(mut self, tee: Tee) -> Self {
        self.given.retain(|given| given.tee() == tee);
        self
    }

    /// Says that a field may be any of `accepted`; `source` is how to compute them again.
    pub fn add(
        &mut self,
        tee: Tee,
        field: &str,
        accepted: Vec<ReferenceValue>,
        source: Option<String>,
    ) -> Result<(), ReferenceValuesError> {
        let place = format!("{tee}.{field}");
        let refused = |what: String| Err(ReferenceValuesError(format!("`{place}`: {what}")));
        let mut known = fields(tee);
        let Some(Field { name: field, written, .. }) = known.find(|own| own.name == field) else {
            let known: Vec<_> = fields(tee).map(|own| own.name).collect();
            return refused(format!("no such reference value: expected one of {}", known.join(", ")));
        };
        if accepted.is_empty() {
            return refused(format!("an empty list accepts nothing: expected {written}"));
        }
        let mut known = BTreeSet::new();
        for value in &accepted {
            if let (Written::Level(_, no_floor), ReferenceValue::AtLeast(_)) = (written, value) {
                return refused(format!("`at_least` does not fit: {no_floor}"));
            }
            if !admits(written, value) || (matches!(value, ReferenceValue::AtLeast(_)) && accepted.len() > 1) {
                return refused(format!("expected {written}, found {value}"));
            }
            if !known.insert(value) {
                return refused(format!("{value} stands there twice"));
            }
        }
        if is_everything(written, &known) {
            return refused(
                "accepts or refuses nothing: leave it out, and write \"unchecked\" in the policy".to_owned(),
            );
        }
        let origin = self.name();
        if let Some(other) = self.find(tee, field) {
            return refused(format!("given by `{}` and again by `{}`", named(&other.origin), named(&origin)));
        }
        self.given.push(Stated { tee, field, accepted, origin, source, rebuilt_acpi_tables: None, signed_by: None });
        Ok(())
    }

    /// Says from which declared shape of the VM the ACPI tables behind RTMR0 were rebuilt.
    pub(super) fn rebuilt_from(&mut self, tee: Tee, field: &str, shape: String) -> Result<(), ReferenceValuesError> {
        let stated = self.given.iter_mut().find(|given| (given.tee, given.field) == (tee, field));
        match stated.filter(|given| (given.tee, given.field) == (Tee::Tdx, "rtmr0")) {
            Some(given) => {
                given.rebuilt_acpi_tables = Some(shape);
                Ok(())
            }
            None => {
                Err(ReferenceValuesError(format!("`{tee}.{field}`: `rebuilt_acpi_tables` is of `tdx.rtmr0` alone")))
            }
        }
    }

    /// These values and those of `other`, each of which may speak of a field that the other leaves alone. Lists of the
    /// same field are not joined: that would also accept a measurement of the one with a configuration of the other.
    pub fn and(mut self, other: Self) -> Result<Self, ReferenceValuesError> {
        for given in other.given {
            if let Some(own) = self.find(given.tee, given.field) {
                return Err(ReferenceValuesError(format!(
                    "`{}.{}`: given by `{}` and by `{}`; write what is accepted of both into one list, which also accepts \
                     every mixture with the other fields",
                    given.tee,
                    given.field,
                    named(&own.origin),
                    named(&given.origin)
                )));
            }
            self.given.push(given);
        }
        self.names.extend(other.names);
        Ok(self)
    }

    /// The same, all of which this one signed, in words that an explanation shows. Whoever says so has verified it over the whole file.
    #[must_use]
    pub fn signed_by(mut self, signer: &str) -> Self {
        self.given.iter_mut().for_each(|given| given.signed_by = Some(signer.to_owned()));
        self
    }

    /// Whether this policy leaves any field to reference values.
    pub fn are_asked_by(text: &str) -> bool {
        Draft::parse(text).is_ok_and(|draft| !draft.needed().is_empty())
    }

    pub(super) fn find(&self, tee: Tee, field: &str) -> Option<&Stated> {
        self.given.iter().find(|given| given.tee == tee && given.field == field)
    }
}

impl Stated {
    /// The TEE whose evidence shows the field.
    pub fn tee(&self) -> Tee {
        self.tee
    }

    /// The field, as a policy calls it.
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// The name of the values that it came with.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Who signed it, in words; `None` where nobody did, so that it counts for whoever gave the file.
    pub fn signed_by(&self) -> Option<&str> {
        self.signed_by.as_deref()
    }

    /// How to compute it again, where that was said.
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// From which declared shape of the VM the ACPI tables behind RTMR0 were rebuilt, where that was said.
    pub fn rebuilt_acpi_tables(&self) -> Option<&str> {
        self.rebuilt_acpi_tables.as_deref()
    }

    /// As a policy would write it, in TOML.
    pub fn rule(&self) -> String {
        match self.accepted.as_slice() {
            [only] => only.to_string(),
            list => format!("[{}]", list.iter().map(ReferenceValue::to_string).collect::<Vec<_>>().join(", ")),
        }
    }

    /// Whether a policy that says this of the field says the same.
    pub(super) fn is(&self, field: &Field, ask: &Ask) -> bool {
        let own = match self.accepted.as_slice() {
            [ReferenceValue::AtLeast(least)] => Ask::AtLeast(*least),
            list => Ask::OneOf(
                list.iter()
                    .map(|value| match (value, &field.written) {
                        (ReferenceValue::Bytes(bytes), Written::BytesOrNone(_)) => Value::Name(none_or_hex(bytes)),
                        (ReferenceValue::Bytes(bytes), _) => Value::Bytes(bytes.clone()),
                        (ReferenceValue::Number(number) | ReferenceValue::AtLeast(number), _) => Value::Number(*number),
                    })
                    .collect(),
            ),
        };
        covers(&own, ask) && covers(ask, &own)
    }
}

/// As a policy would write it.
impl fmt::Display for ReferenceValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "\"{}\"", hex::encode(bytes)),
            Self::Number(number) => number.fmt(f),
            Self::AtLeast(least) => write!(f, "{{ at_least = {least} }}"),
        }
    }
}

/// As a policy spells a digest for which it has the word `none`.
fn none_or_hex(bytes: &[u8]) -> String {
    if bytes.iter().all(|byte| *byte == 0) { "none".to_owned() } else { hex::encode(bytes) }
}

/// Whether a value is of the form in which a field is written.
fn admits(written: &Written, value: &ReferenceValue) -> bool {
    match (written, value) {
        (Written::Bytes(length) | Written::BytesOrNone(length), ReferenceValue::Bytes(bytes)) => bytes.len() == *length,
        (Written::Number, ReferenceValue::Number(number) | ReferenceValue::AtLeast(number)) => {
            *number <= u64::from(u32::MAX)
        }
        (Written::Level(most, _), ReferenceValue::Number(number)) => *number <= u64::from(*most),
        _ => false,
    }
}

/// Whether these are all that there is.
fn is_everything(written: &Written, accepted: &BTreeSet<&ReferenceValue>) -> bool {
    match written {
        Written::Number => accepted.contains(&ReferenceValue::AtLeast(0)),
        // Each is one of the levels, and none stands there twice.
        Written::Level(most, _) => (0..=*most).all(|level| accepted.contains(&ReferenceValue::Number(level.into()))),
        _ => false,
    }
}

/// The fields of a profile that a template may leave to reference values.
fn fields(tee: Tee) -> impl Iterator<Item = &'static Field> {
    let around = Wrapping::ALL.iter().flat_map(|wrapping| fields_around(*wrapping));
    fields_of(tee).into_iter().chain(around).filter(|field| field.written.takes_reference_values())
}

#[cfg(test)]
mod tests {
    use super::*;
    use teegate_verifier::Policy;

    const GENUINE: &str = include_str!("../../policy/genuine.toml");

    /// A field takes reference values exactly if the loader knows the word of a template there, and those of the table's form.
    #[test]
    fn the_fields_are_those_that_a_template_can_ask_for() {
        let document: toml::Table = toml::from_str(GENUINE).unwrap();
        for tee in Tee::all() {
            for field in document[tee.name()]["genuine"].as_table().unwrap().keys() {
                let changed = |value: toml::Value| {
                    let mut document = document.clone();
                    document[tee.name()]["genuine"][field] = value;
                    Policy::parse(&toml::to_string(&document).unwrap())
                };
                let error = changed(Draft::NEEDED.into()).unwrap_err();
                // Known either way: what counts only beside a pin that is not there is refused for that.
                let asked = error.to_string().contains("a reference value is needed here")
                    || error.check() == Some("policy.bound-without-code");
                let written = fields(tee).find(|own| own.name == field).map(|own| own.written);
                assert_eq!(asked, written.is_some(), "{tee}.{field}");
                let refused = |value: toml::Value| {
                    let error = changed(value).err().map(|error| error.to_string()).unwrap_or_default();
                    error.contains("invalid value")
                };
                match written {
                    None => {}
                    Some(Written::Bytes(length) | Written::BytesOrNone(length)) => {
                        assert!(!refused("11".repeat(length).into()), "{field}");
                        assert!(refused("11".repeat(length + 1).into()), "{field}");
                    }
                    Some(written) => {
                        let most =
                            if let Written::Level(most, _) = written { u64::from(most) } else { u32::MAX.into() };
                        assert!(!refused(i64::try_from(most).unwrap().into()), "{field}");
                        assert!(refused(i64::try_from(most + 1).unwrap().into()), "{field}");
                        assert!(admits(&written, &ReferenceValue::Number(most)), "{field}");
                        assert!(!admits(&written, &ReferenceValue::Number(most + 1)), "{field}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_value_of_another_form_is_refused_and_so_is_a_second_word_on_a_field() {
        let bytes = |length| ReferenceValue::Bytes(vec![1; length]);
        let mut values = ReferenceValues::new("a");
        let mut refused = |field: &str, accepted: Vec<ReferenceValue>| {
            values.add(Tee::SevSnp, field, accepted, None).unwrap_err().to_string()
        };
        assert!(refused("measurement", vec![bytes(47)]).contains("expected 48 bytes in hexadecimal, found \"01"));
        assert!(refused("measurement", vec![ReferenceValue::Number(1)]).contains("found 1"));
        assert!(refused("measurement", vec![]).contains("an empty list accepts nothing"));
        assert!(refused("measurement", vec![bytes(48), bytes(48)]).contains("twice"));
        assert!(refused("guest_svn", vec![ReferenceValue::Number(1 << 32)]).contains("a number up to 4294967295"));
        assert!(refused("vmpl", vec![ReferenceValue::Number(4)]).contains("a number up to 3, found 4"));
        let least = |number| ReferenceValue::AtLeast(number);
        assert!(refused("guest_svn", vec![least(0)]).contains("accepts or refuses nothing: leave it out"));
        assert!(refused("guest_svn", vec![least(1), ReferenceValue::Number(2)]).contains("found { at_least = 1 }"));
        assert!(refused("mrtd", vec![bytes(48)]).contains("no such reference value: expected one of measurement, "));
        assert_eq!(values.given(), []);

        values.add(Tee::SevSnp, "measurement", vec![bytes(48)], None).unwrap();
        let again = values.add(Tee::SevSnp, "measurement", vec![bytes(48)], None).unwrap_err();
        assert_eq!(again.to_string(), "`sev-snp.measurement`: given by `a` and again by `a`");
        let mut other = ReferenceValues::new("b");
        other.add(Tee::SevSnp, "guest_svn", vec![least(3)], None).unwrap();
        let both = values.clone().and(other.clone()).unwrap();
        assert_eq!((both.name().as_str(), both.given().len()), ("a + b", 2));
        other.add(Tee::SevSnp, "measurement", vec![ReferenceValue::Bytes(vec![2; 48])], None).unwrap();
        let error = values.and(other).unwrap_err().to_string();
        assert!(error.starts_with("`sev-snp.measurement`: given by `a` and by `b`; "), "{error}");
    }
}
