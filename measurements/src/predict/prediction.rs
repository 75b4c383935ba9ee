//! What a prediction is, and the forms in which others take it up.

use serde::Serialize;
use teegate_encoding::hex;
use teegate_verifier::{Tee, fields_of};

use super::input::PredictError;

/// What was predicted of one guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Prediction {
    /// Of which kind: `sev-snp`, `tdx`, `pcr`, `initdata`, `aci-policy`.
    pub kind: &'static str,
    /// The table of reference values that it belongs into, where it belongs to one TEE.
    #[serde(serialize_with = "tee_name")]
    pub tee: Option<Tee>,
    /// Each value with what it was computed from.
    pub values: Vec<Predicted>,
    /// What was assumed, and what is not predicted and why.
    pub notes: Vec<String>,
}

/// One predicted value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Predicted {
    /// The field of a policy, or the register: `measurement`, `mrtd`, `pcr11`.
    pub field: &'static str,
    /// The bytes that hardware will state.
    #[serde(serialize_with = "digits")]
    pub value: Vec<u8>,
    /// From what it was computed.
    pub of: String,
}

fn digits<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(bytes))
}

#[expect(clippy::ref_option, reason = "serde hands a reference to the member")]
fn tee_name<S: serde::Serializer>(tee: &Option<Tee>, serializer: S) -> Result<S::Ok, S::Error> {
    match tee {
        Some(tee) => serializer.serialize_some(tee.name()),
        None => serializer.serialize_none(),
    }
}

impl Prediction {
    /// This one, and another of the same guest.
    ///
    /// # Errors
    /// Where both speak of one field and differ.
    pub fn and(mut self, other: Self) -> Result<Self, PredictError> {
        for one in other.values {
            let own = self.values.iter().find(|own| own.field == one.field);
            match own {
                Some(own) if own.value != one.value => {
                    return Err(PredictError::new(format!(
                        "`{}` of {} is {}, and of {} it is {}",
                        one.field,
                        own.of,
                        hex::encode(&own.value),
                        one.of,
                        hex::encode(&one.value)
                    )));
                }
                Some(_) => {}
                None => self.values.push(one),
            }
        }
        self.notes.extend(other.notes);
        Ok(self)
    }

    /// As reference values in TOML, version 1, which `teegate policy fill` takes. `command` is how to compute them again; it
    /// stands in the file as the source of each.
    ///
    /// # Errors
    /// Where a value is no field of a policy, or belongs to no TEE.
    pub fn reference_values(&self, name: &str, command: &str) -> Result<String, PredictError> {
        let tee = self.tee.ok_or_else(|| {
            PredictError::new(format!("{} names no TEE, and reference values stand in the table of one", self.kind))
        })?;
        let mut fields: Vec<(&str, Vec<String>)> = Vec::new();
        for Predicted { field, value, .. } in &self.values {
            if !fields_of(tee).iter().any(|known| known.name == *field) {
                return Err(PredictError::new(format!(
                    "`{field}` is no field of a policy for {tee} in this release: pin it by hand where your verifier reads it"
                )));
            }
            match fields.iter_mut().find(|(name, _)| name == field) {
                Some((_, values)) => values.push(hex::encode(value)),
                None => fields.push((field, vec![hex::encode(value)])),
            }
        }
        let mut text = String::new();
        for note in &self.notes {
            text += &format!("# {}\n", one_line(note));
        }
        text += &format!("schema = 1\nname = {}\n\n[{}]\nsource = {}\n", quoted(name), tee.name(), quoted(command));
        for (field, values) in fields {
            match values.as_slice() {
                [value] => text += &format!("{field} = \"{value}\"\n"),
                several => {
                    let several: Vec<_> = several.iter().map(|value| format!("    \"{value}\",\n")).collect();
                    text += &format!("{field} = [\n{}]\n", several.concat());
                }
            }
        }
        Ok(text)
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(one_line(text)).to_string()
}
