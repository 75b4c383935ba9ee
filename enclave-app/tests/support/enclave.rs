//! The real program as a process, the guest API that it asks, and a client that speaks to it.

#![allow(dead_code, reason = "each test binary uses some of them")]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use teegate_protocol::bhttp::{Request, Response};
use teegate_protocol::binding::Exporter;
use teegate_protocol::evidence::Envelope;
use teegate_protocol::headers::{ENVELOPE_PATH, OHTTP_PATH, OHTTP_REQUEST, OHTTP_RESPONSE};
use teegate_protocol::manifest::ManifestBytes;
use teegate_protocol::ohttp::{ClientContext, KeyConfig, seal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;

/// Answers `GET /aa/evidence` with an unsigned quote over the bytes asked for: enclave-app asks and does not verify, so
/// this is enough to see what it does with the answer, and nothing that any verifier would accept.
pub(crate) struct Guest {
    pub(crate) url: String,
    pub(crate) asked: Arc<AtomicUsize>,
    /// While set, questions are left without an answer.
    pub(crate) silent: Arc<AtomicBool>,
    /// How long each answer takes, in milliseconds.
    pub(crate) slow_ms: Arc<AtomicU64>,
}

impl Guest {
    pub(crate) async fn start() -> Self {
        Self::start_on(TcpListener::bind("127.0.0.1:0").await.unwrap()).await
    }

    pub(crate) async fn start_on(listener: TcpListener) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, silent, slow_ms) = <(Arc<AtomicUsize>, Arc<AtomicBool>, Arc<AtomicU64>)>::default();
        let (count, hold, slow) = (Arc::clone(&asked), Arc::clone(&silent), Arc::clone(&slow_ms));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (count, hold, slow) = (Arc::clone(&count), Arc::clone(&hold), Arc::clone(&slow));
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        request.push(stream.read_u8().await.unwrap());
                    }
                    count.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(slow.load(Ordering::SeqCst))).await;
                    while hold.load(Ordering::SeqCst) {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    let request = String::from_utf8(request).unwrap();
                    let data = request.split("runtime_data=").nth(1).unwrap().split('&').next().unwrap();
                    let data = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(data).unwrap();
                    let mut quote = vec![0; 1000];
                    quote[0] = 4;
                    quote[568..632].copy_from_slice(&data);
                    let quote = base64::engine::general_purpose::STANDARD.encode(quote);
                    let body = format!("{{\"cc_eventlog\":null,\"quote\":\"{quote}\"}}");
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self { url, asked, silent, slow_ms }
    }
}

/// A folder of its own for each test, removed at the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let path = std::env::temp_dir().join(format!(
            "teegate-enclave-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::SeqCst)
        ));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a file, and makes the folders that it stands in.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The configuration for one model.
pub(crate) fn config(library: &Path, guest: &str, model: &Path, extra: &str) -> String {
    format!(
        "listen = \"127.0.0.1:0\"\nonnxruntime = {library:?}\n[attester]\nsource = \"coco\"\ncoco_url = \"{guest}\"\n\
         [[models]]\nname = \"m\"\nversion = \"1\"\npath = {model:?}\n{extra}\n"
    )
}

/// The demonstration model.
pub(crate) fn demonstration() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/breast-cancer/model.onnx")
}

/// The program, with an environment that has nothing of cargo's.
pub(crate) fn program(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enclave-app"));
    command.env_clear().env("TEEGATE_LOG", "trace").arg("--config").arg(config);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running enclave-app.
pub(crate) struct Enclave {
    child: Child,
    folder: Folder,
    pub(crate) address: String,
}

impl Enclave {
    /// Starts the program and waits until it listens.
    pub(crate) fn start(library: &Path, guest: &Guest, model: &Path, extra: &str) -> Self {
        Self::start_with(Folder::new(), config(library, &guest.url, model, extra))
    }

    /// The same with a whole configuration, and a folder that goes when the program does.
    pub(crate) fn start_with(folder: Folder, config: String) -> Self {
        Self::try_start(folder, config).unwrap_or_else(|said| panic!("enclave-app did not start: {said}"))
    }

    /// The same; what it said when it did not start.
    pub(crate) fn try_start(folder: Folder, config: String) -> Result<Self, String> {
        let path = folder.write("config.toml", config);
        let log = std::fs::File::create(folder.0.join("log")).unwrap();
        let mut child = program(&path).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let Ok(announced) = serde_json::from_str::<serde_json::Value>(&line) else {
            child.wait().unwrap();
            return Err(std::fs::read_to_string(folder.0.join("log")).unwrap());
        };
        Ok(Self { child, folder, address: announced["listening"].as_str().unwrap().to_owned() })
    }

    /// The most memory that it ever had, in bytes, and what it has now.
    pub(crate) fn resident_bytes(&self) -> (usize, usize) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
        };
        (bytes("VmHWM:"), bytes("VmRSS:"))
    }

    /// The processes that it has started and that are there.
    pub(crate) fn workers(&self) -> Vec<u32> {
        children(self.child.id())
    }

    /// What the program and its workers have of memory, the memory files that they share included, in bytes.
    pub(crate) fn all_resident_bytes(&self) -> usize {
        let of = |process: u32| {
            let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
            line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
        };
        let files =
            self.workers().into_iter().filter_map(|worker| std::fs::read_dir(format!("/proc/{worker}/fd")).ok());
        let files = files.flatten().filter_map(|file| std::fs::metadata(file.ok()?.path()).ok());
        let written: u64 = files.map(|file| std::os::unix::fs::MetadataExt::blocks(&file) * 512).sum();
        of(self.child.id()) + self.workers().into_iter().map(of).sum::<usize>() + written as usize
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.folder.0.join("log")).unwrap()
    }

    /// How often `text` stands in memory that the program can write; `None` where this machine does not let a test look.
    pub(crate) fn found(&self, text: &[u8]) -> Option<usize> {
        let folder = format!("/proc/{}", self.child.id());
        let memory = std::fs::File::open(format!("{folder}/mem")).ok()?;
        let maps = std::fs::read_to_string(format!("{folder}/maps")).ok()?;
        let mut count = 0;
        for line in maps.lines() {
            let (range, rest) = line.split_once(' ').unwrap();
            let (start, end) = range.split_once('-').unwrap();
            let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
            let mut bytes = vec![0; if rest.starts_with("rw") { (end - start) as usize } else { 0 }];
            // The kernel's own pages cannot be read so.
            if memory.read_exact_at(&mut bytes, start).is_ok() {
                count += bytes.windows(text.len()).filter(|window| *window == text).count();
            }
        }
        Some(count)
    }

    /// Ends the program as Kubernetes does, and returns its exit code and everything that it wrote.
    pub(crate) fn terminate(mut self) -> (Option<i32>, String) {
        let killed = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        let status = self.child.wait().unwrap();
        let mut output = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        output.push_str(&std::fs::read_to_string(self.folder.0.join("log")).unwrap());
        (status.code(), output)
    }
}

/// The processes whose parent this is.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let processes =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let is_child = |process: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let mut words = stat.rsplit(") ").next().unwrap().split(' ');
        let (state, of) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default());
        of == parent.to_string() && state != "Z"
    };
    processes.filter(is_child).collect()
}

impl Drop for Enclave {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One TLS connection.
pub(crate) struct Connection {
    sender: Sender,
    pub(crate) exporter: Exporter,
    pub(crate) certificate: Vec<u8>,
    pub(crate) handshake: rustls::HandshakeKind,
}

enum Sender {
    Http1(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
    Http2(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

/// The TLS below a connection.
pub(crate) async fn tls(address: &str, config: &Arc<rustls::ClientConfig>) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("enclave.invalid").unwrap();
    tokio_rustls::TlsConnector::from(Arc::clone(config)).connect(name, stream).await.unwrap()
}

/// Begins an upload over HTTP/1.1 and returns when the program waits for its first byte.
pub(crate) async fn begin_upload(address: &str, bytes: usize) -> TlsStream<TcpStream> {
    let mut stream = tls(address, &client_config("http/1.1")).await;
    let head = format!(
        "POST {OHTTP_PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: {OHTTP_REQUEST}\r\ncontent-length: {bytes}\r\nexpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

/// See [`Connection::open_without_window`].
pub(crate) struct Unread(hyper::client::conn::http2::SendRequest<Full<Bytes>>);

impl Unread {
    /// Sends ciphertext and takes the head of the answer.
    pub(crate) async fn head(&self, ciphertext: &[u8]) -> http::Response<hyper::body::Incoming> {
        let request = http::Request::post(format!("https://enclave.invalid{OHTTP_PATH}"));
        let request = request.header("content-type", OHTTP_REQUEST).body(Full::new(ciphertext.to_vec().into()));
        self.0.clone().send_request(request.unwrap()).await.unwrap()
    }
}

/// An answer outside the seal.
#[derive(Debug)]
pub(crate) struct Plain {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Connection {
    pub(crate) async fn open(address: &str, alpn: &str) -> Self {
        Self::open_with(address, alpn, &client_config(alpn)).await
    }

    pub(crate) async fn open_with(address: &str, alpn: &str, config: &Arc<rustls::ClientConfig>) -> Self {
        let stream = tls(address, config).await;
        let connection = stream.get_ref().1;
        assert_eq!(connection.alpn_protocol(), Some(alpn.as_bytes()));
        assert_eq!(connection.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        let exporter = Exporter::from_bytes(
            connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None).unwrap(),
        );
        let certificate = connection.peer_certificates().unwrap()[0].to_vec();
        let handshake = connection.handshake_kind().unwrap();
        let io = TokioIo::new(stream);
        let sender = if alpn == "h2" {
            let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            Sender::Http2(sender)
        } else {
            let (sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            Sender::Http1(sender)
        };
        Self { sender, exporter, certificate, handshake }
    }

    /// A second asker on the same HTTP/2 connection.
    pub(crate) fn again(&self) -> Self {
        let Sender::Http2(sender) = &self.sender else { panic!("HTTP/1.1 has one request at a time") };
        Self {
            sender: Sender::Http2(sender.clone()),
            exporter: self.exporter.clone(),
            certificate: self.certificate.clone(),
            handshake: self.handshake,
        }
    }

    /// An HTTP/2 connection whose streams may bring no byte of an answer.
    pub(crate) async fn open_without_window(address: &str) -> Unread {
        let io = TokioIo::new(tls(address, &client_config("h2")).await);
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.initial_stream_window_size(0).handshake(io).await.unwrap();
        tokio::spawn(connection);
        Unread(sender)
    }

    pub(crate) async fn call(
        &mut self,
        method: &str,
        path: &str,
        media_type: Option<&str>,
        body: impl Into<Bytes>,
    ) -> Plain {
        let mut request = http::Request::builder().method(method);
        if let Some(media_type) = media_type {
            request = request.header("content-type", media_type);
        }
        let body = Full::new(body.into());
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                let request = request.uri(path).header("host", "enclave.invalid").body(body).unwrap();
                sender.ready().await.unwrap();
                sender.send_request(request).await.unwrap()
            }
            Sender::Http2(sender) => {
                let request = request.uri(format!("https://enclave.invalid{path}")).body(body).unwrap();
                sender.clone().send_request(request).await.unwrap()
            }
        };
        let (parts, body) = response.into_parts();
        Plain { status: parts.status.as_u16(), headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Plain {
        self.call("GET", path, None, Bytes::new()).await
    }

    /// The epoch's envelope and manifest.
    pub(crate) async fn envelope(&mut self) -> (Envelope, ManifestBytes) {
        let answer = self.get(ENVELOPE_PATH).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let envelope = Envelope::parse(&answer.body).unwrap();
        let manifest = ManifestBytes::parse(envelope.manifest.clone()).unwrap();
        (envelope, manifest)
    }

    /// Sends ciphertext.
    pub(crate) async fn ohttp(&mut self, ciphertext: &[u8]) -> Plain {
        self.call("POST", OHTTP_PATH, Some(OHTTP_REQUEST), ciphertext.to_vec()).await
    }

    /// Seals, sends, opens.
    pub(crate) async fn sealed(&mut self, manifest: &ManifestBytes, request: &Request) -> Response {
        let (ciphertext, context) = encapsulate(manifest, request);
        unseal(context, &self.ohttp(&ciphertext).await)
    }
}

pub(crate) fn encapsulate(manifest: &ManifestBytes, request: &Request) -> (Vec<u8>, ClientContext) {
    let keys: Vec<KeyConfig> = manifest.manifest().key_configs().unwrap();
    seal(&keys[0], &request.encode_padded().unwrap()).unwrap()
}

pub(crate) fn unseal(context: ClientContext, answer: &Plain) -> Response {
    assert_eq!((answer.status, answer.headers["content-type"].to_str().unwrap()), (200, OHTTP_RESPONSE), "{answer:?}");
    let plaintext = context.open(&answer.body).unwrap();
    assert_eq!(plaintext.len(), teegate_protocol::padding::padded_len(plaintext.len()), "answer is padded");
    Response::decode(&plaintext, 64 << 20).unwrap()
}

/// A client that takes any certificate, as a gateway does, and verifies the signature of the handshake, as a gateway
/// does.
pub(crate) fn client_config(alpn: &str) -> Arc<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyName(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.into()];
    Arc::new(config)
}

#[derive(Debug)]
struct AnyName(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Asks until the answer is there, for a bounded time.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = ask().await {
            return value;
        }
        assert!(Instant::now() < end, "{what} did not happen in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
