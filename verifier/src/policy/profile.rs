//! One profile of a policy, as it is read: its rules field by field, whatever the platform.

use serde::Deserialize;
use std::sync::Arc;
use toml::de::ValueDeserializer;

use crate::check::Tee;
use crate::judge::RulesInWords;
use crate::platform::Rules;
use crate::report::BoundTo;
use crate::rule::{Ask, Field};
use crate::sev_snp::{self, profile::SnpProfile};
use crate::tdx::{self, profile::TdxProfile};
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
    pub(super) own: Own,
}

/// The rules in the types of the platform.
#[derive(Debug)]
pub(crate) enum Own {
    SevSnp(Box<SnpProfile>),
    Tdx(Box<TdxProfile>),
}

/// What a policy can hold for one platform.
pub(crate) trait Owned: Rules {
    /// These rules, where they are of this platform.
    fn of(own: &Own) -> Option<&Self>;
}

impl Owned for SnpProfile {
    fn of(own: &Own) -> Option<&Self> {
        if let Own::SevSnp(profile) = own { Some(profile) } else { None }
    }
}

impl Owned for TdxProfile {
    fn of(own: &Own) -> Option<&Self> {
        if let Own::Tdx(profile) = own { Some(profile) } else { None }
    }
}

impl Own {
    /// The rules of this TEE, as they are written.
    pub(super) fn load(tee: Tee, written: ValueDeserializer<'_>) -> Result<Self, toml::de::Error> {
        Ok(match tee {
            Tee::SevSnp => Self::SevSnp(Box::deserialize(written)?),
            Tee::Tdx => Self::Tdx(Box::deserialize(written)?),
        })
    }

    pub(super) fn rules(&self) -> &dyn Rules {
        match self {
            Self::SevSnp(profile) => profile.as_ref(),
            Self::Tdx(profile) => profile.as_ref(),
        }
    }
}

/// Every field that a profile of this TEE has, in the order in which policies are written.
pub fn fields_of(tee: Tee) -> Vec<&'static Field> {
    match tee {
        Tee::SevSnp => sev_snp::fields(),
        Tee::Tdx => tdx::fields(),
    }
}

impl Profile {
    pub(super) fn new(tee: Tee, name: &str, weaker: Option<String>, own: Own) -> Self {
        let rules = own.rules().asks();
        let words = rules.iter().map(|(_, ask)| ask.to_string().into()).collect();
        Self { tee, name: name.into(), weaker, rules, words, own }
    }

    /// What each field asks, and the same in words.
    pub(crate) fn rules_in_words(&self) -> RulesInWords<'_> {
        RulesInWords { rules: &self.rules, words: &self.words }
    }

    /// The TEE whose evidence it is about.
    pub const fn tee(&self) -> Tee {
        self.tee
    }

    /// The wrapping in which that evidence comes.
    pub fn wrapping(&self) -> Wrapping {
        self.own.rules().wrapping()
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
        self.own.rules().bound_to()
    }

    /// Why it may claim less than another profile of its TEE; `None` where it does not say.
    pub fn weaker(&self) -> Option<&str> {
        self.weaker.as_deref()
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
