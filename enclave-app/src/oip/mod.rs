//! The Open Inference Protocol, version 2, over HTTP and JSON with the binary tensor extension
//! (kserve/open-inference-protocol, `inference_rest.md`).
//!
//! It exists only inside the seal: no listener speaks it. Every error is `{"error": "..."}` and says what was wrong,
//! where, and what was expected.

pub mod answer;
pub mod data;
pub mod infer;
mod request;
mod text;

use serde::Serialize;

use crate::engine::{ShapeRule, Signature, TensorSignature};

/// Length of the JSON part when raw tensors follow it; the name in requests and in answers.
pub const HEADER_LENGTH: &str = "inference-header-content-length";

/// The longest sentence of an error; at the longest escape of JSON for each letter 3.6 KB.
const MAX_ERROR_CHARS: usize = 600;

/// A call that the protocol knows, with the model that it names.
#[derive(Debug, PartialEq, Eq)]
pub enum Call<'a> {
    /// `GET /v2/health/live`
    Live,
    /// `GET /v2/health/ready`
    Ready,
    /// `GET /v2`
    Server,
    /// `GET /v2/models/{model}`
    Model(ModelName<'a>),
    /// `GET /v2/models/{model}/ready`
    ModelReady(ModelName<'a>),
    /// `POST /v2/models/{model}/infer`
    Infer(ModelName<'a>),
}

/// A model by name and, where the path has it, version.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct ModelName<'a> {
    /// The name.
    pub name: &'a str,
    /// The version, when the path says `/versions/{version}`.
    pub version: Option<&'a str>,
}

/// An error of the protocol: a status and one sentence.
#[derive(Debug, PartialEq, Eq)]
pub struct OipError {
    /// HTTP status.
    pub status: u16,
    /// What was wrong, where, and what was expected.
    pub message: String,
}

impl OipError {
    /// 400: the request is wrong.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self { status: 400, message: message.into() }
    }

    /// 415: the body is in a form that is not read here.
    pub fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self { status: 415, message: message.into() }
    }

    /// 404: no such path, model or version.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { status: 404, message: message.into() }
    }

    /// The body `{"error": "..."}`, of bounded length: there is always memory for it, and an engine's words have no end of
    /// their own.
    pub fn body(&self) -> Vec<u8> {
        let message: String = self.message.chars().take(MAX_ERROR_CHARS).collect();
        json(&serde_json::json!({ "error": message }))
    }
}

/// Finds the call for a method and a path.
///
/// # Errors
/// 404 for a path that the protocol does not know, 405 for another method.
pub fn route<'a>(method: &str, path: &'a str) -> Result<Call<'a>, OipError> {
    let unknown = || {
        OipError::not_found(
            "path is none of the Open Inference Protocol: expected `/v2`, `/v2/health/…` or `/v2/models/…`",
        )
    };
    let mut segments = path.strip_prefix('/').unwrap_or_default().split('/');
    let mut next = || segments.next();
    let call = match (next(), next(), next(), next(), next(), next()) {
        (Some("v2"), None, ..) => Call::Server,
        (Some("v2"), Some("health"), Some("live"), None, ..) => Call::Live,
        (Some("v2"), Some("health"), Some("ready"), None, ..) => Call::Ready,
        (Some("v2"), Some("models"), Some(name), None, ..) => Call::Model(ModelName { name, version: None }),
        (Some("v2"), Some("models"), Some(name), Some("ready"), None, _) => {
            Call::ModelReady(ModelName { name, version: None })
        }
        (Some("v2"), Some("models"), Some(name), Some("infer"), None, _) => {
            Call::Infer(ModelName { name, version: None })
        }
        (Some("v2"), Some("models"), Some(name), Some("versions"), Some(version), last) => {
            if next().is_some() {
                return Err(unknown());
            }
            let model = ModelName { name, version: Some(version) };
            match last {
                None => Call::Model(model),
                Some("ready") => Call::ModelReady(model),
                Some("infer") => Call::Infer(model),
                Some(_) => return Err(unknown()),
            }
        }
        _ => return Err(unknown()),
    };
    let expected = if matches!(call, Call::Infer(_)) { "POST" } else { "GET" };
    if method != expected {
        return Err(OipError { status: 405, message: format!("method is not {expected}, which this path expects") });
    }
    Ok(call)
}

/// The answer to `GET /v2`.
pub fn server_metadata() -> Vec<u8> {
    json(
        &serde_json::json!({ "name": "enclave-app", "version": env!("CARGO_PKG_VERSION"), "extensions": ["binary_tensor_data"] }),
    )
}

/// The answer to `GET /v2/models/{model}`, with all versions that there are of it. Inputs for which the model brings a value do not stand in it: whoever gives
/// what stands there has given enough.
pub fn model_metadata(name: &str, versions: &[&str], signature: &Signature) -> Vec<u8> {
    #[derive(Serialize)]
    struct Metadata<'a> {
        name: &'a str,
        datatype: &'static str,
        shape: &'a [i64],
        #[serde(skip_serializing_if = "Option::is_none")]
        parameters: Option<Parameters>,
    }
    #[derive(Serialize)]
    struct Parameters {
        any_rank: bool,
    }
    let metadata = |tensors: &[TensorSignature]| -> serde_json::Value {
        let described = tensors.iter().map(|tensor| {
            // The protocol has no word for an unknown rank, and `[]` says scalar: a vector of any length is one of the
            // shapes that fit.
            let (shape, any_rank) = match &tensor.shape {
                ShapeRule::AnyRank => (&[-1][..], true),
                ShapeRule::Dimensions(dimensions) => (dimensions.as_slice(), false),
            };
            let parameters = any_rank.then_some(Parameters { any_rank });
            serde_json::json!(Metadata { name: &tensor.name, datatype: tensor.datatype.name(), shape, parameters })
        });
        described.collect()
    };
    json(&serde_json::json!({
        "name": name,
        "versions": versions,
        "platform": "onnx_onnxv1",
        "inputs": metadata(&signature.inputs),
        "outputs": metadata(&signature.outputs),
    }))
}

/// The answer to the health calls.
pub fn health(member: &str, holds: bool) -> Vec<u8> {
    json(&serde_json::json!({ member: holds }))
}

/// The answer to `GET /v2/models/{model}/ready`.
pub fn model_ready(name: &str, ready: bool) -> Vec<u8> {
    json(&serde_json::json!({ "name": name, "ready": ready }))
}

fn json(value: &serde_json::Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_protocol_and_no_others() {
        let model = |version| ModelName { name: "m", version };
        for (method, path, call) in [
            ("GET", "/v2", Call::Server),
            ("GET", "/v2/health/live", Call::Live),
            ("GET", "/v2/health/ready", Call::Ready),
            ("GET", "/v2/models/m", Call::Model(model(None))),
            ("GET", "/v2/models/m/ready", Call::ModelReady(model(None))),
            ("POST", "/v2/models/m/infer", Call::Infer(model(None))),
            ("GET", "/v2/models/m/versions/1", Call::Model(model(Some("1")))),
            ("GET", "/v2/models/m/versions/1/ready", Call::ModelReady(model(Some("1")))),
            ("POST", "/v2/models/m/versions/1/infer", Call::Infer(model(Some("1")))),
        ] {
            assert_eq!(route(method, path), Ok(call), "{path}");
            assert_eq!(route("PUT", path).unwrap_err().status, 405, "{path}");
        }
        for path in [
            "",
            "/",
            "v2",
            "/v2/",
            "/v3",
            "/v2/models",
            "/v2/models/m/x",
            "/v2/models/m/versions",
            "/v2/models/m/versions/1/infer/x",
            "/v2?x",
        ] {
            assert_eq!(route("GET", path).unwrap_err().status, 404, "{path}");
        }
    }

    #[test]
    fn metadata_never_calls_a_tensor_of_unknown_rank_a_scalar() {
        use crate::tensor::Datatype;

        let tensor = |name: &str, shape| TensorSignature { name: name.into(), datatype: Datatype::Fp32, shape };
        let signature = Signature {
            inputs: vec![tensor("any", ShapeRule::AnyRank), tensor("scalar", ShapeRule::Dimensions(vec![]))],
            defaults: vec![tensor("weight", ShapeRule::Dimensions(vec![2]))],
            outputs: vec![tensor("y", ShapeRule::Dimensions(vec![-1, 2]))],
            ..Signature::default()
        };
        let said: serde_json::Value = serde_json::from_slice(&model_metadata("m", &["1", "2"], &signature)).unwrap();
        let expected = serde_json::json!({
            "name": "m",
            "versions": ["1", "2"],
            "platform": "onnx_onnxv1",
            "inputs": [
                {"name": "any", "datatype": "FP32", "shape": [-1], "parameters": {"any_rank": true}},
                {"name": "scalar", "datatype": "FP32", "shape": []},
            ],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
        });
        assert_eq!(said, expected);
    }
}
