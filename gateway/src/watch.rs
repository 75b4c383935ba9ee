//! Attestation beside the request path: one task for each address connects, challenges, verifies and reports to the fleet, again
//! and again. Requests never wait for a verification of their own; they meet its result in the fleet.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Address;
use crate::fleet::Fleet;
use crate::health;
use crate::metrics::Metrics;
use crate::telemetry::{Attribute, Span, Task};
use crate::trust::{Appraisal, Beside, Candidate, Doubt, Lifetimes, LinkSettings, NoAnswer};

/// The first pause after an address did not answer; it doubles up to the configured one.
const FIRST_RETRY: Duration = Duration::from_millis(100);

/// How long a suspension of the machine may go unnoticed after it.
const LOOK: Duration = Duration::from_secs(10);

/// How an address is watched.
#[derive(Clone, Debug)]
pub struct WatchSettings {
    /// How links are made.
    pub link: LinkSettings,
    /// How long statements may live.
    pub lives: Lifetimes,
    /// Between two channel checks.
    pub reattest: Duration,
    /// Before an address that did not answer, or was rejected, is tried again.
    pub retry: Duration,
    /// Between two questions whether an instance takes requests.
    pub health: Duration,
    /// For requests in flight once the address is to be left.
    pub drain: Duration,
    /// What stands beside the judging of evidence.
    pub beside: Beside,
}

/// Watches `address` until it is gone.
pub async fn watch(address: Address, fleet: Arc<Fleet>, settings: WatchSettings, metrics: Arc<Metrics>) {
    // One that comes back while it drains goes on over the connection that it has.
    let mut candidate = None;
    loop {
        watch_until_drained(&address, &mut candidate, &fleet, &settings, &metrics).await;
        if !comes_back(&address, &fleet, settings.drain).await && fleet.remove_if_draining(&address) {
            return;
        }
    }
}

/// Whether `address` is to be watched again before what is in flight has had its time to end.
async fn comes_back(address: &Address, fleet: &Fleet, drain: Duration) -> bool {
    let mut orders = fleet.orders();
    let back = async {
        loop {
            orders.borrow_and_update();
            if !fleet.is_draining(address) {
                return;
            }
            // The fleet is borrowed, so there is an end of orders only with it.
            if orders.changed().await.is_err() {
                std::future::pending().await
            }
        }
    };
    tokio::time::timeout(drain, back).await.is_ok()
}

async fn watch_until_drained(
    address: &Address,
    candidate: &mut Option<Candidate>,
    fleet: &Arc<Fleet>,
    settings: &WatchSettings,
    metrics: &Metrics,
) {
    let (mut silent_for, mut unsettled_for, mut is_unlisted) = (0, 0, false);
    loop {
        let appraisal = fleet.appraisal();
        let version = appraisal.version;
        let mut span = settings.beside.tracer.begin(Task::Attest);
        span.note(|| Attribute::Address(address.clone()));
        span.note(|| Attribute::PolicyVersion(version));
        let checked = check(address, candidate, &appraisal, fleet, settings, &span).await;
        tell(&mut span, &checked);
        drop(span);
        let pause = match checked {
            Ok(Next::Regular(pause)) => {
                metrics.checked(address, "accepted");
                (silent_for, unsettled_for, is_unlisted) = (0, 0, false);
                pause
            }
            Ok(Next::Unlisted(why)) => {
                metrics.checked(address, "accepted");
                (silent_for, unsettled_for) = (0, 0);
                if !std::mem::replace(&mut is_unlisted, true) {
                    let why = why.to_string();
                    tracing::warn!(
                        target: "audit", event = "instance_unlisted", %address, why,
                        "it may be sent to, but clients are not shown it until its epoch evidence is there"
                    );
                }
                settings.retry
            }
            Ok(Next::Soon) => {
                metrics.checked(address, "accepted");
                silent_for = 0;
                backed_off(&mut unsettled_for, settings)
            }
            Err(Doubt::NoAnswer(why)) => {
                metrics.checked(address, "no-answer");
                candidate.take_if(|candidate| candidate.is_closed());
                fleet.silent(address, why.kind(), why.to_string());
                backed_off(&mut silent_for, settings)
            }
            Err(Doubt::Distrust(distrust)) => {
                metrics.checked(address, "rejected");
                // The log has a line for each change (`journal.rs`); every attempt is there for whoever asks for it.
                tracing::debug!(target: "audit", %address, policy_version = version, "rejected: {}", distrust.explanation);
                fleet.reject(address, &distrust, version);
                // What was rejected is left; the next attempt starts with a connection of its own.
                *candidate = None;
                silent_for = 0;
                settings.retry
            }
        };
        if !rest(address, pause, &appraisal, candidate.as_ref(), fleet, settings).await {
            return;
        }
    }
}

/// Says in the span of a round how it ended.
fn tell(span: &mut Span, checked: &Result<Next, Doubt>) {
    match checked {
        Ok(_) => span.ended("accepted"),
        Err(Doubt::NoAnswer(why)) => {
            span.ended("no-answer");
            span.failed(why.kind());
        }
        Err(Doubt::Distrust(distrust)) => {
            span.ended("rejected");
            span.note(|| Attribute::Checks(distrust.checks.clone()));
            span.failed("rejected");
        }
    }
}

/// The pause before the next attempt of a row; it doubles from one to the next.
fn backed_off(attempts: &mut u32, settings: &WatchSettings) -> Duration {
    let pause = FIRST_RETRY.saturating_mul(1 << (*attempts).min(10)).min(settings.retry);
    *attempts = attempts.saturating_add(1);
    pause
}

/// When the next round is due.
enum Next {
    Regular(Duration),
    /// Soon: it has no epoch evidence to show to clients.
    Unlisted(NoAnswer),
    /// What was proven did not settle everything; soon, and then less and less soon.
    Soon,
}

/// One round: a channel check, then the epoch evidence for clients. The connection stays from one round to the next as long as
/// it lasts, whatever a round brought: an enclave serves those first that have had an answer before.
async fn check(
    address: &Address,
    candidate: &mut Option<Candidate>,
    appraisal: &Arc<Appraisal>,
    fleet: &Arc<Fleet>,
    settings: &WatchSettings,
    span: &Span,
) -> Result<Next, Doubt> {
    let current = match candidate.take().filter(|candidate| !candidate.is_closed()) {
        Some(current) => current,
        None => {
            let mut linking = span.child(Task::Link);
            let connected = Candidate::connect(address, &settings.link).await;
            let connected = connected.inspect_err(|why| linking.failed(why.kind())).map_err(Doubt::NoAnswer)?;
            connected.beside(settings.beside.clone())
        }
    };
    let current = candidate.insert(current.within(span.lineage()));
    let backend = current.prove(appraisal, settings.lives, fleet.clock()).await?;
    let manifest = Arc::clone(backend.once().manifest());
    tracing::debug!(
        target: "audit", %address, manifest = %manifest.digest(), instance = %manifest.manifest().instance_id,
        evidence = %backend.once().evidence_digest(), policy_version = appraisal.version, epoch = manifest.manifest().epoch,
        "attested",
    );
    if !fleet.accept(address, backend) {
        return Ok(Next::Soon);
    }
    // Before clients are shown it, so that nobody is shown an instance that has said no.
    health::ask(address, current, fleet).await;
    let offer = match current.epoch_evidence(appraisal, settings.lives, fleet.clock()).await {
        Ok(offer) => offer,
        Err(doubt @ Doubt::Distrust(_)) => return Err(doubt),
        Err(Doubt::NoAnswer(error)) => return Ok(Next::Unlisted(error)),
    };
    if offer.once().manifest().digest() != manifest.digest() {
        // The epoch turned between the two questions: clients are shown nothing that the channel has not proven.
        return Ok(Next::Soon);
    }
    fleet.accept_offer(address, offer);
    let left = manifest.manifest().use_until.saturating_sub(fleet.clock().now().wall.seconds());
    Ok(Next::Regular(next_round(left, settings)))
}

/// The next epoch's manifest should be known as soon as clients can be sealing to it. An epoch that is over by this clock and
/// not by the enclave's is no reason to ask without end.
fn next_round(epoch_seconds_left: u64, settings: &WatchSettings) -> Duration {
    let turn = match epoch_seconds_left {
        0 => settings.retry,
        left => Duration::from_secs(left.saturating_add(1)),
    };
    jittered(settings.reattest).min(turn)
}

/// Waits until the next round is due: at the end of the pause, when the connection ends, or under a new policy or new endorsements.
/// False when the address is to be left.
async fn rest(
    address: &Address,
    pause: Duration,
    appraisal: &Arc<Appraisal>,
    candidate: Option<&Candidate>,
    fleet: &Arc<Fleet>,
    settings: &WatchSettings,
) -> bool {
    let mut orders = fleet.orders();
    let closed = async {
        match candidate {
            Some(candidate) => candidate.closed().await,
            None => std::future::pending().await,
        }
    };
    let changed = async {
        loop {
            orders.borrow_and_update();
            if fleet.is_draining(address)
                || !Arc::ptr_eq(&fleet.appraisal(), appraisal)
                || orders.changed().await.is_err()
            {
                return;
            }
        }
    };
    tokio::select! {
        () = age(pause, fleet) => {}
        () = closed => {
            tracing::debug!(target: "audit", %address, "connection ended");
            fleet.announce();
        }
        () = changed => {}
        () = health::keep_asking(address, candidate, fleet, settings.health) => {}
    }
    !fleet.is_draining(address)
}

/// Waits for `pause` by the clock by which proofs age: it goes on while the machine is suspended, which timers do not.
async fn age(pause: Duration, fleet: &Fleet) {
    let due = fleet.clock().now().aged + pause;
    loop {
        let left = due.saturating_duration_since(fleet.clock().now().aged);
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LOOK)).await;
    }
}

/// Up to a tenth less, so that many replicas do not ask at once.
fn jittered(pause: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(0) % 100;
    pause.saturating_sub(pause.saturating_mul(random) / 1_000)
}

#[cfg(test)]
mod tests;
