//! Questions to the verifier, as the forged platforms would bring them.

use teegate_forge::snp::Product;
use teegate_forge::tdx::event_log::{BOOT, encode, registers};
use teegate_forge::time::AT;
use teegate_verifier::{Policy, Tee, UnixTime};

use crate::case::{Case, Part};
use crate::forged::{SNP, SNP_DEVICE, Seeds, TDX, TDX_DEVICE};
use crate::policy::policy_under;
use crate::signed_again::{snp, tdx};

/// What is accepted before anything is wrong with it.
pub(super) fn of_sev_snp() -> Seeds {
    let vlek = SNP_DEVICE.clone().vlek("forged-cloud").build();
    let turin = SNP_DEVICE.clone().product(Product::Turin).version(3).build();
    vec![
        ("genoa", first(snp(&SNP, &SNP.report))),
        ("vlek", first(snp(&vlek, &vlek.report))),
        ("turin", first(snp(&turin, &turin.report))),
    ]
}

/// The same for TDX.
pub(super) fn of_tdx() -> Seeds {
    let newer = TDX_DEVICE.clone().version_5(3).build();
    let [r0, r1, r2, r3] = registers(&BOOT);
    let logged = [r0, r1, r2, r3].into_iter().enumerate();
    let logged = logged.fold(TDX_DEVICE.clone(), |device, (index, value)| device.rtmr(index, value)).build();
    let mut with_log = tdx(&logged);
    with_log.parts.push(Part::Log(encode(&BOOT)));
    vec![("version-4", first(tdx(&TDX))), ("version-5", first(tdx(&newer))), ("event-log", first(with_log))]
}

/// With what was signed, and until when: it has to be accepted as it is.
fn first(mut case: Case) -> Vec<u8> {
    let zeros = format!("\"{}\"", "00".repeat(64));
    let policy = policy_under(&case.roots, &zeros);
    let policy = Policy::parse(&policy).expect("the policy of the targets");
    let endorsements = case.endorsements();
    let verdict = teegate_verifier::verify(&case.evidence(&endorsements), &policy, UnixTime::from_seconds(AT));
    let attested = verdict.unwrap_or_else(|rejection| panic!("nothing is wrong with it, but: {rejection}"));
    let bytes = case.evidence_bytes();
    // Report: before the signature. Quote: header and body, of the two lengths that the seeds have.
    let signed = match (case.tee, bytes.first()) {
        (Tee::SevSnp, _) => 0x2A0,
        (Tee::Tdx, Some(4)) => 48 + 584,
        (Tee::Tdx, _) => 54 + 648,
        (tee, _) => unreachable!("no seeds of {tee}"),
    };
    case.signed = Some((bytes[..signed].to_vec(), attested.valid_until().seconds()));
    case.encode()
}
