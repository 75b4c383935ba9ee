//! Who is shown to clients: those that are attested, serve the model, and take requests.

use super::*;
use crate::trust::testing::serving;

/// `GET /v1/instances` over a connection of its own.
async fn list(gateway: &Arc<Gateway>, query: &str) -> Response<AnswerStream> {
    serve(gateway, Request::get(format!("{INSTANCES_PATH}{query}")).body(Full::new(Bytes::new())).unwrap()).await
}

fn listing(gateway: &Arc<Gateway>, query: &'static str) -> tokio::task::JoinHandle<Response<AnswerStream>> {
    let gateway = Arc::clone(gateway);
    tokio::spawn(async move { list(&gateway, query).await })
}

#[tokio::test(start_paused = true)]
async fn instances_are_listed_when_there_are_some_and_waited_for_when_not() {
    let gateway = gateway();
    let start = Instant::now();
    assert_eq!(problem_of(list(&gateway, "").await).await.kind, ProblemKind::NoAttestedInstance);
    assert_eq!(start.elapsed().as_secs(), 0, "nobody asked to wait");
    let waiting = listing(&gateway, "?model=model&wait=30");
    tokio::time::sleep(Duration::from_secs(29)).await;
    let (wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished(), "without its epoch evidence it is not shown");
    gateway.fleet.accept_offer(&address(), offer(&manifest, 1));
    let response = waiting.await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let listing: serde_json::Value = serde_json::from_slice(&body_of(response).await).unwrap();
    let expected = serde_json::json!({ "instances": [{ "manifest": manifest.digest().to_string(), "envelope": {} }] });
    assert_eq!(listing, expected);
    assert_eq!(problem_of(list(&gateway, "?model=other").await).await.kind, ProblemKind::UnknownModel);
    for query in ["?model=a%20b", "?model=", "?wait=x", "?wait=1&wait=2", "?nonce=1"] {
        assert_eq!(list(&gateway, query).await.status().as_u16(), 400, "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_nobody_serves_is_told_at_once_with_those_that_are_served() {
    let gateway = gateway();
    let wire = Wire::connect().await;
    // While nobody is attested nothing is known of models.
    let start = Instant::now();
    assert_eq!(problem_of(list(&gateway, "?model=other&wait=5").await).await.kind, ProblemKind::NoAttestedInstance);
    assert_eq!(start.elapsed().as_secs(), 5);
    let manifest = serving(&Who::new(1), &["model", "second"]);
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let start = Instant::now();
    let problem = problem_of(list(&gateway, "?model=other&wait=30").await).await;
    assert_eq!((problem.kind, problem.executed, problem.retry_after), (ProblemKind::UnknownModel, Executed::No, None));
    assert_eq!(problem.detail.as_deref(), Some("no attested instance serves `other`; they serve `model`, `second`"));
    assert_eq!(start.elapsed().as_secs(), 0);
    // One that is served and not offered yet is waited for; who waits is told when it turns out that nobody serves it.
    let waiting = listing(&gateway, "?model=second&wait=30");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let manifest = serving(&Who::new(2), &["model"]);
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let problem = problem_of(waiting.await.unwrap()).await;
    assert_eq!((problem.kind, start.elapsed().as_secs()), (ProblemKind::UnknownModel, 1));
}

#[tokio::test(start_paused = true)]
async fn every_list_is_made_of_the_same_bytes() {
    let gateway = gateway();
    let (wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let offer = offer(&manifest, 1);
    let written = offer.once().listed().as_ptr();
    gateway.fleet.accept_offer(&address(), offer);
    for _ in 0..2 {
        let response = list(&gateway, "").await;
        assert!(response.body().size_hint().exact().is_some(), "with a length");
        let mut body = response.into_body();
        let mut parts = Vec::new();
        while let Some(frame) = body.frame().await {
            parts.push(frame.unwrap().into_data().unwrap());
        }
        assert_eq!((parts.len(), parts[1].as_ptr()), (3, written));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_told_of_models_is_bounded() {
    let gateway = gateway();
    let wire = Wire::connect().await;
    let names: Vec<String> = (0..64).map(|number| format!("{number:03}{}", "m".repeat(100))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    gateway.fleet.accept(&address(), wire.trusted(&serving(&Who::new(1), &names), 1, FRESH));
    let asked = "a".repeat(128);
    let problem = problem_of(list(&gateway, &format!("?model={asked}")).await).await;
    let detail = problem.detail.unwrap();
    assert!(
        detail.starts_with(&format!("no attested instance serves `{}`; they serve `000m", "a".repeat(80))),
        "{detail}"
    );
    assert!(detail.ends_with(" and others") && detail.matches('`').count() == 2 * (1 + 16), "{detail}");
    assert!(detail.split('`').all(|name| name.len() <= 80), "{detail}");
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_was_there_a_moment_ago_is_waited_for() {
    let (gateway, [one, two]) = two_addresses();
    let (wire, other) = (Wire::connect().await, Wire::connect().await);
    let (first, second) = (serving(&Who::new(1), &["first"]), serving(&Who::new(2), &["second"]));
    gateway.fleet.accept(&one, wire.trusted(&first, 1, FRESH));
    gateway.fleet.accept(&two, other.trusted(&second, 1, Duration::from_secs(1)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let waiting = listing(&gateway, "?model=second&wait=30");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished(), "its proof has lapsed, and the next check may be a moment away");
    gateway.fleet.accept(&two, other.trusted(&second, 1, FRESH));
    gateway.fleet.accept_offer(&two, offer(&second, 1));
    assert_eq!(waiting.await.unwrap().status(), StatusCode::OK);
    assert_eq!(problem_of(list(&gateway, "?model=third").await).await.kind, ProblemKind::UnknownModel);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_takes_no_more_is_not_shown_and_its_clients_go_elsewhere() {
    let (gateway, [one, two]) = two_addresses();
    let (mut wires, manifests) = (Vec::new(), [Who::new(1).manifest(0, None), Who::new(2).manifest(0, None)]);
    for (address, manifest) in [&one, &two].into_iter().zip(&manifests) {
        let wire = Wire::connect().await;
        gateway.fleet.accept(address, wire.trusted(manifest, 1, FRESH));
        gateway.fleet.accept_offer(address, offer(manifest, 1));
        wires.push(wire);
    }
    let shown = async || {
        let listing: serde_json::Value = serde_json::from_slice(&body_of(list(&gateway, "").await).await).unwrap();
        listing["instances"].as_array().unwrap().len()
    };
    let send = |manifest: &ManifestDigest| relay(&gateway, manifest, Full::new(Bytes::from_static(SEALED)));
    let ready = || gateway.serve_operator(&Method::GET, READY_PATH, &peer_of(&gateway.budget, 1)).status();
    let links = wires.iter().map(Wire::link_id).collect::<Vec<_>>();
    assert_eq!((shown().await, ready()), (2, StatusCode::OK));

    assert!(gateway.fleet.heard(&one, links[0], true));
    assert!(!gateway.fleet.heard(&one, links[0], true), "it is news once");
    assert_eq!((shown().await, ready()), (1, StatusCode::OK));
    let problem = problem_of(send(manifests[0].digest()).await.unwrap()).await;
    assert_eq!((problem.kind, problem.executed), (ProblemKind::Reseal, Executed::No));
    gateway.fleet.heard(&two, links[1], true);
    let problem = problem_of(send(manifests[0].digest()).await.unwrap()).await;
    assert_eq!((problem.kind, problem.retry_after), (ProblemKind::Busy, Some(1)));
    assert_eq!(problem_of(list(&gateway, "?wait=1").await).await.kind, ProblemKind::Busy, "waited for, and in vain");
    assert_eq!(ready(), StatusCode::SERVICE_UNAVAILABLE);
    for wire in &mut wires {
        assert!(wire.arrived.try_recv().is_err(), "nothing was sent to either");
    }
    // Who waits for one is told when one is free again.
    let waiting = listing(&gateway, "?wait=30");
    tokio::time::sleep(Duration::from_secs(1)).await;
    gateway.fleet.heard(&one, links[0], false);
    assert_eq!(waiting.await.unwrap().status(), StatusCode::OK);
    let relaying = send(manifests[0].digest());
    let (request, mut respond) = wires[0].arrived.recv().await.unwrap();
    assert_eq!(read(request.into_body()).await.unwrap(), SEALED);
    answer(&mut respond, 200, b"");
    assert_eq!(relaying.await.unwrap().status(), StatusCode::OK);
    // A no counts for the connection on which it was said.
    gateway.fleet.heard(&two, links[1] + 1_000, true);
    assert_eq!(shown().await, 2);
}

#[tokio::test(start_paused = true)]
async fn the_waits_for_an_instance_are_bounded_and_the_surplus_is_told_at_once() {
    let gateway = gateway();
    let mut waiting = Vec::new();
    // Of eight waits one source gets two thirds; another gets some of the rest.
    for source in [1, 1, 1, 1, 1, 1, 2] {
        let gateway = Arc::clone(&gateway);
        waiting.push(tokio::spawn(async move {
            let start = Instant::now();
            let request = Request::get(format!("{INSTANCES_PATH}?wait=30")).body(Full::new(Bytes::new())).unwrap();
            let response = gateway.serve(request, &peer_of(&gateway.budget, source)).await;
            let retry_after = response.headers().get(RETRY_AFTER).cloned();
            (problem_of(response).await.kind, retry_after.is_some(), start.elapsed().as_secs())
        }));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(gateway.polls.waiting(), 6);
    let mut told = Vec::new();
    for waiting in waiting {
        told.push(waiting.await.unwrap());
    }
    let waited = (ProblemKind::NoAttestedInstance, true, 30);
    assert_eq!(told, [waited, waited, waited, waited, waited, (ProblemKind::Busy, true, 0), waited]);
    assert_eq!(gateway.polls.waiting(), 0);
    let listed = problem_of(list(&gateway, "").await).await.kind;
    assert_eq!(listed, ProblemKind::NoAttestedInstance, "who does not wait needs no leave to");
}

#[tokio::test(start_paused = true)]
async fn a_statement_is_had_by_its_digest_and_never_changes() {
    let gateway = gateway();
    let ask = async |method: &str, name: &str| {
        let request = Request::builder().method(method).uri(format!("{ENDORSEMENTS_PATH}{name}"));
        serve(&gateway, request.body(Full::new(Bytes::new())).unwrap()).await
    };
    let statement = gateway.fleet.appraisal().vouched.keep_bytes(b"a list");
    let name = statement.digest.to_string();
    let answer = ask("GET", &name).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/pkix-crl");
    assert_eq!(answer.headers()[http::header::CACHE_CONTROL], "public, max-age=31536000, immutable");
    assert_eq!(body_of(answer).await, b"a list");
    let other = "0".repeat(64);
    for unknown in [&other, &name.to_uppercase(), "ab", &format!("{name}0"), ""] {
        assert_eq!(ask("GET", unknown).await.status(), StatusCode::NOT_FOUND, "{unknown}");
    }
    let refused = ask("POST", &name).await;
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.headers()[ALLOW], "GET");
    drop(statement);
    assert_eq!(ask("GET", &name).await.status(), StatusCode::NOT_FOUND, "nobody rests on it any more");
}
