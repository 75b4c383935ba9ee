//! The total report: every check that applies to the TEE, judged or visibly not, and the verdict that follows.
//!
//! [`Findings`] starts with every check *not reached*. The only way to an [`Attested`] leads through
//! [`Findings::conclude`], which refuses while any check has failed, was not reached, or was not checked without a
//! policy's written waiver.

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use std::fmt;

use crate::checks::{Check, Stage, Tee};
use crate::error::{Comparison, Reason, Text, Unacceptable};
use crate::evidence::Source;
use crate::facts::{FactValue, Facts};
use crate::memory::Seen;
use crate::time::UnixTime;

/// What accepted evidence is bound to, as the policy's author asserts it (SECURITY.md says what each word means).
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
    NotApplicable(String),
    /// It was not judged, because the policy says so in the field named first.
    NotChecked {
        /// The field of the policy that waives it.
        waived_by: &'static str,
        /// Why, in words.
        why: String,
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
    check: Check,
    outcome: Outcome,
    expected: Text,
    actual: Text,
    /// In place of the catalogue's, where the cause of this very failure is known.
    remedy: Option<Text>,
}

impl Finding {
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
        self.remedy.as_deref().unwrap_or_else(|| self.check.remedy())
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let judged = matches!(self.outcome, Outcome::Pass | Outcome::Fail);
        let mut line = serializer.serialize_struct("Finding", 7)?;
        line.serialize_field("id", self.check.id())?;
        line.serialize_field("result", self.outcome.name())?;
        line.serialize_field("expected", &judged.then_some(self.expected()))?;
        line.serialize_field("actual", &judged.then_some(self.actual()))?;
        line.serialize_field("why", &self.outcome.why())?;
        line.serialize_field("source", self.check.source())?;
        line.serialize_field("remedy", self.remedy())?;
        line.end()
    }
}

/// What the walk has found so far.
#[derive(Clone, Debug)]
pub(crate) struct Findings {
    tee: Tee,
    at: UnixTime,
    profile: Option<String>,
    bound_to: Option<BoundTo>,
    first_end: Option<End>,
    lines: Vec<Finding>,
    failures: Vec<Unacceptable>,
    warnings: Vec<Text>,
    outlook: Vec<Prospect>,
    trust_anchors: Option<Roots>,
    endorsements: Vec<Endorsement>,
    pub(crate) seen: Seen,
    pub(crate) facts: Facts,
}

/// When something that a verdict rests on ends.
#[derive(Clone, Debug, PartialEq, Eq)]
struct End {
    at: UnixTime,
    of: Text,
}

impl Findings {
    /// Nothing judged yet.
    pub(crate) fn new(tee: Tee, at: UnixTime) -> Self {
        let lines = Check::ALL
            .iter()
            .filter(|check| check.applies_to(tee))
            .map(|check| Finding {
                check: *check,
                outcome: Outcome::NotReached,
                expected: Text::Borrowed(""),
                actual: Text::Borrowed(""),
                remedy: None,
            })
            .collect();
        Self {
            tee,
            at,
            profile: None,
            bound_to: None,
            first_end: None,
            lines,
            failures: Vec::new(),
            warnings: Vec::new(),
            outlook: Vec::new(),
            trust_anchors: None,
            endorsements: Vec::new(),
            seen: Seen::default(),
            facts: Facts::with_capacity(48),
        }
    }

    /// The time that was injected.
    pub(crate) const fn at(&self) -> UnixTime {
        self.at
    }

    /// The profile that appraises this evidence, and what it says the evidence is bound to.
    pub(crate) fn appraised_by(&mut self, profile: &str, bound_to: Option<BoundTo>) {
        self.profile = Some(profile.to_owned());
        self.bound_to = bound_to;
    }

    /// What the verdict rests on, `of`, ends at `at`. Of two that end together the one named first stands.
    pub(crate) fn ends(&mut self, at: UnixTime, of: impl Into<Text>) {
        if self.first_end.as_ref().is_none_or(|first| at < first.at) {
            self.first_end = Some(End { at, of: of.into() });
        }
    }

    /// Something that no check of this policy refuses, and that a reader must not overlook.
    pub(crate) fn warn(&mut self, warning: impl Into<Text>) {
        self.warnings.push(warning.into());
    }

    /// Whose root the evidence's chain ended in.
    pub(crate) fn anchored_in(&mut self, roots: Roots) {
        self.trust_anchors = Some(roots);
    }

    /// A statement that the verdict rests on.
    pub(crate) fn rests_on(&mut self, endorsement: Endorsement) {
        self.endorsements.push(endorsement);
    }

    /// What each supplied evaluation of the same platform says.
    pub(crate) fn foresee(&mut self, outlook: Vec<Prospect>) {
        self.outlook = outlook;
    }

    /// Parsing and authentication: records the comparison, and ends the walk where it does not hold.
    pub(crate) fn require<C: Comparison>(&mut self, holds: bool, comparison: C) -> Result<(), C> {
        self.record(holds, &comparison);
        if holds { Ok(()) } else { Err(comparison) }
    }

    /// Appraisal: records the comparison, and goes on either way.
    pub(crate) fn judge(&mut self, holds: bool, comparison: Unacceptable) {
        self.record(holds, &comparison);
        if !holds {
            self.failures.push(comparison);
        }
    }

    /// There is nothing to judge.
    pub(crate) fn not_applicable(&mut self, check: Check, why: impl Into<String>) {
        self.set(check, Outcome::NotApplicable(why.into()), Text::Borrowed(""), Text::Borrowed(""));
    }

    /// The policy's field `waived_by` says that this is not to be judged.
    pub(crate) fn not_checked(&mut self, check: Check, waived_by: &'static str, why: impl Into<String>) {
        self.set(check, Outcome::NotChecked { waived_by, why: why.into() }, Text::Borrowed(""), Text::Borrowed(""));
    }

    fn record(&mut self, holds: bool, comparison: &impl Comparison) {
        let outcome = if holds { Outcome::Pass } else { Outcome::Fail };
        self.set(comparison.check(), outcome, comparison.expected(), comparison.actual());
    }

    fn set(&mut self, check: Check, outcome: Outcome, expected: Text, actual: Text) {
        // A failure stays: whatever is recorded for the same check afterwards cannot turn it into a pass.
        if let Some(line) = self.lines.iter_mut().find(|line| line.check == check && line.outcome != Outcome::Fail) {
            let remedy = line.remedy.take();
            *line = Finding { check, outcome, expected, actual, remedy };
        }
    }

    /// What to do about this check, where its cause is known: said before it fails.
    pub(crate) fn advise(&mut self, check: Check, remedy: impl Into<Text>) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.check == check) {
            line.remedy = Some(remedy.into());
        }
    }

    /// The verdict after the whole walk.
    pub(crate) fn conclude(mut self) -> Result<Attested, Rejection> {
        let failures = std::mem::take(&mut self.failures);
        let seen = std::mem::take(&mut self.seen);
        if !failures.is_empty() {
            return Err(self.refuse(Reason::Unacceptable(failures)));
        }
        let unjudged: Vec<Check> = self
            .lines
            .iter()
            .filter(|line| matches!(line.outcome, Outcome::NotReached | Outcome::Fail))
            .map(Finding::check)
            .collect();
        // In every format, by construction: the author of the policy asked for these roots, and whoever reads must know.
        if self.trust_anchors == Some(Roots::Policy) {
            self.warn(FOREIGN_ROOTS);
        }
        match (unjudged.is_empty(), self.first_end.as_ref().map(|first| first.at)) {
            (true, Some(valid_until)) => Ok(Attested { valid_until, seen, report: self.report(None) }),
            _ => Err(self.refuse(Reason::Incomplete(unjudged))),
        }
    }

    /// The verdict when a stage ended the walk.
    pub(crate) fn refuse(mut self, reason: Reason) -> Rejection {
        let stage = match reason {
            Reason::Malformed(_) => Stage::Parse,
            Reason::Unauthentic(_) => Stage::Authenticate,
            Reason::Unacceptable(_) | Reason::Incomplete(_) => Stage::Appraise,
        };
        self.first_end = None;
        Rejection { reason, report: Box::new(self.report(Some(stage))) }
    }

    fn report(self, stage: Option<Stage>) -> Report {
        Report {
            stage,
            tee: self.tee,
            at: self.at,
            profile: self.profile,
            bound_to: self.bound_to,
            first_end: self.first_end,
            lines: self.lines,
            warnings: self.warnings,
            outlook: self.outlook,
            trust_anchors: self.trust_anchors,
            endorsements: self.endorsements,
            replayed: false,
            facts: self.facts,
        }
    }
}

/// The total report of one verification. Serialises to schema `teegate/report/1`.
#[derive(Clone, Debug)]
pub struct Report {
    stage: Option<Stage>,
    tee: Tee,
    at: UnixTime,
    profile: Option<String>,
    bound_to: Option<BoundTo>,
    first_end: Option<End>,
    lines: Vec<Finding>,
    warnings: Vec<Text>,
    outlook: Vec<Prospect>,
    trust_anchors: Option<Roots>,
    endorsements: Vec<Endorsement>,
    replayed: bool,
    facts: Facts,
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

const FOREIGN_ROOTS: &str = "the chain ends in a root that the policy pins and that is neither AMD's nor Intel's: this acceptance says nothing \
     about their hardware";

/// One statement of a vendor that a verdict rests on, and who brought it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Endorsement {
    /// `certificate`, `crl`, `tcb-info` or `qe-identity`.
    pub kind: &'static str,
    /// Subject of a certificate, issuer of a list, platform of a TCB info.
    pub name: String,
    /// Who brought it.
    pub source: Source,
    /// From where, in the words of whoever loaded it: a file, a URL, an age.
    pub from: Option<String>,
    /// notAfter or nextUpdate.
    pub until: Option<UnixTime>,
}

/// What one evaluation of a platform says, where the caller supplied several (Intel serves an early and a standard one
/// at the same time): today's verdict, and the one that is coming.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
        self.lines.iter().find(|line| line.check == check)
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
        let mut report = serializer.serialize_struct("Report", 16)?;
        report.serialize_field("schema", "teegate/report/1")?;
        report.serialize_field("verdict", if self.accepted() { "accepted" } else { "rejected" })?;
        report.serialize_field("stage", &self.stage.map(Stage::rejection))?;
        report.serialize_field("tee", self.tee.name())?;
        report.serialize_field("trust_anchors", &self.trust_anchors.map(Roots::name))?;
        report.serialize_field("replayed", &self.replayed)?;
        report.serialize_field("profile", &self.profile)?;
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
#[derive(Clone, Debug)]
pub struct Attested {
    valid_until: UnixTime,
    seen: Seen,
    report: Report,
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
#[derive(Clone, Debug)]
pub struct Rejection {
    reason: Reason,
    report: Box<Report>,
}

impl Rejection {
    /// Why, by stage.
    pub const fn reason(&self) -> &Reason {
        &self.reason
    }

    /// The stage at which it was refused.
    pub fn stage(&self) -> Stage {
        match self.reason {
            Reason::Malformed(_) => Stage::Parse,
            Reason::Unauthentic(_) => Stage::Authenticate,
            Reason::Unacceptable(_) | Reason::Incomplete(_) => Stage::Appraise,
        }
    }

    /// The ids of the checks that failed.
    pub fn failed_checks(&self) -> Vec<&'static str> {
        match &self.reason {
            Reason::Malformed(reason) => vec![reason.check().id()],
            Reason::Unauthentic(reason) => vec![reason.check().id()],
            Reason::Unacceptable(reasons) => reasons.iter().map(|reason| reason.check().id()).collect(),
            Reason::Incomplete(checks) => checks.iter().map(|check| check.id()).collect(),
        }
    }

    /// The total report.
    pub const fn report(&self) -> &Report {
        &self.report
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl std::error::Error for Rejection {}
