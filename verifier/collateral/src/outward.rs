//! The way out of this machine: a TCP connection to a host, or a tunnel to it through the proxy that the environment names.
//!
//! `https_proxy`, `all_proxy` and `no_proxy` are read as curl reads them, in lower case before upper, for `https` alone: what a proxy
//! carries is then a tunnel (CONNECT), of which it sees the name of the host, the times and the sizes. This machine itself is never
//! asked for through a proxy. Who names a proxy wants no other way out, so that one that cannot be read is an error and not the
//! direct way.

use std::ffi::OsString;
use std::net::IpAddr;
use std::sync::LazyLock;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

/// The environment is that of the start.
static PROXIES: LazyLock<Proxies> = LazyLock::new(|| Proxies::of(|variable| std::env::var_os(variable)));

/// What the environment says of proxies.
struct Proxies {
    matcher: Matcher,
    /// The variable that names the proxy.
    variable: &'static str,
    /// Whether what it says is an address.
    is_readable: bool,
}

impl Proxies {
    fn of(environment: impl Fn(&str) -> Option<OsString>) -> Self {
        let first = |names: [&'static str; 2]| {
            let mut set = names.into_iter().filter_map(|name| Some((name, environment(name)?)));
            set.find(|(_, value)| !value.is_empty())
        };
        let no = first(["no_proxy", "NO_PROXY"]).map(|(_, hosts)| hosts.to_string_lossy().into_owned());
        let no = no.unwrap_or_default();
        let Some((variable, value)) =
            first(["https_proxy", "HTTPS_PROXY"]).or_else(|| first(["all_proxy", "ALL_PROXY"]))
        else {
            return Self { matcher: Matcher::builder().build(), variable: "", is_readable: true };
        };
        let of = |value: String, no: String| Matcher::builder().https(value).no(no).build();
        let is_readable = |value: &str| {
            let read = proxy(&of(value.to_owned(), String::new()), "somebody.invalid", 443);
            read.is_some_and(|proxy| has_a_port_or_none(proxy.uri()))
        };
        match value.to_str().filter(|value| is_readable(value)) {
            Some(value) => Self { matcher: of(value.to_owned(), no), variable, is_readable: true },
            // Whom it is not for is reached directly all the same.
            None => Self { matcher: of("http://unreadable.invalid".to_owned(), no), variable, is_readable: false },
        }
    }

    /// The proxy for a host, if there is one.
    fn before(&self, host: &str, port: u16) -> Result<Option<Intercept>, String> {
        match proxy(&self.matcher, host, port) {
            Some(_) if !self.is_readable => Err(format!(
                "`{}` of the environment names no proxy that can be read: expected `http://HOST:PORT`",
                self.variable
            )),
            proxy => Ok(proxy),
        }
    }
}

/// Connects to `host` (a name, or an address with or without its brackets). With `tls` a proxy of the environment is heeded; the
/// TLS is the caller's.
///
/// # Errors
/// There is no connection, in words for people.
pub async fn connect(host: &str, port: u16, tls: bool) -> Result<TcpStream, String> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let proxy = if tls && !is_this_machine(bare) { PROXIES.before(host, port)? } else { None };
    let stream = match proxy {
        None => TcpStream::connect((bare, port)).await.map_err(|error| error.to_string())?,
        Some(proxy) => through(&proxy, PROXIES.variable, host, port).await?,
    };
    // A request is written at once and then waited for: delaying small segments only adds latency.
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(stream)
}

fn proxy(proxies: &Matcher, host: &str, port: u16) -> Option<Intercept> {
    proxies.intercept(&destination(host, port).ok()?)
}

/// A port that is there and no number would be taken for none.
fn has_a_port_or_none(address: &Uri) -> bool {
    let written = address.authority().and_then(|authority| {
        let place = authority.as_str().rsplit('@').next()?;
        place.strip_prefix(authority.host())
    });
    written.is_none_or(|port| port.is_empty() || address.port_u16().is_some())
}

fn destination(host: &str, port: u16) -> Result<Uri, String> {
    let authority = format!("{host}:{port}");
    let uri = Uri::builder().scheme("https").authority(authority).path_and_query("/").build();
    uri.map_err(|error| format!("`{host}` is no host: {error}"))
}

fn is_this_machine(bare: &str) -> bool {
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn through(proxy: &Intercept, variable: &str, host: &str, port: u16) -> Result<TcpStream, String> {
    // Without what may stand before the host: a name and a password.
    let name = proxy.uri().host().unwrap_or_default();
    let said = |why: String| format!("by the proxy `{name}` that the environment names (`{variable}`): {why}");
    if proxy.uri().scheme_str() != Some("http") {
        return Err(said("a proxy is spoken to in plain HTTP, as `http://HOST:PORT`".to_owned()));
    }
    let mut tunnel = Tunnel::new(proxy.uri().clone(), HttpConnector::new());
    if let Some(credential) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(credential.clone());
    }
    let opened = tunnel.call(destination(host, port)?).await;
    opened.map(TokioIo::into_inner).map_err(|error| said(words(&error)))
}

/// An error with what caused it: the outermost says little.
pub(crate) fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A proxy that answers one CONNECT with `answer`; gives what it was asked.
    async fn proxy_that_says(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(head).unwrap()
        });
        (address, asked)
    }

    fn matcher(address: &str) -> Matcher {
        Matcher::builder().https(format!("http://name:secret@{address}")).no("internal.example").build()
    }

    #[tokio::test]
    async fn a_tunnel_names_the_host_and_nothing_else_goes_to_the_proxy() {
        let (address, asked) = proxy_that_says("HTTP/1.1 200 Connected\r\n\r\n").await;
        let intercept = proxy(&matcher(&address), "gateway.example", 8443).unwrap();
        through(&intercept, "HTTPS_PROXY", "gateway.example", 8443).await.unwrap();
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("CONNECT gateway.example:8443 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("bmFtZTpzZWNyZXQ="), "{asked}");
        assert!(proxy(&matcher(&address), "internal.example", 443).is_none(), "NO_PROXY");
    }

    #[tokio::test]
    async fn a_proxy_that_refuses_is_named_without_its_credentials() {
        for (answer, why) in [
            ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "proxy authorization required"),
            ("HTTP/1.1 403 Forbidden\r\n\r\n", "unsuccessful"),
            ("", "unexpected"),
        ] {
            let (address, _asked) = proxy_that_says(answer).await;
            let intercept = proxy(&matcher(&address), "gateway.example", 443).unwrap();
            let error = through(&intercept, "HTTPS_PROXY", "gateway.example", 443).await.unwrap_err();
            assert!(error.starts_with("by the proxy `127.0.0.1` that the environment names"), "{error}");
            assert!(error.contains(why) && !error.contains("secret"), "{error}");
        }
        let https = Matcher::builder().https("https://127.0.0.1:1").build();
        let intercept = proxy(&https, "gateway.example", 443).unwrap();
        assert!(through(&intercept, "HTTPS_PROXY", "gateway.example", 443).await.unwrap_err().contains("plain HTTP"));
    }

    #[test]
    fn a_proxy_that_cannot_be_read_is_an_error_and_not_the_direct_way() {
        let of = |set: &[(&str, &str)]| {
            let set: Vec<_> = set.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
            Proxies::of(move |name| set.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()))
        };
        let host = |set: &[(&str, &str)]| {
            let proxy = of(set).before("gateway.example", 443)?;
            Ok::<_, String>(proxy.map(|proxy| proxy.uri().host().unwrap_or_default().to_owned()))
        };
        let by = |name: &str| Ok(Some(name.to_owned()));
        assert_eq!(host(&[]), Ok(None));
        assert_eq!(host(&[("HTTPS_PROXY", "")]), Ok(None));
        assert_eq!(host(&[("HTTPS_PROXY", "http://a.example:1")]), by("a.example"));
        assert_eq!(host(&[("ALL_PROXY", "a.example:1")]), by("a.example"));
        let both = [("HTTPS_PROXY", "http://upper.example:1"), ("https_proxy", "http://lower.example:1")];
        assert_eq!(host(&both), by("lower.example"));
        assert_eq!(
            host(&[("ALL_PROXY", "http://all.example:1"), ("HTTPS_PROXY", "http://a.example:1")]),
            by("a.example")
        );
        for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            for value in ["http://secret word:1", "http://secret:pass@", "http://secret.example:99999"] {
                let error = host(&[(variable, value)]).unwrap_err();
                assert!(error.starts_with(&format!("`{variable}` of the environment names no proxy")), "{error}");
                assert!(!error.contains("secret"), "{error}");
            }
        }
        assert_eq!(host(&[("HTTPS_PROXY", "http://:"), ("no_proxy", "gateway.example")]), Ok(None));
    }

    #[test]
    fn this_machine_is_never_asked_for_through_a_proxy() {
        for here in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1"] {
            assert!(is_this_machine(here), "{here}");
        }
        for elsewhere in ["gateway.example", "10.0.0.1", "localhost.example"] {
            assert!(!is_this_machine(elsewhere), "{elsewhere}");
        }
    }
}
