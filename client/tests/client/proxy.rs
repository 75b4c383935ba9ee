//! The door for programs that know nothing of attestation, against a gateway that does as it is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use teegate_client::proxy::{Access, BodyLimits, Event, Listen, Proxy, ProxySettings, Token, serve};
use teegate_client::{Error, Problem, ProblemKind, Response, Settings, Trust};
use teegate_forge::time::AT;
use teegate_protocol::evidence::Envelope;
use teegate_verifier::UnixTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use crate::fake::{Act, Fake, Script, Spoil, settings};

const CANARY: &str = "canary-2b9d40c17e";
const INFER: &str = r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[0.5]}]}"#;

/// A door in front of a scripted gateway.
struct Door {
    address: String,
    script: Arc<Script>,
    events: mpsc::UnboundedReceiver<Event>,
    proxy: Arc<Proxy>,
    stop: Option<oneshot::Sender<()>>,
    ended: tokio::task::JoinHandle<()>,
}

impl Door {
    async fn open(script: Arc<Script>) -> Self {
        Self::with(script, ProxySettings::default(), settings()).await.unwrap()
    }

    async fn with(script: Arc<Script>, proxy: ProxySettings, settings: Settings) -> Result<Self, Error> {
        let Trust { policy, endorsements, .. } = script.fake.trust();
        let gateway = script.serve().await;
        let (tell, events) = mpsc::unbounded_channel();
        let tell = move |event| drop(tell.send(event));
        let proxy = Proxy::connect(gateway, policy, endorsements, settings, proxy, tell).await?;
        let listener = Listen::parse("0").unwrap().bind().await.unwrap();
        let address = listener.place();
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(serve(Arc::clone(&proxy), listener, async { drop(stopped.await) }));
        Ok(Self { address, script, events, proxy, stop: Some(stop), ended })
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n")).await
    }

    async fn infer(&self, body: &str) -> Answer {
        self.post("/v2/models/m/infer", "content-type: application/json\r\n", body.as_bytes()).await
    }

    async fn post(&self, path: &str, headers: &str, body: &[u8]) -> Answer {
        let head = format!("POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {}\r\n{headers}", body.len());
        self.exchange(&head, body).await
    }

    async fn ask(&self, head: &str) -> Answer {
        self.exchange(head, b"").await
    }

    async fn exchange(&self, head: &str, body: &[u8]) -> Answer {
        exchange(&self.address, head, body).await
    }

    fn relayed(&self) -> usize {
        self.script.seen().relayed.len()
    }

    /// The next thing that it says.
    async fn hears(&mut self) -> Event {
        tokio::time::timeout(Duration::from_secs(20), self.events.recv()).await.unwrap().unwrap()
    }
}

/// One request on a connection of its own.
async fn exchange(address: &str, head: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await.unwrap();
    // An answer may come before all of the body is taken.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    Answer::read(&answer)
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }

    /// Its error, which is nothing but an error of the Open Inference Protocol.
    #[track_caller]
    fn error(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.head);
        let body: Value = serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body));
        assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
        body["error"].as_str().unwrap().to_owned()
    }
}

fn decline(response: &mut Response) {
    response.status = 400;
    response.fields.push("content-type", "application/json").unwrap();
    response.content = format!(r#"{{"error":"no input is called {CANARY}"}}"#).into_bytes();
}

#[tokio::test]
async fn a_program_gets_the_answer_and_nothing_of_its_request_leaves_in_clear() {
    let mut door = Door::open(Script::new(Fake::new(), [])).await;
    let Event::Verified(instance) = door.hears().await else { panic!() };
    assert_eq!(instance.digest(), door.script.fake.manifest.digest());
    let answer = door
        .post(
            &format!("/v2/models/m/infer?{CANARY}=1"),
            &format!(
                "content-type: application/json; x={CANARY}\r\ncookie: {CANARY}\r\nauthorization: Bearer {CANARY}\r\nuser-agent: {CANARY}\r\n\
                 x-{CANARY}: {CANARY}\r\ninference-header-content-length: {}\r\n",
                INFER.len()
            ),
            INFER.replace("\"x\"", &format!("\"{CANARY}\"")).as_bytes(),
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.contains("\"outputs\"") && answer.body.contains("0.5"), "{}", answer.body);
    let digest = door.script.fake.manifest.digest().to_string();
    assert_eq!(
        (answer.header("teegate-manifest"), answer.header("teegate-bound-to")),
        (Some(&*digest), Some("workload"))
    );
    assert!(answer.header("teegate-receipt").is_some() && answer.header("teegate-receipt-salt").is_some());

    let seen = door.script.seen();
    assert!(!String::from_utf8_lossy(&seen.every_byte).contains(CANARY), "the gateway saw it");
    // Inside, there is what a model needs and nothing else.
    let inside = door.script.opened(&seen.relayed[0]);
    let names: Vec<_> = inside.fields.iter().map(|field| field.name().to_owned()).collect();
    let own = ["teegate-manifest", "teegate-request-id", "teegate-model-sha256"];
    assert_eq!(names, [&["content-type", "inference-header-content-length"][..], &own].concat());
    assert_eq!((inside.method.as_str(), inside.path.as_str()), ("POST", "/v2/models/m/versions/1/infer"));
    assert!(String::from_utf8_lossy(&inside.content).contains(CANARY), "and the body came there");
}

#[tokio::test]
async fn questions_of_any_kind_go_sealed_to_whoever_is_verified() {
    let door = Door::open(Script::new(Fake::new(), [])).await;
    for (method, path, inside) in [
        ("GET", "/v2", "GET /v2"),
        ("GET", "/v2/health/live", "GET /v2/health/live"),
        ("HEAD", "/v2/health/ready", "GET /v2/health/ready"),
        ("GET", "/v2/models/m", "GET /v2/models/m"),
        ("GET", "/v2/models/m/versions/1/ready?x=1", "GET /v2/models/m/versions/1/ready"),
        ("GET", "/v2/models/%6d/config", "GET /v2/models/m/config"),
        ("POST", "/v2/repository/index", "POST /v2/repository/index"),
        ("DELETE", "/anything/else", "DELETE /anything/else"),
    ] {
        let answer = door.ask(&format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n")).await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
        assert_eq!(answer.body.is_empty(), method == "HEAD");
        let opened = door.script.opened(door.script.seen().relayed.last().unwrap());
        assert_eq!(format!("{} {}", opened.method, opened.path), inside);
    }
    assert_eq!(door.script.seen().lists, 3, "one question for any instance, one for the model, one for its version");
}

#[tokio::test]
async fn what_the_model_says_comes_as_it_is_whatever_its_status() {
    let door = Door::open(Script::new(Fake::new(), [Act::Answer(Spoil::Refusal(decline))])).await;
    let answer = door.infer(INFER).await;
    assert_eq!((answer.status, answer.error()), (400, format!("no input is called {CANARY}")));
    assert!(answer.header("teegate-executed").is_none(), "it is the model's own");
    assert!(answer.header("teegate-manifest").is_some());
}

#[tokio::test]
async fn who_may_not_ask_is_told_before_anything_is_read_or_sent() {
    let token = "0123456789abcdef0123456789abcdef";
    let access = Access {
        origins: vec!["http://localhost:3000".to_owned()],
        token: Some(Token::parse(token.as_bytes()).unwrap()),
        ..Access::default()
    };
    let door = Door::with(Script::new(Fake::new(), []), ProxySettings { access, ..Default::default() }, settings());
    let door = door.await.unwrap();
    let shown = format!("authorization: Bearer {token}\r\n");
    for (host, headers, status, told) in [
        ("rebound.example", &*shown, 421, "`Host` has to be `localhost`"),
        ("localhost", &format!("{shown}origin: https://evil.example\r\n"), 403, "--allow-origin"),
        ("localhost", &format!("{shown}sec-fetch-site: cross-site\r\n"), 403, "browser"),
        ("localhost", "", 401, "--token-file"),
        ("localhost", "authorization: Bearer 0123456789abcdef0123456789abcdeF\r\n", 401, "token"),
    ] {
        for path in ["/v2", "/v2/models/m/infer"] {
            let answer = door.ask(&format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{headers}")).await;
            assert_eq!(answer.status, status, "{host} {headers}: {}", answer.body);
            assert!(answer.error().contains(told), "{}", answer.body);
        }
    }
    assert_eq!(door.relayed(), 0);
    // A probe shows no token, and must be no page either.
    assert_eq!(door.get("/livez").await.status, 200);
    assert_eq!(door.get("/readyz").await.status, 200);
    assert_eq!(door.ask("GET /readyz HTTP/1.1\r\nhost: rebound.example\r\n").await.status, 421);

    let page = "origin: http://localhost:3000\r\nsec-fetch-site: same-site\r\n";
    let answer = door.ask(&format!("GET /v2 HTTP/1.1\r\nhost: localhost\r\n{shown}{page}")).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("http://localhost:3000")));
    let preflight = format!("OPTIONS /v2 HTTP/1.1\r\nhost: localhost\r\n{page}access-control-request-method: POST\r\n");
    let answer = door.ask(&preflight).await;
    assert_eq!((answer.status, &*answer.body), (204, ""));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("authorization"));
    let evil = preflight.replace("http://localhost:3000", "http://localhost:3001");
    assert_eq!(door.ask(&evil).await.status, 403);
    let answer = door.ask(&format!("GET /v2 HTTP/1.1\r\nhost: localhost\r\n{shown}")).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));
    assert_eq!(door.relayed(), 2);
}

/// What becomes of one inference, and how often something was sent for it.
async fn failed(act: Act) -> (Answer, usize) {
    let door = Door::open(Script::new(Fake::new(), [act])).await;
    let answer = door.infer(INFER).await;
    let relayed = door.relayed();
    assert_eq!(door.infer(INFER).await.status, 200, "the next one is served");
    (answer, relayed)
}

#[tokio::test]
async fn every_failure_says_in_the_protocols_words_what_is_known_of_the_request() {
    fn replay(response: &mut Response) {
        let problem = Problem::new(ProblemKind::Replay).with_detail(CANARY);
        response.status = problem.status();
        response.content = problem.to_json();
        response.fields.push("content-type", "application/problem+json").unwrap();
    }
    let problem = |kind| Act::Problem(Problem::new(kind));
    for (act, status, executed, retry, told) in [
        (Act::HangUp, 502, "unknown", None, "whether the request was executed is unknown"),
        (Act::Unsealed("application/json"), 502, "unknown", None, "unsealed success"),
        (Act::Altered, 502, "unknown", None, "unknown"),
        (Act::Answer(Spoil::NoReceipt), 502, "unknown", None, "no execution receipt"),
        (Act::Answer(Spoil::OtherKey), 502, "unknown", None, "receipt"),
        (Act::Answer(Spoil::Refusal(replay)), 502, "unknown", None, CANARY),
        (problem(ProblemKind::UpstreamLost), 502, "unknown", None, "whether it was executed is unknown"),
        (Act::Problem(Problem::new(ProblemKind::Deadline).unknown_outcome()), 504, "unknown", None, "deadline"),
        (problem(ProblemKind::NoAttestedInstance), 503, "no", Some("3"), "not executed"),
        (Act::Problem(Problem::new(ProblemKind::Busy).with_retry_after(7)), 503, "no", Some("7"), "busy"),
        (Act::Problem(Problem::new(ProblemKind::RateLimited).with_retry_after(9)), 429, "no", Some("9"), "too many"),
        (problem(ProblemKind::TooLarge), 413, "no", None, "too large"),
        (problem(ProblemKind::Forbidden), 502, "no", None, "not permitted"),
    ] {
        let (answer, relayed) = failed(act).await;
        let error = answer.error();
        assert_eq!((answer.status, relayed), (status, 1), "{error}");
        assert!(error.contains(told), "{told}: {error}");
        assert_eq!(answer.header("teegate-executed"), Some(executed), "{error}");
        assert_eq!(answer.header("retry-after"), retry, "{error}");
    }
    // Sealed anew, to whom it verified anew: the program notices nothing.
    let door = Door::open(Script::new(Fake::new(), [problem(ProblemKind::Reseal)])).await;
    assert_eq!(door.infer(INFER).await.status, 200);
    assert_eq!(door.relayed(), 2);
}

#[tokio::test]
async fn where_nobody_can_be_verified_nothing_is_sent_and_the_reason_is_told() {
    let mut door = Door::open(Script::new(Fake::new(), [])).await;
    assert!(matches!(door.hears().await, Event::Verified(_)));
    let refuse = |problem| *door.script.refusal.lock().unwrap() = Some(problem);
    refuse(Problem::new(ProblemKind::UnknownModel).with_detail("they serve `m`"));
    let answer = door.post("/v2/models/other/infer", "", INFER.as_bytes()).await;
    assert_eq!(answer.status, 404);
    assert!(answer.error().contains("they serve `m`") && answer.error().contains("nothing of the request was sent"));
    refuse(Problem::new(ProblemKind::EvidenceRejected).with_checks(["snp.guest.measurement"]));
    let answer = door.infer(INFER).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("3")));
    assert!(answer.error().contains("snp.guest.measurement"), "{}", answer.body);
    *door.script.refusal.lock().unwrap() = None;

    // What can be no name is asked of nobody.
    let lists = door.script.seen().lists;
    for path in [
        "/v2/models/%C3%BC",
        "/v2/models/a%2Fb/ready",
        "/v2/models/m/versions//infer",
        &format!("/v2/models/{}", "m".repeat(129)),
    ] {
        let answer = door.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.error().contains("nor can be; nothing was sent"), "{}", answer.body);
    }
    assert_eq!(door.script.seen().lists, lists);

    // No model of that version; nobody at all; and somebody whom this policy refuses.
    let answer = door.post("/v2/models/m/versions/2/infer", "", INFER.as_bytes()).await;
    assert_eq!(answer.status, 404);
    assert!(answer.error().contains("in version `2`"), "{}", answer.body);
    let offers = std::mem::take(&mut *door.script.offers.lock().unwrap());
    let answer = door.infer(INFER).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("3")));
    assert!(answer.error().contains("offers no instance"), "{}", answer.body);
    let other: Envelope = Fake::on(|_| {}, |device| device.measurement([0x66; 48])).envelope();
    *door.script.offers.lock().unwrap() = vec![other];
    let answer = door.infer(INFER).await;
    assert_eq!((answer.status, answer.header("teegate-executed")), (403, Some("no")));
    assert!(answer.error().contains("refused: ") && answer.error().contains("nothing was sealed"), "{}", answer.body);
    assert_eq!(door.relayed(), 0);

    *door.script.offers.lock().unwrap() = offers;
    assert_eq!(door.infer(INFER).await.status, 200);
}

#[tokio::test]
async fn a_policy_that_refuses_everybody_opens_no_door() {
    let script = Script::new(Fake::new(), []);
    *script.offers.lock().unwrap() = vec![Fake::on(|_| {}, |device| device.measurement([0x66; 48])).envelope()];
    let error = Door::with(script, ProxySettings::default(), settings()).await.map(drop).unwrap_err();
    assert!(matches!(&error, Error::NoCandidate { refused } if !refused[0].checks.is_empty()), "{error}");
}

#[tokio::test]
async fn only_models_that_are_named_are_served() {
    let proxy = ProxySettings { models: vec!["m".to_owned()], ..Default::default() };
    let door = Door::with(Script::new(Fake::new(), []), proxy, settings()).await.unwrap();
    assert_eq!(door.infer(INFER).await.status, 200);
    for path in ["/v2/models/other/infer", "/v2/models/other", "/v2/models/m2/versions/1/infer"] {
        let answer = door.post(path, "", b"").await;
        assert_eq!(answer.status, 404);
        assert!(answer.error().contains("this door serves `m`, and no other model; nothing was sent"));
    }
    assert_eq!(door.relayed(), 1);
    assert_eq!(door.get("/v2/health/live").await.status, 200);

    let proxy = ProxySettings { models: vec!["m".to_owned(), "other".to_owned()], ..Default::default() };
    let error = Door::with(Script::new(Fake::new(), []), proxy, settings()).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("does not name the model `other`"), "{error}");
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_body_is_bounded_and_travels_without_its_encoding() {
    let bodies = BodyLimits { one_bytes: 10_000, all_bytes: 15 << 10, ..BodyLimits::default() };
    let proxy = ProxySettings { bodies, ..Default::default() };
    let door = Door::with(Script::new(Fake::new(), []), proxy, settings()).await.unwrap();
    let path = "/v2/models/m/infer";
    let answer = door.post(path, "content-encoding: gzip\r\n", &gzip(INFER.as_bytes())).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let inside = door.script.opened(&door.script.seen().relayed[0]);
    assert_eq!((&*inside.content, inside.fields.get("content-encoding")), (INFER.as_bytes(), None));
    let chunked =
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\n");
    let body = format!("{:x}\r\n{INFER}\r\n0\r\n\r\n", INFER.len());
    let answer = door.exchange(&chunked, body.as_bytes()).await;
    assert!(
        answer.head.starts_with("HTTP/1.1 100 Continue") && answer.body.starts_with("HTTP/1.1 200 OK"),
        "{}",
        answer.head
    );
    assert_eq!(door.relayed(), 2);

    for (headers, body, status, told) in [
        ("", vec![b' '; 10_001], 413, "more than 10000 bytes"),
        ("content-encoding: gzip\r\n", gzip(&vec![b' '; 10_001]), 413, "more than 10000 bytes"),
        ("content-encoding: br\r\n", vec![], 415, "`gzip`, `deflate` or none"),
        ("content-encoding: gzip\r\n", INFER.as_bytes().to_vec(), 400, "`Content-Encoding`"),
        ("content-type: a\r\ncontent-type: b\r\n", vec![], 400, "`content-type` stands there twice"),
    ] {
        let answer = door.post(path, headers, &body).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.error().contains(told), "{}", answer.body);
    }
    let answer =
        door.exchange(&chunked, format!("{:x}\r\n{}\r\n0\r\n\r\n", 10_001, "x".repeat(10_001)).as_bytes()).await;
    assert!(answer.head.contains("100 Continue") && answer.body.contains("413 Payload Too Large"), "{}", answer.body);

    // What one program has begun to send leaves no room for another, and gives it back when the program leaves.
    let mut slow = TcpStream::connect(&door.address).await.unwrap();
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9000\r\nexpect: 100-continue\r\n\r\n");
    slow.write_all(head.as_bytes()).await.unwrap();
    slow.read_exact(&mut [0; 25]).await.unwrap();
    let answer = door.post(path, "", &vec![b' '; 9_000]).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert!(answer.error().contains("other requests take all the room"), "{}", answer.body);
    assert_eq!(door.infer(INFER).await.status, 200, "a small one finds room");
    drop(slow);
    while door.post(path, "", &vec![b' '; 9_000]).await.status != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_connection_serves_many_requests_and_many_at_once() {
    let door = Door::open(Script::new(Fake::new(), [])).await;
    let mut stream = TcpStream::connect(&door.address).await.unwrap();
    let one = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    // Pipelined, the last of them through the seal.
    let last = "GET /v2 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(format!("{one}{one}{last}").as_bytes()).await.unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).await.unwrap();
    assert_eq!((all.matches("HTTP/1.1 200 OK").count(), all.matches("{\"live\":true}").count()), (3, 2), "{all}");
    assert!(all.ends_with('}') && all.contains("outputs"), "in the order of the questions: {all}");

    let mut many = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let address = door.address.clone();
        let head = "POST /v2/models/m/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n";
        many.spawn(async move { exchange(&address, head, b"{}").await });
    }
    assert!(many.join_all().await.iter().all(|answer| answer.status == 200));
    assert_eq!(door.script.seen().lists, 2, "those who came at the same time shared one question");
}

/// A clock that a test moves.
static NOW: Mutex<u64> = Mutex::new(AT);

#[tokio::test]
async fn a_rotation_is_said_when_it_happens_and_so_is_that_nobody_is_left() {
    let settings = Settings { clock: || UnixTime::from_seconds(*NOW.lock().unwrap()), ..settings() };
    let script = Script::new(Fake::with(|manifest| manifest.use_until = AT + 60), []);
    let mut door = Door::with(script, ProxySettings::default(), settings).await.unwrap();
    let Event::Verified(first) = door.hears().await else { panic!() };
    assert_eq!(door.infer(INFER).await.status, 200);
    // The epoch ends, and nobody has another key yet. No program asks meanwhile.
    let offers = std::mem::take(&mut *door.script.offers.lock().unwrap());
    *NOW.lock().unwrap() += 61;
    let Event::Lost(why) = door.hears().await else { panic!() };
    assert!(why.to_string().contains("offers no instance"), "{why}");
    let answer = door.get("/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(answer.error().contains("offers no instance"), "{}", answer.body);
    assert_eq!(door.get("/livez").await.status, 200);

    let rotated = Fake::with(|manifest| manifest.epoch = 2).envelope();
    assert_ne!(rotated, offers[0]);
    *door.script.offers.lock().unwrap() = vec![rotated];
    let Event::Verified(second) = door.hears().await else { panic!() };
    assert!(first.digest() != second.digest() && second.manifest().epoch == 2);
    assert_eq!(door.get("/readyz").await.status, 200);
    assert!(door.events.try_recv().is_err(), "each is said once");
    assert!(!serde_json::to_string(&door.proxy.memory()).unwrap().is_empty());
}

#[tokio::test]
async fn an_exchange_that_was_lost_puts_whoever_was_verified_in_doubt() {
    let mut door = Door::open(Script::new(Fake::new(), [Act::HangUp])).await;
    assert!(matches!(door.hears().await, Event::Verified(_)));
    // The model's own client forgets the instance; the one that is kept is asked for again as well, though what it
    // verified would hold for an hour.
    assert_eq!(door.infer(INFER).await.status, 502);
    while door.script.seen().lists < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(door.infer(INFER).await.status, 200);
    *door.script.refusal.lock().unwrap() = Some(Problem::new(ProblemKind::NoAttestedInstance));
    door.script.act_next(Act::HangUp);
    assert_eq!(door.infer(INFER).await.status, 502);
    assert!(matches!(door.hears().await, Event::Lost(_)));
    assert_eq!(door.get("/readyz").await.status, 503);
    *door.script.refusal.lock().unwrap() = None;
    assert!(matches!(door.hears().await, Event::Verified(_)), "the same one, said again");
    assert_eq!(door.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn what_is_under_way_is_answered_before_the_door_closes() {
    let mut door = Door::open(Script::new(Fake::new(), [])).await;
    let mut stream = TcpStream::connect(&door.address).await.unwrap();
    let head = format!(
        "POST /v2/models/m/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        INFER.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.read_exact(&mut [0; 25]).await.unwrap();
    let mut idle = TcpStream::connect(&door.address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    idle.read_exact(&mut [0; 15]).await.unwrap();
    door.stop.take().unwrap().send(()).unwrap();
    while TcpStream::connect(&door.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    // The idle one is ended, and the other one is served first.
    idle.read_to_end(&mut Vec::new()).await.unwrap();
    stream.write_all(INFER.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(Answer::read(&answer).status, 200);
    door.ended.await.unwrap();
}

#[tokio::test]
async fn a_program_that_leaves_takes_its_exchange_with_it() {
    let door = Door::open(Script::new(Fake::new(), [Act::Never])).await;
    let mut stream = TcpStream::connect(&door.address).await.unwrap();
    let head = "POST /v2/models/m/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(head.as_bytes()).await.unwrap();
    door.script.begun.notified().await;
    drop(stream);
    tokio::time::timeout(Duration::from_secs(20), door.script.left.notified()).await.unwrap();
}
