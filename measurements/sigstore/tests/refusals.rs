//! Every check of a Sigstore bundle, seen to fail alone: one defect, the reason, and the passing twin beside it. The instance is the
//! forge's.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up its input should fail where it stands"
)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use teegate_forge::keys::Key;
use teegate_forge::sigstore::{IDENTITY, ISSUER, Identity, Instance, SIGNED_AT, Sct, Signed, SigstoreBuilder, sha256};
use teegate_forge::time::{AT, DAY, rfc3339};
use teegate_sigstore::{Error, Expected, TrustedRoot, verify};
use teegate_verifier::UnixTime;

/// Neither more nor less than what a user gives.
fn judge_at(signed: &Signed, expected: &Expected, now: u64) -> Result<teegate_sigstore::Signed, Error> {
    let root = TrustedRoot::read(signed.trusted_root.as_bytes())?;
    verify(&signed.file, signed.bundle.as_bytes(), &root, expected, UnixTime::from_seconds(now))
}

fn expected() -> Expected {
    Expected::new(IDENTITY, ISSUER).unwrap()
}

#[track_caller]
fn accepted(builder: &SigstoreBuilder) -> teegate_sigstore::Signed {
    judge_at(&builder.build(), &expected(), AT).unwrap()
}

#[track_caller]
fn refused(builder: &SigstoreBuilder, says: &str) {
    let error = judge_at(&builder.build(), &expected(), AT).unwrap_err().to_string();
    assert!(error.contains(says), "{error}\nnot: {says}");
    assert!(error.chars().count() < 400 && !error.contains('\n'), "{error}");
}

/// One change, on either version of Rekor, is refused for one reason. Without it, both are accepted.
#[track_caller]
fn refused_on_both(change: impl Fn(&mut SigstoreBuilder), says: &str) {
    for base in [teegate_forge::sigstore(), teegate_forge::sigstore().rekor_v2()] {
        accepted(&base);
        refused(&base.with(&change), says);
    }
}

fn v1() -> SigstoreBuilder {
    teegate_forge::sigstore()
}

fn v2() -> SigstoreBuilder {
    teegate_forge::sigstore().rekor_v2()
}

/// The one entry of a bundle.
fn entry(bundle: &mut Value) -> &mut Value {
    &mut bundle["verificationMaterial"]["tlogEntries"][0]
}

#[test]
fn what_nothing_is_wrong_with_says_who_signed_and_when() {
    let signed = accepted(&v1());
    assert_eq!((signed.identity(), signed.issuer(), signed.at().seconds()), (IDENTITY, ISSUER, SIGNED_AT));
    let words = signed.to_string();
    let whole = format!(
        "the Sigstore identity `{IDENTITY}` (issuer `{ISSUER}`), logged at 2025-03-01T00:00:00Z in `https://log.forged.example`"
    );
    assert_eq!(words, whole);
    // The log of the second version gives no time; a timestamp authority does.
    let words = accepted(&v2()).to_string();
    assert!(words.contains("timestamped at 2025-03-01T00:00:00Z in `https://log.forged.example`"), "{words}");
    // Both, as cosign 3 asks for; the log's own is shown.
    let both = v1().with(|builder| builder.timestamp = Some(SIGNED_AT + 5));
    assert_eq!(accepted(&both).at().seconds(), SIGNED_AT);
    // A person instead of a workload; and the issuer in the older extension alone.
    let person = v1().with(|builder| builder.identity = Identity::Email("a@example.com".to_owned()));
    let who = Expected::new("a@example.com", ISSUER).unwrap();
    assert_eq!(judge_at(&person.build(), &who, AT).unwrap().identity(), "a@example.com");
    accepted(&v1().with(|builder| builder.old_issuer = true));
}

#[test]
fn other_bytes_of_the_file_are_refused() {
    for base in [v1(), v2()] {
        let signed = base.build();
        judge_at(&signed, &expected(), AT).unwrap();
        for other in [b"".to_vec(), [signed.file.as_slice(), b"\n"].concat(), b"SCHEMA = 1".to_vec()] {
            let error = judge_at(&Signed { file: other, ..signed.clone() }, &expected(), AT).unwrap_err().to_string();
            assert!(error.contains("message digest in bundle does not match artifact hash"), "{error}");
        }
        // The digest follows the file, and the signature does not.
        let other = b"other".to_vec();
        let digest = STANDARD.encode(sha256(&other));
        let mut bundle: Value = serde_json::from_str(&signed.bundle).unwrap();
        bundle["messageSignature"]["messageDigest"]["digest"] = digest.into();
        let altered = Signed { file: other, bundle: bundle.to_string(), ..signed };
        let error = judge_at(&altered, &expected(), AT).unwrap_err().to_string();
        assert!(error.contains("signature verification failed"), "{error}");
    }
}

#[test]
fn another_identity_or_issuer_is_refused_and_neither_may_be_left_out() {
    for base in [v1(), v2()] {
        let signed = base.build();
        for (identity, issuer, says) in [
            ("b@example.com", ISSUER, "expected the identity `b@example.com`"),
            (IDENTITY.strip_suffix('1').unwrap(), ISSUER, "expected the identity `https://github.com/"),
            (&IDENTITY.to_uppercase(), ISSUER, "expected the identity `HTTPS://"),
            (IDENTITY, "https://accounts.example.com", "expected the issuer `https://accounts.example.com`"),
            (IDENTITY, &format!("{ISSUER}/"), "the bundle's certificate was vouched for by `https://token.actions"),
        ] {
            let error = judge_at(&signed, &Expected::new(identity, issuer).unwrap(), AT).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
    // Of another file: nobody is said to have signed that one, whether or not the names are those expected.
    let other = Signed { file: b"another file".to_vec(), ..v1().build() };
    let error = judge_at(&other, &Expected::new("b@example.com", ISSUER).unwrap(), AT).unwrap_err().to_string();
    assert!(
        error.starts_with("the bundle's certificate is for `https://github.com/") && !error.contains("signed by"),
        "{error}"
    );
    assert!(Expected::new("", ISSUER).unwrap_err().to_string().starts_with("no identity: "));
    assert!(Expected::new(IDENTITY, "").unwrap_err().to_string().starts_with("no issuer: "));
    refused_on_both(
        |builder| builder.identity = Identity::None,
        "the bundle's certificate is for nobody, expected the identity",
    );
    refused_on_both(
        |builder| builder.issuer = None,
        "the bundle's certificate was vouched for by nobody, expected the issuer",
    );
}

#[test]
fn a_chain_that_leads_elsewhere_or_is_for_something_else_is_refused() {
    // Another intermediate, of the same names.
    refused_on_both(|builder| builder.acting.intermediate = Key::p384(), "certificate chain validation failed");
    // `serverAuth`.
    refused_on_both(|builder| builder.leaf_usage = "1.3.6.1.5.5.7.3.1", "certificate chain validation failed");
    // Another instance altogether: its log is looked for first.
    refused_on_both(|builder| builder.acting = Instance::fresh(), "which the trusted root does not name");
    // Another instance that logs where it is trusted.
    refused_on_both(
        |builder| {
            let trusted = builder.trusted.clone();
            builder.acting = Instance { log: trusted.log, tsa: trusted.tsa, ..Instance::fresh() };
        },
        "certificate chain validation failed",
    );
}

#[test]
fn a_leaf_that_was_not_valid_when_it_signed_is_refused() {
    refused_on_both(
        |builder| builder.leaf_window = (SIGNED_AT - 600, SIGNED_AT - 1),
        "certificate chain validation failed",
    );
    refused_on_both(
        |builder| builder.leaf_window = (SIGNED_AT + 1, SIGNED_AT + 600),
        "certificate chain validation failed",
    );
    // To the second.
    accepted(&v1().with(|builder| builder.leaf_window = (SIGNED_AT, SIGNED_AT)));
    // It does not matter that it is not valid any longer. One of two times outside is one too many.
    let late = v1().with(|builder| builder.timestamp = Some(SIGNED_AT + 541));
    refused(&late, "certificate chain validation failed");
    accepted(&late.with(|builder| builder.timestamp = Some(SIGNED_AT + 540)));
}

#[test]
fn a_leaf_that_no_log_of_certificates_has_seen_is_refused() {
    refused_on_both(|builder| builder.sct = Sct::Missing, "missing SCT extension");
    refused_on_both(|builder| builder.sct = Sct::ByStranger, "SCT signature verification failed");
    refused_on_both(|builder| builder.sct = Sct::OfOther, "SCT signature verification failed");
    refused_on_both(|builder| builder.acting.ct_log = Key::p256(), "SCT signature verification failed: ");
    // Before the trusted root gives anything on that log.
    refused_on_both(|builder| builder.sct_at = SIGNED_AT - 400 * DAY, "key not found or not valid at");
}

#[test]
fn a_promise_that_the_log_did_not_make_is_refused() {
    refused(&v1().with(|builder| builder.set_by_stranger = true), "SET verification failed");
    // It covers the time, the index, and the entry.
    for (member, value) in [("integratedTime", json!((SIGNED_AT + 1).to_string())), ("logIndex", json!("1000006"))] {
        let base = v1();
        accepted(&base);
        refused(&base.edit_bundle(move |bundle| entry(bundle)[member] = value.clone()), "SET verification failed");
    }
}

#[test]
fn a_proof_that_leads_elsewhere_is_refused() {
    refused_on_both(|builder| builder.other_tree = true, "inclusion proof verification failed");
    for base in [v1(), v2()] {
        accepted(&base);
        let edited = |edit: fn(&mut Value)| base.clone().edit_bundle(move |bundle| edit(entry(bundle)));
        refused(
            &edited(|entry| entry["inclusionProof"]["hashes"][1] = STANDARD.encode([7; 32]).into()),
            "inclusion proof verification failed",
        );
        refused(
            &edited(|entry| drop(entry["inclusionProof"]["hashes"].as_array_mut().unwrap().pop())),
            "inclusion proof verification failed",
        );
        refused(
            &edited(|entry| entry["inclusionProof"]["treeSize"] = "12".into()),
            "the proof is for a log of 12 entries, and its checkpoint for one of 11",
        );
        refused(
            &edited(|entry| entry["inclusionProof"]["rootHash"] = STANDARD.encode([7; 32]).into()),
            "the proof names another root of the log (`rootHash`) than its checkpoint",
        );
        refused(
            &edited(|entry| drop(entry.as_object_mut().unwrap().remove("inclusionProof"))),
            "expected `inclusionProof`",
        );
        let without = |entry: &mut Value| drop(entry["inclusionProof"].as_object_mut().unwrap().remove("checkpoint"));
        refused(&edited(without), "expected `inclusionProof` with a checkpoint");
    }
    // Where else in the tree it stands.
    refused(
        &v1().edit_bundle(|bundle| entry(bundle)["inclusionProof"]["logIndex"] = "4".into()),
        "inclusion proof verification failed",
    );
    refused(&v2().edit_bundle(|bundle| entry(bundle)["logIndex"] = "4".into()), "inclusion proof verification failed");
    refused(&v2().edit_bundle(|bundle| entry(bundle)["logIndex"] = "11".into()), "out of range");
}

#[test]
fn a_checkpoint_by_another_key_is_refused_though_it_be_of_another_log_that_is_trusted() {
    refused_on_both(|builder| builder.checkpoint_by_stranger = true, "No valid Rekor signature found on checkpoint");
    refused_on_both(|builder| builder.checkpoint_by_other_log = true, "No matching Rekor key found");
    refused_on_both(|builder| builder.acting.log = Key::p256(), "which the trusted root does not name");
    // The note says something else than was signed: the size, and the origin.
    for (signed, written) in [("\n11\n", "\n12\n"), ("log.forged.example - 1\n", "log.forged.example - 2\n")] {
        for base in [v1(), v2()] {
            accepted(&base);
            let altered = base.edit_bundle(move |bundle| {
                let proof = &mut entry(bundle)["inclusionProof"];
                let note = proof["checkpoint"]["envelope"].as_str().unwrap().to_owned();
                assert!(note.contains(signed), "{note}");
                proof["checkpoint"]["envelope"] = note.replacen(signed, written, 1).into();
                if written == "\n12\n" {
                    proof["treeSize"] = "12".into();
                }
            });
            refused(&altered, "No valid Rekor signature found on checkpoint");
        }
    }
}

#[test]
fn an_entry_about_something_else_is_refused() {
    let (digest, signature, certificate) =
        (sha256(b"another file"), STANDARD.encode(b"another signature"), teegate_forge::sigstore().build());
    let other: Value = serde_json::from_str(&certificate.bundle).unwrap();
    let der = other["verificationMaterial"]["certificate"]["rawBytes"].as_str().unwrap().to_owned();
    let pem = STANDARD.encode(teegate_forge::pem::certificate(&STANDARD.decode(&der).unwrap()));
    let of_v1: [(&str, String, &str); 3] = [
        ("/spec/data/hash/value", hex(&digest), "artifact hash mismatch"),
        ("/spec/signature/content", signature.clone(), "signature in bundle does not match signature in Rekor entry"),
        ("/spec/signature/publicKey/content", pem, "certificate in bundle does not match certificate in Rekor entry"),
    ];
    let of_v2: [(&str, String, &str); 3] = [
        ("/data/digest", STANDARD.encode(digest), "artifact hash mismatch"),
        ("/signature/content", signature, "signature in bundle does not match signature in Rekor entry"),
        ("/signature/verifier/x509Certificate/rawBytes", der, "certificate in bundle does not match certificate"),
    ];
    for (base, inside, cases) in [(v1(), "", of_v1), (v2(), "/spec/hashedRekordV002", of_v2)] {
        accepted(&base);
        for (place, value, says) in cases {
            let place = format!("{inside}{place}");
            let edit = move |body: &mut Value| *body.pointer_mut(&place).unwrap() = value.clone().into();
            // The log has it, with a proof and a promise that hold.
            refused(&base.clone().edit_body(edit), says);
        }
    }
    refused_on_both(|builder| builder.signed_by_stranger = true, "signature verification failed");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn without_a_time_that_somebody_vouches_for_nothing_is_believed() {
    const NOTHING: &str = "nothing says when it was signed";
    refused(&v2().with(|builder| builder.timestamp = None), NOTHING);
    // A time in the bundle that nobody signed.
    refused(
        &v2().with(|builder| builder.timestamp = None).edit_bundle(|bundle| {
            entry(bundle)["integratedTime"] = SIGNED_AT.to_string().into();
        }),
        NOTHING,
    );
    let drop_promise = |bundle: &mut Value| drop(entry(bundle).as_object_mut().unwrap().remove("inclusionPromise"));
    refused(&v1().edit_bundle(drop_promise), NOTHING);
    // With a timestamp beside it, the promise is not needed.
    accepted(&v1().with(|builder| builder.timestamp = Some(SIGNED_AT)).edit_bundle(drop_promise));
    // A timestamp that does not hold is no reason to look at the next.
    for base in [v2(), v1().with(|builder| builder.timestamp = Some(SIGNED_AT))] {
        accepted(&base);
        refused(&base.clone().with(|builder| builder.timestamp_of_other = true), "invalid RFC 3161 timestamp");
        refused(&base.clone().with(|builder| builder.timestamp_by_stranger = true), "invalid RFC 3161 timestamp");
        refused(&base.clone().with(|builder| builder.acting.tsa = Key::p256()), "invalid RFC 3161 timestamp");
        refused(
            &base.edit_root(|root| root["timestampAuthorities"] = json!([])),
            "no timestamp authorities configured",
        );
    }
}

#[test]
fn a_signature_of_the_future_is_refused() {
    for base in [v1(), v2()] {
        let signed = base.build();
        assert!(judge_at(&signed, &expected(), SIGNED_AT).is_ok());
        let error = judge_at(&signed, &expected(), SIGNED_AT - 1).unwrap_err().to_string();
        assert_eq!(error, "signed at 2025-03-01T00:00:00Z, which is after 2025-02-28T23:59:59Z");
    }
    // After the machine's own clock, whatever time the caller names.
    let far = 4_000_000_000;
    let late = v1().with(|builder| {
        builder.integrated_at = far;
        builder.leaf_window = (far - 60, far + 540);
        builder.sct_at = far;
    });
    let error = judge_at(&late.build(), &expected(), far + 1).unwrap_err().to_string();
    assert!(error.contains("is in the future"), "{error}");
}

#[test]
fn authorities_and_logs_count_for_the_time_that_the_root_gives_them() {
    for (list, place, says) in [
        ("certificateAuthorities", "/validFor", "no trusted certificate authority is valid at"),
        ("ctlogs", "/publicKey/validFor", "key not found or not valid at"),
    ] {
        for base in [v1(), v2()] {
            refused(&base.clone().edit_root(ended(list, place, SIGNED_AT - 3600)), says);
            accepted(&base.edit_root(ended(list, place, SIGNED_AT)));
        }
    }
    refused(
        &v1().edit_root(ended("tlogs", "/publicKey/validFor", SIGNED_AT - 1)),
        "No log key valid at integrated time",
    );
    accepted(&v1().edit_root(ended("tlogs", "/publicKey/validFor", SIGNED_AT)));
    refused(
        &v2().edit_root(ended("tlogs", "/publicKey/validFor", SIGNED_AT - 1)),
        "signed at 2025-03-01T00:00:00Z, when the trusted root gave nothing on the log `https://log.forged.example`",
    );
    accepted(&v2().edit_root(ended("tlogs", "/publicKey/validFor", SIGNED_AT)));
    refused(
        &v2().edit_root(ended("timestampAuthorities", "/validFor", SIGNED_AT - 1)),
        "outside the validity period of the authority that signed it",
    );
    accepted(&v2().edit_root(ended("timestampAuthorities", "/validFor", SIGNED_AT)));
}

/// The window of the first of these ends then.
fn ended(list: &'static str, place: &'static str, until: u64) -> impl Fn(&mut Value) + Send + Sync {
    move |root| root[list][0].pointer_mut(place).unwrap()["end"] = rfc3339(until).into()
}

#[test]
fn other_forms_of_bundle_are_refused_by_name() {
    let edited = |edit: fn(&mut Value)| v1().edit_bundle(edit);
    for (edit, says) in [
        (
            edited(|bundle| bundle["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.2".into()),
            "version 0.3",
        ),
        (edited(|bundle| bundle["mediaType"] = "text/plain".into()), "Invalid media type: text/plain"),
        (
            edited(|bundle| drop(bundle.as_object_mut().unwrap().remove("mediaType"))),
            "version=0.1`: expected version 0.3",
        ),
        (
            edited(|bundle| {
                bundle.as_object_mut().unwrap().remove("messageSignature");
                bundle["dsseEnvelope"] = json!({
                    "payloadType": "application/vnd.in-toto+json",
                    "payload": "e30=",
                    "signatures": [{ "sig": "AA==", "keyid": "" }],
                });
            }),
            "an attestation (a DSSE envelope)",
        ),
        (
            edited(|bundle| drop(bundle["messageSignature"].as_object_mut().unwrap().remove("messageDigest"))),
            "`messageDigest` is not SHA2_256, or is not there",
        ),
        (
            edited(|bundle| bundle["messageSignature"]["messageDigest"]["algorithm"] = "SHA2_512".into()),
            "`messageDigest` is not SHA2_256",
        ),
        (
            edited(|bundle| {
                let material = bundle["verificationMaterial"].as_object_mut().unwrap();
                material.remove("certificate");
                material.insert("publicKey".to_owned(), json!({ "hint": "x" }));
            }),
            "signed with a key and no certificate",
        ),
        (edited(|bundle| bundle["verificationMaterial"]["tlogEntries"] = json!([])), "0 entries of a transparency log"),
        (
            edited(|bundle| {
                let again = entry(bundle).clone();
                bundle["verificationMaterial"]["tlogEntries"].as_array_mut().unwrap().push(again);
            }),
            "2 entries of a transparency log: expected one",
        ),
        (edited(|bundle| entry(bundle)["kindVersion"]["version"] = "0.0.9".into()), "unsupported Rekor entry format"),
        (
            edited(|bundle| entry(bundle)["kindVersion"] = json!({ "kind": "dsse", "version": "0.0.1" })),
            "an entry of the kind `dsse` 0.0.1: expected `hashedrekord`",
        ),
        // One version's entry under the name of the other.
        (edited(|bundle| entry(bundle)["kindVersion"]["version"] = "0.0.2".into()), "out of range"),
        (
            edited(|bundle| {
                let one = json!({ "signedTimestamp": "AA==" });
                bundle["verificationMaterial"]["timestampVerificationData"] =
                    json!({ "rfc3161Timestamps": [one, one, one, one, one] });
            }),
            "5 timestamps: expected at most 4",
        ),
        (edited(|bundle| *bundle = json!([])), "no Sigstore bundle"),
        (edited(|bundle| bundle["verificationMaterial"]["certificate"]["rawBytes"] = "AAAA".into()), "certificate"),
        (edited(|bundle| entry(bundle)["logId"]["keyId"] = "AAAA".into()), "logged in `AAAA`, which the trusted root"),
    ] {
        refused(&edit, says);
    }
    accepted(&edited(|bundle| bundle["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.3".into()));
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let signed = v1().build();
    let root = TrustedRoot::read(signed.trusted_root.as_bytes()).unwrap();
    let judge = |bundle: &[u8]| verify(&signed.file, bundle, &root, &expected(), UnixTime::from_seconds(AT));
    // Space around it is JSON.
    let padded = |length: usize| padded(&signed.bundle, length);
    judge(&padded(256 << 10)).unwrap();
    let error = judge(&padded((256 << 10) + 1)).unwrap_err().to_string();
    assert_eq!(error, "more than 262144 bytes: expected the bundle of one signature");
    assert!(judge(&[0xFF]).unwrap_err().to_string().contains("not UTF-8"));
    for depth in [100, 100_000] {
        assert!(judge("[".repeat(depth).as_bytes()).unwrap_err().to_string().contains("no Sigstore bundle"));
    }
    let padded = |length: usize| self::padded(&signed.trusted_root, length);
    assert!(TrustedRoot::read(&padded(1 << 20)).is_ok());
    let error = TrustedRoot::read(&padded((1 << 20) + 1)).unwrap_err().to_string();
    assert_eq!(error, "more than 1048576 bytes: expected a trusted_root.json");
}

fn padded(json: &str, length: usize) -> Vec<u8> {
    [json, &" ".repeat(length - json.len())].concat().into_bytes()
}

#[test]
fn a_trusted_root_that_lacks_something_is_refused() {
    let read = |builder: SigstoreBuilder| TrustedRoot::read(builder.build().trusted_root.as_bytes());
    assert!(format!("{:?}", read(v1()).unwrap()).starts_with("TrustedRoot { logs: 2"));
    let edited = |edit: fn(&mut Value)| v1().edit_root(edit);
    for (builder, says) in [
        (edited(|root| root["tlogs"] = json!([])), "names no transparency log (`tlogs`)"),
        (edited(|root| drop(root.as_object_mut().unwrap().remove("tlogs"))), "names no transparency log (`tlogs`)"),
        (edited(|root| root["certificateAuthorities"] = json!([])), "names no certificate authority"),
        (edited(|root| root["ctlogs"] = json!([])), "names no certificate transparency log (`ctlogs`)"),
        (edited(|root| root["mediaType"] = "text/plain".into()), "the media type `text/plain`: expected `application/"),
        (edited(|root| root["tlogs"][0]["publicKey"]["rawBytes"] = "AAAA".into()), "ey"),
        (edited(|root| root["tlogs"][1] = root["tlogs"][0].clone()), "duplicate"),
        (
            edited(|root| root["certificateAuthorities"][0]["certChain"]["certificates"] = json!([])),
            "empty certificate chain",
        ),
        (
            edited(|root| {
                root["certificateAuthorities"][0]["certChain"]["certificates"][0]["rawBytes"] = "AAAA".into()
            }),
            "invalid trusted certificate",
        ),
        (
            edited(|root| root["ctlogs"][0]["publicKey"]["validFor"]["end"] = rfc3339(0).into()),
            "window ends before it starts",
        ),
        (edited(|root| *root = json!("text")), "no trusted_root.json: "),
    ] {
        let error = read(builder).unwrap_err().to_string();
        assert!(error.contains(says), "{error}, not {says}");
    }
    assert!(TrustedRoot::read(&[0xFF]).unwrap_err().to_string().contains("not UTF-8"));
}
