//! What tests of several modules need: a gateway with limits that are soon reached, and clients of it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use teegate_protocol::receipt::ReceiptKey;
use teegate_verifier::Endorsements;

use crate::activity::{Activity, Patience};
use crate::admission::Gatekeeper;
use crate::admission::config::Settings;
use crate::breaker::BreakerLimits;
use crate::budget::{Budget, FLOOR_BYTES};
use crate::caller::{Caller, Tenant};
use crate::challenges::Challenges;
use crate::clock::Clock;
use crate::config::Address;
use crate::fleet::Fleet;
use crate::gateway::{Gateway, RouteLimits};
use crate::hold::{Hold, HoldLimits};
use crate::metrics::Metrics;
use crate::pace::Pace;
use crate::peer::Peer;
use crate::polls::Polls;
use crate::proxy::ForwardLimits;
use crate::published::Published;
use crate::reloads::{PolicyFile, Reloads};
use crate::source::Source;
use crate::trust::testing::{START, any_policy, clock, clock_at};

/// 64 KiB in a window of 15 s, 40 s for all of it.
pub(crate) const PACE: Pace =
    Pace { window: Duration::from_secs(15), window_bytes: 64 << 10, whole: Duration::from_secs(40) };

/// What a gateway of a test may keep beside the floors of 16 connections.
pub(crate) const POOL_BYTES: u64 = 16 << 20;

/// The address of the one instance of a test.
pub(crate) fn address() -> Address {
    Address::parse("enclave:1").unwrap()
}

/// The largest request of a test, and the largest answer.
pub(crate) const MOST_SEALED: usize = 4 << 20;
pub(crate) const MOST_ANSWERED: usize = 3 << 20;

/// A gateway of which nothing is attested yet.
pub(crate) fn gateway() -> Arc<Gateway> {
    gateway_keeping(POOL_BYTES)
}

/// One with so much memory for clients, beside the floors of 16 connections.
pub(crate) fn gateway_keeping(pool_bytes: u64) -> Arc<Gateway> {
    gateway_of(&[address()], pool_bytes)
}

/// One with two addresses, and these.
pub(crate) fn two_addresses() -> (Arc<Gateway>, [Address; 2]) {
    let addresses = [address(), Address::parse("enclave:2").unwrap()];
    (gateway_of(&addresses, POOL_BYTES), addresses)
}

/// The same, with a wall clock that starts at this time.
pub(crate) fn two_addresses_at(seconds: u64) -> (Arc<Gateway>, [Address; 2]) {
    let addresses = [address(), Address::parse("enclave:2").unwrap()];
    (gateway_with(&addresses, POOL_BYTES, clock_at(seconds)), addresses)
}

/// One with these addresses.
pub(crate) fn gateway_of(addresses: &[Address], pool_bytes: u64) -> Arc<Gateway> {
    gateway_with(addresses, pool_bytes, clock())
}

fn gateway_with(addresses: &[Address], pool_bytes: u64, clock: Clock) -> Arc<Gateway> {
    let metrics = Arc::new(Metrics::default());
    let breaker = BreakerLimits { failures: 3, open: Duration::from_secs(10) };
    let fleet = Fleet::new(addresses, any_policy(), Endorsements::new(), clock, breaker, Arc::clone(&metrics));
    Arc::new(Gateway {
        fleet: Arc::new(fleet),
        gatekeeper: Gatekeeper::load(&Settings::Everybody).unwrap(),
        hold: Arc::new(Hold::new(HoldLimits { tenant_requests: 2, tenant_bytes: 100_000 })),
        budget: Arc::new(Budget::new(pool_bytes + 16 * FLOOR_BYTES, 16)),
        polls: Polls::new(8),
        challenges: Challenges::default(),
        published: Published::default(),
        metrics,
        tracer: crate::telemetry::Tracer::default(),
        reloads: Arc::new(Reloads::new(
            PolicyFile::of("test", "a policy"),
            teegate_verifier::UnixTime::from_seconds(START),
        )),
        certificates: None,
        receipt_key: ReceiptKey::generate().unwrap(),
        limits: RouteLimits {
            max_sealed_bytes: u64::try_from(MOST_SEALED).unwrap(),
            hold: Duration::from_secs(30),
            max_hold: Duration::from_secs(120),
            forward: ForwardLimits {
                pace: PACE,
                answer: Duration::from_secs(60),
                max_answer_bytes: u64::try_from(MOST_ANSWERED).unwrap(),
            },
        },
        is_draining: AtomicBool::new(false),
    })
}

/// A new connection from a source of this number, under `budget`.
pub(crate) fn peer_of(budget: &Arc<Budget>, source: u8) -> Peer {
    let time = Duration::from_secs(300);
    let activity = Activity::new(Patience { first: time, idle: time, answer: time });
    Peer::new(Caller::new(Tenant::DEFAULT, Source::V4([10, 0, 0, source])), budget, activity)
}

/// A new connection with a budget of its own.
pub(crate) fn peer() -> Peer {
    peer_of(&Arc::new(Budget::new(POOL_BYTES + FLOOR_BYTES, 1)), 1)
}
