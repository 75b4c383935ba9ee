//! Which models a tenant may use. The model's name is sealed, so permission is by instance: one may be used where every model of
//! its manifest is permitted.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};

use teegate_protocol::manifest::Manifest;

/// What is permitted, as it is configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Models {
    /// Every model, `["*"]`.
    All,
    /// These.
    Named(BTreeSet<String>),
}

/// What is permitted now. A reload changes it under whoever asks: a request on its way looks again before every piece.
#[derive(Debug)]
pub struct Permission(RwLock<Models>);

impl Permission {
    /// Permission for these.
    pub fn new(models: Models) -> Self {
        Self(RwLock::new(models))
    }

    /// Permission for everything.
    pub fn everything() -> Self {
        Self::new(Models::All)
    }

    /// Whether an instance with `manifest` may be used.
    pub fn admits(&self, manifest: &Manifest) -> bool {
        match &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            Models::All => true,
            // An instance without a model would pass for one whose models are all permitted.
            Models::Named(names) => {
                !manifest.models.is_empty() && manifest.models.iter().all(|model| names.contains(&model.name))
            }
        }
    }

    /// Whether a model of this name may ever be used.
    pub fn names(&self, model: &str) -> bool {
        match &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            Models::All => true,
            Models::Named(names) => names.contains(model),
        }
    }

    /// These from now on.
    pub(crate) fn set(&self, models: Models) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = models;
    }

    /// Nothing from now on.
    pub(crate) fn withdraw(&self) {
        self.set(Models::Named(BTreeSet::new()));
    }
}
