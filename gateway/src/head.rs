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
            Ok(Some(seconds)) if seconds.len() <= 6 && seconds.bytes().all(|digit| digit.is_ascii_digit()) => {
                seconds.parse().map_or(default, Duration::from_secs).min(most)
            }
            Ok(Some(_)) | Err(()) => {
                return Err(RouteError::Malformed(
                    "expected at most one header field `teegate-hold`, a number of whole seconds",
                ));
            }
        };
        Ok(Self { manifest, hold })
    }
}

/// `?model=NAME&wait=SECONDS`, each at most once.
#[derive(PartialEq, Eq, Debug)]
pub struct InstanceQuery<'a> {
    /// The model that an instance has to run.
    pub model: Option<&'a str>,
    /// How long to wait for one.
    pub wait: Duration,
}

impl<'a> InstanceQuery<'a> {
    /// Reads it.
    pub fn parse(query: &'a str) -> Result<Self, RouteError> {
        let malformed = RouteError::Malformed(
            "expected `?model=NAME&wait=SECONDS`, both optional, `wait` at most 30, names of `A-Z a-z 0-9 . _ -`",
        );
        let (mut model, mut wait) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                // The alphabet of model names in manifests needs no escaping in a query.
                Some(("model", name)) if model.is_none() && is_model_name(name) => model = Some(name),
                Some(("wait", seconds)) if wait.is_none() && seconds.len() <= 6 => match seconds.parse::<u64>() {
                    Ok(seconds) => wait = Some(seconds.min(limits::WAIT_SECONDS.most)),
                    Err(_) => return Err(malformed),
                },
                _ => return Err(malformed),
            }
        }
        Ok(Self { model, wait: Duration::from_secs(wait.unwrap_or(limits::WAIT_SECONDS.default)) })
    }
}

fn is_model_name(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
