//! The transcript that the README begins with, held against what its command says; and the commands that the command's own README
//! prints, run as they are printed: on recorded evidence of real hardware under the names that they give it. What asks a vendor or a
//! TEE is run elsewhere, and what asks a gateway by `ci/walk.sh`.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use teegate_tests::harness::{Scratch, binary, note};

use crate::files::said;
use crate::recorded::crate_folder;

/// A time of the recording: the README's `strict` line speaks of evidence that is taken now.
const AT: &str = "2026-10-23T00:06:48Z";

fn printed() -> Vec<String> {
    let readme = include_str!("../../../../cli/README.md");
    let (_, rest) = readme.split_once("With `HEX` as `init` prints it, ").unwrap();
    let block = rest.split("```").nth(1).unwrap();
    let commands = block.lines().filter_map(|line| line.strip_prefix("teegate "));
    commands.map(|line| line.split_once(" #").map_or(line, |(command, _)| command).trim_end().to_owned()).collect()
}

fn run(folder: &Path, command: &str, more: &[&str]) -> Output {
    Command::new(binary("teegate")).current_dir(folder).args(command.split(' ')).args(more).output().unwrap()
}

fn copy(from: &Path, folder: &Path, to: &str) {
    let to = folder.join(to);
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(from, to).unwrap();
}

/// The report and the certificates that the README copies out of the crate `sev`.
fn milan(folder: &Path) {
    let sev = crate_folder("sev").join("tests/certs_data");
    copy(&sev.join("report_milan.hex"), folder, "report.bin");
    for name in ["vcek_milan.der", "cert_chain_milan"] {
        copy(&sev.join(name), folder, &format!("certificates/{name}"));
    }
}

#[test]
fn the_transcript_of_the_readme_is_what_the_commands_say() {
    let readme = include_str!("../../../../README.md");
    let (_, block) = readme.split_once("```console\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let scratch = Scratch::new();
    milan(scratch.path());
    let mut shown = 0;
    for part in block.split("$ teegate ").skip(1) {
        let (command, transcript) = part.split_once('\n').unwrap();
        let output = said(&run(scratch.path(), command, &[]).stdout);
        let mut rest = output.lines();
        // `…` stands for lines that are left out; every other one is there, in this order.
        for line in transcript.lines().filter(|line| !line.is_empty() && *line != "…") {
            assert!(rest.any(|found| found == line), "`{line}` does not follow in the output of {command}:\n{output}");
            shown += 1;
        }
    }
    assert!(shown >= 4, "{shown} lines are shown");
}

#[test]
fn the_commands_of_a_readme_run_as_they_are_printed() {
    let dcap = crate_folder("dcap-qvl").join("sample");
    let scratch = Scratch::new();
    let folder = scratch.path();
    milan(folder);
    copy(&dcap.join("tdx_quote_td15ex"), folder, "quote.bin");
    copy(&dcap.join("tdx_quote_td15ex_collateral.json"), folder, "collateral/collateral.json");
    let inspected = run(folder, "inspect quote.bin", &["--format", "json"]);
    let facts: Value = serde_json::from_slice::<Value>(&inspected.stdout).unwrap()["facts"].clone();
    let lines = ["mrtd", "rtmr0", "rtmr1", "rtmr2", "mrconfigid"].map(|name| format!("{name} = {}\n", facts[name]));
    scratch.write("values.toml", &format!("schema = 1\nname = \"recorded\"\n\n[tdx]\n{}", lines.concat()));

    let mut ran = Vec::new();
    for command in printed() {
        let word = command.split(' ').next().unwrap();
        // The network, a TEE.
        if ["fetch", "record"].contains(&word) {
            continue;
        }
        let asks_for_a_time = word != "policy"
            && !["--at", "--explain", "inspect", "bundle verify"].iter().any(|part| command.contains(part));
        let more = if asks_for_a_time { &["--at", AT][..] } else { &[] };
        let output =
            run(folder, &command.replace(" HEX", &format!(" {}", facts["report_data"].as_str().unwrap())), more);
        let words = format!("{}{}", said(&output.stdout), said(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "teegate {command}: {words}");
        if command.starts_with("policy init") {
            // The `HEX` of the commands below, and the promise that they hold.
            let report_data = format!("--report-data {}", facts["report_data"].as_str().unwrap());
            assert!(
                words.contains("it accepts the evidence that it was made of") && words.contains(&report_data),
                "{words}"
            );
        }
        if command.contains("--policy strict") {
            assert!(words.contains("ACCEPTED: this evidence satisfies the policy `strict`"), "{words}");
            let forgotten = run(folder, command.split_once(" --report-data").unwrap().0, &[]);
            assert_eq!((forgotten.status.code(), said(&forgotten.stdout)), (Some(1), String::new()));
            assert!(said(&forgotten.stderr).contains("give `--report-data HEX`"), "{}", said(&forgotten.stderr));
        }
        ran.push(command);
    }
    note(&format!("commands of cli/README.md run on recorded evidence: {}", ran.len()));
    assert_eq!(ran.len(), 8, "{ran:?}");
}
