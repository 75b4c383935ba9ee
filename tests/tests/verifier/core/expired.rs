//! What has expired is named in full, and nothing else is.

use teegate_forge::time::{AT, YEAR};

use crate::subject::{Subject, good, snp, tdx};
use teegate_verifier::Tee;

/// Long after everything forged has ended.
const FAR: u64 = AT + 200 * YEAR;

fn at(mut subject: Subject, now: u64) -> Subject {
    subject.now = now;
    subject
}

/// The names without serials, which the forger draws.
fn names(subject: &Subject) -> Vec<String> {
    let without_serial = |what: &String| match what.split_once(", serial ") {
        Some((name, rest)) => format!("{name}{}", rest.split_once(',').map_or("", |(_, issuer)| issuer)),
        None => what.clone(),
    };
    subject.expired().iter().map(without_serial).collect()
}

#[test]
fn accepted_evidence_misses_nothing() {
    for tee in [Tee::SevSnp, Tee::Tdx] {
        good(tee).accepted();
        assert_eq!(good(tee).expired(), Vec::<String>::new());
    }
}

#[test]
fn far_in_the_future_everything_that_the_report_needs_is_named_though_the_walk_stops_at_the_first() {
    let subject = at(good(Tee::SevSnp), FAR);
    assert_eq!(subject.rejected().failed_checks(), ["snp.chain.validity"]);
    let mut found = names(&subject);
    found.sort();
    assert_eq!(
        found,
        [
            "CRL of `ARK-Genoa`",
            "certificate `ARK-Genoa` issued by `ARK-Genoa`",
            "certificate `SEV-Genoa` issued by `ARK-Genoa`",
            "certificate `SEV-VCEK` issued by `SEV-Genoa`",
        ]
    );
}

#[test]
fn far_in_the_future_everything_that_the_quote_needs_is_named() {
    for subject in [good(Tee::Tdx), tdx(|device| device.version_5(3))] {
        let mut found = names(&at(subject, FAR));
        found.sort();
        assert_eq!(
            found,
            [
                "CRL of `Intel SGX PCK Platform CA`",
                "CRL of `Intel SGX Root CA`",
                "QE identity `TD_QE`, evaluation 20",
                "TCB info of FMSPC b0c06f000000, evaluation 20",
                "certificate `Intel SGX PCK Certificate` issued by `Intel SGX PCK Platform CA`",
                "certificate `Intel SGX PCK Platform CA` issued by `Intel SGX Root CA`",
                "certificate `Intel SGX Root CA` issued by `Intel SGX Root CA`",
                "certificate `Intel SGX TCB Signing` issued by `Intel SGX Root CA`",
            ]
        );
    }
}

#[test]
fn only_what_has_run_out_is_named_and_only_while_nothing_stands_in_for_it() {
    let stale = snp(|device| device.crl_window(AT - YEAR, Some(AT - 60)));
    stale.rejected();
    assert_eq!(stale.expired(), ["CRL of `ARK-Genoa`"]);
    // The very end is outside: thisUpdate <= now < nextUpdate.
    assert_eq!(snp(|device| device.crl_window(AT - YEAR, Some(AT))).expired(), ["CRL of `ARK-Genoa`"]);
    assert_eq!(snp(|device| device.crl_window(AT - YEAR, Some(AT + 1))).expired(), Vec::<String>::new());

    // A policy that does not ask for revocation does not miss the list.
    let unasked = stale.clone().under("revocation", "\"unchecked\"");
    unasked.accepted();
    assert_eq!(unasked.expired(), Vec::<String>::new());

    // Nor is it missed beside a current one.
    let current = good(Tee::SevSnp).pool.crls;
    let both = stale.with_pool(|pool| pool.crls.extend(current));
    both.accepted();
    assert_eq!(both.expired(), Vec::<String>::new());
}

#[test]
fn what_is_for_another_platform_is_not_named() {
    let other = tdx(|device| device.fmspc([1, 2, 3, 4, 5, 6]).tcb_info_window(AT - YEAR, AT - 60));
    assert_eq!(other.expired(), ["TCB info of FMSPC 010203040506, evaluation 20"]);
    let with_other = good(Tee::Tdx).with_pool(|pool| pool.tcb_infos.extend(other.pool.tcb_infos));
    with_other.accepted();
    assert_eq!(with_other.expired(), Vec::<String>::new());

    // Nor a TDX pool for an SEV-SNP report, however late it is.
    let own = names(&at(good(Tee::SevSnp), FAR));
    let foreign = good(Tee::Tdx).pool;
    let mixed = at(good(Tee::SevSnp), FAR).with_pool(|pool| {
        pool.certificates.extend(foreign.certificates);
        pool.crls.extend(foreign.crls);
        pool.tcb_infos.extend(foreign.tcb_infos);
    });
    assert_eq!(names(&mixed), own);
}

#[test]
fn malformed_evidence_needs_nothing_that_could_be_named() {
    for tee in [Tee::SevSnp, Tee::Tdx] {
        let mut subject = at(good(tee), FAR);
        subject.evidence.truncate(40);
        assert_eq!(subject.expired(), Vec::<String>::new());
    }
}
