//! The network between a gateway and an instance, in the hands of a test: it can be cut, held, redirected and listened to.
//!
//! It moves bytes and understands none, so TLS runs through it from end to end. [`Relay`] is the other kind of middleman: it
//! ends TLS with a certificate of its own and passes on what a genuine instance says.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::http::{Answer, tls};

/// A listener that passes bytes on to a target.
pub struct Wire {
    /// Where it listens.
    pub address: String,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    target: Mutex<String>,
    is_open: watch::Sender<bool>,
    answers_flow: watch::Sender<bool>,
    cuts: watch::Sender<u64>,
    connections: AtomicUsize,
    sent: AtomicUsize,
}

impl Wire {
    /// An open wire to `target`.
    pub async fn to(target: &str) -> Self {
        let wire = Self::closed(target).await;
        wire.open();
        wire
    }

    /// A wire to `target` on which connections are refused until it is opened.
    pub async fn closed(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
        let address = listener.local_addr().expect("an address").to_string();
        let state = Arc::new(State {
            target: Mutex::new(target.to_owned()),
            is_open: watch::Sender::new(false),
            answers_flow: watch::Sender::new(true),
            cuts: watch::Sender::new(0),
            connections: AtomicUsize::new(0),
            sent: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *shared.is_open.borrow() {
                    shared.connections.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(pass(client, Arc::clone(&shared)));
                }
            }
        });
        Self { address, state, accepting }
    }

    /// Lets connections through.
    pub fn open(&self) {
        self.state.is_open.send_replace(true);
    }

    /// Refuses new connections.
    pub fn close(&self) {
        self.state.is_open.send_replace(false);
    }

    /// Ends every connection that there is.
    pub fn cut(&self) {
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// New connections go to `target`.
    pub fn redirect(&self, target: &str) {
        target.clone_into(&mut self.state.target.lock().expect("no panic"));
    }

    /// Keeps answers back; requests still go through.
    pub fn hold_answers(&self) {
        self.state.answers_flow.send_replace(false);
    }

    /// Bytes that went towards the target.
    pub fn sent(&self) -> usize {
        self.state.sent.load(Ordering::SeqCst)
    }

    /// Connections that were let through.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn pass(client: TcpStream, state: Arc<State>) {
    let mut cuts = state.cuts.subscribe();
    let target = state.target.lock().expect("no panic").clone();
    let Ok(server) = TcpStream::connect(target).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let answers_flow = state.answers_flow.subscribe();
    tokio::select! {
        () = copy(from_client, to_server, Some(&state.sent), None) => {}
        () = copy(from_server, to_client, None, Some(answers_flow)) => {}
        _ = cuts.changed() => {}
    }
}

/// Copies until either end is gone; what is held back is still read, so that an end is noticed.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    counted: Option<&AtomicUsize>,
    flow: Option<watch::Receiver<bool>>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if let Some(counted) = counted {
            counted.fetch_add(n, Ordering::SeqCst);
        }
        if flow.as_ref().is_some_and(|flow| !*flow.borrow()) {
            continue;
        }
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

/// Somebody who ends TLS himself and passes every request on to a genuine instance: its evidence included.
pub struct Relay {
    /// Where it listens.
    pub address: String,
    seen: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// In front of the genuine instance at `genuine`.
    pub async fn in_front_of(genuine: &str) -> Self {
        let own = rcgen::generate_simple_self_signed(vec!["enclave".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .expect("a server");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
        let address = listener.local_addr().expect("an address").to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (genuine, log) = (genuine.to_owned(), Arc::clone(&seen));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, genuine, log) = (acceptor.clone(), genuine.clone(), Arc::clone(&log));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| relay(request, genuine.clone(), Arc::clone(&log)));
                    // A gateway that hangs up has seen enough.
                    let _ended = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, seen, accepting }
    }

    /// The paths that it was asked for.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn relay(
    request: http::Request<hyper::body::Incoming>,
    genuine: String,
    log: Arc<Mutex<Vec<String>>>,
) -> Result<http::Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    log.lock().expect("no panic").push(path.clone());
    let body = body.collect().await?.to_bytes();
    let content_type = head.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or("text/plain");
    let Answer { status, headers, body } =
        tls(&genuine, head.method.as_str(), &path, &[("content-type", content_type)], &body).await;
    let mut response = http::Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
    if let Some(content_type) = headers.get("content-type") {
        response.headers_mut().insert("content-type", content_type.clone());
    }
    Ok(response)
}
