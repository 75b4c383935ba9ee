//! The one form of bundle that is read: version 0.3, a signature over the file's SHA-256, one certificate, one entry of the kind
//! `hashedrekord` with its proof. Protobuf specifications of Sigstore 0.5, `sigstore_bundle.proto` and `sigstore_rekor.proto`.

use sigstore_verify::types::bundle::{MediaType, VerificationMaterialContent};
use sigstore_verify::types::{Bundle, HashAlgorithm, KindVersion, SignatureContent, TransparencyLogEntry};

use crate::error::{Error, line};

/// A bundle of a file has some ten thousand bytes.
const MAX_BYTES: usize = 256 << 10;
/// Each is checked against every authority of the trusted root.
const MAX_TIMESTAMPS: usize = 4;

const CHECKPOINT: &str = "expected `inclusionProof` with a checkpoint: a promise alone (a signed entry timestamp) does not show that the \
                          entry came into the log";

/// The bundle in `bytes`, and its one entry. Nothing is verified yet.
pub(crate) fn read(bytes: &[u8]) -> Result<(Bundle, TransparencyLogEntry), Error> {
    if bytes.len() > MAX_BYTES {
        return Err(Error::new(format!("more than {MAX_BYTES} bytes: expected the bundle of one signature")));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Error::new("no Sigstore bundle: not UTF-8 text"))?;
    let bundle = Bundle::from_json(text).map_err(|error| {
        Error::new(format!(
            "no Sigstore bundle that is read here, which is JSON of version 0.3: {}",
            line(&error.to_string())
        ))
    })?;
    if bundle.media_type != MediaType::Bundle0_3 {
        return Err(Error::new(format!(
            "a bundle `{}`: expected version 0.3, `{}`, as `cosign sign-blob --bundle` of version 3 writes it",
            bundle.media_type,
            MediaType::Bundle0_3
        )));
    }
    let SignatureContent::MessageSignature(signature) = &bundle.content else {
        return Err(Error::new(
            "an attestation (a DSSE envelope), which says something about a file: expected a signature over the file itself, as \
             `cosign sign-blob` makes it",
        ));
    };
    if signature.message_digest.as_ref().is_none_or(|digest| digest.algorithm != HashAlgorithm::Sha2256) {
        return Err(Error::new("`messageDigest` is not SHA2_256, or is not there: expected the SHA-256 of the file"));
    }
    if !matches!(bundle.verification_material.content, VerificationMaterialContent::Certificate(_)) {
        return Err(Error::new(
            "signed with a key and no certificate, so it names nobody: expected a certificate for an identity",
        ));
    }
    let timestamps = bundle.verification_material.timestamp_verification_data.rfc3161_timestamps.len();
    if timestamps > MAX_TIMESTAMPS {
        return Err(Error::new(format!("{timestamps} timestamps: expected at most {MAX_TIMESTAMPS}")));
    }
    let [entry] = bundle.verification_material.tlog_entries.as_slice() else {
        let found = bundle.verification_material.tlog_entries.len();
        return Err(Error::new(format!("{found} entries of a transparency log: expected one")));
    };
    let entry = entry.clone();
    expect_proof(&entry)?;
    Ok((bundle, entry))
}

/// The library asks for a proof of some entry. The size that an entry of version 1 repeats, and the root that one of version 2 does, it does
/// not hold against the signed ones: the proof holds either way, but who reads the bundle would be told something else.
fn expect_proof(entry: &TransparencyLogEntry) -> Result<(), Error> {
    let version = entry.kind_version;
    if !matches!(version, KindVersion::HashedRekordV001 | KindVersion::HashedRekordV002) {
        return Err(Error::new(format!(
            "an entry of the kind `{}` {}: expected `hashedrekord`",
            version.kind(),
            version.version()
        )));
    }
    let Some(proof) = &entry.inclusion_proof else { return Err(Error::new(CHECKPOINT)) };
    let Some(checkpoint) = proof.checkpoint.checkpoint() else { return Err(Error::new(CHECKPOINT)) };
    if proof.tree_size != checkpoint.tree_size() {
        return Err(Error::new(format!(
            "the proof is for a log of {} entries, and its checkpoint for one of {}",
            proof.tree_size,
            checkpoint.tree_size()
        )));
    }
    if proof.root_hash != *checkpoint.root_hash() {
        return Err(Error::new("the proof names another root of the log (`rootHash`) than its checkpoint"));
    }
    Ok(())
}
