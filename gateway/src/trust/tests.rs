//! The channel check against instances over real TLS, on forged hardware: the honest one, and everyone who would pass for it.

use std::sync::Mutex;

use teegate_intake::envelope::{Asked, Carried};
use teegate_protocol::binding::{self, Exporter};
use teegate_protocol::evidence::{EndorsementDigest, Envelope};
use teegate_protocol::manifest::SpkiDigest;
use teegate_verifier::{Endorsements, Source};

use super::forged::{
    Challenge, Enclave, LIVES, appraisal, appraisal_with, envelope, honest, platform, revocations, tls_key,
};
use super::judging::Pool;
use super::testing::{START, Who, clock, set_wall};
use super::*;
use crate::breaker::BreakerLimits;
use crate::collateral::Desk;
use crate::fleet::Fleet;
use crate::metrics::Metrics;
use crate::release::{Admission, Refusal, Withdrawn, admit};

#[track_caller]
fn assert_rejected(proven: Result<Trusted<Backend>, Doubt>, check: &str) {
    match proven {
        Err(Doubt::Distrust(distrust)) => assert_eq!(distrust.checks, [check], "{}", distrust.explanation),
        Err(Doubt::NoAnswer(error)) => panic!("no answer: {error}"),
        Ok(_) => panic!("accepted"),
    }
}

#[tokio::test]
async fn the_honest_instance_is_trusted_and_its_epoch_evidence_with_it() {
    let enclave = Enclave::start(|who, challenge| honest(who, &platform(), challenge)).await;
    let candidate = enclave.candidate().await.unwrap();
    let clock = clock();
    let trusted = candidate.prove(&appraisal(), LIVES, &clock).await.unwrap();
    let backend = trusted.at(&clock.now()).unwrap();
    assert_eq!(backend.manifest().digest(), enclave.who.manifest(0, None).digest());
    assert!(trusted.seconds_left(&clock.now()) <= 300);
    let offer = candidate.epoch_evidence(&appraisal(), LIVES, &clock).await.unwrap();
    assert_eq!(offer.once().manifest().digest(), backend.manifest().digest());
    let listed: serde_json::Value = serde_json::from_slice(offer.once().listed()).unwrap();
    assert_eq!(listed["manifest"], backend.manifest().digest().to_string());
    let envelope = Envelope::parse(listed["envelope"].to_string().as_bytes()).unwrap();
    assert_eq!(&envelope.manifest, backend.manifest().as_bytes());
}

/// Clients complete their own endorsements with what the verdict rested on: what is in the envelope they have, and nothing of
/// the operator's pool that played no part is handed on.
#[tokio::test]
async fn an_offer_names_what_its_verdict_rested_on_beside_its_envelope() {
    let enclave = Enclave::start(|who, challenge| honest(who, &platform(), challenge)).await;
    let mut endorsements = revocations(&platform());
    endorsements.add_crl(teegate_forge::snp().product(teegate_forge::snp::Product::Turin).build().crl.unwrap());
    let appraisal = appraisal_with(endorsements);
    let offer = async |candidate: Candidate| candidate.epoch_evidence(&appraisal, LIVES, &clock()).await.unwrap();
    let first = offer(enclave.candidate().await.unwrap()).await;
    let listed: serde_json::Value = serde_json::from_slice(first.once().listed()).unwrap();
    let digests: Vec<EndorsementDigest> = serde_json::from_value::<Vec<String>>(listed["endorsements"].clone())
        .unwrap()
        .iter()
        .map(|digest| digest.parse().unwrap())
        .collect();
    let [digest] = digests[..] else { panic!("the list of the root alone: {listed}") };
    let list = appraisal.vouched.find(&digest).unwrap();
    assert_eq!((list.media_type, EndorsementDigest::of(&list.bytes)), ("application/pkix-crl", digest));
    let mut pool = Endorsements::new();
    teegate_intake::endorsements::recognise("list", &list.bytes, &mut pool).unwrap();
    assert_eq!(pool.len(), 1);
    let second = offer(enclave.candidate().await.unwrap()).await;
    assert!(Arc::ptr_eq(&list, &appraisal.vouched.find(&digest).unwrap()), "kept once");
    drop((list, first));
    assert!(appraisal.vouched.find(&digest).is_some());
    drop(second);
    assert!(appraisal.vouched.find(&digest).is_none(), "and as long as something rests on it");
}

#[tokio::test]
async fn a_relay_with_a_tls_key_of_its_own_gets_nothing() {
    // It shows what the genuine instance answered, down to the right nonce: but its own key is on this connection.
    let genuine = Who::new(7);
    let relay = Enclave::start(move |_, challenge| honest(&genuine, &platform(), challenge)).await;
    assert_rejected(relay.prove().await, "channel.key");
    // Nor does the evidence that the genuine one has for everybody get it among what clients are shown.
    let offered = relay.candidate().await.unwrap().epoch_evidence(&appraisal(), LIVES, &clock()).await;
    match offered {
        Err(Doubt::Distrust(distrust)) => assert_eq!(distrust.checks, ["channel.key"]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_an_instance_sends_along_is_its_own_and_not_the_operators() {
    let (who, spki, appraisal) = (Who::new(1), SpkiDigest([1; 32]), appraisal());
    let challenge = Challenge { nonce: None, exporter: Exporter::from_bytes([0; 32]) };
    let sent = honest(&who, &platform(), &challenge);
    let asked = Asked::EpochOver { spki: &spki };
    let now = UnixTime::from_seconds(START);
    let pool = Pool { endorsements: appraisal.endorsements.clone(), carried: Carried::All };
    let address = Address::parse("enclave:1").unwrap();
    let judged = Judged { address: &address, envelope: &sent, asked, pool: &pool, appraisal: &appraisal, now };
    let proven = judge(&judged, LIVES, &Verifier::new()).unwrap();
    let told: Vec<_> = proven.attested().report().endorsements().iter().map(|one| (one.kind, one.source)).collect();
    assert!(told.iter().any(|(kind, source)| (*kind, *source) == ("crl", Source::Supplied)), "{told:?}");
    let certificates: Vec<_> = told.iter().filter(|(kind, _)| *kind == "certificate").collect();
    assert!(!certificates.is_empty() && certificates.iter().all(|(_, source)| *source == Source::Evidence), "{told:?}");
}

#[tokio::test]
async fn a_manifest_that_the_evidence_does_not_bind_is_refused() {
    // The relay writes its own key into the manifest; the evidence still speaks of the genuine one.
    let genuine = Who::new(7);
    let relay = Enclave::start(move |who, challenge| {
        let nonce = challenge.nonce.as_ref().unwrap();
        let report_data = binding::channel(genuine.manifest(0, None).digest(), nonce, &challenge.exporter);
        envelope(&who.manifest(0, None), &platform().report_data(report_data))
    });
    assert_rejected(relay.await.prove().await, "snp.guest.report-data");
}

#[tokio::test]
async fn an_answer_to_an_older_nonce_is_refused() {
    let first: Mutex<Option<Vec<u8>>> = Mutex::new(None);
    let enclave = Enclave::start(move |who, challenge| {
        first.lock().unwrap().get_or_insert_with(|| honest(who, &platform(), challenge)).clone()
    });
    let candidate = enclave.await.candidate().await.unwrap();
    candidate.prove(&appraisal(), LIVES, &clock()).await.unwrap();
    assert_rejected(candidate.prove(&appraisal(), LIVES, &clock()).await, "snp.guest.report-data");
}

#[tokio::test]
async fn evidence_of_another_connection_is_refused() {
    let enclave = Enclave::start(|who, challenge| {
        let elsewhere = Challenge { nonce: challenge.nonce.clone(), exporter: Exporter::from_bytes([9; 32]) };
        honest(who, &platform(), &elsewhere)
    });
    assert_rejected(enclave.await.prove().await, "snp.guest.report-data");
}

#[tokio::test]
async fn epoch_evidence_does_not_answer_a_challenge() {
    let enclave = Enclave::start(|who, challenge| {
        honest(who, &platform(), &Challenge { nonce: None, exporter: challenge.exporter.clone() })
    });
    assert_rejected(enclave.await.prove().await, "snp.guest.report-data");
}

#[tokio::test]
async fn what_the_policy_does_not_want_is_refused_by_its_check() {
    let debug = Enclave::start(|who, challenge| honest(who, &platform().debug(), challenge)).await;
    assert_rejected(debug.prove().await, "snp.policy.debug");
    let other = Enclave::start(|who, challenge| honest(who, &platform().measurement([0; 48]), challenge)).await;
    assert_rejected(other.prove().await, "snp.guest.measurement");
}

#[tokio::test]
async fn a_manifest_outside_its_window_is_refused() {
    let enclave = Enclave::start(|who, challenge| honest(who, &platform(), challenge)).await;
    let candidate = enclave.candidate().await.unwrap();
    let short = Lifetimes { max_manifest_life: Duration::from_secs(4_199), ..LIVES };
    assert_rejected(candidate.prove(&appraisal(), short, &clock()).await, "manifest.window");
    let clock = clock();
    set_wall(START + 4_200);
    assert_rejected(candidate.prove(&appraisal(), LIVES, &clock).await, "manifest.window");
}

#[tokio::test]
async fn a_proof_ends_with_its_evidence() {
    // The CRL runs out long before the manifest and the channel check do.
    let appraisal = appraisal_with(revocations(&platform().crl_window(START - 3_600, Some(START + 100))));
    let lives = Lifetimes { channel_age: Duration::from_secs(3_600), ..LIVES };
    let enclave = Enclave::start(|who, challenge| honest(who, &platform(), challenge)).await;
    let (candidate, clock) = (enclave.candidate().await.unwrap(), clock());
    let proven = candidate.prove(&appraisal, lives, &clock).await.unwrap();
    let offered = candidate.epoch_evidence(&appraisal, lives, &clock).await.unwrap();

    let (policy, endorsements) = (appraisal.policy.clone(), appraisal.endorsements.clone());
    let breaker = BreakerLimits { failures: 1, open: Duration::ZERO };
    let addresses = [enclave.address.clone()];
    let fleet = Arc::new(Fleet::new(&addresses, policy, endorsements, clock, breaker, Arc::new(Metrics::default())));
    set_wall(START + 40);
    let lasts = proven.lasts(&fleet.clock().now()).as_secs();
    assert!((50..=60).contains(&lasts), "what is left of the CRL: {lasts} s");
    set_wall(START + 90);
    assert!(proven.at(&fleet.clock().now()).is_ok() && offered.at(&fleet.clock().now()).is_ok());
    assert!(fleet.accept(&enclave.address, proven));
    fleet.accept_offer(&enclave.address, offered);
    let digest = *enclave.who.manifest(0, None).digest();
    let Admission::Release(release) = admit(&fleet, &digest) else { panic!("it still stands") };
    assert_eq!((release.permit.exercise(|| ()), fleet.offered(None).len()), (Ok(()), 1));

    set_wall(START + 100);
    let now = fleet.clock().now();
    assert_eq!((release.backend.at(&now).map(|_| ()), release.backend.lasts(&now)), (Err(Lapsed), Duration::ZERO));
    assert_eq!((release.permit.exercise(|| ()), fleet.offered(None).len()), (Err(Withdrawn), 0));
    match admit(&fleet, &digest) {
        Admission::Wait(refusal) => assert_eq!(refusal, Refusal::NoInstance),
        other => panic!("{other:?}"),
    }
}

/// The fleet of a gateway that starts with these endorsements.
fn fleet_with(endorsements: Endorsements) -> Fleet {
    let breaker = BreakerLimits { failures: 1, open: Duration::ZERO };
    let policy = appraisal().policy.clone();
    Fleet::new(&[], policy, endorsements, clock(), breaker, Arc::new(Metrics::default()))
}

#[tokio::test]
async fn an_older_revocation_list_than_was_seen_is_refused_at_every_address_and_under_every_policy() {
    let newer = || revocations(&platform().crl_window(START - 100, Some(START + 86_400)));
    let older = || revocations(&platform().crl_window(START - 200, Some(START + 86_400)));
    let one = Enclave::start(|who, challenge| honest(who, &platform(), challenge)).await;
    let another = Enclave::start(|who, challenge| honest(who, &platform(), challenge)).await;
    let (one, another) = (one.candidate().await.unwrap(), another.candidate().await.unwrap());
    let fleet = fleet_with(newer());
    one.prove(&fleet.appraisal(), LIVES, fleet.clock()).await.unwrap();

    let policy = fleet.appraisal().policy.clone();
    fleet.set_policy(policy.clone(), older()).await;
    for candidate in [&one, &another] {
        assert_rejected(candidate.prove(&fleet.appraisal(), LIVES, fleet.clock()).await, "snp.chain.rollback");
        match candidate.epoch_evidence(&fleet.appraisal(), LIVES, fleet.clock()).await {
            Err(Doubt::Distrust(distrust)) => assert_eq!(distrust.checks, ["snp.chain.rollback"]),
            other => panic!("{other:?}"),
        }
    }
    fleet.set_policy(policy, newer()).await;
    another.prove(&fleet.appraisal(), LIVES, fleet.clock()).await.unwrap();
    // The list itself is good enough for a gateway that has seen no other.
    another.prove(&appraisal_with(older()), LIVES, fleet.clock()).await.unwrap();
}

#[tokio::test]
async fn what_was_seen_outlives_the_process() {
    let newer = revocations(&platform().crl_window(START - 100, Some(START + 86_400)));
    let older = || revocations(&platform().crl_window(START - 200, Some(START + 86_400)));
    let enclave = Enclave::start(|who, challenge| honest(who, &platform(), challenge)).await;
    let candidate = enclave.candidate().await.unwrap();
    let place = tempfile::tempdir().unwrap();
    let state = crate::state::StateDir::open(place.path()).unwrap();
    let first = fleet_with(newer).remembering(Seen::open(&state).unwrap());
    candidate.prove(&first.appraisal(), LIVES, first.clock()).await.unwrap();
    first.appraisal().seen.keep(&state).unwrap();
    let second = fleet_with(older()).remembering(Seen::open(&state).unwrap());
    assert_rejected(candidate.prove(&second.appraisal(), LIVES, second.clock()).await, "snp.chain.rollback");
    let without = fleet_with(older());
    candidate.prove(&without.appraisal(), LIVES, without.clock()).await.unwrap();
}

#[tokio::test]
async fn a_gateway_that_asks_the_vendors_needs_no_list_of_its_own_and_says_what_is_to_come() {
    let device = platform().crl_window(START - 100, Some(START + 86_400));
    let vendor = teegate_forge::services::Vendor::start(device.kds_routes());
    let text = format!(
        "listen = 'x:1'\noperator_listen = 'x:2'\npolicy = 'p'\nadmission = 'none'\ninstances = ['a:1']\n\
         [collateral]\nonline = true\nsources = ['kds={}']\n",
        vendor.url()
    );
    let limits = crate::config::Config::parse(&text, std::path::Path::new("")).unwrap().collateral;
    let cache = tempfile::tempdir().unwrap();
    let settings = crate::collateral::settings(&limits, cache.path().to_owned());
    let desk = Desk::new(teegate_collateral::Fetcher::new(settings), limits, Arc::default());
    let enclave = Enclave::start(|who, challenge| honest(who, &platform(), challenge)).await;
    let appraisal = appraisal_with(Endorsements::new());
    let alone = enclave.candidate().await.unwrap();
    assert_rejected(alone.prove(&appraisal, LIVES, &clock()).await, "snp.chain.revocation");
    assert!(vendor.requests().is_empty());

    let beside = Beside { desk: Some(Arc::new(desk)), ..Beside::default() };
    let proven = enclave.candidate().await.unwrap().beside(beside).prove(&appraisal, LIVES, &clock()).await.unwrap();
    assert!(vendor.requests().iter().any(|asked| asked.ends_with("/crl")), "{:?}", vendor.requests());
    let list = proven.once().summary().endings.iter().find(|end| end.kind == "crl").unwrap();
    assert_eq!(list.at.seconds(), START + 86_400);
    let forecast = proven.once().forecast().unwrap();
    assert_eq!(forecast.accepted_until, Some(list.at));
    assert_eq!(forecast.refused_by, ["snp.chain.revocation"]);
}

#[tokio::test]
async fn evidence_that_was_refused_teaches_nothing() {
    let newer = revocations(&platform().crl_window(START - 100, Some(START + 86_400)));
    let older = revocations(&platform().crl_window(START - 200, Some(START + 86_400)));
    let other = Enclave::start(|who, challenge| honest(who, &platform().measurement([0; 48]), challenge)).await;
    let good = Enclave::start(|who, challenge| honest(who, &platform(), challenge)).await;
    let (other, good) = (other.candidate().await.unwrap(), good.candidate().await.unwrap());
    let fleet = fleet_with(newer);
    assert_rejected(other.prove(&fleet.appraisal(), LIVES, fleet.clock()).await, "snp.guest.measurement");
    let policy = fleet.appraisal().policy.clone();
    fleet.set_policy(policy, older).await;
    good.prove(&fleet.appraisal(), LIVES, fleet.clock()).await.unwrap();
}

#[tokio::test]
async fn what_was_authenticated_over_a_connection_is_noted_for_it() {
    let enclave = Enclave::start(|who, challenge| honest(who, &platform(), challenge)).await;
    let (candidate, clock) = (enclave.candidate().await.unwrap(), clock());
    let notes = || format!("{:?}", candidate.verifier);
    let before = notes();
    assert_eq!(before, format!("{:?}", Verifier::new()), "nothing yet");
    candidate.prove(&appraisal(), LIVES, &clock).await.unwrap();
    assert_ne!(notes(), before);
}

#[tokio::test]
async fn a_proof_ends_with_its_manifest() {
    let lives = Lifetimes { channel_age: Duration::from_secs(1_000_000), ..LIVES };
    let enclave = Enclave::start(|who, challenge| honest(who, &platform(), challenge)).await;
    let (candidate, clock) = (enclave.candidate().await.unwrap(), clock());
    let proven = candidate.prove(&appraisal(), lives, &clock).await.unwrap();
    let end = enclave.who.manifest(0, None).manifest().not_after;
    set_wall(end - 1);
    assert!(proven.at(&clock.now()).is_ok());
    set_wall(end);
    assert_eq!((proven.at(&clock.now()).map(|_| ()), proven.lasts(&clock.now())), (Err(Lapsed), Duration::ZERO));
}

#[tokio::test]
async fn garbage_instead_of_an_envelope_is_refused() {
    let enclave = Enclave::start(|_, _| b"[]".to_vec()).await;
    assert_rejected(enclave.prove().await, "envelope.form");
}

#[tokio::test]
async fn a_handshake_that_another_key_signed_is_no_link() {
    // It shows the certificate of the genuine instance and does not hold its key.
    let ((own_key, _), (_, genuine)) = (tls_key(), tls_key());
    let thief = Enclave::start_with(&own_key, &genuine, &rustls::version::TLS13, b"h2", |_, _| Vec::new()).await;
    match thief.candidate().await {
        Err(NoAnswer::Unreachable(error)) => assert!(error.to_string().contains("BadSignature"), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_peer_without_http_2_is_no_link() {
    let (key, certificate) = tls_key();
    let old = Enclave::start_with(&key, &certificate, &rustls::version::TLS13, b"http/1.1", |_, _| Vec::new()).await;
    assert!(matches!(old.candidate().await, Err(NoAnswer::Unreachable(_))), "no protocol in common");
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let enclave = Enclave::start(|_, _| vec![b' '; teegate_protocol::limits::ENVELOPE_BYTES + 1]).await;
    assert_rejected(enclave.prove().await, "envelope.form");
}
