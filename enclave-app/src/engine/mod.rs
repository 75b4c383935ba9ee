//! What runs a model, as a trait, so that another engine can stand in for ONNX Runtime.

pub mod onnx;
pub mod runtime;
pub mod sealed;

use std::sync::{Mutex, PoisonError};

use crate::memory::{Purse, Shortage};
use crate::tensor::{Datatype, Tensor};

/// One loaded model, ready to run. A worker thread owns it; nothing is shared between two of them but what the
/// implementation shares itself.
pub trait Engine: Send {
    /// Names, types and shapes of the model's inputs and outputs.
    fn signature(&self) -> &Signature;

    /// Runs the model once on `inputs` and returns every output, in the order of the signature. What it allocates for the
    /// outputs is paid from `purse` before.
    ///
    /// `stop` may be set at any moment from another thread; the run then ends as soon as the engine can end it.
    ///
    /// # Errors
    /// [`EngineError`] says whether the run was stopped, or what the engine said about these inputs.
    fn run(&mut self, inputs: &[Tensor], stop: &Stop, purse: &mut Purse) -> Result<Vec<Tensor>, EngineError>;
}

/// Names, types and shapes of a model's inputs and outputs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signature {
    /// The inputs; a request gives all of them.
    pub inputs: Vec<TensorSignature>,
    /// The inputs that a request may give or leave out: the model brings a value for each.
    pub defaults: Vec<TensorSignature>,
    /// The outputs.
    pub outputs: Vec<TensorSignature>,
}

/// Name, type and shape of one input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSignature {
    /// The name that the model gives it.
    pub name: String,
    /// The type of its elements.
    pub datatype: Datatype,
    /// What the model says of its shape.
    pub shape: ShapeRule,
}

/// What a model says of a shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShapeRule {
    /// Nothing, not even how many dimensions there are.
    AnyRank,
    /// The dimensions, outermost first; -1 where the model leaves one open.
    Dimensions(Vec<i64>),
}

impl ShapeRule {
    /// Whether these dimensions are what the model asks for.
    pub fn fits(&self, dimensions: &[i64]) -> bool {
        match self {
            Self::AnyRank => true,
            Self::Dimensions(expected) => {
                dimensions.len() == expected.len()
                    && dimensions.iter().zip(expected).all(|(&actual, &fixed)| fixed < 0 || actual == fixed)
            }
        }
    }
}

impl std::fmt::Display for ShapeRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AnyRank => f.write_str("any shape"),
            Self::Dimensions(expected) => write!(f, "{expected:?} (-1 = any)"),
        }
    }
}

/// Why a run gave no outputs.
#[derive(Debug, PartialEq, Eq)]
pub enum EngineError {
    /// The run was stopped from outside.
    Stopped,
    /// The run ended well, and there is no memory for its outputs.
    NoMemory(Shortage),
    /// The engine refused or failed. Its words may speak of the values of this request: they belong into the sealed
    /// answer and into no log.
    Failed(String),
}

/// The end of a run, announced from outside: set once, never unset.
#[derive(Default)]
pub struct Stop(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    Open,
    Watched(Box<dyn FnOnce() + Send>),
    Stopped,
}

impl Stop {
    /// Announces the end. What was registered with [`Stop::on_stop`] is called, here, once.
    pub fn stop(&self) {
        let before = std::mem::replace(&mut *self.state(), State::Stopped);
        if let State::Watched(call) = before {
            call();
        }
    }

    /// Whether the end was announced.
    pub fn is_stopped(&self) -> bool {
        matches!(*self.state(), State::Stopped)
    }

    /// Has `call` called when the end is announced: at once if it already was. A later registration replaces an earlier
    /// one.
    pub fn on_stop(&self, call: Box<dyn FnOnce() + Send>) {
        let mut state = self.state();
        if matches!(*state, State::Stopped) {
            drop(state);
            call();
        } else {
            *state = State::Watched(call);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stop({})", self.is_stopped())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_shape_fits_what_the_model_says_of_it() {
        let rule = ShapeRule::Dimensions(vec![-1, 2]);
        for (dimensions, fits) in [(&[1, 2][..], true), (&[0, 2], true), (&[1, 3], false), (&[2], false), (&[], false)]
        {
            assert_eq!(rule.fits(dimensions), fits, "{dimensions:?}");
            assert!(ShapeRule::AnyRank.fits(dimensions));
        }
        let scalar = ShapeRule::Dimensions(vec![]);
        assert!(scalar.fits(&[]) && !scalar.fits(&[1]));
    }

    #[test]
    fn a_stop_reaches_the_run_whether_it_comes_before_or_after() {
        let calls = Arc::new(AtomicUsize::new(0));
        let count = |calls: &Arc<AtomicUsize>| {
            let calls = Arc::clone(calls);
            Box::new(move || {
                calls.fetch_add(1, Ordering::SeqCst);
            })
        };
        let stop = Stop::default();
        stop.on_stop(count(&calls));
        assert_eq!(calls.load(Ordering::SeqCst), 0);
        stop.stop();
        stop.stop();
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        stop.on_stop(count(&calls));
        assert_eq!(calls.load(Ordering::SeqCst), 2);
        assert!(stop.is_stopped());
    }
}
