//! What an operator is shown of the fleet, as the listener answers it.

use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use teegate_protocol::manifest::SpkiDigest;

use super::*;
use crate::testing::{gateway, peer, two_addresses};
use crate::trust::Distrust;
use crate::trust::testing::{Who, Wire, serving};

const FRESH: Duration = Duration::from_secs(300);

async fn shown(gateway: &Gateway) -> FleetView {
    let answer = gateway.serve_operator(&Method::GET, "/v1/fleet", &peer());
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "application/json");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_address_says_where_it_stands_and_why() {
    let (gateway, [one, two]) = two_addresses();
    let fleet = &gateway.fleet;
    let view = shown(&gateway).await;
    assert_eq!((view.schema.as_str(), view.ready), (SCHEMA, false));
    assert_eq!(view.why_unready.as_deref(), Some("no instance is attested"));
    assert_eq!(view.ends_first, None);
    assert_eq!(view.policy.name, "test");
    let states: Vec<_> = view.instances.iter().map(|instance| instance.state.as_str()).collect();
    assert_eq!(states, ["pending", "pending"]);

    let (wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    fleet.accept(&one, wire.trusted(&manifest, 1, FRESH));
    let failed = Failed {
        check: "snp.policy.debug",
        expected: "DEBUG 0".into(),
        found: "DEBUG 1".into(),
        remedy: "start it without debug".into(),
    };
    let distrust = Distrust {
        checks: vec!["snp.policy.debug"],
        explanation: String::new(),
        failed: [failed].into(),
        tls_spki: SpkiDigest([7; 32]),
    };
    for _ in 0..3 {
        fleet.reject(&two, &distrust, 1);
    }
    tokio::time::advance(Duration::from_secs(40)).await;
    let view = shown(&gateway).await;
    assert!(view.ready);
    assert_eq!(view.ends_first.as_ref().map(|end| (end.kind.as_str(), end.name.as_str())), Some(("crl", "ARK-Genoa")));
    let [attested, rejected] = view.instances.as_slice() else { panic!("{view:?}") };
    let proof = attested.proof.as_ref().unwrap();
    assert_eq!((attested.state.as_str(), proof.seconds, attested.in_flight), ("attested", 260, 0));
    assert_eq!(attested.breaker.as_deref(), Some("closed"));
    assert_eq!(proof.manifest, manifest.digest().to_string());
    assert_eq!((proof.code_name.as_str(), proof.code.len()), ("measurement", 96));
    assert_eq!(proof.models, [ModelView { name: "model".into(), version: "1".into() }]);
    assert_eq!((rejected.state.as_str(), rejected.tries, &rejected.proof), ("rejected", 3, &None));
    assert_eq!(rejected.checks, ["snp.policy.debug"]);
    let said = &rejected.failed[0];
    assert_eq!((said.expected.as_str(), said.found.as_str()), ("DEBUG 0", "DEBUG 1"));
    assert!(rejected.since < view.at, "it is 40 seconds old: {} of {}", rejected.since, view.at);

    fleet.silent(&one, "status", "answered 503".into());
    let view = shown(&gateway).await;
    let silent = &view.instances[0];
    assert_eq!((silent.state.as_str(), silent.tries), ("attested", 1), "the last proof counts to its end");
    tokio::time::advance(FRESH).await;
    let view = shown(&gateway).await;
    assert_eq!(view.instances[0].state, "unreachable");
    assert_eq!(view.instances[0].silence.as_ref().unwrap().error, "answered 503");
    assert_eq!(view.instances[0].since, view.at, "a lapse is as old as its proof, not as the silence");
}

#[tokio::test(start_paused = true)]
async fn requests_and_a_resting_instance_are_shown() {
    let (gateway, [one, _]) = two_addresses();
    let (wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    gateway.fleet.accept(&one, wire.trusted(&manifest, 1, FRESH));
    let crate::release::Admission::Release(release) = crate::release::admit(&gateway.fleet, manifest.digest()) else {
        panic!("attested")
    };
    let caller = *peer().caller();
    let room = release.backend.room(&caller, crate::turns::Readiness::Whole).await.unwrap();
    let in_flight = |view: FleetView| view.instances[0].in_flight;
    assert_eq!(in_flight(shown(&gateway).await), 1);
    drop(room);
    assert_eq!(in_flight(shown(&gateway).await), 0);
    for _ in 0..3 {
        let crate::release::Admission::Release(release) = crate::release::admit(&gateway.fleet, manifest.digest())
        else {
            panic!("attested")
        };
        release.trial.unwrap().failed(tokio::time::Instant::now());
    }
    let breaker = |view: FleetView| view.instances[0].breaker.clone();
    assert_eq!(breaker(shown(&gateway).await).as_deref(), Some("open"));
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(breaker(shown(&gateway).await).as_deref(), Some("half-open"));
}

#[tokio::test(start_paused = true)]
async fn an_instance_of_many_models_takes_a_few_kilobytes() {
    let (gateway, [one, _]) = two_addresses();
    let names: Vec<String> = (0..64).map(|number| format!("{number:0>128}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (wire, manifest) = (Wire::connect().await, serving(&Who::new(1), &names));
    gateway.fleet.accept(&one, wire.trusted(&manifest, 1, FRESH));
    let view = shown(&gateway).await;
    let proof = view.instances[0].proof.as_ref().unwrap();
    assert_eq!((proof.models.len(), proof.more_models), (MODELS, 64 - 16));
    let length = serde_json::to_string(&view.instances[0]).unwrap().len();
    assert!(length < 5_000, "{length}");
}

#[test]
fn only_asking_is_allowed() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let answer = gateway().serve_operator(&Method::POST, "/v1/fleet", &peer());
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers()["allow"], "GET");
        // Clients have no business there.
        assert_eq!(gateway().serve_operator(&Method::GET, "/v1/instances", &peer()).status(), StatusCode::NOT_FOUND);
    });
}
