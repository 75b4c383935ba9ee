//! The log: one line for each change, with what an operator needs, and none for a retry.

use std::io;
use std::sync::LazyLock;
use std::time::Duration;

use teegate_protocol::manifest::SpkiDigest;
use teegate_verifier::Endorsements;

use super::*;
use crate::breaker::BreakerLimits;
use crate::fleet::Fleet;
use crate::metrics::Metrics;
use crate::trust::Distrust;
use crate::trust::testing::{START, Who, Wire, any_policy, clock, set_wall};

const FRESH: Duration = Duration::from_secs(300);

/// A second listener, which nobody reads. With one alone, `tracing` asks whichever thread comes first to a line of the program whether
/// anybody listens to it, and keeps a *no* for the others.
static DEAF: LazyLock<tracing::Dispatch> =
    LazyLock::new(|| tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(io::sink).finish()));

/// Whoever listens to one thread calls this first.
pub(crate) fn not_alone() {
    LazyLock::force(&DEAF);
}

/// What this thread has logged.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Begins to listen, as the program writes it.
    pub(crate) fn of_this_thread() -> (Self, tracing::subscriber::DefaultGuard) {
        not_alone();
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// The fields of every line, each of which is an object.
    pub(crate) fn lines(&self) -> Vec<serde_json::Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["fields"].clone()).collect()
    }

    /// `event` and `why` of every line.
    fn events(&self) -> Vec<(String, String)> {
        let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        self.lines().iter().map(|line| (word(&line["event"]), word(&line["why"]))).collect()
    }
}

fn address(port: u16) -> Address {
    Address::parse(&format!("enclave:{port}")).unwrap()
}

fn fleet() -> Fleet {
    let limits = BreakerLimits { failures: 2, open: Duration::from_secs(10) };
    let metrics = Arc::new(Metrics::default());
    Fleet::new(&[address(1)], any_policy(), Endorsements::new(), clock(), limits, metrics)
}

fn refusal(check: &'static str, found: &str) -> Distrust {
    let failed = Failed { check, expected: "DEBUG 0".into(), found: found.into(), remedy: "none".into() };
    Distrust { checks: vec![check], explanation: found.into(), failed: [failed].into(), tls_spki: SpkiDigest([9; 32]) }
}

fn words(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(event, why)| ((*event).to_owned(), (*why).to_owned())).collect()
}

const REFUSED: &str = "its evidence was refused";

#[tokio::test(start_paused = true)]
async fn the_same_refusal_is_one_line_however_often_it_comes_and_another_reason_is_another() {
    let (log, _guard) = Log::of_this_thread();
    let fleet = fleet();
    fleet.note();
    for attempt in 0..50 {
        // What was found may be another each time: an instance chooses it.
        fleet.reject(&address(1), &refusal("snp.policy.debug", &format!("DEBUG 1, {attempt}\u{1b}[2J\n{{}}")), 1);
    }
    assert_eq!(log.lines().len(), 2, "{:?}", log.events());
    set_wall(START + 60);
    for _ in 0..3 {
        fleet.reject(&address(1), &refusal("snp.guest.measurement", "abab"), 1);
    }
    let wire = Wire::connect().await;
    tokio::time::advance(Duration::from_secs(1)).await;
    fleet.accept(&address(1), wire.trusted(&Who::new(1).manifest(0, None), 1, FRESH));
    let expected = [
        ("instance_pending", "it was not asked yet under this policy"),
        ("instance_rejected", REFUSED),
        ("instance_rejected", REFUSED),
        ("instance_attested", "its evidence was accepted"),
    ];
    assert_eq!(log.events(), words(&expected));
    let lines = log.lines();
    assert_eq!(lines[1]["checks"], "snp.policy.debug");
    assert_eq!(
        (&lines[1]["expected"], &lines[1]["from"], &lines[1]["to"]),
        (&"DEBUG 0".into(), &"pending".into(), &"rejected".into())
    );
    assert_eq!(lines[1]["found"], "DEBUG 1, 0\u{1b}[2J\n{}", "whole, and in one line of JSON");
    assert_eq!((&lines[2]["checks"], &lines[2]["tries"]), (&"snp.guest.measurement".into(), &50.into()));
    assert_eq!(lines[2]["lasted_seconds"], 60);
    assert_eq!((&lines[3]["from"], &lines[3]["tries"]), (&"rejected".into(), &53.into()));
    assert_eq!(lines[3]["policy_version"], 1);
    assert!(lines[3].get("checks").is_none(), "{}", lines[3]);
    assert!(lines[3]["manifest"].as_str().unwrap().len() == 64 && lines[3]["until"].as_str().is_some());
}

#[tokio::test(start_paused = true)]
async fn the_lapse_of_the_last_proof_is_logged_once_and_so_is_silence_before_it() {
    let (log, _guard) = Log::of_this_thread();
    let fleet = fleet();
    let (wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    for _ in 0..3 {
        // The next check in time: nothing has changed.
        fleet.accept(&address(1), wire.trusted(&manifest, 1, FRESH));
    }
    for _ in 0..20 {
        fleet.silent(&address(1), "status", "answered 503 Service Unavailable instead of 200 with evidence".into());
    }
    tokio::time::advance(FRESH - Duration::from_millis(1)).await;
    fleet.note();
    assert_eq!(log.lines().len(), 2, "{:?}", log.events());
    tokio::time::advance(Duration::from_millis(1)).await;
    for _ in 0..3 {
        fleet.note();
    }
    fleet.silent(&address(1), "connection-refused", "unreachable: Connection refused".into());
    fleet.accept(&address(1), wire.trusted(&manifest, 1, FRESH));
    tokio::time::advance(FRESH).await;
    fleet.note();
    let expected = [
        ("instance_attested", "its evidence was accepted"),
        ("instance_silent", "status"),
        ("instance_unreachable", "status"),
        ("instance_unreachable", "connection-refused"),
        ("instance_attested", "its evidence was accepted"),
        ("instance_pending", "its last proof has lapsed"),
    ];
    assert_eq!(log.events(), words(&expected));
    let lines = log.lines();
    assert_eq!((&lines[2]["from"], &lines[2]["tries"]), (&"attested".into(), &20.into()));
    assert_eq!(lines[3]["found"], "unreachable: Connection refused");
}

#[tokio::test(start_paused = true)]
async fn a_new_epoch_a_new_policy_and_an_address_that_goes_are_changes() {
    let (log, _guard) = Log::of_this_thread();
    let fleet = fleet();
    let (wire, who) = (Wire::connect().await, Who::new(1));
    let first = who.manifest(0, None);
    fleet.accept(&address(1), wire.trusted(&first, 1, FRESH));
    fleet.accept(&address(1), wire.trusted(&who.manifest(1, Some(first.digest())), 1, FRESH));
    fleet.set_policy(any_policy(), Endorsements::new()).await;
    fleet.set_addresses(&[]);
    fleet.accept(&address(1), wire.trusted(&who.manifest(1, Some(first.digest())), 2, FRESH));
    assert!(fleet.remove_if_draining(&address(1)));
    let events: Vec<String> = log.events().into_iter().map(|(event, _)| event).collect();
    let expected =
        ["instance_attested", "instance_renewed", "instance_pending", "", "instance_draining", "instance_gone"];
    assert_eq!(events, expected, "the empty one is the policy");
}
