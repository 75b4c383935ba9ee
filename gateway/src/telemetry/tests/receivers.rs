//! Receivers that are gone, slow or hostile: they cost what the queue cannot keep, and that is counted.

use std::time::Instant;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use teegate_forge::pem;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio_rustls::TlsAcceptor;

use super::oracle::{Mood, Oracle};
use super::*;
use crate::journal::tests::Log;

/// What fills a queue, and who empties it.
struct Bench {
    tracer: Tracer,
    exporting: Exporting,
    metrics: Arc<Metrics>,
}

impl Bench {
    fn set(settings: &TelemetrySettings) -> Self {
        let metrics = Arc::new(Metrics::default());
        let (tracer, queue) = Tracer::new(settings, SocketAddr::from(([127, 0, 0, 1], 1)), Arc::clone(&metrics));
        let own = Arc::clone(&metrics);
        let read = move || own.render(&[]);
        let exporting = export(Receiver::load(settings).unwrap(), queue, Arc::clone(&metrics), read);
        Self { tracer, exporting, metrics }
    }

    fn spans(&self, count: usize) {
        for _ in 0..count {
            drop(self.tracer.begin(Task::Reload));
        }
    }

    /// Waits until the metrics have this line.
    async fn until(&self, line: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.has(line) {
            assert!(Instant::now() < deadline, "{line} is not in:\n{}", self.metrics.render(&[]));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn has(&self, line: &str) -> bool {
        self.metrics.render(&[]).lines().any(|own| own.strip_prefix("teegate_gateway_telemetry_") == Some(line))
    }
}

fn quiet(receiver: SocketAddr, more: &str) -> TelemetrySettings {
    TelemetrySettings { metrics: Duration::from_secs(3_600), ..settings(receiver, more) }
}

const TAKEN: &str = "exported_total{signal=\"spans\"}";

fn lost(reason: &str, count: usize) -> String {
    format!("dropped_total{{signal=\"spans\",reason=\"{reason}\"}} {count}")
}

fn said(log: &Log) -> String {
    log.lines().iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_receiver_that_is_down_is_asked_again_and_the_log_says_it_once() {
    let (log, _guard) = Log::of_this_thread();
    // Its port is taken, and nobody listens there yet.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let bench = Bench::set(&quiet(address, ""));
    bench.spans(3);
    let fails = "the receiver does not take all spans";
    while !said(&log).contains(fails) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    bench.spans(2);
    let oracle = Oracle::start_at(socket.listen(16).unwrap(), None);
    oracle.until("all that waited", |got| (got.spans.len() == 5).then_some(())).await;
    bench.until(&format!("{TAKEN} 5")).await;
    assert!(bench.has(&lost("unreachable", 0)) && bench.has(&lost("queue", 0)));
    bench.spans(1);
    bench.until(&format!("{TAKEN} 6")).await;
    let all = said(&log);
    assert_eq!((all.matches(fails).count(), all.matches("the receiver takes spans again").count()), (1, 1), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_never_answers_costs_no_request_anything_and_the_rest_is_counted() {
    let oracle = Oracle::start().await;
    oracle.feels(Mood::Silent);
    let stage = Stage::honest(&oracle, 80, "queue_spans = 16\ntimeout_seconds = 1").await;
    oracle.until("a message that is not answered", |got| (!got.heads.is_empty()).then_some(())).await;
    for _ in 0..50 {
        assert_eq!(stage.relay(&[], "sealed").await, 200);
    }
    let text = stage.gateway.metrics_text();
    let dropped = "teegate_gateway_telemetry_dropped_total{signal=\"spans\",reason=\"queue\"} ";
    let dropped: u64 = text.lines().find_map(|line| line.strip_prefix(dropped)).unwrap().parse().unwrap();
    // Four spans a request; a message may have been taken out of the queue meanwhile.
    assert!(dropped > 0, "{text}");
    let began = Instant::now();
    stage.exporting.end().await;
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "the end is bounded by one export, and took {:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn what_is_refused_is_not_sent_again() {
    let oracle = Oracle::start().await;
    oracle.feels(Mood::Says(400, None));
    let bench = Bench::set(&quiet(oracle.address, ""));
    bench.spans(2);
    bench.until(&lost("refused", 2)).await;
    // A redirection is not followed.
    oracle.feels(Mood::Says(307, None));
    bench.spans(1);
    bench.until(&lost("refused", 3)).await;
    assert_eq!(oracle.until("each once", |got| Some(got.heads.len())).await, 2);
    oracle.feels(Mood::Partly(1));
    bench.spans(3);
    bench.until(&lost("refused", 4)).await;
    assert!(bench.has(&format!("{TAKEN} 2")));
    // Nobody can make it lose more than was sent, or less than nothing.
    oracle.feels(Mood::Partly(i64::MAX));
    bench.spans(1);
    bench.until(&lost("refused", 5)).await;
    oracle.feels(Mood::Partly(-7));
    bench.spans(1);
    bench.until(&format!("{TAKEN} 3")).await;
    assert!(bench.has(&lost("refused", 5)));
}

#[tokio::test]
async fn a_receiver_that_wants_it_later_gets_it_later() {
    let oracle = Oracle::start().await;
    oracle.feels(Mood::Says(429, Some("2")));
    let bench = Bench::set(&quiet(oracle.address, ""));
    let began = Instant::now();
    bench.spans(1);
    oracle.until("asked", |got| (!got.heads.is_empty()).then_some(())).await;
    oracle.feels(Mood::Takes);
    bench.until(&format!("{TAKEN} 1")).await;
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(oracle.until("twice", |got| Some(got.heads.len())).await, 2);
    assert!(bench.has(&lost("unreachable", 0)));
}

#[tokio::test]
async fn what_is_always_wanted_later_is_given_up_after_five_tries() {
    let (log, _guard) = Log::of_this_thread();
    let oracle = Oracle::start().await;
    oracle.feels(Mood::Says(503, Some("0")));
    let bench = Bench::set(&quiet(oracle.address, ""));
    bench.spans(2);
    bench.until(&lost("unreachable", 2)).await;
    assert_eq!(oracle.until("tries", |got| Some(got.heads.len())).await, 5);
    let all = said(&log);
    assert_eq!(all.matches("it answers 503, not now").count(), 1, "{all}");
    // The next message is tried anew.
    oracle.feels(Mood::Takes);
    bench.spans(1);
    bench.until(&format!("{TAKEN} 1")).await;
    assert!(bench.has(&lost("unreachable", 2)));
}

/// Reads one message to its end.
async fn whole_message(stream: &mut TcpStream) {
    use tokio::io::AsyncReadExt as _;

    let mut got = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&got).to_ascii_lowercase();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if got.len() >= head.len() + 4 + length.parse::<usize>().unwrap() {
                return;
            }
        }
        assert_ne!(stream.read_buf(&mut got).await.unwrap(), 0, "a whole message");
    }
}

#[tokio::test]
async fn a_connection_that_ended_meanwhile_says_nothing_of_the_receiver() {
    const TAKEN_WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let (log, _guard) = Log::of_this_thread();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let bench = Bench::set(&quiet(listener.local_addr().unwrap(), ""));
    bench.spans(1);
    let (mut first, _) = listener.accept().await.unwrap();
    whole_message(&mut first).await;
    first.write_all(TAKEN_WHOLE).await.unwrap();
    bench.until(&format!("{TAKEN} 1")).await;
    // The second comes by the connection that was kept, which ends under it.
    bench.spans(1);
    whole_message(&mut first).await;
    drop(first);
    let (mut second, _) = listener.accept().await.unwrap();
    whole_message(&mut second).await;
    second.write_all(TAKEN_WHOLE).await.unwrap();
    bench.until(&format!("{TAKEN} 2")).await;
    let all = said(&log);
    assert!(!all.contains("does not take all"), "{all}");
}

#[tokio::test]
async fn an_answer_without_an_end_is_not_read_to_it() {
    let oracle = Oracle::start().await;
    oracle.feels(Mood::Endless);
    let bench = Bench::set(&quiet(oracle.address, ""));
    for sent in 1..=3 {
        bench.spans(1);
        bench.until(&format!("{TAKEN} {sent}")).await;
    }
}

#[tokio::test]
async fn what_does_not_speak_http_is_unreachable_and_the_end_does_not_wait_for_it() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let _ = tcp.write_all(b"220 smtp ready\r\n").await;
        }
    });
    let bench = Bench::set(&quiet(address, ""));
    bench.spans(2);
    bench.exporting.end().await;
    let text = bench.metrics.render(&[]);
    assert!(text.contains("telemetry_dropped_total{signal=\"spans\",reason=\"unreachable\"} 2\n"), "{text}");
}

#[tokio::test]
async fn what_waits_at_the_end_is_sent_before_it() {
    let oracle = Oracle::start().await;
    let settings = TelemetrySettings { spans: PATIENCE, ..quiet(oracle.address, "") };
    let bench = Bench::set(&settings);
    bench.spans(1_200);
    bench.exporting.end().await;
    let (spans, messages, metrics) =
        oracle.until("any", |got| Some((got.spans.len(), got.traces.len(), got.metrics.len()))).await;
    assert_eq!((spans, messages, metrics), (1_200, 3, 1));
}

#[tokio::test]
async fn a_receiver_under_tls_is_recognised_and_shown_the_credential() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".into()]).unwrap().self_signed(&key).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name)
    };
    let ca = write("ca.pem", &pem::certificate(certificate.der()));
    let headers = write("headers", "# of the receiver\nAuthorization: Bearer of-the-receiver\n");
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let oracle = Oracle::start_at(listener, Some(TlsAcceptor::from(Arc::new(config))));
    let text =
        format!("otlp_endpoint = 'https://localhost:{}'\nheaders = 'headers'\nca = 'ca.pem'", oracle.address.port());
    let settings = toml::from_str::<TelemetryTable>(&text).unwrap().settle(folder.path()).unwrap().unwrap();
    let settings = TelemetrySettings { spans: Duration::from_millis(20), ..settings };
    assert_eq!((settings.ca.as_ref(), settings.headers.as_ref()), (Some(&ca), Some(&headers)));
    let bench = Bench::set(&settings);
    bench.spans(1);
    bench.until(&format!("{TAKEN} 1")).await;
    let (path, head) = oracle.until("a head", |got| got.heads.first().cloned()).await;
    assert_eq!(
        (path.as_str(), &head["authorization"]),
        ("/v1/traces", &"Bearer of-the-receiver".parse::<http::HeaderValue>().unwrap())
    );
    let shown = format!("{:?} {settings:?}", Receiver::load(&settings).unwrap());
    assert!(!shown.contains("of-the-receiver"), "{shown}");
    bench.exporting.end().await;

    // Another's certificate is nobody's.
    let other_key = KeyPair::generate().unwrap();
    let other = CertificateParams::new(vec!["localhost".into()]).unwrap().self_signed(&other_key).unwrap();
    write("ca.pem", &pem::certificate(other.der()));
    let bench = Bench::set(&settings);
    bench.spans(1);
    bench.exporting.end().await;
    let text = bench.metrics.render(&[]);
    assert!(text.contains("telemetry_dropped_total{signal=\"spans\",reason=\"unreachable\"} 1\n"), "{text}");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), "no certificate").unwrap();
    for (more, why) in [
        ("headers = 'missing'", "cannot read the header fields of `telemetry.headers`"),
        ("ca = 'missing'", "the CA certificates of `telemetry.ca`"),
        ("ca = 'ca.pem'", "expected PEM with a `CERTIFICATE` block"),
    ] {
        let text = format!("otlp_endpoint = 'https://localhost:1'\n{more}");
        let settings = toml::from_str::<TelemetryTable>(&text).unwrap().settle(folder.path()).unwrap().unwrap();
        let error = Receiver::load(&settings).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}
