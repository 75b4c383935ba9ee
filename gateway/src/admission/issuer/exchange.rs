//! One bounded question to where an issuer publishes its keys: HTTP/1.1 on a connection of its own, over TLS where the address says so.
//!
//! It ends within its time, reads no more than a JWKS may have, follows nothing and unpacks nothing. The address is the operator's, and
//! no token has a say in it. Who answers is recognised by the machine's CAs, or by those of `jwks_ca` alone.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use teegate_collateral::outward;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::location::Location;
use crate::admission::jwks::MOST_BYTES;

const MOST_HEADER_BYTES: usize = 64 << 10;

/// Asks at one address.
pub(super) struct Exchange {
    location: Location,
    tls: Option<TlsConnector>,
}

/// A whole answer of status 200.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) text: String,
    /// For how long it may be kept, if it says so.
    pub(super) max_age: Option<Duration>,
}

impl Exchange {
    /// Asks at `location`; `ca` has the CA certificates, PEM, in place of the machine's.
    pub(super) fn new(location: Location, ca: Option<&[u8]>) -> Result<Self, String> {
        let tls = location.is_tls.then(|| connector(ca)).transpose()?;
        Ok(Self { location, tls })
    }

    /// One answer, within `time`.
    pub(super) async fn ask(&self, time: Duration) -> Result<Answer, String> {
        timeout(time, self.speak())
            .await
            .unwrap_or_else(|_| Err(format!("no whole answer within {} ms", time.as_millis())))
    }

    async fn speak(&self) -> Result<Answer, String> {
        let Location { host, port, is_tls, target } = &self.location;
        let tcp = outward::connect(host, *port, *is_tls).await?;
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(tcp),
            Some(connector) => {
                let connected = connector.connect(self.location.name()?, tcp).await;
                Box::new(connected.map_err(|error| format!("TLS: {error}"))?)
            }
        };
        let request = Request::get(target.as_str())
            .header(HOST, self.location.authority())
            .header(USER_AGENT, concat!("teegate-gateway/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .body(Empty::<Bytes>::new())
            .map_err(|error| error.to_string())?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(MOST_HEADER_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        let answer = async {
            let answer = sender.send_request(request).await.map_err(|error| format!("no answer: {error}"))?;
            let (head, body) = answer.into_parts();
            judge(head.status, &head.headers)?;
            let most = usize::try_from(MOST_BYTES).unwrap_or(usize::MAX);
            let body = Limited::new(body, most).collect().await.map_err(|error| {
                if error.downcast_ref::<LengthLimitError>().is_some() {
                    format!("the answer has more than {MOST_BYTES} bytes, which is more than is read")
                } else {
                    format!("the answer was broken off: {error}")
                }
            })?;
            let text = String::from_utf8(body.to_bytes().to_vec()).map_err(|_| "it is not UTF-8".to_owned())?;
            Ok(Answer { text, max_age: max_age(&head.headers) })
        };
        tokio::pin!(connection, answer);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            ended = &mut connection => match ended {
                Ok(()) => answer.await,
                Err(error) => Err(format!("the connection ended: {error}")),
            },
        }
    }
}

/// What the head alone decides.
fn judge(status: StatusCode, headers: &HeaderMap) -> Result<(), String> {
    if status.is_redirection() {
        return Err(format!("it answered {}, and no redirect is followed: name the address itself", status.as_u16()));
    }
    if status != StatusCode::OK {
        return Err(format!("it answered {}", status.as_u16()));
    }
    if !matches!(text(headers, &CONTENT_ENCODING), "" | "identity") {
        return Err("it answered with a `content-encoding`, which was not asked for".to_owned());
    }
    if text(headers, &CONTENT_TYPE).to_ascii_lowercase().starts_with("text/html") {
        return Err("it answered with HTML and not with a JWKS".to_owned());
    }
    Ok(())
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// RFC 9111, section 5.2.2: `max-age`, less the `Age` that the answer has already; nothing of it may be kept where it says so.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let mut found = None;
    for directive in
        headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','))
    {
        let (name, value) = directive.trim().split_once('=').unwrap_or((directive.trim(), ""));
        match name.to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return Some(Duration::ZERO),
            "max-age" => found = value.trim_matches('"').parse().ok().map(Duration::from_secs),
            _ => {}
        }
    }
    let age = Duration::from_secs(text(headers, &AGE).parse().unwrap_or_default());
    found.map(|max_age| max_age.saturating_sub(age))
}

fn connector(ca: Option<&[u8]>) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    match ca {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(
                    "this machine has no CA certificates: install `ca-certificates`, or name a file of them in \
                            `admission.jwt.jwks_ca`"
                        .to_owned(),
                );
            }
        }
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| format!("`jwks_ca` is not PEM: {error}"))?;
                roots
                    .add(certificate)
                    .map_err(|error| format!("`jwks_ca` has a certificate that cannot be used: {error}"))?;
            }
            if roots.is_empty() {
                return Err("`jwks_ca` holds no certificate: expected PEM with a `CERTIFICATE` block".to_owned());
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn an_answer_says_for_how_long_it_may_be_kept() {
        let said = |fields: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_static(value));
            }
            max_age(&headers).map(|time| time.as_secs())
        };
        for (fields, seconds) in [
            (&[][..], None),
            (&[("cache-control", "public, max-age=300, must-revalidate")], Some(300)),
            (&[("cache-control", "Max-Age=\"300\"")], Some(300)),
            (&[("cache-control", "max-age=300"), ("age", "120")], Some(180)),
            (&[("cache-control", "max-age=300"), ("age", "900")], Some(0)),
            (&[("cache-control", "max-age=300"), ("cache-control", "no-cache")], Some(0)),
            (&[("cache-control", "no-store")], Some(0)),
            (&[("cache-control", "max-age=soon")], None),
            (&[("cache-control", "s-maxage=7")], None),
        ] {
            assert_eq!(said(fields), seconds, "{fields:?}");
        }
    }
}
