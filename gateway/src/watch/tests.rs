//! Instances on forged hardware, watched over real TLS.

use std::sync::atomic::{AtomicBool, Ordering};

use teegate_verifier::Endorsements;

use super::*;
use crate::breaker::BreakerLimits;
use crate::fleet::Standing;
use crate::hold::wait_until;
use crate::release::{Admission, Refusal, admit};
use crate::trust::forged::{Enclave, LIVES, appraisal, honest, platform};
use crate::trust::testing::clock;

/// Far more than anything here takes; whatever is waited for is an event.
const PATIENCE: Duration = Duration::from_secs(60);

fn settings() -> WatchSettings {
    WatchSettings {
        link: LinkSettings::new(PATIENCE, PATIENCE).unwrap(),
        lives: LIVES,
        reattest: Duration::from_millis(20),
        retry: Duration::from_millis(20),
        health: Duration::from_millis(20),
        drain: Duration::ZERO,
        beside: Beside::default(),
    }
}

fn watched(enclave: &Enclave) -> Arc<Fleet> {
    watched_with(enclave, &Arc::default())
}

fn watched_with(enclave: &Enclave, metrics: &Arc<Metrics>) -> Arc<Fleet> {
    watched_under(enclave, metrics, settings())
}

fn watched_under(enclave: &Enclave, metrics: &Arc<Metrics>, settings: WatchSettings) -> Arc<Fleet> {
    let appraisal = appraisal();
    let breaker = BreakerLimits { failures: 3, open: Duration::from_secs(10) };
    let addresses = [enclave.address.clone()];
    let (policy, endorsements) = (appraisal.policy.clone(), appraisal.endorsements.clone());
    let fleet = Arc::new(Fleet::new(&addresses, policy, endorsements, clock(), breaker, Arc::clone(metrics)));
    tokio::spawn(watch(enclave.address.clone(), Arc::clone(&fleet), settings, Arc::clone(metrics)));
    fleet
}

/// Waits until `condition` holds for the fleet.
async fn until(fleet: &Arc<Fleet>, what: &str, condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let reached = wait_until(&mut fleet.changes(), deadline, || condition().then_some(())).await;
    assert!(reached.is_some(), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_fails_its_next_check_is_rejected_at_once_and_may_come_back() {
    let is_debug = Arc::new(AtomicBool::new(false));
    let enclave = {
        let is_debug = Arc::clone(&is_debug);
        Enclave::start(move |who, challenge| {
            let platform = if is_debug.load(Ordering::SeqCst) { platform().debug() } else { platform() };
            honest(who, &platform, challenge)
        })
        .await
    };
    let fleet = watched(&enclave);
    until(&fleet, "offered", || !fleet.offered(None).is_empty()).await;
    let digest = *enclave.who.manifest(0, None).digest();
    let Admission::Release(release) = admit(&fleet, &digest) else { panic!("attested") };
    let mut permit = release.permit;
    is_debug.store(true, Ordering::SeqCst);
    permit.withdrawn().await;
    match admit(&fleet, &digest) {
        Admission::Wait(refusal) => assert_eq!(refusal, Refusal::Rejected(vec!["snp.policy.debug"])),
        other => panic!("{other:?}"),
    }
    assert!(fleet.offered(None).is_empty());
    is_debug.store(false, Ordering::SeqCst);
    until(&fleet, "attested again", || matches!(admit(&fleet, &digest), Admission::Release(_))).await;
    assert!(permit.exercise(|| ()).is_err(), "over a connection of its own: the old permit stays withdrawn");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_policy_is_proven_again_and_a_drained_address_goes() {
    let enclave = Enclave::start(|who, challenge| honest(who, &platform(), challenge)).await;
    let fleet = watched(&enclave);
    let digest = *enclave.who.manifest(0, None).digest();
    until(&fleet, "attested", || matches!(admit(&fleet, &digest), Admission::Release(_))).await;
    let other = crate::trust::testing::policy(&platform().ark_pem(), [9; 48]);
    fleet.set_policy(other, appraisal().endorsements.clone()).await;
    let rejected = || {
        let now = fleet.clock().now();
        fleet
            .read()
            .standings(&now)
            .any(|(_, standing)| matches!(standing, Standing::Rejected(&["snp.guest.measurement"])))
    };
    until(&fleet, "rejected under the new policy", rejected).await;
    fleet.set_policy(appraisal().policy.clone(), Endorsements::new()).await;
    let unauthentic = || {
        let now = fleet.clock().now();
        fleet
            .read()
            .standings(&now)
            .any(|(_, standing)| matches!(standing, Standing::Rejected(checks) if !checks.is_empty()))
    };
    until(&fleet, "without its CRL", unauthentic).await;
    fleet.set_addresses(&[]);
    until(&fleet, "gone", || fleet.read().routes.is_empty()).await;
}

#[test]
fn a_clock_that_runs_ahead_does_not_make_it_ask_without_end() {
    let settings = WatchSettings { reattest: Duration::from_secs(120), retry: Duration::from_secs(5), ..settings() };
    assert_eq!(next_round(0, &settings), settings.retry, "the epoch is over by this clock alone");
    assert_eq!(next_round(1, &settings), Duration::from_secs(2), "it is about to turn");
    assert!(next_round(3_600, &settings) > Duration::from_secs(100));
    let mut attempts = 0;
    let pauses: Vec<_> = (0..8).map(|_| backed_off(&mut attempts, &settings).as_millis()).collect();
    assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn epoch_evidence_of_another_manifest_is_not_shown() {
    let enclave = Enclave::start(|who, challenge| match challenge.nonce {
        Some(_) => honest(who, &platform(), challenge),
        None => {
            let next = who.manifest(1, Some(who.manifest(0, None).digest()));
            let report_data = teegate_protocol::binding::epoch(next.digest());
            crate::trust::forged::envelope(&next, &platform().report_data(report_data))
        }
    })
    .await;
    let fleet = watched(&enclave);
    let digest = *enclave.who.manifest(0, None).digest();
    until(&fleet, "attested", || matches!(admit(&fleet, &digest), Admission::Release(_))).await;
    // Its next round begins only after the offer of this one was judged.
    let mut changes = fleet.changes();
    for _ in 0..2 {
        changes.changed().await.unwrap();
    }
    assert!(fleet.offered(None).is_empty());
}

#[test]
fn the_jitter_takes_at_most_a_tenth() {
    let pause = Duration::from_secs(100);
    for _ in 0..1_000 {
        let jittered = jittered(pause);
        assert!(jittered <= pause && jittered > Duration::from_secs(90), "{jittered:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_takes_no_more_is_not_offered_until_it_does() {
    let enclave = Enclave::start(|who, challenge| honest(who, &platform(), challenge)).await;
    enclave.mood.is_full.store(true, Ordering::SeqCst);
    // Between two checks, which are far apart.
    let fleet = watched_under(&enclave, &Arc::default(), WatchSettings { reattest: PATIENCE * 10, ..settings() });
    let digest = *enclave.who.manifest(0, None).digest();
    let full = || matches!(admit(&fleet, &digest), Admission::Refuse(Refusal::Occupied));
    until(&fleet, "attested and full", full).await;
    assert!(fleet.offered(None).is_empty());
    enclave.mood.is_full.store(false, Ordering::SeqCst);
    until(&fleet, "offered", || !fleet.offered(None).is_empty()).await;
    assert!(matches!(admit(&fleet, &digest), Admission::Release(_)));
    enclave.mood.is_full.store(true, Ordering::SeqCst);
    until(&fleet, "full again", full).await;
    assert!(fleet.offered(None).is_empty());
    assert_eq!(enclave.mood.connections.load(Ordering::SeqCst), 1, "asked over the attested connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_of_the_last_check_is_asked_again_whatever_came_between() {
    let enclave = Enclave::start(|who, challenge| honest(who, &platform(), challenge)).await;
    let metrics = Arc::new(Metrics::default());
    let fleet = watched_with(&enclave, &metrics);
    let checks = |verdict: &str| -> u64 {
        let start =
            format!("teegate_gateway_channel_check_total{{address=\"{}\",verdict=\"{verdict}\"}} ", enclave.address);
        let metrics = metrics.render(&[]);
        metrics.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok()).unwrap_or(0)
    };
    until(&fleet, "attested", || checks("accepted") >= 2).await;
    enclave.mood.is_busy.store(true, Ordering::SeqCst);
    until(&fleet, "no evidence, again and again", || checks("no-answer") >= 3).await;
    let accepted = checks("accepted");
    enclave.mood.is_busy.store(false, Ordering::SeqCst);
    until(&fleet, "attested again", || checks("accepted") > accepted).await;
    assert_eq!(enclave.mood.connections.load(Ordering::SeqCst), 1, "whoever was answered before goes first there");
}

/// On one thread, so that its log is the whole log.
#[tokio::test]
async fn a_refusal_that_is_tried_again_and_again_is_one_line_of_the_log() {
    let is_debug = Arc::new(AtomicBool::new(true));
    let enclave = {
        let is_debug = Arc::clone(&is_debug);
        Enclave::start(move |who, challenge| {
            let platform = if is_debug.load(Ordering::SeqCst) { platform().debug() } else { platform() };
            honest(who, &platform, challenge)
        })
        .await
    };
    let (log, _guard) = crate::journal::tests::Log::of_this_thread();
    let metrics = Arc::new(Metrics::default());
    let fleet = watched_with(&enclave, &metrics);
    let refusals = || {
        let now = fleet.clock().now();
        fleet.read().sights(&now).map(|(_, sight)| sight.refusals).sum::<u64>()
    };
    until(&fleet, "refused again and again", || refusals() >= 5).await;
    is_debug.store(false, Ordering::SeqCst);
    until(&fleet, "attested", || !fleet.offered(None).is_empty()).await;
    let lines = log.lines();
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap_or_default()).collect();
    assert_eq!(events, ["instance_rejected", "instance_attested"], "{lines:?}");
    let refused = &lines[0];
    assert_eq!(refused["checks"], "snp.policy.debug");
    assert_eq!((&refused["expected"], &refused["found"]), (&"DEBUG 0".into(), &"DEBUG 1".into()));
    assert!(lines[1]["tries"].as_u64().unwrap() >= 5 && lines[1]["from"] == "rejected", "{}", lines[1]);
}

/// The standings of these addresses, in words.
fn standings(fleet: &Fleet) -> Vec<String> {
    let now = fleet.clock().now();
    let state = fleet.read();
    let word = |standing: Standing<'_>| match standing {
        Standing::Attested(_) => "attested".to_owned(),
        Standing::Draining(_) => "draining".to_owned(),
        Standing::Pending => "pending".to_owned(),
        Standing::Rejected(checks) => checks.join(", "),
    };
    state.standings(&now).map(|(_, standing)| word(standing)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_claims_the_id_of_another_has_both_rejected_until_one_is_gone() {
    // Two that share their number: instance id, receipt key, OHTTP key. Each has a TLS key of its own, and genuine evidence for it.
    let (genuine, another) = (Enclave::numbered(201).await, Enclave::numbered(201).await);
    let metrics = Arc::default();
    let fleet = watched_with(&genuine, &metrics);
    let digest = *genuine.who.manifest(0, None).digest();
    until(&fleet, "attested", || matches!(admit(&fleet, &digest), Admission::Release(_))).await;
    let Admission::Release(release) = admit(&fleet, &digest) else { panic!("attested") };
    let mut permit = release.permit;

    fleet.set_addresses(&[genuine.address.clone(), another.address.clone()]);
    tokio::spawn(watch(another.address.clone(), Arc::clone(&fleet), settings(), Arc::clone(&metrics)));
    permit.withdrawn().await;
    assert_eq!(standings(&fleet), ["identity.conflict", "identity.conflict"]);
    assert!(permit.exercise(|| ()).is_err() && fleet.offered(None).is_empty());
    // Whoever is proven again and again is not believed for that.
    let connections = genuine.mood.connections.load(Ordering::SeqCst);
    assert!(connections > 0 && !matches!(admit(&fleet, &digest), Admission::Release(_)));

    fleet.set_addresses(std::slice::from_ref(&genuine.address));
    until(&fleet, "attested again", || matches!(admit(&fleet, &digest), Admission::Release(_))).await;
    assert_eq!(standings(&fleet), ["attested"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_addresses_of_one_instance_are_two_ways_to_it_and_one_offer() {
    let enclave = Enclave::start(|who, challenge| honest(who, &platform(), challenge)).await;
    // A second way to it, that only passes bytes on.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = Address::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    let target = enclave.address.as_str().to_owned();
    let passing = tokio::spawn(async move {
        let mut open = tokio::task::JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            let target = target.clone();
            open.spawn(async move {
                let mut far = tokio::net::TcpStream::connect(target).await.unwrap();
                let _ended = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    let metrics = Arc::default();
    let fleet = watched_with(&enclave, &metrics);
    fleet.set_addresses(&[enclave.address.clone(), second.clone()]);
    tokio::spawn(watch(second, Arc::clone(&fleet), settings(), Arc::clone(&metrics)));
    until(&fleet, "both are attested", || standings(&fleet) == ["attested", "attested"]).await;
    until(&fleet, "offered", || !fleet.offered(None).is_empty()).await;
    assert_eq!(fleet.offered(None).len(), 1, "one instance");
    // One way ends: the other is there, and the instance with it.
    passing.abort();
    let digest = *enclave.who.manifest(0, None).digest();
    let is_left = || standings(&fleet).iter().filter(|standing| *standing == "attested").count() == 1;
    until(&fleet, "one way is left", is_left).await;
    let Admission::Release(release) = admit(&fleet, &digest) else { panic!("still attested") };
    assert_eq!(release.address, enclave.address);
}
