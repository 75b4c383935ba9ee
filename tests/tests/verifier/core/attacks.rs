//! Ways in which a hostile host, or whoever supplies the collateral, could make a verdict better than it is: tried once by a
//! reviewer with success, and kept so that they stay closed.

use teegate_forge::snp::{Product, Tcb};
use teegate_forge::tdx::{QeIdentity, TcbInfo};
use teegate_forge::time::{AT, DAY, rfc3339};
use teegate_verifier::{FactValue, Tee};

use crate::subject::{Subject, good, snp, tdx};
use crate::tdx_outlook::with_another;

fn own_evaluation() -> u32 {
    match good(Tee::Tdx).accepted().fact("tcb_evaluation_number") {
        Some(FactValue::Number(number)) => u32::try_from(*number).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// A platform whose parts say this of themselves; only the platform has advisories.
fn parts(platform: &'static str, qe: &'static str, module: &'static str) -> Subject {
    tdx(move |device| {
        device
            .edit_tcb_info(move |info| {
                for level in &mut info.levels {
                    platform.clone_into(&mut level.status);
                    level.advisories = vec!["INTEL-SA-00615".to_owned()];
                }
                for level in info.module_identities.iter_mut().flatten().flat_map(|identity| &mut identity.levels) {
                    module.clone_into(&mut level.status);
                }
            })
            .edit_qe_identity(move |identity| {
                identity.levels.iter_mut().for_each(|level| qe.clone_into(&mut level.status));
            })
    })
}

/// Convergence hides what a platform needs behind an older enclave or module: grace is for what is old, part by part.
#[test]
fn an_older_part_does_not_carry_another_through_a_grace() {
    let grace = |subject: Subject| {
        subject
            .under("out_of_date_grace", "{ days = 3650 }")
            .under("tcb_status", "[\"UpToDate\", \"ConfigurationNeeded\"]")
    };
    for platform in ["SWHardeningNeeded", "ConfigurationAndSWHardeningNeeded"] {
        for (qe, module) in [("UpToDate", "UpToDate"), ("OutOfDate", "UpToDate"), ("UpToDate", "OutOfDate")] {
            let refused = grace(parts(platform, qe, module)).rejected();
            assert_eq!(refused.failed_checks(), ["tdx.tcb.accepted"], "{platform} {qe} {module}");
        }
    }
    for (platform, qe, module) in [
        ("UpToDate", "OutOfDate", "UpToDate"),
        ("ConfigurationNeeded", "UpToDate", "OutOfDate"),
        ("OutOfDate", "OutOfDate", "OutOfDate"),
    ] {
        grace(parts(platform, qe, module)).accepted();
    }
}

/// An enclave that is old for no advisory is explained by no exception for the platform's.
#[test]
fn an_exception_for_one_part_excuses_no_other() {
    let rule = format!(
        "{{ \"INTEL-SA-00615\" = {{ statuses = [\"OutOfDate\"], until = \"{}\", reason = \"why\" }} }}",
        rfc3339(AT + DAY)
    );
    let excepted = |subject: Subject| subject.under("tcb_exceptions", &rule);
    for (platform, qe) in [("SWHardeningNeeded", "OutOfDate"), ("UpToDate", "OutOfDate"), ("OutOfDate", "OutOfDate")] {
        let refused = excepted(parts(platform, qe, "UpToDate")).rejected();
        assert_eq!(refused.failed_checks(), ["tdx.tcb.accepted"], "{platform} {qe}");
    }
    excepted(parts("OutOfDate", "UpToDate", "UpToDate")).accepted();
}

/// A good platform with collateral of a coming evaluation in which this is changed.
fn coming(info: impl Fn(&mut TcbInfo) + Send + Sync + 'static, qe: Option<fn(&mut QeIdentity)>) -> Subject {
    let (evaluation, issued) = (own_evaluation() + 2, AT + 5 * DAY);
    let other = tdx(move |device| {
        device
            .edit_tcb_info(move |text| {
                (text.evaluation_number, text.issue_date, text.next_update) = (evaluation, issued, issued + 30 * DAY);
                info(text);
            })
            .edit_qe_identity(move |text| {
                (text.evaluation_number, text.issue_date, text.next_update) = (evaluation, issued, issued + 30 * DAY);
                if let Some(edit) = qe {
                    edit(text);
                }
            })
    });
    good(Tee::Tdx).with_pool(|pool| {
        pool.tcb_infos.extend(other.pool.tcb_infos);
        if qe.is_some() {
            pool.qe_identities.extend(other.pool.qe_identities);
        }
    })
}

/// Whether the outlook and the verdict of that time agree that it will be refused, and for this check.
#[track_caller]
fn will_be_refused(subject: &Subject, check: &str) {
    let report = subject.accepted();
    let [now, then] = report.outlook() else { panic!("{:?}", report.outlook()) };
    assert!(now.accepted && !then.accepted, "{then:?}");
    // The verdict of now does not outlive the change.
    assert!(report.valid_until().unwrap().seconds() <= AT + 5 * DAY, "{:?}", report.valid_until());
    assert_eq!(subject.clone().at(AT + 5 * DAY).rejected().failed_checks(), [check]);
}

fn needs_configuration(identity: &mut QeIdentity) {
    identity.levels.iter_mut().for_each(|level| "ConfigurationNeeded".clone_into(&mut level.status));
}

#[test]
fn an_outlook_says_no_more_than_the_verdict_will() {
    will_be_refused(&with_another(own_evaluation() + 2, AT + 5 * DAY), "tdx.tcb.accepted");
    will_be_refused(&coming(|_| {}, Some(needs_configuration)), "tdx.qe.tcb");
    // The QE identity of that evaluation was not supplied, and the policy asks for one evaluation.
    will_be_refused(&coming(|_| {}, None), "tdx.collateral.fresh");
    coming(|_| {}, Some(|_| {})).at(AT + 5 * DAY).accepted();
}

/// What nobody signed neither hides nor changes what a coming evaluation says.
#[test]
fn junk_changes_no_outlook() {
    let own = own_evaluation();
    let clean = with_another(own + 2, AT + 5 * DAY);
    let expected = clean.accepted().outlook().to_vec();
    assert_eq!(expected.len(), 2);
    let junk = |evaluation: u32, issued: u64| {
        let mut junk = with_another(evaluation, issued).pool;
        junk.tcb_infos[1].signature[3] ^= 1;
        junk.qe_identities[1].signature[3] ^= 1;
        junk
    };
    for (evaluations, issued) in [(own + 2..own + 3, AT + 6 * DAY), (0..own, AT + 5 * DAY)] {
        let mut subject = clean.clone();
        for evaluation in evaluations {
            let junk = junk(evaluation, issued);
            subject.pool.tcb_infos.push(junk.tcb_infos[1].clone());
            subject.pool.qe_identities.insert(0, junk.qe_identities[1].clone());
        }
        assert_eq!(subject.accepted().outlook(), expected);
    }
}

/// A memory that has seen the newer evaluation does not lock out whoever supplies both.
#[test]
fn the_lowest_evaluation_is_none_below_one_that_was_seen() {
    let own = own_evaluation();
    let lowest = |subject: Subject| subject.under("deciding_evaluation", "\"lowest\"");
    let newer = lowest(tdx(move |device| {
        device
            .edit_tcb_info(move |info| info.evaluation_number = own + 2)
            .edit_qe_identity(move |identity| identity.evaluation_number = own + 2)
    }));
    let both = lowest(good(Tee::Tdx).with_pool(|pool| {
        pool.tcb_infos.extend(newer.pool.tcb_infos.clone());
        pool.qe_identities.extend(newer.pool.qe_identities.clone());
    }));
    let decides = |subject: &Subject| subject.accepted().fact("tcb_evaluation_number").cloned();
    assert_eq!(decides(&both), Some(FactValue::Number(own.into())));
    assert_eq!(decides(&both.after(&newer)), Some(FactValue::Number((own + 2).into())));
    assert_eq!(lowest(good(Tee::Tdx)).after(&newer).rejected().failed_checks(), ["tdx.collateral.rollback"]);
}

const GENOA: Tcb = Tcb { fmc: 0, bootloader: 10, tee: 1, snp: 0x1B, microcode: 0x54 };

/// Whoever holds another root cannot make a chip of this one look rolled back.
#[test]
fn a_chip_under_another_root_is_another_chip() {
    let high = Tcb { fmc: 0, bootloader: 255, tee: 255, snp: 255, microcode: 255 };
    let planted = snp(move |device| device.product(Product::Milan).tcb(high));
    snp(|device| device.tcb(GENOA)).after(&planted).accepted();
}

/// The host can mask CHIP_ID; the certificate of the key names the chip all the same.
#[test]
fn masking_the_chip_id_hides_no_rollback() {
    let masked = |subject: Subject| subject.under("masked_chip_id", "\"allowed\"");
    let seen = masked(snp(|device| device.tcb(GENOA)));
    let low = Tcb { tee: 0, ..GENOA };
    for subject in [snp(move |device| device.tcb(low)), snp(move |device| device.tcb(low).masked_chip_id())] {
        assert_eq!(masked(subject).after(&seen).rejected().failed_checks(), ["snp.tcb.rollback"]);
    }
    masked(snp(|device| device.tcb(GENOA).masked_chip_id())).after(&seen).accepted();
}

/// A verdict of the day before a bulletin ends with that day, if the platform has not answered it.
#[test]
fn a_verdict_ends_where_a_bulletin_that_is_known_begins() {
    const PUBLISHED: u64 = 1_776_124_800;
    let of = |build: u8| {
        snp(move |device| device.at(PUBLISHED - DAY).current_firmware(1, 55, build).committed_firmware(1, 55, build))
            .at(PUBLISHED - 1)
            .under("bulletins", "{ baseline = 1, grace_days = 0, except = {} }")
    };
    let report = of(48).accepted();
    assert_eq!(report.valid_until().unwrap().seconds(), PUBLISHED);
    assert_eq!(report.ends_first(), Some("the time before AMD-SB-3016 (bulletins)"));
    assert_eq!(of(48).at(PUBLISHED).rejected().failed_checks(), ["snp.tcb.bulletins"]);
    assert!(of(49).accepted().valid_until().unwrap().seconds() > PUBLISHED);
}
