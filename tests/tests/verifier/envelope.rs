//! Whose the endorsements are that an instance or a gateway hands over with an envelope.

use teegate_client::{Freshness, Instance, Trust};
use teegate_forge::time::AT;
use teegate_protocol::binding;
use teegate_protocol::evidence::{Endorsements as Carried, EndorsementsKind, Envelope, EvidenceKind, TeeEvidence};
use teegate_protocol::manifest::{ConfigDigest, InstanceId, Limits, Manifest, ModelDigest, ModelEntry, SpkiDigest};
use teegate_protocol::ohttp::{KeyConfig, KeyPair};
use teegate_protocol::receipt::ReceiptKey;
use teegate_verifier::{Memory, Source, Tee, UnixTime, Verifier};

use crate::subject::{TDX_DEVICE, good};

/// What a gateway or an instance hands over with an envelope is not the user's.
#[test]
fn what_comes_with_an_envelope_is_not_the_users() {
    let (key, receipt) = (KeyPair::generate(2).unwrap(), ReceiptKey::generate().unwrap());
    let manifest = Manifest {
        instance_id: InstanceId([1; 16]),
        epoch: 1,
        prev: None,
        not_before: AT,
        use_until: AT + 3600,
        not_after: AT + 4200,
        ohttp_keys: KeyConfig::encode_list([key.config()]),
        tls_spki_sha256: SpkiDigest([2; 32]),
        receipt_key: receipt.public(),
        models: vec![ModelEntry { name: "m".into(), version: "1".into(), sha256: ModelDigest([3; 32]) }],
        config_sha256: ConfigDigest([4; 32]),
        app_version: "0.1.0".into(),
        limits: Limits {
            sealed_body_bytes: 1 << 20,
            tensor_rank: 16,
            tensor_elements: 1 << 31,
            cross_tenant_batching: false,
        },
    }
    .to_bytes()
    .unwrap();
    let early = TDX_DEVICE.clone().report_data(binding::epoch(manifest.digest())).evaluation_number(22).build();
    let envelope = Envelope {
        manifest: manifest.as_bytes().to_vec(),
        evidence: TeeEvidence { kind: EvidenceKind::TdxQuote, bytes: early.quote.clone() },
        endorsements: Some(Carried { kind: EndorsementsKind::Json, bytes: early.dcap_collateral(false).into_bytes() }),
        event_log: None,
        nonce: None,
    };
    let own = good(Tee::Tdx).under("report_data", "\"caller\"");
    let trust = Trust {
        policy: own.load_policy(),
        endorsements: teegate_verifier::Endorsements::new(),
        max_manifest_life: std::time::Duration::from_secs(7_200),
    };
    let mut memory = Memory::new();
    let now = UnixTime::from_seconds(AT);
    let instance =
        Instance::verify(&envelope.to_json().unwrap(), Freshness::Epoch, &trust, &mut Verifier::new(), &memory, now)
            .unwrap();
    let told = instance.attested().report().endorsements().iter().find(|one| one.kind == "tcb-info").unwrap().source;
    assert_eq!(told, Source::Relayed);
    // Nor does it lock the user out of the evaluation that the user has.
    memory.remember(instance.attested().seen());
    let mut after = good(Tee::Tdx);
    after.memory = Some(memory);
    after.accepted();
}
