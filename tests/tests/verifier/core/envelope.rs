//! The one judgement of an envelope, by which client and gateway decide: every part of it, and whose its endorsements are.

use std::time::Duration;

use teegate_client::{Freshness, Instance, Trust};
use teegate_forge::tdx::TdxBuilder;
use teegate_forge::tdx::event_log::{BOOT, encode, registers};
use teegate_forge::time::AT;
use teegate_intake::envelope::{self, Asked, BoundToClaim, Judge, Proven, Refused, judge};
use teegate_protocol::binding::{self, Exporter, Nonce};
use teegate_protocol::evidence::{Endorsements as Carried, EndorsementsKind, Envelope, EvidenceKind, TeeEvidence};
use teegate_protocol::manifest::{
    ConfigDigest, InstanceId, Limits, Manifest, ManifestBytes, ModelDigest, ModelEntry, SpkiDigest,
};
use teegate_protocol::ohttp::{KeyConfig, KeyPair};
use teegate_protocol::receipt::ReceiptKey;
use teegate_verifier::{FactValue, Memory, Policy, Source, Stage, Tee, UnixTime, Verifier};

use crate::subject::{Subject, TDX_DEVICE, good};

const LIFE: Duration = Duration::from_secs(7_200);
const SPKI: SpkiDigest = SpkiDigest([2; 32]);
const NONCE: [u8; 32] = [3; 32];
const EXPORTER: [u8; 32] = [4; 32];

pub(crate) fn manifest() -> ManifestBytes {
    let (key, receipt) = (KeyPair::generate(2).unwrap(), ReceiptKey::generate().unwrap());
    Manifest {
        instance_id: InstanceId([1; 16]),
        epoch: 1,
        prev: None,
        not_before: AT,
        use_until: AT + 3600,
        not_after: AT + 4200,
        ohttp_keys: KeyConfig::encode_list([key.config()]),
        tls_spki_sha256: SPKI,
        receipt_key: receipt.public(),
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
    .unwrap()
}

/// What an instance on this platform sends with this report data.
fn envelope(device: &TdxBuilder, manifest: &ManifestBytes, report_data: [u8; 64]) -> Envelope {
    let set = device.clone().report_data(report_data).build();
    Envelope {
        manifest: manifest.as_bytes().to_vec(),
        evidence: TeeEvidence { kind: EvidenceKind::TdxQuote, bytes: set.quote.clone() },
        endorsements: Some(Carried { kind: EndorsementsKind::Json, bytes: set.dcap_collateral(false).into_bytes() }),
        event_log: None,
        nonce: None,
    }
}

/// The same with epoch evidence, on the device that nothing is wrong with.
fn of_the_epoch() -> Envelope {
    let manifest = manifest();
    envelope(&TDX_DEVICE, &manifest, binding::epoch(manifest.digest()))
}

/// A policy that decides about sending.
fn asking() -> Subject {
    good(Tee::Tdx).under("report_data", "\"caller\"")
}

/// The verdict of somebody who has the policy and nothing else, and is about to send.
pub(crate) fn judged_by(envelope: &Envelope, asked: &Asked<'_>, policy: &Policy, at: u64) -> Result<Proven, Refused> {
    claiming(BoundToClaim::Required, envelope, asked, policy, at)
}

fn claiming(
    bound_to: BoundToClaim,
    envelope: &Envelope,
    asked: &Asked<'_>,
    policy: &Policy,
    at: u64,
) -> Result<Proven, Refused> {
    let judged = Judge {
        policy,
        bound_to,
        endorsements: &teegate_verifier::Endorsements::new(),
        carried_by: Source::Evidence,
        carried: envelope::Carried::All,
        max_manifest_life: LIFE,
        verifier: &Verifier::new(),
        memory: &Memory::new(),
    };
    judge(&envelope.to_json().unwrap(), asked, judged, UnixTime::from_seconds(at))
}

fn judged(envelope: &Envelope, asked: &Asked<'_>) -> Result<Proven, Refused> {
    judged_by(envelope, asked, &asking().load_policy(), AT)
}

#[track_caller]
fn assert_refused(result: Result<Proven, Refused>, stage: Stage, check: &str) -> String {
    let refused = result.expect_err("refused");
    assert_eq!((refused.stage, refused.checks.as_slice()), (stage, &[check][..]), "{refused}");
    refused.to_string()
}

#[test]
fn each_part_of_an_envelope_is_refused_by_its_check() {
    let good = of_the_epoch();
    let proven = judged(&good, &Asked::Epoch).unwrap();
    assert_eq!(proven.manifest().as_bytes(), good.manifest);
    assert_eq!(proven.envelope(), &good);

    let (policy, none) = (asking().load_policy(), teegate_verifier::Endorsements::new());
    let judged_with = Judge {
        policy: &policy,
        bound_to: BoundToClaim::Required,
        endorsements: &none,
        carried_by: Source::Evidence,
        carried: envelope::Carried::All,
        max_manifest_life: LIFE,
        verifier: &Verifier::new(),
        memory: &Memory::new(),
    };
    let nothing = judge(b"{}", &Asked::Epoch, judged_with, UnixTime::from_seconds(AT));
    assert_refused(nothing, Stage::Parse, "envelope.form");

    type Edit = fn(&mut Envelope);
    let edits: [(Edit, &str); 4] = [
        (|envelope| envelope.manifest = b"{}".to_vec(), "manifest.form"),
        (|envelope| envelope.evidence.kind = EvidenceKind::AciSnp, "envelope.evidence-type"),
        (|envelope| envelope.endorsements.as_mut().unwrap().bytes = b"none".to_vec(), "envelope.endorsements"),
        (|envelope| envelope.evidence.bytes.truncate(40), "tdx.bytes.header"),
    ];
    for (edit, check) in edits {
        let mut envelope = good.clone();
        edit(&mut envelope);
        let refused = judged(&envelope, &Asked::Epoch).unwrap_err();
        assert_eq!((refused.stage, refused.checks.as_slice()), (Stage::Parse, &[check][..]), "{refused}");
        // A report is the verifier's, where it was the verifier that refused.
        assert_eq!(refused.rejection.is_some(), check.starts_with("tdx."), "{refused}");
        assert_eq!(refused.manifest.is_some(), check != "manifest.form", "{refused}");
    }
}

#[test]
fn a_manifest_counts_within_its_window() {
    let (envelope, policy) = (of_the_epoch(), asking().load_policy());
    let at = |at| judged_by(&envelope, &Asked::Epoch, &policy, at);
    assert!(at(AT - 60).is_ok() && at(AT + 4199).is_ok());
    for outside in [AT - 61, AT + 4200] {
        assert_refused(at(outside), Stage::Authenticate, "manifest.window");
    }
}

/// Each question has its own answer, and no answer stands for another.
#[test]
fn what_was_asked_is_what_the_evidence_binds() {
    let (nonce, exporter) = (Nonce::from_bytes(NONCE), Exporter::from_bytes(EXPORTER));
    let (other_nonce, other_exporter) = (Nonce::from_bytes([5; 32]), Exporter::from_bytes([5; 32]));
    let manifest = manifest();
    let name = manifest.digest();
    let answers = [binding::epoch(name), binding::fresh(name, &nonce), binding::channel(name, &nonce, &exporter)]
        .map(|report_data| envelope(&TDX_DEVICE, &manifest, report_data));
    let questions = [
        (Asked::Epoch, Some(0)),
        (Asked::EpochOver { spki: &SPKI }, Some(0)),
        (Asked::Challenge(&nonce), Some(1)),
        (Asked::Challenge(&other_nonce), None),
        (Asked::Channel { nonce: &nonce, exporter: &exporter, spki: &SPKI }, Some(2)),
        (Asked::Channel { nonce: &other_nonce, exporter: &exporter, spki: &SPKI }, None),
        (Asked::Channel { nonce: &nonce, exporter: &other_exporter, spki: &SPKI }, None),
    ];
    for (place, (asked, answer)) in questions.iter().enumerate() {
        for (number, envelope) in answers.iter().enumerate() {
            let result = judged(envelope, asked);
            if *answer == Some(number) {
                assert!(result.is_ok(), "question {place}");
            } else {
                assert_refused(result, Stage::Appraise, "tdx.td.report-data");
            }
        }
    }
}

#[test]
fn the_peer_holds_the_key_that_the_manifest_names() {
    let (nonce, exporter) = (Nonce::from_bytes(NONCE), Exporter::from_bytes(EXPORTER));
    let manifest = manifest();
    let epoch = envelope(&TDX_DEVICE, &manifest, binding::epoch(manifest.digest()));
    let channel = envelope(&TDX_DEVICE, &manifest, binding::channel(manifest.digest(), &nonce, &exporter));
    let other = SpkiDigest([9; 32]);
    for (envelope, genuine, relayed) in [
        (&epoch, Asked::EpochOver { spki: &SPKI }, Asked::EpochOver { spki: &other }),
        (
            &channel,
            Asked::Channel { nonce: &nonce, exporter: &exporter, spki: &SPKI },
            Asked::Channel { nonce: &nonce, exporter: &exporter, spki: &other },
        ),
    ] {
        assert!(judged(envelope, &genuine).is_ok());
        let words = assert_refused(judged(envelope, &relayed), Stage::Authenticate, "channel.key");
        assert!(words.contains(&SPKI.to_string()) && words.contains(&other.to_string()), "{words}");
    }
}

#[test]
fn a_policy_about_hardware_alone_decides_about_no_sending() {
    let envelope = of_the_epoch();
    let about_hardware = asking().under("bound_to", "\"unchecked\"").load_policy();
    let refused = judged_by(&envelope, &Asked::Epoch, &about_hardware, AT);
    assert_refused(refused, Stage::Appraise, "envelope.bound-to");
    assert!(claiming(BoundToClaim::Unchecked, &envelope, &Asked::Epoch, &about_hardware, AT).is_ok());
    let about_code = asking().under("bound_to", "\"guest\"").load_policy();
    assert!(judged_by(&envelope, &Asked::Epoch, &about_code, AT).is_ok());
}

/// The log of the boot that an instance sends is judged, for whoever asks.
#[test]
fn the_event_log_of_an_instance_reaches_the_verifier() {
    let registers = registers(&BOOT);
    let booted = (0..4).fold(TDX_DEVICE.clone(), |device, number| device.rtmr(number, registers[number]));
    let names = ["rtmr0", "rtmr1", "rtmr2", "rtmr3"].into_iter().zip(registers);
    let policy =
        names.fold(asking(), |policy, (name, value)| policy.under(name, &format!("\"{}\"", hex::encode(value))));
    let unchecked = policy.clone().under("event_log", "\"unchecked\"").load_policy();
    let required = policy.under("event_log", "\"required\"").load_policy();

    let (nonce, exporter) = (Nonce::from_bytes(NONCE), Exporter::from_bytes(EXPORTER));
    let manifest = manifest();
    let name = manifest.digest();
    for (asked, report_data) in [
        (Asked::Epoch, binding::epoch(name)),
        (Asked::Challenge(&nonce), binding::fresh(name, &nonce)),
        (Asked::Channel { nonce: &nonce, exporter: &exporter, spki: &SPKI }, binding::channel(name, &nonce, &exporter)),
    ] {
        let silent = envelope(&booted, &manifest, report_data);
        let with = |log| Envelope { event_log: Some(log), ..silent.clone() };
        let proven = judged_by(&with(encode(&BOOT)), &asked, &required, AT).unwrap();
        assert_eq!(proven.attested().report().fact("event_log_events"), Some(&FactValue::Number(6)));
        assert!(judged_by(&silent, &asked, &unchecked, AT).is_ok());
        for (refused, policy) in [
            (&silent, &required),
            (&with(encode(&BOOT[1..])), &required),
            // What is there is judged, whether or not it is required.
            (&with(encode(&BOOT[1..])), &unchecked),
        ] {
            assert_refused(judged_by(refused, &asked, policy, AT), Stage::Appraise, "tdx.log.replay");
        }
    }
}

/// What a gateway or an instance hands over with an envelope is not the user's.
#[test]
fn what_comes_with_an_envelope_is_not_the_users() {
    let manifest = manifest();
    let early = envelope(&TDX_DEVICE.clone().evaluation_number(22), &manifest, binding::epoch(manifest.digest()));
    let own = asking();
    for carried_by in [Source::Relayed, Source::Evidence] {
        let mut memory = Memory::new();
        let judged = Judge {
            policy: &own.load_policy(),
            bound_to: BoundToClaim::Required,
            endorsements: &teegate_verifier::Endorsements::new(),
            carried_by,
            carried: envelope::Carried::All,
            max_manifest_life: LIFE,
            verifier: &Verifier::new(),
            memory: &memory,
        };
        let proven = judge(&early.to_json().unwrap(), &Asked::Epoch, judged, UnixTime::from_seconds(AT)).unwrap();
        let told = proven.attested().report().endorsements().iter().find(|one| one.kind == "tcb-info").unwrap().source;
        assert_eq!(told, carried_by);
        // Nor does it lock the user out of the evaluation that the user has.
        memory.remember(proven.attested().seen());
        let mut after = good(Tee::Tdx);
        after.memory = Some(memory);
        after.accepted();
    }
    // To a client, the gateway relayed them.
    let trust = Trust::new(own.load_policy(), teegate_verifier::Endorsements::new());
    let (bytes, now) = (early.to_json().unwrap(), UnixTime::from_seconds(AT));
    let instance = Instance::verify(&bytes, Freshness::Epoch, &trust, &Verifier::new(), &Memory::new(), now).unwrap();
    let told = instance.attested().report().endorsements().iter().find(|one| one.kind == "tcb-info").unwrap().source;
    assert_eq!(told, Source::Relayed);
}

/// Under the paravisor of an Azure confidential VM the instance's 64 bytes are those of the vTPM's quote; those of the hardware are the
/// paravisor's, and answer nobody.
#[test]
fn an_instance_under_an_azure_vtpm_binds_its_manifest_by_the_quote() {
    use teegate_forge::azure::{AzureBuilder, PlatformSet};

    for tee in Tee::all() {
        let subject = crate::subject::azure(tee, |vm| vm).under("report_data", "\"caller\"");
        let policy = subject.load_policy();
        let manifest = manifest();
        let sent = |bytes: [u8; 64], kind: EvidenceKind| {
            let vm = match tee {
                Tee::SevSnp => AzureBuilder::on_snp(crate::subject::SNP_DEVICE.clone()),
                _ => AzureBuilder::on_tdx(TDX_DEVICE.clone()),
            };
            let set = vm.asked(&bytes).build();
            let (kind_of_endorsements, endorsements) = match &set.platform {
                PlatformSet::Snp(platform) => {
                    let list = teegate_forge::pem::crl(platform.crl.as_ref().unwrap());
                    (EndorsementsKind::PemCertificateChain, platform.chain_pem() + &list)
                }
                PlatformSet::Tdx(platform) => (EndorsementsKind::Json, platform.dcap_collateral(false)),
            };
            Envelope {
                manifest: manifest.as_bytes().to_vec(),
                evidence: TeeEvidence { kind, bytes: set.coco_evidence(2).into_bytes() },
                endorsements: Some(Carried { kind: kind_of_endorsements, bytes: endorsements.into_bytes() }),
                event_log: None,
                nonce: None,
            }
        };
        let [own, other] = match tee {
            Tee::SevSnp => [EvidenceKind::AzSnpVtpm, EvidenceKind::AzTdxVtpm],
            _ => [EvidenceKind::AzTdxVtpm, EvidenceKind::AzSnpVtpm],
        };
        let bound = binding::epoch(manifest.digest());
        let proven = judged_by(&sent(bound, own), &Asked::Epoch, &policy, AT).unwrap();
        assert_eq!(proven.attested().report().wrapping(), teegate_verifier::Wrapping::AzureVtpm);
        let check = if tee == Tee::SevSnp { "snp.guest.report-data" } else { "tdx.td.report-data" };
        let elsewhere = sent([7; 64], own);
        assert_refused(judged_by(&elsewhere, &Asked::Epoch, &policy, AT), Stage::Appraise, check);
        // A record that says the other TEE.
        let mixed = judged_by(&sent(bound, other), &Asked::Epoch, &policy, AT);
        let said = assert_refused(mixed, Stage::Parse, "envelope.evidence-type");
        assert!(said.contains("holds evidence of type"), "{said}");
        // A policy for bare evidence has no profile for it.
        let bare = good(tee).under("report_data", "\"caller\"").load_policy();
        assert_refused(judged_by(&sent(bound, own), &Asked::Epoch, &bare, AT), Stage::Appraise, "policy.profile");
    }
}
