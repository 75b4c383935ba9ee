//! Whether an instance takes requests: asked of itself, over its attested connection, beside the request path.
//!
//! An instance that says no (503 on `/healthz`: its table of ciphertexts is full, no worker is left, it has no key) is not
//! offered to clients any more, and who has sealed to it already is sent elsewhere. Silence says nothing: whoever does not answer
//! at all stays as he was, and his proof lapses by itself.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::config::Address;
use crate::fleet::Fleet;
use crate::trust::Candidate;

/// An answer without evidence comes at once, or says nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks once.
pub(crate) async fn ask(address: &Address, candidate: &Candidate, fleet: &Fleet) {
    let Ok(Ok(is_full)) = timeout(PATIENCE, candidate.is_full()).await else { return };
    if fleet.heard(address, candidate.link_id(), is_full) {
        if is_full {
            tracing::warn!(
                target: "audit", event = "instance_full", %address, "the instance takes no more for now: it is not offered"
            );
        } else {
            tracing::info!(target: "audit", event = "instance_free", %address, "the instance takes requests again");
        }
    }
}

/// Asks again and again; never resolves.
pub(crate) async fn keep_asking(address: &Address, candidate: Option<&Candidate>, fleet: &Fleet, every: Duration) {
    let Some(candidate) = candidate else { return std::future::pending().await };
    loop {
        sleep(every).await;
        ask(address, candidate, fleet).await;
    }
}
