//! Forged evidence, where recorded evidence has too little of its kind: a platform whose quoting enclave starts again and
//! again, and fleets.

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

/// Quotes of one platform, each under another report of its quoting enclave.
pub fn quotes(count: usize) -> Set {
    let platform = teegate_forge::tdx();
    let mut forged = tdx(&platform);
    let built = platform.build();
    let again = |number: usize| {
        let number = u64::try_from(number).expect("few");
        let reported = platform.clone().auth_data(&[[1; 24].as_slice(), &number.to_le_bytes()].concat());
        reported.quote_under(&built)
    };
    forged.evidence = (0..count).map(again).collect();
    forged
}

/// So many platforms of one Intel, each with a PCK of its own; they share all else that Intel signed.
pub fn tdx_fleet(count: usize) -> Vec<Set> {
    let first = teegate_forge::tdx();
    let platform = |number: usize| {
        let id = [[0; 8], u64::try_from(number).expect("few").to_le_bytes()].concat();
        let own = first.clone().with_keys(|keys| {
            keys.pck = teegate_forge::keys::Key::p256();
            keys.attestation = teegate_forge::keys::Key::p256();
        });
        let serial = u64::try_from(number).expect("few") + 1_000;
        own.edit_sgx_extension(move |extension| extension.ppid.clone_from(&id))
            .edit_pck(move |pck| pck.set_serial(serial))
    };
    (0..count).map(|number| tdx(&platform(number))).collect()
}

/// So many chips of one AMD, each with a VCEK of its own.
pub fn snp_fleet(count: usize) -> Vec<Set> {
    let first = teegate_forge::snp();
    let chip = |number: usize| {
        let mut id = [7; 64];
        id[..8].copy_from_slice(&u64::try_from(number).expect("few").to_le_bytes());
        first.clone().vek_key(teegate_forge::keys::Key::p384()).chip_id(id)
    };
    (0..count).map(|number| snp(&chip(number))).collect()
}

fn tdx(platform: &TdxBuilder) -> Set {
    let built = platform.build();
    let signed = |json: &SignedJson| Some((json.body.clone(), json.signature));
    Set {
        tee: Tee::Tdx,
        certificates: built.certificates(),
        crls: built.crls(),
        tcb_info: signed(&built.tcb_info),
        qe_identity: signed(&built.qe_identity),
        policy: policy("intel", &built.root_pem),
        now: now(),
        evidence: vec![built.quote],
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
