//! Every check of the catalogue has a case in which it, and it alone, refuses; or stands here with the reason why not.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use teegate_verifier::{Check, FactValue, Tee};

use crate::case::Case;
use crate::subject::{good, tdx};

/// Every case of every module. Forging them takes seconds, so it is done once.
pub(crate) fn all_cases() -> &'static [Case] {
    &ALL_CASES
}

static ALL_CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    [
        crate::aci::all(),
        crate::azure_log::all(),
        crate::azure_vtpm::all(),
        crate::rollback::all(),
        crate::snp_bulletins::all(),
        crate::snp_bytes::all(),
        crate::snp_chain::all(),
        crate::snp_leaf::all(),
        crate::snp_policy::all(),
        crate::tdx_accept::all(),
        crate::tdx_bytes::all(),
        crate::tdx_chain::all(),
        crate::tdx_collateral::all(),
        crate::tdx_log::all(),
        crate::tdx_policy::all(),
    ]
    .concat()
});

/// Checks without such a case.
const ELSEWHERE: [(&str, &str); 15] = [
    ("policy.profile", "profile::evidence_without_a_profile_is_refused: it is no defect of the evidence"),
    (
        "policy.bound-without-code",
        "policy_pins::each_condition_of_pinned_code_is_asked_for_by_every_value_that_needs_it: the loader refuses, before there is evidence",
    ),
    ("snp.chain.leaf-revocation", "cannot fail: no list can name a leaf, and the line says so"),
    (
        "tdx.tcb.convergence",
        "cannot fail by itself: it states the outcome that tdx.tcb.accepted then judges (tdx_policy::tcb_parts)",
    ),
    // What an instance sends around its evidence.
    ("envelope.form", "envelope::each_part_of_an_envelope_is_refused_by_its_check"),
    ("envelope.endorsements", "envelope::each_part_of_an_envelope_is_refused_by_its_check"),
    ("envelope.evidence-type", "envelope::each_part_of_an_envelope_is_refused_by_its_check"),
    ("manifest.form", "envelope::each_part_of_an_envelope_is_refused_by_its_check"),
    ("manifest.window", "envelope::a_manifest_counts_within_its_window"),
    ("channel.key", "envelope::the_peer_holds_the_key_that_the_manifest_names"),
    ("binding.report-data", "cannot fail by itself: the verifier was told to compare the same 64 bytes"),
    ("envelope.bound-to", "envelope::a_policy_about_hardware_alone_decides_about_no_sending"),
    ("manifest.model", "client, relay::an_instance_without_the_model_is_refused"),
    ("manifest.shared-runs", "client, relay::an_instance_that_joins_requests_is_refused_unless_it_is_wanted"),
    ("identity.conflict", "gateway, fleet::tests::an_identity_under_two_tls_keys_rejects_every_party"),
];

#[test]
fn every_check_refuses_something() {
    let mut covered: BTreeSet<&str> = all_cases().iter().map(|case| case.check().id()).collect();
    for (id, reason) in ELSEWHERE {
        assert!(covered.insert(id), "{id} has a case after all: strike `{reason}`");
    }
    let catalogue: BTreeSet<&str> = Check::all().map(|check| check.id()).collect();
    assert_eq!(covered, catalogue);
    assert_eq!(catalogue.len(), Check::all().count(), "an id stands twice in the catalogue");
}

/// What never fails is at least shown, in the words that its reader needs.
#[test]
fn convergence_and_logs_are_stated() {
    let report = tdx(|device| device.module_status("OutOfDate")).rejected().report().clone();
    let convergence = report.finding(Check::TDX_TCB_CONVERGENCE).unwrap();
    assert_eq!(convergence.outcome().name(), "pass");
    assert_eq!(convergence.actual(), "platform UpToDate, module OutOfDate, QE UpToDate: OutOfDate");
    let report = good(Tee::Tdx).accepted();
    let log = report.finding(Check::TDX_LOG_REPLAY).unwrap();
    assert_eq!(log.outcome().name(), "not-checked");
    assert_eq!(log.outcome().why(), Some("the policy requires no event log, and none was supplied"));
    assert_eq!(report.fact("event_log_events"), Some(&FactValue::Absent));
}
