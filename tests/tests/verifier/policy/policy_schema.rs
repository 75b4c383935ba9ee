//! Policies are what `measurements/schema/policy-1.json` says, their TOML read as JSON.

use serde_json::{Value, json};
use teegate_measurements::{GENUINE, STRICT};
use teegate_verifier::Policy;

use crate::loader::LATER;
use crate::subject::good;

fn json_of(policy: &str) -> Value {
    serde_json::to_value(toml::from_str::<toml::Table>(policy).unwrap()).unwrap()
}

/// `strict`, with a reference value wherever it asks for one.
fn strict() -> String {
    let host_data = format!("host_data = \"{}\"", "11".repeat(32));
    STRICT
        .replace("host_data = \"reference-value-needed\"", &host_data)
        .replace("reference-value-needed", &"22".repeat(48))
}

fn exception(until: &str, reason: &str) -> Value {
    json!({ "INTEL-SA-00837": { "statuses": ["OutOfDate"], "until": until, "reason": reason } })
}

#[test]
fn every_policy_that_loads_is_valid_and_a_changed_one_is_neither() {
    let schema: Value = serde_json::from_str(include_str!("../../../../measurements/schema/policy-1.json")).unwrap();
    let schema = jsonschema::draft202012::new(&schema).unwrap();
    let forged = good(teegate_verifier::Tee::SevSnp).policy.to_toml();
    for policy in [GENUINE, &strict(), &forged] {
        Policy::parse(policy).unwrap();
        let errors: Vec<String> = schema.iter_errors(&json_of(policy)).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new());
    }
    // A template is written in an editor too, and judges nothing.
    assert!(schema.is_valid(&json_of(STRICT)));
    let unfilled = Policy::parse(STRICT).unwrap_err().to_string();
    assert!(unfilled.contains("a reference value is needed here"), "{unfilled}");

    // Of every field of both profiles: that it must be there, and that a value of another form is refused.
    let strict = json_of(&strict());
    let refused = |changed: &Value, what: &str| {
        assert!(!schema.is_valid(changed), "{what} is still valid");
        assert!(Policy::parse(&toml::to_string(changed).unwrap()).is_err(), "{what} still loads");
    };
    for tee in ["sev-snp", "tdx"] {
        let fields: Vec<String> = strict[tee]["strict"].as_object().unwrap().keys().cloned().collect();
        for field in fields {
            let mut changed = strict.clone();
            changed[tee]["strict"].as_object_mut().unwrap().remove(&field);
            if LATER.contains(&field.as_str()) {
                assert!(schema.is_valid(&changed), "{tee} without {field}");
                Policy::parse(&toml::to_string(&changed).unwrap()).unwrap();
            } else {
                refused(&changed, &format!("{tee} without {field}"));
            }
            for value in [json!(true), json!("nonsense"), json!(-1), json!({ "nonsense": 1 })] {
                let mut changed = strict.clone();
                changed[tee]["strict"][&field] = value.clone();
                refused(&changed, &format!("{tee} {field} = {value}"));
            }
        }
        let mut changed = strict.clone();
        changed[tee]["strict"]["nonsense"] = json!("unchecked");
        refused(&changed, "an unknown field");
        let mut changed = strict.clone();
        changed[tee]["second"] = strict[tee]["strict"].clone();
        // There is one for each wrapping; that two are not for the same is beyond a schema.
        let refused = Policy::parse(&toml::to_string(&changed).unwrap()).unwrap_err().to_string();
        assert!(refused.contains("expected one profile for each type of evidence"), "{refused}");
    }
    // The nearest that are valid.
    for (pointer, value) in [
        ("/sev-snp/strict/measurement", json!(format!("0x{}", "22".repeat(48)))),
        ("/sev-snp/strict/vmpl", json!([0])),
        ("/sev-snp/strict/denied_products", json!({ "milan": "why" })),
        ("/sev-snp/strict/minimum_tcb/milan", json!({ "bootloader": 0, "tee": 0, "snp": 1, "microcode": 0 })),
        ("/sev-snp/strict/bulletins/grace_days", json!(3650)),
        ("/sev-snp/strict/bulletins/except", json!({ "AMD-SB-3015": "why", "AMD-SB-3023": "why" })),
        ("/tdx/strict/xfam", json!({ "required": "0x7", "allowed": "0xffffffffffffffff" })),
        ("/tdx/strict/tcb_status", json!(["OutOfDate", "UpToDate"])),
        ("/tdx/strict/minimum_tcb_date", json!("2024-03-13T00:00:00Z")),
        ("/tdx/strict/tcb_exceptions", exception("2036-12-31T23:59:59Z", "why")),
    ] {
        let mut changed = strict.clone();
        *changed.pointer_mut(pointer).unwrap() = value.clone();
        let errors: Vec<String> = schema.iter_errors(&changed).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{pointer} = {value}");
        Policy::parse(&toml::to_string(&changed).unwrap()).unwrap_or_else(|error| panic!("{pointer}: {error}"));
    }
    for (pointer, value) in [
        ("/schema", json!(2)),
        ("/name", json!(1)),
        ("/sev-snp/strict/measurement", json!([])),
        ("/sev-snp/strict/measurement", json!("22")),
        ("/sev-snp/strict/guest_svn", json!({ "at_least": 1, "at_most": 2 })),
        ("/sev-snp/strict/guest_svn", json!({ "at_least": 0 })),
        ("/sev-snp/strict/vmpl", json!({ "at_least": 1 })),
        ("/sev-snp/strict/vmpl", json!(4)),
        ("/sev-snp/strict/vmpl", json!([3, 2, 1, 0])),
        ("/sev-snp/strict/measurement", json!({ "at_least": "22".repeat(48) })),
        ("/sev-snp/strict/minimum_tcb/turin", json!({ "bootloader": 1, "tee": 1, "snp": 1, "microcode": 1 })),
        ("/sev-snp/strict/minimum_tcb/milan/microcode", json!(256)),
        ("/sev-snp/strict/minimum_tcb", json!({})),
        ("/sev-snp/strict/minimum_tcb/turin", json!({ "fmc": 0, "bootloader": 0, "tee": 0, "snp": 0, "microcode": 0 })),
        ("/sev-snp/strict/minimum_tcb/milan", json!({ "bootloader": 0, "tee": 0, "snp": 0, "microcode": 0 })),
        ("/sev-snp/strict/products", json!([])),
        ("/sev-snp/strict/signing_keys", json!([])),
        ("/sev-snp/strict/denied_products", json!({ "milan": " " })),
        ("/sev-snp/strict/bulletins/grace_days", json!(3651)),
        ("/sev-snp/strict/bulletins/except", json!({ "AMD-SB-3016": "" })),
        ("/sev-snp/strict/bulletins/except", json!({ "AMD-SB-3034": "why" })),
        (
            "/sev-snp/strict/bulletins/except",
            json!({ "AMD-SB-3015": "why", "AMD-SB-3016": "why", "AMD-SB-3023": "why" }),
        ),
        ("/sev-snp/strict/chip_ids", json!(["00".repeat(64)])),
        ("/sev-snp/strict/platform_info", json!({ "required": [], "forbidden": [], "unknown": "allowed" })),
        ("/sev-snp/strict/platform_info/required/0", json!("alias-check")),
        ("/tdx/strict/tcb_status/0", json!("Revoked")),
        ("/tdx/strict/denied_advisories", json!(["INTEL-SA-837"])),
        ("/tdx/strict/xfam/required", json!("3")),
        ("/tdx/strict/xfam", json!({ "required": "0x3", "allowed": "0xffffffffffffffff" })),
        ("/tdx/strict/minimum_evaluation_number", json!(0)),
        ("/tdx/strict/minimum_tcb_date", json!("1970-01-01T00:00:00Z")),
        (
            "/tdx/strict/tcb_status",
            json!([
                "TDRelaunchAdvised",
                "UpToDate",
                "SWHardeningNeeded",
                "ConfigurationNeeded",
                "ConfigurationAndSWHardeningNeeded",
                "OutOfDate",
                "OutOfDateConfigurationNeeded",
                "TDRelaunchAdvisedConfigurationNeeded"
            ]),
        ),
        ("/tdx/strict/tcb_exceptions", exception("2037-01-01T00:00:00Z", "why")),
        ("/tdx/strict/tcb_exceptions", exception("1970-01-01T00:00:00Z", "why")),
        ("/tdx/strict/tcb_exceptions", exception("2027-01-01T00:00:00Z", "")),
    ] {
        let mut changed = strict.clone();
        *changed.pointer_mut(pointer).unwrap() = value.clone();
        refused(&changed, &format!("{pointer} = {value}"));
    }
}
