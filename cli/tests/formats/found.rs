//! What the command says of the form in which evidence and endorsements were found, where that form says less than it seems to.

use std::fs;

use serde_json::{Value, json};

use super::place::{AT, Place};
use crate::{status, stderr, stdout};

const POLICY: [&str; 4] = ["--policy", "evidence/policy.toml", "--at", AT];

#[test]
fn the_member_that_evidence_was_taken_out_of_is_said() {
    for place in Place::both() {
        let raw = fs::read(place.path("evidence/report.bin")).unwrap();
        let answer =
            json!({ "verified": true, "nonce": "00", "attestation": { "quote": teegate_encoding::hex::encode(&raw) } });
        place.write("answer.json", answer.to_string().as_bytes());
        let kind = if place.tee == "tdx" { "a TDX quote" } else { "an SEV-SNP report" };
        let note = format!(
            "note: `answer.json`: the evidence is {kind} of {} bytes in the member `attestation.quote`; nothing else in that JSON \
             counts\n",
            raw.len()
        );
        let output = place.run_any(&[&["verify", "answer.json"], &POLICY[..]].concat());
        assert_eq!((status(&output), stderr(&output)), (0, note.clone()));
        // The twin: the same bytes alone need no word.
        let alone = place.run_any(&[&["verify", "evidence/report.bin"], &POLICY[..]].concat());
        assert_eq!((stdout(&alone), stderr(&alone)), (stdout(&output), String::new()));

        let both = ["verify", "answer.json", "evidence/report.bin", "--format", "json"];
        let output = place.run_any(&[&both, &POLICY[..]].concat());
        assert_eq!(stderr(&output), note);
        let reports: Value = serde_json::from_str(&stdout(&output)).unwrap();
        let found =
            |number: usize| (reports["reports"][number]["form"].clone(), reports["reports"][number]["member"].clone());
        assert_eq!(found(0), (json!("hexadecimal text in JSON"), json!("attestation.quote")));
        assert_eq!(found(1), (json!("raw bytes"), Value::Null));

        let inspection: Value = serde_json::from_str(&stdout(&place.inspect("answer.json"))).unwrap();
        assert_eq!(
            (&inspection["form"], &inspection["member"]),
            (&json!("hexadecimal text in JSON"), &json!("attestation.quote"))
        );
        let text = stdout(&place.run_any(&["inspect", "answer.json"]));
        assert!(text.contains("found as hexadecimal text in JSON, in the member `attestation.quote`\n"), "{text}");
    }
}

/// Two faults that look alike: the note is there for the one and not for the other.
#[test]
fn text_that_a_program_wrote_again_is_said_before_the_verdict() {
    let place = Place::tdx(|device| device);
    let file = "evidence/endorsements/collateral.json";
    let served: Value = serde_json::from_str(&fs::read_to_string(place.path(file)).unwrap()).unwrap();
    let body = served["tcb_info"].as_str().unwrap();
    let written_again = serde_json::to_string_pretty(&serde_json::from_str::<Value>(body).unwrap()).unwrap();
    let changed = body.replacen("\"version\":3", "\"version\":4", 1);
    assert_ne!(changed, body);
    for (text, is_said) in [(written_again, true), (changed, false)] {
        let mut collateral = served.clone();
        collateral["tcb_info"] = json!(text);
        place.write(file, collateral.to_string().as_bytes());
        let output = place.run_any(&[&["verify", "evidence/report.bin"], &POLICY[..]].concat());
        assert_eq!(status(&output), 3);
        assert!(stdout(&output).contains("✗ tdx.collateral.signer"), "{}", stdout(&output));
        let note = format!("note: `{file}`: its tcb-info was read and written again by a program (it has white space");
        assert_eq!(stderr(&output).contains(&note), is_said, "{}", stderr(&output));
    }
}
