//! ONNX's own tests of every operator, through the real program: sealed requests of the Open Inference Protocol to a running
//! enclave-app, whose answers are held against the values that the tests bring, as ONNX's own runner does.
//!
//! `ci/onnx_nodes.sh` writes the tests. What fails stands in `nodes.txt`, each with its reason, and has to fail as it says: a
//! case that begins to pass is as much a difference as one that no longer does. An even sample runs here, all of them with
//! `TEEGATE_TESTS=full`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "what a test expects and does not find should end it, in its helper functions too"
)]

#[path = "support/enclave.rs"]
mod enclave;
#[path = "support/library.rs"]
mod library;
#[path = "support/nodes.rs"]
mod nodes;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use enclave::{Connection, Enclave, Folder, Guest};
use nodes::{Case, Stage, cases, compare, expected_failures};
use teegate_protocol::bhttp::Request;

/// Models of one program at once: each has a worker of some 30 MB.
const AT_ONCE: usize = 24;

/// Every so manieth case is in the sample.
const SAMPLE: usize = 25;

/// What became of a case, if it did not pass: where it failed, and in which words.
type Outcome = Result<(), (Stage, String)>;

#[tokio::test(flavor = "multi_thread")]
async fn the_node_tests_of_onnx_come_to_what_is_expected() {
    let (Some(library), Some(all)) = (library::library(), cases()) else { return };
    let is_full = std::env::var("TEEGATE_TESTS").is_ok_and(|size| size == "full");
    let carried: Vec<&Case> = all.iter().filter(|case| case.left_out.is_none()).collect();
    let chosen: Vec<&Case> = carried.iter().copied().step_by(if is_full { 1 } else { SAMPLE }).collect();
    let failures = expected_failures();
    let guest = Guest::start().await;

    // What does not load would keep its neighbours from it.
    let is_loading = |case: &&&Case| failures.get(&case.name).is_none_or(|(stage, _)| *stage != Stage::Load);
    let mut outcomes: BTreeMap<&str, Outcome> = BTreeMap::new();
    let together: Vec<&Case> = chosen.iter().filter(is_loading).copied().collect();
    let alone: Vec<&Case> = chosen.iter().filter(|case| !is_loading(case)).copied().collect();
    for batch in together.chunks(AT_ONCE).chain(alone.chunks(1)) {
        run(batch, &library, &guest, &mut outcomes).await;
    }

    let mut differences = String::new();
    for case in &chosen {
        match (&outcomes[case.name.as_str()], failures.get(&case.name)) {
            (Ok(()), None) => {}
            (Ok(()), Some((_, reason))) => writeln!(differences, "{} passes, expected: {reason}", case.name).unwrap(),
            (Err((stage, _)), Some((expected, _))) if stage == expected => {}
            (Err((stage, words)), _) => writeln!(differences, "{} {stage}: {words}", case.name).unwrap(),
        }
    }
    let passed = outcomes.values().filter(|outcome| outcome.is_ok()).count();
    let note = format!(
        "note: onnx node tests: {passed} of {} passed through the sealed path, {} known failures; the protocol has types for {} of all {}\n",
        chosen.len(),
        chosen.len() - passed,
        carried.len(),
        all.len(),
    );
    std::io::stderr().lock().write_all(note.as_bytes()).unwrap();
    assert!(differences.is_empty(), "not as nodes.txt says:\n{differences}");
    // No name of the list is one that there is not.
    for name in failures.keys() {
        assert!(carried.iter().any(|case| case.name == *name), "{name} is no test of a type that is carried");
    }
}

/// Starts one program with these models, and asks each of them. What does not load is taken out, and the rest started again.
async fn run<'c>(batch: &[&'c Case], library: &Path, guest: &Guest, outcomes: &mut BTreeMap<&'c str, Outcome>) {
    let mut batch = batch.to_vec();
    while !batch.is_empty() {
        let enclave = match Enclave::try_start(Folder::new(), config(&batch, library, &guest.url)) {
            Ok(enclave) => enclave,
            Err(said) => {
                let words = said.lines().last().unwrap_or_default();
                let refused = batch.iter().position(|case| words.contains(&format!("model `n{}`: ", case.number)));
                let refused = refused.unwrap_or_else(|| panic!("no model is named: {said}"));
                outcomes.insert(&batch.remove(refused).name, Err((Stage::Load, words.to_owned())));
                continue;
            }
        };
        let mut connection = Connection::open(&enclave.address, "h2").await;
        let (_, manifest) = connection.envelope().await;
        for case in batch.drain(..) {
            let path = format!("/v2/models/n{}/infer", case.number);
            let mut request = Request::new("POST", "enclave.invalid", &path);
            let (json, content) = case.request();
            request.fields.push("inference-header-content-length", json.to_string()).unwrap();
            request.content = content;
            let response = connection.sealed(&manifest, &request).await;
            let outcome = if response.status == 200 {
                let json = response.fields.get("inference-header-content-length").map(|length| length.parse().unwrap());
                compare(case, &response.content, json).map_err(|words| (Stage::Value, words))
            } else {
                Err((Stage::Run, String::from_utf8_lossy(&response.content).into_owned()))
            };
            outcomes.insert(&case.name, outcome);
        }
    }
}

fn config(batch: &[&Case], library: &Path, guest: &str) -> String {
    let mut text = format!(
        "listen = \"127.0.0.1:0\"\nonnxruntime = {library:?}\n[attester]\nsource = \"coco\"\ncoco_url = \"{guest}\"\n\
         [limits]\nspare_workers = 0\n"
    );
    for case in batch {
        let model = case.folder.join("model.onnx");
        writeln!(text, "[[models]]\nname = \"n{}\"\nversion = \"1\"\npath = {model:?}", case.number).unwrap();
    }
    text
}
