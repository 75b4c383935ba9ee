//! Many files in one call: each verdict under its file's name, the highest status, and none that stops the others.

use std::fs;

use quick_junit::{Report, TestCaseStatus};
use serde_json::{Value, json};

use super::place::{AT, Curve, Place};
use super::{junit, repository, sarif};
use crate::{status, stderr, stdout};

/// Every verdict, a file that is not there, one that is no evidence, and the first again by another way.
const FILES: [(&str, i32, &str); 7] = [
    ("evidence/report.bin", 0, "accepted"),
    ("malformed.bin", 2, "malformed"),
    ("none.bin", 1, "could not run"),
    ("unauthentic.bin", 3, "unauthentic"),
    ("words.txt", 2, "malformed"),
    ("unacceptable.bin", 4, "unacceptable"),
    ("./evidence/../evidence/report.bin", 0, "accepted"),
];

fn place(place: Place) -> Place {
    place.write("words.txt", b"no evidence, and words");
    place
}

fn verify(place: &Place, files: &[&str], more: &[&str]) -> std::process::Output {
    let args = ["--policy", "evidence/policy.toml", "--at", AT];
    place.run_any(&[&["verify"], files, &args, more].concat())
}

fn names() -> Vec<&'static str> {
    FILES.iter().map(|(name, ..)| *name).collect()
}

/// A half quote is recognised only by who says what it is, and the TEE is not said here.
fn statuses(place: &Place) -> Vec<i32> {
    FILES.iter().map(|(name, ..)| status(&verify(place, &[name], &[]))).collect()
}

fn both() -> [Place; 2] {
    Place::both().map(place)
}

#[test]
fn of_many_files_the_highest_status_counts_and_none_stops_the_others() {
    for place in both() {
        let alone = statuses(&place);
        assert_eq!(alone, FILES.map(|(_, status, _)| status));
        for (from, to, highest) in [(0, 7, 4), (0, 1, 0), (0, 4, 3), (1, 3, 2), (2, 3, 1), (6, 7, 0)] {
            let files = [&names()[from..to], &["evidence/report.bin"]].concat();
            for format in ["text", "json", "junit", "sarif", "markdown"] {
                let output = verify(&place, &files, &["--format", format]);
                assert_eq!(status(&output), highest, "{files:?} as {format}: {}", stderr(&output));
                assert!(!stdout(&output).is_empty());
                // What has no report is said there as well, once for each file.
                let unread =
                    FILES[from..to].iter().filter(|(name, ..)| ["none.bin", "words.txt"].contains(name)).count();
                assert_eq!(stderr(&output).matches("error: ").count(), unread, "{}", stderr(&output));
            }
        }
    }
}

#[test]
fn json_is_one_object_that_keeps_to_its_schema() {
    let read = |path: &str| serde_json::from_str::<Value>(&fs::read_to_string(repository(path)).unwrap()).unwrap();
    let registry = jsonschema::Registry::new()
        .add("urn:teegate:schema:report:1", read("verifier/schema/report-1.json"))
        .unwrap()
        .prepare()
        .unwrap();
    let schema = jsonschema::options().with_registry(&registry).build(&read("cli/schema/reports-1.json")).unwrap();
    for place in both() {
        let output = verify(&place, &names(), &["--format", "json"]);
        let reports: Value = serde_json::from_str(&stdout(&output)).unwrap();
        let errors: Vec<String> = schema.iter_errors(&reports).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!((&reports["schema"], &reports["status"]), (&json!("teegate/reports/1"), &json!(4)));
        let entries = reports["reports"].as_array().unwrap();
        assert_eq!(entries.len(), FILES.len());
        for (entry, (name, code, verdict)) in entries.iter().zip(FILES) {
            assert_eq!((&entry["evidence"], &entry["status"]), (&json!(name), &json!(code)));
            if entry["error"].is_null() {
                // The very report that is written for the file alone.
                let alone: Value =
                    serde_json::from_str(&stdout(&verify(&place, &[name], &["--format", "json"]))).unwrap();
                assert_eq!(entry["report"], alone, "{name}");
                assert_eq!(entry["report"]["stage"].as_str().unwrap_or("accepted"), verdict);
                assert_eq!(entry["form"], "raw bytes");
            } else {
                assert!(entry["error"].as_str().unwrap().contains(&format!("`{name}`")), "{entry}");
                assert!(stdout(&verify(&place, &[name], &["--format", "json"])).is_empty());
            }
        }
        // The twins that the schema refuses.
        for (pointer, value) in [
            ("/schema", json!("teegate/reports/2")),
            ("/status", json!(5)),
            ("/reports/0/report", Value::Null),
            ("/reports/0/error", json!("both")),
            ("/reports/0/report/verdict", json!("maybe")),
            ("/reports/2/status", json!(0)),
        ] {
            let mut changed = reports.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            assert!(!schema.is_valid(&changed), "{pointer}");
        }
    }
}

#[test]
fn junit_has_a_suite_for_each_file_under_its_name() {
    for place in both() {
        let text = stdout(&verify(&place, &names(), &["--format", "junit"]));
        let report = Report::deserialize_from_str(&text).unwrap();
        assert_eq!(report.test_suites.len(), FILES.len());
        let mut classes = std::collections::BTreeSet::new();
        for (suite, (name, code, verdict)) in report.test_suites.iter().zip(FILES) {
            assert!(suite.name.as_str().ends_with(&format!(": {name}")), "{}", suite.name.as_str());
            let unread = suite.name.as_str().starts_with("teegate.unread: ");
            assert_eq!((suite.errors, suite.failures > 0), (usize::from(unread), code > 0 && !unread), "{name}");
            if unread {
                let TestCaseStatus::NonSuccess { message, ty, .. } = &suite.test_cases[0].status else {
                    panic!("{text}")
                };
                assert_eq!((ty.as_ref().unwrap().as_str(), suite.test_cases.len()), (verdict, 1));
                assert!(message.as_ref().unwrap().as_str().starts_with(&format!("`{name}`: ")));
            }
            let cases = suite.test_cases.iter().map(|case| (case.classname.clone(), case.name.clone()));
            assert!(cases.into_iter().all(|case| classes.insert(case)), "{name}: a case that another file has");
        }
        assert_eq!(report.errors, report.test_suites.iter().map(|suite| suite.errors).sum::<usize>());
        place.write("all.xml", text.as_bytes());
        junit::validate(&[place.path("all.xml")]);
    }
}

#[test]
fn sarif_is_one_run_whose_results_name_their_files() {
    for place in both() {
        let output = verify(&place, &names(), &["--format", "sarif"]);
        let log: Value = serde_json::from_str(&stdout(&output)).unwrap();
        sarif::validate(&log);
        let [run] = &log["runs"].as_array().unwrap()[..] else { panic!("{log}") };
        let invocation = &run["invocations"][0];
        assert_eq!((&invocation["executionSuccessful"], &invocation["exitCode"]), (&json!(false), &json!(4)));
        let uris: Vec<_> =
            run["artifacts"].as_array().unwrap().iter().map(|one| one["location"]["uri"].as_str().unwrap()).collect();
        assert_eq!((uris.len(), uris[0], uris[6]), (7, "evidence/report.bin", "evidence/../evidence/report.bin"));
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        for result in run["results"].as_array().unwrap() {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[index]["id"], result["ruleId"]);
        }
        let of = |uri: &str| {
            let place = |result: &&Value| result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == uri;
            run["results"]
                .as_array()
                .unwrap()
                .iter()
                .filter(place)
                .map(|one| one["ruleId"].as_str().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (of("evidence/report.bin"), of("none.bin")),
            (vec!["report.trust-anchors"], vec!["report.evidence"])
        );
        assert_eq!(of("words.txt"), ["report.evidence"]);
        let debug = if place.tee == "tdx" { "tdx.td.debug" } else { "snp.policy.debug" };
        assert!(of("unacceptable.bin").contains(&debug), "{:?}", of("unacceptable.bin"));
        let reports = run["properties"]["reports"].as_array().unwrap();
        assert_eq!(
            (&reports[0]["evidence"], &reports[0]["verdict"]),
            (&json!("evidence/report.bin"), &json!("accepted"))
        );
        // All read, all judged: the run succeeded, whatever the verdicts.
        let output = verify(&place, &["evidence/report.bin", "unacceptable.bin"], &["--format", "sarif"]);
        let log: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(log["runs"][0]["invocations"][0]["executionSuccessful"], json!(true));
    }
}

#[test]
fn text_has_a_heading_for_each_file_and_a_list_at_the_end() {
    for place in both() {
        let text = stdout(&verify(&place, &names(), &[]));
        let headings: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("== ")).collect();
        assert_eq!(headings[..7], names()[..]);
        assert_eq!(headings[7], "7 files, 2 accepted; exit status 4");
        let (_, list) = text
            .split_once("exit status 4\n\n")
            .map(|(_, rest)| rest.rsplit_once("exit status 4\n\n").unwrap_or(("", rest)))
            .unwrap();
        let lines: Vec<_> = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        for (line, (name, _, verdict)) in lines.iter().zip(FILES) {
            assert!(line.starts_with(verdict) && line.ends_with(name), "{line}");
        }
        assert_eq!(lines.len(), FILES.len());
        assert_eq!(lines[0], "accepted, not the vendors' hardware evidence/report.bin");
    }
}

#[test]
fn markdown_is_a_table_with_what_failed_below_it() {
    for place in both() {
        let text = stdout(&verify(&place, &names(), &["--format", "markdown"]));
        let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| `")).collect();
        assert!(text.starts_with("### Attestation: 2 of 7 accepted\n\n| evidence | verdict |"), "{text}");
        assert_eq!(rows.len(), FILES.len());
        for (row, (name, code, verdict)) in rows.iter().zip(FILES) {
            // Forged hardware is accepted with reservations, and never with a green mark.
            let mark =
                if code == 0 { "⚠️ accepted, with reservations".to_owned() } else { format!("❌ {verdict}") };
            assert!(row.starts_with(&format!("| `{name}` | {mark} | ")), "{row}");
            assert_eq!(row.matches(" |").count(), 5, "{row}");
        }
        let debug = if place.tee == "tdx" { "tdx.td.debug" } else { "snp.policy.debug" };
        assert!(text.contains(&format!("- **`{debug}`**: expected `")), "{text}");
        assert!(text.contains("\n- the chain ends in a root that the policy pins"), "{text}");
        let one = stdout(&verify(&place, &["unacceptable.bin"], &["--format", "markdown"]));
        assert!(one.starts_with("### Attestation: ❌ unacceptable\n\n| evidence"), "{one}");
    }
}

#[test]
fn what_belongs_to_one_file_is_refused_for_many() {
    let place = place(Place::tdx(|device| device));
    place.signing_key("key.pem", Curve::P256);
    place.write("log", b"");
    for (more, says) in [
        (&["--format", "ear", "--ear-key", "key.pem"][..], "an attestation result is about one piece of evidence"),
        (&["--event-log", "log"], "an event log is that of one boot"),
        (&["-", "-"], "standard input (`-`) can be read once"),
    ] {
        let output = verify(&place, &["evidence/report.bin", "evidence/report.bin"], more);
        assert_eq!((status(&output), stdout(&output)), (1, String::new()), "{says}");
        assert!(stderr(&output).contains(says), "{}", stderr(&output));
    }
    let token = verify(&place, &["evidence/report.bin"], &["--format", "ear", "--ear-key", "key.pem"]);
    assert_eq!(status(&token), 0);
}

/// Each bundle is asked its own question, and one that was altered stops no other.
#[test]
fn bundles_are_verified_together() {
    let place = place(Place::tdx(|device| device));
    let create = |evidence: &str, output: &str| {
        let args = ["bundle", "create", evidence, "--policy", "evidence/policy.toml", "--at", AT, "--output", output];
        place.run(&args, true)
    };
    assert_eq!(status(&create("evidence/report.bin", "good.json")), 0);
    assert_eq!(status(&create("unacceptable.bin", "debug.json")), 4);
    let altered = fs::read_to_string(place.path("good.json")).unwrap().replace("accepted", "rejected");
    place.write("altered.json", altered.as_bytes());
    let bundles = |files: &[&str], more: &[&str]| place.run_any(&[&["bundle", "verify"], files, more].concat());

    let output = bundles(&["good.json", "altered.json", "debug.json"], &["--format", "json"]);
    assert_eq!(status(&output), 4);
    let reports: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let statuses: Vec<_> =
        reports["reports"].as_array().unwrap().iter().map(|one| one["status"].as_i64().unwrap()).collect();
    assert_eq!(statuses, [0, 2, 4]);
    assert!(stderr(&output).contains("note: `good.json`: Bundle sha256:"), "{}", stderr(&output));
    assert!(stderr(&output).contains("error: `altered.json`: not a well-formed bundle"), "{}", stderr(&output));
    let output = bundles(&["good.json", "good.json"], &["--expect-recorded"]);
    assert_eq!(status(&output), 0);
    assert_eq!(stdout(&output).matches("\nBundle sha256:").count(), 2, "each says whose question it answers");
    let output = bundles(&["good.json", "altered.json"], &["--expect-recorded"]);
    assert_eq!(status(&output), 2);
}
