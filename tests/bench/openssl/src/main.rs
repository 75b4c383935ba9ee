//! `sev` on OpenSSL, of the report and the VCEK that are named in hexadecimal: the median of the best of five runs, in
//! nanoseconds.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use sev::certs::snp::{Certificate, Chain, Verifiable, builtin::milan, ca};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;

const RUNS: usize = 5;
const ROUNDS: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).map(hex::decode).collect::<Result<_, _>>()?;
    let [report, vcek] = arguments.as_slice() else { return Err("usage: teegate-bench-openssl REPORT VCEK".into()) };
    let mut best = u128::MAX;
    for _ in 0..RUNS {
        let mut times = Vec::new();
        for round in 0..ROUNDS + ROUNDS / 10 {
            let start = Instant::now();
            black_box(verify(report, vcek))?;
            if round >= ROUNDS / 10 {
                times.push(start.elapsed().as_nanos());
            }
        }
        times.sort_unstable();
        best = best.min(times[times.len() / 2]);
    }
    println!("{best}");
    Ok(())
}

fn verify(report: &[u8], vcek: &[u8]) -> Result<(), Box<dyn Error>> {
    let chain = Chain { ca: ca::Chain { ark: milan::ark()?, ask: milan::ask()? }, vek: Certificate::from_der(vcek)? };
    let report = AttestationReport::from_bytes(report)?;
    (&chain, &report).verify()?;
    Ok(())
}
