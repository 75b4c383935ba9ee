//! What one client makes scarce at a gateway, and what that leaves to another.

use std::time::{Duration, Instant};

use teegate_client::ProblemKind;
use teegate_tests::harness::{Gateway, MODEL};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::{LIMIT, Stage1, assert_is_expected_answer, problem, relay};

/// In this time somebody else has to be served.
const SOON: Duration = Duration::from_secs(5);

/// Opens a connection, sends `head`, and then something every 100 ms for as long as it is taken.
fn drips(gateway: &Gateway, head: String, drip: usize) -> JoinHandle<()> {
    let address = gateway.address.clone();
    tokio::spawn(async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut written = stream.write_all(head.as_bytes()).await;
        while written.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            written = stream.write_all(&vec![b'x'; drip]).await;
        }
    })
}

/// The head of a sealed request of `length` bytes, and what is there of it.
fn begun(manifest: &str, length: usize, there: usize) -> String {
    let body = "x".repeat(there);
    format!(
        "POST /v1/relay HTTP/1.1\r\nhost: gateway\r\ncontent-type: message/ohttp-req\r\nteegate-manifest: {manifest}\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}

async fn is_served(stage: &Stage1, gateway: &Gateway, what: &str) {
    let (sealed, manifest) = stage.sealed_sample().await;
    let start = Instant::now();
    let answer = tokio::time::timeout(SOON, relay(gateway, sealed.bytes(), &manifest, 0)).await;
    let answer = answer.unwrap_or_else(|_| panic!("{what}: no answer within {} s", SOON.as_secs()));
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    assert_is_expected_answer(&sealed.open(&answer.body, LIMIT).unwrap().response.content);
    assert!(start.elapsed() < SOON, "{what}");
}

#[tokio::test]
async fn slow_uploads_take_no_place_at_an_instance() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    gateway.attested().await;
    let manifest = stage.manifest().await.digest().to_string();
    is_served(&stage, &gateway, "before").await;
    // Far more than an instance has places: some of usual length, some long, all of them at twice the pace.
    let mut slow = Vec::new();
    for _ in 0..120 {
        slow.push(drips(&gateway, begun(&manifest, 100_000, 17_000), 900));
        slow.push(drips(&gateway, begun(&manifest, 2_000_000, 70_000), 900));
    }
    let streaming = async || gateway.metric("teegate_gateway_released_bytes_total").await >= 32 * 65_536;
    let deadline = Instant::now() + Duration::from_secs(30);
    while !streaming().await {
        assert!(Instant::now() < deadline, "the long ones are on their way");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..3 {
        is_served(&stage, &gateway, "beside slow uploads").await;
    }
    slow.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn silence_does_not_keep_clients_out() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "[limits]\nconnections = 16\n").await;
    gateway.attested().await;
    let heads = ["", "GET /healthz HTTP/1.1\r\n", "GET /healthz HTTP/1.1\r\nhost: gateway\r\n\r\n"];
    let held: Vec<_> = (0..64).map(|number| drips(&gateway, heads[number % heads.len()].to_owned(), 0)).collect();
    let deadline = Instant::now() + Duration::from_secs(30);
    while gateway.metric("teegate_gateway_displaced_total{listener=\"clients\"}").await < 48 {
        assert!(Instant::now() < deadline, "they displace each other");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    is_served(&stage, &gateway, "beside silence").await;
    assert!(gateway.metric("teegate_gateway_kept_bytes").await < 16 << 20);
    held.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn a_model_that_nobody_serves_is_answered_at_once() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    gateway.attested().await;
    let start = Instant::now();
    let answer = gateway.ask("GET", "/v1/instances?model=nope&wait=30", &[], b"").await;
    let unknown = problem(&answer);
    assert_eq!((answer.status, unknown.kind), (404, ProblemKind::UnknownModel), "{unknown}");
    let said = format!("no attested instance serves `nope`; they serve `{MODEL}`");
    assert_eq!(unknown.detail.as_deref(), Some(said.as_str()));
    assert!(start.elapsed() < SOON);
}
