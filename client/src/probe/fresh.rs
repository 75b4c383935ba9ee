//! A challenge of this probe, handed on by a gateway.
//!
//! A gateway can refuse it, lose it, or give it to another instance; it cannot answer it, since the report of the TEE binds the nonce
//! together with the manifest. An answer to another nonce, such as one that was recorded, fails the judgement.

use http::StatusCode;
use teegate_protocol::binding::Nonce;
use teegate_protocol::evidence::Envelope;
use teegate_protocol::headers::CHALLENGE_PATH;
use teegate_protocol::limits;
use teegate_protocol::manifest::ManifestDigest;

use super::Ask;
use crate::candidates;
use crate::error::{Error, NotChallenged, RequestError};
use crate::link::Gateway;
use crate::remote;

/// Whom to challenge, if anybody, in place of believing this envelope of the epoch. What cannot be read names nobody, and is refused as
/// it is.
pub(super) fn asked(ask: Ask, offered: &[u8]) -> Option<ManifestDigest> {
    let manifest = ManifestDigest::of(&Envelope::parse(offered).ok()?.manifest);
    match ask {
        Ask::Fresh => Some(manifest),
        Ask::FreshOf(wanted) => (wanted == manifest).then_some(manifest),
        Ask::Epoch => None,
    }
}

/// The answer of the instance with that manifest to a nonce that was never used before. It is not judged yet.
pub(super) async fn challenge(gateway: &Gateway, manifest: &ManifestDigest) -> Result<(Vec<u8>, Nonce), Error> {
    let not = |why| Error::NotChallenged { manifest: *manifest, why: Box::new(why) };
    let nonce = Nonce::generate().map_err(|_| Error::Request(RequestError::NoRandomness))?;
    let path = format!("{CHALLENGE_PATH}?nonce={nonce}&manifest={manifest}");
    let answer = super::answer_of(gateway, path, candidates::ANSWER_WITHIN, limits::ENVELOPE_BYTES).await;
    let answer = answer.map_err(|error| match error {
        Error::Unlisted(link) => not(NotChallenged::Link(link)),
        error => error,
    })?;
    if answer.status() != StatusCode::OK {
        return Err(not(NotChallenged::Declined(remote::unsealed(&answer))));
    }
    let envelope = answer.into_body().to_vec();
    let answered = Envelope::parse(&envelope).ok().map(|envelope| ManifestDigest::of(&envelope.manifest));
    if answered != Some(*manifest) {
        return Err(not(NotChallenged::Another(answered)));
    }
    Ok((envelope, nonce))
}
