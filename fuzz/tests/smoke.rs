//! Every target on its corpus and on a number of mutations of it, the same ones in every run. `ci/fuzz.sh` is the long run.

use std::time::Duration;

use teegate_fuzz::{artifacts_folder, read_corpus, targets};
use teegate_fuzz_engine::{Effort, Run, Settings, minimise};

/// Mutations of one target: what this build does in a second or two.
const fn mutations(effort: Effort) -> u64 {
    match effort {
        Effort::Reader => 4_000,
        Effort::Walk => 800,
    }
}

/// A slow machine runs fewer, and says so.
const LIMIT: Duration = Duration::from_secs(4);

/// An execution that never comes back is given up after this, and its input is named.
const HANGS: Duration = Duration::from_secs(120);

fn smoke(name: &'static str) {
    let target = targets::named(name).unwrap();
    let corpus = read_corpus(name).unwrap();
    assert!(!corpus.is_empty(), "no corpus");
    let executions = mutations(target.effort);
    let folder = artifacts_folder(name);
    // What is left of it is the input that the process died of.
    let current = folder.join("current-smoke");
    let settings = Settings { executions, time: Some(LIMIT), seed: 1, current: Some(current.clone()) };
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut run = Run::new(target, settings).unwrap();
        run.go(&corpus, |_| {});
        let _ = send.send((run.figures.executions - corpus.len() as u64, std::mem::take(&mut run.findings)));
    });
    let outcome = receive.recv_timeout(HANGS);
    let (ran, findings) =
        outcome.unwrap_or_else(|_| panic!("{name}: one execution never ended: {}", current.display()));
    std::fs::remove_file(&current).unwrap();
    if ran < executions && findings.is_empty() {
        eprintln!("note: {name}: {ran} of {executions} mutations in {LIMIT:?}");
    }
    let found: Vec<_> = findings
        .iter()
        .map(|(finding, input)| {
            let path = folder.join("smoke");
            std::fs::write(&path, minimise(target, input, finding)).unwrap();
            format!("{finding}\n  input: {}", path.display())
        })
        .collect();
    assert!(found.is_empty(), "{name}: {}", found.join("\n"));
}

macro_rules! smoke {
    ($($name:ident)+) => {
        $(#[test] fn $name() { smoke(stringify!($name)); })+

        #[test]
        fn every_target_is_here() {
            let here = [$(stringify!($name)),+];
            assert!(targets::all().map(|target| target.name).eq(here), "the list of the tests is another");
        }
    };
}

smoke! {
    hex base64 pem der document cbor cose protobuf json
    sev_snp_report tdx_quote hints
    azure_vtpm hcl_report azure_vtpm_json aci signed_corim sigstore
    tpm_answers sev_guest_response metadata_service aci_context
    manifest envelope_form bhttp_request bhttp_response ohttp_keys ohttp_request receipt_header receipt problem coco
    certificate_table
    oip_infer engine_message engine_tensors engine_signature onnx_model
    evidence_json evidence_cbor evidence_protobuf endorsements bundle envelope
    policy reference_values corim
    event_log firmware acpi igvm uki initdata deployment
    npy npz table
    verify_sev_snp verify_tdx
}

/// The engine notices what a target does wrong: a panic, and memory that the input does not justify.
mod noticed {
    use super::*;
    use teegate_fuzz_engine::{Finding, Target, execute, mutate};

    fn wrong(input: &[u8]) {
        assert!(!input.starts_with(b"wrong"), "it is wrong");
        if input == b"long" {
            drop(std::hint::black_box(vec![1_u8; 1 << 23]));
        }
    }

    const TARGET: Target = Target {
        name: "wrong",
        about: "wrong on purpose",
        effort: Effort::Reader,
        run: wrong,
        mutate: mutate::bytes,
        words: &["wrong"],
        max_bytes: 64,
    };

    #[test]
    fn a_panic_and_its_shortest_input() {
        let settings = Settings { executions: 20_000, time: None, seed: 1, current: None };
        let mut run = Run::new(&TARGET, settings).unwrap();
        run.go(&[b"a seed that is right".to_vec()], |_| {});
        let (finding, input) = &run.findings[0];
        assert!(
            matches!(finding, Finding::Panic { place, message }
            if place.contains("smoke.rs:") && message == "it is wrong"),
            "{finding}"
        );
        assert_eq!(minimise(&TARGET, input, finding), b"wrong");
        assert_eq!(run.findings.len(), 1, "one cause, one finding");
    }

    #[test]
    fn memory_that_the_input_does_not_justify() {
        let outcome = execute(&TARGET, b"long");
        assert!(matches!(outcome.finding, Some(Finding::Memory { bytes }) if bytes >= 1 << 23), "{outcome:?}");
        assert_eq!(execute(&TARGET, b"lon").finding, None);
    }

    thread_local! {
        static RAN: std::cell::RefCell<Vec<Vec<u8>>> = const { std::cell::RefCell::new(Vec::new()) };
    }

    #[test]
    fn the_same_seed_gives_the_same_inputs_and_another_seed_others() {
        let target = Target { run: |input| RAN.with_borrow_mut(|ran| ran.push(input.to_vec())), ..TARGET };
        let inputs = |seed| {
            let settings = Settings { executions: 500, time: None, seed, current: None };
            Run::new(&target, settings).unwrap().go(&[b"00ff".to_vec()], |_| {});
            RAN.take()
        };
        let first = inputs(1);
        assert_eq!(first.len(), 501);
        assert!(first == inputs(1) && first != inputs(2));
    }
}
