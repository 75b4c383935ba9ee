//! ONNX Runtime as enclave-app loads it: what runs, what is refused, what is ended, and that nothing leaves the
//! process.
//!
//! The library reads its environment when it is initialised, so the test binary replaces itself once by itself with an
//! environment like the one that enclave-app makes (cargo's own has `LD_LIBRARY_PATH`, which enclave-app would refuse).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what a test expects and does not find should end it, in its helper functions too"
)]

#[path = "support/library.rs"]
mod library;
#[path = "support/models.rs"]
mod models;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use teegate_enclave::engine::onnx::{self, LoadError};
use teegate_enclave::engine::runtime::Runtime;
use teegate_enclave::engine::{Engine, EngineError, ShapeRule, Stop, TensorSignature};
use teegate_enclave::environment;
use teegate_enclave::memory::{Memory, Purse};
use teegate_enclave::model::{ModelError, ModelFile};
use teegate_enclave::oip::infer::Inference;
use teegate_enclave::tensor::{Elements, Shape, Tensor};
use teegate_enclave::workers::{RunError, Workers};

/// What the outputs of one run may have together.
const OUTPUT_BYTES: usize = 64 << 20;

/// The library, initialised once; `None` when it is not there.
fn runtime() -> Option<&'static Runtime> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    let path = library::library()?;
    if !environment::telemetry_is_off() {
        let cache = std::env::temp_dir().join(format!("teegate-engine-test-{}", std::process::id()));
        std::fs::create_dir_all(&cache).unwrap();
        let error = std::process::Command::new("/proc/self/exe")
            .args(std::env::args_os().skip(1))
            .env_clear()
            .env("ORT_DISABLE_TELEMETRY", "1")
            // Ignored, or nothing here would run.
            .env("ORT_DYLIB_PATH", "/nonexistent/libonnxruntime.so")
            .env("HOME", &cache)
            .env("XDG_CACHE_HOME", &cache)
            .env("TEEGATE_ORT_LIB", path)
            .exec();
        panic!("{error}");
    }
    RUNTIME.get_or_init(|| Some(Runtime::load(&path).unwrap())).as_ref()
}

/// An empty one, of a memory without end.
fn purse() -> Purse {
    Memory::new(1 << 40, 1 << 40).share().purse()
}

fn load(runtime: &Runtime, model: Vec<u8>) -> Result<Box<dyn Engine>, LoadError> {
    onnx::load(runtime, &ModelFile::from_bytes(model).unwrap(), 1, 1, OUTPUT_BYTES).map(|mut engines| engines.remove(0))
}

fn tensor(name: &str, shape: &[i64], elements: Elements) -> Tensor {
    Tensor { name: name.into(), shape: Shape::new(shape, elements.datatype()).unwrap(), elements }
}

#[test]
fn the_demonstration_model_gives_the_recorded_answer() {
    let Some(runtime) = runtime() else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/breast-cancer");
    let mut engine = onnx::load(runtime, &ModelFile::load(&folder.join("model.onnx")).unwrap(), 1, 1, OUTPUT_BYTES)
        .unwrap()
        .remove(0);
    let request = Inference::parse(
        &std::fs::read(folder.join("sample.json")).unwrap(),
        None,
        "breast-cancer",
        engine.signature(),
        &mut purse(),
    )
    .unwrap();
    let outputs = engine.run(&request.inputs, &Stop::default(), &mut purse()).unwrap();
    let answer = request.answer("breast-cancer", "1", outputs, OUTPUT_BYTES, &mut purse()).unwrap();
    let read = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
    let (actual, expected) = (read(&answer.body), read(&std::fs::read(folder.join("expected.json")).unwrap()));
    assert_eq!(actual["outputs"][0]["name"], expected["outputs"][0]["name"]);
    for column in 0..2 {
        let value = |json: &serde_json::Value| json["outputs"][0]["data"][column].as_f64().unwrap();
        assert!((value(&actual) - value(&expected)).abs() < 1e-6, "{actual} {expected}");
    }
}

#[test]
fn every_plain_type_goes_in_and_comes_out() {
    let Some(runtime) = runtime() else { return };
    let mut engine = load(runtime, models::identities()).unwrap();
    let inputs: Vec<Tensor> = engine
        .signature()
        .inputs
        .iter()
        .map(|input| {
            let bytes: Vec<u8> = (0..3 * input.datatype.size())
                .map(|i| if input.datatype.size() == 1 { (i % 2) as u8 } else { i as u8 })
                .collect();
            tensor(&input.name, &[3], Elements::from_le_bytes(input.datatype, &bytes).unwrap())
        })
        .collect();
    assert_eq!(inputs.len(), 11);
    let outputs = engine.run(&inputs, &Stop::default(), &mut purse()).unwrap();
    for (input, output) in inputs.iter().zip(&outputs) {
        assert_eq!((&input.elements, &input.shape), (&output.elements, &output.shape));
    }
}

#[tokio::test]
async fn an_endless_model_is_terminated_at_the_deadline_and_the_worker_lives() {
    let Some(runtime) = runtime() else { return };
    let workers =
        Workers::start("endless", vec![load(runtime, models::endless()).unwrap()], 1, Duration::from_millis(200))
            .unwrap();
    let input = || vec![tensor("x", &[1], Elements::Fp32(vec![1.0]))];
    // With one worker and room for one order, the second can only be taken because the first run has really ended.
    for _ in 0..3 {
        let begun = std::time::Instant::now();
        assert_eq!(workers.run(input(), purse()).await.map(drop), Err(RunError::Deadline));
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn a_stop_ends_a_run_and_the_session_serves_the_next() {
    let Some(runtime) = runtime() else { return };
    let mut engine = load(runtime, models::add()).unwrap();
    let input = [tensor("x", &[2], Elements::Fp32(vec![1.0, 2.0]))];
    let stopped = Stop::default();
    stopped.stop();
    assert_eq!(engine.run(&input, &stopped, &mut purse()), Err(EngineError::Stopped));
    let outputs = engine.run(&input, &Stop::default(), &mut purse()).unwrap();
    assert_eq!(outputs[0].elements, Elements::Fp32(vec![2.0, 12.0]));
}

#[test]
fn a_model_with_data_in_another_file_is_refused_before_it_is_loaded() {
    assert_eq!(
        ModelFile::from_bytes(models::add_external()).unwrap_err(),
        ModelError::ExternalData { tensor: "w".into() }
    );
    assert!(ModelFile::from_bytes(models::add()).is_ok());
}

#[test]
fn what_cannot_be_served_is_refused_with_a_reason() {
    let Some(runtime) = runtime() else { return };
    for (model, name, hint) in [
        (models::strings(), "y", "; train with integer classes instead of text"),
        (models::half(), "x", "; cast it to FP32 at the edge of the model"),
        (models::maps(), "y", "; for scikit-learn models export with `zipmap: False`"),
    ] {
        let words = load(runtime, model).err().unwrap().to_string();
        assert!(words.starts_with(&format!("model has `{name}` of type ")) && words.contains(hint), "{words}");
        assert_eq!(words.contains("zipmap"), hint.contains("zipmap"), "{words}");
    }
    match load(runtime, models::custom_operator()).err() {
        Some(LoadError::Refused(reason)) => assert!(reason.contains("com.example.custom"), "{reason}"),
        other => panic!("{other:?}"),
    }
    match load(runtime, b"\x08\x09".to_vec()).err() {
        Some(LoadError::Refused(reason)) => assert!(!reason.is_empty()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tensor_of_unknown_rank_has_any_shape() {
    let Some(runtime) = runtime() else { return };
    let mut engine = load(runtime, models::any_rank()).unwrap();
    let signature = engine.signature().clone();
    assert_eq!((&signature.inputs[0].shape, &signature.outputs[0].shape), (&ShapeRule::AnyRank, &ShapeRule::AnyRank));
    for shape in ["[]", "[1]", "[1,1,1]", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]"] {
        let request = format!(r#"{{"inputs":[{{"name":"x","shape":{shape},"datatype":"FP32","data":[7]}}]}}"#);
        let request = Inference::parse(request.as_bytes(), None, "m", &signature, &mut purse()).unwrap();
        let outputs = engine.run(&request.inputs, &Stop::default(), &mut purse()).unwrap();
        assert_eq!(outputs[0].elements, Elements::Fp32(vec![7.0]));
        assert_eq!(outputs[0].shape, request.inputs[0].shape, "{shape}");
    }
    // A scalar is no such tensor.
    let loop_model = load(runtime, models::endless()).unwrap();
    assert_eq!(loop_model.signature().inputs[0].shape, ShapeRule::Dimensions(vec![1]));
}

#[test]
fn an_input_for_which_the_model_brings_a_value_is_given_or_left_out() {
    let Some(runtime) = runtime() else { return };
    let mut engine = load(runtime, models::add_with_default()).unwrap();
    let signature = engine.signature().clone();
    let names = |tensors: &[TensorSignature]| tensors.iter().map(|tensor| tensor.name.clone()).collect::<Vec<_>>();
    assert_eq!((names(&signature.inputs), names(&signature.defaults)), (vec!["x".to_owned()], vec!["w".to_owned()]));
    let x = r#"{"name":"x","shape":[2],"datatype":"FP32","data":[1,2]}"#;
    let w = r#"{"name":"w","shape":[2],"datatype":"FP32","data":[100,200]}"#;
    // Given once, it is not kept for the next.
    for (inputs, expected) in
        [(x.to_owned(), vec![2.0, 12.0]), (format!("{w},{x}"), vec![101.0, 202.0]), (x.to_owned(), vec![2.0, 12.0])]
    {
        let request = format!(r#"{{"inputs":[{inputs}]}}"#);
        let request = Inference::parse(request.as_bytes(), None, "m", &signature, &mut purse()).unwrap();
        assert_eq!(
            engine.run(&request.inputs, &Stop::default(), &mut purse()).unwrap()[0].elements,
            Elements::Fp32(expected)
        );
    }
    // A value that nobody may replace is no input.
    assert!(load(runtime, models::add()).unwrap().signature().defaults.is_empty());
}

#[test]
fn outputs_beyond_the_limit_are_not_copied() {
    let Some(runtime) = runtime() else { return };
    let file = ModelFile::from_bytes(models::zeros()).unwrap();
    let mut zeros = onnx::load(runtime, &file, 1, 1, 400).unwrap().remove(0);
    let mut run =
        |length| zeros.run(&[tensor("shape", &[1], Elements::Int64(vec![length]))], &Stop::default(), &mut purse());
    assert_eq!(run(100).unwrap()[0].elements.len(), 100);
    match run(101) {
        Err(EngineError::Failed(words)) => assert!(words.contains("more than 400 bytes together"), "{words}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_that_fails_is_told_to_the_caller_and_the_process_lives() {
    let Some(runtime) = runtime() else { return };
    let mut zeros = load(runtime, models::zeros()).unwrap();
    let run = |engine: &mut Box<dyn Engine>, length: i64| {
        engine.run(&[tensor("shape", &[1], Elements::Int64(vec![length]))], &Stop::default(), &mut purse())
    };
    // 4 TiB, then a product that overflows, then something reasonable.
    assert!(matches!(run(&mut zeros, 1 << 40), Err(EngineError::Failed(_))));
    assert!(matches!(run(&mut zeros, i64::MAX), Err(EngineError::Failed(_))));
    assert_eq!(run(&mut zeros, 3).unwrap()[0].elements, Elements::Fp32(vec![0.0; 3]));
    let mut gather = load(runtime, models::gather()).unwrap();
    let at = |index| {
        [tensor("x", &[3], Elements::Fp32(vec![1.0, 2.0, 3.0])), tensor("i", &[1], Elements::Int64(vec![index]))]
    };
    match gather.run(&at(7), &Stop::default(), &mut purse()) {
        Err(EngineError::Failed(words)) => assert!(words.contains("out of data bounds"), "{words}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(gather.run(&at(2), &Stop::default(), &mut purse()).unwrap()[0].elements, Elements::Fp32(vec![3.0]));
}

#[test]
fn empty_tensors_do_not_break_the_engine() {
    let Some(runtime) = runtime() else { return };
    let mut zeros = load(runtime, models::zeros()).unwrap();
    let outputs =
        zeros.run(&[tensor("shape", &[1], Elements::Int64(vec![0]))], &Stop::default(), &mut purse()).unwrap();
    assert_eq!(outputs[0].elements, Elements::Fp32(vec![]));
    let mut identities = load(runtime, models::identities()).unwrap();
    let empty: Vec<Tensor> = identities
        .signature()
        .inputs
        .iter()
        .map(|input| tensor(&input.name, &[0], Elements::from_le_bytes(input.datatype, &[]).unwrap()))
        .collect();
    match identities.run(&empty, &Stop::default(), &mut purse()) {
        Ok(outputs) => assert!(outputs.iter().all(|output| output.elements.is_empty())),
        Err(error) => assert!(matches!(error, EngineError::Failed(_)), "{error:?}"),
    }
}

#[test]
fn the_library_runs_from_sealed_memory_and_leaves_no_trace_outside() {
    let Some(runtime) = runtime() else { return };
    let mut engine = load(runtime, models::add()).unwrap();
    engine.run(&[tensor("x", &[2], Elements::Fp32(vec![1.0, 2.0]))], &Stop::default(), &mut purse()).unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(maps.contains("/memfd:onnxruntime (deleted)"));
    assert!(!maps.contains("libonnxruntime.so"));
    // No uploader: no socket that could reach anybody, no device identifier, no cache file. (The test runner's own
    // runtime has a pair of Unix sockets.)
    let inodes: Vec<String> = ["tcp", "tcp6", "udp", "udp6", "raw", "raw6"]
        .iter()
        .flat_map(|family| std::fs::read_to_string(format!("/proc/self/net/{family}")))
        .flat_map(|table| {
            table
                .lines()
                .skip(1)
                .filter_map(|line| line.split_whitespace().nth(9).map(str::to_owned))
                .collect::<Vec<_>>()
        })
        .collect();
    for descriptor in std::fs::read_dir("/proc/self/fd").unwrap() {
        let target = std::fs::read_link(descriptor.unwrap().path()).unwrap_or_default().to_string_lossy().into_owned();
        let socket = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        assert!(socket.is_none_or(|inode| !inodes.iter().any(|known| known == inode)), "{target}");
    }
    // Fails unless it is empty.
    std::fs::remove_dir(std::env::var_os("XDG_CACHE_HOME").unwrap()).unwrap();
}
