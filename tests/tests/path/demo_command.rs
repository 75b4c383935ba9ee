//! `teegate demo`: shows what it promises, and leaves nothing behind.

use std::process::Stdio;

use teegate_tests::harness::{DEADLINE, Scratch, binary, eventually, model_folder, onnxruntime, root};
use tokio::io::{AsyncBufReadExt, BufReader};

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
    let scratch = Scratch::new();
    let mut demo = demo_command(&scratch).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
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

/// `teegate demo --serve` into this folder, in a group of its own as a terminal would start it; ready, and what it said until then.
async fn serving(scratch: &Scratch, folder: &std::path::Path) -> (tokio::process::Child, Lines, Vec<String>) {
    let mut command = tokio::process::Command::new(binary("teegate"));
    command.arg("demo").arg("--serve").arg(folder).args(["--listen", "127.0.0.1:0"]);
    command.arg("--onnxruntime").arg(onnxruntime()).arg("--model").arg(model_folder());
    command.env("TMPDIR", scratch.path()).kill_on_drop(true).process_group(0);
    let mut demo = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut lines, mut said) = (BufReader::new(demo.stdout.take().unwrap()).lines(), Vec::new());
    while !said.last().is_some_and(|line: &String| line.starts_with("serving ")) {
        let line = tokio::time::timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap();
        said.push(line.unwrap_or_else(|| panic!("it did not come up: {said:?}")));
    }
    (demo, lines, said)
}

type Lines = tokio::io::Lines<BufReader<tokio::process::ChildStdout>>;

/// The processes that it has named, and theirs.
fn processes(said: &[String]) -> Vec<String> {
    let named = said.iter().filter_map(|line| Some(line.split_once("(process ")?.1.split_once(')')?.0.to_owned()));
    let named: Vec<String> = named.collect();
    let parent = |process: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)).map(str::to_owned)
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let theirs: Vec<_> = all.filter(|one| parent(one).is_some_and(|parent| named.contains(&parent))).collect();
    assert!(named.len() == 3 && !theirs.is_empty(), "{named:?} {theirs:?}: an enclave-app has workers");
    [named, theirs].concat()
}

fn signal(name: &str, to: &str) {
    assert!(std::process::Command::new("kill").args([name, "--", to]).status().unwrap().success());
}

async fn are_gone(processes: &[String]) {
    for process in processes {
        let stat = std::path::Path::new("/proc").join(process).join("stat");
        // One that nobody waits for any more is gone, and only its number is left.
        let is_there = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        eventually("a child is gone", || async { (!is_there()).then_some(()) }).await;
    }
}

/// Ctrl-C tells every process of a terminal's group at once, and is the usual end.
#[tokio::test]
async fn what_is_served_is_announced_and_ends_with_all_that_was_started() {
    let (scratch, published) = (Scratch::new(), Scratch::new());
    let folder = published.path().join("served");
    let (mut demo, mut lines, said) = serving(&scratch, &folder).await;
    assert!(said[0].starts_with("FORGED HARDWARE: this proves the plumbing, not the silicon."), "{said:?}");
    let url = std::fs::read_to_string(folder.join("gateway.url")).unwrap();
    assert!(said.last().unwrap().contains(&format!(" {} ", url.trim_end())), "{said:?} {url}");
    let sample = std::fs::read(folder.join("sample.json")).unwrap();
    assert_eq!(sample, std::fs::read(model_folder().join("sample.json")).unwrap());
    let row = std::fs::read_to_string(folder.join("sample.csv")).unwrap();
    assert_eq!(row.trim_end().split(',').filter(|cell| cell.parse::<f64>().is_ok()).count(), 30, "{row}");
    let processes = processes(&said);

    // The configuration of a gateway of one's own starts one; without its policy it says what is missing.
    let own = folder.join("gateway.toml");
    let check = || {
        let mut gateway = std::process::Command::new(binary("teegate-gateway"));
        gateway.arg("--config").arg(&own).arg("--check-config").output().unwrap()
    };
    let checked = check();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    assert!(String::from_utf8_lossy(&checked.stdout).contains("is in order"), "{checked:?}");
    let policy = folder.join("policy.toml");
    std::fs::rename(&policy, published.path().join("policy.toml")).unwrap();
    let without = check();
    let why = String::from_utf8_lossy(&without.stderr).into_owned();
    assert!(!without.status.success() && why.contains("policy.toml"), "{why}");
    std::fs::rename(published.path().join("policy.toml"), &policy).unwrap();
    // And it attests the enclave-app of the run, at ports that are free.
    let text = std::fs::read_to_string(&own).unwrap().replace(":8090", ":0").replace(":9090", ":0");
    std::fs::write(&own, text).unwrap();
    let mut command = tokio::process::Command::new(binary("teegate-gateway"));
    command.arg("--config").arg(&own).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut gateway = command.spawn().unwrap();
    let mut said_by_it = BufReader::new(gateway.stdout.take().unwrap()).lines();
    let listening = loop {
        let line = tokio::time::timeout(DEADLINE, said_by_it.next_line()).await.unwrap().unwrap().unwrap();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(address) = said["listening"].as_str() {
            break address.to_owned();
        }
    };
    let mut infer = tokio::process::Command::new(binary("teegate"));
    infer.args(["infer", "--gateway", &format!("http://{listening}"), "--model", "breast-cancer", "--policy"]);
    let answered = infer.arg(&policy).arg("--input").arg(folder.join("sample.json")).output().await.unwrap();
    assert!(answered.status.success(), "{}", String::from_utf8_lossy(&answered.stderr));
    drop(gateway);

    // Another one beside it is told by whom the place is taken, and touches nothing.
    let address = url.trim_end().strip_prefix("http://").unwrap();
    let other = published.path().join("other");
    let mut second = tokio::process::Command::new(binary("teegate"));
    second.arg("demo").arg("--serve").arg(&other).args(["--listen", address]).env("TMPDIR", scratch.path());
    second.arg("--onnxruntime").arg(onnxruntime()).arg("--model").arg(model_folder());
    let refused = second.output().await.unwrap();
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{why}");
    assert!(
        why.contains(&format!("nobody can listen on {address}: ")) && why.contains("--listen 127.0.0.1:8081"),
        "{why}"
    );

    signal("-INT", &format!("-{}", demo.id().unwrap()));
    let mut last = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        last = line;
    }
    assert_eq!(last, "ended by SIGINT; the programs that the demo had started are stopped");
    assert_eq!(demo.wait().await.unwrap().code(), Some(0));
    are_gone(&processes).await;
    assert!(!folder.join("gateway.url").exists() && folder.join("values.toml").exists());
    assert!(is_empty(&scratch));
}

#[tokio::test]
async fn a_served_program_that_ends_by_itself_ends_the_rest() {
    let (scratch, published) = (Scratch::new(), Scratch::new());
    let (demo, _lines, said) = serving(&scratch, published.path()).await;
    let processes = processes(&said);
    let enclave = said.iter().find_map(|line| line.trim_start().strip_prefix("enclave-app (process ")).unwrap();
    signal("-KILL", enclave.split_once(')').unwrap().0);
    let output = tokio::time::timeout(DEADLINE, demo.wait_with_output()).await.unwrap().unwrap();
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && why.contains("served-enclave has ended by itself (signal: 9"), "{why}");
    are_gone(&processes).await;
    assert!(!published.path().join("gateway.url").exists() && is_empty(&scratch));
}
