//! What a statement says of itself: its name, and the window in which it counts. For people who look at a pile of files; nothing is
//! verified, and nothing is decided by it.

use crate::der::{EXPLICIT_0, GENERALIZED_TIME, INTEGER, SEQUENCE, UTC_TIME, element};
use crate::json::Members;
use crate::statement::Statement;

/// The label of one statement. What cannot be read is `None`: whether that matters is the verifier's question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// `certificate`, `crl`, `tcb-info` or `qe-identity`.
    pub kind: &'static str,
    /// The subject's common name, the issuer's of a revocation list, or what Intel's text is about.
    pub name: Option<String>,
    /// When it begins to count, RFC 3339.
    pub from: Option<String>,
    /// When it ends to count, RFC 3339.
    pub until: Option<String>,
}

impl Statement {
    /// What the statement says of itself.
    #[must_use]
    pub fn label(&self) -> Label {
        let (kind, read) = match self {
            Self::Certificate(der) => ("certificate", certificate(der)),
            Self::Crl(der) => ("crl", crl(der)),
            Self::TcbInfo { body, .. } => ("tcb-info", signed_text(body)),
            Self::QeIdentity { body, .. } => ("qe-identity", signed_text(body)),
        };
        let (name, from, until) = read.unwrap_or_default();
        Label { kind, name, from, until }
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Certificate(der) | Self::Crl(der) => der.len(),
            Self::TcbInfo { body, .. } | Self::QeIdentity { body, .. } => body.len(),
        }
    }

    /// Whether it has no byte at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

type Read = (Option<String>, Option<String>, Option<String>);

/// RFC 5280, section 4.1.
fn certificate(der: &[u8]) -> Option<Read> {
    let mut rest = to_be_signed(der)?;
    if tag(rest)? == EXPLICIT_0 {
        rest = skip(rest)?;
    }
    // serialNumber, signature, issuer.
    rest = skip(skip(skip(rest)?)?)?;
    let (SEQUENCE, validity, rest) = element(rest).ok()? else { return None };
    let (from, until) = (time(validity), time(skip(validity)?));
    Some((common_name(rest), from, until))
}

/// RFC 5280, section 5.1.
fn crl(der: &[u8]) -> Option<Read> {
    let mut rest = to_be_signed(der)?;
    if tag(rest)? == INTEGER {
        rest = skip(rest)?;
    }
    let issuer = skip(rest)?;
    let this_update = skip(issuer)?;
    Some((common_name(issuer), time(this_update), skip(this_update).and_then(time)))
}

fn to_be_signed(der: &[u8]) -> Option<&[u8]> {
    let (SEQUENCE, document, _) = element(der).ok()? else { return None };
    let (SEQUENCE, to_be_signed, _) = element(document).ok()? else { return None };
    Some(to_be_signed)
}

fn tag(bytes: &[u8]) -> Option<u8> {
    element(bytes).ok().map(|(tag, ..)| tag)
}

fn skip(bytes: &[u8]) -> Option<&[u8]> {
    element(bytes).ok().map(|(_, _, rest)| rest)
}

/// The first common name (2.5.4.3) in the Name that `bytes` begin with.
fn common_name(bytes: &[u8]) -> Option<String> {
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    const NAME_CHARACTERS: usize = 120;
    let (SEQUENCE, mut sets, _) = element(bytes).ok()? else { return None };
    while !sets.is_empty() {
        let (_, set, rest) = element(sets).ok()?;
        sets = rest;
        let (_, attribute, _) = element(set).ok()?;
        let (_, oid, value) = element(attribute).ok()?;
        if oid == COMMON_NAME {
            let (_, text, _) = element(value).ok()?;
            return Some(std::str::from_utf8(text).ok()?.chars().take(NAME_CHARACTERS).collect());
        }
    }
    None
}

/// The UTCTime or GeneralizedTime that `bytes` begin with.
fn time(bytes: &[u8]) -> Option<String> {
    let (tag, content, _) = element(bytes).ok()?;
    let text = std::str::from_utf8(content).ok()?;
    let long = match tag {
        // RFC 5280, section 4.1.2.5.1: two digits from 50 on are of the last century.
        UTC_TIME if text >= "50" => format!("19{text}"),
        UTC_TIME => format!("20{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let digits = long.strip_suffix('Z').filter(|d| d.len() == 14 && d.bytes().all(|byte| byte.is_ascii_digit()))?;
    let part = |from: usize, to: usize| digits.get(from..to);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    Some(format!("{year}-{month}-{day}T{}:{}:{}Z", part(8, 10)?, part(10, 12)?, part(12, 14)?))
}

/// Intel's TCB info version 3 and QE identity version 2.
fn signed_text(body: &str) -> Option<Read> {
    let members = Members::parse(body).ok()?;
    let short = |name: &str| members.text(name).ok().map(|text| text.chars().take(40).collect::<String>());
    let words = [short("id"), short("fmspc")].into_iter().flatten().collect::<Vec<_>>().join(" ");
    Some(((!words.is_empty()).then_some(words), short("issueDate"), short("nextUpdate")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
    }

    fn name(common: &[u8]) -> Vec<u8> {
        let country = der(0x31, &der(0x30, &[&[6, 3, 0x55, 4, 6][..], &der(0x13, b"US")].concat()));
        let common = der(0x31, &der(0x30, &[&[6, 3, 0x55, 4, 3][..], &der(0x0C, common)].concat()));
        der(0x30, &[country, common].concat())
    }

    fn label(kind: &'static str, name: Option<&str>, from: Option<&str>, until: Option<&str>) -> Label {
        Label { kind, name: name.map(str::to_owned), from: from.map(str::to_owned), until: until.map(str::to_owned) }
    }

    #[test]
    fn a_certificate_has_the_name_of_its_subject_and_its_validity() {
        let validity = der(0x30, &[der(0x17, b"500102030405Z"), der(0x18, b"20491231235959Z")].concat());
        let fields = [vec![0xA0, 3, 2, 1, 2, 2, 1, 7, 0x30, 0], name(b"Issuer"), validity, name(b"SEV-VCEK")].concat();
        let certificate = der(0x30, &der(0x30, &fields));
        let expected =
            label("certificate", Some("SEV-VCEK"), Some("1950-01-02T03:04:05Z"), Some("2049-12-31T23:59:59Z"));
        assert_eq!(Statement::Certificate(certificate.clone()).label(), expected);
        for end in 0..certificate.len() {
            let _no_panic = Statement::Certificate(certificate[..end].to_vec()).label();
        }
        assert_eq!(Statement::Certificate(vec![1]).label(), label("certificate", None, None, None));
    }

    #[test]
    fn a_list_has_the_name_of_its_issuer_and_its_updates() {
        let times = [der(0x17, b"260102030405Z"), der(0x17, b"270102030405Z")].concat();
        let list = |fields: &[u8]| Statement::Crl(der(0x30, &der(0x30, fields))).label();
        let fields = [vec![2, 1, 1, 0x30, 0], name(b"ARK"), times].concat();
        let expected = label("crl", Some("ARK"), Some("2026-01-02T03:04:05Z"), Some("2027-01-02T03:04:05Z"));
        assert_eq!(list(&fields), expected);
        let without_next = [vec![0x30, 0], name(b"ARK"), der(0x17, b"260102030405Z")].concat();
        assert_eq!(list(&without_next), label("crl", Some("ARK"), Some("2026-01-02T03:04:05Z"), None));
    }

    #[test]
    fn signed_text_says_what_it_is_about() {
        let body = r#"{"id":"TDX","version":3,"issueDate":"a","nextUpdate":"b","fmspc":"00806f050000"}"#.to_owned();
        let statement = Statement::TcbInfo { body, signature: [0; 64] };
        assert_eq!(statement.label(), label("tcb-info", Some("TDX 00806f050000"), Some("a"), Some("b")));
        let statement = Statement::QeIdentity { body: "[".to_owned(), signature: [0; 64] };
        assert_eq!(statement.label(), label("qe-identity", None, None, None));
    }
}
