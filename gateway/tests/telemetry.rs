//! The program with `[telemetry]`: what it sends before it ends, what it refuses to start with, what it prints.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which the lint does not recognise as such")]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a policy and a configuration, whose one instance is not there, and these lines of `[telemetry]`.
fn folder(telemetry: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../measurements/policy/genuine.toml");
    std::fs::copy(policy, folder.path().join("policy.toml")).unwrap();
    let text = format!(
        "listen = '127.0.0.1:0'\noperator_listen = '127.0.0.1:0'\npolicy = 'policy.toml'\nadmission = 'none'\n\
         unbound_policy = 'tests of the program, not of policies'\ninstances = ['127.0.0.1:1']\n[telemetry]\n{telemetry}\n"
    );
    std::fs::write(folder.path().join("gateway.toml"), text).unwrap();
    folder
}

fn command(folder: &tempfile::TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_teegate-gateway"));
    command.arg("--config").arg(folder.path().join("gateway.toml"));
    command
}

/// One message: its path, and its body. It is answered 200.
fn received(listener: &TcpListener) -> (String, Vec<u8>) {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut reader = BufReader::new(stream);
    let (mut path, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(rest) = line.strip_prefix("POST ") {
            path = rest.split(' ').next().unwrap().to_owned();
        }
        if let Some(said) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = said.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
    (path, body)
}

#[test]
fn what_was_recorded_is_sent_before_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!(
        "otlp_endpoint = 'http://{}/base'\nspans_seconds = 60\nmetrics_seconds = 3600",
        listener.local_addr().unwrap()
    );
    let folder = folder(&endpoint);
    let mut process = command(&folder).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
    let get = |listener: &str, path: &str| {
        let mut stream = TcpStream::connect(ready.get(listener).unwrap().as_str().unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let signal = |name: &str| {
        assert!(Command::new("kill").arg(name).arg(process.id().to_string()).status().unwrap().success());
    };
    assert!(get("listening", "/v1/instances").starts_with("HTTP/1.1 503 "));
    signal("-HUP");
    while !get("operator", "/metrics").contains("teegate_gateway_reload_total{outcome=\"taken\"} 1\n") {
        std::thread::sleep(Duration::from_millis(20));
    }
    while !get("operator", "/metrics")
        .contains("teegate_gateway_channel_check_total{address=\"127.0.0.1:1\",verdict=\"no-answer\"}")
    {
        std::thread::sleep(Duration::from_millis(20));
    }
    signal("-TERM");
    let mut messages = [received(&listener), received(&listener)];
    messages.sort();
    let [(metrics_path, metrics), (traces_path, traces)] = messages;
    assert_eq!((metrics_path.as_str(), traces_path.as_str()), ("/base/v1/metrics", "/base/v1/traces"));
    assert_eq!(process.wait().unwrap().code(), Some(0));

    let traces = ExportTraceServiceRequest::decode(traces.as_slice()).unwrap();
    let scopes = traces.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    let names: BTreeSet<&str> = scopes.flat_map(|scope| &scope.spans).map(|span| span.name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["GET /v1/instances", "attest", "link", "reload"]));
    let metrics = ExportMetricsServiceRequest::decode(metrics.as_slice()).unwrap();
    let scopes = metrics.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let names: Vec<&str> = scopes.flat_map(|scope| &scope.metrics).map(|metric| metric.name.as_str()).collect();
    assert!(names.contains(&"teegate_gateway_ready") && names.contains(&"teegate_gateway_reload_total"), "{names:?}");
}

fn outcome(folder: &tempfile::TempDir, argument: &str) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command(folder).arg(argument).output().unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[test]
fn it_is_checked_before_a_start_and_printed_without_its_secrets() {
    let good = "otlp_endpoint = 'http://127.0.0.1:4318'\nheaders = 'headers'";
    let folder = folder(good);
    let (status, said) = outcome(&folder, "--check-config");
    assert_eq!(status, Some(1));
    assert!(said.contains("cannot read the header fields of `telemetry.headers`"), "{said}");
    std::fs::write(folder.path().join("headers"), "authorization: Bearer canary-secret\n").unwrap();
    let (status, said) = outcome(&folder, "--check-config");
    assert_eq!(status, Some(0), "{said}");
    let (status, printed) = outcome(&folder, "--print-config");
    assert_eq!(status, Some(0));
    assert!(printed.contains("otlp_endpoint = \"http://127.0.0.1:4318\"\n"), "{printed}");
    assert!(printed.contains("queue_spans = 2048\n") && !printed.contains("canary-secret"), "{printed}");
    for (wrong, why) in [
        ("otlp_endpoint = '127.0.0.1:4318'", "`telemetry.otlp_endpoint` is not understood"),
        ("otlp_endpoint = 'http://u:canary-secret@h'", "belongs into `telemetry.headers`"),
        ("headers = 'headers'", "`telemetry.otlp_endpoint` is not"),
        ("otlp_endpoint = 'http://10.0.0.1'\nheaders = 'headers'", "plain HTTP to another machine"),
        ("otlp_endpoint = 'https://h'\nca = 'policy.toml'", "expected PEM"),
        ("queue_spans = 1", "`telemetry.queue_spans = 1` is out of bounds"),
    ] {
        let path = folder.path().join("gateway.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let head = text.split("[telemetry]").next().unwrap();
        std::fs::write(&path, format!("{head}[telemetry]\n{wrong}\n")).unwrap();
        let (status, said) = outcome(&folder, "--check-config");
        assert_eq!(status, Some(1), "{wrong}");
        assert!(said.contains(why) && !said.contains("canary-secret"), "{said}");
    }
}
