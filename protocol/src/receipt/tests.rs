use super::*;
use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};

fn execution() -> Execution {
    let salt = Salt([1; 32]);
    Execution {
        manifest: ManifestDigest([2; 32]),
        request_id: Some("order-66".into()),
        request: salt.digest(b"request"),
        output: salt.digest(b"output"),
        model: ModelDigest([3; 32]),
        claimed_time: 1_800_000_000,
    }
}

fn release() -> Release {
    Release {
        ciphertext: CiphertextDigest::of(b"ciphertext"),
        manifest: ManifestDigest([2; 32]),
        evidence: EvidenceDigest::of(b"evidence"),
        policy_version: 7,
        claimed_time: 1_800_000_000,
    }
}

#[test]
fn what_is_signed_is_verified() {
    let key = ReceiptKey::generate().expect("randomness");
    let signed = execution().sign(&key).expect("signed");
    assert_eq!(Execution::verify(&signed, &key.public()), Ok(execution()));
    let nameless = Execution { request_id: None, ..execution() };
    assert_eq!(Execution::verify(&nameless.sign(&key).expect("signed"), &key.public()), Ok(nameless));
    let signed = release().sign(&key).expect("signed");
    assert_eq!(Release::verify(&signed, &key.public()), Ok(release()));
    assert_eq!(Signed::parse_header(&signed.to_header()), Ok(signed));
}

/// The signature is plain Ed25519 over the label, a zero byte and the bytes: another implementation can check it.
#[test]
fn bytes_that_are_signed() {
    let key = ReceiptKey::from_seed(&[9; 32]);
    let signed = release().sign(&key).expect("signed");
    let mut covered = b"teegate/1 release".to_vec();
    covered.push(0);
    covered.extend_from_slice(&signed.bytes);
    assert_eq!(signed.signature, SigningKey::from_bytes(&[9; 32]).sign(&covered).to_bytes());
}

#[test]
fn one_kind_does_not_stand_for_the_other() {
    let key = ReceiptKey::from_seed(&[9; 32]);
    let public = key.public();
    assert_eq!(Release::verify(&execution().sign(&key).expect("signed"), &public), Err(ReceiptError::Unauthentic));
    assert_eq!(Execution::verify(&release().sign(&key).expect("signed"), &public), Err(ReceiptError::Unauthentic));
}

#[test]
fn another_key_or_any_other_bit_is_refused() {
    let key = ReceiptKey::from_seed(&[9; 32]);
    let signed = execution().sign(&key).expect("signed");
    let other = ReceiptKey::from_seed(&[8; 32]).public();
    assert_eq!(Execution::verify(&signed, &other), Err(ReceiptError::Unauthentic));
    for bit in 0..signed.bytes.len() * 8 {
        let mut flipped = signed.clone();
        flipped.bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Execution::verify(&flipped, &key.public()), Err(ReceiptError::Unauthentic));
    }
    for bit in 0..512 {
        let mut flipped = signed.clone();
        flipped.signature[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Execution::verify(&flipped, &key.public()), Err(ReceiptError::Unauthentic));
    }
}

/// The neutral element is a point of order one: under the lax rules it would accept a signature for every message.
#[test]
fn a_key_of_small_order_signs_nothing() {
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut signature = [0; 64];
    signature[0] = 1;
    let forged = Signed { bytes: execution().sign(&ReceiptKey::from_seed(&[9; 32])).expect("signed").bytes, signature };
    assert_eq!(Execution::verify(&forged, &ReceiptPublicKey(neutral)), Err(ReceiptError::Unauthentic));
}

#[test]
fn what_is_signed_is_still_read_strictly() {
    let key = ReceiptKey::from_seed(&[9; 32]);
    let refusal = |from: &str, to: &str| {
        let text = String::from_utf8(execution().sign(&key).expect("signed").bytes).expect("UTF-8");
        assert!(text.contains(from), "{from} stands in {text}");
        let signed = key.sign(EXECUTION_LABEL, text.replacen(from, to, 1).into_bytes()).expect("signed");
        Execution::verify(&signed, &key.public()).expect_err("refused")
    };
    assert_eq!(refusal(r#""v":1"#, r#""v":2"#), ReceiptError::Version { found: 2 });
    let unknown = ReceiptError::Json(JsonError::Unknown { member: "more".into() });
    assert_eq!(refusal(r#""v":1"#, r#""v":1,"more":0"#), unknown);
    assert!(matches!(refusal(r#""execution""#, r#""release""#), ReceiptError::Json(JsonError::Invalid { .. })));
    assert_eq!(refusal("order-66", ""), ReceiptError::RequestId);
    assert_eq!(refusal("order-66", &"x".repeat(129)), ReceiptError::RequestId);
    assert_eq!(refusal("order-66", "a b"), ReceiptError::RequestId);
    let long = refusal("order-66", &"x".repeat(limits::RECEIPT_BYTES));
    assert!(matches!(long, ReceiptError::Json(JsonError::TooLarge { .. })));
    let refused = Execution { request_id: Some(String::new()), ..execution() }.sign(&key);
    assert_eq!(refused, Err(ReceiptError::RequestId));
}

#[test]
fn field_values_have_one_form() {
    let salt = Salt::generate().expect("randomness");
    assert!(Salt::parse_header(&salt.to_header()) == Ok(salt.clone()));
    let header = salt.to_header();
    for refused in ["", "AA", header.get(..42).expect("ASCII"), &format!("{header}A")] {
        assert!(Salt::parse_header(refused) == Err(ReceiptError::Header), "{refused}");
    }
    let header = release().sign(&ReceiptKey::from_seed(&[9; 32])).expect("signed").to_header();
    for end in 0..header.len() {
        assert_eq!(Signed::parse_header(header.get(..end).expect("ASCII")), Err(ReceiptError::Header), "{end}");
    }
    let long = format!("{}.{header}", "A".repeat(8 * limits::RECEIPT_BYTES));
    assert_eq!(Signed::parse_header(&long), Err(ReceiptError::Header));
}

#[test]
fn a_salted_digest_depends_on_both() {
    let digest = Salt([1; 32]).digest(b"a");
    let recomputed: [u8; 32] = Sha256::digest([[1; 32].as_slice(), b"a"].concat()).into();
    assert_eq!(digest, SaltedDigest(recomputed));
    assert_ne!(digest, Salt([2; 32]).digest(b"a"));
    assert_ne!(digest, Salt([1; 32]).digest(b"b"));
}
