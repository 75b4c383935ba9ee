//! Times, sizes and habits of a client, whom it tells what, and whom it asks beside the gateway.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use teegate_intake::envelope::Refused;
use teegate_protocol::limits;
use teegate_protocol::manifest::ReceiptPublicKey;
use teegate_verifier::{Endorsements, Memory, Policy, UnixTime};

use crate::instance::{Instance, Trust};
use crate::observer::Observer;
use crate::online::Online;
use crate::shared_runs::SharedRuns;

/// Times, sizes and habits. The defaults are those of the protocol.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long the gateway may wait for an attested instance when it is asked for some; at most 30 s.
    pub wait: Duration,
    /// How long the gateway may hold the sealed request until the instance is attested; at most 120 s.
    pub hold: Duration,
    /// How long the answer may take once the request is released.
    pub answer: Duration,
    /// The largest sealed request that is sent, and the largest sealed answer that is read.
    pub max_sealed_bytes: usize,
    /// The longest life of a manifest that is accepted.
    pub max_manifest_life: Duration,
    /// Never seal a request a second time by itself, whatever the gateway asks for.
    pub once: bool,
    /// Whether an instance will do that computes requests of several callers in one run.
    pub shared_runs: SharedRuns,
    /// The gateway's receipt keys, such as the present one and the one that follows it; without any, release receipts are not checked, and
    /// [`Reply::release`] says so.
    pub gateway_receipt_keys: Vec<ReceiptPublicKey>,
    /// What was seen in earlier runs, against roll-back. See [`Client::memory`].
    pub memory: Memory,
    /// Asks the vendors for what verifying needs. Of what gateway and instance hand on only certificates count then.
    pub online: Option<Online>,
    /// Who is told of what happens beside the answers.
    pub observer: Option<Arc<dyn Observer>>,
    /// The clock. Everything else about time is an argument.
    pub clock: fn() -> UnixTime,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(limits::WAIT_SECONDS.most),
            hold: Duration::from_secs(limits::HOLD_SECONDS.default),
            answer: Duration::from_secs(120),
            max_sealed_bytes: usize::try_from(limits::SEALED_BODY_BYTES.default).unwrap_or(usize::MAX),
            max_manifest_life: Duration::from_secs(limits::MANIFEST_LIFE_SECONDS.default),
            once: false,
            shared_runs: SharedRuns::default(),
            gateway_receipt_keys: Vec::new(),
            memory: Memory::default(),
            online: None,
            observer: None,
            clock: system_clock,
        }
    }
}

impl Settings {
    pub(crate) fn trust(&self, policy: Policy, endorsements: Endorsements) -> Trust {
        Trust { max_manifest_life: self.max_manifest_life, ..Trust::new(policy, endorsements) }
    }

    /// What one envelope is held against: `trust`, and beside it what the gateway relayed, or what the vendors answer.
    pub(crate) async fn trust_beside(
        &self,
        trust: &Trust,
        envelope: &[u8],
        relayed: &Endorsements,
        now: UnixTime,
    ) -> Trust {
        match &self.online {
            Some(online) => online.trust(trust, envelope, relayed, self.observer.as_deref(), now).await,
            None => {
                let mut trust = trust.clone();
                trust.endorsements.extend(relayed);
                trust
            }
        }
    }

    pub(crate) fn tell_verified(&self, instance: &Instance) {
        tracing::info!(manifest = %instance.digest(), "instance verified");
        self.observer.as_ref().inspect(|observer| observer.verified(instance));
    }

    pub(crate) fn tell_refused(&self, why: &Refused) {
        tracing::info!(%why, "instance refused");
        self.observer.as_ref().inspect(|observer| observer.refused(why));
    }
}

/// This machine's wall clock. A clock before 1970 reads as 1970, at which no evidence is valid.
fn system_clock() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_seconds(since.as_secs())
}
