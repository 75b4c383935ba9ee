//! What a template leaves to reference values.

use toml::de::{DeTable, DeValue};

use super::place::position;
use super::values::collected::{Form, fields};
use crate::check::Tee;
use crate::rule::NEEDED;

/// A field that the template leaves open.
pub(super) struct Hole {
    pub(super) tee: Tee,
    profile: String,
    pub(super) field: String,
    pub(super) span: std::ops::Range<usize>,
}

pub(super) fn holes_of(text: &str, document: &DeTable<'_>, tee: Tee) -> Vec<Hole> {
    let table = document.iter().find(|(key, _)| key.get_ref() == tee.name()).map(|(_, value)| value.get_ref());
    let Some(DeValue::Table(profiles)) = table else { return Vec::new() };
    let profiles = profiles.iter().filter_map(|(name, profile)| Some((name, profile.get_ref().as_table()?)));
    let mut holes: Vec<_> = profiles
        .flat_map(|(name, profile)| profile.iter().map(move |(key, value)| (name, key, value)))
        // A word over several lines would move the lines below it: the loader refuses that one where it stands.
        .filter(|(_, _, value)| {
            value.get_ref().as_str() == Some(NEEDED) && text.get(value.span()).is_some_and(|word| !word.contains('\n'))
        })
        .map(|(name, key, value)| Hole {
            tee,
            profile: name.get_ref().to_string(),
            field: key.get_ref().to_string(),
            span: value.span(),
        })
        .collect();
    holes.sort_by_key(|hole| hole.span.start);
    holes
}

/// The form of the reference values of a field, where it can have any.
fn form_of(tee: Tee, field: &str) -> Option<Form> {
    fields(tee).iter().find(|(name, _)| *name == field).map(|(_, form)| *form)
}

/// All that is still needed, at once and in the order of the document; `None` where nothing is.
pub(super) fn still_needed<'h>(text: &str, holes: impl IntoIterator<Item = &'h Hole>) -> Option<String> {
    // Of another field the loader says what it expects, where it stands.
    let mut holes: Vec<_> = holes.into_iter().filter(|hole| form_of(hole.tee, &hole.field).is_some()).collect();
    holes.sort_by_key(|hole| hole.span.start);
    let names = holes.iter().map(|Hole { tee, profile, field, span }| {
        let (line, column) = position(text, span.start);
        let form = form_of(*tee, field).map_or_else(String::new, |form| format!("; {form}"));
        format!("`{tee}.{profile}.{field}` (line {line}, column {column}{form})")
    });
    let names: Vec<_> = names.collect();
    (!names.is_empty()).then(|| {
        format!(
            "a reference value is needed here: {}; give them with reference values, or write each, or the word \"unchecked\"",
            names.join(", ")
        )
    })
}
