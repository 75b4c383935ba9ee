//! Whether a key signed a COSE message (RFC 9053, RFC 8230): the algorithm that the message names must be one of that key.

use std::sync::OnceLock;

use teegate_encoding::cose::{Algorithm, Sign1};

use super::certificate::PublicKey;
use crate::signature::{Scheme, Share, Signatures, Statement};

/// Whether `key` signed `message`, paid out of `share`.
pub(crate) fn is_signed_by(
    message: &Sign1<'_>,
    key: &PublicKey,
    share: Share,
    signatures: &mut Signatures<'_>,
) -> bool {
    let (scheme, key) = match (key, message.algorithm()) {
        (PublicKey::P256(key), Some(Algorithm::Es256)) => (Scheme::EcdsaP256Fixed, key),
        (PublicKey::P384(key), Some(Algorithm::Es384)) => (Scheme::EcdsaP384Fixed, key),
        (PublicKey::Rsa { key, .. }, Some(Algorithm::Ps256)) => (Scheme::RsaPssSha256, key),
        (PublicKey::Rsa { key, .. }, Some(Algorithm::Ps384)) => (Scheme::RsaPssSha384, key),
        (PublicKey::Ed25519(key), Some(Algorithm::EdDsa)) => (Scheme::Ed25519, key),
        _ => return false,
    };
    let signed = message.signed();
    let statement = Statement { message: &signed, signature: message.signature(), name: &OnceLock::new() };
    signatures.endorsement_holds(share, scheme, key, statement)
}
