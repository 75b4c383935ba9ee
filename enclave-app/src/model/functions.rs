//! How many nodes the functions of a model make of it.
//!
//! A model may define functions, and ONNX Runtime puts the nodes of a function in the place of every call. Functions that
//! call each other twice double with each level: twenty-two of them, in 1.4 KB, are four million nodes, and the time to
//! load them grows faster than their number (measured with 1.31.1: 4,096 nodes 0.7 s, 65,536 a minute). So they are
//! counted here first, each body once, and nothing is expanded.

use std::collections::HashMap;

use teegate_encoding::protobuf::{Fields, Value};

use super::error::{MAX_CALL_DEPTH, MAX_EXPANDED_NODES, ModelError, shown};

/// What calls a function by, and what a function is called: domain, name, overload.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Id<'a>([&'a [u8]; 3]);

/// `ModelProto.graph` and `functions`.
const MODEL_GRAPH: u64 = 7;
const MODEL_FUNCTIONS: u64 = 25;
/// `FunctionProto.domain`, `name`, `overload` and `node`.
const FUNCTION_ID: [u64; 3] = [10, 1, 13];
const FUNCTION_NODE: u64 = 7;
/// `NodeProto.domain`, `op_type`, `overload` and `attribute`.
const NODE_ID: [u64; 3] = [7, 4, 8];
const NODE_ATTRIBUTE: u64 = 5;
/// `GraphProto.node`.
const GRAPH_NODE: u64 = 1;
/// `AttributeProto.g` and `graphs`.
const ATTRIBUTE_GRAPH: u64 = 6;
const ATTRIBUTE_GRAPHS: u64 = 11;

/// Refuses a model whose functions expand to more than [`MAX_EXPANDED_NODES`], call themselves, or call each other more
/// than [`MAX_CALL_DEPTH`] deep. Its messages must be known to be nested no deeper than [`super::external`] allows.
pub(super) fn refuse(model: &[u8]) -> Result<(), ModelError> {
    let mut functions = Functions::default();
    each(Fields::of(model), |number, bytes, offset| {
        if number == MODEL_FUNCTIONS {
            let id = Id::of(Fields::at(bytes, offset), FUNCTION_ID)?;
            functions.bodies.entry(id).or_default().push((bytes, offset));
        }
        Ok(())
    })?;
    let mut brought = 0;
    each(Fields::of(model), |number, bytes, offset| match number {
        MODEL_GRAPH => add(&mut brought, functions.graph(Fields::at(bytes, offset), 0)?),
        _ => Ok(()),
    })
}

#[derive(Default)]
struct Functions<'a> {
    bodies: HashMap<Id<'a>, Vec<(&'a [u8], usize)>>,
    /// Nodes of a function with all that it calls; none while it is being counted.
    counted: HashMap<Id<'a>, Option<u64>>,
}

impl<'a> Functions<'a> {
    /// Nodes that calls bring into a graph.
    fn graph(&mut self, graph: Fields<'a>, depth: usize) -> Result<u64, ModelError> {
        let mut brought = 0;
        each(graph, |number, bytes, offset| match number {
            GRAPH_NODE => add(&mut brought, self.node(Fields::at(bytes, offset), depth)?),
            _ => Ok(()),
        })?;
        Ok(brought)
    }

    /// Nodes that calls bring into the place of a node, or into the graphs that are its attributes.
    fn node(&mut self, node: Fields<'a>, depth: usize) -> Result<u64, ModelError> {
        let mut brought = self.call(Id::of(node.clone(), NODE_ID)?, depth)?;
        each(node, |number, attribute, offset| {
            if number != NODE_ATTRIBUTE {
                return Ok(());
            }
            each(Fields::at(attribute, offset), |number, graph, offset| match number {
                ATTRIBUTE_GRAPH | ATTRIBUTE_GRAPHS => add(&mut brought, self.graph(Fields::at(graph, offset), depth)?),
                _ => Ok(()),
            })
        })?;
        Ok(brought)
    }

    /// Nodes that a call of this function brings; an operator that is no function brings none.
    fn call(&mut self, id: Id<'a>, depth: usize) -> Result<u64, ModelError> {
        match self.counted.get(&id) {
            Some(Some(counted)) => return Ok(*counted),
            Some(None) => return Err(ModelError::CallsItself { function: id.shown() }),
            None => {}
        }
        let Some(bodies) = self.bodies.get(&id).cloned() else { return Ok(0) };
        if depth == MAX_CALL_DEPTH {
            return Err(ModelError::CallsTooDeep { function: id.shown() });
        }
        self.counted.insert(id, None);
        let mut nodes = 0;
        // A name that is defined twice is the loader's to refuse; here both count.
        for (body, offset) in bodies {
            each(Fields::at(body, offset), |number, node, offset| {
                if number != FUNCTION_NODE {
                    return Ok(());
                }
                add(&mut nodes, 1)?;
                add(&mut nodes, self.node(Fields::at(node, offset), depth + 1)?)
            })?;
        }
        self.counted.insert(id, Some(nodes));
        Ok(nodes)
    }
}

impl<'a> Id<'a> {
    fn of(message: Fields<'a>, numbers: [u64; 3]) -> Result<Self, ModelError> {
        let mut id = Self::default();
        each(message, |number, bytes, _| {
            // Of a field that stands there twice the last counts.
            if let Some(part) = id.0.iter_mut().zip(numbers).find_map(|(part, own)| (own == number).then_some(part)) {
                *part = bytes;
            }
            Ok(())
        })?;
        // The two names of the standard's own domain.
        if id.0[0] == b"ai.onnx" {
            id.0[0] = b"";
        }
        Ok(id)
    }

    fn shown(&self) -> String {
        let [_, name, _] = self.0;
        shown(name)
    }
}

/// Adds up to the limit, and refuses beyond it.
fn add(sum: &mut u64, more: u64) -> Result<(), ModelError> {
    *sum = sum.checked_add(more).filter(|sum| *sum <= MAX_EXPANDED_NODES).ok_or(ModelError::TooManyNodes)?;
    Ok(())
}

/// Calls `visit` with number, bytes and place of every field that holds bytes.
fn each<'a>(
    mut fields: Fields<'a>,
    mut visit: impl FnMut(u64, &'a [u8], usize) -> Result<(), ModelError>,
) -> Result<(), ModelError> {
    while let Some((number, value)) = fields.next()? {
        if let Value::Bytes { bytes, offset } = value {
            visit(number, bytes, offset)?;
        }
    }
    Ok(())
}
