//! JSON Web Tokens, RFC 7519 under RFC 8725: by whom they are signed, for whom, until when, and for which tenant.
//!
//! The operator names the algorithms and where the keys are, and the header of a token chooses among these and nothing else: what it
//! says of where keys are (`jku`, `x5u`, `jwk`, `x5c`) is not read. Nothing of a token is believed before its signature holds over the
//! very bytes that came, and no error repeats any of it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use teegate_encoding::base64;
use teegate_encoding::json::{Members, elements, string};

use super::config::{JwtSettings, read};
use super::denied::Denied;
use super::issuer::Issuer;
use super::issuer::config::{KeysAt, UrlSettings};
use super::jwks::{Algorithm, Keys, MOST_BYTES};
use super::secret::Secret;
use crate::caller::Tenant;
use crate::clock::Now;

/// Members of a header, and of claims.
const MOST_MEMBERS: usize = 128;
/// Levels of brackets in them.
const DEPTH: usize = 8;
/// Names in `aud`.
const MOST_AUDIENCES: usize = 64;

/// Takes tokens of one issuer.
pub(crate) struct Jwt {
    keys: Source,
    algorithms: Vec<Algorithm>,
    issuer: String,
    audience: String,
    claim: String,
    skew: Duration,
    tenants: HashMap<String, Tenant>,
}

/// Where the keys come from.
enum Source {
    File(Arc<Keys>),
    Url(Arc<Issuer>),
}

impl std::fmt::Debug for Jwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Jwt({:?})", self.algorithms)
    }
}

impl Jwt {
    /// What `settings` say, with the keys of their file, or `known` where that follows the same address; of the claim each value in
    /// `tenants` is one tenant.
    pub(crate) fn load(
        settings: &JwtSettings,
        tenants: HashMap<String, Tenant>,
        known: Option<&Arc<Issuer>>,
    ) -> Result<Self, String> {
        let JwtSettings { keys, algorithms, issuer, audience, tenant_claim, skew } = settings.clone();
        let keys = match &keys {
            KeysAt::File(path) => Source::File(Arc::new(of_file(path, &algorithms)?)),
            KeysAt::Url(url) => Source::Url(of_url(url, &algorithms, known)?),
        };
        Ok(Self { keys, algorithms, issuer, audience, claim: tenant_claim, skew, tenants })
    }

    /// Who publishes the keys, where they are asked for at an address.
    pub(crate) fn issuer(&self) -> Option<&Arc<Issuer>> {
        match &self.keys {
            Source::File(_) => None,
            Source::Url(issuer) => Some(issuer),
        }
    }

    /// Whose token this is.
    pub(crate) fn verify(&self, token: &Secret<'_>, now: &Now) -> Result<Tenant, Denied> {
        let token = std::str::from_utf8(token.expose()).map_err(|_| Denied::JwtForm)?;
        let (signed, signature) = token.rsplit_once('.').ok_or(Denied::JwtForm)?;
        let (header, claims) =
            signed.split_once('.').filter(|(_, claims)| !claims.contains('.')).ok_or(Denied::JwtForm)?;
        let header = text(header)?;
        let header = Members::parse(&header, DEPTH, MOST_MEMBERS).map_err(|_| Denied::JwtForm)?;
        // RFC 7515 section 4.1.11: what is marked as critical has to be understood, and nothing of that kind is.
        if header.get("crit").is_some() {
            return Err(Denied::JwtForm);
        }
        let algorithm = header.get("alg").and_then(string).and_then(|word| Algorithm::named(&word));
        let algorithm = algorithm.filter(|one| self.algorithms.contains(one)).ok_or(Denied::JwtAlgorithm)?;
        let kid = header.get("kid").map(|kid| string(kid).ok_or(Denied::JwtForm)).transpose()?;
        let keys = match &self.keys {
            Source::File(keys) => Arc::clone(keys),
            Source::Url(issuer) => issuer.keys(now).ok_or(Denied::JwtNoKeys)?,
        };
        if let (Source::Url(issuer), Some(kid)) = (&self.keys, &kid)
            && !keys.has(kid)
        {
            issuer.call();
        }
        let key = keys.choose(kid.as_deref(), algorithm).ok_or(Denied::JwtKey)?;
        let signature = base64::decode_url(signature).map_err(|_| Denied::JwtForm)?;
        if !key.has_signed(algorithm, signed.as_bytes(), &signature) {
            return Err(Denied::JwtSignature);
        }
        self.appraise(&text(claims)?, now)
    }

    /// What an authentic token says.
    fn appraise(&self, claims: &str, now: &Now) -> Result<Tenant, Denied> {
        let claims = Members::parse(claims, DEPTH, MOST_MEMBERS).map_err(|_| Denied::JwtForm)?;
        if claims.get("iss").and_then(string).as_deref() != Some(&self.issuer) {
            return Err(Denied::JwtIssuer);
        }
        if !claims.get("aud").is_some_and(|aud| self.is_for_us(aud)) {
            return Err(Denied::JwtAudience);
        }
        // A clock that was set back would make the past valid again.
        let (now, skew) =
            if now.is_set_back { return Err(Denied::JwtTime) } else { (now.wall.seconds(), self.skew.as_secs()) };
        let until = claims.get("exp").and_then(seconds).ok_or(Denied::JwtTime)?;
        let from = claims.get("nbf").map(|from| seconds(from).ok_or(Denied::JwtTime)).transpose()?.unwrap_or(0);
        if now >= until.saturating_add(skew) || now.saturating_add(skew) < from {
            return Err(Denied::JwtTime);
        }
        let value = claims.get(&self.claim).and_then(string).ok_or(Denied::NoTenant)?;
        self.tenants.get(&value).copied().ok_or(Denied::NoTenant)
    }

    /// RFC 7519 section 4.1.3: one name, or a list of names.
    fn is_for_us(&self, aud: &str) -> bool {
        let is_ours = |name: &str| string(name).as_deref() == Some(&self.audience);
        is_ours(aud) || elements(aud, MOST_AUDIENCES).is_ok_and(|names| names.into_iter().any(is_ours))
    }
}

fn of_file(path: &Path, algorithms: &[Algorithm]) -> Result<Keys, String> {
    let wrong = |error: String| format!("JWKS `{}`: {error}", path.display());
    let text = String::from_utf8(read(path, MOST_BYTES)?).map_err(|_| wrong("it is not UTF-8".into()))?;
    let keys = Keys::parse(&text).map_err(wrong)?;
    keys.for_any(algorithms).map_err(wrong)?;
    Ok(keys)
}

/// `known`, where nothing about the address is another: it keeps its keys then.
fn of_url(
    settings: &UrlSettings,
    algorithms: &[Algorithm],
    known: Option<&Arc<Issuer>>,
) -> Result<Arc<Issuer>, String> {
    let ca = settings.ca.as_deref().map(|path| read(path, MOST_BYTES)).transpose()?;
    if let Some(known) = known.filter(|known| known.is_of(settings, algorithms, ca.as_deref())) {
        return Ok(Arc::clone(known));
    }
    let issuer = Issuer::new(settings, algorithms, ca);
    Ok(Arc::new(issuer.map_err(|error| format!("JWKS `{}`: {error}", settings.location))?))
}

fn text(part: &str) -> Result<String, Denied> {
    let bytes = base64::decode_url(part).map_err(|_| Denied::JwtForm)?;
    String::from_utf8(bytes).map_err(|_| Denied::JwtForm)
}

/// A `NumericDate`, RFC 7519 section 2: seconds, of which a fraction is left out.
fn seconds(number: &str) -> Option<u64> {
    let whole = number.split_once('.').map_or(number, |(whole, _)| whole);
    whole.bytes().all(|digit| digit.is_ascii_digit()).then(|| whole.parse().ok()).flatten()
}
