//! Keys of tokens at an address: an issuer over real sockets who turns his keys over, is away, or lies.

use std::sync::Mutex;
use std::time::Instant;

use jsonwebtoken::Algorithm::EdDSA;
use serde_json::{Value, json};
use teegate_forge::pem;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::jwt::{Keys, claims, header, judged, set};
use super::*;
use crate::admission::config::Admitting;
use crate::admission::issuer::config::{KeysAt, UrlSettings};
use crate::clock::Clock;
use crate::trust::testing::{START, clock, set_wall};

/// What an issuer answers.
#[derive(Clone)]
enum Reply {
    /// These bytes, then the end.
    Bytes(Vec<u8>),
    /// These bytes again and again.
    Endless(Vec<u8>),
    /// These bytes, and then nothing.
    Silence(Vec<u8>),
}

/// A JWKS as it should be.
fn good(keys: &[Value]) -> Reply {
    answered("200 OK", "content-type: application/json\r\n", &set(keys).to_string())
}

fn answered(status: &str, fields: &str, body: &str) -> Reply {
    let head = format!("HTTP/1.1 {status}\r\n{fields}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    Reply::Bytes((head + body).into_bytes())
}

/// An issuer at a port of its own. It ends with this.
struct Publisher {
    address: SocketAddr,
    reply: Arc<Mutex<Reply>>,
    /// When it was asked, and for what.
    asked: Arc<Mutex<Vec<(Instant, String)>>>,
    _serving: tokio::task::JoinHandle<()>,
}

impl Publisher {
    async fn start(reply: Reply) -> Self {
        Self::start_with(reply, None).await
    }

    async fn start_with(reply: Reply, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (reply, asked) = (Arc::new(Mutex::new(reply)), Arc::new(Mutex::new(Vec::new())));
        let (answers, log) = (Arc::clone(&reply), Arc::clone(&asked));
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answers, log, tls) = (Arc::clone(&answers), Arc::clone(&log), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &answers, &log).await,
                        Some(tls) => {
                            // Otherwise somebody did not like the certificate.
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &answers, &log).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, reply, asked, _serving: serving }
    }

    fn answers(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn url(&self) -> String {
        format!("http://{}/jwks?p=sign-in", self.address)
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    reply: &Mutex<Reply>,
    asked: &Mutex<Vec<(Instant, String)>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let reply = reply.lock().unwrap().clone();
    asked.lock().unwrap().push((Instant::now(), String::from_utf8(head).unwrap()));
    // Whoever hangs up has read enough.
    match reply {
        Reply::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Reply::Endless(bytes) => while stream.write_all(&bytes).await.is_ok() {},
        Reply::Silence(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.read_u8().await;
        }
    }
}

/// A configuration that asks at `url`; `more` stands in `[admission.jwt]`, `beside` at its end.
fn table(url: &str, more: &str, beside: &str) -> String {
    format!(
        "[admission]\n{beside}[admission.jwt]\njwks_url = '{url}'\nalgorithms = ['EdDSA']\nissuer = 'https://issuer.example'\n\
         audience = 'teegate'\ntenant_claim = 'team'\n{more}[[tenant]]\nname = 'a'\nmodels = ['a']\njwt = ['team-a']\n"
    )
}

/// The settings of that, with times that a test can wait for.
fn settings(folder: &Folder, table: &str, change: impl FnOnce(&mut UrlSettings)) -> Settings {
    let mut settings = folder.settings(table);
    let Settings::Tenants { admitting, .. } = &mut settings else { panic!() };
    let Admitting { jwt: Some(jwt), .. } = admitting.as_mut() else { panic!() };
    let KeysAt::Url(url) = &mut jwt.keys else { panic!() };
    let moment = Duration::from_millis(1);
    (url.pauses.least, url.pauses.retry, url.pauses.longest_retry) = (Duration::ZERO, moment, moment);
    url.pauses.patience = Duration::from_secs(60);
    change(url);
    settings
}

/// A gatekeeper that follows the keys. It stops with this.
struct Following {
    keeper: Arc<Gatekeeper>,
    clock: Arc<Clock>,
    task: tokio::task::JoinHandle<()>,
}

impl Following {
    fn start(settings: &Settings) -> Self {
        let (keeper, clock) = (Arc::new(Gatekeeper::load(settings).unwrap()), Arc::new(clock()));
        let (own, by) = (Arc::clone(&keeper), Arc::clone(&clock));
        Self { keeper, clock, task: tokio::spawn(async move { own.keep_keys(&by).await }) }
    }

    fn standing(&self) -> Standing {
        self.keeper.keys(&self.clock.now()).unwrap()
    }

    /// Lets the others work until it stands so.
    async fn until(&self, is_so: impl Fn(&Standing) -> bool) {
        in_time(async {
            while !is_so(&self.standing()) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    fn judged(&self, token: &str) -> Result<&'static str, Denied> {
        judged(&self.keeper, &self.clock, token)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn token(keys: &Keys, kid: &str) -> String {
    keys.sign(&header(EdDSA, Some(kid)), &claims())
}

#[tokio::test]
async fn a_new_key_counts_as_soon_as_a_token_names_it_and_an_old_one_ends_with_its_set() {
    let (old, new) = (Keys::new(), Keys::new());
    let publisher = Publisher::start(good(&[old.ed_jwk("old")])).await;
    let following = Following::start(&settings(&Folder::new(), &table(&publisher.url(), "", ""), |_| {}));
    assert_eq!(following.judged(&token(&old, "old")), Err(Denied::JwtNoKeys), "nobody before the first keys");
    following.until(|keys| keys.taken == 1).await;
    assert_eq!(following.judged(&token(&old, "old")), Ok("a"));
    let (_, head) = publisher.asked.lock().unwrap()[0].clone();
    assert!(head.starts_with("GET /jwks?p=sign-in HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nhost: {}\r\n", publisher.address)), "{head}");

    publisher.answers(good(&[new.ed_jwk("new")]));
    assert_eq!(following.judged(&token(&old, "old")), Ok("a"), "nobody asks for the keys of every token");
    assert_eq!(following.judged(&token(&new, "new")), Err(Denied::JwtKey), "this one is told to come again");
    following.until(|keys| keys.taken == 2).await;
    assert_eq!(following.judged(&token(&new, "new")), Ok("a"));
    assert_eq!(following.judged(&token(&old, "old")), Err(Denied::JwtKey), "it is not published any more");
}

#[tokio::test]
async fn an_answer_lives_as_long_as_it_says_and_never_longer_than_is_configured() {
    let keys = Keys::new();
    let body = set(&[keys.ed_jwk("one")]).to_string();
    for (fields, refresh) in [("cache-control: max-age=0\r\n", 86_400), ("cache-control: max-age=86400\r\n", 0)] {
        let publisher = Publisher::start(answered("200 OK", fields, &body)).await;
        let change = |url: &mut UrlSettings| url.refresh = Duration::from_secs(refresh);
        let following = Following::start(&settings(&Folder::new(), &table(&publisher.url(), "", ""), change));
        following.until(|keys| keys.taken == 3).await;
    }
}

#[tokio::test]
async fn a_flood_of_unknown_keys_causes_one_question_at_a_time_and_no_more_than_may_be() {
    const LEAST: Duration = Duration::from_millis(100);
    let keys = Keys::new();
    let publisher = Publisher::start(good(&[keys.ed_jwk("one")])).await;
    let start = Instant::now();
    let change = |url: &mut UrlSettings| url.pauses.least = LEAST;
    let following = Following::start(&settings(&Folder::new(), &table(&publisher.url(), "", ""), change));
    following.until(|keys| keys.taken == 1).await;
    let mut flood = 0_u32;
    in_time(async {
        while publisher.asked() < 4 {
            for _ in 0..10 {
                flood += 1;
                let unknown = token(&keys, &format!("key-{flood}"));
                assert_eq!(following.judged(&unknown), Err(Denied::JwtKey));
            }
            assert_eq!(following.judged(&token(&keys, "one")), Ok("a"), "and nobody else notices");
            tokio::task::yield_now().await;
        }
    })
    .await;
    for (number, (at, _)) in (0_u32..).zip(publisher.asked.lock().unwrap().iter()) {
        let earliest = LEAST * number;
        assert!(*at - start >= earliest, "question {number} of a flood of {flood} came after {:?}", *at - start);
    }
}

#[tokio::test]
async fn an_outage_is_survived_for_so_long_and_then_nobody_is_let_in() {
    let keys = Keys::new();
    let publisher = Publisher::start(good(&[keys.ed_jwk("one")])).await;
    let table = table(&publisher.url(), "known_seconds = 1000\n", "");
    let following = Following::start(&settings(&Folder::new(), &table, |_| {}));
    following.until(|keys| keys.taken == 1).await;
    let long = json!({ "iss": "https://issuer.example", "aud": "teegate", "exp": START + 9_000, "team": "team-a" });
    let token = keys.sign(&header(EdDSA, Some("one")), &long);
    publisher.answers(answered("503 Service Unavailable", "", ""));
    // Whoever names another key makes it ask.
    assert_eq!(following.judged(&self::token(&keys, "other")), Err(Denied::JwtKey));
    following.until(|keys| keys.failed > 0).await;
    let is_lacking = |following: &Following| following.keeper.lacks_keys(&following.clock.now());
    for (after, is_let_in) in [(998, true), (1_000, false)] {
        set_wall(START + after);
        assert_eq!(following.judged(&token), if is_let_in { Ok("a") } else { Err(Denied::JwtNoKeys) }, "{after}");
        assert_eq!(is_lacking(&following), !is_let_in, "{after}");
        let standing = following.standing();
        assert_eq!(standing.failure.as_deref(), Some("it answered 503"), "{standing:?}");
        assert_eq!((standing.keys > 0, standing.seconds > 0), (is_let_in, is_let_in), "{standing:?}");
    }
    publisher.answers(good(&[keys.ed_jwk("one")]));
    following.until(|keys| keys.failure.is_none()).await;
    assert_eq!(following.judged(&token), Ok("a"), "and it is over by itself");
    assert!(!is_lacking(&following));
}

#[tokio::test]
async fn whoever_has_another_credential_is_let_in_while_keys_have_ended() {
    let keys = Keys::new();
    let publisher = Publisher::start(good(&[keys.ed_jwk("one")])).await;
    let folder = Folder::new();
    let tenants = "[[tenant]]\nname = 'b'\nmodels = ['b']\n";
    let table = table(&publisher.url(), "", "tokens = 'tokens'\n") + tenants;
    let following = Following::start(&settings(&folder, &table, |_| {}));
    let is_lacking = || following.keeper.lacks_keys(&following.clock.now());
    assert_eq!(following.judged(TOKEN_OF_A), Ok("a"));
    assert!(is_lacking(), "a gateway that never had the keys is not ready");
    following.until(|keys| keys.taken == 1).await;
    assert!(!is_lacking());
    publisher.answers(answered("503 Service Unavailable", "", ""));
    set_wall(START + 14_400);
    assert_eq!(following.judged(&token(&keys, "one")), Err(Denied::JwtNoKeys));
    assert!(!is_lacking(), "the others are still let in");
}

/// What a set of another address, or one that cannot be used, does to the one that counts.
#[tokio::test]
async fn what_an_issuer_must_not_answer_is_refused_with_its_reason_and_the_last_good_set_stays() {
    let keys = Keys::new();
    let other = Keys::new();
    let ed = keys.ed_jwk("one");
    let with = |name: &str, value: Value| {
        let mut jwk = ed.clone();
        jwk[name] = value;
        jwk
    };
    let json = |body: &Value| answered("200 OK", "content-type: application/json\r\n", &body.to_string());
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let secret = json!({ "kty": "oct", "kid": "secret", "k": "c2VjcmV0" });
    let moved = "location: http://169.254.169.254/latest/meta-data\r\n";
    let many: Vec<Value> = (0..65).map(|number| keys.ed_jwk(&number.to_string())).collect();
    let too_long = "x".repeat((256 << 10) + 1);
    let cases = [
        (
            "HTML",
            answered("200 OK", "content-type: text/html; charset=utf-8\r\n", "<html>"),
            "HTML and not with a JWKS",
        ),
        ("HTML that says nothing", answered("200 OK", "", "<html>"), "it is no JWKS"),
        ("a redirect", answered("302 Found", moved, ""), "it answered 302, and no redirect is followed"),
        ("nothing there", answered("404 Not Found", "", ""), "it answered 404"),
        ("compressed", answered("200 OK", "content-encoding: gzip\r\n", "x"), "`content-encoding`"),
        ("too long", answered("200 OK", "", &too_long), "more than 262144 bytes"),
        (
            "without end",
            Reply::Endless([chunked, b"3e8\r\n".to_vec(), vec![b'x'; 1_000], b"\r\n".to_vec()].concat()),
            "",
        ),
        ("broken off", Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec()), "broken off"),
        ("no HTTP", Reply::Bytes(b"SSH-2.0-OpenSSH\r\n".to_vec()), "invalid HTTP version"),
        ("nothing", Reply::Bytes(Vec::new()), "connection closed"),
        ("a set without keys", json(&set(&[])), "it has no key"),
        ("alg none", json(&set(&[with("alg", json!("none"))])), "no key is for any of `admission.jwt.algorithms`"),
        ("a symmetric key beside", json(&set(&[ed.clone(), secret])), "key 2 of `keys`: it is a symmetric key"),
        ("a private key", json(&set(&[with("d", json!("AA"))])), "it is a private key"),
        ("one name twice", json(&set(&[ed.clone(), other.ed_jwk("one")])), "its `kid` is that of another key"),
        ("too many", json(&set(&many)), "`keys` is not understood"),
    ];
    let publisher = Publisher::start(good(std::slice::from_ref(&ed))).await;
    let following = Following::start(&settings(&Folder::new(), &table(&publisher.url(), "", ""), |_| {}));
    following.until(|keys| keys.taken == 1).await;
    for (what, reply, said) in cases {
        publisher.answers(reply);
        let before = following.standing().failed;
        assert_eq!(following.judged(&token(&keys, "unknown")), Err(Denied::JwtKey), "{what}");
        following.until(|keys| keys.failed > before + 1).await;
        let standing = following.standing();
        let why = standing.failure.clone().unwrap();
        assert!(why.contains(said) && why.len() <= 240, "{what}: {why}");
        assert_eq!((standing.keys, following.judged(&token(&keys, "one"))), (1, Ok("a")), "{what}");
        assert_eq!(following.judged(&token(&other, "one")), Err(Denied::JwtSignature), "{what}");
    }
    publisher.answers(good(&[ed]));
    following.until(|keys| keys.failure.is_none()).await;
    let heads = publisher.asked.lock().unwrap();
    assert!(heads.iter().all(|(_, head)| head.starts_with("GET /jwks?p=sign-in ")), "nothing else was asked for");
}

#[tokio::test]
async fn whoever_answers_slowly_or_not_at_all_is_given_up() {
    let keys = Keys::new();
    let slow = b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{".to_vec();
    for reply in [Reply::Silence(Vec::new()), Reply::Silence(slow)] {
        let publisher = Publisher::start(reply).await;
        let change = |url: &mut UrlSettings| url.pauses.patience = Duration::from_millis(50);
        let settings = settings(&Folder::new(), &table(&publisher.url(), "", ""), change);
        let keeper = Gatekeeper::load(&settings).unwrap();
        let why = keeper.rules().ask_for_keys(&clock()).await.unwrap_err().to_string();
        assert!(why.ends_with("no whole answer within 50 ms"), "{why}");
        assert!(why.starts_with(&format!("JWKS `{}`: ", publisher.url())), "{why}");
        assert_eq!(judged(&keeper, &clock(), &token(&keys, "one")), Err(Denied::JwtNoKeys));
    }
}

#[tokio::test]
async fn a_reload_takes_another_address_only_with_its_keys() {
    let (own, others, clock, folder) = (Keys::new(), Keys::new(), clock(), Folder::new());
    let publisher = Publisher::start(good(&[own.ed_jwk("one")])).await;
    let other = Publisher::start(answered("404 Not Found", "", "")).await;
    let at = |publisher: &Publisher| settings(&folder, &table(&publisher.url(), "", ""), |_| {});
    let keeper = Gatekeeper::load(&at(&publisher)).unwrap();
    keeper.rules().ask_for_keys(&clock).await.unwrap();
    // Another reload leaves the keys where they are, and asks nobody.
    let again = keeper.prepare(&at(&publisher)).unwrap();
    again.ask_for_keys(&clock).await.unwrap();
    keeper.take(again);
    assert_eq!((publisher.asked(), judged(&keeper, &clock, &token(&own, "one"))), (1, Ok("a")));

    let refused = keeper.prepare(&at(&other)).unwrap().ask_for_keys(&clock).await.unwrap_err().to_string();
    assert!(refused.contains("it answered 404"), "{refused}");
    assert_eq!(judged(&keeper, &clock, &token(&own, "one")), Ok("a"), "everything stays");
    other.answers(good(&[others.ed_jwk("one")]));
    let rules = keeper.prepare(&at(&other)).unwrap();
    rules.ask_for_keys(&clock).await.unwrap();
    keeper.take(rules);
    assert_eq!(judged(&keeper, &clock, &token(&others, "one")), Ok("a"));
    assert_eq!(judged(&keeper, &clock, &token(&own, "one")), Err(Denied::JwtSignature));
}

#[tokio::test]
async fn who_publishes_keys_shows_a_certificate_of_the_ca_that_is_named() {
    let (keys, folder) = (Keys::new(), Folder::new());
    let (own, stranger) = (certificate(), certificate());
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![own.cert.der().clone()],
            PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap(),
        )
        .unwrap();
    let tls = TlsAcceptor::from(Arc::new(config));
    let publisher = Publisher::start_with(good(&[keys.ed_jwk("one")]), Some(tls)).await;
    for (ca, host, said) in [
        (&own, "localhost", ""),
        (&stranger, "localhost", "TLS: "),
        // It has another name.
        (&own, "127.0.0.1", "TLS: "),
    ] {
        folder.write("ca.pem", &pem::certificate(ca.cert.der()));
        let url = format!("https://{host}:{}/jwks", publisher.address.port());
        let settings = settings(&folder, &table(&url, "jwks_ca = 'ca.pem'\n", ""), |_| {});
        let keeper = Gatekeeper::load(&settings).unwrap();
        let asked = keeper.rules().ask_for_keys(&clock()).await.map_err(|error| error.to_string());
        match asked {
            Ok(()) => assert!(said.is_empty(), "{host}"),
            Err(why) => assert!(!said.is_empty() && why.contains(said), "{why}"),
        }
        let is_let_in = judged(&keeper, &clock(), &token(&keys, "one")) == Ok("a");
        assert_eq!(is_let_in, said.is_empty());
    }
    for (text, said) in [("", "holds no certificate"), ("-----BEGIN CERTIFICATE-----\nx", "is not PEM")] {
        folder.write("ca.pem", text);
        let table = table("https://issuer.example/", "jwks_ca = 'ca.pem'\n", "");
        let error = Gatekeeper::load(&folder.settings(&table)).map(drop).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

fn certificate() -> rcgen::CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap()
}

#[tokio::test]
async fn a_client_is_told_that_it_is_not_its_token_and_the_operator_why() {
    let keys = Keys::new();
    let publisher = Publisher::start(answered("404 Not Found", "", "")).await;
    let settings = settings(&Folder::new(), &table(&publisher.url(), "", ""), |_| {});
    let stage = Stage::new(Gatekeeper::load(&settings).unwrap()).await;
    let listening = stage.listen(None).await;
    let request = list(&bearer(&token(&keys, "one")));
    let rules = stage.gateway.gatekeeper.rules();
    let clock = stage.gateway.fleet.clock();
    rules.ask_for_keys(clock).await.unwrap_err();
    let refused = ask(&listening, &request).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.head.contains("\r\nretry-after: 10\r\n"), "{refused:?}");
    assert!(
        refused.body.contains("urn:teegate:problem:busy") && refused.body.contains("out of its reach"),
        "{refused:?}"
    );
    let ready = ask(&listening, &super::request("GET /readyz", "", "")).await;
    assert!(ready.status == 503 && ready.body.contains("`admission.jwt.jwks_url`"), "{ready:?}");
    let text = stage.gateway.metrics_text();
    for line in [
        "teegate_gateway_denied_total{why=\"jwt-no-keys\"} 1",
        "teegate_gateway_jwks_current 0",
        "teegate_gateway_jwks_left_seconds 0",
        "teegate_gateway_jwks_total{outcome=\"failed\"} 1",
        "teegate_gateway_ready 0",
    ] {
        assert!(text.lines().any(|own| own == line), "{line} is not in:\n{text}");
    }
    let view = stage.gateway.view(None).jwks.unwrap();
    assert_eq!((view.keys, view.age_seconds, view.failure.as_deref()), (0, None, Some("it answered 404")));

    publisher.answers(good(&[keys.ed_jwk("one")]));
    let issuer = rules.issuer().unwrap();
    issuer.ask(clock).await.unwrap();
    assert_eq!(ask(&listening, &request).await.status, 200, "the passing twin");
    assert_eq!(ask(&listening, &super::request("GET /readyz", "", "")).await.status, 200);
    assert!(stage.gateway.metrics_text().lines().any(|line| line == "teegate_gateway_jwks_current 1"));
    let view = stage.gateway.view(None).jwks.unwrap();
    assert_eq!((view.keys, view.failure.as_deref()), (1, None));
    assert!((14_000..=14_400).contains(&view.seconds), "{view:?}");
}

#[test]
fn where_keys_are_is_said_once_and_over_tls() {
    let folder = Folder::new();
    let with = |keys: &str| {
        let table = table("https://issuer.example/", "", "");
        folder.config(&table.replace("jwks_url = 'https://issuer.example/'\n", keys)).map(drop)
    };
    for (keys, said) in [
        ("", "`[admission.jwt]`: expected `keys`, a file with the public keys, or `jwks_url`"),
        ("keys = 'a'\njwks_url = 'https://a/'\n", "both say where the public keys are"),
        ("keys = 'a'\nrefresh_seconds = 60\n", "are for `jwks_url`"),
        ("jwks_url = 'http://issuer.example/'\n", "`jwks_url` cannot be used: over plain HTTP"),
        ("jwks_url = 'http://127.0.0.1/'\njwks_ca = 'ca.pem'\n", "`jwks_url` is plain HTTP"),
        (
            "jwks_url = 'https://a/'\nrefresh_seconds = 59\n",
            "`admission.jwt.refresh_seconds = 59` is out of bounds: expected 60 to",
        ),
        (
            "jwks_url = 'https://a/'\nknown_seconds = 604801\n",
            "`admission.jwt.known_seconds = 604801` is out of bounds",
        ),
        (
            "jwks_url = 'https://a/'\nrefresh_seconds = 61\nknown_seconds = 60\n",
            "would end before they are asked for again",
        ),
    ] {
        let error = with(keys).unwrap_err();
        assert!(error.contains(said), "{keys}: {error}");
    }
    for keys in ["keys = 'a'\n", "jwks_url = 'https://a/'\n", "jwks_url = 'http://127.0.0.1/'\n"] {
        assert_eq!(with(keys), Ok(()), "{keys}");
    }
    let plain = table("http://issuer.example/", "", "");
    assert!(folder.config(&format!("plain_http = 'a mesh encrypts'\n{plain}")).is_ok());
}
