//! How much memory requests take, measured from outside.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what a test expects and does not find should end it, in its helper functions too"
)]

#[path = "support/enclave.rs"]
mod enclave;
#[path = "support/library.rs"]
mod library;
#[path = "support/models.rs"]
mod models;

use enclave::{Connection, Enclave, Folder, Guest};
use teegate_protocol::bhttp::{Request, Response};
use teegate_protocol::manifest::ManifestBytes;
use teegate_protocol::problem::{Executed, Problem, ProblemKind};

const MIB: usize = 1 << 20;
const MESSAGE: usize = MIB;
const IN_FLIGHT: usize = 8 * MIB;
const CONNECTIONS: usize = 8;

async fn enclave(element: u64) -> Option<(Enclave, Guest, Folder)> {
    let library = library::library()?;
    let (folder, guest) = (Folder::new(), Guest::start().await);
    let model = folder.write("count.onnx", models::count(element));
    let limits = format!("[limits]\nsealed_body_bytes = {MESSAGE}\nin_flight_bytes = {IN_FLIGHT}");
    Some((Enclave::start(&library, &guest, &model, &limits), guest, folder))
}

/// As many numbers as two bytes each allow in a message: `0,0,0`.
fn zeros(datatype: &str, count: usize) -> Request {
    let mut request = Request::new("POST", "enclave.invalid", "/v2/models/m/infer");
    request.content = format!(
        r#"{{"inputs":[{{"name":"x","shape":[{count}],"datatype":"{datatype}","data":[{}0]}}]}}"#,
        "0,".repeat(count - 1)
    )
    .into_bytes();
    request
}

fn counted(response: &Response) -> u64 {
    let answer: serde_json::Value = serde_json::from_slice(&response.content).unwrap();
    answer["outputs"][0]["data"][0].as_u64().unwrap_or_else(|| panic!("{answer}"))
}

/// Requests of `zeros`, one on each connection, again and again, all at once. How many were answered.
async fn flood(enclave: &Enclave, manifest: &ManifestBytes, request: &Request) -> usize {
    let mut connections = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let mut connection = Connection::open(&enclave.address, "h2").await;
        let (manifest, request) = (manifest.clone(), request.clone());
        connections.spawn(async move {
            let mut answered = 0;
            for _ in 0..3 {
                let (ciphertext, context) = enclave::encapsulate(&manifest, &request);
                let answer = connection.ohttp(&ciphertext).await;
                if answer.status == 200 {
                    let response = enclave::unseal(context, &answer);
                    assert!(matches!(response.status, 200 | 503), "{response:?}");
                    answered += usize::from(response.status == 200);
                } else {
                    assert_eq!(Problem::parse(&answer.body).unwrap().kind, ProblemKind::Busy);
                }
            }
            answered
        });
    }
    connections.join_all().await.into_iter().sum()
}

/// A text of numbers in two bytes each becomes twice as large, and once was held five times; eight of them at once.
#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_within_once_and_a_half_of_what_is_configured() {
    let Some((enclave, _guest, _folder)) = enclave(models::FLOAT).await else { return };
    let mut connection = Connection::open(&enclave.address, "h2").await;
    let (_, manifest) = connection.envelope().await;
    let response = connection.sealed(&manifest, &zeros("FP32", 10)).await;
    assert_eq!((response.status, counted(&response)), (200, 10));
    let (_, before) = enclave.resident_bytes();

    let count = (MESSAGE - 70_000) / 2;
    let response = connection.sealed(&manifest, &zeros("FP32", count)).await;
    assert_eq!((response.status, counted(&response)), (200, count as u64), "one alone is answered");
    let answered = flood(&enclave, &manifest, &zeros("FP32", count)).await;
    assert!(answered > 0, "and so are some of many");

    let (peak, after) = enclave.resident_bytes();
    // What lies in the windows of HTTP/2 and in buffers of TLS is not counted, but these connections are quick to be read.
    let most = before + IN_FLIGHT + IN_FLIGHT / 2 + 2 * MIB;
    assert!(peak <= most, "{} KiB above the {} KiB before", (peak - before) / 1024, before / 1024);
    assert!(after <= before + 4 * MIB, "it is given back: {} KiB after {}", after / 1024, before / 1024);
    let response = connection.sealed(&manifest, &zeros("FP32", count)).await;
    assert_eq!((response.status, counted(&response)), (200, count as u64));
}

/// What one request can never have is not `busy`, which would have it tried again for ever.
#[tokio::test(flavor = "multi_thread")]
async fn tensors_beyond_the_share_of_a_request_are_too_large() {
    let Some((enclave, _guest, _folder)) = enclave(models::DOUBLE).await else { return };
    let mut connection = Connection::open(&enclave.address, "h2").await;
    let (_, manifest) = connection.envelope().await;
    let share = IN_FLIGHT / 2;
    // In memory each number is eight bytes, four times its text, which is there as well, padded.
    let response = connection.sealed(&manifest, &zeros("FP64", (MESSAGE - 70_000) / 2)).await;
    let problem = Problem::parse(&response.content).unwrap();
    assert_eq!((response.status, problem.kind, problem.executed), (413, ProblemKind::TooLarge, Executed::No));
    assert!(problem.detail.as_deref().unwrap().contains(&format!("one request can have {share}")), "{problem}");
    let fits = share / 11;
    let response = connection.sealed(&manifest, &zeros("FP64", fits)).await;
    assert_eq!((response.status, counted(&response)), (200, fits as u64));
}

/// Over the wire, through TLS and beside ONNX Runtime, which may keep of a tensor what it likes: what the test binary
/// `wiped` shows of our own code, seen from outside.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_readable_of_a_request_stays_in_the_program() {
    let Some(library) = library::library() else { return };
    let guest = Guest::start().await;
    let enclave = Enclave::start(&library, &guest, &enclave::demonstration(), "");
    if enclave.found(b"canary").is_none() {
        library::skipped("a test may not read the memory of another process here");
        return;
    }
    let mut connection = Connection::open(&enclave.address, "h2").await;
    let (_, manifest) = connection.envelope().await;
    let (id, field) = ("canary-in-the-id-7f3a", "canary-in-a-field-91c2");
    let features: Vec<f32> = (0..30_u8).map(|n| 1.0 + f32::from(n) / 7.0).collect();
    let mut request = Request::new("POST", "enclave.invalid", "/v2/models/m/infer");
    request.fields.push("x-canary", format!("{}{field}", "x".repeat(200))).unwrap();
    request.content = serde_json::json!({
        "id": format!("{}{id}", "x".repeat(200)),
        "inputs": [{"name": "features", "shape": [1, 30], "datatype": "FP32", "data": features}],
    })
    .to_string()
    .into_bytes();
    for _ in 0..20 {
        let response = connection.sealed(&manifest, &request).await;
        assert_eq!(response.status, 200);
        assert!(String::from_utf8(response.content).unwrap().contains(id));
    }
    let numbers: Vec<String> = features[20..24].iter().map(|value| serde_json::to_string(value).unwrap()).collect();
    assert_ne!(enclave.found(manifest.as_bytes()), Some(0), "or else this test shows nothing");
    for canary in [id, field, &numbers.join(",")] {
        assert_eq!(enclave.found(canary.as_bytes()), Some(0), "{canary}");
    }
}
