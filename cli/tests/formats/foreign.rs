//! An acceptance under roots that the policy pins is never better than a warning, whatever the format; under the vendors' own
//! roots it may be.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use quick_junit::Report;
use serde_json::{Value, json};

use super::place::{Curve, Place};
use crate::{TDX_AT, command, status, stdout, tdx};

const SENTENCE: &str = "accepted under roots that the policy pins and that are not AMD's or Intel's";

/// One acceptance in every format, text without its colours.
struct Shown {
    text: String,
    json: Value,
    ear: Value,
    junit: Report,
    sarif: Value,
}

impl Shown {
    fn of(verify: impl Fn(&[&str]) -> String) -> Self {
        let json = |text: &str| serde_json::from_str(text).unwrap();
        let token = verify(&["--format", "ear", "--ear-key", "ear-key.pem"]);
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        Self {
            text: verify(&[]),
            json: json(&verify(&["--format", "json"])),
            ear: json(std::str::from_utf8(&claims).unwrap()),
            junit: Report::deserialize_from_str(&verify(&["--format", "junit"])).unwrap(),
            sarif: json(&verify(&["--format", "sarif"])),
        }
    }

    fn properties(&self, name: &str) -> Vec<&str> {
        let properties = self.junit.test_suites[0].properties.iter();
        properties.filter(|property| property.name.as_str() == name).map(|one| one.value.as_str()).collect()
    }
}

#[test]
fn forged_hardware_is_accepted_with_a_warning_in_every_format() {
    for place in Place::both() {
        place.signing_key("ear-key.pem", Curve::P256);
        let shown = Shown::of(|more| {
            let output = place.verify("accepted", more);
            assert_eq!(status(&output), 0, "the author asked for it");
            stdout(&output)
        });
        assert!(shown.text.contains(&format!("\nNOT THE VENDORS' HARDWARE: {SENTENCE}")), "{}", shown.text);
        assert_eq!((&shown.json["verdict"], &shown.json["trust_anchors"]), (&json!("accepted"), &json!("policy")));
        assert!(!shown.json["warnings"].as_array().unwrap().is_empty(), "{}", shown.json);
        let notifications = &shown.sarif["runs"][0]["invocations"][0]["toolExecutionNotifications"];
        assert_eq!(notifications[0]["level"], "warning");
        let appraisal = &shown.ear["submods"][place.tee];
        assert_eq!((&shown.ear["ear_status"], &appraisal["ear_status"]), (&json!("warning"), &json!("warning")));
        let vector = &appraisal["ear_trustworthiness_vector"];
        assert_eq!((&vector["hardware"], &vector["instance-identity"]), (&json!(32), &json!(0)));
        assert_eq!(appraisal["ear_verifier_claims"]["trust_anchors"], "policy");
        assert_eq!(shown.properties("trust_anchors"), ["policy"]);
        assert!(shown.properties("warning").iter().any(|warning| warning.contains(SENTENCE)));
        let results = shown.sarif["runs"][0]["results"].as_array().unwrap();
        let [result] = &results[..] else { panic!("{results:?}") };
        assert_eq!((&result["level"], &result["ruleId"]), (&json!("warning"), &json!("report.trust-anchors")));
        assert!(result["message"]["text"].as_str().unwrap().contains(SENTENCE), "{result}");
        assert_eq!(shown.sarif["runs"][0]["properties"]["trustAnchors"], "policy");
    }
}

/// The twin: recorded hardware under Intel's own root, which the same formats may affirm.
#[test]
fn hardware_of_the_vendors_own_may_be_affirmed() {
    let Some([quote, collateral]) = tdx() else { return };
    let folder = tempfile::tempdir().unwrap();
    let place = Place::snp(|device| device);
    place.signing_key("ear-key.pem", Curve::P256);
    let key = place.path("ear-key.pem");
    let inspected = command(&["inspect", &quote, "--format", "json"]).output().unwrap();
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    let mut policy = teegate_measurements::GENUINE.replace("tcb_status = \"unchecked\"", "tcb_status = [\"UpToDate\"]");
    for field in ["mrtd", "rtmr0", "rtmr1", "rtmr2"] {
        policy = policy
            .replace(&format!("\n{field} = \"unchecked\""), &format!("\n{field} = {}", inspected["facts"][field]));
    }
    let named = folder.path().join("policy.toml").display().to_string();
    std::fs::write(&named, policy).unwrap();
    let args = ["verify", &quote, "--endorsements", &collateral, "--policy", &named, "--at", TDX_AT];
    let shown = Shown::of(|more| {
        let more: Vec<_> = more.iter().map(|arg| if *arg == "ear-key.pem" { key.as_str() } else { *arg }).collect();
        let output = command(&[&args[..], &more].concat()).output().unwrap();
        assert_eq!(status(&output), 0, "{}", stdout(&output));
        stdout(&output)
    });
    assert!(!shown.text.contains("NOT THE VENDORS' HARDWARE"), "{}", shown.text);
    assert_eq!((&shown.json["trust_anchors"], &shown.json["warnings"]), (&json!("vendors"), &json!([])));
    let appraisal = &shown.ear["submods"]["tdx"];
    assert_eq!((&shown.ear["ear_status"], &appraisal["ear_status"]), (&json!("affirming"), &json!("affirming")));
    assert_eq!(appraisal["ear_trustworthiness_vector"]["hardware"], 2);
    assert_eq!(appraisal["ear_verifier_claims"]["trust_anchors"], "vendors");
    assert_eq!((shown.properties("trust_anchors"), shown.properties("warning").len()), (vec!["vendors"], 0));
    assert_eq!(shown.sarif["runs"][0]["results"], json!([]));
    assert_eq!(shown.sarif["runs"][0]["properties"]["trustAnchors"], "vendors");
}
