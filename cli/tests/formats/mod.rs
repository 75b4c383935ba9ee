//! The formats of `teegate verify` on forged evidence, each read by something that we did not write: a JOSE library, a JUnit
//! reader, the schemas of SARIF and of our own JSON. Forged hardware, under roots that only these tests' policies pin.

mod ear;
mod examples;
mod expired;
mod foreign;
mod found;
mod junit;
mod place;
mod sarif;
mod several;

use std::io::Write;
use std::path::{Path, PathBuf};

use place::{Place, VERDICTS};

use crate::{status, stderr, stdout};

/// Says on the terminal what was left out; the test harness shows no output of a test that passes.
pub(crate) fn note(text: &str) {
    // In one piece: the runner's own words come between pieces.
    std::io::stderr().lock().write_all(format!("note: {text}\n").as_bytes()).unwrap();
}

/// A file below the root of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

#[test]
fn json_keeps_to_its_schema_and_every_format_to_the_exit_status() {
    let schema = std::fs::read_to_string(repository("verifier/schema/report-1.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    for place in Place::both() {
        for (verdict, code) in VERDICTS {
            let output = place.verify(verdict, &["--format", "json"]);
            let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
            let errors: Vec<String> = schema.iter_errors(&report).map(|error| error.to_string()).collect();
            assert_eq!(errors, Vec::<String>::new(), "{verdict}");
            assert_eq!(report["stage"].as_str().unwrap_or("accepted"), verdict);
            assert_eq!(report["expired"], serde_json::json!([]));
            for format in ["text", "json", "ear", "junit", "sarif", "markdown"] {
                let output = place.verify(verdict, &place.format(format));
                assert_eq!((status(&output), stderr(&output)), (code, String::new()), "{verdict} as {format}");
            }
        }
    }
}
