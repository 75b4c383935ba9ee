//! From evidence to trust: the only code that makes a [`Trusted`] value, and the only way to a connection that may carry a
//! request (DESIGN sections 3 and 4).
//!
//! A [`Candidate`] is a connection to an address; it can be challenged, nothing else. [`Candidate::prove`] sends a fresh
//! nonce over it and reads the answer as the argument goes:
//!
//! 1. the envelope brings a manifest, inside its window;
//! 2. the manifest names the TLS key that the peer has just proven to hold;
//! 3. the evidence satisfies the policy, and its 64 bytes of report data bind exactly this manifest, this nonce and the
//!    exporter of exactly this connection.
//!
//! So whoever answers on the connection holds keys that attested code chose, and a relayed, recorded or redirected answer
//! fails the third step. The result expires by itself; nothing prolongs it but another challenge.

mod link;
mod outlet;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use teegate_protocol::binding::{self, Exporter, Nonce};
use teegate_protocol::evidence::{Envelope, EvidenceKind};
use teegate_protocol::headers::{ATTEST_PATH, ENVELOPE_PATH, HEALTH_PATH};
use teegate_protocol::manifest::{ManifestBytes, ManifestDigest, SpkiDigest};
use teegate_protocol::receipt::EvidenceDigest;
use teegate_verifier::{Endorsements, Evidence, Policy, Rejection, ReportData, Source, UnixTime, verify};
use tokio::time::Instant;

pub(crate) use self::link::ANSWER_WINDOW_BYTES;
use self::link::Link;
pub use self::link::{LinkSettings, NoAnswer, Opened, Room};
pub use self::outlet::{Outlet, Ticket};
use crate::caller::Caller;
use crate::clock::{Clock, Now};
use crate::config::Address;
use crate::turns::Readiness;

/// What evidence is appraised against. A new policy is a new version; what was judged under another one does not count.
#[derive(Debug)]
pub struct Appraisal {
    /// Counts the policies of this process, from 1.
    pub version: u64,
    /// The appraisal policy.
    pub policy: Policy,
    /// Endorsements that the operator supplies, beside those that travel with the evidence.
    pub endorsements: Endorsements,
}

/// How long statements may live.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// How long a channel check counts.
    pub channel_age: Duration,
    /// The longest life of a manifest that is accepted.
    pub max_manifest_life: Duration,
}

/// Something that was proven under one version of the policy, until it lapses. Made in this file alone.
#[derive(Debug)]
pub struct Trusted<T> {
    subject: T,
    policy_version: u64,
    checked_at: Instant,
    fresh_until: Instant,
    valid_until: UnixTime,
}

/// The proof is too old, by either clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lapsed;

impl<T> Trusted<T> {
    /// What was proven, if the proof still counts at `now`.
    pub fn at(&self, now: &Now) -> Result<&T, Lapsed> {
        if now.is_set_back || now.aged >= self.fresh_until || now.wall >= self.valid_until {
            return Err(Lapsed);
        }
        Ok(&self.subject)
    }

    /// What was proven once. It may have lapsed: for logs and for comparing identities, not for releasing.
    pub fn once(&self) -> &T {
        &self.subject
    }

    /// The version of the policy under which it was proven.
    pub fn policy_version(&self) -> u64 {
        self.policy_version
    }

    /// When the challenge was sent, by the clock of ages.
    pub fn checked_at(&self) -> Instant {
        self.checked_at
    }

    /// How long it will last, seen at `now`; that it may lapse earlier is for [`at`](Self::at) to say.
    pub fn lasts(&self, now: &Now) -> Duration {
        let valid = Duration::from_secs(self.valid_until.seconds().saturating_sub(now.wall.seconds()));
        self.fresh_until.saturating_duration_since(now.aged).min(valid)
    }

    /// Seconds from `now` until it lapses.
    pub fn seconds_left(&self, now: &Now) -> u64 {
        self.lasts(now).as_secs()
    }
}

/// An instance at the other end of one connection.
#[derive(Debug)]
pub struct Backend {
    link: Arc<Link>,
    manifest: Arc<ManifestBytes>,
    evidence_digest: EvidenceDigest,
}

impl Backend {
    /// The manifest that the channel evidence binds.
    pub fn manifest(&self) -> &Arc<ManifestBytes> {
        &self.manifest
    }

    /// SHA-256 of the channel evidence. The evidence itself never leaves the gateway.
    pub fn evidence_digest(&self) -> EvidenceDigest {
        self.evidence_digest
    }

    /// Tells its connection from every other one.
    pub fn link_id(&self) -> u64 {
        self.link.id()
    }

    /// Whether its connection has ended.
    pub fn is_closed(&self) -> bool {
        self.link.is_closed()
    }

    /// Where what is queued for it leaves this process.
    pub fn outlet(&self) -> &Arc<Outlet> {
        self.link.outlet()
    }
}

/// A stream to an instance could not be opened; nothing of the request was sent.
#[derive(Debug)]
pub enum NotOpened {
    /// The proof has lapsed.
    Lapsed,
    /// The connection is lost.
    Lost(h2::Error),
}

impl Trusted<Backend> {
    /// Waits until one more request of `caller` has room on the connection. Nothing is written, so nothing is judged.
    pub(crate) async fn room(&self, caller: &Caller, readiness: Readiness) -> Result<Room, NotOpened> {
        self.once().link.room(caller, readiness).await.map_err(NotOpened::Lost)
    }

    /// Opens a stream for one sealed request, at once: the only way by which one can reach an enclave.
    pub(crate) fn open(&self, now: &Now, room: Room, request: Request<()>) -> Result<Opened, NotOpened> {
        let backend = self.at(now).map_err(|Lapsed| NotOpened::Lapsed)?;
        if room.link != backend.link_id() {
            return Err(NotOpened::Lapsed);
        }
        room.open(request).map_err(NotOpened::Lost)
    }
}

/// Epoch evidence that clients may be given.
#[derive(Debug)]
pub struct Offer {
    manifest: Arc<ManifestBytes>,
    listed: Bytes,
}

/// What a list of instances says of one.
#[derive(Serialize)]
struct Listed<'a> {
    manifest: ManifestDigest,
    /// The envelope, read once and passed on as it is.
    envelope: &'a RawValue,
}

impl Offer {
    /// The manifest that it binds.
    pub fn manifest(&self) -> &Arc<ManifestBytes> {
        &self.manifest
    }

    /// What a list of instances says of it, JSON, written once: its manifest's digest and its envelope.
    pub fn listed(&self) -> &Bytes {
        &self.listed
    }
}

/// Evidence was read and refused.
#[derive(Clone, Debug)]
pub struct Distrust {
    /// The checks that failed; at least one.
    pub checks: Vec<&'static str>,
    /// What was expected and what was found, for the operator.
    pub explanation: String,
    /// The key of the peer that showed it.
    pub tls_spki: SpkiDigest,
}

/// Why nothing was proven.
#[derive(Debug)]
pub enum Doubt {
    /// No verdict: the instance did not answer.
    NoAnswer(NoAnswer),
    /// The verdict is no.
    Distrust(Distrust),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer(error) => error.fmt(f),
            Self::Distrust(distrust) => {
                write!(f, "rejected by {}: {}", distrust.checks.join(", "), distrust.explanation)
            }
        }
    }
}

/// A connection whose other end has proven nothing but its TLS key.
#[derive(Debug)]
pub struct Candidate {
    link: Arc<Link>,
}

impl Candidate {
    /// Connects.
    pub async fn connect(address: &Address, settings: &LinkSettings) -> Result<Self, NoAnswer> {
        Ok(Self { link: Arc::new(Link::connect(address, settings).await?) })
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.link.is_closed()
    }

    /// Resolves when the connection has ended.
    pub async fn closed(&self) {
        self.link.closed().await;
    }

    /// The channel check: a fresh challenge, answered on this very connection.
    pub async fn prove(
        &self,
        appraisal: &Arc<Appraisal>,
        lives: Lifetimes,
        clock: &Clock,
    ) -> Result<Trusted<Backend>, Doubt> {
        let nonce =
            Nonce::generate().map_err(|error| Doubt::NoAnswer(NoAnswer::Unreachable(std::io::Error::other(error))))?;
        // The age counts from here: what is proven is that the peer was alive after this instant.
        let checked_at = clock.now().aged;
        let question = Bytes::from(nonce.to_string());
        let answer = self.link.ask(Method::POST, ATTEST_PATH, question).await;
        let envelope = answer.map_err(|error| self.doubt(error))?;
        let expected = Expected::Channel { nonce, exporter: self.link.exporter().clone() };
        let judged = self.judge(envelope, expected, appraisal, lives, clock).await?;
        Ok(Trusted {
            subject: Backend {
                link: Arc::clone(&self.link),
                manifest: Arc::new(judged.manifest),
                evidence_digest: judged.evidence_digest,
            },
            policy_version: appraisal.version,
            checked_at,
            fresh_until: checked_at + lives.channel_age,
            valid_until: judged.valid_until,
        })
    }

    /// Fetches the epoch evidence that clients verify themselves, and verifies it first.
    pub async fn epoch_evidence(
        &self,
        appraisal: &Arc<Appraisal>,
        lives: Lifetimes,
        clock: &Clock,
    ) -> Result<Trusted<Offer>, Doubt> {
        let checked_at = clock.now().aged;
        let answer = self.link.ask(Method::GET, ENVELOPE_PATH, Bytes::new()).await;
        let envelope = answer.map_err(|error| self.doubt(error))?;
        let judged = self.judge(envelope, Expected::Epoch, appraisal, lives, clock).await?;
        Ok(Trusted {
            subject: Offer { manifest: Arc::new(judged.manifest), listed: judged.listed },
            policy_version: appraisal.version,
            checked_at,
            fresh_until: checked_at + lives.channel_age,
            valid_until: judged.valid_until,
        })
    }

    /// Asks whether the instance takes requests: 503 is a no, 200 a yes. Whatever else comes says nothing.
    pub async fn is_full(&self) -> Result<bool, NoAnswer> {
        match self.link.ask(Method::GET, HEALTH_PATH, Bytes::new()).await {
            Ok(_) => Ok(false),
            Err(NoAnswer::Status(StatusCode::SERVICE_UNAVAILABLE)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Tells its connection from every other one.
    pub fn link_id(&self) -> u64 {
        self.link.id()
    }

    /// Silence is no verdict. An answer that cannot be an envelope is one.
    fn doubt(&self, error: NoAnswer) -> Doubt {
        match error {
            NoAnswer::TooLong(_) => Doubt::Distrust(Distrust {
                checks: vec!["envelope.form"],
                explanation: error.to_string(),
                tls_spki: self.link.tls_spki_sha256(),
            }),
            error => Doubt::NoAnswer(error),
        }
    }

    /// Appraises beside the request path: verification takes milliseconds of a core.
    async fn judge(
        &self,
        envelope: Vec<u8>,
        expected: Expected,
        appraisal: &Arc<Appraisal>,
        lives: Lifetimes,
        clock: &Clock,
    ) -> Result<Judged, Doubt> {
        let (appraisal, tls_spki, now) = (Arc::clone(appraisal), self.link.tls_spki_sha256(), clock.now().wall);
        tokio::task::spawn_blocking(move || judge(&envelope, &expected, tls_spki, &appraisal, lives, now))
            .await
            .map_err(|error| Doubt::NoAnswer(NoAnswer::Unreachable(std::io::Error::other(error))))?
            .map_err(|(checks, explanation)| Doubt::Distrust(Distrust { checks, explanation, tls_spki }))
    }
}

/// Which of the bindings the report data has to be; each needs another argument why it is not somebody else's.
enum Expected {
    Channel { nonce: Nonce, exporter: Exporter },
    Epoch,
}

struct Judged {
    manifest: ManifestBytes,
    listed: Bytes,
    evidence_digest: EvidenceDigest,
    valid_until: UnixTime,
}

type Refused = (Vec<&'static str>, String);

/// The whole appraisal of one envelope. Check ids beside the verifier's own are the gateway's.
fn judge(
    envelope: &[u8],
    expected: &Expected,
    tls_spki: SpkiDigest,
    appraisal: &Appraisal,
    lives: Lifetimes,
    now: UnixTime,
) -> Result<Judged, Refused> {
    let refuse = |check: &'static str, why: &dyn fmt::Display| (vec![check], why.to_string());
    let envelope = Envelope::parse(envelope).map_err(|error| refuse("envelope.form", &error))?;
    let manifest = ManifestBytes::parse(envelope.manifest.clone()).map_err(|error| refuse("manifest.form", &error))?;
    let window = manifest.manifest().check_window(now.seconds(), lives.max_manifest_life);
    window.map_err(|error| refuse("manifest.window", &error))?;
    let named = manifest.manifest().tls_spki_sha256;
    if named != tls_spki {
        let why = format!(
            "the manifest names the TLS key {named}, the peer of the connection holds {tls_spki}: is something in between?"
        );
        return Err(refuse("channel.tls-spki", &why));
    }
    let report_data = match expected {
        Expected::Channel { nonce, exporter } => binding::channel(manifest.digest(), nonce, exporter),
        Expected::Epoch => binding::epoch(manifest.digest()),
    };
    let mut endorsements = appraisal.endorsements.clone();
    if let Some(carried) = &envelope.endorsements {
        // The instance chose them: they may complete what the operator has, and never stand for it.
        let mut own = Endorsements::brought_by(Source::Evidence);
        teegate_intake::endorsements::recognise("endorsements of the envelope", &carried.bytes, &mut own)
            .map_err(|error| refuse("endorsements.form", &error))?;
        endorsements.extend(&own);
    }
    let bytes = envelope.evidence.bytes.as_slice();
    let evidence = match envelope.evidence.kind {
        EvidenceKind::SnpReport => Evidence::sev_snp(bytes, &endorsements),
        EvidenceKind::TdxQuote => Evidence::tdx(bytes, &endorsements),
        kind @ (EvidenceKind::AzSnpVtpm | EvidenceKind::AzTdxVtpm | EvidenceKind::AciSnp) => {
            return Err(refuse("evidence.kind", &format!("`{}` is not supported by this version", kind.media_type())));
        }
    };
    let policy = appraisal.policy.with_report_data(ReportData(report_data));
    let attested = verify(&evidence, &policy, now).map_err(|rejection| refused_by(&rejection))?;
    let valid_until = attested.valid_until().min(UnixTime::from_seconds(manifest.manifest().not_after));
    let evidence_digest = EvidenceDigest::of(bytes);
    let text = envelope.to_json().map_err(|error| refuse("envelope.form", &error))?;
    let envelope: &RawValue = serde_json::from_slice(&text).map_err(|error| refuse("envelope.form", &error))?;
    let listed = serde_json::to_vec(&Listed { manifest: *manifest.digest(), envelope });
    let listed = listed.map_err(|error| refuse("envelope.form", &error))?.into();
    Ok(Judged { manifest, listed, evidence_digest, valid_until })
}

fn refused_by(rejection: &Rejection) -> Refused {
    let mut checks = rejection.failed_checks();
    if checks.is_empty() {
        // A rejection without a failed check would be a defect of the verifier; it is a rejection all the same.
        checks.push("verifier");
    }
    (checks, rejection.to_string())
}

#[cfg(test)]
pub(crate) mod forged;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
