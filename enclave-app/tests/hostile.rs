//! Models and requests that want more than they may have, against the program as it is run: each costs what it costs, the next
//! request is answered within a second, and the memory is back where it was.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what a test expects and does not find should end it, in its helper functions too"
)]

#[path = "support/enclave.rs"]
mod enclave;
#[path = "support/library.rs"]
mod library;
#[path = "support/models.rs"]
mod models;

use std::time::{Duration, Instant};

use enclave::{Connection, Enclave, Folder, Guest, config, program, until};
use teegate_protocol::bhttp::{Request, Response};
use teegate_protocol::headers::HEALTH_PATH;
use teegate_protocol::manifest::ManifestBytes;

/// In this time the next request has to be answered.
const SOON: Duration = Duration::from_secs(1);

/// What may stay: caches of allocators, a page table.
const SLACK: usize = 6 << 20;

const RUN_MEMORY: usize = 64 << 20;

/// A running program with a hostile model, and a client that knows it.
struct Stage {
    enclave: Enclave,
    connection: Connection,
    manifest: ManifestBytes,
    _guest: Guest,
    _folder: Folder,
}

impl Stage {
    async fn set(model: Vec<u8>, more: &str) -> Option<Self> {
        let library = library::library()?;
        let (folder, guest) = (Folder::new(), Guest::start().await);
        let model = folder.write("model.onnx", model);
        let limits = format!("[limits]\nrun_memory_bytes = {RUN_MEMORY}\nrun_grace_ms = 100\n{more}");
        let enclave = Enclave::start(&library, &guest, &model, &limits);
        let mut connection = Connection::open(&enclave.address, "h2").await;
        let (_, manifest) = connection.envelope().await;
        Some(Self { enclave, connection, manifest, _guest: guest, _folder: folder })
    }

    async fn ask(&mut self, inputs: &str) -> Response {
        let mut request = Request::new("POST", "enclave.invalid", "/v2/models/m/infer");
        request.content = format!(r#"{{"inputs":[{inputs}]}}"#).into_bytes();
        self.connection.sealed(&self.manifest, &request).await
    }

    /// Asks for something hostile and then for something small, again and again, and looks what that has cost.
    async fn survives(&mut self, hostile: &str, small: &str, judge: impl Fn(&Response)) {
        let before = {
            assert_eq!(self.ask(small).await.status, 200, "the passing twin");
            self.workers_are_there().await;
            self.enclave.all_resident_bytes()
        };
        for round in 0..3 {
            let refused = self.ask(hostile).await;
            judge(&refused);
            let begun = Instant::now();
            let answered = self.ask(small).await;
            assert_eq!(answered.status, 200, "round {round}: {}", error(&answered));
            assert!(begun.elapsed() < SOON, "round {round}: {:?}", begun.elapsed());
            assert_eq!(self.connection.get(HEALTH_PATH).await.status, 200, "round {round}");
        }
        self.workers_are_there().await;
        let enclave = &self.enclave;
        until("the memory is back", || async { (enclave.all_resident_bytes() <= before + SLACK).then_some(()) }).await;
    }

    /// Waits for both workers: the one that works and the spare one.
    async fn workers_are_there(&self) {
        until("both workers are there", || async { (self.enclave.workers().len() == 2).then_some(()) }).await;
    }
}

fn error(response: &Response) -> String {
    let json: serde_json::Value = serde_json::from_slice(&response.content).unwrap_or_default();
    json["error"].as_str().unwrap_or_default().to_owned()
}

fn integers(name: &str, values: &[i64]) -> String {
    format!(r#"{{"name":"{name}","shape":[{}],"datatype":"INT64","data":{values:?}}}"#, values.len())
}

fn needs_too_much(response: &Response) {
    assert_eq!(response.status, 500, "{response:?}");
    let words =
        format!("ONNX Runtime: the run needs more than the {RUN_MEMORY} bytes of memory that it may have here; ");
    assert!(error(response).starts_with(&words), "{}", error(response));
}

fn is_not_through(response: &Response) {
    assert_eq!((response.status, error(response).as_str()), (504, "the run was not through at its deadline"));
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_by_a_number_in_the_request() {
    // What loading may take says nothing about what a run may.
    let Some(mut stage) = Stage::set(models::zeros(), "load_memory_bytes = 1073741824").await else { return };
    let workers = {
        stage.workers_are_there().await;
        stage.enclave.workers()
    };
    for length in [100_000_000, 2_000_000_000, 1 << 40] {
        stage.survives(&integers("shape", &[length]), &integers("shape", &[3]), needs_too_much).await;
    }
    // It costs not even its worker.
    assert_eq!(stage.enclave.workers(), workers);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_by_doubling_it() {
    let Some(mut stage) = Stage::set(models::doubling(), "").await else { return };
    let rounds = |rounds: i64| {
        let rounds = format!(r#"{{"name":"rounds","shape":[],"datatype":"INT64","data":[{rounds}]}}"#);
        format!(r#"{rounds},{{"name":"x","shape":[1],"datatype":"FP32","data":[1]}}"#)
    };
    stage.survives(&rounds(40), &rounds(4), needs_too_much).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_operator_that_does_not_end() {
    let Some(mut stage) = Stage::set(models::boxes(), "run_deadline_ms = 700").await else { return };
    let boxes = |boxes: i64| {
        [integers("boxes_shape", &[1, boxes, 4]), integers("scores_shape", &[1, 1, boxes]), integers("most", &[boxes])]
            .join(",")
    };
    stage.survives(&boxes(400_000), &boxes(10), is_not_through).await;
    let said = stage.enclave.said();
    assert!(said.contains("a worker was lost and is replaced") && said.contains("it ran past its deadline"), "{said}");
}

/// Which gives no small answer, so the next request is one that is refused for what it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_does_not_end() {
    let Some(mut stage) = Stage::set(models::endless(), "run_deadline_ms = 300").await else { return };
    stage.workers_are_there().await;
    let before = stage.enclave.all_resident_bytes();
    for _ in 0..4 {
        let begun = Instant::now();
        is_not_through(&stage.ask(r#"{"name":"x","shape":[1],"datatype":"FP32","data":[1]}"#).await);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    }
    stage.workers_are_there().await;
    let enclave = &stage.enclave;
    until("the memory is back", || async { (enclave.all_resident_bytes() <= before + SLACK).then_some(()) }).await;
}

/// A crash of the engine, as far as a test can make one: its worker is killed in the middle of a run.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_costs_the_request_that_met_it() {
    let Some(mut stage) = Stage::set(models::endless(), "run_deadline_ms = 20000\nspare_workers = 0").await else {
        return;
    };
    let ask = r#"{"name":"x","shape":[1],"datatype":"FP32","data":[1]}"#;
    let worker = stage.enclave.workers()[0];
    let killed = tokio::task::spawn_blocking(move || {
        let ticks = || {
            let stat = std::fs::read_to_string(format!("/proc/{worker}/stat")).unwrap();
            stat.rsplit(')').next().unwrap().split_whitespace().nth(11).unwrap().parse::<u64>().unwrap()
        };
        let (idle, deadline) = (ticks(), Instant::now() + Duration::from_secs(30));
        while ticks() < idle + 5 {
            assert!(Instant::now() < deadline, "it runs");
            std::thread::yield_now();
        }
        assert!(std::process::Command::new("kill").args(["-FPE", &worker.to_string()]).status().unwrap().success());
    });
    let response = stage.ask(ask).await;
    killed.await.unwrap();
    assert_eq!(response.status, 500);
    assert!(error(&response).starts_with("the worker that ran the request has ended"), "{}", error(&response));
    until("another one is there", || async {
        let workers = stage.enclave.workers();
        (workers.len() == 1 && workers[0] != worker).then_some(())
    })
    .await;
    let said = stage.enclave.said();
    assert!(said.contains("it ended by itself, by signal 8"), "{said}");
    until("and serves", || async {
        let mut connection = Connection::open(&stage.enclave.address, "h2").await;
        (connection.get(HEALTH_PATH).await.status == 200).then_some(())
    })
    .await;
}

/// Whether there is a worker is what health and readiness say, and so what a gateway hears.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_says_whether_its_workers_are_there() {
    let Some(mut stage) = Stage::set(models::add(), "").await else { return };
    let ready = async |stage: &mut Stage| {
        let ready = Request::new("GET", "enclave.invalid", "/v2/models/m/ready");
        (stage.connection.get(HEALTH_PATH).await.status, stage.connection.sealed(&stage.manifest, &ready).await.status)
    };
    assert_eq!(ready(&mut stage).await, (200, 200));
    // One of two is no reason to say no.
    stage.workers_are_there().await;
    let kill = |workers: &[u32]| {
        for worker in workers {
            let _ = std::process::Command::new("kill")
                .args(["-KILL", &worker.to_string()])
                .stderr(std::process::Stdio::null())
                .status();
        }
    };
    kill(&stage.enclave.workers()[..1]);
    assert_eq!(ready(&mut stage).await, (200, 200));
    // All of them, more often than they are replaced at once.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        kill(&stage.enclave.workers());
        if ready(&mut stage).await == (503, 503) {
            break;
        }
        assert!(Instant::now() < deadline, "it says no at last");
    }
    // Whoever comes meanwhile waits or is told that nobody is there; nothing has to be done for it to end.
    let x = r#"{"name":"x","shape":[2],"datatype":"FP32","data":[1,2]}"#;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let response = stage.ask(x).await;
        if response.status == 200 {
            break;
        }
        assert_eq!((response.status, error(&response).as_str()), (503, "the model has no worker left"));
        assert!(Instant::now() < deadline, "a worker is there again at last");
    }
    assert_eq!(ready(&mut stage).await, (200, 200));
}

/// Runs the program with a model that it must not serve, and returns what it says.
fn refused(library: &std::path::Path, model: Vec<u8>, limits: &str) -> String {
    let folder = Folder::new();
    let model = folder.write("model.onnx", model);
    let limits = format!("[limits]\n{limits}");
    let path = folder.write("config.toml", config(library, "http://127.0.0.1:1", &model, &limits));
    let begun = Instant::now();
    let output = program(&path).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{output:?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_must_not_be_served_ends_the_start_with_its_reason() {
    let Some(library) = library::library() else { return };
    let external = |location| models::external_in_a_subgraph(location);
    let elsewhere = "model `m`: model keeps the data of tensor `w` in another file";
    for (model, limits, reason) in [
        (external("w.bin"), "", elsewhere),
        (external("../../etc/passwd"), "", elsewhere),
        (external("/etc/passwd"), "", elsewhere),
        (b"\x08\x09\x3a\x05abc".to_vec(), "", "model `m`: model file is not ONNX: expected"),
        (models::nested_functions(22), "", "model `m`: model has functions that expand to more than 65536 nodes"),
        (models::nested_functions(15), "load_deadline_seconds = 1", "model `m`: it was not loaded within 1 s"),
        (models::huge_initialiser(), "", "model `m`: ONNX Runtime refused the model: "),
        (b"\x08\x09".to_vec(), "", "model `m`: ONNX Runtime refused the model: "),
        (models::custom_operator(), "", "com.example.custom"),
    ] {
        let words = refused(&library, model, limits);
        assert!(words.contains(reason), "{reason}: {words}");
    }
}

/// What a model asks for while it is loaded is bounded like what a run asks for.
#[tokio::test(flavor = "multi_thread")]
async fn memory_while_a_model_is_loaded() {
    let small = r#"{"name":"x","shape":[1],"datatype":"FP32","data":[1]}"#;
    for (count, load_memory, is_answered) in [
        // 200 MB that the library makes while it optimises, if it may...
        (50_000_000, 512 << 20, true),
        // ...and leaves to the run otherwise, which may not either.
        (50_000_000, 32 << 20, false),
        (50, 32 << 20, true),
    ] {
        let limits = format!("load_memory_bytes = {load_memory}");
        let Some(mut stage) = Stage::set(models::folded_zeros(count), &limits).await else { return };
        let response = stage.ask(small).await;
        if is_answered {
            assert_eq!(response.status, 200, "{count} {load_memory}: {}", error(&response));
        } else {
            needs_too_much(&response);
        }
    }
}
