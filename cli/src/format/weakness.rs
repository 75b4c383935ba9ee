//! What weakens an acceptance: whoever reads the verdict reads this with it, and it is never green.

use teegate_verifier::{BoundTo, Check, FactValue, Finding, Outcome, Report};

use super::about::{FOREIGN_ROOTS, rests_on_foreign_roots};

/// One weakness: two words, and a sentence.
pub(super) struct Weakness {
    pub(super) label: &'static str,
    pub(super) sentence: String,
}

/// All of an acceptance, gravest first. `in_vain` is what the vendors were asked for and nobody gave.
pub(super) fn of(report: &Report, in_vain: &[String]) -> Vec<Weakness> {
    let mut all = Vec::new();
    if !report.accepted() {
        return all;
    }
    let mut say = |label, sentence: String| all.push(Weakness { label, sentence });
    // The report warns of them itself; whatever it says, such an acceptance is never without a warning.
    if rests_on_foreign_roots(report) && report.warnings().next().is_none() {
        say("OTHER ROOTS", FOREIGN_ROOTS.to_owned());
    }
    report.warnings().for_each(|warning| say("WARNING", warning.to_owned()));
    if is_waived(report, [Check::SNP_GUEST_MEASUREMENT, Check::TDX_TD_MRTD]) {
        say("ANY CODE", "the policy does not ask which code runs: do not send to it".to_owned());
    } else if report.bound_to().is_none() {
        say("NO CLAIM", "the policy makes no claim about which code the evidence speaks for (`bound_to`)".to_owned());
    }
    if let Some(status) = worse_than_up_to_date(report) {
        let advisories = match report.fact("advisories") {
            Some(FactValue::List(open)) if !open.is_empty() => format!(", open to {}", open.join(" ")),
            _ => String::new(),
        };
        let judged = if is_waived(report, [Check::TDX_TCB_ACCEPTED]) { "does not judge it" } else { "takes it" };
        let label = if status.starts_with("OutOfDate") { "OUT OF DATE" } else { "TCB STATUS" };
        say(label, format!("Intel's status of this platform is {status}{advisories}; the policy {judged}"));
    }
    if let Some(FactValue::List(open)) = report.fact("bulletins_open")
        && !open.is_empty()
    {
        say("OPEN HOLES", format!("AMD published {}, and this platform shows no answer", open.join(" ")));
    }
    if is_waived(report, [Check::SNP_CHAIN_REVOCATION]) {
        say("NO CRL", "nobody was asked whether a certificate of the chain is revoked".to_owned());
    }
    if is_waived(report, [Check::SNP_GUEST_REPORT_DATA, Check::TDX_TD_REPORT_DATA]) {
        say(
            "NOT FRESH",
            "the report data was not compared: nothing shows that this was made now, or for you".to_owned(),
        );
    }
    if report.bound_to() == Some(BoundTo::Guest) {
        say("WHOLE GUEST", "everything that runs in that machine can read what is sent to it".to_owned());
    }
    for prospect in report.outlook().iter().filter(|prospect| !prospect.accepted) {
        say("OUTLOOK", prospect.text.clone());
    }
    in_vain.iter().for_each(|missing| say("NOT ASKED", format!("not to be had: {missing}")));
    if report.replayed() {
        say("REPLAY", "the time was named, and is not the present".to_owned());
    }
    all
}

/// Whether a check that passed rests on a status below the best.
pub(super) fn is_weak_pass(finding: &Finding) -> bool {
    let id = finding.check().id();
    *finding.outcome() == Outcome::Pass
        && (id.starts_with("tdx.tcb.") || id == Check::TDX_QE_TCB.id())
        && LESSER.iter().any(|status| finding.actual().contains(status))
}

/// Intel's words for what is not up to date, or longer ones that begin with them.
const LESSER: [&str; 5] =
    ["OutOfDate", "SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSW", "TDRelaunchAdvised"];

fn worse_than_up_to_date(report: &Report) -> Option<String> {
    let status = report.fact("tcb_status")?.to_string();
    (status != "UpToDate").then_some(status)
}

fn is_waived<const N: usize>(report: &Report, checks: [Check; N]) -> bool {
    checks
        .into_iter()
        .filter_map(|check| report.finding(check))
        .any(|finding| matches!(finding.outcome(), Outcome::NotChecked { .. }))
}
