//! From evidence to trust: the only code that makes a [`Trusted`] value, and the only way to a connection that may carry a
//! request.
//!
//! A [`Candidate`] is a connection to an address; it can be challenged, nothing else. [`Candidate::prove`] sends a fresh
//! nonce over it and reads the answer as the argument goes:
//!
//! 1. the envelope brings a manifest, inside its window;
//! 2. the manifest names the TLS key that the peer has just proven to hold;
//! 3. the evidence satisfies the policy, and its 64 bytes of report data bind exactly this manifest, this nonce and the
//!    exporter of exactly this connection.
//!
//! That judgement is [`teegate_intake::envelope`]'s, the same as a client's. What an accepted verdict rested on is remembered
//! for all addresses ([`Seen`]): nobody rolls the vendors' statements, or a platform, back while this process lives.
//!
//! So whoever answers on the connection holds keys that attested code chose, and a relayed, recorded or redirected answer
//! fails the third step. The result expires by itself; nothing prolongs it but another challenge.

mod appraisal;
mod doubt;
mod judging;
mod link;
mod offer;
mod outlet;
mod seen;
mod summary;
mod vouched;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use teegate_intake::envelope::{Proven, Refused};
use teegate_intake::forecast::Forecast;
use teegate_protocol::binding::Nonce;
use teegate_protocol::headers::{ATTEST_PATH, ENVELOPE_PATH, HEALTH_PATH};
use teegate_protocol::manifest::ManifestBytes;
use teegate_protocol::receipt::EvidenceDigest;
use teegate_verifier::{Check, UnixTime, Verifier};
use tokio::time::Instant;

pub use self::appraisal::{Appraisal, Lifetimes};
pub use self::doubt::{Distrust, Doubt};
pub use self::judging::Beside;
use self::judging::{Judged, Question, judge};
pub(crate) use self::link::ANSWER_WINDOW_BYTES;
use self::link::Link;
pub use self::link::{LinkSettings, NoAnswer, Opened, Room};
pub use self::offer::Offer;
use self::offer::listed;
pub use self::outlet::{Outlet, Ticket};
pub use self::seen::Seen;
pub use self::summary::{Ending, Failed, Summary};
pub use self::vouched::Vouched;
use crate::caller::Caller;
use crate::clock::{Clock, Now};
use crate::config::Address;
use crate::telemetry::{Attribute, Lineage, Task};
use crate::turns::Readiness;

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

    /// When it lapses by the wall clock, if nothing lapses before.
    pub fn valid_until(&self) -> UnixTime {
        self.valid_until
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
    summary: Summary,
    forecast: Option<Arc<Forecast>>,
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

    /// What the verdict says in a few lines.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Requests that have a place on its connection.
    pub fn in_flight(&self) -> usize {
        self.link.in_flight()
    }

    /// Until when the vendors' statements and the policy accept its evidence, and what refuses it then.
    pub fn forecast(&self) -> Option<&Arc<Forecast>> {
        self.forecast.as_ref()
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

    /// Hands on a client's own challenge. What comes back is for the client to judge, and nothing here rests on it.
    pub(crate) async fn challenge(&self, nonce: &Nonce) -> Result<Vec<u8>, NoAnswer> {
        self.once().link.ask(Method::GET, &format!("{ENVELOPE_PATH}?nonce={nonce}"), Bytes::new()).await
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

/// A connection whose other end has proven nothing but its TLS key.
#[derive(Debug)]
pub struct Candidate {
    link: Arc<Link>,
    address: Address,
    beside: Beside,
    /// Notes of what was authenticated over this connection. Its own: what one peer sends costs no other a note.
    verifier: Arc<Verifier>,
    /// The round of attestation that it is asked in.
    lineage: Lineage,
}

impl Candidate {
    /// Connects.
    pub async fn connect(address: &Address, settings: &LinkSettings) -> Result<Self, NoAnswer> {
        let link = Arc::new(Link::connect(address, settings).await?);
        Ok(Self {
            link,
            address: address.clone(),
            beside: Beside::default(),
            verifier: Arc::default(),
            lineage: Lineage::default(),
        })
    }

    /// The same, with this beside the judging of its evidence.
    #[must_use]
    pub fn beside(self, beside: Beside) -> Self {
        Self { beside, ..self }
    }

    /// The same, asked in a round of which this lineage is.
    #[must_use]
    pub(crate) fn within(self, lineage: Lineage) -> Self {
        Self { lineage, ..self }
    }

    /// Asks for evidence.
    async fn ask(&self, method: Method, path: &str, question: Bytes) -> Result<Vec<u8>, Doubt> {
        let mut asking = self.lineage.child(Task::Evidence);
        let answer = self.link.ask(method, path, question).await;
        answer.inspect_err(|why| asking.failed(why.kind())).map_err(|error| self.doubt(error))
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
        let envelope = self.ask(Method::POST, ATTEST_PATH, question).await?;
        let question = Question::Channel { nonce, exporter: self.link.exporter().clone() };
        let beside = self.beside.clone();
        let take = move |proven: &Proven, judged: &Judged<'_>| {
            let digest = EvidenceDigest::of(&proven.envelope().evidence.bytes);
            let forecast = beside.forecast(judged, proven.manifest().digest());
            Ok((digest, Summary::of(proven.attested().report()), forecast))
        };
        let ((evidence_digest, summary, forecast), proven) =
            self.judge(envelope, question, take, appraisal, lives, clock).await?;
        Ok(Trusted {
            valid_until: valid_until(&proven),
            subject: Backend {
                link: Arc::clone(&self.link),
                manifest: Arc::new(proven.into_parts().0),
                evidence_digest,
                summary,
                forecast,
            },
            policy_version: appraisal.version,
            checked_at,
            fresh_until: checked_at + lives.channel_age,
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
        let envelope = self.ask(Method::GET, ENVELOPE_PATH, Bytes::new()).await?;
        let vouched = appraisal.vouched.clone();
        let take = move |proven: &Proven, _: &Judged<'_>| {
            let vouched = vouched.keep(proven.attested().report());
            Ok((listed(proven, &vouched)?, vouched))
        };
        let ((listed, vouched), proven) = self.judge(envelope, Question::Epoch, take, appraisal, lives, clock).await?;
        Ok(Trusted {
            valid_until: valid_until(&proven),
            subject: Offer { manifest: Arc::new(proven.into_parts().0), listed, _vouched: vouched },
            policy_version: appraisal.version,
            checked_at,
            fresh_until: checked_at + lives.channel_age,
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
            NoAnswer::TooLong(_) => self.distrust(Refused::by(Check::ENVELOPE_FORM, None, error.to_string())),
            error => Doubt::NoAnswer(error),
        }
    }

    fn distrust(&self, refused: Refused) -> Doubt {
        let failed = Failed::all(&refused);
        let Refused { checks, reason: explanation, .. } = refused;
        Doubt::Distrust(Distrust { checks, explanation, failed, tls_spki: self.link.tls_spki_sha256() })
    }

    /// Appraises beside the request path: verification takes milliseconds of a core, and so may what is taken out of the
    /// envelope.
    async fn judge<T: Send + 'static>(
        &self,
        envelope: Vec<u8>,
        question: Question,
        take: impl FnOnce(&Proven, &Judged<'_>) -> Result<T, Refused> + Send + 'static,
        appraisal: &Arc<Appraisal>,
        lives: Lifetimes,
        clock: &Clock,
    ) -> Result<(T, Proven), Doubt> {
        let (appraisal, verifier) = (Arc::clone(appraisal), Arc::clone(&self.verifier));
        let (tls_spki, now) = (self.link.tls_spki_sha256(), clock.now().wall);
        let (address, beside) = (self.address.clone(), self.beside.clone());
        let mut judging = self.lineage.child(Task::Judge);
        let pool = beside.pool(&address, &envelope, &appraisal, now).await;
        tokio::task::spawn_blocking(move || {
            let asked = question.of(&tls_spki);
            let judged =
                Judged { address: &address, envelope: &envelope, asked, pool: &pool, appraisal: &appraisal, now };
            let proven = judge(&judged, lives, &verifier);
            beside.judged(&judged, &proven);
            let proven = proven?;
            Ok((take(&proven, &judged)?, proven))
        })
        .await
        .map_err(|error| Doubt::NoAnswer(NoAnswer::Unreachable(std::io::Error::other(error))))?
        .map_err(|refused: Refused| {
            judging.note(|| Attribute::Checks(refused.checks.clone()));
            judging.failed("rejected");
            self.distrust(refused)
        })
    }
}

/// When the first of what it rests on ends.
fn valid_until(proven: &Proven) -> UnixTime {
    let not_after = UnixTime::from_seconds(proven.manifest().manifest().not_after);
    proven.attested().valid_until().min(not_after)
}

#[cfg(test)]
pub(crate) mod forged;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
