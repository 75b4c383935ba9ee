//! Bundles through the library: one spelling, one digest, and the verdict of the evidence that they were made from.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};
use teegate_intake::bundle::{Bundle, Conclusion, Kept, PolicyText, Verdict};
use teegate_intake::evidence::{self, OwnedEvidence};
use teegate_intake::{Statement, endorsements};
use teegate_measurements::GENUINE;
use teegate_tests::harness::note;
use teegate_tests::size;
use teegate_verifier::{Policy, Report, ReportData, Tee, UnixTime, verify};

use crate::recorded::{crate_folder, endorsement_paths, fixtures, rows, text};
use crate::subject::{Subject, good};

fn judge(evidence: &OwnedEvidence, policy: &str, at: UnixTime, report_data: Option<ReportData>) -> Report {
    let mut policy = Policy::parse(policy).unwrap();
    if let Some(expected) = report_data {
        policy = policy.with_report_data(expected);
    }
    match verify(&evidence.as_evidence(&evidence.endorsements), &policy, at) {
        Ok(attested) => attested.report().clone(),
        Err(rejection) => rejection.report().clone(),
    }
}

pub(crate) fn judge_bundle(bundle: &Bundle) -> Report {
    judge(&bundle.kept.to_evidence(), &bundle.policy.text, bundle.at, bundle.report_data)
}

/// What forged hardware would have in its bundle, with the conclusion drawn.
pub(crate) fn bundle_of(subject: &Subject) -> Bundle {
    let pool = &subject.pool;
    let statements: BTreeSet<Statement> = pool
        .certificates
        .iter()
        .cloned()
        .map(Statement::Certificate)
        .chain(pool.crls.iter().cloned().map(Statement::Crl))
        .chain(
            pool.tcb_infos.iter().map(|json| Statement::TcbInfo { body: json.body.clone(), signature: json.signature }),
        )
        .chain(
            pool.qe_identities
                .iter()
                .map(|json| Statement::QeIdentity { body: json.body.clone(), signature: json.signature }),
        )
        .collect();
    let kept = Kept {
        tee: subject.tee,
        evidence: subject.evidence.clone(),
        vtpm: subject.vtpm.clone(),
        aci: subject.aci.clone(),
        event_log: subject.event_log.clone(),
        statements,
    };
    concluded(kept, &subject.policy.to_toml(), UnixTime::from_seconds(subject.now), subject.asked.map(ReportData))
}

fn concluded(kept: Kept, policy: &str, at: UnixTime, report_data: Option<ReportData>) -> Bundle {
    let recorded = Conclusion::of(&judge(&kept.to_evidence(), policy, at, report_data));
    let policy = PolicyText { name: "forged.toml".to_owned(), text: policy.to_owned() };
    Bundle { kept, policy, at, report_data, recorded, creator: "teegate tests".to_owned() }
}

#[test]
fn a_bundle_of_forged_hardware_keeps_its_verdict_and_follows_the_schema() {
    let schema: Value = serde_json::from_str(include_str!("../../../../verifier/intake/schema/bundle-1.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    for (subject, verdict) in [
        (good(Tee::SevSnp), Verdict::Accepted),
        (good(Tee::Tdx), Verdict::Accepted),
        (good(Tee::Tdx).at(0), Verdict::Rejected),
    ] {
        let bundle = bundle_of(&subject);
        assert_eq!(bundle.recorded.verdict, verdict, "{}", bundle.recorded);
        let text = bundle.to_text().unwrap();
        let read = Bundle::parse(text.as_bytes()).unwrap();
        assert_eq!((&read, read.to_text().unwrap()), (&bundle, text.clone()));
        assert_eq!(Conclusion::of(&judge_bundle(&read)), bundle.recorded);

        let json: Value = serde_json::from_str(&text).unwrap();
        let errors: Vec<String> = schema.iter_errors(&json).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new());
        for (pointer, value) in [
            ("/schema", json!("teegate/bundle/2")),
            ("/digest", json!("sha256:00")),
            ("/content/at", json!("today")),
            ("/content/evidence/tee", json!("sgx")),
            ("/content/evidence/bytes", json!("AAA")),
            ("/content/event_log", json!("-_")),
            ("/content/report_data", json!("AB")),
            ("/content/recorded/verdict", json!("maybe")),
            ("/content/recorded/failed", json!(["a", 1])),
            ("/content/recorded/stage", if verdict == Verdict::Accepted { json!("malformed") } else { Value::Null }),
            ("/content/endorsements", json!([])),
            ("/content/policy", json!("genuine")),
        ] {
            let mut changed = json.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            assert!(!schema.is_valid(&changed), "{pointer} changed is still valid");
        }
    }
}

/// The verdict of the whole must not depend on the place of a single bit: the content is under the digest, and the rest has one
/// spelling.
#[test]
fn no_changed_byte_of_a_bundle_is_read() {
    let text = bundle_of(&good(Tee::SevSnp)).to_text().unwrap();
    let mut survivors = Vec::new();
    // From the end, so that a sample has the line end in it.
    for position in (0..text.len()).rev().step_by(size::step(29)) {
        for flip in [0x01, 0x20, 0x80] {
            let mut changed = text.clone().into_bytes();
            changed[position] ^= flip;
            if Bundle::parse(&changed).is_ok() {
                survivors.push((position, changed[position]));
            }
        }
    }
    assert_eq!(survivors, []);
    for length in (0..text.len() - 1).rev().step_by(size::step(29)) {
        assert!(Bundle::parse(&text.as_bytes()[..length]).is_err(), "{length}");
    }
    assert!(Bundle::parse(text.trim_end().as_bytes()).is_ok(), "the twin, without its last line end");
}

#[test]
fn fixed_bytes_have_a_fixed_bundle() {
    let kept = Kept {
        tee: Tee::SevSnp,
        evidence: vec![2, 0, 0, 0],
        vtpm: None,
        aci: None,
        event_log: None,
        statements: [Statement::Certificate(vec![0x30, 0]), Statement::Crl(vec![0x30, 0])].into(),
    };
    let bundle = Bundle {
        kept,
        policy: PolicyText { name: "a.toml".to_owned(), text: "schema = 1\n".to_owned() },
        at: UnixTime::from_seconds(1_768_435_200),
        report_data: None,
        recorded: Conclusion {
            failed: vec!["snp.bytes.length".to_owned()],
            stage: Some("malformed".to_owned()),
            valid_until: None,
            verdict: Verdict::Rejected,
        },
        creator: "teegate 0.1.0".to_owned(),
    };
    let golden = r#"{"schema":"teegate/bundle/1","digest":"sha256:6040c6e8c8863f44bbe171f5e7fe50783df0fe50efeed0d5d379c6afd2809085","content":{"at":"2026-01-15T00:00:00Z","creator":"teegate 0.1.0","endorsements":{"certificates":["MAA="],"crls":["MAA="],"qe_identities":[],"tcb_infos":[]},"event_log":null,"evidence":{"bytes":"AgAAAA==","tee":"sev-snp"},"policy":{"name":"a.toml","text":"schema = 1\n"},"recorded":{"failed":["snp.bytes.length"],"stage":"malformed","valid_until":null,"verdict":"rejected"},"report_data":null}}"#;
    assert_eq!(bundle.to_text().unwrap(), format!("{golden}\n"));
    assert_eq!(Bundle::parse(golden.as_bytes()).unwrap(), bundle);
}

/// A report without who brought the statements that it rests on: a bundle did, or somebody else.
fn whoever_brought_it(report: &Report) -> Value {
    let mut report = serde_json::to_value(report).unwrap();
    for endorsement in report["endorsements"].as_array_mut().unwrap() {
        endorsement["source"] = Value::Null;
        endorsement["from"] = Value::Null;
    }
    report
}

/// Evidence with these endorsements gives one verdict, whether it is verified where it lies or out of its bundle.
fn same_either_way(id: &str, evidence: PathBuf, paths: &[PathBuf], at: UnixTime) -> Option<(usize, Report)> {
    let mut evidence = evidence::load(&evidence, None).ok()?;
    let loaded = endorsements::load(paths).unwrap();
    let kept = Kept::new(&evidence, loaded.statements().cloned());
    evidence.endorsements.extend(&loaded.endorsements());
    let direct = judge(&evidence, GENUINE, at, None);
    let text = concluded(kept, GENUINE, at, None).to_text().unwrap_or_else(|error| panic!("{id}: {error}"));
    let report = judge_bundle(&Bundle::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{id}: {error}")));
    assert_eq!(whoever_brought_it(&report), whoever_brought_it(&direct), "{id}");
    Some((text.len(), report))
}

#[test]
fn every_recorded_case_has_its_verdict_out_of_a_bundle() {
    let Some(fixtures) = fixtures() else { return };
    let rows = rows(&fixtures);
    let mut sizes = Vec::new();
    for row in &rows {
        let (id, at) = (text(row, "id"), UnixTime::parse(text(row, "at")).unwrap());
        let evidence = fixtures.join(text(row, "evidence"));
        let (size, report) = same_either_way(id, evidence, &endorsement_paths(&fixtures, row), at).unwrap();
        let stage = report.stage().map(|stage| stage.rejection());
        assert_eq!(stage, row["expect"]["stage"].as_str(), "{id}");
        sizes.push(size);
    }
    sizes.sort_unstable();
    note(&format!(
        "recorded cases out of bundles: {} of {} as expected, bundles of {} to {} bytes",
        sizes.len(),
        rows.len(),
        sizes[0],
        sizes[sizes.len() - 1]
    ));
    assert!(sizes.len() >= 146, "only {} rows", sizes.len());
}

#[test]
fn evidence_that_published_crates_carry_has_its_verdict_out_of_a_bundle() {
    let (sev, dcap) = (crate_folder("sev").join("tests/certs_data"), crate_folder("dcap-qvl").join("sample"));
    let milan = [sev.join("vcek_milan.der"), sev.join("cert_chain_milan")];
    let tdx = |name: &str| (dcap.join(name), vec![dcap.join(format!("{name}_collateral.json"))]);
    let mut cases = vec![
        (sev.join("report_milan.hex"), milan.to_vec(), "2023-07-02T00:00:00Z", true),
        (sev.join("report_milan.hex"), milan.to_vec(), "2030-05-03T00:00:00Z", false),
    ];
    for (name, at, accepted) in [
        ("tdx_quote", "2025-07-04T10:16:31Z", true),
        ("tdx_quote", "2025-08-28T10:00:35Z", false),
        ("tdx_quote_td15ex", "2026-10-23T00:06:48Z", true),
        ("tdx_quote_outdated", "2026-03-05T10:50:03Z", false),
    ] {
        let (evidence, endorsements) = tdx(name);
        cases.push((evidence, endorsements, at, accepted));
    }
    for (evidence, endorsements, at, accepted) in &cases {
        let id = evidence.display().to_string();
        let at = UnixTime::parse(at).unwrap();
        let (_, report) = same_either_way(&id, evidence.clone(), endorsements, at).unwrap();
        assert_eq!(report.accepted(), *accepted, "{id} at {at}");
    }
    note(&format!("recorded cases that published crates carry, out of bundles: {0} of {0} as expected", cases.len()));
}
