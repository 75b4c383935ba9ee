//! Forged vendor services: what AMD's KDS, Intel's PCS, a PCCS and Azure's THIM answer for forged devices, on loopback, and
//! every way in which a service can misbehave.
//!
//! ```no_run
//! use teegate_forge::services::{Misbehaviour, Vendor};
//!
//! let device = teegate_forge::snp();
//! let kds = Vendor::start(device.kds_routes());
//! kds.misbehave("/crl", 2, Misbehaviour::status(429).header("retry-after", "7"));
//! println!("{} was asked {:?}", kds.url(), kds.requests());
//! ```
//!
//! Threads and blocking sockets, so that it serves tests of any runtime. It ends with the value that [`Vendor::start`] returns.

mod misbehaviour;
mod routes;
mod server;

pub use misbehaviour::Misbehaviour;
pub use routes::Route;
pub use server::Vendor;
