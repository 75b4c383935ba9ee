//! Asks the vendors for what evidence needs: AMD's key service (KDS), Intel's provisioning certification service (PCS) or a
//! cache of it (PCCS), Azure's host agent (THIM).
//!
//! **Nothing fetched here is believed.** Every document is signed by its vendor and judged by the verifier, so that TLS, the
//! name of the host and the files of the cache only defend against trouble, never against a lie: an answer from anybody else
//! is noise that verification refuses. What *is* decided here is that asking never hurts. Every exchange is bounded in
//! time and size, no redirect is followed, a service that says "later" is left alone until then, the same question is not
//! asked twice at once, and what was learnt is kept for as long as it itself says that it holds, and not a second longer.
//!
//! Never on a verifying path unless somebody asks for it: the verifier knows nothing of this crate.
//!
//! ```no_run
//! use teegate_collateral::{Fetcher, Settings};
//! use teegate_intake::evidence;
//! use teegate_verifier::{UnixTime, needs_of};
//!
//! # async fn example(now: UnixTime) -> Result<(), Box<dyn std::error::Error>> {
//! let evidence = evidence::load("report.bin".as_ref(), None)?;
//! let needs = needs_of(&evidence.as_evidence(&evidence.endorsements))?;
//! let fetcher = Fetcher::new(Settings::default());
//! let outcome = fetcher.complete(&needs, &evidence.endorsements, now).await;
//! for missing in &outcome.missing {
//!     eprintln!("{missing}");
//! }
//! let mut endorsements = outcome.endorsements()?;
//! endorsements.extend(&evidence.endorsements);
//! # Ok(())
//! # }
//! ```
//!
//! The walk of one completion, downwards through the files: [`Fetcher`] (which documents, in which order, from where) →
//! `pursuit` (one document: cache, sources in turn, waiting, stale) → `flight` (one question at a time) → `link` (one
//! bounded exchange) → `answer` (is this the document?) → `cache`.

mod answer;
mod cache;
mod clock;
mod document;
mod failure;
mod fetcher;
mod flight;
mod link;
mod outcome;
mod pace;
mod pursuit;
mod settings;
mod source;
mod url;

pub use clock::{Clock, SystemClock};
pub use document::{AmdKey, Document, Update};
pub use failure::{Failure, Tried};
pub use fetcher::Fetcher;
pub use outcome::{Missing, Obtained, Origin, Outcome};
pub use settings::{Limits, Patience, Settings, TlsRoots, Updates};
pub use source::{Service, Source, SourceError};
