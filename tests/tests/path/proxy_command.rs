//! `teegate proxy`: the door for programs that know nothing of attestation, before a real gateway and a real enclave-app.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};

use serde_json::Value;
use teegate_tests::harness::{Enclave, Gateway, MODEL, Program, binary, eventually};
use teegate_tests::http::{Answer, plain};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::{Stage1, assert_is_expected_answer, sample};

const LOCAL: &str = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// A running `teegate proxy`, with what it said.
pub(crate) struct Door {
    pub(crate) address: String,
    pub(crate) program: Program,
    log: std::path::PathBuf,
}

impl Door {
    /// A door in front of `gateway`.
    pub(crate) async fn open(stage: &Stage1, gateway: &Gateway, more: &[&str]) -> Self {
        Self::at(stage, &gateway.address, more).await
    }

    /// The same, and what passes between the two.
    pub(crate) async fn open_by_tap(stage: &Stage1, gateway: &Gateway, more: &[&str]) -> (Self, Tap) {
        let tap = Tap::to(&gateway.address).await;
        (Self::at(stage, &tap.address, more).await, tap)
    }

    async fn at(stage: &Stage1, address: &str, more: &[&str]) -> Self {
        let policy = stage.scratch.write("door-policy.toml", &stage.guest.policy());
        let url = format!("http://{address}");
        let arguments = ["proxy", "--gateway", &url, "--policy", &policy, "--wait", "1"];
        let program = Program::start(&stage.scratch, "door", "teegate", &[&arguments, more].concat()).await;
        let log = stage.scratch.path().join("door.log");
        Self { address: program.address("listening"), program, log }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        plain(&self.address, method, path, headers, body).await
    }

    async fn infer(&self) -> Answer {
        let path = format!("/v2/models/{MODEL}/infer");
        self.ask("POST", &path, &[("content-type", "application/json")], &sample()).await
    }

    /// What it has said on standard error.
    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it has said `words` so many times.
    async fn says(&self, words: &str, times: usize) {
        let what = format!("`{words}` {times} times");
        eventually(&what, async || (self.said().matches(words).count() >= times).then_some(())).await;
    }
}

#[track_caller]
fn error(answer: &Answer) -> String {
    assert_eq!(answer.header("content-type"), "application/json", "{answer:?}");
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    body["error"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_door_says_whom_it_verified_and_serves_programs_of_this_machine_only() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let ready = stage.scratch.path().join("ready.json");
    let memory = stage.scratch.path().join("memory.json");
    let token = stage.scratch.write("token", "0123456789abcdef0123456789abcdef\n");
    let (ready_file, memory_file) = (ready.display().to_string(), memory.display().to_string());
    let more = ["--ready-file", &ready_file, "--memory", &memory_file, "--token-file", &token, "--model", MODEL];
    let mut door = Door::open(&stage, &gateway, &more).await;
    assert!(door.address.starts_with("127.0.0.1:"));
    let written: Value = serde_json::from_str(&std::fs::read_to_string(&ready).unwrap()).unwrap();
    assert_eq!(written, door.program.ready);
    door.says("           until ", 1).await;
    let (said, digest) = (door.said(), stage.manifest().await.digest().to_string());
    for words in [
        "verified   instance ",
        "(bound to the workload)",
        &digest,
        "measurement 4d4d",
        "(as the policy expects)",
        &format!("serves {MODEL} version 1"),
        "can be read by others",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(std::fs::read_to_string(&memory).unwrap().contains("chip "));

    let shown = ("authorization", "Bearer 0123456789abcdef0123456789abcdef");
    let path = format!("/v2/models/{MODEL}/infer");
    let headers = [("content-type", "application/json"), shown];
    let answer = door.ask("POST", &path, &headers, &sample()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_is_expected_answer(&answer.body);
    assert_eq!((answer.header("teegate-manifest"), answer.header("teegate-bound-to")), (digest.as_str(), "workload"));
    for (headers, status, told) in [
        (&[][..], 401, "--token-file"),
        (&[shown, ("origin", "https://evil.example")], 403, "--allow-origin"),
        (&[shown, ("sec-fetch-site", "cross-site")], 403, "browser"),
    ] {
        let answer = door.ask("GET", "/v2", headers, b"").await;
        assert_eq!(answer.status, status);
        assert!(error(&answer).contains(told), "{}", answer.text());
    }
    let rebound = "GET /v2 HTTP/1.1\r\nhost: rebound.example\r\nconnection: close\r\n\r\n";
    let mut stream = TcpStream::connect(&door.address).await.unwrap();
    stream.write_all(rebound.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    let answer = door.ask("GET", "/v2/models/brest-cancer", &[shown], b"").await;
    assert_eq!(answer.status, 404);
    assert!(error(&answer).contains(&format!("this door serves `{MODEL}`")), "{}", answer.text());

    // Told to leave, it answers what is under way first.
    let body = sample();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\n{}: {}\r\ncontent-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
        shown.0,
        shown.1,
        body.len()
    );
    let mut stream = TcpStream::connect(&door.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.read_exact(&mut [0; 25]).await.unwrap();
    door.program.terminate().await;
    door.says("leaving, once what is under way is answered", 1).await;
    assert!(!ready.exists(), "nobody is sent here any more");
    stream.write_all(&body).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(door.program.ended().await, Some(0));
}

#[tokio::test]
async fn a_socket_is_this_users_alone() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let path = stage.scratch.path().join("door.socket");
    let mut door = Door::open(&stage, &gateway, &["--listen", &format!("unix:{}", path.display())]).await;
    assert_eq!(door.address, format!("unix:{}", path.display()));
    let found = std::fs::symlink_metadata(&path).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(LOCAL.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("{\"ready\":true}"), "{answer}");

    // An upload that does not end keeps the door for a while, and a second signal does not wait for it.
    let mut upload = UnixStream::connect(&path).await.unwrap();
    let head = format!(
        "POST /v2/models/{MODEL}/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"
    );
    upload.write_all(head.as_bytes()).await.unwrap();
    upload.read_exact(&mut [0; 25]).await.unwrap();
    door.program.terminate().await;
    door.says("leaving, once what is under way is answered", 1).await;
    door.program.terminate().await;
    door.says("told twice", 1).await;
    assert_eq!(door.program.ended().await, Some(0));
    assert!(!path.exists());
}

#[tokio::test]
async fn at_a_dangerous_place_the_token_decides_and_any_name_may_be_called() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let token = stage.scratch.write("token", "0123456789abcdef0123456789abcdef\n");
    let door = Door::open(&stage, &gateway, &["--dangerous-listen", "0.0.0.0:0", "--token-file", &token]).await;
    door.says("reads every request and every answer", 1).await;
    let address = door.address.replace("0.0.0.0", "127.0.0.1");
    let shown = "authorization: Bearer 0123456789abcdef0123456789abcdef\r\n";
    for (headers, status) in
        [(shown, "200 OK"), ("", "401 Unauthorized"), (&format!("{shown}origin: null\r\n"), "403 Forbidden")]
    {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let head = format!("GET /v2 HTTP/1.1\r\nhost: machine.example\r\n{headers}connection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
    }
}

#[tokio::test]
async fn a_door_that_can_verify_nobody_does_not_open() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let url = format!("http://{}", gateway.address);
    let other_code = stage.guest.policy().replace("measurement = \"4d", "measurement = \"00");
    let (policy, other_code) =
        (stage.scratch.write("own.toml", &stage.guest.policy()), stage.scratch.write("other.toml", &other_code));
    let token = stage.scratch.write("short", "short\n");
    for (arguments, status, told) in [
        (&["--gateway", &url, "--policy", &other_code][..], 4, "snp.guest.measurement"),
        (&["--gateway", "http://127.0.0.1:1", "--policy", &policy], 1, "nothing was sent"),
        (&["--gateway", &url, "--policy", &policy, "--model", "brest-cancer"], 1, &format!("they serve `{MODEL}`")),
        (&["--gateway", &url, "--policy", &policy, "--token-file", &token], 1, "16 to 1024"),
        (&["--gateway", &url, "--policy", &policy, "--listen", &gateway.address], 1, "cannot listen on"),
        (&["--gateway", &url, "--policy", &policy, "--listen", "0.0.0.0:0"], 1, "no loopback address"),
        (&["--gateway", &url, "--policy", &policy, "--dangerous-listen", "0.0.0.0:0"], 1, "--token-file"),
        (&["--gateway", &url, "--policy", &policy, "--allow-origin", "*"], 1, "as browsers write it"),
    ] {
        let mut command = tokio::process::Command::new(binary("teegate"));
        command.arg("proxy").args(arguments).args(["--wait", "1"]).kill_on_drop(true);
        let output = tokio::time::timeout(std::time::Duration::from_secs(30), command.output()).await.unwrap().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {err}");
        assert!(err.contains(told), "{told}: {err}");
        assert!(output.stdout.is_empty());
    }
}

#[tokio::test]
async fn a_gateway_that_is_gone_is_told_and_one_that_is_back_is_found() {
    let stage = Stage1::set().await;
    let mut gateway = stage.gateway(&stage.enclave.address, "").await;
    let door = Door::open(&stage, &gateway, &[]).await;
    assert_eq!(door.infer().await.status, 200);
    gateway.program.kill().await;
    let answer = door.infer().await;
    assert_eq!((answer.status, answer.header("retry-after"), answer.header("teegate-executed")), (503, "3", "no"));
    let told = error(&answer);
    assert!(told.contains("no connection to the gateway") && told.contains("nothing was sent"), "{told}");
    door.says("lost       nobody is verified", 1).await;
    let answer = door.ask("GET", "/readyz", &[], b"").await;
    assert_eq!(answer.status, 503);
    assert!(error(&answer).contains("no connection to the gateway"), "{}", answer.text());
    assert_eq!(door.ask("GET", "/livez", &[], b"").await.status, 200);
    let answer = door.infer().await;
    assert_eq!(answer.status, 503);
    assert!(error(&answer).contains("nothing was sealed"), "{}", answer.text());

    // At the same address, as the same program.
    let config = std::fs::read_to_string(stage.scratch.path().join("gateway.toml")).unwrap();
    let config = config.replacen("127.0.0.1:0", &gateway.address, 1);
    let config = stage.scratch.write("again.toml", &config);
    let _again = Program::start(&stage.scratch, "again", "teegate-gateway", &["--config", &config]).await;
    door.says("verified   instance ", 2).await;
    assert_eq!(door.ask("GET", "/readyz", &[], b"").await.status, 200);
    let answer = door.infer().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_is_expected_answer(&answer.body);
    assert_eq!(door.said().matches("lost       ").count(), 1, "once: {}", door.said());
}

#[tokio::test]
async fn a_rotation_is_said_though_nobody_asks() {
    let stage = Stage1::set().await;
    let first = std::fs::read_to_string(stage.scratch.path().join("enclave.toml")).unwrap();
    let config = stage.scratch.write("short.toml", &format!("{first}[epochs]\nseconds = 6\ngrace_seconds = 3\n"));
    let program = Program::start(&stage.scratch, "short", "enclave-app", &["--config", &config]).await;
    let enclave = Enclave { address: program.address("listening"), program };
    let gateway = stage.gateway(&enclave.address, "").await;
    let door = Door::open(&stage, &gateway, &[]).await;
    door.says("verified   instance ", 3).await;
    let said = door.said();
    let mut manifests: Vec<_> =
        said.lines().filter_map(|line| line.split_once(", manifest ")).map(|(_, of)| of).collect();
    manifests.dedup();
    assert!(manifests.len() >= 3, "each is another: {said}");
    let answer = door.infer().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// What somebody between door and gateway gets to see.
#[tokio::test]
async fn nothing_of_a_request_leaves_the_door_in_clear() {
    const CANARY: &str = "canary-51c07be94d";
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let tap = Tap::to(&gateway.address).await;
    let policy = stage.scratch.write("door-policy.toml", &stage.guest.policy());
    let url = format!("http://{}", tap.address);
    let arguments = ["proxy", "--gateway", &url, "--policy", &policy];
    let door = Program::start(&stage.scratch, "tapped", "teegate", &arguments).await;
    let address = door.address("listening");
    let body = String::from_utf8(sample()).unwrap().replacen('{', &format!("{{\"id\":\"{CANARY}\","), 1);
    let headers = [("content-type", "application/json"), ("x-mine", CANARY), ("cookie", CANARY)];
    let path = format!("/v2/models/{MODEL}/infer?mine={CANARY}");
    let answer = plain(&address, "POST", &path, &headers, body.as_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains(CANARY), "the enclave repeats the id");
    // What goes wrong goes no other way.
    for path in
        [format!("/v2/models/nothing/infer?{CANARY}"), format!("/v2/x-{CANARY}"), format!("/v2/models/{MODEL}/config")]
    {
        assert_eq!(plain(&address, "POST", &path, &headers, body.as_bytes()).await.status, 404, "{path}");
    }
    let seen = tap.seen();
    assert!(seen.windows(9).any(|part| part == b"/v1/relay") && seen.len() > 4 * 1024, "{} bytes", seen.len());
    assert!(!seen.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()));
    let logs = String::from_utf8_lossy(&stage.scratch.said()).into_owned();
    assert!(!logs.contains(CANARY), "and nobody logs it");
}

/// Listens to everything that goes to an address and comes back.
pub(crate) struct Tap {
    address: String,
    seen: std::sync::Arc<std::sync::Mutex<Vec<u8>>>,
}

impl Tap {
    async fn to(target: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = std::sync::Arc::<std::sync::Mutex<Vec<u8>>>::default();
        let (kept, target) = (seen.clone(), target.to_owned());
        tokio::spawn(async move {
            while let Ok((program, _)) = listener.accept().await {
                let gateway = TcpStream::connect(&target).await.unwrap();
                let (from_program, to_program) = program.into_split();
                let (from_gateway, to_gateway) = gateway.into_split();
                tokio::spawn(copy(from_program, to_gateway, kept.clone()));
                tokio::spawn(copy(from_gateway, to_program, kept.clone()));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn seen(&self) -> Vec<u8> {
        self.seen.lock().unwrap().clone()
    }
}

async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    kept: std::sync::Arc<std::sync::Mutex<Vec<u8>>>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        kept.lock().unwrap().extend(&buffer[..n]);
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}
