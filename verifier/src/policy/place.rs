//! Where a name stands in a TOML document, for errors and remarks that point at it.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where the last name of `path` begins; where the nearest table around it does, if it is not there.
pub(super) fn key_offset(document: &DeTable<'_>, path: &[&str]) -> Option<usize> {
    let (name, rest) = path.split_first()?;
    let (key, value): (&Spanned<_>, _) = document.iter().find(|(key, _)| key.get_ref() == *name)?;
    let inner = match value.get_ref() {
        DeValue::Table(table) => key_offset(table, rest),
        _ => None,
    };
    inner.or(Some(key.span().start))
}

/// Line and column of the character at this byte, from 1.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or("");
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}
