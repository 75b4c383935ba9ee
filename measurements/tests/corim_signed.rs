//! Reference values that somebody signed whom the user names: a CoRIM in a COSE_Sign1. The manifests and signatures are the forge's and
//! written here, out of the drafts.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its input should fail where it stands")]

use teegate_forge::aci::cose;
use teegate_forge::certificate::{Attribute, Certificate, Extension, Name, oid};
use teegate_forge::keys::{Key, RsaRole, SignatureAlgorithm};
use teegate_forge::pem;
use teegate_forge::time::{AT, DAY, YEAR};
use teegate_measurements::{ReferenceValues, reference_values, signed_reference_values};
use teegate_verifier::{Signer, UnixTime};

/// An unsigned CoRIM that gives one launch measurement under AMD's profile.
fn manifest() -> Vec<u8> {
    let number = cose::number;
    let pairs = |pairs: &[(i64, Vec<u8>)]| {
        cose::map(&pairs.iter().map(|(label, value)| (number(*label), value.clone())).collect::<Vec<_>>())
    };
    let profile = cose::tagged(32, &cose::text("tag:amd.com,2024:snp-corim-profile"));
    let class = pairs(&[(0, cose::tagged(111, &cose::bytes(&[0x2B, 6, 1, 4, 1, 0x9C, 0x78, 3, 1])))]);
    let digest = cose::array(&[number(7), cose::bytes(&[0x22; 48])]);
    let measured = pairs(&[(0, number(641)), (1, pairs(&[(2, cose::array(&[digest]))]))]);
    let triple = cose::array(&[pairs(&[(0, class)]), cose::array(&[measured])]);
    let comid = pairs(&[(1, pairs(&[(0, cose::text("comid"))])), (4, pairs(&[(0, cose::array(&[triple]))]))]);
    let tags = cose::array(&[cose::tagged(506, &cose::bytes(&comid))]);
    cose::tagged(501, &pairs(&[(0, cose::text("app 0.1.0")), (1, tags), (3, profile)]))
}

/// What is signed, how, and by whom.
#[derive(Clone)]
struct Message {
    payload: Vec<u8>,
    content_type: &'static str,
    algorithm: i64,
    key: Key,
    /// More of the protected header, encoded.
    more: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Message {
    fn by(key: &Key, algorithm: i64) -> Self {
        let content_type = "application/rim+cbor";
        Self { payload: manifest(), content_type, algorithm, key: key.clone(), more: Vec::new() }
    }

    fn with(mut self, label: i64, value: Vec<u8>) -> Self {
        self.more.push((cose::number(label), value));
        self
    }

    fn build(&self) -> Vec<u8> {
        let mut header =
            vec![(cose::number(1), cose::number(self.algorithm)), (cose::number(3), cose::text(self.content_type))];
        header.extend(self.more.iter().cloned());
        let protected = cose::map(&header);
        let to_be_signed = cose::to_be_signed(&protected, &self.payload);
        let signature = match self.algorithm {
            -37 => SignatureAlgorithm::PssSha256.sign(&self.key, &to_be_signed),
            _ => self.key.sign(&to_be_signed),
        };
        cose::sign1(&protected, &cose::map(&[]), &self.payload, &signature)
    }
}

fn named(pem: &str) -> Signer {
    Signer::from_pem(pem.as_bytes()).unwrap()
}

fn key_pem(key: &Key) -> String {
    pem::certificate(&key.public_key_info()).replace("CERTIFICATE", "PUBLIC KEY")
}

fn read(message: &[u8], signer: &Signer) -> Result<ReferenceValues, String> {
    read_at(message, signer, AT)
}

fn read_at(message: &[u8], signer: &Signer, now: u64) -> Result<ReferenceValues, String> {
    signed_reference_values(message, signer, UnixTime::from_seconds(now))
}

#[track_caller]
fn refused(message: &[u8], signer: &Signer, says: &str) {
    let error = read(message, signer).unwrap_err();
    assert!(error.contains(says), "{error}, not {says}");
}

/// A certificate under `issuer`.
fn certificate(subject: &str, key: &Key, issuer: &str, signer: &Key, ca: bool) -> Certificate {
    let name = |text: &str| Name(vec![Attribute::utf8(oid::COMMON_NAME, text)]);
    let usage = if ca { Extension::key_usage(1, 0x06) } else { Extension::key_usage(7, 0x80) };
    Certificate {
        version: Some(2),
        serial: vec![1],
        issuer: name(issuer),
        subject: name(subject),
        not_before: AT - YEAR,
        not_after: AT + if ca { 9 * YEAR } else { 30 * DAY },
        public_key_info: key.public_key_info(),
        extensions: vec![usage, Extension::basic_constraints(ca, None)],
        algorithm: SignatureAlgorithm::Ecdsa,
        inner_identifier: None,
        outer_identifier: None,
        signer: signer.clone(),
        damaged_signature: false,
    }
}

#[test]
fn the_key_that_is_named_vouches_and_no_other() {
    let (p256, p384, rsa) = (Key::p256(), Key::p384(), Key::rsa(RsaRole::Ark));
    for (key, algorithm) in [(&p256, -7), (&p384, -35), (&rsa, -37), (&rsa, -38)] {
        let good = Message::by(key, algorithm).build();
        let signer = named(&key_pem(key));
        let values = read(&good, &signer).unwrap();
        let [given] = values.given() else { panic!("one value") };
        assert_eq!((given.field(), given.origin()), ("measurement", "app 0.1.0"));
        assert!(given.signed_by().unwrap().starts_with("the key with SHA-256 "), "{:?}", given.signed_by());
        for other in [Key::p256(), Key::p384(), Key::rsa(RsaRole::Stranger)] {
            refused(&good, &named(&key_pem(&other)), "not signed by ");
        }
        // Altered: the payload, the header, the signature.
        let place = good.windows(48).position(|window| window == [0x22; 48]).unwrap();
        for at in [place, 8, good.len() - 1] {
            let mut altered = good.clone();
            altered[at] ^= 1;
            assert!(read(&altered, &signer).is_err(), "{algorithm} {at}");
        }
        let mut altered = good.clone();
        altered[place] ^= 1;
        refused(&altered, &signer, "another's, or altered");
    }
    // One algorithm's signature under the name of another.
    let confused = Message { algorithm: -37, ..Message::by(&rsa, -38) };
    let header =
        cose::map(&[(cose::number(1), cose::number(-38)), (cose::number(3), cose::text("application/rim+cbor"))]);
    let signature = SignatureAlgorithm::PssSha256.sign(&rsa, &cose::to_be_signed(&header, &confused.payload));
    let message = cose::sign1(&header, &cose::map(&[]), &confused.payload, &signature);
    refused(&message, &named(&key_pem(&rsa)), "not signed by an RSA key of 4096 bits, which was named (PS384)");
}

#[test]
fn signed_and_unsigned_are_told_apart_both_ways() {
    let key = Key::p256();
    let (signed, signer) = (Message::by(&key, -7).build(), named(&key_pem(&key)));
    let now = UnixTime::from_seconds(AT);
    let unsigned = reference_values(&manifest(), now).unwrap();
    assert_eq!(unsigned.given()[0].signed_by(), None);
    let error = reference_values(&signed, now).unwrap_err();
    assert!(error.contains("a signed CoRIM (CBOR tag 18): name who is to have signed it"), "{error}");
    refused(&manifest(), &signer, "an unsigned CoRIM (CBOR tag 501), and a signer was named");
    refused(b"schema = 1\n", &signer, "not signed, and a signer was named");
    // Signed by the right key, and something else.
    let other = Message { content_type: "text/plain", ..Message::by(&key, -7) };
    refused(&other.build(), &signer, "a signed statement that is no CoRIM");
    let other = Message { payload: b"\xA0".to_vec(), ..Message::by(&key, -7) };
    refused(&other.build(), &signer, "what is signed is no CoRIM");
    refused(&[&signed[..], &[0]].concat(), &signer, "1 bytes follow its end");
    refused(&signed[1..], &signer, "expected");
}

#[test]
fn a_signature_ends_when_it_says_so() {
    let key = Key::p256();
    let signer = named(&key_pem(&key));
    let time = |at: u64| cose::tagged(1, &cose::number(i64::try_from(at).unwrap()));
    let meta = |validity: &[(Vec<u8>, Vec<u8>)]| {
        let who = cose::map(&[(cose::number(0), cose::text("publisher"))]);
        cose::bytes(&cose::map(&[(cose::number(0), who), (cose::number(1), cose::map(validity))]))
    };
    let window = [(cose::number(0), time(AT - DAY)), (cose::number(1), time(AT + DAY))];
    let dated = Message::by(&key, -7).with(8, meta(&window)).build();
    let claims = cose::map(&[
        (cose::number(1), cose::text("publisher")),
        (cose::number(4), cose::number(i64::try_from(AT + DAY).unwrap())),
        (cose::number(5), time(AT - DAY)),
    ]);
    let claimed = Message::by(&key, -7).with(15, claims).build();
    for message in [dated, claimed] {
        for (now, holds) in [(AT - DAY - 1, false), (AT - DAY, true), (AT + DAY - 1, true), (AT + DAY, false)] {
            match read_at(&message, &signer, now) {
                Ok(_) => assert!(holds, "{now}"),
                Err(error) => assert!(
                    !holds && error.contains("its signature is for 2026-05-31T00:00:00Z to 2026-06-02T00:00:00Z"),
                    "{error}"
                ),
            }
        }
    }
    // What is said in a form that is not read could be an end.
    for odd in [
        cose::number(1),
        cose::bytes(&cose::number(1)),
        meta(&[(cose::number(1), cose::text("2026"))]),
        meta(&[(cose::number(2), time(AT))]),
        meta(&[(cose::number(1), time(AT + DAY)), (cose::number(1), time(AT + DAY))]),
    ] {
        refused(&Message::by(&key, -7).with(8, odd).build(), &signer, "in a form that is not read here");
    }
    refused(
        &Message::by(&key, -7).with(2, cose::array(&[cose::number(8)])).build(),
        &signer,
        "must be understood (crit)",
    );
}

#[test]
fn a_chain_or_a_root_that_is_named_vouches_while_it_is_valid() {
    let [root_key, middle_key, leaf_key] = [(); 3].map(|()| Key::p384());
    let root = certificate("Root", &root_key, "Root", &root_key, true);
    let middle = certificate("Middle", &middle_key, "Root", &root_key, true);
    let leaf = certificate("Publisher", &leaf_key, "Middle", &middle_key, false);
    let [root_der, middle_der, leaf_der] = [&root, &middle, &leaf].map(Certificate::to_der);
    let chain = pem::chain(&[&leaf_der, &middle_der, &root_der]);
    let plain = Message::by(&leaf_key, -35);
    let values = read(&plain.build(), &named(&chain)).unwrap();
    assert!(
        values.given()[0].signed_by().unwrap().starts_with("`Publisher` (key "),
        "{:?}",
        values.given()[0].signed_by()
    );
    // The signer's certificate alone is believed for itself.
    read(&plain.build(), &named(&pem::certificate(&leaf_der))).unwrap();

    // A root alone: the message brings the chain, with or without the root.
    let only_root = named(&pem::certificate(&root_der));
    let carrying = |chain: &[&Vec<u8>]| {
        let items: Vec<_> = chain.iter().map(|der| cose::bytes(der)).collect();
        plain.clone().with(33, cose::array(&items)).build()
    };
    read(&carrying(&[&leaf_der, &middle_der]), &only_root).unwrap();
    read(&carrying(&[&leaf_der, &middle_der, &root_der]), &only_root).unwrap();
    refused(&plain.build(), &only_root, "the message carries no chain of certificates (x5chain)");

    let other_root = certificate("Root", &middle_key, "Root", &middle_key, true).to_der();
    for (message, signer, says) in [
        (carrying(&[&leaf_der, &middle_der, &other_root]), &only_root, "`Root` did not sign `Middle`"),
        (carrying(&[&middle_der, &root_der]), &only_root, "`Middle` may issue certificates, or not sign"),
        (carrying(&[&leaf_der, &root_der]), &only_root, "names another issuer"),
        (carrying(&[&middle_der, &leaf_der]), &only_root, "`Middle` may issue certificates"),
        (plain.build(), &named(&pem::chain(&[&leaf_der, &root_der, &middle_der])), "names another issuer"),
        (Message::by(&middle_key, -35).build(), &named(&chain), "another's, or altered"),
    ] {
        refused(&message, signer, says);
    }
    // Each certificate is valid now.
    let after = read_at(&plain.build(), &named(&chain), AT + 31 * DAY).unwrap_err();
    assert!(
        after.contains("`Publisher` is for 2025-06-01T00:00:00Z to 2026-07-01T00:00:00Z, not for 2026-07-02"),
        "{after}"
    );
    let early = Certificate { not_after: AT - 1, ..middle.clone() }.to_der();
    let expired = named(&pem::chain(&[&leaf_der, &early, &root_der]));
    refused(&plain.build(), &expired, "`Middle` is for ");
    // A certificate that may not issue, and one that says what is not understood.
    let no_authority = Certificate { extensions: leaf.extensions.clone(), ..middle.clone() }.to_der();
    refused(
        &plain.build(),
        &named(&pem::chain(&[&leaf_der, &no_authority, &root_der])),
        "`Middle` may not issue `Publisher`",
    );
    let mut critical = leaf.clone();
    critical.set_extension(Extension::critical("1.2.3", vec![5, 0]));
    let critical = critical.to_der();
    refused(
        &plain.build(),
        &named(&pem::chain(&[&critical, &middle_der, &root_der])),
        "an unknown critical extension in `Publisher`",
    );
    refused(&plain.build(), &named(&pem::certificate(&critical)), "an unknown critical extension in `Publisher`");
}

#[test]
fn who_is_named_is_a_key_or_certificates() {
    let key = key_pem(&Key::p256());
    for (text, says) in [
        (String::new(), "expected PEM: one `PUBLIC KEY`"),
        ("words".to_owned(), "expected PEM: one `PUBLIC KEY`"),
        (key.repeat(2), "expected PEM: one `PUBLIC KEY`"),
        (key.replace("PUBLIC", "PRIVATE"), "a private key: nobody but its owner should have it"),
        (key.replace("PUBLIC KEY", "X509 CRL"), "expected PEM: one `PUBLIC KEY`"),
        (key.replace("PUBLIC KEY", "CERTIFICATE"), "a certificate: "),
        (key.replace("-----END", "-----AND"), "no matching end line"),
        (pem::certificate(&[0x30, 0]).replace("CERTIFICATE", "PUBLIC KEY"), "the public key: "),
        (" ".repeat(64 * 1024 + 1), "expected at most 65536"),
    ] {
        let error = Signer::from_pem(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}, not {says}");
    }
}
