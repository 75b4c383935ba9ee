//! The answer to an inference: the model's outputs in JSON, or as raw bytes behind it.

use serde::Serialize;

use super::OipError;
use super::infer::{Carriage, Inference};
use crate::tensor::{Elements, Tensor, for_elements};

/// The body of an answer, and the length of its JSON part when raw tensors follow it.
#[derive(Debug)]
pub struct InferenceAnswer {
    /// JSON, then raw tensors.
    pub body: Vec<u8>,
    /// Length of the JSON part, when raw tensors follow.
    pub json_length: Option<usize>,
}

impl Inference {
    /// Writes the answer from the model's outputs, of at most `limit` bytes.
    ///
    /// # Errors
    /// When an output holds a number that JSON has no word for, and binary data was not asked for; when the answer would
    /// be longer.
    pub fn answer(
        &self,
        model_name: &str,
        model_version: &str,
        outputs: &[Tensor],
        limit: usize,
    ) -> Result<InferenceAnswer, OipError> {
        let too_large = || OipError {
            status: 500,
            message: format!("answer has more than {limit} bytes, ask for fewer outputs or smaller batches"),
        };
        let mut described = Vec::with_capacity(self.outputs.len());
        // Copied when the answer is known to fit.
        let mut raw = Vec::new();
        let mut raw_bytes = 0_usize;
        for (name, carriage) in &self.outputs {
            let tensor = outputs
                .iter()
                .find(|tensor| tensor.name == *name)
                .ok_or_else(|| OipError { status: 500, message: format!("model gave no output `{name}`") })?;
            let (data, parameters) = match carriage {
                Carriage::Json if !finite(&tensor.elements) => {
                    return Err(unsayable(name));
                }
                Carriage::Json => (Some(Data(&tensor.elements)), None),
                Carriage::Binary => {
                    raw.push(tensor);
                    raw_bytes = raw_bytes.saturating_add(tensor.bytes());
                    (None, Some(BinarySize { binary_data_size: tensor.bytes() }))
                }
            };
            described.push(AnswerTensor {
                name,
                datatype: tensor.elements.datatype().name(),
                shape: tensor.shape.dimensions(),
                parameters,
                data,
            });
        }
        let answer = AnswerJson { model_name, model_version, id: self.id.as_deref(), outputs: described };
        let mut json = Bounded { bytes: Vec::new(), limit: limit.checked_sub(raw_bytes).ok_or_else(too_large)? };
        serde_json::to_writer(&mut json, &answer).map_err(|_| too_large())?;
        let mut body = json.bytes;
        let json_length = (!raw.is_empty()).then_some(body.len());
        body.reserve_exact(raw_bytes);
        for tensor in raw {
            body.extend_from_slice(&tensor.elements.to_le_bytes());
        }
        Ok(InferenceAnswer { body, json_length })
    }
}

/// The model has done what it was asked, and what it gave has no representation of the kind that was asked for.
fn unsayable(output: &str) -> OipError {
    let advice = "which JSON has no word for; ask for binary data with `\"parameters\": {\"binary_data_output\": true}` in the request";
    OipError { status: 406, message: format!("output `{output}` holds a NaN or an infinity, {advice}") }
}

/// Takes what is written, up to a limit.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.len() > self.limit - self.bytes.len() {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn finite(elements: &Elements) -> bool {
    match elements {
        Elements::Fp32(vector) => vector.iter().all(|value| value.is_finite()),
        Elements::Fp64(vector) => vector.iter().all(|value| value.is_finite()),
        _ => true,
    }
}

#[derive(Serialize)]
struct AnswerJson<'a> {
    model_name: &'a str,
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    outputs: Vec<AnswerTensor<'a>>,
}

#[derive(Serialize)]
struct AnswerTensor<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: &'a [i64],
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<BinarySize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
}

#[derive(Serialize)]
struct BinarySize {
    binary_data_size: usize,
}

struct Data<'a>(&'a Elements);

impl Serialize for Data<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        for_elements!(self.0, vector => serializer.collect_seq(vector))
    }
}
