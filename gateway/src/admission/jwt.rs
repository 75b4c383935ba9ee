//! JSON Web Tokens, RFC 7519 under RFC 8725: by whom they are signed, for whom, until when, and for which tenant.
//!
//! The operator names the algorithms, the keys are in a file, and the header of a token chooses among these and nothing else: what it
//! says of where keys are (`jku`, `x5u`, `jwk`, `x5c`) is not read. Nothing of a token is believed before its signature holds over the
//! very bytes that came, and no error repeats any of it.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use teegate_encoding::base64;
use teegate_encoding::json::{Members, elements, string};

use super::config::{JwtSettings, read};
use super::denied::Denied;
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
    keys: Keys,
    algorithms: Vec<Algorithm>,
    issuer: String,
    audience: String,
    claim: String,
    skew: Duration,
    tenants: HashMap<String, Tenant>,
}

impl std::fmt::Debug for Jwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Jwt({:?})", self.algorithms)
    }
}

impl Jwt {
    /// What `settings` say, with the keys of their file; of the claim each value in `tenants` is one tenant.
    pub(crate) fn load(settings: &JwtSettings, tenants: HashMap<String, Tenant>) -> Result<Self, String> {
        let path: &Path = &settings.keys;
        let of_file = |error: String| format!("JWKS `{}`: {error}", path.display());
        let text = String::from_utf8(read(path, MOST_BYTES)?).map_err(|_| of_file("it is not UTF-8".into()))?;
        let keys = Keys::parse(&text).map_err(of_file)?;
        let JwtSettings { algorithms, issuer, audience, tenant_claim, skew, .. } = settings.clone();
        if !algorithms.iter().any(|algorithm| keys.any_takes(*algorithm)) {
            return Err(of_file("no key is for any of `admission.jwt.algorithms`".into()));
        }
        Ok(Self { keys, algorithms, issuer, audience, claim: tenant_claim, skew, tenants })
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
        let key = self.keys.choose(kid.as_deref(), algorithm).ok_or(Denied::JwtKey)?;
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

fn text(part: &str) -> Result<String, Denied> {
    let bytes = base64::decode_url(part).map_err(|_| Denied::JwtForm)?;
    String::from_utf8(bytes).map_err(|_| Denied::JwtForm)
}

/// A `NumericDate`, RFC 7519 section 2: seconds, of which a fraction is left out.
fn seconds(number: &str) -> Option<u64> {
    let whole = number.split_once('.').map_or(number, |(whole, _)| whole);
    whole.bytes().all(|digit| digit.is_ascii_digit()).then(|| whole.parse().ok()).flatten()
}
