//! What clients say outside the seal, and all that is read of it. Nothing of it reaches an enclave.

use std::time::Duration;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use teegate_protocol::headers::{OHTTP_REQUEST, TEEGATE_HOLD, TEEGATE_MANIFEST};
use teegate_protocol::limits;
use teegate_protocol::manifest::ManifestDigest;

use crate::problem::RouteError;

/// What stands outside the seal, and all that is read of it.
pub struct SealedHead {
    /// The manifest to whose key the request is sealed.
    pub manifest: ManifestDigest,
    /// How long it may be held.
    pub hold: Duration,
}

impl SealedHead {
    /// Reads it; a request that does not say is held for `default`, and none longer than `most`.
    pub fn parse(headers: &HeaderMap, default: Duration, most: Duration) -> Result<Self, RouteError> {
        let only = |name: &str| {
            let mut values = headers.get_all(name).iter();
            match (values.next(), values.next()) {
                (first, None) => first.map(|value| value.to_str().map(str::trim)).transpose().map_err(|_| ()),
                _ => Err(()),
            }
        };
        match only(CONTENT_TYPE.as_str()) {
            Ok(Some(kind)) if kind.eq_ignore_ascii_case(OHTTP_REQUEST) => {}
            _ => return Err(RouteError::MediaType),
        }
        let manifest = only(TEEGATE_MANIFEST).ok().flatten().and_then(|digest| digest.parse().ok()).ok_or(RouteError::Malformed(
            "expected one header field `teegate-manifest` with the digest of the manifest, 64 lower-case hexadecimal digits",
        ))?;
        let hold = match only(TEEGATE_HOLD) {
            Ok(None) => default,
            Ok(Some(seconds)) => whole_seconds(seconds).ok_or(MALFORMED_HOLD)?.min(most),
            Err(()) => return Err(MALFORMED_HOLD),
        };
        Ok(Self { manifest, hold })
    }
}

const MALFORMED_HOLD: RouteError =
    RouteError::Malformed("expected at most one header field `teegate-hold`, a number of whole seconds");

const MALFORMED_QUERY: RouteError = RouteError::Malformed(
    "expected `?model=NAME&wait=SECONDS`, both optional, `wait` at most 30, names of `A-Z a-z 0-9 . _ - +`",
);

/// One to six digits, nothing else.
fn whole_seconds(text: &str) -> Option<Duration> {
    let is_number = (1..=6).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).map(Duration::from_secs)
}

/// `?model=NAME&wait=SECONDS`, each at most once.
#[derive(PartialEq, Eq, Debug)]
pub struct InstanceQuery {
    /// The model that an instance has to run.
    pub model: Option<String>,
    /// How long to wait for one.
    pub wait: Duration,
}

impl InstanceQuery {
    /// Reads it.
    pub fn parse(query: &str) -> Result<Self, RouteError> {
        let (mut model, mut wait) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("model", name)) if model.is_none() => model = Some(model_name(name).ok_or(MALFORMED_QUERY)?),
                Some(("wait", seconds)) if wait.is_none() => {
                    let most = Duration::from_secs(limits::WAIT_SECONDS.most);
                    let seconds = whole_seconds(seconds).filter(|seconds| *seconds <= most);
                    wait = Some(seconds.ok_or(MALFORMED_QUERY)?);
                }
                _ => return Err(MALFORMED_QUERY),
            }
        }
        Ok(Self { model, wait: wait.unwrap_or(Duration::from_secs(limits::WAIT_SECONDS.default)) })
    }
}

/// A name of the alphabet that manifests allow, after percent-decoding (RFC 3986 section 2.1).
pub(crate) fn model_name(text: &str) -> Option<String> {
    let (mut name, mut rest) = (String::new(), text.chars());
    while let Some(next) = rest.next() {
        let character = match next {
            '%' => {
                let (high, low) = (rest.next()?.to_digit(16)?, rest.next()?.to_digit(16)?);
                char::from_u32(high * 16 + low)?
            }
            plain => plain,
        };
        if !(character.is_ascii_alphanumeric() || "._-+".contains(character)) {
            return None;
        }
        name.push(character);
    }
    (1..=128).contains(&name.len()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_and_then_those_of_manifests() {
        let model = |query: &str| InstanceQuery::parse(query).ok().and_then(|query| query.model);
        for (query, name) in [("model=a%2Bb", "a+b"), ("model=a+b", "a+b"), ("model=%61.-_9", "a.-_9")] {
            assert_eq!(model(query).as_deref(), Some(name), "{query}");
        }
        let long = format!("model={}", "a".repeat(129));
        for query in ["model=", "model=a%20b", "model=%", "model=%4", "model=%zz", "model=%FF", "model=a/b", &long] {
            assert!(matches!(InstanceQuery::parse(query), Err(RouteError::Malformed(_))), "{query}");
        }
    }

    #[test]
    fn seconds_are_digits_inside_their_bound() {
        let wait = |query: &str| InstanceQuery::parse(query).ok().map(|query| query.wait.as_secs());
        assert_eq!((wait(""), wait("wait=0"), wait("wait=30")), (Some(0), Some(0), Some(30)));
        for query in ["wait=", "wait=+5", "wait=-1", "wait=31", "wait=1.5", "wait=1234567", "wait=1&wait=1"] {
            assert_eq!(wait(query), None, "{query}");
        }
    }
}
