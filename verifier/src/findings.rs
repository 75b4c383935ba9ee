//! What the walk has found so far, and the only way from there to a verdict.
//!
//! [`Findings`] starts with every check *not reached*. The only way to an [`Attested`] leads through
//! [`Findings::conclude`], which refuses while any check has failed, was not reached, or was not checked without a
//! policy's written waiver.

use std::sync::Arc;

use crate::check::{Check, Stage, Tee};
use crate::facts::Facts;
use crate::memory::Seen;
use crate::report::{Attested, BoundTo, End, Endorsement, Finding, Outcome, Prospect, Rejection, Report, Roots, Text};
use crate::time::UnixTime;
use crate::words::{Value, Words, words};
use crate::wrapping::Wrapping;

/// Both sides of one comparison, made before it is judged: what passes and what fails tell one story.
pub(crate) struct Comparison {
    pub(crate) check: Check,
    pub(crate) expected: Text,
    pub(crate) actual: Text,
}

impl Comparison {
    /// Of a field among several that one check judges: what was expected is said with its name.
    pub(crate) fn of_field(
        check: Check,
        field: &'static str,
        expected: impl Into<Value>,
        actual: impl Into<Text>,
    ) -> Self {
        Self { check, expected: words!("{}: {}", field, expected.into()), actual: actual.into() }
    }

    /// A signature that fails says no more than that: which part of it failed is of use only to a forger.
    pub(crate) fn of_signature(check: Check, expected: &'static str, holds: bool) -> Self {
        let actual = if holds { "a valid signature" } else { "no valid signature" };
        Self { check, expected: expected.into(), actual: actual.into() }
    }
}

/// The walk ends here: the finding that ends it is recorded. Made by [`Findings`] alone.
#[derive(Debug)]
pub(crate) struct Stop;

const FOREIGN_ROOTS: &str = "the chain ends in a root that the policy pins and that is neither AMD's nor Intel's: this acceptance says nothing \
     about their hardware";

/// What the walk has found so far.
#[derive(Clone, Debug)]
pub(crate) struct Findings {
    tee: Tee,
    wrapping: Wrapping,
    at: UnixTime,
    profile: Option<Arc<str>>,
    bound_to: Option<BoundTo>,
    first_end: Option<End>,
    lines: Vec<Finding>,
    /// The place of the line that was written last.
    last: usize,
    warnings: Vec<Words>,
    outlook: Vec<Prospect>,
    trust_anchors: Option<Roots>,
    endorsements: Vec<Endorsement>,
    pub(crate) seen: Seen,
    pub(crate) facts: Facts,
}

impl Findings {
    /// Nothing of `checks` judged yet, which are those of this TEE.
    pub(crate) fn new(tee: Tee, checks: &[Check], at: UnixTime) -> Self {
        let lines = std::iter::once(&Check::POLICY_PROFILE).chain(checks).copied().map(Finding::not_reached).collect();
        Self {
            tee,
            wrapping: Wrapping::Raw,
            at,
            profile: None,
            bound_to: None,
            first_end: None,
            lines,
            last: 0,
            warnings: Vec::new(),
            outlook: Vec::new(),
            trust_anchors: None,
            endorsements: Vec::with_capacity(8),
            seen: Seen::default(),
            facts: Facts::with_capacity(64),
        }
    }

    /// The time that was injected.
    pub(crate) const fn at(&self) -> UnixTime {
        self.at
    }

    /// What lay around the evidence, and the checks that judge that.
    pub(crate) fn carried_in(&mut self, wrapping: Wrapping, checks: &[Check]) {
        self.wrapping = wrapping;
        self.also_by(checks);
    }

    /// Further checks that judge this evidence, each once.
    pub(crate) fn also_by(&mut self, checks: &[Check]) {
        for check in checks {
            if self.line(*check).is_none() {
                self.lines.push(Finding::not_reached(*check));
            }
        }
    }

    /// The profile that appraises this evidence, and what it says the evidence is bound to.
    pub(crate) fn appraised_by(&mut self, profile: Option<Arc<str>>, bound_to: Option<BoundTo>) {
        self.profile = profile;
        self.bound_to = bound_to;
    }

    /// What the verdict rests on, `of`, ends at `at`. Of two that end together the one named first stands.
    pub(crate) fn ends(&mut self, at: UnixTime, of: impl Into<Text>) {
        if self.first_end.as_ref().is_none_or(|first| at < first.at) {
            self.first_end = Some(End { at, of: of.into().into() });
        }
    }

    /// Something that no check of this policy refuses, and that a reader must not overlook.
    pub(crate) fn warn(&mut self, warning: impl Into<Text>) {
        self.warnings.push(warning.into().into());
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
    pub(crate) fn require(&mut self, holds: bool, comparison: Comparison) -> Result<(), Stop> {
        self.judge(holds, comparison);
        if holds { Ok(()) } else { Err(Stop) }
    }

    /// As [`Findings::require`], of something that is there or is not.
    pub(crate) fn require_some<T>(&mut self, found: Option<T>, comparison: Comparison) -> Result<T, Stop> {
        self.judge(found.is_some(), comparison);
        found.ok_or(Stop)
    }

    /// Records a comparison that does not hold, and ends the walk.
    pub(crate) fn fail(&mut self, comparison: Comparison) -> Stop {
        self.judge(false, comparison);
        Stop
    }

    /// Appraisal: records the comparison, and goes on either way.
    pub(crate) fn judge(&mut self, holds: bool, Comparison { check, expected, actual }: Comparison) {
        if let Some(line) = self.unfailed(check) {
            line.outcome = if holds { Outcome::Pass } else { Outcome::Fail };
            line.expected.say(expected);
            line.actual.say(actual);
        }
    }

    /// There is nothing to judge.
    pub(crate) fn not_applicable(&mut self, check: Check, why: impl Into<Text>) {
        self.set_aside(check, Outcome::NotApplicable(why.into().into()));
    }

    /// The policy's field `waived_by` says that this is not to be judged.
    pub(crate) fn not_checked(&mut self, check: Check, waived_by: &'static str, why: impl Into<Text>) {
        self.set_aside(check, Outcome::NotChecked { waived_by, why: why.into().into() });
    }

    fn set_aside(&mut self, check: Check, outcome: Outcome) {
        if let Some(line) = self.unfailed(check) {
            // Whatever was said before is not; of most lines nothing was.
            if std::mem::replace(&mut line.outcome, outcome) != Outcome::NotReached {
                line.expected.say("".into());
                line.actual.say("".into());
            }
        }
    }

    /// The line of a check. A failure stays: whatever is recorded for the same check afterwards cannot turn it into a pass.
    fn unfailed(&mut self, check: Check) -> Option<&mut Finding> {
        self.line(check).filter(|line| line.outcome != Outcome::Fail)
    }

    /// The line of a check. Checks are judged in about the order in which they stand: it is looked for from the last on.
    fn line(&mut self, check: Check) -> Option<&mut Finding> {
        let (before, from) = self.lines.split_at_checked(self.last)?;
        let place = |lines: &[Finding]| lines.iter().position(|line| line.check.is(check));
        self.last = place(from).map(|place| place.saturating_add(self.last)).or_else(|| place(before))?;
        self.lines.get_mut(self.last)
    }

    /// What to do about this check, where its cause is known: said before it fails.
    pub(crate) fn advise(&mut self, check: Check, remedy: impl Into<Text>) {
        if let Some(line) = self.line(check) {
            line.remedy = Some(Box::new(remedy.into().into()));
        }
    }

    /// The verdict after the whole walk.
    pub(crate) fn conclude(mut self) -> Result<Attested, Rejection> {
        let seen = std::mem::take(&mut self.seen);
        let all_judged = self.lines.iter().all(|line| !matches!(line.outcome, Outcome::NotReached | Outcome::Fail));
        // In every format, by construction: the author of the policy asked for these roots, and whoever reads must know.
        let any_failed = self.lines.iter().any(|line| line.outcome == Outcome::Fail);
        if self.trust_anchors == Some(Roots::Policy) && !any_failed {
            self.warn(FOREIGN_ROOTS);
        }
        match (all_judged, self.first_end.as_ref().map(|first| first.at)) {
            (true, Some(valid_until)) => Ok(Attested { valid_until, seen, report: self.report(None) }),
            _ => Err(self.rejected(Stage::Appraise)),
        }
    }

    /// The verdict when a check of this stage ended the walk.
    pub(crate) fn refuse(self, stage: Stage, Stop: Stop) -> Rejection {
        self.rejected(stage)
    }

    fn rejected(mut self, stage: Stage) -> Rejection {
        self.first_end = None;
        Rejection { stage, report: Box::new(self.report(Some(stage))) }
    }

    /// The check that failed, where the bytes alone were asked about.
    pub(crate) fn failure(mut self, Stop: Stop) -> Box<Finding> {
        let failed = self.lines.iter().position(|line| line.outcome == Outcome::Fail);
        Box::new(self.lines.swap_remove(failed.unwrap_or_default()))
    }

    fn report(self, stage: Option<Stage>) -> Report {
        Report {
            stage,
            tee: self.tee,
            wrapping: self.wrapping,
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
