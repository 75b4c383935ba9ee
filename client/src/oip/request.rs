//! *Inference Request*, written from tensors.

use std::fmt;

use serde::Serialize;
use teegate_protocol::oip::Datatype;

use super::error::TensorError;
use super::tensor::{Tensor, TensorData};
use super::text;

/// How a request is written, and what it asks for.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// The inputs travel as raw bytes behind the JSON, which is shorter. Without it only those do of which JSON has no word for
    /// some element.
    pub raw_inputs: bool,
    /// The outputs are asked for as raw bytes, in which no value is lost. Without it a model that answers with a NaN, an
    /// infinity, `FP16` or `BF16` cannot answer.
    pub raw_outputs: bool,
    /// The outputs that are asked for, by name; none means all.
    pub outputs: Vec<String>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { raw_inputs, raw_outputs, outputs } = self;
        write!(f, "Options(raw inputs {raw_inputs}, raw outputs {raw_outputs}, {} outputs)", outputs.len())
    }
}

/// The body of an inference request with these inputs: JSON, and behind it the raw bytes of what JSON has no word for. It
/// asks for all outputs in raw bytes, in which no value is lost.
pub fn request(inputs: &[Tensor]) -> Result<Vec<u8>, TensorError> {
    request_with(inputs, &Options { raw_outputs: true, ..Options::default() })
}

/// The body of an inference request with these inputs, written and asking as `options` say.
pub fn request_with(inputs: &[Tensor], options: &Options) -> Result<Vec<u8>, TensorError> {
    #[derive(Serialize)]
    struct Body<'a> {
        inputs: Vec<Written<'a>>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        outputs: Vec<Wanted<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        parameters: Option<Parameters>,
    }
    #[derive(Serialize)]
    struct Wanted<'a> {
        name: &'a str,
    }
    #[derive(Serialize)]
    struct Parameters {
        binary_data_output: bool,
    }
    let mut written = Vec::with_capacity(inputs.len());
    let mut raw = Vec::new();
    for (at, tensor) in inputs.iter().enumerate() {
        text::count("inputs", at, &tensor.shape, tensor.data.len())?;
        written.push(Written::of(tensor, at, options.raw_inputs, &mut raw)?);
    }
    let outputs = options.outputs.iter().map(|name| Wanted { name }).collect();
    let parameters = options.raw_outputs.then_some(Parameters { binary_data_output: true });
    let body = Body { inputs: written, outputs, parameters };
    let mut body =
        serde_json::to_vec(&body).map_err(|e| TensorError::at(&e, b"").inside("the request cannot be written"))?;
    body.append(&mut raw);
    Ok(body)
}

/// *Request Input*.
#[derive(Serialize)]
struct Written<'a> {
    name: &'a str,
    shape: &'a [u64],
    datatype: Datatype,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<BinarySize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a TensorData>,
}

#[derive(Serialize)]
struct BinarySize {
    binary_data_size: usize,
}

impl<'a> Written<'a> {
    /// One input; its elements go behind the JSON where they have to, or are meant to.
    fn of(tensor: &'a Tensor, at: usize, prefers_raw: bool, raw: &mut Vec<u8>) -> Result<Self, TensorError> {
        let Tensor { name, shape, data } = tensor;
        let datatype = data.datatype();
        // Nothing has no raw bytes either, and is said in JSON, but for what JSON has no form for.
        let is_raw = !data.is_sayable() || (prefers_raw && !data.is_empty());
        if !is_raw {
            return Ok(Self { name, shape, datatype, parameters: None, data: Some(data) });
        }
        let bytes = data
            .to_le_bytes()
            .ok_or_else(|| TensorError::new(format!("`inputs[{at}]` has an element of more than 4 GiB")))?;
        raw.extend_from_slice(&bytes);
        let parameters = Some(BinarySize { binary_data_size: bytes.len() });
        Ok(Self { name, shape, datatype, parameters, data: None })
    }
}
