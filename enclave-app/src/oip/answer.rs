//! The answer to an inference: the model's outputs in JSON, or as raw bytes behind it.

use serde::Serialize;

use super::OipError;
use super::infer::{ASK_FOR_BINARY, Carriage, Inference};
use crate::memory::{Purse, Shortage};
use crate::secret::{End, Growing, Secret};
use crate::tensor::{Elements, Tensor, for_elements};

/// The body of an answer, and the length of its JSON part when raw tensors follow it.
pub struct InferenceAnswer {
    /// JSON, then raw tensors.
    pub body: Secret,
    /// Length of the JSON part, when raw tensors follow.
    pub json_length: Option<usize>,
}

/// Its length: what is in it is nobody's but the client's.
impl std::fmt::Debug for InferenceAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InferenceAnswer({} bytes)", self.body.len())
    }
}

impl Inference {
    /// Writes the answer from the model's outputs, of at most `limit` bytes. The body is paid from `purse`, as the outputs
    /// were, which are wiped.
    ///
    /// # Errors
    /// When an output holds a number that JSON has no word for, and binary data was not asked for; when the answer would
    /// be longer, or there is no memory for it.
    pub fn answer(
        &self,
        model_name: &str,
        model_version: &str,
        outputs: Vec<Tensor>,
        limit: usize,
        purse: &mut Purse,
    ) -> Result<InferenceAnswer, OipError> {
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
                Carriage::Json if !finite(&tensor.elements) => return Err(unsayable(name)),
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
        let id = self.id.as_ref().map(|id| id.as_str());
        let answer = AnswerJson { model_name, model_version, id, outputs: described };
        let json_limit = limit.checked_sub(raw_bytes).ok_or_else(|| not_written(End::Limit, limit))?;
        let mut json = Growing::new(json_limit, purse);
        if serde_json::to_writer(&mut json, &answer).is_err() {
            return Err(not_written(json.end().unwrap_or(End::Limit), limit));
        }
        let mut body = json.finish(raw_bytes).map_err(|end| not_written(end, limit))?;
        let json_length = (!raw.is_empty()).then_some(body.len());
        for tensor in raw {
            tensor.elements.append_le_bytes(&mut body);
        }
        let paid = outputs.iter().map(Tensor::bytes).sum();
        drop(outputs);
        purse.refund(paid);
        Ok(InferenceAnswer { body, json_length })
    }
}

fn not_written(end: End, limit: usize) -> OipError {
    let (status, message) = match end {
        End::Limit => (500, format!("answer has more than {limit} bytes, ask for fewer outputs or smaller batches")),
        End::Memory(shortage) => return no_memory(shortage),
    };
    OipError { status, message }
}

/// The model has run, and there is no memory for what it gave.
pub fn no_memory(shortage: Shortage) -> OipError {
    let (status, message) = match shortage {
        Shortage::Now => {
            (503, "the model ran, and there is no memory for its answer at the moment; ask again".to_owned())
        }
        Shortage::Never { needed, most } => (
            500,
            format!(
                "the answer needs {needed} bytes of memory, and one request can have {most}; ask for fewer outputs or smaller batches"
            ),
        ),
    };
    OipError { status, message }
}

/// The model has done what it was asked, and what it gave has no representation of the kind that was asked for.
fn unsayable(output: &str) -> OipError {
    let holds = format!("output `{output}` holds a NaN or an infinity, which JSON has no word for");
    OipError { status: 406, message: format!("{holds}; {ASK_FOR_BINARY}") }
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
        // Their elements are bits, and no numbers that anybody has asked for.
        if !self.0.datatype().is_in_json() {
            return Err(serde::ser::Error::custom("a 16-bit float has no form in JSON"));
        }
        for_elements!(self.0, vector => serializer.collect_seq(vector.iter()))
    }
}
