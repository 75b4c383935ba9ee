//! The JSON of an inference request, before it is held against a model.
//!
//! Members that the protocol does not name are passed over at every level, because clients send them. What it names is
//! read strictly: an object is an object, and each member stands once. Beside the elements themselves nothing of a
//! request is copied that has no bound of its own.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeOwned, Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use teegate_protocol::members::{List, Members, unsayable};

use super::OipError;
use crate::tensor::MAX_RANK;

/// Most inputs, and most outputs, that a request may name.
const MAX_TENSORS: usize = 1024;
/// The longest `id` and `model_name`, as they stand in the text.
const MAX_NAME_BYTES: usize = 1024;
/// The longest `parameters`, as they stand in the text.
const MAX_PARAMETERS_BYTES: usize = 64 << 10;

/// *Inference Request JSON Object*.
#[derive(Deserialize)]
pub(super) struct RequestJson<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    /// Not of the protocol over HTTP, where the path names the model; KServe's own client always sends it.
    #[serde(borrow, default)]
    model_name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
    #[serde(borrow)]
    inputs: List<Members<InputJson<'a>>, MAX_TENSORS>,
    #[serde(borrow, default)]
    outputs: Option<List<Members<OutputJson<'a>>, MAX_TENSORS>>,
}

/// Its parameters, those of the binary tensor extension.
#[derive(Deserialize, Default)]
pub(super) struct RequestParameters {
    #[serde(default)]
    pub(super) binary_data_output: bool,
}

/// *Request Input*.
#[derive(Deserialize)]
pub(super) struct InputJson<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    pub(super) shape: Dimensions,
    #[serde(borrow)]
    pub(super) datatype: Cow<'a, str>,
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) data: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct InputParameters {
    #[serde(default)]
    binary_data_size: Option<usize>,
}

/// *Request Output*.
#[derive(Deserialize)]
pub(super) struct OutputJson<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
}

/// Its parameters, those of the binary tensor extension and of the classification extension.
#[derive(Deserialize, Default)]
pub(super) struct OutputParameters {
    #[serde(default)]
    pub(super) binary_data: Option<bool>,
    #[serde(default)]
    pub(super) classification: u64,
}

impl<'a> RequestJson<'a> {
    pub(super) fn read(json: &'a [u8]) -> Result<Self, OipError> {
        let Members(request) = serde_json::from_slice(json).map_err(|error| {
            let said = match unsayable(json, &error) {
                Some(word) => format!("{word} is not JSON, send the tensor as binary data: {error}"),
                None => shown(&error.to_string()),
            };
            OipError::bad_request(format!("inference request: {said}"))
        })?;
        Ok(request)
    }

    pub(super) fn id(&self) -> Result<Option<String>, OipError> {
        name("id", self.id)
    }

    pub(super) fn model_name(&self) -> Result<Option<String>, OipError> {
        name("model_name", self.model_name)
    }

    pub(super) fn parameters(&self) -> Result<RequestParameters, OipError> {
        parameters(self.parameters).map_err(OipError::bad_request)
    }

    pub(super) fn inputs(&self) -> impl Iterator<Item = &InputJson<'a>> {
        self.inputs.0.iter().map(|Members(input)| input)
    }

    /// The outputs that it asks for; none means all.
    pub(super) fn outputs(&self) -> impl Iterator<Item = &OutputJson<'a>> {
        self.outputs.iter().flat_map(|outputs| &outputs.0).map(|Members(output)| output)
    }
}

impl InputJson<'_> {
    /// How many raw bytes behind the JSON are this input, if it says so.
    pub(super) fn binary_data_size(&self) -> Result<Option<usize>, String> {
        parameters(self.parameters).map(|InputParameters { binary_data_size }| binary_data_size)
    }
}

impl OutputJson<'_> {
    pub(super) fn parameters(&self) -> Result<OutputParameters, String> {
        parameters(self.parameters)
    }
}

fn name(member: &str, value: Option<&RawValue>) -> Result<Option<String>, OipError> {
    let Some(value) = value else { return Ok(None) };
    if value.get().len() > MAX_NAME_BYTES {
        return Err(OipError::bad_request(format!("`{member}` has more than {MAX_NAME_BYTES} bytes")));
    }
    let expected = |_| OipError::bad_request(format!("`{member}` is not a string"));
    serde_json::from_str(value.get()).map(Some).map_err(expected)
}

fn parameters<T: DeserializeOwned + Default>(value: Option<&RawValue>) -> Result<T, String> {
    let Some(value) = value else { return Ok(T::default()) };
    if value.get().len() > MAX_PARAMETERS_BYTES {
        return Err(format!("`parameters` have more than {MAX_PARAMETERS_BYTES} bytes"));
    }
    let Members(parameters) = serde_json::from_str(value.get()).map_err(|error| {
        // The place is one inside the member.
        let error = error.to_string();
        format!("`parameters`: {}", shown(error.split(" at line ").next().unwrap_or_default()))
    })?;
    Ok(parameters)
}

/// What a request says, as far as an error repeats it.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// A shape in JSON, read no further than the greatest rank.
pub(super) struct Dimensions(pub(super) Vec<i64>);

impl<'de> Deserialize<'de> for Dimensions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;
        impl<'de> Visitor<'de> for Bounded {
            type Value = Dimensions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an array of at most {MAX_RANK} dimensions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Dimensions, A::Error> {
                let mut dimensions = Vec::new();
                while let Some(Dimension(dimension)) = items.next_element()? {
                    if dimensions.len() == MAX_RANK {
                        return Err(A::Error::custom(format!("shape has more than {MAX_RANK} dimensions")));
                    }
                    dimensions.push(dimension);
                }
                Ok(Dimensions(dimensions))
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Dimensions, E> {
                Err(E::custom("a string, expected an array of dimensions"))
            }
        }
        deserializer.deserialize_any(Bounded)
    }
}

struct Dimension(i64);

impl<'de> Deserialize<'de> for Dimension {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Integer;
        impl Visitor<'_> for Integer {
            type Value = Dimension;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a dimension")
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Dimension, E> {
                Ok(Dimension(value))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Dimension, E> {
                let value = i64::try_from(value).map_err(|_| E::custom("a dimension beyond 2^63"))?;
                Ok(Dimension(value))
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Dimension, E> {
                Err(E::custom("a string, expected a dimension"))
            }
        }
        deserializer.deserialize_any(Integer)
    }
}
