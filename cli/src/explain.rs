//! `teegate verify --explain CHECK-ID`: what a check means, where its rule is written, what to do when it fails.

use std::process::ExitCode;

use teegate_verifier::{Check, Field, RestsOn, Stage};

use crate::nearest::distance;
use crate::screen::Screen;
use crate::{exit, output};

/// Explains the check with this id, writes the whole catalogue for `all`, or names the three that come closest.
pub(crate) fn run(id: &str) -> ExitCode {
    if id == "all" {
        return output::finish(&Check::catalogue(), exit::ACCEPTED);
    }
    match Check::from_id(id) {
        Some(check) => output::finish(&Screen::shows(explanation(check)), exit::ACCEPTED),
        None => output::fail(&unknown(id)),
    }
}

fn explanation(check: Check) -> String {
    let judges = match check.tee() {
        Some(tee) => tee.name(),
        None if check.is_around_evidence() => "what an instance sends around its evidence",
        None if check.id().starts_with("hcl.") => "evidence under the paravisor of an Azure confidential VM",
        None => "any evidence",
    };
    let stage = match check.stage() {
        Stage::Parse => "parse: what the bytes are",
        Stage::Authenticate => "authenticate: who vouches for them",
        Stage::Appraise => "appraise: whether they are wanted",
    };
    format!(
        "{id}\n\n  establishes   {stops}\n  judges        {judges}\n  stage         {stage}\n  rests on      {rests_on}\n  if it fails   {rejection}, exit status {status}\n  \
         to do         {remedy}\n  source        {source}\n  judged in     {code}\n  kept by       {test}\n{run}{rules}",
        id = check.id(),
        stops = check.stops(),
        rests_on = match check.rests_on() {
            RestsOn::Hardware => "what the hardware measured or reported, and signed",
            RestsOn::Vendor => "what the vendor signed",
            RestsOn::Asserted => "what the author of the policy asserts, or the caller",
            RestsOn::Derived =>
                "what is derived here: from the form of the bytes, a log, a table of this build, what was seen before",
        },
        rejection = check.stage().rejection(),
        status = exit::of_rejection(check.stage()),
        remedy = check.remedy(),
        source = check.source(),
        code = check.code(),
        test = check.test(),
        run = check.test_file().map_or_else(String::new, |(file, arguments)| format!(
            "                {file}\n                cargo test --locked {arguments}\n"
        )),
        rules = rules(check),
    )
}

/// The fields of a policy that decide it, each with what it is about.
fn rules(check: Check) -> String {
    let field = |field: &&'static Field| format!("  in a policy   `{}`: {}\n", field.name, field.subject);
    check.fields().iter().map(field).collect()
}

/// How many checks are named to who wrote another id.
const SUGGESTED: usize = 3;

fn unknown(id: &str) -> String {
    let id = output::short(id);
    let mut known: Vec<_> = Check::all().map(|check| check.id()).collect();
    // Stable: of those that are as near, the first of the walk.
    known.sort_by_key(|known| distance(known, &id));
    let near: Vec<_> = known.iter().take(SUGGESTED).map(|id| format!("`{id}`")).collect();
    format!(
        "`{id}` is not a check; the nearest are {}. `teegate verify --explain all` lists every check",
        near.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_explained() {
        for check in Check::all() {
            let text = explanation(check);
            assert!(
                text.contains(check.id()) && text.contains(check.stops()) && text.contains(check.remedy()),
                "{text}"
            );
            assert!(!check.code().is_empty() && !check.test().is_empty(), "{text}");
            // A stranger finds the test and the command that runs it, or why there is none.
            assert!(check.test_file().is_some() || check.test().starts_with("cannot fail"), "{text}");
        }
        let text = explanation(Check::SNP_SIGNATURE);
        assert!(
            text.contains("\n                tests/tests/verifier/sev_snp/snp_leaf.rs\n                cargo test --locked -p teegate-tests "),
            "{text}"
        );
        let text = explanation(Check::SNP_CHAIN_LEAF_KIND);
        assert!(text.contains("\n  in a policy   `signing_keys`: "), "{text}");
    }

    #[test]
    fn another_id_names_the_three_that_are_nearest() {
        assert_eq!(
            unknown("snp.chain"),
            "`snp.chain` is not a check; the nearest are `uvm.chain`, `snp.chain.csp`, `snp.chain.age`. \
             `teegate verify --explain all` lists every check"
        );
        for (meant, first) in [
            ("snp.sigature", "snp.signature"),
            ("tdx.td.rtmr", "tdx.td.rtmr0"),
            ("Manifest.Window", "manifest.window"),
            ("client.manifest-window", "manifest.window"),
        ] {
            assert!(unknown(meant).contains(&format!("the nearest are `{first}`, ")), "{}", unknown(meant));
        }
        let long = unknown(&"x".repeat(100_000));
        assert!(long.len() < 300 && long.contains("--explain all"), "{}", long.len());
    }

    #[test]
    fn what_is_judged_around_evidence_says_of_what() {
        assert!(
            explanation(Check::MANIFEST_WINDOW).contains("judges        what an instance sends around its evidence")
        );
        assert!(explanation(Check::POLICY_PROFILE).contains("judges        any evidence"));
        assert!(explanation(Check::TDX_SIGNATURE).contains("judges        tdx"));
    }
}
