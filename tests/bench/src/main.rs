//! Verification beside its limit and beside the peers, in one run.
//!
//! Every number is a multiple of the *limit*: the public-key signature verifications that the case cannot do without, of the
//! same keys over the same messages, made with the same library. Contenders take turns, round by round, so that a noisy
//! machine disturbs all of them alike. Of five runs the one counts in which the limit took the least time, the quietest;
//! what is printed is its ratio of medians. Each measured call checks its verdict.
//!
//! The recorded evidence is what the crates `sev` and `dcap-qvl` carry; their folders are the first two arguments, and the
//! third, where there is one, is the program that measures `sev` on OpenSSL (`ci/bench.sh`).

mod fleet;
mod measure;
mod peers;
mod threads;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use teegate_speed::recorded;
use teegate_speed::signatures::{Signatures, Signed};
use teegate_speed::{Outcome, forged};
use teegate_verifier::{Verifier, verify};

use measure::{Contender, in_a_row, line, measure};

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let (sev, dcap_qvl, openssl) = match arguments.as_slice() {
        [sev, dcap_qvl] => (sev, dcap_qvl, None),
        [sev, dcap_qvl, openssl] => (sev, dcap_qvl, Some(openssl.as_path())),
        _ => {
            eprintln!("usage: teegate-bench SEV-CRATE-FOLDER DCAP-QVL-CRATE-FOLDER [SEV-ON-OPENSSL]");
            return ExitCode::FAILURE;
        }
    };
    match run(sev, dcap_qvl, openssl) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("teegate-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(sev: &Path, dcap_qvl: &Path, openssl: Option<&Path>) -> Outcome<()> {
    println!(
        "multiples of the limit (the signature verifications that the case needs), medians of the best of five runs:"
    );
    tdx(dcap_qvl)?;
    snp(sev, openssl)?;
    threads::run()?;
    fleet::run()
}

/// Whether all of these hold.
fn hold<'s>(signed: impl IntoIterator<Item = &'s Signed>) -> bool {
    signed.into_iter().all(|signed| black_box(signed.holds()))
}

/// A quote of version 4 with its collateral, at a time when all of it was current.
fn tdx(dcap_qvl: &Path) -> Outcome<()> {
    let set = recorded::tdx(dcap_qvl)?;
    let (policy, signatures, pool) = (set.policy()?, Signatures::of(&set)?, set.pool()?);
    let peer = peers::DcapQvl::load(dcap_qvl, &set)?;
    let Signatures { endorsements, enclaves, evidence } = &signatures;

    // A pool keeps what its statements were read as: whoever begins cold begins with the bytes, as the peer does.
    let cold = measure(&mut [
        Contender::new("limit", || hold(endorsements.iter().chain(enclaves).chain(evidence))),
        Contender::new("teegate", || {
            set.pool().is_ok_and(|pool| verify(&set.evidence(0, &pool), &policy, set.now).map(black_box).is_ok())
        }),
        Contender::new("dcap-qvl", || peer.verify()),
    ])?;
    println!("{}", line("tdx-cold", &cold));

    // More reports of the quoting enclave than are remembered, so that each is new when its turn comes.
    let fresh = forged::tdx_fleet(1, 16).remove(0);
    let (fresh_policy, fresh_signatures, fresh_pool) = (fresh.policy()?, Signatures::of(&fresh)?, fresh.pool()?);
    let (verifier, mut limit_turn, mut turn) = (Verifier::new(), 0..usize::MAX, 0..usize::MAX);
    let warm = measure(&mut [
        Contender::new("limit", || {
            let number = limit_turn.next().unwrap_or_default() % fresh.evidence.len();
            hold([&fresh_signatures.enclaves[number], &fresh_signatures.evidence[number]])
        }),
        Contender::new("teegate", || {
            let evidence = fresh.evidence(turn.next().unwrap_or_default(), &fresh_pool);
            verifier.verify(&evidence, &fresh_policy, fresh.now).map(black_box).is_ok()
        }),
        Contender::new("dcap-qvl", || peer.verify()),
    ])?;
    println!("{}", line("tdx-warm", &warm));

    let verifier = Verifier::new();
    let mut contenders = [
        Contender::new("limit", || hold(evidence)),
        Contender::new("teegate", || verifier.verify(&set.evidence(0, &pool), &policy, set.now).map(black_box).is_ok()),
        Contender::new("dcap-qvl", || peer.verify()),
    ];
    println!("{}", line("tdx-hot", &measure(&mut contenders)?));
    println!("{}", line("tdx-hot-in-a-row", &in_a_row(&mut contenders)?));
    Ok(())
}

/// A Milan report of version 2 under its VCEK, without a CRL (`genuine` does not insist).
fn snp(sev: &Path, openssl: Option<&Path>) -> Outcome<()> {
    let set = recorded::snp(sev)?;
    let (policy, signatures, pool) = (set.policy()?, Signatures::of(&set)?, set.pool()?);
    let Signatures { endorsements, evidence, .. } = &signatures;
    let (report, vcek) = (&set.evidence[0], &set.certificates[0]);

    let cold = measure(&mut [
        Contender::new("limit", || hold(endorsements.iter().chain(evidence))),
        Contender::new("teegate", || {
            set.pool().is_ok_and(|pool| verify(&set.evidence(0, &pool), &policy, set.now).map(black_box).is_ok())
        }),
        Contender::new("sev", || peers::sev(report, vcek).is_ok()),
    ])?;
    let openssl = openssl.map(|program| peers::sev_on_openssl(program, report, vcek)).transpose()?;
    let beside =
        |limit| openssl.map_or_else(String::new, |time| format!(" sev-openssl {:.2}", measure::multiple(time, limit)));
    println!("{}{}", line("snp-cold", &cold), beside(cold[0].1));

    let verifier = Verifier::new();
    let mut contenders = [
        Contender::new("limit", || hold(evidence)),
        Contender::new("teegate", || verifier.verify(&set.evidence(0, &pool), &policy, set.now).map(black_box).is_ok()),
        Contender::new("sev", || peers::sev(report, vcek).is_ok()),
    ];
    let warm = measure(&mut contenders)?;
    println!("{}{}", line("snp-warm", &warm), beside(warm[0].1));
    println!("{}", line("snp-warm-in-a-row", &in_a_row(&mut contenders)?));
    Ok(())
}
