//! Attacks on admission: over real sockets, against instances in memory. Beside each that fails stands the one that passes.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use http_body_util::BodyExt as _;
use teegate_encoding::hex;
use teegate_protocol::headers::{INSTANCES_PATH, OHTTP_REQUEST, RELAY_PATH};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::server::{Front, ServerLimits, serve_clients};
use crate::testing::{gateway, two_addresses};
use crate::trust::testing::{Who, Wire, offer, serving};

mod certificates;
mod issuer;
mod jwt;
mod limits;
mod tenants;

const FRESH: Duration = Duration::from_secs(300);
/// Times in which nothing ends by itself.
const LIMITS: ServerLimits = ServerLimits {
    connections: 16,
    streams: 128,
    header_read: Duration::from_secs(300),
    answer: Duration::from_secs(300),
};
const TOKEN_OF_A: &str = "token-of-tenant-a";
const TOKEN_OF_B: &str = "token-of-tenant-b";

/// Tenants `a` and `b`, who may use the models `a` and `b`, with a token each; `more` stands at the end of the table of `a`.
fn two_tenants(more: &str) -> String {
    format!(
        "[admission]\ntokens = 'tokens'\n[[tenant]]\nname = 'b'\nmodels = ['b']\n[[tenant]]\nname = 'a'\nmodels = ['a']\n{more}\n"
    )
}

/// A folder with what a configuration of tests names.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let line = |token: &str, tenant: &str| format!("{} {tenant}\n", hex::encode(digest(&SHA256, token.as_bytes())));
        folder.write("tokens", &(line(TOKEN_OF_A, "a") + &line(TOKEN_OF_B, "b")));
        folder
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// What a configuration says that has `admission` at its end.
    fn config(&self, admission: &str) -> Result<Config, String> {
        let head = "listen = '127.0.0.1:0'\noperator_listen = '127.0.0.1:0'\npolicy = 'p.toml'\ninstances = ['a:1']\n";
        Config::parse(&format!("{head}{admission}"), self.path()).map_err(|error| error.to_string())
    }

    fn settings(&self, admission: &str) -> Settings {
        self.config(admission).unwrap().admission
    }

    fn gatekeeper(&self, admission: &str) -> Gatekeeper {
        Gatekeeper::load(&self.settings(admission)).unwrap()
    }
}

fn admitting(gateway: Arc<Gateway>, gatekeeper: Gatekeeper) -> Arc<Gateway> {
    let mut gateway = Arc::into_inner(gateway).unwrap();
    gateway.gatekeeper = gatekeeper;
    Arc::new(gateway)
}

/// Two instances with the models `a` and `b`, attested and offered, behind a gateway.
struct Stage {
    gateway: Arc<Gateway>,
    wires: [Wire; 2],
    manifests: [String; 2],
}

impl Stage {
    async fn new(gatekeeper: Gatekeeper) -> Self {
        let (gateway, addresses) = two_addresses();
        let gateway = admitting(gateway, gatekeeper);
        let wires = [Wire::connect().await, Wire::connect().await];
        let manifests = [serving(&Who::new(1), &["a"]), serving(&Who::new(2), &["b"])];
        for ((address, wire), manifest) in addresses.iter().zip(&wires).zip(&manifests) {
            gateway.fleet.accept(address, wire.trusted(manifest, 1, FRESH));
            gateway.fleet.accept_offer(address, offer(manifest, 1));
        }
        Self { gateway, wires, manifests: manifests.map(|manifest| manifest.digest().to_string()) }
    }

    async fn listen(&self, tls: Option<TlsAcceptor>) -> Listening {
        listen(&self.gateway, tls).await
    }
}

/// A gateway at a port. It ends with this.
struct Listening {
    address: SocketAddr,
    _shutdown: watch::Sender<bool>,
}

async fn listen(gateway: &Arc<Gateway>, tls: Option<TlsAcceptor>) -> Listening {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, is_shutdown) = watch::channel(false);
    let front = Front { tls, ..Front::default() };
    tokio::spawn(serve_clients(listener, front, Arc::clone(gateway), LIMITS, is_shutdown));
    Listening { address, _shutdown: shutdown }
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

/// The text of a request of HTTP/1.1.
fn request(line: &str, fields: &str, body: &str) -> String {
    format!("{line} HTTP/1.1\r\nhost: gateway\r\ncontent-length: {}\r\n{fields}\r\n{body}", body.len())
}

fn list(fields: &str) -> String {
    request(&format!("GET {INSTANCES_PATH}"), fields, "")
}

fn relay(manifest: &str, fields: &str) -> String {
    let fields =
        format!("content-type: {OHTTP_REQUEST}\r\nteegate-manifest: {manifest}\r\nteegate-hold: 0\r\n{fields}");
    request(&format!("POST {RELAY_PATH}"), &fields, "sealed")
}

/// An answer of HTTP/1.1 with its length.
#[derive(Debug)]
struct Said {
    status: u16,
    head: String,
    body: String,
}

/// Sends `request` over a connection that stays, and reads one answer; nothing where there is none.
async fn heard(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> Option<Said> {
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Some(Said { status, head, body: String::from_utf8(body).unwrap() })
}

/// The same where there is one.
async fn say(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> Said {
    heard(stream, request).await.expect("an answer")
}

/// The same over a connection of its own.
async fn ask(listening: &Listening, request: &str) -> Said {
    say(&mut TcpStream::connect(listening.address).await.unwrap(), request).await
}

/// Far more than anything here takes.
async fn in_time<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), event).await.expect("an end")
}
