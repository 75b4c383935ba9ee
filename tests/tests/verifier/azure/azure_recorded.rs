//! Evidence of real Azure machines, with the verdict that each must have. The files lie beside the project, in `../shared/fixtures`;
//! where that folder is absent the run says what it did not run.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use teegate_intake::{endorsements, evidence};
use teegate_tests::harness::note;
use teegate_verifier::{Attested, Check, Rejection, Tee, UnixTime, Wrapping, verify};

use crate::azure_policy::genuine_under_a_paravisor;
use crate::recorded::fixtures;

const SNP_CAS: &[&str] = &["snp-ca/milan", "snp-ca/genoa", "snp-ca/turin"];
/// In the month in which the TD was recorded.
const TDX_POOL: &[&str] = &[
    "dcap-collateral/pool/tcbinfo-tdx-00806f050000-20250604-ev17.json",
    "dcap-collateral/pool/qeid-td_qe-20250604-ev17.json",
    "dcap-collateral/pool/crl-platform-20250604.der",
    "dcap-collateral/pool/crl-root-20250320.der",
    "dcap-collateral/certs",
];

fn judge(fixtures: &Path, text: &[u8], pool: &[&str], at: &str) -> Result<Attested, Rejection> {
    let evidence = evidence::recognise(text, None).unwrap();
    let paths: Vec<_> = pool.iter().map(|path| fixtures.join(path)).collect();
    let mut pool = endorsements::load_paths(&paths).unwrap();
    pool.extend(&evidence.endorsements);
    verify(&evidence.as_evidence(&pool), &genuine_under_a_paravisor(), UnixTime::parse(at).unwrap())
}

/// Each with its time, its pool, and the measurement of its paravisor.
const ACCEPTED: [(&str, &[&str], &str, &str); 4] = [
    ("snp-genoa-trustee/evidence-genoa.json", SNP_CAS, "2025-06-01T00:00:00Z", "f57dc09a507c"),
    ("snp-trustee-evidence-v1/evidence-v1.json", SNP_CAS, "2025-06-01T00:00:00Z", "6a063be9dd79"),
    ("snp-trustee-evidence-v2/evidence-v2.json", SNP_CAS, "2025-06-01T00:00:00Z", "5b0ce64ad1c1"),
    ("tdx-trustee/evidence-v1.json", TDX_POOL, "2025-06-19T09:35:34Z", "024a32b07038"),
];

#[test]
fn every_machine_is_accepted_and_no_other_machines_part_is() {
    let Some(fixtures) = fixtures() else { return };
    let read = |name: &str| std::fs::read(fixtures.join("azure-hcl").join(name)).unwrap();
    let mut run = 0;
    for (name, pool, at, measurement) in ACCEPTED {
        let text = read(name);
        let attested = judge(&fixtures, &text, pool, at).unwrap_or_else(|refused| panic!("{name}: {refused}"));
        let report = attested.report();
        assert_eq!(report.wrapping(), Wrapping::AzureVtpm, "{name}");
        let code = if report.tee() == Tee::Tdx { "mrtd" } else { "measurement" };
        assert!(report.fact(code).unwrap().to_string().starts_with(measurement), "{name}");
        for check in [Check::HCL_BYTES, Check::HCL_BINDING, Check::HCL_AK, Check::HCL_QUOTE] {
            assert_eq!(report.finding(check).unwrap().outcome().name(), "pass", "{name} {check}");
        }
        assert_eq!(report.fact("secure_boot").unwrap().to_string(), "true", "{name}");
        // One bit of each part.
        for (part, failed) in [("message", "hcl.quote"), ("signature", "hcl.quote"), ("pcrs", "hcl.quote")] {
            let changed = with_one_bit(&text, part);
            assert_eq!(judge(&fixtures, &changed, pool, at).unwrap_err().failed_checks(), [failed], "{name} {part}");
        }
        run += 1;
    }
    // Two machines' parts: the report of one, the quote of the other.
    let [one, other] = ["snp-trustee-evidence-v1/evidence-v1.json", "snp-trustee-evidence-v2/evidence-v2.json"]
        .map(|name| serde_json::from_slice::<Value>(&read(name)).unwrap());
    let mut mixed = one.clone();
    mixed["tpm_quote"] = other["tpm_quote"].clone();
    let refused = judge(&fixtures, mixed.to_string().as_bytes(), SNP_CAS, "2025-06-01T00:00:00Z").unwrap_err();
    assert_eq!(refused.failed_checks(), ["hcl.quote"]);
    // Two quotes lie beside one report: one is of its own vTPM, the other of another machine's.
    let of_its_own: Value = serde_json::from_slice(&read("snp-trustee/tpm-quote-v1.json")).unwrap();
    let report = url(&read("snp-trustee/hcl_report.bin"));
    let pool: Vec<_> = SNP_CAS.iter().copied().chain(["azure-hcl/snp-trustee/vcek.pem"]).collect();
    let beside = |quote: &Value| {
        let pair = json!({ "version": 1, "tpm_quote": quote, "hcl_report": report });
        judge(&fixtures, pair.to_string().as_bytes(), &pool, "2024-06-01T00:00:00Z")
    };
    beside(&of_its_own).unwrap();
    let mut of_another = of_its_own.clone();
    of_another["message"] = hex::encode(read("snp-trustee/tpm-quote.msg")).into();
    of_another["signature"] = hex::encode(read("snp-trustee/tpm-quote.sig")).into();
    let refused = beside(&of_another).unwrap_err();
    assert_eq!(refused.failed_checks(), ["hcl.quote"]);
    assert_eq!(refused.report().finding(Check::HCL_BINDING).unwrap().outcome().name(), "pass");
    // The report of one TD with the quote of another.
    let mut text: Value = serde_json::from_slice(&read("tdx-trustee/evidence-v1.json")).unwrap();
    text["td_quote"] = url(&std::fs::read(fixtures.join("tdx/v4-00806f-oak/quote.bin")).unwrap()).into();
    let refused = judge(&fixtures, text.to_string().as_bytes(), TDX_POOL, "2025-06-19T09:35:34Z").unwrap_err();
    assert_eq!(refused.failed_checks(), ["hcl.binding"]);
    note(&format!("recorded Azure evidence: {} machines accepted, and 3 mixtures of two refused", run + 1));
}

/// What the loader asks of a node's registers, recorded machines show: the shipped template takes their values, and a first policy is made of them.
#[test]
fn the_registers_of_recorded_machines_make_a_policy_of_a_node() {
    use teegate_measurements::{AZURE_CVM_NODE, ReferenceValues, fill, init};
    let Some(fixtures) = fixtures() else { return };
    for (name, ..) in ACCEPTED {
        let text = std::fs::read(fixtures.join("azure-hcl").join(name)).unwrap();
        let evidence = evidence::recognise(&text, None).unwrap();
        let (tee, facts) = (evidence.tee, evidence.inspect().unwrap());
        let shows = |field: &str| facts.iter().find(|(own, _)| *own == field).map(|(_, value)| value.to_string());
        let code = if tee == Tee::Tdx { "mrtd" } else { "measurement" };
        let fields = [code, "pcr4", "pcr7", "pcr9", "pcr11", "pcr12"];
        let lines = fields.map(|field| format!("{field} = \"{}\"\n", shows(field).unwrap())).concat();
        let values = ReferenceValues::parse(&format!("schema = 1\nname = \"node\"\n[{tee}]\n{lines}")).unwrap();
        let filled = fill(AZURE_CVM_NODE, &values).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(filled.policy().document().profiles().len(), 1, "{name}");
        let made = init((tee, Wrapping::AzureVtpm), "node", teegate_verifier::BoundTo::Guest, shows);
        teegate_verifier::Policy::parse(&made.unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// Evidence of version 2 holds its challenge in the claims too; of version 1 it does not.
#[test]
fn recorded_user_data_is_that_of_its_version() {
    let Some(fixtures) = fixtures() else { return };
    let genuine = teegate_measurements::Rewritten::of(teegate_measurements::GENUINE).unwrap();
    let genuine = genuine.wrapped(Wrapping::AzureVtpm).unwrap();
    let strict = genuine.rule(Tee::SevSnp, "user_data", "\"required\"").unwrap().text();
    let policy = teegate_verifier::Policy::parse(&strict).unwrap();
    let paths: Vec<_> = SNP_CAS.iter().map(|path| fixtures.join(path)).collect();
    for (name, failed) in [
        ("snp-trustee-evidence-v2/evidence-v2.json", &[][..]),
        ("snp-trustee-evidence-v1/evidence-v1.json", &["hcl.user-data"][..]),
    ] {
        let text = std::fs::read(fixtures.join("azure-hcl").join(name)).unwrap();
        let evidence = evidence::recognise(&text, None).unwrap();
        let mut pool = endorsements::load_paths(&paths).unwrap();
        pool.extend(&evidence.endorsements);
        let at = UnixTime::parse("2025-06-01T00:00:00Z").unwrap();
        let found = verify(&evidence.as_evidence(&pool), &policy, at);
        assert_eq!(found.err().map(|refused| refused.failed_checks()).unwrap_or_default(), failed, "{name}");
    }
}

/// Reports without a quote beside them say what they are, and can be looked at.
#[test]
fn recorded_reports_alone_can_be_looked_at() {
    let Some(fixtures) = fixtures() else { return };
    for (name, tee) in [("snp-kinvolk", Tee::SevSnp), ("tdx-kinvolk", Tee::Tdx), ("snp-trustee", Tee::SevSnp)] {
        let bytes = std::fs::read(fixtures.join("azure-hcl").join(name).join("hcl_report.bin")).unwrap();
        let found = evidence::recognise(&bytes, None).unwrap();
        assert_eq!(found.tee, tee, "{name}");
        let facts = found.inspect().unwrap();
        let fact = |name: &str| facts.iter().find(|(own, _)| *own == name).map(|(_, value)| value.to_string());
        assert!(fact("vtpm_key").is_some() && fact("vm_id").is_some_and(|id| id.len() == 36), "{name}");
        assert_eq!(fact("user_data").is_some_and(|data| data.len() == 128), name != "snp-kinvolk", "{name}");
    }
}

fn url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The first bit of a member, in whatever encoding it stands there.
fn with_one_bit(text: &[u8], part: &str) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(text).unwrap();
    let quote = if value["quote"].is_object() { "quote" } else { "tpm_quote" };
    let mut place = &mut value[quote][part];
    if part == "pcrs" {
        place = &mut place[11];
    }
    match place {
        Value::String(written) => {
            let mut bytes = hex::decode(&*written).unwrap();
            bytes[20] ^= 1;
            *written = hex::encode(bytes);
        }
        Value::Array(numbers) => numbers[20] = json!(numbers[20].as_u64().unwrap() ^ 1),
        other => panic!("{other}"),
    }
    value.to_string().into_bytes()
}
