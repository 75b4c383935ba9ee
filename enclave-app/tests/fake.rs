//! A worker that lies, against the engine that it works for: whatever it says or does not say costs one request and itself.
//!
//! The liar is this test binary, started by the engine as its worker. It writes messages and tensors with an encoder of its
//! own, so that a wrong place cannot agree with itself.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "what a test expects and does not find should end it, in its helper functions too"
)]

#[path = "support/liar.rs"]
mod liar;

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use liar::{Liar, Output, message};
use teegate_enclave::engine::process::{Limits, ModelProcess, Program};
use teegate_enclave::engine::sealed::sealed;
use teegate_enclave::engine::{Engine, EngineError, LoadError, Loss, Part, PartOutputs};
use teegate_enclave::memory::{Memory, Purse, Shortage};
use teegate_enclave::tensor::{Elements, Shape, Tensor};

const OUTPUT_BYTES: u64 = 1 << 16;

/// The lie that this process was started for, if it was started as a worker.
fn lie() -> Option<String> {
    std::env::args().find_map(|argument| argument.strip_prefix("lie=").map(str::to_owned))
}

/// An engine whose worker tells this lie.
fn engine_of(lie: &str) -> ModelProcess {
    let program = Program::new("/proc/self/exe", &["--exact", "worker", "--nocapture", &format!("lie={lie}")]);
    let bytes = |name: &str| Arc::new(sealed(name, name.as_bytes()).unwrap());
    let limits = Limits {
        threads: 1,
        load_memory_bytes: 64 << 20,
        run_memory_bytes: 64 << 20,
        load_deadline: Duration::from_secs(20),
        grace: Duration::ZERO,
        input_bytes: 1 << 16,
        output_bytes: OUTPUT_BYTES,
        renew_after_runs: u64::MAX,
    };
    let hasty = Limits { load_deadline: Duration::from_millis(500), ..limits.clone() };
    let limits = if lie.starts_with("never") { hasty } else { limits };
    ModelProcess::new(program, bytes("library"), bytes("model"), limits)
}

fn purse() -> Purse {
    Memory::new(1 << 30, 1 << 30).share().purse()
}

fn input() -> Vec<Tensor> {
    let elements = Elements::Fp32(vec![1.0, 2.0, 3.0]);
    vec![Tensor { name: "x".into(), shape: Shape::new(&[3], elements.datatype()).unwrap(), elements }]
}

fn run(engine: &mut ModelProcess, patience: Duration) -> Result<Vec<Tensor>, EngineError> {
    engine.run(input(), Instant::now() + patience, &mut purse())
}

const PATIENT: Duration = Duration::from_secs(20);

/// What a load of this liar comes to.
fn load(lie: &str) -> LoadError {
    let mut engine = engine_of(lie);
    let Err(error) = engine.load() else { panic!("{lie}: it loaded") };
    assert_eq!((engine.process_id(), engine.is_ready()), (None, false), "{lie}");
    error
}

fn breach(what: &'static str) -> LoadError {
    LoadError::Lost(Loss::Breach(what))
}

/// The liar itself; as a test it does nothing.
#[test]
fn worker() {
    let Some(lie) = lie() else { return };
    let liar = Liar::begin();
    match lie.as_str() {
        "never answers" => liar.wait(),
        "never ends a message" => {
            liar.send(&message(liar::CONFINED, 0, liar.question, 0)[..63]);
            liar.wait();
        }
        "ends at once" => std::process::exit(3),
        "unknown kind" => liar.send(&message(77, 0, liar.question, 0)),
        "another question" => liar.send(&message(liar::CONFINED, 0, liar.question.wrapping_add(1), 0)),
        "too early" => liar.send(&message(liar::READY, 0, liar.question, 2)),
        "refuses" => liar.refuse(b"because\x1bof\n\xff", 12),
        "refuses at length" => liar.refuse(b"", 4097),
        "refuses beyond its region" => liar.refuse(b"", u64::MAX),
        "signature at length" => liar.ready(b"", (1 << 20) + 1),
        "signature of nothing" => liar.ready(b"\xff{", 2),
        "signature with more" => liar.ready(br#"{"inputs":[],"defaults":[],"outputs":[],"more":1}"#, 49),
        "signature of many" => {
            let one = r#"{"name":"x","datatype":"FP32","shape":"AnyRank"}"#;
            let text = format!(r#"{{"inputs":[{}],"defaults":[],"outputs":[]}}"#, vec![one; 4097].join(","));
            liar.ready(text.as_bytes(), text.len() as u64);
        }
        // What the next worker would read, if the two had one position in the file.
        "position" => liar.signature(&liar.read_on(3)),
        "another signature" => {
            // The parent's number differs from one worker to the next.
            let name = format!("y{}", liar.question);
            liar.signature(&name);
        }
        "shared: two, too long" => {
            let output =
                |name: &str| format!(r#"{{"name":"{name}","datatype":"FP32","shape":{{"Dimensions":[-1,2]}}}}"#);
            let text = format!(
                r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":{{"Dimensions":[-1]}}}}],"defaults":[],"outputs":[{},{}]}}"#,
                output("y"),
                output("z")
            );
            liar.ready(text.as_bytes(), text.len() as u64);
        }
        lie if lie.starts_with("text: ") => liar.signature_of("y", "BYTES"),
        _ => liar.honest_load(),
    }
    let (good, text) = (Output::good(), Output::text());
    while let Some(question) = liar.next() {
        let length = good.bytes().len() as u64;
        let outputs = |output: &Output| {
            liar.write(0, &output.bytes());
            liar.send(&message(liar::OUTPUTS, 1, question, output.bytes().len() as u64));
        };
        match lie.as_str() {
            "nothing" => outputs(&good),
            "shared" => outputs(&Output { dimensions: vec![5, 2], elements: 10, ..good.clone() }),
            "shared: too long" => {
                let five = Output { dimensions: vec![5, 2], elements: 10, ..good.clone() };
                liar.write(0, &five.bytes());
                liar.send(&message(liar::OUTPUTS, 1, question, five.bytes().len() as u64 + 1));
            }
            "shared: two, too long" => {
                let five = Output { dimensions: vec![5, 2], elements: 10, ..good.clone() };
                let two = [five.bytes(), Output { index: 1, ..five }.bytes(), vec![0]].concat();
                liar.write(0, &two);
                liar.send(&message(liar::OUTPUTS, 2, question, two.len() as u64));
            }
            "run: looks for inputs" => {
                let words = if liar.given() == 0 { b"clean" } else { b"dirty" };
                liar.write(0, words);
                liar.send(&message(liar::FAILED, 0, question, 5));
            }
            "run: leaves more than words" => {
                let words = if liar.left(OUTPUT_BYTES as usize) == 0 { b"clean" } else { b"dirty" };
                liar.write(0, words);
                liar.write(5, &[7; 3000]);
                liar.write(OUTPUT_BYTES - 10, &[7; 10]);
                liar.send(&message(liar::FAILED, 0, question, 5));
            }
            "run: never" => liar.wait(),
            "run: half a message" => {
                liar.send(&message(liar::OUTPUTS, 1, question, length)[..32]);
                liar.wait();
            }
            "run: ends" => std::process::exit(4),
            "run: closes and lives" => {
                liar.close();
                liar.wait();
            }
            "run: another question" => liar.send(&message(liar::OUTPUTS, 1, question ^ 1, length)),
            "run: unknown kind" => liar.send(&message(0, 1, question, length)),
            "run: another kind" => liar.send(&message(liar::READY, 1, question, length)),
            "run: no output" => liar.send(&message(liar::OUTPUTS, 0, question, 0)),
            "run: many outputs" => liar.send(&message(liar::OUTPUTS, u32::MAX, question, length)),
            "run: another place" => outputs(&Output { index: 1, ..good.clone() }),
            "run: no type" => outputs(&Output { datatype: 99, ..good.clone() }),
            "run: another type" => outputs(&Output { datatype: 12, ..good.clone() }),
            "run: numbers that say how long they are" => outputs(&Output { string_bytes: 8, ..good.clone() }),
            "text: honest" => outputs(&text),
            "text: shorter than its lengths" => {
                outputs(&Output { string_bytes: 7, raw: text.raw[..7].to_vec(), ..text.clone() });
            }
            "text: more than it may" => outputs(&Output { string_bytes: u32::MAX, ..text.clone() }),
            "text: longer than what is there" => outputs(&Output { string_bytes: 10, ..text.clone() }),
            "text: a length that lies" => outputs(&Output { raw: b"\x09\0\0\0a\0\0\0\0".to_vec(), ..text.clone() }),
            "text: something behind" => outputs(&Output { raw: b"\0\0\0\0\0\0\0\0a".to_vec(), ..text.clone() }),
            "text: no text" => outputs(&Output { raw: b"\x01\0\0\0\xff\0\0\0\0".to_vec(), ..text.clone() }),
            "text: many" => outputs(&Output { dimensions: vec![1 << 29, 2], ..text.clone() }),
            "run: rank of 17" => outputs(&Output { rank: 17, ..good.clone() }),
            "run: rank without end" => outputs(&Output { rank: u32::MAX, ..good.clone() }),
            "run: another rank" => outputs(&Output { rank: 3, dimensions: vec![1, 2, 1], ..good.clone() }),
            "run: another width" => outputs(&Output { dimensions: vec![1, 3], elements: 3, ..good.clone() }),
            "run: negative" => outputs(&Output { dimensions: vec![-1, 2], ..good.clone() }),
            "run: overflow" => outputs(&Output { dimensions: vec![i64::MAX, 2], ..good.clone() }),
            "run: huge" => {
                liar.write(0, &Output { dimensions: vec![1 << 30, 2], ..good.clone() }.bytes());
                liar.send(&message(liar::OUTPUTS, 1, question, u64::MAX));
            }
            "run: more than it may" => {
                outputs(&Output { dimensions: vec![8193, 2], elements: 2 * 8193, ..good.clone() });
            }
            "run: too short" => {
                liar.write(0, &good.bytes());
                liar.send(&message(liar::OUTPUTS, 1, question, length - 1));
            }
            "run: less than a head" => liar.send(&message(liar::OUTPUTS, 1, question, 143)),
            "run: too long" => {
                liar.write(0, &good.bytes());
                liar.send(&message(liar::OUTPUTS, 1, question, length + 1));
            }
            "run: words at length" => liar.send(&message(liar::FAILED, 0, question, 4097)),
            "run: words" => {
                liar.write(0, b"bad \xf0\x9f");
                liar.send(&message(liar::FAILED, 0, question, 6));
            }
            "twice" => {
                outputs(&good);
                outputs(&good);
            }
            "flood" => {
                outputs(&good);
                liar.flood();
            }
            "descriptors" => {
                outputs(&good);
                liar.send_descriptors(&message(liar::OUTPUTS, 1, question, length));
            }
            "rewrites" => liar.rewrite(&good, question),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn an_honest_worker_is_believed() {
    let mut engine = engine_of("nothing");
    let signature = engine.load().unwrap();
    assert_eq!((signature.inputs[0].name.as_str(), signature.outputs[0].name.as_str()), ("x", "y"));
    for _ in 0..3 {
        let outputs = run(&mut engine, PATIENT).unwrap();
        assert_eq!((outputs[0].name.as_str(), outputs[0].shape.dimensions()), ("y", &[1, 2][..]));
        assert_eq!(outputs[0].elements, Elements::Fp32(vec![1.5, 2.5]));
        assert!(engine.is_ready());
    }
    let mut texts = engine_of("text: honest");
    texts.load().unwrap();
    let outputs = run(&mut texts, PATIENT).unwrap();
    let Elements::Bytes(strings) = &outputs[0].elements else { panic!("{outputs:?}") };
    assert_eq!(strings.iter().collect::<Vec<_>>(), ["a", ""]);
    // Outputs that cannot be paid for are the request's misfortune and not the worker's.
    let mut poor = Memory::new(4, 4).share().purse();
    let result = engine.run(input(), Instant::now() + PATIENT, &mut poor);
    assert_eq!(result, Err(EngineError::NoMemory(Shortage::Never { needed: 8, most: 4 })));
    assert!(engine.is_ready());
    // Inputs that fit nowhere never leave.
    let elements = Elements::Uint8(vec![0; (1 << 21) + 1]);
    let shape = Shape::new(&[elements.len() as i64], elements.datatype()).unwrap();
    let large = vec![Tensor { name: "x".into(), shape, elements }];
    let result = engine.run(large, Instant::now() + PATIENT, &mut purse());
    assert_eq!(result, Err(EngineError::Failed("the inputs are larger than a worker takes".to_owned())));
    assert!(engine.is_ready());
    run(&mut engine, PATIENT).unwrap();
}

#[test]
fn a_worker_that_does_not_load_as_it_should_is_ended() {
    for (lie, error) in [
        ("unknown kind", breach("a message of a kind that there is not")),
        ("another question", breach("an answer to another question")),
        ("too early", breach("an answer of another kind while loading")),
        ("refuses", LoadError::Refused("because of \u{fffd}".to_owned())),
        ("refuses at length", breach("a text that is too long")),
        ("refuses beyond its region", breach("a text that is too long")),
        ("signature at length", breach("a signature that is too long")),
        ("signature of nothing", breach("a signature that cannot be read")),
        ("signature with more", breach("a signature that cannot be read")),
        ("signature of many", breach("a signature of too many tensors")),
        ("ends at once", LoadError::Lost(Loss::Ended("by an exit of its own".to_owned()))),
        ("never answers", LoadError::TooLong(Duration::from_millis(500))),
        ("never ends a message", LoadError::TooLong(Duration::from_millis(500))),
    ] {
        assert_eq!(load(lie), error, "{lie}");
    }
    // Workers of one model have nothing in common that one of them could change.
    let mut engine = engine_of("position");
    assert_eq!(engine.load().unwrap().outputs[0].name, "mod");
    assert_eq!(engine.load().unwrap().outputs[0].name, "mod");
    // What the first one said holds for every later one.
    let mut engine = engine_of("another signature");
    engine.load().unwrap();
    assert_eq!(engine.load(), Err(breach("another signature than that of the first worker")));
    assert!(!engine.is_ready());
}

#[test]
fn a_worker_that_does_not_answer_as_it_should_is_ended() {
    let ended = |what: &str| Loss::Ended(what.to_owned());
    for (lie, loss) in [
        ("run: never", Loss::Deadline),
        ("run: half a message", Loss::Deadline),
        ("run: ends", ended("by an exit of its own")),
        ("run: closes and lives", ended("and how is not known")),
        ("run: another question", Loss::Breach("an answer to another question")),
        ("run: unknown kind", Loss::Breach("a message of a kind that there is not")),
        ("run: another kind", Loss::Breach("an answer of another kind to a run")),
        ("run: no output", Loss::Breach("another number of outputs than the model has")),
        ("run: many outputs", Loss::Breach("another number of outputs than the model has")),
        ("run: another place", Loss::Breach("outputs in another order than the model's")),
        ("run: no type", Loss::Breach("an output of another type than the model's")),
        ("run: another type", Loss::Breach("an output of another type than the model's")),
        ("run: numbers that say how long they are", Loss::Breach("an output of another length than its elements")),
        ("text: shorter than its lengths", Loss::Breach("an output of another length than its elements")),
        ("text: many", Loss::Breach("an output of another length than its elements")),
        ("text: more than it may", Loss::Breach("outputs larger than they may be")),
        ("text: longer than what is there", Loss::Breach("outputs that end too early")),
        ("text: a length that lies", Loss::Breach("strings of other lengths than they have, or that are no text")),
        ("text: something behind", Loss::Breach("strings of other lengths than they have, or that are no text")),
        ("text: no text", Loss::Breach("strings of other lengths than they have, or that are no text")),
        ("run: rank of 17", Loss::Breach("an output of too many dimensions")),
        ("run: rank without end", Loss::Breach("an output of too many dimensions")),
        ("run: another rank", Loss::Breach("an output of another shape than the model's")),
        ("run: another width", Loss::Breach("an output of another shape than the model's")),
        ("run: negative", Loss::Breach("an output of an impossible shape")),
        ("run: overflow", Loss::Breach("an output of an impossible shape")),
        ("run: huge", Loss::Breach("outputs larger than they may be")),
        ("run: more than it may", Loss::Breach("outputs larger than they may be")),
        ("run: too short", Loss::Breach("outputs that end too early")),
        ("run: less than a head", Loss::Breach("outputs that end too early")),
        ("run: too long", Loss::Breach("bytes after the last output")),
        ("run: words at length", Loss::Breach("a text that is too long")),
    ] {
        let mut engine = engine_of(lie);
        engine.load().unwrap();
        let worker = engine.process_id().unwrap();
        let patience = if loss == Loss::Deadline { Duration::from_millis(200) } else { PATIENT };
        assert_eq!(run(&mut engine, patience), Err(EngineError::Lost(loss)), "{lie}");
        assert!(!engine.is_ready(), "{lie}");
        assert!(!std::fs::exists(format!("/proc/{worker}")).unwrap(), "{lie}: it is gone");
        // The next one is another process, and is asked nothing about the last one's run.
        engine.load().unwrap();
        assert!(engine.is_ready(), "{lie}");
    }
    // Words are words, whatever is in them, and end nobody.
    let mut engine = engine_of("run: words");
    engine.load().unwrap();
    assert_eq!(run(&mut engine, PATIENT), Err(EngineError::Failed("bad \u{fffd}".to_owned())));
    assert!(engine.is_ready());
}

/// `x` of so many rows.
fn rows(rows: usize) -> Vec<Tensor> {
    let elements = Elements::Fp32(vec![1.0; rows]);
    vec![Tensor { name: "x".into(), shape: Shape::new(&[rows as i64], elements.datatype()).unwrap(), elements }]
}

/// A run that two requests share, of two and of three rows, each paid from its own purse.
fn run_shared(
    engine: &mut ModelProcess,
    purses: &mut [Purse],
    patience: Duration,
) -> Result<Vec<PartOutputs>, EngineError> {
    let inputs = [rows(2), rows(3)];
    let parts = inputs.iter().zip(purses).map(|(inputs, purse)| Part { inputs, rows: inputs[0].elements.len(), purse });
    engine.run_parts(&mut parts.collect::<Vec<_>>(), Instant::now() + patience)
}

#[test]
fn of_a_shared_run_each_gets_the_rows_that_it_brought() {
    let mut engine = engine_of("shared");
    engine.load().unwrap();
    let outputs = run_shared(&mut engine, &mut [purse(), purse()], PATIENT).unwrap();
    let outputs: Vec<Tensor> = outputs.into_iter().flat_map(Result::unwrap).collect();
    let shapes: Vec<&[i64]> = outputs.iter().map(|output| output.shape.dimensions()).collect();
    assert_eq!(shapes, [[2, 2], [3, 2]]);
    assert_eq!(outputs[0].elements, Elements::Fp32([1.5, 2.5].repeat(2)));
    assert_eq!(outputs[1].elements, Elements::Fp32([1.5, 2.5].repeat(3)));
    // Who cannot pay gets nothing, and the other its own.
    let memory = Memory::new(23, 23);
    let mut purses = [memory.share().purse(), purse()];
    let outputs = run_shared(&mut engine, &mut purses, PATIENT).unwrap();
    assert_eq!(outputs[0].as_ref().unwrap()[0].elements.len(), 4);
    let mut purses = [purse(), memory.share().purse()];
    let poor = run_shared(&mut engine, &mut purses, PATIENT).unwrap();
    assert_eq!(poor[0].as_ref().unwrap()[0].elements.len(), 4);
    assert_eq!(poor[1], Err(Shortage::Never { needed: 24, most: 23 }));
    assert!(engine.is_ready());
    // What is not alike never leaves.
    let mut purses = [purse(), purse()];
    let [one, other] = &mut purses;
    let (alike, named) = (rows(2), vec![Tensor { name: "z".into(), ..rows(1).remove(0) }]);
    let mut parts = [Part { inputs: &alike, rows: 2, purse: one }, Part { inputs: &named, rows: 1, purse: other }];
    let refused = engine.run_parts(&mut parts, Instant::now() + PATIENT);
    assert_eq!(refused, Err(EngineError::Failed("the inputs are larger than a worker takes".to_owned())));
    assert!(engine.is_ready());
}

#[test]
fn a_shared_run_is_judged_as_a_whole_and_costs_no_memory_when_it_fails() {
    let failed = |words: &str| EngineError::Failed(words.to_owned());
    let lost = |what| EngineError::Lost(Loss::Breach(what));
    for (lie, error) in [
        // One row for five.
        ("nothing", failed("an output has not as many rows as the inputs")),
        ("run: words", failed("bad \u{fffd}")),
        ("run: never", EngineError::Lost(Loss::Deadline)),
        ("run: another place", lost("outputs in another order than the model's")),
        ("run: another type", lost("an output of another type than the model's")),
        ("run: overflow", lost("an output of an impossible shape")),
        ("run: huge", lost("outputs larger than they may be")),
        ("run: too short", lost("outputs that end too early")),
        ("run: no output", lost("another number of outputs than the model has")),
        ("shared: too long", lost("bytes after the last output")),
        // Neither can pay for the second output; what the first has cost is not theirs to pay either.
        ("shared: two, too long", lost("bytes after the last output")),
    ] {
        let mut engine = engine_of(lie);
        engine.load().unwrap();
        let shares = [(); 2].map(|()| Memory::new(24, 24).share());
        let mut purses = shares.each_ref().map(teegate_enclave::memory::Share::purse);
        let patience = if error == EngineError::Lost(Loss::Deadline) { Duration::from_millis(200) } else { PATIENT };
        let is_lost = matches!(error, EngineError::Lost(_));
        assert_eq!(run_shared(&mut engine, &mut purses, patience), Err(error), "{lie}");
        assert_eq!(engine.is_ready(), !is_lost, "{lie}");
        // Each will pay again, for itself.
        purses.iter_mut().for_each(|purse| purse.spend(24).unwrap());
    }
}

#[test]
fn what_a_failed_run_has_written_is_not_there_in_the_next() {
    let mut engine = engine_of("run: leaves more than words");
    engine.load().unwrap();
    for _ in 0..3 {
        assert_eq!(run(&mut engine, PATIENT), Err(EngineError::Failed("clean".to_owned())));
    }
}

#[test]
fn of_inputs_one_of_which_is_refused_none_is_handed_over() {
    let mut engine = engine_of("run: looks for inputs");
    engine.load().unwrap();
    let run = |engine: &mut ModelProcess, inputs| engine.run(inputs, Instant::now() + PATIENT, &mut purse());
    let unknown = Tensor { name: "z".into(), ..input().remove(0) };
    let refused = run(&mut engine, vec![input().remove(0), unknown]);
    assert_eq!(refused, Err(EngineError::Failed("the inputs are larger than a worker takes".to_owned())));
    assert_eq!(run(&mut engine, vec![]), Err(EngineError::Failed("clean".to_owned())));
    assert_eq!(run(&mut engine, input()), Err(EngineError::Failed("dirty".to_owned())), "it can see what there is");
}

#[test]
fn what_is_to_be_done_meanwhile_is_done_when_the_worker_was_asked_or_was_not_at_all() {
    let done = Arc::new(std::sync::Mutex::new(None));
    let later = |engine: &mut ModelProcess| {
        let done = Arc::clone(&done);
        engine.meanwhile(Box::new(move || *done.lock().unwrap() = Some(Instant::now())));
    };
    let when = || done.lock().unwrap().take();
    let mut engine = engine_of("run: never");
    engine.load().unwrap();
    later(&mut engine);
    assert_eq!(when(), None, "not before");
    let patience = Duration::from_secs(2);
    let begun = Instant::now();
    assert_eq!(run(&mut engine, patience), Err(EngineError::Lost(Loss::Deadline)));
    assert!(when().unwrap() < begun + patience, "while it ran");
    // No worker is left, so it is not kept.
    later(&mut engine);
    assert!(when().is_some());

    // A run that does not begin.
    let mut engine = engine_of("run: looks for inputs");
    engine.load().unwrap();
    later(&mut engine);
    let unknown = Tensor { name: "z".into(), ..input().remove(0) };
    engine.run(vec![unknown], Instant::now() + PATIENT, &mut purse()).unwrap_err();
    assert!(when().is_some());
}

#[test]
fn what_nobody_asked_for_ends_a_worker_before_it_is_asked_again() {
    for lie in ["twice", "flood", "descriptors"] {
        let mut engine = engine_of(lie);
        engine.load().unwrap();
        run(&mut engine, PATIENT).unwrap();
        // It says more when the answer has been read; that wakes whoever waits for it.
        let deadline = Instant::now() + PATIENT;
        while engine.is_ready() {
            assert!(Instant::now() < deadline, "{lie}");
        }
        assert_eq!(engine.process_id(), None, "{lie}: it is gone at once");
    }
    // What was sent along is not open here, and never was of use.
    let open =
        std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    assert_eq!(open.filter(|target| target == std::path::Path::new(liar::SENT)).count(), 0);
}

/// The bytes of an output change while they are read. Each is read once, so what comes out is one of the two, or refused.
#[test]
fn what_changes_while_it_is_read_is_judged_as_it_was_read() {
    let mut engine = engine_of("rewrites");
    engine.load().unwrap();
    let (mut good, mut bad) = (0, 0);
    while good + bad < 300 {
        match run(&mut engine, PATIENT) {
            Ok(outputs) => {
                assert_eq!(outputs[0].shape.dimensions(), [1, 2]);
                assert_eq!(outputs[0].elements.len(), 2);
                good += 1;
            }
            Err(EngineError::Lost(Loss::Breach(_))) => {
                engine.load().unwrap();
                bad += 1;
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The file cannot be made larger or smaller by whoever holds it.
#[test]
fn the_memory_file_keeps_its_size() {
    let memory = teegate_enclave::engine::shared_memory::SharedMemory::create(100, 100).unwrap();
    let file: &File = memory.file();
    for size in [0, 199, 201] {
        assert_eq!(file.set_len(size).unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
    }
    file.set_len(200).unwrap();
}
