//! Every way to hold a place without using it, at both listeners: somebody else is served all the same.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::ReadBuf;
use tokio::net::TcpSocket;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::testing::address as instance;
use crate::trust::testing::{Who, Wire};

/// So many places. The times are such that none of the occupations ends by itself.
const PLACES: u64 = 8;
const LONG: Duration = Duration::from_secs(300);
/// In this time somebody else has to be served: far sooner than any occupation ends, and late enough for a machine with much to do.
const SOON: Duration = Duration::from_secs(30);
/// So long nobody is served who should not be.
const BRIEFLY: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Clients,
    ClientsOverTls,
    Operator,
}

/// A way to hold a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Occupation {
    /// No byte after the TCP handshake.
    BeforeTls,
    /// No byte after the TLS handshake, where there is one.
    AfterTls,
    /// A request was answered, and no other follows.
    Silent,
    HalfAHead,
    /// A part of a body, as long as anything that counts as moving.
    HalfABody,
    /// And then a byte every now and then.
    SlowBody,
    LongPoll,
    LongPollOverHttp2,
    /// Over HTTP/2, from a client without a window.
    UnreadAnswer,
    /// Over HTTP/2, from a client that answers pings and asks nothing more.
    Pings,
}

const ALL: [Occupation; 10] = [
    Occupation::BeforeTls,
    Occupation::AfterTls,
    Occupation::Silent,
    Occupation::HalfAHead,
    Occupation::HalfABody,
    Occupation::SlowBody,
    Occupation::LongPoll,
    Occupation::LongPollOverHttp2,
    Occupation::UnreadAnswer,
    Occupation::Pings,
];

/// One listener in front of an instance that is attested, answers, and is not offered to anybody yet.
struct Stage {
    kind: Kind,
    address: SocketAddr,
    gateway: Arc<Gateway>,
    manifest: String,
    connectors: [TlsConnector; 2],
    /// Tells the instance that its hard work is done.
    hard_work: Arc<Notify>,
    tasks: Vec<JoinHandle<()>>,
    _shutdown: watch::Sender<bool>,
}

impl Stage {
    async fn set(kind: Kind) -> Self {
        let (gateway, manifest) = (gateway(), Who::new(1).manifest(0, None));
        let mut wire = Wire::connect().await;
        gateway.fleet.accept(&instance(), wire.trusted(&manifest, 1, LONG));
        let hard_work = Arc::new(Notify::new());
        let done = Arc::clone(&hard_work);
        let instance = tokio::spawn(async move {
            while let Some((request, mut respond)) = wire.arrived.recv().await {
                let mut body = request.into_body();
                let mut is_hard = false;
                while let Some(Ok(piece)) = body.data().await {
                    is_hard |= piece.starts_with(b"hard work");
                    let _ = body.flow_control().release_capacity(piece.len());
                }
                let done = Arc::clone(&done);
                tokio::spawn(async move {
                    if is_hard {
                        done.notified().await;
                    }
                    let mut stream = respond.send_response(Response::new(()), false).unwrap();
                    stream.send_data(Bytes::from_static(b"sealed answer"), true).unwrap();
                });
            }
        });
        let (acceptor, http1) = tls(b"http/1.1");
        let http2 = http1_to_http2(&http1);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, is_shutdown) = watch::channel(false);
        let limits = ServerLimits { connections: PLACES, streams: 4, header_read: LONG, answer: LONG };
        let serving = match kind {
            Kind::Operator => tokio::spawn(serve_operator(listener, Arc::clone(&gateway), limits, is_shutdown)),
            Kind::Clients | Kind::ClientsOverTls => {
                let tls = (kind == Kind::ClientsOverTls).then_some(acceptor);
                let front = Front { tls, ..Front::default() };
                tokio::spawn(serve_clients(listener, front, Arc::clone(&gateway), limits, is_shutdown))
            }
        };
        Self {
            kind,
            address,
            gateway,
            manifest: manifest.digest().to_string(),
            connectors: [http1, http2],
            hard_work,
            tasks: vec![instance, serving],
            _shutdown: shutdown,
        }
    }

    /// A connection from 127.0.0.`source`, after its TLS handshake where there is one.
    async fn connect(&self, source: u8, is_http_2: bool) -> Stream {
        let tcp = self.connect_tcp(source).await;
        if self.kind != Kind::ClientsOverTls {
            return Stream(Box::pin(tcp));
        }
        let name = "gateway".try_into().unwrap();
        Stream(Box::pin(self.connectors[usize::from(is_http_2)].connect(name, tcp).await.unwrap()))
    }

    async fn connect_tcp(&self, source: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, source], 0))).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    /// Takes a place from 127.0.0.`source`, and keeps it like this as long as the gateway lets it.
    async fn occupy(&mut self, source: u8, how: Occupation) {
        let relay = |length: usize| {
            let manifest = &self.manifest;
            format!(
                "POST /v1/relay HTTP/1.1\r\nhost: gateway\r\ncontent-type: message/ohttp-req\r\nteegate-manifest: {manifest}\r\n\
                 content-length: {length}\r\n\r\n"
            )
        };
        let text = match how {
            Occupation::BeforeTls | Occupation::AfterTls => String::new(),
            Occupation::Silent => "GET /healthz HTTP/1.1\r\nhost: gateway\r\n\r\n".into(),
            Occupation::HalfAHead => "GET /healthz HTTP/1.1\r\nhost:".into(),
            Occupation::HalfABody | Occupation::SlowBody => relay(100_000) + &"x".repeat(20_000),
            Occupation::LongPoll => "GET /v1/instances?model=model&wait=30 HTTP/1.1\r\nhost: gateway\r\n\r\n".into(),
            Occupation::LongPollOverHttp2 | Occupation::UnreadAnswer | Occupation::Pings => {
                return self.occupy_over_http_2(source, how).await;
            }
        };
        if how == Occupation::BeforeTls {
            let tcp = self.connect_tcp(source).await;
            return self.tasks.push(tokio::spawn(held(Stream(Box::pin(tcp)))));
        }
        let mut stream = self.connect(source, false).await;
        stream.write_all(text.as_bytes()).await.unwrap();
        self.tasks.push(tokio::spawn(async move {
            while how == Occupation::SlowBody && stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            held(stream).await;
        }));
    }

    async fn occupy_over_http_2(&mut self, source: u8, how: Occupation) {
        let stream = self.connect(source, true).await;
        let window = if how == Occupation::UnreadAnswer { 0 } else { 65_535 };
        let is_poll = how == Occupation::LongPollOverHttp2;
        let path = if is_poll { "/v1/instances?model=model&wait=30" } else { "/healthz" };
        let mut builder = h2::client::Builder::new();
        let (mut requests, connection) =
            builder.initial_window_size(window).handshake::<_, Bytes>(stream).await.unwrap();
        let driving = tokio::spawn(async move { drop(connection.await) });
        let request = Request::get(format!("http://gateway{path}")).body(()).unwrap();
        let answer = requests.send_request(request, true).unwrap().0;
        // A poll has no answer yet; that it has arrived shows in its memory.
        let answer = if is_poll { Err(answer) } else { Ok(answer.await) };
        self.tasks.push(tokio::spawn(async move {
            let _ended = driving.await;
            drop((requests, answer));
        }));
    }

    /// What somebody gets who connects from 127.0.0.`source` and asks for what the listener is there for.
    async fn ask(&self, source: u8) -> String {
        let request = match self.kind {
            Kind::Operator => "GET /metrics HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n".to_owned(),
            Kind::Clients | Kind::ClientsOverTls => format!(
                "POST /v1/relay HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\ncontent-type: message/ohttp-req\r\n\
                 teegate-manifest: {}\r\ncontent-length: 10\r\n\r\nciphertext",
                self.manifest
            ),
        };
        http1(self.connect(source, false).await, &request).await
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Reads what comes and says nothing, until the connection ends.
async fn held(mut stream: Stream) {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
}

fn http1_to_http2(connector: &TlsConnector) -> TlsConnector {
    let mut config = ClientConfig::clone(connector.config());
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// Either kind of connection.
struct Stream(Pin<Box<dyn Duplex>>);

trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(context)
    }
}

async fn each_occupation(kind: Kind) {
    for how in ALL {
        let mut stage = Stage::set(kind).await;
        for _ in 0..PLACES {
            stage.occupy(1, how).await;
        }
        let answer = timeout(SOON, stage.ask(1)).await.unwrap_or_else(|_| panic!("{kind:?} {how:?}: nobody answered"));
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{kind:?} {how:?}: {answer}");
        let (gateway, mut tasks) = (Arc::clone(&stage.gateway), std::mem::take(&mut stage.tasks));
        assert!(gateway.budget.kept() <= gateway.budget.total());
        // What all of it made the gateway keep goes with the connections.
        let serving = tasks.remove(1);
        stage._shutdown.send_replace(true);
        tasks.iter().for_each(JoinHandle::abort);
        timeout(SOON, serving).await.expect("they end").unwrap();
        assert_eq!(gateway.budget.kept(), 0, "{kind:?} {how:?}");
    }
}

#[tokio::test]
async fn whoever_holds_the_places_of_clients_does_not_keep_others_out() {
    each_occupation(Kind::Clients).await;
}

#[tokio::test]
async fn whoever_holds_the_places_of_clients_over_tls_does_not_keep_others_out() {
    each_occupation(Kind::ClientsOverTls).await;
}

#[tokio::test]
async fn whoever_holds_the_places_of_the_operator_does_not_keep_others_out() {
    each_occupation(Kind::Operator).await;
}

#[tokio::test]
async fn what_one_source_moves_gives_way_to_another_source_and_not_to_its_own() {
    let mut stage = Stage::set(Kind::Clients).await;
    // Uploads that keep far more than their pace: pieces of each have come, and from then on more do all the time.
    const SHOWN: u64 = 64 << 10;
    let (goes_on, _) = watch::channel(false);
    // The last place is kept from whoever holds all the others.
    for (number, source) in (1..).zip([1, 1, 1, 1, 1, 1, 1, 3]) {
        let mut stream = stage.connect(source, false).await;
        let head = format!(
            "POST /v1/relay HTTP/1.1\r\nhost: gateway\r\ncontent-type: message/ohttp-req\r\nteegate-manifest: {}\r\n\
             transfer-encoding: chunked\r\n\r\n",
            stage.manifest
        );
        let mut goes_on = goes_on.subscribe();
        stage.tasks.push(tokio::spawn(async move {
            let chunk = format!("400\r\n{}\r\n", "x".repeat(1 << 10));
            let shown = usize::try_from(SHOWN >> 10).unwrap();
            let mut written = stream.write_all(format!("{head}{}", chunk.repeat(shown)).as_bytes()).await;
            let _ = goes_on.wait_for(|goes_on| *goes_on).await;
            while written.is_ok() {
                tokio::time::sleep(Duration::from_millis(3)).await;
                written = stream.write_all(chunk.as_bytes()).await;
            }
        }));
        until_kept(&stage.gateway, number * (CONNECTION_BYTES + STREAM_BYTES + SHOWN)).await;
    }
    goes_on.send_replace(true);
    let answer = timeout(SOON, stage.ask(2)).await.expect("somebody from elsewhere is served");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        timeout(BRIEFLY, stage.ask(1)).await.map_or(true, |answer| answer.is_empty()),
        "there is no silence to displace"
    );
}

#[tokio::test]
async fn a_request_that_an_instance_works_on_keeps_its_connection_from_everybody() {
    let mut stage = Stage::set(Kind::Clients).await;
    let relay = format!(
        "POST /v1/relay HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\ncontent-type: message/ohttp-req\r\n\
         teegate-manifest: {}\r\ncontent-length: 9\r\n\r\nhard work",
        stage.manifest
    );
    let mut working = Vec::new();
    for source in [1, 1, 1, 1, 1, 1, 2] {
        let mut stream = stage.connect(source, false).await;
        stream.write_all(relay.as_bytes()).await.unwrap();
        working.push(stream);
    }
    // They have arrived there when the instance answers somebody who came later.
    assert!(timeout(SOON, stage.ask(2)).await.unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
    // All that is left is one place for everybody else.
    for _ in 0..3 * PLACES {
        stage.occupy(1, Occupation::Silent).await;
    }
    assert!(timeout(SOON, stage.ask(3)).await.unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
    let mut last = stage.connect(2, false).await;
    last.write_all(relay.as_bytes()).await.unwrap();
    assert!(timeout(BRIEFLY, stage.ask(3)).await.is_err(), "now there is none");
    stage.hard_work.notify_waiters();
    for mut stream in working.into_iter().chain([last]) {
        let mut answer = Vec::new();
        timeout(SOON, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn who_was_answered_by_an_enclave_keeps_his_connection() {
    let mut stage = Stage::set(Kind::Clients).await;
    let mut regular = stage.connect(2, false).await;
    let relay = format!(
        "POST /v1/relay HTTP/1.1\r\nhost: gateway\r\ncontent-type: message/ohttp-req\r\nteegate-manifest: {}\r\n\
         content-length: 10\r\n\r\nciphertext",
        stage.manifest
    );
    let mut answer = vec![0; 15];
    regular.write_all(relay.as_bytes()).await.unwrap();
    regular.read_exact(&mut answer).await.unwrap();
    let mut idle = stage.connect(3, false).await;
    for source in 4..12 {
        stage.occupy(source, Occupation::Silent).await;
    }
    timeout(SOON, stage.ask(12)).await.unwrap();
    assert_eq!(timeout(SOON, idle.read(&mut answer)).await.unwrap().unwrap(), 0, "the passing twin was displaced");
    regular.write_all(relay.as_bytes()).await.unwrap();
    let mut rest = [0; 512];
    let mut seen = String::new();
    while seen.matches("sealed answer").count() < 2 {
        let count = timeout(SOON, regular.read(&mut rest)).await.unwrap().unwrap();
        assert!(count > 0, "the connection was ended: {seen}");
        seen.push_str(&String::from_utf8_lossy(&rest[..count]));
    }
}
