//! Bundles that others made, at the public instance and at Sigstore's staging instance: those that `sigstore-verify` carries for its own
//! tests, found with `cargo metadata`, under the trusted roots of the same release. Where they are not there, the test says so, checks
//! nothing and is counted as skipped by `ci/test.sh`.

#![expect(clippy::indexing_slicing, reason = "a test that cannot set up its input should fail where it stands")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sigstore_verify::crypto::parse_certificate_info;
use sigstore_verify::trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, SIGSTORE_STAGING_TRUSTED_ROOT};
use sigstore_verify::types::Bundle;
use teegate_sigstore::{Expected, TrustedRoot, verify};
use teegate_verifier::UnixTime;

/// The public instance in December 2025, by cosign 3: an entry of the first version of Rekor, with a timestamp beside it.
const PUBLIC: &str = "bundles/cosign-v3-blob";
/// The staging instance in June 2025, by sigstore-python: an entry of the second version.
const STAGING: &str = "upstream/sigstore-python/staging-rekor-v2";

/// The folder of test data, if the crate was fetched with it.
fn test_data() -> Option<PathBuf> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let metadata = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--manifest-path", manifest])
        .output()
        .ok()?;
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).ok()?;
    let package = metadata["packages"].as_array()?.iter().find(|package| package["name"] == "sigstore-verify")?;
    let folder = Path::new(package["manifest_path"].as_str()?).parent()?.join("test_data");
    folder.join(format!("{PUBLIC}.txt")).exists().then_some(folder)
}

#[test]
fn what_others_signed_verifies_under_its_own_root_and_for_its_own_signer_alone() {
    let Some(folder) = test_data() else {
        return println!("note: skipped: `sigstore-verify` was not fetched with its test data");
    };
    let roots = [SIGSTORE_PRODUCTION_TRUSTED_ROOT, SIGSTORE_STAGING_TRUSTED_ROOT];
    let roots = roots.map(|json| TrustedRoot::read(json.as_bytes()).unwrap());
    let now = UnixTime::parse("2026-06-01T00:00:00Z").unwrap();
    for (name, root, other, seen) in [
        (PUBLIC, &roots[0], &roots[1], "logged at 2025-12-03T"),
        (STAGING, &roots[1], &roots[0], "timestamped at 2025-06-09T"),
    ] {
        let bundle = fs::read(folder.join(format!("{name}.txt.sigstore.json")))
            .or_else(|_| fs::read(folder.join(format!("{name}.sigstore.json"))))
            .unwrap();
        let file = fs::read(folder.join(format!("{name}.txt"))).unwrap();
        // Whoever it was: no name of a stranger is written down here.
        let parsed = Bundle::from_json(std::str::from_utf8(&bundle).unwrap()).unwrap();
        let certificate = parse_certificate_info(parsed.signing_certificate().unwrap()).unwrap();
        let (identity, issuer) = (certificate.identity.unwrap().to_string(), certificate.issuer.unwrap());
        let expected = Expected::new(identity.as_str(), issuer.as_str()).unwrap();

        let signed = verify(&file, &bundle, root, &expected, now).unwrap().to_string();
        assert!(signed.contains(seen), "{signed}");
        let refused = |file: &[u8], bundle: &[u8], root: &TrustedRoot, expected: &Expected, says: &str| {
            let error = verify(file, bundle, root, expected, now).unwrap_err().to_string();
            assert!(error.contains(says), "{name}: {error}");
        };
        refused(b"other", &bundle, root, &expected, "does not match artifact hash");
        refused(&file, &bundle, other, &expected, "which the trusted root does not name");
        let another = Expected::new("somebody@example.com", issuer.as_str()).unwrap();
        refused(&file, &bundle, root, &another, "expected the identity `somebody@example.com`");
        let another = Expected::new(identity.as_str(), "https://accounts.example.com").unwrap();
        refused(&file, &bundle, root, &another, "expected the issuer `https://accounts.example.com`");
        // Each character of the log's entry and of the signatures counts.
        let mut json: serde_json::Value = serde_json::from_slice(&bundle).unwrap();
        for place in [
            "/messageSignature/signature",
            "/verificationMaterial/certificate/rawBytes",
            "/verificationMaterial/tlogEntries/0/canonicalizedBody",
            "/verificationMaterial/tlogEntries/0/inclusionProof/hashes/0",
            "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp",
        ] {
            let value = json.pointer_mut(place).unwrap();
            let kept = value.clone();
            let mut text = kept.as_str().unwrap().to_owned();
            // Near the end: of a token, the middle are certificates that nobody looks at, since the root has them.
            let at = text.len() - 12;
            let other = if text.get(at..=at) == Some("A") { "B" } else { "A" };
            text.replace_range(at..=at, other);
            *value = text.into();
            assert!(verify(&file, json.to_string().as_bytes(), root, &expected, now).is_err(), "{name} {place}");
            *json.pointer_mut(place).unwrap() = kept;
        }
        verify(&file, json.to_string().as_bytes(), root, &expected, now).unwrap();
    }
}
