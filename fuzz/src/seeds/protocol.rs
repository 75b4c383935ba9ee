//! Messages as the protocol writes them.

use std::sync::LazyLock;

use teegate_encoding::base64;
use teegate_forge::time::AT;
use teegate_protocol::bhttp::{Request, Response};
use teegate_protocol::binding;
use teegate_protocol::evidence::{Endorsements, EndorsementsKind, Envelope, EvidenceKind, TeeEvidence};
use teegate_protocol::manifest::{
    ConfigDigest, InstanceId, Limits, Manifest, ManifestBytes, ModelDigest, ModelEntry, SpkiDigest,
};
use teegate_protocol::ohttp::{KeyConfig, KeyPair, seal};
use teegate_protocol::problem::{Problem, ProblemKind};
use teegate_protocol::receipt::{
    CiphertextDigest, EvidenceDigest, Execution, ReceiptKey, Release, SaltedDigest, Signed,
};

use crate::forged::{RECEIPT_SEED, SNP, Seeds, TDX_DEVICE};

static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(2).expect("random bytes"));
pub(super) fn of(target: &str) -> Seeds {
    match target {
        "manifest" => vec![("manifest", manifest().as_bytes().to_vec())],
        "envelope_form" => vec![("short", short_envelope())],
        "bhttp_request" => {
            let mut request = Request::new("POST", "gateway.example", "/v2/models/m/infer");
            request.fields.push("content-type", "application/json").expect("a field");
            request.content = b"{\"inputs\":[]}".to_vec();
            let known = request.encode().expect("a message");
            let padded = request.encode_padded().expect("a message");
            // RFC 9292: indeterminate length, two pieces of content.
            let mut pieces = vec![2, 3];
            pieces.extend(b"GET\x05https\x01a\x01/");
            pieces.extend(b"\x01a\x01b\x00\x02xy\x01z\x00\x00");
            vec![("known", known), ("padded", padded), ("pieces", pieces)]
        }
        "bhttp_response" => {
            let mut response = Response::new(200);
            response.fields.push("content-type", "application/json").expect("a field");
            response.content = b"{}".to_vec();
            let known = response.encode().expect("a message");
            let mut pieces = vec![3, 0x40, 102, 0, 0x40, 200];
            pieces.extend(b"\x01a\x01b\x00\x02xy\x01z\x00\x00");
            vec![("known", known), ("pieces", pieces)]
        }
        "ohttp_keys" => vec![("list", KeyConfig::encode_list([KEY.config()])), ("one", KEY.config().encode())],
        "ohttp_request" => vec![("request", seal(KEY.config(), b"hello").expect("sealed").0)],
        "receipt_header" => vec![
            ("execution", execution().to_header().into_bytes()),
            ("release", release().to_header().into_bytes()),
            ("salt", base64::encode_url([5; 32]).into_bytes()),
        ],
        "receipt" => vec![
            ("execution", [b"0", &execution().bytes[..]].concat()),
            ("release", [b"1", &release().bytes[..]].concat()),
        ],
        "problem" => ProblemKind::ALL
            .into_iter()
            .take(3)
            .zip(["first", "second", "third"])
            .map(|(kind, name)| {
                let problem = Problem::new(kind).with_detail("a detail").with_checks(["snp.chain.present"]);
                (name, problem.with_retry_after(5).to_json())
            })
            .collect(),
        "coco" => vec![
            ("snp", SNP.coco_evidence_without_chain().into_bytes()),
            ("tdx", teegate_forge::coco::tdx_evidence_with_log(&[4; 90], Some(b"log")).into_bytes()),
            ("tdx-older", teegate_forge::coco::older_tdx_evidence(&[4; 90], Some("log")).into_bytes()),
            (
                "snp-older",
                teegate_forge::coco::older_snp_evidence(&SNP.report, Some(&[("VCEK", &[0x30; 40])])).into_bytes(),
            ),
        ],
        "certificate_table" => {
            let whole = SNP.certificate_table();
            let mut short = whole[..96].to_vec();
            for (row, length) in [(0, 10_u32), (1, 20), (2, 30)] {
                let at = 24 * row + 16;
                let offset = 96 + 10 * u32::try_from(row).expect("a small number");
                short[at..at + 4].copy_from_slice(&offset.to_le_bytes());
                short[at + 4..at + 8].copy_from_slice(&length.to_le_bytes());
            }
            short.extend([0x30; 80]);
            vec![("short", short)]
        }
        _ => Vec::new(),
    }
}

/// A manifest of an instance, which began when the forged evidence was made.
pub(crate) fn manifest() -> ManifestBytes {
    Manifest {
        instance_id: InstanceId([1; 16]),
        epoch: 1,
        prev: None,
        not_before: AT,
        use_until: AT + 3_600,
        not_after: AT + 4_200,
        ohttp_keys: KeyConfig::encode_list([KEY.config()]),
        tls_spki_sha256: SpkiDigest([2; 32]),
        receipt_key: ReceiptKey::from_seed(&RECEIPT_SEED).public(),
        models: vec![ModelEntry { name: "m".into(), version: "1".into(), sha256: ModelDigest([3; 32]) }],
        config_sha256: ConfigDigest([4; 32]),
        app_version: "0.1.0".into(),
        limits: Limits {
            sealed_body_bytes: 1 << 20,
            tensor_rank: 16,
            tensor_elements: 1 << 31,
            cross_tenant_batching: false,
            batching: vec![],
        },
    }
    .to_bytes()
    .expect("a manifest")
}

/// With an envelope's form, and nothing in it that could be judged.
fn short_envelope() -> Vec<u8> {
    let evidence = TeeEvidence { kind: EvidenceKind::TdxQuote, bytes: vec![4; 60] };
    let endorsements = Some(Endorsements { kind: EndorsementsKind::Json, bytes: b"{}".to_vec() });
    let nonce = Some(binding::Nonce::from_bytes([3; 32]));
    let manifest = manifest().as_bytes().to_vec();
    let envelope = Envelope { manifest, evidence, endorsements, event_log: Some(b"log".to_vec()), nonce };
    envelope.to_json().expect("an envelope")
}

/// An envelope whose evidence binds its manifest, as it is handed on during an epoch.
pub(crate) fn envelope() -> Vec<u8> {
    let manifest = manifest();
    let set = TDX_DEVICE.clone().report_data(binding::epoch(manifest.digest())).build();
    let bytes = set.dcap_collateral(false).into_bytes();
    let envelope = Envelope {
        manifest: manifest.as_bytes().to_vec(),
        evidence: TeeEvidence { kind: EvidenceKind::TdxQuote, bytes: set.quote },
        endorsements: Some(Endorsements { kind: EndorsementsKind::Json, bytes }),
        event_log: None,
        nonce: None,
    };
    envelope.to_json().expect("an envelope")
}

fn execution() -> Signed {
    let receipt = Execution {
        manifest: *manifest().digest(),
        request_id: Some("r-1".to_owned()),
        request: SaltedDigest([1; 32]),
        output: SaltedDigest([2; 32]),
        model: ModelDigest([3; 32]),
        claimed_time: AT,
    };
    receipt.sign(&ReceiptKey::from_seed(&RECEIPT_SEED)).expect("a receipt")
}

fn release() -> Signed {
    let receipt = Release {
        ciphertext: CiphertextDigest([1; 32]),
        manifest: *manifest().digest(),
        evidence: EvidenceDigest([2; 32]),
        policy_version: 1,
        claimed_time: AT,
    };
    receipt.sign(&ReceiptKey::from_seed(&RECEIPT_SEED)).expect("a receipt")
}
