//! Who may ask. Whatever runs on this machine reaches a loopback port, and so does every page that this user's browser shows:
//! by a script of another origin, or by a name that its owner lets point to 127.0.0.1 (DNS rebinding).
//!
//! A page gives itself away: its name stands in `Host`, and browsers add `Origin` and `Sec-Fetch-…`, which no script can take
//! off. Programs are told apart by a token, where there is one. RFC 9110 section 7.4 has 421 for a request that came to the wrong
//! door.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, HOST, HeaderMap, HeaderValue, ORIGIN,
    VARY, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::said::Said;

/// Who may ask.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Which names of this machine a request may use.
    pub hosts: Hosts,
    /// Origins of pages whose scripts may ask, such as `http://localhost:3000`; no others may.
    pub origins: Vec<String>,
    /// What a program has to show as `Authorization: Bearer …`. Without one, every program that reaches the listener may ask.
    pub token: Option<Token>,
}

/// Which names of this machine may stand in `Host`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hosts {
    /// `localhost`, 127.0.0.0/8 and `[::1]`, with any port.
    #[default]
    Loopback,
    /// Any: for a listener that others reach under names that only they know. Then a token is all that keeps a page out.
    DangerouslyAny,
}

/// A secret that programs show.
#[derive(Clone)]
pub struct Token(Zeroizing<Vec<u8>>);

/// The shortest token: 16 random hexadecimal digits are 64 bits.
const MIN_TOKEN_BYTES: usize = 16;
/// The longest token.
const MAX_TOKEN_BYTES: usize = 1024;

impl Token {
    /// Reads what a file holds: one line of 16 to 1,024 visible ASCII characters.
    pub fn parse(text: &[u8]) -> Result<Self, TokenError> {
        let text = text.trim_ascii_end();
        if !(MIN_TOKEN_BYTES..=MAX_TOKEN_BYTES).contains(&text.len()) || !text.iter().all(u8::is_ascii_graphic) {
            return Err(TokenError);
        }
        Ok(Self(Zeroizing::new(text.to_vec())))
    }

    /// Whether `shown` is this token. The time that it takes says its length and nothing else.
    fn is(&self, shown: &[u8]) -> bool {
        self.0.as_slice().ct_eq(shown).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What was read is no token. It is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenError;

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a token is one line of {MIN_TOKEN_BYTES} to {MAX_TOKEN_BYTES} visible ASCII characters without a space, such as \
             `openssl rand -hex 32` prints"
        )
    }
}

impl std::error::Error for TokenError {}

/// What a page's script has to be told before it may read an answer.
#[derive(Debug, Default)]
pub(super) struct Page(Option<HeaderValue>);

/// The fields of an answer that a script of an allowed page may read.
const EXPOSED: &str = "inference-header-content-length, teegate-manifest, teegate-bound-to, teegate-executed, teegate-release-check, \
                       teegate-receipt, teegate-receipt-salt, retry-after";
/// The fields that it may set.
const TAKEN: &str = "authorization, content-type, content-encoding, inference-header-content-length";

impl Page {
    /// Lets the script read it.
    pub(super) fn allow(self, headers: &mut HeaderMap) {
        let Some(origin) = self.0 else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        headers.insert(VARY, HeaderValue::from_static("origin"));
    }

    /// The answer to a page that asks first what it may ask (Fetch, *CORS-preflight request*), if this is one.
    pub(super) fn preflight(&self, head: &Parts) -> Option<Response<Full<Bytes>>> {
        let asks = head.method == Method::OPTIONS && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if self.0.is_none() || !asks {
            return None;
        }
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(TAKEN));
        // Browsers ask for this too, before a page of the Internet may speak to this machine.
        headers.insert("access-control-allow-private-network", HeaderValue::from_static("true"));
        Some(response)
    }
}

impl Access {
    /// Whether this came to the right door, and not from a page that may not ask.
    pub(super) fn place(&self, head: &Parts) -> Result<Page, Said> {
        self.host(head)?;
        self.page(&head.headers)
    }

    fn host(&self, head: &Parts) -> Result<(), Said> {
        let mut named = head.headers.get_all(HOST).iter();
        let (first, second) = (named.next(), named.next());
        // RFC 9112 section 3.2: one, or the request is answered with 400.
        let (Some(host), None) = (first, second) else {
            return Err(Said::new(StatusCode::BAD_REQUEST, "a request names its host once, in `Host`"));
        };
        if self.hosts == Hosts::DangerouslyAny {
            return Ok(());
        }
        let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
        // A request line may hold the whole address, which then counts as well.
        let all = host.iter().chain(head.uri.authority());
        if host.is_none() || !all.into_iter().all(is_loopback) {
            return Err(Said::new(
                StatusCode::MISDIRECTED_REQUEST,
                "this is a door for programs of this machine: `Host` has to be `localhost`, 127.0.0.1 or [::1], with any port",
            ));
        }
        Ok(())
    }

    fn page(&self, headers: &HeaderMap) -> Result<Page, Said> {
        let mut origins = headers.get_all(ORIGIN).iter();
        let (origin, another) = (origins.next(), origins.next());
        let comes_from_a_browser = headers.keys().any(|name| name.as_str().starts_with("sec-fetch-"));
        match origin {
            None if !comes_from_a_browser => Ok(Page(None)),
            Some(origin)
                if another.is_none() && self.origins.iter().any(|known| known.as_bytes() == origin.as_bytes()) =>
            {
                Ok(Page(Some(origin.clone())))
            }
            _ => Err(Said::new(
                StatusCode::FORBIDDEN,
                "this came from a browser (`Origin` or `Sec-Fetch-…`), and its page may not ask; `--allow-origin` names one that may",
            )),
        }
    }

    /// Whether the program has shown the token.
    pub(super) fn credential(&self, headers: &HeaderMap) -> Result<(), Said> {
        let Some(token) = &self.token else { return Ok(()) };
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        let (first, second) = (shown.next(), shown.next());
        let bearer = first.filter(|_| second.is_none()).and_then(|value| bearer(value.as_bytes()));
        if bearer.is_some_and(|shown| token.is(shown)) {
            return Ok(());
        }
        let words =
            "this door asks for its token: `Authorization: Bearer …`, with what stands in the file of `--token-file`";
        Err(Said::new(StatusCode::UNAUTHORIZED, words).with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
    }
}

/// What stands behind `Bearer`, RFC 6750 section 2.1; the scheme is read in any case.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, shown) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(shown)
}

fn is_loopback(authority: &Authority) -> bool {
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    if let Some(bare) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return bare.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback());
    }
    host.eq_ignore_ascii_case("localhost") || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn status(access: &Access, uri: &str, headers: &[(&str, &str)]) -> u16 {
        access.place(&head(uri, headers)).map_or_else(|said| said.status(), |_| 200)
    }

    #[test]
    fn only_a_loopback_name_is_this_door() {
        let access = Access::default();
        for host in ["localhost", "LocalHost:80", "127.0.0.1:8000", "127.9.8.7", "[::1]", "[::1]:8000"] {
            assert_eq!(status(&access, "/v2", &[("host", host)]), 200, "{host}");
        }
        for host in [
            "rebound.example:8000",
            "localhost.rebound.example",
            "127.0.0.1.rebound.example",
            "10.0.0.1",
            "0.0.0.0",
            "127.1",
            "2130706433",
            "[::]",
            "[::ffff:127.0.0.1]",
            "localhost@rebound.example",
            "127.0.0.1@rebound.example:80",
            "rebound.example@localhost",
            "",
            "a b",
        ] {
            assert_eq!(status(&access, "/v2", &[("host", host)]), 421, "{host}");
        }
        assert_eq!(status(&access, "/v2", &[]), 400, "none");
        assert_eq!(status(&access, "/v2", &[("host", "localhost"), ("host", "localhost")]), 400, "two");
        assert_eq!(status(&access, "http://localhost/v2", &[("host", "localhost")]), 200);
        assert_eq!(status(&access, "http://rebound.example/v2", &[("host", "localhost")]), 421, "the whole address");
        let any = Access { hosts: Hosts::DangerouslyAny, ..Access::default() };
        assert_eq!(status(&any, "/v2", &[("host", "machine.example")]), 200);
    }

    #[test]
    fn a_page_may_ask_only_where_its_origin_is_named() {
        let host = ("host", "localhost");
        let own = ("origin", "http://localhost:3000");
        let closed = Access::default();
        let open = Access { origins: vec![own.1.to_owned()], ..Access::default() };
        for access in [&closed, &open] {
            assert_eq!(status(access, "/v2", &[host]), 200);
            for headers in [
                &[host, ("origin", "https://evil.example")][..],
                &[host, ("origin", "null")],
                &[host, ("origin", "")],
                &[host, ("origin", "http://localhost:3000.evil.example")],
                &[host, ("sec-fetch-site", "cross-site")],
                &[host, ("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")],
                &[host, ("sec-fetch-dest", "image")],
                &[host, own, ("origin", "https://evil.example")],
            ] {
                assert_eq!(status(access, "/v2", headers), 403, "{headers:?}");
            }
        }
        let same = [host, own, ("sec-fetch-site", "same-site")];
        assert_eq!((status(&closed, "/v2", &same), status(&open, "/v2", &same)), (403, 200));
        let mut headers = HeaderMap::new();
        open.place(&head("/v2", &same)).unwrap().allow(&mut headers);
        assert_eq!(
            (&headers["access-control-allow-origin"], &headers["vary"]),
            (&own.1.parse().unwrap(), &"origin".parse().unwrap())
        );
        let mut headers = HeaderMap::new();
        open.place(&head("/v2", &[host])).unwrap().allow(&mut headers);
        assert!(headers.is_empty(), "a program is no page");
    }

    #[test]
    fn a_token_has_to_be_shown_whole_and_once() {
        let token = "0123456789abcdef0123456789abcdef";
        let access =
            Access { token: Some(Token::parse(format!("{token}\n").as_bytes()).unwrap()), ..Access::default() };
        let asked = |shown: &[&str]| {
            let headers: Vec<_> = shown.iter().map(|value| ("authorization", *value)).collect();
            access.credential(&head("/v2", &headers).headers).map_or_else(|said| said.status(), |()| 200)
        };
        assert_eq!(asked(&[&format!("Bearer {token}")]), 200);
        assert_eq!(asked(&[&format!("bearer {token}")]), 200);
        for shown in [
            "",
            "Bearer",
            "Bearer ",
            token,
            &format!("Basic {token}"),
            &format!("Bearer {token}0"),
            &format!("Bearer {}", token.trim_start_matches('0')),
        ] {
            assert_eq!(asked(&[shown]), 401, "{shown}");
        }
        assert_eq!(asked(&[]), 401);
        assert_eq!(asked(&[&format!("Bearer {token}"), &format!("Bearer {token}")]), 401);
        assert!(Access::default().credential(&HeaderMap::new()).is_ok());
        assert!(!format!("{access:?}").contains(token), "{access:?}");
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for text in [
            &b""[..],
            b"\n",
            b"short",
            b"two words are not one",
            b"0123456789abcde\n",
            &[b'x'; 1025],
            "\u{fc}123456789abcdef".as_bytes(),
        ] {
            assert_eq!(Token::parse(text).map(drop), Err(TokenError), "{text:?}");
        }
        assert!(Token::parse(&[b'x'; 1024]).is_ok());
    }
}
