//! Requests that share runs in ONNX Runtime, in real worker processes: each gets its own rows, whatever becomes of the others.

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
#[path = "support/worker.rs"]
mod worker;

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use teegate_enclave::batch::{Batching, Joinable, NotJoinable};
use teegate_enclave::engine::process::Limits;
use teegate_enclave::engine::{Engine, EngineError, Part};
use teegate_enclave::memory::Purse;
use teegate_enclave::tensor::{Elements, Tensor};
use teegate_enclave::workers::{RunError, Settings, Workers};
use worker::{Loaded, engine_with, limits, load, load_with, purse, sealed_library, tensor};

/// Runs these requests as one.
fn run_parts(engine: &mut Loaded, requests: &[Vec<Tensor>]) -> Result<Vec<Vec<Tensor>>, EngineError> {
    let mut purses: Vec<Purse> = requests.iter().map(|_| purse()).collect();
    let parts = requests.iter().zip(&mut purses);
    let parts = parts.map(|(inputs, purse)| Part { inputs, rows: inputs[0].shape.rows().unwrap(), purse });
    let outputs = engine.process.run_parts(&mut parts.collect::<Vec<_>>(), Instant::now() + Duration::from_secs(60))?;
    Ok(outputs.into_iter().map(Result::unwrap).collect())
}

#[test]
fn each_request_gets_of_every_output_the_rows_that_it_brought() {
    let Some(library) = sealed_library() else { return };
    let mut engine = load(&library, models::two_tables()).unwrap();
    let request = |first: i16, rows: i16| {
        let floats = (0..2 * rows).map(|more| f32::from(first + more)).collect();
        let integers = (0..3 * rows).map(|more| i64::from(first - more)).collect();
        let rows = i64::from(rows);
        vec![tensor("a", &[rows, 2], Elements::Fp32(floats)), tensor("b", &[rows, 3], Elements::Int64(integers))]
    };
    let requests = [request(100, 1), request(200, 3), request(300, 2)];
    let shared = run_parts(&mut engine, &requests).unwrap();
    for (outputs, request) in shared.into_iter().zip(requests) {
        assert_eq!(outputs, engine.run(request).unwrap());
    }
    // Every type that has rows, in parts of one, two and three.
    let mut engine = load(&library, models::sized_identities()).unwrap();
    let names: Vec<_> = engine.signature.inputs.iter().map(|input| (input.name.clone(), input.datatype)).collect();
    let request = |rows: u8| -> Vec<Tensor> {
        let tensor = |(name, datatype): &(String, teegate_enclave::tensor::Datatype)| {
            let bytes: Vec<u8> = (0..rows).flat_map(|row| vec![(row + rows) % 2; datatype.size().unwrap()]).collect();
            tensor(name, &[rows.into()], Elements::from_le_bytes(*datatype, usize::from(rows), &bytes).unwrap())
        };
        names.iter().map(tensor).collect()
    };
    let requests = [request(1), request(2), request(3)];
    let shared = run_parts(&mut engine, &requests).unwrap();
    for (outputs, inputs) in shared.iter().zip(&requests) {
        let same =
            |(output, input): (&Tensor, &Tensor)| (&output.elements, &output.shape) == (&input.elements, &input.shape);
        assert_eq!(outputs.iter().zip(inputs).filter(|pair| same(*pair)).count(), 13);
    }
}

#[test]
fn a_model_that_says_that_rows_meet_shares_no_run() {
    let Some(library) = sealed_library() else { return };
    let joinable = |model| Joinable::of(&load(&library, model).unwrap().signature, 8).map(drop);
    assert_eq!(joinable(models::compares_rows()), Err(NotJoinable::Elsewhere("n".into())));
    assert_eq!(joinable(models::selects_rows()), Err(NotJoinable::Names(vec!["n".into(), "kept".into()])));
    assert_eq!(joinable(models::two_tables()), Ok(()));
    let fixed = NotJoinable::Tensor { name: "x".into(), actual: "a first dimension of 2".into() };
    assert_eq!(joinable(models::add()), Err(fixed));
    // The demonstration model.
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/models/breast-cancer/model.onnx");
    assert_eq!(joinable(std::fs::read(path).unwrap()), Ok(()));
}

#[test]
fn a_shared_run_that_goes_wrong_answers_nobody_and_leaves_the_worker_ready() {
    let Some(library) = sealed_library() else { return };
    // As many rows as there are numbers, and not as went in.
    let mut engine = load(&library, models::unique()).unwrap();
    let request =
        |values: &[i64]| vec![tensor("x", &[values.len().try_into().unwrap()], Elements::Int64(values.to_vec()))];
    let words = "an output has not as many rows as the inputs".to_owned();
    assert_eq!(run_parts(&mut engine, &[request(&[1, 2]), request(&[2])]), Err(EngineError::Failed(words)));
    assert_eq!(
        run_parts(&mut engine, &[request(&[1, 2]), request(&[3])]).unwrap()[1][0].elements,
        Elements::Int64(vec![3])
    );
    // More than all outputs of a run may have: each alone would fit.
    let limits = Limits { output_bytes: 20, ..limits() };
    let mut engine = load_with(&library, models::look_up(), limits).unwrap();
    let request =
        |rows: i64| vec![tensor("i", &[rows], Elements::Int64(vec![1; rows.unsigned_abs().try_into().unwrap()]))];
    match run_parts(&mut engine, &[request(3), request(3)]) {
        Err(EngineError::Failed(words)) => assert!(words.contains("more than 20 bytes together"), "{words}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        run_parts(&mut engine, &[request(3), request(2)]).unwrap()[1][0].elements,
        Elements::Fp32(vec![10.0; 2])
    );
}

/// Two runs at once, and a spare worker.
fn workers(library: &Arc<File>, model: &[u8], deadline: Duration, batching: Batching) -> Arc<Workers> {
    workers_at(2, library, model, deadline, batching)
}

/// So many runs at once, with three workers.
fn workers_at(
    places: usize,
    library: &Arc<File>,
    model: &[u8],
    deadline: Duration,
    batching: Batching,
) -> Arc<Workers> {
    let engine = || Box::new(engine_with(library, model.to_vec(), limits())) as Box<dyn Engine>;
    let settings = Settings { places, queue: 64, deadline, batching: Some(batching) };
    Arc::new(Workers::start("m", vec![engine(), engine(), engine()], settings).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_each_caller_gets_its_own_rows_in_their_order() {
    let Some(library) = sealed_library() else { return };
    let batching = Batching { max_rows: 16, max_delay: Duration::from_millis(2), pause: Duration::ZERO };
    let workers = workers(&library, &models::look_up(), Duration::from_secs(60), batching);
    let callers: Vec<_> = (0..24_i64)
        .map(|caller| {
            let workers = Arc::clone(&workers);
            tokio::spawn(async move {
                for request in 0..30_i64 {
                    let mut indices: Vec<i64> =
                        (0..=(caller + request) % 6).map(|row| (caller * request + row) % 4).collect();
                    let is_poison = (caller + 7 * request) % 40 == 0;
                    if is_poison {
                        indices.push(4);
                    }
                    let rows = indices.len().try_into().unwrap();
                    let expected =
                        indices.iter().map(|&index| [0.0, 10.0, 20.0, 30.0, f32::NAN][index.unsigned_abs() as usize]);
                    let expected = Elements::Fp32(expected.collect());
                    match workers.run(vec![tensor("i", &[rows], Elements::Int64(indices))], purse()).await {
                        Ok((outputs, _)) if !is_poison => {
                            assert_eq!((outputs.len(), outputs[0].shape.dimensions()), (1, &[rows][..]));
                            assert_eq!(outputs[0].elements, expected, "caller {caller}, request {request}");
                        }
                        Err(RunError::Failed(words)) if is_poison => {
                            assert!(words.contains("out of data bounds"), "{words}")
                        }
                        other => panic!("caller {caller}, request {request}: {:?}", other.map(|(outputs, _)| outputs)),
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let counts = workers.counts();
    assert!(counts.shared_runs > 0 && counts.failed_shared_runs > 0, "{counts:?}");
    assert!(counts.runs < 24 * 30 + counts.run_again, "{counts:?}");
    assert_eq!((counts.lost_past_deadline, counts.lost_otherwise, counts.refused), (0, 0, 0), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_never_ends_costs_its_neighbours_no_answer() {
    let Some(library) = sealed_library() else { return };
    for places in [1, 2] {
        one_that_never_ends(&library, places).await;
    }
}

async fn one_that_never_ends(library: &Arc<File>, places: usize) {
    // All of them share a run, which begins when the last one is there.
    let batching = Batching { max_rows: 9, max_delay: Duration::from_secs(60), pause: Duration::from_secs(60) };
    let workers = workers_at(places, library, &models::rounds(), Duration::from_secs(8), batching);
    let ask = |values: Vec<i64>| {
        let workers = Arc::clone(&workers);
        let rows = values.len().try_into().unwrap();
        let run = async move { workers.run(vec![tensor("x", &[rows], Elements::Int64(values))], purse()).await };
        Box::pin(async move { run.await.map(|(outputs, _)| outputs[0].elements.clone()) })
    };
    let mut endless = ask(vec![1 << 60]);
    // Asked once, which queues it: it is the first of them, and the first to be run again.
    tokio::select! {
        biased;
        _ = &mut endless => panic!("it ends"),
        () = std::future::ready(()) => {}
    }
    let endless = tokio::spawn(endless);
    let good: Vec<_> = (1..=4).map(|value| (value, tokio::spawn(ask(vec![value, value + 1])))).collect();
    for (value, good) in good {
        assert_eq!(good.await.unwrap(), Ok(Elements::Int64(vec![value, value + 1])));
    }
    assert_eq!(endless.await.unwrap(), Err(RunError::Deadline));
    // Once together, once in its share, and once to its end.
    let end = Instant::now() + Duration::from_secs(20);
    while workers.counts().lost_past_deadline < 3 {
        assert!(Instant::now() < end, "{:?}", workers.counts());
        tokio::task::yield_now().await;
    }
    let counts = workers.counts();
    assert_eq!(
        (counts.runs, counts.shared_requests, counts.run_again, counts.lost_otherwise),
        (7, 5, 5, 0),
        "{counts:?}"
    );
}
