//! One bounded exchange with a service: HTTP/1.1 on a connection of its own, over TLS where the address says so.
//!
//! It ends within its deadlines, reads no more than its limits, follows nothing, unpacks nothing. TLS is checked as everywhere,
//! and is not what makes an answer believed.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, DATE, HOST, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use teegate_verifier::UnixTime;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::failure::Failure;
use crate::outward::{self, words};
use crate::settings::{Limits, TlsRoots};
use crate::source::Ask;
use crate::url::Base;
use crate::words::shown;

/// An answer of status 200, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What every exchange has in common.
#[derive(Debug)]
pub(crate) struct Link {
    user_agent: String,
    limits: Limits,
    connect: Duration,
    roots: TlsRoots,
    /// Built when the first `https` address is asked: reading the machine's roots takes a while, and a cache or THIM needs none.
    connector: OnceLock<Result<Tls, String>>,
}

struct Tls(TlsConnector);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Link {
    pub(crate) const fn new(user_agent: String, limits: Limits, connect: Duration, roots: TlsRoots) -> Self {
        Self { user_agent, limits, connect, roots, connector: OnceLock::new() }
    }

    /// Asks, and reads the whole answer within `deadline`. `wall` is how late it is, for a service that names an hour to come
    /// back at and not its own time.
    pub(crate) async fn exchange(&self, ask: &Ask, deadline: Duration, wall: UnixTime) -> Result<Answer, Failure> {
        let connect = self.connect.min(deadline);
        let started = tokio::time::Instant::now();
        let stream = match tokio::time::timeout(connect, self.open(ask.url.base())).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(reason)) => return Err(Failure::Unreachable { reason }),
            Err(_) => return Err(Failure::TimedOut { after: connect }),
        };
        let left = deadline.saturating_sub(started.elapsed());
        match tokio::time::timeout(left, self.speak(stream, ask, wall)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::TimedOut { after: deadline }),
        }
    }

    async fn open(&self, base: &Base) -> Result<Box<dyn Stream>, String> {
        let tcp = outward::connect(&base.host, base.port, base.tls).await?;
        if !base.tls {
            return Ok(Box::new(tcp));
        }
        let Tls(connector) = self.connector.get_or_init(|| connector(&self.roots)).as_ref().map_err(Clone::clone)?;
        let bare = base.host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(|error| error.to_string())?;
        let tls = connector.connect(name, tcp).await.map_err(|error| format!("TLS: {}", shown(&error.to_string())))?;
        Ok(Box::new(tls))
    }

    async fn speak(&self, stream: Box<dyn Stream>, ask: &Ask, wall: UnixTime) -> Result<Answer, Failure> {
        let lost = |reason: String| Failure::Lost { reason };
        let base = ask.url.base();
        let mut request = Request::get(ask.url.target.as_str())
            .header(HOST, base.authority())
            .header(USER_AGENT, self.user_agent.as_str())
            .header(ACCEPT, "*/*");
        if ask.is_metadata {
            request = request.header("Metadata", "true");
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| lost(error.to_string()))?;
        // Smaller buffers than this are refused by the library, with a panic.
        let buffer = self.limits.max_header_bytes.max(8 << 10);
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(buffer)
            .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(|error| lost(error.to_string()))?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(|error| lost(words(&error)))?;
            let (head, body) = response.into_parts();
            judge(head.status, &head.headers, wall)?;
            let limit = self.limits.max_body_bytes;
            let body = Limited::new(body, limit).collect().await.map_err(|error| {
                if error.downcast_ref::<LengthLimitError>().is_some() {
                    Failure::TooLarge { limit }
                } else {
                    lost(words(error.as_ref()))
                }
            })?;
            Ok(Answer { headers: head.headers, body: body.to_bytes() })
        };
        tokio::pin!(connection, answer);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            ended = &mut connection => match ended {
                Ok(()) => answer.await,
                Err(error) => Err(lost(words(&error))),
            },
        }
    }
}

/// What the head alone decides.
fn judge(status: StatusCode, headers: &HeaderMap, wall: UnixTime) -> Result<(), Failure> {
    let number = status.as_u16();
    match number {
        200 => {}
        300..=399 => return Err(Failure::Redirected { status: number, to: text(headers, LOCATION.as_str()) }),
        404 | 410 => return Err(Failure::NotThere { status: number }),
        429 => return Err(Failure::Throttled { retry_after: retry_after(headers, wall) }),
        500..=599 => return Err(Failure::Failing { status: number, retry_after: retry_after(headers, wall) }),
        _ => return Err(Failure::Refused { status: number }),
    }
    let encoding = text(headers, CONTENT_ENCODING.as_str());
    if !matches!(encoding.as_str(), "" | "identity") {
        return Err(Failure::WrongType { found: format!("content-encoding: {encoding}") });
    }
    // Services label the same bytes in many ways, so only what no document can be is refused.
    let kind = text(headers, CONTENT_TYPE.as_str()).to_ascii_lowercase();
    let never =
        ["text/html", "application/xhtml", "text/xml", "application/xml", "multipart/", "image/", "audio/", "video/"];
    if never.iter().any(|prefix| kind.starts_with(prefix)) {
        return Err(Failure::WrongType { found: kind });
    }
    Ok(())
}

/// A header field in plain characters, at most so many that an error stays readable; empty where there is none.
fn text(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    shown(&value.unwrap_or_default())
}

/// `Retry-After`: seconds, or an instant, which is held against the service's own `Date` so that only its clock counts.
fn retry_after(headers: &HeaderMap, wall: UnixTime) -> Option<Duration> {
    let value = text(headers, RETRY_AFTER.as_str());
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let instant = httpdate::parse_http_date(&value).ok()?;
    let from = httpdate::parse_http_date(&text(headers, DATE.as_str()))
        .unwrap_or(std::time::UNIX_EPOCH + Duration::from_secs(wall.seconds()));
    Some(instant.duration_since(from).unwrap_or_default())
}

fn connector(roots: &TlsRoots) -> Result<Tls, String> {
    let mut store = rustls::RootCertStore::empty();
    match roots {
        TlsRoots::System => {
            let found = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(found.certs);
            if store.is_empty() {
                return Err(
                    "this machine has no CA certificates; install `ca-certificates`, or name a file of them in \
                            `SSL_CERT_FILE`"
                        .to_owned(),
                );
            }
        }
        TlsRoots::Pem(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| format!("the CA certificates are not PEM: {error}"))?;
                store.add(certificate).map_err(|error| format!("a CA certificate cannot be used: {error}"))?;
            }
            if store.is_empty() {
                return Err("the CA file holds no certificate".to_owned());
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    // The vendors' services are older than TLS 1.3 in places, and secrecy is not what is needed of them.
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(Tls(TlsConnector::from(Arc::new(config))))
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn judged(status: u16, headers: &[(&'static str, &str)]) -> Result<(), Failure> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect();
        judge(StatusCode::from_u16(status).unwrap(), &headers, UnixTime::from_seconds(784_111_777))
    }

    #[test]
    fn a_head_says_whether_to_read_on() {
        for kind in ["application/pkix-cert", "application/octet-stream", "text/plain; charset=utf-8", "whatever"] {
            assert_eq!(judged(200, &[("content-type", kind)]), Ok(()));
        }
        assert_eq!(judged(200, &[("content-encoding", "identity")]), Ok(()));
        let found = |found: &str| Err(Failure::WrongType { found: found.to_owned() });
        assert_eq!(judged(200, &[("content-type", "Text/HTML; a")]), found("text/html; a"));
        assert_eq!(judged(200, &[("content-encoding", "gzip")]), found("content-encoding: gzip"));
        let to = "https://elsewhere.example/".to_owned();
        assert_eq!(judged(307, &[("location", &to)]), Err(Failure::Redirected { status: 307, to: to.clone() }));
        for status in [404, 410] {
            assert_eq!(judged(status, &[]), Err(Failure::NotThere { status }));
        }
        for status in [201, 204, 400, 401, 403] {
            assert_eq!(judged(status, &[]), Err(Failure::Refused { status }));
        }
    }

    #[test]
    fn a_service_names_a_time_to_come_back_in_three_ways_or_not_at_all() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT"; // 784,111,777
        let later = "Sun, 06 Nov 1994 08:51:37 GMT";
        for (headers, seconds) in [
            (&[("retry-after", "30")][..], Some(30)),
            (&[("retry-after", later), ("date", "Sun, 06 Nov 1994 08:51:07 GMT")], Some(30)),
            (&[("retry-after", later)], Some(120)),
            (&[("retry-after", date), ("date", later)], Some(0)),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "-1")], None),
            (&[], None),
        ] {
            let retry_after = seconds.map(Duration::from_secs);
            assert_eq!(judged(429, headers), Err(Failure::Throttled { retry_after }), "{headers:?}");
            assert_eq!(judged(503, headers), Err(Failure::Failing { status: 503, retry_after }), "{headers:?}");
        }
    }
}
