//! Requests through the endpoints, against instances in memory: what arrives at an enclave, and what does not.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use h2::RecvStream;
use h2::server::SendResponse;
use http::HeaderValue;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Frame;
use teegate_protocol::headers::{OHTTP_REQUEST, PROBLEM_JSON, TEEGATE_HOLD, TEEGATE_MANIFEST, TEEGATE_RELEASE};
use teegate_protocol::manifest::{ManifestDigest, SpkiDigest};
use teegate_protocol::problem::{Executed, Problem, ProblemKind};
use teegate_protocol::receipt::{CiphertextDigest, Release as ReleaseReceipt, Signed};
use teegate_verifier::Endorsements;
use tokio::sync::mpsc;
use tokio::time::Instant;

mod answers;
mod balance;
mod listing;
mod shares;
mod withdrawal;

use super::*;
use crate::answer::BrokenAnswer;
use crate::relay::MOST_REFUSALS;
use crate::testing::{MOST_ANSWERED, MOST_SEALED, PACE, address, gateway, peer_of, two_addresses};
use crate::trust::Distrust;
use crate::trust::testing::{START, Who, Wire, any_policy, offer, set_wall};

const FRESH: Duration = Duration::from_secs(300);
const SEALED: &[u8] = b"ciphertext";

/// Asks over a connection of its own.
async fn serve<B: Body<Data = Bytes> + Unpin>(gateway: &Gateway, request: Request<B>) -> Response<AnswerStream>
where
    B::Error: std::error::Error + 'static,
{
    gateway.serve(request, &peer_of(&gateway.budget, 1)).await
}

fn sealed<B>(manifest: &ManifestDigest, body: B) -> Request<B> {
    Request::post(RELAY_PATH)
        .header(CONTENT_TYPE, OHTTP_REQUEST)
        .header(TEEGATE_MANIFEST, manifest.to_string())
        .header("x-client", "secret of the client")
        .body(body)
        .unwrap()
}

/// More than anything here takes: where an end fails to come, the test fails instead of waiting with it.
async fn in_time<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(1_000), event).await.expect("what has an end comes to it")
}

/// The length of a request that may go out while it arrives, once a window of it is here.
const LONG: u64 = 2 << 20;

fn window() -> usize {
    usize::try_from(PACE.window_bytes).unwrap()
}

/// A body whose pieces a test hands over one by one.
struct Slow(mpsc::Receiver<Bytes>);

impl Body for Slow {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

fn relay<B: Body<Data = Bytes> + Unpin + Send + 'static>(
    gateway: &Arc<Gateway>,
    manifest: &ManifestDigest,
    body: B,
) -> tokio::task::JoinHandle<Response<AnswerStream>>
where
    B::Error: std::error::Error + Send + 'static,
{
    let (gateway, request) = (Arc::clone(gateway), sealed(manifest, body));
    tokio::spawn(async move { serve(&gateway, request).await })
}

async fn read(mut body: RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

fn answer(respond: &mut SendResponse<Bytes>, status: u16, body: &'static [u8]) {
    let head = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "message/ohttp-res")
        .header("x-enclave", "1")
        .body(())
        .unwrap();
    respond.send_response(head, false).unwrap().send_data(Bytes::from_static(body), true).unwrap();
}

async fn body_of(response: Response<AnswerStream>) -> Vec<u8> {
    response.into_body().collect().await.unwrap().to_bytes().to_vec()
}

/// Takes an answer piece by piece, keeping none: how much came, and how it broke off.
async fn taken(response: Response<AnswerStream>) -> (usize, Option<BrokenAnswer>) {
    let (mut body, mut length) = (response.into_body(), 0);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => length += frame.data_ref().unwrap().len(),
            Err(broken) => return (length, Some(broken)),
        }
    }
    (length, None)
}

async fn problem_of(response: Response<AnswerStream>) -> Problem {
    assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
    let status = response.status().as_u16();
    let problem = Problem::parse(&body_of(response).await).unwrap();
    assert_eq!(problem.status(), status);
    problem
}

#[tokio::test(start_paused = true)]
async fn a_request_arrives_built_from_nothing_and_its_answer_comes_back() {
    let gateway = gateway();
    let (mut wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let enclave = tokio::spawn(async move {
        let (request, mut respond) = wire.arrived.recv().await.unwrap();
        let (head, body) = request.into_parts();
        let body = read(body).await.unwrap();
        answer(&mut respond, 200, b"sealed answer");
        (head, body, wire)
    });
    let response = serve(&gateway, sealed(manifest.digest(), Full::new(Bytes::from_static(SEALED)))).await;
    let (head, body, _wire) = enclave.await.unwrap();
    assert_eq!((head.method.as_str(), head.uri.path(), body.as_slice()), ("POST", "/ohttp", SEALED));
    let mut fields: Vec<_> =
        head.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    fields.sort_unstable();
    assert_eq!(fields, [("content-length", "10"), ("content-type", OHTTP_REQUEST)], "nothing of the client's head");

    assert_eq!(
        (response.status(), &response.headers()[CONTENT_TYPE]),
        (StatusCode::OK, &HeaderValue::from_static("message/ohttp-res"))
    );
    assert!(!response.headers().contains_key("x-enclave"));
    let receipt = Signed::parse_header(response.headers()[TEEGATE_RELEASE].to_str().unwrap()).unwrap();
    let receipt = ReleaseReceipt::verify(&receipt, &gateway.receipt_key.public()).unwrap();
    assert_eq!(
        (receipt.ciphertext, receipt.manifest, receipt.policy_version),
        (CiphertextDigest::of(SEALED), *manifest.digest(), 1)
    );
    assert_eq!(body_of(response).await, b"sealed answer");
}

#[tokio::test(start_paused = true)]
async fn a_held_request_is_released_when_its_instance_becomes_attested() {
    let gateway = gateway();
    let (mut wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    let waiting = {
        let (gateway, request) =
            (Arc::clone(&gateway), sealed(manifest.digest(), Full::new(Bytes::from_static(SEALED))));
        tokio::spawn(async move { serve(&gateway, request).await })
    };
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(gateway.hold.usage(), (1, 10));
    assert!(wire.arrived.try_recv().is_err(), "nothing was sent");
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let (request, mut respond) = wire.arrived.recv().await.unwrap();
    assert_eq!(read(request.into_body()).await.unwrap(), SEALED);
    answer(&mut respond, 200, b"sealed answer");
    assert_eq!(waiting.await.unwrap().status(), StatusCode::OK);
    assert_eq!(gateway.hold.usage(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_held_request_ends_with_its_time() {
    let gateway = gateway();
    let manifest = Who::new(1).manifest(0, None);
    for (hold, seconds) in [(None, 30), (Some("0"), 0), (Some("7"), 7), (Some("9999"), 120)] {
        let mut request = sealed(manifest.digest(), Full::new(Bytes::from_static(SEALED)));
        if let Some(hold) = hold {
            request.headers_mut().insert(TEEGATE_HOLD, HeaderValue::from_static(hold));
        }
        let start = Instant::now();
        let problem = problem_of(serve(&gateway, request).await).await;
        assert_eq!((problem.kind, problem.executed), (ProblemKind::NoAttestedInstance, Executed::No));
        assert_eq!(start.elapsed().as_secs(), seconds, "{hold:?}");
    }
    assert_eq!(gateway.hold.usage(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_held_beyond_the_end_of_its_manifest() {
    let gateway = gateway();
    let (wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, Duration::ZERO));
    set_wall(manifest.manifest().not_after - 5);
    let start = Instant::now();
    let request = sealed(manifest.digest(), Full::new(Bytes::from_static(SEALED)));
    let response = in_time(serve(&gateway, request)).await;
    assert_eq!(problem_of(response).await.kind, ProblemKind::StaleManifest);
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn the_hold_is_bounded() {
    let gateway = gateway();
    let manifest = Who::new(1).manifest(0, None);
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let (gateway, request) =
            (Arc::clone(&gateway), sealed(manifest.digest(), Full::new(Bytes::from_static(SEALED))));
        waiting.push(tokio::spawn(async move { serve(&gateway, request).await }));
        tokio::task::yield_now().await;
    }
    let response = serve(&gateway, sealed(manifest.digest(), Full::new(Bytes::from_static(SEALED)))).await;
    assert_eq!(response.headers()[RETRY_AFTER], "1");
    assert_eq!(problem_of(response).await.kind, ProblemKind::Busy);
    for waiting in waiting {
        waiting.abort();
        let _ = waiting.await;
    }
    assert_eq!(gateway.hold.usage(), (0, 0), "a client that goes gives its place back");
    let large = sealed(manifest.digest(), Full::new(Bytes::from(vec![0; 100_001])));
    assert_eq!(problem_of(serve(&gateway, large).await).await.kind, ProblemKind::Busy, "bytes");
}

#[tokio::test(start_paused = true)]
async fn a_policy_change_stops_a_request_between_two_pieces() {
    let gateway = gateway();
    let (mut wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let (pieces, body) = mpsc::channel(1);
    let relaying = relay(&gateway, manifest.digest(), Announced(Slow(body), LONG));
    let first = Bytes::from(vec![1; window()]);
    pieces.send(first.clone()).await.unwrap();
    let (request, _respond) = wire.arrived.recv().await.unwrap();
    let mut arriving = request.into_body();
    let mut seen = 0;
    while seen < first.len() {
        let length = arriving.data().await.unwrap().unwrap().len();
        arriving.flow_control().release_capacity(length).unwrap();
        seen += length;
    }
    assert_eq!(gateway.fleet.set_policy(any_policy(), Endorsements::new()).await, 2);
    // The client may still hand over its second piece; nobody takes it.
    let _ = pieces.try_send(Bytes::from_static(b"second"));
    let problem = problem_of(relaying.await.unwrap()).await;
    assert_eq!((problem.kind, problem.executed), (ProblemKind::PolicyChanged, Executed::Unknown));
    let cut = arriving.data().await.unwrap().unwrap_err();
    assert_eq!(cut.reason(), Some(h2::Reason::CANCEL));
    let metrics = gateway.metrics.render(&[]);
    assert!(metrics.contains("\nteegate_gateway_released_bytes_total 65536\n"), "what has left is counted: {metrics}");
}

#[tokio::test(start_paused = true)]
async fn a_policy_change_before_the_first_byte_only_delays() {
    let gateway = gateway();
    let (mut wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let (pieces, body) = mpsc::channel(1);
    let relaying = {
        let (gateway, request) = (Arc::clone(&gateway), sealed(manifest.digest(), Slow(body)));
        tokio::spawn(async move { serve(&gateway, request).await })
    };
    tokio::task::yield_now().await;
    assert_eq!(gateway.fleet.set_policy(any_policy(), Endorsements::new()).await, 2);
    pieces.send(Bytes::from_static(SEALED)).await.unwrap();
    drop(pieces);
    assert!(wire.arrived.try_recv().is_err());
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 2, FRESH));
    let (request, mut respond) = wire.arrived.recv().await.unwrap();
    assert_eq!(read(request.into_body()).await.unwrap(), SEALED);
    answer(&mut respond, 200, b"");
    assert_eq!(relaying.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_dies_with_the_request_is_one_clear_error() {
    let gateway = gateway();
    let (mut wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    tokio::spawn(async move {
        let (request, mut respond) = wire.arrived.recv().await.unwrap();
        read(request.into_body()).await.unwrap();
        respond.send_reset(h2::Reason::INTERNAL_ERROR);
    });
    let problem =
        problem_of(serve(&gateway, sealed(manifest.digest(), Full::new(Bytes::from_static(SEALED)))).await).await;
    assert_eq!((problem.kind, problem.executed), (ProblemKind::UpstreamLost, Executed::Unknown));
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_silent_is_left_after_its_time() {
    let gateway = gateway();
    let (mut wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let enclave = tokio::spawn(async move { (wire.arrived.recv().await, wire) });
    let start = Instant::now();
    let problem =
        problem_of(serve(&gateway, sealed(manifest.digest(), Full::new(Bytes::from_static(SEALED)))).await).await;
    assert_eq!((problem.kind, problem.executed), (ProblemKind::Deadline, Executed::Unknown));
    assert_eq!(start.elapsed().as_secs(), 60);
    drop(enclave.await);
}

#[tokio::test(start_paused = true)]
async fn an_answer_before_the_end_of_the_request_is_passed_on() {
    let gateway = gateway();
    let (mut wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let (pieces, body) = mpsc::channel(1);
    pieces.send(Bytes::from(vec![0; window()])).await.unwrap();
    tokio::spawn(async move {
        let (_request, mut respond) = wire.arrived.recv().await.unwrap();
        answer(&mut respond, 503, b"busy");
        std::future::pending::<()>().await;
    });
    let response = serve(&gateway, sealed(manifest.digest(), Announced(Slow(body), LONG))).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!response.headers().contains_key(TEEGATE_RELEASE), "not all of it was released");
    assert_eq!(body_of(response).await, b"busy");
    drop(pieces);
}

#[tokio::test(start_paused = true)]
async fn an_endless_answer_is_cut_off() {
    let gateway = gateway();
    let (mut wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    tokio::spawn(async move {
        let (request, mut respond) = wire.arrived.recv().await.unwrap();
        read(request.into_body()).await.unwrap();
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream.send_data(Bytes::from(vec![0; MOST_ANSWERED + 1]), true).unwrap();
        std::future::pending::<()>().await;
    });
    let response = serve(&gateway, sealed(manifest.digest(), Full::new(Bytes::from_static(SEALED)))).await;
    let (_, broken) = taken(response).await;
    assert!(matches!(broken, Some(BrokenAnswer::TooLong)), "{broken:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_sealed_request_is_told_what_was_expected() {
    let gateway = gateway();
    let digest = ManifestDigest([1; 32]);
    let changed = |name: &'static str, value: Option<&'static str>| {
        let mut request = sealed(&digest, Full::new(Bytes::from_static(SEALED)));
        match value {
            Some(value) => drop(request.headers_mut().insert(name, HeaderValue::from_static(value))),
            None => drop(request.headers_mut().remove(name)),
        }
        request
    };
    for (name, value, status) in [
        ("content-type", None, 415),
        ("content-type", Some("application/json"), 415),
        ("teegate-manifest", None, 400),
        ("teegate-manifest", Some("00"), 400),
        ("teegate-hold", Some("-1"), 400),
        ("teegate-hold", Some("soon"), 400),
        ("teegate-hold", Some(""), 400),
        ("teegate-hold", Some("+5"), 400),
        ("teegate-hold", Some("99999999999999999999"), 400),
    ] {
        let response = serve(&gateway, changed(name, value)).await;
        assert_eq!(response.status().as_u16(), status, "{name}: {value:?}");
        let body: serde_json::Value = serde_json::from_slice(&body_of(response).await).unwrap();
        assert_eq!((&body["type"], &body["executed"]), (&"about:blank".into(), &"no".into()));
    }
    let mut twice = sealed(&digest, Full::new(Bytes::new()));
    twice.headers_mut().append(TEEGATE_MANIFEST, HeaderValue::from_static("00"));
    assert_eq!(serve(&gateway, twice).await.status().as_u16(), 400);
    for (method, path, status, allow) in
        [("GET", RELAY_PATH, 405, Some("POST")), ("POST", INSTANCES_PATH, 405, Some("GET")), ("GET", "/", 404, None)]
    {
        let request = Request::builder().method(method).uri(path).body(Full::new(Bytes::new())).unwrap();
        let response = serve(&gateway, request).await;
        let allowed = response.headers().get(ALLOW).map(|value| value.to_str().unwrap());
        assert_eq!((response.status().as_u16(), allowed), (status, allow), "{method} {path}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_refused_by_what_it_announces_and_by_what_it_is() {
    let gateway = gateway();
    let (wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let too_large = Bytes::from(vec![0; MOST_SEALED + 1]);
    let announced = sealed(manifest.digest(), Full::new(too_large.clone()));
    assert_eq!(problem_of(serve(&gateway, announced).await).await.kind, ProblemKind::TooLarge);
    let (pieces, body) = mpsc::channel(1);
    pieces.send(too_large).await.unwrap();
    let unannounced = serve(&gateway, sealed(manifest.digest(), Slow(body))).await;
    assert_eq!(problem_of(unannounced).await.kind, ProblemKind::TooLarge);
    let empty = serve(&gateway, sealed(manifest.digest(), Full::new(Bytes::new()))).await;
    assert_eq!(empty.status().as_u16(), 400);
}

#[tokio::test(start_paused = true)]
async fn ready_means_that_something_could_be_released() {
    let gateway = gateway();
    let peer = peer_of(&gateway.budget, 1);
    let get = |path: &str| gateway.serve_operator(&Method::GET, path, &peer);
    assert_eq!(get(READY_PATH).status(), StatusCode::SERVICE_UNAVAILABLE);
    let (wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    assert_eq!(get(READY_PATH).status(), StatusCode::OK);
    let metrics = String::from_utf8(body_of(get("/metrics")).await).unwrap();
    for line in [
        "teegate_gateway_ready 1",
        "teegate_gateway_addresses{state=\"attested\"} 1",
        "teegate_gateway_attested_seconds{address=\"enclave:1\"} 300",
        "teegate_gateway_policy_version 1",
    ] {
        assert!(metrics.lines().any(|own| own == line), "{line} is not in:\n{metrics}");
    }
    gateway.is_draining.store(true, Ordering::Release);
    assert_eq!(get(READY_PATH).status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get("/v1/relay").status(), StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_does_not_occupy_an_instance() {
    let gateway = gateway();
    let (mut wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    // A request of usual length takes nothing at an instance before all of it is here.
    let (pieces, body) = mpsc::channel(1);
    let trickling = relay(&gateway, manifest.digest(), Announced(Slow(body), LONG / 4));
    pieces.send(Bytes::from(vec![0; window()])).await.unwrap();
    let start = Instant::now();
    let problem = problem_of(in_time(trickling).await.unwrap()).await;
    assert_eq!((problem.kind, problem.executed), (ProblemKind::Deadline, Executed::No));
    assert_eq!(start.elapsed(), PACE.window);
    assert!(wire.arrived.try_recv().is_err(), "it waited for the client, and the instance did not");
    // A long one may, once it has shown that it keeps its pace. When it stops keeping it, it is given up.
    let (start, (pieces, body)) = (Instant::now(), mpsc::channel(1));
    let trickling = relay(&gateway, manifest.digest(), Announced(Slow(body), LONG));
    pieces.send(Bytes::from(vec![0; window()])).await.unwrap();
    let first = wire.arrived.recv().await.unwrap();
    while pieces.send(Bytes::from_static(b"x")).await.is_ok() {
        tokio::time::sleep(Duration::from_secs(7)).await;
    }
    let problem = problem_of(in_time(trickling).await.unwrap()).await;
    assert_eq!((problem.kind, problem.executed), (ProblemKind::Deadline, Executed::Unknown));
    assert_eq!(start.elapsed().as_secs() / 7, PACE.window.as_secs() / 7 + 1);
    drop(first);
    // And all of it has its time, at whatever pace.
    let (start, (pieces, body)) = (Instant::now(), mpsc::channel(1));
    let steady = relay(&gateway, manifest.digest(), Announced(Slow(body), LONG));
    let (request, _respond) = {
        pieces.send(Bytes::from(vec![0; window()])).await.unwrap();
        wire.arrived.recv().await.unwrap()
    };
    tokio::spawn(read(request.into_body()));
    while start.elapsed().as_secs() < 1_000 && pieces.send(Bytes::from(vec![0; window()])).await.is_ok() {
        tokio::time::sleep(Duration::from_secs(7)).await;
    }
    drop(pieces);
    let problem = problem_of(in_time(steady).await.unwrap()).await;
    assert_eq!((problem.kind, problem.executed), (ProblemKind::Deadline, Executed::Unknown));
    assert!((40..48).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_is_still_sending_when_the_instance_goes_is_told_at_once() {
    let (gateway, [one, two]) = two_addresses();
    let (wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    let other = Wire::connect().await;
    gateway.fleet.accept(&one, wire.trusted(&manifest, 1, FRESH));
    gateway.fleet.accept(&two, other.trusted(&Who::new(2).manifest(0, None), 1, FRESH));
    let (pieces, body) = mpsc::channel(1);
    let sending = relay(&gateway, manifest.digest(), Slow(body));
    pieces.send(Bytes::from_static(b"x")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    let distrust = Distrust {
        checks: vec!["snp.policy.debug"],
        explanation: "debug".into(),
        failed: Arc::default(),
        tls_spki: SpkiDigest([1; 32]),
    };
    gateway.fleet.reject(&one, &distrust, 1);
    let problem = problem_of(in_time(sending).await.unwrap()).await;
    assert_eq!((problem.kind, problem.executed), (ProblemKind::Reseal, Executed::No));
    assert_eq!(start.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_hold_is_charged_what_has_come_and_not_what_was_announced() {
    let gateway = gateway();
    let manifest = Who::new(1).manifest(0, None);
    let (pieces, body) = mpsc::channel(1);
    let announced = http_body_util::combinators::BoxBody::new(Announced(Slow(body), 100_000));
    let slow = relay(&gateway, manifest.digest(), announced);
    pieces.send(Bytes::from_static(b"x")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(gateway.hold.usage(), (1, 1), "another request has room");
    // It does not keep even that by waiting: a client that goes silent is let go.
    let start = Instant::now();
    let problem = problem_of(slow.await.unwrap()).await;
    assert_eq!((problem.kind, problem.executed), (ProblemKind::Deadline, Executed::No));
    assert_eq!(start.elapsed().as_secs(), 14);
    assert_eq!(gateway.hold.usage(), (0, 0));
}

/// A body that announces its length.
struct Announced(Slow, u64);

impl Body for Announced {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(self.1)
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_when_the_gateway_leaves_is_told_at_once() {
    let gateway = gateway();
    let manifest = Who::new(1).manifest(0, None);
    let held = relay(&gateway, manifest.digest(), Full::new(Bytes::from_static(SEALED)));
    let listing = {
        let gateway = Arc::clone(&gateway);
        let request = Request::get(format!("{INSTANCES_PATH}?wait=30")).body(Full::new(Bytes::new())).unwrap();
        tokio::spawn(async move { serve(&gateway, request).await })
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    gateway.drain();
    for told in [held, listing] {
        let problem = problem_of(told.await.unwrap()).await;
        assert_eq!((problem.kind, problem.executed), (ProblemKind::Busy, Executed::No));
    }
    assert_eq!(start.elapsed().as_secs(), 0);
}
