//! What runs a model, as a trait, so that another engine can stand in for ONNX Runtime.
//!
//! ONNX Runtime parses models and runs inputs that nobody trusts, so it runs apart from the keys: [`process`] is the engine
//! that enclave-app uses, and what it starts is this very program as a [`worker`], which holds one model and nothing of ours.
//! [`confinement`] is what a worker may still do when it reads the model, [`message`] and [`shared_memory`] are all that it
//! can say, [`onnx`] and [`runtime`] are the library inside it.

pub mod confinement;
pub mod message;
pub mod onnx;
pub mod process;
pub mod runtime;
pub mod sealed;
pub mod shared_memory;
pub mod worker;

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::memory::{Purse, Shortage};
use crate::tensor::{Datatype, Tensor};

/// One model, ready to run, or to be made so. A worker thread owns it; nothing is shared between two of them.
pub trait Engine: Send {
    /// Makes it ready to run, from the beginning: at the start, after a run that it did not survive, or when it has worn out.
    /// Says what the model's inputs and outputs are.
    ///
    /// # Errors
    /// [`LoadError`] says why it is not ready. Loading may be tried again.
    fn load(&mut self) -> Result<Signature, LoadError>;

    /// Whether it can run now, and why it cannot.
    fn readiness(&mut self) -> Readiness;

    /// Whether it can run now. Otherwise it has to be loaded.
    fn is_ready(&mut self) -> bool {
        self.readiness() == Readiness::Ready
    }

    /// Becomes readable when [`Engine::is_ready`] is worth asking again although nothing was run.
    fn watched(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Runs the model once on `inputs` and returns every output, in the order of the signature. What it allocates for the
    /// outputs is paid from `purse` before.
    ///
    /// Nobody waits for the outputs any more after `until`; a run that is then not about to end is ended.
    ///
    /// # Errors
    /// [`EngineError`] says what the engine said about these inputs, or why it has to be loaded again.
    fn run(&mut self, inputs: Vec<Tensor>, until: Instant, purse: &mut Purse) -> Result<Vec<Tensor>, EngineError>;

    /// Does this as soon as the next run is under way, or when it has ended before: work for which an engine that computes
    /// elsewhere is not kept waiting. One that computes here does it at once.
    fn meanwhile(&mut self, work: Work) {
        work();
    }

    /// As [`Engine::run`], of inputs that are kept: a run that is not through at `until` is ended, or when
    /// [`Engine::least_time`] is over, and may be tried again.
    ///
    /// # Errors
    /// As [`Engine::run`]. An engine that shares no runs fails each.
    fn run_kept(&mut self, inputs: &[Tensor], until: Instant, purse: &mut Purse) -> Result<Vec<Tensor>, EngineError> {
        let _ = (inputs, until, purse);
        Err(EngineError::Failed("this engine keeps no inputs".to_owned()))
    }

    /// The time that each run has, however soon it is to end.
    fn least_time(&self) -> Duration {
        Duration::ZERO
    }

    /// Runs the model once on the rows of several requests, one after the other, and gives each the rows of its own, or says
    /// that its purse has no memory for them. As many answers as parts, in their order.
    ///
    /// A run that is not through at `until` is ended, or when [`Engine::least_time`] is over.
    ///
    /// # Errors
    /// As [`Engine::run`]; then nobody gets anything. An output that has not as many rows as went in is such an error. Words
    /// of a failure may speak of the values of any of the requests, so they belong nowhere. An engine that shares no runs
    /// fails each.
    fn run_parts(&mut self, parts: &mut [Part<'_>], until: Instant) -> Result<Vec<PartOutputs>, EngineError> {
        let _ = (parts, until);
        Err(EngineError::Failed("this engine shares no runs".to_owned()))
    }
}

/// Something to do while an engine runs. Dropped, it counts as done.
pub type Work = Box<dyn FnOnce() + Send>;

/// Whether an engine can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// It can.
    Ready,
    /// It has run as often as it should, and is to be loaded again. Nothing is lost.
    WornOut,
    /// It is not there, has ended by itself, or has said what nobody asked for.
    Gone,
}

/// One request's part of a run that it shares with others.
pub struct Part<'r> {
    /// Its inputs: every input of the model and no other, of the same form as those of the other parts.
    pub inputs: &'r [Tensor],
    /// The first dimension of each of them, and of each of its outputs.
    pub rows: usize,
    /// What its outputs are paid from.
    pub purse: &'r mut Purse,
}

/// What a shared run gives one request.
pub type PartOutputs = Result<Vec<Tensor>, Shortage>;

/// Names, types and shapes of a model's inputs and outputs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The inputs; a request gives all of them.
    pub inputs: Vec<TensorSignature>,
    /// The inputs that a request may give or leave out: the model brings a value for each.
    pub defaults: Vec<TensorSignature>,
    /// The outputs.
    pub outputs: Vec<TensorSignature>,
    /// What the model calls open dimensions of inputs and outputs.
    #[serde(default)]
    pub axes: AxisNames,
}

/// The names that a model gives to open dimensions of its inputs and outputs: each name once, and nothing for a dimension
/// without a name. Equal names are equal lengths, as far as the model is to be believed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AxisNames {
    /// Of the first dimensions.
    pub first: Vec<String>,
    /// Of the others.
    pub others: Vec<String>,
}

/// Name, type and shape of one input or output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorSignature {
    /// The name that the model gives it.
    pub name: String,
    /// The type of its elements.
    pub datatype: Datatype,
    /// What the model says of its shape.
    pub shape: ShapeRule,
}

/// What a model says of a shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The run ended well, and there is no memory for its outputs.
    NoMemory(Shortage),
    /// The engine refused or failed. Its words may speak of the values of this request: they belong into the sealed
    /// answer and into no log.
    Failed(String),
    /// The engine did not survive the run, and has to be loaded again.
    Lost(Loss),
}

/// Why an engine is gone. Says nothing of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// The run was not about to end when nobody waited for it any more.
    Deadline,
    /// It ended by itself.
    Ended(String),
    /// It said something that it may not say.
    Breach(&'static str),
    /// The system refused something that the run needs.
    System(String),
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Deadline => f.write_str("it ran past its deadline"),
            Self::Ended(how) => write!(f, "it ended by itself, {how}"),
            Self::Breach(what) => write!(f, "breach: {what}"),
            Self::System(what) => f.write_str(what),
        }
    }
}

/// Why an engine is not ready.
#[derive(Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The engine cannot serve this model, in its own words.
    Refused(String),
    /// It took longer than this.
    TooLong(Duration),
    /// It was lost while it loaded.
    Lost(Loss),
    /// The system did not let it begin.
    NotStarted(String),
}

impl LoadError {
    /// What may be written to a log when the model has run before: everything but the engine's own words. Whoever has taken
    /// over the engine chooses those, and may have learnt something meanwhile.
    pub fn without_words(&self) -> String {
        match self {
            Self::Refused(_) => "the engine refused the model that it had loaded before".to_owned(),
            Self::TooLong(_) | Self::Lost(_) | Self::NotStarted(_) => self.to_string(),
        }
    }
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(words) => f.write_str(words),
            Self::TooLong(patience) => write!(
                f,
                "it was not loaded within {} s (`limits.load_deadline_seconds`); a model that is no larger than others and takes so long may be hostile",
                patience.as_secs()
            ),
            Self::Lost(Loss::Ended(how)) => write!(
                f,
                "the worker that loaded it ended by itself, {how}; it may need more memory than `limits.load_memory_bytes` and three times the model"
            ),
            Self::Lost(loss) => write!(f, "the worker that loaded it is gone: {loss}"),
            Self::NotStarted(why) => write!(f, "no worker could be started for it: {why}"),
        }
    }
}

impl std::error::Error for LoadError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_no_words_of_an_engine_that_has_seen_requests() {
        let refused = LoadError::Refused("canary".to_owned());
        assert_eq!(refused.to_string(), "canary");
        assert_eq!(refused.without_words(), "the engine refused the model that it had loaded before");
        let others = [
            LoadError::TooLong(Duration::from_secs(7)),
            LoadError::Lost(Loss::Breach("what")),
            LoadError::NotStarted("why".to_owned()),
        ];
        for (error, said) in others.iter().zip(["within 7 s", "breach: what", "why"]) {
            assert!(error.without_words().contains(said), "{error}");
        }
    }

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
}
