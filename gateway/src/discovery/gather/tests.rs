//! Addresses that come and go, over instances on forged hardware.

use std::sync::atomic::Ordering;
use std::time::Duration;

use teegate_protocol::manifest::ManifestDigest;
use teegate_verifier::Endorsements;
use tokio::sync::mpsc;

use super::*;
use crate::breaker::BreakerLimits;
use crate::hold::wait_until;
use crate::release::{Admission, Refusal, Release, Withdrawn, admit};
use crate::trust::LinkSettings;
use crate::trust::forged::{Enclave, LIVES, appraisal};
use crate::trust::testing::{any_policy, clock};

/// Far more than anything here takes; whatever is waited for is an event.
const PATIENCE: Duration = Duration::from_secs(60);

fn fleet(metrics: &Arc<Metrics>) -> Arc<Fleet> {
    let appraisal = appraisal();
    let (policy, endorsements) = (appraisal.policy.clone(), appraisal.endorsements.clone());
    let breaker = BreakerLimits { failures: 3, open: Duration::from_secs(10) };
    Arc::new(Fleet::new(&[], policy, endorsements, clock(), breaker, Arc::clone(metrics)))
}

fn watching(drain: Duration) -> WatchSettings {
    WatchSettings {
        link: LinkSettings::new(PATIENCE, PATIENCE).unwrap(),
        lives: LIVES,
        reattest: Duration::from_millis(20),
        retry: Duration::from_millis(20),
        health: Duration::from_millis(20),
        drain,
        beside: crate::trust::Beside::default(),
    }
}

fn settings() -> Settings {
    toml::from_str::<crate::discovery::config::Table>("").unwrap().check(1).unwrap()
}

async fn until(fleet: &Arc<Fleet>, what: &str, condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let reached = wait_until(&mut fleet.changes(), deadline, || condition().then_some(())).await;
    assert!(reached.is_some(), "{what}");
}

fn digest(enclave: &Enclave) -> ManifestDigest {
    *enclave.who.manifest(0, None).digest()
}

async fn released(fleet: &Arc<Fleet>, enclave: &Enclave) -> Release {
    let digest = digest(enclave);
    until(fleet, "attested", || matches!(admit(fleet, &digest), Admission::Release(_))).await;
    let Admission::Release(release) = admit(fleet, &digest) else { panic!("attested a moment ago") };
    release
}

fn connections(enclave: &Enclave) -> usize {
    enclave.mood.connections.load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_read_again_adds_drains_and_leaves_those_that_stay_alone() {
    let (one, two) = (Enclave::numbered(1).await, Enclave::numbered(2).await);
    let metrics = Arc::new(Metrics::default());
    let fleet = fleet(&metrics);
    let [first, second] = [one.address.clone(), two.address.clone()];
    let list = std::slice::from_ref(&first);
    let discovery = Discovery::start(list, &settings(), &fleet, &watching(Duration::ZERO), &metrics).unwrap();
    let stays = released(&fleet, &one).await;
    for _ in 0..8 {
        discovery.set_list(&[first.clone(), second.clone()]);
        let leaves = released(&fleet, &two).await;
        discovery.set_list(std::slice::from_ref(&first));
        until(&fleet, "gone", || !fleet.addresses().contains_key(&second)).await;
        assert_eq!(leaves.permit.exercise(|| ()), Err(Withdrawn));
        assert!(matches!(admit(&fleet, &digest(&two)), Admission::Refuse(Refusal::Reseal)));
        let counted = metrics.render(&[]);
        assert!(!counted.contains(second.as_str()), "what is gone is not counted for ever: {counted}");
    }
    assert_eq!(stays.permit.exercise(|| ()), Ok(()), "over the connection that it was attested on");
    assert_eq!((connections(&one), connections(&two)), (1, 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_while_it_drains_goes_on_over_its_connection() {
    let (one, two) = (Enclave::numbered(1).await, Enclave::numbered(2).await);
    let metrics = Arc::new(Metrics::default());
    let fleet = fleet(&metrics);
    let [first, second] = [one.address.clone(), two.address.clone()];
    let both = [first.clone(), second.clone()];
    let discovery = Discovery::start(&both, &settings(), &fleet, &watching(PATIENCE), &metrics).unwrap();
    let permit = released(&fleet, &two).await.permit;
    released(&fleet, &one).await;
    for _ in 0..4 {
        discovery.set_list(std::slice::from_ref(&first));
        until(&fleet, "draining", || fleet.is_draining(&second)).await;
        assert!(matches!(admit(&fleet, &digest(&two)), Admission::Refuse(Refusal::Reseal)), "nothing new");
        assert_eq!(permit.exercise(|| ()), Ok(()), "what is in flight goes on");
        discovery.set_list(&both);
        released(&fleet, &two).await;
    }
    // A check after it came back, and not only what was known before.
    let checked = || {
        let line = format!("teegate_gateway_channel_check_total{{address=\"{second}\",verdict=\"accepted\"}} ");
        metrics.render(&[]).lines().find_map(|text| text.strip_prefix(&line)?.parse::<u64>().ok()).unwrap_or(0)
    };
    let before = checked();
    until(&fleet, "checked again", || checked() > before).await;
    assert_eq!(permit.exercise(|| ()), Ok(()));
    assert_eq!(connections(&two), 1);
}

fn address(port: u16) -> Address {
    Address::parse(&format!("a:{port}")).unwrap()
}

fn known(ports: &[u16]) -> Sighting {
    Sighting { addresses: ports.iter().copied().map(address).collect(), certainty: Certainty::Current }
}

#[test]
fn where_there_are_too_many_the_list_and_those_that_are_there_come_first() {
    let present = BTreeMap::from([(address(7), false), (address(8), false), (address(9), true)]);
    let chosen = |most| {
        let Chosen { addresses, left_out } =
            choose(&[known(&[5]), known(&[1, 5, 8, 9]), known(&[2, 7])], &present, most);
        (
            addresses
                .iter()
                .map(|address| address.as_str().strip_prefix("a:").unwrap().parse().unwrap())
                .collect::<Vec<u16>>(),
            left_out,
        )
    };
    assert_eq!(chosen(9), (vec![5, 7, 8, 9, 1, 2], 0));
    assert_eq!(chosen(4), (vec![5, 7, 8, 9], 2));
    assert_eq!(chosen(2), (vec![5, 7], 4));
}

#[tokio::test]
async fn however_fast_addresses_change_the_number_that_is_watched_is_bounded() {
    let metrics = Arc::new(Metrics::default());
    let breaker = BreakerLimits { failures: 3, open: Duration::from_secs(10) };
    let fleet = Arc::new(Fleet::new(&[], any_policy(), Endorsements::new(), clock(), breaker, Arc::clone(&metrics)));
    let board = Board::new(metrics);
    let (_list, source) = (board.post("list"), board.post("dns:a"));
    let gathering =
        Gathering { board, fleet: Arc::clone(&fleet), most: Arc::new(AtomicUsize::new(3)), was_left_out: 0 };
    let (watches, mut watched) = mpsc::unbounded_channel();
    tokio::spawn(gathering.run(move |address| watches.send(address).unwrap()));
    source.put_up(known(&[1, 2, 3, 4]));
    for port in [1, 2, 3] {
        assert_eq!(watched.recv().await, Some(address(port)), "the fourth has no room");
    }
    source.put_up(known(&[3, 5, 6, 7]));
    for port in [5, 6] {
        assert_eq!(watched.recv().await, Some(address(port)));
    }
    source.put_up(known(&[11, 12, 13]));
    assert_eq!(watched.recv().await, Some(address(11)), "five drain or are there, of six");
    assert_eq!(fleet.addresses().len(), 6);
    assert!(fleet.addresses().iter().filter(|(_, is_draining)| !**is_draining).eq([(&address(11), &false)]));
    assert!(fleet.remove_if_draining(&address(1)));
    assert_eq!(watched.recv().await, Some(address(12)), "where one has gone there is room");
    assert_eq!(watched.try_recv(), Err(mpsc::error::TryRecvError::Empty));
}
