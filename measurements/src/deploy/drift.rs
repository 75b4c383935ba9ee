//! Whether files that were written once still fit the manifest.

use teegate_encoding::hex;

use super::deployment::Deployment;
use super::error::DeployError;
use super::initdata::unpacked;
use super::workload::ANNOTATION;
use super::yaml::{At, documents};

/// The files as they are.
#[derive(Clone, Copy, Debug)]
pub struct Deployed<'a> {
    /// The initdata.
    pub initdata: &'a str,
    /// The patch with the annotation.
    pub patch: &'a str,
    /// The appraisal policy, whatever else was written into it.
    pub policy: &'a str,
}

/// Where files and manifest differ, one sentence each; nothing where they fit.
pub fn drift(expected: &Deployment, deployed: Deployed<'_>) -> Vec<String> {
    let mut found = Vec::new();
    if deployed.initdata != expected.initdata {
        found.push("initdata.toml is not that of the manifest".to_owned());
    }
    let in_patch = annotation_in(deployed.patch).and_then(|text| unpacked(&text));
    match in_patch {
        Ok(text) if text == expected.initdata => {}
        Ok(_) => found.push("patch.yaml carries another initdata than that of the manifest".to_owned()),
        Err(error) => found.push(format!("patch.yaml: {error}")),
    }
    if let Some(annotation) = &expected.workload.annotation {
        match unpacked(annotation) {
            Ok(text) if text == expected.initdata => {}
            Ok(_) => {
                found.push("the manifest's own annotation carries another initdata than its pod asks for".to_owned())
            }
            Err(error) => found.push(format!("the manifest's own {error}")),
        }
    }
    found.extend(in_policy(expected, deployed.policy));
    found
}

/// A profile that does not expect what is measured.
fn in_policy(expected: &Deployment, policy: &str) -> Vec<String> {
    let (tee, _) = expected.platform.evidence();
    let (field, value) = (expected.measured.field, hex::encode(&expected.measured.value));
    let table: toml::Table = match toml::from_str(policy) {
        Ok(table) => table,
        Err(error) => return vec![format!("policy.toml: {}", teegate_verifier::place::readable(&error))],
    };
    let profiles = table.get(tee.name()).and_then(toml::Value::as_table).filter(|profiles| !profiles.is_empty());
    let Some(profiles) = profiles else { return vec![format!("policy.toml has no profile [{}.…]", tee.name())] };
    let is_it =
        |one: &toml::Value| one.as_str().is_some_and(|text| text.trim_start_matches("0x").eq_ignore_ascii_case(&value));
    let expects = |profile: &toml::Value| match profile.get(field) {
        Some(toml::Value::Array(several)) => several.iter().any(is_it),
        Some(one) => is_it(one),
        None => false,
    };
    let others = profiles.iter().filter(|(_, profile)| !expects(profile));
    let sentence = |(name, _): (&String, &toml::Value)| {
        format!(
            "policy.toml, [{}.{}]: `{field}` does not accept this initdata; add \"{value}\" to it, and take the old value out when no pod \
             has it any more",
            tee.name(),
            super::error::short(name)
        )
    };
    others.map(sentence).collect()
}

fn annotation_in(patch: &str) -> Result<String, DeployError> {
    let documents = documents(patch)?;
    let [document] = documents.as_slice() else { return Err(DeployError::new("expected one document")) };
    let mut at = At::root(document);
    if let Some(template) = at.get("spec")?.map(|spec| spec.get("template")).transpose()?.flatten() {
        at = template;
    }
    let metadata = at.needed("metadata", "expected the annotation")?;
    let annotations = metadata.needed("annotations", "expected the initdata there")?;
    Ok(annotations.needed(ANNOTATION, "expected the initdata there")?.text()?.to_owned())
}
