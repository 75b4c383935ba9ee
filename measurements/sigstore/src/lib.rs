//! Who signed a file, out of a Sigstore bundle beside it: offline, under the trusted root that the user pins, for the identity and the
//! OpenID Connect issuer that the user expects.
//!
//! `sigstore-verify` checks signatures, chains, proofs and times. What is here is narrower than what it reads: one form of bundle, one
//! entry in one log, and no time after the one that the caller names.
//!
//! ```no_run
//! use teegate_sigstore::{Expected, TrustedRoot, verify};
//! use teegate_verifier::UnixTime;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let root = TrustedRoot::read(&std::fs::read("trusted_root.json")?)?;
//! let expected = Expected::new("releases@example.com", "https://accounts.example.com")?;
//! let now = UnixTime::parse("2026-06-01T00:00:00Z")?;
//! let signed = verify(&std::fs::read("values.toml")?, &std::fs::read("values.toml.sigstore.json")?, &root, &expected, now)?;
//! println!("{signed}");
//! # Ok(())
//! # }
//! ```

mod bundle;
mod error;
mod expected;
mod root;
mod verify;

pub use error::Error;
pub use expected::Expected;
pub use root::TrustedRoot;
pub use verify::{Signed, verify};
