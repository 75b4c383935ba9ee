//! The one reader for every JSON text that arrives from outside: manifests, envelopes, receipts, problems.
//!
//! JSON (RFC 8259) leaves open what a duplicate member means, how large a number is and how deep a text may nest; two readers that disagree
//! are an attack. This reader takes the narrowest reading: an object at the top and nothing before it, each member once, integers only,
//! bounded in bytes and in depth. Every member is then taken out by name, and what nobody took is refused.

use crate::fixed::parse_hex;
use crate::words::Shown;
use std::fmt;
use teegate_encoding::{base64, json};

/// Why a JSON text was refused. Members are named with their path, as in `models[2].sha256`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonError {
    /// More bytes than this kind of text may have.
    TooLarge {
        /// The most bytes that it may have.
        limit: usize,
        /// How many it has.
        actual: usize,
    },
    /// The first byte is not `{`: a byte order mark, white space, or another kind of value.
    NotAnObject,
    /// Not JSON, or not UTF-8.
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
    },
    /// Nested deeper than this kind of text may be.
    TooDeep {
        /// The deepest level allowed; the outermost object is level 1.
        limit: usize,
    },
    /// A member stands twice in one object.
    Duplicate {
        /// Path of the member.
        member: String,
    },
    /// A member that has to be there is not.
    Missing {
        /// Path of the member.
        member: String,
    },
    /// A member that this version does not know.
    Unknown {
        /// Path of the member.
        member: String,
    },
    /// A member whose value is not what stands there in this version.
    Invalid {
        /// Path of the member.
        member: String,
        /// What was expected.
        expected: &'static str,
    },
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit, actual } => write!(f, "{actual} bytes of JSON, at most {limit} are accepted"),
            Self::NotAnObject => f.write_str("the first byte is not `{`"),
            Self::Syntax { line, column } => write!(f, "not valid JSON at line {line}, column {column}"),
            Self::TooDeep { limit } => write!(f, "nested deeper than {limit} levels"),
            Self::Duplicate { member } => write!(f, "member `{}` stands twice", Shown(member)),
            Self::Missing { member } => write!(f, "member `{}` is missing", Shown(member)),
            Self::Unknown { member } => write!(f, "member `{}` is not known in this version", Shown(member)),
            Self::Invalid { member, expected } => write!(f, "member `{}` is not {expected}", Shown(member)),
        }
    }
}

impl std::error::Error for JsonError {}

/// A value of a text that has been read; bounded by the text.
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Text(String),
    Array(Vec<Value>),
    Object(Object),
}

/// An object whose members are taken out one by one.
pub(crate) struct Object {
    /// Path of the object with its separator, empty for the outermost.
    path: String,
    members: Vec<(String, Value)>,
}

/// Reads one object, at most `max_bytes` long and `max_depth` deep.
pub(crate) fn parse_object(bytes: &[u8], max_bytes: usize, max_depth: usize) -> Result<Object, JsonError> {
    if bytes.len() > max_bytes {
        return Err(JsonError::TooLarge { limit: max_bytes, actual: bytes.len() });
    }
    if bytes.first() != Some(&b'{') {
        return Err(JsonError::NotAnObject);
    }
    let text = str::from_utf8(bytes).map_err(|error| not_utf8(bytes, error.valid_up_to()))?;
    object(text, "", max_depth)
}

/// The place of the first byte that is not UTF-8.
fn not_utf8(bytes: &[u8], at: usize) -> JsonError {
    let before = bytes.get(..at).unwrap_or_default();
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    JsonError::Syntax { line, column }
}

/// The object that fills `text`, whose path is `own` and inside which `levels` of brackets may open, its own included.
fn object(text: &str, own: &str, levels: usize) -> Result<Object, JsonError> {
    let path = if own.is_empty() { String::new() } else { format!("{own}.") };
    let of_member = |name: &str| format!("{path}{name}");
    let read = json::Members::parse(text, levels, MAX_MEMBERS).map_err(|error| match error {
        // The place of what is wrong further down is known by its path.
        json::JsonError::Syntax { line, column, .. } if own.is_empty() => JsonError::Syntax { line, column },
        json::JsonError::Syntax { .. } => {
            JsonError::Invalid { member: own.to_owned(), expected: "an object whose names are Unicode" }
        }
        json::JsonError::TooDeep(limit) => JsonError::TooDeep { limit },
        json::JsonError::Duplicate(name) => JsonError::Duplicate { member: of_member(&name) },
        json::JsonError::TooMany(_) => {
            let member = if own.is_empty() { "{}" } else { own }.to_owned();
            JsonError::Invalid { member, expected: "an object of at most 64 members" }
        }
    })?;
    let mut members = Vec::new();
    for (name, text) in read.each() {
        members.push((name.to_owned(), value(text, &of_member(name), levels.saturating_sub(1))?));
    }
    Ok(Object { path, members })
}

/// One value with everything below it. Its text is known to be JSON that is not too deep.
fn value(text: &str, path: &str, levels: usize) -> Result<Value, JsonError> {
    let invalid = |expected| JsonError::Invalid { member: path.to_owned(), expected };
    Ok(match text.as_bytes() {
        [b'{', ..] => Value::Object(object(text, path, levels)?),
        [b'[', ..] => {
            let elements =
                json::elements(text, MAX_ELEMENTS).map_err(|_| invalid("an array of at most 256 elements"))?;
            let each = elements.into_iter().enumerate();
            let read = each.map(|(number, text)| value(text, &format!("{path}[{number}]"), levels.saturating_sub(1)));
            Value::Array(read.collect::<Result<_, _>>()?)
        }
        [b'"', ..] => Value::Text(json::string(text).ok_or_else(|| invalid("a string"))?),
        b"null" => Value::Null,
        b"true" => Value::Bool(true),
        b"false" => Value::Bool(false),
        _ => Value::Integer(integer(text).ok_or_else(|| invalid("an integer of at most 64 bits"))?),
    })
}

/// A number without fraction and exponent, from -2^63 to 2^64 - 1.
fn integer(text: &str) -> Option<i128> {
    // Minus zero is a number that only fractions need.
    let integer: i128 = text.parse().ok().filter(|_| text != "-0")?;
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&integer).then_some(integer)
}

impl Object {
    /// Takes `name` out if it is there.
    pub(crate) fn take_optional(&mut self, name: &str) -> Option<Value> {
        let position = self.members.iter().position(|(member, _)| member == name)?;
        Some(self.members.swap_remove(position).1)
    }

    /// Takes `name` out; it has to be there.
    pub(crate) fn take(&mut self, name: &str) -> Result<Value, JsonError> {
        self.take_optional(name).ok_or_else(|| JsonError::Missing { member: self.path_of(name) })
    }

    pub(crate) fn object(&mut self, name: &str) -> Result<Object, JsonError> {
        match self.take(name)? {
            Value::Object(object) => Ok(object),
            _ => Err(self.invalid(name, "an object")),
        }
    }

    /// Takes an array of objects, of at most `most` of them.
    pub(crate) fn objects(&mut self, name: &str, most: usize) -> Result<Vec<Object>, JsonError> {
        self.optional_objects(name, most)?.ok_or_else(|| JsonError::Missing { member: self.path_of(name) })
    }

    /// Takes an array of objects, of at most `most` of them, if the member is there.
    pub(crate) fn optional_objects(&mut self, name: &str, most: usize) -> Result<Option<Vec<Object>>, JsonError> {
        let values = match self.take_optional(name) {
            None => return Ok(None),
            Some(Value::Array(values)) => values,
            Some(_) => return Err(self.invalid(name, "an array")),
        };
        if values.len() > most {
            return Err(self.invalid(name, "an array of so few elements"));
        }
        let mut objects = Vec::with_capacity(values.len());
        for value in values {
            match value {
                Value::Object(object) => objects.push(object),
                _ => return Err(self.invalid(name, "an array of objects")),
            }
        }
        Ok(Some(objects))
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<String, JsonError> {
        match self.take(name)? {
            Value::Text(text) => Ok(text),
            _ => Err(self.invalid(name, "a string")),
        }
    }

    /// Takes a string, if the member is there.
    pub(crate) fn optional_text(&mut self, name: &str) -> Result<Option<String>, JsonError> {
        match self.take_optional(name) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.invalid(name, "a string")),
        }
    }

    /// Takes a string, or `null`.
    pub(crate) fn text_or_null(&mut self, name: &str) -> Result<Option<String>, JsonError> {
        match self.take(name)? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            _ => Err(self.invalid(name, "null or a string")),
        }
    }

    pub(crate) fn unsigned(&mut self, name: &str) -> Result<u64, JsonError> {
        match self.take(name)? {
            Value::Integer(integer) => {
                u64::try_from(integer).map_err(|_| self.invalid(name, "an integer from 0 to 2^64 - 1"))
            }
            _ => Err(self.invalid(name, "an integer")),
        }
    }

    pub(crate) fn boolean(&mut self, name: &str) -> Result<bool, JsonError> {
        match self.take(name)? {
            Value::Bool(boolean) => Ok(boolean),
            _ => Err(self.invalid(name, "a boolean")),
        }
    }

    /// Takes `N` bytes written in lower-case hex.
    pub(crate) fn hex<const N: usize>(&mut self, name: &str) -> Result<[u8; N], JsonError> {
        let text = self.text(name)?;
        parse_hex(&text).map_err(|_| self.invalid(name, "lower-case hex of the length that stands there"))
    }

    /// Takes `N` bytes written in lower-case hex, or `null`.
    pub(crate) fn hex_or_null<const N: usize>(&mut self, name: &str) -> Result<Option<[u8; N]>, JsonError> {
        match self.take(name)? {
            Value::Null => Ok(None),
            Value::Text(text) => parse_hex(&text)
                .map(Some)
                .map_err(|_| self.invalid(name, "null or lower-case hex of the length that stands there")),
            _ => Err(self.invalid(name, "null or a string")),
        }
    }

    /// Takes bytes written in base64url without padding.
    pub(crate) fn base64url(&mut self, name: &str) -> Result<Vec<u8>, JsonError> {
        let text = self.text(name)?;
        from_base64url(&text).ok_or_else(|| self.invalid(name, "base64url without padding"))
    }

    /// Refuses what nobody took.
    pub(crate) fn finish(self) -> Result<(), JsonError> {
        match self.members.first() {
            Some((name, _)) => Err(JsonError::Unknown { member: self.path_of(name) }),
            None => Ok(()),
        }
    }

    /// The error for a member of this object that is not what it has to be.
    pub(crate) fn invalid(&self, name: &str, expected: &'static str) -> JsonError {
        JsonError::Invalid { member: self.path_of(name), expected }
    }

    fn path_of(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }
}

/// Base64url without padding (RFC 4648 section 5), canonical.
pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    base64::decode_url(text).ok()
}

/// Base64url without padding (RFC 4648 section 5).
pub(crate) fn to_base64url(bytes: &[u8]) -> String {
    base64::encode_url(bytes)
}

/// Most members that one object may have. No object of ours has 20; the bound keeps the search for duplicates cheap.
const MAX_MEMBERS: usize = 64;

/// Most elements that one array may have: a value in memory is larger than its two bytes of text.
const MAX_ELEMENTS: usize = 256;

#[cfg(test)]
mod tests;
