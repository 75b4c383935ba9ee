//! *Model Metadata Response JSON Object*: what a model takes and gives, by its own word.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;
use teegate_protocol::members::{List, Members};
use teegate_protocol::oip::Datatype;

use super::error::TensorError;

/// Many more tensors than a model has.
const MAX_TENSORS: usize = 4_096;
/// A tensor of the protocol has no more axes.
const MAX_RANK: usize = 64;
/// Many more versions than are served at once.
const MAX_VERSIONS: usize = 64;

/// What a model says of itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// Its versions.
    pub versions: Vec<String>,
    /// What it takes. Inputs that it brings values for need not stand here.
    pub inputs: Vec<Described>,
    /// What it gives.
    pub outputs: Vec<Described>,
}

/// One input or output.
#[derive(Clone, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// The protocol's word for its data type, or another.
    pub datatype: String,
    /// Its extent along each axis; a negative number is any extent. `None`: it has any number of axes.
    pub shape: Option<Vec<i64>>,
}

impl Metadata {
    /// Reads the body of a metadata answer.
    pub fn parse(body: &[u8]) -> Result<Self, TensorError> {
        #[derive(Deserialize)]
        struct Body {
            name: String,
            #[serde(default)]
            versions: List<String, MAX_VERSIONS>,
            inputs: List<Members<Tensor>, MAX_TENSORS>,
            outputs: List<Members<Tensor>, MAX_TENSORS>,
        }
        let Members(Body { name, versions: List(versions), inputs, outputs }) =
            serde_json::from_slice(body).map_err(|e| {
                TensorError::at(&e, body).inside("the metadata is not what the Open Inference Protocol v2 says")
            })?;
        let described = |List(tensors): List<Members<Tensor>, MAX_TENSORS>| {
            tensors.into_iter().map(|Members(tensor)| tensor.described()).collect()
        };
        Ok(Self { name, versions, inputs: described(inputs), outputs: described(outputs) })
    }
}

#[derive(Deserialize)]
struct Tensor {
    name: String,
    datatype: String,
    shape: List<i64, MAX_RANK>,
    /// What a server adds that has no form in the protocol; other servers add other things, of any form.
    #[serde(default)]
    parameters: Option<Box<RawValue>>,
}

impl Tensor {
    fn described(self) -> Described {
        /// The enclave's word for an unknown rank, of which the protocol has none.
        #[derive(Deserialize)]
        struct Parameters {
            any_rank: bool,
        }
        let parameters = self.parameters.as_deref().map(RawValue::get).unwrap_or_default();
        let any_rank = serde_json::from_str(parameters).is_ok_and(|Members(Parameters { any_rank })| any_rank);
        Described { name: self.name, datatype: self.datatype, shape: (!any_rank).then_some(self.shape.0) }
    }
}

impl Described {
    /// Its data type, if it is one of the protocol's.
    pub fn known_datatype(&self) -> Option<Datatype> {
        Datatype::from_name(&self.datatype)
    }

    /// Its shape, as in `[any, 30]`.
    pub fn shape_words(&self) -> String {
        let Some(shape) = &self.shape else { return "of any shape".to_owned() };
        let axis = |axis: &i64| if *axis < 0 { "any".to_owned() } else { axis.to_string() };
        format!("[{}]", shape.iter().map(axis).collect::<Vec<_>>().join(", "))
    }

    /// Whether a tensor of this shape fits.
    pub fn takes_shape(&self, shape: &[u64]) -> bool {
        let Some(axes) = &self.shape else { return true };
        let fits = |(axis, extent): (&i64, &u64)| *axis < 0 || u64::try_from(*axis) == Ok(*extent);
        axes.len() == shape.len() && axes.iter().zip(shape).all(fits)
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metadata({} inputs, {} outputs)", self.inputs.len(), self.outputs.len())
    }
}

impl fmt::Debug for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Described({} dimensions)", self.shape.as_ref().map_or(0, Vec::len))
    }
}

/// Data type and shape, as in `FP32 [any, 30]`.
impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.datatype, self.shape_words())
    }
}
