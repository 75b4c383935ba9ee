//! The CoCo guest API: `GET /aa/evidence?runtime_data=X[&encoding=base64]`, and `GET /info` (guest-components, api-server-rest).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response, StatusCode};

use crate::args::Args;
use crate::device::Device;

/// How often a held request looks whether its file is gone.
const HOLD_POLL: Duration = Duration::from_millis(10);

pub(crate) struct Api {
    args: Args,
    device: Device,
    answered: AtomicU64,
    first: OnceLock<String>,
}

impl Api {
    pub(crate) fn new(args: Args, device: Device) -> Self {
        Self { args, device, answered: AtomicU64::new(0), first: OnceLock::new() }
    }

    /// Answers one request; only a body of evidence is an octet stream.
    pub(crate) async fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let is_get = request.method() == Method::GET;
        match request.uri().path() {
            "/aa/evidence" if is_get => self.evidence(request.uri().query().unwrap_or_default()).await,
            "/info" if is_get => self.info(),
            "/aa/evidence" | "/info" => text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
            _ => text(StatusCode::NOT_FOUND, "URL NOT FOUND"),
        }
    }

    async fn evidence(&self, query: &str) -> Response<Full<Bytes>> {
        let Some(runtime_data) = runtime_data(query) else {
            return text(StatusCode::BAD_REQUEST, "BAD REQUEST");
        };
        if let Some(file) = &self.args.hold_when {
            while file.exists() {
                tokio::time::sleep(HOLD_POLL).await;
            }
        }
        if self.args.fail_when.as_ref().is_some_and(|file| file.exists()) {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "the forged device fails while it is told to");
        }
        // Shorter data is filled with zeros at the end, longer data is the attester's error and not the caller's.
        if runtime_data.len() > 64 {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "report data must be no more than 64 bytes");
        }
        if self.args.fail_after.is_some_and(|limit| self.answered.fetch_add(1, Ordering::Relaxed) >= limit) {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "the forged device fails from here on, as it was told to");
        }
        let mut report_data = [0; 64];
        report_data[..runtime_data.len()].copy_from_slice(&runtime_data);

        let evidence = if self.args.replay {
            self.first.get_or_init(|| self.device.evidence(report_data)).clone()
        } else {
            self.device.evidence(report_data)
        };
        eprintln!("forge-guest: forged evidence for {} bytes of runtime data", runtime_data.len());
        response(StatusCode::OK, "application/octet-stream", evidence)
    }

    fn info(&self) -> Response<Full<Bytes>> {
        let body = serde_json::json!({ "version": "forged", "tee": self.device.name(), "feature": "attestation" });
        response(StatusCode::OK, "application/json", body.to_string())
    }
}

/// The bytes to bind: the decoded parameter as it is, or its base64url without padding; any other encoding is a bad request.
fn runtime_data(query: &str) -> Option<Vec<u8>> {
    let mut parameters: Vec<(String, Vec<u8>)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        parameters.push((String::from_utf8(form_decoded(name)).ok()?, form_decoded(value)));
    }
    let last = |name: &str| parameters.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.clone());
    let value = last("runtime_data")?;
    match last("encoding").as_deref() {
        None => Some(value),
        Some(b"base64") => URL_SAFE_NO_PAD.decode(value).ok(),
        Some(_) => None,
    }
}

/// application/x-www-form-urlencoded: `+` is a space, `%XX` a byte, a stray `%` itself.
fn form_decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = (*first == b'%').then(|| after.get(..2)).flatten();
        let byte = escaped.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match byte {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(if *first == b'+' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    out
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    response(status, "text/plain", body.to_owned())
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;
    use http_body_util::BodyExt;

    fn api(options: &[&str]) -> Api {
        let words = ["--listen", "127.0.0.1:0", "--tee", "tdx", "--dir", "unused"];
        let args = args::parse(words.iter().chain(options).map(|word| (*word).to_owned())).expect("arguments");
        let device = Device::new(&args, teegate_forge::time::AT);
        Api::new(args, device)
    }

    async fn ask(api: &Api, method: &str, uri: &str) -> (StatusCode, Vec<u8>) {
        let request = Request::builder().method(method).uri(uri).body(()).expect("a request");
        let response = api.answer(&request).await;
        let status = response.status();
        (status, response.into_body().collect().await.expect("a body").to_bytes().to_vec())
    }

    fn bound_data(evidence: &[u8]) -> Vec<u8> {
        let json: serde_json::Value = serde_json::from_slice(evidence).expect("JSON");
        assert_eq!(json["cc_eventlog"], serde_json::Value::Null);
        let quote = json["quote"].as_str().expect("a quote");
        let quote = base64::engine::general_purpose::STANDARD.decode(quote).expect("base64");
        quote[54 + 520..54 + 584].to_vec()
    }

    #[test]
    fn parameters_are_read_as_the_agent_reads_them() {
        assert_eq!(runtime_data("runtime_data=a%20b+c"), Some(b"a b c".to_vec()));
        assert_eq!(runtime_data("runtime_data=_-8&encoding=base64"), Some(vec![0xFF, 0xEF]));
        assert_eq!(runtime_data("runtime_data=_-8%3D&encoding=base64"), None);
        assert_eq!(runtime_data("runtime_data=x&encoding=hex"), None);
        assert_eq!(runtime_data("encoding=base64"), None);
        assert_eq!(runtime_data("runtime_data=%"), Some(b"%".to_vec()));
    }

    #[tokio::test]
    async fn evidence_binds_what_was_asked_and_errors_have_the_agents_statuses() {
        let api = api(&[]);
        let data = URL_SAFE_NO_PAD.encode([7; 64]);
        let (status, body) = ask(&api, "GET", &format!("/aa/evidence?runtime_data={data}&encoding=base64")).await;
        assert_eq!((status, bound_data(&body)), (StatusCode::OK, vec![7; 64]));

        let (status, body) = ask(&api, "GET", "/aa/evidence?runtime_data=abc").await;
        let mut padded = b"abc".to_vec();
        padded.resize(64, 0);
        assert_eq!((status, bound_data(&body)), (StatusCode::OK, padded));

        let long = "x".repeat(65);
        for (method, uri, expected) in [
            ("GET", "/aa/evidence".to_owned(), StatusCode::BAD_REQUEST),
            ("GET", "/aa/evidence?runtime_data=a&encoding=hex".to_owned(), StatusCode::BAD_REQUEST),
            ("GET", format!("/aa/evidence?runtime_data={long}"), StatusCode::INTERNAL_SERVER_ERROR),
            ("POST", "/aa/evidence?runtime_data=a".to_owned(), StatusCode::METHOD_NOT_ALLOWED),
            ("GET", "/aa/token?token_type=kbs".to_owned(), StatusCode::NOT_FOUND),
        ] {
            assert_eq!(ask(&api, method, &uri).await.0, expected, "{method} {uri}");
        }
    }

    #[tokio::test]
    async fn replay_repeats_the_first_evidence() {
        let api = api(&["--replay"]);
        let first = ask(&api, "GET", "/aa/evidence?runtime_data=first").await;
        assert_eq!(ask(&api, "GET", "/aa/evidence?runtime_data=second").await, first);
    }

    #[tokio::test]
    async fn fail_after_counts_pieces_of_evidence() {
        let api = api(&["--fail-after", "2"]);
        for expected in [StatusCode::OK, StatusCode::OK, StatusCode::INTERNAL_SERVER_ERROR] {
            assert_eq!(ask(&api, "GET", "/aa/evidence?runtime_data=a").await.0, expected);
        }
    }

    #[tokio::test]
    async fn fail_when_follows_its_file() {
        let file = std::env::temp_dir().join(format!("forge-guest-fail-when-{}", std::process::id()));
        std::fs::write(&file, "").expect("a temporary file");
        let api = api(&["--fail-when", file.to_str().expect("a UTF-8 path")]);
        assert_eq!(ask(&api, "GET", "/aa/evidence?runtime_data=a").await.0, StatusCode::INTERNAL_SERVER_ERROR);
        std::fs::remove_file(&file).expect("the file is ours");
        assert_eq!(ask(&api, "GET", "/aa/evidence?runtime_data=a").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn hold_when_waits_for_its_file_to_go() {
        let file = std::env::temp_dir().join(format!("forge-guest-hold-when-{}", std::process::id()));
        std::fs::write(&file, "").expect("a temporary file");
        let api = std::sync::Arc::new(api(&["--hold-when", file.to_str().expect("a UTF-8 path")]));
        let held = std::sync::Arc::clone(&api);
        let mut asked = tokio::spawn(async move { ask(&held, "GET", "/aa/evidence?runtime_data=a").await.0 });
        assert!(tokio::time::timeout(HOLD_POLL * 3, &mut asked).await.is_err(), "answered although the file exists");
        std::fs::remove_file(&file).expect("the file is ours");
        assert_eq!(asked.await.expect("no panic"), StatusCode::OK);
    }

    #[test]
    fn only_loopback_is_served() {
        let parsed = |listen: &str, services: &str| {
            let words = ["--listen", listen, "--services", services, "--tee", "snp", "--dir", "unused"];
            args::parse(words.iter().map(|word| (*word).to_owned()))
        };
        let (ours, everyone) = ("127.0.0.1:0", "0.0.0.0:0");
        assert_eq!(parsed(ours, ours).expect("the twin").services, Some(([127, 0, 0, 1], 0).into()));
        for (listen, services, option) in [(everyone, ours, "--listen"), (ours, everyone, "--services")] {
            let error = parsed(listen, services).expect_err("not loopback");
            assert_eq!(error, format!("{option}: {everyone} is not a loopback address"));
        }
    }
}
