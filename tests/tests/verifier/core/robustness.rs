//! Hostile sizes and shapes: each gives an error of the right check, in bounded time and memory, and never a panic.

use std::time::{Duration, Instant};

use teegate_forge::crl::RevokedCertificate;
use teegate_forge::tdx::SignedJson;
use teegate_tests::size;
use teegate_verifier::{Endorsements, Stage, Tee, UnixTime, inspect, verify};

use crate::subject::{Subject, evidence, good, snp, tdx};

/// What hostile input may cost; unoptimised, on a busy machine.
const BOUND: Duration = Duration::from_secs(20);

fn bounded<R>(act: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let result = act();
    assert!(start.elapsed() < BOUND, "took {:?}", start.elapsed());
    result
}

/// Verdicts on every prefix of the evidence.
fn truncations(tee: Tee) -> Vec<&'static str> {
    let subject = good(tee);
    let (policy, endorsements) = (subject.load_policy(), subject.pool.to_endorsements());
    (0..subject.evidence.len())
        .map(|length| {
            let cut = evidence(tee, &subject.evidence[..length], &endorsements);
            let rejection = verify(&cut, &policy, UnixTime::from_seconds(subject.now)).unwrap_err();
            assert_eq!(rejection.stage(), Stage::Parse, "{length} bytes: {rejection}");
            rejection.failed_checks()[0]
        })
        .collect()
}

#[test]
fn every_truncation_of_a_report_has_the_wrong_length() {
    assert!(truncations(Tee::SevSnp).iter().all(|id| *id == "snp.bytes.length"));
}

#[test]
fn every_truncation_of_a_quote_runs_out_of_bytes() {
    for (length, id) in truncations(Tee::Tdx).into_iter().enumerate() {
        assert_eq!(id, if length < 48 { "tdx.bytes.header" } else { "tdx.bytes.lengths" }, "{length} bytes");
    }
}

#[test]
fn bytes_of_the_other_kind_are_malformed() {
    let (report, quote) = (good(Tee::SevSnp), good(Tee::Tdx));
    let swapped = |subject: &Subject, bytes: &[u8]| {
        let bytes = bytes.to_vec();
        subject.clone().with_evidence(|evidence| *evidence = bytes).rejected().failed_checks()
    };
    assert_eq!(swapped(&report, &quote.evidence), ["snp.bytes.length"]);
    assert_eq!(swapped(&quote, &report.evidence), ["tdx.bytes.header"]);
}

/// Inputs that are shorter than any header, or filled with one byte.
fn shapeless() -> Vec<Vec<u8>> {
    let lengths = [0, 1, 2, 3, 47, 48, 584, 632, 1183, 1184, 1185, 6000];
    lengths.iter().flat_map(|length| [0, 0x30, 0x7B, 0xFF].map(|byte| vec![byte; *length])).collect()
}

#[test]
fn shapeless_evidence_is_malformed() {
    for bytes in shapeless() {
        for (tee, prefix) in [(Tee::SevSnp, "snp.bytes."), (Tee::Tdx, "tdx.bytes.")] {
            let rejection = good(tee).with_evidence(|evidence| evidence.clone_from(&bytes)).rejected();
            assert_eq!(rejection.stage(), Stage::Parse);
            assert!(rejection.failed_checks()[0].starts_with(prefix), "{rejection}");
        }
        assert_eq!(inspect(Tee::SevSnp, &bytes).map(drop).unwrap_err().check().stage(), Stage::Parse);
        assert_eq!(inspect(Tee::Tdx, &bytes).map(drop).unwrap_err().check().stage(), Stage::Parse);
    }
}

/// What cannot be read in the pool is ignored beside what is needed, and is named as missing without it.
#[test]
fn shapeless_endorsements_change_nothing() {
    let text = |bytes: &[u8]| {
        let body = String::from_utf8_lossy(bytes).into_owned();
        SignedJson { body, signature: [0; 64] }
    };
    for tee in [Tee::SevSnp, Tee::Tdx] {
        let good = good(tee);
        let mut beside = good.clone();
        let mut alone = good.clone();
        alone.pool = crate::subject::Pool::default();
        for bytes in shapeless() {
            for pool in [&mut beside.pool, &mut alone.pool] {
                pool.certificates.insert(0, bytes.clone());
                pool.crls.insert(0, bytes.clone());
                pool.tcb_infos.insert(0, text(&bytes));
                pool.qe_identities.insert(0, text(&bytes));
            }
        }
        beside.accepted();
        let missing = if tee == Tee::SevSnp { "snp.chain.present" } else { "tdx.collateral.present" };
        assert_eq!(alone.rejected().failed_checks(), [missing]);
    }
}

/// Empty and two-byte signed texts alone are chosen, for want of others, and fail their signature.
#[test]
fn short_collateral_is_unsigned() {
    for body in ["", "{}", "[]", "nu", "\u{0}\u{0}"] {
        for edit in [
            (|subject: &mut Subject| &mut subject.pool.tcb_infos) as fn(&mut Subject) -> &mut Vec<SignedJson>,
            |subject| &mut subject.pool.qe_identities,
        ] {
            let mut subject = good(Tee::Tdx);
            *edit(&mut subject) = vec![SignedJson { body: body.to_owned(), signature: [0; 64] }];
            assert_eq!(subject.rejected().failed_checks(), ["tdx.collateral.signer"], "{body:?}");
        }
    }
}

fn nested(open: &str, close: &str) -> String {
    format!("{}{}", open.repeat(100_000), close.repeat(100_000))
}

/// Depth costs nothing where nothing rests on it, and is refused where something does; signed or not.
#[test]
fn json_nested_a_hundred_thousand_deep() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[", ""), ("{\"a\":[", "")] {
        let deep = nested(open, close);
        let unsigned = SignedJson { body: deep.clone(), signature: [0; 64] };
        let beside = good(Tee::Tdx).with_pool(|pool| {
            pool.tcb_infos.insert(0, unsigned.clone());
            pool.qe_identities.insert(0, unsigned.clone());
        });
        bounded(|| beside.accepted());
        for signed in [
            tdx(|device| {
                let deep = deep.clone();
                device.edit_tcb_info_text(move |text| text.clone_from(&deep))
            }),
            tdx(|device| {
                let deep = deep.clone();
                device.edit_qe_identity_text(move |text| text.clone_from(&deep))
            }),
        ] {
            assert_eq!(bounded(|| signed.rejected()).failed_checks(), ["tdx.collateral.signer"]);
        }
    }
    // In the place of a value that something rests on, and in a member of which nobody has heard.
    let deep = nested("[", "]");
    let levels = deep.clone();
    let in_place = tdx(|device| {
        device.edit_tcb_info_text(move |text| {
            *text = text.replacen("\"tcbLevels\":[", &format!("\"tcbLevels\":[{levels},"), 1);
        })
    });
    assert_eq!(bounded(|| in_place.rejected()).failed_checks(), ["tdx.collateral.signer"]);
    let unheard =
        tdx(|device| device.edit_tcb_info_text(move |text| text.insert_str(1, &format!("\"unheard\":{deep},"))));
    match bounded(|| unheard.judge()) {
        Ok(_) => {}
        Err(rejection) => assert_eq!(rejection.failed_checks(), ["tdx.collateral.signer"]),
    }
}

/// 1 GiB and more, declared in every place that has a length.
#[test]
fn declared_lengths_of_a_gibibyte() {
    // SEQUENCE, and SEQUENCE within SEQUENCE, whose lengths are not there.
    let lies: [&[u8]; 5] = [
        &[0x30, 0x84, 0x40, 0, 0, 0],
        &[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 0x30],
        &[0x30, 0x88, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        &[0x30, 0x06, 0x30, 0x84, 0x40, 0, 0, 0],
        &[0x30, 0x80, 0, 0],
    ];
    for tee in [Tee::SevSnp, Tee::Tdx] {
        for lie in lies {
            let subject = good(tee).with_pool(|pool| {
                pool.certificates.insert(0, lie.to_vec());
                pool.crls.insert(0, lie.to_vec());
            });
            bounded(|| subject.accepted());
        }
    }
    // The length behind the body of a quote of version 4, and those inside it, are cases of tdx_bytes::lengths.
    let start = 48 + 584;
    let quote =
        good(Tee::Tdx).with_evidence(|quote| quote[start..start + 4].copy_from_slice(&(1_u32 << 30).to_le_bytes()));
    assert_eq!(bounded(|| quote.rejected()).failed_checks(), ["tdx.bytes.lengths"]);
}

/// Every entry is looked at, and only looked at.
#[test]
fn a_revocation_list_of_a_million_entries() {
    let entry = |number: u32| RevokedCertificate {
        serial: [&[0x40][..], &number.to_be_bytes()].concat(),
        revoked_at: teegate_forge::time::AT,
        reason: None,
    };
    let entries: Vec<_> = (0..1_000_000).map(entry).collect();
    let fewer = 1_000_000 / u32::try_from(size::step(20)).unwrap();
    let long: Vec<_> = (0..fewer).map(entry).collect();
    let tdx_long = tdx(|device| device.edit_pck_crl(move |crl| crl.entries.clone_from(&long)));
    let snp_long = snp(|device| device.edit_crl(move |crl| crl.entries.clone_from(&entries)));
    bounded(|| tdx_long.accepted());
    bounded(|| snp_long.accepted());

    // The very last entry counts.
    let serial = teegate_forge::der::unsigned(&crate::subject::TDX_DEVICE.keys().pck.key_identifier());
    let last = tdx(|device| {
        device.edit_pck_crl(move |crl| {
            crl.entries = (0..fewer).map(entry).collect();
            crl.revoke(&serial);
        })
    });
    assert_eq!(bounded(|| last.rejected()).failed_checks(), ["tdx.chain.revocation"]);

    // Unsigned, it is not even looked through.
    let mut damaged = snp_long;
    *damaged.pool.crls[0].last_mut().unwrap() ^= 1;
    assert_eq!(bounded(|| damaged.rejected()).failed_checks(), ["snp.chain.revocation"]);
}

/// Many statements of the right names cost a look each, and a bounded number of signatures.
#[test]
fn pools_of_thousands() {
    for tee in [Tee::SevSnp, Tee::Tdx] {
        let subject = good(tee).with_pool(|pool| {
            let all = pool.clone();
            for _ in 0..1000 {
                pool.certificates.extend(all.certificates.clone());
                pool.crls.extend(all.crls.clone());
                pool.tcb_infos.extend(all.tcb_infos.clone());
                pool.qe_identities.extend(all.qe_identities.clone());
            }
        });
        bounded(|| subject.accepted());
    }
}

/// Nothing at all vouches for nothing.
#[test]
fn an_empty_pool_is_named_as_such() {
    for (tee, missing) in [(Tee::SevSnp, "snp.chain.present"), (Tee::Tdx, "tdx.collateral.present")] {
        let subject = good(tee);
        let nothing = Endorsements::new();
        assert!(nothing.is_empty());
        let evidence = evidence(tee, &subject.evidence, &nothing);
        let rejection = verify(&evidence, &subject.load_policy(), UnixTime::from_seconds(subject.now)).unwrap_err();
        assert_eq!(rejection.failed_checks(), [missing]);
    }
}

/// Times at both ends of what a clock can say.
#[test]
fn absurd_times_are_outside_every_validity() {
    for now in [0, 1, u64::from(u32::MAX), 253_402_300_799, u64::MAX] {
        assert_eq!(good(Tee::SevSnp).at(now).rejected().failed_checks(), ["snp.chain.validity"]);
        assert_eq!(good(Tee::Tdx).at(now).rejected().failed_checks(), ["tdx.chain.pck"]);
    }
}
