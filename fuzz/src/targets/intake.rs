//! What people have: evidence in every form that is recognised, endorsements, bundles, envelopes with their judgement.

use std::sync::LazyLock;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use teegate_forge::time::AT;
use teegate_fuzz_engine::{Effort, Target, look, mutate};
use teegate_intake::bundle::Bundle;
use teegate_intake::envelope::{Asked, BoundToClaim, Carried, Judge, judge};
use teegate_intake::{endorsements, evidence};
use teegate_verifier::{Endorsements, Memory, Policy, Source, UnixTime, Verifier};

use crate::hold;
use crate::policy::policy_under;

const JSON_WORDS: &[&str] = &[
    "attestation_report",
    "cert_chain",
    "cert_type",
    "data",
    "quote",
    "cc_eventlog",
    "aa_eventlog",
    "evidence",
    "__cmwc_t",
    "application/vnd.teegate.event-log",
    "tcbInfo",
    "enclaveIdentity",
    "signature",
    "vcekCert",
    "certificateChain",
    "tcbm",
    "pck_crl_issuer_chain",
    "root_ca_crl",
    "pck_crl",
    "tcb_info_issuer_chain",
    "tcb_info",
    "tcb_info_signature",
    "qe_identity_issuer_chain",
    "qe_identity",
    "qe_identity_signature",
    "schema",
    "digest",
    "content",
    "teegate/bundle/1",
];

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "evidence_json",
        about: "evidence in JSON and text: CMW, CoCo, envelopes, bundles, what looks alike",
        effort: Effort::Reader,
        run: any_evidence,
        mutate: mutate::json,
        words: JSON_WORDS,
        max_bytes: 8_192,
    },
    Target {
        name: "evidence_cbor",
        about: "evidence in CBOR: records and collections of CMW",
        effort: Effort::Reader,
        run: any_evidence,
        mutate: mutate::cbor,
        words: &["application/eat+cwt", "evidence", "__cmwc_t", "tag:rfc9999"],
        max_bytes: 8_192,
    },
    Target {
        name: "evidence_protobuf",
        about: "evidence in Protocol Buffers: Google's reports and quotes",
        effort: Effort::Reader,
        run: any_evidence,
        mutate: mutate::protobuf,
        words: &["\x0a\x20", "\x12\x04"],
        max_bytes: 8_192,
    },
    Target {
        name: "endorsements",
        about: "certificates, lists, collateral, saved answers, certificate tables",
        effort: Effort::Reader,
        run: any_endorsements,
        mutate: any_statement,
        words: JSON_WORDS,
        max_bytes: 8_192,
    },
    Target {
        name: "bundle",
        about: "a bundle, whose digest follows its content half of the time",
        effort: Effort::Walk,
        run: bundle,
        mutate: in_the_content,
        words: JSON_WORDS,
        max_bytes: 24_000,
    },
    Target {
        name: "envelope",
        about: "the judgement of an instance's envelope",
        effort: Effort::Walk,
        run: envelope,
        mutate: mutate::json,
        words: &["__cmwc_t", "manifest", "evidence", "endorsements", "event-log", "nonce"],
        max_bytes: 24_000,
    },
];

fn any_evidence(input: &[u8]) {
    let taken =
        hold::same(input, || evidence::recognise(input, None).map(|taken| (taken.tee, taken.bytes, taken.event_log)));
    let Some((tee, bytes, _)) = taken else { return };
    // What can be recognised can be bundled, and comes out of the bundle as it went in.
    assert!(bytes.len() <= input.len().max(1_184), "more bytes came out than went in");
    if hold::one_in_eight(input) {
        let insisted = evidence::recognise(input, Some(tee));
        assert!(insisted.is_ok_and(|taken| taken.bytes == bytes), "another answer to whoever insists on what it is");
    }
}

fn any_endorsements(input: &[u8]) {
    let mut pool = Endorsements::new();
    match endorsements::recognise("input", input, &mut pool) {
        Ok(()) => assert_eq!(teegate_verifier::hints_of(&pool).len(), pool.len()),
        Err(error) => {
            assert!(pool.is_empty(), "an error, and something was added");
            hold::message(input, &error.to_string());
        }
    }
}

fn any_statement(mutator: &mut mutate::Mutator<'_>, input: &mut Vec<u8>) {
    match input.first() {
        Some(b'{') => mutate::json(mutator, input),
        Some(0x30) => mutate::der(mutator, input),
        Some(b'-') => mutate::text(mutator, input),
        _ => mutate::bytes(mutator, input),
    }
}

fn bundle(input: &[u8]) {
    let Some(bundle) = hold::same(input, || Bundle::parse(input)) else { return };
    let text = bundle.to_text().expect("what was read can be written");
    assert_eq!(text.trim().as_bytes(), input.trim_ascii(), "another spelling of the same bundle was accepted");
    if let Ok(policy) = Policy::parse(&bundle.policy.text) {
        let evidence = bundle.kept.to_evidence();
        let _ = teegate_verifier::verify(&evidence.as_evidence(&evidence.endorsements), &policy, bundle.at);
    }
}

/// The members of `content`, and the digest that names them.
fn in_the_content(mutator: &mut mutate::Mutator<'_>, input: &mut Vec<u8>) {
    const BEFORE: &[u8] = b",\"content\":";
    let place = look::place(input, BEFORE).map(|at| at + BEFORE.len());
    let end = input.iter().rposition(|byte| *byte == b'}');
    let (Some(start), Some(end)) = (place, end) else { return mutate::json(mutator, input) };
    if start >= end || mutator.random.once_in(8) {
        return mutate::json(mutator, input);
    }
    let mut content = input[start..end].to_vec();
    mutate::json(mutator, &mut content);
    if mutator.random.once_in(8) {
        input.splice(start..end, content);
    } else {
        *input = bundle_of(&content);
    }
}

/// What the envelope of the corpus is judged by.
static POLICY: LazyLock<Option<Policy>> = LazyLock::new(|| {
    let roots = std::fs::read_to_string(crate::corpus_folder("envelope").join("roots.pem")).ok()?;
    Policy::parse(&policy_under(&roots, "\"caller\"")).ok()
});

/// The roots lie beside the envelopes, so one of the inputs is no envelope.
fn envelope(input: &[u8]) {
    let Some(policy) = &*POLICY else {
        panic!("no roots beside the corpus: `teegate-fuzz seeds envelope` writes them")
    };
    let (endorsements, verifier, memory) = (Endorsements::new(), Verifier::new(), Memory::new());
    let judged = || Judge {
        policy,
        bound_to: BoundToClaim::Required,
        endorsements: &endorsements,
        carried_by: Source::Relayed,
        carried: Carried::All,
        max_manifest_life: Duration::from_secs(7_200),
        verifier: &verifier,
        memory: &memory,
    };
    let now = UnixTime::from_seconds(AT + 60);
    match judge(input, &Asked::Epoch, judged(), now) {
        Ok(proven) => {
            // Only what the forged platform signed is bound.
            let bound = teegate_protocol::binding::epoch(proven.manifest().digest());
            let reported = proven.attested().report().fact("report_data").map(ToString::to_string);
            assert_eq!(reported, Some(hex::encode(bound)), "proven, and it binds another manifest");
            assert_eq!(proven.envelope().manifest, proven.manifest().as_bytes());
        }
        Err(refused) => hold::message(input, &refused.to_string()),
    }
}

/// A bundle of this content, with the digest that names it.
fn bundle_of(content: &[u8]) -> Vec<u8> {
    let digest = hex::encode(Sha256::digest(content));
    let head = format!("{{\"schema\":\"teegate/bundle/1\",\"digest\":\"sha256:{digest}\",\"content\":");
    [head.as_bytes(), content, b"}\n"].concat()
}
