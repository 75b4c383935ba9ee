//! Attestation beside the request path: one task for each address connects, challenges, verifies and reports to the fleet, again
//! and again. Requests never wait for a verification of their own; they meet its result in the fleet.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Address;
use crate::fleet::Fleet;
use crate::metrics::Metrics;
use crate::trust::{Candidate, Doubt, Lifetimes, LinkSettings};

/// The first pause after an address did not answer; it doubles up to the configured one.
const FIRST_RETRY: Duration = Duration::from_millis(100);

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
    /// For requests in flight once the address is to be left.
    pub drain: Duration,
}

/// Watches `address` until it is gone.
pub async fn watch(address: Address, fleet: Arc<Fleet>, settings: WatchSettings, metrics: Arc<Metrics>) {
    loop {
        watch_until_drained(&address, &fleet, &settings, &metrics).await;
        tokio::time::sleep(settings.drain).await;
        // It may have been listed again meanwhile.
        if fleet.is_draining(&address) {
            fleet.remove(&address);
            tracing::info!(target: "audit", %address, "gone");
            return;
        }
    }
}

async fn watch_until_drained(address: &Address, fleet: &Arc<Fleet>, settings: &WatchSettings, metrics: &Metrics) {
    let mut candidate: Option<Candidate> = None;
    let mut silent_for: u32 = 0;
    loop {
        let version = fleet.appraisal().version;
        let pause = match check(address, &mut candidate, fleet, settings).await {
            Ok(pause) => {
                metrics.checked(address, "accepted");
                silent_for = 0;
                pause
            }
            Err(doubt @ Doubt::NoAnswer(_)) => {
                metrics.checked(address, "no-answer");
                if silent_for == 0 {
                    tracing::warn!(target: "audit", %address, "no answer: {doubt}");
                }
                candidate = candidate.filter(|candidate| !candidate.is_closed());
                fleet.silent(address);
                let pause = FIRST_RETRY.saturating_mul(1 << silent_for.min(10)).min(settings.retry);
                silent_for = silent_for.saturating_add(1);
                pause
            }
            Err(Doubt::Distrust(distrust)) => {
                metrics.checked(address, "rejected");
                let checks = distrust.checks.join(", ");
                tracing::warn!(target: "audit", %address, checks, policy_version = version, "rejected: {}", distrust.explanation);
                fleet.reject(address, &distrust, version);
                // What was rejected is left; the next attempt starts with a connection of its own.
                candidate = None;
                silent_for = 0;
                settings.retry
            }
        };
        if !rest(address, pause, version, candidate.as_ref(), fleet).await {
            return;
        }
    }
}

/// One round: a channel check, then the epoch evidence for clients. Returns when the next is due.
async fn check(
    address: &Address,
    candidate: &mut Option<Candidate>,
    fleet: &Arc<Fleet>,
    settings: &WatchSettings,
) -> Result<Duration, Doubt> {
    let current = match candidate.take().filter(|candidate| !candidate.is_closed()) {
        Some(current) => current,
        None => Candidate::connect(address, &settings.link).await.map_err(Doubt::NoAnswer)?,
    };
    let current = candidate.insert(current);
    let appraisal = fleet.appraisal();
    let backend = current.prove(&appraisal, settings.lives, fleet.clock()).await?;
    let manifest = Arc::clone(backend.once().manifest());
    tracing::info!(
        target: "audit", %address, manifest = %manifest.digest(), instance = %manifest.manifest().instance_id,
        evidence = %backend.once().evidence_digest(), policy_version = appraisal.version, epoch = manifest.manifest().epoch,
        "attested",
    );
    fleet.accept(address, backend);
    let offer = match current.epoch_evidence(&appraisal, settings.lives, fleet.clock()).await {
        Ok(offer) => offer,
        Err(doubt @ Doubt::Distrust(_)) => return Err(doubt),
        Err(Doubt::NoAnswer(error)) => {
            // It may be sent to, but clients are not shown it until its epoch evidence is there.
            tracing::warn!(target: "audit", %address, "no epoch evidence: {error}");
            return Ok(settings.retry);
        }
    };
    let is_same = offer.once().manifest().digest() == manifest.digest();
    fleet.accept_offer(address, offer);
    if !is_same {
        // The epoch turned between the two questions.
        return Ok(FIRST_RETRY);
    }
    // The next epoch's manifest should be known as soon as clients can be sealing to it.
    let wall = fleet.clock().now().wall.seconds();
    let epoch_left = Duration::from_secs(manifest.manifest().use_until.saturating_sub(wall).saturating_add(1));
    Ok(jittered(settings.reattest).min(epoch_left))
}

/// Waits until the next round is due: at the end of the pause, when the connection ends, or under a new policy. False when the
/// address is to be left.
async fn rest(
    address: &Address,
    pause: Duration,
    version: u64,
    candidate: Option<&Candidate>,
    fleet: &Arc<Fleet>,
) -> bool {
    let mut changes = fleet.changes();
    let closed = async {
        match candidate {
            Some(candidate) => candidate.closed().await,
            None => std::future::pending().await,
        }
    };
    let changed = async {
        loop {
            changes.borrow_and_update();
            if fleet.is_draining(address) || fleet.appraisal().version != version || changes.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = closed => {
            tracing::warn!(target: "audit", %address, "connection ended");
            fleet.announce();
        }
        () = changed => {}
    }
    !fleet.is_draining(address)
}

/// Up to a tenth less, so that many replicas do not ask at once.
fn jittered(pause: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(0) % 100;
    pause.saturating_sub(pause.saturating_mul(random) / 1_000)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use teegate_verifier::Endorsements;

    use super::*;
    use crate::breaker::BreakerLimits;
    use crate::fleet::Standing;
    use crate::hold::wait_until;
    use crate::release::{Admission, Refusal, admit};
    use crate::trust::forged::{Enclave, LIVES, appraisal, honest, platform};
    use crate::trust::testing::clock;

    /// Far more than anything here takes; whatever is waited for is an event.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn settings() -> WatchSettings {
        WatchSettings {
            link: LinkSettings::new(PATIENCE, PATIENCE).unwrap(),
            lives: LIVES,
            reattest: Duration::from_millis(20),
            retry: Duration::from_millis(20),
            drain: Duration::ZERO,
        }
    }

    fn watched(enclave: &Enclave) -> Arc<Fleet> {
        let (metrics, appraisal) = (Arc::new(Metrics::default()), appraisal());
        let breaker = BreakerLimits { failures: 3, open: Duration::from_secs(10) };
        let addresses = [enclave.address.clone()];
        let (policy, endorsements) = (appraisal.policy.clone(), appraisal.endorsements.clone());
        let fleet = Arc::new(Fleet::new(&addresses, policy, endorsements, clock(), breaker, Arc::clone(&metrics)));
        tokio::spawn(watch(enclave.address.clone(), Arc::clone(&fleet), settings(), metrics));
        fleet
    }

    /// Waits until `condition` holds for the fleet.
    async fn until(fleet: &Arc<Fleet>, what: &str, condition: impl Fn() -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let reached = wait_until(&mut fleet.changes(), deadline, || condition().then_some(())).await;
        assert!(reached.is_some(), "{what}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_instance_that_fails_its_next_check_is_rejected_at_once_and_may_come_back() {
        let is_debug = Arc::new(AtomicBool::new(false));
        let enclave = {
            let is_debug = Arc::clone(&is_debug);
            Enclave::start(move |who, challenge| {
                let platform = if is_debug.load(Ordering::SeqCst) { platform().debug() } else { platform() };
                honest(who, &platform, challenge)
            })
            .await
        };
        let fleet = watched(&enclave);
        until(&fleet, "offered", || !fleet.offers(None).is_empty()).await;
        let digest = *enclave.who.manifest(0, None).digest();
        let Admission::Release(release) = admit(&fleet, &digest) else { panic!("attested") };
        let mut permit = release.permit;
        is_debug.store(true, Ordering::SeqCst);
        permit.withdrawn().await;
        match admit(&fleet, &digest) {
            Admission::Wait(refusal) => assert_eq!(refusal, Refusal::Rejected(vec!["snp.policy.debug"])),
            other => panic!("{other:?}"),
        }
        assert!(fleet.offers(None).is_empty());
        is_debug.store(false, Ordering::SeqCst);
        until(&fleet, "attested again", || matches!(admit(&fleet, &digest), Admission::Release(_))).await;
        assert!(permit.exercise(|| ()).is_err(), "over a connection of its own: the old permit stays withdrawn");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_new_policy_is_proven_again_and_a_drained_address_goes() {
        let enclave = Enclave::start(|who, challenge| honest(who, &platform(), challenge)).await;
        let fleet = watched(&enclave);
        let digest = *enclave.who.manifest(0, None).digest();
        until(&fleet, "attested", || matches!(admit(&fleet, &digest), Admission::Release(_))).await;
        let other = crate::trust::testing::policy(&platform().ark_pem(), [0; 48]);
        fleet.set_policy(other, appraisal().endorsements.clone()).await;
        let rejected = || {
            let now = fleet.clock().now();
            fleet
                .read()
                .standings(&now)
                .any(|(_, standing)| matches!(standing, Standing::Rejected(&["snp.guest.measurement"])))
        };
        until(&fleet, "rejected under the new policy", rejected).await;
        fleet.set_policy(appraisal().policy.clone(), Endorsements::new()).await;
        let unauthentic = || {
            let now = fleet.clock().now();
            fleet
                .read()
                .standings(&now)
                .any(|(_, standing)| matches!(standing, Standing::Rejected(checks) if !checks.is_empty()))
        };
        until(&fleet, "without its CRL", unauthentic).await;
        fleet.set_addresses(&[]);
        until(&fleet, "gone", || fleet.read().routes.is_empty()).await;
    }

    #[test]
    fn the_jitter_takes_at_most_a_tenth() {
        let pause = Duration::from_secs(100);
        for _ in 0..1_000 {
            let jittered = jittered(pause);
            assert!(jittered <= pause && jittered > Duration::from_secs(90), "{jittered:?}");
        }
    }
}
