//! Fulcio: its root and intermediate, the leaf of whoever signs, and the proof in it that a certificate transparency log has seen it
//! (RFC 6962, section 3.3).

use super::builder::{Identity, Instance, Sct, SigstoreBuilder, log_id, sha256};
use crate::certificate::{Attribute, Certificate, Extension, Name, oid};
use crate::der;
use crate::keys::{Key, SignatureAlgorithm};

const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
const SUBJECT_ALT_NAME: &str = "2.5.29.17";
const ISSUER: &str = "1.3.6.1.4.1.57264.1.1";
const ISSUER_V2: &str = "1.3.6.1.4.1.57264.1.8";
const SCT_LIST: &str = "1.3.6.1.4.1.11129.2.4.2";

/// Root and intermediate, as the trusted root lists them: the intermediate first.
pub(super) fn authorities(instance: &Instance, from: u64, until: u64) -> [Vec<u8>; 2] {
    let authority = |subject: &Name, key: &Key, path: u64| Certificate {
        version: Some(2),
        serial: vec![1],
        issuer: name("sigstore"),
        subject: subject.clone(),
        not_before: from,
        not_after: until,
        public_key_info: key.public_key_info(),
        extensions: vec![Extension::key_usage(1, 0x06), Extension::basic_constraints(true, Some(path))],
        algorithm: SignatureAlgorithm::Ecdsa,
        inner_identifier: None,
        outer_identifier: None,
        signer: instance.root.clone(),
        damaged_signature: false,
    };
    [
        authority(&name("sigstore-intermediate"), &instance.intermediate, 0).to_der(),
        authority(&name("sigstore"), &instance.root, 1).to_der(),
    ]
}

/// The leaf for `key`.
pub(super) fn leaf(builder: &SigstoreBuilder, key: &Key) -> Vec<u8> {
    let (name_tag, identity) = match &builder.identity {
        Identity::Email(address) => (1, address.as_str()),
        Identity::Uri(uri) => (6, uri.as_str()),
        Identity::None => (2, "names.nobody.example"),
    };
    let mut extensions = vec![
        Extension::key_usage(7, 0x80),
        Extension::new(EXTENDED_KEY_USAGE, der::sequence(&[der::oid(builder.leaf_usage)])),
        Extension::subject_key_id(&key.key_identifier()),
        Extension::authority_key_id(&builder.acting.intermediate.key_identifier()),
        Extension::critical(SUBJECT_ALT_NAME, der::sequence(&[der::implicit(name_tag, identity.as_bytes())])),
    ];
    if let Some(issuer) = &builder.issuer {
        extensions.push(Extension::new(ISSUER, issuer.as_bytes().to_vec()));
        if !builder.old_issuer {
            extensions.push(Extension::new(ISSUER_V2, der::element(der::tag::UTF8_STRING, issuer.as_bytes())));
        }
    }
    let mut certificate = Certificate {
        version: Some(2),
        serial: vec![0x5A, 1, 2, 3],
        issuer: name("sigstore-intermediate"),
        subject: Name(Vec::new()),
        not_before: builder.leaf_window.0,
        not_after: builder.leaf_window.1,
        public_key_info: key.public_key_info(),
        extensions,
        algorithm: SignatureAlgorithm::Ecdsa,
        inner_identifier: None,
        outer_identifier: None,
        signer: builder.acting.intermediate.clone(),
        damaged_signature: false,
    };
    if builder.sct != Sct::Missing {
        let list = sct_list(builder, &certificate);
        certificate.set_extension(Extension::new(SCT_LIST, der::octet_string(&list)));
    }
    certificate.to_der()
}

fn name(common: &str) -> Name {
    Name(vec![Attribute::utf8(oid::ORGANIZATION, "forged.example"), Attribute::utf8(oid::COMMON_NAME, common)])
}

/// A `SignedCertificateTimestampList` of one, over the certificate as it is before the list is in it.
fn sct_list(builder: &SigstoreBuilder, certificate: &Certificate) -> Vec<u8> {
    let mut logged = certificate.clone();
    if builder.sct == Sct::OfOther {
        logged.set_serial(7);
    }
    let milliseconds = (builder.sct_at * 1000).to_be_bytes();
    let precertificate = logged.to_be_signed();
    let length = u32::try_from(precertificate.len()).expect("a certificate is short").to_be_bytes();
    let signed = [
        &[0, 0][..], // version 1, certificate_timestamp
        &milliseconds,
        &[0, 1], // precert_entry
        &sha256(&builder.acting.intermediate.public_key_info()),
        &length[1..],
        &precertificate,
        &[0, 0], // no extensions
    ]
    .concat();
    let key = if builder.sct == Sct::ByStranger { Key::p256() } else { builder.acting.ct_log.clone() };
    let signature = SignatureAlgorithm::Ecdsa.sign(&key, &signed);
    let sct = [
        &[0][..],
        &log_id(&builder.acting.ct_log),
        &milliseconds,
        &[0, 0],
        &[4, 3], // SHA-256, ECDSA
        &prefixed(&signature),
    ]
    .concat();
    prefixed(&prefixed(&sct))
}

/// With its length in two bytes in front.
fn prefixed(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a signature is short").to_be_bytes();
    [&length[..], bytes].concat()
}
