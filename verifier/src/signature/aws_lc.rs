//! The one file that names the cryptographic library, aws-lc-rs.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, ED25519,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RsaPublicKeyComponents, VerificationAlgorithm,
};

/// SHA-256 of `parts`, one after the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    hash(&digest::SHA256, parts)
}

/// SHA-384 of `parts`, one after the other.
pub(crate) fn sha384(parts: &[&[u8]]) -> [u8; 48] {
    hash(&digest::SHA384, parts)
}

/// `N` is the length of the algorithm's digests.
fn hash<const N: usize>(algorithm: &'static digest::Algorithm, parts: &[&[u8]]) -> [u8; N] {
    let mut context = digest::Context::new(algorithm);
    for part in parts {
        context.update(part);
    }
    let mut value = [0; N];
    for (to, from) in value.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    value
}

/// A signature scheme that the vendors use, or a signer that a policy or a user names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scheme {
    /// ECDSA P-256 with SHA-256, DER (X.509).
    EcdsaP256Der,
    /// ECDSA P-256 with SHA-256, r and s of 32 bytes, big-endian (quotes, collateral).
    EcdsaP256Fixed,
    /// ECDSA P-384 with SHA-384, DER (X.509).
    EcdsaP384Der,
    /// ECDSA P-384 with SHA-384, r and s of 48 bytes, big-endian (reports, once turned round).
    EcdsaP384Fixed,
    /// RSASSA-PSS with SHA-384, MGF1 with SHA-384, salt of 48 bytes (X.509 of AMD; PS384 of COSE).
    RsaPssSha384,
    /// RSASSA-PSS with SHA-256, MGF1 with SHA-256, salt of 32 bytes (PS256 of COSE).
    RsaPssSha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384 (chains of signers that are no vendors of hardware).
    RsaPkcs1Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (the same).
    RsaPkcs1Sha256,
    /// Ed25519 (EdDSA of COSE).
    Ed25519,
}

impl Scheme {
    fn algorithm(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::EcdsaP256Der => &ECDSA_P256_SHA256_ASN1,
            Self::EcdsaP256Fixed => &ECDSA_P256_SHA256_FIXED,
            Self::EcdsaP384Der => &ECDSA_P384_SHA384_ASN1,
            Self::EcdsaP384Fixed => &ECDSA_P384_SHA384_FIXED,
            Self::RsaPssSha384 => &RSA_PSS_2048_8192_SHA384,
            Self::RsaPssSha256 => &RSA_PSS_2048_8192_SHA256,
            Self::RsaPkcs1Sha384 => &RSA_PKCS1_2048_8192_SHA384,
            Self::RsaPkcs1Sha256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::Ed25519 => &ED25519,
        }
    }
}

/// Whether `key` signed `message`. `key` is an uncompressed point (EC), 32 bytes (Ed25519) or an `RSAPublicKey` (RSA).
///
/// The library checks that a point is on its curve, and that 0 < r, s < n.
pub(crate) fn holds(scheme: Scheme, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    ParsedPublicKey::new(scheme.algorithm(), key).is_ok_and(|key| key.verify_sig(message, signature).is_ok())
}

/// Whether the RSA key with this modulus and exponent, big-endian, signed `message`: RSASSA-PKCS1-v1_5 with SHA-256, under 2,048 bits
/// or more.
pub(crate) fn rsa_pkcs1_sha256_holds(n: &[u8], e: &[u8], message: &[u8], signature: &[u8]) -> bool {
    RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
}
