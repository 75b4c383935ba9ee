//! The readers of the protocol: what is read is written again as it was, or reads the same when it is.

use teegate_fuzz_engine::{Effort, Target, mutate};
use teegate_protocol::bhttp::{Request, Response};
use teegate_protocol::certificate_table;
use teegate_protocol::coco::CocoEvidence;
use teegate_protocol::evidence::Envelope;
use teegate_protocol::manifest::Manifest;
use teegate_protocol::ohttp::{EncapsulatedRequest, KeyConfig};
use teegate_protocol::problem::Problem;
use teegate_protocol::receipt::{Execution, ReceiptKey, Release, Salt, Signed};

use crate::forged::{RECEIPT_SEED, sign_receipt};
use crate::hold;

const MANIFEST_WORDS: &[&str] = &[
    "v",
    "instance_id",
    "epoch",
    "prev",
    "not_before",
    "use_until",
    "not_after",
    "ohttp_keys",
    "tls_spki_sha256",
    "receipt_key",
    "models",
    "config_sha256",
    "app_version",
    "limits",
    "name",
    "version",
    "sha256",
    "sealed_body_bytes",
    "tensor_rank",
    "tensor_elements",
    "cross_tenant_batching",
    "batching",
    "max_rows",
    "features",
];
const ENVELOPE_WORDS: &[&str] = &[
    "__cmwc_t",
    "manifest",
    "evidence",
    "endorsements",
    "event-log",
    "nonce",
    "application/vnd.teegate.manifest+json",
    "application/vnd.teegate.event-log",
    "application/vnd.teegate.nonce",
    "application/pem-certificate-chain",
    "application/json",
];
const BHTTP_WORDS: &[&str] = &[
    "GET",
    "POST",
    "https",
    "/",
    "content-type",
    "application/json",
    ":path",
    "host",
    "\x00",
    "\x02",
    "\x40\x40",
    "x",
];

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "manifest",
        about: "the manifest of an instance",
        effort: Effort::Reader,
        run: manifest,
        mutate: mutate::json,
        words: MANIFEST_WORDS,
        max_bytes: 2_048,
    },
    Target {
        name: "envelope_form",
        about: "the envelope of an instance, without its judgement",
        effort: Effort::Reader,
        run: envelope,
        mutate: mutate::json,
        words: ENVELOPE_WORDS,
        max_bytes: 4_096,
    },
    Target {
        name: "bhttp_request",
        about: "a Binary HTTP request, whole and in place",
        effort: Effort::Reader,
        run: bhttp_request,
        mutate: mutate::bytes,
        words: BHTTP_WORDS,
        max_bytes: 1_024,
    },
    Target {
        name: "bhttp_response",
        about: "a Binary HTTP response",
        effort: Effort::Reader,
        run: bhttp_response,
        mutate: mutate::bytes,
        words: BHTTP_WORDS,
        max_bytes: 1_024,
    },
    Target {
        name: "ohttp_keys",
        about: "key configurations, one and a list",
        effort: Effort::Reader,
        run: ohttp_keys,
        mutate: mutate::bytes,
        words: &["\x00\x20", "\x00\x01", "\x00\x02", "\x00\x03", "\x00\x04", "\x00\x29"],
        max_bytes: 512,
    },
    Target {
        name: "ohttp_request",
        about: "the outer parts of an encapsulated request",
        effort: Effort::Reader,
        run: ohttp_request,
        mutate: mutate::bytes,
        words: &["\x00\x20\x00\x01\x00\x01", "\x00\x20\x00\x01\x00\x03"],
        max_bytes: 256,
    },
    Target {
        name: "receipt_header",
        about: "the fields of a receipt and of its salt",
        effort: Effort::Reader,
        run: receipt_header,
        mutate: mutate::text,
        words: &[".", "..", "A", "=="],
        max_bytes: 1_024,
    },
    Target {
        name: "receipt",
        about: "what a signed receipt says, of either kind",
        effort: Effort::Walk,
        run: receipt,
        mutate: mutate::json,
        words: &[
            "v",
            "kind",
            "manifest",
            "request_id",
            "request",
            "output",
            "model",
            "claimed_time",
            "execution",
            "release",
            "ciphertext",
            "evidence",
            "policy_version",
        ],
        max_bytes: 1_024,
    },
    Target {
        name: "problem",
        about: "a problem document",
        effort: Effort::Reader,
        run: problem,
        mutate: mutate::json,
        words: &[
            "type",
            "title",
            "status",
            "detail",
            "executed",
            "retry_after",
            "checks",
            "unknown",
            "no",
            "yes",
            "urn:teegate:problem:",
        ],
        max_bytes: 1_024,
    },
    Target {
        name: "coco",
        about: "evidence of a CoCo attestation agent",
        effort: Effort::Reader,
        run: coco,
        mutate: mutate::json,
        words: &[
            "attestation_report",
            "cert_chain",
            "cert_type",
            "data",
            "quote",
            "cc_eventlog",
            "aa_eventlog",
            "VCEK",
            "VLEK",
            "OTHER",
            "CRL",
            "ARK",
            "ASK",
        ],
        max_bytes: 6_000,
    },
    Target {
        name: "certificate_table",
        about: "the certificate table of an extended report",
        effort: Effort::Reader,
        run: certificate_table,
        mutate: mutate::bytes,
        words: &[],
        max_bytes: 1_024,
    },
];

fn manifest(input: &[u8]) {
    let Some(manifest) = hold::same(input, || Manifest::parse(input)) else { return };
    let written = manifest.to_bytes().expect("what was read can be written");
    assert_eq!(written.manifest(), &manifest, "written and read again");
    if let Err(error) = manifest.key_configs() {
        hold::message(input, &error.to_string());
    }
    for now in [0, manifest.not_before, manifest.not_after, u64::MAX] {
        let _ = manifest.check_window(now, std::time::Duration::from_secs(3_600));
    }
}

fn envelope(input: &[u8]) {
    let Some(envelope) = hold::same(input, || Envelope::parse(input)) else { return };
    let written = envelope.to_json().expect("what was read can be written");
    assert!(Envelope::parse(&written).is_ok_and(|again| again == envelope), "written and read again");
}

/// Less than the longest input, so that the bound is met.
const BHTTP_BYTES: usize = 900;

fn bhttp_request(input: &[u8]) {
    let whole = hold::same(input, || Request::decode(input, BHTTP_BYTES));
    let head = Request::decode_head(input, BHTTP_BYTES);
    assert_eq!(whole.is_some(), head.is_ok(), "one reader took what the other refused");
    let (Some(whole), Ok((mut head, place))) = (whole, head) else { return };
    assert!(input.len() <= BHTTP_BYTES && head.content.is_empty());
    let mut buffer = input.to_vec();
    place.gather(&mut buffer);
    head.content = buffer;
    assert!(head == whole, "the content in place is another");
    if let Ok(written) = whole.encode() {
        let again = Request::decode(&written, usize::MAX);
        assert!(again.is_ok_and(|again| again == whole), "written and read again");
    }
    if let Ok(padded) = whole.encode_padded() {
        assert!(Request::decode(&padded, usize::MAX).is_ok_and(|again| again == whole), "padded and read again");
    }
}

fn bhttp_response(input: &[u8]) {
    let Some(response) = hold::same(input, || Response::decode(input, BHTTP_BYTES)) else { return };
    assert!(input.len() <= BHTTP_BYTES);
    if let Ok(written) = response.encode() {
        let again = Response::decode(&written, usize::MAX);
        assert!(again.is_ok_and(|again| again == response), "written and read again");
    }
}

fn ohttp_keys(input: &[u8]) {
    if let Some(config) = hold::same(input, || KeyConfig::parse(input)) {
        assert!(KeyConfig::parse(&config.encode()).is_ok_and(|again| again == config), "written and read again");
        assert!(!config.aeads().is_empty());
    }
    if let Some(configs) = hold::same(input, || KeyConfig::parse_list(input)) {
        let written = KeyConfig::encode_list(&configs);
        assert!(written.len() <= input.len(), "more configurations came out than went in");
        assert!(KeyConfig::parse_list(&written).is_ok_and(|again| again == configs), "written and read again");
    }
}

fn ohttp_request(input: &[u8]) {
    match EncapsulatedRequest::parse(input) {
        Ok(request) => {
            assert_eq!(input.first(), Some(&request.key_id()));
            let outer = input.len() - request.enc().len() - request.ciphertext().len();
            assert_eq!(outer, 7, "bytes that belong to nobody");
            let name = request.replay_key();
            assert!(EncapsulatedRequest::parse(input).is_ok_and(|again| again.replay_key() == name));
        }
        Err(error) => hold::message(input, &error.to_string()),
    }
}

fn receipt_header(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Some(signed) = hold::same(input, || Signed::parse_header(text)) {
        assert_eq!(signed.to_header(), text, "another spelling of the same receipt was accepted");
    }
    if let Some(salt) = Salt::parse_header(text).ok().map(|salt| salt.to_header()) {
        assert_eq!(salt, text, "another spelling of the same salt was accepted");
    }
}

/// Signs whatever it is, so that what is signed is read. The first byte says as what.
fn receipt(input: &[u8]) {
    let Some((kind, body)) = input.split_first() else { return };
    let key = ReceiptKey::from_seed(&RECEIPT_SEED);
    let (public, execution) = (key.public(), kind & 1 == 0);
    let signed = sign_receipt(body, execution);
    if execution {
        if let Some(receipt) = hold::same(body, || Execution::verify(&signed, &public)) {
            let again = receipt.sign(&key).expect("what was read can be written");
            assert!(Execution::verify(&again, &public).is_ok_and(|again| again == receipt), "written and read again");
        }
        assert!(Release::verify(&signed, &public).is_err(), "one kind was taken for the other");
    } else {
        if let Some(receipt) = hold::same(body, || Release::verify(&signed, &public)) {
            let again = receipt.sign(&key).expect("what was read can be written");
            assert!(Release::verify(&again, &public).is_ok_and(|again| again == receipt), "written and read again");
        }
        assert!(Execution::verify(&signed, &public).is_err(), "one kind was taken for the other");
    }
}

fn problem(input: &[u8]) {
    let Some(problem) = hold::same(input, || Problem::parse(input)) else { return };
    let written = problem.to_json();
    assert!(Problem::parse(&written).is_ok_and(|again| again == problem), "written and read again");
}

fn coco(input: &[u8]) {
    if let Some(evidence) = hold::same(input, || CocoEvidence::parse(input)) {
        assert!(evidence.bytes.len() <= input.len().max(1_184), "more bytes came out than went in");
    }
}

fn certificate_table(input: &[u8]) {
    match certificate_table::entries(input) {
        Ok(entries) => {
            assert!(entries.len() <= input.len() / 24, "more entries than rows");
            assert!(entries.iter().all(|entry| entry.content.len() <= input.len()));
        }
        Err(error) => hold::message(input, &error.to_string()),
    }
    let _ = (certificate_table::looks_like_table(input), certificate_table::is_empty_table(input));
}
