//! A model in ONNX Runtime, inside a worker: one session, on the processor, with nothing registered that the library does
//! not bring.

use std::collections::HashSet;

use half::slice::{HalfBitsSliceExt as _, HalfFloatSliceExt as _};
use half::{bf16, f16};
use ort::ep;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Outlet, TensorElementType, TensorRef, ValueType};
use zeroize::Zeroizing;

use super::runtime::Runtime;
use super::shared_memory::{Borrowed, Cursor, Head, TransferError};
use super::{AxisNames, ShapeRule, Signature, TensorSignature};
use crate::model::any_rank;
use crate::strings::{Strings, block_bytes};
use crate::tensor::{Datatype, Elements, Shape, Tensor};

/// Why a model that passed [`crate::model`] is still not served.
#[derive(Debug)]
pub enum OnnxError {
    /// ONNX Runtime refused it.
    Refused(String),
    /// An input or output is not a tensor of a type that the protocol has.
    Unsupported {
        /// Its name.
        name: String,
        /// What it is.
        actual: String,
        /// What the author of the model can do about it.
        remedy: Option<&'static str>,
    },
}

impl std::fmt::Display for OnnxError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(reason) => write!(f, "ONNX Runtime refused the model: {reason}"),
            Self::Unsupported { name, actual, remedy } => {
                write!(f, "model has `{name}` of type {actual}, expected a tensor of {}", names())?;
                remedy.map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
            }
        }
    }
}

impl std::error::Error for OnnxError {}

/// A model, loaded.
pub struct OnnxSession {
    session: Session,
    signature: Signature,
    output_bytes: usize,
}

impl OnnxSession {
    /// Loads a model, for runs of so many threads whose outputs have no more than `output_bytes` together.
    ///
    /// # Errors
    /// [`OnnxError`] says why it cannot be served.
    pub fn load(runtime: &Runtime, model: &[u8], threads: usize, output_bytes: usize) -> Result<Self, OnnxError> {
        let any_rank = any_rank(model).map_err(|error| OnnxError::Refused(error.to_string()))?;
        let session =
            session(runtime, model, threads).map_err(|error| OnnxError::Refused(error.message().to_owned()))?;
        let signature = Signature {
            inputs: signatures(&any_rank, session.inputs())?,
            defaults: defaults(&any_rank, &session),
            outputs: signatures(&any_rank, session.outputs())?,
            axes: axes(session.inputs().iter().chain(session.outputs())),
        };
        Ok(Self { session, signature, output_bytes })
    }

    /// What its inputs and outputs are.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Runs it once and writes the outputs, in the order of the signature, as [`super::shared_memory`] describes.
    ///
    /// # Errors
    /// What the library said, or what is wrong with an output.
    pub fn run(&mut self, inputs: &[Tensor], to: &mut Cursor<'_>) -> Result<(), String> {
        let Self { session, signature, output_bytes } = self;
        let inputs: Vec<(&str, SessionInputValue<'_>)> = inputs
            .iter()
            .map(|tensor| Ok((tensor.name.as_str(), borrow(tensor)?)))
            .collect::<ort::Result<_>>()
            .map_err(failed)?;
        let outputs = session.run(inputs).map_err(failed)?;
        let mut left = *output_bytes;
        for (index, expected) in (0..).zip(&signature.outputs) {
            let name = &expected.name;
            let value = outputs.get(name).ok_or_else(|| format!("model gave no output `{name}`"))?;
            let too_much = || format!("outputs have more than {output_bytes} bytes together; use smaller batches");
            let least = elements_of(value).saturating_mul(expected.datatype.least_size());
            if least > left {
                return Err(too_much());
            }
            let (dimensions, output) = output(value, expected.datatype).map_err(failed)?;
            let shape =
                Shape::new(dimensions, expected.datatype).map_err(|error| format!("output `{name}`: {error}"))?;
            if !expected.shape.fits(dimensions) {
                return Err(format!("output `{name}` has shape {dimensions:?}, the model declares {}", expected.shape));
            }
            left = left.checked_sub(output.bytes()).ok_or_else(too_much)?;
            let head = Head::new(index, expected.datatype, shape.dimensions(), output.bytes());
            let head = head.ok_or_else(|| format!("output `{name}` has too many dimensions, or too much text"))?;
            to.write_head(&head)
                .and_then(|()| output.write(to))
                .map_err(|error| format!("output `{name}`: {error}"))?;
        }
        Ok(())
    }
}

fn session(runtime: &Runtime, model: &[u8], threads: usize) -> ort::Result<Session> {
    Session::builder(runtime.environment())?
        .with_no_environment_execution_providers()?
        // With the arena one run that asks for too much leaves no room for the next: what it reserved it keeps.
        .with_execution_providers([ep::CPU::default().with_arena_allocator(false).build()])?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        // Without this the library guesses the format from the bytes, and what `model` walked may not be what is read.
        .with_config_entry("session.load_model_format", "ONNX")?
        .commit_from_memory(model)
}

fn signatures(any_rank: &AnyRank, outlets: &[Outlet]) -> Result<Vec<TensorSignature>, OnnxError> {
    outlets
        .iter()
        .map(|outlet| {
            signature(any_rank, outlet.name(), outlet.dtype()).ok_or_else(|| OnnxError::Unsupported {
                name: outlet.name().to_owned(),
                actual: outlet.dtype().to_string(),
                remedy: remedy(outlet.dtype()),
            })
        })
        .collect()
}

/// The inputs for which the model brings a value itself. One of a type that cannot be carried stays as the model has it.
fn defaults(any_rank: &AnyRank, session: &Session) -> Vec<TensorSignature> {
    let initialisers = session.overridable_initializers();
    initialisers.iter().filter_map(|initialiser| signature(any_rank, initialiser.name(), initialiser.dtype())).collect()
}

/// What open dimensions are called.
fn axes<'o>(outlets: impl Iterator<Item = &'o Outlet>) -> AxisNames {
    let mut axes = AxisNames::default();
    for outlet in outlets {
        let ValueType::Tensor { dimension_symbols, .. } = outlet.dtype() else { continue };
        for (place, name) in dimension_symbols.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let names = if place == 0 { &mut axes.first } else { &mut axes.others };
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    axes
}

/// The names of tensors of unknown rank, of which the library says that they are scalars.
type AnyRank = HashSet<Vec<u8>>;

fn signature(any_rank: &AnyRank, name: &str, declared: &ValueType) -> Option<TensorSignature> {
    let ValueType::Tensor { ty, shape, .. } = declared else { return None };
    let is_open = shape.is_empty() && any_rank.contains(name.as_bytes());
    let shape = if is_open { ShapeRule::AnyRank } else { ShapeRule::Dimensions(shape.to_vec()) };
    Some(TensorSignature { name: name.to_owned(), datatype: datatype(*ty)?, shape })
}

fn remedy(declared: &ValueType) -> Option<&'static str> {
    match declared {
        ValueType::Map { .. } | ValueType::Sequence(_) => Some("for scikit-learn models export with `zipmap: False`"),
        ValueType::Tensor { .. } => {
            Some("cast it at the edge of the model, whose inside may stay as it is, or leave it out of the model")
        }
        ValueType::Optional(_) => None,
    }
}

/// The types that the protocol has, for an error.
fn names() -> String {
    Datatype::ALL.map(Datatype::name).join(", ")
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
        TensorElementType::Float16 => Datatype::Fp16,
        TensorElementType::Bfloat16 => Datatype::Bf16,
        TensorElementType::Float32 => Datatype::Fp32,
        TensorElementType::Float64 => Datatype::Fp64,
        TensorElementType::String => Datatype::Bytes,
        _ => return None,
    })
}

fn failed(error: ort::Error) -> String {
    error.message().to_owned()
}

/// An input as the library takes it: borrowed from ours, but for strings, of which it makes copies of its own.
fn borrow(tensor: &Tensor) -> ort::Result<SessionInputValue<'_>> {
    let dimensions = tensor.shape.dimensions();
    macro_rules! lend {
        ($elements:expr) => {
            TensorRef::from_array_view((dimensions, $elements))?.into()
        };
    }
    Ok(match &tensor.elements {
        Elements::Bool(all) => lend!(all.as_slice()),
        Elements::Uint8(all) => lend!(all.as_slice()),
        Elements::Uint16(all) => lend!(all.as_slice()),
        Elements::Uint32(all) => lend!(all.as_slice()),
        Elements::Uint64(all) => lend!(all.as_slice()),
        Elements::Int8(all) => lend!(all.as_slice()),
        Elements::Int16(all) => lend!(all.as_slice()),
        Elements::Int32(all) => lend!(all.as_slice()),
        Elements::Int64(all) => lend!(all.as_slice()),
        Elements::Fp16(bits) => lend!(bits.reinterpret_cast::<f16>()),
        Elements::Bf16(bits) => lend!(bits.reinterpret_cast::<bf16>()),
        Elements::Fp32(all) => lend!(all.as_slice()),
        Elements::Fp64(all) => lend!(all.as_slice()),
        Elements::Bytes(strings) => {
            let texts: Zeroizing<Vec<String>> = Zeroizing::new(strings.iter().map(str::to_owned).collect());
            ort::value::Tensor::from_string_array((dimensions, texts.as_slice()))?.into()
        }
    })
}

/// An output: where the library left it, but for strings, which it hands out as copies.
enum Output<'v> {
    Lent(Borrowed<'v>),
    Texts(Zeroizing<Vec<String>>),
}

impl Output<'_> {
    fn bytes(&self) -> usize {
        match self {
            Self::Lent(elements) => elements.bytes(),
            Self::Texts(texts) => block_bytes(texts),
        }
    }

    fn write(self, to: &mut Cursor<'_>) -> Result<(), TransferError> {
        match self {
            Self::Lent(elements) => to.write_elements(&elements),
            Self::Texts(texts) => {
                let elements = Elements::Bytes(Strings::of(&texts).ok_or(TransferError::NoMemory)?);
                to.write_elements(&Borrowed::from(&elements))
            }
        }
    }
}

/// How many elements the library says that an output has; strings are copied one by one to look at them.
fn elements_of(value: &DynValue) -> usize {
    let ValueType::Tensor { shape, .. } = value.dtype() else { return 0 };
    shape.iter().fold(1, |product: usize, &axis| product.saturating_mul(usize::try_from(axis).unwrap_or(0)))
}

fn output(value: &DynValue, datatype: Datatype) -> ort::Result<(&[i64], Output<'_>)> {
    macro_rules! extract {
        ($variant:ident: $element:ty) => {{
            let (shape, elements) = value.try_extract_tensor::<$element>()?;
            (&**shape, Output::Lent(Borrowed::$variant(elements)))
        }};
    }
    Ok(match datatype {
        Datatype::Bool => extract!(Bool: bool),
        Datatype::Uint8 => extract!(Uint8: u8),
        Datatype::Uint16 => extract!(Uint16: u16),
        Datatype::Uint32 => extract!(Uint32: u32),
        Datatype::Uint64 => extract!(Uint64: u64),
        Datatype::Int8 => extract!(Int8: i8),
        Datatype::Int16 => extract!(Int16: i16),
        Datatype::Int32 => extract!(Int32: i32),
        Datatype::Int64 => extract!(Int64: i64),
        Datatype::Fp16 => {
            let (shape, elements) = value.try_extract_tensor::<f16>()?;
            (&**shape, Output::Lent(Borrowed::Fp16(elements.reinterpret_cast())))
        }
        Datatype::Bf16 => {
            let (shape, elements) = value.try_extract_tensor::<bf16>()?;
            (&**shape, Output::Lent(Borrowed::Bf16(elements.reinterpret_cast())))
        }
        Datatype::Fp32 => extract!(Fp32: f32),
        Datatype::Fp64 => extract!(Fp64: f64),
        Datatype::Bytes => {
            let (shape, texts) = value.try_extract_strings()?;
            (&**shape, Output::Texts(Zeroizing::new(texts)))
        }
    })
}
