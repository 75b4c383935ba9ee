//! Where the keys of an issuer of JWTs are: a file, or an address at which they are asked for, and how often.

use std::path::{Path, PathBuf};
use std::time::Duration;

use teegate_protocol::limits::{Limit, OutOfBounds};

use super::location::Location;

/// The longest time between two questions.
pub(crate) const REFRESH: Limit =
    Limit { name: "admission.jwt.refresh_seconds", default: 600, least: 60, most: 86_400 };
/// How long keys count that nothing has confirmed.
pub(crate) const KNOWN: Limit =
    Limit { name: "admission.jwt.known_seconds", default: 14_400, least: 60, most: 604_800 };

/// Where the keys are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeysAt {
    /// In a file, a JSON Web Key Set.
    File(PathBuf),
    /// At an address of the issuer's.
    Url(Box<UrlSettings>),
}

/// An address at which keys are asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UrlSettings {
    /// Where.
    pub location: Location,
    /// The CA certificates that vouch for it, PEM; those of the machine where it is not said.
    pub ca: Option<PathBuf>,
    /// The longest time between two questions.
    pub refresh: Duration,
    /// How long keys count that nothing has confirmed.
    pub known: Duration,
    /// Times that no configuration changes.
    pub pauses: Pauses,
}

/// Times of the questions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pauses {
    /// Between two questions at least, however short the life of an answer is and however many unknown keys tokens name.
    pub least: Duration,
    /// After the first failure; it doubles up to [`Pauses::longest_retry`].
    pub retry: Duration,
    /// The longest time after a failure.
    pub longest_retry: Duration,
    /// One question.
    pub patience: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self {
            least: Duration::from_secs(30),
            retry: Duration::from_secs(5),
            longest_retry: Duration::from_secs(300),
            patience: Duration::from_secs(10),
        }
    }
}

/// What is written of it.
#[derive(Debug)]
pub(crate) struct KeysTable {
    pub(crate) keys: Option<PathBuf>,
    pub(crate) jwks_url: Option<String>,
    pub(crate) jwks_ca: Option<PathBuf>,
    pub(crate) refresh_seconds: Option<u64>,
    pub(crate) known_seconds: Option<u64>,
}

/// It cannot be used.
pub(crate) enum KeysError {
    OutOfBounds(OutOfBounds),
    Said(String),
}

impl KeysTable {
    /// Checked; relative paths start from `folder`.
    pub(crate) fn settle(self, folder: &Path, may_be_plain: bool) -> Result<KeysAt, KeysError> {
        let Self { keys, jwks_url, jwks_ca, refresh_seconds, known_seconds } = self;
        let said = |what: &str| Err(KeysError::Said(what.to_owned()));
        let url = match (keys, jwks_url) {
            (None, None) => return said("expected `keys`, a file with the public keys, or `jwks_url`"),
            (Some(_), Some(_)) => return said("`keys` and `jwks_url` both say where the public keys are: remove one"),
            (Some(_), None) if jwks_ca.is_some() || refresh_seconds.is_some() || known_seconds.is_some() => {
                return said(
                    "`jwks_ca`, `refresh_seconds` and `known_seconds` are for `jwks_url`, and `keys` is a file",
                );
            }
            (Some(file), None) => return Ok(KeysAt::File(folder.join(file))),
            (None, Some(url)) => url,
        };
        let location = Location::parse(&url, may_be_plain)
            .map_err(|what| KeysError::Said(format!("`jwks_url` cannot be used: {what}")))?;
        if jwks_ca.is_some() && !location.is_tls {
            return said("`jwks_ca` vouches for a certificate, and `jwks_url` is plain HTTP");
        }
        let seconds =
            |limit: Limit, given| limit.resolve(given).map(Duration::from_secs).map_err(KeysError::OutOfBounds);
        let (refresh, known) = (seconds(REFRESH, refresh_seconds)?, seconds(KNOWN, known_seconds)?);
        if refresh > known {
            return said(
                "`refresh_seconds` is more than `known_seconds`: the keys would end before they are asked for again",
            );
        }
        let ca = jwks_ca.map(|path| folder.join(path));
        Ok(KeysAt::Url(Box::new(UrlSettings { location, ca, refresh, known, pauses: Pauses::default() })))
    }
}

impl KeysAt {
    /// The file that is read for it.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Url(settings) => settings.ca.as_deref(),
        }
    }
}
