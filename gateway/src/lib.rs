//! The gateway: clients in, attested enclaves out. It cannot read what it releases, and it releases only to an enclave whose
//! hardware and code it has verified, over a connection that this evidence is bound to.
//!
//! A request walks [`route`] -> `relay` -> [`hold`] -> [`release`] -> [`proxy`]; attestation walks [`watch`] -> [`trust`] -> the verifier
//! beside it, on a timer. The two meet only in [`fleet`]. What cannot be done wrong is a matter of types: [`proxy::forward`]
//! takes a [`trust::Trusted`] backend, which only `trust` can make and which expires, and writes nothing without a
//! [`release::Permit`], which judges the release predicate again before every piece.
//!
//! Who may ask at all, in whose name and how much of it, is decided in [`admission`].
//!
//! What a client makes scarce it makes scarce for itself: places for connections (`connections`), memory ([`budget`]), places
//! at an instance ([`turns`]) and waits ([`polls`]) are shared out by connection, [`source`] and tenant ([`caller`]).
//!
//! For confidentiality the gateway is not trusted at all; clients verify the same evidence and seal to it themselves.

mod activity;
pub mod admission;
mod admitted;
pub mod answer;
mod attempt;
pub mod balance;
pub mod breaker;
pub mod budget;
pub mod caller;
mod challenge;
pub mod challenges;
pub mod clock;
pub mod collateral;
pub mod config;
mod connections;
pub mod discovery;
pub mod fleet;
pub mod forecasts;
pub mod foresight;
pub mod freshness;
pub mod gateway;
pub mod head;
mod health;
pub mod hold;
pub mod identity;
mod journal;
mod listing;
pub mod metrics;
pub mod offers;
pub mod open_files;
mod operator;
pub mod pace;
pub mod peer;
pub mod polls;
pub mod problem;
pub mod proxy;
mod proxy_protocol;
pub mod published;
mod publishing;
pub mod refused;
mod relay;
pub mod release;
pub mod reload;
pub mod reloads;
mod respond;
pub mod route;
mod sending;
pub mod server;
mod shares;
pub mod source;
mod stall;
pub mod state;
pub mod status;
pub mod supervisor;
mod taken;
pub mod telemetry;
pub mod tls;
pub mod trust;
pub mod turns;
pub mod upload;
pub mod view;
pub mod watch;
mod wellformed;

#[cfg(test)]
mod testing;
