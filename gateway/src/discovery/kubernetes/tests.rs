//! Against an API server of the test, over TLS.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use teegate_forge::pem;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::config::Address;
use crate::discovery::board::{Board, Certainty, Sighting};
use crate::discovery::config::Table;
use crate::metrics::Metrics;

/// Far more than anything here takes; whatever is waited for is an event.
const PATIENCE: Duration = Duration::from_secs(60);
const TOKEN: &str = "token-1";

/// How it answers for the time being.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    Status(u16),
    /// Not at all.
    Silent,
    Garbage,
    /// A list that never ends.
    Endless,
    /// 410 as an event, where a watch is asked for.
    GoneAsEvent,
}

/// What has been asked so far.
#[derive(Clone, Default)]
struct Seen {
    lists: u64,
    watches: u64,
    unauthorized: u64,
    /// The version from which the last watch was asked for.
    from: String,
}

type Piece = Result<Bytes, std::io::Error>;

struct State {
    mood: Mood,
    token: String,
    version: u64,
    /// Older versions are forgotten.
    oldest: u64,
    slices: BTreeMap<String, Value>,
    history: Vec<(u64, String)>,
    watchers: Vec<mpsc::UnboundedSender<Piece>>,
}

struct Api {
    state: Arc<Mutex<State>>,
    seen: watch::Receiver<Seen>,
    account: tempfile::TempDir,
    port: u16,
}

struct Piped(mpsc::UnboundedReceiver<Piece>);

impl Body for Piped {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.get_mut().0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

fn whole(status: u16, text: impl Into<Bytes>) -> Response<Piped> {
    let (pieces, body) = mpsc::unbounded_channel();
    pieces.send(Ok(text.into())).unwrap();
    let mut answer = Response::new(Piped(body));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

impl Api {
    async fn start() -> Self {
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap().signed_by(&key, &ca).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        let account = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(account.path().join(name), text).unwrap();
        write("ca.crt", &pem::certificate(ca.der()));
        write("token", &format!("{TOKEN}\n"));
        write("namespace", "models\n");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State {
            mood: Mood::Well,
            token: TOKEN.into(),
            version: 100,
            oldest: 0,
            slices: BTreeMap::new(),
            history: Vec::new(),
            watchers: Vec::new(),
        };
        let (state, (seeing, seen)) = (Arc::new(Mutex::new(state)), watch::channel(Seen::default()));
        let (serving, seeing) = (Arc::clone(&state), Arc::new(seeing));
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, state, seeing) = (acceptor.clone(), Arc::clone(&serving), Arc::clone(&seeing));
                tokio::spawn(async move {
                    let Ok(tls) = acceptor.accept(tcp).await else { return };
                    let service = service_fn(|request| serve(request, Arc::clone(&state), Arc::clone(&seeing)));
                    let _ =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tls), service).await;
                });
            }
        });
        Self { state, seen, account, port }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    fn mood(&self, mood: Mood) {
        self.with(|state| state.mood = mood);
    }

    /// A slice with these endpoints: address and conditions.
    fn put(&self, name: &str, endpoints: &[(&str, Value)]) {
        self.with(|state| {
            state.version += 1;
            let endpoints: Vec<Value> = endpoints
                .iter()
                .map(|(address, conditions)| json!({"addresses": [address], "conditions": conditions, "nodeName": "n"}))
                .collect();
            let slice = json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {"name": name, "namespace": "models", "resourceVersion": state.version.to_string()},
                "endpoints": endpoints, "ports": [{"name": "attested", "port": 8443, "protocol": "TCP"}],
            });
            let kind = if state.slices.insert(name.into(), slice.clone()).is_some() { "MODIFIED" } else { "ADDED" };
            state.tell(kind, &slice);
        });
    }

    fn remove(&self, name: &str) {
        self.with(|state| {
            state.version += 1;
            let mut slice = state.slices.remove(name).unwrap();
            slice["metadata"]["resourceVersion"] = json!(state.version.to_string());
            state.tell("DELETED", &slice);
        });
    }

    /// Nothing but a newer version.
    fn bookmark(&self) {
        self.with(|state| {
            state.version += 10;
            let version = state.version.to_string();
            state.tell("BOOKMARK", &json!({"kind": "EndpointSlice", "metadata": {"resourceVersion": version}}));
        });
    }

    /// Forgets all older versions, and ends the watches.
    fn forget(&self) {
        self.with(|state| {
            state.version += 1;
            state.oldest = state.version;
            state.history.clear();
            state.watchers.clear();
        });
    }

    /// The watches end as they do in their time.
    fn end(&self) {
        self.with(|state| state.watchers.clear());
    }

    fn cut(&self) {
        self.with(|state| {
            for watcher in state.watchers.drain(..) {
                let _ = watcher.send(Err(std::io::Error::other("cut")));
            }
        });
    }

    fn say(&self, text: &str) {
        self.with(|state| state.send(text.to_owned()));
    }

    fn token(&self, of_server: &str, of_client: &str) {
        self.with(|state| state.token = of_server.into());
        std::fs::write(self.account.path().join("token"), of_client).unwrap();
    }

    async fn seen(&self, what: &str, condition: impl Fn(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.clone();
        let seen = tokio::time::timeout(PATIENCE, seen.wait_for(condition)).await;
        seen.unwrap_or_else(|_| panic!("{what}")).unwrap().clone()
    }

    fn now(&self) -> Seen {
        self.seen.borrow().clone()
    }

    fn follow(&self, settings: Settings) -> (Arc<Board>, Arc<Metrics>) {
        self.follow_as(self.account.path(), settings)
    }

    fn follow_as(&self, account: &Path, settings: Settings) -> (Arc<Board>, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::default());
        let board = Board::new(Arc::clone(&metrics));
        let post = board.post("kubernetes:test");
        let cluster = Cluster::at("127.0.0.1".into(), &self.port.to_string(), account).unwrap();
        let namespace = cluster.namespace().unwrap();
        let service = Service { service: "enclaves".into(), namespace: None, port: None };
        tokio::spawn(follow(service, namespace, cluster, settings, post));
        (board, metrics)
    }
}

impl State {
    fn tell(&mut self, kind: &str, object: &Value) {
        let line = format!("{}\n", json!({"type": kind, "object": object}));
        self.history.push((self.version, line.clone()));
        self.send(line);
    }

    /// In two pieces, so that lines are put together.
    fn send(&mut self, text: String) {
        let (one, two) = text.split_at(text.len() / 2);
        let pieces = [Bytes::copy_from_slice(one.as_bytes()), Bytes::copy_from_slice(two.as_bytes())];
        self.watchers.retain(|watcher| pieces.iter().all(|piece| watcher.send(Ok(piece.clone())).is_ok()));
    }
}

async fn serve(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
    seeing: Arc<watch::Sender<Seen>>,
) -> Result<Response<Piped>, Infallible> {
    assert_eq!(request.uri().path(), "/apis/discovery.k8s.io/v1/namespaces/models/endpointslices");
    let query: BTreeMap<&str, &str> =
        request.uri().query().unwrap().split('&').map(|pair| pair.split_once('=').unwrap()).collect();
    assert_eq!(query["labelSelector"], "kubernetes.io%2Fservice-name%3Denclaves");
    let (mood, answer) = {
        let mut state = state.lock().unwrap();
        if request.headers()["authorization"] != format!("Bearer {}", state.token) {
            seeing.send_modify(|seen| seen.unauthorized += 1);
            return Ok(whole(401, "{}"));
        }
        let is_watch = query.contains_key("watch");
        let answer = if is_watch { state.watch(&query) } else { state.list(&query) };
        seeing.send_modify(|seen| {
            seen.from = query.get("resourceVersion").unwrap_or(&"").to_string();
            *(if is_watch { &mut seen.watches } else { &mut seen.lists }) += 1;
        });
        (state.mood, answer)
    };
    if mood == Mood::Silent {
        return std::future::pending().await;
    }
    Ok(answer)
}

impl State {
    /// One slice a page.
    fn list(&self, query: &BTreeMap<&str, &str>) -> Response<Piped> {
        assert_eq!(query["limit"], "100");
        let start: usize = query.get("continue").map_or(0, |from| from.strip_prefix("a%2B").unwrap().parse().unwrap());
        let more = if self.mood == Mood::Endless || start + 1 < self.slices.len() {
            format!("a+{}", start + 1)
        } else {
            String::new()
        };
        let items: Vec<&Value> = self.slices.values().skip(start).take(1).collect();
        let metadata = json!({"resourceVersion": self.version.to_string(), "continue": more});
        match self.mood {
            Mood::Status(status) => whole(status, "{}"),
            Mood::Garbage => whole(200, "{\"kind\":"),
            _ => whole(200, json!({"kind": "EndpointSliceList", "metadata": metadata, "items": items}).to_string()),
        }
    }

    fn watch(&mut self, query: &BTreeMap<&str, &str>) -> Response<Piped> {
        assert_eq!(query["allowWatchBookmarks"], "true");
        let from: u64 = query["resourceVersion"].parse().unwrap();
        if let Mood::Status(status) = self.mood {
            return whole(status, "{}");
        }
        if from < self.oldest {
            let gone = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}});
            let status = if self.mood == Mood::GoneAsEvent { 200 } else { 410 };
            return whole(status, format!("{gone}\n"));
        }
        let (pieces, body) = mpsc::unbounded_channel();
        for (_, line) in self.history.iter().filter(|(version, _)| *version > from) {
            pieces.send(Ok(line.clone().into())).unwrap();
        }
        self.watchers.push(pieces);
        Response::new(Piped(body))
    }
}

fn settings() -> Settings {
    let pause = Duration::from_millis(10);
    Settings {
        least: pause,
        most: PATIENCE,
        timeout: PATIENCE,
        ..toml::from_str::<Table>("").unwrap().check(1).unwrap()
    }
}

/// Where something has to time out.
fn impatient() -> Settings {
    let pause = Duration::from_millis(10);
    Settings { most: pause, timeout: Duration::from_secs(1), ..settings() }
}

fn ready() -> Value {
    json!({"ready": true, "serving": true, "terminating": false})
}

async fn until(board: &Arc<Board>, what: &str, condition: impl Fn(&Sighting) -> bool) -> Sighting {
    let mut changes = board.changes();
    let seen = async {
        loop {
            changes.borrow_and_update();
            let sighting = board.sightings()[0].clone();
            if condition(&sighting) {
                return sighting;
            }
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("{what}: {:?}", board.sightings()))
}

fn addresses(hosts: &[&str]) -> BTreeSet<Address> {
    hosts.iter().map(|host| Address::parse(&format!("{host}:8443")).unwrap()).collect()
}

async fn until_known(board: &Arc<Board>, hosts: &[&str]) {
    let expected = Sighting { addresses: addresses(hosts), certainty: Certainty::Current };
    until(board, &format!("{hosts:?}"), |sighting| *sighting == expected).await;
}

async fn until_doubted(board: &Arc<Board>, because: &str) -> BTreeSet<Address> {
    let is_doubted =
        |sighting: &Sighting| matches!(&sighting.certainty, Certainty::Doubtful(why) if why.contains(because));
    until(board, because, is_doubted).await.addresses
}

fn doubts(metrics: &Metrics) -> u64 {
    let start = "teegate_gateway_discovery_doubt_total{source=\"kubernetes:test\"} ";
    metrics.render(&[]).lines().find_map(|line| line.strip_prefix(start)?.parse().ok()).unwrap()
}

#[tokio::test]
async fn endpoints_are_listed_once_and_then_followed() {
    let api = Api::start().await;
    api.put("one", &[("10.0.0.1", ready()), ("10.0.0.2", json!({"ready": false}))]);
    api.put("two", &[("10.0.0.3", json!({}))]);
    let (board, metrics) = api.follow(settings());
    until_known(&board, &["10.0.0.1", "10.0.0.3"]).await;
    api.put("one", &[("10.0.0.1", ready()), ("10.0.0.2", ready())]);
    until_known(&board, &["10.0.0.1", "10.0.0.2", "10.0.0.3"]).await;
    for _ in 0..4 {
        let terminates = json!({"ready": false, "serving": true, "terminating": true});
        api.put("one", &[("10.0.0.1", terminates), ("10.0.0.2", ready())]);
        until_known(&board, &["10.0.0.2", "10.0.0.3"]).await;
        api.put("one", &[("10.0.0.1", ready()), ("10.0.0.2", ready())]);
        until_known(&board, &["10.0.0.1", "10.0.0.2", "10.0.0.3"]).await;
    }
    api.remove("two");
    until_known(&board, &["10.0.0.1", "10.0.0.2"]).await;
    api.put("one", &[]);
    until_known(&board, &[]).await;
    assert_eq!((api.now().lists, api.now().watches, doubts(&metrics)), (2, 1, 0), "a list of two pages");
}

#[tokio::test]
async fn a_watch_goes_on_from_the_last_version_however_it_ended() {
    let api = Api::start().await;
    api.put("one", &[("10.0.0.1", ready())]);
    let (board, metrics) = api.follow(settings());
    until_known(&board, &["10.0.0.1"]).await;
    api.seen("a watch", |seen| seen.watches == 1).await;
    api.bookmark();
    // In its time: nobody doubts.
    api.end();
    let seen = api.seen("the next", |seen| seen.watches == 2).await;
    assert_eq!(seen.from, "111", "from the bookmark");
    assert_eq!(doubts(&metrics), 0);
    // What changed while nobody watched is told by the next watch.
    for (watches, host) in [(3, "10.0.0.2"), (4, "10.0.0.3")] {
        if watches == 3 {
            api.cut();
        } else {
            api.say("{\"type\":\"ADD");
            api.end();
        }
        api.put("one", &[(host, ready())]);
        until_known(&board, &[host]).await;
        assert_eq!(api.seen("the next", |seen| seen.watches >= watches).await.lists, 1);
        assert_eq!(doubts(&metrics), watches - 2);
    }
}

#[tokio::test]
async fn a_watch_that_is_cut_again_and_again_is_asked_for_as_soon_as_the_first_time() {
    let api = Api::start().await;
    api.put("one", &[("10.0.0.1", ready())]);
    let (board, metrics) = api.follow(Settings { least: Duration::from_millis(50), ..settings() });
    // If the pause doubled each time, the last ones would be longer than anybody waits here.
    for number in 1..=14 {
        api.seen("a watch", |seen| seen.watches == number).await;
        until_known(&board, &["10.0.0.1"]).await;
        api.cut();
    }
    until_doubted(&board, "the watch was cut off").await;
    assert_eq!((doubts(&metrics), api.now().lists), (14, 1));
}

#[tokio::test]
async fn a_version_that_is_forgotten_is_listed_anew() {
    for mood in [Mood::Well, Mood::GoneAsEvent] {
        let api = Api::start().await;
        api.mood(mood);
        api.put("one", &[("10.0.0.1", ready())]);
        api.put("two", &[("10.0.0.2", ready())]);
        let (board, metrics) = api.follow(settings());
        until_known(&board, &["10.0.0.1", "10.0.0.2"]).await;
        api.seen("a watch", |seen| seen.watches == 1).await;
        api.with(|state| state.slices.remove("two"));
        api.forget();
        until_known(&board, &["10.0.0.1"]).await;
        assert_eq!(api.now().lists, 3, "two pages, and one");
        assert_eq!(doubts(&metrics), 0);
        // The watch goes on from there.
        api.put("one", &[("10.0.0.4", ready())]);
        until_known(&board, &["10.0.0.4"]).await;
    }
}

#[tokio::test]
async fn a_token_that_was_replaced_is_read_again() {
    let api = Api::start().await;
    api.put("one", &[("10.0.0.1", ready())]);
    let (board, metrics) = api.follow(settings());
    until_known(&board, &["10.0.0.1"]).await;
    api.seen("a watch", |seen| seen.watches == 1).await;
    api.token("token-2", "token-2");
    api.end();
    api.seen("a watch with the new token", |seen| seen.watches == 2).await;
    assert_eq!((doubts(&metrics), api.now().unauthorized), (0, 0));
    // One that is not replaced in time is doubted, and what is known stays.
    api.token("token-3", "token-2");
    api.end();
    assert_eq!(
        until_doubted(&board, "does not know the service account's token (401)").await,
        addresses(&["10.0.0.1"])
    );
    assert!(api.now().unauthorized >= 2, "it was tried again before that");
    api.token("token-3", "token-3");
    until_known(&board, &["10.0.0.1"]).await;
    assert_eq!((doubts(&metrics), api.now().lists), (1, 1));
}

#[tokio::test]
async fn what_is_not_understood_or_not_said_keeps_what_is_known() {
    for (mood, settings, because) in [
        (Mood::Status(403), settings(), "may not list and watch endpointslices of discovery.k8s.io (403)"),
        (Mood::Status(500), settings(), "answered 500"),
        (Mood::Garbage, settings(), "its list is not understood"),
        (Mood::Endless, settings(), "its list has more than 64 pages"),
        (Mood::Silent, impatient(), "no answer of the API server within 1000 ms"),
    ] {
        let api = Api::start().await;
        api.put("one", &[("10.0.0.1", ready())]);
        let (board, metrics) = api.follow(settings);
        until_known(&board, &["10.0.0.1"]).await;
        let before = doubts(&metrics);
        api.mood(mood);
        // The next watch finds its version forgotten: there has to be a list.
        api.forget();
        assert_eq!(until_doubted(&board, because).await, addresses(&["10.0.0.1"]), "{because}");
        assert!(doubts(&metrics) > before, "{because}");
        api.mood(Mood::Well);
        until_known(&board, &["10.0.0.1"]).await;
    }
}

#[tokio::test]
async fn an_event_that_is_garbage_or_endless_leads_to_a_new_list() {
    let api = Api::start().await;
    api.put("one", &[("10.0.0.1", ready())]);
    let (board, _) = api.follow(settings());
    until_known(&board, &["10.0.0.1"]).await;
    for (number, text) in (1..).zip(["garbage\n".to_owned(), "x".repeat(5 << 20)]) {
        api.seen("a watch", |seen| seen.watches == number).await;
        let lists = api.now().lists;
        api.say(&text);
        api.seen("a list", |seen| seen.lists > lists && seen.watches > number).await;
        until_known(&board, &["10.0.0.1"]).await;
    }
}

#[tokio::test]
async fn a_watch_that_says_nothing_and_does_not_end_is_left() {
    let api = Api::start().await;
    api.put("one", &[("10.0.0.1", ready())]);
    let (board, metrics) = api.follow(impatient());
    until_known(&board, &["10.0.0.1"]).await;
    api.seen("another watch", |seen| seen.watches >= 2).await;
    until_known(&board, &["10.0.0.1"]).await;
    assert!(doubts(&metrics) >= 1);
    assert_eq!(api.now().lists, 1);
}

#[tokio::test]
async fn an_api_server_under_another_ca_is_not_asked() {
    let (api, other) = (Api::start().await, Api::start().await);
    api.put("one", &[("10.0.0.1", ready())]);
    let (board, _) = api.follow_as(other.account.path(), settings());
    until_doubted(&board, "invalid peer certificate").await;
    assert_eq!((api.now().lists, api.now().unauthorized), (0, 0), "no token goes there");
    let (board, _) = api.follow(settings());
    until_known(&board, &["10.0.0.1"]).await;
}

#[tokio::test]
async fn a_service_does_not_lead_to_special_addresses() {
    let api = Api::start().await;
    api.put("one", &[("10.0.0.1", ready()), ("169.254.169.254", ready()), ("127.0.0.1", ready())]);
    let (board, _) = api.follow(settings());
    assert_eq!(until_doubted(&board, "which is not admitted").await, addresses(&["10.0.0.1"]));
    api.put("one", &[("10.0.0.1", ready())]);
    until_known(&board, &["10.0.0.1"]).await;
}

#[test]
fn outside_of_a_cluster_it_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let error =
        |host: &str, port: &str| Cluster::at(host.into(), port, folder.path()).map(|_| ()).unwrap_err().to_string();
    assert!(error("10.0.0.1", "x").contains("`KUBERNETES_SERVICE_PORT` is no port"));
    assert!(error("a b", "443").contains("`KUBERNETES_SERVICE_HOST` is no host"));
    assert!(error("10.0.0.1", "443").contains("token`"), "{}", error("10.0.0.1", "443"));
    for name in ["token", "ca.crt"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let cluster = Cluster::at("fd00::1".into(), "443", folder.path()).unwrap();
    assert!(cluster.namespace().unwrap_err().to_string().contains("namespace`"));
    assert_eq!(escaped("a+b/c=~"), "a%2Bb%2Fc%3D~");
}
