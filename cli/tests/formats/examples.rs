//! The pipelines of `ci/examples`: the very commands that stand there are run, in a folder like the one that they describe.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::place::{AT, Place};
use super::{note, repository};

/// The commands of the steps `run:` of the GitHub workflow, in order.
fn github() -> Vec<String> {
    let text = fs::read_to_string(repository("ci/examples/github-actions.yml")).unwrap();
    let mut commands: Vec<String> = Vec::new();
    let mut block: Option<usize> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        match (block, line.trim_start().strip_prefix("run: ")) {
            (Some(outer), _) if indent > outer => {
                let script = commands.last_mut().unwrap();
                script.push_str(line.trim_start());
                script.push('\n');
            }
            (_, Some("|")) => {
                block = Some(indent);
                commands.push(String::new());
            }
            (_, Some(command)) => {
                block = None;
                commands.push(command.to_owned());
            }
            _ => block = None,
        }
    }
    commands
}

/// The lines of `script:` and of `after_script:` of the GitLab pipeline.
fn gitlab() -> [String; 2] {
    let text = fs::read_to_string(repository("ci/examples/gitlab-ci.yml")).unwrap();
    ["  script:", "  after_script:"].map(|section| {
        let lines =
            text.lines().skip_while(|line| *line != section).skip(1).take_while(|line| line.starts_with("    "));
        let commands: Vec<_> = lines.filter_map(|line| line.strip_prefix("    - ")).collect();
        assert!(!commands.is_empty(), "{section}");
        commands.join("\n")
    })
}

/// As both runners do it: one shell for a script, which ends at the first command that fails.
fn shell(place: &Place, script: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_teegate")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.args(["-e", "-o", "pipefail", "-c", script]).env("PATH", path).env("EVIDENCE_AT", AT);
    bash.envs([("GITHUB_STEP_SUMMARY", place.path("summary.md")), ("GITHUB_OUTPUT", place.path("outputs"))]);
    bash.current_dir(place.folder()).output().unwrap()
}

/// The results of one run: the verdict that JUnit and SARIF give.
fn results(place: &Place) -> (usize, usize) {
    let junit = fs::read_to_string(place.path("results/attestation.xml")).unwrap();
    let junit = quick_junit::Report::deserialize_from_str(&junit).unwrap();
    let sarif = fs::read_to_string(place.path("results/attestation.sarif")).unwrap();
    let sarif: serde_json::Value = serde_json::from_str(&sarif).unwrap();
    super::sarif::validate(&sarif);
    (junit.failures, sarif["runs"][0]["results"].as_array().unwrap().len())
}

#[test]
fn the_commands_of_the_examples_run_offline_and_end_with_the_verdict() {
    let [lint, verify] = <[String; 2]>::try_from(github()).unwrap();
    let [script, after] = gitlab();
    assert!(verify.contains("--format sarif"), "{verify}");
    for place in Place::both() {
        // A policy that pins forged roots never passes the lint; the same without them does.
        assert_eq!(shell(&place, &lint).status.code(), Some(4));
        assert_eq!(shell(&place, &script).status.code(), Some(4));
        assert!(!Path::new(&place.path("results")).exists());
        let policy = fs::read_to_string(place.path("evidence/policy.toml")).unwrap();
        let (shipped, _) = policy.split_once("[trust_anchors]").unwrap();
        place.write("evidence/policy.toml", shipped.replace("microcode = 27", "microcode = 84").as_bytes());
        let linted = shell(&place, &lint);
        assert!(linted.status.success(), "{}", String::from_utf8_lossy(&linted.stdout));
        place.write("evidence/policy.toml", policy.as_bytes());
        let script = script.strip_prefix(&format!("{lint}\n")).unwrap();
        for (evidence, code) in [("", 0), ("malformed.bin", 2), ("unauthentic.bin", 3), ("unacceptable.bin", 4)] {
            if !evidence.is_empty() {
                fs::copy(place.path(evidence), place.path("evidence/report.bin")).unwrap();
            }
            let output = shell(&place, &verify);
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(output.status.code(), Some(code), "{said}");
            assert!(said.contains(if code == 0 { "accepted" } else { "::error::" }), "{said}");
            let summary = fs::read_to_string(place.path("summary.md")).unwrap();
            let last = summary.rsplit("### Attestation: ").next().unwrap();
            assert!(last.starts_with(if code == 0 { "⚠️ accepted" } else { "❌ " }), "{summary}");
            let (junit, sarif) = results(&place);
            // An acceptance of forged hardware is one alert and no failed test.
            assert_eq!((junit, sarif > 0), (if code == 0 { 0 } else { sarif }, true));

            fs::remove_dir_all(place.path("results")).unwrap();
            let output = shell(&place, script);
            assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(shell(&place, &after).status.success());
            assert_eq!(results(&place), (junit, sarif));
        }
    }
}

#[test]
fn where_the_command_cannot_run_nothing_is_left_to_upload() {
    let place = Place::snp(|device| device);
    fs::remove_file(place.path("evidence/report.bin")).unwrap();
    let [_, verify] = <[String; 2]>::try_from(github()).unwrap();
    let output = shell(&place, &verify);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("::error::teegate could not run"));
    assert_eq!(fs::read_dir(place.path("results")).unwrap().count(), 0);
}

const ACTION: &str = "ci/examples/action/action.yml";
const COMPONENT: &str = "ci/examples/gitlab-component/templates/attestation.yml";

/// The script of the action or of the component, as its runner gets it: the block, without the indentation.
fn script(file: &str, head: &str) -> String {
    let text = fs::read_to_string(repository(file)).unwrap();
    let (_, block) = text.split_once(&format!("{head} |\n")).unwrap();
    let indent = block.len() - block.trim_start().len();
    let lines = block.lines().take_while(|line| line.is_empty() || line.len() - line.trim_start().len() >= indent);
    lines.map(|line| format!("{}\n", line.get(indent..).unwrap_or_default())).collect()
}

/// The variables of the script and the inputs that they stand for, as `NAME` and `name`.
fn variables(file: &str, open: &str, close: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(repository(file)).unwrap();
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("TEEGATE_")?.split_once(": "));
    let named = lines.map(|(name, value)| {
        let input = value.trim_matches('"').strip_prefix(open).unwrap().strip_suffix(close).unwrap();
        assert!(
            text.contains(&format!("\n  {input}:\n")) || text.contains(&format!("\n    {input}:\n")),
            "no input {input}"
        );
        (format!("TEEGATE_{name}"), input.to_owned())
    });
    named.collect()
}

/// Runs one of the two with these inputs, as its runner does.
fn run(place: &Place, file: &str, inputs: &[(&str, &str)]) -> Output {
    let (shell, script, variables) = if file == ACTION {
        (&["bash", "-e", "-o", "pipefail", "-c"][..], script(file, "run:"), variables(file, "${{ inputs.", " }}"))
    } else {
        (&["sh", "-e", "-c"][..], script(file, "    -"), variables(file, "$[[ inputs.", " ]]"))
    };
    assert_eq!(variables.len(), 7);
    let program = Path::new(env!("CARGO_BIN_EXE_teegate")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).arg(script).env("PATH", path).current_dir(place.folder());
    command.envs([("GITHUB_STEP_SUMMARY", place.path("summary.md")), ("GITHUB_OUTPUT", place.path("outputs"))]);
    for (name, input) in variables {
        let value = inputs.iter().find(|(known, _)| *known == input).map(|(_, value)| *value);
        let default = if input == "results" { "results" } else { "" };
        command.env(name, value.unwrap_or(default));
    }
    command.output().unwrap()
}

#[test]
fn the_action_and_the_component_judge_many_files_and_end_with_the_highest_status() {
    for (file, separator) in [(ACTION, "\n"), (COMPONENT, ", ")] {
        for place in Place::both() {
            // A name is a name, whatever stands in it.
            let odd = "evidence/$(touch broken) `touch broken`;'\".bin";
            fs::copy(place.path("evidence/report.bin"), place.path(odd)).unwrap();
            for (files, code, suites) in [
                (&["evidence/report.bin", odd][..], 0, 2),
                (&["evidence/report.bin"], 0, 1),
                (&["evidence/report.bin", "none.bin", odd], 1, 3),
                (&["unauthentic.bin", "evidence/report.bin"], 3, 2),
                (&["unauthentic.bin", "unacceptable.bin"], 4, 2),
                (&["none.bin"], 1, 0),
            ] {
                let inputs = [
                    ("evidence", &*files.join(separator)),
                    ("endorsements", "evidence/endorsements"),
                    ("policy", "evidence/policy.toml"),
                    ("at", AT),
                ];
                let output = run(&place, file, &inputs);
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert_eq!(output.status.code(), Some(code), "{file}, {files:?}: {said}");
                assert!(!Path::new(&place.path("broken")).exists());
                if suites == 0 {
                    assert_eq!(fs::read_dir(place.path("results")).unwrap().count(), 0);
                    continue;
                }
                let junit = fs::read_to_string(place.path("results/attestation.xml")).unwrap();
                let junit = quick_junit::Report::deserialize_from_str(&junit).unwrap();
                assert_eq!((junit.test_suites.len(), junit.failures > 0), (suites, code > 1), "{said}");
                let sarif = fs::read_to_string(place.path("results/attestation.sarif")).unwrap();
                super::sarif::validate(&serde_json::from_str(&sarif).unwrap());
                let summary = fs::read_to_string(place.path("results/attestation.md")).unwrap();
                assert_eq!(summary.lines().filter(|line| line.starts_with("| `")).count(), suites);
                if file == ACTION {
                    let said = String::from_utf8_lossy(&output.stdout).into_owned();
                    assert!(said.contains(if code == 0 { "accepted" } else { "::error::" }), "{said}");
                    let outputs = fs::read_to_string(place.path("outputs")).unwrap();
                    assert!(outputs.ends_with(&format!("status={code}\n")), "{outputs}");
                    assert!(fs::read_to_string(place.path("summary.md")).unwrap().ends_with(&summary));
                }
            }
        }
    }
}

#[test]
fn the_action_and_the_component_ask_a_bundle_its_own_question() {
    let place = Place::tdx(|device| device);
    for (evidence, bundle) in [("evidence/report.bin", "good.json"), ("unacceptable.bin", "debug.json")] {
        let args = ["bundle", "create", evidence, "--policy", "evidence/policy.toml", "--at", AT, "--output", bundle];
        let _status_is_the_verdict = place.run(&args, true);
    }
    for file in [ACTION, COMPONENT] {
        for (bundles, code) in [("good.json", 0), ("debug.json", 4)] {
            let output = run(&place, file, &[("bundles", bundles)]);
            assert_eq!(output.status.code(), Some(code), "{file}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn the_examples_are_yaml_that_reports_what_they_write() {
    let program = "import sys, yaml, json\nprint(json.dumps([list(yaml.safe_load_all(open(file)))[-1] for file in sys.argv[1:]], default=str))";
    let files = ["ci/examples/github-actions.yml", "ci/examples/gitlab-ci.yml", ACTION, COMPONENT].map(repository);
    let python = Command::new("python3").args(["-c", program]).args(&files).output();
    let Ok(output) = python.map_err(drop).and_then(|output| output.status.success().then_some(output).ok_or(())) else {
        let parser = Command::new("python3").args(["-c", "import yaml"]).output();
        assert!(!parser.is_ok_and(|output| output.status.success()), "an example is not YAML");
        return note("ci/examples was not read as YAML: python3 has no PyYAML");
    };
    let parsed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let steps = parsed[0]["jobs"]["verify"]["steps"].as_array().unwrap();
    let upload =
        steps.iter().find(|step| step["uses"].as_str().is_some_and(|uses| uses.contains("upload-sarif"))).unwrap();
    assert_eq!(upload["with"]["sarif_file"], "results/attestation.sarif");
    let run: Vec<_> = steps.iter().filter_map(|step| step["run"].as_str()).collect();
    assert_eq!(run.len(), github().len());
    assert!(
        run.iter().zip(github()).all(
            |(parsed, read)| parsed.trim_end() == read.trim_end() || parsed.lines().map(str::trim).eq(read.lines())
        )
    );
    assert_eq!(parsed[1]["attestation"]["artifacts"]["reports"]["junit"], "results/attestation.xml");
    let [action, component] = [&parsed[2]["runs"], &parsed[3]["$[[ inputs.job ]]"]];
    assert_eq!((&action["using"], &action["steps"][0]["shell"]), (&"composite".into(), &"bash".into()));
    assert_eq!(action["steps"][0]["run"].as_str().unwrap(), script(ACTION, "run:"));
    assert_eq!(component["script"][0].as_str().unwrap(), script(COMPONENT, "    -"));
    assert_eq!(component["artifacts"]["reports"]["junit"], "$[[ inputs.results ]]/attestation.xml");
    // No input is written into a script: it would be read as commands.
    for text in [&action["steps"][0]["run"], &component["script"][0]] {
        assert!(!text.as_str().unwrap().contains("inputs."), "{text}");
    }
}
