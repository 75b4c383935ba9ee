//! What clients can make a gateway keep, seen from outside: its memory, and what it says of it itself.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests, which the lint does not recognise as such"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const MIB: u64 = 1 << 20;
/// All that clients may make it keep: 16 + 4 connections with a floor of 256 KiB, and a pool.
const BUDGET: u64 = 12 * MIB;
const CONNECTIONS: usize = 16;
const STREAMS: usize = 128;
/// The libraries' own, at most: buffers that are free again, arenas of the allocator, pages of the program that were not
/// touched before.
const BESIDE: u64 = 24 * MIB;
/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

struct Gateway {
    process: Child,
    address: SocketAddr,
    operator: String,
    _folder: tempfile::TempDir,
}

impl Gateway {
    /// One whose instance is not there: what is sent to it is held.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../measurements/policy/genuine.toml");
        std::fs::copy(policy, folder.path().join("policy.toml")).unwrap();
        let config = format!(
            "listen = '127.0.0.1:0'\noperator_listen = '127.0.0.1:0'\npolicy = 'policy.toml'\nadmission = 'none'\nunbound_policy = 'a test of memory'\ninstances = ['127.0.0.1:1']\n\
             [hold]\ntenant_requests = 65536\nseconds = 120\n[budget]\nbytes = {BUDGET}\n\
             [limits]\nconnections = {CONNECTIONS}\noperator_connections = 4\nstreams_per_connection = {STREAMS}\n\
             sealed_body_bytes = 131072\n"
        );
        let path = folder.path().join("gateway.toml");
        std::fs::write(&path, config).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_teegate-gateway"))
            .arg("--config")
            .arg(path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        let text = |name: &str| ready[name].as_str().unwrap().to_owned();
        Self { process, address: text("listening").parse().unwrap(), operator: text("operator"), _folder: folder }
    }

    /// Resident memory, in bytes.
    fn resident(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.process.id())).unwrap();
        statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
    }

    /// The bytes that it says clients make it keep.
    fn kept(&self) -> u64 {
        let mut stream = std::net::TcpStream::connect(&self.operator).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.lines().find_map(|line| line.strip_prefix("teegate_gateway_kept_bytes ")).unwrap().parse().unwrap()
    }

    /// Asks until nothing changes any more for a while; says the most that was kept and resident.
    async fn settled(&self) -> (u64, u64) {
        let deadline = Instant::now() + PATIENCE;
        let (mut most, mut last, mut same) = ((0, 0), 0, 0);
        while same < 10 {
            assert!(Instant::now() < deadline, "it does not settle");
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = (self.kept(), self.resident());
            most = (most.0.max(now.0), most.1.max(now.1));
            same = if now.0 == last { same + 1 } else { 0 };
            last = now.0;
        }
        most
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// As many HTTP/2 connections as the gateway takes from one source, whose clients have a window of `window` bytes.
async fn connections(gateway: &Gateway, window: u32) -> (Vec<SendRequest<Bytes>>, Vec<JoinHandle<()>>) {
    let (mut requests, mut driving) = (Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS * 7 / 8 {
        let tcp = TcpStream::connect(gateway.address).await.unwrap();
        let mut builder = h2::client::Builder::new();
        let (sender, connection) = builder.initial_window_size(window).handshake(tcp).await.unwrap();
        requests.push(sender);
        driving.push(tokio::spawn(async move { drop(connection.await) }));
    }
    (requests, driving)
}

fn relay(length: usize) -> http::Request<()> {
    http::Request::post("http://gateway/v1/relay")
        .header("content-type", "message/ohttp-req")
        .header("teegate-manifest", "0".repeat(64))
        .header("content-length", length)
        .body(())
        .unwrap()
}

#[tokio::test]
async fn what_was_sent_and_not_forwarded_stays_inside_the_budget() {
    let gateway = Gateway::start();
    let before = gateway.resident();
    let (mut requests, driving) = connections(&gateway, 65_535).await;
    // 14 x 128 requests of 100,000 bytes, of which the last byte never comes: 170 MiB.
    let mut sending = Vec::new();
    for sender in &mut requests {
        for _ in 0..STREAMS {
            let Ok(mut ready) = sender.clone().ready().await else { break };
            let Ok((answer, mut stream)) = ready.send_request(relay(100_000), false) else { break };
            sending.push(tokio::spawn(async move {
                let mut left = 99_999;
                while left > 0 {
                    stream.reserve_capacity(left);
                    match std::future::poll_fn(|context| stream.poll_capacity(context)).await {
                        Some(Ok(granted)) => {
                            let now = granted.min(left);
                            if stream.send_data(Bytes::from(vec![0; now]), false).is_err() {
                                break;
                            }
                            left -= now;
                        }
                        Some(Err(_)) | None => break,
                    }
                }
                let _answered = answer.await;
                drop(stream);
            }));
        }
    }
    assert!(sending.len() >= 1_000, "{} requests were begun", sending.len());
    let (kept, resident) = gateway.settled().await;
    assert!(kept > BUDGET / 2, "the attack reaches the limit: {kept}");
    assert!(kept <= BUDGET, "{kept}");
    assert!(resident <= before + BUDGET + BESIDE, "{before} before, {resident} with {kept} kept");
    sending.iter().chain(&driving).for_each(JoinHandle::abort);
    drop(requests);
    let deadline = Instant::now() + PATIENCE;
    // What asks for it is a connection itself.
    while gateway.kept() > MIB {
        assert!(Instant::now() < deadline, "{} are kept for nobody", gateway.kept());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn answers_that_nobody_takes_stay_inside_the_budget() {
    let gateway = Gateway::start();
    let before = gateway.resident();
    let (mut requests, driving) = connections(&gateway, 0).await;
    let mut unread = Vec::new();
    for path in ["/v1/instances?model=model", "/nothing", "/readyz"] {
        for sender in &mut requests {
            for _ in 0..STREAMS / 3 {
                let Ok(mut ready) = sender.clone().ready().await else { break };
                let request = http::Request::get(format!("http://gateway{path}")).body(()).unwrap();
                let Ok((answer, _)) = ready.send_request(request, true) else { break };
                unread.push(tokio::spawn(async move {
                    // The head, and nothing of the body.
                    let answer = answer.await;
                    std::future::pending::<()>().await;
                    drop(answer);
                }));
            }
        }
    }
    assert!(unread.len() >= 1_000, "{} requests were sent", unread.len());
    let (kept, resident) = gateway.settled().await;
    assert!(kept > BUDGET / 2 && kept <= BUDGET, "{kept}");
    assert!(resident <= before + BUDGET + BESIDE, "{before} before, {resident} with {kept} kept");
    unread.iter().chain(&driving).for_each(JoinHandle::abort);
}
