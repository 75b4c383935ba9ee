//! What weakens an acceptance: whoever reads the verdict reads this with it, and it is never green.

use teegate_verifier::{BoundTo, Check, FactValue, Finding, Outcome, Report, Wrapping};

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
    // Under a paravisor it is not the host that supplies them.
    if report.bound_to().is_some() && report.wrapping() == Wrapping::Raw {
        match report.fact("acpi_tables").map(ToString::to_string).as_deref() {
            Some(pinned) if pinned.starts_with("pinned") => {}
            None => {}
            Some(other) => say(
                "ACPI TABLES",
                format!("{other}: they are code that the host supplies, and RTMR0 does not show which (BadAML)"),
            ),
        }
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
    if let Some(open) = open_bulletins(report) {
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

/// What AMD published, and this platform shows no answer to.
pub(super) fn open_bulletins(report: &Report) -> Option<&[String]> {
    match report.fact("bulletins_open") {
        Some(FactValue::List(open)) if !open.is_empty() => Some(open),
        _ => None,
    }
}

/// Intel's status of this platform, where it is not the best.
pub(super) fn worse_than_up_to_date(report: &Report) -> Option<String> {
    let status = report.fact("tcb_status")?.to_string();
    (status != "UpToDate").then_some(status)
}

fn is_waived<const N: usize>(report: &Report, checks: [Check; N]) -> bool {
    checks
        .into_iter()
        .filter_map(|check| report.finding(check))
        .any(|finding| matches!(finding.outcome(), Outcome::NotChecked { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use teegate_verifier::{Endorsements, Evidence, Policy, UnixTime, verify};

    /// The policy of these tests: what is asked of a forged guest, so that only its roots are weak.
    const ASKED: [(&str, &str); 6] = [
        ("bound_to = \"unchecked\"", "bound_to = \"workload\""),
        ("revocation = \"if-supplied\"", "revocation = \"required\""),
        ("measurement = \"unchecked\"", "measurement = \"MEASUREMENT\""),
        ("host_data = \"unchecked\"", "host_data = \"HOST_DATA\""),
        ("vmpl = \"unchecked\"", "vmpl = [0]"),
        ("report_data = \"unchecked\"", "report_data = \"REPORT_DATA\""),
    ];

    fn labels(asked: &[(&str, &str)], with_crl: bool) -> Vec<&'static str> {
        let guest = teegate_forge::snp().measurement([0x4D; 48]).host_data([0x11; 32]).report_data([0x64; 64]);
        let set = guest.build();
        // The profile of SEV-SNP alone.
        let (genuine, _) = teegate_measurements::GENUINE.split_once("[tdx.genuine]").unwrap();
        let policy = asked.iter().fold(genuine.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
        let policy = policy
            .replace("MEASUREMENT", &"4d".repeat(48))
            .replace("HOST_DATA", &"11".repeat(32))
            .replace("REPORT_DATA", &"64".repeat(64));
        let policy = Policy::parse(&format!("{policy}\n[trust_anchors]\namd = ['''{}''']\n", set.ark_pem)).unwrap();
        let mut pool = Endorsements::new();
        set.certificates().into_iter().for_each(|der| pool.add_certificate(der));
        if let Some(crl) = set.crl.filter(|_| with_crl) {
            pool.add_crl(crl);
        }
        let now = UnixTime::from_seconds(teegate_forge::time::AT);
        let attested = verify(&Evidence::sev_snp(&set.report, &pool), &policy, now).unwrap();
        of(attested.report(), &[]).iter().map(|weakness| weakness.label).collect()
    }

    /// `ASKED` without one of its lines.
    fn without(field: &str) -> Vec<(&'static str, &'static str)> {
        ASKED.into_iter().filter(|(from, _)| !from.starts_with(field)).collect()
    }

    /// The roots are the forge's; on the vendors' own, such an acceptance would be green.
    #[test]
    fn what_is_asked_weakens_nothing_and_each_thing_that_is_not_has_its_label() {
        assert_eq!(labels(&ASKED, true), ["WARNING"]);
        let revoking = without("revocation");
        assert_eq!(labels(&revoking, true), ["WARNING"], "a list that was supplied was read");
        assert_eq!(labels(&revoking, false), ["WARNING", "NO CRL"]);
        assert_eq!(labels(&without("report_data"), true), ["WARNING", "NOT FRESH"]);
        let guest = [&without("bound_to")[..], &[("bound_to = \"unchecked\"", "bound_to = \"guest\"")]].concat();
        assert_eq!(labels(&guest, true), ["WARNING", "WHOLE GUEST"]);
        assert_eq!(labels(&[], true), ["WARNING", "ANY CODE", "NOT FRESH"]);
        let no_claim = [ASKED[1], ASKED[2], ASKED[5]];
        assert_eq!(labels(&no_claim, true), ["WARNING", "NO CLAIM"]);
    }
}
