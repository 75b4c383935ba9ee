//! An EAT Attestation Result (draft-ietf-rats-ear-04) in JSON, signed as a JWT: one submodule, named after the TEE.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value, json};
use teegate_encoding::base64;
use teegate_verifier::{BoundTo, FactValue, Outcome, Report, Roots, Stage};

use super::about::{About, verdict};
use super::sign;
use super::vector::{self, Tier};

/// The profile that the draft of May 2026 defines.
const PROFILE: &str = "tag:ietf.org,2026:rats/ear#04";

/// The largest integer that every reader of JSON holds exactly; larger facts are written as text.
const EXACT: u64 = 1 << 53;

/// What the verifier learned from the vendors' statements and not from the evidence.
const OF_THE_VERIFIER: &[&str] = &[
    "product",
    "bulletin_baseline",
    "bulletins_open",
    "bulletins_not_shown",
    "csp_id",
    "crl_this_update",
    "root_crl_this_update",
    "pck_crl_this_update",
    "reported_tcb_version",
    "current_tcb_version",
    "committed_tcb_version",
    "launch_tcb_version",
    "fmspc",
    "ppid",
    "pce_id",
    "pce_svn",
    "cpu_svn",
    "sgx_type",
    "pck_ca",
    "platform_instance_id",
    "dynamic_platform",
    "cached_keys",
    "smt_enabled",
    "tcb_evaluation_number",
    "qe_evaluation_number",
    "tcb_status",
    "tcb_date",
    "advisories",
    "tcb_status_platform",
    "tcb_status_module",
    "tcb_status_qe",
    "tcb_status_current",
    "tcb_lacking",
    "tcb_date_current",
    "advisories_current",
    "event_log_events",
    "acpi_tables",
];

#[derive(Serialize)]
struct Ear {
    eat_profile: &'static str,
    iat: u64,
    exp: u64,
    ear_verifier_id: VerifierId,
    ear_status: &'static str,
    submods: Map<String, Value>,
}

#[derive(Serialize)]
struct VerifierId {
    developer: &'static str,
    build: &'static str,
}

#[derive(Serialize)]
struct Appraisal<'a> {
    ear_status: &'static str,
    #[serde(serialize_with = "as_object", skip_serializing_if = "<[_]>::is_empty")]
    ear_trustworthiness_vector: &'a [(&'static str, i8)],
    ear_appraisal_policy_ids: [String; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    eat_nonce: Option<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    ear_attester_claims: Map<String, Value>,
    ear_verifier_claims: Map<String, Value>,
}

/// The signed token, on a line of its own.
pub(super) fn render(report: &Report, about: &About<'_>) -> Result<String, String> {
    let key = about.ear_key.ok_or_else(sign::missing_key)?;
    let claims = serde_json::to_string(&ear(report, about)?)
        .map_err(|error| format!("the attestation result cannot be written: {error}"))?;
    Ok(format!("{}\n", key.sign(&claims)?))
}

fn ear(report: &Report, about: &About<'_>) -> Result<Ear, String> {
    let foreign = report.trust_anchors() == Some(Roots::Policy);
    let vector = vector::vector(report, foreign);
    let status: Tier = vector::status(report, &vector);
    // The draft wants no empty vector: where nothing is claimed, the member is absent.
    let claimed = if vector.iter().any(|(_, value)| *value != 0) { &vector[..] } else { &[] };
    let (attester, mut verifier) = claims(report);
    verifier.extend(verdict_claims(report, about));
    let appraisal = Appraisal {
        ear_status: status.name(),
        ear_trustworthiness_vector: claimed,
        ear_appraisal_policy_ids: [format!("{};sha256={}", about.named, sign::sha256(about.policy_text))],
        eat_nonce: nonce(report, about),
        ear_attester_claims: attester,
        ear_verifier_claims: verifier,
    };
    let appraisal = serde_json::to_value(appraisal).map_err(|error| format!("the appraisal: {error}"))?;
    Ok(Ear {
        eat_profile: PROFILE,
        iat: report.at().seconds(),
        exp: expiry(report),
        ear_verifier_id: VerifierId { developer: "teegate", build: concat!("teegate ", env!("CARGO_PKG_VERSION")) },
        ear_status: status.name(),
        submods: Map::from_iter([(report.tee().name().to_owned(), appraisal)]),
    })
}

/// A day: who relies on a verdict for longer asks again, and learns what was revoked meanwhile.
const AN_ACCEPTANCE_LASTS: u64 = 24 * 60 * 60;
/// Five minutes: what is refused for a missing list may be accepted once somebody has fetched it.
const A_REJECTION_LASTS: u64 = 5 * 60;

/// Until when the result may be relied on, from the time that the verdict is about. A replayed verdict is of the past, and so
/// is its end: nobody can take it for one that holds now.
fn expiry(report: &Report) -> u64 {
    let lasts = if report.accepted() { AN_ACCEPTANCE_LASTS } else { A_REJECTION_LASTS };
    let end = report.at().seconds().saturating_add(lasts);
    report.valid_until().map_or(end, |first| end.min(first.seconds()))
}

/// The challenge that makes the evidence fresh: report data that the caller named and that the evidence holds.
fn nonce(report: &Report, about: &About<'_>) -> Option<String> {
    let held = report
        .finding(report.tee().key_checks().report_data)
        .is_some_and(|finding| *finding.outcome() == Outcome::Pass);
    about.report_data.filter(|_| held).map(|data| base64::encode_url(data.0))
}

/// Facts by the authority that stands behind them. What was not authenticated nobody stands behind.
fn claims(report: &Report) -> (Map<String, Value>, Map<String, Value>) {
    if matches!(report.stage(), Some(Stage::Parse | Stage::Authenticate)) {
        return (Map::new(), Map::new());
    }
    let mut attester = Map::new();
    let mut verifier = Map::new();
    for (name, value) in report.facts() {
        let claims = if OF_THE_VERIFIER.contains(&name) { &mut verifier } else { &mut attester };
        if let Some(value) = claim(value) {
            claims.insert(name.to_owned(), value);
        }
    }
    (attester, verifier)
}

fn claim(value: &FactValue) -> Option<Value> {
    Some(match value {
        FactValue::Absent => return None,
        FactValue::Number(number) if *number <= EXACT => json!(number),
        FactValue::Flag(flag) => json!(flag),
        FactValue::List(list) => json!(list),
        _ => json!(value.to_string()),
    })
}

fn verdict_claims(report: &Report, about: &About<'_>) -> Map<String, Value> {
    let checks: Map<String, Value> = report
        .findings()
        .iter()
        .map(|finding| (finding.check().id().to_owned(), json!(finding.outcome().name())))
        .collect();
    let members = [
        ("verdict", Some(json!(verdict(report)))),
        ("replayed", Some(json!(report.replayed()))),
        ("trust_anchors", report.trust_anchors().map(Roots::name).map(|roots| json!(roots))),
        ("inputs", Some(json!(about.inputs))),
        ("not_to_be_had", (!about.in_vain.is_empty()).then(|| json!(about.in_vain))),
        ("endorsements", (!report.endorsements().is_empty()).then(|| json!(report.endorsements()))),
        ("stage", report.stage().map(|stage| json!(stage.rejection()))),
        ("profile", report.profile().map(|profile| json!(profile))),
        ("bound_to", report.bound_to().map(BoundTo::name).map(|bound| json!(bound))),
        ("valid_until", report.valid_until().map(|end| json!(end.to_string()))),
        ("ends_first", report.ends_first().map(|first| json!(first))),
        ("warnings", report.warnings().next().map(|_| json!(report.warnings().collect::<Vec<_>>()))),
        ("outlook", (!report.outlook().is_empty()).then(|| json!(report.outlook()))),
        ("checks", Some(Value::Object(checks))),
        ("expired", (!about.expired.is_empty()).then(|| json!(about.expired))),
    ];
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn as_object<S: Serializer>(pairs: &&[(&'static str, i8)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(pairs.len()))?;
    for (name, value) in *pairs {
        map.serialize_entry(name, value)?;
    }
    map.end()
}
