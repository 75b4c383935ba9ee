//! The file that `--memory` names, shared by many runs at once: what one has seen no other forgets, and a run that began before
//! another ended is judged against what that one saw.

use std::fs::File;
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use teegate_forge::time::{AT, DAY};
use teegate_tests::harness::{DEADLINE, Scratch, binary};
use teegate_verifier::Memory;

use crate::files::{Files, said, status};
use crate::subject::snp;

/// Distinct platforms, one run each.
const RUNS: u8 = 24;

fn verify(files: &Files, memory: &str) -> Command {
    let mut command = Command::new(binary("teegate"));
    command.arg("verify").args(files.options()).args(["--memory", memory]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn platforms(memory: &str) -> usize {
    let memory: Value = serde_json::from_slice(&std::fs::read(memory).unwrap()).unwrap();
    memory["platforms"].as_object().unwrap().len()
}

#[test]
fn what_parallel_runs_have_seen_is_all_there_afterwards() {
    let scratch = Scratch::new();
    let memory = scratch.path().join("seen.json").display().to_string();
    let files: Vec<Files> = (0..RUNS).map(|chip| Files::of(&snp(|device| device.chip_id([chip + 1; 64])))).collect();
    let runs: Vec<Child> = files.iter().map(|files| verify(files, &memory).spawn().unwrap()).collect();
    for run in runs {
        let output = run.wait_with_output().unwrap();
        assert_eq!(status(&output), 0, "{}{}", said(&output.stdout), said(&output.stderr));
    }
    assert_eq!(platforms(&memory), usize::from(RUNS));
    // A lock stays beside it and nothing else: what was half written is gone.
    let mut left: Vec<_> = std::fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["seen.json", "seen.json.lock"]);
}

/// The run with the older list began first. While it waits for its turn, another sees a newer one.
#[test]
fn a_run_that_began_first_is_judged_against_what_was_seen_meanwhile() {
    let list = |days_before: u64| {
        Files::of(&snp(move |device| device.crl_window(AT - days_before * DAY, Some(AT + 300 * DAY))))
    };
    let (older, newer) = (list(9), list(2));
    let scratch = Scratch::new();
    let [memory, theirs] = ["seen.json", "theirs.json"].map(|name| scratch.path().join(name).display().to_string());
    let run = |files: &Files, memory: &str| -> Output { verify(files, memory).output().unwrap() };
    assert_eq!(status(&run(&older, &theirs)), 0, "the twin: nobody has seen a newer one");
    std::fs::remove_file(&theirs).unwrap();
    assert_eq!(status(&run(&newer, &theirs)), 0);

    let place = format!("{memory}.lock");
    let lock = File::create(&place).unwrap();
    lock.lock().unwrap();
    let mut first = verify(&older, &memory).spawn().unwrap();
    wait_until_open(&mut first, &place);
    std::fs::copy(&theirs, &memory).unwrap();
    drop(lock);
    let output = first.wait_with_output().unwrap();
    assert_eq!(status(&output), 3, "{}{}", said(&output.stdout), said(&output.stderr));
    assert!(said(&output.stdout).contains("✗ snp.chain.rollback"), "{}", said(&output.stdout));
    assert_eq!(std::fs::read(&memory).unwrap(), std::fs::read(&theirs).unwrap(), "a rejection teaches nothing");
}

/// Waits until the process has opened the file at `path`.
fn wait_until_open(process: &mut Child, path: &str) {
    let since = Instant::now();
    let descriptors = format!("/proc/{}/fd", process.id());
    let has_opened = || {
        let descriptors = std::fs::read_dir(&descriptors).into_iter().flatten().flatten();
        descriptors.filter_map(|entry| std::fs::read_link(entry.path()).ok()).any(|file| file.as_os_str() == path)
    };
    while !has_opened() {
        assert!(process.try_wait().unwrap().is_none(), "it ended without waiting for the lock");
        assert!(since.elapsed() < DEADLINE, "it never came to the lock");
        std::thread::yield_now();
    }
}

/// Two machines' memories are put together: the platforms seen last are kept, whichever had them, in time that does not grow
/// with the square.
#[test]
fn of_two_full_memories_the_platforms_seen_last_are_kept() {
    let memory = |first: u64, count: u64| -> Memory {
        let platform = |n: u64| (format!("chip {n:08x}"), json!({"tcb": [1], "seen": n}));
        let platforms: serde_json::Map<_, _> = (first..first + count).map(platform).collect();
        serde_json::from_value(json!({"schema": 2, "statements": {}, "platforms": platforms})).unwrap()
    };
    let (old, new) = (memory(0, 65_536), memory(50_000, 65_536));
    let begun = Instant::now();
    for (mut one, other) in [(old.clone(), new.clone()), (new, old)] {
        one.merge(&other);
        let kept = serde_json::to_value(&one).unwrap();
        let kept = kept["platforms"].as_object().unwrap();
        assert_eq!(kept.len(), 65_536);
        assert!(kept.values().all(|shown| shown["seen"].as_u64().unwrap() >= 50_000));
    }
    assert!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());
}
