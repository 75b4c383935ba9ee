//! Runs ONNX models inside a TEE and holds the only keys that open a request.
//!
//! A request walks [`server`] -> [`open`] -> [`oip`] -> [`workers`] -> [`engine`] and back, in [`workers`] together with others if
//! [`batch`] lets it; evidence walks
//! [`teegate_attester`] -> [`evidence`] -> [`epoch`] -> [`server`] beside it, on a timer. What is loaded at start: [`config`], [`model`], [`engine`],
//! [`identity`].
//!
//! Everything that is not measured is chosen by the host: configuration, environment, paths, wall clock. So nothing in
//! them can weaken confidentiality, and what they say is in the manifest. No simulator lives here, and no switch that
//! would accept one.

pub mod batch;
pub mod config;
mod connection;
pub mod engine;
pub mod environment;
pub mod epoch;
pub mod evidence;
mod host;
pub mod identity;
pub mod limiter;
pub mod memory;
pub mod model;
pub mod oip;
pub mod open;
pub mod replay;
mod reply;
pub mod secret;
pub mod server;
pub mod strings;
pub mod tensor;
pub mod turns;
pub mod upload;
pub mod workers;
