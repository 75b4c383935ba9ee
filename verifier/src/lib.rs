//! Decides whether evidence of a TEE satisfies a policy at a stated time.
//!
//! One call, [`verify`], is the whole security argument: *parse* says what the bytes are, *authenticate* says who
//! vouches for them, *appraise* says whether we want them. The words are those of RFC 9334 and of the vendors.
//!
//! The crate is pure: no I/O, clock, randomness, threads or `unsafe`; time, policy and endorsements are arguments. The
//! same bytes therefore give the same verdict on every machine and in every year.
//!
//! What a passing verdict does *not* prove is said in `LIMITATIONS.md` beside this crate.

mod bytes;
mod check;
mod evidence;
mod expiry;
mod facts;
mod findings;
mod hints;
mod instances;
mod intel;
mod memory;
mod platform;
mod platforms;
mod policy;
mod reader;
mod reference;
mod report;
mod roots;
mod sev_snp;
mod signature;
mod stage;
mod statement;
mod tdx;
mod time;
mod verify;
mod walk;
mod windows;
mod words;
mod x509;

pub use bytes::{ChipId, Fmspc, HostData, Measurement, Mr, ReportData};
pub use check::{Check, RestsOn, Stage, Tee};
pub use evidence::{Endorsements, Evidence};
pub use expiry::expired;
pub use facts::{FactBytes, FactValue};
pub use hints::{Hint, HintKind, Needs, SnpLeaf, SnpNeeds, SnpTcb, TdxNeeds, TdxPlatform, hints_of, needs_of};
pub use memory::{Memory, Seen};
pub use policy::{Difference, Direction, Policy, PolicyError, Remark, Sentence, Severity, Shipped, Topic, lint_policy};
pub use policy::{Example, Shown, Side};
pub use policy::{Filled, Given, ReferenceValue, ReferenceValues, ReferenceValuesError};
pub use report::{Attested, BoundTo, Endorsement, Finding, Outcome, Prospect, Rejection, Report, Roots};
pub use sev_snp::{ReportBytes, bulletin_table, inspect as inspect_sev_snp};
pub use statement::Source;
pub use tdx::inspect as inspect_tdx;
pub use time::{TimeError, UnixTime};
pub use verify::{Verifier, verify, verify_with};
pub use windows::Expired;
pub use words::Words;
