//! Forged vendors in this process, and how often they are asked.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};

use teegate_collateral::{Clock, Source};
use teegate_forge::services::{Misbehaviour, Vendor};
use teegate_forge::snp::SnpBuilder;
use teegate_verifier::verify;

use super::*;
use crate::trust::forged::{envelope, platform};
use crate::trust::testing::{START, Who, policy};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// A clock that a test sets; nobody waits by it.
#[derive(Debug)]
struct Hands(AtomicU64);

impl Clock for Hands {
    fn wall(&self) -> UnixTime {
        UnixTime::from_seconds(self.0.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst) - START)
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}

/// A desk, its vendor, and the clock of both.
struct Place {
    desk: Desk,
    vendor: Vendor,
    clock: Arc<Hands>,
    policy: Policy,
    metrics: Arc<Metrics>,
    _cache: tempfile::TempDir,
}

fn limits(vendor: &Vendor) -> CollateralSettings {
    CollateralSettings {
        is_online: true,
        sources: vec![Source::parse(&format!("kds={}", vendor.url())).unwrap()],
        cache: None,
        refresh: Duration::from_secs(6 * HOUR),
        sets_an_hour: 4,
        strangers_an_hour: 6,
        cache_files: 16,
        cache_bytes: 4 << 20,
    }
}

/// A platform whose list holds for so many days from the start.
fn platform_of(days: u64) -> SnpBuilder {
    platform().crl_window(START - DAY, Some(START + days * DAY))
}

impl Place {
    fn new(device: &SnpBuilder) -> Self {
        let vendor = Vendor::start(device.kds_routes());
        let cache = tempfile::tempdir().unwrap();
        let (clock, metrics) = (Arc::new(Hands(AtomicU64::new(START))), Arc::new(Metrics::default()));
        let limits = limits(&vendor);
        let patience = Patience { attempts: 1, ..settings(&limits, cache.path().to_owned()).patience };
        let settings = Settings { patience, ..settings(&limits, cache.path().to_owned()) };
        let fetcher = Fetcher::with_clock(settings, Arc::<Hands>::clone(&clock));
        let desk = Desk::new(fetcher, limits, Arc::clone(&metrics));
        let policy = policy(&device.build().ark_pem, [0x5e; 48]);
        Self { desk, vendor, clock, policy, metrics, _cache: cache }
    }

    fn at(&self, after: u64) -> UnixTime {
        self.clock.0.store(START + after, Ordering::SeqCst);
        self.clock.wall()
    }

    /// What is in hand for an envelope that `address` shows.
    async fn shown(&self, address: &str, envelope: &[u8], after: u64) -> Endorsements {
        let now = self.at(after);
        self.desk.endorsements(&parse(address), envelope, &self.policy, now).await
    }

    async fn refresh(&self, addresses: &[&str], after: u64) {
        let addresses = addresses.iter().map(|address| parse(address)).collect();
        let now = self.at(after);
        self.desk.refresh(&addresses, &self.policy, now).await;
    }

    /// Judges the evidence with what is in hand, as a gateway does, and says so.
    async fn judge(&self, address: &str, envelope: &[u8], after: u64) -> Vec<&'static str> {
        let mut pool = self.shown(address, envelope, after).await;
        let evidence = evidence::recognise(envelope, None).unwrap();
        pool.extend(&evidence.endorsements.without_order_in_time());
        let policy = self.policy.with_report_data(teegate_verifier::ReportData([7; 64]));
        let verdict = verify(&evidence.as_evidence(&pool), &policy, UnixTime::from_seconds(START + after));
        self.desk.judged(&parse(address), verdict.is_ok());
        verdict.err().map_or_else(Vec::new, |rejection| rejection.failed_checks())
    }

    /// What the vendor was asked since the last time.
    fn asked(&self) -> Vec<String> {
        let asked = self.vendor.requests();
        self.vendor.forget();
        asked
    }

    /// How often it was asked for the list since then: the one document of AMD's that has an order in time.
    fn lists(&self) -> usize {
        self.asked().iter().filter(|asked| asked.ends_with("/crl")).count()
    }

    fn metric(&self, outcome: &str) -> Option<u64> {
        let start = format!("teegate_gateway_collateral_total{{outcome=\"{outcome}\"}} ");
        self.metrics.render(&[]).lines().find_map(|line| line.strip_prefix(&start)?.parse().ok())
    }
}

fn parse(address: &str) -> Address {
    Address::parse(address).unwrap()
}

/// What an instance shows on this platform.
fn shows(device: &SnpBuilder) -> Vec<u8> {
    envelope(&Who::new(1).manifest(0, None), &device.clone().report_data([7; 64]))
}

#[tokio::test]
async fn what_is_needed_is_asked_for_once_and_again_well_before_it_ends() {
    let device = platform_of(2);
    let place = Place::new(&device);
    let envelope = shows(&device);
    assert_eq!(place.judge("a:1", &envelope, 0).await, [""; 0]);
    assert_eq!(place.asked().len(), 3, "certificate, chain, list");
    for after in [1, 60, HOUR] {
        assert_eq!(place.judge("a:1", &envelope, after).await, [""; 0]);
        place.refresh(&["a:1"], after).await;
    }
    assert!(place.asked().is_empty(), "nothing is due");
    place.refresh(&["a:1"], 6 * HOUR).await;
    assert_eq!(place.lists(), 1, "after `refresh`");

    // Near its end: at half of what is left.
    let newer = device.clone().crl_window(START + DAY, Some(START + 9 * DAY));
    place.refresh(&["a:1"], 2 * DAY - 4 * HOUR).await;
    place.asked();
    place.vendor.serve(newer.kds_routes());
    place.refresh(&["a:1"], 2 * DAY - 2 * HOUR - 1).await;
    assert_eq!(place.lists(), 0);
    place.refresh(&["a:1"], 2 * DAY - 2 * HOUR).await;
    assert_eq!(place.lists(), 1, "two hours before the end");
    assert_eq!(place.judge("a:1", &envelope, 3 * DAY).await, [""; 0], "beyond the end of the first list");
    assert_eq!(place.metric("incomplete"), None);
}

#[tokio::test]
async fn an_outage_is_survived_to_the_end_of_the_window_with_backoff_and_ends() {
    let device = platform_of(2);
    let place = Place::new(&device);
    let envelope = shows(&device);
    assert_eq!(place.judge("a:1", &envelope, 0).await, [""; 0]);
    place.asked();
    place.vendor.misbehave("/crl", usize::MAX, Misbehaviour::status(503));
    let mut asked = Vec::new();
    for minute in 0..60 {
        place.refresh(&["a:1"], 6 * HOUR + minute * 60).await;
        assert_eq!(place.judge("a:1", &envelope, 6 * HOUR + minute * 60).await, [""; 0], "what is in hand still holds");
        asked.extend(std::iter::repeat_n(minute, place.lists()));
    }
    assert_eq!(asked[..5], [0, 1, 3, 7, 15], "a minute, doubled");
    assert!(asked.len() <= 10, "and no less often than every ten minutes: {asked:?}");
    place.refresh(&["a:1"], 2 * DAY - 1).await;
    assert_eq!(place.judge("a:1", &envelope, 2 * DAY - 1).await, [""; 0], "until the last second");
    assert_eq!(place.judge("a:1", &envelope, 2 * DAY).await, ["snp.chain.revocation"], "and no longer");

    // It answers again, and the next try is soon.
    place.vendor.behave();
    place.vendor.serve(device.clone().crl_window(START + DAY, Some(START + 9 * DAY)).kds_routes());
    assert_eq!(place.judge("a:1", &envelope, 2 * DAY + 600).await, [""; 0]);
}

#[tokio::test]
async fn hostile_evidence_steers_no_flood_and_attested_instances_wait_for_nobody() {
    let device = platform_of(2);
    let place = Place::new(&device);
    let envelope = shows(&device);
    assert_eq!(place.judge("good:1", &envelope, 0).await, [""; 0]);
    place.asked();
    // A stranger who names another chip each time, without certificates of its own.
    let chip = |number: u8| {
        let device = platform().chip_id([number; 64]);
        let set = device.clone().report_data([7; 64]).build();
        set.report
    };
    for number in 0..200 {
        let now = place.at(u64::from(number));
        place.desk.endorsements(&parse("evil:1"), &chip(number + 1), &place.policy, now).await;
        place.desk.judged(&parse("evil:1"), false);
    }
    let asked = place.asked().len();
    // Each set is a certificate, a chain and a list, of which the last two are in the cache after the first.
    assert!((4..=4 * 3).contains(&asked), "{asked} questions for four sets");
    assert_eq!(place.metric("refused"), Some(196));
    // The same again is not asked for again, whatever became of it.
    let after = 2 * HOUR;
    for second in 0..30 {
        place.shown("evil:1", &chip(1), after + second).await;
    }
    assert!(place.asked().len() <= 3, "one set");
    // Many addresses are no way around it.
    for port in 1..100_u8 {
        place.shown(&format!("evil:{port}"), &chip(port), after + 60).await;
    }
    let asked = place.asked().len();
    assert!(asked <= 6 * 3, "{asked} questions for six sets");
    // Nor around the instance that is attested.
    let before = place.metric("complete");
    place.refresh(&["good:1"], after + 5 * HOUR).await;
    assert_eq!((place.lists(), place.metric("complete") > before), (1, true));
    assert_eq!(place.judge("good:1", &envelope, after + 5 * HOUR).await, [""; 0]);
}

#[tokio::test]
async fn addresses_that_are_gone_are_forgotten_and_no_evidence_asks_nobody() {
    let device = platform_of(2);
    let place = Place::new(&device);
    assert!(place.shown("a:1", b"no evidence", 0).await.is_empty());
    assert_eq!(place.judge("a:1", &shows(&device), 1).await, [""; 0]);
    assert_eq!(place.desk.seats().len(), 1);
    place.refresh(&["b:1"], 2).await;
    assert_eq!(place.desk.seats().len(), 0);
}
