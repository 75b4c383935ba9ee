//! What is refused is named for what it is, and little of it is repeated: a stranger's text of 200 KB in every place that an error could
//! quote stays 80 characters.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its input should fail where it stands")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use teegate_intake::bundle::Bundle;
use teegate_intake::{Defect, IntakeError, endorsements, evidence};
use teegate_verifier::{Endorsements, Tee};

/// Longer than any error may be, and not a word of ours.
fn long() -> String {
    "z".repeat(200_000)
}

fn cbor_text(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[0x7A][..], &length, text.as_bytes()].concat()
}

/// Inputs of every form that quote a stranger somewhere, each by what it is.
fn inputs() -> Vec<(&'static str, Vec<u8>)> {
    let z = long();
    let coco_tdx = |member: &str| format!("{{\"quote\":\"\",\"cc_eventlog\":null,{member}}}").into_bytes();
    let envelope = |member: &str| {
        format!("{{\"manifest\":[\"application/vnd.teegate.manifest+json\",\"e30\"],\"evidence\":[\"application/vnd.teegate.tdx-quote\",\"AAAA\"],{member}}}")
            .into_bytes()
    };
    let bundle = |edit: &dyn Fn(&mut Value)| {
        let mut content = json!({
            "at": "2026-01-15T00:00:00Z", "creator": "c",
            "endorsements": { "certificates": [], "crls": [], "qe_identities": [], "tcb_infos": [] },
            "event_log": null, "evidence": { "bytes": "", "tee": "tdx" },
            "policy": { "name": "", "text": "" },
            "recorded": { "failed": ["a"], "stage": "malformed", "valid_until": null, "verdict": "rejected" },
            "report_data": null,
        });
        edit(&mut content);
        let text = content.to_string();
        let digest = <sha2::Sha256 as sha2::Digest>::digest(&text);
        format!(
            "{{\"schema\":\"teegate/bundle/1\",\"digest\":\"sha256:{}\",\"content\":{text}}}",
            teegate_encoding::hex::encode(digest)
        )
        .into_bytes()
    };
    let with = |pointer: &'static str| {
        let z = z.clone();
        move |content: &mut Value| *content.pointer_mut(pointer).unwrap() = Value::String(z.clone())
    };
    vec![
        ("CoCo, a report that is text", format!("{{\"attestation_report\":\"{z}\",\"cert_chain\":null}}").into_bytes()),
        (
            "CoCo, a field that is text",
            format!("{{\"attestation_report\":{{\"version\":\"{z}\"}},\"cert_chain\":null}}").into_bytes(),
        ),
        (
            "CoCo, an older field",
            format!("{{\"attestation_report\":{{\"_author_key_en\":\"{z}\"}},\"cert_chain\":null}}").into_bytes(),
        ),
        ("CoCo, an unknown member", coco_tdx(&format!("\"{z}\":1"))),
        (
            "CoCo, a kind of certificate",
            format!("{{\"attestation_report\":{{}},\"cert_chain\":[{{\"cert_type\":\"{z}\",\"data\":[]}}]}}")
                .into_bytes(),
        ),
        ("JSON, members", format!("{{\"{z}\":1,\"evidence\":{{\"{z}\":2}}}}").into_bytes()),
        ("JSON, a member twice", format!("{{\"{z}\":1,\"{z}\":2}}").into_bytes()),
        ("JSON, the place of a quote", format!("{{\"{z}\":\"{}\"}}", quote()).into_bytes()),
        ("envelope, a label", envelope(&format!("\"{z}\":1"))),
        ("envelope, a label twice", envelope(&format!("\"{z}\":1,\"{z}\":1"))),
        ("envelope, the collection's type", envelope(&format!("\"__cmwc_t\":\"{z}\""))),
        ("envelope, a type", envelope(&format!("\"endorsements\":[\"{z}\",\"AAAA\"]"))),
        ("CMW in JSON, a type", format!("[\"{z}\",\"AAAA\"]").into_bytes()),
        ("CMW in CBOR, a label", [&[0xA1][..], &cbor_text(&z), &[0x00]].concat()),
        (
            "CMW in CBOR, a label twice",
            [&[0xA2][..], &cbor_text("a/b"), &[0x82], &cbor_text("x/y"), &[0x40], &cbor_text("a/b")].concat(),
        ),
        (
            "CMW in CBOR, a type",
            [&[0xA1][..], &cbor_text("a"), &[0x82], &cbor_text(&format!("a/{z}")), &[0x40]].concat(),
        ),
        ("bundle, its schema", format!("{{\"schema\":\"teegate/bundle/{z}\"}}").into_bytes()),
        (
            "bundle, its digest",
            format!("{{\"schema\":\"teegate/bundle/1\",\"digest\":\"{z}\",\"content\":{{}}}}").into_bytes(),
        ),
        ("bundle, its time", bundle(&with("/at"))),
        ("bundle, its TEE", bundle(&with("/evidence/tee"))),
        ("bundle, its report data", bundle(&with("/report_data"))),
        ("bundle, its verdict", bundle(&with("/recorded/verdict"))),
        ("bundle, what failed", bundle(&with("/recorded/failed"))),
        ("bundle, a member", bundle(&|content| content[long().as_str()] = json!(1))),
        ("words", z.clone().into_bytes()),
        ("PEM, a label", format!("-----BEGIN {z}-----\nAAAA\n-----END {z}-----\n").into_bytes()),
        ("PEM, an end", format!("-----BEGIN {z}-----\nAAAA\n").into_bytes()),
        ("TCB info, a signature", format!("{{\"tcbInfo\":{{}},\"signature\":\"{z}\"}}").into_bytes()),
        ("collateral, a list", format!("{{\"tcb_info\":\"\",\"tcb_info_signature\":\"{z}\"}}").into_bytes()),
        ("THIM, a certificate", format!("{{\"vcekCert\":\"-----BEGIN {z}\"}}").into_bytes()),
    ]
}

fn quote() -> String {
    STANDARD.encode([&[4, 0, 2, 0, 0x81, 0, 0, 0][..], &[7; 200]].concat())
}

/// Every refusal of these bytes, as evidence with and without a platform, as an endorsement, as a bundle.
fn refusals(bytes: &[u8]) -> Vec<IntakeError> {
    let mut refusals: Vec<_> = [None, Some(Tee::SevSnp), Some(Tee::Tdx)]
        .into_iter()
        .filter_map(|insist| evidence::recognise(bytes, insist).err())
        .collect();
    refusals.extend(endorsements::recognise("endorsement", bytes, &mut Endorsements::new()).err());
    refusals.extend(Bundle::parse(bytes).err());
    refusals
}

#[test]
fn no_error_repeats_more_than_eighty_characters_of_a_strangers_text() {
    for (what, bytes) in inputs() {
        let refusals = refusals(&bytes);
        assert!(refusals.len() >= 2, "{what}: {} refusals", refusals.len());
        for error in refusals {
            let words = error.to_string();
            let longest = words.split(|c| c != 'z').map(str::len).max().unwrap();
            assert!(
                longest <= 80 && words.len() < 1_600,
                "{what}: {} bytes, {longest} of them: {words:.300}",
                words.len()
            );
        }
    }
}

#[test]
fn nothing_that_moves_a_cursor_comes_out_of_a_strangers_name() {
    for json in [
        r#"{"\u001b[2J\u202e":1,"evidence":{}}"#,
        r#"{"a\nb":1,"a\nb":2}"#,
        r#"{"quote":"","cc_eventlog":null,"\u001b[2J":1}"#,
        r#"["\u001b[2J/x","AAAA"]"#,
        "{\"schema\":\"teegate/bundle/\\u001b[2J\"}",
    ] {
        let words = evidence::recognise(json.as_bytes(), None).unwrap_err().to_string();
        assert!(!words.contains(|c: char| c.is_control() || c == '\u{202E}'), "{words:?}");
    }
}

/// A whole report in shape.
fn report() -> Vec<u8> {
    [&[5, 0, 0, 0][..], &[9; 48], &[1, 0, 0, 0], &[9; 1_128]].concat()
}

/// What others wrap evidence in is taken where it is one piece, and named for what it looks like where it is none.
#[test]
fn json_of_others_is_taken_or_named_for_what_it_looks_like() {
    let report = STANDARD.encode(report());
    let whole = [&[4, 0, 2, 0, 0x81, 0, 0, 0][..], &[7; 900]].concat();
    let quote = STANDARD.encode(&whole);
    for (json, member) in [
        (json!({"tee": "snp", "evidence": {"Snp": {"report": report}}}), "evidence.Snp.report"),
        (json!({"evidence": [{"gpu": 0}, {"quote": quote}]}), "evidence[1].quote"),
        (json!({"platform": "snp", "evidence": {"attestation_report": report}}), "evidence.attestation_report"),
        (json!({"intel_quote": teegate_encoding::hex::encode(&whole), "verified": {}}), "intel_quote"),
        (json!({"attestation_report": report}), "attestation_report"),
        (json!({"attestation_report": report, "report_data": "00".repeat(64)}), "attestation_report"),
        (json!([{"quote": whole}]), "[0].quote"),
    ] {
        let found = evidence::recognise(json.to_string().as_bytes(), None).unwrap();
        assert_eq!(found.member.as_deref(), Some(member), "{json}");
        assert!(found.form.ends_with(" in JSON") && found.endorsements.is_empty());
        // The same bytes as of the member alone; insisting on the other platform is noticed.
        let text = pointed(&json, member);
        assert_eq!(found.bytes, evidence::recognise(text.as_bytes(), None).unwrap().bytes, "{member}");
        let other = if found.tee == Tee::Tdx { Tee::SevSnp } else { Tee::Tdx };
        let error = evidence::recognise(json.to_string().as_bytes(), Some(other)).unwrap_err();
        assert!(matches!(error.defect(), Defect::OtherTee { .. }), "{error}");
    }
    let found = evidence::recognise(json!(quote).to_string().as_bytes(), None).unwrap();
    assert_eq!((found.bytes, found.form, found.member), (whole.clone(), "base64 text in JSON", None));

    for (json, found, begins) in [
        (
            json!({"a": quote, "b": [quote]}),
            "JSON that holds evidence in more than one place, `a` (a TDX quote as base64 text), `b[0]` (a",
            None,
        ),
        (
            json!({"a": quote, "b": report}),
            "JSON that holds evidence in more than one place, `a` (a TDX quote as base64 text), `b` (an",
            None,
        ),
        // What it is bound to is said by what stands around it.
        (
            json!({"platform": "az-snp", "evidence": {"hcl_report": "AAAA", "tpm_quote": {}}}),
            "a part of the evidence of an Azure vTPM",
            None,
        ),
        (json!({"signature": "", "message": "", "pcrs": []}), "a TPM quote (`message`, `pcrs`)", None),
        (
            json!({"keys": [], "vm-configuration": {}, "user-data": ""}),
            "the runtime claims of an Azure HCL report",
            None,
        ),
        (json!({"instances": [{"envelope": {"evidence": quote}}]}), "a gateway's listing", None),
        (
            json!({"evidence": {"Snp": {"report": self::quote()}}}),
            "an attestation request of COCONUT-SVSM",
            Some("evidence.Snp.report"),
        ),
        (
            json!({"platform": "tdx", "evidence": {"quote": self::quote()}}),
            "the platform envelope of attestation-rs",
            Some("evidence.quote"),
        ),
        (json!({"evidence": [self::quote()]}), "a list under `evidence`", Some("evidence[0]")),
        (json!([1, self::quote()]), "JSON without evidence in it", Some("[1]")),
        (json!({}), "an empty JSON object", None),
        (json!({"a": 1}), "a JSON object with `a`, without the members of any form of evidence", None),
    ] {
        let error = evidence::recognise(json.to_string().as_bytes(), None).unwrap_err();
        let Defect::Unrecognised { found: words, .. } = error.defect() else { panic!("{json}: {error}") };
        assert!(words.starts_with(found), "{json}: {words}");
        assert!(!error.to_string().contains("as it was sent") && !error.to_string().contains("--tee"), "{error}");
        let expected = begins.map(|place| {
            format!("; `{place}` in it begins like a TDX quote as base64 text and is not whole (208 bytes)")
        });
        assert_eq!(words.contains("begins like"), begins.is_some(), "{words}");
        assert!(words.ends_with(expected.as_deref().unwrap_or_default()), "{words}");
    }
    // An endorsement is said to be one, and what is an envelope is judged as one.
    let error = evidence::recognise(br#"{"vcekCert":"-----BEGIN CERTIFICATE-----\nMA4wDKADAgECAgEHMAAwAA==\n-----END CERTIFICATE-----","certificateChain":"-----BEGIN CERTIFICATE-----\nMA4wDKADAgECAgEHMAAwAA==\n-----END CERTIFICATE-----"}"#, None).unwrap_err();
    assert!(error.to_string().contains("found an endorsement, not evidence"), "{error}");
    let broken = json!({"manifest": 1, "evidence": {"a": {"b": {}}}}).to_string();
    let error = evidence::recognise(broken.as_bytes(), None).unwrap_err();
    assert!(matches!(error.defect(), Defect::Broken { kind: "CMW", .. }), "{error}");
}

/// Blobs of attestation that are no report or quote, raw and as text, are named, whatever is insisted on.
#[test]
fn blobs_of_other_kinds_are_named() {
    // It says neither SEV-SNP nor TDX where it says which.
    let hcl = [&b"HCLA\x02\0\0\0"[..], &[0; 24], &report(), &[0; 1_392]].concat();
    let td_report = [&[0x81, 0, 1, 0][..], &[3; 1_020]].concat();
    for (bytes, found) in [
        (hcl, "an Azure HCL report (`HCLA`)"),
        ([&b"\xFFTCG\x80\x18\x00\x22"[..], &[1; 140]].concat(), "a TPM quote (`TPMS_ATTEST`)"),
        (td_report, "a TD report (`TDREPORT`)"),
        (
            ("\u{feff}".to_owned() + &STANDARD.encode(report())).encode_utf16().flat_map(u16::to_le_bytes).collect(),
            "text in UTF-16",
        ),
        ([&[0xD9, 0x01, 0x8F, 0xA2][..], &[0x19; 300]].concat(), "an attestation token of Arm CCA"),
        ([&[0x11, 0xE0, 0x01, 0xFF][..], &[7; 300]].concat(), "an SPDM exchange, as an NVIDIA GPU attests"),
        ([&[0xD2, 0x84, 0x44, 0xA1, 0x01, 0x38, 0x22][..], &[0x58; 300]].concat(), "a document in COSE"),
    ] {
        let text = STANDARD.encode(&bytes).into_bytes();
        let digits = teegate_encoding::hex::encode(&bytes).into_bytes();
        for form in [bytes, text, digits] {
            for insist in [None, Some(Tee::SevSnp), Some(Tee::Tdx)] {
                let error = evidence::recognise(&form, insist).unwrap_err();
                assert!(
                    matches!(error.defect(), Defect::Unrecognised { found: words, .. } if words.starts_with(found)),
                    "{error}"
                );
            }
        }
    }
    let token = format!("eyJhbGciOiJSUzI1NiJ9.{}.{}", "eyJhIjoxfQ", "c2ln".repeat(80));
    let error = evidence::recognise(token.as_bytes(), Some(Tee::Tdx)).unwrap_err();
    assert!(error.to_string().contains("found a JSON Web Token: what a verifier concluded"), "{error}");
}

/// The text at a place that an error names, or the bytes of the numbers there.
fn pointed(json: &Value, place: &str) -> String {
    let pointer = place.replace(['.', '['], "/").replace(']', "");
    match json.pointer(&format!("/{}", pointer.trim_start_matches('/'))).unwrap() {
        Value::String(text) => text.clone(),
        numbers => STANDARD.encode(
            numbers.as_array().unwrap().iter().map(|n| u8::try_from(n.as_u64().unwrap()).unwrap()).collect::<Vec<_>>(),
        ),
    }
}
