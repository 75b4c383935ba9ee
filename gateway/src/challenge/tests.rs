//! A client's own challenge, through the endpoint, against instances in memory.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body as _;
use teegate_protocol::headers::{CHALLENGE_PATH, ENVELOPE_PATH};
use teegate_protocol::problem::{Problem, ProblemKind};

use super::*;
use crate::caller::Tenant;
use crate::source::Source;
use crate::testing::{address, gateway, gateway_keeping, peer_of, two_addresses};
use crate::trust::testing::{Who, Wire, serving};

const FRESH: Duration = Duration::from_secs(300);

fn nonce(byte: u8) -> Nonce {
    Nonce::from_bytes([byte; 32])
}

async fn ask(gateway: &Gateway, source: u8, query: &str) -> Response<AnswerStream> {
    let request = Request::get(format!("{CHALLENGE_PATH}{query}")).body(Full::new(Bytes::new())).unwrap();
    gateway.serve(request, &peer_of(&gateway.budget, source)).await
}

async fn body(response: Response<AnswerStream>) -> Vec<u8> {
    response.into_body().collect().await.unwrap().to_bytes().to_vec()
}

async fn problem(response: Response<AnswerStream>) -> Problem {
    let (status, retry_after) = (response.status().as_u16(), response.headers().contains_key(RETRY_AFTER));
    let problem = Problem::parse(&body(response).await).unwrap();
    assert_eq!((status, retry_after), (problem.status(), problem.retry_after.is_some()));
    problem
}

/// An instance that repeats the question, as an envelope would.
fn echo(mut wire: Wire) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Some((request, mut respond)) = wire.arrived.recv().await {
            assert_eq!((request.method(), request.headers().len()), (&Method::GET, 1), "nothing of the client's head");
            let asked = Bytes::from(request.uri().path_and_query().unwrap().as_str().to_owned());
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream.send_data(asked, true).unwrap();
        }
    })
}

#[test]
fn a_query_has_one_nonce_of_32_bytes_and_names_at_most_one_whom() {
    let nonce = nonce(7).to_string();
    let digest = "ab".repeat(32);
    let read = |query: &str| ChallengeQuery::parse(query).map(|query| query.wanted);
    assert_eq!(read(&format!("nonce={nonce}")).unwrap(), Wanted::Any);
    let by_digest = Wanted::Manifest(digest.parse().unwrap());
    assert_eq!(read(&format!("nonce={nonce}&manifest={digest}")).unwrap(), by_digest);
    assert_eq!(read(&format!("model=a%2Bb&nonce={nonce}")).unwrap(), Wanted::Model("a+b".into()));
    for query in [
        String::new(),
        "nonce=".into(),
        format!("nonce={}", "A".repeat(42)),
        format!("nonce={nonce}A"),
        format!("nonce={nonce}="),
        format!("nonce={}+", "A".repeat(42)),
        format!("nonce={nonce}&nonce={nonce}"),
        format!("nonce={nonce}&manifest=ab"),
        format!("nonce={nonce}&manifest={}", digest.to_uppercase()),
        format!("nonce={nonce}&model="),
        format!("nonce={nonce}&model=m&manifest={digest}"),
        format!("nonce={nonce}&wait=1"),
        format!("manifest={digest}"),
    ] {
        assert!(matches!(ChallengeQuery::parse(&query), Err(RouteError::Malformed(_))), "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_challenge_reaches_an_attested_instance_and_its_answer_comes_back_as_it_is() {
    let gateway = gateway();
    let nonce = nonce(7);
    let none = problem(ask(&gateway, 1, &format!("?nonce={nonce}")).await).await;
    assert_eq!(none.kind, ProblemKind::NoAttestedInstance);
    let (wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let _instance = echo(wire);
    for (source, whom) in
        [(1, String::new()), (2, format!("&manifest={}", manifest.digest())), (3, "&model=model".into())]
    {
        let answer = ask(&gateway, source, &format!("?nonce={nonce}{whom}")).await;
        assert_eq!(
            (answer.status(), &answer.headers()[CONTENT_TYPE]),
            (StatusCode::OK, &HeaderValue::from_static(CMW_JSON))
        );
        assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(body(answer).await, format!("{ENVELOPE_PATH}?nonce={nonce}").into_bytes());
    }
    for (whom, kind) in [
        ("&model=other", ProblemKind::UnknownModel),
        (&format!("&manifest={}", "00".repeat(32)), ProblemKind::StaleManifest),
    ] {
        assert_eq!(problem(ask(&gateway, 4, &format!("?nonce={nonce}{whom}")).await).await.kind, kind, "{whom}");
    }
    assert_eq!(ask(&gateway, 4, "?nonce=short").await.status().as_u16(), 400);
    let posted = Request::post(format!("{CHALLENGE_PATH}?nonce={nonce}")).body(Full::new(Bytes::new())).unwrap();
    assert_eq!(gateway.serve(posted, &peer_of(&gateway.budget, 4)).await.status().as_u16(), 405);
    // What is not attested any more is not asked.
    tokio::time::sleep(FRESH).await;
    let lapsed = problem(ask(&gateway, 5, &format!("?nonce={nonce}")).await).await;
    assert_eq!(lapsed.kind, ProblemKind::NoAttestedInstance);
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_told_when_to_come_back_and_one_source_leaves_others_theirs() {
    let gateway = gateway();
    let (wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let _instance = echo(wire);
    let query = format!("?nonce={}", nonce(1));
    for _ in 0..4 {
        assert_eq!(ask(&gateway, 1, &query).await.status(), StatusCode::OK);
    }
    let flooded = problem(ask(&gateway, 1, &query).await).await;
    assert_eq!((flooded.kind, flooded.status(), flooded.retry_after), (ProblemKind::RateLimited, 429, Some(2)));
    // The instance has none left for another source either; a second later it has, and not for the first.
    let other = problem(ask(&gateway, 2, &query).await).await;
    assert_eq!((other.kind, other.retry_after), (ProblemKind::RateLimited, Some(1)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..100 {
        assert_eq!(ask(&gateway, 1, &query).await.status().as_u16(), 429);
    }
    assert_eq!(ask(&gateway, 2, &query).await.status(), StatusCode::OK, "a hundred refusals took nothing from it");
}

#[tokio::test(start_paused = true)]
async fn where_one_instance_has_none_left_another_is_asked() {
    let (gateway, addresses) = two_addresses();
    for (number, address) in addresses.iter().enumerate() {
        let who = Who::new(u8::try_from(number).unwrap() + 1);
        let wire = Wire::connect().await;
        gateway.fleet.accept(address, wire.trusted(&serving(&who, &["model"]), 1, FRESH));
        echo(wire);
    }
    let query = format!("?nonce={}&model=model", nonce(1));
    for source in 0..8 {
        assert_eq!(ask(&gateway, source, &query).await.status(), StatusCode::OK, "{source}");
    }
    assert_eq!(ask(&gateway, 9, &query).await.status().as_u16(), 429);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_says_no_or_nothing_is_told_as_that() {
    let gateway = gateway();
    let (mut wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let query = format!("?nonce={}", nonce(1));
    for (status, kind) in [(429, ProblemKind::RateLimited), (500, ProblemKind::NoAttestedInstance)] {
        let answering = async {
            let (_, mut respond) = wire.arrived.recv().await.unwrap();
            respond.send_response(Response::builder().status(status).body(()).unwrap(), true).unwrap();
        };
        let (answer, ()) = tokio::join!(ask(&gateway, 1, &query), answering);
        let told = problem(answer).await;
        assert_eq!((told.kind, told.retry_after), (kind, Some(1)));
    }
    // One that never answers is given up in the time that evidence may take.
    let told = problem(ask(&gateway, 2, &query).await).await;
    assert_eq!(told.kind, ProblemKind::NoAttestedInstance);
}

#[tokio::test(start_paused = true)]
async fn challenges_under_way_are_bounded_and_pay_for_their_memory() {
    let gateway = gateway();
    let (wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let caller = |source| crate::caller::Caller::new(Tenant::DEFAULT, Source::V4([10, 0, 0, source]));
    let held: Vec<_> = (0..16).map(|source| gateway.challenges.enter(&caller(source))).collect();
    let query = format!("?nonce={}", nonce(1));
    assert_eq!(problem(ask(&gateway, 99, &query).await).await.kind, ProblemKind::Busy);
    drop(held);
    // Without memory for an envelope nobody is asked.
    let small = gateway_keeping(1 << 10);
    small.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    assert_eq!(problem(ask(&small, 1, &query).await).await.kind, ProblemKind::Busy);
    // What is kept of an answer is paid until it is dropped.
    let _instance = echo(wire);
    let peer = peer_of(&gateway.budget, 1);
    let before = gateway.budget.kept();
    let request = Request::get(format!("{CHALLENGE_PATH}{query}")).body(Full::new(Bytes::new())).unwrap();
    let answer = gateway.serve(request, &peer).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let length = answer.size_hint().exact().unwrap();
    assert_eq!(gateway.budget.kept(), before + length);
    drop(answer);
    assert_eq!(gateway.budget.kept(), before);
}
