//! What Azure's host answers a guest: the instance metadata service (IMDS) at 169.254.169.254, over plain HTTP.
//!
//! - `GET /metadata/THIM/amd/certification`: the VCEK of this machine and the chain above it, as JSON with PEM inside.
//! - `POST /acc/tdquote` with `{"report": base64url}`: a TD quote over that TD report, as `{"quote": base64url}`.
//!
//! Nothing that comes from there is believed: certificates and quotes speak for themselves or not at all, and what is sent
//! is a report that any verifier gets to see. So its address is configuration, as far as it is one that no packet leaves
//! this machine for: link-local or loopback. No redirect is followed; bodies and time are bounded.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use teegate_encoding::json::{Members, string};
use teegate_encoding::{base64, pem};

use crate::AttesterError;
use crate::http::{Failed, exchange, refusal};

/// A VCEK and its chain in PEM have some 6 KiB, a TD quote in base64url some 11.
const MAX_ANSWER_BYTES: usize = 256 << 10;

/// What one question may take. Azure's quote service takes a second or two.
pub(crate) const PATIENCE: Duration = Duration::from_secs(6);

/// Levels and members of what the service says; its answers are flat.
const DEPTH: usize = 4;
const MEMBERS: usize = 32;

/// The service at one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imds {
    address: SocketAddr,
}

/// What THIM says of the machine below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certification {
    /// The VCEK, DER.
    pub vcek: Vec<u8>,
    /// ASK and ARK, DER.
    pub chain: Vec<Vec<u8>>,
}

impl Default for Imds {
    /// Where it is on Azure.
    fn default() -> Self {
        Self { address: SocketAddr::from((Ipv4Addr::new(169, 254, 169, 254), 80)) }
    }
}

impl FromStr for Imds {
    type Err = NotOnThisMachine;

    fn from_str(url: &str) -> Result<Self, NotOnThisMachine> {
        let text = url.strip_prefix("http://").ok_or(NotOnThisMachine)?;
        let text = text.strip_suffix('/').unwrap_or(text);
        let address = match text.parse::<SocketAddr>() {
            Ok(address) => address,
            Err(_) => SocketAddr::new(IpAddr::V4(text.parse().map_err(|_| NotOnThisMachine)?), 80),
        };
        let is_near = match address.ip() {
            IpAddr::V4(ip) => ip.is_link_local() || ip.is_loopback(),
            IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_loopback(),
        };
        if is_near { Ok(Self { address }) } else { Err(NotOnThisMachine) }
    }
}

impl fmt::Display for Imds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Azure's metadata service at {}", self.address)
    }
}

/// A text that is not `http://IP[:PORT]` with a link-local or loopback address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotOnThisMachine;

impl fmt::Display for NotOnThisMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected `http://IP` or `http://IP:PORT` with a link-local or loopback address: no other is this machine's")
    }
}

impl std::error::Error for NotOnThisMachine {}

impl Imds {
    /// The VCEK of this machine and what is above it.
    ///
    /// # Errors
    /// The service cannot be asked, refuses, or says something else.
    pub async fn certification(&self) -> Result<Certification, AttesterError> {
        let question = http::Request::get("/metadata/THIM/amd/certification");
        Certification::parse(&self.ask(question, Bytes::new(), PATIENCE).await?)
    }

    /// The TD quote over this TD report.
    ///
    /// # Errors
    /// The service cannot be asked, refuses, or says something else.
    pub async fn td_quote(&self, td_report: &[u8]) -> Result<Vec<u8>, AttesterError> {
        let question = format!(r#"{{"report":"{}"}}"#, base64::encode_url(td_report));
        let request = http::Request::post("/acc/tdquote").header(http::header::CONTENT_TYPE, "application/json");
        quote_in(&self.ask(request, question.into(), PATIENCE).await?)
    }

    async fn ask(
        &self,
        request: http::request::Builder,
        body: Bytes,
        patience: Duration,
    ) -> Result<Bytes, AttesterError> {
        // Without this field the service refuses, so that nobody is tricked into asking it.
        let asked = exchange(self.address, request.header("metadata", "true"), body, MAX_ANSWER_BYTES);
        let answer = tokio::time::timeout(patience, asked).await.map_err(|_| AttesterError::TimedOut)?;
        let (status, body) = answer.map_err(|failed| AttesterError::Unreachable {
            source: self.to_string(),
            reason: match failed {
                Failed::NotListening(error) => error.to_string(),
                Failed::Other(reason) => reason,
            },
        })?;
        if status != http::StatusCode::OK {
            // It asks for patience by 429, and answers so while the host is busy.
            let is_early = status.is_server_error() || status == http::StatusCode::TOO_MANY_REQUESTS;
            let (source, reason) = (self.to_string(), refusal(status, &body));
            return Err(AttesterError::Refused { source, reason, is_early });
        }
        Ok(body)
    }
}

impl Certification {
    /// Reads what THIM answers.
    ///
    /// # Errors
    /// It is no JSON object, or `vcekCert` is not one certificate in PEM, or `certificateChain` is no text of any number of them.
    pub fn parse(answer: &[u8]) -> Result<Self, AttesterError> {
        let [vcek, chain] = ["vcekCert", "certificateChain"].map(|name| -> Result<Vec<Vec<u8>>, AttesterError> {
            let found = member(answer, name)?;
            pem::certificates(found.as_bytes()).ok_or_else(|| wrong(name, "certificates in PEM"))
        });
        match <[Vec<u8>; 1]>::try_from(vcek?) {
            Ok([vcek]) => Ok(Self { vcek, chain: chain? }),
            Err(_) => Err(wrong("vcekCert", "one certificate in PEM")),
        }
    }
}

/// The TD quote in what the quote service answers, unread.
///
/// # Errors
/// It is no JSON object, or its `quote` is no base64url.
pub fn quote_in(answer: &[u8]) -> Result<Vec<u8>, AttesterError> {
    base64::decode_url_with_any_padding(member(answer, "quote")?).map_err(|_| wrong("quote", "base64url"))
}

fn member(answer: &[u8], name: &str) -> Result<String, AttesterError> {
    let text = std::str::from_utf8(answer).map_err(|_| wrong("the answer", "text"))?;
    let members = Members::parse(text, DEPTH, MEMBERS).map_err(|_| wrong("the answer", "a JSON object"))?;
    members.get(name).and_then(string).ok_or_else(|| wrong(name, "a string"))
}

fn wrong(place: &str, expected: &str) -> AttesterError {
    AttesterError::malformed(format!("`{place}` of Azure's metadata service"), expected)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::tests::SOME_CERTIFICATE;

    /// A service that answers once with these bytes, and the request that it was given.
    async fn service(answer: String) -> (Imds, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let imds = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            // A question with a body ends with it.
            let is_whole = |request: &[u8]| {
                let end: &[u8] = if request.starts_with(b"POST") { b"}" } else { b"\r\n\r\n" };
                request.ends_with(end)
            };
            while !is_whole(&request) {
                request.push(stream.read_u8().await.unwrap());
            }
            let _ = stream.write_all(answer.as_bytes()).await;
            String::from_utf8(request).unwrap()
        });
        (imds, server)
    }

    fn http(status: &str, more: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\n{more}content-length: {}\r\n\r\n{body}", body.len())
    }

    fn certification(leaf: &str, chain: &str) -> String {
        format!(r#"{{"vcekCert":"{leaf}","tcbm":"00","certificateChain":"{chain}","cacheControl":"86400"}}"#)
    }

    fn in_pem() -> String {
        let mut text = String::new();
        pem::push(&mut text, "CERTIFICATE", SOME_CERTIFICATE);
        text.replace('\n', "\\n")
    }

    #[tokio::test]
    async fn certificates_are_asked_for_with_the_field_that_the_service_requires() {
        let one = in_pem();
        let (imds, server) = service(http("200 OK", "", &certification(&one, &one.repeat(2)))).await;
        let found = imds.certification().await.unwrap();
        assert_eq!(found, Certification { vcek: SOME_CERTIFICATE.into(), chain: vec![SOME_CERTIFICATE.into(); 2] });
        let request = server.await.unwrap();
        assert!(
            request.starts_with("GET /metadata/THIM/amd/certification HTTP/1.1\r\nmetadata: true\r\n"),
            "{request}"
        );
    }

    #[tokio::test]
    async fn a_quote_is_asked_for_over_a_report() {
        let (imds, server) = service(http("200 OK", "", r#"{"quote":"cXVvdGU="}"#)).await;
        assert_eq!(imds.td_quote(&[0xFB; 3]).await.unwrap(), b"quote");
        let request = server.await.unwrap();
        assert!(request.starts_with("POST /acc/tdquote HTTP/1.1\r\n"), "{request}");
        assert!(
            request.contains("\r\nmetadata: true\r\n") && request.ends_with("\r\n\r\n{\"report\":\"-_v7\"}"),
            "{request}"
        );
    }

    #[tokio::test]
    async fn what_is_no_answer_is_refused_and_no_redirect_is_followed() {
        let one = in_pem();
        let long = " ".repeat(MAX_ANSWER_BYTES + 1);
        for (answer, said) in [
            (http("302 Found", "location: http://127.0.0.1:1/\r\n", "x"), "refused with status 302 Found: x"),
            (http("429 Too Many Requests", "", ""), "refused with status 429 Too Many Requests: "),
            (http("200 OK", "", &long), "length limit exceeded"),
            (http("200 OK", "", "[]"), "`the answer` of Azure's metadata service is malformed, expected a JSON object"),
            (
                http("200 OK", "", r#"{"vcekCert":1}"#),
                "`vcekCert` of Azure's metadata service is malformed, expected a string",
            ),
            (
                http("200 OK", "", &certification("x", &one)),
                "`vcekCert` of Azure's metadata service is malformed, expected certificates",
            ),
            (http("200 OK", "", &certification(&one.repeat(2), &one)), "malformed, expected one certificate in PEM"),
            (
                http("200 OK", "", &certification(&one, "x")),
                "`certificateChain` of Azure's metadata service is malformed",
            ),
            (http("200 OK", "", r#"{"vcekCert":"","vcekCert":""}"#), "expected a JSON object"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_owned(), "could not be asked"),
        ] {
            let (imds, _server) = service(answer).await;
            let error = imds.certification().await.unwrap_err().to_string();
            assert!(error.contains(said), "{said}: {error}");
        }
        let (imds, _server) = service(http("200 OK", "", r#"{"quote":"?"}"#)).await;
        assert!(imds.td_quote(&[]).await.unwrap_err().to_string().contains("expected base64url"));
        let nobody: Imds = "http://127.0.0.1:1".parse().unwrap();
        assert!(nobody.certification().await.unwrap_err().may_pass());
    }

    #[tokio::test]
    async fn a_service_that_says_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let imds: Imds = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let asked = imds.ask(http::Request::get("/"), Bytes::new(), Duration::from_millis(20));
        assert_eq!(asked.await, Err(AttesterError::TimedOut));
    }

    #[test]
    fn only_this_machine_is_asked() {
        assert_eq!("http://169.254.169.254".parse(), Ok(Imds::default()));
        assert_eq!("http://169.254.169.254:80/".parse(), Ok(Imds::default()));
        assert!("http://127.0.0.1:8080".parse::<Imds>().is_ok() && "http://[::1]:1".parse::<Imds>().is_ok());
        for wrong in [
            "http://192.0.2.1",
            "https://127.0.0.1:1",
            "http://localhost:1",
            "http://[2001:db8::1]:80",
            "169.254.169.254",
            "",
        ] {
            assert_eq!(wrong.parse::<Imds>(), Err(NotOnThisMachine), "{wrong}");
        }
    }
}
