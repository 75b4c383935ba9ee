//! What the gateway does by itself: a round of attestation, with the checks that fail.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::trace::v1::Span as Decoded;

use super::oracle::{Oracle, attributes};
use super::*;
use crate::trust::forged::{honest, platform};

fn is_failed(span: &Decoded) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == 2)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_of_attestation_is_a_trace_with_the_verdict() {
    let oracle = Oracle::start().await;
    let enclave = Enclave::start(|who, challenge| honest(who, &platform().debug(), challenge)).await;
    let address = enclave.address.clone();
    let _stage = Stage::set(settings(oracle.address, ""), enclave, "admission = 'none'").await;
    let spans = oracle.trace_with("attest", |_| true).await;
    let of = |name: &str| spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name}: {spans:#?}"));
    let (attest, judge) = (of("attest"), of("judge"));
    assert!(attest.parent_span_id.is_empty() && is_failed(attest) && is_failed(judge));
    for child in ["link", "evidence", "judge"] {
        assert_eq!(of(child).parent_span_id, attest.span_id, "{child}");
    }
    assert!(!is_failed(of("link")) && !is_failed(of("evidence")));
    assert_eq!(attributes(&judge.attributes)["teegate.failed_checks"], "snp.policy.debug");
    let expected = [
        ("teegate.instance.address", address.as_str()),
        ("teegate.policy_version", "1"),
        ("teegate.outcome", "rejected"),
        ("teegate.failed_checks", "snp.policy.debug"),
        ("error.type", "rejected"),
    ];
    let expected = BTreeMap::from(expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(attributes(&attest.attributes), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_round_and_one_without_an_answer_say_so() {
    let oracle = Oracle::start().await;
    let stage = Stage::honest(&oracle, 77, "").await;
    let spans = oracle.trace_with("attest", |_| true).await;
    assert!(!spans.iter().any(is_failed), "{spans:#?}");
    let attest = spans.iter().find(|span| span.name == "attest").unwrap();
    assert_eq!(attributes(&attest.attributes)["teegate.outcome"], "accepted");
    assert_eq!(spans.iter().filter(|span| span.name == "evidence").count(), 2, "channel and epoch");
    drop(stage);

    let gone = Enclave::numbered(78).await;
    gone.mood.is_busy.store(true, std::sync::atomic::Ordering::SeqCst);
    let _stage = Stage::set(settings(oracle.address, ""), gone, "admission = 'none'").await;
    let spans = oracle.trace_with("attest", is_failed).await;
    let attest = attributes(&spans.iter().find(|span| span.name == "attest").unwrap().attributes);
    assert_eq!((attest["teegate.outcome"].as_str(), attest["error.type"].as_str()), ("no-answer", "status"));
}
