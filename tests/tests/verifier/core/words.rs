//! A finding names the cause first, and then the command that helps: what people ran into, once each.

use teegate_forge::certificate::Name;
use teegate_forge::time::{AT, DAY};
use teegate_verifier::{Check, Outcome, Report, Roots, Tee};

use crate::subject::{Pool, Subject, good, snp, tdx};

/// What to do about the one check that failed.
#[track_caller]
fn remedy(subject: &Subject, check: &str) -> String {
    let rejection = subject.rejected();
    assert_eq!(rejection.failed_checks(), [check], "{rejection}");
    let finding = rejection.report().finding(Check::from_id(check).unwrap()).unwrap();
    assert_eq!(finding.outcome(), &Outcome::Fail);
    let json = serde_json::to_value(rejection.report()).unwrap();
    let rows = json["checks"].as_array().unwrap().iter();
    let shown: Vec<_> = rows.filter(|row| row["id"] == check).map(|row| row["remedy"].as_str().unwrap()).collect();
    assert_eq!(shown, [finding.remedy()], "the report shows the same");
    finding.remedy().to_owned()
}

fn with_collateral_of(other: Pool) -> Subject {
    good(Tee::Tdx).with_pool(|pool| (pool.tcb_infos, pool.qe_identities) = (other.tcb_infos, other.qe_identities))
}

/// TCB info of another platform, whether it still holds or not.
#[test]
fn collateral_of_another_platform_is_the_cause_whatever_check_meets_it() {
    for (window, check) in
        [((AT - DAY, AT + 9 * DAY), "tdx.tcb.identity"), ((AT - 40 * DAY, AT - DAY), "tdx.collateral.fresh")]
    {
        let other = tdx(move |device| {
            device
                .edit_tcb_info(|info| info.fmspc = vec![0x90, 0xC0, 0x6F, 0, 0, 0])
                .tcb_info_window(window.0, window.1)
        });
        let said = remedy(&with_collateral_of(other.pool), check);
        assert!(said.starts_with("no TCB info of this platform's FMSPC "), "{said}");
        assert!(
            said.contains("only one of 90c06f000000") && said.contains("`teegate fetch QUOTE --into DIR`"),
            "{said}"
        );
    }
    // Where it is this platform's and only old, that is the cause.
    let old = tdx(|device| device.tcb_info_window(AT - 40 * DAY, AT - DAY));
    let said = remedy(&old, "tdx.collateral.fresh");
    assert_eq!(said, Check::TDX_COLLATERAL_FRESH.remedy());
}

/// The identity of SGX's quoting enclave in place of that of TDX's.
#[test]
fn the_identity_of_another_enclave_is_named() {
    let sgx = tdx(|device| device.edit_qe_identity(|qe| qe.id = "QE".to_owned()));
    let said = remedy(&sgx, "tdx.qe.identity");
    assert!(said.starts_with("the identity that was supplied is that of another enclave"), "{said}");
    assert!(said.contains("/tdx/…/qe/identity"), "{said}");
    let unknown = tdx(|device| device.edit_qe_report(|qe| qe.mrsigner[0] ^= 1));
    assert_eq!(remedy(&unknown, "tdx.qe.identity"), Check::TDX_QE_IDENTITY.remedy());
}

/// JSON that a program has read and written again: the signature is there, and is over other bytes.
#[test]
fn text_that_was_written_again_is_named() {
    let rewritten = good(Tee::Tdx).with_pool(|pool| pool.tcb_infos[0].body.insert(1, ' '));
    let said = remedy(&rewritten, "tdx.collateral.signer");
    assert!(
        said.starts_with("the signature is over the very bytes that Intel served") && said.contains("jq"),
        "{said}"
    );
    let rejection = rewritten.rejected().to_string();
    assert!(rejection.contains("TCB info: text and signature that do not fit"), "{rejection}");
}

/// Which components fall short of which level, and of what.
#[test]
fn a_tcb_that_falls_short_names_its_components() {
    let old = tdx(|device| {
        device.edit_tcb_info(|info| {
            let mut better = info.levels[0].clone();
            better.sgx[7] += 2;
            better.pcesvn += 1;
            better.date = AT - 10 * DAY;
            let mut best = better.clone();
            best.sgx[0] += 9;
            best.sgx[1] += 9;
            best.sgx[2] += 9;
            "OutOfDate".clone_into(&mut info.levels[0].status);
            info.levels.splice(0..0, [best, better]);
        })
    });
    let rejection = old.rejected();
    assert_eq!(rejection.failed_checks(), ["tdx.tcb.accepted"]);
    let text = rejection.to_string();
    let nearest = "for UpToDate (the level of 2026-05-22T00:00:00Z) the platform lacks SGX component 8 7, has 5, PCESVN 12, has 11";
    assert!(text.contains(nearest), "{text}");
    assert!(rejection.report().fact("tcb_lacking").unwrap().to_string().contains(nearest));

    let none = tdx(|device| {
        device.edit_tcb_info(|info| {
            info.levels.truncate(1);
            info.levels[0].sgx[0] += 1;
        })
    });
    let rejection = none.rejected();
    assert_eq!(rejection.failed_checks(), ["tdx.tcb.level"]);
    assert!(
        rejection.to_string().contains("the platform lacks SGX component 1 (BIOS: Early Microcode Update) 5, has 4"),
        "{rejection}"
    );
    assert!(good(Tee::Tdx).accepted().fact("tcb_lacking").unwrap().to_string() == "none");

    let module = tdx(|device| {
        device.edit_tcb_info(|info| {
            let levels = &mut info.module_identities.as_mut().unwrap()[0].levels;
            levels.iter_mut().for_each(|level| "OutOfDate".clone_into(&mut level.status));
            let mut newer = levels[0].clone();
            (newer.isvsvn, newer.status) = (12, "UpToDate".to_owned());
            levels.push(newer);
        })
    });
    let text = module.rejected().to_string();
    assert!(text.contains("the TDX module (TDX_01) has SVN 11, and 12 is UpToDate"), "{text}");
}

/// Whoever accepts under roots of their own is told so, by the key and not by what the policy lists.
#[test]
fn roots_that_are_not_the_vendors_are_a_warning() {
    let of_roots =
        |report: &Report| report.warnings().filter(|text| text.contains("neither AMD's nor Intel's")).count();
    for tee in [Tee::SevSnp, Tee::Tdx] {
        let report = good(tee).accepted();
        assert_eq!((report.trust_anchors(), of_roots(&report)), (Some(Roots::Policy), 1));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((&json["trust_anchors"], &json["replayed"]), (&"policy".into(), &false.into()));
    }
    let report = snp(|device| device.debug()).rejected().report().clone();
    assert_eq!((report.trust_anchors(), of_roots(&report)), (Some(Roots::Policy), 0), "nothing was accepted");
    let malformed = good(Tee::SevSnp).with_evidence(|bytes| bytes.truncate(9)).rejected().report().clone();
    assert_eq!(malformed.trust_anchors(), None);
    let replay = good(Tee::SevSnp).accepted().of_a_replay();
    assert!(replay.replayed() && serde_json::to_value(&replay).unwrap()["replayed"] == true);
}

/// What a stranger wrote into a certificate is repeated as far as it can be a name, and no further.
#[test]
fn no_word_of_a_strangers_fills_the_terminal() {
    const LONG: usize = 200_000;
    let name = || "x".repeat(LONG);
    let ask = snp(|device| {
        device.edit_intermediate(move |ask| {
            (ask.subject, ask.issuer) = (Name::amd(&name()), Name::amd(&name()));
            ask.serial = vec![0x11; LONG];
        })
    });
    let issuer = snp(|device| device.edit_intermediate(|ask| ask.issuer = Name::amd(&"x".repeat(LONG))));
    let leaf = snp(|device| device.edit_vek(|vek| vek.issuer = Name::amd(&"x".repeat(LONG))));
    let ca = tdx(|device| {
        device
            .edit_pck_ca(|ca| {
                (ca.subject, ca.issuer) = (Name::intel(&"x".repeat(LONG)), Name::intel(&"y".repeat(LONG)))
            })
            .edit_pck(|pck| pck.issuer = Name::intel(&"x".repeat(LONG)))
    });
    let csp = snp(|device| device.vlek(&"x".repeat(LONG)).signing_key(1));
    let status = tdx(|device| device.platform_status(&"x".repeat(LONG)));
    for (what, subject) in
        [("ask", ask), ("issuer", issuer), ("leaf", leaf), ("ca", ca), ("csp", csp), ("status", status)]
    {
        let rejection = subject.rejected();
        let report = serde_json::to_string(rejection.report()).unwrap();
        for text in [rejection.to_string(), report, subject.expired().join(" ")] {
            assert!(!text.contains(&"x".repeat(81)) && !text.contains(&"y".repeat(81)), "{what}: {} bytes", text.len());
            assert!(text.len() < 60_000, "{what}: {} bytes", text.len());
        }
    }
}

/// A log line is no report: who prints an error with `{:?}` gets a line, whatever failed.
#[test]
fn debug_of_verdicts_is_short() {
    let nothing_right = good(Tee::Tdx)
        .under("mrtd", &format!("\"{}\"", "11".repeat(48)))
        .under("rtmr0", &format!("\"{}\"", "11".repeat(48)))
        .under("rtmr1", &format!("\"{}\"", "11".repeat(48)))
        .under("rtmr2", &format!("\"{}\"", "11".repeat(48)))
        .under("mrseam", &format!("\"{}\"", "11".repeat(48)))
        .under("mrconfigid", &format!("\"{}\"", "11".repeat(48)))
        .under("mrowner", &format!("\"{}\"", "11".repeat(48)))
        .under("mrownerconfig", &format!("\"{}\"", "11".repeat(48)));
    let rejection = nothing_right.rejected();
    assert!(rejection.failures().count() >= 8, "{rejection}");
    assert!(rejection.failures().all(|finding| !finding.actual().is_empty()));
    let accepted = good(Tee::SevSnp).judge().unwrap();
    for shown in [
        format!("{rejection:?}"),
        format!("{:?}", rejection.report()),
        format!("{accepted:?}"),
        format!("{:?}", accepted.report()),
    ] {
        assert!(shown.len() <= 500, "{} characters: {shown}", shown.len());
    }
    assert!(format!("{rejection:?}").contains("unacceptable: tdx.td.mrtd, "), "{rejection:?}");
}

/// What a stranger may write at any length: the name of a signed text, a value of the wrong type in it, an advisory, the extension
/// of a leaf. Neither an error nor a report repeats more than a line of it.
#[test]
fn no_more_than_a_line_of_a_strangers_text_is_repeated() {
    let long = "long".repeat(2_000);
    let (name, text) = (long.clone(), format!("\"version\":\"{long}\""));
    let advisory = vec![long.clone()];
    for (check, subject, of) in [
        ("snp.leaf.chip-id", snp(|device| device.hwid(&[0x1F; 4_000])), "1f".repeat(41)),
        (
            "tdx.qe.identity",
            tdx(|device| {
                device.edit_qe_identity({
                    let name = name.clone();
                    move |qe| qe.id.clone_from(&name)
                })
            }),
            long[..82].to_owned(),
        ),
        (
            "tdx.tcb.identity",
            tdx(|device| {
                device.edit_tcb_info({
                    let name = name.clone();
                    move |info| info.id.clone_from(&name)
                })
            }),
            long[..82].to_owned(),
        ),
        (
            "tdx.collateral.signer",
            tdx(|device| device.edit_tcb_info_text(move |body| *body = body.replacen("\"version\":3", &text, 1))),
            long[..82].to_owned(),
        ),
        (
            "tdx.tcb.accepted",
            tdx(|device| {
                device.edit_tcb_info(move |info| {
                    info.levels.iter_mut().for_each(|level| level.advisories.clone_from(&advisory))
                })
            })
            .under("allowed_advisories", "[\"INTEL-SA-00837\"]"),
            long[..82].to_owned(),
        ),
    ] {
        let rejection = subject.rejected();
        assert_eq!(rejection.failed_checks(), [check]);
        let report = serde_json::to_string(rejection.report()).unwrap();
        for said in [rejection.to_string(), report] {
            assert!(!said.contains(&of), "{check}: {}", &said[..1_000.min(said.len())]);
        }
        let finding = rejection.report().finding(Check::from_id(check).unwrap()).unwrap();
        assert!(finding.actual().contains(&of[..50]), "a line of it is shown: {}", finding.actual());
    }
    // What is of a known length is shown whole: 64 bytes.
    let other = snp(|device| device.hwid(&[0x1F; 64])).rejected().to_string();
    assert!(other.contains(&format!("found HWID {}", "1f".repeat(64))), "{other}");
}

/// A name that is there and empty is said as one that is missing is: both sides of a finding have words.
#[test]
fn an_empty_name_is_never_a_side_without_words() {
    let advisory = vec![String::new()];
    let advised = tdx(move |device| {
        device
            .edit_tcb_info(move |info| info.levels.iter_mut().for_each(|level| level.advisories.clone_from(&advisory)))
    });
    let both = snp(|device| {
        device.edit_intermediate(|ask| ask.subject = Name::amd("")).edit_vek(|vek| vek.issuer = Name::amd(""))
    });
    let leaf = snp(|device| device.edit_vek(|vek| vek.issuer = Name::amd("")));
    for (check, subject, says) in [
        ("snp.chain.names-and-usage", both, "found the intermediate under ARK-Genoa"),
        ("snp.chain.present", leaf, "expected a certificate of an issuer without a name"),
        ("snp.chain.csp", snp(|device| device.vlek("")), "found (not an IA5String of 1 to 64 characters)"),
        ("tdx.tcb.accepted", advised.under("allowed_advisories", "[\"INTEL-SA-00837\"]"), "found (empty)"),
    ] {
        let rejection = subject.rejected();
        assert_eq!(rejection.failed_checks(), [check]);
        assert!(rejection.to_string().contains(says), "{rejection}");
    }
}

/// Whoever reads that something failed, or was not asked, looks for the field that decides it.
#[test]
fn every_check_knows_the_fields_that_decide_it() {
    for tee in [Tee::SevSnp, Tee::Tdx] {
        let mut subject = good(tee);
        subject.policy.claim_nothing();
        let report = subject.accepted();
        for finding in report.findings() {
            if let Outcome::NotChecked { waived_by, .. } = finding.outcome() {
                let fields: Vec<_> = finding.check().fields().iter().map(|field| field.name).collect();
                assert!(fields.contains(waived_by), "{}: {fields:?} has no {waived_by}", finding.check());
            }
        }
        let judged = |name: &str| Check::all().any(|check| check.fields().iter().any(|field| field.name == name));
        let idle: Vec<_> =
            teegate_verifier::fields_of(tee).iter().map(|field| field.name).filter(|name| !judged(name)).collect();
        assert!(idle.is_empty(), "no check is decided by {idle:?}");
    }
    assert!(Check::SNP_SIGNATURE.fields().is_empty() && Check::MANIFEST_FORM.fields().is_empty());
}

/// What the policy's author can change is not said to be the evidence's fault.
#[test]
fn a_rule_that_refuses_names_itself_in_the_remedy() {
    let key = remedy(&good(Tee::SevSnp).under("signing_keys", "[\"vlek\"]"), "snp.chain.leaf-kind");
    assert!(key.contains("the policy's `signing_keys`"), "{key}");
    let evaluation = remedy(&tdx(|device| device.evaluation_number(16)), "tdx.collateral.fresh");
    assert!(evaluation.contains("`minimum_evaluation_number`"), "{evaluation}");
    // The twin is out of its time, and is told so.
    let old = tdx(|device| device.edit_tcb_info(|info| info.next_update = AT));
    let old = remedy(&old, "tdx.collateral.fresh");
    assert!(!old.contains("`minimum_evaluation_number`") && old.contains("--at"), "{old}");
}
