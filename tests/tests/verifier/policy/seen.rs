//! `measurements/seen.toml` says what recorded hardware showed. It is generated here from the recorded cases, of which it
//! holds figures and no bytes: `TEEGATE_UPDATE_SEEN=1 cargo test -p teegate-tests --test verifier seen`.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use serde_json::Value;
use teegate_intake::{endorsements, evidence};
use teegate_measurements::{GENUINE, SEEN, STRICT};
use teegate_tests::harness::note;
use teegate_verifier::{Policy, UnixTime, verify};

use crate::recorded::{endorsement_paths, fixtures, rows, text};

const HEAD: &str = "# What recorded platforms showed, one table for each record that `genuine` accepts: figures, no bytes of the record.
# `teegate policy lint` holds rules about the state of a platform against them.
#
# Generated from the recorded cases beside the repository, where a test keeps it in step:
#   TEEGATE_UPDATE_SEEN=1 cargo test -p teegate-tests --test verifier seen
";

#[test]
fn the_table_of_what_was_seen_is_that_of_the_recorded_cases() {
    let Some(fixtures) = fixtures() else { return };
    let policy = Policy::parse(GENUINE).unwrap();
    let mut table = HEAD.to_owned();
    let mut known = BTreeSet::new();
    for row in rows(&fixtures).iter().filter(|row| row["expect"]["verdict"] == "accepted") {
        let evidence = evidence::load(&fixtures.join(text(row, "evidence")), None).unwrap();
        let pool = endorsements::load_paths(&endorsement_paths(&fixtures, row)).unwrap();
        let at = UnixTime::parse(text(row, "at")).unwrap();
        let attested = verify(&evidence.as_evidence(&pool), &policy, at).unwrap();
        let report = serde_json::to_value(attested.report()).unwrap();
        let tee = report["tee"].as_str().unwrap();
        let record = if tee == "sev-snp" { sev_snp(&report["facts"]) } else { tdx(&report["facts"]) };
        // The same evidence under other endorsements of the same state is the same record.
        if known.insert(format!("{}{record}", text(row, "evidence"))) {
            write!(table, "\n[[{tee}]]\ncase = \"{}\"\n{record}", text(row, "id")).unwrap();
        }
    }
    if std::env::var_os("TEEGATE_UPDATE_SEEN").is_some() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../measurements/seen.toml");
        std::fs::write(file, &table).unwrap();
        return note("measurements/seen.toml was written anew; build and test again");
    }
    assert!(table == SEEN, "measurements/seen.toml is out of step; its head says how to write it anew");
    note(&format!("measurements/seen.toml is in step: {} records", known.len()));
}

fn sev_snp(facts: &Value) -> String {
    let fact = |name: &str| facts[name].as_str().unwrap_or_else(|| panic!("{name}: {facts}"));
    let parts = |which: &str| -> Vec<(String, u8)> {
        let words: Vec<_> = fact(&format!("{which}_tcb_version")).split(' ').collect();
        words.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].parse().unwrap())).collect()
    };
    let [reported, committed, current, launch] = ["reported", "committed", "current", "launch"].map(parts);
    // All four must reach a floor, so the least of each component counts.
    let least: Vec<String> = (0..reported.len())
        .map(|index| {
            let all = [&reported, &committed, &current, &launch];
            format!("{} = {}", reported[index].0, all.map(|tcb| tcb[index].1).iter().min().unwrap())
        })
        .collect();
    let reaches = reported.iter().zip(&committed).all(|(reported, committed)| reported.1 <= committed.1);
    let version = |which: &str| -> Vec<u8> { fact(which).split('.').map(|part| part.parse().unwrap()).collect() };
    let firmware = version("current_firmware").min(version("committed_firmware"));
    let firmware: Vec<_> = firmware.iter().map(u8::to_string).collect();
    let mut record = format!("product = \"{}\"\nsigning_key = \"{}\"\n", fact("product"), fact("signing_key"));
    if let Some(provider) = facts["csp_id"].as_str() {
        writeln!(record, "csp_id = \"{provider}\"").unwrap();
    }
    writeln!(record, "masked_chip_id = {}", fact("chip_id").bytes().all(|digit| digit == b'0')).unwrap();
    writeln!(record, "tcb = {{ {} }}", least.join(", ")).unwrap();
    writeln!(record, "committed_firmware = {}", reaches && committed == current).unwrap();
    writeln!(record, "firmware = \"{}\"", firmware.join(".")).unwrap();
    if let [Some(launch), Some(current)] =
        ["launch_mitigations", "current_mitigations"].map(|name| facts[name].as_str())
    {
        let vector = |text: &str| u64::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap();
        writeln!(record, "mitigations = \"{:#x}\"", vector(launch) & vector(current)).unwrap();
    }
    write!(record, "platform_info = \"{}\"\npolicy = \"{}\"\n", fact("platform_info"), fact("policy")).unwrap();
    writeln!(record, "vmpl = {}", facts["vmpl"]).unwrap();
    record
}

fn tdx(facts: &Value) -> String {
    let word = |name: &str| {
        let bytes = hex::decode(facts[name].as_str().unwrap()).unwrap();
        format!("{:#x}", u64::from_le_bytes(bytes.try_into().unwrap()))
    };
    // What launched the TD, and what runs now where the quote says so.
    let both = |name: &str| -> BTreeSet<String> {
        let current = format!("{name}_current");
        [name, &current].iter().filter_map(|name| facts[*name].as_str()).map(str::to_owned).collect()
    };
    let advisories: BTreeSet<&str> = ["advisories", "advisories_current"]
        .iter()
        .flat_map(|name| facts[*name].as_array().into_iter().flatten())
        .map(|id| id.as_str().unwrap())
        .collect();
    // As TOML writes a list; neither a status nor an advisory nor a date holds a brace.
    let sets = format!(
        "tcb_status = {:?}\nadvisories = {advisories:?}\ntcb_date = {:?}\n",
        both("tcb_status"),
        both("tcb_date")
    );
    let mut record = sets.replace('{', "[").replace('}', "]");
    writeln!(record, "tcb_evaluation = {}", facts["tcb_evaluation_number"]).unwrap();
    writeln!(record, "qe_evaluation = {}", facts["qe_evaluation_number"]).unwrap();
    writeln!(record, "body_type = {}", facts["body_type"]).unwrap();
    write!(record, "attributes = \"{}\"\nxfam = \"{}\"\n", word("td_attributes"), word("xfam")).unwrap();
    if let Some(service) = facts["mrservicetd"].as_str() {
        let zero = service.bytes().all(|digit| digit == b'0');
        writeln!(record, "service_td = \"{}\"", if zero { "none" } else { service }).unwrap();
    }
    record
}

/// The floor of `strict` is what Intel served last, of the collateral on record: TCB info and QE identity alike.
#[test]
fn strict_asks_for_the_evaluation_of_the_latest_recorded_collateral() {
    let Some(fixtures) = fixtures() else { return };
    let strict: toml::Table = toml::from_str(STRICT).unwrap();
    let floor = strict["tdx"]["strict"]["minimum_evaluation_number"].as_integer().unwrap();
    let mut latest = std::collections::BTreeMap::new();
    for file in std::fs::read_dir(fixtures.join("dcap-collateral/pool")).unwrap() {
        let Ok(Value::Object(document)) = serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()) else {
            continue;
        };
        let signed = document.get("tcbInfo").or(document.get("enclaveIdentity"));
        let Some(signed) = signed.filter(|signed| signed["id"] == "TDX" || signed["id"] == "TD_QE") else { continue };
        let (issued, evaluation) = (text(signed, "issueDate"), signed["tcbEvaluationDataNumber"].as_i64().unwrap());
        let newest = latest.entry(text(signed, "id").to_owned()).or_insert_with(|| (String::new(), 0));
        *newest = newest.clone().max((issued.to_owned(), evaluation));
    }
    let evaluations: Vec<_> = latest.values().map(|(_, evaluation)| *evaluation).collect();
    assert_eq!(evaluations, [floor, floor], "{latest:?}");
    note(&format!("the latest recorded collateral carries evaluation {floor}"));
}
