//! Verifies evidence with no network and no clock, and says what the policy left open.
//!
//! ```sh
//! cargo run -p teegate-intake --example verify_offline -- \
//!     report.bin certificates/ measurements/policy/genuine.toml 2026-01-15T00:00:00Z
//! ```
//!
//! Evidence and endorsements are recognised by their content: files as tools, agents and vendors hand them out will do.
use std::process::ExitCode;

use teegate_intake::{endorsements, evidence};
use teegate_verifier::{Policy, UnixTime, verify};

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

fn run() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [evidence, supplied, policy, at] = arguments.as_slice() else {
        return Err("usage: verify_offline EVIDENCE ENDORSEMENTS POLICY.toml TIME".into());
    };
    let evidence = evidence::load(evidence.as_ref(), None)?;
    // What came along with the evidence may complete what you have; each statement keeps the name of who brought it.
    let mut endorsements = endorsements::load_paths(&[supplied.into()])?;
    endorsements.extend(&evidence.endorsements);
    let policy = Policy::parse(&std::fs::read_to_string(policy)?)?;
    let now = UnixTime::parse(at)?;

    match verify(&evidence.as_evidence(&endorsements), &policy, now) {
        Ok(attested) => {
            println!("accepted, until {}", attested.valid_until());
            for finding in attested.report().findings() {
                if finding.outcome().name() == "not-checked" {
                    println!("not checked: {}", finding.check());
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(rejection) => {
            for finding in rejection.failures() {
                println!("{}: expected {}, found {}", finding.check(), finding.expected(), finding.actual());
                println!("  to do: {}", finding.remedy());
            }
            println!("rejected as {}", rejection.stage().rejection());
            Ok(ExitCode::FAILURE)
        }
    }
}
