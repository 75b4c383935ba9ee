//! Whether an instance may be sealed to: from the bytes of an envelope to an [`Instance`], by verification alone.
//!
//! The judgement is [`teegate_intake::envelope`]'s. What is added here is for whoever seals: the epoch has not ended, and
//! there is a key. Nothing else in this crate makes an `Instance`, and nothing else in this crate yields a key to seal to.

use std::fmt;
use std::time::Duration;

use teegate_intake::envelope::{Asked, BoundToClaim, Carried, Judge, Proven, Refused, judge};
use teegate_protocol::binding::Nonce;
use teegate_protocol::limits;
use teegate_protocol::manifest::{Manifest, ManifestBytes, ManifestDigest};
use teegate_protocol::ohttp::KeyConfig;
use teegate_protocol::ohttp::suite::Kem;
use teegate_verifier::{Attested, BoundTo, Check, Endorsements, Memory, Policy, Source, UnixTime, Verifier};

/// What a client holds an instance against.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Trust {
    /// The appraisal policy. Its report data is set here, to the binding that is asked for.
    pub policy: Policy,
    /// Certificates, CRLs and collateral, beside those that come with the evidence.
    pub endorsements: Endorsements,
    /// The longest life of a manifest that is accepted.
    pub max_manifest_life: Duration,
    /// How much of what came with the evidence counts.
    pub carried: Carried,
}

impl Trust {
    /// These, and everything that comes with the evidence; manifests may live as long as the protocol's default.
    pub fn new(policy: Policy, endorsements: Endorsements) -> Self {
        let max_manifest_life = Duration::from_secs(limits::MANIFEST_LIFE_SECONDS.default);
        Self { policy, endorsements, max_manifest_life, carried: Carried::All }
    }

    /// Judges the envelope of one instance at `now`.
    pub(crate) fn judge(
        &self,
        envelope: &[u8],
        freshness: Freshness<'_>,
        bound_to: BoundToClaim,
        verifier: &Verifier,
        memory: &Memory,
        now: UnixTime,
    ) -> Result<Proven, Refused> {
        let asked = match freshness {
            Freshness::Epoch => Asked::Epoch,
            Freshness::Challenge(nonce) => Asked::Challenge(nonce),
        };
        let judged = Judge {
            policy: &self.policy,
            bound_to,
            endorsements: &self.endorsements,
            // Instance and gateway chose them.
            carried_by: Source::Relayed,
            carried: self.carried,
            max_manifest_life: self.max_manifest_life,
            verifier,
            memory,
        };
        judge(envelope, &asked, judged, now)
    }
}

/// Which binding the evidence has to report.
#[derive(Clone, Copy, Debug)]
pub enum Freshness<'a> {
    /// Evidence of the epoch: it says that measured code made this key, in the window that the manifest names.
    Epoch,
    /// Evidence made for this challenge, which the caller made and sent to the instance itself.
    Challenge(&'a Nonce),
}

/// An instance that was verified: its manifest, its verdict, and the key that requests to it are sealed to.
#[derive(Clone)]
pub struct Instance {
    manifest: ManifestBytes,
    attested: Attested,
    key: KeyConfig,
}

impl Instance {
    /// Verifies the envelope of one instance at `now`. What is older than what `memory` holds is refused; an empty one
    /// refuses nothing.
    pub fn verify(
        envelope: &[u8],
        freshness: Freshness<'_>,
        trust: &Trust,
        verifier: &Verifier,
        memory: &Memory,
        now: UnixTime,
    ) -> Result<Self, Refused> {
        let proven = trust.judge(envelope, freshness, BoundToClaim::Required, verifier, memory, now)?;
        let (manifest, attested) = proven.into_parts();
        let refused = |check, reason| Refused::by(check, Some(*manifest.digest()), reason);
        if !manifest.manifest().may_seal(now.seconds()) {
            let reason = format!("the epoch of its key ended at {}, it is {now}", manifest.manifest().use_until);
            return Err(refused(Check::MANIFEST_WINDOW, reason));
        }
        let key = choose_key(manifest.manifest()).map_err(|reason| refused(Check::MANIFEST_FORM, reason))?;
        Ok(Self { manifest, attested, key })
    }

    /// What the manifest says.
    pub fn manifest(&self) -> &Manifest {
        self.manifest.manifest()
    }

    /// The name of the manifest.
    pub fn digest(&self) -> &ManifestDigest {
        self.manifest.digest()
    }

    /// The manifest and its name.
    pub(crate) fn bytes(&self) -> &ManifestBytes {
        &self.manifest
    }

    /// The verdict, with its total report.
    pub fn attested(&self) -> &Attested {
        &self.attested
    }

    /// Whether a request may still be sealed to it at `now` without verifying again.
    pub fn may_seal(&self, now: UnixTime) -> bool {
        self.manifest().may_seal(now.seconds()) && now < self.attested.valid_until()
    }

    /// What the evidence is bound to, for people: the code that is measured, or a whole machine that holds it.
    pub fn bound_to_words(&self) -> &'static str {
        match self.attested.bound_to() {
            Some(BoundTo::Workload) => "bound to the workload",
            Some(BoundTo::Pod) => "bound to the pod: other code in it could have answered",
            Some(BoundTo::Guest) => {
                "bound to the whole guest: NOT end-to-end, any code of that machine could have answered"
            }
            None => "bound to nothing that the policy names",
        }
    }

    /// The key to which requests are sealed.
    pub(crate) fn key(&self) -> &KeyConfig {
        &self.key
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instance({})", self.digest())
    }
}

/// The strongest key of the manifest. There is no way from here to a weaker one: no error ever asks for another choice.
fn choose_key(manifest: &Manifest) -> Result<KeyConfig, String> {
    let mut configs = manifest.key_configs().map_err(|e| e.to_string())?;
    configs.sort_by_key(|config| match config.kem() {
        Kem::X25519 => 0,
    });
    configs.pop().ok_or_else(|| "the manifest holds no key that this version can seal to".to_owned())
}
