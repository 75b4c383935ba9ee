//! The way to a gateway: bounded HTTP/1.1 exchanges, on connections that are kept for the next one.
//!
//! Nothing here is trusted and nothing here protects the request: what travels is either public (the list of instances) or
//! already sealed. What this file proves is smaller: every exchange ends within its deadline, no answer is larger than its
//! limit, and an exchange that failed says whether any byte of it may have left this machine. What is sent again, on another
//! connection, is only what had not begun to be written on the first.

mod error;
mod room;
mod upload;
mod way;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use crate::client_certificate::ClientCertificate;
use crate::credential::Credential;
pub use error::{AddressError, LinkError};
pub(crate) use room::{AnswerRoom, Room};
pub(crate) use upload::Upload;
use way::{Tls, Way};

/// The largest header block read from a gateway.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// The largest certificate file read.
const MAX_CA_BYTES: usize = 256 * 1024;
/// A connection that has been idle for so long is not used again: gateways and what stands before them close theirs after minutes.
const IDLE: Duration = Duration::from_secs(30);
/// So many idle connections are kept.
const MAX_IDLE: usize = 64;

/// Where a gateway listens, and by whose certificate it is recognised. Clones share their connections.
///
/// `http://` is enough for confidentiality: the request is sealed to the enclave before it gets here. `https://` also hides
/// from the network *which* gateway and model are asked for: it is recognised by this machine's own CA certificates, or by those
/// that are pinned. An `https://` gateway is reached through the proxy that the environment names (`HTTPS_PROXY`, `NO_PROXY`),
/// which sees the gateway's name, times and sizes.
#[derive(Clone)]
pub struct Gateway {
    way: Way,
    connections: Client<Way, Upload>,
    /// What answers may take together, where that is bounded.
    room: Option<Room>,
    /// What is shown to be let in.
    credential: Option<Credential>,
}

impl Gateway {
    /// Reads `http://HOST[:PORT]` or `https://HOST[:PORT]`.
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        let wrong = |reason: String| AddressError { url: url.to_owned(), reason };
        let uri: Uri = url.parse().map_err(|e| wrong(format!("{e}")))?;
        let (is_tls, default_port) = match uri.scheme_str() {
            Some("http") => (false, 80),
            Some("https") => (true, 443),
            _ => return Err(wrong("it must begin with http:// or https://".to_owned())),
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("a gateway's address has no path and no query".to_owned()));
        }
        let authority = uri.authority().ok_or_else(|| wrong("the host is missing".to_owned()))?;
        if authority.as_str().contains('@') {
            return Err(wrong("a gateway's address carries no user name".to_owned()));
        }
        let host = authority.host().to_owned();
        let port = match authority.as_str().strip_prefix(authority.host()).unwrap_or_default() {
            "" => default_port,
            written => written
                .strip_prefix(':')
                .and_then(|port| port.parse().ok())
                .filter(|port| *port != 0)
                .ok_or_else(|| {
                    wrong(
                        "what stands behind the host is no port: expected `:` and a number from 1 to 65535".to_owned(),
                    )
                })?,
        };
        let tls = if is_tls {
            let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let name = ServerName::try_from(bare).map_err(|e| wrong(format!("{e}")))?;
            Some(Tls::new(name))
        } else {
            None
        };
        Ok(Self::of(Way { host, port, tls }))
    }

    /// Recognises an `https://` gateway by the CA certificates in `pem`, and by no others.
    pub fn with_pinned_ca(mut self, pem: &[u8]) -> Result<Self, AddressError> {
        let url = self.to_string();
        let wrong = |reason: String| AddressError { url: url.clone(), reason };
        let Some(tls) = self.way.tls.as_mut() else {
            return Err(wrong("a CA certificate was given for a gateway that is reached without TLS".to_owned()));
        };
        if pem.len() > MAX_CA_BYTES {
            return Err(wrong(format!("the CA file has more than {MAX_CA_BYTES} bytes")));
        }
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|e| wrong(format!("the CA file is not PEM: {e}")))?;
            roots.add(certificate).map_err(|e| wrong(format!("the CA file holds an unusable certificate: {e}")))?;
        }
        if roots.is_empty() {
            return Err(wrong("the CA file holds no certificate".to_owned()));
        }
        tls.pinned = Some(roots);
        tls.settle().map_err(wrong)?;
        Ok(Self { room: self.room, credential: self.credential, ..Self::of(self.way) })
    }

    /// Shows this certificate to an `https://` gateway that asks for one in the handshake, to be let in.
    ///
    /// # Errors
    /// The gateway is reached without TLS.
    pub fn with_client_certificate(mut self, certificate: ClientCertificate) -> Result<Self, AddressError> {
        let url = self.to_string();
        let wrong = |reason: String| AddressError { url: url.clone(), reason };
        let Some(tls) = self.way.tls.as_mut() else {
            return Err(wrong("a client certificate was given for a gateway that is reached without TLS".to_owned()));
        };
        tls.certificate = Some(certificate);
        tls.settle().map_err(wrong)?;
        Ok(Self { room: self.room, credential: self.credential, ..Self::of(self.way) })
    }

    fn of(way: Way) -> Self {
        let mut connections = Client::builder(TokioExecutor::new());
        connections.pool_timer(TokioTimer::new()).timer(TokioTimer::new());
        connections.pool_idle_timeout(IDLE).pool_max_idle_per_host(MAX_IDLE).http1_max_buf_size(MAX_HEADER_BYTES);
        let connections = connections.build(way.clone());
        Self { way, connections, room: None, credential: None }
    }

    /// Shows this with every request, to be let in. It goes to this gateway alone, outside the seal. Over `http://` whoever is on the way
    /// reads it ([`Gateway::is_readable_on_the_way`]).
    #[must_use]
    pub fn with_credential(mut self, credential: Credential) -> Self {
        self.credential = Some(credential);
        self
    }

    /// Whether what is not sealed can be read between here and the gateway: there is no TLS, and it is not on this machine.
    pub fn is_readable_on_the_way(&self) -> bool {
        let host = self.way.host.trim_start_matches('[').trim_end_matches(']');
        let is_loopback = host.parse().map_or(host == "localhost", |address: std::net::IpAddr| address.is_loopback());
        self.way.tls.is_none() && !is_loopback
    }

    /// Whether it is shown a credential, which nobody may get who was not recognised.
    pub(crate) fn has_credential(&self) -> bool {
        self.credential.is_some() || self.way.tls.as_ref().is_some_and(|tls| tls.certificate.is_some())
    }

    /// Bounds what answers take together, from their first byte until who has one drops its [`AnswerRoom`].
    pub(crate) fn with_room(mut self, room: Room) -> Self {
        self.room = Some(room);
        self
    }

    /// Sends `request`, whose address is a path, and reads the whole answer, within `deadline` and at most `limit` body bytes.
    /// Whoever stops waiting ends the exchange, and its connection.
    pub(crate) async fn exchange(
        &self,
        mut request: Request<Upload>,
        deadline: Duration,
        limit: usize,
    ) -> Result<Response<Bytes>, LinkError> {
        let lost = |reason: String| LinkError::Lost { gateway: self.to_string(), reason };
        *request.uri_mut() = self
            .absolute(request.uri())
            .map_err(|reason| LinkError::Unreachable { gateway: self.to_string(), reason })?;
        if let Some(credential) = &self.credential {
            let unready = |reason| LinkError::Unreachable { gateway: self.to_string(), reason };
            let field = credential.field().map_err(|error| unready(error.to_string()))?;
            request.headers_mut().insert(AUTHORIZATION, field);
        }
        let answer = async {
            let answer = self.connections.request(request).await.map_err(|error| {
                let reason = words(&error);
                match error.is_connect() {
                    true => LinkError::Unreachable { gateway: self.to_string(), reason },
                    false => lost(reason),
                }
            })?;
            let (mut head, body) = answer.into_parts();
            let mut taken = self.room.as_ref().map(Room::nothing);
            let mut body = Limited::new(body, limit);
            let mut bytes = Vec::new();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| {
                    if error.downcast_ref::<LengthLimitError>().is_some() {
                        LinkError::TooLarge { gateway: self.to_string(), limit }
                    } else {
                        lost(error.to_string())
                    }
                })?;
                // Trailers are passed over.
                let Ok(data) = frame.into_data() else { continue };
                if !taken.as_mut().is_none_or(|taken| taken.grow_by(data.len())) {
                    return Err(LinkError::NoRoom { gateway: self.to_string() });
                }
                bytes.extend_from_slice(&data);
            }
            if let Some(taken) = taken {
                head.extensions.insert(taken.kept());
            }
            Ok(Response::from_parts(head, Bytes::from(bytes)))
        };
        match tokio::time::timeout(deadline, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(LinkError::TimedOut { gateway: self.to_string(), after: deadline }),
        }
    }

    /// Host, port and whether there is TLS.
    pub(crate) fn place(&self) -> (&str, u16, bool) {
        (&self.way.host, self.way.port, self.way.tls.is_some())
    }

    /// Whether it is recognised by certificates that the caller pinned.
    #[cfg(test)]
    pub(crate) fn is_pinned(&self) -> bool {
        self.way.tls.as_ref().is_some_and(|tls| tls.pinned.is_some())
    }

    /// The name by which TLS would recognise it.
    pub(crate) fn name(&self) -> Option<ServerName<'static>> {
        self.way.tls.as_ref().map(|tls| tls.name.clone())
    }

    fn absolute(&self, path: &Uri) -> Result<Uri, String> {
        let path = path.path_and_query().map_or("/", |path| path.as_str());
        format!("{self}{path}").parse().map_err(|error| format!("{error}"))
    }
}

/// What caused an error, without what only says that something did.
fn words(error: &hyper_util::client::legacy::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.way.tls.is_some() { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.way.host, self.way.port)
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gateway({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::Observer;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    fn get() -> Request<Upload> {
        Request::get("/v1/instances").body(Upload::nothing()).unwrap()
    }

    /// Answers one connection with `answer` after the request head, then closes it.
    async fn server(answer: &'static [u8]) -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer).await.unwrap();
        });
        Gateway::parse(&format!("http://127.0.0.1:{port}")).unwrap()
    }

    #[test]
    fn addresses_are_read_or_refused_with_a_reason() {
        assert_eq!(Gateway::parse("http://gateway.example").unwrap().to_string(), "http://gateway.example:80");
        assert_eq!(Gateway::parse("https://[::1]:8443/").unwrap().to_string(), "https://[::1]:8443");
        for (url, reason) in [
            ("gateway.example:8080", "http:// or https://"),
            ("ftp://gateway.example", "http:// or https://"),
            ("http://gateway.example/v1", "no path"),
            ("http://user@gateway.example", "no user name"),
            ("http://gateway.example:99999", "no port"),
            ("https://[::1]:0", "no port"),
            ("http://gateway.example:", "no port"),
        ] {
            let error = Gateway::parse(url).unwrap_err().to_string();
            assert!(error.contains(reason), "{url}: {error}");
        }
    }

    #[test]
    fn a_ca_is_needed_for_https_and_refused_for_http() {
        let plain = Gateway::parse("http://gateway.example").unwrap().with_pinned_ca(b"").unwrap_err();
        assert!(plain.to_string().contains("without TLS"), "{plain}");
        let empty = Gateway::parse("https://gateway.example").unwrap().with_pinned_ca(b"").unwrap_err();
        assert!(empty.to_string().contains("no certificate"), "{empty}");
    }

    #[tokio::test]
    async fn an_answer_within_its_limit_is_read_and_a_longer_one_refused() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfour";
        let read = server(answer).await.exchange(get(), Duration::from_secs(5), 4).await.unwrap();
        assert_eq!(read.body().as_ref(), b"four");
        let refused = server(answer).await.exchange(get(), Duration::from_secs(5), 3).await.unwrap_err();
        assert!(matches!(refused, LinkError::TooLarge { limit: 3, .. }), "{refused}");
    }

    #[tokio::test]
    async fn a_credential_goes_with_every_exchange_and_is_never_shown() {
        let (gateway, _, _) = keeping(2).await;
        assert!(!gateway.has_credential());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = Gateway::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let gateway = gateway.with_credential(Credential::token(b"canary-of-a-token").unwrap());
        let told = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heads = Vec::new();
            for _ in 0..2 {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                heads.push(String::from_utf8(head).unwrap());
                stream.write_all(b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            }
            heads
        });
        for _ in 0..2 {
            let answer = gateway.exchange(get(), Duration::from_secs(5), 64).await.unwrap();
            assert_eq!(answer.status().as_u16(), 307, "nobody else is asked");
        }
        let heads = told.await.unwrap();
        assert!(
            heads.iter().all(|head| head.matches("authorization: Bearer canary-of-a-token\r\n").count() == 1),
            "{heads:?}"
        );
        assert!(!format!("{gateway:?} {gateway}").contains("canary"));
    }

    #[test]
    fn what_is_readable_on_the_way_is_known() {
        for (url, is_readable) in [
            ("http://gateway.example", true),
            ("http://10.0.0.1", true),
            ("http://[2001:db8::1]", true),
            ("http://127.0.0.1.example", true),
            ("http://127.0.0.1", false),
            ("http://localhost", false),
            ("http://[::1]", false),
            ("https://gateway.example", false),
        ] {
            assert_eq!(Gateway::parse(url).unwrap().is_readable_on_the_way(), is_readable, "{url}");
        }
    }

    #[tokio::test]
    async fn a_connection_cut_short_is_lost_and_may_have_been_read() {
        let gateway = server(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfour").await;
        let error = gateway.exchange(get(), Duration::from_secs(5), 64).await.unwrap_err();
        assert!(matches!(error, LinkError::Lost { .. }), "{error}");
        assert!(error.sent());
    }

    /// Answers so many requests on each connection, then closes it and says so; gives the number of connections so far.
    async fn keeping(per_connection: usize) -> (Gateway, Arc<AtomicUsize>, mpsc::Receiver<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = Gateway::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let (connections, (said, closed)) = (Arc::new(AtomicUsize::new(0)), mpsc::channel(8));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                for _ in 0..per_connection {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await.unwrap());
                    }
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                }
                drop(stream);
                let _ = said.send(()).await;
            }
        });
        (gateway, connections, closed)
    }

    #[tokio::test]
    async fn a_connection_is_kept_for_the_next_exchange_and_shared_by_clones() {
        let (gateway, connections, _closed) = keeping(3).await;
        for gateway in [gateway.clone(), gateway.clone(), gateway] {
            gateway.exchange(get(), Duration::from_secs(5), 64).await.unwrap();
        }
        assert_eq!(connections.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_connection_that_the_gateway_closed_in_the_meantime_fails_nobody() {
        let (gateway, connections, mut closed) = keeping(1).await;
        for round in 1..=3 {
            gateway.exchange(get(), Duration::from_secs(5), 64).await.unwrap();
            closed.recv().await.unwrap();
            assert_eq!(connections.load(Ordering::SeqCst), round);
        }
    }

    #[tokio::test]
    async fn an_upload_is_told_as_it_leaves_and_whoever_leaves_ends_it() {
        #[derive(Debug, Default)]
        struct Told(Mutex<Vec<(usize, usize)>>);
        impl Observer for Told {
            fn uploaded(&self, bytes: usize, of: usize) {
                self.0.lock().unwrap().push((bytes, of));
            }
        }
        let told = Arc::new(Told::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = Gateway::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let body = Upload::of(vec![7; 150_000].into(), Some(Arc::clone(&told) as Arc<dyn Observer>));
        let request = Request::post("/v1/relay").body(body).unwrap();
        let exchange = tokio::spawn(async move { gateway.exchange(request, Duration::from_secs(60), 64).await });
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut all = vec![0; 150_000];
        stream.read_exact(&mut all).await.unwrap();
        exchange.abort();
        // Ended by the client, and not by a deadline.
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(*told.0.lock().unwrap(), [(65_536, 150_000), (131_072, 150_000), (150_000, 150_000)]);
    }

    #[tokio::test]
    async fn a_silent_gateway_times_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = Gateway::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let error = gateway.exchange(get(), Duration::from_millis(20), 64).await.unwrap_err();
        assert!(matches!(error, LinkError::TimedOut { .. }), "{error}");
        assert!(error.sent());
    }

    #[tokio::test]
    async fn nothing_was_sent_where_nobody_listens() {
        // A port that nobody else can take meanwhile, and at which nobody listens.
        let held = tokio::net::TcpSocket::new_v4().unwrap();
        held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let gateway = Gateway::parse(&format!("http://{}", held.local_addr().unwrap())).unwrap();
        let error = gateway.exchange(get(), Duration::from_secs(5), 64).await.unwrap_err();
        assert!(matches!(error, LinkError::Unreachable { .. }), "{error}");
        assert!(!error.sent());
    }

    #[tokio::test]
    async fn https_to_who_speaks_no_tls_sends_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = Gateway::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            }
        });
        let error = gateway.exchange(get(), Duration::from_secs(5), 64).await.unwrap_err();
        // A machine without CA certificates does not get as far as TLS.
        assert!(matches!(error, LinkError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains("TLS") || error.to_string().contains("no CA certificates"), "{error}");
        assert!(!error.sent());
    }
}
