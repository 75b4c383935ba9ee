//! One defect, the check that must find it, and the twin without the defect that must pass.

use teegate_verifier::{Check, Outcome};

use crate::subject::{Subject, good};

/// A rejection that must come from exactly these checks, beside an acceptance.
#[derive(Clone)]
pub(crate) struct Case {
    checks: Vec<Check>,
    pub(crate) subject: Subject,
    pub(crate) twin: Subject,
    /// How the first check ends for the twin.
    twin_shows: &'static str,
    expected: Option<String>,
    actual: Option<String>,
}

/// `subject` must fail exactly this check; until told otherwise its twin is the device that nothing is wrong with.
pub(crate) fn refused(check: &str, subject: Subject) -> Case {
    let check = Check::from_id(check).unwrap_or_else(|| panic!("no check {check}"));
    let twin = good(subject.tee);
    Case { checks: vec![check], subject, twin, twin_shows: "pass", expected: None, actual: None }
}

impl Case {
    /// The check whose case this is.
    pub(crate) fn check(&self) -> Check {
        self.checks[0]
    }

    /// This check fails as well, because what it judges cannot be told apart.
    pub(crate) fn and(mut self, check: &str) -> Self {
        self.checks.push(Check::from_id(check).unwrap_or_else(|| panic!("no check {check}")));
        self
    }

    /// This one passes.
    pub(crate) fn twin(mut self, twin: Subject) -> Self {
        self.twin = twin;
        self
    }

    /// The check is not judged for the twin, and the report says so in this word.
    pub(crate) fn twin_shows(mut self, outcome: &'static str) -> Self {
        self.twin_shows = outcome;
        self
    }

    /// Both are judged by a policy that says this of one field.
    pub(crate) fn under(mut self, field: &str, value: &str) -> Self {
        self.subject = self.subject.under(field, value);
        self.twin = self.twin.under(field, value);
        self
    }

    /// The finding's expectation contains this.
    pub(crate) fn expected(mut self, text: impl Into<String>) -> Self {
        self.expected = Some(text.into());
        self
    }

    /// What the finding found contains this.
    pub(crate) fn actual(mut self, text: impl Into<String>) -> Self {
        self.actual = Some(text.into());
        self
    }

    /// Asserts all of it.
    pub(crate) fn run(&self) {
        let check = self.check();
        let rejection = match self.subject.judge() {
            Err(rejection) => rejection,
            Ok(_) => panic!("{check}: the defect ({:?}) was accepted", self.actual),
        };
        let mut failed = rejection.failed_checks();
        let mut wanted: Vec<_> = self.checks.iter().map(|check| check.id()).collect();
        failed.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(failed, wanted, "{check}: {rejection}");
        assert_eq!(rejection.stage(), check.stage(), "{check}: {rejection}");

        let report = rejection.report();
        assert!(!report.accepted() && report.valid_until().is_none());
        let finding = report.finding(check).unwrap();
        assert_eq!(finding.outcome(), &Outcome::Fail, "{check}");
        for (side, wanted, shown) in
            [("expected", &self.expected, finding.expected()), ("actual", &self.actual, finding.actual())]
        {
            assert!(!shown.is_empty(), "{check}: {side} is empty");
            let wanted = wanted.as_deref().unwrap_or_default();
            assert!(shown.contains(wanted), "{check}: {side} is `{shown}`, which lacks `{wanted}`");
        }
        assert!(rejection.to_string().contains(finding.actual()), "{check}: the error keeps what was found to itself");

        let report = match self.twin.judge() {
            Ok(attested) => attested.report().clone(),
            Err(rejection) => panic!("{check}: the twin ({:?}) must be accepted, but: {rejection}", self.actual),
        };
        for finding in report.findings() {
            assert!(!matches!(finding.outcome(), Outcome::Fail | Outcome::NotReached), "{}", finding.check());
        }
        assert_eq!(report.finding(check).unwrap().outcome().name(), self.twin_shows, "{check}: the twin's outcome");
    }
}

/// Runs each function's cases as a test of its name, and lists them all.
macro_rules! cases {
    ($($name:ident)+) => {
        mod each {
            $(#[test] fn $name() { super::$name().iter().for_each(crate::case::Case::run); })+
        }

        pub(crate) fn all() -> Vec<crate::case::Case> {
            [$($name()),+].concat()
        }
    };
}
pub(crate) use cases;
