//! A model whose tensors keep their bytes in another file.

use teegate_encoding::protobuf::{Fields, Value};

use super::error::{MAX_DEPTH, ModelError, shown};

/// The messages of onnx.proto3 through which a tensor can be reached.
#[derive(Clone, Copy)]
enum Message {
    Model,
    TrainingInfo,
    Function,
    Graph,
    Node,
    Attribute,
    SparseTensor,
    Tensor,
}

impl Message {
    /// The message that field `number` of `self` holds, if tensors can be reached through it.
    fn inner(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Model, 7) => Self::Graph,
            (Self::Model, 20) => Self::TrainingInfo,
            (Self::Model, 25) => Self::Function,
            (Self::TrainingInfo, 1 | 2) => Self::Graph,
            (Self::Function, 7) => Self::Node,
            // `attribute_proto`: the default values of a function's attributes.
            (Self::Function, 11) => Self::Attribute,
            (Self::Graph, 1) => Self::Node,
            (Self::Graph, 5) => Self::Tensor,
            (Self::Graph, 15) => Self::SparseTensor,
            (Self::Node, 5) => Self::Attribute,
            (Self::Attribute, 5 | 10) => Self::Tensor,
            (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Attribute, 22 | 23) => Self::SparseTensor,
            (Self::SparseTensor, 1 | 2) => Self::Tensor,
            _ => return None,
        })
    }
}

/// `TensorProto.name`, `external_data` and `data_location`.
const TENSOR_NAME: u64 = 8;
const TENSOR_EXTERNAL_DATA: u64 = 13;
const TENSOR_DATA_LOCATION: u64 = 14;

/// Refuses a model in which any tensor points outside.
pub(super) fn refuse(model: &[u8]) -> Result<(), ModelError> {
    walk(Message::Model, &mut Fields::of(model), 0)
}

/// Visits every field once; the work is linear in the length of the file, the depth is bounded.
fn walk(message: Message, fields: &mut Fields<'_>, depth: usize) -> Result<(), ModelError> {
    // A subgraph is a graph in an attribute of a node: three messages deep.
    if depth > 3 * MAX_DEPTH {
        return Err(ModelError::TooDeep);
    }
    let mut name: &[u8] = b"";
    let mut external = false;
    while let Some((number, value)) = fields.next()? {
        if let (Some(inner), Value::Bytes { bytes, offset }) = (message.inner(number), value) {
            walk(inner, &mut Fields::at(bytes, offset), depth + 1)?;
        }
        if matches!(message, Message::Tensor) {
            match (number, value) {
                (TENSOR_NAME, Value::Bytes { bytes, .. }) => name = bytes,
                (TENSOR_DATA_LOCATION, Value::Number(0)) => {}
                (TENSOR_EXTERNAL_DATA | TENSOR_DATA_LOCATION, _) => external = true,
                _ => {}
            }
        }
    }
    if external {
        return Err(ModelError::ExternalData { tensor: shown(name) });
    }
    Ok(())
}
