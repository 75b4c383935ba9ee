//! Who an instance is: what it proved, not where it is and not what it announces.
//!
//! An instance is its TLS key, its `instance_id` and its receipt key, and one identity has one owner: whoever shares an
//! `instance_id`, a receipt key or an OHTTP key with somebody who holds another TLS key is in conflict with him, and since the
//! gateway cannot know which of the two is genuine, both are.

use std::collections::HashMap;
use std::sync::Arc;

use teegate_protocol::manifest::{InstanceId, ManifestBytes, SpkiDigest};

use crate::config::Address;

/// Who an instance is: what it proved, not where it is. The receipt key belongs to it; another one is a conflict.
pub(crate) type Identity = (SpkiDigest, InstanceId);

pub(crate) fn identity(manifest: &ManifestBytes) -> Identity {
    (manifest.manifest().tls_spki_sha256, manifest.manifest().instance_id)
}

/// The identity that an address proved last, with the manifests of it that may be released: the newest first, then the one
/// that the newest names as its predecessor. It outlives the proof, so that a conflict is not forgotten when one party lapses.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) manifests: Vec<Arc<ManifestBytes>>,
}

impl Claim {
    pub(crate) fn newest(&self) -> Option<&Arc<ManifestBytes>> {
        self.manifests.first()
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        self.newest().map(|manifest| identity(manifest))
    }
}

/// What became of a manifest that is no longer releasable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Former {
    /// Its epoch is over, or its instance skipped it.
    Past,
    /// Its instance is gone.
    Gone,
}

/// The claim after `newest` was proven, and what departs with it: two manifests of an instance are releasable at once if the
/// newer names the older in `prev`, with the next epoch.
pub(crate) fn succeed(old: Option<Claim>, newest: Arc<ManifestBytes>) -> (Claim, Vec<(Claim, Former)>) {
    let Some(mut old) = old else { return (Claim { manifests: vec![newest] }, Vec::new()) };
    let Some(previous) = old.newest().cloned() else { return (Claim { manifests: vec![newest] }, Vec::new()) };
    if previous.digest() == newest.digest() {
        return (old, Vec::new());
    }
    let is_same =
        identity(&previous) == identity(&newest) && previous.manifest().receipt_key == newest.manifest().receipt_key;
    if !is_same {
        return (Claim { manifests: vec![newest] }, vec![(old, Former::Gone)]);
    }
    let follows = newest.manifest().prev == Some(*previous.digest())
        && previous.manifest().epoch.checked_add(1) == Some(newest.manifest().epoch);
    if follows {
        let past = Claim { manifests: old.manifests.split_off(1) };
        return (Claim { manifests: vec![newest, previous] }, vec![(past, Former::Past)]);
    }
    (Claim { manifests: vec![newest] }, vec![(old, Former::Past)])
}

/// What belongs to one owner alone: what it is, and its bytes.
type Mark = (&'static str, Vec<u8>);

/// The addresses that share an `instance_id`, a receipt key or an OHTTP key under different TLS keys, or that prove different
/// receipt keys for one instance.
pub(crate) fn conflicting(claims: impl Iterator<Item = (Address, Arc<ManifestBytes>)>) -> Vec<Address> {
    let mut shown: HashMap<Mark, Vec<(Vec<u8>, Address)>> = HashMap::new();
    for (address, claimed) in claims {
        let manifest = claimed.manifest();
        let tls_key = manifest.tls_spki_sha256.as_bytes().to_vec();
        let receipt_key = manifest.receipt_key.as_bytes().to_vec();
        let instance_id = manifest.instance_id.as_bytes().to_vec();
        let mut marks = vec![
            (("instance", [tls_key.as_slice(), &instance_id].concat()), receipt_key.clone()),
            (("instance_id", instance_id), tls_key.clone()),
            (("receipt_key", receipt_key), tls_key.clone()),
        ];
        // The manifest's parser has read these keys before: none of them is left out here.
        for key in manifest.key_configs().unwrap_or_default() {
            marks.push((("ohttp_key", key.public_key().to_vec()), tls_key.clone()));
        }
        for (mark, owner) in marks {
            shown.entry(mark).or_default().push((owner, address.clone()));
        }
    }
    let has_two_owners = |parties: &[(Vec<u8>, Address)]| {
        let first = parties.first().map(|(owner, _)| owner);
        parties.iter().any(|(owner, _)| Some(owner) != first)
    };
    shown.into_values().filter(|parties| has_two_owners(parties)).flatten().map(|(_, address)| address).collect()
}
