//! The public keys under which JWTs are taken: a JSON Web Key Set, RFC 7517, from a file of the operator's or from its issuer.
//!
//! A key says for which algorithms it is, so a token cannot: an elliptic key is never the secret of an HMAC. Symmetric keys and
//! private ones do not belong into a set, and stop it from loading.

use aws_lc_rs::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use teegate_encoding::base64;
use teegate_encoding::json::{Members, elements, string};

/// The largest set.
pub(crate) const MOST_BYTES: u64 = 256 << 10;
const MOST_KEYS: usize = 64;
const MOST_MEMBERS: usize = 64;
/// Levels of brackets: the set, its list, a key, a list of the key's.
const DEPTH: usize = 6;
/// Moduli of RSA, in bytes: 2,048 to 8,192 bits, which is what the library takes.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1_024;

/// An algorithm of RFC 7518 section 3.1 and RFC 8037 that takes a public key. There is no other: `none` and HMAC have no word here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// Ed25519.
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// RSA PKCS#1 v1.5 with SHA-384.
    Rs384,
    /// RSA PKCS#1 v1.5 with SHA-512.
    Rs512,
    /// RSA PSS with SHA-256.
    Ps256,
    /// RSA PSS with SHA-384.
    Ps384,
    /// RSA PSS with SHA-512.
    Ps512,
}

impl Algorithm {
    /// Each with its word.
    pub(crate) const ALL: [(&'static str, Self); 9] = [
        ("EdDSA", Self::EdDsa),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
    ];

    /// The one of this word, in this case.
    pub(crate) fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == word).map(|(_, algorithm)| algorithm)
    }

    fn word(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, algorithm)| *algorithm == self).map_or("", |(word, _)| word)
    }
}

/// What a key is.
#[derive(Clone, PartialEq, Eq)]
enum Material {
    Ed25519(Vec<u8>),
    P256(Vec<u8>),
    P384(Vec<u8>),
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

/// One key.
pub(crate) struct Key {
    kid: Option<String>,
    /// The only algorithm that it is for, if it says so.
    only: Option<String>,
    material: Material,
}

impl Key {
    /// Whether it may be used with `algorithm`.
    fn takes(&self, algorithm: Algorithm) -> bool {
        let fits = match (&self.material, algorithm) {
            (Material::Ed25519(_), Algorithm::EdDsa)
            | (Material::P256(_), Algorithm::Es256)
            | (Material::P384(_), Algorithm::Es384) => true,
            (Material::Rsa { .. }, algorithm) => rsa(algorithm).is_some(),
            _ => false,
        };
        // RFC 9864 calls EdDSA with this curve `Ed25519`.
        let is_only = self
            .only
            .as_deref()
            .is_none_or(|only| only == algorithm.word() || (only == "Ed25519" && algorithm == Algorithm::EdDsa));
        fits && is_only
    }

    /// Whether `signature` is this key's over `message`.
    pub(crate) fn has_signed(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let by = |verify: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(verify, key).verify(message, signature).is_ok()
        };
        match &self.material {
            _ if !self.takes(algorithm) => false,
            Material::Ed25519(key) => by(&signature::ED25519, key),
            Material::P256(key) => by(&signature::ECDSA_P256_SHA256_FIXED, key),
            Material::P384(key) => by(&signature::ECDSA_P384_SHA384_FIXED, key),
            Material::Rsa { n, e } => rsa(algorithm).is_some_and(|parameters| {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }),
        }
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        Algorithm::EdDsa | Algorithm::Es256 | Algorithm::Es384 => return None,
    })
}

/// The keys of a set.
pub(crate) struct Keys(Vec<Key>);

impl Keys {
    /// Reads them. What is of a kind that is not known is passed over, as RFC 7517 section 5 has it; one key at least has to be of use.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let set = Members::parse(text, DEPTH, MOST_MEMBERS).map_err(|error| format!("it is no JWKS: {error}"))?;
        let listed = set.get("keys").ok_or("it is no JWKS: `keys` is missing")?;
        let listed = elements(listed, MOST_KEYS).map_err(|error| format!("`keys` is not understood: {error}"))?;
        let mut keys: Vec<Key> = Vec::new();
        for (number, text) in listed.into_iter().enumerate() {
            let wrong = |what: &str| format!("key {} of `keys`: {what}", number.saturating_add(1));
            let Some(key) = key(text).map_err(|what| wrong(&what))? else { continue };
            if key.kid.is_some() && keys.iter().any(|other| other.kid == key.kid) {
                return Err(wrong("its `kid` is that of another key"));
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(
                "it has no key that signatures can be checked with: Ed25519, P-256, P-384 or RSA of 2048 bits or more"
                    .into(),
            );
        }
        Ok(Self(keys))
    }

    /// The one key for a token that names `kid`, or names none and leaves no choice.
    pub(crate) fn choose(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let mut fitting = self.0.iter().filter(|key| key.takes(algorithm));
        match kid {
            Some(kid) => fitting.find(|key| key.kid.as_deref() == Some(kid)),
            None => fitting.next().filter(|_| fitting.next().is_none()),
        }
    }

    /// A set of which no key is for any of these is of no use.
    pub(crate) fn for_any(&self, algorithms: &[Algorithm]) -> Result<(), String> {
        let is_of_use = algorithms.iter().any(|algorithm| self.0.iter().any(|key| key.takes(*algorithm)));
        if is_of_use { Ok(()) } else { Err("no key is for any of `admission.jwt.algorithms`".into()) }
    }

    /// Whether a key is called so.
    pub(crate) fn has(&self, kid: &str) -> bool {
        self.0.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

/// One JWK; nothing where it is of a kind or for a use that is not ours.
fn key(text: &str) -> Result<Option<Key>, String> {
    let members = Members::parse(text, DEPTH, MOST_MEMBERS).map_err(|error| error.to_string())?;
    // A member that is there and no string is a mistake, and no absence.
    let optional = |name: &str| match members.get(name) {
        None => Ok(None),
        Some(value) => string(value).map(Some).ok_or_else(|| format!("`{name}` is not a string")),
    };
    let needed = |name: &str| optional(name)?.ok_or_else(|| format!("`{name}` is missing"));
    let bytes = |name: &str| {
        base64::decode_url(needed(name)?).map_err(|_| format!("`{name}` is not base64url without padding"))
    };
    let kty = needed("kty")?;
    if kty == "oct" {
        return Err("it is a symmetric key, which everybody who checks could sign with: expected public keys".into());
    }
    if members.get("d").is_some() {
        return Err("it is a private key: expected public keys".into());
    }
    if optional("use")?.is_some_and(|word| word != "sig") {
        return Ok(None);
    }
    let material = match (kty.as_str(), optional("crv")?.as_deref()) {
        ("OKP", Some("Ed25519")) => Material::Ed25519(sized(bytes("x")?, 32)?),
        ("EC", Some("P-256")) => Material::P256(point(sized(bytes("x")?, 32)?, sized(bytes("y")?, 32)?)),
        ("EC", Some("P-384")) => Material::P384(point(sized(bytes("x")?, 48)?, sized(bytes("y")?, 48)?)),
        ("RSA", _) => {
            let (n, e) = (bytes("n")?, bytes("e")?);
            if !MODULUS_BYTES.contains(&n.len()) || n.first() == Some(&0) {
                return Err("its modulus has not 2048 to 8192 bits".into());
            }
            Material::Rsa { n, e }
        }
        _ => return Ok(None),
    };
    Ok(Some(Key { kid: optional("kid")?, only: optional("alg")?, material }))
}

fn sized(bytes: Vec<u8>, length: usize) -> Result<Vec<u8>, String> {
    if bytes.len() == length {
        return Ok(bytes);
    }
    Err(format!("a coordinate has {} bytes, expected {length}", bytes.len()))
}

/// Uncompressed: SEC 1, section 2.3.3.
fn point(x: Vec<u8>, y: Vec<u8>) -> Vec<u8> {
    [vec![0x04], x, y].concat()
}
