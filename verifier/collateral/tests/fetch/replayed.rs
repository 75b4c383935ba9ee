//! What the real vendors once answered, replayed under the addresses that they serve it at: evidence of real hardware is
//! completed with it, and the verdict is the one that is recorded for the case. The recordings lie beside the project.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use teegate_collateral::{Held, Outcome};
use teegate_forge::pem;
use teegate_forge::services::{Route, Vendor};
use teegate_intake::evidence::{self, OwnedEvidence};
use teegate_measurements::GENUINE;
use teegate_verifier::{Policy, UnixTime, needs_of, verify};

use crate::bench::{asking, fetcher, missing};

fn fixtures() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures");
    let found = folder.join("cases.json").is_file();
    if !found {
        note("not run: the vendors' recorded answers of ../shared/fixtures (the folder is absent)");
    }
    found.then_some(folder)
}

/// To the terminal itself: the test harness keeps what a passing test prints.
fn note(text: &str) {
    use std::io::Write;
    let mut terminal = std::io::stderr();
    writeln!(terminal, "note: {text}").unwrap();
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}"))
}

/// The rows of the table that are of this platform, have their documents and are in time.
fn rows(fixtures: &Path, platform: &str) -> Vec<Value> {
    let rows = json(&fixtures.join("cases.json")).as_array().unwrap().clone();
    let suits = |row: &Value| {
        let id = text(row, "id");
        text(row, "platform") == platform
            && text(row, "policy") == "genuine"
            && (id.contains("#vcek") || id.contains('@'))
            && !["@expired", "@stale", "@no-", "invalid"].iter().any(|part| id.contains(part))
    };
    rows.into_iter().filter(suits).collect()
}

struct Case {
    id: String,
    evidence: OwnedEvidence,
    at: UnixTime,
    expect: Value,
}

impl Case {
    fn of(row: &Value, fixtures: &Path) -> Self {
        let evidence = evidence::load(&fixtures.join(text(row, "evidence")), None).unwrap();
        let at = UnixTime::parse(text(row, "at")).unwrap();
        Self { id: text(row, "id").to_owned(), evidence, at, expect: row["expect"].clone() }
    }

    async fn complete(&self, source: &str, routes: Vec<Route>) -> Outcome {
        let vendor = Vendor::start(routes);
        let needs = needs_of(&self.evidence.as_evidence(&self.evidence.endorsements)).unwrap();
        let (fetcher, _) = fetcher(asking(&[format!("{source}={}", vendor.url())]));
        fetcher.complete(&needs, &Held::unverified(&self.evidence.endorsements), self.at).await
    }

    fn assert_verdict(&self, outcome: &Outcome) {
        let endorsements = outcome.endorsements().unwrap();
        let verdict = verify(&self.evidence.as_evidence(&endorsements), &Policy::parse(GENUINE).unwrap(), self.at);
        match (text(&self.expect, "verdict"), verdict) {
            ("accepted", Ok(_)) => {}
            ("rejected", Err(rejection)) => {
                let wanted = &self.expect["check"];
                let failed = rejection.failed_checks();
                assert!(failed.iter().all(|check| wanted.to_string().contains(check)), "{}: {failed:?}", self.id);
            }
            (wanted, found) => panic!("{}: {wanted} was expected, {found:?}", self.id),
        }
    }
}

#[tokio::test]
async fn reports_of_real_processors_are_completed_from_amds_recorded_answers() {
    let Some(fixtures) = fixtures() else { return };
    let (mut completed, mut without_list) = (0, 0);
    for row in rows(&fixtures, "sev-snp") {
        let case = Case::of(&row, &fixtures);
        let leaf = fixtures.join(row["endorsements"][0].as_str().unwrap());
        let facts = json(&leaf.with_file_name("facts.json"));
        let of_leaf = &facts["certs"][leaf.file_name().unwrap().to_str().unwrap()];
        let (product, spl) = (text(of_leaf, "product").split('-').next().unwrap(), &of_leaf["spl"]);
        let level = |name: &str, oid: &str| spl[oid].as_u64().map(|level| format!("{name}={level}"));
        let levels = [("fmcSPL", "3.9"), ("blSPL", "3.1"), ("teeSPL", "3.2"), ("snpSPL", "3.3"), ("ucodeSPL", "3.8")];
        let levels: Vec<_> = levels.iter().filter_map(|(name, oid)| level(name, oid)).collect();
        let digits = usize::try_from(of_leaf["hwid_len"].as_u64().unwrap()).unwrap() * 2;
        let hwid = text(&facts, "chip_id").get(..digits).unwrap();
        let vcek = format!("/vcek/v1/{product}/{hwid}?{}", levels.join("&"));
        let ca = fixtures.join("snp-ca").join(product.to_ascii_lowercase());
        let chain = ["ask.der", "ark.der"].map(|name| std::fs::read(ca.join(name)).unwrap());
        let mut routes = vec![
            Route::new(&vcek, "application/pkix-cert", std::fs::read(&leaf).unwrap()),
            Route::new(&format!("/vcek/v1/{product}/cert_chain"), "application/x-pem-file", pem::chain(&chain)),
        ];
        let list = [("milan-2022", "Milan"), ("milan-2025", "Milan"), ("genoa-2022", "Genoa"), ("genoa-2024", "Genoa")]
            .into_iter()
            .find(|(name, of)| *of == product && is_current(&fixtures, name, case.at));
        routes.extend(list.map(|(name, _)| {
            let crl = std::fs::read(fixtures.join(format!("snp-ca/crl/{name}.crl"))).unwrap();
            Route::new(&format!("/vcek/v1/{product}/crl"), "application/pkix-crl", crl)
        }));

        let outcome = case.complete("kds", routes).await;
        let what: Vec<_> = outcome.missing.iter().map(|missing| missing.what.clone()).collect();
        let no_list = if list.is_some() { vec![] } else { vec![format!("CRL of ARK-{product}")] };
        assert_eq!(what, no_list, "{}: {:?}", case.id, missing(&outcome));
        case.assert_verdict(&outcome);
        completed += 1;
        without_list += no_list.len();
    }
    assert!(completed >= 15 && without_list < completed, "{completed}, {without_list}");
    note(&format!(
        "{completed} recorded SEV-SNP cases completed, {without_list} of them at a time without recorded CRL"
    ));
}

fn is_current(fixtures: &Path, list: &str, at: UnixTime) -> bool {
    let facts = &json(&fixtures.join("snp-ca/crl/facts.json"))[list];
    let [last, next] =
        ["last", "next"].map(|name| UnixTime::parse(&format!("{}Z", text(facts, name).replace(' ', "T"))).unwrap());
    last <= at && at < next
}

#[tokio::test]
async fn azures_recorded_answer_completes_the_report_that_it_came_with() {
    let Some(fixtures) = fixtures() else { return };
    let row =
        rows(&fixtures, "sev-snp").into_iter().find(|row| text(row, "id").starts_with("snp/milan-v2-azure-ms-aci#"));
    let case = Case::of(&row.unwrap(), &fixtures);
    let body = std::fs::read(fixtures.join("snp/milan-v2-azure-ms-aci/thim_host_amd_certificate.json")).unwrap();
    let mut route = Route::new("/metadata/THIM/amd/certification", "application/json; charset=utf-8", body);
    route.requires.push(("metadata", "true"));
    let outcome = case.complete("thim", vec![route]).await;
    assert_eq!(outcome.documents.len(), 1);
    assert_eq!(missing(&outcome), ["CRL of ARK-Milan: none of the named sources serves such documents"]);
    case.assert_verdict(&outcome);
}

#[tokio::test]
async fn quotes_of_real_platforms_are_completed_from_intels_recorded_answers() {
    let Some(fixtures) = fixtures() else { return };
    let certificate = |name: &str| std::fs::read(fixtures.join("dcap-collateral/certs").join(name)).unwrap();
    let mut completed = HashMap::from([("accepted", 0), ("rejected", 0)]);
    for row in rows(&fixtures, "tdx") {
        let case = Case::of(&row, &fixtures);
        let paths = row["endorsements"].as_array().unwrap().iter().map(|path| path.as_str().unwrap());
        let paths: Vec<_> = paths.map(|path| fixtures.join(path)).filter(|path| path.is_file()).collect();
        let named = |part: &str| {
            let path = paths.iter().find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(part));
            path.map(|path| std::fs::read(path).unwrap())
        };
        let (Some(info), Some(identity), Some(pck), Some(root)) =
            (named("tcbinfo-tdx"), named("qeid-td_qe"), named("crl-platform"), named("crl-root"))
        else {
            continue;
        };
        let info_says: Value = serde_json::from_slice(&info).unwrap();
        let fmspc = text(&info_says["tcbInfo"], "fmspc").to_ascii_lowercase();
        let second = UnixTime::parse("2025-05-06T09:25:00Z").unwrap() <= case.at;
        let signer = certificate(if second { "tcb-signing-2025.der" } else { "tcb-signing-2018.der" });
        let signers = pem::chain(&[signer, certificate("intel-sgx-root-ca.der")]);
        let authorities = pem::chain(&[certificate("pck-platform-ca.der"), certificate("intel-sgx-root-ca.der")]);
        let outcome = case
            .complete(
                "pcs",
                vec![
                    Route::new("/sgx/certification/v4/pckcrl?ca=platform&encoding=der", "application/pkix-crl", pck)
                        .chain_header("SGX-PCK-CRL-Issuer-Chain", &authorities),
                    Route::new(&format!("/tdx/certification/v4/tcb?fmspc={fmspc}"), "application/json", info)
                        .chain_header("TCB-Info-Issuer-Chain", &signers),
                    Route::new("/IntelSGXRootCA.der", "application/pkix-crl", root),
                    Route::new("/tdx/certification/v4/qe/identity", "application/json", identity)
                        .chain_header("SGX-Enclave-Identity-Issuer-Chain", &signers),
                ],
            )
            .await;
        assert_eq!(missing(&outcome), [""; 0], "{}", case.id);
        case.assert_verdict(&outcome);
        *completed.get_mut(text(&case.expect, "verdict")).unwrap() += 1;
    }
    assert!(completed["accepted"] >= 15 && completed["rejected"] >= 2, "{completed:?}");
    note(&format!("recorded TDX cases completed: {completed:?}"));
}
