//! Forged evidence, where recorded evidence has too little of its kind: platforms whose quoting enclaves start again and again,
//! and fleets.

use teegate_forge::keys::Key;
use teegate_forge::snp::SnpBuilder;
use teegate_forge::tdx::{SignedJson, TdxBuilder};
use teegate_verifier::{Tee, UnixTime};

use crate::recorded::GENUINE;
use crate::set::Set;

fn now() -> UnixTime {
    UnixTime::from_seconds(teegate_forge::time::AT)
}

fn policy(vendor: &str, root: &str) -> String {
    format!("{GENUINE}\n[trust_anchors]\n{vendor} = ['''{root}''']\n")
}

/// So many platforms of one Intel, each with a PCK of its own; they share all else that Intel signed. Of each there are so many
/// quotes, each under another report of its quoting enclave.
pub fn tdx_fleet(platforms: usize, quotes: usize) -> Vec<Set> {
    let first = teegate_forge::tdx();
    let platform = |number: u64| {
        let id = [[0; 8], number.to_le_bytes()].concat();
        let own = first.clone().with_keys(|keys| {
            keys.pck = Key::p256();
            keys.attestation = Key::p256();
        });
        let own = own.edit_sgx_extension(move |extension| extension.ppid.clone_from(&id));
        own.edit_pck(move |pck| pck.set_serial(number + 1_000))
    };
    (0_u64..).take(platforms).map(|number| tdx(&platform(number), quotes)).collect()
}

/// So many chips of one AMD, each with a VCEK of its own.
pub fn snp_fleet(chips: usize) -> Vec<Set> {
    let first = teegate_forge::snp();
    let chip = |number: u64| {
        let mut id = [7; 64];
        id[..8].copy_from_slice(&number.to_le_bytes());
        first.clone().vek_key(Key::p384()).chip_id(id)
    };
    (0_u64..).take(chips).map(|number| snp(&chip(number))).collect()
}

fn tdx(platform: &TdxBuilder, quotes: usize) -> Set {
    let built = platform.build();
    let signed = |json: &SignedJson| Some((json.body.clone(), json.signature));
    // The enclave's report binds its authentication data: other data, another report.
    let quote = |number: u64| {
        let data = [[1; 24].as_slice(), &number.to_le_bytes()].concat();
        platform.clone().auth_data(&data).quote_under(&built)
    };
    Set {
        tee: Tee::Tdx,
        certificates: built.certificates(),
        crls: built.crls(),
        tcb_info: signed(&built.tcb_info),
        qe_identity: signed(&built.qe_identity),
        policy: policy("intel", &built.root_pem),
        now: now(),
        evidence: (0_u64..).take(quotes).map(quote).collect(),
    }
}

fn snp(chip: &SnpBuilder) -> Set {
    let built = chip.build();
    Set {
        tee: Tee::SevSnp,
        certificates: built.certificates(),
        crls: built.crl.into_iter().collect(),
        tcb_info: None,
        qe_identity: None,
        policy: policy("amd", &built.ark_pem),
        now: now(),
        evidence: vec![built.report],
    }
}
