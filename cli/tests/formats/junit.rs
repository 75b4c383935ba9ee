//! JUnit, read by `quick-junit` and, where `ci/schemas.sh` has run, held against `junit.xsd` by an XML Schema validator.

use std::process::Command;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus};

use super::place::{Place, VERDICTS};
use super::{note, repository, status, stdout};

/// Holds files against the schema; says so where there is no validator.
pub(super) fn validate(files: &[String]) {
    let library = repository(".cache/schemas/python");
    let program = "import sys, xmlschema
schema = xmlschema.XMLSchema(sys.argv[1])
for file in sys.argv[2:]:
    schema.validate(file)
    text = open(file, encoding='utf-8').read()
    assert not schema.is_valid(text.replace('classname=', 'class=', 1)), 'a schema that takes everything'";
    let python = |program: &str, args: &[String]| {
        Command::new("python3").args(["-c", program]).args(args).env("PYTHONPATH", &library).output()
    };
    if !python("import xmlschema", &[]).is_ok_and(|output| output.status.success()) {
        return note("JUnit was not held against cli/tests/junit.xsd: run ci/schemas.sh first (Python 3.10 or newer)");
    }
    let mut args = vec![repository("cli/tests/junit.xsd").display().to_string()];
    args.extend_from_slice(files);
    let output = python(program, &args).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn junit(place: &Place, verdict: &str, more: &[&str]) -> (String, Report) {
    let text = stdout(&place.verify(verdict, &[&["--format", "junit"], more].concat()));
    let report = Report::deserialize_from_str(&text).unwrap();
    (text, report)
}

fn property<'r>(report: &'r Report, name: &str) -> Vec<&'r str> {
    let properties = report.test_suites[0].properties.iter();
    properties.filter(|property| property.name.as_str() == name).map(|property| property.value.as_str()).collect()
}

#[test]
fn every_check_is_a_test_case_of_every_verdict() {
    let mut files = Vec::new();
    for place in &Place::both() {
        for (verdict, _) in VERDICTS {
            let (text, report) = junit(place, verdict, &[]);
            let json: serde_json::Value =
                serde_json::from_str(&stdout(&place.verify(verdict, &["--format", "json"]))).unwrap();
            let checks = json["checks"].as_array().unwrap();
            let suite = &report.test_suites[0];
            let evidence = place.file(verdict);
            let name = format!("teegate.{}: {evidence}", place.tee);
            assert_eq!((report.test_suites.len(), suite.name.as_str()), (1, name.as_str()));
            // Two files' cases are told apart by readers that look at no suite.
            let class = format!("teegate.{}.{}.", place.tee, evidence.replace('.', "_"));
            let of_this_file = |case: &TestCase| {
                case.classname.as_ref().is_some_and(|name| name.as_str().starts_with(&class))
                    && case.extra.iter().any(|(name, value)| name.as_str() == "file" && value.as_str() == evidence)
            };
            assert!(suite.test_cases.iter().all(of_this_file), "{text}");
            assert_eq!((suite.tests, suite.test_cases.len()), (checks.len(), checks.len()));
            let count = |name: &str| checks.iter().filter(|check| check["result"] == name).count();
            assert_eq!((suite.failures, suite.errors), (count("fail"), 0));
            assert_eq!(suite.skipped, checks.len() - count("fail") - count("pass"));
            for (case, check) in suite.test_cases.iter().zip(checks) {
                assert_eq!(case.name.as_str(), check["id"]);
                let (kind, message) = match &case.status {
                    TestCaseStatus::Success { .. } => ("pass", ""),
                    TestCaseStatus::NonSuccess { kind, message, ty, .. } => {
                        assert_eq!(*kind, NonSuccessKind::Failure);
                        assert_eq!(ty.as_ref().unwrap().as_str(), verdict);
                        ("fail", message.as_ref().unwrap().as_str())
                    }
                    TestCaseStatus::Skipped { message, .. } => {
                        let message = message.as_ref().unwrap().as_str();
                        let kind = match message.split_once(' ').unwrap() {
                            ("waived", _) => "not-checked",
                            ("not", rest) if rest.starts_with("applicable: ") => "not-applicable",
                            _ => "not-reached",
                        };
                        (kind, message)
                    }
                };
                assert_eq!(kind, check["result"], "{}: {message}", check["id"]);
                if kind == "fail" {
                    let expected = format!("expected {}, found ", check["expected"].as_str().unwrap());
                    assert!(message.starts_with(&expected), "{message}");
                }
            }
            assert_eq!(property(&report, "verdict"), [if verdict == "accepted" { "accepted" } else { "rejected" }]);
            assert_eq!(property(&report, "tee"), [place.tee]);
            assert_eq!(property(&report, "at"), [super::place::AT]);
            assert_eq!(property(&report, "policy"), ["evidence/policy.toml"]);
            assert_eq!(property(&report, "valid_until").len(), usize::from(verdict == "accepted"));
            place.write(&format!("{verdict}.xml"), text.as_bytes());
            files.push(place.path(&format!("{verdict}.xml")));
        }
        validate(&std::mem::take(&mut files));
    }
}

/// What a provider wrote into a certificate, and what the user named a file, is text whatever it holds.
#[test]
fn hostile_text_stays_text() {
    let csp = "x]]></failure><a b=\"&'\u{0}\u{1}\u{1b}[2J\n</testsuite>";
    let place = Place::snp(|device| device.vlek(csp))
        .with_policy("signing_keys = [\"vcek\"]", "signing_keys = [\"vlek\"]")
        .with_policy("csp_ids = \"unchecked\"", "csp_ids = [\"forged-cloud\"]");
    let odd = "evidence/<!--&\u{1}\"\u{202E}.bin";
    std::fs::rename(place.path("evidence/report.bin"), place.path(odd)).unwrap();
    let args = ["verify", odd, "--policy", "evidence/policy.toml", "--at", super::place::AT, "--format"];
    let output = place.run(&[&args[..], &["junit"]].concat(), true);
    assert_eq!(status(&output), 3);
    let text = stdout(&output);
    let report = Report::deserialize_from_str(&text).unwrap();
    let failed = report.test_suites[0].test_cases.iter().find(|case| case.name.as_str() == "snp.chain.csp").unwrap();
    let TestCaseStatus::NonSuccess { message, description, .. } = &failed.status else {
        panic!("must fail: {text}");
    };
    let shown = "x]]></failure><a b=\"&'\\u{0}\\u{1}\\u{1b}[2J\\u{a}</testsuite>";
    assert_eq!(message.as_ref().unwrap().as_str(), format!("expected forged-cloud, found {shown}"));
    assert!(description.as_ref().unwrap().as_str().contains(shown));
    assert_eq!(property(&report, "evidence"), ["evidence/<!--&\\u{1}\"\\u{202e}.bin"]);
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text}");
    place.write("hostile.xml", text.as_bytes());
    validate(&[place.path("hostile.xml")]);

    let sarif = stdout(&place.run(&[&args[..], &["sarif"]].concat(), true));
    super::sarif::validate(&serde_json::from_str(&sarif).unwrap());
    assert!(sarif.contains("evidence/%3C%21--%26%01%22%E2%80%AE.bin"), "{sarif}");
}
