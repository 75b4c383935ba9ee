//! `teegate demo`: shows what it promises, and leaves nothing behind.

use teegate_tests::harness::{DEADLINE, Scratch, binary, eventually, model_folder, onnxruntime, root};

/// `teegate demo` as `ci/demo.sh` starts it, with its temporary files in the scratch folder.
fn demo_command(scratch: &Scratch) -> tokio::process::Command {
    let metadata = std::process::Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["metadata", "--locked", "--format-version", "1"])
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).expect("cargo metadata");
    let source = |name: &str| {
        let packages = metadata["packages"].as_array().unwrap();
        let package = packages.iter().find(|package| package["name"] == name).unwrap_or_else(|| panic!("no {name}"));
        std::path::Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
    };
    let mut command = tokio::process::Command::new(binary("teegate"));
    command.arg("demo").arg("--sev-crate").arg(source("sev")).arg("--dcap-qvl-crate").arg(source("dcap-qvl"));
    command.arg("--onnxruntime").arg(onnxruntime()).arg("--model").arg(model_folder());
    command.env("TMPDIR", scratch.path()).kill_on_drop(true);
    command
}

fn is_empty(scratch: &Scratch) -> bool {
    std::fs::read_dir(scratch.path()).unwrap().next().is_none()
}

#[tokio::test]
async fn the_demo_walks_the_whole_path_and_leaves_nothing_behind() {
    let scratch = Scratch::new();
    let output = demo_command(&scratch).output().await.unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}\n{out}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(out.matches("ACCEPTED: ").count(), 3, "{out}");
    for part in [
        "FORGED hardware",
        "execution receipt verified",
        "REFUSED by the client: snp.policy.debug",
        "REFUSED by the client: snp.guest.report-data",
        "REFUSED by the gateway: snp.guest.measurement",
        "REFUSED by the gateway, status 503: evidence-rejected",
        "it saw 0 from the post to the answer: not one byte of the request arrived",
        "plumbing, not silicon",
    ] {
        assert!(out.contains(part), "`{part}` is not in\n{out}");
    }
    assert!(is_empty(&scratch));
}

#[tokio::test]
async fn the_demo_stops_what_it_started_when_it_is_stopped() {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let scratch = Scratch::new();
    let mut demo = demo_command(&scratch)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let mut children = Vec::new();
    while children.len() < 3 {
        let line = tokio::time::timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().expect("the demo goes on");
        let id = line.split_once("(process ").and_then(|(_, rest)| rest.split_once(')'));
        children.extend(id.map(|(id, _)| id.to_owned()));
    }
    let pid = demo.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    // Its output is read on: a full pipe would hold it up.
    while let Ok(Some(_)) = lines.next_line().await {}
    assert_eq!(demo.wait().await.unwrap().code(), Some(1));
    for id in children {
        eventually("a child is gone", || async { (!std::path::Path::new("/proc").join(&id).exists()).then_some(()) })
            .await;
    }
    assert!(is_empty(&scratch));
}
