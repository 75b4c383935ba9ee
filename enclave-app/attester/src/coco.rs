//! The Confidential Containers guest API: `GET /aa/evidence` on the loopback interface of the pod.
//!
//! The 64 bytes go as URL-safe base64 without padding with `encoding=base64`. A server too old to know `encoding` would
//! bind the text itself; who asked notices, because the evidence then reports other bytes. Only raw bytes leave this
//! file: an SEV-SNP report is rebuilt from the agent's JSON ([`teegate_protocol::coco`]), a TDX quote is base64. The API's
//! attestation feature must be enabled in the guest's image.

use bytes::Bytes;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use teegate_encoding::base64;
use teegate_protocol::coco::{ChainKind, CocoEvidence};

use crate::http::{Failed, exchange, refusal};
use crate::{Answer, Attester, AttesterError, CERTIFICATE, CRL, RawEvidence, pem_chain};

/// The agent writes a byte as up to four characters; a report with its chain stays below 64 KiB, an event log below 1
/// MiB.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// An event log that is longer is left out: it is for convenience, and the envelope is bounded.
const MAX_EVENT_LOG_BYTES: usize = 256 << 10;

/// The guest API at one loopback address: it speaks to processes of its own guest only, and another address would be another
/// machine's evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coco {
    address: SocketAddr,
}

impl Default for Coco {
    /// Where the API listens unless told otherwise.
    fn default() -> Self {
        Self { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 8_006)) }
    }
}

impl FromStr for Coco {
    type Err = NotLoopback;

    fn from_str(url: &str) -> Result<Self, NotLoopback> {
        let address = url.strip_prefix("http://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        let address: SocketAddr = address.and_then(|address| address.parse().ok()).ok_or(NotLoopback)?;
        if address.ip().is_loopback() { Ok(Self { address }) } else { Err(NotLoopback) }
    }
}

impl fmt::Display for Coco {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the CoCo guest API at {}", self.address)
    }
}

/// A text that is not `http://IP:PORT` with a loopback address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotLoopback;

impl fmt::Display for NotLoopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected `http://IP:PORT` with a loopback address: the API answers its own guest alone")
    }
}

impl std::error::Error for NotLoopback {}

impl Coco {
    /// Where it is asked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn unreachable(&self, reason: impl ToString) -> AttesterError {
        AttesterError::Unreachable { source: self.to_string(), reason: reason.to_string() }
    }

    fn not_listening(&self, error: &std::io::Error) -> AttesterError {
        self.unreachable(format!("{error}; is its attestation feature enabled in the guest's image?"))
    }

    /// The agent's JSON for these 64 bytes, unread. The caller bounds the time.
    ///
    /// # Errors
    /// The API cannot be asked, or refuses.
    pub async fn answer(&self, report_data: [u8; 64]) -> Result<Bytes, AttesterError> {
        let path = format!("/aa/evidence?runtime_data={}&encoding=base64", base64::encode_url(report_data));
        let answer = exchange(self.address, http::Request::get(path), Bytes::new(), MAX_ANSWER_BYTES).await;
        let (status, body) = answer.map_err(|failed| match failed {
            Failed::NotListening(error) => self.not_listening(&error),
            Failed::Other(reason) => self.unreachable(reason),
        })?;
        if status == http::StatusCode::OK {
            return Ok(body);
        }
        let (source, reason) = (self.to_string(), refusal(status, &body));
        // So it answers before the agent behind it has come up.
        Err(AttesterError::Refused { source, reason, is_early: status.is_server_error() })
    }
}

impl Attester for Coco {
    fn evidence(&self, report_data: [u8; 64]) -> Answer<'_> {
        Box::pin(async move { parse(&self.answer(report_data).await?) })
    }
}

fn parse(json: &[u8]) -> Result<RawEvidence, AttesterError> {
    let CocoEvidence { kind, bytes, chain, event_log_base64 } =
        CocoEvidence::parse(json).map_err(|error| AttesterError::malformed(error.place, error.expected))?;
    let label = |kind| match kind {
        ChainKind::Certificate => CERTIFICATE,
        ChainKind::Crl => CRL,
    };
    let mut left_out = Vec::new();
    let endorsements = pem_chain(chain.iter().map(|(kind, der)| (label(*kind), der.as_slice())), &mut left_out);
    let event_log = event_log_base64
        .map(|text| event_log(&text))
        .and_then(|log| log.map_err(|why| left_out.push(format!("the event log: {why}"))).ok());
    Ok(RawEvidence { kind, bytes, endorsements, event_log, left_out })
}

fn event_log(text: &str) -> Result<Vec<u8>, String> {
    let log = base64::decode(text).map_err(|_| "not base64 with padding".to_owned())?;
    let length = log.len();
    if length > MAX_EVENT_LOG_BYTES {
        return Err(format!("{length} bytes, at most {MAX_EVENT_LOG_BYTES} are handed on"));
    }
    Ok(log)
}

#[cfg(test)]
mod tests {
    use teegate_protocol::evidence::EvidenceKind;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// One answer of a guest API, and the head of the request that it was given for.
    async fn exchange(status: &str, body: &str) -> (Result<RawEvidence, AttesterError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let coco: Coco = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            // A client that has read enough may hang up first.
            let _ = stream.write_all(answer.as_bytes()).await;
            String::from_utf8(request).unwrap()
        });
        let result = coco.evidence([0xFB; 64]).await;
        (result, server.await.unwrap())
    }

    #[tokio::test]
    async fn the_64_bytes_go_as_url_safe_base64_and_a_quote_comes_back() {
        let (result, request) = exchange("200 OK", r#"{"cc_eventlog":"ZXZlbnRz","quote":"cXVvdGU="}"#).await;
        let event_log = Some(b"events".to_vec());
        assert_eq!(
            result,
            Ok(RawEvidence {
                kind: EvidenceKind::TdxQuote,
                bytes: b"quote".to_vec(),
                endorsements: None,
                event_log,
                left_out: vec![]
            })
        );
        let runtime_data = format!("{}-w", "-_v7".repeat(21));
        assert!(
            request.starts_with(&format!("GET /aa/evidence?runtime_data={runtime_data}&encoding=base64 HTTP/1.1\r\n")),
            "{request}"
        );
    }

    #[tokio::test]
    async fn refusals_and_strange_answers_are_told_apart() {
        match exchange("403 Forbidden", "no\n").await.0 {
            Err(AttesterError::Refused { reason, is_early, .. }) => {
                assert_eq!((reason.as_str(), is_early), ("status 403 Forbidden: no", false))
            }
            other => panic!("{other:?}"),
        }
        match exchange("503 Service Unavailable", &"x".repeat(500)).await.0 {
            Err(AttesterError::Refused { reason, is_early, .. }) => {
                assert_eq!((reason, is_early), (format!("status 503 Service Unavailable: {}", "x".repeat(80)), true))
            }
            other => panic!("{other:?}"),
        }
        for (body, place) in [
            ("{}", "answer of the attestation agent"),
            ("null", "answer of the attestation agent"),
            (r#"{"quote":"?","cc_eventlog":null}"#, "`quote` of the attestation agent"),
            (r#"{"quote":""}"#, "missing field `cc_eventlog`"),
            (r#"{"quote":"","hcl_report":"","cc_eventlog":null}"#, "unknown field `hcl_report`"),
            (r#"{"quote":"","attestation_report":{}}"#, "answer of the attestation agent"),
        ] {
            match exchange("200 OK", body).await.0 {
                Err(AttesterError::Malformed { place: found, .. }) => assert!(found.contains(place), "{found}"),
                other => panic!("{place}: {other:?}"),
            }
        }
        let endless = format!("\"{}\"", "x".repeat(MAX_ANSWER_BYTES));
        match exchange("200 OK", &endless).await.0 {
            Err(AttesterError::Unreachable { reason, .. }) => assert_eq!(reason, "length limit exceeded"),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_log_that_cannot_be_handed_on_costs_nobody_the_quote() {
        let long = base64::encode(vec![0; MAX_EVENT_LOG_BYTES + 1]);
        for (log, why) in [("?", "not base64 with padding"), (&long, "262145 bytes, at most 262144 are handed on")] {
            let body = format!(r#"{{"cc_eventlog":"{log}","quote":"cXVvdGU="}}"#);
            let evidence = exchange("200 OK", &body).await.0.unwrap();
            assert_eq!((evidence.bytes, evidence.event_log), (b"quote".to_vec(), None));
            assert_eq!(evidence.left_out, [format!("the event log: {why}")]);
        }
    }

    #[test]
    fn only_a_loopback_address_is_asked() {
        assert_eq!(Coco::default().to_string(), "the CoCo guest API at 127.0.0.1:8006");
        assert_eq!("http://[::1]:8006/".parse::<Coco>().unwrap().address().port(), 8006);
        for wrong in ["http://192.0.2.1:8006", "https://127.0.0.1:8006", "http://localhost:8006", "127.0.0.1:8006", ""]
        {
            assert_eq!(wrong.parse::<Coco>(), Err(NotLoopback), "{wrong}");
        }
    }
}
