//! ONNX Runtime as enclave-app runs it, in real worker processes: what runs, what is refused, and what a worker has.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "what a test expects and does not find should end it, in its helper functions too"
)]

#[path = "support/library.rs"]
mod library;
#[path = "support/models.rs"]
mod models;
#[path = "support/worker.rs"]
mod worker;

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use teegate_enclave::engine::process::Limits;
use teegate_enclave::engine::{Engine, EngineError, LoadError, Loss, ShapeRule, TensorSignature};
use teegate_enclave::model::{ModelError, ModelFile};
use teegate_enclave::oip::infer::Inference;
use teegate_enclave::strings::Strings;
use teegate_enclave::tensor::{Datatype, Elements, Tensor};
use worker::{Loaded, limits, load, load_with, purse, sealed_library, tensor};

#[test]
fn the_demonstration_model_gives_the_recorded_answer() {
    let Some(library) = sealed_library() else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/breast-cancer");
    let mut engine = load(&library, std::fs::read(folder.join("model.onnx")).unwrap()).unwrap();
    let request = Inference::parse(
        &std::fs::read(folder.join("sample.json")).unwrap(),
        None,
        "breast-cancer",
        &engine.signature,
        &mut purse(),
    );
    let mut request = request.unwrap();
    let outputs = engine.run(std::mem::take(&mut request.inputs)).unwrap();
    let answer = request.answer("breast-cancer", "1", outputs, 1 << 20, &mut purse()).unwrap();
    let read = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
    let (actual, expected) = (read(&answer.body), read(&std::fs::read(folder.join("expected.json")).unwrap()));
    assert_eq!(actual["outputs"][0]["name"], expected["outputs"][0]["name"]);
    for column in 0..2 {
        let value = |json: &serde_json::Value| json["outputs"][0]["data"][column].as_f64().unwrap();
        assert!((value(&actual) - value(&expected)).abs() < 1e-6, "{actual} {expected}");
    }
}

#[test]
fn every_type_goes_in_and_comes_out() {
    let Some(library) = sealed_library() else { return };
    let mut engine = load(&library, models::identities()).unwrap();
    let inputs: Vec<Tensor> = engine
        .signature
        .inputs
        .iter()
        .map(|input| {
            let bytes: Vec<u8> = match input.datatype.size() {
                Some(1) => vec![0, 1, 0],
                Some(size) => (0..3 * size).map(|i| i as u8).collect(),
                None => "\0\0\0\0\u{7}\0\0\0straße\u{1}\0\0\0x".into(),
            };
            tensor(&input.name, &[3], Elements::from_le_bytes(input.datatype, 3, &bytes).unwrap())
        })
        .collect();
    assert_eq!(inputs.len(), Datatype::ALL.len());
    let outputs = engine.run(inputs.clone()).unwrap();
    for (input, output) in inputs.iter().zip(&outputs) {
        assert_eq!((&input.elements, &input.shape), (&output.elements, &output.shape));
    }
}

#[test]
fn halves_are_added_and_numbers_become_text() {
    let Some(library) = sealed_library() else { return };
    // 1.5 + 1.5 = 3, and the largest half twice is infinite.
    let mut halves = load(&library, models::halves()).unwrap();
    let outputs = halves.run(vec![tensor("x", &[2], Elements::Fp16(vec![0x3e00, 0x7bff]))]).unwrap();
    assert_eq!(outputs[0].elements, Elements::Fp16(vec![0x4200, 0x7c00]));
    let mut texts = load(&library, models::numbers_as_strings()).unwrap();
    let outputs = texts.run(vec![tensor("x", &[3], Elements::Fp32(vec![0.5, -2.0, f32::INFINITY]))]).unwrap();
    let Elements::Bytes(strings) = &outputs[0].elements else { panic!("{outputs:?}") };
    assert_eq!(strings.iter().collect::<Vec<_>>(), ["0.5", "-2", "INF"]);
}

#[test]
fn strings_are_counted_by_their_bytes() {
    let Some(library) = sealed_library() else { return };
    let texts = |texts: &[&str]| {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        Elements::Bytes(Strings::of(&texts).unwrap())
    };
    let mut joined = load_with(&library, models::joined(), Limits { output_bytes: 1000, ..limits() }).unwrap();
    let mut run = |first: &str, count: usize| {
        let rest = vec![first; count];
        joined.run(vec![tensor("w", &[1], texts(&[first])), tensor("x", &[count as i64], texts(&rest))])
    };
    assert_eq!(run("ß", 3).unwrap()[0].elements, texts(&["ßß", "ßß", "ßß"]));
    // A length of 4 and 246 bytes, four times.
    let long = "x".repeat(123);
    assert_eq!(run(&long, 4).unwrap()[0].elements.bytes(), 1000);
    for (text, count) in [(format!("{long}x"), 4), (String::new(), 251)] {
        match run(&text, count) {
            Err(EngineError::Failed(words)) => assert!(words.contains("more than 1000 bytes together"), "{words}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(run("", 250).unwrap()[0].elements.len(), 250);
}

#[test]
fn strings_that_a_worker_has_no_memory_to_copy_never_reach_it() {
    let Some(library) = sealed_library() else { return };
    let memory = 64 << 20;
    let few = Limits { run_memory_bytes: memory, ..limits() };
    let mut count = load_with(&library, models::count(models::STRING), few).unwrap();
    let worker = count.process.process_id();
    let mut run = |text: &str, count_of: usize| {
        let texts = Elements::Bytes(Strings::of(&vec![text.to_owned(); count_of]).unwrap());
        count.run(vec![tensor("x", &[count_of as i64], texts)])
    };
    for length in [0, 1, 16, 24, 100, 100_000] {
        let text = "x".repeat(length);
        let most = memory as usize / (224 + 4 * (4 + length));
        // As many as are admitted run, or the library itself says that they are too many; one more is told before.
        match run(&text, most) {
            Ok(outputs) => assert_eq!(outputs[0].elements, Elements::Int64(vec![most as i64])),
            Err(EngineError::Failed(words)) => assert!(length > 24 && words.contains("bad_alloc"), "{length}: {words}"),
            other => panic!("{length}: {other:?}"),
        }
        match run(&text, most + 1) {
            Err(EngineError::Failed(words)) => {
                assert!(words.ends_with("for copies of its strings"), "{words}");
            }
            other => panic!("{length}: {other:?}"),
        }
    }
    assert_eq!(count.process.process_id(), worker);
}

#[test]
fn a_run_past_its_deadline_ends_with_its_worker_and_the_next_one_serves() {
    let Some(library) = sealed_library() else { return };
    let patient = Limits { grace: Duration::from_secs(60), ..limits() };
    for (model, input) in [
        (models::endless(), vec![tensor("x", &[1], Elements::Fp32(vec![1.0]))]),
        (models::boxes(), models::endless_boxes()),
    ] {
        let mut engine = load(&library, model.clone()).unwrap();
        let worker = engine.process.process_id().unwrap();
        let begun = Instant::now();
        let result = engine.run_until(input.clone(), begun + Duration::from_millis(100));
        assert_eq!(result, Err(EngineError::Lost(Loss::Deadline)));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert!(!engine.process.is_ready());
        assert!(!Path::new(&format!("/proc/{worker}")).exists(), "it was reaped");
        let begun = Instant::now();
        engine.process.load().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5), "nothing is waited for: {:?}", begun.elapsed());
        assert_ne!(engine.process.process_id(), Some(worker));
    }
    // A run that is nearly through has its grace.
    let mut engine = load_with(&library, models::add(), patient).unwrap();
    let input = || vec![tensor("x", &[2], Elements::Fp32(vec![1.0, 2.0]))];
    let outputs = engine.run_until(input(), Instant::now()).unwrap();
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
    let Some(library) = sealed_library() else { return };
    for (model, name, hint) in [
        (models::eight_bits(), "y", ", FP64, BYTES; cast it at the edge of the model"),
        (models::maps(), "y", "; for scikit-learn models export with `zipmap: False`"),
    ] {
        let words = load(&library, model).err().unwrap().to_string();
        assert!(words.starts_with(&format!("model has `{name}` of type ")) && words.contains(hint), "{words}");
        assert_eq!(words.contains("zipmap"), hint.contains("zipmap"), "{words}");
    }
    match load(&library, models::custom_operator()).err() {
        Some(LoadError::Refused(reason)) => assert!(reason.contains("com.example.custom"), "{reason}"),
        other => panic!("{other:?}"),
    }
    match load(&library, b"\x08\x09".to_vec()).err() {
        Some(LoadError::Refused(reason)) => assert!(!reason.is_empty()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tensor_of_unknown_rank_has_any_shape() {
    let Some(library) = sealed_library() else { return };
    let mut engine = load(&library, models::any_rank()).unwrap();
    let signature = engine.signature.clone();
    assert_eq!((&signature.inputs[0].shape, &signature.outputs[0].shape), (&ShapeRule::AnyRank, &ShapeRule::AnyRank));
    for shape in ["[]", "[1]", "[1,1,1]", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]"] {
        let request = format!(r#"{{"inputs":[{{"name":"x","shape":{shape},"datatype":"FP32","data":[7]}}]}}"#);
        let request = Inference::parse(request.as_bytes(), None, "m", &signature, &mut purse()).unwrap();
        let outputs = engine.run(request.inputs.clone()).unwrap();
        assert_eq!(outputs[0].elements, Elements::Fp32(vec![7.0]));
        assert_eq!(outputs[0].shape, request.inputs[0].shape, "{shape}");
    }
    // Strings go another way into the library and out of it.
    let mut texts = load(&library, models::any_rank_of(models::STRING)).unwrap();
    for (shape, data, count) in [
        ("[]", r#"["a"]"#, 1),
        ("[1,1]", r#"[["a"]]"#, 1),
        ("[2,0]", "[]", 0),
        ("[3,1,2]", r#"["","b","c","","e","f"]"#, 6),
    ] {
        let request = format!(r#"{{"inputs":[{{"name":"x","shape":{shape},"datatype":"BYTES","data":{data}}}]}}"#);
        let request = Inference::parse(request.as_bytes(), None, "m", &texts.signature, &mut purse()).unwrap();
        let outputs = texts.run(request.inputs.clone()).unwrap();
        assert_eq!((&outputs[0].elements, &outputs[0].shape), (&request.inputs[0].elements, &request.inputs[0].shape));
        assert_eq!(outputs[0].elements.len(), count, "{shape}");
    }
    // A scalar is no such tensor.
    let loop_model = load(&library, models::endless()).unwrap();
    assert_eq!(loop_model.signature.inputs[0].shape, ShapeRule::Dimensions(vec![1]));
}

#[test]
fn an_input_for_which_the_model_brings_a_value_is_given_or_left_out() {
    let Some(library) = sealed_library() else { return };
    let mut engine = load(&library, models::add_with_default()).unwrap();
    let signature = engine.signature.clone();
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
        assert_eq!(engine.run(request.inputs.clone()).unwrap()[0].elements, Elements::Fp32(expected));
    }
    // A value that nobody may replace is no input.
    assert!(load(&library, models::add()).unwrap().signature.defaults.is_empty());
}

#[test]
fn outputs_beyond_the_limit_are_not_copied() {
    let Some(library) = sealed_library() else { return };
    let mut zeros = load_with(&library, models::zeros(), Limits { output_bytes: 400, ..limits() }).unwrap();
    let mut run = |length| zeros.run(vec![tensor("shape", &[1], Elements::Int64(vec![length]))]);
    assert_eq!(run(100).unwrap()[0].elements.len(), 100);
    match run(101) {
        Err(EngineError::Failed(words)) => assert!(words.contains("more than 400 bytes together"), "{words}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_that_fails_is_told_to_the_caller_and_the_worker_lives() {
    let Some(library) = sealed_library() else { return };
    let mut zeros = load(&library, models::zeros()).unwrap();
    let worker = zeros.process.process_id();
    let run = |engine: &mut Loaded, length: i64| engine.run(vec![tensor("shape", &[1], Elements::Int64(vec![length]))]);
    // 2 GB, 4 TiB, then a product that overflows, then something reasonable.
    for length in [500_000_000, 1 << 40] {
        match run(&mut zeros, length) {
            Err(EngineError::Failed(words)) => {
                assert!(words.starts_with("the run needs more than the 268435456 bytes of memory"), "{words}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(run(&mut zeros, 3).unwrap()[0].elements, Elements::Fp32(vec![0.0; 3]));
    }
    assert!(matches!(run(&mut zeros, i64::MAX), Err(EngineError::Failed(_))));
    assert_eq!(run(&mut zeros, 3).unwrap()[0].elements, Elements::Fp32(vec![0.0; 3]));
    assert_eq!(zeros.process.process_id(), worker);
    let mut gather = load(&library, models::gather()).unwrap();
    let at = |index| {
        vec![tensor("x", &[3], Elements::Fp32(vec![1.0, 2.0, 3.0])), tensor("i", &[1], Elements::Int64(vec![index]))]
    };
    match gather.run(at(7)) {
        Err(EngineError::Failed(words)) => assert!(words.contains("out of data bounds"), "{words}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(gather.run(at(2)).unwrap()[0].elements, Elements::Fp32(vec![3.0]));
}

#[test]
fn empty_tensors_do_not_break_the_engine() {
    let Some(library) = sealed_library() else { return };
    let mut zeros = load(&library, models::zeros()).unwrap();
    let outputs = zeros.run(vec![tensor("shape", &[1], Elements::Int64(vec![0]))]).unwrap();
    assert_eq!(outputs[0].elements, Elements::Fp32(vec![]));
    let mut identities = load(&library, models::identities()).unwrap();
    let empty: Vec<Tensor> = identities
        .signature
        .inputs
        .iter()
        .map(|input| tensor(&input.name, &[0], Elements::from_le_bytes(input.datatype, 0, &[]).unwrap()))
        .collect();
    match identities.run(empty) {
        Ok(outputs) => assert!(outputs.iter().all(|output| output.elements.is_empty())),
        Err(error) => assert!(matches!(error, EngineError::Failed(_)), "{error:?}"),
    }
}

#[test]
fn several_threads_and_several_workers_share_one_model() {
    let Some(library) = sealed_library() else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/breast-cancer");
    let model = std::fs::read(folder.join("model.onnx")).unwrap();
    let mut first = worker::engine_with(&library, model, Limits { threads: 3, ..limits() });
    let signature = first.load().unwrap();
    assert_eq!(threads(first.process_id().unwrap()), 3, "they were started under the filters");
    // Loaded twice from the same file.
    assert_eq!(first.load().unwrap(), signature);
}

fn threads(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/task")).unwrap().count()
}

#[test]
fn a_worker_that_is_killed_from_outside_is_told_from_one_that_did_not_end() {
    let Some(library) = sealed_library() else { return };
    let mut engine = load(&library, models::endless()).unwrap();
    assert!(engine.process.is_ready());
    let id = engine.process.process_id().unwrap().to_string();
    // While it runs: the run is lost, and how is known.
    let running = std::thread::spawn(move || engine.run(vec![tensor("x", &[1], Elements::Fp32(vec![1.0]))]));
    until_computing(&id);
    assert!(std::process::Command::new("kill").args(["-ABRT", &id]).status().unwrap().success());
    match running.join().unwrap() {
        Err(EngineError::Lost(Loss::Ended(how))) => assert!(how == "by signal 6", "{how}"),
        other => panic!("{other:?}"),
    }
    // While it does nothing: it is no longer ready, and nothing is lost.
    let mut engine = load(&library, models::add()).unwrap();
    let id = engine.process.process_id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-KILL", &id]).status().unwrap().success());
    let deadline = Instant::now() + Duration::from_secs(10);
    while engine.process.is_ready() {
        assert!(Instant::now() < deadline);
    }
    engine.process.load().unwrap();
    assert!(engine.process.is_ready());
}

/// Waits until a process has used a tenth of a second of a processor since now.
fn until_computing(id: &str) {
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        stat.rsplit(')').next().unwrap().split_whitespace().nth(11).unwrap().parse::<u64>().unwrap()
    };
    let (before, deadline) = (ticks(), Instant::now() + Duration::from_secs(30));
    while ticks() < before + 10 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
}

#[test]
fn a_worker_wears_out_after_as_many_runs_as_it_may_have() {
    let Some(library) = sealed_library() else { return };
    let mut engine = load_with(&library, models::add(), Limits { renew_after_runs: 2, ..limits() }).unwrap();
    let input = || vec![tensor("x", &[2], Elements::Fp32(vec![1.0, 2.0]))];
    engine.run(input()).unwrap();
    assert!(engine.process.is_ready());
    engine.run(input()).unwrap();
    assert!(!engine.process.is_ready());
    engine.process.load().unwrap();
    assert!(engine.process.is_ready());
}

/// What a worker has: the library from sealed memory, the pair, the memory file, and nothing else that is open.
#[test]
fn a_worker_runs_the_library_from_sealed_memory_and_has_nothing_else() {
    let Some(library) = sealed_library() else { return };
    // What whoever starts a program leaves open in it, this too is handed on to every process that is started.
    let _left_open = rustix::io::dup(std::fs::File::open("/dev/zero").unwrap()).unwrap();
    let mut engine = load(&library, models::add()).unwrap();
    engine.run(vec![tensor("x", &[2], Elements::Fp32(vec![1.0, 2.0]))]).unwrap();
    let folder = format!("/proc/{}", engine.process.process_id().unwrap());
    let maps = std::fs::read_to_string(format!("{folder}/maps"));
    let Ok(maps) = maps else {
        library::skipped("a test may not look into another process here");
        return;
    };
    assert!(maps.contains("/memfd:onnxruntime (deleted)") && !maps.contains("libonnxruntime.so"));
    assert!(!maps.lines().any(|line| line.split(' ').nth(1) == Some("rwxp")), "memory that is written and run: {maps}");
    let own = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!own.contains("memfd:"), "nothing of it is mapped here: {own}");
    let mut open: Vec<String> = std::fs::read_dir(format!("{folder}/fd"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let target = std::fs::read_link(entry.path()).unwrap().to_string_lossy().into_owned();
            let kind = target.split(':').next().unwrap().to_owned();
            let what = if kind == "socket" { kind } else { target };
            format!("{} {what}", entry.file_name().to_string_lossy())
        })
        .collect();
    open.sort();
    let [zero, one, two, memory] = open.as_slice() else { panic!("{open:?}") };
    assert_eq!([zero, one, two], ["0 socket", "1 /dev/null", "2 /dev/null"]);
    let (number, memory) = memory.split_once(' ').unwrap();
    assert_eq!(memory, "/memfd:tensors (deleted)");
    // Nothing is left in it of the run.
    let tensors = std::fs::File::open(format!("{folder}/fd/{number}")).unwrap();
    for region in [0, limits().input_bytes + (1 << 20)] {
        let mut first = vec![1; 1 << 16];
        tensors.read_exact_at(&mut first, region).unwrap();
        assert!(first.iter().all(|byte| *byte == 0), "{region}");
    }
    let environment = std::fs::read(format!("{folder}/environ")).unwrap();
    let environment: Vec<&[u8]> =
        environment.split(|byte| *byte == 0).filter(|variable| !variable.is_empty()).collect();
    let chosen = [
        &b"MALLOC_ARENA_MAX=1"[..],
        b"MALLOC_MMAP_THRESHOLD_=2097152",
        b"MALLOC_TRIM_THRESHOLD_=4194304",
        b"ORT_DISABLE_TELEMETRY=1",
    ];
    assert_eq!(environment, chosen);
    let status = std::fs::read_to_string(format!("{folder}/status")).unwrap();
    let said = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!((said("NoNewPrivs:"), said("Seccomp:"), said("Seccomp_filters:")), ("1".into(), "2".into(), "2".into()));
    let score = std::fs::read_to_string(format!("{folder}/oom_score_adj")).unwrap();
    assert_eq!(score.trim(), "1000");
    for (limit, soft) in [("Max core file size", "0"), ("Max open files", "0")] {
        let limits = std::fs::read_to_string(format!("{folder}/limits")).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix(limit)).unwrap();
        assert_eq!(line.split_whitespace().next(), Some(soft), "{limit}");
    }
}
