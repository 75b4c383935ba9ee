//! The log of a TD's boot, on the whole path: the enclave hands it on, and gateway and client hold it against the quote.

use teegate_protocol::problem::ProblemKind;
use teegate_tests::harness::Gateway;

use crate::infer_command::infer_command;
use crate::{Stage1, problem, relay, sample};

/// A TD that hands out this log of its boot (`own`, `none`, `another`).
async fn booted(log: &str) -> Stage1 {
    Stage1::set_in(&["--tee", "tdx", "--event-log", log]).await
}

fn requiring(stage: &Stage1) -> String {
    let policy = stage.guest.policy();
    let required = policy.replacen("\nevent_log = \"unchecked\"\n", "\nevent_log = \"required\"\n", 1);
    assert_ne!(required, policy);
    required
}

async fn gateway(stage: &Stage1, policy: &str) -> Gateway {
    Gateway::start(&stage.scratch, "gateway", &stage.guest, policy, &[&stage.enclave.address], "").await
}

/// The checks for which this gateway refuses the instance.
async fn refused_by(gateway: &Gateway, stage: &Stage1) -> Vec<String> {
    let (sealed, manifest) = stage.sealed_sample().await;
    let refused = problem(&relay(gateway, sealed.bytes(), &manifest, 3).await);
    assert_eq!(refused.kind, ProblemKind::EvidenceRejected, "{refused}");
    refused.checks
}

#[tokio::test]
async fn an_instance_with_the_log_of_its_boot_passes_where_one_is_required() {
    let stage = booted("own").await;
    let required = requiring(&stage);
    let gateway = gateway(&stage, &required).await;
    gateway.attested().await;
    let url = format!("http://{}", gateway.address);
    let report = stage.scratch.path().join("report.json").display().to_string();
    let (status, _, err) = infer_command(&stage, &url, &required, &sample(), &["--report", &report]).await;
    assert_eq!(status, 0, "{err}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let line = report["checks"].as_array().unwrap().iter().find(|check| check["id"] == "tdx.log.replay").unwrap();
    assert_eq!((&line["result"], &report["facts"]["event_log_events"]), (&"pass".into(), &6.into()), "{line}");
}

#[tokio::test]
async fn an_instance_without_the_log_of_its_boot_is_refused_where_one_is_required() {
    let stage = booted("none").await;
    let required = requiring(&stage);
    assert_eq!(refused_by(&gateway(&stage, &required).await, &stage).await, ["tdx.log.replay"]);

    // The passing twin asks for none, and a client that does refuses for itself.
    let lenient = stage.guest.policy();
    let gateway = gateway(&stage, &lenient).await;
    gateway.attested().await;
    let url = format!("http://{}", gateway.address);
    let (status, _, err) = infer_command(&stage, &url, &lenient, &sample(), &[]).await;
    assert_eq!(status, 0, "{err}");
    let (status, _, err) = infer_command(&stage, &url, &required, &sample(), &[]).await;
    assert!(status == 4 && err.contains("tdx.log.replay"), "{status} {err}");
}

#[tokio::test]
async fn the_log_of_another_boot_is_refused_whether_or_not_one_is_required() {
    let stage = booted("another").await;
    for policy in [requiring(&stage), stage.guest.policy()] {
        assert_eq!(refused_by(&gateway(&stage, &policy).await, &stage).await, ["tdx.log.replay"]);
    }
}
