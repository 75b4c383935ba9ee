//! Rekor: the entry of a signature, the tree it stands in (RFC 6962, section 2.1), the checkpoint over that, and the promise of version 1.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::builder::{Rekor, SigstoreBuilder, log_id, sha256};
use crate::keys::{Key, SignatureAlgorithm};
use crate::pem;

/// Leaves of the tree.
const SIZE: usize = 11;
/// Where in it the entry stands.
const INDEX: usize = 5;
/// How many entries stood in earlier shards, which the index of version 1 counts.
const EARLIER: usize = 1_000_000;

/// What is logged.
pub(super) fn body(builder: &SigstoreBuilder, signature: &[u8], certificate: &[u8]) -> Value {
    let digest = sha256(&builder.file);
    let signature = STANDARD.encode(signature);
    match builder.rekor {
        Rekor::V1 => json!({
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": { "hash": { "algorithm": "sha256", "value": hex::encode(digest) } },
                "signature": {
                    "content": signature,
                    "publicKey": { "content": STANDARD.encode(pem::certificate(certificate)) },
                },
            },
        }),
        Rekor::V2 => json!({
            "apiVersion": "0.0.2",
            "kind": "hashedrekord",
            "spec": { "hashedRekordV002": {
                "data": { "algorithm": "SHA2_256", "digest": STANDARD.encode(digest) },
                "signature": {
                    "content": signature,
                    "verifier": {
                        "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                        "x509Certificate": { "rawBytes": STANDARD.encode(certificate) },
                    },
                },
            } },
        }),
    }
}

/// The entry of `body`, as it stands in a bundle.
pub(super) fn entry(builder: &SigstoreBuilder, body: &[u8]) -> Value {
    let leaves: Vec<[u8; 32]> =
        (0..SIZE).map(|index| if index == INDEX { leaf(body) } else { leaf(&[index as u8]) }).collect();
    let root = root(&leaves);
    let root = if builder.other_tree { sha256(&root) } else { root };
    let id = log_id(&builder.acting.log);
    let index = match builder.rekor {
        Rekor::V1 => EARLIER + INDEX,
        Rekor::V2 => INDEX,
    };
    let mut entry = json!({
        "logIndex": index.to_string(),
        "logId": { "keyId": STANDARD.encode(id) },
        "kindVersion": { "kind": "hashedrekord", "version": builder.version() },
        "inclusionProof": {
            "logIndex": INDEX.to_string(),
            "rootHash": STANDARD.encode(root),
            "treeSize": SIZE.to_string(),
            "hashes": path(INDEX, &leaves).iter().map(|hash| STANDARD.encode(hash)).collect::<Vec<_>>(),
            "checkpoint": { "envelope": checkpoint(builder, &root) },
        },
        "canonicalizedBody": STANDARD.encode(body),
    });
    if builder.rekor == Rekor::V1 {
        let promised = json!({
            "body": STANDARD.encode(body),
            "integratedTime": builder.integrated_at,
            "logID": hex::encode(id),
            "logIndex": index,
        });
        let key = if builder.set_by_stranger { Key::p256() } else { builder.acting.log.clone() };
        let promise = SignatureAlgorithm::Ecdsa.sign(&key, promised.to_string().as_bytes());
        entry["integratedTime"] = builder.integrated_at.to_string().into();
        entry["inclusionPromise"] = json!({ "signedEntryTimestamp": STANDARD.encode(promise) });
    }
    entry
}

impl SigstoreBuilder {
    fn version(&self) -> &'static str {
        match self.rekor {
            Rekor::V1 => "0.0.1",
            Rekor::V2 => "0.0.2",
        }
    }
}

/// A signed note: origin, size, root; and who says so, by the first four bytes of the log's id.
fn checkpoint(builder: &SigstoreBuilder, root: &[u8; 32]) -> String {
    let note = format!("log.forged.example - 1\n{SIZE}\n{}\n", STANDARD.encode(root));
    let named = if builder.checkpoint_by_other_log { &builder.acting.other_log } else { &builder.acting.log };
    let key = if builder.checkpoint_by_stranger { Key::p256() } else { named.clone() };
    let signature = SignatureAlgorithm::Ecdsa.sign(&key, note.as_bytes());
    let line = STANDARD.encode([&log_id(named)[..4], &signature].concat());
    format!("{note}\n\u{2014} log.forged.example {line}\n")
}

fn leaf(body: &[u8]) -> [u8; 32] {
    sha256(&[&[0][..], body].concat())
}

/// The largest power of two below the number of leaves.
fn split(leaves: usize) -> usize {
    leaves.next_power_of_two() / 2
}

fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            sha256(&[&[1][..], &root(left), &root(right)].concat())
        }
    }
}

/// The hashes beside the way from the leaf up.
fn path(index: usize, leaves: &[[u8; 32]]) -> Vec<[u8; 32]> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let at = split(leaves.len());
    let (left, right) = leaves.split_at(at);
    let (mut below, beside) =
        if index < at { (path(index, left), root(right)) } else { (path(index - at, right), root(left)) };
    below.push(beside);
    below
}
