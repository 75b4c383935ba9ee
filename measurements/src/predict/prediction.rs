//! What a prediction is, and the forms in which others take it up.

use serde::Serialize;
use teegate_encoding::hex;
use teegate_verifier::Tee;

use super::input::PredictError;
use crate::reference::{ReferenceValue, ReferenceValues};

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
        // Each may have several values of one field, of which a policy takes any.
        let before = self.values.len();
        for one in other.values {
            let own = self.values.iter().take(before).find(|own| own.field == one.field);
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
    /// stands in the file as the source of each; `rebuilt` is the shape of the VM from which the ACPI tables behind RTMR0 were rebuilt.
    ///
    /// RTMR3 is left out: it changes while the guest runs.
    ///
    /// # Errors
    /// Where a value is no field of a policy, or belongs to no TEE.
    pub fn reference_values(&self, name: &str, command: &str, rebuilt: Option<&str>) -> Result<String, PredictError> {
        let tee = self.tee.ok_or_else(|| {
            PredictError::new(format!(
                "{} belongs to no TEE by itself, and reference values stand in the table of one: name it (`--tee`)",
                self.kind
            ))
        })?;
        let mut fields: Vec<(&str, Vec<String>)> = Vec::new();
        // What the running guest extends is no property of what it was built from.
        for Predicted { field, value, .. } in self.values.iter().filter(|one| one.field != "rtmr3") {
            let bytes = vec![ReferenceValue::Bytes(value.clone())];
            if let Err(error) = ReferenceValues::new(name).add(tee, field, bytes, None) {
                return Err(PredictError::new(format!(
                    "no reference value of this release: {error}; pin it where your verifier reads it"
                )));
            }
            let digits = hex::encode(value);
            match fields.iter_mut().find(|(name, _)| name == field) {
                // Two ways that lead to one value, which is written once.
                Some((_, values)) if values.contains(&digits) => {}
                Some((_, values)) => values.push(digits),
                None => fields.push((field, vec![digits])),
            }
        }
        let mut text = String::new();
        for note in &self.notes {
            text += &format!("# {}\n", one_line(note));
        }
        text += &format!("schema = 1\nname = {}\n\n[{}]\nsource = {}\n", quoted(name), tee.name(), quoted(command));
        for (field, values) in fields {
            match (values.as_slice(), rebuilt.filter(|_| field == "rtmr0")) {
                (values, Some(shape)) => {
                    let values: Vec<_> = values.iter().map(|value| format!("\"{value}\"")).collect();
                    let (values, shape) = (values.join(", "), quoted(shape));
                    text += &format!("{field} = {{ value = [{values}], rebuilt_acpi_tables = {shape} }}\n");
                }
                ([value], None) => text += &format!("{field} = \"{value}\"\n"),
                (several, None) => {
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
