//! `trusted_root.json`: what a user pins.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::builder::{Instance, SIGNED_AT, log_id};
use super::{fulcio, timestamp};
use crate::keys::Key;
use crate::time::{YEAR, rfc3339};

/// Since when the instance is there.
const FROM: u64 = SIGNED_AT - YEAR;

pub(super) fn json(instance: &Instance) -> Value {
    let until = SIGNED_AT + 9 * YEAR;
    json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [log("log", &instance.log), log("other-log", &instance.other_log)],
        "certificateAuthorities": [authority("fulcio", &fulcio::authorities(instance, FROM, until))],
        "ctlogs": [log("ct", &instance.ct_log)],
        "timestampAuthorities": [authority("tsa", &timestamp::authorities(instance, FROM, until))],
    })
}

fn log(host: &str, key: &Key) -> Value {
    json!({
        "baseUrl": format!("https://{host}.forged.example"),
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": STANDARD.encode(key.public_key_info()),
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "validFor": { "start": rfc3339(FROM) },
        },
        "logId": { "keyId": STANDARD.encode(log_id(key)) },
    })
}

fn authority(host: &str, chain: &[Vec<u8>]) -> Value {
    let certificates: Vec<Value> = chain.iter().map(|der| json!({ "rawBytes": STANDARD.encode(der) })).collect();
    json!({
        "subject": { "organization": "forged.example", "commonName": host },
        "uri": format!("https://{host}.forged.example"),
        "certChain": { "certificates": certificates },
        "validFor": { "start": rfc3339(FROM) },
    })
}
