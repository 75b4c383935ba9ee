//! The outputs of a model, and whose they are.

use std::fmt;

use super::tensor::Tensor;

/// An answer to an inference request.
#[derive(Clone, PartialEq)]
pub struct Inference {
    /// The model that answered, by its own word.
    pub model_name: String,
    /// Its version, by its own word.
    pub model_version: Option<String>,
    /// The output tensors.
    pub outputs: Vec<Tensor>,
}

impl fmt::Debug for Inference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inference").field("outputs", &self.outputs).finish_non_exhaustive()
    }
}
