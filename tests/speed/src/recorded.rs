//! The evidence that the pinned crates `sev` and `dcap-qvl` carry (`ci/recorded.sh`), under the policy `genuine`.

use std::path::Path;

use serde_json::Value;
use teegate_encoding::hex;
use teegate_verifier::{Tee, UnixTime};

use crate::Outcome;
use crate::set::Set;

/// The policy that asks for genuine hardware and no more.
pub const GENUINE: &str = include_str!("../../../measurements/policy/genuine.toml");

/// A quote of version 4 with its collateral, at a time when all of it was current; from the folder of the crate `dcap-qvl`.
///
/// # Errors
/// The folder does not hold it.
pub fn tdx(dcap_qvl: &Path) -> Outcome<Set> {
    let sample = dcap_qvl.join("sample");
    let collateral: Value = serde_json::from_slice(&std::fs::read(sample.join("tdx_quote_collateral.json"))?)?;
    let text = |name: &str| collateral[name].as_str().ok_or_else(|| format!("no {name} in the collateral"));
    let bytes = |name: &str| -> Outcome<Vec<u8>> { Ok(hex::decode(text(name)?)?) };
    let signed = |name: &str| -> Outcome<Option<(String, [u8; 64])>> {
        let signature = bytes(&format!("{name}_signature"))?;
        Ok(Some((text(name)?.to_owned(), signature.as_slice().try_into()?)))
    };
    Ok(Set {
        tee: Tee::Tdx,
        evidence: vec![std::fs::read(sample.join("tdx_quote"))?],
        certificates: vec![text("tcb_info_issuer_chain")?.into(), text("pck_crl_issuer_chain")?.into()],
        crls: vec![bytes("root_ca_crl")?, bytes("pck_crl")?],
        tcb_info: signed("tcb_info")?,
        qe_identity: signed("qe_identity")?,
        policy: GENUINE.to_owned(),
        now: UnixTime::parse("2025-07-04T10:16:31Z")?,
    })
}

/// A Milan report of version 2 under its VCEK, without a CRL (`genuine` does not insist); from the folder of the crate `sev`.
///
/// # Errors
/// The folder does not hold it.
pub fn snp(sev: &Path) -> Outcome<Set> {
    let data = sev.join("tests/certs_data");
    Ok(Set {
        tee: Tee::SevSnp,
        evidence: vec![hex::decode(std::fs::read_to_string(data.join("report_milan.hex"))?.trim())?],
        certificates: vec![std::fs::read(data.join("vcek_milan.der"))?, std::fs::read(data.join("cert_chain_milan"))?],
        crls: Vec::new(),
        tcb_info: None,
        qe_identity: None,
        policy: GENUINE.to_owned(),
        now: UnixTime::parse("2023-07-02T00:00:00Z")?,
    })
}
