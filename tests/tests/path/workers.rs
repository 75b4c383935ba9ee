//! Whether an instance has workers is heard by the gateway, and so by its clients.

use teegate_client::ProblemKind;
use teegate_tests::harness::{MODEL, eventually};

use crate::{Stage1, assert_is_expected_answer, problem, sample};

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
