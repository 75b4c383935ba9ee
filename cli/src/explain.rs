//! `teegate verify --explain CHECK-ID`: what a check means, where its rule is written, what to do when it fails.

use std::process::ExitCode;

use teegate_verifier::{Check, RestsOn, Stage};

use crate::{exit, output};

/// Explains the check with this id, writes the whole catalogue for `all`, or names those that come close.
pub(crate) fn run(id: &str) -> ExitCode {
    if id == "all" {
        return output::finish(&Check::catalogue(), exit::ACCEPTED);
    }
    match Check::from_id(id) {
        Some(check) => output::finish(&explanation(check), exit::ACCEPTED),
        None => output::fail(&unknown(id)),
    }
}

fn explanation(check: Check) -> String {
    let judges = check.tee().map_or("any evidence", |tee| tee.name());
    let stage = match check.stage() {
        Stage::Parse => "parse: what the bytes are",
        Stage::Authenticate => "authenticate: who vouches for them",
        Stage::Appraise => "appraise: whether they are wanted",
    };
    format!(
        "{id}\n\n  establishes   {stops}\n  judges        {judges}\n  stage         {stage}\n  rests on      {rests_on}\n  if it fails   {rejection}, exit status {status}\n  \
         to do         {remedy}\n  source        {source}\n",
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
    )
}

fn unknown(id: &str) -> String {
    let all = || Check::all().map(|check| check.id());
    let near: Vec<_> =
        all().filter(|known| known.contains(id) || known.split('.').next_back() == id.split('.').next_back()).collect();
    let listed = if near.is_empty() { all().collect() } else { near };
    format!("`{id}` is not a check; expected one of {}", listed.join(", "))
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
        }
    }

    #[test]
    fn a_near_miss_names_what_was_meant() {
        assert_eq!(
            unknown("snp.chain"),
            "`snp.chain` is not a check; expected one of snp.chain.present, snp.chain.ark-pinned, snp.chain.path, \
             snp.chain.names-and-usage, snp.chain.leaf-kind, snp.chain.csp, snp.chain.validity, snp.chain.revocation, \
             snp.chain.leaf-revocation, snp.chain.age, snp.chain.rollback, snp.product.chain"
        );
        assert!(unknown("nonsense").contains("tdx.signature"));
    }
}
