//! Vendors' JSON objects: members by name, and what is wrong with them as a defect of the document.

use teegate_encoding::{hex, json};

use crate::error::Defect;

/// Vendors' documents nest six levels deep.
const MAX_DEPTH: usize = 32;

/// No document that is read here has more than a dozen.
const MAX_MEMBERS: usize = 64;

/// The members of one object, in order, each value as the text it was sent in.
#[derive(Debug)]
pub(crate) struct Members<'a>(json::Members<'a>);

impl<'a> Members<'a> {
    /// Reads the object that fills `text`.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Defect> {
        json::Members::parse(text, MAX_DEPTH, MAX_MEMBERS).map(Self).map_err(|cause| broken(cause.to_string()))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some()
    }

    /// The exact text of a member's value, from its first character to its last.
    pub(crate) fn raw(&self, name: &str) -> Result<&'a str, Defect> {
        self.0.get(name).ok_or_else(|| missing(name))
    }

    /// A member that must be a string.
    pub(crate) fn text(&self, name: &str) -> Result<String, Defect> {
        json::string(self.raw(name)?).ok_or_else(|| broken(format!("member `{name}` is not a string")))
    }

    /// The names of the members, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.each().map(|(name, _)| name)
    }

    /// The members in order, each with the exact text of its value.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.each()
    }

    /// The content of every member that is a string.
    pub(crate) fn texts(&self) -> impl Iterator<Item = String> {
        self.0.each().filter_map(|(_, value)| json::string(value))
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

/// The same defect, of a document that was to be evidence: what its maker may do about it is not what helps with a vendor's answer.
pub(crate) fn of_evidence(defect: Defect) -> Defect {
    match defect {
        Defect::Broken { kind, defect, .. } => Defect::Broken {
            kind,
            defect,
            remedy: "save the evidence as the attester answered it, without editing it; `teegate record --into DIR` takes it in the guest",
        },
        other => other,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_a_defect_of_the_document() {
        let refused = |text: &str| Members::parse(text).unwrap_err().to_string();
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100), "]".repeat(100));
        assert!(refused(&deep).contains("nested more than 32"));
        assert!(refused(r#"{"a":1,"\u0061":2}"#).contains("member `a` stands twice"));
        assert!(refused("[]").contains("a JSON object"));
        let many: Vec<String> = (0..65).map(|n| format!("\"{n}\":0")).collect();
        assert!(refused(&format!("{{{}}}", many.join(","))).contains("more than 64"));
        let members = Members::parse("{\"a\":{},\"b\":\"c\"}").unwrap();
        assert!(members.text("a").unwrap_err().to_string().contains("`a` is not a string"));
        assert!(members.raw("c").unwrap_err().to_string().contains("`c` is missing"));
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
