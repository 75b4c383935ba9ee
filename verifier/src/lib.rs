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
mod carriage;
mod catalogue;
mod check;
mod devices;
mod evidence;
mod expiry;
mod facts;
mod findings;
mod hints;
mod instances;
mod intel;
mod judge;
mod kept;
mod logs;
mod memory;
pub mod place;
mod platform;
mod platforms;
mod policy;
mod reader;
mod report;
mod roots;
mod rule;
mod sev_snp;
mod signature;
mod signer;
mod stage;
mod statement;
mod tdx;
mod time;
mod verify;
mod walk;
mod windows;
mod words;
mod wrapping;
mod x509;

pub use bytes::{ChipId, Fmspc, HostData, Measurement, Mr, ReportData};
pub use carriage::{AciContext, AzureVtpm, TpmQuote, inspect_aci, inspect_azure_vtpm};
pub use check::{Check, Claim, RestsOn, Stage, Tee};
pub use evidence::{Endorsements, Evidence};
pub use expiry::expired;
pub use facts::{FactBytes, FactValue};
pub use hints::{Hint, HintKind, hints_of};
pub use logs::{EventLog, LogDefect, LogEvent, LogRegisters, is_event_log, read_event_log};
pub use memory::{Memory, Seen};
pub use platform::KeyChecks;
pub use platforms::{Needs, fields_around, fields_of, inspect, needs_of};
pub use policy::{Document, Draft, Needed, Policy, PolicyError, Profile, still_needed};
pub use report::{Attested, BoundTo, Endorsement, Finding, Outcome, Prospect, Rejection, Report, Roots};
pub use roots::PinnedRoots;
pub use rule::{Ask, BitNames, Bits, Blank, Field, Floor, Recorded, Severity, Shown, Topic, Value, Values, Written};
pub use sev_snp::{ReportBytes, SnpLeaf, SnpNeeds, SnpTcb, bulletin_table};
pub use signer::{SignedStatement, Signer, SignerError};
pub use statement::Source;
pub use tdx::{TdxNeeds, TdxPlatform};
pub use time::{TimeError, UnixTime};
pub use verify::{Verifier, verify, verify_with};
pub use windows::Expired;
pub use words::Words;
pub use wrapping::Wrapping;
