//! Cold and warm verification of real evidence, beside the peers, in one run.
//!
//! Every number is a multiple of the *limit*: the public-key signature verifications that the case cannot do without,
//! made with the same library over messages of the same length. Contenders take turns, round by round, so that a noisy
//! machine disturbs all of them alike; what is printed is the ratio of medians. Each measured call checks its verdict.
//!
//! The evidence is what the crates `sev` and `dcap-qvl` carry; their folders are the two arguments (`ci/bench.sh`).

mod limit;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use dcap_qvl::QuoteCollateralV3;
use dcap_qvl::verify::QuoteVerifier;
use sev::certs::snp::{Certificate, Chain, Verifiable, builtin::milan, ca};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;
use teegate_intake::endorsements;
use teegate_verifier::{Endorsements, Evidence, Policy, UnixTime, Verifier, verify};

use limit::{Limit, Outcome};

/// Rounds for each case; a median of so many is steady to about one per cent on a quiet machine.
const ROUNDS: usize = 400;

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [sev_crate, dcap_crate] = arguments.as_slice() else {
        eprintln!("usage: teegate-bench SEV-CRATE-FOLDER DCAP-QVL-CRATE-FOLDER");
        return ExitCode::FAILURE;
    };
    match run(sev_crate, dcap_crate) {
        Ok(lines) => {
            println!(
                "multiples of the limit (the signature verifications that the case needs), medians of {ROUNDS} rounds:"
            );
            lines.iter().for_each(|line| println!("{line}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("teegate-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(sev_crate: &Path, dcap_crate: &Path) -> Outcome<Vec<String>> {
    let policy = Policy::parse(teegate_measurements::GENUINE)?;
    let mut lines = tdx(dcap_crate, &policy)?;
    lines.extend(snp(sev_crate, &policy)?);
    Ok(lines)
}

/// A quote of version 4 with its collateral, at a time when all of it was current.
fn tdx(dcap_crate: &Path, policy: &Policy) -> Outcome<Vec<String>> {
    let now = UnixTime::parse("2025-07-04T10:16:31Z")?;
    let quote = std::fs::read(dcap_crate.join("sample/tdx_quote"))?;
    let collateral_path = dcap_crate.join("sample/tdx_quote_collateral.json");
    let collateral: QuoteCollateralV3 = serde_json::from_slice(&std::fs::read(&collateral_path)?)?;
    let endorsements = endorsements::load_paths(&[collateral_path])?;
    let evidence = Evidence::tdx(&quote, &endorsements);

    // PCK, PCK CA, TCB signing, root CRL, PCK CRL, TCB info, QE identity, QE report, quote.
    let (tcb_info, pck_crl) = (collateral.tcb_info.len(), collateral.pck_crl.len());
    let cold_limit = Limit::p256(&[1150, 570, 560, 200, pck_crl, tcb_info, collateral.qe_identity.len(), 384, 632])?;
    let warm_limit = Limit::p256(&[384, 632])?;
    let peer = QuoteVerifier::new_prod();
    let memory = Verifier::new();

    let cold = measure(&mut [
        &mut || cold_limit.verify(),
        &mut || verify(&evidence, policy, now).map(black_box).is_ok(),
        &mut || peer.verify(&quote, &collateral, now.seconds()).map(black_box).is_ok(),
    ])?;
    let warm = measure(&mut [
        &mut || warm_limit.verify(),
        &mut || memory.verify(&evidence, policy, now).map(black_box).is_ok(),
        &mut || peer.verify(&quote, &collateral, now.seconds()).map(black_box).is_ok(),
    ])?;
    Ok(vec![line("tdx-cold", &cold, "dcap-qvl"), line("tdx-warm", &warm, "dcap-qvl")])
}

/// A Milan report of version 2 under its VCEK, without a CRL (`genuine` does not insist).
fn snp(sev_crate: &Path, policy: &Policy) -> Outcome<Vec<String>> {
    let now = UnixTime::parse("2023-07-02T00:00:00Z")?;
    let data = sev_crate.join("tests/certs_data");
    let text = std::fs::read_to_string(data.join("report_milan.hex"));
    let report = match text {
        Ok(text) => hex::decode(text.trim())?,
        Err(_) => std::fs::read(data.join("report_milan.hex"))?,
    };
    let mut endorsements = Endorsements::new();
    let vcek = std::fs::read(data.join("vcek_milan.der"))?;
    endorsements.add_certificate(vcek.clone());
    endorsements::recognise("cert_chain_milan", &std::fs::read(data.join("cert_chain_milan"))?, &mut endorsements)?;
    let evidence = Evidence::sev_snp(&report, &endorsements);

    let cold_limit = Limit::p384_with_rsa(672, &[1350, 850])?;
    let warm_limit = Limit::p384_with_rsa(672, &[])?;
    let memory = Verifier::new();
    let peer = || -> bool {
        let verified = (|| -> Outcome<()> {
            let chain =
                Chain { ca: ca::Chain { ark: milan::ark()?, ask: milan::ask()? }, vek: Certificate::from_der(&vcek)? };
            let report = AttestationReport::from_bytes(&report)?;
            (&chain, &report).verify()?;
            Ok(())
        })();
        verified.is_ok()
    };

    let cold = measure(&mut [
        &mut || cold_limit.verify(),
        &mut || verify(&evidence, policy, now).map(black_box).is_ok(),
        &mut || peer(),
    ])?;
    let warm = measure(&mut [
        &mut || warm_limit.verify(),
        &mut || memory.verify(&evidence, policy, now).map(black_box).is_ok(),
        &mut || peer(),
    ])?;
    Ok(vec![line("snp-cold", &cold, "sev"), line("snp-warm", &warm, "sev")])
}

/// Median time of each contender; an error where one of them did not accept.
fn measure(contenders: &mut [&mut dyn FnMut() -> bool; 3]) -> Outcome<[Duration; 3]> {
    let mut times = [const { Vec::new() }; 3];
    for round in 0..ROUNDS + ROUNDS / 10 {
        for (index, contender) in contenders.iter_mut().enumerate() {
            let start = Instant::now();
            let accepted = contender();
            let taken = start.elapsed();
            if !accepted {
                return Err(format!("contender {index} (limit, teegate, peer) did not accept in round {round}").into());
            }
            // The first tenth warms caches and branch predictors for everybody.
            if round >= ROUNDS / 10 {
                times[index].push(taken);
            }
        }
    }
    Ok(times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    }))
}

fn line(name: &str, [limit, own, peer]: &[Duration; 3], peer_name: &str) -> String {
    let multiple = |time: &Duration| time.as_secs_f64() / limit.as_secs_f64();
    eprintln!(
        "{name}: limit {:.1} us, teegate {:.1} us, {peer_name} {:.1} us",
        limit.as_secs_f64() * 1e6,
        own.as_secs_f64() * 1e6,
        peer.as_secs_f64() * 1e6
    );
    format!("{name} teegate {:.2} {peer_name} {:.2}", multiple(own), multiple(peer))
}
