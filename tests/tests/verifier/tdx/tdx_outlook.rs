//! Several evaluations of one platform: which decides, and what the others say.

use teegate_forge::time::{AT, DAY};
use teegate_verifier::Tee;

use crate::subject::{Subject, good, tdx};

/// A platform with a second TCB info, of this evaluation, issued then, that finds every level out of date; and the QE
/// identity of the same evaluation.
pub(crate) fn with_another(evaluation: u32, issued: u64) -> Subject {
    let other = tdx(move |device| {
        device
            .edit_tcb_info(move |info| {
                (info.evaluation_number, info.issue_date, info.next_update) = (evaluation, issued, issued + 30 * DAY);
                for level in &mut info.levels {
                    "OutOfDate".clone_into(&mut level.status);
                    level.advisories = vec!["INTEL-SA-00837".to_owned()];
                }
            })
            .edit_qe_identity(move |qe| {
                (qe.evaluation_number, qe.issue_date, qe.next_update) = (evaluation, issued, issued + 30 * DAY);
            })
    });
    good(Tee::Tdx).with_pool(|pool| {
        pool.tcb_infos.extend(other.pool.tcb_infos);
        pool.qe_identities.extend(other.pool.qe_identities);
    })
}

fn outlook(report: &teegate_verifier::Report) -> Vec<(u32, bool, Option<&str>, bool)> {
    let row = |one: &'_ teegate_verifier::Prospect| (one.evaluation, one.decides, one.accepted);
    report
        .outlook()
        .iter()
        .map(|one| {
            let (evaluation, decides, accepted) = row(one);
            (evaluation, decides, one.tcb_status.as_deref(), accepted)
        })
        .collect()
}

fn own() -> u32 {
    match good(Tee::Tdx).accepted().fact("tcb_evaluation_number") {
        Some(teegate_verifier::FactValue::Number(number)) => u32::try_from(*number).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_evaluation_has_no_outlook() {
    assert_eq!(outlook(&good(Tee::Tdx).accepted()), []);
}

#[test]
fn an_evaluation_that_comes_is_told_before_it_holds_and_decides_when_it_does() {
    let own = own();
    let issued = AT + 5 * DAY;
    let subject = with_another(own + 2, issued);
    let report = subject.accepted();
    assert_eq!(outlook(&report), [(own, true, Some("UpToDate"), true), (own + 2, false, Some("OutOfDate"), false)]);
    let text = &report.outlook()[1].text;
    assert!(text.starts_with("will be OutOfDate from 2026-06-06T00:00:00Z (evaluation "), "{text}");
    assert_eq!(report.outlook()[1].advisories, ["INTEL-SA-00837"]);

    let later = subject.at(issued).rejected();
    assert_eq!(later.failed_checks(), ["tdx.tcb.accepted"]);
    assert_eq!(
        outlook(later.report()),
        [(own, false, Some("UpToDate"), true), (own + 2, true, Some("OutOfDate"), false)]
    );
}

/// Early and standard hold at the same time: the policy says which decides.
#[test]
fn a_policy_chooses_between_early_and_standard() {
    let own = own();
    let both = with_another(own + 2, AT - DAY);
    let rejection = both.clone().rejected();
    assert_eq!(rejection.failed_checks(), ["tdx.tcb.accepted"]);
    let report = both.clone().under("deciding_evaluation", "\"lowest\"").accepted();
    assert_eq!(outlook(&report), [(own, true, Some("UpToDate"), true), (own + 2, false, Some("OutOfDate"), false)]);
    assert!(report.outlook()[1].text.starts_with("is OutOfDate under evaluation "), "{}", report.outlook()[1].text);
    // The minimum stands above the choice.
    let raised = both
        .under("deciding_evaluation", "\"lowest\"")
        .under("minimum_evaluation_number", &(own + 1).to_string())
        .rejected();
    assert_eq!(raised.failed_checks(), ["tdx.tcb.accepted"]);
    assert!(raised.report().outlook()[0].text.ends_with("an evaluation below the policy's minimum"));
}

/// What nobody signed says nothing about the future, and what is past says nothing at all.
#[test]
fn an_unsigned_or_expired_evaluation_is_no_outlook() {
    let own = own();
    let unsigned = with_another(own + 2, AT + DAY).with_pool(|pool| pool.tcb_infos[1].signature[3] ^= 1);
    assert_eq!(outlook(&unsigned.accepted()), []);
    assert_eq!(outlook(&with_another(own + 2, AT - 40 * DAY).accepted()), []);
    // Junk that claims a later issue of the same evaluation hides nothing.
    let junk = with_another(own + 2, AT + 2 * DAY).pool.tcb_infos[1].clone();
    let shadowed = with_another(own + 2, AT + DAY).with_pool(|pool| {
        pool.tcb_infos.push(junk.clone());
        pool.tcb_infos[2].signature[3] ^= 1;
    });
    assert_eq!(shadowed.accepted().outlook()[1].from.seconds(), AT + DAY);
    assert_eq!(outlook(&with_another(own + 2, AT + DAY).accepted()).len(), 2);
}

/// A TCB info of another PCE is another platform's: it says nothing of this one, and ends no verdict about it.
#[test]
fn another_platforms_evaluation_is_no_outlook() {
    let (own, until) = (own(), good(Tee::Tdx).accepted().valid_until());
    let other = |pce_id: Option<[u8; 2]>| {
        let text = tdx(move |device| {
            let device = device.tcb_info_window(AT + DAY, AT + 30 * DAY).platform_status("OutOfDate");
            device.edit_tcb_info(move |info| {
                info.evaluation_number = own + 2;
                info.pce_id = pce_id.map_or_else(|| info.pce_id.clone(), |other| other.to_vec());
            })
        });
        good(Tee::Tdx).with_pool(|pool| pool.tcb_infos.extend(text.pool.tcb_infos)).accepted()
    };
    let (foreign, same) = (other(Some([9, 9])), other(None));
    assert_eq!((outlook(&foreign).len(), foreign.valid_until()), (0, until));
    assert_eq!(outlook(&same).len(), 2);
    assert!(same.valid_until() < until);
}

/// A recorded quote under the collateral of several years: at the time of the oldest, what Intel said later is foreseen.
#[test]
fn recorded_collateral_foresees_what_intel_said_later() {
    let Some(fixtures) = crate::recorded::fixtures() else { return };
    let evidence = teegate_intake::evidence::load(&fixtures.join("tdx/v4-00806f-gcp-ccel/quote.bin"), None).unwrap();
    let collateral = ["certs", "pool"].map(|folder| fixtures.join("dcap-collateral").join(folder));
    let pool = teegate_intake::endorsements::load_paths(&collateral).unwrap();
    let policy = teegate_verifier::Policy::parse(teegate_measurements::GENUINE).unwrap();
    let at = teegate_verifier::UnixTime::parse("2025-02-20T00:00:00Z").unwrap();
    let attested = teegate_verifier::verify(&evidence.as_evidence(&pool), &policy, at).unwrap();
    let told: Vec<_> = attested.report().outlook().iter().map(|one| one.text.split(" (").next().unwrap()).collect();
    assert_eq!(
        told,
        [
            "is UpToDate until 2025-03-15T03:50:41Z at least",
            "will be OutOfDate from 2026-01-27T09:01:45Z",
            "will be OutOfDate from 2026-06-12T22:19:21Z",
        ]
    );
}
