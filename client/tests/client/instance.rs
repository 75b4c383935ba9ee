//! From envelope to instance: every way to be refused, beside the one to be accepted.

use teegate_client::{Freshness, Instance, Refused, Trust};
use teegate_forge::time::{AT, DAY};
use teegate_protocol::binding::Nonce;
use teegate_protocol::evidence::{Endorsements, EndorsementsKind, Envelope, EvidenceKind};
use teegate_protocol::ohttp::{KeyConfig, KeyPair};
use teegate_verifier::{BoundTo, Memory, Policy, Stage, UnixTime, Verifier};

use crate::fake::Fake;

fn verify_at(envelope: &Envelope, freshness: Freshness<'_>, trust: &Trust, at: u64) -> Result<Instance, Refused> {
    let bytes = envelope.to_json().unwrap();
    Instance::verify(&bytes, freshness, trust, &Verifier::new(), &Memory::new(), UnixTime::from_seconds(at))
}

fn verify(envelope: &Envelope, trust: &Trust) -> Result<Instance, Refused> {
    verify_at(envelope, Freshness::Epoch, trust, AT)
}

#[track_caller]
fn assert_refused(result: Result<Instance, Refused>, stage: Stage, check: &str) {
    let refused = result.expect_err("refused");
    assert_eq!((refused.stage, refused.checks.as_slice()), (stage, &[check][..]), "{refused}");
}

#[test]
fn a_genuine_envelope_becomes_an_instance() {
    let fake = Fake::new();
    let instance = verify(&fake.envelope(), &fake.trust()).unwrap();
    assert_eq!(instance.digest(), fake.manifest.digest());
    assert_eq!(instance.attested().bound_to(), Some(BoundTo::Workload));
    assert!(instance.may_seal(UnixTime::from_seconds(AT + 3599)));
    assert!(!instance.may_seal(UnixTime::from_seconds(AT + 3600)), "the epoch is over");
}

/// An accepted instance is kept and sealed to again, so its time ends with the shortest of what it rests on.
#[test]
fn an_instance_ends_with_its_evidence_if_that_is_before_its_epoch() {
    let lasts = |fake: &Fake, end: u64| {
        let envelope = Envelope { endorsements: Some(fake.endorsements_with_crl()), ..fake.envelope() };
        let instance = verify(&envelope, &fake.trust()).unwrap();
        assert!(instance.may_seal(UnixTime::from_seconds(end - 1)), "before {end}");
        assert!(!instance.may_seal(UnixTime::from_seconds(end)), "at {end}");
        end
    };
    let whole = Fake::new();
    assert_eq!(lasts(&whole, AT + 3600), whole.manifest.manifest().use_until);
    let list = Fake::on(|_| {}, |device| device.crl_window(AT - DAY, Some(AT + 60)));
    assert!(lasts(&list, AT + 60) < list.manifest.manifest().use_until);
    let leaf = Fake::on(|_| {}, |device| device.vek_validity(AT - DAY, AT + 120));
    assert!(lasts(&leaf, AT + 120) < leaf.manifest.manifest().use_until);
}

#[test]
fn a_swapped_key_is_refused_whatever_else_is_genuine() {
    let fake = Fake::new();
    let mut envelope = fake.envelope();
    let own_key = KeyPair::generate(2).unwrap();
    let mut manifest = fake.manifest.manifest().clone();
    manifest.ohttp_keys = KeyConfig::encode_list([own_key.config()]);
    envelope.manifest = manifest.to_bytes().unwrap().as_bytes().to_vec();
    assert_refused(verify(&envelope, &fake.trust()), Stage::Appraise, "snp.guest.report-data");
}

#[test]
fn one_byte_of_white_space_in_the_manifest_is_another_manifest() {
    let fake = Fake::new();
    let mut envelope = fake.envelope();
    envelope.manifest.push(b' ');
    assert_refused(verify(&envelope, &fake.trust()), Stage::Appraise, "snp.guest.report-data");
}

#[test]
fn epoch_evidence_does_not_answer_a_challenge() {
    let fake = Fake::new();
    let nonce = Nonce::generate().unwrap();
    let refused = verify_at(&fake.envelope(), Freshness::Challenge(&nonce), &fake.trust(), AT);
    assert_refused(refused, Stage::Appraise, "snp.guest.report-data");
}

#[test]
fn a_manifest_is_refused_outside_its_window() {
    let fake = Fake::new();
    let at = |at| verify_at(&fake.envelope(), Freshness::Epoch, &fake.trust(), at);
    assert!(at(AT - 60).is_ok(), "within the skew");
    assert!(at(AT + 3599).is_ok());
    for outside in [AT - 61, AT + 3600, AT + 4200] {
        assert_refused(at(outside), Stage::Authenticate, "manifest.window");
    }
    let mut impatient = fake.trust();
    impatient.max_manifest_life = std::time::Duration::from_secs(4199);
    assert_refused(verify(&fake.envelope(), &impatient), Stage::Authenticate, "manifest.window");
}

#[test]
fn other_code_and_other_hardware_are_refused() {
    let fake = Fake::new();
    let other_code = fake.trust_by(|genuine| {
        genuine.replacen("bound_to = \"unchecked\"", "bound_to = \"workload\"", 1).replacen(
            "measurement = \"unchecked\"",
            &format!("measurement = \"{}\"", "0f".repeat(48)),
            1,
        )
    });
    assert_refused(verify(&fake.envelope(), &other_code), Stage::Appraise, "snp.guest.measurement");
    let mut vendors_hardware = fake.trust();
    vendors_hardware.policy = Policy::parse(teegate_measurements::GENUINE).unwrap();
    assert_refused(verify(&fake.envelope(), &vendors_hardware), Stage::Authenticate, "snp.chain.ark-pinned");
}

#[test]
fn a_policy_that_is_about_hardware_only_does_not_decide_about_sending() {
    let fake = Fake::new();
    let genuine = fake.trust_by(str::to_owned);
    assert_refused(verify(&fake.envelope(), &genuine), Stage::Appraise, "envelope.bound-to");
}

#[test]
fn evidence_under_another_label_is_refused() {
    let fake = Fake::new();
    let mut envelope = fake.envelope();
    envelope.evidence.kind = EvidenceKind::AciSnp;
    assert_refused(verify(&envelope, &fake.trust()), Stage::Parse, "envelope.evidence-type");
    envelope.evidence.kind = EvidenceKind::TdxQuote;
    let refused = verify(&envelope, &fake.trust()).unwrap_err();
    assert_eq!(refused.stage, Stage::Parse, "{refused}");
    assert!(refused.checks.iter().all(|check| check.starts_with("tdx.bytes.")), "{refused}");
}

#[test]
fn malformed_parts_are_named() {
    let fake = Fake::new();
    let trust = fake.trust();
    let bytes =
        Instance::verify(b"{}", Freshness::Epoch, &trust, &Verifier::new(), &Memory::new(), UnixTime::from_seconds(AT));
    assert_refused(bytes, Stage::Parse, "envelope.form");
    let mut envelope = fake.envelope();
    envelope.manifest = b"{}".to_vec();
    assert_refused(verify(&envelope, &trust), Stage::Parse, "manifest.form");
    let mut envelope = fake.envelope();
    envelope.endorsements =
        Some(Endorsements { kind: EndorsementsKind::PemCertificateChain, bytes: b"no certificate".to_vec() });
    assert_refused(verify(&envelope, &trust), Stage::Parse, "envelope.endorsements");
    envelope.endorsements = None;
    assert_refused(verify(&envelope, &trust), Stage::Authenticate, "snp.chain.present");
}
