//! The one judgement of an instance's envelope, for client and gateway alike: from hostile bytes to [`Proven`], or [`Refused`].
//!
//! The order is the argument. The envelope brings a manifest and evidence. The manifest is inside its window, and names the
//! TLS key that the peer holds, where there is such a peer. Its exact bytes are hashed, with the challenge and the connection
//! where there are any, into the 64 bytes that the evidence must report; the verifier judges the evidence with these 64 bytes
//! as its report data. So what the manifest says, its keys above all, was chosen by the measured code, for whoever asked.

use std::fmt;
use std::time::Duration;

use teegate_protocol::binding::{self, Exporter, Nonce};
use teegate_protocol::evidence::Envelope;
use teegate_protocol::manifest::{ManifestBytes, ManifestDigest, SpkiDigest};
use teegate_verifier::{
    Attested, Check, Endorsements, FactValue, Memory, Policy, Rejection, ReportData, Source, Stage, UnixTime, Verifier,
};

use crate::wrapper::{of_record, verified_tee};
use crate::{endorsements, owned};

/// What was asked, which the evidence has to bind: each needs another argument why it is not somebody else's answer.
#[derive(Clone, Copy)]
pub enum Asked<'a> {
    /// For the evidence of the epoch, of whoever handed it on: it says that measured code made this key, in the window that the
    /// manifest names.
    Epoch,
    /// For the evidence of the epoch, over a connection.
    EpochOver {
        /// The TLS key that the peer has proven to hold.
        spki: &'a SpkiDigest,
    },
    /// This challenge, which the caller made and sent to the instance itself.
    Challenge(&'a Nonce),
    /// This challenge, over this connection.
    Channel {
        /// The challenge.
        nonce: &'a Nonce,
        /// What TLS exports for this connection and no other.
        exporter: &'a Exporter,
        /// The TLS key that the peer has proven to hold.
        spki: &'a SpkiDigest,
    },
}

impl Asked<'_> {
    /// The 64 bytes that the evidence has to report, for the instance of this manifest.
    pub fn report_data(&self, manifest: &ManifestDigest) -> ReportData {
        ReportData(match self {
            Self::Epoch | Self::EpochOver { .. } => binding::epoch(manifest),
            Self::Challenge(nonce) => binding::fresh(manifest, nonce),
            Self::Channel { nonce, exporter, .. } => binding::channel(manifest, nonce, exporter),
        })
    }

    /// The TLS key of the peer, where there is a peer.
    fn peer(&self) -> Option<&SpkiDigest> {
        match self {
            Self::Epoch | Self::Challenge(_) => None,
            Self::EpochOver { spki } | Self::Channel { spki, .. } => Some(spki),
        }
    }
}

/// Whether the policy has to say what its evidence is bound to (`bound_to`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BoundToClaim {
    /// It has to: it decides about sending.
    Required,
    /// It may be about hardware alone. Who seals a request does not take this one.
    Unchecked,
}

/// How much of the endorsements of an envelope counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carried {
    /// Everything, beside what the user has.
    All,
    /// Certificates alone: the vendors were asked for whatever has an order in time, and nothing stands in for their answers.
    Certificates,
}

/// What an envelope is held against.
#[derive(Debug)]
pub struct Judge<'a> {
    /// The appraisal policy. Its report data is set here, to the binding that is asked for.
    pub policy: &'a Policy,
    /// Whether it has to say what its evidence is bound to.
    pub bound_to: BoundToClaim,
    /// The user's certificates, CRLs and collateral, beside those that come with the envelope.
    pub endorsements: &'a Endorsements,
    /// Who chose the endorsements of the envelope: the instance ([`Source::Evidence`]), or, where it came through other
    /// hands, they too ([`Source::Relayed`]). They may complete what the user has, and never stand for it.
    pub carried_by: Source,
    /// How much of them counts.
    pub carried: Carried,
    /// The longest life of a manifest that is accepted.
    pub max_manifest_life: Duration,
    /// Notes of what was authenticated before.
    pub verifier: &'a Verifier,
    /// What is older than what it holds is refused; an empty one refuses nothing. It learns when the caller lets it
    /// ([`Memory::remember`], of what was accepted alone).
    pub memory: &'a Memory,
}

/// An envelope of which nothing is left to doubt. Made in this file alone.
#[derive(Clone, Debug)]
pub struct Proven {
    envelope: Envelope,
    manifest: ManifestBytes,
    attested: Attested,
}

impl Proven {
    /// The envelope.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The manifest that the evidence binds.
    pub fn manifest(&self) -> &ManifestBytes {
        &self.manifest
    }

    /// The verdict, with its total report.
    pub fn attested(&self) -> &Attested {
        &self.attested
    }

    /// Manifest and verdict, for whoever keeps them.
    pub fn into_parts(self) -> (ManifestBytes, Attested) {
        (self.manifest, self.attested)
    }
}

/// Judges one envelope at `now`.
///
/// # Errors
/// It is malformed, its evidence is unauthentic or unacceptable, or the evidence does not bind what was asked.
pub fn judge(bytes: &[u8], asked: &Asked<'_>, judge: Judge<'_>, now: UnixTime) -> Result<Proven, Refused> {
    let envelope = Envelope::parse(bytes).map_err(|e| Refused::by(Check::ENVELOPE_FORM, None, e.to_string()))?;
    let manifest = ManifestBytes::parse(envelope.manifest.clone())
        .map_err(|e| Refused::by(Check::MANIFEST_FORM, None, e.to_string()))?;
    let refused = |check, reason| Refused::by(check, Some(*manifest.digest()), reason);

    let window = manifest.manifest().check_window(now.seconds(), judge.max_manifest_life);
    window.map_err(|e| refused(Check::MANIFEST_WINDOW, e.to_string()))?;
    is_named(asked.peer(), &manifest).map_err(|reason| refused(Check::CHANNEL_KEY, reason))?;
    let pool = pool(&envelope, &judge).map_err(|reason| refused(Check::ENVELOPE_ENDORSEMENTS, reason))?;

    let kind = envelope.evidence.kind;
    if verified_tee(kind).is_none() {
        let reason = format!("this version does not verify evidence of type `{}`", kind.media_type());
        return Err(refused(Check::ENVELOPE_EVIDENCE_TYPE, reason));
    }
    let found = of_record(kind, envelope.evidence.bytes.clone(), "envelope")
        .map_err(|defect| refused(Check::ENVELOPE_EVIDENCE_TYPE, defect.to_string()))?;
    let mut pool = pool;
    if !found.endorsements.is_empty() {
        let mut theirs = Endorsements::brought_by(judge.carried_by);
        found.endorsements.iter().for_each(|statement| statement.clone().add_to(&mut theirs));
        pool.extend(&theirs.without_order_in_time());
    }
    let log = envelope.event_log.as_deref();
    let evidence = owned::of(found.tee, &found.bytes, (found.vtpm.as_ref(), found.aci.as_ref()), log, &pool);
    let expected = asked.report_data(manifest.digest());
    let policy = judge.policy.with_report_data(expected);
    let attested = judge.verifier.verify_with(&evidence, &policy, now, judge.memory);
    let attested = attested.map_err(|rejection| Refused::with(*manifest.digest(), rejection))?;

    // The verifier compared the report data; that it did is the one thing that must not hang on a policy's spelling.
    let stands = attested.report().wrapping().report_data_fact();
    if attested.report().fact(stands) != Some(&FactValue::Bytes(expected.0.as_slice().into())) {
        let reason = "the evidence was made for another manifest, challenge or connection".to_owned();
        return Err(refused(Check::BINDING_REPORT_DATA, reason));
    }
    if judge.bound_to == BoundToClaim::Required && attested.bound_to().is_none() {
        let reason = "the policy does not say what its evidence is bound to (`bound_to`), as one that decides about sending \
                      has to; `genuine` is about hardware only";
        return Err(refused(Check::ENVELOPE_BOUND_TO, reason.to_owned()));
    }
    Ok(Proven { envelope, manifest, attested })
}

/// Whether the manifest names the TLS key of the peer; or why that is in doubt.
fn is_named(peer: Option<&SpkiDigest>, manifest: &ManifestBytes) -> Result<(), String> {
    let named = &manifest.manifest().tls_spki_sha256;
    match peer {
        Some(held) if held != named => Err(format!(
            "the manifest names the TLS key {named}, the peer of the connection holds {held}: is something in between?"
        )),
        _ => Ok(()),
    }
}

/// The user's endorsements and those of the envelope, each as whose they are.
fn pool(envelope: &Envelope, judge: &Judge<'_>) -> Result<Endorsements, String> {
    let mut pool = judge.endorsements.clone();
    if let Some(carried) = &envelope.endorsements {
        let mut theirs = Endorsements::brought_by(judge.carried_by);
        let read = endorsements::recognise("endorsements of the envelope", &carried.bytes, &mut theirs);
        read.map_err(|e| e.to_string())?;
        match judge.carried {
            Carried::All => pool.extend(&theirs),
            Carried::Certificates => pool.extend(&theirs.without_order_in_time()),
        }
    }
    Ok(pool)
}

/// Why an envelope, or the instance that it speaks of, was refused.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The name of its manifest, if it had a readable one.
    pub manifest: Option<ManifestDigest>,
    /// The stage that refused it.
    pub stage: Stage,
    /// The ids of the checks that failed, as the catalogue has them ([`Check`]); at least one.
    pub checks: Vec<&'static str>,
    /// Why, in words.
    pub reason: String,
    /// What the verifier says, where the verifier refused.
    pub rejection: Option<Box<Rejection>>,
}

impl Refused {
    /// Refused by one check, around the evidence.
    pub fn by(check: Check, manifest: Option<ManifestDigest>, reason: String) -> Self {
        Self { manifest, stage: check.stage(), checks: vec![check.id()], reason, rejection: None }
    }

    /// Refused by the verifier.
    fn with(manifest: ManifestDigest, rejection: Rejection) -> Self {
        Self {
            manifest: Some(manifest),
            stage: rejection.stage(),
            checks: rejection.failed_checks(),
            reason: rejection.to_string(),
            rejection: Some(Box::new(rejection)),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(manifest) = &self.manifest {
            write!(f, "manifest {manifest}: ")?;
        }
        write!(f, "{} ({}): {}", self.stage.rejection(), self.checks.join(", "), self.reason)
    }
}

impl std::error::Error for Refused {}
