//! States, identities and conflicts, and the release predicate on them.

use std::time::Duration;

use teegate_protocol::manifest::{ManifestDigest, SpkiDigest};

use super::*;
use crate::release::{Admission, Refusal, Withdrawn, admit};
use crate::trust::testing::{START, Who, Wire, any_policy, clock, offer, set_wall};

const FRESH: Duration = Duration::from_secs(300);

fn address(port: u16) -> Address {
    Address::parse(&format!("enclave:{port}")).unwrap()
}

fn fleet(ports: &[u16]) -> Arc<Fleet> {
    let addresses: Vec<Address> = ports.iter().map(|port| address(*port)).collect();
    let limits = BreakerLimits { failures: 2, open: Duration::from_secs(10) };
    Arc::new(Fleet::new(&addresses, any_policy(), Endorsements::new(), clock(), limits, Arc::new(Metrics::default())))
}

fn distrust(spki: u8) -> Distrust {
    Distrust {
        checks: vec!["snp.policy.debug"],
        explanation: "debug".into(),
        failed: Arc::default(),
        tls_spki: SpkiDigest([spki; 32]),
    }
}

#[track_caller]
fn assert_released(fleet: &Arc<Fleet>, digest: &ManifestDigest) -> crate::release::Release {
    match admit(fleet, digest) {
        Admission::Release(release) => release,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_waits(fleet: &Arc<Fleet>, digest: &ManifestDigest, for_want_of: &Refusal) {
    match admit(fleet, digest) {
        Admission::Wait(refusal) => assert_eq!(refusal, *for_want_of),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_refused(fleet: &Arc<Fleet>, digest: &ManifestDigest, because: &Refusal) {
    match admit(fleet, digest) {
        Admission::Refuse(refusal) => assert_eq!(refusal, *because),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn pending_then_attested_until_the_channel_check_lapses() {
    let fleet = fleet(&[1]);
    let (wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    assert_waits(&fleet, manifest.digest(), &Refusal::NoInstance);
    fleet.accept(&address(1), wire.trusted(&manifest, 1, FRESH));
    let permit = assert_released(&fleet, manifest.digest()).permit;
    tokio::time::advance(FRESH - Duration::from_millis(1)).await;
    assert_eq!(permit.exercise(|| "written"), Ok("written"));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(permit.exercise(|| "written"), Err(Withdrawn), "300 s without an answer");
    assert_waits(&fleet, manifest.digest(), &Refusal::NoInstance);
}

#[tokio::test(start_paused = true)]
async fn a_manifest_ends_by_the_wall_clock() {
    let fleet = fleet(&[1]);
    let (wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    fleet.accept(&address(1), wire.trusted(&manifest, 1, Duration::from_secs(7_200)));
    let permit = assert_released(&fleet, manifest.digest()).permit;
    set_wall(START + 4_199);
    assert_eq!(permit.exercise(|| ()), Ok(()));
    set_wall(START + 4_200);
    assert_eq!(permit.exercise(|| ()), Err(Withdrawn));
    assert_refused(&fleet, manifest.digest(), &Refusal::Stale);
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_releases_nothing() {
    let fleet = fleet(&[1]);
    let (wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    fleet.accept(&address(1), wire.trusted(&manifest, 1, FRESH));
    set_wall(START - 60);
    assert_released(&fleet, manifest.digest());
    set_wall(START - 61);
    assert_waits(&fleet, manifest.digest(), &Refusal::NoInstance);
}

#[tokio::test(start_paused = true)]
async fn a_failed_check_rejects_at_once_on_every_route_to_the_peer() {
    let fleet = fleet(&[1, 2]);
    let manifest = Who::new(1).manifest(0, None);
    let (one, two) = (Wire::connect().await, Wire::connect().await);
    fleet.accept(&address(1), one.trusted(&manifest, 1, FRESH));
    fleet.accept(&address(2), two.trusted(&manifest, 1, FRESH));
    let mut permit = assert_released(&fleet, manifest.digest()).permit;
    fleet.reject(&address(2), &distrust(1), 1);
    permit.withdrawn().await;
    assert_eq!(permit.exercise(|| ()), Err(Withdrawn));
    assert_waits(&fleet, manifest.digest(), &Refusal::Rejected(vec!["snp.policy.debug"]));
}

#[tokio::test(start_paused = true)]
async fn two_routes_to_one_instance_serve_each_for_the_other() {
    let fleet = fleet(&[1, 2]);
    let manifest = Who::new(1).manifest(0, None);
    let (one, two) = (Wire::connect().await, Wire::connect().await);
    fleet.accept(&address(1), one.trusted(&manifest, 1, FRESH));
    fleet.accept(&address(2), two.trusted(&manifest, 1, FRESH));
    for port in [1, 2] {
        fleet.accept_offer(&address(port), offer(&manifest, 1));
    }
    assert_eq!(fleet.offered(Some("model")).len(), 1, "one instance is offered once");
    assert!(fleet.offered(Some("another")).is_empty());
    // Another peer answers at the first address and is refused: the instance is still there by the second.
    fleet.reject(&address(1), &distrust(9), 1);
    assert_eq!(assert_released(&fleet, manifest.digest()).address, address(2));
}

#[tokio::test(start_paused = true)]
async fn a_second_connection_is_worth_nothing_to_a_permit_of_the_first() {
    let fleet = fleet(&[1]);
    let manifest = Who::new(1).manifest(0, None);
    let (one, two) = (Wire::connect().await, Wire::connect().await);
    fleet.accept(&address(1), one.trusted(&manifest, 1, FRESH));
    let permit = assert_released(&fleet, manifest.digest()).permit;
    fleet.accept(&address(1), one.trusted(&manifest, 1, FRESH));
    assert_eq!(permit.exercise(|| ()), Ok(()), "attested again over the same connection");
    fleet.accept(&address(1), two.trusted(&manifest, 1, FRESH));
    assert_eq!(permit.exercise(|| ()), Err(Withdrawn));
}

#[tokio::test(start_paused = true)]
async fn an_identity_under_two_tls_keys_rejects_every_party() {
    let base = Who::new(1);
    type Share = fn(&Who, &mut Who);
    let shares: [(&str, Share); 3] = [
        ("instance id", |one, other| other.instance = one.instance),
        ("receipt key", |one, other| other.receipt = one.receipt),
        ("OHTTP key", |one, other| other.key = one.key.clone()),
    ];
    for (what, share) in shares {
        let fleet = fleet(&[1, 2, 3]);
        let mut other = Who::new(2);
        share(&base, &mut other);
        let manifests = [base.manifest(0, None), other.manifest(0, None), Who::new(3).manifest(0, None)];
        let mut wires = Vec::new();
        for (port, manifest) in (1..).zip(&manifests) {
            let wire = Wire::connect().await;
            fleet.accept(&address(port), wire.trusted(manifest, 1, FRESH));
            wires.push(wire);
        }
        for manifest in &manifests[..2] {
            assert_refused(&fleet, manifest.digest(), &Refusal::Reseal);
        }
        assert_released(&fleet, manifests[2].digest());
        let state = fleet.read();
        let route = &state.routes[&address(1)];
        assert!(matches!(route.standing(&fleet.clock().now(), 1), Standing::Rejected(&[CONFLICT])), "{what}");
        drop(state);
        // One party goes; the other proves nothing new, but is alone with its identity again.
        fleet.set_addresses(&[address(1), address(3)]);
        assert!(fleet.remove_if_draining(&address(2)));
        assert_released(&fleet, manifests[0].digest());
    }
}

#[tokio::test(start_paused = true)]
async fn another_receipt_key_for_one_instance_is_a_conflict() {
    let fleet = fleet(&[1, 2]);
    let (one, mut other) = (Who::new(1), Who::new(1));
    other.receipt = 2;
    other.key = one.key.clone();
    for (port, who) in [(1, one), (2, other)] {
        let wire = Wire::connect().await;
        fleet.accept(&address(port), wire.trusted(&who.manifest(0, None), 1, FRESH));
        std::mem::forget(wire);
    }
    assert!(fleet.read().routes.values().all(|route| route.is_conflicted));
}

#[tokio::test(start_paused = true)]
async fn two_manifests_are_releasable_when_the_newer_names_the_older() {
    let fleet = fleet(&[1]);
    let (wire, who) = (Wire::connect().await, Who::new(1));
    let first = who.manifest(0, None);
    let second = who.manifest(1, Some(first.digest()));
    let third = who.manifest(2, Some(second.digest()));
    let skipping = who.manifest(4, Some(third.digest()));
    for manifest in [&first, &second] {
        fleet.accept(&address(1), wire.trusted(manifest, 1, FRESH));
    }
    assert_released(&fleet, first.digest());
    assert_released(&fleet, second.digest());
    fleet.accept(&address(1), wire.trusted(&third, 1, FRESH));
    assert_refused(&fleet, first.digest(), &Refusal::Stale);
    assert_released(&fleet, second.digest());
    fleet.accept(&address(1), wire.trusted(&skipping, 1, FRESH));
    assert_refused(&fleet, third.digest(), &Refusal::Stale);
    assert_released(&fleet, skipping.digest());
}

#[tokio::test(start_paused = true)]
async fn an_older_manifest_that_the_newer_does_not_name_is_past() {
    let (who, wire) = (Who::new(1), Wire::connect().await);
    let first = who.manifest(0, None);
    let other = who.manifest(7, None);
    for (prev, is_releasable) in [(Some(first.digest()), true), (None, false), (Some(other.digest()), false)] {
        let fleet = fleet(&[1]);
        let second = who.manifest(1, prev);
        for manifest in [&first, &second] {
            fleet.accept(&address(1), wire.trusted(manifest, 1, FRESH));
        }
        assert_released(&fleet, second.digest());
        if is_releasable {
            assert_released(&fleet, first.digest());
        } else {
            assert_refused(&fleet, first.digest(), &Refusal::Stale);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn another_receipt_key_follows_no_manifest_that_it_names() {
    let fleet = fleet(&[1]);
    let (wire, one, mut other) = (Wire::connect().await, Who::new(1), Who::new(1));
    other.receipt = 2;
    let first = one.manifest(0, None);
    let second = other.manifest(1, Some(first.digest()));
    for manifest in [&first, &second] {
        fleet.accept(&address(1), wire.trusted(manifest, 1, FRESH));
    }
    assert_released(&fleet, second.digest());
    assert_refused(&fleet, first.digest(), &Refusal::Reseal);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_manifest_waits_only_while_nobody_is_attested() {
    let fleet = fleet(&[1, 2]);
    let unknown = ManifestDigest([9; 32]);
    assert_waits(&fleet, &unknown, &Refusal::NoInstance);
    fleet.reject(&address(1), &distrust(1), 1);
    fleet.reject(&address(2), &distrust(2), 1);
    assert_waits(&fleet, &unknown, &Refusal::Rejected(vec!["snp.policy.debug"]));
    let (wire, manifest) = (Wire::connect().await, Who::new(3).manifest(0, None));
    fleet.accept(&address(1), wire.trusted(&manifest, 1, FRESH));
    assert_refused(&fleet, &unknown, &Refusal::Stale);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_restarted_sends_its_clients_elsewhere() {
    let fleet = fleet(&[1]);
    let (wire, before, after) = (Wire::connect().await, Who::new(1).manifest(0, None), Who::new(2).manifest(0, None));
    fleet.accept(&address(1), wire.trusted(&before, 1, FRESH));
    fleet.accept(&address(1), wire.trusted(&after, 1, FRESH));
    assert_refused(&fleet, before.digest(), &Refusal::Reseal);
    assert_released(&fleet, after.digest());
}

#[tokio::test(start_paused = true)]
async fn draining_finishes_what_has_a_permit_and_admits_nothing_new() {
    let fleet = fleet(&[1, 2]);
    let (one, two) = (Wire::connect().await, Wire::connect().await);
    let (first, second) = (Who::new(1).manifest(0, None), Who::new(2).manifest(0, None));
    fleet.accept(&address(1), one.trusted(&first, 1, FRESH));
    fleet.accept(&address(2), two.trusted(&second, 1, FRESH));
    let permit = assert_released(&fleet, first.digest()).permit;
    assert_eq!(fleet.set_addresses(&[address(2), address(3)]), [address(3)]);
    assert_eq!(permit.exercise(|| ()), Ok(()));
    assert_refused(&fleet, first.digest(), &Refusal::Reseal);
    assert!(fleet.remove_if_draining(&address(1)));
    assert_eq!(permit.exercise(|| ()), Err(Withdrawn));
}

#[tokio::test(start_paused = true)]
async fn a_new_policy_is_in_force_only_when_no_old_permit_is_left() {
    let fleet = fleet(&[1]);
    let (wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    fleet.accept(&address(1), wire.trusted(&manifest, 1, FRESH));
    let mut permit = assert_released(&fleet, manifest.digest()).permit;
    let setting = {
        let fleet = Arc::clone(&fleet);
        tokio::spawn(async move { fleet.set_policy(any_policy(), Endorsements::new()).await })
    };
    permit.withdrawn().await;
    assert_eq!(permit.exercise(|| ()), Err(Withdrawn));
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    assert!(!setting.is_finished(), "the old permit still exists");
    drop(permit);
    assert_eq!(setting.await.unwrap(), 2);
    assert!(!fleet.accept(&address(1), wire.trusted(&manifest, 1, FRESH)), "a proof under the policy before");
    assert_waits(&fleet, manifest.digest(), &Refusal::NoInstance);
    assert!(fleet.accept(&address(1), wire.trusted(&manifest, 2, FRESH)));
    assert_released(&fleet, manifest.digest());
}

#[tokio::test(start_paused = true)]
async fn a_verdict_of_an_older_policy_is_forgotten_and_would_not_count() {
    let fleet = fleet(&[1]);
    let (wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    fleet.accept(&address(1), wire.trusted(&manifest, 1, FRESH));
    let now = fleet.clock().now();
    let standing = |version| format!("{:?}", fleet.read().routes[&address(1)].standing(&now, version));
    assert!(standing(1).starts_with("Attested"), "{}", standing(1));
    assert_eq!(standing(2), "Pending", "proven under another version than is asked for");
    fleet.set_policy(any_policy(), Endorsements::new()).await;
    let state = fleet.read();
    let route = &state.routes[&address(1)];
    assert!(matches!(route.verdict, Verdict::None) && route.offer.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_offer_counts_under_its_policy_and_in_its_epoch() {
    let fleet = fleet(&[1]);
    let (wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    fleet.set_policy(any_policy(), Endorsements::new()).await;
    fleet.accept(&address(1), wire.trusted(&manifest, 2, Duration::from_secs(86_400)));
    fleet.accept_offer(&address(1), offer(&manifest, 1));
    assert!(fleet.offered(None).is_empty(), "judged under the policy before");
    fleet.accept_offer(&address(1), offer(&manifest, 2));
    set_wall(manifest.manifest().use_until - 1);
    assert_eq!(fleet.offered(None).len(), 1);
    set_wall(manifest.manifest().use_until);
    assert!(fleet.offered(None).is_empty(), "nobody seals to a key whose epoch has ended");
    assert_released(&fleet, manifest.digest());
}

#[tokio::test(start_paused = true)]
async fn a_failing_instance_rests() {
    let fleet = fleet(&[1]);
    let (wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    fleet.accept(&address(1), wire.trusted(&manifest, 1, FRESH));
    for _ in 0..2 {
        let trial = assert_released(&fleet, manifest.digest()).trial.unwrap();
        trial.failed(fleet.clock().now().mono);
    }
    assert_refused(&fleet, manifest.digest(), &Refusal::Resting(Duration::from_secs(10)));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_is_waited_for_only_while_nobody_else_is_there() {
    let fleet = fleet(&[1, 2]);
    let (first, second) = (Who::new(1).manifest(0, None), Who::new(2).manifest(0, None));
    let wire = Wire::connect().await;
    fleet.accept(&address(1), wire.trusted(&first, 1, Duration::ZERO));
    assert_waits(&fleet, first.digest(), &Refusal::NoInstance);
    fleet.silent(&address(1), "timed-out", String::new());
    assert_waits(&fleet, first.digest(), &Refusal::NoInstance);
    fleet.accept(&address(2), wire.trusted(&second, 1, FRESH));
    assert_refused(&fleet, first.digest(), &Refusal::Reseal);
    fleet.accept(&address(1), wire.trusted(&first, 1, Duration::ZERO));
    assert_waits(&fleet, first.digest(), &Refusal::Reseal);
}

#[tokio::test(start_paused = true)]
async fn a_proof_that_was_asked_for_before_a_rejection_does_not_override_it() {
    let fleet = fleet(&[1, 2]);
    let mut who = Who::new(1);
    who.tls_spki = SpkiDigest([1; 32]);
    let manifest = who.manifest(0, None);
    let (one, two) = (Wire::connect().await, Wire::connect().await);
    let asked_before = two.trusted(&manifest, 1, FRESH);
    fleet.accept(&address(1), one.trusted(&manifest, 1, FRESH));
    tokio::time::advance(Duration::from_secs(1)).await;
    fleet.reject(&address(1), &distrust(1), 1);
    assert!(!fleet.accept(&address(2), asked_before));
    assert_waits(&fleet, manifest.digest(), &Refusal::Rejected(vec!["snp.policy.debug"]));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(fleet.accept(&address(2), two.trusted(&manifest, 1, FRESH)), "asked for after it");
    assert_released(&fleet, manifest.digest());
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_listed_again_is_not_removed() {
    let fleet = fleet(&[1, 2]);
    fleet.set_addresses(&[address(2)]);
    assert!(fleet.set_addresses(&[address(1), address(2)]).is_empty(), "it is still watched");
    assert!(!fleet.remove_if_draining(&address(1)));
    assert!(fleet.read().routes.contains_key(&address(1)));
    fleet.set_addresses(&[address(2)]);
    assert!(fleet.remove_if_draining(&address(1)));
    assert_eq!(fleet.set_addresses(&[address(1), address(2)]), [address(1)], "now it is new");
}

#[tokio::test(start_paused = true)]
async fn a_proof_ages_while_the_machine_is_suspended() {
    let fleet = fleet(&[1]);
    let (wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    fleet.accept(&address(1), wire.trusted(&manifest, 1, FRESH));
    let permit = assert_released(&fleet, manifest.digest()).permit;
    set_wall(START + 299);
    assert_eq!(permit.exercise(|| ()), Ok(()));
    // A step of one second would be rounding.
    set_wall(START + 301);
    assert_eq!(permit.exercise(|| ()), Err(Withdrawn), "the monotonic clock has not moved");
    assert_waits(&fleet, manifest.digest(), &Refusal::NoInstance);
}

#[tokio::test(start_paused = true)]
async fn what_one_address_proves_is_no_order_to_the_others() {
    let fleet = fleet(&[1]);
    let (mut orders, mut changes) = (fleet.orders(), fleet.changes());
    let (wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    let mut seen = || {
        let seen = (orders.has_changed().unwrap(), changes.has_changed().unwrap());
        orders.mark_unchanged();
        changes.mark_unchanged();
        seen
    };
    fleet.accept(&address(1), wire.trusted(&manifest, 1, FRESH));
    assert_eq!(seen(), (false, true), "a proof");
    fleet.accept_offer(&address(1), offer(&manifest, 1));
    fleet.silent(&address(1), "timeout", "no answer".into());
    fleet.reject(&address(1), &distrust(2), 1);
    assert_eq!(seen(), (false, true), "an offer, silence and a refusal");
    fleet.set_addresses(&[address(1), address(2)]);
    assert_eq!(seen(), (true, true), "addresses");
    fleet.set_addresses(&[address(1), address(2)]);
    assert_eq!(seen(), (false, false), "the same addresses");
    fleet.set_endorsements(Endorsements::new());
    assert_eq!(seen(), (true, true), "endorsements");
    fleet.set_policy(any_policy(), Endorsements::new()).await;
    assert_eq!(seen(), (true, true), "a policy");
}

#[tokio::test(start_paused = true)]
async fn a_conflict_ends_when_its_manifest_is_past_although_nobody_shows_another() {
    let fleet = fleet(&[1, 2]);
    let (one, other) = (Wire::connect().await, Wire::connect().await);
    let mine = Who::new(1).manifest(0, None);
    let theirs = Who { instance: 1, ..Who::new(2) }.manifest(0, None);
    let life = Duration::from_secs(7_200);
    fleet.accept(&address(1), one.trusted(&mine, 1, life));
    fleet.accept(&address(2), other.trusted(&theirs, 1, life));
    let is_conflicted = || fleet.read().routes.values().map(|route| route.is_conflicted).collect::<Vec<_>>();
    assert_eq!(is_conflicted(), [true, true]);
    // The same proof again, while both hold and when both are past.
    fleet.accept(&address(1), one.trusted(&mine, 1, life));
    assert_eq!(is_conflicted(), [true, true]);
    set_wall(START);
    tokio::time::advance(Duration::from_secs(mine.manifest().not_after - START)).await;
    assert!(fleet.accept(&address(1), one.trusted(&mine, 1, life)));
    assert_eq!(is_conflicted(), [false, false]);
}
