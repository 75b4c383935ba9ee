//! ONNX Runtime in this process, as plain as it comes: what anybody would write around `ort`.

use std::path::Path;

use ort::environment::Environment;
use ort::session::{Session, SessionInputValue};
use ort::value::TensorRef;

use crate::Outcome;

/// One input of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<i64>,
    /// Its elements, row by row.
    pub elements: Elements,
}

/// The types that the models of this measurement take.
#[derive(Clone, Debug, PartialEq)]
pub enum Elements {
    /// `FP32`.
    Fp32(Vec<f32>),
    /// `INT64`.
    Int64(Vec<i64>),
}

/// The one output of a model: its name, dimensions, elements.
pub type Output = (String, Vec<i64>, Vec<f32>);

/// The library, loaded: once in a process.
pub struct Library(Environment);

impl Library {
    /// Loads `libonnxruntime.so`.
    pub fn load(path: &Path) -> Outcome<Self> {
        let builder = ort::init_from(path).map_err(|e| format!("{} cannot be loaded: {e}", path.display()))?;
        Ok(Self(builder.with_telemetry(false).build().map_err(words)?))
    }

    /// A session on the processor, for runs of so many threads. Nothing is changed of what the library does by itself, save that
    /// its threads do not spin: processors are shared here.
    pub fn session(&self, model: &[u8], threads: usize) -> Outcome<Engine> {
        let built = || -> ort::Result<Session> {
            Session::builder(&self.0)?
                .with_intra_threads(threads)?
                .with_inter_threads(1)?
                .with_intra_op_spinning(false)?
                .with_inter_op_spinning(false)?
                .commit_from_memory(model)
        };
        Ok(Engine(built().map_err(words)?))
    }
}

/// A model, loaded.
pub struct Engine(Session);

impl Engine {
    /// Runs it once, and takes its first output.
    pub fn run(&mut self, inputs: &[Input]) -> Outcome<Output> {
        let mut named: Vec<(&str, SessionInputValue<'_>)> = Vec::with_capacity(inputs.len());
        for Input { name, shape, elements } in inputs {
            let value = match elements {
                Elements::Fp32(elements) => {
                    TensorRef::from_array_view((shape.as_slice(), elements.as_slice())).map_err(words)?.into()
                }
                Elements::Int64(elements) => {
                    TensorRef::from_array_view((shape.as_slice(), elements.as_slice())).map_err(words)?.into()
                }
            };
            named.push((name, value));
        }
        let outputs = self.0.run(named).map_err(words)?;
        let (name, value) = outputs.iter().next().ok_or("the model has no output")?;
        let (shape, elements) = value.try_extract_tensor::<f32>().map_err(words)?;
        Ok((name.to_owned(), shape.to_vec(), elements.to_vec()))
    }
}

fn words<T>(error: ort::Error<T>) -> String {
    error.message().to_owned()
}
