//! A policy that may still need reference values: it can be read, and filled, and judges nothing.

use super::document::{Document, Policy};
use super::error::PolicyError;
use super::load::{load, no_profile};
use super::needed::{Needed, still_needed};
use crate::check::Tee;
use crate::rule::NEEDED;

/// A policy as its author is writing it: whole in form, while some fields may say `reference-value-needed`.
#[derive(Debug)]
pub struct Draft {
    document: Document,
    needed: Vec<Needed>,
}

impl Draft {
    /// The word that is written where a reference value is needed.
    pub const NEEDED: &'static str = NEEDED;

    /// Reads a policy from TOML, whatever it still needs.
    ///
    /// # Errors
    /// What else is wrong, with its line and column.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let (document, needed) = load(text)?;
        Ok(Self { document, needed })
    }

    /// What it says so far.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// All that it still needs, in the order of the text.
    pub fn needed(&self) -> &[Needed] {
        &self.needed
    }

    /// The same without its profiles for a TEE, whose evidence is then refused.
    #[must_use]
    pub fn without(mut self, tee: Tee) -> Self {
        self.document.profiles.retain(|profile| profile.tee != tee);
        self.needed.retain(|needed| needed.tee != tee);
        self
    }

    /// The policy, to judge by.
    ///
    /// # Errors
    /// It still needs reference values: all of them are named. Or no profile is left of it.
    pub fn complete(self) -> Result<Policy, PolicyError> {
        if self.document.profiles.is_empty() {
            return Err(PolicyError::new(no_profile()));
        }
        match still_needed(&self.needed) {
            Some(words) => Err(PolicyError::new(words)),
            None => Ok(Policy::of(self.document)),
        }
    }
}

impl Policy {
    /// Loads a policy from TOML. Of a template, all that it still needs is named at once.
    ///
    /// # Errors
    /// What is wrong, with its line and column.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        Draft::parse(text)?.complete()
    }
}
