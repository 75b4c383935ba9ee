//! What the configuration says of admission: `admission` and `[[tenant]]`, and their bounds.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read as _;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use teegate_protocol::limits::{Limit, OutOfBounds};

use super::issuer::config::{self as issuer, KeysAt, KeysError, KeysTable};
use super::jwks::Algorithm;
use super::permission::Models;
use super::rate::Rate;
use super::spiffe::{Pattern, is_trust_domain};
use crate::caller::Tenant;

const PER_SECOND: Limit = Limit { name: "tenant.requests_per_second", default: 100, least: 1, most: 1_000_000 };
const BURST: Limit = Limit { name: "tenant.burst", default: 200, least: 1, most: 1_000_000 };
const REQUESTS: Limit = Limit { name: "tenant.requests", default: 256, least: 1, most: 65_536 };
const BYTES: Limit = Limit { name: "tenant.bytes", default: 256 << 20, least: 1 << 20, most: 1 << 40 };
const SKEW: Limit = Limit { name: "admission.jwt.skew_seconds", default: 30, least: 0, most: 300 };

/// Every number of admission, for documentation and tests.
pub const BOUNDS: &[Limit] = &[PER_SECOND, BURST, REQUESTS, BYTES, SKEW, issuer::REFRESH, issuer::KNOWN];

/// At most so many tenants.
const MOST_TENANTS: usize = 1_024;
/// At most so many names in one list of a tenant.
const MOST_NAMES: usize = 1_024;

/// Who may ask.
#[derive(Clone, Debug)]
pub enum Settings {
    /// Everybody, without a credential: `admission = "none"`.
    Everybody,
    /// Whoever shows a credential of a tenant.
    Tenants {
        /// What is taken for a credential.
        admitting: Box<Admitting>,
        /// Who they are.
        tenants: Vec<TenantSettings>,
    },
}

/// What is taken for a credential.
#[derive(Clone, Debug)]
pub struct Admitting {
    /// A file of digests of bearer tokens.
    pub tokens: Option<PathBuf>,
    /// JSON Web Tokens.
    pub jwt: Option<JwtSettings>,
    /// Client certificates with a SPIFFE ID.
    pub spiffe: Option<SpiffeSettings>,
}

/// Whose JSON Web Tokens are taken.
#[derive(Clone, Debug)]
pub struct JwtSettings {
    /// Where the public keys are.
    pub keys: KeysAt,
    /// The algorithms that are taken.
    pub algorithms: Vec<Algorithm>,
    /// What `iss` has to be.
    pub issuer: String,
    /// What `aud` has to be or to name.
    pub audience: String,
    /// The claim whose value says which tenant.
    pub tenant_claim: String,
    /// How far clocks may differ, at `exp` and `nbf`.
    pub skew: Duration,
}

/// Whose client certificates are taken.
#[derive(Clone, Debug)]
pub struct SpiffeSettings {
    /// The CA certificates, PEM.
    pub client_ca: PathBuf,
    /// The trust domain, without `spiffe://`.
    pub trust_domain: String,
}

impl Settings {
    /// The files that are named: a change of one is taken like a change of the policy.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let admitting = match self {
            Self::Everybody => None,
            Self::Tenants { admitting, .. } => Some(admitting),
        };
        admitting.into_iter().flat_map(|admitting| {
            let keys = admitting.jwt.as_ref().and_then(|jwt| jwt.keys.file());
            let client_ca = admitting.spiffe.as_ref().map(|spiffe| spiffe.client_ca.as_path());
            [admitting.tokens.as_deref(), keys, client_ca].into_iter().flatten()
        })
    }
}

/// One tenant.
#[derive(Clone, Debug)]
pub struct TenantSettings {
    /// Who.
    pub tenant: Tenant,
    /// What it may use.
    pub models: Models,
    /// How often it may ask; without end where nobody is asked for a credential.
    pub rate: Option<Rate>,
    /// Requests that are relayed for it at a time.
    pub requests: u64,
    /// Bytes of its requests and answers that are kept at a time.
    pub bytes: u64,
    /// Whose certificates are its own.
    pub spiffe: Vec<Pattern>,
    /// The values of the claim of a JWT that are its own.
    pub jwt: Vec<String>,
}

impl TenantSettings {
    /// Everything and without end.
    pub fn everything() -> Self {
        Self {
            tenant: Tenant::DEFAULT,
            models: Models::All,
            rate: None,
            requests: u64::MAX,
            bytes: u64::MAX,
            spiffe: Vec::new(),
            jwt: Vec::new(),
        }
    }
}

/// What is written of admission cannot be used.
#[derive(Debug)]
pub enum AdmissionError {
    /// It does not say who may ask.
    Absent,
    /// It is not of the expected shape.
    Shape(toml::de::Error),
    /// A number is outside its range.
    OutOfBounds(OutOfBounds),
    /// Something else, in a sentence.
    Said(String),
}

impl fmt::Display for AdmissionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str(
                "`admission` is missing, so that nobody would be asked for a credential: write `[admission]` with what is taken \
                 for one and a `[[tenant]]` for each client, or `admission = \"none\"` to let everybody in",
            ),
            Self::Shape(error) => write!(f, "`admission` is not understood: {}", error.message()),
            Self::OutOfBounds(OutOfBounds { limit: Limit { name, least, most, .. }, value }) => {
                write!(f, "`{name} = {value}` is out of bounds: expected {least} to {most}")
            }
            Self::Said(what) => f.write_str(what),
        }
    }
}

/// A `[[tenant]]` as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantTable {
    name: String,
    models: Vec<String>,
    requests_per_second: Option<u64>,
    burst: Option<u64>,
    requests: Option<u64>,
    bytes: Option<u64>,
    #[serde(default)]
    spiffe: Vec<String>,
    #[serde(default)]
    jwt: Vec<String>,
}

/// `[admission]` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdmissionTable {
    tokens: Option<PathBuf>,
    jwt: Option<JwtTable>,
    spiffe: Option<SpiffeTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JwtTable {
    keys: Option<PathBuf>,
    jwks_url: Option<String>,
    jwks_ca: Option<PathBuf>,
    refresh_seconds: Option<u64>,
    known_seconds: Option<u64>,
    algorithms: Vec<String>,
    issuer: String,
    audience: String,
    tenant_claim: String,
    skew_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpiffeTable {
    client_ca: PathBuf,
    trust_domain: String,
}

/// What is written, checked; relative paths start from `folder`. `may_be_plain` where the configuration says why plain HTTP will do.
pub(crate) fn settle(
    admission: Option<toml::Value>,
    tenants: Vec<TenantTable>,
    has_tls: bool,
    may_be_plain: bool,
    folder: &Path,
) -> Result<Settings, AdmissionError> {
    let said = |what: &str| Err(AdmissionError::Said(what.to_owned()));
    let table = match admission {
        None => return Err(AdmissionError::Absent),
        Some(toml::Value::String(word)) if word == "none" => {
            return if tenants.is_empty() {
                Ok(Settings::Everybody)
            } else {
                said("`admission = \"none\"` lets everybody in, and `[[tenant]]` says who may: remove one of the two")
            };
        }
        Some(toml::Value::Table(table)) => table,
        Some(_) => return said("`admission` is not understood: expected the table `[admission]`, or `\"none\"`"),
    };
    let AdmissionTable { tokens, jwt, spiffe } = table.try_into().map_err(AdmissionError::Shape)?;
    if tokens.is_none() && jwt.is_none() && spiffe.is_none() {
        return said(
            "`[admission]` takes nothing for a credential: expected `tokens`, `[admission.jwt]` or `[admission.spiffe]`",
        );
    }
    if spiffe.is_some() && !has_tls {
        return said("`[admission.spiffe]` takes client certificates, which needs `[tls]`");
    }
    let spiffe = spiffe.map(|table| settled(table, folder)).transpose()?;
    let jwt = jwt.map(|table| table.settle(folder, may_be_plain)).transpose()?;
    if tenants.is_empty() || tenants.len() > MOST_TENANTS {
        let count = tenants.len();
        return said(&format!("{count} tenants are listed (`[[tenant]]`): expected 1 to {MOST_TENANTS}"));
    }
    let mut all: Vec<TenantSettings> = Vec::with_capacity(tenants.len());
    for tenant in tenants {
        let tenant = tenant.settle(jwt.is_some(), spiffe.as_ref())?;
        let name = tenant.tenant.name();
        if all.iter().any(|other| other.tenant == tenant.tenant) {
            return said(&format!("tenant `{name}` is listed twice: remove one"));
        }
        let twice = tenant.spiffe.iter().find(|ids| all.iter().any(|other| other.spiffe.contains(*ids)));
        if let Some(ids) = twice {
            return said(&format!("tenant `{name}`: `{ids}` is of another tenant too"));
        }
        if let Some(value) = tenant.jwt.iter().find(|value| all.iter().any(|other| other.jwt.contains(*value))) {
            let shown: String = value.chars().take(80).collect();
            return said(&format!("tenant `{name}`: `{shown}` in `jwt` is of another tenant too"));
        }
        all.push(tenant);
    }
    let admitting = Admitting { tokens: tokens.map(|path| folder.join(path)), jwt, spiffe };
    Ok(Settings::Tenants { admitting: Box::new(admitting), tenants: all })
}

fn settled(
    SpiffeTable { client_ca, trust_domain }: SpiffeTable,
    folder: &Path,
) -> Result<SpiffeSettings, AdmissionError> {
    if !is_trust_domain(&trust_domain) {
        return Err(AdmissionError::Said(
            "`admission.spiffe.trust_domain` is no trust domain: expected for example `example.org`, 1 to 255 of `a-z 0-9 . - _`"
                .to_owned(),
        ));
    }
    Ok(SpiffeSettings { client_ca: folder.join(client_ca), trust_domain })
}

impl JwtTable {
    fn settle(self, folder: &Path, may_be_plain: bool) -> Result<JwtSettings, AdmissionError> {
        let Self {
            keys,
            jwks_url,
            jwks_ca,
            refresh_seconds,
            known_seconds,
            algorithms,
            issuer,
            audience,
            tenant_claim,
            skew_seconds,
        } = self;
        let said = |what: String| AdmissionError::Said(format!("`[admission.jwt]`: {what}"));
        let words = || Algorithm::ALL.map(|(word, _)| word).join(", ");
        if algorithms.is_empty() {
            return Err(said(format!("`algorithms` lists none: expected some of {}", words())));
        }
        let algorithm = |word: &String| {
            let shown: String = word.chars().take(80).collect();
            let wrong = || said(format!("`{shown}` is no algorithm that is taken: expected some of {}", words()));
            Algorithm::named(word).ok_or_else(wrong)
        };
        let algorithms = algorithms.iter().map(algorithm).collect::<Result<_, _>>()?;
        for (name, value) in [("issuer", &issuer), ("audience", &audience), ("tenant_claim", &tenant_claim)] {
            if value.is_empty() {
                return Err(said(format!("`{name}` says nothing")));
            }
        }
        let skew = Duration::from_secs(SKEW.resolve(skew_seconds).map_err(AdmissionError::OutOfBounds)?);
        let keys = KeysTable { keys, jwks_url, jwks_ca, refresh_seconds, known_seconds };
        let keys = keys.settle(folder, may_be_plain).map_err(|error| match error {
            KeysError::OutOfBounds(error) => AdmissionError::OutOfBounds(error),
            KeysError::Said(what) => said(what),
        })?;
        Ok(JwtSettings { keys, algorithms, issuer, audience, tenant_claim, skew })
    }
}

impl TenantTable {
    fn settle(self, takes_jwt: bool, spiffe: Option<&SpiffeSettings>) -> Result<TenantSettings, AdmissionError> {
        let Self { name, models, requests_per_second, burst, requests, bytes, spiffe: ids, jwt } = self;
        // Begins with a letter or a digit: what has shown no credential is called `-`.
        let is_name = |name: &str| {
            (1..=64).contains(&name.len())
                && name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        if !is_name(&name) {
            let shown: String = name.chars().take(80).collect();
            return Err(AdmissionError::Said(format!(
                "tenant `{shown}` has no name that metrics and logs can show: expected 1 to 64 of `A-Z a-z 0-9 . _ -`, a letter \
                 or a digit first"
            )));
        }
        let wrong = |what: String| AdmissionError::Said(format!("tenant `{name}`: {what}"));
        let take = |limit: Limit, given| limit.resolve(given).map_err(AdmissionError::OutOfBounds);
        let narrow = |value: u64| u32::try_from(value).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX);
        let per_second = narrow(take(PER_SECOND, requests_per_second)?);
        // Who names a rate above the default burst alone means a burst of that.
        let burst = match burst {
            None if u64::from(per_second.get()) > BURST.default => per_second,
            given => narrow(take(BURST, given)?),
        };
        if !jwt.is_empty() && !takes_jwt {
            return Err(wrong("`jwt` names values of a claim, which `[admission.jwt]` has to take".into()));
        }
        if jwt.len() > MOST_NAMES || jwt.iter().any(String::is_empty) {
            return Err(wrong(format!("`jwt` lists an empty value, or more than {MOST_NAMES}")));
        }
        let patterns = match (spiffe, ids.as_slice()) {
            (_, []) => Vec::new(),
            (None, _) => {
                return Err(wrong("`spiffe` names certificates, which `[admission.spiffe]` has to take".into()));
            }
            (Some(_), many) if many.len() > MOST_NAMES => {
                return Err(wrong(format!("`spiffe` lists more than {MOST_NAMES}")));
            }
            (Some(SpiffeSettings { trust_domain, .. }), ids) => {
                let pattern =
                    |text: &String| Pattern::parse(text, trust_domain).map_err(|error| wrong(error.to_owned()));
                ids.iter().map(pattern).collect::<Result<_, _>>()?
            }
        };
        Ok(TenantSettings {
            models: models_of(models).map_err(|what| wrong(what.to_owned()))?,
            rate: Some(Rate { per_second, burst }),
            requests: take(REQUESTS, requests)?,
            bytes: take(BYTES, bytes)?,
            spiffe: patterns,
            jwt,
            tenant: Tenant::named(&name),
        })
    }
}

fn models_of(models: Vec<String>) -> Result<Models, &'static str> {
    // As manifests write them.
    let is_model = |name: &String| {
        (1..=128).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c))
    };
    match models.as_slice() {
        [] => Err("`models` lists none: expected names of models, or `[\"*\"]` for every model"),
        [all] if all == "*" => Ok(Models::All),
        names if names.len() > MOST_NAMES => Err("`models` lists more than 1024"),
        names if names.iter().all(is_model) => Ok(Models::Named(models.into_iter().collect::<BTreeSet<_>>())),
        _ => {
            Err("`models` has what is no name of a model: expected 1 to 128 of `A-Z a-z 0-9 . _ - +`, or `\"*\"` alone")
        }
    }
}

/// A file of at most so many bytes.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let name = path.display();
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| format!("cannot read `{name}`: {error}"))?;
    file.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot read `{name}`: {error}"))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= most) {
        return Ok(bytes);
    }
    Err(format!("`{name}` has more than {most} bytes, which is more than is read"))
}
