//! TDX statuses beside those that are listed: a grace that ends, and exceptions by advisory.

use teegate_forge::time::{AT, DAY, rfc3339};
use teegate_verifier::{Policy, Tee};

use crate::case::{Case, cases, refused};
use crate::subject::{Subject, good, tdx};

cases! { grace configuration_has_no_grace exceptions }

/// A platform whose level says this, of a TCB date 30 days before the forged clock.
fn status(status: &'static str, advisories: &'static [&'static str]) -> Subject {
    tdx(move |device| {
        device.edit_tcb_info(move |info| {
            for level in &mut info.levels {
                status.clone_into(&mut level.status);
                level.date = AT - 30 * DAY;
                level.advisories = advisories.iter().map(|id| (*id).to_owned()).collect();
            }
        })
    })
}

/// The date is the earliest of platform, module and quoting enclave, which the forged device has far back.
fn grace() -> Vec<Case> {
    let date = match status("OutOfDate", &[]).under("tcb_status", "\"unchecked\"").accepted().fact("tcb_date") {
        Some(date) => teegate_verifier::UnixTime::parse(&date.to_string()).unwrap().seconds(),
        None => panic!("no date"),
    };
    let days = (AT - date) / DAY;
    let rule = |days: u64| format!("{{ days = {days} }}");
    let out_of_date = status("OutOfDate", &["INTEL-SA-00837"]);
    vec![
        refused("tdx.tcb.accepted", out_of_date.clone().under("out_of_date_grace", &rule(days)))
            .twin(out_of_date.clone().under("out_of_date_grace", &rule(days + 1)))
            .actual("OutOfDate"),
        refused("tdx.tcb.accepted", out_of_date.clone()).twin(out_of_date.under("out_of_date_grace", &rule(days + 1))),
        // Grace is for what is out of date, and for nothing else.
        refused("tdx.tcb.accepted", status("SWHardeningNeeded", &[]).under("out_of_date_grace", &rule(days + 1)))
            .actual("SWHardeningNeeded"),
        refused("tdx.tcb.accepted", status("Revoked", &[]).under("out_of_date_grace", &rule(days + 1)))
            .actual("Revoked"),
    ]
}

fn configuration_has_no_grace() -> Vec<Case> {
    let both = status("OutOfDateConfigurationNeeded", &[]).under("out_of_date_grace", "{ days = 3650 }");
    vec![
        refused("tdx.tcb.accepted", both.clone())
            .twin(both.under("tcb_status", "[\"UpToDate\", \"ConfigurationNeeded\"]"))
            .actual("OutOfDateConfigurationNeeded"),
    ]
}

fn exception(id: &str, statuses: &str, until: u64) -> String {
    format!("\"{id}\" = {{ statuses = [{statuses}], until = \"{}\", reason = \"hosts mitigate it\" }}", rfc3339(until))
}

fn exceptions() -> Vec<Case> {
    let hardening = "\"SWHardeningNeeded\"";
    let open = status("SWHardeningNeeded", &["INTEL-SA-00615"]);
    let two = status("SWHardeningNeeded", &["INTEL-SA-00615", "INTEL-SA-00837"]);
    let one = format!("{{ {} }}", exception("INTEL-SA-00615", hardening, AT + DAY));
    let both = format!(
        "{{ {}, {} }}",
        exception("INTEL-SA-00615", hardening, AT + DAY),
        exception("INTEL-SA-00837", hardening, AT + 2 * DAY)
    );
    let case = |subject: Subject, rule: &str, twin: Subject, twins: &str| {
        refused("tdx.tcb.accepted", subject.under("tcb_exceptions", rule)).twin(twin.under("tcb_exceptions", twins))
    };
    vec![
        case(open.clone(), "{}", open.clone(), &one).actual("SWHardeningNeeded of"),
        // Every advisory must be named,
        case(two.clone(), &one, two, &both).actual("open to INTEL-SA-00615, INTEL-SA-00837"),
        // by an exception that has not ended,
        case(
            open.clone(),
            &format!("{{ {} }}", exception("INTEL-SA-00615", hardening, AT)),
            open.clone(),
            &format!("{{ {} }}", exception("INTEL-SA-00615", hardening, AT + 1)),
        ),
        // for this status,
        case(
            open.clone(),
            &format!("{{ {} }}", exception("INTEL-SA-00615", "\"ConfigurationNeeded\"", AT + DAY)),
            open.clone(),
            &one,
        ),
        // and a status without any advisory is explained by none.
        case(status("SWHardeningNeeded", &[]), &one, open, &one),
    ]
}

/// A verdict that rests on an exception ends with it, and says which and why.
#[test]
fn an_exception_ends_the_verdict_and_is_shown() {
    let rule = format!("{{ {} }}", exception("INTEL-SA-00615", "\"SWHardeningNeeded\"", AT + DAY));
    let report = status("SWHardeningNeeded", &["INTEL-SA-00615"]).under("tcb_exceptions", &rule).accepted();
    assert_eq!(report.valid_until().unwrap().seconds(), AT + DAY);
    assert_eq!(report.ends_first(), Some("the exception for INTEL-SA-00615: hosts mitigate it"));
    let accepted = report.finding(teegate_verifier::Check::TDX_TCB_ACCEPTED).unwrap();
    assert!(accepted.actual().contains("by the exception for INTEL-SA-00615: hosts mitigate it, until 2026-06-02"));
}

#[test]
fn what_softens_no_rule_and_what_never_ends_are_refused() {
    for (fields, says) in [
        (
            [("tcb_status", "\"unchecked\""), ("out_of_date_grace", "{ days = 1 }")].as_slice(),
            "`out_of_date_grace` softens `tcb_status`, which is unchecked",
        ),
        (&[("out_of_date_grace", "{ days = 0 }")], "expected 1 to 3650"),
        (&[("out_of_date_grace", "\"for-ever\"")], "expected \"none\" or { days"),
        (
            &[("tcb_exceptions", "{ \"INTEL-SA-00615\" = { statuses = [\"OutOfDate\"], reason = \"why\" } }")],
            "missing field `until`",
        ),
        (
            &[(
                "tcb_exceptions",
                "{ \"INTEL-SA-00615\" = { statuses = [], until = \"2027-01-01T00:00:00Z\", reason = \"why\" } }",
            )],
            "names no status",
        ),
        (&[("deciding_evaluation", "\"newest\"")], "expected `highest` or `lowest`"),
    ] {
        let mut policy = good(Tee::Tdx).policy;
        fields.iter().for_each(|(field, value)| policy.set(Tee::Tdx, field, value));
        let error = Policy::parse(&policy.to_toml()).unwrap_err().to_string();
        assert!(error.contains(says), "{fields:?}: {error}");
    }
}
