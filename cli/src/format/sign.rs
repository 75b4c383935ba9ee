//! The key under which attestation results are signed: JSON Web Signature (RFC 7515), compact, ES256 or ES384 (RFC 7518).
//! The one file of this crate that names the crypto library.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
};
use teegate_encoding::base64;
use teegate_encoding::hex;
use zeroize::Zeroizing;

use super::kind::ReportFormat;

/// A private key of one curve. Neither shown nor copied.
pub(crate) struct SigningKey {
    pair: EcdsaKeyPair,
    algorithm: &'static str,
}

/// How to make a key; ends every refusal.
const HOW: &str = "expected a PKCS#8 private key in PEM, P-256 (ES256) or P-384 (ES384); make one with \
     `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ear-key.pem`";

/// A key in PEM takes some 300 bytes; `openssl` may put text before it.
const MAX_BYTES: u64 = 16 * 1024;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

const ALGORITHMS: [(&str, &EcdsaSigningAlgorithm); 2] =
    [("ES256", &ECDSA_P256_SHA256_FIXED_SIGNING), ("ES384", &ECDSA_P384_SHA384_FIXED_SIGNING)];

/// What is said when an attestation result was asked for and no key given.
pub(super) fn missing_key() -> String {
    format!("an attestation result is worth what its signature is, and no `--ear-key FILE` was given; {HOW}")
}

impl SigningKey {
    /// The key that `format` needs, or none; asked for before anything is verified.
    pub(crate) fn for_format(path: Option<&Path>, format: ReportFormat) -> Result<Option<Self>, String> {
        match (path, format) {
            (Some(path), ReportFormat::Ear) => Self::read(path).map(Some),
            (None, ReportFormat::Ear) => Err(missing_key()),
            (Some(_), _) => {
                Err("`--ear-key` signs attestation results and nothing else; add `--format ear`".to_owned())
            }
            (None, _) => Ok(None),
        }
    }

    /// Reads the key in the file at `path`.
    fn read(path: &Path) -> Result<Self, String> {
        let failed = |what: &str| format!("signing key `{}`: {what}; {HOW}", path.display());
        let unreadable = |cause: std::io::Error| failed(&format!("cannot be read: {cause}"));
        crate::file::is_no_stream(path).map_err(|what| failed(&what))?;
        let mut text = Zeroizing::new(String::new());
        File::open(path).map_err(unreadable)?.take(MAX_BYTES).read_to_string(&mut text).map_err(unreadable)?;
        Self::parse(&text).map_err(|what| failed(&what))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let Some((_, rest)) = text.split_once(BEGIN) else {
            return Err(match text {
                _ if text.contains("BEGIN ENCRYPTED PRIVATE KEY") => "is encrypted; decrypt it with `openssl pkcs8`",
                _ if text.contains("BEGIN EC PRIVATE KEY") => {
                    "is in SEC 1 form; convert it with `openssl pkcs8 -topk8 -nocrypt`"
                }
                _ if text.contains("BEGIN PUBLIC KEY") => "is a public key",
                _ => "holds no `BEGIN PRIVATE KEY`",
            }
            .to_owned());
        };
        let body = rest.split_once(END).ok_or("has no `END PRIVATE KEY`")?.0;
        let digits = Zeroizing::new(body.split_ascii_whitespace().collect::<String>());
        let der = Zeroizing::new(base64::decode(digits.as_str()).map_err(|_| "is not base64 inside")?);
        ALGORITHMS
            .into_iter()
            .find_map(|(name, algorithm)| {
                let pair = EcdsaKeyPair::from_pkcs8(algorithm, &der).ok()?;
                Some(Self { pair, algorithm: name })
            })
            .ok_or_else(|| "is no key of these curves".to_owned())
    }

    /// The claims as a signed JSON Web Token (RFC 7519).
    pub(super) fn sign(&self, claims: &str) -> Result<String, String> {
        let header = format!(r#"{{"alg":"{}","typ":"JWT"}}"#, self.algorithm);
        let input = format!("{}.{}", base64::encode_url(header), base64::encode_url(claims));
        let signature = self
            .pair
            .sign(&SystemRandom::new(), input.as_bytes())
            .map_err(|_| "the attestation result could not be signed".to_owned())?;
        Ok(format!("{input}.{}", base64::encode_url(signature)))
    }
}

/// SHA-256 in hexadecimal, by which results name the text of a policy.
pub(super) fn sha256(text: &str) -> String {
    hex::encode(digest(&SHA256, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_signing_key_is_refused_with_what_it_is() {
        for (text, what) in [
            ("", "holds no `BEGIN PRIVATE KEY`"),
            ("-----BEGIN EC PRIVATE KEY-----\n", "is in SEC 1 form"),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "is encrypted"),
            ("-----BEGIN PUBLIC KEY-----\n", "is a public key"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA", "has no `END PRIVATE KEY`"),
            ("-----BEGIN PRIVATE KEY-----\n*\n-----END PRIVATE KEY-----\n", "is not base64 inside"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "is no key of these curves"),
        ] {
            let error = SigningKey::parse(text).err().unwrap();
            assert!(error.starts_with(what), "{text}: {error}");
        }
    }

    #[test]
    fn the_digest_of_a_policy_is_sha_256() {
        assert_eq!(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
