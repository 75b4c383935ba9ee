//! The total report: every check that applies to the TEE, judged or visibly not, and the verdict that follows.

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use std::fmt;
use std::sync::Arc;

use crate::bytes::to_hex;
use crate::check::{Check, Stage, Tee};
use crate::facts::{FactValue, Facts};
use crate::memory::Seen;
use crate::statement::{Source, Stated};
use crate::time::UnixTime;
pub(crate) use crate::words::Text;
use crate::words::Words;
use crate::wrapping::Wrapping;

/// What accepted evidence is bound to, as the policy's author asserts it (LIMITATIONS.md says what each word means).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum BoundTo {
    /// The whole guest, with every workload in it.
    Guest,
    /// A measured pod, in which other code may run as well.
    Pod,
    /// One workload: the measured policy admits no other code.
    Workload,
}

impl BoundTo {
    /// Its name in reports and policies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Pod => "pod",
            Self::Workload => "workload",
        }
    }
}

/// How one check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was judged, and holds.
    Pass,
    /// It was judged, and does not hold.
    Fail,
    /// There is nothing to judge in this evidence, for the reason given.
    NotApplicable(Words),
    /// It was not judged, because the policy says so in the field named first.
    NotChecked {
        /// The field of the policy that waives it.
        waived_by: &'static str,
        /// Why, in words.
        why: Words,
    },
    /// An earlier failure ended the walk before it.
    NotReached,
}

impl Outcome {
    /// Its name in reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotApplicable(_) => "not-applicable",
            Self::NotChecked { .. } => "not-checked",
            Self::NotReached => "not-reached",
        }
    }

    /// Why it was not judged, where it was not.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::NotApplicable(why) | Self::NotChecked { why, .. } => Some(why),
            Self::Pass | Self::Fail | Self::NotReached => None,
        }
    }
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub(crate) check: Check,
    pub(crate) outcome: Outcome,
    pub(crate) expected: Words,
    pub(crate) actual: Words,
    /// In place of the catalogue's, where the cause of this very failure is known.
    pub(crate) remedy: Option<Box<Words>>,
}

impl Finding {
    /// Not judged yet.
    pub(crate) const fn not_reached(check: Check) -> Self {
        Self { check, outcome: Outcome::NotReached, expected: Words::none(), actual: Words::none(), remedy: None }
    }

    /// The check.
    pub const fn check(&self) -> Check {
        self.check
    }

    /// How it ended.
    pub const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// What it asked for; empty where it was not judged.
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// What it found; empty where it was not judged.
    pub fn actual(&self) -> &str {
        &self.actual
    }

    /// What to do where it failed: the cause of this failure where it is known, else what the catalogue says.
    pub fn remedy(&self) -> &str {
        self.remedy.as_ref().map_or_else(|| self.check.remedy(), |remedy| remedy.as_str())
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let judged = matches!(self.outcome, Outcome::Pass | Outcome::Fail);
        let mut line = serializer.serialize_struct("Finding", 8)?;
        line.serialize_field("id", self.check.id())?;
        line.serialize_field("result", self.outcome.name())?;
        line.serialize_field("expected", &judged.then_some(self.expected()))?;
        line.serialize_field("actual", &judged.then_some(self.actual()))?;
        line.serialize_field("why", &self.outcome.why())?;
        line.serialize_field("rests_on", self.check.rests_on().name())?;
        line.serialize_field("source", self.check.source())?;
        line.serialize_field("remedy", self.remedy())?;
        line.end()
    }
}

/// As an error: what failed, and both sides of it.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.check, self.expected, self.actual)
    }
}

impl std::error::Error for Finding {}

/// When something that a verdict rests on ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) at: UnixTime,
    pub(crate) of: Words,
}

/// The total report of one verification. Serialises to schema `teegate/report/1`.
#[derive(Clone)]
pub struct Report {
    pub(crate) stage: Option<Stage>,
    pub(crate) tee: Tee,
    pub(crate) wrapping: Wrapping,
    pub(crate) at: UnixTime,
    pub(crate) profile: Option<Arc<str>>,
    pub(crate) bound_to: Option<BoundTo>,
    pub(crate) first_end: Option<End>,
    pub(crate) lines: Vec<Finding>,
    pub(crate) warnings: Vec<Words>,
    pub(crate) outlook: Vec<Prospect>,
    pub(crate) trust_anchors: Option<Roots>,
    pub(crate) endorsements: Vec<Endorsement>,
    pub(crate) replayed: bool,
    pub(crate) facts: Facts,
}

/// Whose roots the chains of a verdict ended in: judged by the key, not by what a policy lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roots {
    /// AMD's or Intel's own, as this build pins them.
    Vendors,
    /// Others, which the policy pins. Whatever is accepted under them says nothing of the vendors' hardware.
    Policy,
}

impl Roots {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vendors => "vendors",
            Self::Policy => "policy",
        }
    }
}

/// One statement of a vendor that a verdict rests on, and who brought it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Endorsement {
    /// `certificate`, `crl`, `tcb-info`, `qe-identity` or `uvm-endorsement`.
    pub kind: &'static str,
    /// Subject of a certificate, issuer of a list, platform of a TCB info.
    pub name: Words,
    /// Who brought it.
    pub source: Source,
    /// From where, in the words of whoever loaded it: a file, a URL, an age.
    pub from: Option<Words>,
    /// notAfter or nextUpdate.
    pub until: Option<UnixTime>,
    /// The statement itself, where it did not stand inside the evidence.
    #[serde(skip)]
    pub(crate) statement: Option<Stated>,
}

impl Endorsement {
    /// The statement as its vendor answers it, to be handed on: a certificate or a list in DER, signed JSON in the object that holds
    /// it beside its signature. Whoever gets it believes it for its signature alone. `None` where it stood inside the evidence,
    /// and comes with that.
    pub fn document(&self) -> Option<Vec<u8>> {
        let statement = self.statement.as_ref()?.get();
        let bytes = statement.bytes();
        let member = match self.kind {
            "tcb-info" => "tcbInfo",
            "qe-identity" => "enclaveIdentity",
            _ => return Some(bytes.to_vec()),
        };
        let signature = to_hex(statement.signature()?);
        Some(
            [format!("{{\"{member}\":").as_bytes(), bytes, format!(",\"signature\":\"{signature}\"}}").as_bytes()]
                .concat(),
        )
    }
}

/// What one evaluation of a platform says, where the caller supplied several (Intel serves an early and a standard one
/// at the same time): today's verdict, and the one that is coming.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Prospect {
    /// `tcbEvaluationDataNumber` of the TCB info.
    pub evaluation: u32,
    /// Whether this is the evaluation that the verdict rests on.
    pub decides: bool,
    /// `issueDate` of the TCB info: before it, the statement does not hold.
    pub from: UnixTime,
    /// `nextUpdate` of the TCB info.
    pub until: UnixTime,
    /// The status under this evaluation, as Intel's library converges it; none where no level matches.
    pub tcb_status: Option<String>,
    /// The advisories that the platform is open to under this evaluation.
    pub advisories: Vec<String>,
    /// Whether the TCB rules of the policy accept that.
    pub accepted: bool,
    /// The same in a sentence.
    pub text: String,
}

impl Report {
    /// Whether the evidence was accepted.
    pub const fn accepted(&self) -> bool {
        self.stage.is_none()
    }

    /// The stage at which it was refused; `None` when it was accepted.
    pub const fn stage(&self) -> Option<Stage> {
        self.stage
    }

    /// The TEE whose evidence this was.
    pub const fn tee(&self) -> Tee {
        self.tee
    }

    /// What lay around the evidence.
    pub const fn wrapping(&self) -> Wrapping {
        self.wrapping
    }

    /// The time that was injected.
    pub const fn at(&self) -> UnixTime {
        self.at
    }

    /// The profile of the policy that appraised it, if the walk came so far.
    pub fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// `guest`, `pod` or `workload`, as the profile says; `None` where it makes no such claim.
    pub const fn bound_to(&self) -> Option<BoundTo> {
        self.bound_to
    }

    /// The earliest end of anything that an accepting verdict rests on.
    pub fn valid_until(&self) -> Option<UnixTime> {
        self.first_end.as_ref().map(|first| first.at)
    }

    /// What it is that ends first, at [`Report::valid_until`].
    pub fn ends_first(&self) -> Option<&str> {
        self.first_end.as_ref().map(|first| &*first.of)
    }

    /// What no check of the policy refused, and what must not be overlooked all the same.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.warnings.iter().map(|warning| &**warning)
    }

    /// What each supplied evaluation of this platform says, by its number; empty where only one was supplied.
    pub fn outlook(&self) -> &[Prospect] {
        &self.outlook
    }

    /// Whose roots the evidence's chain ended in; `None` where the walk did not come so far.
    pub const fn trust_anchors(&self) -> Option<Roots> {
        self.trust_anchors
    }

    /// The statements that the verdict rests on, as far as the walk came.
    pub fn endorsements(&self) -> &[Endorsement] {
        &self.endorsements
    }

    /// Whether whoever asked named a time of their own, so that this verdict is about then and not about now.
    pub const fn replayed(&self) -> bool {
        self.replayed
    }

    /// The same report, which now says that its time was named and is not the present. The verifier has no clock: only its
    /// caller knows.
    #[must_use]
    pub fn of_a_replay(self) -> Self {
        Self { replayed: true, ..self }
    }

    /// Every check that applies to this TEE, in the order of the walk.
    pub fn findings(&self) -> &[Finding] {
        &self.lines
    }

    /// The finding of one check, if it applies to this TEE.
    pub fn finding(&self, check: Check) -> Option<&Finding> {
        self.lines.iter().find(|line| line.check.is(check))
    }

    /// Every decoded field, by name; empty when parsing failed.
    pub fn facts(&self) -> impl Iterator<Item = (&'static str, &FactValue)> {
        self.facts.iter()
    }

    /// One decoded field.
    pub fn fact(&self, name: &str) -> Option<&FactValue> {
        self.facts.get(name)
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut report = serializer.serialize_struct("Report", 17)?;
        report.serialize_field("schema", "teegate/report/1")?;
        report.serialize_field("verdict", if self.accepted() { "accepted" } else { "rejected" })?;
        report.serialize_field("stage", &self.stage.map(Stage::rejection))?;
        report.serialize_field("tee", self.tee.name())?;
        report.serialize_field("wrapping", self.wrapping.name())?;
        report.serialize_field("trust_anchors", &self.trust_anchors.map(Roots::name))?;
        report.serialize_field("replayed", &self.replayed)?;
        report.serialize_field("profile", &self.profile())?;
        report.serialize_field("bound_to", &self.bound_to.map(BoundTo::name))?;
        report.serialize_field("at", &self.at)?;
        report.serialize_field("valid_until", &self.valid_until())?;
        report.serialize_field("ends_first", &self.ends_first())?;
        report.serialize_field("warnings", &self.warnings)?;
        report.serialize_field("outlook", &self.outlook)?;
        report.serialize_field("checks", &self.lines)?;
        report.serialize_field("endorsements", &self.endorsements)?;
        let facts = (!self.facts.is_empty()).then_some(&self.facts);
        report.serialize_field("facts", &facts)?;
        report.end()
    }
}

/// The evidence satisfies the policy at the stated time. Made by [`crate::verify()`] alone.
#[derive(Clone)]
pub struct Attested {
    pub(crate) valid_until: UnixTime,
    pub(crate) seen: Seen,
    pub(crate) report: Report,
}

impl Attested {
    /// What it rests on that a [`crate::Memory`] keeps.
    pub const fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The total report.
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// The earliest end of anything that this verdict rests on.
    pub const fn valid_until(&self) -> UnixTime {
        self.valid_until
    }

    /// What the profile says the evidence is bound to: `guest`, `pod`, `workload`, or no such claim.
    pub const fn bound_to(&self) -> Option<BoundTo> {
        self.report.bound_to
    }
}

/// The evidence does not satisfy the policy at the stated time.
#[derive(Clone)]
pub struct Rejection {
    pub(crate) stage: Stage,
    pub(crate) report: Box<Report>,
}

impl Rejection {
    /// The stage at which it was refused.
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// Every check that failed: one where it ended the walk, all of them at the last stage. Where none failed, one was
    /// neither judged nor waived: never accepted, and an error of this library.
    pub fn failures(&self) -> impl Iterator<Item = &Finding> {
        let failed = self.report.lines.iter().any(|line| line.outcome == Outcome::Fail);
        let why = if failed { Outcome::Fail } else { Outcome::NotReached };
        self.report.lines.iter().filter(move |line| line.outcome == why)
    }

    /// The ids of the checks that failed.
    pub fn failed_checks(&self) -> Vec<&'static str> {
        self.failures().map(|finding| finding.check().id()).collect()
    }

    /// The total report.
    pub const fn report(&self) -> &Report {
        &self.report
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.stage.rejection())?;
        for (index, finding) in self.failures().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{finding}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Rejection {}

/// How many of the checks that failed `Debug` names: a log line is no report.
const NAMED: usize = 4;

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.failed_checks();
        let (named, more) = (failed.get(..NAMED).unwrap_or(&failed), failed.len().saturating_sub(NAMED));
        write!(f, "Rejection({}: {}", self.stage.rejection(), named.join(", "))?;
        if more > 0 {
            write!(f, " and {more} more")?;
        }
        f.write_str(")")
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.accepted() { "accepted" } else { "rejected" };
        write!(f, "Report({verdict}, {}, at {}, {} checks)", self.tee, self.at, self.lines.len())
    }
}

impl fmt::Debug for Attested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attested({}, valid until {})", self.report.tee, self.valid_until)
    }
}
