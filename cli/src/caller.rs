//! What only the caller can say: which 64 bytes the evidence must carry. A policy that asks for them has no answer without them,
//! and saying that *somebody relays another's evidence* to whoever forgot an option would be false.

use teegate_verifier::{Policy, ReportData, Tee};

use crate::output::plain;

/// The policy called `named`, which now asks evidence of `tee` for these bytes; without them it is refused before anything is
/// judged, if it asks the caller for any.
pub(crate) fn asks(policy: Policy, named: &str, tee: Tee, report_data: Option<ReportData>) -> Result<Policy, String> {
    match report_data {
        Some(expected) => Ok(policy.with_report_data(expected)),
        None if policy.misses_report_data(tee) => Err(format!(
            "policy `{}` asks you which report data the evidence must carry, and none was named: give `--report-data HEX`, the 64 \
             bytes of your challenge (for recorded evidence, those that were kept with it); nothing was judged",
            plain(named)
        )),
        None => Ok(policy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_profile_that_asks_the_caller_and_gets_no_answer_is_refused() {
        let bytes = ReportData([7; 64]);
        let genuine = |snp: &str, tdx: &str| {
            let mut text = teegate_measurements::GENUINE.to_owned();
            for rule in [snp, tdx] {
                text = text.replacen("\nreport_data = \"unchecked\"\n", &format!("\nreport_data = {rule}\n"), 1);
            }
            Policy::parse(&text).unwrap()
        };
        let fixed = format!("\"{}\"", "07".repeat(64));
        for (rules, tee, refused) in [
            (["\"caller\"", "\"caller\""], Tee::SevSnp, true),
            (["\"caller\"", "\"caller\""], Tee::Tdx, true),
            (["\"caller\"", &fixed], Tee::SevSnp, true),
            (["\"caller\"", &fixed], Tee::Tdx, false),
        ] {
            let policy = genuine(rules[0], rules[1]);
            let outcome = asks(policy.clone(), "p\u{1b}.toml", tee, None);
            assert_eq!(outcome.is_err(), refused, "{rules:?} {tee}");
            if let Err(message) = outcome {
                assert!(message.contains("policy `p\\u{1b}.toml` asks you") && message.contains("--report-data HEX"));
            }
            assert!(asks(policy, "p", tee, Some(bytes)).is_ok());
        }
        let open = Policy::parse(teegate_measurements::GENUINE).unwrap();
        assert!(
            asks(open.clone(), "genuine", Tee::SevSnp, None).is_ok() && asks(open, "genuine", Tee::Tdx, None).is_ok()
        );
    }
}
