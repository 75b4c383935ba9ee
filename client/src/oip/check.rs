//! *Inference Request*, checked before it is sealed.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use teegate_protocol::members::Members;

use super::error::TensorError;
use super::text;

/// What a request looks like, for whoever wrote something else.
const EXAMPLE: &str = r#"{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [0.5, 1.5]}]}"#;

/// What is known of a request that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outline {
    /// Length of the JSON, if raw tensors follow it.
    pub json_length: Option<usize>,
    /// Whether it asks for an output in raw bytes.
    pub asks_for_raw_outputs: bool,
}

/// Checks that `body` has the outline of an inference request, so that a mistake is told before anything is sealed: the
/// member and the reason, and nothing of what stands there.
pub fn check_request(body: &[u8]) -> Result<Outline, TensorError> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow, default)]
        inputs: Option<&'a RawValue>,
        #[serde(borrow, default)]
        instances: Option<&'a RawValue>,
        #[serde(borrow, default)]
        outputs: Option<&'a RawValue>,
        #[serde(borrow, default)]
        parameters: Option<&'a RawValue>,
    }
    if let Some(what) = something_else(body) {
        return Err(TensorError::new(format!(
            "{what}; a request of the Open Inference Protocol v2 is JSON like {EXAMPLE}"
        )));
    }
    let (body, mut rest) = text::split::<Body<'_>>(body).map_err(|e| e.inside("this is no request"))?;
    let inputs = body.inputs.ok_or_else(|| {
        let missing = "`inputs` is missing";
        TensorError::new(match body.instances {
            Some(_) => format!(
                "{missing}, and `instances` is protocol v1; this is the Open Inference Protocol v2, as in {EXAMPLE}"
            ),
            None => format!("{missing}; a request is JSON like {EXAMPLE}"),
        })
    })?;
    let inputs = text::list(inputs, "inputs")?;
    if inputs.is_empty() {
        return Err(TensorError::new("`inputs` is empty: a request carries at least one tensor"));
    }
    for (at, input) in inputs.iter().enumerate() {
        if let Some(size) = check_input(input, &format!("inputs[{at}]"))? {
            rest.take(size).ok_or_else(|| {
                TensorError::new(format!(
                    "`inputs[{at}].parameters.binary_data_size` is {size}, and fewer raw bytes are left behind the JSON"
                ))
            })?;
        }
    }
    let asks_for_raw_outputs = asks_for_raw_outputs(body.parameters, body.outputs)?;
    let json_length = rest.json_length;
    Ok(Outline { json_length: rest.finish()?.then_some(json_length), asks_for_raw_outputs })
}

/// The same request, asking for its outputs as raw bytes, unless it says itself how it wants them.
///
/// # Errors
/// Those of [`check_request`].
pub fn ask_for_raw_outputs(body: &[u8]) -> Result<Vec<u8>, TensorError> {
    check_request(body)?;
    let wrong = |e: serde_json::Error| TensorError::at(&e, body).inside("this is no request");
    let (mut request, rest) = text::split::<BTreeMap<String, &RawValue>>(body)?;
    let parameters = request.get("parameters").map_or("{}", |parameters| parameters.get());
    let mut parameters: BTreeMap<String, &RawValue> = serde_json::from_str(parameters).map_err(wrong)?;
    if parameters.contains_key(BINARY_DATA_OUTPUT) {
        return Ok(body.to_vec());
    }
    let yes = serde_json::value::to_raw_value(&true).map_err(wrong)?;
    parameters.insert(BINARY_DATA_OUTPUT.to_owned(), &yes);
    let parameters = serde_json::value::to_raw_value(&parameters).map_err(wrong)?;
    request.insert("parameters".to_owned(), &parameters);
    let mut written = serde_json::to_vec(&request).map_err(wrong)?;
    written.extend_from_slice(body.get(rest.json_length..).unwrap_or_default());
    Ok(written)
}

/// The member of a request's parameters that says so.
const BINARY_DATA_OUTPUT: &str = "binary_data_output";

/// What a body is that does not even begin like a request.
fn something_else(body: &[u8]) -> Option<&'static str> {
    if body.starts_with(b"\x93NUMPY") {
        return Some("this is a NumPy file");
    }
    match body.trim_ascii_start().first() {
        None => Some("this is empty"),
        Some(b'{') => None,
        Some(b'[') => Some("this is a JSON array"),
        Some(_) => {
            let line = body.split(|byte| *byte == b'\n').next().unwrap_or_default();
            Some(if line.iter().any(|byte| matches!(byte, b',' | b';' | b'\t')) {
                "this is not JSON (CSV, perhaps)"
            } else {
                "this is not JSON"
            })
        }
    }
}

/// Checks one input; the size of its raw bytes, if it is not in the JSON.
fn check_input(input: &RawValue, place: &str) -> Result<Option<usize>, TensorError> {
    #[derive(Deserialize)]
    struct Input<'a> {
        #[serde(borrow, default)]
        name: Option<&'a RawValue>,
        #[serde(borrow, default)]
        shape: Option<&'a RawValue>,
        #[serde(borrow, default)]
        datatype: Option<&'a RawValue>,
        #[serde(borrow, default)]
        parameters: Option<&'a RawValue>,
        #[serde(borrow, default)]
        data: Option<&'a RawValue>,
    }
    let Members(input) = serde_json::from_str::<Members<Input<'_>>>(input.get())
        .map_err(|_| TensorError::new(format!("`{place}` is not an object with each member once")))?;
    text::text(input.name, &format!("{place}.name"))?;
    text::shape(input.shape, &format!("{place}.shape"))?;
    let datatype = text::datatype(input.datatype, &format!("{place}.datatype"))?;
    let size = text::binary_size(input.parameters, &format!("{place}.parameters"))?;
    match (input.data, size) {
        (None, None) => Err(TensorError::new(format!("`{place}` has no `data`"))),
        (Some(_), Some(_)) => {
            Err(TensorError::new(format!("`{place}` has both `data` and `parameters.binary_data_size`")))
        }
        (Some(data), None) if !data.get().starts_with('[') => {
            Err(TensorError::new(format!("`{place}.data` is not an array")))
        }
        (Some(_), None) if !datatype.is_in_json() => Err(TensorError::new(format!(
            "`{place}`: {datatype} has no form in JSON; its elements travel as raw bytes behind it \
             (`parameters.binary_data_size`)"
        ))),
        (_, size) => Ok(size),
    }
}

fn asks_for_raw_outputs(parameters: Option<&RawValue>, outputs: Option<&RawValue>) -> Result<bool, TensorError> {
    #[derive(Deserialize)]
    struct All {
        #[serde(default)]
        binary_data_output: bool,
    }
    #[derive(Deserialize)]
    struct Output {
        #[serde(default)]
        parameters: Option<Members<One>>,
    }
    #[derive(Deserialize)]
    struct One {
        #[serde(default)]
        binary_data: Option<bool>,
    }
    let all = match parameters {
        None => false,
        Some(parameters) => {
            let Members(All { binary_data_output }) = serde_json::from_str(parameters.get()).map_err(|_| {
                TensorError::new(
                    "`parameters` is not an object whose `binary_data_output`, if it is there, is true or false",
                )
            })?;
            binary_data_output
        }
    };
    let Some(outputs) = outputs else { return Ok(all) };
    let outputs = text::list(outputs, "outputs")?;
    let mut any = all && outputs.is_empty();
    for (at, output) in outputs.iter().enumerate() {
        let Members(output) = serde_json::from_str::<Members<Output>>(output.get()).map_err(|_| {
            TensorError::new(format!("`outputs[{at}]` is not an object whose `parameters`, if they are there, are one"))
        })?;
        any |= output.parameters.and_then(|Members(one)| one.binary_data).unwrap_or(all);
    }
    Ok(any)
}
