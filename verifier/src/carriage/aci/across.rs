//! What the fields of a container group ask of each other.

use super::fields::FIELDS;
use super::profile::AciProfile;
use crate::rule::Ask;

/// What an endorsement must say is judged of an endorsement by a named issuer. Where none is asked for, a rule about it would read
/// like a promise that nobody keeps.
pub(crate) fn contradiction(profile: &AciProfile) -> Option<(&'static str, String)> {
    if profile.uvm_issuers.required().is_some() {
        return None;
    }
    let mut rules = FIELDS.iter().map(|row| (row.field.name, (row.asks)(profile)));
    let (name, _) = rules.find(|(_, ask)| *ask != Ask::Nothing)?;
    let what = "asks something of an endorsement, and `uvm_issuers` asks for none: write \"unchecked\" here, or name an issuer there";
    Some((name, what.to_owned()))
}
