//! What clients are given to verify themselves.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use teegate_intake::envelope::{Proven, Refused};
use teegate_protocol::evidence::EndorsementDigest;
use teegate_protocol::manifest::{ManifestBytes, ManifestDigest};
use teegate_verifier::Check;

use super::vouched::Statement;

/// Epoch evidence that clients may be given.
#[derive(Debug)]
pub struct Offer {
    pub(super) manifest: Arc<ManifestBytes>,
    pub(super) listed: Bytes,
    /// Kept for those who ask for them by the digests that are listed.
    pub(super) _vouched: Vec<Arc<Statement>>,
}

/// What a list of instances says of one.
#[derive(Serialize)]
struct Listed<'a> {
    manifest: ManifestDigest,
    /// The envelope, read once and passed on as it is.
    envelope: &'a RawValue,
    /// SHA-256 of each statement that the gateway's own verdict rested on, beside what is in the envelope.
    endorsements: Vec<EndorsementDigest>,
}

impl Offer {
    /// The manifest that it binds.
    pub fn manifest(&self) -> &Arc<ManifestBytes> {
        &self.manifest
    }

    /// What a list of instances says of it, JSON, written once: its manifest's digest, its envelope, and by their digests the
    /// endorsements that the verdict rested on.
    pub fn listed(&self) -> &Bytes {
        &self.listed
    }
}

/// What a list of instances says of this one.
pub(super) fn listed(proven: &Proven, vouched: &[Arc<Statement>]) -> Result<Bytes, Refused> {
    let manifest = *proven.manifest().digest();
    let unwritable = |why: &dyn fmt::Display| Refused::by(Check::ENVELOPE_FORM, Some(manifest), why.to_string());
    let text = proven.envelope().to_json().map_err(|error| unwritable(&error))?;
    let envelope: &RawValue = serde_json::from_slice(&text).map_err(|error| unwritable(&error))?;
    let endorsements = vouched.iter().map(|statement| statement.digest).collect();
    let listed =
        serde_json::to_vec(&Listed { manifest, envelope, endorsements }).map_err(|error| unwritable(&error))?;
    Ok(listed.into())
}
