//! The listeners over real sockets.

use rustls::ClientConfig;
use teegate_forge::pem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use super::*;
use crate::budget::CONNECTION_BYTES;
use crate::config::TlsFiles;
use crate::testing::gateway;
use crate::tls::Certificates;

mod malformed;
mod occupation;
mod proxied;

const LIMITS: ServerLimits = ServerLimits {
    connections: 4,
    streams: 4,
    header_read: Duration::from_millis(300),
    answer: Duration::from_secs(1),
};

type Serving = (SocketAddr, watch::Sender<bool>, tokio::task::JoinHandle<()>);

/// A gateway without instances, on a port of its own.
async fn start(tls: Option<TlsAcceptor>) -> Serving {
    start_with(gateway(), Front { tls, ..Front::default() }, LIMITS).await
}

/// As few places, and times in which nothing ends by itself.
const PATIENT: ServerLimits =
    ServerLimits { header_read: Duration::from_secs(300), answer: Duration::from_secs(300), ..LIMITS };

/// The same with `gateway` behind `front`.
async fn start_with(gateway: Arc<Gateway>, front: Front, limits: ServerLimits) -> Serving {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, is_shutdown) = watch::channel(false);
    let serving = tokio::spawn(serve_clients(listener, front, gateway, limits, is_shutdown));
    (address, shutdown, serving)
}

/// A certificate of the gateway's, and clients that trust it and speak `protocol`.
fn tls(protocol: &[u8]) -> (TlsAcceptor, TlsConnector) {
    let key = rcgen::generate_simple_self_signed(vec!["gateway".into()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let files = TlsFiles { certificate: folder.path().join("chain.pem"), key: folder.path().join("key.pem") };
    std::fs::write(&files.certificate, pem::certificate(key.cert.der())).unwrap();
    let key_pem = pem::certificate(&key.signing_key.serialize_der()).replace("CERTIFICATE", "PRIVATE KEY");
    std::fs::write(&files.key, key_pem).unwrap();
    let acceptor = Certificates::load(&files).unwrap().acceptor().unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(key.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    (acceptor, TlsConnector::from(Arc::new(config)))
}

/// What comes back until the server closes.
async fn http1(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn http_1_and_http_2_are_spoken_on_one_port() {
    let (address, shutdown, serving) = start(None).await;
    let request = "GET /healthz HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n";
    let answer = http1(TcpStream::connect(address).await.unwrap(), request).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
    let tcp = TcpStream::connect(address).await.unwrap();
    let (mut requests, connection) = h2::client::handshake(tcp).await.unwrap();
    let driving = tokio::spawn(connection);
    let request = http::Request::get("http://gateway/readyz").body(()).unwrap();
    let answer = requests.send_request(request, true).unwrap().0.await.unwrap();
    assert_eq!(answer.status().as_u16(), 503, "nobody is attested");
    // At the end connections are told to go, and the server ends when the last has gone.
    shutdown.send_replace(true);
    drop((requests, answer));
    serving.await.unwrap();
    driving.await.unwrap().unwrap();
    assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn silent_connections_do_not_keep_others_out() {
    let (address, _shutdown, _serving) = start(None).await;
    let mut silent = Vec::new();
    for _ in 0..LIMITS.connections {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let request = "GET /healthz HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n";
    let answer = http1(TcpStream::connect(address).await.unwrap(), request);
    let answer = timeout(Duration::from_secs(60), answer).await.expect("a place becomes free");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    drop(silent);
}

#[tokio::test]
async fn a_client_without_a_window_does_not_keep_its_place() {
    let (address, _shutdown, _serving) = start(None).await;
    let tcp = TcpStream::connect(address).await.unwrap();
    let (mut requests, connection) =
        h2::client::Builder::new().initial_window_size(0).handshake::<_, bytes::Bytes>(tcp).await.unwrap();
    let driving = tokio::spawn(connection);
    let request = http::Request::get("http://gateway/healthz").body(()).unwrap();
    let answer = requests.send_request(request, true).unwrap().0.await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    // It answers pings and never takes the body.
    let ended = timeout(Duration::from_secs(60), driving).await;
    assert!(ended.is_ok(), "the gateway ends the connection");
}

/// Waits until the gateway keeps so many bytes for its clients.
async fn until_kept(gateway: &Gateway, bytes: u64) {
    let reached = timeout(Duration::from_secs(30), async {
        while gateway.budget.kept() != bytes {
            tokio::task::yield_now().await;
        }
    });
    assert!(reached.await.is_ok(), "{} are kept, and not {bytes}", gateway.budget.kept());
}

#[tokio::test]
async fn a_request_is_paid_for_until_its_answer_was_taken_and_a_window_as_long_as_its_connection() {
    let gateway = gateway();
    let (address, _shutdown, _serving) = start_with(Arc::clone(&gateway), Front::default(), PATIENT).await;
    let tcp = TcpStream::connect(address).await.unwrap();
    // A window into which the answer does not fit: what is left of it lies in HTTP/2, and nobody reads it from its body.
    let (mut requests, connection) =
        h2::client::Builder::new().initial_window_size(1).handshake::<_, bytes::Bytes>(tcp).await.unwrap();
    let driving = tokio::spawn(connection);
    let request = http::Request::get("http://gateway/healthz").body(()).unwrap();
    let answer = requests.send_request(request, true).unwrap().0.await.unwrap();
    let mut body = answer.into_body();
    assert_eq!(body.data().await.unwrap().unwrap().len(), 1);
    let (connection, window) = (CONNECTION_BYTES, u64::from(WINDOW_BYTES));
    until_kept(&gateway, connection + window + STREAM_BYTES).await;
    for _ in 0..2 {
        body.flow_control().release_capacity(1).unwrap();
        body.data().await.unwrap().unwrap();
    }
    until_kept(&gateway, connection + window).await;
    drop((requests, body));
    driving.await.unwrap().unwrap();
    until_kept(&gateway, 0).await;
}

#[tokio::test]
async fn a_head_must_be_small_and_come_soon() {
    let (address, _shutdown, _serving) = start(None).await;
    let large =
        format!("GET /healthz HTTP/1.1\r\nhost: gateway\r\nx: {}\r\n\r\n", "x".repeat(limits::HEADER_BLOCK_BYTES));
    let answer = http1(TcpStream::connect(address).await.unwrap(), &large).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let slow = http1(TcpStream::connect(address).await.unwrap(), "GET /healthz HTTP/1.1\r\nhost:").await;
    assert!(slow.is_empty() || slow.starts_with("HTTP/1.1 408 "), "the connection is closed: {slow}");
}

#[tokio::test]
async fn clients_may_use_tls() {
    let (acceptor, connector) = tls(b"http/1.1");
    let (address, _shutdown, _serving) = start(Some(acceptor)).await;
    let tcp = TcpStream::connect(address).await.unwrap();
    let tls = connector.connect("gateway".try_into().unwrap(), tcp).await.unwrap();
    let answer = http1(tls, "GET /healthz HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}
