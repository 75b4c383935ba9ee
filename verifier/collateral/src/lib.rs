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
//! **What came with the evidence never stands in for an answer.** Whoever is judged chose it, and an older list or TCB info
//! does not say what was revoked, or found wanting, since. So everything that has an order in time is asked for, and of what
//! came along only certificates go into the pool beside the answers:
//!
//! ```no_run
//! use teegate_collateral::{Fetcher, Settings};
//! use teegate_intake::{endorsements, evidence};
//! use teegate_verifier::{Policy, UnixTime, verify};
//!
//! # async fn example(policy: Policy, now: UnixTime) -> Result<(), Box<dyn std::error::Error>> {
//! let evidence = evidence::load("report.bin".as_ref(), None)?;
//! let supplied = endorsements::load(&["certificates".into()])?;
//! let fetcher = Fetcher::new(Settings::default());
//! let completed = fetcher.complete_evidence(&evidence, &supplied, std::slice::from_ref(&policy), now).await?;
//! let completed = completed.ok_or("this is no evidence")?;
//! completed.notes().iter().for_each(|note| eprintln!("{note}"));
//! let endorsements = completed.endorsements();
//! let verdict = verify(&evidence.as_evidence(&endorsements), &policy, now);
//! # drop(verdict);
//! # Ok(())
//! # }
//! ```
//!
//! The walk of one completion, downwards through the files: [`Completed`] (what counts, and as whose) → [`Fetcher`] (which documents, in which order, from where; [`Held`]
//! says what need not be asked for) → `pursuit` (one document: cache, sources in turn, waiting, stale) → `flight` (one question at a time) → `link` (one
//! bounded exchange) → `answer` (is this the document?) → `cache`.

mod answer;
mod cache;
mod clock;
mod completion;
mod document;
mod failure;
mod fetcher;
mod flight;
mod held;
mod link;
mod outcome;
pub mod outward;
mod pace;
mod pursuit;
mod settings;
mod source;
mod url;
mod words;

pub use clock::{Clock, SystemClock};
pub use completion::{Completed, held, needs};
pub use document::{AmdKey, Document, Update};
pub use failure::{Failure, Tried};
pub use fetcher::Fetcher;
pub use held::Held;
pub use outcome::{Missing, OUT_OF_REACH, Obtained, Origin, Outcome};
pub use settings::{Limits, Patience, Settings, TlsRoots, Updates};
pub use source::{Service, Source, SourceError};
