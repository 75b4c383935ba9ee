//! Threads write under permits while policies change and instances are rejected: what may not happen is observed from inside of each
//! write.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use teegate_protocol::manifest::ManifestDigest;
use teegate_verifier::Endorsements;

use crate::breaker::BreakerLimits;
use crate::config::Address;
use crate::fleet::Fleet;
use crate::metrics::Metrics;
use crate::release::{Admission, Permit, admit};
use crate::trust::Distrust;
use crate::trust::testing::{Who, Wire, any_policy, clock};

fn address() -> Address {
    Address::parse("enclave:1").unwrap()
}

fn fleet() -> Arc<Fleet> {
    let limits = BreakerLimits { failures: 2, open: Duration::from_secs(10) };
    let metrics = Arc::new(Metrics::default());
    Arc::new(Fleet::new(&[address()], any_policy(), Endorsements::new(), clock(), limits, metrics))
}

/// What the writers see from inside of a write.
#[derive(Default)]
struct Watched {
    /// The version of the last policy whose change has returned.
    in_force: AtomicU64,
    /// The newest connection whose rejection has returned: it and all older ones are dead. Beginning at one, zero is none.
    dead: AtomicU64,
    /// Permits of each version that are held.
    held: Mutex<BTreeMap<u64, u64>>,
    written: AtomicU64,
    /// Something was written.
    wrote: tokio::sync::Notify,
    is_over: AtomicBool,
}

/// A permit that is counted. The count falls before the permit ends.
struct Counted<'a> {
    watched: &'a Watched,
    version: u64,
    permit: Option<Permit>,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        *self.watched.held.lock().unwrap().entry(self.version).or_default() -= 1;
        drop(self.permit.take());
    }
}

/// Takes permits and writes under each until it is withdrawn.
fn write_until_over(fleet: &Arc<Fleet>, digest: &ManifestDigest, watched: &Watched) {
    while !watched.is_over.load(Ordering::SeqCst) {
        let Admission::Release(release) = admit(fleet, digest) else {
            std::thread::yield_now();
            continue;
        };
        let version = release.permit.version;
        *watched.held.lock().unwrap().entry(version).or_default() += 1;
        let counted = Counted { watched, version, permit: Some(release.permit) };
        let permit = counted.permit.as_ref().unwrap();
        for number in 0..64 {
            let wrote = permit.exercise(|| {
                // Now and then long enough for the other side to come in between, if it can.
                if number % 16 == 0 {
                    std::thread::yield_now();
                }
                assert!(watched.in_force.load(Ordering::SeqCst) <= version, "written under an older policy");
                assert!(watched.dead.load(Ordering::SeqCst) < permit.link_id() + 1, "written to a rejected instance");
            });
            if wrote.is_err() {
                break;
            }
            watched.written.fetch_add(1, Ordering::Relaxed);
            watched.wrote.notify_one();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_that_write_are_through_when_a_change_of_policy_or_a_rejection_returns() {
    let (fleet, manifest, watched) = (fleet(), Who::new(1).manifest(0, None), Arc::new(Watched::default()));
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let (fleet, watched, digest) = (Arc::clone(&fleet), Arc::clone(&watched), *manifest.digest());
            std::thread::spawn(move || write_until_over(&fleet, &digest, &watched))
        })
        .collect();
    let mut wires = Vec::new();
    for round in 0..200_u64 {
        let wire = Wire::connect().await;
        let version = fleet.appraisal().version;
        assert!(fleet.accept(&address(), wire.trusted(&manifest, version, Duration::from_secs(300))));
        let before = watched.written.load(Ordering::Relaxed);
        while watched.written.load(Ordering::Relaxed) < before + 8 {
            assert!(writers.iter().all(|writer| !writer.is_finished()), "a writer saw what may not be");
            // A writer that fails tells nobody.
            let _waited = tokio::time::timeout(Duration::from_millis(100), watched.wrote.notified()).await;
        }
        if round % 2 == 0 {
            let version = fleet.set_policy(any_policy(), Endorsements::new()).await;
            watched.in_force.store(version, Ordering::SeqCst);
            let held = watched.held.lock().unwrap();
            let old: u64 = held.range(..version).map(|(_, count)| count).sum();
            assert_eq!(old, 0, "a permit of an older version is left");
        } else {
            let spki = manifest.manifest().tls_spki_sha256;
            let distrust = Distrust {
                checks: vec!["snp.policy.debug"],
                explanation: "debug".into(),
                failed: [].into(),
                tls_spki: spki,
            };
            fleet.reject(&address(), &distrust, version);
            watched.dead.store(wire.link_id() + 1, Ordering::SeqCst);
        }
        wires.push(wire);
    }
    watched.is_over.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.join().unwrap();
    }
    assert!(watched.written.load(Ordering::Relaxed) > 1_000, "they wrote all the time");
}
