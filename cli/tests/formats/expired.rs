//! A time far in the future: what has expired is said in full and in every format.

use serde_json::Value;

use super::place::{Curve, Place};
use super::{status, stdout};
use crate::{milan, teegate};

const FAR: &str = "2200-01-01T00:00:00Z";

#[test]
fn every_format_tells_exactly_what_has_expired() {
    for (place, number) in Place::both().into_iter().zip([4, 8]) {
        let public = place.signing_key("ear-key.pem", Curve::P256);
        let at = |format: &[&str]| {
            let args = ["verify", "evidence/report.bin", "--policy", "evidence/policy.toml", "--at", FAR, "--format"];
            let output = place.run(&[&args[..], format].concat(), true);
            assert_eq!(status(&output), 3);
            stdout(&output)
        };
        let report: Value = serde_json::from_str(&at(&["json"])).unwrap();
        let expired = report["expired"].as_array().unwrap();
        assert_eq!(expired.len(), number, "{expired:?}");
        let ends: Vec<_> = expired.iter().map(|line| line["until"].as_str().unwrap()).collect();
        assert!(ends.is_sorted() && ends.iter().all(|end| *end < FAR), "{ends:?}");
        let lines: Vec<String> = expired
            .iter()
            .map(|line| {
                let [what, from, until] = ["what", "from", "until"].map(|name| line[name].as_str().unwrap());
                format!("{what}, valid from {from} to {until}")
            })
            .collect();

        let section = format!("\nExpired at {FAR}, or not yet valid\n  {}\n\n", lines.join("\n  "));
        assert!(at(&["text"]).contains(&section), "{section}");
        let junit = quick_junit::Report::deserialize_from_str(&at(&["junit"])).unwrap();
        let suite = &junit.test_suites[0];
        let said: Vec<_> =
            suite.properties.iter().filter(|p| p.name.as_str() == "expired").map(|p| p.value.as_str()).collect();
        assert_eq!(said, lines);
        assert_eq!(suite.system_out.as_ref().unwrap().as_str(), format!("expired at {FAR}:\n{}", lines.join("\n")));
        let sarif: Value = serde_json::from_str(&at(&["sarif"])).unwrap();
        assert_eq!(sarif["runs"][0]["properties"]["expired"], report["expired"]);
        super::sarif::validate(&sarif);
        let token = at(&["ear", "--ear-key", "ear-key.pem"]);
        let claims = super::ear::read(token.trim_end(), &public, Curve::P256);
        assert_eq!(claims["submods"][place.tee]["ear_verifier_claims"]["expired"], report["expired"]);
    }
}

/// The same on evidence of real hardware: AMD's chain of Milan ends in 2045, the VCEK before.
#[test]
fn recorded_evidence_in_2060_names_every_certificate_of_its_chain() {
    let Some([report, vcek, chain]) = milan() else { return };
    let args = ["verify", &report, "--endorsements", &vcek, "--endorsements", &chain, "--policy", "genuine"];
    let text = stdout(&teegate(&[&args[..], &["--at", "2060-01-01T00:00:00Z"]].concat()));
    let (_, section) = text.split_once("\nExpired at 2060-01-01T00:00:00Z, or not yet valid\n").unwrap();
    let lines: Vec<_> = section.lines().take_while(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), 3, "{text}");
    for (line, name) in lines.iter().zip(["SEV-VCEK", "ARK-Milan", "SEV-Milan"]) {
        assert!(line.contains(&format!("certificate `{name}`")), "{text}");
    }
}
