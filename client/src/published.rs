//! What somebody publishes for clients: a policy, which counts under its digest alone, and the receipt keys of a gateway, which count
//! under one that is pinned.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use http::{Request, StatusCode, Uri};
use teegate_protocol::headers::RECEIPT_KEYS_PATH;
use teegate_protocol::limits;
use teegate_protocol::published::{PolicyDigest, ReceiptKeys};
use teegate_protocol::receipt::{ReceiptError, Signed};
use teegate_verifier::UnixTime;

use crate::link::{Gateway, LinkError, Upload};

/// The longest policy that is read, in bytes.
const MAX_POLICY_BYTES: usize = 1 << 20;
/// The longest statement that is read: its bytes and its signature in base64.
const MAX_STATEMENT_BYTES: usize = 2 * limits::RECEIPT_BYTES;
/// Either comes within this time, or not at all.
const WITHIN: Duration = Duration::from_secs(15);
/// A gateway signs its statement anew every minute. An older one may name a next key that was given up meanwhile.
const STALE_SECONDS: u64 = 3_600;
/// So far a gateway's clock may be ahead.
const AHEAD_SECONDS: u64 = 300;

/// Where a policy is published.
#[derive(Clone, Debug)]
pub struct PolicyUrl {
    host: Gateway,
    path: String,
    url: String,
}

/// Why something that is published was not taken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Unpublished {
    /// It is not looked for at such an address.
    Address(String),
    /// It could not be had.
    Link(LinkError),
    /// Another status than 200 came back.
    Status(u16),
    /// The policy is not the one that was pinned.
    Digest {
        /// The digest that was pinned.
        expected: PolicyDigest,
        /// That of what came.
        found: PolicyDigest,
    },
    /// A statement of keys that cannot be read, or that its own current key did not sign.
    Statement(ReceiptError),
    /// A statement of another time.
    Stale {
        /// When the gateway says that it signed it.
        claimed: UnixTime,
        /// When it was read.
        now: UnixTime,
    },
}

impl fmt::Display for Unpublished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(reason) => f.write_str(reason),
            Self::Link(error) => error.fmt(f),
            Self::Status(status) => {
                write!(f, "answered with status {status} in place of 200; redirections are not followed")
            }
            Self::Digest { expected, found } => write!(f, "its SHA-256 is {found}, and {expected} is pinned"),
            Self::Statement(error) => write!(f, "the statement of receipt keys: {error}"),
            Self::Stale { claimed, now } => write!(
                f,
                "the statement of receipt keys says that it was signed at {claimed}, it is {now}: a gateway signs it anew every minute, so \
                 this one was kept by somebody, or a clock is wrong"
            ),
        }
    }
}

impl std::error::Error for Unpublished {}

impl PolicyUrl {
    /// Whether `text` names an address and not a file.
    #[must_use]
    pub fn is_meant_by(text: &str) -> bool {
        text.contains("://")
    }

    /// Reads `https://HOST[:PORT]/PATH`. Without TLS only a loopback address is taken: the digest shows what the policy is, and nobody on
    /// the way needs to learn which.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(url: &str) -> Result<Self, Unpublished> {
        let wrong = Unpublished::Address;
        let uri: Uri = url.parse().map_err(|error| wrong(format!("{error}")))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(wrong("it must begin with https://".to_owned()));
        };
        if scheme != "https" && !(scheme == "http" && is_loopback(authority.host())) {
            return Err(wrong("it must begin with https://; http:// is for loopback addresses alone".to_owned()));
        }
        let host = Gateway::parse(&format!("{scheme}://{authority}")).map_err(|error| wrong(error.reason()))?;
        let path = uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        Ok(Self { host, path, url: url.to_owned() })
    }

    /// Goes to `gateway` by the certificates that recognise it, where it is what the address names.
    #[must_use]
    pub fn by(mut self, gateway: &Gateway) -> Self {
        if gateway.place() == self.host.place() {
            self.host = gateway.clone();
        }
        self
    }

    /// The bytes, at most 1 MiB, if they are those that were pinned. Nothing is read out of them before that.
    ///
    /// # Errors
    /// They cannot be had, or are others.
    pub async fn fetch(&self, pinned: &PolicyDigest) -> Result<Vec<u8>, Unpublished> {
        let bytes = get(&self.host, &self.path, MAX_POLICY_BYTES).await?;
        let found = PolicyDigest::of(&bytes);
        if found != *pinned {
            return Err(Unpublished::Digest { expected: *pinned, found });
        }
        Ok(bytes)
    }
}

impl fmt::Display for PolicyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// The keys that sign a gateway's release receipts now and next, as whoever holds the current one says. Whether that key is pinned is
/// for the caller to compare: the statement vouches for the next key, and nothing in it for the current one.
///
/// # Errors
/// They cannot be had, are not signed by the current key, or were signed at another time than about `now`.
pub async fn receipt_keys(gateway: &Gateway, now: UnixTime) -> Result<ReceiptKeys, Unpublished> {
    let body = get(gateway, RECEIPT_KEYS_PATH, MAX_STATEMENT_BYTES).await?;
    let signed = std::str::from_utf8(&body).map_err(|_| ReceiptError::Header).and_then(Signed::parse_header);
    let keys = signed.and_then(|signed| ReceiptKeys::verify(&signed)).map_err(Unpublished::Statement)?;
    let (claimed, now_seconds) = (keys.claimed_time, now.seconds());
    if claimed.saturating_add(STALE_SECONDS) < now_seconds || now_seconds.saturating_add(AHEAD_SECONDS) < claimed {
        return Err(Unpublished::Stale { claimed: UnixTime::from_seconds(claimed), now });
    }
    Ok(keys)
}

async fn get(host: &Gateway, path: &str, limit: usize) -> Result<Vec<u8>, Unpublished> {
    let lost = |reason: String| Unpublished::Link(LinkError::Lost { gateway: host.to_string(), reason });
    let request = Request::get(path).body(Upload::nothing()).map_err(|error| lost(error.to_string()))?;
    let answer = host.exchange(request, WITHIN, limit).await.map_err(Unpublished::Link)?;
    if answer.status() != StatusCode::OK {
        return Err(Unpublished::Status(answer.status().as_u16()));
    }
    Ok(answer.into_body().to_vec())
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_tls_or_is_on_this_machine() {
        for url in [
            "https://gateway.example/v1/policy",
            "https://gateway.example:8443/p.toml?v=1",
            "http://localhost:8080/v1/policy",
            "http://127.0.0.9/p",
            "http://[::1]:8080/p",
        ] {
            assert_eq!(PolicyUrl::parse(url).unwrap().to_string(), url);
            assert!(PolicyUrl::is_meant_by(url));
        }
        for (url, reason) in [
            ("http://gateway.example/p", "loopback addresses alone"),
            ("http://127.0.0.1.example/p", "loopback addresses alone"),
            ("http://localhost.example/p", "loopback addresses alone"),
            ("ftp://localhost/p", "https://"),
            ("file:///etc/p", "invalid format"),
            ("https://user@gateway.example/p", "no user name"),
            ("https://gateway.example:0/p", "no port"),
        ] {
            let error = PolicyUrl::parse(url).unwrap_err().to_string();
            assert!(error.contains(reason), "{url}: {error}");
        }
        assert!(!PolicyUrl::is_meant_by("policy.toml") && !PolicyUrl::is_meant_by("strict"));
    }

    #[test]
    fn the_gateways_own_certificates_count_for_the_gateway_alone() {
        let signed = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let der = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, signed.cert.der());
        let pem = format!("-----BEGIN CERTIFICATE-----\n{der}\n-----END CERTIFICATE-----\n");
        let gateway = Gateway::parse("https://gateway.example").unwrap().with_pinned_ca(pem.as_bytes()).unwrap();
        let is_pinned = |url: &str| format!("{:?}", PolicyUrl::parse(url).unwrap().by(&gateway).host.is_pinned());
        assert_eq!(is_pinned("https://gateway.example:443/v1/policy"), "true");
        assert_eq!(is_pinned("https://other.example/v1/policy"), "false");
        assert_eq!(is_pinned("https://gateway.example:8443/v1/policy"), "false");
    }
}
