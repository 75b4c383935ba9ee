//! What Confidential ACI binds of a container group: HOST_DATA is the SHA-256 of its policy.
//!
//! The policy is Rego; templates carry it in base64 (`ccePolicy`, `security-policy-base64`), and what is hashed is the text behind
//! that. Recomputed from a recorded container.

use teegate_encoding::base64;
use teegate_verifier::Tee;

use super::digest::DigestAlgorithm;
use super::initdata::carried;
use super::input::{Input, PredictError};
use super::prediction::{Predicted, Prediction};

/// Policies of large groups have some 100 KB.
pub const MAX_BYTES: usize = 8 << 20;

/// Predicts `host_data` from a policy, as Rego or in base64.
///
/// # Errors
/// Where the bytes are neither.
pub fn aci_policy(bytes: &[u8]) -> Result<Prediction, PredictError> {
    let input = Input::new("policy", bytes, MAX_BYTES)?;
    let text =
        std::str::from_utf8(bytes).map_err(|_| input.wrong("it is not text: expected Rego, or Rego in base64"))?;
    let trimmed = text.trim();
    if carried(trimmed.as_bytes()).is_some() {
        return Err(input.wrong(
            "gzip in base64, as an annotation carries initdata, and no policy of ACI: `base64 -d FILE | gunzip` gives the TOML, which \
             `teegate predict initdata` takes",
        ));
    }
    if trimmed.starts_with('{') {
        let template = if trimmed.contains("\"ccePolicy\"") {
            "JSON with a member `ccePolicy`, as a template has"
        } else {
            "JSON"
        };
        return Err(input.wrong(format_args!(
            "{template}: expected the policy alone, Rego or Rego in base64; `jq -r '.. | .ccePolicy? // empty' FILE` takes it out of a template"
        )));
    }
    let (policy, form) = if is_rego(text) {
        (bytes.to_vec(), "Rego")
    } else {
        let decoded = base64::decode(trimmed).map_err(|_| input.wrong("neither Rego (`package policy`) nor base64"))?;
        if !std::str::from_utf8(&decoded).is_ok_and(is_rego) {
            return Err(input.wrong("base64, and what it holds is no Rego (`package policy`)"));
        }
        (decoded, "base64")
    };
    let of = format!("policy of {} bytes, read as {form}", policy.len());
    let mut notes = vec![
        "the host chooses HOST_DATA and the utility VM compares the policy with it: it binds a workload only where the measurement is \
         endorsed (UVM endorsement, with a minimum of its SVN)"
            .to_owned(),
    ];
    if text.contains("allow_all") || policy.windows(9).any(|window| window == b"allow_all") {
        notes.push("this policy speaks of `allow_all`: one that allows everything binds nothing".to_owned());
    }
    let value = DigestAlgorithm::Sha256.of(&[&policy]);
    Ok(Prediction {
        kind: "aci-policy",
        tee: Some(Tee::SevSnp),
        values: vec![Predicted { field: "host_data", value, of }],
        notes,
    })
}

fn is_rego(text: &str) -> bool {
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .is_some_and(|line| line.starts_with("package "))
}
