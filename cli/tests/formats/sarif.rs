//! SARIF, held against the schema that OASIS publishes, where `ci/schemas.sh` has run.

use std::fs;

use serde_json::{Value, json};

use super::place::{Place, VERDICTS};
use super::{note, repository, stdout};

/// Whether the log is one; says so where there is no schema.
pub(super) fn validate(log: &Value) {
    let Ok(schema) = fs::read_to_string(repository(".cache/schemas/sarif-2.1.0.json")) else {
        return note("SARIF was not held against its schema: run ci/schemas.sh first");
    };
    let schema =
        jsonschema::options().should_validate_formats(true).build(&serde_json::from_str(&schema).unwrap()).unwrap();
    let errors: Vec<String> =
        schema.iter_errors(log).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert_eq!(errors, Vec::<String>::new());
    let mut wrong = log.clone();
    wrong["runs"][0]["invocations"][0]["exitCode"] = json!("0");
    assert!(!schema.is_valid(&wrong), "a schema that takes everything");
}

#[test]
fn every_failed_check_is_a_result_and_no_other() {
    for place in Place::both() {
        for (verdict, code) in VERDICTS {
            let log: Value = serde_json::from_str(&stdout(&place.verify(verdict, &["--format", "sarif"]))).unwrap();
            validate(&log);
            let report: Value = serde_json::from_str(&stdout(&place.verify(verdict, &["--format", "json"]))).unwrap();
            let checks = report["checks"].as_array().unwrap();
            let run = &log["runs"][0];
            let [invocation] = &run["invocations"].as_array().unwrap()[..] else { panic!("{run}") };
            assert_eq!((&invocation["executionSuccessful"], &invocation["exitCode"]), (&json!(true), &json!(code)));
            let warned = invocation["toolExecutionNotifications"].as_array().map_or(0, Vec::len);
            assert_eq!(warned, report["warnings"].as_array().unwrap().len());

            let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
            let ids = |list: &[Value]| list.iter().map(|entry| entry["id"].clone()).collect::<Vec<_>>();
            assert_eq!(ids(&rules[..checks.len()]), ids(checks));
            for (rule, check) in rules.iter().zip(checks) {
                assert_eq!(rule["help"]["text"], check["remedy"]);
            }
            let mut results = run["results"].as_array().unwrap().clone();
            // Forged hardware that is accepted shows as a warning, under a rule of its own.
            if verdict == "accepted" {
                let foreign = results.pop().unwrap();
                assert_eq!((&foreign["kind"], &foreign["level"]), (&json!("fail"), &json!("warning")));
                assert_eq!(
                    (&foreign["ruleId"], &foreign["ruleIndex"]),
                    (&rules[checks.len()]["id"], &json!(checks.len()))
                );
            }
            assert_eq!(rules.len() - checks.len(), usize::from(verdict == "accepted"));
            let failed: Vec<_> = checks.iter().filter(|check| check["result"] == "fail").collect();
            assert_eq!(results.len(), failed.len());
            for (result, check) in results.iter().zip(failed) {
                assert_eq!((&result["kind"], &result["level"]), (&json!("fail"), &json!("error")));
                assert_eq!(result["ruleId"], check["id"]);
                let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
                assert_eq!(rules[index]["id"], check["id"]);
                let message = result["message"]["text"].as_str().unwrap();
                assert!(message.contains(check["expected"].as_str().unwrap()), "{message}");
                let uri = &result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
                assert_eq!(*uri, format!("{verdict}.bin"));
            }
            let total = run["properties"]["checks"].as_array().unwrap();
            for (line, check) in total.iter().zip(checks) {
                assert_eq!((&line["id"], &line["result"]), (&check["id"], &check["result"]));
            }
            assert_eq!(total.len(), checks.len());
            assert_eq!(run["properties"]["verdict"], report["verdict"]);
            assert_eq!(run["properties"]["validUntil"], report["valid_until"]);
        }
    }
}

/// What a linter finds has a line and a column, and what is borne is suppressed: both in the words of the standard.
#[test]
fn the_remarks_about_a_policy_are_sarif_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accept.toml");
    let entry = |field: &str, until: &str| {
        format!("[[accept]]\nfield = \"{field}\"\nremark = \"unasked\"\nreason = \"why\"\nuntil = \"{until}\"\n")
    };
    let entries = [
        entry("sev-snp.genuine.measurement", "2027-01-01T00:00:00Z"),
        entry("tdx.genuine.mrtd", "2026-01-01T00:00:00Z"),
        entry("tdx.genuine.none", "2027-01-01T00:00:00Z"),
    ];
    fs::write(&path, format!("schema = 1\n{}", entries.concat())).unwrap();
    let lint = ["policy", "lint", "genuine", "--format", "sarif"];
    let accept = ["--at", "2026-06-01T00:00:00Z", "--accept", path.to_str().unwrap()];
    for (arguments, suppressed, stale) in [(lint.to_vec(), 0, 0), ([&lint[..], &accept[..]].concat(), 1, 2)] {
        let output = crate::teegate(&arguments);
        assert_eq!(crate::status(&output), 4);
        let log: Value = serde_json::from_str(&stdout(&output)).unwrap();
        validate(&log);
        let results = log["runs"][0]["results"].as_array().unwrap();
        let borne =
            results.iter().filter(|result| result["suppressions"].as_array().is_some_and(|list| !list.is_empty()));
        assert_eq!(borne.count(), suppressed);
        let own = results.iter().filter(|result| result["ruleId"].as_str().unwrap().starts_with("accept."));
        assert_eq!(own.count(), stale);
    }
}
