//! Where an issuer publishes its keys: an address of the operator's own, and the few parts of a URL that it may have.

use std::fmt;
use std::net::IpAddr;

use http::Uri;
use rustls::pki_types::ServerName;

/// The longest address.
const MOST_CHARACTERS: usize = 2_048;

/// Scheme, host, port, path and query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Location {
    pub(super) is_tls: bool,
    /// As in the URL, an IPv6 address in brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query, as the request line carries them.
    pub(super) target: String,
}

impl Location {
    /// Reads `https://HOST[:PORT]/PATH[?QUERY]`. Plain HTTP is for this machine itself, and for where it `may_be_plain`.
    pub(crate) fn parse(text: &str, may_be_plain: bool) -> Result<Self, String> {
        if text.len() > MOST_CHARACTERS {
            return Err(format!("it has more than {MOST_CHARACTERS} characters"));
        }
        let uri: Uri = text.parse().map_err(|error| format!("it is no URL: {error}"))?;
        let (is_tls, default_port) = match uri.scheme_str() {
            Some("https") => (true, 443),
            Some("http") => (false, 80),
            _ => return Err("expected `https://…`".to_owned()),
        };
        let authority = uri.authority().ok_or("the host is missing")?;
        if authority.as_str().contains('@') {
            return Err("it must not carry a user name".to_owned());
        }
        // A port that is there and no number would be taken for none.
        let written = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        let port = match authority.port_u16() {
            Some(port) => port,
            None if written.is_empty() => default_port,
            None => return Err("what stands behind the host is no port".to_owned()),
        };
        let host = authority.host().to_owned();
        let location = Self {
            is_tls,
            host,
            port,
            target: uri.path_and_query().map_or_else(|| "/".to_owned(), |target| target.as_str().to_owned()),
        };
        location.name()?;
        if !is_tls && !location.is_this_machine() && !may_be_plain {
            return Err(
                "over plain HTTP whoever is on the way chooses the keys: expected `https://…`, or `plain_http = \"why\"` in the \
                 configuration"
                    .to_owned(),
            );
        }
        Ok(location)
    }

    fn bare(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// What its certificate has to name.
    pub(super) fn name(&self) -> Result<ServerName<'static>, String> {
        ServerName::try_from(self.bare().to_owned()).map_err(|_| "the host is neither a name nor an address".to_owned())
    }

    fn is_this_machine(&self) -> bool {
        let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
        self.bare().eq_ignore_ascii_case("localhost") || self.bare().parse().is_ok_and(is_loopback)
    }

    /// Host and port, as a request names them.
    pub(super) fn authority(&self) -> String {
        let own_port = if self.is_tls { 443 } else { 80 };
        if self.port == own_port { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.is_tls { "https" } else { "http" }, self.authority(), self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_its_query_and_written_again() {
        for (text, shown) in [
            ("https://issuer.example/jwks", "https://issuer.example/jwks"),
            ("https://issuer.example:443/keys?p=sign-in", "https://issuer.example/keys?p=sign-in"),
            ("https://10.0.0.7:8443", "https://10.0.0.7:8443/"),
            ("http://[::1]:81/jwks", "http://[::1]:81/jwks"),
            ("http://localhost/jwks", "http://localhost/jwks"),
            ("http://127.8.0.1/jwks", "http://127.8.0.1/jwks"),
        ] {
            assert_eq!(Location::parse(text, false).map(|location| location.to_string()), Ok(shown.to_owned()));
        }
    }

    #[test]
    fn what_is_no_address_of_keys_is_refused_with_a_reason() {
        for (text, said) in [
            ("", "it is no URL"),
            ("issuer.example/jwks", "it is no URL"),
            ("issuer.example", "expected `https://…`"),
            ("file:///etc/passwd", "it is no URL"),
            ("ftp://issuer.example/jwks", "expected `https://…`"),
            ("https://me@issuer.example/jwks", "a user name"),
            ("https://issuer.example:99999/", "is no port"),
            ("https://-issuer..example/", "neither a name nor an address"),
            ("http://issuer.example/jwks", "over plain HTTP whoever is on the way chooses the keys"),
            ("http://10.0.0.7/jwks", "over plain HTTP"),
            ("http://localhost.example/jwks", "over plain HTTP"),
        ] {
            let error = Location::parse(text, false).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        assert!(Location::parse(&format!("https://a/{}", "a".repeat(2_100)), false).unwrap_err().contains("2048"));
        assert!(Location::parse("http://issuer.example/jwks", true).is_ok(), "where the configuration says why");
    }
}
