//! Statements that stand beside evidence, each a COSE_Sign1: the endorsement of a utility VM of Confidential ACI, before anybody vouches
//! for it; and reference values in a signed CoRIM, signed anew for each input, so that what is signed is read and not its signature.

use std::sync::LazyLock;

use ed25519_dalek::{Signer as _, SigningKey};
use teegate_encoding::pem;
use teegate_forge::aci::cose;
use teegate_forge::time::AT;
use teegate_fuzz_engine::{Effort, Target, mutate};
use teegate_measurements::signed_reference_values;
use teegate_verifier::{AciContext, Signer, Stage, UnixTime, inspect_aci};

use crate::hold;

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "aci",
        about: "the endorsement of a utility VM of Confidential ACI: message, chain of certificates, payload",
        effort: Effort::Reader,
        run: aci,
        mutate: mutate::cbor,
        words: &[
            "iss",
            "feed",
            "timestamp",
            "application/json",
            "\"x-ms-sevsnpvm-launchmeasurement\"",
            "\"x-ms-sevsnpvm-guestsvn\"",
            "did:x509:0:sha256:",
        ],
        max_bytes: 8_192,
    },
    Target {
        name: "signed_corim",
        about: "the protected header of a signed CoRIM and the manifest in it, signed anew",
        effort: Effort::Walk,
        run: signed_corim,
        mutate: halves,
        words: &["application/rim+cbor", "application/corim-unsigned+cbor", "http://amd.com/please-permalink-me"],
        max_bytes: 2_048,
    },
];

/// Whoever reads twice reads the same; what is refused is refused as malformed, in few words.
fn aci(input: &[u8]) {
    let context = AciContext { security_policy: b"package policy\n".to_vec(), reference_info: input.to_vec() };
    let facts = hold::same(input, || {
        inspect_aci(&context).map_err(|finding| {
            assert_eq!(finding.check().stage(), Stage::Parse, "{}", finding.check());
            format!("{}: {} {}", finding.check(), finding.expected(), finding.actual())
        })
    });
    let Some(facts) = facts else { return };
    let mut names: Vec<_> = facts.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|two| two[0] != two[1]), "a fact twice");
    for (name, value) in facts {
        let shown = value.to_string();
        assert!(shown.len() <= 200 && shown.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{name}: {shown}");
    }
}

/// The first byte is the length of the protected header, the payload follows it.
fn split(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = input.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

/// Header and payload are CBOR, each by itself.
fn halves(mutator: &mut mutate::Mutator<'_>, input: &mut Vec<u8>) {
    let Some((header, payload)) = split(input) else { return mutate::bytes(mutator, input) };
    let (mut header, mut payload) = (header.to_vec(), payload.to_vec());
    let changed = if mutator.random.once_in(2) { &mut header } else { &mut payload };
    mutate::cbor(mutator, changed);
    let Ok(length) = u8::try_from(header.len()) else { return };
    *input = [&[length], &header[..], &payload].concat();
}

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_bytes(&[11; 32]));
static OTHER_KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_bytes(&[12; 32]));
static SIGNER: LazyLock<Signer> = LazyLock::new(|| {
    // SubjectPublicKeyInfo of Ed25519 (RFC 8410, section 10.1).
    let spki =
        [&[0x30, 0x2A, 0x30, 5, 6, 3, 0x2B, 0x65, 0x70, 3, 0x21, 0][..], KEY.verifying_key().as_bytes()].concat();
    let mut text = String::new();
    pem::push(&mut text, "PUBLIC KEY", &spki);
    Signer::from_pem(text.as_bytes()).expect("a public key")
});

/// What is read was signed by the key that is named, and not by another, however header and payload look.
fn signed_corim(input: &[u8]) {
    let Some((header, payload)) = split(input) else { return };
    let message = |key: &SigningKey| {
        let signature = key.sign(&cose::to_be_signed(header, payload)).to_bytes();
        cose::sign1(header, &cose::map(&[]), payload, &signature)
    };
    let read = |message: &[u8]| signed_reference_values(message, &SIGNER, UnixTime::from_seconds(AT));
    let own = message(&KEY);
    match read(&own) {
        Ok(values) => {
            assert!(values.given().iter().all(|one| one.signed_by().is_some()), "values that nobody signed");
            assert!(read(&message(&OTHER_KEY)).is_err(), "another's signature counts");
        }
        Err(words) => hold::message(input, &words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds;

    /// A seed that is refused at its door leads nowhere.
    #[test]
    fn seeds_are_read() {
        for (name, input) in seeds::of("aci") {
            let context = AciContext { security_policy: Vec::new(), reference_info: input };
            let facts = inspect_aci(&context).unwrap_or_else(|finding| panic!("{name}: {}", finding.actual()));
            assert!(facts.iter().any(|(fact, _)| *fact == "uvm_svn"), "{name}");
        }
        for (name, input) in seeds::of("signed_corim") {
            let (header, payload) = split(&input).unwrap();
            let signature = KEY.sign(&cose::to_be_signed(header, payload)).to_bytes();
            let message = cose::sign1(header, &cose::map(&[]), payload, &signature);
            let read = signed_reference_values(&message, &SIGNER, UnixTime::from_seconds(AT));
            assert!(!read.unwrap_or_else(|error| panic!("{name}: {error}")).given().is_empty(), "{name}");
        }
    }
}
