//! Evidence of real hardware, with the verdict that each case must have: through the library, then through the command.
//!
//! The cases lie beside the project, in `../shared/fixtures`; where that folder is absent, what published crates carry
//! is verified instead, and the run says what it did not run.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use teegate_intake::{endorsements, evidence};
use teegate_measurements::GENUINE;
use teegate_tests::harness::note;
use teegate_verifier::{Policy, Report, UnixTime, verify};

pub(crate) fn fixtures() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures");
    let found = folder.join("cases.json").is_file();
    if !found {
        note("not run: the recorded cases of ../shared/fixtures (the folder is absent)");
    }
    found.then_some(folder)
}

pub(crate) fn rows(fixtures: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(fixtures.join("cases.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap().as_array().unwrap().clone()
}

pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}"))
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().map(|list| list.iter().map(|word| word.as_str().unwrap()).collect()).unwrap_or_default()
}

pub(crate) fn endorsement_paths(fixtures: &Path, row: &Value) -> Vec<PathBuf> {
    words(&row["endorsements"]).into_iter().map(|path| fixtures.join(path)).collect()
}

/// What of a row's expectation the report does not meet.
fn complaints(row: &Value, report: &Value) -> Vec<String> {
    let expect = &row["expect"];
    let mut wrong = Vec::new();
    if report["verdict"] != expect["verdict"] {
        wrong.push(format!("verdict {}", report["verdict"]));
    }
    if report["stage"] != expect["stage"] {
        wrong.push(format!("stage {}", report["stage"]));
    }
    let checks = report["checks"].as_array().unwrap();
    let failed: Vec<&str> =
        checks.iter().filter(|check| check["result"] == "fail").map(|check| text(check, "id")).collect();
    let deciding = words(&expect["check"]);
    if !deciding.is_empty() && !deciding.iter().any(|id| failed.contains(id)) {
        wrong.push(format!("failed checks {failed:?}, none of {deciding:?}"));
    }
    if expect["verdict"] == "accepted" {
        wrong.extend(failed.iter().map(|id| format!("{id} failed")));
        wrong.extend(
            checks
                .iter()
                .filter(|check| check["result"] == "not-reached")
                .map(|check| format!("{} not reached", check["id"])),
        );
        wrong.extend(report["valid_until"].is_null().then(|| "no valid_until".to_owned()));
    }
    for (name, value) in expect["facts"].as_object().into_iter().flatten() {
        if report["facts"][name] != *value {
            wrong.push(format!("fact {name} is {}", report["facts"][name]));
        }
    }
    let statuses = words(&expect["tcb_status"]);
    if !statuses.is_empty() && !statuses.contains(&report["facts"]["tcb_status"].as_str().unwrap_or_default()) {
        wrong.push(format!("TCB status {}", report["facts"]["tcb_status"]));
    }
    let advisories = words(&report["facts"]["advisories"]);
    wrong.extend(
        words(&expect["advisories"])
            .into_iter()
            .filter(|id| !advisories.contains(id))
            .map(|id| format!("advisory {id} is absent")),
    );
    wrong
}

/// Fails with every row that is not as expected, not only the first.
fn run_all(how: &str, fixtures: &Path, judge: impl Fn(&Value) -> Value) {
    let rows = rows(fixtures);
    let mut wrong = Vec::new();
    for row in &rows {
        let complaints = complaints(row, &judge(row));
        if !complaints.is_empty() {
            wrong.push(format!("{}: {}", text(row, "id"), complaints.join("; ")));
        }
    }
    note(&format!("recorded cases {how}: {} of {} as expected", rows.len() - wrong.len(), rows.len()));
    assert!(wrong.is_empty(), "{} rows are not as expected:\n{}", wrong.len(), wrong.join("\n"));
    assert!(rows.len() >= 146, "only {} rows", rows.len());
}

#[test]
fn every_case_has_its_verdict_through_the_library() {
    let Some(fixtures) = fixtures() else { return };
    let policy = Policy::parse(GENUINE).unwrap();
    run_all("through the library", &fixtures, |row| {
        assert_eq!(row["policy"], "genuine", "{}", row["id"]);
        let evidence = evidence::load(&fixtures.join(text(row, "evidence")), None).unwrap();
        let endorsements = endorsements::load_paths(&endorsement_paths(&fixtures, row)).unwrap();
        let at = UnixTime::parse(text(row, "at")).unwrap();
        let report: Report = match verify(&evidence.as_evidence(&endorsements), &policy, at) {
            Ok(attested) => attested.report().clone(),
            Err(rejection) => rejection.report().clone(),
        };
        serde_json::to_value(report).unwrap()
    });
}

#[test]
fn every_case_has_its_verdict_through_the_command() {
    let Some(fixtures) = fixtures() else { return };
    let teegate = teegate_tests::harness::binary("teegate");
    run_all("through the command", &fixtures, |row| {
        let mut command = Command::new(&teegate);
        command.arg("verify").arg(fixtures.join(text(row, "evidence"))).args([
            "--format",
            "json",
            "--policy",
            text(row, "policy"),
            "--at",
            text(row, "at"),
        ]);
        for path in endorsement_paths(&fixtures, row) {
            command.arg("--endorsements").arg(path);
        }
        let output = command.output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{}: {error}: {}", row["id"], String::from_utf8_lossy(&output.stderr)));
        let status = match report["stage"].as_str() {
            None => 0,
            Some("malformed") => 2,
            Some("unauthentic") => 3,
            Some("unacceptable") => 4,
            Some(other) => panic!("stage {other}"),
        };
        assert_eq!(output.status.code(), Some(status), "{}: exit status", row["id"]);
        report
    });
}

/// The source folder of a pinned crate that carries recorded evidence.
pub(crate) fn crate_folder(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["metadata", "--locked", "--format-version", "1"])
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let package = metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == name).unwrap();
    Path::new(text(package, "manifest_path")).parent().unwrap().to_owned()
}

#[test]
fn evidence_that_published_crates_carry_has_its_verdict() {
    let policy = Policy::parse(GENUINE).unwrap();
    let (sev, dcap) = (crate_folder("sev").join("tests/certs_data"), crate_folder("dcap-qvl").join("sample"));
    let judge = |evidence: PathBuf, endorsements: &[PathBuf], at: &str| {
        let evidence = evidence::load(&evidence, None).unwrap();
        let endorsements = endorsements::load_paths(endorsements).unwrap();
        verify(&evidence.as_evidence(&endorsements), &policy, UnixTime::parse(at).unwrap())
    };
    let milan =
        |at| judge(sev.join("report_milan.hex"), &[sev.join("vcek_milan.der"), sev.join("cert_chain_milan")], at);
    assert_eq!(milan("2023-07-02T00:00:00Z").unwrap().valid_until().to_string(), "2030-04-03T19:23:43Z");
    assert_eq!(milan("2030-05-03T00:00:00Z").unwrap_err().failed_checks(), ["snp.chain.validity"]);

    let tdx = |name: &str, at| judge(dcap.join(name), &[dcap.join(format!("{name}_collateral.json"))], at);
    for (name, at, status) in
        [("tdx_quote", "2025-07-04T10:16:31Z", "UpToDate"), ("tdx_quote_td15ex", "2026-10-23T00:06:48Z", "UpToDate")]
    {
        let attested = tdx(name, at).unwrap_or_else(|rejection| panic!("{name}: {rejection}"));
        assert_eq!(attested.report().fact("tcb_status").unwrap().to_string(), status, "{name}");
    }
    assert_eq!(tdx("tdx_quote", "2025-08-28T10:00:35Z").unwrap_err().failed_checks(), ["tdx.chain.revocation"]);
    assert_eq!(tdx("tdx_quote_outdated", "2026-03-05T10:50:03Z").unwrap_err().failed_checks(), ["tdx.tcb.level"]);
    note("recorded cases that published crates carry: 6 of 6 as expected");
}
