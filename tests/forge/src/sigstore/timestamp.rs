//! A timestamp authority (RFC 3161): its certificates, and a token over a signature (CMS SignedData, RFC 5652).

use super::builder::{Instance, SigstoreBuilder, sha256};
use crate::certificate::{Attribute, Certificate, Extension, Name, oid};
use crate::der;
use crate::keys::{Key, SignatureAlgorithm};
use crate::time::rfc3339;

const SERIAL: u8 = 0x21;
const TIME_STAMPING: &str = "1.3.6.1.5.5.7.3.8";
const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
const SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
const TST_INFO: &str = "1.2.840.113549.1.9.16.1.4";
const CONTENT_TYPE: &str = "1.2.840.113549.1.9.3";
const MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";
const SHA256: &str = "2.16.840.1.101.3.4.2.1";
const ECDSA_SHA256: &str = "1.2.840.10045.4.3.2";

/// The authority and its root, as the trusted root lists them.
pub(super) fn authorities(instance: &Instance, from: u64, until: u64) -> [Vec<u8>; 2] {
    let certificate = |subject: Name, key: &Key, serial: u8, extensions: Vec<Extension>| {
        Certificate {
            version: Some(2),
            serial: vec![serial],
            issuer: name("tsa-root"),
            subject,
            not_before: from,
            not_after: until,
            public_key_info: key.public_key_info(),
            extensions,
            algorithm: SignatureAlgorithm::Ecdsa,
            inner_identifier: None,
            outer_identifier: None,
            signer: instance.tsa_root.clone(),
            damaged_signature: false,
        }
        .to_der()
    };
    let usage = Extension::critical(EXTENDED_KEY_USAGE, der::sequence(&[der::oid(TIME_STAMPING)]));
    [
        certificate(name("tsa"), &instance.tsa, SERIAL, vec![Extension::key_usage(7, 0x80), usage]),
        certificate(
            name("tsa-root"),
            &instance.tsa_root,
            1,
            vec![Extension::key_usage(1, 0x06), Extension::basic_constraints(true, None)],
        ),
    ]
}

/// A `TimeStampResp` that says that `signature` was there at `at`.
pub(super) fn token(builder: &SigstoreBuilder, signature: &[u8], at: u64) -> Vec<u8> {
    let sha256_identifier = der::sequence(&[der::oid(SHA256), der::null()]);
    let generalized: String = rfc3339(at).chars().filter(|c| !matches!(c, '-' | ':' | 'T')).collect();
    let info = der::sequence(&[
        der::integer(1),
        der::oid("1.3.6.1.4.1.57264.2"),
        der::sequence(&[sha256_identifier.clone(), der::octet_string(&sha256(signature))]),
        der::integer(4711),
        der::element(der::tag::GENERALIZED_TIME, generalized.as_bytes()),
    ]);
    let attribute = |name: &str, value: Vec<u8>| der::sequence(&[der::oid(name), der::set(&[value])]);
    let mut attributes =
        [attribute(CONTENT_TYPE, der::oid(TST_INFO)), attribute(MESSAGE_DIGEST, der::octet_string(&sha256(&info)))];
    attributes.sort();
    let key = if builder.timestamp_by_stranger { Key::p256() } else { builder.acting.tsa.clone() };
    let signed = SignatureAlgorithm::Ecdsa.sign(&key, &der::set(&attributes));
    let signer = der::sequence(&[
        der::integer(1),
        der::sequence(&[name("tsa-root").to_der(), der::integer(SERIAL.into())]),
        sha256_identifier.clone(),
        der::explicit(0, &der::concat(&attributes)),
        der::sequence(&[der::oid(ECDSA_SHA256)]),
        der::octet_string(&signed),
    ]);
    let signed_data = der::sequence(&[
        der::integer(3),
        der::set(&[sha256_identifier]),
        der::sequence(&[der::oid(TST_INFO), der::explicit(0, &der::octet_string(&info))]),
        der::set(&[signer]),
    ]);
    let content = der::sequence(&[der::oid(SIGNED_DATA), der::explicit(0, &signed_data)]);
    der::sequence(&[der::sequence(&[der::integer(0)]), content])
}

fn name(common: &str) -> Name {
    Name(vec![Attribute::utf8(oid::ORGANIZATION, "forged.example"), Attribute::utf8(oid::COMMON_NAME, common)])
}
