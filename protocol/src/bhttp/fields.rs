//! Field sections: names and values by the rules of RFC 9113 section 8.2.1, and the budget that all sections of a message share.

use std::fmt;

use zeroize::Zeroize;

use super::error::BhttpError;
use crate::limits;

/// The fields of one section, in their order.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Fields(Vec<Field>);

/// A field line.
#[derive(Clone, PartialEq, Eq)]
pub struct Field {
    name: String,
    value: Vec<u8>,
}

impl Fields {
    /// Appends a field, if HTTP/2 would take it. `name` has to be lower case.
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), BhttpError> {
        self.0.push(Field::new(name.as_bytes(), value.as_ref())?);
        Ok(())
    }

    /// The value of the only field of that name; `None` if there is none or more than one, because then it says nothing for certain.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.get_all(name);
        match (values.next(), values.next()) {
            (Some(value), None) => std::str::from_utf8(value).ok(),
            _ => None,
        }
    }

    /// The values of every field of that name.
    pub fn get_all<'a, 'b>(&'a self, name: &'b str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'b> {
        self.0.iter().filter(move |field| field.name == name).map(|field| field.value.as_slice())
    }

    /// Every field.
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.0.iter()
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push_field(&mut self, field: Field) {
        self.0.push(field);
    }
}

impl Zeroize for Fields {
    fn zeroize(&mut self) {
        for Field { name, value } in &mut self.0 {
            name.zeroize();
            value.zeroize();
        }
        self.0.clear();
    }
}

impl Field {
    pub(super) fn new(name: &[u8], value: &[u8]) -> Result<Self, BhttpError> {
        // Pseudo-fields begin with a colon, which no token has: none of them means anything here.
        let is_lower_case_token = is_token(name) && !name.iter().any(u8::is_ascii_uppercase);
        let name = std::str::from_utf8(name).ok().filter(|_| is_lower_case_token).ok_or(BhttpError::FieldName)?;
        let name = name.to_owned();
        let forbidden = |byte: &u8| matches!(byte, 0 | b'\r' | b'\n');
        let white = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        if value.iter().any(forbidden) || white(value.first()) || white(value.last()) {
            return Err(BhttpError::FieldValue { name });
        }
        Ok(Self { name, value: value.to_vec() })
    }

    /// The name, lower case.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }
}

/// How many there are and their length: what is sealed is not repeated.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: usize = self.0.iter().map(|field| field.name.len().saturating_add(field.value.len())).sum();
        write!(f, "{} fields of {bytes} bytes", self.0.len())
    }
}

/// Lengths: what is sealed is not repeated.
impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Field({} bytes: {} bytes)", self.name.len(), self.value.len())
    }
}

/// A token of RFC 9110 section 5.6.2.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    let token_byte = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(token_byte)
}

/// What the fields of one message may still use.
pub(super) struct Budget {
    fields: usize,
    bytes: usize,
}

impl Budget {
    pub(super) const fn new() -> Self {
        Self { fields: limits::BHTTP_FIELDS, bytes: limits::BHTTP_FIELD_BYTES }
    }

    pub(super) fn spend(&mut self, field: &Field) -> Result<(), BhttpError> {
        self.fields = self.fields.checked_sub(1).ok_or(BhttpError::TooManyFields)?;
        let length = field.name.len().saturating_add(field.value.len());
        self.bytes = self.bytes.checked_sub(length).ok_or(BhttpError::FieldsTooLarge)?;
        Ok(())
    }
}
