//! What a statement says of itself: its name, and the window in which it counts. For people who look at a pile of files; nothing is
//! verified, and nothing is decided by it.

use teegate_encoding::der::{CivilTime, Der, INTEGER, SEQUENCE, context};

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
    let mut fields = to_be_signed(der)?;
    if fields.peek()? == context(0) {
        fields.any().ok()?;
    }
    // serialNumber, signature, issuer.
    for _ in 0..3 {
        fields.any().ok()?;
    }
    let mut validity = fields.nested(SEQUENCE).ok()?;
    let (from, until) = (time(&mut validity), time(&mut validity));
    Some((common_name(fields), from, until))
}

/// RFC 5280, section 5.1.
fn crl(der: &[u8]) -> Option<Read> {
    let mut fields = to_be_signed(der)?;
    if fields.peek()? == INTEGER {
        fields.any().ok()?;
    }
    fields.any().ok()?;
    let issuer = fields;
    fields.any().ok()?;
    Some((common_name(issuer), time(&mut fields), time(&mut fields)))
}

fn to_be_signed(der: &[u8]) -> Option<Der<'_>> {
    Der::new(der).nested(SEQUENCE).ok()?.nested(SEQUENCE).ok()
}

/// The first common name (2.5.4.3) in the Name that comes next.
fn common_name(mut fields: Der<'_>) -> Option<String> {
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    const NAME_CHARACTERS: usize = 120;
    let mut sets = fields.nested(SEQUENCE).ok()?;
    while !sets.is_empty() {
        let mut set = Der::new(sets.any().ok()?.content);
        let mut attribute = Der::new(set.any().ok()?.content);
        if attribute.any().ok()?.content == COMMON_NAME {
            let text = attribute.any().ok()?.content;
            return Some(std::str::from_utf8(text).ok()?.chars().take(NAME_CHARACTERS).collect());
        }
    }
    None
}

/// The UTCTime or GeneralizedTime that comes next.
fn time(fields: &mut Der<'_>) -> Option<String> {
    let CivilTime { year, month, day, time: [hour, minute, second] } = fields.civil_time().ok()?;
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
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
