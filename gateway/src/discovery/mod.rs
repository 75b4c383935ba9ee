//! Where instances may be: the list of the configuration, names of DNS, and Services of Kubernetes.
//!
//! An address is a place to look and never a proof: whoever is found there is pending until its channel check. Each source
//! puts what it knows now on one [`board`]; [`gather`] makes one set of addresses of it for the fleet, which watches what is new
//! and drains what is missing. A source that cannot be asked keeps what it knew for a bounded time ([`known`]).

mod again;
pub mod board;
pub mod config;
mod dns;
pub mod gather;
pub mod known;
pub mod kubernetes;
pub mod sources;
pub mod special;
