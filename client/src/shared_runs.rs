//! Whether a request may be computed in one run with requests of strangers.
//!
//! An instance that is configured to join requests says so in its manifest, for each model. Then whoever takes over the process
//! that computes one of them sees the others, and a model that mixes rows gives them away without that. So it has to be
//! wanted: by who runs the instance, and by who sends.

use teegate_intake::envelope::Refused;
use teegate_protocol::manifest::{ManifestBytes, ModelEntry};
use teegate_verifier::Check;

/// Whether an instance will do that joins requests to the model with those of other callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SharedRuns {
    /// It will not: such an instance is refused (`manifest.shared-runs`).
    #[default]
    Refused,
    /// It will. Other callers' requests may be computed beside this one.
    Accepted,
}

impl SharedRuns {
    /// Refuses an instance that may join requests to this `model` of its, if it has to. Where no model is wanted none is run.
    pub(crate) fn judge(self, manifest: &ManifestBytes, model: Option<&ModelEntry>) -> Result<(), Refused> {
        match model {
            Some(model) if self == Self::Refused && manifest.manifest().shares_runs(model) => {
                let reason = format!(
                    "its manifest says that requests to `{}` may share a run with those of other callers; `--accept-shared-runs` \
                     accepts that (`Settings::shared_runs`)",
                    model.name
                );
                Err(Refused::by(Check::MANIFEST_SHARED_RUNS, Some(*manifest.digest()), reason))
            }
            _ => Ok(()),
        }
    }
}
