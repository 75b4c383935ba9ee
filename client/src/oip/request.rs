//! *Inference Request*, written from tensors.

use serde::Serialize;

use super::error::TensorError;
use super::tensor::{Tensor, TensorData};
use super::text;

/// The body of an inference request with these inputs: JSON, and behind it the raw bytes of what JSON has no word for. It
/// asks for its outputs in raw bytes, in which no value is lost.
pub fn request(inputs: &[Tensor]) -> Result<Vec<u8>, TensorError> {
    #[derive(Serialize)]
    struct Written<'a> {
        name: &'a str,
        shape: &'a [u64],
        datatype: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        parameters: Option<BinarySize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a TensorData>,
    }
    #[derive(Serialize)]
    struct BinarySize {
        binary_data_size: usize,
    }
    #[derive(Serialize)]
    struct Body<'a> {
        inputs: Vec<Written<'a>>,
        parameters: Parameters,
    }
    #[derive(Serialize)]
    struct Parameters {
        binary_data_output: bool,
    }
    let mut written = Vec::with_capacity(inputs.len());
    let mut raw = Vec::new();
    for (at, tensor) in inputs.iter().enumerate() {
        text::count("inputs", at, &tensor.shape, tensor.data.len())?;
        let (parameters, data) = if tensor.data.is_sayable() {
            (None, Some(&tensor.data))
        } else {
            let bytes = tensor.data.to_le_bytes();
            let binary_data_size = bytes.len();
            raw.extend_from_slice(&bytes);
            (Some(BinarySize { binary_data_size }), None)
        };
        let (name, shape, datatype) = (&tensor.name, &tensor.shape, tensor.data.datatype());
        written.push(Written { name, shape, datatype, parameters, data });
    }
    let body = Body { inputs: written, parameters: Parameters { binary_data_output: true } };
    let mut body =
        serde_json::to_vec(&body).map_err(|e| TensorError::at(&e, b"").inside("the request cannot be written"))?;
    body.append(&mut raw);
    Ok(body)
}
