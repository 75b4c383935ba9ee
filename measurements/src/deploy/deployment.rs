//! All that has to agree, made at once.

use teegate_encoding::hex;
use teegate_verifier::BoundTo;

use super::error::{DeployError, short};
use super::initdata::{self, Platform};
use super::workload::{ANNOTATION, Workload};
use crate::init::init;
use crate::predict::Predicted;

/// All that belongs to one workload on one platform.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The workload.
    pub workload: Workload,
    /// Where it runs.
    pub platform: Platform,
    /// The initdata, TOML.
    pub initdata: String,
    /// What hardware will say of it: `pcr8`, `host_data` or `mrconfigid`.
    pub measured: Predicted,
    /// The value of the annotation `io.katacontainers.config.hypervisor.cc_init_data`.
    pub annotation: String,
    /// The annotation as a patch of the workload, YAML.
    pub patch: String,
    /// A first appraisal policy, TOML. What is measured of the initdata stands in it; the measurements of the guest that enforces it are
    /// still needed.
    pub policy: String,
}

impl Deployment {
    /// Makes all of it out of a manifest, YAML or JSON, that holds one workload, or the one of that name: `NAME`, `KIND/NAME` or
    /// `KIND/NAMESPACE/NAME`.
    ///
    /// # Errors
    /// [`DeployError`] names the place in the manifest and what to write there.
    pub fn of(manifest: &str, name: Option<&str>, platform: Platform) -> Result<Self, DeployError> {
        let workload = Workload::parse(manifest, name)?;
        if !workload.runtime_class.starts_with(platform.runtime_class()) {
            return Err(DeployError::new(format!(
                "runtimeClassName is `{}`: expected `{}` for the platform {}",
                short(&workload.runtime_class),
                platform.runtime_class(),
                platform.name()
            )));
        }
        let initdata = initdata::initdata(&workload.container, platform)?;
        let measured = initdata::predicted(&initdata, platform)?;
        let annotation = initdata::annotation(&initdata)?;
        let patch = patch(&workload, &annotation);
        let policy = init(platform.evidence(), &workload.name, BoundTo::Workload, |field| {
            (field == measured.field).then(|| hex::encode(&measured.value))
        });
        let policy = policy.map_err(|error| DeployError::new(format!("appraisal policy: {error}")))?;
        Ok(Self { workload, platform, initdata, measured, annotation, patch, policy })
    }
}

/// A strategic merge patch, in JSON inside YAML where a name needs quotes.
fn patch(workload: &Workload, annotation: &str) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let namespace =
        workload.namespace.as_deref().map(|name| format!("  namespace: {}\n", quoted(name))).unwrap_or_default();
    let head = format!(
        "# Written by `teegate deploy initdata`: not for editing.\napiVersion: {}\nkind: {}\nmetadata:\n  name: {}\n{namespace}",
        workload.api_version,
        workload.kind,
        quoted(&workload.name)
    );
    let key = ANNOTATION;
    match workload.kind {
        "Pod" => format!("{head}  annotations:\n    {key}: \"{annotation}\"\n"),
        _ => format!("{head}spec:\n  template:\n    metadata:\n      annotations:\n        {key}: \"{annotation}\"\n"),
    }
}
