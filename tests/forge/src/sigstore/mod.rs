//! A forged Sigstore instance: a Fulcio (root, intermediate, and a certificate of ten minutes for whoever signs), the certificate
//! transparency log behind it, a Rekor of either version, a timestamp authority, and the `trusted_root.json` that names them all.
//!
//! The layouts follow the protobuf specifications 0.5 (bundle v0.3, trusted root v0.1), Fulcio's certificate specification, RFC 6962
//! (SCT, tree), Rekor's `hashedrekord` 0.0.1 and 0.0.2, the signed note of checkpoints, and RFC 3161.

mod builder;
mod fulcio;
mod log;
mod root;
mod timestamp;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::keys::{Key, SignatureAlgorithm};

pub use builder::{IDENTITY, ISSUER, Identity, Instance, Rekor, SIGNED_AT, Sct, SigstoreBuilder, sha256};

/// What a signer and an instance leave behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The file.
    pub file: Vec<u8>,
    /// The bundle, JSON.
    pub bundle: String,
    /// The trusted root, JSON.
    pub trusted_root: String,
}

impl SigstoreBuilder {
    /// Signs, logs and writes it all down.
    pub fn build(&self) -> Signed {
        let key = Key::p256();
        let certificate = fulcio::leaf(self, &key);
        let signs = if self.signed_by_stranger { Key::p256() } else { key };
        let signature = SignatureAlgorithm::Ecdsa.sign(&signs, &self.file);
        let body = self.body.apply(log::body(self, &signature, &certificate));
        let mut material = json!({
            "certificate": { "rawBytes": STANDARD.encode(&certificate) },
            "tlogEntries": [log::entry(self, body.to_string().as_bytes())],
        });
        if let Some(at) = self.timestamp {
            let of = if self.timestamp_of_other { b"another signature".as_slice() } else { &signature };
            let token = timestamp::token(self, of, at);
            material["timestampVerificationData"] =
                json!({ "rfc3161Timestamps": [{ "signedTimestamp": STANDARD.encode(token) }] });
        }
        let bundle = json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": material,
            "messageSignature": {
                "messageDigest": { "algorithm": "SHA2_256", "digest": STANDARD.encode(sha256(&self.file)) },
                "signature": STANDARD.encode(&signature),
            },
        });
        Signed {
            file: self.file.clone(),
            bundle: self.bundle.apply(bundle).to_string(),
            trusted_root: self.root.apply(root::json(&self.trusted)).to_string(),
        }
    }
}
