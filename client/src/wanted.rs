//! Which instances a client wants: those that serve a model, or any.

use teegate_intake::envelope::Refused;
use teegate_protocol::manifest::{Manifest, ManifestDigest, ModelEntry};
use teegate_verifier::Check;

/// What an instance has to serve.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// Whatever it serves.
    Any,
    /// A model by its name and, where it matters, its version.
    Model {
        /// The name.
        name: String,
        /// The version; without one, the highest that the manifest names.
        version: Option<String>,
    },
}

impl Wanted {
    /// The name of the model, for the gateway.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Any => None,
            Self::Model { name, .. } => Some(name),
        }
    }

    /// Whether an instance with this manifest is wanted.
    pub(crate) fn is_served_by(&self, manifest: &Manifest) -> bool {
        matches!(self, Self::Any) || self.among(manifest).is_some()
    }

    /// The model that is wanted, as the manifest names it.
    pub(crate) fn among<'a>(&self, manifest: &'a Manifest) -> Option<&'a ModelEntry> {
        match self {
            Self::Any => None,
            Self::Model { name, version } => manifest.model(name, version.as_deref()),
        }
    }

    /// The instance is genuine and does not serve what is wanted.
    pub(crate) fn missing(&self, manifest: &ManifestDigest) -> Refused {
        let reason = match self {
            Self::Any => "no model was named, so none can be run".to_owned(),
            Self::Model { name, version: None } => format!("its manifest does not name the model `{name}`"),
            Self::Model { name, version: Some(version) } => {
                format!("its manifest does not name the model `{name}` in version `{version}`")
            }
        };
        Refused::by(Check::MANIFEST_MODEL, Some(*manifest), reason)
    }

    /// Whether that is all that was wrong with a candidate.
    pub(crate) fn is_all_that_is_missing(candidate: &Refused) -> bool {
        candidate.checks == [Check::MANIFEST_MODEL.id()]
    }
}
