//! Bundles of forged evidence in a folder, looked at from different times.

use teegate_forge::snp::SnpBuilder;
use teegate_intake::bundle::{Conclusion, Kept, PolicyText};
use teegate_intake::{Statement, evidence};
use teegate_measurements::{GENUINE, Rewritten};
use teegate_verifier::Tee;

use super::*;

/// 2026-06-01T00:00:00Z.
const START: u64 = 1_780_272_000;
const DAY: u64 = 86_400;

fn genuine_under(ark_pem: &str) -> String {
    let genuine = Rewritten::of(GENUINE).unwrap().named("test").only(Tee::SevSnp).under_root("amd", ark_pem);
    genuine.rule(Tee::SevSnp, "revocation", "\"required\"").unwrap().text()
}

/// Puts a bundle of this device into the folder.
fn put(folder: &Path, name: &str, device: &SnpBuilder) {
    let set = device.build();
    let text = genuine_under(&set.ark_pem);
    let evidence = evidence::recognise(&set.report, None).unwrap();
    let mut statements: Vec<_> = [&set.vek, &set.intermediate].map(|der| Statement::Certificate(der.clone())).into();
    statements.extend(set.crl.map(Statement::Crl));
    let kept = Kept::new(&evidence, statements);
    let at = UnixTime::from_seconds(START);
    let policy = teegate_verifier::Policy::parse(&text).unwrap();
    let held = kept.to_evidence();
    let report = match teegate_verifier::verify(&held.as_evidence(&held.endorsements), &policy, at) {
        Ok(attested) => attested.report().clone(),
        Err(rejection) => rejection.report().clone(),
    };
    let bundle = Bundle {
        kept,
        policy: PolicyText { name: "test".to_owned(), text },
        at,
        report_data: None,
        recorded: Conclusion::of(&report),
        creator: "a test".to_owned(),
    };
    fs::write(folder.join(name), bundle.to_text().unwrap()).unwrap();
}

/// A device whose list ends so many days after the start.
fn device(days: u64) -> SnpBuilder {
    teegate_forge::snp().crl_window(START - DAY, Some(START + days * DAY))
}

fn look_at(folder: &Path, format: WatchFormat, within: &str, after: u64) -> Result<(String, u8), Stop> {
    watch(&WatchArgs {
        folder: folder.to_owned(),
        within: within::parse(within).unwrap(),
        policy: None,
        at: Some(UnixTime::from_seconds(START + after)),
        format,
    })
}

#[test]
fn what_ends_first_stands_first_and_the_status_says_how_it_is() {
    let place = tempfile::tempdir().unwrap();
    let none = look_at(place.path(), WatchFormat::Text, "30d", 0).unwrap_err();
    assert!(none.status == 1 && none.message.contains("holds no bundle"), "{}", none.message);
    put(place.path(), "long.json", &device(60));
    fs::write(place.path().join("index.json"), "{\"next\":1}").unwrap();
    let (text, status) = look_at(place.path(), WatchFormat::Text, "30d", 0).unwrap();
    assert_eq!(status, exit::ACCEPTED, "{text}");
    assert!(text.contains("HOLDS       long.json  until 2026-07-31T00:00:00Z, in 60 d 0 h"), "{text}");
    assert!(text.contains("1 bundle at 2026-06-01T00:00:00Z"), "{text}");

    put(place.path(), "short.json", &device(20));
    let (text, status) = look_at(place.path(), WatchFormat::Text, "30d", 0).unwrap();
    assert_eq!(status, exit::ENDS_SOON, "{text}");
    assert!(text.starts_with("ENDS        short.json  until 2026-06-21T00:00:00Z, in 20 d 0 h"), "{text}");
    assert!(text.contains("refused from then on") && text.contains("snp.chain.revocation: expected"), "{text}");
    assert_eq!(look_at(place.path(), WatchFormat::Text, "19d", 0).unwrap().1, exit::ACCEPTED, "not that soon");

    // Time goes on: what ended is refused, and that counts before what will end.
    let (text, status) = look_at(place.path(), WatchFormat::Text, "60d", 20 * DAY).unwrap();
    assert!(status == 3 && text.starts_with("REFUSED     short.json\n  why      snp.chain.revocation"), "{text}");
    assert!(text.contains("1 refused, 1 accepted and to be refused within 60 d 0 h, 0 accepted for longer"), "{text}");

    // An altered bundle is malformed, and stops no other.
    let whole = fs::read_to_string(place.path().join("long.json")).unwrap();
    fs::write(place.path().join("altered.json"), whole.replacen("a test", "b test", 1)).unwrap();
    let (text, status) = look_at(place.path(), WatchFormat::Text, "30d", 0).unwrap();
    assert!(status == exit::MALFORMED && text.starts_with("UNREADABLE  altered.json\n"), "{text}");
    assert!(text.contains("HOLDS       long.json"), "{text}");
}

#[test]
fn programs_get_all_of_it_and_code_scanning_what_is_wrong() {
    let place = tempfile::tempdir().unwrap();
    put(place.path(), "short.json", &device(20));
    put(place.path(), "long.json", &device(60));
    put(place.path(), "debug.json", &device(60).debug());
    let (text, status) = look_at(place.path(), WatchFormat::Json, "30d", 0).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &json["schema"], &json["status"]), (4, &"teegate/watch/1".into(), &4.into()));
    let of = |name: &str| {
        let bundles = json["bundles"].as_array().unwrap();
        bundles.iter().find(|bundle| bundle["file"] == format!("{name}.json")).unwrap()
    };
    assert_eq!(of("debug")["standing"], "refused");
    assert_eq!(of("debug")["forecast"]["refused_by"], serde_json::json!(["snp.policy.debug"]));
    assert_eq!(of("long")["standing"], "holds");
    let short = of("short");
    assert_eq!(short["standing"], "ends");
    assert_eq!(short["forecast"]["accepted_until"], "2026-06-21T00:00:00Z");
    assert_eq!(short["forecast"]["changes"][0]["refused_by"], serde_json::json!(["snp.chain.revocation"]));
    holds_to_its_schema(&json);

    let (text, _) = look_at(place.path(), WatchFormat::Sarif, "30d", 0).unwrap();
    let log: serde_json::Value = serde_json::from_str(&text).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    let shown: Vec<_> = results.iter().map(|result| (result["ruleId"].as_str(), result["level"].as_str())).collect();
    let expected = [(Some("snp.policy.debug"), Some("error")), (Some("snp.chain.revocation"), Some("warning"))];
    assert_eq!(shown, expected);
    assert_eq!(log["runs"][0]["invocations"][0]["exitCode"], 4);
    holds_to_sarif(&log);
}

#[test]
fn what_cannot_be_read_stands_in_both_forms_too() {
    let place = tempfile::tempdir().unwrap();
    put(place.path(), "long.json", &device(60));
    let whole = fs::read_to_string(place.path().join("long.json")).unwrap();
    fs::write(place.path().join("altered.json"), whole.replacen("a test", "b test", 1)).unwrap();
    let parsed = |format| -> serde_json::Value {
        let (text, status) = look_at(place.path(), format, "30d", 0).unwrap();
        assert_eq!(status, exit::MALFORMED);
        serde_json::from_str(&text).unwrap()
    };
    let json = parsed(WatchFormat::Json);
    assert_eq!(json["bundles"][0]["standing"], "unreadable");
    holds_to_its_schema(&json);
    holds_to_sarif(&parsed(WatchFormat::Sarif));
}

fn errors(schema: &jsonschema::Validator, value: &serde_json::Value) -> Vec<String> {
    schema.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// And its twins, each with one thing wrong, do not.
fn holds_to_its_schema(json: &serde_json::Value) {
    let schema = serde_json::from_str(include_str!("../../schema/watch-1.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    assert_eq!(errors(&schema, json), Vec::<String>::new());
    for (pointer, wrong) in [
        ("/schema", serde_json::json!("teegate/watch/2")),
        ("/at", serde_json::json!("tomorrow")),
        ("/status", serde_json::json!(5)),
        ("/bundles", serde_json::json!([])),
        ("/bundles/0/standing", serde_json::json!("good")),
        ("/bundles/0/error", serde_json::json!(1)),
    ] {
        let mut twin = json.clone();
        *twin.pointer_mut(pointer).unwrap() = wrong;
        assert!(!schema.is_valid(&twin), "{pointer}");
    }
    let mut twin = json.clone();
    twin["more"] = true.into();
    assert!(!schema.is_valid(&twin), "a member that it does not name");
}

/// The schema of OASIS, where `ci/schemas.sh` has brought it.
fn holds_to_sarif(log: &serde_json::Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/schemas/sarif-2.1.0.json");
    let Ok(schema) = fs::read_to_string(path) else {
        return eprintln!("note: not run: SARIF of `watch` was not held against its schema: run ci/schemas.sh first");
    };
    let schema = serde_json::from_str(&schema).unwrap();
    let schema = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    assert_eq!(errors(&schema, log), Vec::<String>::new());
    let mut wrong = log.clone();
    wrong["runs"][0]["invocations"][0]["exitCode"] = "0".into();
    assert!(!schema.is_valid(&wrong), "a schema that takes everything");
}
