//! Inputs and outputs of which a model does not even say how many dimensions they have.
//!
//! ONNX tells a scalar (`shape` is there and empty) from a tensor of unknown rank (`shape` is not there). ONNX Runtime runs
//! the latter with any shape, but says of both that they have no dimensions, so the difference is read here.

use std::collections::HashSet;

use teegate_encoding::protobuf::{Fields, Value};

use super::error::ModelError;

/// `ModelProto.graph`.
const MODEL_GRAPH: u64 = 7;
/// `GraphProto.input` and `output`.
const GRAPH_VALUES: [u64; 2] = [11, 12];
/// `ValueInfoProto.name` and `type`.
const VALUE_NAME: u64 = 1;
const VALUE_TYPE: u64 = 2;
/// `TypeProto.tensor_type`.
const TYPE_TENSOR: u64 = 1;
/// `TypeProto.Tensor.shape`.
const TENSOR_SHAPE: u64 = 2;

/// The names of a model's inputs and outputs that have no `shape`.
pub(crate) fn any_rank(model: &[u8]) -> Result<HashSet<Vec<u8>>, ModelError> {
    let mut names = HashSet::new();
    for graph in inner(Fields::of(model), |number| number == MODEL_GRAPH)? {
        for value in inner(graph, |number| GRAPH_VALUES.contains(&number))? {
            let mut name: &[u8] = b"";
            let mut fields = value.clone();
            while let Some((number, value)) = fields.next()? {
                if let (VALUE_NAME, Value::Bytes { bytes, .. }) = (number, value) {
                    name = bytes;
                }
            }
            let mut has_shape = false;
            for declared in inner(value, |number| number == VALUE_TYPE)? {
                for tensor in inner(declared, |number| number == TYPE_TENSOR)? {
                    has_shape |= !inner(tensor, |number| number == TENSOR_SHAPE)?.is_empty();
                }
            }
            if !has_shape {
                names.insert(name.to_vec());
            }
        }
    }
    Ok(names)
}

/// The messages in those fields of a message.
fn inner<'a>(mut fields: Fields<'a>, wanted: impl Fn(u64) -> bool) -> Result<Vec<Fields<'a>>, ModelError> {
    let mut found = Vec::new();
    while let Some((number, value)) = fields.next()? {
        if let (true, Value::Bytes { bytes, offset }) = (wanted(number), value) {
            found.push(Fields::at(bytes, offset));
        }
    }
    Ok(found)
}
