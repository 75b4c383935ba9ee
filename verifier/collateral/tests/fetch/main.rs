//! Completes evidence against local services: forged vendors that answer as the real ones do, misbehave on purpose, or replay
//! what the real ones once answered. No test waits by a real clock, but for time-outs of milliseconds.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot set up its input should fail where it stands"
)]

mod bench;
mod cached;
mod completes;
mod misbehaves;
mod replayed;
mod single_flight;
mod tls;
