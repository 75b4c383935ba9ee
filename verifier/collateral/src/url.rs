//! Where a service listens, and what is asked of it: the few parts of a URL that occur here, and no others.

use std::fmt;

use http::Uri;

/// Scheme, host, port and path, without query: what requests are appended to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) tls: bool,
    /// As in the URL, an IPv6 address in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Empty, or begins with `/` and does not end with it.
    path: String,
}

impl Base {
    /// Reads `http://HOST[:PORT][/PATH]` or `https://…`; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("it is no URL: {error}"))?;
        let (tls, default_port) = match uri.scheme_str() {
            Some("http") => (false, 80),
            Some("https") => (true, 443),
            _ => return Err("it must begin with `https://` or `http://`".to_owned()),
        };
        let authority = uri.authority().ok_or("the host is missing")?;
        if authority.as_str().contains('@') {
            return Err("it must not carry a user name".to_owned());
        }
        if uri.query().is_some() {
            return Err("it must not carry a query; the requests add their own".to_owned());
        }
        // A port that is there and no number would be taken for none.
        let written = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        let port = match authority.port_u16() {
            Some(port) => port,
            None if written.is_empty() => default_port,
            None => return Err("what stands behind the host is no port".to_owned()),
        };
        Ok(Self { tls, host: authority.host().to_owned(), port, path: uri.path().trim_end_matches('/').to_owned() })
    }

    /// The same without `suffix` at the end of its path, which people copy from other tools' configuration.
    pub(crate) fn without(mut self, suffix: &str) -> Self {
        if let Some(path) = self.path.strip_suffix(suffix) {
            self.path.truncate(path.len());
        }
        self
    }

    /// Host, and port where it is not the scheme's own: what a request names as its `Host`.
    pub(crate) fn authority(&self) -> String {
        let own_port = if self.tls { 443 } else { 80 };
        if self.port == own_port { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// What is asked: `path` with its query, below this address.
    pub(crate) fn at(&self, path: &str) -> Url {
        Url { target: format!("{}{path}", self.path), base: self.clone() }
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

/// One thing to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    base: Base,
    /// Path and query, as the request line carries them.
    pub(crate) target: String,
}

impl Url {
    /// Whom to connect to.
    pub(crate) fn base(&self) -> &Base {
        &self.base
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = Base { path: String::new(), ..self.base.clone() };
        write!(f, "{root}{}", self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_written_and_extended() {
        for (text, shown, asked) in [
            ("https://kds.example", "https://kds.example", "https://kds.example/a?b=1"),
            ("https://kds.example:443/", "https://kds.example", "https://kds.example/a?b=1"),
            ("http://[::1]:8081/cache/", "http://[::1]:8081/cache", "http://[::1]:8081/cache/a?b=1"),
        ] {
            let base = Base::parse(text).unwrap();
            assert_eq!((base.to_string(), base.at("/a?b=1").to_string()), (shown.to_owned(), asked.to_owned()));
        }
        let pasted = Base::parse("https://localhost:8081/sgx/certification/v4/").unwrap();
        assert_eq!(pasted.without("/sgx/certification/v4").to_string(), "https://localhost:8081");
    }

    #[test]
    fn what_is_no_address_of_a_service_is_refused_with_a_reason() {
        for (text, reason) in [
            ("kds.example", "must begin with"),
            ("ftp://kds.example", "must begin with"),
            ("https://me@kds.example", "user name"),
            ("https://kds.example/?a=b", "a query"),
            ("https://", "no URL"),
            ("", "no URL"),
        ] {
            let error = Base::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_port_that_is_no_port_is_not_taken_for_none() {
        assert_eq!(Base::parse("http://pccs.example").unwrap().port, 80);
        assert_eq!(Base::parse("http://pccs.example:8081/x").unwrap().port, 8081);
        for text in ["http://pccs.example:99999", "https://pccs.example:"] {
            assert_eq!(Base::parse(text).map(drop).unwrap_err(), "what stands behind the host is no port", "{text}");
        }
    }
}
