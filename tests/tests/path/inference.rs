//! What has to work: a verified client gets its inference, on either platform, with receipts.

use teegate_client::{AnswerError, Error, Settings};
use teegate_tests::harness::{Enclave, Guest, Scratch};

use crate::{Stage1, assert_is_expected_answer, sample};

#[tokio::test]
async fn a_verified_client_gets_its_inference() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let client = stage.connect(&gateway).await.unwrap();
    let reply = client.infer_json(sample()).await.unwrap();
    assert_eq!(reply.response.status, 200);
    assert_is_expected_answer(&reply.response.content);
    let receipt = reply.receipt.expect("an execution receipt");
    assert_eq!(&receipt.manifest, reply.instance.digest());
    assert_eq!(receipt.model, reply.instance.manifest().models[0].sha256);
    assert_eq!(reply.instance.attested().bound_to().map(|b| b.name()), Some("workload"));
}

#[tokio::test]
async fn a_tdx_guest_serves_as_well() {
    let scratch = Scratch::new();
    let guest = Guest::start(&scratch, "guest", &["--tee", "tdx"]).await;
    let enclave = Enclave::start(&scratch, "enclave", &guest).await;
    let stage = Stage1 { scratch, guest, enclave };
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let client = stage.connect(&gateway).await.unwrap();
    assert_is_expected_answer(&client.infer_json(sample()).await.unwrap().response.content);
}

#[tokio::test]
async fn the_gateways_release_receipt_is_checked_where_its_key_is_pinned() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let key = gateway.program.ready["receipt_key"].as_str().unwrap().parse().unwrap();
    let pinned = Settings { gateway_receipt_keys: vec![key], ..Settings::default() };
    let client = stage.connect_with(&gateway, pinned).await.unwrap();
    let reply = client.infer_json(sample()).await.unwrap();
    assert!(matches!(reply.release, teegate_client::ReleaseCheck::Verified(_)), "{:?}", reply.release);

    let other = Settings { gateway_receipt_keys: vec!["11".repeat(32).parse().unwrap()], ..Settings::default() };
    let client = stage.connect_with(&gateway, other).await.unwrap();
    let error = client.infer_json(sample()).await.unwrap_err();
    assert!(matches!(error, Error::Answer(AnswerError::Release { .. })), "{error}");
}
