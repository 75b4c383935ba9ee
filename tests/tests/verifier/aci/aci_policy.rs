//! What the loader asks of a policy for Confidential ACI, and which evidence it judges.

use teegate_forge as forge;
use teegate_measurements::{ACI, ReferenceValues, fill};
use teegate_verifier::{BoundTo, Policy, PolicyError, Wrapping, fields_around};

use crate::subject::{Subject, aci, snp};

fn good() -> Subject {
    aci(forge::aci().build())
}

fn loaded(subject: &Subject) -> Result<Policy, PolicyError> {
    Policy::parse(&subject.policy.to_toml())
}

#[track_caller]
fn refused(subject: Subject, says: &str) -> PolicyError {
    let error = loaded(&subject).unwrap_err();
    assert!(error.to_string().contains(says), "{error}, not {says}");
    error
}

/// A claim about the workload needs the policy that the host bound *and* a virtual machine that somebody pinned.
#[test]
fn a_workload_is_bound_by_its_policy_and_an_endorsed_machine_together() {
    let unchecked = "\"unchecked\"";
    loaded(&good()).unwrap();
    for open in ["uvm_issuers", "uvm_feeds", "uvm_svn"] {
        let error = refused(good().under(open, unchecked), "while `measurement` does not pin who enforces it");
        assert_eq!(error.check(), Some("policy.bound-without-code"));
        // A measurement of one's own pins it too.
        let mut own = good().under(open, unchecked).under("measurement", &format!("\"{}\"", "ac".repeat(48)));
        if open == "uvm_issuers" {
            for field in ["uvm_feeds", "uvm_svn", "uvm_signer_validity"] {
                own = own.under(field, unchecked);
            }
        }
        loaded(&own).unwrap();
    }
    let error =
        refused(good().under("host_data", unchecked), "`bound_to` claims a workload, and `host_data` asks nothing");
    assert_eq!(error.check(), Some("policy.bound-without-code"));
    loaded(&good().under("host_data", unchecked).under("bound_to", "\"guest\"")).unwrap();
    // An endorsement pins code, and nothing of the other conditions.
    refused(good().under("vmpl", "[0, 1]"), "while `vmpl` does not pin");
    refused(good().under("debug", "\"allowed\""), "while `debug` does not pin");
    // In bare evidence there is no endorsement: the same words need a measurement there.
    let mut raw = good().under("wrapping", "\"none\"");
    raw.policy.snp.retain(|(name, _)| !name.starts_with("uvm_"));
    refused(raw, "while `measurement` does not pin");
}

/// Nobody would judge it, and `explain` would promise it.
#[test]
fn a_rule_about_an_endorsement_needs_an_issuer_of_it() {
    let unchecked = "\"unchecked\"";
    let rules = [
        ("uvm_feeds", "[\"ContainerPlat-AMD-UVM\"]"),
        ("uvm_svn", "{ at_least = 100 }"),
        ("uvm_signer_validity", "\"required\""),
    ];
    let pinned = good().under("measurement", &format!("\"{}\"", "ac".repeat(48))).under("uvm_issuers", unchecked);
    let open = rules.iter().fold(pinned, |subject, (field, _)| subject.under(field, unchecked));
    loaded(&open).unwrap();
    for (field, rule) in rules {
        refused(
            open.clone().under(field, rule),
            &format!("`{field}` asks something of an endorsement, and `uvm_issuers` asks for none"),
        );
        loaded(&good().under(field, rule)).unwrap();
    }
}

#[test]
fn each_field_is_asked_for_and_read_strictly() {
    for field in fields_around(Wrapping::AzureAci) {
        let mut without = good();
        without.policy.snp.retain(|(name, _)| *name != field.name);
        refused(without, &format!("missing field `{}`", field.name));
    }
    refused(good().under("wrapping", "\"none\""), "unknown field `uvm_");
    for (field, value, says) in [
        ("uvm_issuers", "[]", "a rule that"),
        ("uvm_issuers", "[\"did:web:example\"]", "expected did:x509:0:sha256:ROOT::eku:OID"),
        ("uvm_feeds", "[]", "a rule that"),
        ("uvm_svn", "{ at_least = 0 }", "a rule that"),
        ("uvm_svn", "\"22\"", "22"),
        ("uvm_signer_validity", "\"if-supplied\"", "if-supplied"),
    ] {
        let error = loaded(&good().under(field, value)).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("line "), "{field} = {value}: {error}");
    }
}

/// The attester chooses the wrapping: a policy without a profile for it refuses.
#[test]
fn evidence_is_judged_by_the_profile_of_its_wrapping() {
    let bare = Subject { aci: None, ..good() };
    assert_eq!(bare.rejected().failed_checks(), ["policy.profile"]);
    let around = Subject { aci: good().aci, ..snp(|device| device) };
    assert_eq!(around.rejected().failed_checks(), ["policy.profile"]);
}

#[test]
fn the_shipped_template_is_filled_by_reference_values() {
    let error = Policy::parse(ACI).unwrap_err().to_string();
    assert!(error.contains("a reference value is needed here"), "{error}");
    let values = format!(
        "schema = 1\nname = \"group\"\n[sev-snp]\nhost_data = \"{}\"\nuvm_svn = {{ at_least = 100 }}\n",
        "11".repeat(32)
    );
    let filled = fill(ACI, &ReferenceValues::parse(&values).unwrap()).unwrap();
    let profile = &filled.policy().document().profiles()[0];
    assert_eq!((profile.wrapping(), profile.bound_to()), (Wrapping::AzureAci, Some(BoundTo::Workload)));
}
