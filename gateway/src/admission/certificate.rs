//! What a client shows in the TLS handshake. Its chain was verified there; here it is read who it names.
//!
//! X509-SVID 1.0, sections 2 to 5: exactly one URI among the subject alternative names, which is the SPIFFE ID; no CA, and no key that
//! signs certificates. The subject is not looked at: a common name is nobody.

use std::sync::Arc;

use teegate_encoding::der::{BIT_STRING, BOOLEAN, CivilTime, Der, DerError, OCTET_STRING, OID, SEQUENCE, context};
use teegate_verifier::UnixTime;

/// What a client shows in the TLS handshake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Certificate {
    /// Nothing.
    None,
    /// A certificate that names one SPIFFE ID, or what should be one, and nobody else.
    Id {
        /// It.
        id: Arc<str>,
        /// The last second of the certificate: a connection may last longer.
        until: UnixTime,
    },
    /// A certificate that does not say who it is.
    Unusable,
}

/// `subjectAltName`, 2.5.29.17, and `keyUsage`, 2.5.29.15: RFC 5280 section 4.2.1.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1D, 0x11];
const KEY_USAGE: &[u8] = &[0x55, 0x1D, 0x0F];
/// `uniformResourceIdentifier [6]` of a `GeneralName`, primitive.
const URI: u8 = 0x86;
/// `keyCertSign` and `cRLSign`, bits 5 and 6 of the first byte from the left.
const SIGNS: u8 = 0b0000_0110;

impl Certificate {
    /// Who the leaf of a verified chain names.
    pub fn of(leaf: &[u8]) -> Self {
        match named(leaf) {
            Ok(Some((id, until))) => Self::Id { id: id.into(), until },
            Ok(None) | Err(DerError(_)) => Self::Unusable,
        }
    }
}

/// The one URI of a certificate that may ask. RFC 5280 section 4.1.
fn named(leaf: &[u8]) -> Result<Option<(String, UnixTime)>, DerError> {
    let mut certificate = Der::new(leaf).nested(SEQUENCE)?;
    let mut fields = certificate.nested(SEQUENCE)?;
    // `version [0]`, which may be absent, `serialNumber`, `signature`, `issuer`.
    if fields.any()?.tag == context(0) {
        fields.any()?;
    }
    fields.any()?;
    fields.any()?;
    let mut validity = fields.nested(SEQUENCE)?;
    validity.civil_time()?;
    let until = instant(validity.civil_time()?)?;
    // `extensions [3]` is the last of them.
    let mut last = fields.any()?;
    while !fields.is_empty() {
        last = fields.any()?;
    }
    if last.tag != context(3) {
        return Ok(None);
    }
    let mut extensions = Der::new(last.content).nested(SEQUENCE)?;
    let (mut uris, mut names, mut signs) = (Vec::new(), 0, false);
    while !extensions.is_empty() {
        let mut extension = extensions.nested(SEQUENCE)?;
        let id = extension.content(OID)?;
        if extension.peek() == Some(BOOLEAN) {
            extension.boolean()?;
        }
        let value = extension.content(OCTET_STRING)?;
        if id == SUBJECT_ALT_NAME {
            names += 1;
            let mut general_names = Der::new(value).nested(SEQUENCE)?;
            while !general_names.is_empty() {
                let name = general_names.any()?;
                if name.tag == URI {
                    uris.push(name.content);
                }
            }
        } else if id == KEY_USAGE {
            // A named bit list: how many bits are unused, then the bits.
            let bits = Der::new(value).content(BIT_STRING)?;
            signs |= bits.get(1).is_some_and(|first| first & SIGNS != 0);
        }
    }
    match uris.as_slice() {
        [uri] if names == 1 && !signs => Ok(std::str::from_utf8(uri).ok().map(|id| (id.to_owned(), until))),
        _ => Ok(None),
    }
}

fn instant(CivilTime { year, month, day, time: [hour, minute, second] }: CivilTime) -> Result<UnixTime, DerError> {
    let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
    UnixTime::parse(&text).map_err(|_| DerError("a time that there is not"))
}
