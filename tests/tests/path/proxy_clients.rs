//! The stock clients of the Open Inference Protocol, unmodified, through `teegate proxy` and all that stands behind it.
//! `ci/clients.sh` installs them and nobody commits them; where they are not installed, this test says so and passes.

use std::process::Stdio;

use teegate_tests::harness::{model_folder, note, root};

use crate::Stage1;
use crate::proxy_command::Door;

/// Calls of the protocol that each client makes, and the ones outside of it.
const MADE: [&str; 2] =
    ["tritonclient: 23 of 23 calls, 15 outside the protocol", "kserve: 9 of 9 calls, 2 outside the protocol"];
/// What Triton and KServe have beyond the protocol. An enclave-app has none of it, and says so.
const OUTSIDE: [&str; 17] = [
    "tritonclient.get_model_config",
    "tritonclient.get_inference_statistics",
    "tritonclient.get_model_repository_index",
    "tritonclient.load_model",
    "tritonclient.unload_model",
    "tritonclient.get_trace_settings",
    "tritonclient.update_trace_settings",
    "tritonclient.get_log_settings",
    "tritonclient.update_log_settings",
    "tritonclient.get_system_shared_memory_status",
    "tritonclient.register_system_shared_memory",
    "tritonclient.unregister_system_shared_memory",
    "tritonclient.get_cuda_shared_memory_status",
    "tritonclient.register_cuda_shared_memory",
    "tritonclient.unregister_cuda_shared_memory",
    "kserve.infer (protocol v1)",
    "kserve.explain (protocol v1)",
];

#[tokio::test]
async fn stock_clients_make_all_their_calls() {
    let packages = root().join(".cache/clients");
    if !packages.join(".stamp").is_file() {
        return note("skipped: the stock clients through `teegate proxy` (ci/clients.sh has not installed them)");
    }
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let door = Door::open(&stage, &gateway, &[]).await;
    let program = tokio::process::Command::new("python3")
        .args(["-B", "ci/clients.py"])
        .arg(format!("http://{}", door.address))
        .arg(model_folder())
        .current_dir(root())
        .env("PYTHONPATH", &packages)
        // No proxy of the machine's stands between the two.
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .output();
    let output = tokio::time::timeout(std::time::Duration::from_secs(100), program).await.unwrap().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{err}");
    for made in MADE {
        assert!(said.lines().any(|line| line == made), "{made}:\n{said}");
    }
    let told = ": outside the protocol, and told so";
    let outside: Vec<_> = said.lines().filter_map(|line| line.strip_suffix(told)).collect();
    assert_eq!(outside, OUTSIDE);
    note(
        "run: tritonclient, 23 of 23 calls, and kserve, 9 of 9, through `teegate proxy`; the 17 outside the protocol are told so",
    );
    // All of it went one way.
    assert!(gateway.metric("teegate_gateway_released_bytes_total").await > 40 * 1024);
}
