//! Where a receiver of OTLP is: a URL of which little is allowed.

use std::fmt;
use std::net::IpAddr;

use http::uri::{Authority, Scheme, Uri};

/// `http://` or `https://`, a host, a port, and what stands before `/v1/traces`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    pub(super) is_https: bool,
    pub(super) host: String,
    pub(super) port: u16,
    authority: String,
    base: String,
}

/// Why a text is no such URL. It does not repeat the text, which may hold a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoEndpoint(&'static str);

impl fmt::Display for NoEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`telemetry.otlp_endpoint` is not understood: {}; expected `http://HOST:PORT` or `https://HOST:PORT`, for example \
             `http://127.0.0.1:4318`",
            self.0
        )
    }
}

impl Endpoint {
    pub(super) fn parse(text: &str) -> Result<Self, NoEndpoint> {
        let uri: Uri = text.parse().map_err(|_| NoEndpoint("it is no URL"))?;
        let is_https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(NoEndpoint("it begins with neither `http://` nor `https://`")),
        };
        let authority = uri.authority().map(Authority::as_str).unwrap_or_default();
        if authority.contains('@') {
            return Err(NoEndpoint(
                "a name or a password stands before the host: what is secret belongs into `telemetry.headers`",
            ));
        }
        if uri.query().is_some() || text.contains('#') {
            return Err(NoEndpoint("something follows the path"));
        }
        let host = uri.host().unwrap_or_default();
        // An address of version 6 is bracketed in a URL, and nowhere else.
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned();
        if host.is_empty() {
            return Err(NoEndpoint("it has no host"));
        }
        if uri.port_u16().is_none() && authority.rsplit(']').next().is_some_and(|rest| rest.contains(':')) {
            return Err(NoEndpoint("its port is none"));
        }
        let base = uri.path().trim_end_matches('/').to_owned();
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        Ok(Self { is_https, host, port, authority: authority.to_owned(), base })
    }

    /// Whether what is sent there stays on this machine.
    pub(super) fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }

    /// The path below which a receiver takes one kind of message.
    pub(super) fn path(&self, of: &str) -> String {
        format!("{}{of}", self.base)
    }

    /// What `Host` says.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.is_https { "https" } else { "http" }, self.authority, self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_understood_leads_where_it_says() {
        for (text, host, port, path) in [
            ("http://127.0.0.1:4318", "127.0.0.1", 4_318, "/v1/traces"),
            ("http://collector", "collector", 80, "/v1/traces"),
            ("https://otlp.example/", "otlp.example", 443, "/v1/traces"),
            ("https://otlp.example:8443/a/b/", "otlp.example", 8_443, "/a/b/v1/traces"),
            ("http://[::1]:9", "::1", 9, "/v1/traces"),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!((endpoint.host.as_str(), endpoint.port), (host, port), "{text}");
            assert_eq!(endpoint.path("/v1/traces"), path, "{text}");
            assert_eq!(endpoint.is_loopback(), ["127.0.0.1", "::1"].contains(&host), "{text}");
        }
    }

    #[test]
    fn what_is_not_says_why_and_repeats_nothing() {
        for (text, why) in [
            ("hunter2", "neither `http://`"),
            ("grpc://hunter2:1", "neither `http://`"),
            ("/hunter2", "neither `http://`"),
            ("http://user:hunter2@collector:1", "a password"),
            ("http://collector:1/?key=hunter2", "something follows"),
            ("http://collector:hunter2", "its port is none"),
            ("http://collector:70000", "none"),
            ("http:///hunter2", "no URL"),
        ] {
            let error = Endpoint::parse(text).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("hunter2"), "{text}: {error}");
        }
    }
}
