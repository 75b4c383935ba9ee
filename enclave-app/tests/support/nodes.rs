//! The node tests of ONNX as `ci/onnx_nodes.sh` leaves them, how values are compared, and which cases are known to fail.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use teegate_enclave::strings::Strings;
use teegate_enclave::tensor::{Datatype, Elements};

use super::library::skipped;

/// One test.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) number: usize,
    rtol: f64,
    atol: f64,
    /// What the protocol has no word for.
    pub(crate) left_out: Option<String>,
    /// Length of the JSON in the files of these names.
    request: Option<usize>,
    expected: Option<usize>,
    #[serde(skip)]
    pub(crate) folder: PathBuf,
}

/// Where a case fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Load,
    Run,
    Value,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Load => "load",
            Self::Run => "run",
            Self::Value => "value",
        })
    }
}

/// All tests; `None`, said aloud, where they have not been written.
pub(crate) fn cases() -> Option<Vec<Case>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/onnx-nodes");
    let Ok(text) = std::fs::read(folder.join("cases.json")) else {
        skipped("ONNX's node tests are not there: run ci/onnx_nodes.sh");
        return None;
    };
    let mut cases: Vec<Case> = serde_json::from_slice(&text).unwrap();
    cases.iter_mut().for_each(|case| case.folder = folder.join(case.number.to_string()));
    Some(cases)
}

/// The cases of `nodes.txt`, each with where it fails and why.
pub(crate) fn expected_failures() -> BTreeMap<String, (Stage, String)> {
    let mut failures = BTreeMap::new();
    let mut reason = String::new();
    for line in include_str!("../nodes.txt").lines().filter(|line| !line.is_empty() && !line.starts_with("//")) {
        match line.strip_prefix("# ") {
            Some(heading) => heading.clone_into(&mut reason),
            None => {
                let (name, stage) = line.split_once(' ').unwrap();
                let stages = [Stage::Load, Stage::Run, Stage::Value];
                let stage = stages.into_iter().find(|known| known.to_string() == stage).unwrap();
                assert!(
                    failures.insert(name.to_owned(), (stage, reason.clone())).is_none(),
                    "{name} stands there twice"
                );
            }
        }
    }
    failures
}

impl Case {
    /// Length of the JSON, and the body.
    pub(crate) fn request(&self) -> (usize, Vec<u8>) {
        (self.request.unwrap(), std::fs::read(self.folder.join("request")).unwrap())
    }
}

/// A tensor of an answer: name, shape, elements.
type Output = (String, Vec<i64>, Elements);

fn outputs(body: &[u8], json: Option<usize>) -> Vec<Output> {
    let (json, mut raw) = body.split_at(json.unwrap_or(body.len()));
    let json: Value = serde_json::from_slice(json).unwrap();
    let mut read = |output: &Value| {
        let size = output["parameters"]["binary_data_size"].as_u64().unwrap() as usize;
        let (own, rest) = raw.split_at(size);
        raw = rest;
        let datatype = Datatype::from_name(output["datatype"].as_str().unwrap()).unwrap();
        let shape: Vec<i64> = output["shape"].as_array().unwrap().iter().map(|axis| axis.as_i64().unwrap()).collect();
        let count = shape.iter().product::<i64>() as usize;
        let elements = Elements::from_le_bytes(datatype, count, own).unwrap();
        (output["name"].as_str().unwrap().to_owned(), shape, elements)
    };
    let outputs = json["outputs"].as_array().unwrap().iter().map(&mut read).collect();
    assert!(raw.is_empty());
    outputs
}

/// Whether an answer has the values of the case: types and shapes exactly, numbers as `numpy.testing.assert_allclose` has it.
pub(crate) fn compare(case: &Case, body: &[u8], json: Option<usize>) -> Result<(), String> {
    let expected = outputs(&std::fs::read(case.folder.join("expected")).unwrap(), case.expected);
    let actual = outputs(body, json);
    if actual.len() != expected.len() {
        return Err(format!("{} outputs, expected {}", actual.len(), expected.len()));
    }
    for ((name, shape, elements), (expected_name, expected_shape, expected)) in actual.iter().zip(&expected) {
        if (name, shape, elements.datatype()) != (expected_name, expected_shape, expected.datatype()) {
            let found = format!("{name} {} {shape:?}", elements.datatype());
            return Err(format!("{found}, expected {expected_name} {} {expected_shape:?}", expected.datatype()));
        }
        if let (Elements::Bytes(actual), Elements::Bytes(expected)) = (elements, expected) {
            same(actual, expected).map_err(|words| format!("{name}: {words}"))?;
            continue;
        }
        for (place, (&a, &e)) in numbers(elements).iter().zip(&numbers(expected)).enumerate() {
            let is_close = a == e || (a.is_nan() && e.is_nan()) || (a - e).abs() <= case.atol + case.rtol * e.abs();
            if !is_close || (a.is_infinite() != e.is_infinite()) {
                return Err(format!("{name}: element {place} is {a}, expected {e}"));
            }
        }
    }
    Ok(())
}

fn same(actual: &Strings, expected: &Strings) -> Result<(), String> {
    match actual.iter().zip(expected.iter()).position(|(a, e)| a != e) {
        Some(place) => Err(format!("string {place} is another")),
        None => Ok(()),
    }
}

fn numbers(elements: &Elements) -> Vec<f64> {
    match elements {
        Elements::Bool(all) => all.iter().map(|&value| f64::from(u8::from(value))).collect(),
        Elements::Uint8(all) => all.iter().map(|&value| value.into()).collect(),
        Elements::Uint16(all) => all.iter().map(|&value| value.into()).collect(),
        Elements::Uint32(all) => all.iter().map(|&value| value.into()).collect(),
        Elements::Uint64(all) => all.iter().map(|&value| value as f64).collect(),
        Elements::Int8(all) => all.iter().map(|&value| value.into()).collect(),
        Elements::Int16(all) => all.iter().map(|&value| value.into()).collect(),
        Elements::Int32(all) => all.iter().map(|&value| value.into()).collect(),
        Elements::Int64(all) => all.iter().map(|&value| value as f64).collect(),
        Elements::Fp16(all) => all.iter().map(|&bits| half::f16::from_bits(bits).into()).collect(),
        Elements::Bf16(all) => all.iter().map(|&bits| half::bf16::from_bits(bits).into()).collect(),
        Elements::Fp32(all) => all.iter().map(|&value| value.into()).collect(),
        Elements::Fp64(all) => all.clone(),
        Elements::Bytes(_) => Vec::new(),
    }
}
