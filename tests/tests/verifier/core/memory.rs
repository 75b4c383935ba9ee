//! A verifier with a memory: it forgets nothing that it must look at again.

use teegate_forge::time::{AT, DAY, YEAR};
use teegate_tests::size;
use teegate_verifier::{Attested, Rejection, Stage, Tee, UnixTime, Verifier};

use crate::coverage::all_cases;
use crate::subject::{Subject, good, snp, tdx};

/// Everything that a verdict says.
fn said(verdict: &Result<Attested, Rejection>) -> serde_json::Value {
    let report = match verdict {
        Ok(attested) => attested.report(),
        Err(rejection) => rejection.report(),
    };
    serde_json::to_value(report).unwrap()
}

/// One memory for all cases, their twins first, so that whatever could be remembered is.
#[test]
fn verdicts_with_a_memory_are_those_without() {
    let verifier = Verifier::new();
    let cases = all_cases();
    assert!(cases.len() > 300, "{} cases", cases.len());
    for case in cases.iter().step_by(size::step(3)) {
        for subject in [&case.twin, &case.subject, &case.twin] {
            let (stateless, remembered) = (subject.judge(), subject.judge_with(&verifier));
            assert_eq!(said(&stateless), said(&remembered), "{}", case.check());
            assert_eq!(stateless.is_ok(), remembered.is_ok(), "{}", case.check());
        }
    }
}

/// Accepted once; then the same bytes, the same memory, and a later or an earlier clock.
fn expires(subject: &Subject, last_good: u64, check: &str) {
    let verifier = Verifier::new();
    for now in [AT, last_good] {
        let verdict = subject.clone().at(now).judge_with(&verifier);
        let valid_until = verdict.unwrap_or_else(|rejection| panic!("{check}: {rejection}")).valid_until();
        assert!(UnixTime::from_seconds(now) <= valid_until, "{check}: accepted beyond its own end");
        assert!(valid_until <= UnixTime::from_seconds(last_good + 1), "{check}: said to hold until {valid_until}");
    }
    let late = subject.clone().at(last_good + 1).judge_with(&verifier).unwrap_err();
    assert_eq!(late.failed_checks(), [check]);
    assert_eq!(late.stage(), Stage::Authenticate);
    subject.clone().at(last_good).judge_with(&verifier).unwrap();
}

/// Each window in its turn is the first to end.
#[test]
fn every_window_is_looked_at_again() {
    let end = AT + 5 * DAY;
    expires(&snp(|device| device.vek_validity(AT - DAY, end)), end, "snp.chain.validity");
    expires(&snp(|device| device.edit_intermediate(move |ask| ask.not_after = end)), end, "snp.chain.validity");
    expires(&snp(|device| device.crl_window(AT - DAY, Some(end))), end - 1, "snp.chain.revocation");

    expires(&tdx(|device| device.edit_pck(move |pck| pck.not_after = end)), end, "tdx.chain.pck");
    expires(&tdx(|device| device.edit_pck_ca(move |ca| ca.not_after = end)), end, "tdx.chain.pck");
    expires(
        &tdx(|device| device.edit_root_crl(move |crl| crl.next_update = Some(end))),
        end - 1,
        "tdx.chain.revocation",
    );
    expires(
        &tdx(|device| device.edit_pck_crl(move |crl| crl.next_update = Some(end))),
        end - 1,
        "tdx.chain.revocation",
    );
    expires(
        &tdx(|device| device.edit_tcb_signing(move |signing| signing.not_after = end)),
        end,
        "tdx.collateral.signer",
    );
    expires(&tdx(|device| device.tcb_info_window(AT - DAY, end)), end - 1, "tdx.collateral.fresh");
    expires(&tdx(|device| device.qe_identity_window(AT - DAY, end)), end - 1, "tdx.collateral.fresh");
}

/// Before its time nothing is valid either, however often it was accepted.
#[test]
fn an_earlier_clock_is_refused_too() {
    for (tee, check) in [(Tee::SevSnp, "snp.chain.validity"), (Tee::Tdx, "tdx.chain.pck")] {
        let verifier = Verifier::new();
        let subject = good(tee);
        subject.judge_with(&verifier).unwrap();
        let early = subject.at(AT - 10 * YEAR).judge_with(&verifier).unwrap_err();
        assert_eq!(early.failed_checks(), [check]);
    }
}

/// What was authenticated is remembered by its exact bytes and its exact signer.
#[test]
fn a_tampered_endorsement_is_not_the_one_remembered() {
    for tee in [Tee::SevSnp, Tee::Tdx] {
        let verifier = Verifier::new();
        let good = good(tee);
        for _ in 0..2 {
            good.judge_with(&verifier).unwrap();
        }
        let mut tampered = Vec::new();
        let spoil = |der: &mut Vec<u8>, from_the_end: usize| {
            let at = der.len().saturating_sub(from_the_end);
            der[at] ^= 1;
        };
        // In the signature, and in what it covers.
        for at in [1, 700] {
            let last = if tee == Tee::SevSnp { 2 } else { 1 };
            for index in 0..last {
                tampered.push(good.clone().with_pool(|pool| spoil(&mut pool.certificates[index], at)));
            }
            for index in 0..good.pool.crls.len() {
                tampered.push(good.clone().with_pool(|pool| spoil(&mut pool.crls[index], at)));
            }
        }
        if tee == Tee::Tdx {
            tampered.push(good.clone().with_pool(|pool| pool.tcb_infos[0].signature[5] ^= 1));
            tampered.push(good.clone().with_pool(|pool| pool.tcb_infos[0].body.push(' ')));
            tampered.push(good.clone().with_pool(|pool| pool.qe_identities[0].signature[5] ^= 1));
            tampered.push(good.clone().with_pool(|pool| pool.qe_identities[0].body.push(' ')));
        }
        for subject in tampered {
            assert_eq!(subject.judge_with(&verifier).unwrap_err().stage(), Stage::Authenticate);
            good.judge_with(&verifier).unwrap();
        }
    }
}

/// Evidence is judged anew every time: a tampered report is refused right after the true one, and a policy's caller
/// is asked again.
#[test]
fn evidence_is_never_remembered() {
    for (tee, offset, check) in [(Tee::SevSnp, 0x90, "snp.signature"), (Tee::Tdx, 48 + 136, "tdx.signature")] {
        let verifier = Verifier::new();
        let good = good(tee);
        good.judge_with(&verifier).unwrap();
        let tampered = good.clone().with_evidence(|bytes| bytes[offset] ^= 1);
        assert_eq!(tampered.judge_with(&verifier).unwrap_err().failed_checks(), [check]);
        let asked = good.clone().under("report_data", "\"caller\"");
        asked.clone().asking([0; 64]).judge_with(&verifier).unwrap();
        assert_eq!(asked.clone().asking([1; 64]).judge_with(&verifier).unwrap_err().stage(), Stage::Appraise);
        assert_eq!(asked.judge_with(&verifier).unwrap_err().stage(), Stage::Appraise);
    }
}

/// The report of a quoting enclave vouches for many quotes, and is remembered: by all of its bytes, its signature, and the key
/// of its platform. What it says is judged every time.
#[test]
fn a_quoting_enclaves_report_is_remembered_by_its_very_bytes() {
    // Header, body, length, signature and key of a quote of version 4 stand before certification data of type 6.
    const REPORT: usize = 48 + 584 + 4 + 64 + 64 + 6;
    let (verifier, good) = (Verifier::new(), good(Tee::Tdx));
    for _ in 0..2 {
        good.judge_with(&verifier).unwrap();
    }
    // CPUSVN, the reserved bytes in front of REPORTDATA, REPORTDATA, r and s.
    for offset in [0, 300, 320, 384, 384 + 63] {
        let tampered = good.clone().with_evidence(|bytes| bytes[REPORT + offset] ^= 1);
        assert_eq!(tampered.judge_with(&verifier).unwrap_err().failed_checks(), ["tdx.qe.signature"], "{offset}");
        good.judge_with(&verifier).unwrap();
    }
    // Of another platform the very same report, with the same signature, is not known.
    let (another, report) = (teegate_forge::keys::Key::p256(), REPORT..REPORT + 384 + 64);
    let foreign = tdx(|device| device.with_keys(|keys| keys.pck = another));
    foreign.judge_with(&verifier).unwrap();
    let foreign = foreign.with_evidence(|bytes| bytes[report.clone()].copy_from_slice(&good.evidence[report]));
    assert_eq!(foreign.judge_with(&verifier).unwrap_err().failed_checks(), ["tdx.qe.signature"]);
    // And what it says is held against the identity that is supplied now.
    let outdated = tdx(|device| device.qe_status("Revoked"));
    assert_eq!(outdated.judge_with(&verifier).unwrap_err().stage(), Stage::Appraise);
}

/// A root that another policy pins is no root of this one, although its signatures are remembered.
#[test]
fn a_memory_trusts_no_root() {
    for (tee, check) in [(Tee::SevSnp, "snp.chain.ark-pinned"), (Tee::Tdx, "tdx.chain.root-pinned")] {
        let verifier = Verifier::new();
        good(tee).judge_with(&verifier).unwrap();
        let rejection = good(tee).under_vendors().judge_with(&verifier).unwrap_err();
        assert_eq!(rejection.failed_checks(), [check]);
    }
    // The forger keeps the root to itself, so that only the signature under it can tell: what is remembered is remembered of
    // one key. (Mutated so that it forgets the key, the verifier accepted forged evidence as AMD's.)
    let hidden_snp = good(Tee::SevSnp).with_pool(|pool| pool.certificates.truncate(2));
    let set = crate::subject::TDX_DEVICE.clone().edit_chain(|chain| drop(chain.pop())).build();
    let hidden_tdx = crate::subject::tdx_set(set);
    for (hidden, check) in [(hidden_snp, "snp.chain.path"), (hidden_tdx, "tdx.chain.pck")] {
        let verifier = Verifier::new();
        hidden.judge_with(&verifier).unwrap();
        let rejection = hidden.under_vendors().judge_with(&verifier).unwrap_err();
        assert_eq!(rejection.failed_checks(), [check], "{rejection}");
    }
}
