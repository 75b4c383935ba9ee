//! Epochs: the keys that open requests, each for a short time, and the manifest and evidence that speak of them.
//!
//! Time here is the boot clock, which the host cannot set; the wall clock only writes the dates into the manifest. The
//! next epoch's key, manifest and evidence are ready before its time comes; then it becomes the current one, the
//! previous key still opens for the grace period, and is dropped, which zeroises it, whoever still holds the epoch. When
//! the replay memory of a key is three quarters full the next epoch begins early. Every key lives as long as its manifest
//! says all the same, so there may be several; but only so many, and when they are all crowded, full means busy.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use teegate_attester::{AttesterError, RawEvidence};
use teegate_protocol::binding::{self, Exporter, Nonce};
use teegate_protocol::evidence::{Envelope, TeeEvidence};
use teegate_protocol::manifest::{
    ConfigDigest, Limits, Manifest, ManifestBytes, ManifestDigest, ModelEntry, ohttp_key_id,
};
use teegate_protocol::ohttp::request::OpenError;
use teegate_protocol::ohttp::suite::Kem;
use teegate_protocol::ohttp::{KeyConfig, KeyPair, ServerContext, open_in_place};
use tokio::sync::Notify;

use crate::evidence::EvidenceActor;
use crate::identity::Identity;
use crate::replay::Replay;
use crate::turns::{Caller, PATIENCE, Purpose};

/// How long the source of the first evidence is waited for, and how long between one question and the next.
const WAIT: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Evidence for the next epoch is taken so long before it begins, or a quarter of the epoch if that is shorter.
const LEAD: Duration = Duration::from_secs(60);

/// The pause after an epoch could not be made.
const RETRY: Duration = Duration::from_secs(2);

/// The next epoch begins so long before its time, so that there is always a current one.
const EARLY: Duration = Duration::from_millis(50);

/// Keys that open at once before no epoch begins early any more; one that begins in its time is never held back. Each has
/// a replay memory of its own.
const MAX_KEYS: usize = 8;

/// The longest sleep. A key is dropped no later than this after its time, and opens nothing from the moment on.
const TICK: Duration = Duration::from_secs(1);

/// Time since boot, suspended time included.
fn boot_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

/// Seconds of the wall clock, which the host sets.
pub(crate) fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// One epoch: a key, and what is published about it.
pub struct Epoch {
    key_id: u8,
    /// None once the key's time has passed.
    key: RwLock<Option<KeyPair>>,
    manifest: ManifestBytes,
    evidence: RawEvidence,
    envelope: Bytes,
    replay: Replay,
    /// Boot time at which the next epoch begins.
    ends: Duration,
    /// Boot time from which this key opens nothing.
    dies: Duration,
}

impl Epoch {
    /// Opens a request where it lies, while the key lives.
    ///
    /// # Errors
    /// [`OpenError`]: of an unknown key id when the key is gone.
    pub fn open(&self, request: &mut Vec<u8>) -> Result<ServerContext, OpenError> {
        let gone = OpenError::UnknownKeyId { key_id: self.key_id };
        if boot_time() >= self.dies {
            return Err(gone);
        }
        open_in_place(request, self.key.read().unwrap_or_else(PoisonError::into_inner).as_ref().ok_or(gone)?)
    }

    /// Drops the key, which zeroises it.
    fn forget_key(&self) {
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The manifest, as exact bytes.
    pub fn manifest(&self) -> &ManifestBytes {
        &self.manifest
    }

    /// The requests that arrived under this key.
    pub fn replay(&self) -> &Replay {
        &self.replay
    }

    /// The envelope with the epoch's evidence.
    pub fn envelope(&self) -> Bytes {
        self.envelope.clone()
    }

    /// The body of `/.well-known/ohttp-gateway`, as the manifest has it.
    pub fn key_configs(&self) -> Bytes {
        Bytes::copy_from_slice(&self.manifest.manifest().ohttp_keys)
    }
}

/// What every manifest of this boot says.
pub struct Constants {
    /// Models and their digests.
    pub models: Vec<ModelEntry>,
    /// Digest of the effective configuration.
    pub config_sha256: ConfigDigest,
    /// Asserted limits.
    pub limits: Limits,
    /// Length of an epoch.
    pub length: Duration,
    /// How long a key opens after its epoch.
    pub grace: Duration,
    /// Requests that one key opens.
    pub replay_capacity: usize,
}

/// Why an epoch could not be made, or evidence not be given.
#[derive(Debug)]
pub enum EpochError {
    /// No random bytes for the key.
    NoRandomness,
    /// The manifest would not be accepted by its readers.
    Manifest(teegate_protocol::manifest::ManifestError),
    /// The platform gave no evidence.
    Evidence(AttesterError),
    /// The envelope would not be accepted by its readers.
    Envelope(teegate_protocol::evidence::EnvelopeError),
    /// There is no current epoch.
    None,
}

impl std::fmt::Display for EpochError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoRandomness => f.write_str("epoch: the system gave no random bytes"),
            Self::Manifest(source) => write!(f, "epoch: {source}"),
            Self::Evidence(source) => source.fmt(f),
            Self::Envelope(source) => write!(f, "epoch: {source}"),
            Self::None => {
                f.write_str("epoch: there is no current key, because no evidence could be taken for the next one")
            }
        }
    }
}

impl std::error::Error for EpochError {}

/// The current epoch and those before it whose keys still open.
pub struct Epochs {
    identity: Arc<Identity>,
    actor: EvidenceActor,
    constants: Constants,
    living: RwLock<Living>,
    early: Notify,
}

#[derive(Default)]
struct Living {
    current: Option<Arc<Epoch>>,
    earlier: Vec<Arc<Epoch>>,
    /// Number and manifest of the last epoch that began, which outlive its key.
    last: Option<(u64, ManifestDigest)>,
}

/// What the next epoch follows from.
#[derive(Default)]
struct Origin {
    number: u64,
    prev: Option<ManifestDigest>,
    /// Boot time at which it begins; now, if that is past or absent.
    begins: Option<Duration>,
}

impl Epochs {
    /// Makes the first epoch, with its evidence.
    ///
    /// # Errors
    /// [`EpochError`] when there is no evidence, also not after a minute: without it nothing should listen.
    pub async fn start(
        identity: Arc<Identity>,
        actor: EvidenceActor,
        constants: Constants,
    ) -> Result<Arc<Self>, EpochError> {
        let epochs = Self { identity, actor, constants, living: RwLock::default(), early: Notify::new() };
        let first = epochs.first().await?;
        epochs.begin(first);
        Ok(Arc::new(epochs))
    }

    /// The first epoch. The source of its evidence starts with the guest, as this program does, and may be the later one.
    async fn first(&self) -> Result<Epoch, EpochError> {
        let deadline = tokio::time::Instant::now() + WAIT;
        let mut pause = FIRST_PAUSE;
        let mut last = None;
        loop {
            let error = match tokio::time::timeout_at(deadline, self.make(Origin::default())).await {
                Ok(Err(EpochError::Evidence(error))) if error.may_pass() => error,
                Ok(made) => return made,
                Err(_) => return Err(EpochError::Evidence(last.unwrap_or(AttesterError::TimedOut))),
            };
            if tokio::time::Instant::now() + pause >= deadline {
                return Err(EpochError::Evidence(error));
            }
            if last.is_none() {
                tracing::warn!(%error, seconds = WAIT.as_secs(), "the source of evidence is not ready and is waited for");
            }
            last = Some(error);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Keeps epochs coming. Never returns.
    pub async fn rotate(self: Arc<Self>) {
        let lead = LEAD.min(self.constants.length / 4);
        let mut next: Option<Epoch> = None;
        loop {
            self.forget_the_dead();
            let current = self.current();
            let ends = current.as_ref().map_or(Duration::ZERO, |epoch| epoch.ends);
            let crowded = |epoch: &Arc<Epoch>| epoch.replay.is_crowded() && self.living().earlier.len() + 1 < MAX_KEYS;
            let early = current.as_ref().is_none_or(crowded);
            let now = boot_time();
            match next.take() {
                Some(ready) if early || now + EARLY >= ends => self.begin(ready),
                Some(ready) => {
                    next = Some(ready);
                    self.sleep(ends.saturating_sub(now + EARLY)).await;
                }
                None if early || now + lead >= ends => {
                    // Taking evidence may last; keys end on time all the same.
                    let made = tokio::select! {
                        made = self.make(self.origin((!early).then_some(ends))) => made,
                        never = self.keep_forgetting() => never,
                    };
                    match made {
                        Ok(ready) => next = Some(ready),
                        Err(error) => {
                            tracing::error!(%error, "the next epoch cannot begin yet");
                            let pause = tokio::time::sleep(RETRY.min(self.constants.length / 4));
                            tokio::select! {
                                () = pause => {}
                                never = self.keep_forgetting() => never,
                            }
                        }
                    }
                }
                None => self.sleep(ends.saturating_sub(now + lead)).await,
            }
        }
    }

    /// The epoch that clients should seal to; none after its end, although its key still opens.
    pub fn current(&self) -> Option<Arc<Epoch>> {
        let current = self.living().current.clone();
        current.filter(|epoch| boot_time() < epoch.ends)
    }

    /// The epoch whose key has this id, if it still opens.
    pub fn by_key_id(&self, key_id: u8) -> Option<Arc<Epoch>> {
        let living = self.living();
        let known = living.current.iter().chain(&living.earlier).find(|epoch| epoch.key_id == key_id)?;
        (boot_time() < known.dies).then(|| Arc::clone(known))
    }

    /// Begins the next epoch soon if `epoch` is crowded.
    pub fn relieve(&self, epoch: &Epoch) {
        if epoch.replay.is_crowded() {
            self.early.notify_one();
        }
    }

    /// An envelope that answers a client's own challenge.
    ///
    /// # Errors
    /// [`EpochError`] when there is no evidence.
    pub async fn fresh(&self, nonce: &Nonce) -> Result<Bytes, EpochError> {
        let epoch = self.current().ok_or(EpochError::None)?;
        let report_data = binding::fresh(epoch.manifest.digest(), nonce);
        self.challenged(&epoch, Purpose::Nonce, nonce, report_data).await
    }

    /// An envelope that answers a gateway's challenge over the connection with this exporter.
    ///
    /// # Errors
    /// [`EpochError`] when there is no evidence.
    pub async fn channel(&self, nonce: &Nonce, exporter: &Exporter, caller: &Arc<Caller>) -> Result<Bytes, EpochError> {
        let epoch = self.current().ok_or(EpochError::None)?;
        let report_data = binding::channel(epoch.manifest.digest(), nonce, exporter);
        self.challenged(&epoch, Purpose::Channel(Arc::clone(caller)), nonce, report_data).await
    }

    async fn challenged(
        &self,
        epoch: &Epoch,
        purpose: Purpose,
        nonce: &Nonce,
        report_data: [u8; 64],
    ) -> Result<Bytes, EpochError> {
        let evidence = tokio::time::timeout(PATIENCE, self.actor.evidence(purpose, report_data));
        let evidence = evidence.await.unwrap_or(Err(AttesterError::TimedOut)).map_err(EpochError::Evidence)?;
        envelope(&epoch.manifest, evidence, Some(nonce.clone()))
    }

    async fn make(&self, origin: Origin) -> Result<Epoch, EpochError> {
        let constants = &self.constants;
        let key_id = ohttp_key_id(origin.number, Kem::X25519);
        let key = KeyPair::generate(key_id).map_err(|_| EpochError::NoRandomness)?;
        let (now, not_before) = (boot_time(), unix_time());
        let ends = origin.begins.unwrap_or(now).max(now) + constants.length;
        let use_until = not_before + (ends - now).as_secs();
        let manifest = Manifest {
            instance_id: self.identity.instance_id(),
            epoch: origin.number,
            prev: origin.prev,
            not_before,
            use_until,
            not_after: use_until + constants.grace.as_secs(),
            ohttp_keys: KeyConfig::encode_list([key.config()]),
            tls_spki_sha256: self.identity.tls_spki_sha256(),
            receipt_key: self.identity.receipt_key().public(),
            models: constants.models.clone(),
            config_sha256: constants.config_sha256,
            app_version: env!("CARGO_PKG_VERSION").to_owned(),
            limits: constants.limits.clone(),
        };
        let manifest = manifest.to_bytes().map_err(EpochError::Manifest)?;
        let evidence = self
            .actor
            .evidence(Purpose::Epoch, binding::epoch(manifest.digest()))
            .await
            .map_err(EpochError::Evidence)?;
        let envelope = envelope(&manifest, evidence.clone(), None)?;
        Ok(Epoch {
            key_id,
            key: RwLock::new(Some(key)),
            manifest,
            evidence,
            envelope,
            replay: Replay::new(constants.replay_capacity),
            ends,
            dies: ends + constants.grace,
        })
    }

    fn begin(&self, next: Epoch) {
        let manifest = next.manifest.manifest();
        tracing::info!(epoch = manifest.epoch, manifest = %next.manifest.digest(), evidence = next.evidence.kind.media_type(), "epoch begins");
        let mut living = self.living.write().unwrap_or_else(PoisonError::into_inner);
        living.last = Some((manifest.epoch, *next.manifest.digest()));
        if let Some(before) = living.current.replace(Arc::new(next)) {
            living.earlier.push(before);
        }
    }

    /// Drops the keys whose time has passed, which zeroises them.
    fn forget_the_dead(&self) {
        let now = boot_time();
        let is_dead = |epoch: &mut Arc<Epoch>| now >= epoch.dies;
        let mut living = self.living.write().unwrap_or_else(PoisonError::into_inner);
        let current = living.current.take_if(is_dead);
        let earlier: Vec<_> = living.earlier.extract_if(.., is_dead).collect();
        // Requests that were let in may hold the epoch for long, and one may just be opening.
        drop(living);
        for epoch in current.into_iter().chain(earlier) {
            epoch.forget_key();
        }
    }

    async fn keep_forgetting(&self) -> ! {
        loop {
            self.forget_the_dead();
            tokio::time::sleep(TICK).await;
        }
    }

    async fn sleep(&self, wanted: Duration) {
        // Asking again after a tick costs nothing, and the boot clock can jump ahead when the guest was paused.
        let _ = tokio::time::timeout(wanted.min(TICK), self.early.notified()).await;
    }

    fn origin(&self, begins: Option<Duration>) -> Origin {
        let last = self.living().last;
        last.map_or_else(Origin::default, |(number, manifest)| Origin {
            number: number + 1,
            prev: Some(manifest),
            begins,
        })
    }

    fn living(&self) -> std::sync::RwLockReadGuard<'_, Living> {
        self.living.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn envelope(manifest: &ManifestBytes, evidence: RawEvidence, nonce: Option<Nonce>) -> Result<Bytes, EpochError> {
    let RawEvidence { kind, bytes, endorsements, event_log, left_out: _ } = evidence;
    let envelope = Envelope {
        manifest: manifest.as_bytes().to_vec(),
        evidence: TeeEvidence { kind, bytes },
        endorsements,
        event_log,
        nonce,
    };
    envelope.to_json().map(Bytes::from).map_err(EpochError::Envelope)
}

#[cfg(test)]
pub(crate) mod tests;
