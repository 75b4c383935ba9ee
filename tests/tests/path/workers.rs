//! Whether an instance has workers, and room for a request, is heard by the gateway, and so by its clients.

use std::process::Stdio;
use std::sync::Arc;

use teegate_client::{Error, ProblemKind, Settings, SharedRuns};
use teegate_protocol::problem::Executed;
use teegate_tests::harness::{Enclave, Guest, MODEL, Scratch, eventually, model_folder};

use crate::infer_command::infer_command;
use crate::models_command::models;
use crate::{Stage1, assert_is_expected_answer, problem, sample};

/// An enclave whose configuration says more.
async fn stage(more: &str) -> Stage1 {
    let scratch = Scratch::new();
    let guest = Guest::start(&scratch, "guest", &[]).await;
    let enclave = Enclave::configured(&scratch, "enclave", &guest, MODEL, &model_folder(), more).await;
    Stage1 { scratch, guest, enclave }
}

/// Stops the workers where they are, or lets them go on: a model that is as slow as a test wants.
fn signal(enclave: &Enclave, signal: &str) {
    let workers = enclave.program.children();
    assert!(!workers.is_empty());
    let words = workers.iter().map(u32::to_string);
    assert!(
        std::process::Command::new("kill").arg(signal).args(words).stderr(Stdio::null()).status().unwrap().success()
    );
}

#[tokio::test]
async fn an_instance_whose_workers_are_gone_is_not_offered_until_they_are_back() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "health_seconds = 1\n").await;
    gateway.attested().await;
    let client = stage.connect(&gateway).await.unwrap();
    client.infer_json(sample()).await.expect("the passing twin");

    // Nothing happens in them that should end them; what ends them here is what a kernel does that is short of memory.
    let kill = || {
        let workers = stage.enclave.program.children();
        let words = workers.iter().map(u32::to_string);
        let _ =
            std::process::Command::new("kill").arg("-KILL").args(words).stderr(std::process::Stdio::null()).status();
    };
    let refused = eventually("the gateway no longer offers it", || async {
        kill();
        let answer = gateway.ask("GET", &format!("/v1/instances?model={MODEL}"), &[], b"").await;
        (answer.status == 503).then(|| problem(&answer))
    })
    .await;
    assert_eq!(refused.kind, ProblemKind::Busy, "{refused}");
    // Left alone it comes back by itself, with the same keys.
    eventually("it is offered again", || async {
        let answer = gateway.ask("GET", &format!("/v1/instances?model={MODEL}"), &[], b"").await;
        (answer.status == 200).then_some(())
    })
    .await;
    assert_is_expected_answer(&client.infer_json(sample()).await.unwrap().response.content);
}

#[tokio::test]
async fn a_full_queue_reaches_whoever_asks_as_busy_and_costs_nobody_else_an_answer() {
    let stage = stage("[limits]\nqueue = 1\n").await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    gateway.attested().await;
    let client = Arc::new(stage.connect(&gateway).await.unwrap());
    client.infer_json(sample()).await.expect("the passing twin");

    signal(&stage.enclave, "-STOP");
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let client = Arc::clone(&client);
        asked.spawn(async move { client.infer_json(sample()).await });
    }
    let is_busy = |error: &Error| match error {
        Error::Remote(remote) if remote.sealed => {
            let problem = remote.problem.as_ref().unwrap();
            assert_eq!(
                (problem.kind, problem.retry_after, problem.executed),
                (ProblemKind::Busy, Some(1), Executed::No)
            );
        }
        other => panic!("{other:?}"),
    };
    // One is in a worker and one waits, for as long as nobody goes on, and whoever comes then is refused.
    for _ in 0..4 {
        is_busy(&asked.join_next().await.unwrap().unwrap().expect_err("nobody goes on"));
        let client = Arc::clone(&client);
        asked.spawn(async move { client.infer_json(sample()).await });
    }
    let url = format!("http://{}", gateway.address);
    let (status, out, err) = infer_command(&stage, &url, &stage.guest.policy(), &sample(), &[]).await;
    assert_eq!((status, out.as_str()), (5, ""), "{err}");
    assert!(err.contains("the enclave, sealed: busy") && err.contains("not executed; try again in 1 s"), "{err}");

    signal(&stage.enclave, "-CONT");
    let mut answered = 0;
    while let Some(reply) = asked.join_next().await {
        match reply.unwrap() {
            Ok(reply) => {
                assert_is_expected_answer(&reply.response.content);
                answered += 1;
            }
            Err(error) => is_busy(&error),
        }
    }
    assert_eq!(answered, 2, "one that ran and one that waited");
    assert_eq!(infer_command(&stage, &url, &stage.guest.policy(), &sample(), &[]).await.0, 0, "there is room again");
}

#[tokio::test]
async fn whoever_sends_to_an_instance_that_joins_requests_has_wished_to() {
    let stage = stage("[models.batching]\nmax_rows = 16\nmax_delay_microseconds = 1000\nacross_callers = true\n").await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    gateway.attested().await;
    let (url, policy) = (format!("http://{}", gateway.address), stage.guest.policy());
    let (status, out, err) = infer_command(&stage, &url, &policy, &sample(), &[]).await;
    assert_eq!((status, out.as_str()), (4, ""), "{err}");
    assert!(err.contains("manifest.shared-runs") && err.contains("--accept-shared-runs"), "{err}");
    let (status, out, err) = infer_command(&stage, &url, &policy, &sample(), &["--accept-shared-runs"]).await;
    assert_eq!(status, 0, "{err}");
    assert!(out.contains("probabilities  FP32 [1, 2]\n  0.9999"), "{out}");

    // Who only looks is shown it.
    let (status, out, err) = models(&stage, &url, &policy, &[]).await;
    assert_eq!(status, 0, "{err}");
    assert!(out.contains("  may share a run with other callers' requests\n"), "{out}");
    let (status, out, err) = models(&stage, &url, &policy, &["--format", "json"]).await;
    assert_eq!(status, 0, "{err}");
    let listed: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(listed["models"][0]["shares_runs"], true);
    let (status, _, err) = models(&stage, &url, &policy, &[MODEL]).await;
    assert_eq!(status, 0, "{err}");

    // Many at once, each with its own answer and a receipt about it.
    let wanted = Settings { shared_runs: SharedRuns::Accepted, ..Settings::default() };
    let client = Arc::new(stage.connect_with(&gateway, wanted).await.unwrap());
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let client = Arc::clone(&client);
        asked.spawn(async move { client.infer_json(sample()).await });
    }
    while let Some(reply) = asked.join_next().await {
        let reply = reply.unwrap().unwrap();
        assert!(reply.receipt.is_some());
        assert_is_expected_answer(&reply.response.content);
    }
}
