//! Models in ONNX Runtime: one session for each worker, on the processor, with nothing registered that the library does
//! not bring.

use std::sync::Arc;

use ort::session::builder::PrepackedWeights;
use ort::session::{RunOptions, Session, SessionInputValue};
use ort::value::{Outlet, TensorElementType, TensorRef, ValueType};

use crate::engine::runtime::Runtime;
use crate::engine::{Engine, EngineError, ShapeRule, Signature, Stop, TensorSignature};
use crate::memory::Purse;
use crate::model::ModelFile;
use crate::tensor::{Datatype, Elements, Shape, Tensor, for_elements};

/// Why a model that passed [`crate::model`] is still not served.
#[derive(Debug)]
pub enum LoadError {
    /// ONNX Runtime refused it.
    Refused(String),
    /// An input or output is not a tensor of a plain type.
    Unsupported {
        /// Its name.
        name: String,
        /// What it is.
        actual: String,
        /// What the author of the model can do about it.
        remedy: Option<&'static str>,
    },
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(reason) => write!(f, "ONNX Runtime refused the model: {reason}"),
            Self::Unsupported { name, actual, remedy } => {
                write!(f, "model has `{name}` of type {actual}, expected tensors of a plain numeric type or BOOL")?;
                remedy.map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
            }
        }
    }
}

impl std::error::Error for LoadError {}

/// Loads `model` once for each worker. A run whose outputs have more than `output_bytes` together fails.
///
/// # Errors
/// [`LoadError`] says why it cannot be served.
pub fn load(
    runtime: &Runtime,
    model: &ModelFile,
    workers: usize,
    threads: usize,
    output_bytes: usize,
) -> Result<Vec<Box<dyn Engine>>, LoadError> {
    let weights = PrepackedWeights::new();
    (0..workers)
        .map(|_| {
            let session = session(runtime, model, threads, &weights)
                .map_err(|error| LoadError::Refused(error.message().to_owned()))?;
            let signature = Signature {
                inputs: signatures(model, session.inputs())?,
                defaults: defaults(model, &session),
                outputs: signatures(model, session.outputs())?,
            };
            Ok(Box::new(OnnxSession { session, signature, output_bytes }) as Box<dyn Engine>)
        })
        .collect()
}

fn session(runtime: &Runtime, model: &ModelFile, threads: usize, weights: &PrepackedWeights) -> ort::Result<Session> {
    Session::builder(runtime.environment())?
        .with_no_environment_execution_providers()?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_prepacked_weights(weights)?
        // Without this the library guesses the format from the bytes, and what `model` walked may not be what is read.
        .with_config_entry("session.load_model_format", "ONNX")?
        .commit_from_memory(model.bytes())
}

fn signatures(model: &ModelFile, outlets: &[Outlet]) -> Result<Vec<TensorSignature>, LoadError> {
    outlets
        .iter()
        .map(|outlet| {
            signature(model, outlet.name(), outlet.dtype()).ok_or_else(|| LoadError::Unsupported {
                name: outlet.name().to_owned(),
                actual: outlet.dtype().to_string(),
                remedy: remedy(outlet.dtype()),
            })
        })
        .collect()
}

/// The inputs for which the model brings a value itself. One of a type that cannot be carried stays as the model has it.
fn defaults(model: &ModelFile, session: &Session) -> Vec<TensorSignature> {
    let initialisers = session.overridable_initializers();
    initialisers.iter().filter_map(|initialiser| signature(model, initialiser.name(), initialiser.dtype())).collect()
}

fn signature(model: &ModelFile, name: &str, declared: &ValueType) -> Option<TensorSignature> {
    let ValueType::Tensor { ty, shape, .. } = declared else { return None };
    let is_open = shape.is_empty() && model.has_any_rank(name);
    let shape = if is_open { ShapeRule::AnyRank } else { ShapeRule::Dimensions(shape.to_vec()) };
    Some(TensorSignature { name: name.to_owned(), datatype: datatype(*ty)?, shape })
}

fn remedy(declared: &ValueType) -> Option<&'static str> {
    match declared {
        ValueType::Map { .. } | ValueType::Sequence(_) => Some("for scikit-learn models export with `zipmap: False`"),
        ValueType::Tensor { ty: TensorElementType::String, .. } => {
            Some("train with integer classes instead of text, or leave this input or output out of the model")
        }
        ValueType::Tensor { ty: TensorElementType::Float16 | TensorElementType::Bfloat16, .. } => {
            Some("cast it to FP32 at the edge of the model, whose inside may stay as it is")
        }
        ValueType::Tensor { .. } | ValueType::Optional(_) => None,
    }
}

fn datatype(element: TensorElementType) -> Option<Datatype> {
    Some(match element {
        TensorElementType::Bool => Datatype::Bool,
        TensorElementType::Uint8 => Datatype::Uint8,
        TensorElementType::Uint16 => Datatype::Uint16,
        TensorElementType::Uint32 => Datatype::Uint32,
        TensorElementType::Uint64 => Datatype::Uint64,
        TensorElementType::Int8 => Datatype::Int8,
        TensorElementType::Int16 => Datatype::Int16,
        TensorElementType::Int32 => Datatype::Int32,
        TensorElementType::Int64 => Datatype::Int64,
        TensorElementType::Float32 => Datatype::Fp32,
        TensorElementType::Float64 => Datatype::Fp64,
        _ => return None,
    })
}

struct OnnxSession {
    session: Session,
    signature: Signature,
    output_bytes: usize,
}

impl Engine for OnnxSession {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(&mut self, inputs: &[Tensor], stop: &Stop, purse: &mut Purse) -> Result<Vec<Tensor>, EngineError> {
        self.run_inner(inputs, stop, purse)
            .map_err(|error| if stop.is_stopped() { EngineError::Stopped } else { error })
    }
}

impl OnnxSession {
    fn run_inner(&mut self, inputs: &[Tensor], stop: &Stop, purse: &mut Purse) -> Result<Vec<Tensor>, EngineError> {
        let options = Arc::new(RunOptions::new().map_err(failed)?);
        let terminate = Arc::clone(&options);
        // The library looks at the flag between two operators, loops included. Setting it cannot fail usefully: there
        // is nobody to tell.
        stop.on_stop(Box::new(move || drop(terminate.terminate())));
        let inputs = inputs
            .iter()
            .map(|tensor| Ok((tensor.name.as_str(), borrow(tensor)?)))
            .collect::<ort::Result<Vec<_>>>()
            .map_err(failed)?;
        let outputs = self.session.run_with_options(inputs, &options).map_err(failed)?;
        let mut left = self.output_bytes;
        self.signature
            .outputs
            .iter()
            .map(|expected| {
                let value = outputs
                    .get(&expected.name)
                    .ok_or_else(|| EngineError::Failed(format!("model gave no output `{}`", expected.name)))?;
                copy(value, expected, &mut left, purse)?.ok_or_else(|| {
                    EngineError::Failed(format!(
                        "outputs have more than {} bytes together; use smaller batches",
                        self.output_bytes
                    ))
                })
            })
            .collect()
    }
}

fn failed(error: ort::Error) -> EngineError {
    EngineError::Failed(error.message().to_owned())
}

fn borrow(tensor: &Tensor) -> ort::Result<SessionInputValue<'_>> {
    let dimensions = tensor.shape.dimensions();
    for_elements!(&tensor.elements, vector => Ok(TensorRef::from_array_view((dimensions, vector.as_slice()))?.into()))
}

/// A copy of an output, if it fits into the bytes that are `left`.
fn copy(
    value: &ort::value::DynValue,
    expected: &TensorSignature,
    left: &mut usize,
    purse: &mut Purse,
) -> Result<Option<Tensor>, EngineError> {
    macro_rules! extract {
        ($variant:ident) => {{
            let (shape, elements) = value.try_extract_tensor().map_err(failed)?;
            let Some(rest) = left.checked_sub(size_of_val(elements)) else { return Ok(None) };
            *left = rest;
            purse.spend(size_of_val(elements)).map_err(EngineError::NoMemory)?;
            (shape, Elements::$variant(elements.to_vec()))
        }};
    }
    let (shape, elements) = match expected.datatype {
        Datatype::Bool => extract!(Bool),
        Datatype::Uint8 => extract!(Uint8),
        Datatype::Uint16 => extract!(Uint16),
        Datatype::Uint32 => extract!(Uint32),
        Datatype::Uint64 => extract!(Uint64),
        Datatype::Int8 => extract!(Int8),
        Datatype::Int16 => extract!(Int16),
        Datatype::Int32 => extract!(Int32),
        Datatype::Int64 => extract!(Int64),
        Datatype::Fp32 => extract!(Fp32),
        Datatype::Fp64 => extract!(Fp64),
    };
    let shape = Shape::new(shape, expected.datatype)
        .map_err(|error| EngineError::Failed(format!("output `{}`: {error}", expected.name)))?;
    Ok(Some(Tensor { name: expected.name.clone(), shape, elements }))
}
