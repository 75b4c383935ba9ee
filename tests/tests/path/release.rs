//! When the gateway lets a sealed request pass: not before its instance is attested, and no longer than it is.

use teegate_client::{Error, Executed, ProblemKind};
use teegate_tests::harness::{DEADLINE, Guest, MODEL, eventually};
use teegate_tests::wire::Wire;

use crate::{LIMIT, Stage1, assert_is_expected_answer, problem, relay, sample};

#[tokio::test]
async fn a_request_is_held_and_released_when_its_instance_becomes_attested() {
    let stage = Stage1::set().await;
    let wire = Wire::closed(&stage.enclave.address).await;
    let gateway = stage.gateway(&wire.address, "").await;
    let (sealed, manifest) = stage.sealed_sample().await;
    let held = relay(&gateway, sealed.bytes(), &manifest, 30);
    let opened = async {
        eventually("the request is held", || async {
            (gateway.metric("teegate_gateway_held_requests").await == 1).then_some(())
        })
        .await;
        assert_eq!(wire.sent(), 0, "not a byte goes to an instance that was not attested");
        wire.open();
    };
    let (answer, ()) = tokio::join!(held, opened);
    assert_eq!((answer.status, answer.header("content-type")), (200, "message/ohttp-res"), "{}", answer.text());
    assert_is_expected_answer(&sealed.open(&answer.body, LIMIT).unwrap().response.content);
}

#[tokio::test]
async fn a_held_request_ends_at_its_deadline_and_was_never_sent() {
    let stage = Stage1::set().await;
    let wire = Wire::closed(&stage.enclave.address).await;
    let gateway = stage.gateway(&wire.address, "").await;
    let (sealed, manifest) = stage.sealed_sample().await;
    let answer = relay(&gateway, sealed.bytes(), &manifest, 1).await;
    let problem = problem(&answer);
    assert_eq!((problem.kind, problem.executed), (ProblemKind::NoAttestedInstance, Executed::No));
    assert_eq!(wire.sent(), 0);
    assert_eq!(gateway.metric("teegate_gateway_released_bytes_total").await, 0);
    // The same ciphertext is still good: it was not used up anywhere.
    wire.open();
    let answer = relay(&gateway, sealed.bytes(), &manifest, 30).await;
    assert!(sealed.open(&answer.body, LIMIT).is_ok(), "{}", answer.text());
}

#[tokio::test]
async fn a_failed_reattestation_stops_releases_at_once() {
    let Stage1 { scratch, guest, enclave } = Stage1::set().await;
    let listening = guest.program.address("listening");
    let mut stage = Stage1 { scratch, guest, enclave };
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    gateway.attested().await;
    let (sealed, manifest) = stage.sealed_sample().await;
    assert_eq!(relay(&gateway, sealed.bytes(), &manifest, 0).await.status, 200, "the passing twin");
    let released = gateway.metric("teegate_gateway_released_bytes_total").await;

    // From now on the enclave's evidence is signed under a root that the gateway's policy does not pin.
    stage.guest.program.kill().await;
    let _other = Guest::start_at(&stage.scratch, "other-guest", &listening, &[]).await;
    eventually("the gateway rejects the instance", || async {
        let answer = gateway.ask("GET", &format!("/v1/instances?model={MODEL}"), &[], b"").await;
        (answer.status == 503 && problem(&answer).kind == ProblemKind::EvidenceRejected).then_some(())
    })
    .await;
    let (sealed, manifest) = stage.sealed_sample().await;
    let refused = problem(&relay(&gateway, sealed.bytes(), &manifest, 0).await);
    assert_eq!((refused.kind, refused.executed), (ProblemKind::EvidenceRejected, Executed::No), "{refused}");
    // The gateway was given the chain of this chip under the root that is pinned; its key has not signed the report.
    assert_eq!(refused.checks, ["snp.signature"], "{refused}");
    assert_eq!(gateway.metric("teegate_gateway_released_bytes_total").await, released);
}

#[tokio::test]
async fn killing_the_enclave_during_a_request_gives_one_clear_error() {
    let mut stage = Stage1::set().await;
    let wire = Wire::to(&stage.enclave.address).await;
    let gateway = stage.gateway(&wire.address, "").await;
    let client = stage.connect(&gateway).await.unwrap();
    client.infer_json(sample()).await.expect("the passing twin");

    // The request reaches the enclave and its answer does not come back; then the enclave dies.
    let released = gateway.metric("teegate_gateway_released_bytes_total").await;
    wire.hold_answers();
    let killed = async {
        eventually("the request has left the gateway", || async {
            (gateway.metric("teegate_gateway_released_bytes_total").await > released).then_some(())
        })
        .await;
        stage.enclave.program.kill().await;
    };
    let asked = tokio::time::timeout(DEADLINE, client.infer_json(sample()));
    let (answer, ()) = tokio::join!(asked, killed);
    let error = answer.expect("an answer in time").unwrap_err();
    let Error::Remote(remote) = &error else { panic!("{error}") };
    assert_eq!(remote.problem.as_ref().map(|p| p.kind), Some(ProblemKind::UpstreamLost), "{error}");
    assert_eq!(error.executed(), Executed::Unknown);
    assert!(error.to_string().contains("unknown"), "{error}");
}
