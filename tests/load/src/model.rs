//! The models, what they are asked, and what they have to answer.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Value, json};
use teegate_client::oip::{self, TensorData};

use crate::Outcome;
use crate::engine::{Elements, Engine, Input};

/// How many questions a model is asked in turn: enough that no answer is the one before it.
const QUESTIONS: usize = 8;
/// Tokens of a question to MiniLM.
const TOKENS: usize = 32;
/// How far an answer may be from ONNX Runtime's in this process, of its size or of one: another batch adds up in another order.
const TOLERANCE: f32 = 1e-4;

/// A model and its questions.
pub struct Model {
    /// Its name on the path.
    pub name: &'static str,
    /// Its file.
    pub file: PathBuf,
    /// What it is asked.
    pub questions: Vec<Question>,
}

/// One question, in the form in which everybody takes it, and its answer.
pub struct Question {
    /// For the library.
    pub inputs: Vec<Input>,
    /// An *Inference Request* of the Open Inference Protocol, in JSON: the one form that every server here reads.
    pub body: Bytes,
    /// What has to come back.
    pub answer: Vec<f32>,
}

impl Model {
    /// The model of the demonstration, 7 KB.
    pub fn tiny(root: &Path) -> Outcome<Self> {
        let folder = root.join("enclave-app/models/breast-cancer");
        let sample: Value = serde_json::from_slice(&read(&folder.join("sample.json"))?)?;
        let features = sample["inputs"][0]["data"].as_array().ok_or("the sample of the model has no data")?;
        let features = features.iter().filter_map(Value::as_f64).collect::<Vec<_>>();
        let question = |number: usize| {
            // Where the model is least sure, so that no two answers are alike.
            let scale = 0.44 + number as f64 / 25.0;
            let elements = Elements::Fp32(features.iter().map(|feature| (feature * scale) as f32).collect());
            vec![Input { name: "features".to_owned(), shape: vec![1, 30], elements }]
        };
        Ok(Self::of("breast-cancer", folder, question))
    }

    /// MiniLM, 90 MB, asked for one sentence of 32 tokens at a time; where `ci/minilm.sh` has built it.
    pub fn minilm(root: &Path) -> Outcome<Self> {
        let folder = root.join(".cache/models/minilm");
        let question = |number: usize| {
            let word = |at: usize| 2000 + ((number * 7919 + at * 104_729) % 20_000) as i64;
            // 101 begins a sentence, 102 ends it.
            let mut ids: Vec<i64> = (0..TOKENS).map(word).collect();
            (ids[0], ids[TOKENS - 1]) = (101, 102);
            [("input_ids", ids), ("attention_mask", vec![1; TOKENS]), ("token_type_ids", vec![0; TOKENS])]
                .map(|(name, ids)| Input {
                    name: name.to_owned(),
                    shape: vec![1, TOKENS as i64],
                    elements: Elements::Int64(ids),
                })
                .to_vec()
        };
        Ok(Self::of("minilm", folder, question))
    }

    fn of(name: &'static str, folder: PathBuf, question: impl Fn(usize) -> Vec<Input>) -> Self {
        let asked = |number| {
            let inputs = question(number);
            Question { body: written(&inputs).into(), inputs, answer: Vec::new() }
        };
        Self { name, file: folder.join("model.onnx"), questions: (0..QUESTIONS).map(asked).collect() }
    }

    /// The name under which the enclave serves it once more, with requests that share runs.
    pub fn name_of_shared(&self) -> String {
        format!("{}-shared", self.name)
    }

    /// The bytes of its file.
    pub fn bytes(&self) -> Outcome<Vec<u8>> {
        read(&self.file)
    }

    /// Answers its questions once and for all. No two may have the same answer: the check would not see that one came for the other.
    pub fn answer_with(&mut self, engine: &mut Engine) -> Outcome<()> {
        for question in &mut self.questions {
            question.answer = engine.run(&question.inputs)?.2;
        }
        let differs = |one: &Question, other: &Question| one.check(&other.answer).is_err();
        let all_differ = self.questions.windows(2).all(|pair| differs(&pair[0], &pair[1]));
        if all_differ { Ok(()) } else { Err(format!("two questions to {} have the same answer", self.name).into()) }
    }

    /// All questions as one, a row for each.
    pub fn batch(&self) -> Outcome<Vec<Input>> {
        let mut inputs = self.questions[0].inputs.clone();
        for question in &self.questions[1..] {
            for (to, from) in inputs.iter_mut().zip(&question.inputs) {
                to.shape[0] += from.shape[0];
                match (&mut to.elements, &from.elements) {
                    (Elements::Fp32(to), Elements::Fp32(from)) => to.extend(from),
                    (Elements::Int64(to), Elements::Int64(from)) => to.extend(from),
                    _ => return Err("two questions with inputs of two types".into()),
                }
            }
        }
        Ok(inputs)
    }

    /// What has to come back for [`Self::batch`].
    pub fn answers(&self) -> Vec<f32> {
        self.questions.iter().flat_map(|question| question.answer.clone()).collect()
    }
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    Ok(std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?)
}

fn written(inputs: &[Input]) -> Vec<u8> {
    let inputs: Vec<Value> = inputs
        .iter()
        .map(|Input { name, shape, elements }| {
            let (datatype, data) = match elements {
                Elements::Fp32(elements) => ("FP32", json!(elements)),
                Elements::Int64(elements) => ("INT64", json!(elements)),
            };
            json!({"name": name, "shape": shape, "datatype": datatype, "data": data})
        })
        .collect();
    json!({ "inputs": inputs }).to_string().into_bytes()
}

impl Question {
    /// Holds an *Inference Response* against the answer.
    pub fn check_body(&self, body: &[u8]) -> Outcome<()> {
        let answered = oip::answer(body).map_err(|e| {
            format!("not an answer: {e}; it is {}", String::from_utf8_lossy(&body[..body.len().min(200)]))
        })?;
        match answered.outputs.first().map(|output| &output.data) {
            Some(TensorData::Fp32(values)) => self.check(values),
            other => Err(format!("expected an output of FP32, got {:?}", other.map(TensorData::datatype)).into()),
        }
    }

    /// Holds values against the answer.
    pub fn check(&self, values: &[f32]) -> Outcome<()> {
        check(values, &self.answer)
    }
}

/// Holds `values` against what they have to be.
pub fn check(values: &[f32], expected: &[f32]) -> Outcome<()> {
    if values.len() != expected.len() {
        return Err(format!("an answer of {} numbers, expected {}", values.len(), expected.len()).into());
    }
    // Written so that a NaN is no answer.
    let near = |(value, expected): &(&f32, &f32)| (*value - *expected).abs() <= TOLERANCE * expected.abs().max(1.0);
    match values.iter().zip(expected).find(|pair| !near(pair)) {
        None => Ok(()),
        Some((value, expected)) => Err(format!("a wrong answer: {value} where ONNX Runtime says {expected}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_near_or_wrong() {
        assert!(check(&[0.5, 100.0], &[0.50005, 100.005]).is_ok());
        for wrong in [&[0.5002, 100.0][..], &[0.5], &[f32::NAN, 100.0], &[100.0, 0.5]] {
            assert!(check(wrong, &[0.5, 100.0]).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_body_is_checked_by_its_first_output() {
        let mut question = Question { inputs: vec![], body: Bytes::new(), answer: vec![0.5, 1.5] };
        let body = br#"{"model_name":"m","outputs":[{"name":"y","shape":[1,2],"datatype":"FP32","data":[0.5,1.5]}]}"#;
        question.check_body(body).unwrap();
        question.answer = vec![0.5, 1.6];
        assert_eq!(
            question.check_body(body).unwrap_err().to_string(),
            "a wrong answer: 1.5 where ONNX Runtime says 1.6"
        );
        assert!(question.check_body(b"{}").unwrap_err().to_string().starts_with("not an answer"));
    }

    #[test]
    fn a_batch_has_a_row_for_each_question() {
        let mut model = Model::minilm(Path::new("/nowhere")).unwrap();
        assert_eq!(model.batch().unwrap()[0].shape, [QUESTIONS as i64, TOKENS as i64]);
        model.questions.iter_mut().for_each(|question| question.answer = vec![1.0, 2.0]);
        assert_eq!(model.answers().len(), 2 * QUESTIONS);
    }
}
