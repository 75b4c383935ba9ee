//! One profile of a policy, as it is read: its rules field by field, whatever the platform.

use serde::Deserialize;
use std::sync::Arc;
use toml::de::ValueDeserializer;

use crate::carriage::Beside;
use crate::check::Tee;
use crate::judge::{Rule, RulesInWords};
use crate::platform::{Platform, Rules};
use crate::platforms::{self, Task};
use crate::report::BoundTo;
use crate::rule::{Ask, Field};
use crate::wrapping::Wrapping;

/// Everything that a policy expects of the evidence of one TEE that comes in one wrapping.
#[derive(Debug)]
pub struct Profile {
    pub(super) tee: Tee,
    pub(super) name: Arc<str>,
    /// Why it may claim less than another profile of its TEE.
    pub(super) weaker: Option<String>,
    pub(super) rules: Vec<(&'static Field, Ask)>,
    /// The same as findings say it, written once.
    words: Vec<Arc<str>>,
    /// The same in the types of the platform.
    pub(super) own: Box<dyn Rules>,
    /// What it says of the carriage, in the types of that.
    pub(super) beside: Beside,
}

/// The rules of this TEE, as they are written, in the types of its platform.
pub(super) fn load(tee: Tee, written: ValueDeserializer<'_>) -> Result<Box<dyn Rules>, toml::de::Error> {
    struct Load<'d>(ValueDeserializer<'d>);
    impl Task for Load<'_> {
        type Outcome = Result<Box<dyn Rules>, toml::de::Error>;

        fn with<P: Platform>(self) -> Self::Outcome {
            Ok(Box::new(P::Profile::deserialize(self.0)?))
        }
    }
    platforms::of(tee, Load(written))
}

impl Profile {
    pub(super) fn new(tee: Tee, name: &str, weaker: Option<String>, own: Box<dyn Rules>, beside: Beside) -> Self {
        let rules: Vec<_> = own.asks().into_iter().chain(beside.asks()).collect();
        let words = rules.iter().map(|(_, ask)| ask.to_string().into()).collect();
        Self { tee, name: name.into(), weaker, rules, words, own, beside }
    }

    /// What each field asks, and the same in words.
    pub(crate) fn rules_in_words(&self) -> RulesInWords<'_> {
        RulesInWords { rules: &self.rules, words: &self.words }
    }

    /// What it says of the carriage.
    pub(crate) fn beside(&self) -> &Beside {
        &self.beside
    }

    /// What it asks of the code that its platform's hardware measures at launch; of bare evidence nobody needs to know it apart.
    pub(crate) fn about_code<P: Platform>(&self) -> Option<Rule<'_>> {
        match self.beside {
            Beside::Nothing => None,
            _ => P::asked_by(P::KEY_CHECKS.code).first().and_then(|field| self.rules_in_words().of(field)),
        }
    }

    /// Whether it expects particular bytes of the workload, or leaves them to the caller.
    pub(crate) fn asks_for_report_data(&self) -> bool {
        match self.beside {
            Beside::Nothing => false,
            _ => self.ask("report_data") != Some(&Ask::Nothing),
        }
    }

    /// The TEE whose evidence it is about.
    pub const fn tee(&self) -> Tee {
        self.tee
    }

    /// The wrapping in which that evidence comes.
    pub fn wrapping(&self) -> Wrapping {
        self.own.wrapping()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same, for a report to keep.
    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.name.clone()
    }

    /// Where it stands, such as `sev-snp.strict`.
    pub fn place(&self) -> String {
        format!("{}.{}", self.tee, self.name)
    }

    /// What its author says that accepted evidence speaks for.
    pub fn bound_to(&self) -> Option<BoundTo> {
        self.own.bound_to()
    }

    /// Why it may claim less than another profile of its TEE; `None` where it does not say.
    pub fn weaker(&self) -> Option<&str> {
        self.weaker.as_deref()
    }

    /// What its author bears for a written reason, beside the rules: the field that says so, and the reason.
    pub fn borne(&self) -> Option<(&'static str, &str)> {
        self.own.borne()
    }

    /// What its author says was rebuilt, rather than read from a running guest: the field that says so, and from what.
    pub fn rebuilt(&self) -> Option<(&'static str, &str)> {
        self.own.rebuilt()
    }

    /// What each field asks, in the order in which policies are written.
    pub fn rules(&self) -> &[(&'static Field, Ask)] {
        &self.rules
    }

    /// What the field of this name asks.
    pub fn ask(&self, field: &str) -> Option<&Ask> {
        self.rules.iter().find(|(own, _)| own.name == field).map(|(_, ask)| ask)
    }
}
