//! Reports are what `verifier/schema/report-1.json` says, for every verdict and stage.

use serde_json::{Value, json};
use teegate_forge as forge;
use teegate_measurements::GENUINE;
use teegate_verifier::{Endorsements, Evidence, Policy, Report, UnixTime, verify};

fn report(policy: &str, report: &[u8], endorsements: &Endorsements) -> Value {
    let at = UnixTime::from_seconds(forge::time::AT);
    let report: Report = match verify(&Evidence::sev_snp(report, endorsements), &Policy::parse(policy).unwrap(), at) {
        Ok(attested) => attested.report().clone(),
        Err(rejection) => rejection.report().clone(),
    };
    serde_json::to_value(report).unwrap()
}

#[test]
fn every_kind_of_report_is_valid_and_a_changed_one_is_not() {
    let schema: Value = serde_json::from_str(include_str!("../../../../verifier/schema/report-1.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let device = forge::snp();
    let set = device.build();
    let policy = format!("{GENUINE}\n[trust_anchors]\namd = ['''{}''']\n", set.ark_pem);
    let mut endorsements = Endorsements::new();
    set.certificates().into_iter().for_each(|der| endorsements.add_certificate(der));

    let accepted = report(&policy, &set.report, &endorsements);
    let reports = [
        (Value::Null, accepted.clone()),
        (json!("malformed"), report(&policy, &set.report[1..], &endorsements)),
        (json!("unauthentic"), report(&policy, &set.report, &Endorsements::new())),
        (json!("unacceptable"), report(&policy, &device.debug().report(), &endorsements)),
    ];
    for (stage, report) in &reports {
        assert_eq!(report["stage"], *stage);
        let errors: Vec<String> = schema.iter_errors(report).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new());
    }

    for (pointer, value) in [
        ("/verdict", json!("maybe")),
        ("/verdict", json!("rejected")),
        ("/valid_until", Value::Null),
        ("/checks/0/result", json!("fail")),
        ("/checks/0/result", json!("not-reached")),
        ("/facts/measurement", json!({})),
    ] {
        let mut changed = accepted.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        assert!(!schema.is_valid(&changed), "{pointer} changed is still valid");
    }
}
