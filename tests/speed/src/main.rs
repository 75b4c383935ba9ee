//! Does one thing so many times and nothing else, for whoever counts instructions or allocations from outside: the
//! difference between two counts is what one time costs.

use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;

use teegate_speed::Outcome;
use teegate_speed::set::Set;
use teegate_speed::signatures::{Signatures, Signed};
use teegate_verifier::{Verifier, verify};

const USAGE: &str = "usage: teegate-speed FOLDER cold|warm|cold-signatures|warm-signatures COUNT";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, what, count] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    match run(Path::new(folder), what, count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("teegate-speed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whatever is measured is checked: a wrong verdict ends it.
fn run(folder: &Path, what: &str, count: &str) -> Outcome<()> {
    let (set, count) = (Set::read(folder)?, count.parse::<usize>()?);
    let (policy, signatures) = (set.policy()?, Signatures::of(&set)?);
    let hold = |signed: &[Signed]| signed.iter().all(|signed| black_box(signed.holds()));
    // The evidence that a verifier has seen before all others: of several, none comes twice.
    let of = |list: &[Signed], number: usize| list.is_empty() || hold(&list[number % list.len()..][..1]);
    let new_enclave = set.evidence.len() > 1;
    let (verifier, pool) = (Verifier::new(), set.pool()?);
    if what == "warm" {
        verifier.verify(&set.evidence(0, &pool), &policy, set.now)?;
    }
    for number in 1..=count {
        let accepted = match what {
            "cold" => {
                let pool = set.pool()?;
                black_box(verify(&set.evidence(number, &pool), &policy, set.now)).is_ok()
            }
            "warm" => black_box(verifier.verify(&set.evidence(number, &pool), &policy, set.now)).is_ok(),
            "cold-signatures" => {
                hold(&signatures.endorsements) && of(&signatures.enclaves, number) && of(&signatures.evidence, number)
            }
            "warm-signatures" => (!new_enclave || of(&signatures.enclaves, number)) && of(&signatures.evidence, number),
            _ => return Err(USAGE.into()),
        };
        if !accepted {
            return Err(format!("{what}: not accepted in round {number}").into());
        }
    }
    Ok(())
}
