//! How a door seals: for how long its requests may be held, whether they are sealed again, and whose word on the release counts.

use teegate_tests::harness::{Gateway, MODEL, Program, eventually};
use teegate_tests::http::{Answer, plain};

use crate::proxy_command::Door;
use crate::{Stage1, assert_is_expected_answer, sample};

async fn infer(door: &Door) -> Answer {
    let path = format!("/v2/models/{MODEL}/infer");
    plain(&door.address, "POST", &path, &[("content-type", "application/json")], &sample()).await
}

#[tokio::test]
async fn a_door_that_pins_the_gateways_receipt_key_takes_no_answer_without_its_receipt() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let key = gateway.program.address("receipt_key");

    let door = Door::open(&stage, &gateway, &["--gateway-receipt-key", &key]).await;
    let answer = infer(&door).await;
    assert_eq!((answer.status, answer.header("teegate-release-check")), (200, "verified"), "{}", answer.text());
    assert_is_expected_answer(&answer.body);
    drop(door);

    let door = Door::open(&stage, &gateway, &[]).await;
    assert_eq!(infer(&door).await.header("teegate-release-check"), "not-checked");
    drop(door);

    let door = Door::open(&stage, &gateway, &["--gateway-receipt-key", &"11".repeat(32)]).await;
    let answer = infer(&door).await;
    assert_eq!((answer.status, answer.header("teegate-executed")), (502, "unknown"), "{}", answer.text());
    assert!(answer.text().contains("the gateway's release receipt"), "{}", answer.text());
}

/// The enclave is started again at its address: what the door sealed to is gone, and the gateway asks for another seal.
async fn restarted(stage: &mut Stage1, gateway: &Gateway) {
    let listed = async || gateway.ask("GET", "/v1/instances", &[], b"").await;
    let before = listed().await;
    assert_eq!(before.status, 200);
    let address = stage.enclave.address.clone();
    let config = std::fs::read_to_string(stage.scratch.path().join("enclave.toml")).unwrap();
    let config = stage.scratch.write("enclave-again.toml", &config.replacen("127.0.0.1:0", &address, 1));
    stage.enclave.program.kill().await;
    stage.enclave.program =
        Program::start(&stage.scratch, "enclave-again", "enclave-app", &["--config", &config]).await;
    eventually("the new instance is offered", || async {
        let now = listed().await;
        (now.status == 200 && now.body != before.body).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_request_that_is_sealed_once_is_not_sealed_again() {
    let mut stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let door = Door::open(&stage, &gateway, &["--once", "--hold", "0"]).await;
    assert_eq!(infer(&door).await.status, 200);
    restarted(&mut stage, &gateway).await;
    let answer = infer(&door).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    // That nothing ran is the gateway's word only.
    assert_eq!(answer.header("teegate-executed"), "unknown");
    assert!(answer.text().contains("urn:teegate:problem:") || answer.text().contains("reseal"), "{}", answer.text());
}

#[tokio::test]
async fn without_that_it_is_sealed_again_to_whoever_is_verified_then() {
    let mut stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let door = Door::open(&stage, &gateway, &["--hold", "0"]).await;
    let first = infer(&door).await;
    assert_eq!(first.status, 200);
    restarted(&mut stage, &gateway).await;
    let answer = infer(&door).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_ne!(first.header("teegate-manifest"), answer.header("teegate-manifest"));
}

#[tokio::test]
async fn the_gateway_is_told_how_long_it_may_hold() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    for (arguments, told) in [(&["--hold", "7"][..], "teegate-hold: 7\r\n"), (&[], "teegate-hold: 30\r\n")] {
        let door = Door::open_by_tap(&stage, &gateway, arguments).await;
        assert_eq!(infer(&door.0).await.status, 200);
        let seen = String::from_utf8_lossy(&door.1.seen()).to_ascii_lowercase();
        assert!(seen.contains(told), "{told}");
    }
}
