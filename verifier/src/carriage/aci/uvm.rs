//! The endorsement of a utility VM: what Microsoft signs of the virtual machine that Confidential ACI starts around a container
//! group (`reference-info-base64` of the security context). A COSE_Sign1 whose payload names a launch measurement and the
//! security version number of that machine.
//!
//! Read as narrowly as the recorded ones are: one algorithm, PS384, one content type, and no member beside the two. What was
//! not seen is refused by name, since it could be a condition.

use bytes::Bytes;
use teegate_encoding::cose::{Algorithm, Label, Sign1};
use teegate_encoding::json::{self, Members};

use crate::bytes::{Measurement, array_from_hex};
use crate::place::shortened;
use crate::signature::sha256;
use crate::x509::certificate::Certificate;

/// A recorded one has 10,864 bytes, of which half is a timestamp.
const MAX_BYTES: usize = 64 * 1024;
/// A member is 96 digits or a number.
const MAX_PAYLOAD: usize = 4 * 1024;
/// `SHA-256` in the registry of COSE.
const SHA_256: i64 = -16;
const MEASUREMENT: &str = "x-ms-sevsnpvm-launchmeasurement";
const GUEST_SVN: &str = "x-ms-sevsnpvm-guestsvn";

/// What an endorsement says. Nobody is known to have signed it.
pub(crate) struct Endorsement<'a> {
    pub(crate) message: Sign1<'a>,
    /// The bytes of the last certificate of its chain, which should be the root.
    pub(crate) root: &'a [u8],
    /// The signer's first.
    pub(crate) path: Vec<Certificate>,
    /// Who says that it issues this.
    pub(crate) issuer: &'a str,
    /// For which line of releases.
    pub(crate) feed: &'a str,
    pub(crate) measurement: Measurement,
    /// The version of the virtual machine, which is not the `GUEST_SVN` of the report.
    pub(crate) svn: u32,
    /// Whether a timestamp came along: some bytes under that label, which are not taken apart here.
    pub(crate) has_timestamp: bool,
}

impl<'a> Endorsement<'a> {
    /// Reads the endorsement that fills `bytes`.
    ///
    /// # Errors
    /// What is wrong, and what was expected.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        if bytes.len() > MAX_BYTES {
            return Err(format!("{} bytes: expected at most {MAX_BYTES}", bytes.len()));
        }
        let message = Sign1::parse(bytes).map_err(|error| error.to_string())?;
        let header = message.protected();
        match message.algorithm() {
            Some(Algorithm::Ps384) => {}
            Some(other) => return Err(format!("signed with {}: expected PS384", other.name())),
            None => return Err("signed with an algorithm that is not known here: expected PS384".to_owned()),
        }
        match header.get(Label::CONTENT_TYPE).and_then(|value| value.text()) {
            Some("application/json") => {}
            Some(other) => return Err(format!("a payload of type `{}`: expected JSON", shortened(other, 40))),
            None => return Err("a payload of no type: expected `application/json`".to_owned()),
        }
        let text = |label: &'static str| {
            let value = header.get(Label::Text(label)).and_then(|value| value.text());
            value.ok_or_else(|| format!("the protected header has no text `{label}`"))
        };
        let (issuer, feed) = (text("iss")?, text("feed")?);
        let chain = header.get(Label::X5CHAIN).ok_or("the protected header has no chain of certificates (x5chain)")?;
        let chain = chain.chain().map_err(|error| error.to_string())?;
        let (Some(signer), Some(root)) = (chain.first(), chain.last()) else {
            return Err("an empty chain of certificates (x5chain)".to_owned());
        };
        if let Some(named) = header.get(Label::X5T)
            && named.digest() != Some((SHA_256, &sha256(&[signer])))
        {
            return Err("x5t is not the SHA-256 of the first certificate".to_owned());
        }
        let read = |(index, der): (usize, &&[u8])| {
            let certificate = Certificate::parse(&Bytes::copy_from_slice(der));
            certificate.map_err(|error| format!("certificate {} of x5chain: {error}", index + 1))
        };
        let path = chain.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        let (measurement, svn) = payload(message.payload())?;
        let timestamp = message.unprotected().get(Label::Text("timestamp")).and_then(|value| value.bytes());
        let has_timestamp = timestamp.is_some_and(|bytes| !bytes.is_empty());
        Ok(Self { root, path, issuer, feed, measurement, svn, has_timestamp, message })
    }
}

/// A stranger's text as a report repeats it: the name of an issuer with its digest and usage has 107 characters, and is of use
/// whole.
pub(super) fn shown(text: &str) -> String {
    let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    shortened(text, 160).chars().map(printable).collect()
}

/// The two members of the payload, and no other.
fn payload(bytes: &[u8]) -> Result<(Measurement, u32), String> {
    if bytes.len() > MAX_PAYLOAD {
        return Err(format!("a payload of {} bytes: expected at most {MAX_PAYLOAD}", bytes.len()));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "a payload that is not UTF-8")?;
    let members = Members::parse(text, 1, 8).map_err(|error| format!("the payload: {error}"))?;
    if let Some((other, _)) = members.each().find(|(name, _)| ![MEASUREMENT, GUEST_SVN].contains(name)) {
        return Err(format!("the payload has a member `{}`, which is not known here", shortened(other, 40)));
    }
    let member = |name: &str, expected: &str| {
        let value = members.get(name).ok_or_else(|| format!("the payload has no `{name}`"))?;
        json::string(value).ok_or_else(|| format!("`{name}`: expected {expected}"))
    };
    const DIGITS: &str = "48 bytes in hexadecimal";
    let measurement = array_from_hex(&member(MEASUREMENT, DIGITS)?);
    let measurement = measurement.ok_or_else(|| format!("`{MEASUREMENT}`: expected {DIGITS}"))?;
    const NUMBER: &str = "a text of decimal digits";
    let svn = decimal(&member(GUEST_SVN, NUMBER)?).ok_or_else(|| format!("`{GUEST_SVN}`: expected {NUMBER}"))?;
    Ok((Measurement(measurement), svn))
}

/// A number in the one spelling that it has, of at most 32 bits, as policies ask for them.
fn decimal(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_two_texts_and_nothing_else() {
        let digits = "ab".repeat(48);
        let of = |svn: &str, more: &str| {
            payload(format!("{{\"{GUEST_SVN}\": {svn}, \"{MEASUREMENT}\": \"{digits}\"{more}}}").as_bytes())
        };
        assert_eq!(of("\"22\"", "").unwrap(), (Measurement([0xAB; 48]), 22));
        assert_eq!(of("\"4294967295\"", "").unwrap().1, 4_294_967_295);
        for (svn, more, expected) in [
            ("22", "", "expected a text of decimal digits"),
            ("\"022\"", "", "expected a text of decimal digits"),
            ("\"+22\"", "", "expected a text of decimal digits"),
            ("\" 22\"", "", "expected a text of decimal digits"),
            ("\"4294967296\"", "", "expected a text of decimal digits"),
            ("\"\"", "", "expected a text of decimal digits"),
            ("null", "", "expected a text of decimal digits"),
            ("[\"22\"]", "", "nested more than 1 levels deep"),
            ("\"22\"", ", \"debug\": 1", "has a member `debug`"),
            ("\"22\"", ", \"x-ms-sevsnpvm-guestsvn\": \"23\"", "stands twice"),
            ("\"22\"", ", \"x-ms-sevsnpvm-guest\\u0073vn\": \"23\"", "stands twice"),
            ("\"22\"", " ", ""),
        ] {
            match of(svn, more) {
                Ok(_) => assert!(expected.is_empty(), "{svn}{more}"),
                Err(message) => assert!(!expected.is_empty() && message.contains(expected), "{message}"),
            }
        }
        for (text, expected) in [
            (format!("{{\"{GUEST_SVN}\": \"1\", \"{GUEST_SVN}\": \"2\"}}"), "stands twice"),
            (format!("{{\"{GUEST_SVN}\": \"1\", \"debug\": \"2\"}}"), "has a member `debug`"),
            (format!("{{\"{GUEST_SVN}\": \"1\"}}"), "has no `x-ms-sevsnpvm-launchmeasurement`"),
            (format!("{{\"{MEASUREMENT}\": \"{}\"}}", digits.get(2..).unwrap()), "expected 48 bytes in hexadecimal"),
            ("[]".to_owned(), "expected"),
        ] {
            let message = payload(text.as_bytes()).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        assert!(payload(&[b' '; MAX_PAYLOAD + 1]).unwrap_err().contains("expected at most 4096"));
        assert!(payload(&[0xFF]).unwrap_err().contains("not UTF-8"));
    }
}
