//! Under which conditions requests may share one run of a model.
//!
//! Joined, the requests of several callers are computed side by side in one process, which may have been taken over by one of
//! them: so nothing is joined unless the operator says so for a model (`across_callers = true`), and the manifest shows it.
//!
//! | what | condition |
//! |---|---|
//! | the model | every input and every output has an open first dimension, the rows; where the model names these dimensions, all names are one, and no other dimension has it; elements have a fixed size |
//! | a request | gives each input and no other; all of them have equally many rows, at least one; it did not fail in a shared run before |
//! | two requests | all dimensions but the rows are equal |
//! | all of a run | no more rows than the operator allows, and each input is still a tensor that one request could bring |
//!
//! That a model computes each row by itself, and gives rows in the order in which it took them, no model says: who turns
//! joining on vouches for it. What is noticed is an output that has not as many rows as went in; then nobody is answered
//! out of it.

use std::time::Duration;

use crate::engine::{ShapeRule, Signature, TensorSignature};
use crate::model::shown;
use crate::tensor::{Datatype, Shape, Tensor};

/// After a shared run that failed, none is shared for so long: whoever makes them fail costs others one run a second more
/// than they need, and not each of theirs twice.
pub const PAUSE: Duration = Duration::from_secs(1);

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    /// Most rows of a run, all requests together.
    pub max_rows: usize,
    /// How long a request waits for others, from its arrival; zero joins only what waits already.
    pub max_delay: Duration,
    /// How long nothing is joined after a shared run that failed: [`PAUSE`].
    pub pause: Duration,
}

/// A model whose requests may share runs.
#[derive(Debug, Clone)]
pub struct Joinable {
    inputs: Vec<(String, Datatype)>,
    most_rows: usize,
}

/// Why requests of a model can share no run.
#[derive(Debug, PartialEq, Eq)]
pub enum NotJoinable {
    /// An input or output, and what it is instead.
    Tensor {
        /// Its name.
        name: String,
        /// What it is.
        actual: String,
    },
    /// The model calls first dimensions by different names.
    Names(Vec<String>),
    /// The model has another dimension of as many elements as there are rows.
    Elsewhere(String),
    /// There is no input, or no output.
    Nothing,
}

impl std::fmt::Display for NotJoinable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("its requests can share no run (`models.batching`): ")?;
        match self {
            Self::Tensor { name, actual } => write!(
                f,
                "`{}` has {actual}, expected an open first dimension for the rows of every input and output; leave `batching` out, or export the model with one",
                shown(name.as_bytes())
            ),
            Self::Names(names) => write!(
                f,
                "it calls the first dimensions of its inputs and outputs by different names, `{}`: they are not the same rows",
                names.iter().take(8).map(|name| shown(name.as_bytes())).collect::<Vec<_>>().join("`, `")
            ),
            Self::Elsewhere(name) => write!(
                f,
                "a dimension that is not the first is called `{}` like the rows, so it would grow with the requests of others",
                shown(name.as_bytes())
            ),
            Self::Nothing => f.write_str("it has no input or no output"),
        }
    }
}

impl Joinable {
    /// Whether requests of this model may share runs of so many rows.
    ///
    /// # Errors
    /// [`NotJoinable`] says why they may not.
    pub fn of(signature: &Signature, most_rows: usize) -> Result<Self, NotJoinable> {
        let Signature { inputs, outputs, axes, .. } = signature;
        if inputs.is_empty() || outputs.is_empty() {
            return Err(NotJoinable::Nothing);
        }
        for tensor in inputs.iter().chain(outputs) {
            if let Some(actual) = without_rows(tensor) {
                return Err(NotJoinable::Tensor { name: tensor.name.clone(), actual });
            }
        }
        if axes.first.len() > 1 {
            return Err(NotJoinable::Names(axes.first.clone()));
        }
        if let Some(name) = axes.first.iter().find(|name| axes.others.contains(name)) {
            return Err(NotJoinable::Elsewhere(name.clone()));
        }
        let inputs = inputs.iter().map(|input| (input.name.clone(), input.datatype)).collect();
        Ok(Self { inputs, most_rows })
    }

    /// The rows of a request that may share a run; `None` for one that runs by itself.
    fn rows(&self, inputs: &[Tensor]) -> Option<usize> {
        let is = |given: &Tensor, (name, datatype): &(String, Datatype)| {
            given.name == *name && given.elements.datatype() == *datatype
        };
        if inputs.len() != self.inputs.len() || !inputs.iter().zip(&self.inputs).all(|(given, input)| is(given, input))
        {
            return None;
        }
        let mut rows = inputs.iter().map(|input| input.shape.rows());
        let first = rows.next()??;
        (rows.all(|other| other == Some(first)) && (1..=self.most_rows).contains(&first)).then_some(first)
    }
}

/// What a tensor has instead of rows.
fn without_rows(tensor: &TensorSignature) -> Option<String> {
    match &tensor.shape {
        ShapeRule::AnyRank => Some("any shape".to_owned()),
        ShapeRule::Dimensions(dimensions) => match dimensions.first() {
            Some(-1) => {
                tensor.datatype.size().is_none().then(|| format!("elements of type {}", tensor.datatype.name()))
            }
            Some(fixed) => Some(format!("a first dimension of {fixed}")),
            None => Some("no dimension".to_owned()),
        },
    }
}

/// Requests that are gathered for one run: of what form they are, and how many rows there are so far.
pub struct Gathering<'m> {
    model: &'m Joinable,
    /// The inputs of the first one.
    shapes: Vec<Shape>,
    /// Rows of each request.
    rows: Vec<usize>,
    all_rows: usize,
}

impl<'m> Gathering<'m> {
    /// Begins with a request; `None` for one that runs by itself.
    pub fn begin(model: &'m Joinable, inputs: &[Tensor]) -> Option<Self> {
        let rows = model.rows(inputs)?;
        let shapes = inputs.iter().map(|input| input.shape.clone()).collect();
        Some(Self { model, shapes, rows: vec![rows], all_rows: rows })
    }

    /// Takes another request in, if it may share the run.
    pub fn admit(&mut self, inputs: &[Tensor]) -> bool {
        let Some(rows) = self.model.rows(inputs) else { return false };
        let all_rows = self.all_rows.saturating_add(rows);
        let is_alike = |(input, first): (&Tensor, &Shape)| {
            input.shape.of_a_row() == first.of_a_row() && first.with_rows(all_rows, input.elements.datatype()).is_ok()
        };
        let fits = all_rows <= self.model.most_rows && inputs.iter().zip(&self.shapes).all(is_alike);
        if fits {
            self.rows.push(rows);
            self.all_rows = all_rows;
        }
        fits
    }

    /// Whether not one more row may come.
    pub fn is_full(&self) -> bool {
        self.all_rows >= self.model.most_rows
    }

    /// The rows of each request, in the order in which they were taken in.
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }
}

/// Of so many requests that wait, how many one worker takes when so many are free, it among them: all the same share.
pub fn fair_share(waiting: usize, free: usize) -> usize {
    waiting.div_ceil(free.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::AxisNames;
    use crate::tensor::Elements;

    fn declared(name: &str, shape: &[i64]) -> TensorSignature {
        TensorSignature { name: name.into(), datatype: Datatype::Uint8, shape: ShapeRule::Dimensions(shape.to_vec()) }
    }

    /// Two inputs, rows of two and of any number of elements.
    fn signature() -> Signature {
        Signature {
            inputs: vec![declared("a", &[-1, 2]), declared("b", &[-1, -1])],
            defaults: vec![declared("w", &[2])],
            outputs: vec![declared("y", &[-1])],
            axes: AxisNames { first: vec!["n".into()], others: vec!["m".into()] },
        }
    }

    fn given(name: &str, shape: &[i64]) -> Tensor {
        let shape = Shape::new(shape, Datatype::Uint8).unwrap();
        Tensor { name: name.into(), elements: Elements::Uint8(vec![0; shape.elements().min(8)]), shape }
    }

    fn request(rows: i64, length: i64) -> Vec<Tensor> {
        vec![given("a", &[rows, 2]), given("b", &[rows, length])]
    }

    #[test]
    fn a_model_has_rows_in_every_input_and_output_or_shares_no_run() {
        assert!(Joinable::of(&signature(), 8).is_ok());
        assert!(Joinable::of(&Signature { axes: AxisNames::default(), ..signature() }, 8).is_ok());
        let halves = TensorSignature { datatype: Datatype::Fp16, ..declared("y", &[-1]) };
        assert!(Joinable::of(&Signature { outputs: vec![halves], ..signature() }, 8).is_ok());
        let refused = |signature: Signature| Joinable::of(&signature, 8).unwrap_err();
        let tensor = |actual: &str| NotJoinable::Tensor { name: "x".into(), actual: actual.into() };
        let any_rank = TensorSignature { shape: ShapeRule::AnyRank, ..declared("x", &[]) };
        for (bad, actual) in [
            (declared("x", &[1, -1]), "a first dimension of 1"),
            (declared("x", &[]), "no dimension"),
            (any_rank, "any shape"),
            (TensorSignature { datatype: Datatype::Bytes, ..declared("x", &[-1]) }, "elements of type BYTES"),
        ] {
            let mut in_inputs = signature();
            in_inputs.inputs.push(bad.clone());
            assert_eq!(refused(in_inputs), tensor(actual));
            let mut in_outputs = signature();
            in_outputs.outputs.push(bad);
            assert_eq!(refused(in_outputs), tensor(actual));
        }
        assert_eq!(refused(Signature { inputs: vec![], ..signature() }), NotJoinable::Nothing);
        assert_eq!(refused(Signature { outputs: vec![], ..signature() }), NotJoinable::Nothing);
        let words = tensor("no dimension").to_string();
        assert!(words.contains("`x` has no dimension, expected an open first dimension"), "{words}");
    }

    #[test]
    fn a_model_whose_names_say_that_rows_meet_shares_no_run() {
        let with = |first: &[&str], others: &[&str]| {
            let names = |all: &[&str]| all.iter().map(|&name| name.to_owned()).collect();
            Joinable::of(
                &Signature { axes: AxisNames { first: names(first), others: names(others) }, ..signature() },
                8,
            )
        };
        assert!(with(&["n"], &["m", "k"]).is_ok());
        // As many rows come out as the values decide.
        let two = with(&["n", "selected"], &[]).unwrap_err();
        assert_eq!(two, NotJoinable::Names(vec!["n".into(), "selected".into()]));
        // Each row is compared with each.
        assert_eq!(with(&["n"], &["m", "n"]).unwrap_err(), NotJoinable::Elsewhere("n".into()));
        assert!(two.to_string().contains("by different names, `n`, `selected`"), "{two}");
    }

    #[test]
    fn names_that_a_model_chose_move_no_cursor() {
        let name = format!("\u{1b}[2J\n{}", "n".repeat(100));
        let said = [
            NotJoinable::Tensor { name: name.clone(), actual: "no dimension".into() },
            NotJoinable::Names(vec![name.clone(); 1000]),
            NotJoinable::Elsewhere(name),
        ];
        for words in said.map(|reason| reason.to_string()) {
            assert!(words.contains(&format!("` [2J {}`", "n".repeat(75))), "{words}");
            assert!(!words.contains(|c: char| c.is_control()) && words.len() < 1000, "{words}");
        }
    }

    #[test]
    fn a_request_that_is_not_rows_alone_runs_by_itself() {
        let model = Joinable::of(&signature(), 8).unwrap();
        let begins = |inputs: &[Tensor]| Gathering::begin(&model, inputs).is_some();
        assert!(begins(&request(1, 3)) && begins(&request(8, 3)));
        assert!(!begins(&request(0, 3)), "no rows");
        assert!(!begins(&request(9, 3)), "more than a run takes");
        assert!(!begins(&[given("a", &[2, 2]), given("b", &[3, 3])]), "its own inputs differ");
        assert!(!begins(&[given("a", &[2, 2]), given("b", &[2, 3]), given("w", &[2])]), "it brings a value of its own");
        assert!(!begins(&[given("a", &[2, 2])]) && !begins(&[]));
        assert!(!begins(&[given("b", &[2, 2]), given("a", &[2, 2])]), "another order");
        let other = Tensor { elements: Elements::Int8(vec![0; 4]), ..given("a", &[2, 2]) };
        assert!(!begins(&[other, given("b", &[2, 3])]), "another type");
    }

    #[test]
    fn requests_share_a_run_when_all_dimensions_but_the_rows_are_equal() {
        let model = Joinable::of(&signature(), 8).unwrap();
        let mut gathering = Gathering::begin(&model, &request(3, 5)).unwrap();
        assert!(!gathering.admit(&request(1, 4)), "another length");
        assert!(!gathering.admit(&request(6, 5)), "nine rows");
        assert!(gathering.admit(&request(4, 5)) && !gathering.is_full());
        assert!(!gathering.admit(&request(2, 5)));
        assert!(gathering.admit(&request(1, 5)) && gathering.is_full());
        assert!(!gathering.admit(&request(1, 5)));
        // What was refused has left nothing behind.
        assert_eq!(gathering.rows(), [3, 4, 1]);
    }

    #[test]
    fn joined_inputs_are_no_larger_than_one_request_may_bring() {
        let model = Joinable::of(&signature(), 8).unwrap();
        // 2^30 elements in each row, and a tensor has 2^31 at most.
        let mut gathering = Gathering::begin(&model, &request(1, 1 << 30)).unwrap();
        assert!(gathering.admit(&request(1, 1 << 30)));
        assert!(!gathering.admit(&request(1, 1 << 30)));
        assert_eq!(gathering.rows(), [1, 1]);
    }

    #[test]
    fn what_waits_is_shared_evenly() {
        let shares = [(1, 1), (8, 1), (8, 2), (9, 2), (1, 4), (0, 1), (3, 0)];
        assert_eq!(shares.map(|(waiting, free)| fair_share(waiting, free)), [1, 8, 4, 5, 1, 0, 3]);
    }
}
