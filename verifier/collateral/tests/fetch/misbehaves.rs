//! Services that misbehave: each way has its failure, its limit and its remedy, and none of them hurts the next document.

use std::net::TcpListener;
use std::time::Duration;

use teegate_collateral::{Failure, Limits, Outcome, Patience, Settings};
use teegate_forge::certificate::Name;
use teegate_forge::services::{Misbehaviour, Vendor};
use teegate_forge::snp::SnpBuilder;
use teegate_forge::time::{AT, DAY};
use teegate_verifier::UnixTime;

use crate::bench::{JumpingClock, Subject, asking, fetcher, missing};

/// What is asked about the CRL of a Genoa.
const CRL: &str = "/vcek/v1/Genoa/crl";

struct Stage {
    device: SnpBuilder,
    subject: Subject,
    kds: Vendor,
    settings: Settings,
}

impl Stage {
    fn set() -> Self {
        let device = teegate_forge::snp();
        let kds = Vendor::start(device.kds_routes());
        let settings = asking(&[format!("kds={}", kds.url())]);
        Self { subject: Subject::snp(&device), device, kds, settings }
    }

    /// The outcome with this misbehaviour for the CRL, and how long was waited in between.
    async fn with(&self, times: usize, misbehaviour: Misbehaviour) -> (Outcome, Vec<u64>) {
        self.kds.behave();
        self.kds.forget();
        self.kds.misbehave(CRL, times, misbehaviour);
        let (fetcher, clock): (_, std::sync::Arc<JumpingClock>) = fetcher(self.settings.clone());
        let outcome = self.subject.complete(&fetcher).await;
        (outcome, clock.waits())
    }

    /// Why the CRL, and nothing else, is missing, and after how many attempts.
    async fn fails_with(&self, misbehaviour: Misbehaviour) -> (Failure, u32) {
        let (outcome, _) = self.with(usize::MAX, misbehaviour).await;
        assert_eq!(outcome.documents.len(), 2, "one bad answer spoils no other");
        let [only] = &outcome.missing[..] else { panic!("{:?}", missing(&outcome)) };
        assert_eq!(only.what, "CRL of ARK-Genoa");
        let [tried] = &only.tried[..] else { panic!("{only}") };
        let asked = self.kds.requests().iter().filter(|request| *request == CRL).count();
        assert_eq!(u32::try_from(asked), Ok(tried.times));
        (tried.failure.clone(), tried.times)
    }

    fn assert_complete(&self, outcome: &Outcome) {
        assert_eq!((missing(outcome), self.subject.failed_checks(outcome)), (vec![], vec![]));
    }
}

#[tokio::test]
async fn a_silent_service_is_given_up_in_time_and_not_asked_again() {
    let mut stage = Stage::set();
    stage.settings.patience.exchange = Duration::from_millis(300);
    let (failure, times) = stage.fails_with(Misbehaviour::silent()).await;
    assert!(matches!(failure, Failure::TimedOut { .. }) && times == 1, "{failure}");
    assert!(failure.to_string().starts_with("no whole answer within "), "{failure}");
    stage.settings.patience.exchange = Duration::from_secs(30);
    let (outcome, waits) = stage.with(0, Misbehaviour::silent()).await;
    stage.assert_complete(&outcome);
    assert_eq!(waits, [0; 0]);
}

#[tokio::test]
async fn half_an_answer_is_none_and_is_asked_for_again() {
    let stage = Stage::set();
    let (failure, times) = stage.fails_with(Misbehaviour::truncated()).await;
    assert!(matches!(failure, Failure::Lost { .. }) && times == 3, "{failure}");
    let (outcome, waits) = stage.with(2, Misbehaviour::truncated()).await;
    stage.assert_complete(&outcome);
    assert_eq!(waits, [1, 2]);
}

#[tokio::test]
async fn what_can_be_no_document_is_refused_by_its_label() {
    let stage = Stage::set();
    for (name, value, found) in [
        ("content-type", "text/html; charset=utf-8", "text/html; charset=utf-8"),
        ("content-encoding", "gzip", "content-encoding: gzip"),
    ] {
        let (failure, times) = stage.fails_with(Misbehaviour::relabelled(name, value)).await;
        assert_eq!((failure, times), (Failure::WrongType { found: found.to_owned() }, 1));
    }
    // Any label that a document could have is as good as any other.
    let (outcome, _) = stage.with(1, Misbehaviour::relabelled("content-type", "text/plain")).await;
    stage.assert_complete(&outcome);
}

#[tokio::test]
async fn what_is_no_document_or_another_is_refused_by_its_content() {
    let stage = Stage::set();
    let other = teegate_forge::snp().product(teegate_forge::snp::Product::Milan).build().crl.unwrap();
    let endless = stage.device.clone().edit_crl(|crl| crl.next_update = None).build().crl.unwrap();
    let broken = [&stage.device.build().crl.unwrap()[..], b"and more"].concat();
    for (body, reason) in [
        (b"busy".to_vec(), "not recognised: found text without"),
        (broken, "bytes after the last element"),
        (other, "CRL of ARK-Genoa is not in it; it holds `ARK-Milan`"),
        (endless, "says no next update"),
    ] {
        let (failure, times) = stage.fails_with(Misbehaviour::body(body)).await;
        assert!(matches!(failure, Failure::NotTheDocument { .. }) && times == 1, "{failure}");
        assert!(failure.to_string().contains(reason), "{failure}");
    }
}

#[tokio::test]
async fn a_document_whose_time_is_over_or_has_not_come_is_not_used() {
    let stage = Stage::set();
    for (this_update, next_update) in [(AT - 30 * DAY, AT), (AT + 1, AT + DAY)] {
        let crl = stage.device.clone().crl_window(this_update, Some(next_update)).build().crl.unwrap();
        let (failure, times) = stage.fails_with(Misbehaviour::body(crl)).await;
        let [now, from, until] = [AT, this_update, next_update].map(UnixTime::from_seconds);
        assert_eq!((failure, times), (Failure::NotValidNow { now, from, until }, 1));
    }
    let crl = stage.device.clone().crl_window(AT, Some(AT + 1)).build().crl.unwrap();
    stage.assert_complete(&stage.with(1, Misbehaviour::body(crl)).await.0);
}

#[tokio::test]
async fn a_redirection_is_told_and_not_followed() {
    let stage = Stage::set();
    let elsewhere = Vendor::start(stage.device.kds_routes());
    let to = format!("{}{CRL}", elsewhere.url());
    let (failure, times) = stage.fails_with(Misbehaviour::status(302).header("location", &to)).await;
    assert_eq!((&failure, times), (&Failure::Redirected { status: 302, to: to.clone() }, 1));
    assert!(failure.to_string().contains(&format!("points to `{to}`, which is not followed")), "{failure}");
    assert_eq!(elsewhere.requests(), [""; 0]);
}

/// Whoever answers in a service's place writes what they like, as long as they like.
#[tokio::test]
async fn little_is_repeated_of_what_a_service_sends() {
    let stage = Stage::set();
    let long = "z".repeat(40_000);
    let named = |crl: &mut teegate_forge::crl::Crl| crl.issuer = Name::amd(&"z".repeat(200_000));
    let list = stage.device.clone().edit_crl(named).build().crl.unwrap();
    for (misbehaviour, expected) in [
        (Misbehaviour::status(302).header("location", &long), "points to `zzz"),
        (Misbehaviour::relabelled("content-encoding", &long), "content-encoding: zzz"),
        (Misbehaviour::relabelled("content-type", &format!("text/html; {long}")), "the answer is `text/html; zzz"),
        (Misbehaviour::body(format!("{{\"{long}\":1}}")), "none of the members"),
        (Misbehaviour::body(format!("-----BEGIN {long}-----\nAAAA\n-----END {long}-----\n")), "PEM blocks (`zzz"),
        (Misbehaviour::body(list), "it holds something without a common name"),
    ] {
        let (failure, _) = stage.fails_with(misbehaviour).await;
        let words = failure.to_string();
        assert!(words.contains(expected), "{words:.400}");
        assert!(!words.contains(&"z".repeat(81)) && words.len() < 1_200, "{} bytes", words.len());
    }
}

#[tokio::test]
async fn more_than_a_document_is_not_read() {
    let mut stage = Stage::set();
    stage.settings.limits = Limits { max_body_bytes: 20_000, ..Limits::default() };
    let (failure, times) = stage.fails_with(Misbehaviour::oversized(20_000)).await;
    assert_eq!((failure, times), (Failure::TooLarge { limit: 20_000 }, 1));
    let long = "x".repeat(200_000);
    let (failure, _) = stage.fails_with(Misbehaviour::relabelled("x-long", &long)).await;
    assert!(matches!(failure, Failure::Lost { .. }), "{failure}");
}

#[tokio::test]
async fn a_service_that_fails_is_asked_again_ever_more_slowly() {
    let mut stage = Stage::set();
    let (outcome, waits) = stage.with(2, Misbehaviour::status(500)).await;
    stage.assert_complete(&outcome);
    assert_eq!(waits, [1, 2]);
    assert_eq!(
        stage.fails_with(Misbehaviour::status(503)).await,
        (Failure::Failing { status: 503, retry_after: None }, 3)
    );
    stage.settings.patience = Patience { attempts: 8, max_wait: Duration::from_secs(5), ..stage.settings.patience };
    assert_eq!(stage.with(7, Misbehaviour::status(502)).await.1, [1, 2, 4, 5, 5, 5, 5]);
    for status in [400, 401, 404, 410] {
        let (failure, times) = stage.fails_with(Misbehaviour::status(status)).await;
        assert_eq!(times, 1, "{failure}");
        assert!(failure.to_string().starts_with(&format!("status {status}: ")), "{failure}");
    }
}

#[tokio::test]
async fn retry_after_is_waited_out() {
    let stage = Stage::set();
    let (outcome, waits) = stage.with(2, Misbehaviour::status(429).header("retry-after", "7")).await;
    stage.assert_complete(&outcome);
    assert_eq!(waits, [7, 7]);
    let by_date = Misbehaviour::status(503)
        .header("date", "Mon, 01 Jun 2026 00:00:00 GMT")
        .header("retry-after", "Mon, 01 Jun 2026 00:00:09 GMT");
    assert_eq!(stage.with(1, by_date).await.1, [9]);
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_reported_and_respected() {
    let stage = Stage::set();
    let (fetcher, clock) = fetcher(stage.settings.clone());
    stage.kds.misbehave("blSPL", 1, Misbehaviour::status(429).header("retry-after", "900"));
    let outcome = stage.subject.complete(&fetcher).await;
    // The whole service wants to be left alone: not one further request is made.
    assert_eq!((stage.kds.requests().len(), clock.waits()), (1, vec![]));
    let [vcek, chain, crl] = &missing(&outcome)[..] else { panic!("{outcome:?}") };
    assert!(vcek.ends_with("status 429: too many requests from here; try again after 900 s"), "{vcek}");
    for left_alone in [chain, crl] {
        assert!(
            left_alone.ends_with("not asked, because it wants to be left alone; try again after 900 s"),
            "{left_alone}"
        );
    }
    clock.pass(Duration::from_secs(800));
    let outcome = stage.subject.complete(&fetcher).await;
    assert!(missing(&outcome)[0].ends_with("try again after 100 s"), "{:?}", missing(&outcome));
    assert_eq!(stage.kds.requests().len(), 1);
    clock.pass(Duration::from_secs(100));
    stage.assert_complete(&stage.subject.complete(&fetcher).await);
}

#[tokio::test]
async fn a_storm_of_429_is_met_with_few_requests() {
    let stage = Stage::set();
    let (fetcher, clock) = fetcher(stage.settings.clone());
    stage.kds.misbehave("", usize::MAX, Misbehaviour::status(429).header("retry-after", "5"));
    let outcome = stage.subject.complete(&fetcher).await;
    // The VCEK waits as long as AMD asks between two requests for the same one; the others are not even asked for.
    assert_eq!((outcome.missing.len(), stage.kds.requests().len(), clock.waits()), (3, 3, vec![10, 10]));
    assert_eq!(outcome.missing[0].tried[0].times, 3);
    assert!(outcome.missing[0].to_string().ends_with("try again after 5 s (asked 3 times)"), "{}", outcome.missing[0]);
    assert_eq!(outcome.missing[1].tried[0].times, 0);
}

#[tokio::test]
async fn the_same_vcek_is_asked_for_once_in_ten_seconds() {
    let stage = Stage::set();
    let (fetcher, clock) = fetcher(stage.settings.clone());
    for waited in [vec![], vec![10]] {
        stage.assert_complete(&stage.subject.complete(&fetcher).await);
        assert_eq!(clock.waits(), waited);
    }
    clock.pass(Duration::from_secs(10));
    stage.assert_complete(&stage.subject.complete(&fetcher).await);
    assert_eq!(clock.waits(), [0; 0]);
}

#[tokio::test]
async fn the_time_for_everything_ends_the_waiting() {
    let mut stage = Stage::set();
    stage.settings.patience.overall = Duration::from_secs(8);
    let (fetcher, clock) = fetcher(stage.settings.clone());
    stage.kds.misbehave("cert_chain", usize::MAX, Misbehaviour::status(500).header("retry-after", "5"));
    let outcome = stage.subject.complete(&fetcher).await;
    assert_eq!(clock.waits(), [5], "a second wait would end after eight seconds");
    // Three seconds are left, and the service wants five: the last document is not asked for.
    let [chain, crl] = &missing(&outcome)[..] else { panic!("{outcome:?}") };
    assert!(chain.contains("status 500") && chain.ends_with("(asked 2 times)"), "{chain}");
    assert!(crl.contains("not asked, because it wants to be left alone"), "{crl}");

    stage.settings.patience.overall = Duration::ZERO;
    let (outcome, waits) = stage.with(0, Misbehaviour::silent()).await;
    assert_eq!((outcome.documents.len(), waits, stage.kds.requests().len()), (0, vec![], 0));
    assert!(missing(&outcome)[0].contains("the time for all documents together was over"), "{:?}", missing(&outcome));
}

#[tokio::test]
async fn the_second_source_answers_for_a_first_that_cannot_be_reached_or_wants_to_wait() {
    let mut stage = Stage::set();
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("kds=http://{}", listener.local_addr().unwrap())
    };
    stage.settings.sources = asking(&[closed.clone(), format!("kds={}", stage.kds.url())]).sources;
    let (outcome, waits) = stage.with(0, Misbehaviour::silent()).await;
    stage.assert_complete(&outcome);
    assert_eq!(waits, [0; 0]);
    for document in &outcome.documents {
        assert!(document.url.starts_with(&stage.kds.url()));
        let [tried] = &document.tried[..] else { panic!("{document:?}") };
        assert!(matches!(tried.failure, Failure::Unreachable { .. }) && tried.times == 1, "{tried}");
    }

    let busy = Vendor::start(Vec::new());
    busy.misbehave("", usize::MAX, Misbehaviour::status(429).header("retry-after", "30"));
    stage.settings.sources = asking(&[format!("kds={}", busy.url()), format!("kds={}", stage.kds.url())]).sources;
    let (outcome, waits) = stage.with(0, Misbehaviour::silent()).await;
    stage.assert_complete(&outcome);
    assert_eq!((waits, busy.requests().len()), (vec![], 1), "the second is asked before the first is waited for");

    // Both fail: both are named.
    stage.settings.sources = asking(&[closed, format!("kds={}", stage.kds.url())]).sources;
    let (outcome, _) = stage.with(usize::MAX, Misbehaviour::status(404)).await;
    let [only] = &outcome.missing[..] else { panic!("{outcome:?}") };
    assert!(matches!(only.tried[0].failure, Failure::Unreachable { .. }), "{only}");
    assert_eq!(only.tried[1].failure, Failure::NotThere { status: 404 });
}
