//! From TOML to a document: the text is parsed once, with the place of everything in it; each profile is read in the types of
//! its platform, and held against itself and its neighbours.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::Document;
use super::error::PolicyError;
use super::needed::Needed;
use super::profile::{self, Profile};
use super::refusal::Refusal;
use crate::carriage::{self, Beside};
use crate::check::{Check, Tee};
use crate::place::{in_words, key_offset, position, readable};
use crate::platforms;
use crate::report::BoundTo;
use crate::roots::{self, TrustAnchors};
use crate::rule::{Ask, Blank, Field, Value, Written, clipped, unpinned};
use crate::wrapping::Wrapping;

/// Why loading ends: the library's error about one value, or ours about how several fit together.
enum Failure {
    Value(toml::de::Error),
    Refused(Refusal),
}

impl From<toml::de::Error> for Failure {
    fn from(error: toml::de::Error) -> Self {
        Self::Value(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The document, and what it still needs.
pub(super) fn load(text: &str) -> Result<(Document, Vec<Needed>), PolicyError> {
    let table = DeTable::parse(text).map_err(|error| PolicyError::new(readable(&error)))?;
    let document = read(&table, text).map_err(|failure| match failure {
        Failure::Value(mut error) => {
            error.set_input(Some(text));
            PolicyError::new(readable(&error))
        }
        Failure::Refused(refusal) => placed(text, table.get_ref(), refusal),
    })?;
    let needed = needed(text, table.get_ref(), &document.profiles)?;
    Ok((document, needed))
}

/// The refusal with its place: that of the field or of the nearest table around it.
fn placed(text: &str, table: &DeTable<'_>, Refusal { at, words, check }: Refusal) -> PolicyError {
    let path: Vec<&str> = at.iter().map(String::as_str).collect();
    let place = key_offset(table, &path).map(|offset| position(text, offset));
    let words = in_words(&words);
    let words = match place {
        Some((line, column)) => format!("{words} (line {line}, column {column})"),
        None => words,
    };
    PolicyError::by(check, words)
}

/// What stands in a policy beside its profiles.
const HEAD: [&str; 4] = ["schema", "name", "version", "trust_anchors"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    schema: u32,
    name: String,
    version: Option<u64>,
    trust_anchors: Option<roots::Written>,
}

fn read(table: &Spanned<DeTable<'_>>, text: &str) -> Result<Document, Failure> {
    let known = |name: &str| HEAD.contains(&name) || Tee::all().any(|tee| tee.name() == name);
    if let Some((key, _)) = table.get_ref().iter().find(|(key, _)| !known(key.get_ref())) {
        let name = key.get_ref();
        let what = format!("unknown field `{}`: expected {}, or a profile", clipped(name), HEAD.join(", "));
        return Err(Refusal::at([name], what).into());
    }
    let mut head = table.clone();
    for tee in Tee::all() {
        head.get_mut().remove(tee.name());
    }
    let vendors: Vec<_> = Tee::all().map(platforms::vendor).collect();
    if let Some(anchors) = head.get_ref().get("trust_anchors") {
        let named = be_table("trust_anchors", &["trust_anchors"], anchors)?;
        let is_known = |name: &str| vendors.iter().any(|vendor| vendor.field == name);
        if let Some((key, _)) = named.iter().find(|(key, _)| !is_known(key.get_ref())) {
            let (name, known) = (key.get_ref(), vendors.iter().map(|vendor| format!("`{}`", vendor.field)));
            let known = known.collect::<Vec<_>>().join(" or ");
            let what = format!("trust_anchors: unknown field `{}`: expected {known}", clipped(name));
            return Err(Refusal::at(["trust_anchors", name], what).into());
        }
    }
    let Head { schema, name, version, trust_anchors } = Head::deserialize(head.into_deserializer())?;
    if schema != 1 {
        let what = format!("schema = {schema}: this release reads policies of schema 1");
        return Err(Refusal::at(["schema"], what).into());
    }
    if version == Some(0) {
        return Err(Refusal::at(["version"], "version = 0: versions of a policy begin with 1".to_owned()).into());
    }
    let anchors = match &trust_anchors {
        None => TrustAnchors::default(),
        Some(written) => TrustAnchors::pinned(written, &vendors)
            .map_err(|(vendor, why)| Refusal::at(["trust_anchors", vendor.field], why))?,
    };
    let mut profiles = Vec::new();
    for tee in Tee::all() {
        let Some(written) = table.get_ref().get(tee.name()) else { continue };
        let named = be_table(tee.name(), &[tee.name()], written)?;
        let first = profiles.len();
        for (name, profile) in named {
            profiles.push(one_profile(tee, name.get_ref(), profile)?);
        }
        stand_beside(profiles.get(first..).unwrap_or_default())?;
    }
    if profiles.is_empty() {
        return Err(Refusal::at([], no_profile()).into());
    }
    Ok(Document { name, version, text: text.into(), anchors, profiles })
}

/// A policy that is about nothing.
pub(super) fn no_profile() -> String {
    let places: Vec<_> = Tee::all().map(|tee| format!("[{tee}.NAME]")).collect();
    format!("no profile: expected a table such as {}", places.join(" or "))
}

/// Where something stands, as an error says it: names are as long as their author wants, and together longer than a line.
fn place(path: &[&str]) -> String {
    clipped(&path.join("."))
}

/// Every rule stands beside its name. The library would also take a table's values by position, where two that are swapped
/// would go unseen.
fn be_table<'d, 'i>(place: &str, at: &[&str], value: &'d Spanned<DeValue<'i>>) -> Result<&'d DeTable<'i>, Refusal> {
    value.get_ref().as_table().ok_or_else(|| Refusal {
        at: at.iter().map(|name| (*name).to_owned()).collect(),
        words: format!("[{place}]: expected a table, each value beside its name"),
        check: None,
    })
}

fn one_profile(tee: Tee, name: &str, written: &Spanned<DeValue<'_>>) -> Result<Profile, Failure> {
    let place = place(&[tee.name(), name]);
    let table = be_table(&place, &[tee.name(), name], written)?;
    for field in platforms::fields_of(tee) {
        inner_tables_are_tables(tee, name, field, table)?;
    }
    let mut rest = table.clone();
    let weaker = rest.remove("weaker").map(|reason| Reason::deserialize(reason.into_deserializer())).transpose()?;
    let mut around = DeTable::new();
    for field in carriage::fields_of(wrapping(table)) {
        if let Some((key, value)) = rest.remove_entry(field.name) {
            around.insert(key, value);
        }
    }
    let table = |table| Spanned::new(written.span(), DeValue::Table(table));
    let own = profile::load(tee, table(rest).into_deserializer())?;
    let beside = Beside::load(own.wrapping(), table(around).into_deserializer())?;
    let profile = Profile::new(tee, name, weaker.map(|Reason(text)| text), own, beside);
    let refused = |field: &str, words: String, check: Option<Check>| Refusal {
        at: vec![tee.name().to_owned(), name.to_owned(), field.to_owned()],
        words,
        check,
    };
    let around = profile.beside.undertaken(profile.own.code(), profile.bound_to());
    for undertaken in profile.own.undertaken().into_iter().chain(around) {
        if let Some((bound, words)) = unpinned(&undertaken, |field| profile.beside.stands_for(field)) {
            let check = Check::POLICY_BOUND_WITHOUT_CODE;
            return Err(refused(bound, format!("{check}: [{place}] {words}"), Some(check)).into());
        }
    }
    if let Some((field, binds)) = unbound_workload(&profile) {
        let check = Check::POLICY_BOUND_WITHOUT_CODE;
        let words = format!(
            "{check}: [{place}] `bound_to` claims a workload, and `{field}` {binds}: whoever starts the guest may bind what they like, \
             and with it start anything; name the digest of yours"
        );
        return Err(refused("bound_to", words, Some(check)).into());
    }
    if let Some(field) = carrier_as_guest(&profile) {
        let what = format!(
            "[{place}] `{field}` names a paravisor that carries other evidence: bare evidence of it speaks for whoever runs below \
             it; write a profile with `wrapping = \"azure-vtpm\"` for it"
        );
        return Err(refused(field, what, None).into());
    }
    match profile.own.contradiction().or_else(|| profile.beside.contradiction()) {
        Some((field, what)) => Err(refused(field, format!("[{place}] `{field}` {what}"), None).into()),
        None => Ok(profile),
    }
}

/// The wrapping that a profile names; one that names none, or another word, is refused with all that is wrong with it.
fn wrapping(profile: &DeTable<'_>) -> Wrapping {
    let named = profile.get("wrapping").and_then(|word| Wrapping::deserialize(word.clone().into_deserializer()).ok());
    named.unwrap_or(Wrapping::Raw)
}

/// The field without which a claim about a workload rests on nothing in this carriage, where it asks nothing, or takes it that nothing
/// was bound.
fn unbound_workload(profile: &Profile) -> Option<(&'static str, &'static str)> {
    let claims = profile.bound_to().is_some_and(|bound_to| bound_to != BoundTo::Guest);
    let name = profile.beside.binds_by().filter(|_| claims)?;
    let (field, ask) = profile.rules().iter().find(|(field, _)| field.name == name)?;
    let is_unextended =
        |value: &Value| matches!(value, Value::Bytes(bytes) if field.blank(bytes) == Some(Blank::Unextended));
    match ask {
        ask if ask.is_waived() => Some((name, "asks nothing")),
        Ask::OneOf(values) if values.as_slice().iter().any(is_unextended) => {
            Some((name, "also accepts zeros, which is a guest to which nothing was bound"))
        }
        _ => None,
    }
}

/// The field of a profile for bare evidence that names the launch measurement of a carrier.
fn carrier_as_guest(profile: &Profile) -> Option<&'static str> {
    let field = platforms::code_field(profile.tee)?;
    let Some(Ask::OneOf(values)) = profile.ask(field.name).filter(|_| profile.wrapping() == Wrapping::Raw) else {
        return None;
    };
    let is_carrier = |value: &Value| matches!(value, Value::Bytes(bytes) if carriage::is_paravisor(bytes));
    values.as_slice().iter().any(is_carrier).then_some(field.name)
}

/// Why a profile claims less than another.
#[derive(Deserialize)]
struct Reason(#[serde(deserialize_with = "crate::rule::reason")] String);

fn inner_tables_are_tables(tee: Tee, name: &str, field: &Field, profile: &DeTable<'_>) -> Result<(), Refusal> {
    let Some(value) = profile.get(field.name).map(Spanned::get_ref) else { return Ok(()) };
    let place = |more: &[&str]| place(&[&[tee.name(), name, field.name], more].concat());
    match (&field.written, value) {
        (Written::Floors(_) | Written::Exceptions(_), DeValue::Table(inner)) => {
            for (key, value) in inner {
                be_table(&place(&[key.get_ref()]), &[tee.name(), name, field.name, key.get_ref()], value)?;
            }
            Ok(())
        }
        (Written::Grace, DeValue::Array(_)) => Err(Refusal::at(
            [tee.name(), name, field.name],
            format!("[{}]: expected \"none\" or {{ days = … }}", place(&[])),
        )),
        _ => Ok(()),
    }
}

/// The profiles of one TEE. Evidence selects one by its wrapping, and whoever makes evidence chooses the wrapping: so there is
/// one for each, and one that claims less than its neighbours says why that may be.
fn stand_beside(profiles: &[Profile]) -> Result<(), Refusal> {
    let strongest = profiles.iter().map(Profile::bound_to).max().flatten();
    for (number, profile) in profiles.iter().enumerate() {
        let (tee, name) = (profile.tee.name(), &*profile.name);
        let here = place(&[tee, name]);
        let mut earlier = profiles.iter().take(number);
        if let Some(first) = earlier.find(|other| other.wrapping() == profile.wrapping()) {
            let what = format!(
                "[{}] and [{here}]: expected one profile for each type of evidence and each wrapping; put the other \
                 into a policy of its own",
                place(&[tee, &first.name])
            );
            return Err(Refusal::at([tee, name], what));
        }
        let claims_less = profile.bound_to() < strongest;
        match &profile.weaker {
            None if claims_less => {
                let what = format!(
                    "[{here}] `bound_to` claims less than another profile for {tee}, and whoever makes the evidence chooses \
                     between them: claim the same, or write `weaker = \"why that is well\"`"
                );
                return Err(Refusal::at([tee, name, "bound_to"], what));
            }
            Some(_) if !claims_less => {
                let what = format!("[{here}] `weaker` says why it claims less than another profile, and it does not");
                return Err(Refusal::at([tee, name, "weaker"], what));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What still needs a reference value, in the order of the text.
fn needed(text: &str, table: &DeTable<'_>, profiles: &[Profile]) -> Result<Vec<Needed>, PolicyError> {
    let mut needed = Vec::new();
    for profile in profiles {
        let value_of = |field: &Field| {
            let tee = table.get(profile.tee.name())?.get_ref().as_table()?;
            tee.get(&*profile.name)?.get_ref().as_table()?.get(field.name)
        };
        for (field, ask) in &profile.rules {
            if *ask != Ask::Needed {
                continue;
            }
            // The word was read out of the document, so that it stands there.
            let Some(span) = value_of(field).map(Spanned::span) else {
                let place = place(&[profile.tee.name(), &profile.name, field.name]);
                return Err(PolicyError::new(format!("`{place}`: a reference value is needed here")));
            };
            let (line, column) = position(text, span.start);
            // A value in its place would move the lines below it.
            if text.get(span.clone()).is_some_and(|word| word.contains('\n')) {
                return Err(PolicyError::new(format!(
                    "a reference value is needed here: write the word for it in one line (line {line}, column {column})"
                )));
            }
            needed.push(Needed { tee: profile.tee, profile: profile.name.to_string(), field, span, line, column });
        }
    }
    needed.sort_by_key(|one| one.span.start);
    Ok(needed)
}

#[cfg(test)]
mod tests {
    use crate::policy::Policy;
    use crate::report::BoundTo;

    const GENUINE: &str = include_str!("../../../measurements/policy/genuine.toml");

    /// `genuine` for SEV-SNP alone, which claims nothing or speaks for the guest, and a second profile beside it.
    fn two(first: &str, second: &str) -> Result<Policy, String> {
        let (head, profile) = GENUINE.split_once("[sev-snp.genuine]").unwrap();
        let (profile, _) = profile.split_once("[tdx.genuine]").unwrap();
        let pinned = profile
            .replace("measurement = \"unchecked\"", &format!("measurement = \"{}\"", "11".repeat(48)))
            .replace("vmpl = \"unchecked\"", "vmpl = 0")
            .replace("debug = \"allowed\"", "debug = \"rejected\"");
        let with = |changes: &str| {
            changes.split("; ").filter(|change| !change.is_empty()).fold(pinned.clone(), |text, change| {
                let (name, _) = change.split_once(" = ").unwrap();
                match text.lines().find(|line| line.starts_with(&format!("{name} = "))) {
                    Some(line) => text.replace(line, change),
                    None => format!("{text}{change}\n"),
                }
            })
        };
        let text = format!("{head}[sev-snp.one]{}[sev-snp.two]{}", with(first), with(second));
        Policy::parse(&text).map_err(|error| error.to_string())
    }

    /// Whoever makes evidence chooses its wrapping, and by that the profile.
    #[test]
    fn a_profile_that_claims_less_than_its_neighbour_says_why() {
        let guest = "bound_to = \"guest\"";
        let wrapped = "wrapping = \"made-up\"";
        let policy = two(guest, &format!("{wrapped}; {guest}")).unwrap();
        assert_eq!(policy.weakest_bound_to(), Some(BoundTo::Guest));
        for less in [wrapped.to_owned(), format!("{wrapped}; bound_to = \"unchecked\"")] {
            let refused = two(guest, &less).unwrap_err();
            assert!(
                refused.starts_with("[sev-snp.two] `bound_to` claims less than another profile for sev-snp"),
                "{refused}"
            );
            assert!(refused.contains("(line "), "{refused}");
            let policy = two(guest, &format!("{less}; weaker = \"migration until March\"")).unwrap();
            assert_eq!(policy.weakest_bound_to(), None);
            assert_eq!(policy.document().profiles()[1].weaker(), Some("migration until March"));
        }
        let refused = two(&format!("{guest}; weaker = \"why\""), &format!("{wrapped}; {guest}")).unwrap_err();
        assert!(refused.starts_with("[sev-snp.one] `weaker` says why it claims less"), "{refused}");
        let refused = two(guest, &format!("{wrapped}; weaker = \" \"")).unwrap_err();
        assert!(refused.contains("a reason that says nothing"), "{refused}");
    }

    #[test]
    fn two_profiles_of_one_kind_are_refused() {
        let refused = two("", "").unwrap_err();
        assert!(
            refused.starts_with("[sev-snp.one] and [sev-snp.two]: expected one profile for each type"),
            "{refused}"
        );
        two("", "wrapping = \"made-up\"").unwrap();
    }

    /// The library would take them by position, where two that are swapped would go unseen.
    #[test]
    fn inner_tables_are_written_with_their_names() {
        for (from, to) in [
            ("minimum_tcb = \"unchecked\"", "minimum_tcb = { milan = [1, 2, 3, 4, 5] }"),
            ("out_of_date_grace = \"none\"", "out_of_date_grace = [5]"),
            (
                "tcb_exceptions = {}",
                "tcb_exceptions = { \"INTEL-SA-00837\" = [[\"UpToDate\"], \"2027-01-01T00:00:00Z\", \"why\"] }",
            ),
        ] {
            assert!(GENUINE.contains(from), "{from}");
            let refused = Policy::parse(&GENUINE.replace(from, to)).unwrap_err().to_string();
            assert!(refused.contains("]: expected ") && refused.contains("(line "), "{refused}");
        }
    }
}
