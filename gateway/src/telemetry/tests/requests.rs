//! A client's request: one trace, joined to its caller's, of this shape, and with nothing in it that the client chose.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use opentelemetry_proto::tonic::trace::v1::Span as Decoded;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use teegate_encoding::hex;

use super::oracle::{Oracle, TOKEN, attributes};
use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{SPAN}-{flags}")
}

fn is_server(span: &Decoded) -> bool {
    span.kind == SpanKind::Server as i32
}

fn names(spans: &[Decoded]) -> BTreeSet<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_one_trace_that_joins_its_callers_and_holds_nothing_of_it() {
    let oracle = Oracle::start().await;
    let enclave = Enclave::numbered(71).await;
    let admission = "[admission]\ntokens = 'tokens'\n[[tenant]]\nname = 'team-a'\nmodels = ['*']\n";
    let stage = Stage::set(settings(oracle.address, "service_name = 'front'"), enclave, admission).await;
    stage.is_attested().await;
    let (bearer, parent) = (format!("Bearer {TOKEN}"), parent("03"));
    let fields = [
        ("authorization", bearer.as_str()),
        ("traceparent", &parent),
        ("tracestate", "canary=state"),
        ("baggage", "canary=baggage"),
        ("cookie", "canary-cookie"),
        ("x-canary-name", "canary-header"),
        ("user-agent", "canary-agent"),
        ("forwarded", "for=203.0.113.77"),
    ];
    let manifest = stage.enclave.who.manifest(0, None).digest().to_string();
    let own = [("content-type", "message/ohttp-req"), ("teegate-manifest", manifest.as_str())];
    let path = "/v1/relay?key=canary-query";
    assert_eq!(ask(stage.address, "POST", path, &[&own[..], &fields[..]].concat(), "canary-body").await, 200);
    // Also what is refused, and what is nowhere.
    for (method, path, token, status) in [
        ("GET", "/v1/endorsements/canary-digest", bearer.as_str(), 404),
        ("GET", "/canary-path/x", bearer.as_str(), 404),
        ("CANARYMETHOD", "/canary-path/y", bearer.as_str(), 404),
        ("POST", "/v1/relay", "Bearer canary-of-nobody-at-all", 401),
    ] {
        assert_eq!(
            ask(stage.address, method, path, &[("authorization", token)], "canary-body").await,
            status,
            "{path}"
        );
    }

    let spans = oracle.trace_with("POST /v1/relay", |span| !span.parent_span_id.is_empty()).await;
    assert_eq!(names(&spans), BTreeSet::from(["POST /v1/relay", "upload", "relay", "answer"]), "{spans:#?}");
    assert_eq!(spans.len(), 4);
    let server = spans.iter().find(|span| is_server(span)).unwrap();
    assert_eq!(
        (hex::encode(&server.trace_id), hex::encode(&server.parent_span_id)),
        (TRACE.to_owned(), SPAN.to_owned())
    );
    // Sampled and random, as the caller said; its parent is known to be remote.
    assert_eq!(server.flags, 0x303);
    assert_eq!(server.trace_state, "", "a stranger's text is not handed on");
    assert!(server.status.as_ref().is_none_or(|status| status.code == 0));
    for child in spans.iter().filter(|span| !is_server(span)) {
        assert_eq!((&child.parent_span_id, child.flags), (&server.span_id, 0x103), "{child:#?}");
        let is_within = server.start_time_unix_nano <= child.start_time_unix_nano
            && child.start_time_unix_nano <= child.end_time_unix_nano
            // The two clocks that a span is timed by are read one after the other.
            && child.end_time_unix_nano <= server.end_time_unix_nano + 1_000_000;
        assert!(is_within, "{child:#?}\n{server:#?}");
    }
    let port = stage.address.port().to_string();
    let expected = [
        ("http.request.method", "POST"),
        ("http.route", "/v1/relay"),
        ("url.path", "/v1/relay"),
        ("url.scheme", "http"),
        ("network.protocol.version", "1.1"),
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
        ("http.response.status_code", "200"),
        ("teegate.tenant", "team-a"),
        ("teegate.manifest", &manifest),
    ];
    let expected = BTreeMap::from(expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(attributes(&server.attributes), expected);
    let of = |name: &str| attributes(&spans.iter().find(|span| span.name == name).unwrap().attributes);
    let relay = of("relay");
    assert_eq!(relay["teegate.instance.address"], stage.enclave.address.as_str());
    assert_eq!(relay["teegate.instance.id"], stage.enclave.who.manifest(0, None).manifest().instance_id.to_string());
    assert_eq!((relay["http.response.status_code"].as_str(), relay["teegate.policy_version"].as_str()), ("200", "1"));
    assert_eq!(of("upload")["http.request.body.size"], "canary-body".len().to_string());

    // The others: a mistake of the client's is no failure of the server's, and has no words of the client's.
    let of_status = |status: &'static str| {
        oracle.until(status, move |got| {
            let servers = got.spans.iter().filter(|span| is_server(span));
            let found: Vec<Decoded> = servers
                .filter(|span| attributes(&span.attributes)["http.response.status_code"] == status)
                .cloned()
                .collect();
            (found.len() >= if status == "404" { 3 } else { 1 }).then_some(found)
        })
    };
    let nowhere = of_status("404").await;
    assert_eq!(names(&nowhere), BTreeSet::from(["GET /v1/endorsements/{digest}", "GET", "HTTP"]));
    let denied = of_status("401").await.pop().unwrap();
    assert!(denied.status.as_ref().is_none_or(|status| status.code == 0));
    let denied = attributes(&denied.attributes);
    assert_eq!((denied["error.type"].as_str(), denied["teegate.tenant"].as_str()), ("unauthorised", "-"));

    stage.exporting.end().await;
    let known: BTreeSet<&str> = ATTRIBUTES.iter().map(|(name, _)| *name).collect();
    oracle
        .until("metrics came at the end too", |got| {
            let text = String::from_utf8_lossy(&got.bytes).into_owned();
            for secret in ["canary", "CANARY", TOKEN, "203.0.113.77", "Bearer"] {
                assert!(!text.contains(secret), "{secret}");
            }
            for span in &got.spans {
                assert!(attributes(&span.attributes).keys().all(|name| known.contains(name.as_str())), "{span:#?}");
                assert!(span.events.is_empty() && span.links.is_empty());
            }
            (!got.metrics.is_empty()).then_some(())
        })
        .await;
    // What is looked for would be found: it is in what the enclave's gateway was sent.
    let resource = oracle.until("resource", |got| got.traces.first().cloned()).await.resource_spans.remove(0);
    let resource = attributes(&resource.resource.unwrap().attributes);
    assert_eq!(resource["service.name"], "front");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(resource["service.instance.id"].len(), 32);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_has_a_span_of_that_and_a_refused_one_its_problem() {
    let oracle = Oracle::start().await;
    let enclave = Enclave::numbered(72).await;
    enclave.mood.is_busy.store(true, Ordering::SeqCst);
    let stage = Arc::new(Stage::set(settings(oracle.address, ""), enclave, "admission = 'none'").await);
    let own = Arc::clone(&stage);
    let waiting = tokio::spawn(async move { own.relay(&[], "sealed").await });
    while stage.gateway.hold.usage().0 == 0 {
        assert!(!waiting.is_finished(), "it is held");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stage.enclave.mood.is_busy.store(false, Ordering::SeqCst);
    assert_eq!(waiting.await.unwrap(), 200);
    let spans = oracle.trace_with("POST /v1/relay", |_| true).await;
    assert_eq!(names(&spans), BTreeSet::from(["POST /v1/relay", "upload", "hold", "relay", "answer"]));
    let server = spans.iter().find(|span| is_server(span)).unwrap();
    assert_eq!(
        (server.parent_span_id.len(), server.flags),
        (0, 0x103),
        "a trace of its own, known to have no remote parent"
    );

    // A failure of the server's: it ends.
    stage.gateway.drain();
    assert_eq!(stage.relay(&[], "sealed").await, 503);
    let spans =
        oracle.trace_with("POST /v1/relay", |span| span.status.as_ref().is_some_and(|status| status.code == 2)).await;
    let server = attributes(&spans.iter().find(|span| is_server(span)).unwrap().attributes);
    assert_eq!((server["error.type"].as_str(), server["teegate.problem"].as_str()), ("busy", "busy"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_parent_begins_a_new_trace() {
    let oracle = Oracle::start().await;
    let stage = Stage::honest(&oracle, 73, "").await;
    for wrong in [parent("0g"), parent("01").to_uppercase(), format!("{}-x", parent("01")), "canary".to_owned()] {
        assert_eq!(stage.relay(&[("traceparent", &wrong)], "sealed").await, 200, "{wrong}");
    }
    let good = parent("00");
    assert_eq!(stage.relay(&[("traceparent", &good), ("traceparent", &good)], "sealed").await, 200);
    assert_eq!(stage.relay(&[("traceparent", &good)], "sealed").await, 200);
    let servers = oracle.until("six requests", |got| {
        let servers: Vec<Decoded> = got.spans.iter().filter(|span| is_server(span)).cloned().collect();
        (servers.len() == 6).then_some(servers)
    });
    let servers = servers.await;
    let traces: BTreeSet<_> = servers.iter().map(|span| hex::encode(&span.trace_id)).collect();
    assert_eq!(traces.len(), 6);
    assert_eq!(traces.iter().filter(|trace| *trace == TRACE).count(), 1);
    for span in servers {
        let is_joined = hex::encode(&span.trace_id) == TRACE;
        assert_eq!(is_joined, !span.parent_span_id.is_empty());
        // Not sampled, says the caller, who does not decide: and ours is.
        assert_eq!(span.flags, if is_joined { 0x301 } else { 0x103 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_trusted_decides_what_is_sampled_and_nobody_else() {
    let oracle = Oracle::start().await;
    let stage = Stage::honest(&oracle, 74, "trust_parent = true\nsample_per_million = 0").await;
    let (sampled, unsampled) = (parent("01"), parent("00"));
    assert_eq!(stage.relay(&[("traceparent", &unsampled), ("x", "1")], "sealed").await, 200);
    assert_eq!(stage.relay(&[], "sealed").await, 200);
    assert_eq!(stage.relay(&[("traceparent", &sampled), ("tracestate", "a=1, b=2")], "sealed").await, 200);
    let spans = oracle.trace_with("POST /v1/relay", |_| true).await;
    assert_eq!(spans.iter().find(|span| is_server(span)).unwrap().trace_state, "a=1,b=2");
    stage.exporting.end().await;
    let count = |got: &oracle::Got| got.spans.iter().filter(|span| is_server(span)).count();
    assert_eq!(oracle.until("any", |got| Some(count(got))).await, 1);

    let oracle = Oracle::start().await;
    let stage = Stage::honest(&oracle, 75, "sample_per_million = 0").await;
    assert_eq!(stage.relay(&[("traceparent", &sampled)], "sealed").await, 200);
    stage.exporting.end().await;
    let (servers, all) = oracle.until("any", |got| Some((count(got), got.spans.len()))).await;
    assert_eq!(servers, 0, "a stranger's flag");
    assert!(all > 0, "what the gateway does by itself is recorded always");
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_have_no_span() {
    let oracle = Oracle::start().await;
    let stage = Stage::honest(&oracle, 76, "").await;
    for path in ["/healthz", "/readyz", "/v1/instances"] {
        assert_eq!(ask(stage.address, "GET", path, &[], "").await, 200);
    }
    stage.exporting.end().await;
    let names: Vec<String> = oracle
        .until("one", |got| {
            Some(got.spans.iter().filter(|span| is_server(span)).map(|span| span.name.clone()).collect())
        })
        .await;
    assert_eq!(names, ["GET /v1/instances"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_before_its_answer_has_a_span_that_says_so() {
    use tokio::io::AsyncWriteExt as _;

    let oracle = Oracle::start().await;
    let enclave = Enclave::numbered(81).await;
    enclave.mood.is_busy.store(true, Ordering::SeqCst);
    let stage = Stage::set(settings(oracle.address, ""), enclave, "admission = 'none'").await;
    let manifest = stage.enclave.who.manifest(0, None).digest().to_string();
    let head = "POST /v1/relay HTTP/1.1\r\nhost: gateway\r\ncontent-type: message/ohttp-req\r\ncontent-length: 1\r\n";
    let mut tcp = TcpStream::connect(stage.address).await.unwrap();
    tcp.write_all(format!("{head}teegate-manifest: {manifest}\r\n\r\nx").as_bytes()).await.unwrap();
    while stage.gateway.hold.usage().0 == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    drop(tcp);
    let spans = oracle.trace_with("POST /v1/relay", |_| true).await;
    assert_eq!(names(&spans), BTreeSet::from(["POST /v1/relay", "upload", "hold"]));
    let server = spans.iter().find(|span| is_server(span)).unwrap();
    let attributes = attributes(&server.attributes);
    assert_eq!(attributes["error.type"], "abandoned");
    assert!(!attributes.contains_key("http.response.status_code"));
}
