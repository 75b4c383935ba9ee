//! JSON objects read so that two readers cannot see two things: a member that stands twice is refused, nesting is bounded, and
//! every value keeps the exact text in which it was sent, because that text is what a vendor signed.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use teegate_encoding::hex;

use crate::error::Defect;
use crate::words::{said, shown};

/// Vendors' documents nest six levels deep.
const MAX_DEPTH: usize = 32;

/// The members of one object, in order, each value as the text it was sent in.
#[derive(Debug)]
pub(crate) struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Reads the object that fills `text`.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Defect> {
        if deeper_than(text, MAX_DEPTH) {
            return Err(broken(format!("nested more than {MAX_DEPTH} levels deep")));
        }
        serde_json::from_str(text).map_err(|cause| broken(said(&cause)))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The exact text of a member's value, from its first character to its last.
    pub(crate) fn raw(&self, name: &str) -> Result<&'a str, Defect> {
        self.get(name).ok_or_else(|| missing(name))
    }

    /// A member that must be a string.
    pub(crate) fn text(&self, name: &str) -> Result<String, Defect> {
        serde_json::from_str(self.raw(name)?).map_err(|_| broken(format!("member `{name}` is not a string")))
    }

    /// The names of the members, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The members in order, each with the exact text of its value.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.get()))
    }

    /// The content of every member that is a string.
    pub(crate) fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter_map(|(_, value)| serde_json::from_str(value.get()).ok())
    }

    /// A member that must be a string of hexadecimal digits.
    pub(crate) fn hex(&self, name: &str) -> Result<Vec<u8>, Defect> {
        let text = self.text(name)?;
        hex::decode(&text).map_err(|cause| broken(format!("member `{name}` is not hexadecimal: {cause}")))
    }

    /// A member that must be an ECDSA P-256 signature, r then s, in hexadecimal.
    pub(crate) fn signature(&self, name: &str) -> Result<[u8; 64], Defect> {
        let bytes = self.hex(name)?;
        let length = bytes.len();
        bytes.try_into().map_err(|_| broken(format!("member `{name}` holds {length} bytes, a signature has 64")))
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.get())
    }
}

fn missing(name: &str) -> Defect {
    broken(format!("member `{name}` is missing"))
}

pub(crate) fn broken(defect: String) -> Defect {
    Defect::Broken {
        kind: "JSON document",
        defect,
        remedy: "save the vendor's answer as it was sent, without editing it; `teegate fetch EVIDENCE --into DIR` does",
    }
}

/// JSON without the white space that stands outside its strings: nothing that is said by it changes.
pub(crate) fn without_white_space(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let mut kept = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            ' ' | '\t' | '\r' | '\n' if !in_string => continue,
            _ => {}
        }
        kept.push(c);
    }
    kept
}

/// Whether brackets outside strings nest deeper than `limit`. Counted before parsing, so that no parser need be trusted with depth.
fn deeper_than(text: &str, limit: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return true;
        }
    }
    false
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(String, &'de RawValue)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    if members.len() == MAX_MEMBERS {
                        return Err(A::Error::custom(format_args!("more than {MAX_MEMBERS} members")));
                    }
                    if members.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom(format_args!("member `{}` stands twice", shown(&name))));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Keeps the search for repeated members cheap. No document that is read here has more than a dozen.
const MAX_MEMBERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_text_of_a_value_exactly() {
        let members = Members::parse("{ \"a\" : {\"x\": 1.0,  \"y\":\"\\u0041\"} , \"b\":\"\\u0041\" }").unwrap();
        assert_eq!(members.raw("a").unwrap(), "{\"x\": 1.0,  \"y\":\"\\u0041\"}");
        assert_eq!(members.text("b").unwrap(), "A");
        assert!(members.text("a").unwrap_err().to_string().contains("`a` is not a string"));
        assert!(members.raw("c").unwrap_err().to_string().contains("`c` is missing"));
    }

    #[test]
    fn refuses_a_member_that_stands_twice_however_it_is_spelt() {
        let error = Members::parse(r#"{"tcbInfo":1,"tcb\u0049nfo":2}"#).unwrap_err().to_string();
        assert!(error.contains("member `tcbInfo` stands twice"), "{error}");
    }

    #[test]
    fn refuses_deep_nesting_but_not_brackets_in_strings() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(Members::parse(&deep).unwrap_err().to_string().contains("nested more than 32"));
        let flat = format!("{{\"a\":\"\\\"{}\"}}", "[".repeat(100));
        assert!(Members::parse(&flat).is_ok());
    }

    #[test]
    fn refuses_what_follows_the_object_and_what_is_none() {
        assert!(Members::parse("{} {}").is_err());
        assert!(Members::parse("[]").unwrap_err().to_string().contains("a JSON object"));
        let many: Vec<String> = (0..65).map(|n| format!("\"{n}\":0")).collect();
        assert!(Members::parse(&format!("{{{}}}", many.join(","))).unwrap_err().to_string().contains("more than 64"));
    }

    #[test]
    fn white_space_goes_from_between_the_strings_and_from_nowhere_else() {
        let text = "{\n  \"a b\": [1,\t\"c \\\" d\" ],\r\n \"é \\\\\" : null }";
        assert_eq!(without_white_space(text), "{\"a b\":[1,\"c \\\" d\"],\"é \\\\\":null}");
    }

    #[test]
    fn a_signature_has_sixty_four_bytes() {
        let good = format!("{{\"s\":\"{}\"}}", "0b".repeat(64));
        assert_eq!(Members::parse(&good).unwrap().signature("s").unwrap(), [11; 64]);
        let short = format!("{{\"s\":\"{}\"}}", "0b".repeat(63));
        assert!(Members::parse(&short).unwrap().signature("s").unwrap_err().to_string().contains("63 bytes"));
    }
}
