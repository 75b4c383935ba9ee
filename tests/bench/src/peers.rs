//! What others make of the same recorded evidence. They keep nothing between calls.

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use dcap_qvl::QuoteCollateralV3;
use dcap_qvl::verify::QuoteVerifier;
use sev::certs::snp::{Certificate, Chain, Verifiable, builtin::milan, ca};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;
use teegate_speed::Outcome;
use teegate_speed::set::Set;

/// `dcap-qvl` on `ring`, with its own pinned root.
pub(crate) struct DcapQvl {
    verifier: QuoteVerifier,
    collateral: QuoteCollateralV3,
    quote: Vec<u8>,
    now: u64,
}

impl DcapQvl {
    pub(crate) fn load(folder: &Path, set: &Set) -> Outcome<Self> {
        let collateral = std::fs::read(folder.join("sample/tdx_quote_collateral.json"))?;
        Ok(Self {
            verifier: QuoteVerifier::new_prod(),
            collateral: serde_json::from_slice(&collateral)?,
            quote: set.evidence[0].clone(),
            now: set.now.seconds(),
        })
    }

    pub(crate) fn verify(&self) -> bool {
        self.verifier.verify(&self.quote, &self.collateral, self.now).map(black_box).is_ok()
    }
}

/// `sev` with its pure-Rust backend.
pub(crate) fn sev(report: &[u8], vcek: &[u8]) -> Outcome<()> {
    let chain = Chain { ca: ca::Chain { ark: milan::ark()?, ask: milan::ask()? }, vek: Certificate::from_der(vcek)? };
    let report = AttestationReport::from_bytes(report)?;
    (&chain, &report).verify()?;
    Ok(())
}

/// The same crate on OpenSSL, whose two backends exclude each other in one program: measured by another, right after.
pub(crate) fn sev_on_openssl(program: &Path, report: &[u8], vcek: &[u8]) -> Outcome<Duration> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let run = Command::new(program).args([hex(report), hex(vcek)]).output()?;
    if !run.status.success() {
        return Err(format!("sev on OpenSSL: {}", String::from_utf8_lossy(&run.stderr)).into());
    }
    let nanoseconds: u64 = String::from_utf8(run.stdout)?.trim().parse()?;
    Ok(Duration::from_nanos(nanoseconds))
}
