//! What comes with evidence may add to a question and never replace one. In every container that can carry a statement, one that
//! is old but still inside its window, and one whose signature is broken, change neither what the vendors are asked nor the
//! verdict: the vendors are forged, on loopback, and the command is the real one.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use teegate_forge as forge;
use teegate_forge::keys::{Key, RsaRole};
use teegate_forge::pem;
use teegate_forge::services::{Misbehaviour, Route, Vendor};
use teegate_forge::snp::SnpBuilder;
use teegate_forge::tdx::{PckCa, Revoked, SignedJson, TdxSet};
use teegate_forge::time::{AT, DAY, rfc3339};
use teegate_intake::Statement;
use teegate_intake::bundle::{Bundle, Conclusion, Kept, PolicyText, Verdict};
use teegate_intake::evidence;
use teegate_measurements::GENUINE;
use teegate_protocol::evidence::{Endorsements, EndorsementsKind, Envelope, EvidenceKind, TeeEvidence};
use teegate_tests::harness::Scratch;
use teegate_verifier::{Tee, UnixTime};

use crate::files::{report, said, status, teegate};
use crate::formats::{cbor_collection, field, sev_report};

const FMSPC: [u8; 6] = [0xB0, 0xC0, 0x6F, 0, 0, 0];

/// A platform, whom to ask about it, and what the vendor says today.
struct Scene {
    scratch: Scratch,
    tee: Tee,
    evidence: Vec<u8>,
    vendor: Vendor,
    service: &'static str,
    /// Nothing is wrong with the platform; and: it was revoked since.
    states: [Vec<Route>; 2],
    /// What came along, by what is wrong with it.
    carried: [(&'static str, Vec<Statement>); 2],
}

impl Scene {
    fn snp() -> Self {
        Self::snp_of(&forge::snp())
    }

    fn snp_of(device: &SnpBuilder) -> Self {
        let set = device.build();
        let old = set.crl.clone().unwrap();
        let new = device.clone().crl_window(AT - DAY, Some(AT + 360 * DAY));
        let states = [new.clone().kds_routes(), new.revoke_intermediate().kds_routes()];
        // One of this chip and TCB, by name, that nobody of AMD's signed.
        let stranger = forge::snp().intermediate_key(Key::rsa(RsaRole::Stranger)).build().vek;
        let broken = vec![Statement::Crl(spoilt(&old)), Statement::Certificate(stranger)];
        Self::new(
            Tee::SevSnp,
            set.report,
            "kds",
            ("amd", &set.ark_pem),
            states,
            [("old", vec![Statement::Crl(old)]), ("broken", broken)],
        )
    }

    fn tdx() -> Self {
        let platform = forge::tdx();
        let set = platform.build();
        let number = 21;
        let new = platform.evaluation_number(number).edit_pck_crl(|crl| crl.this_update = AT - 60);
        let good = new.build().pcs_routes(PckCa::Platform, FMSPC);
        let bad = new.platform_status("OutOfDate").revoke(Revoked::Pck).build().pcs_routes(PckCa::Platform, FMSPC);
        let broken = TdxSet {
            pck_crl: spoilt(&set.pck_crl),
            root_crl: spoilt(&set.root_crl),
            tcb_info: SignedJson { signature: [7; 64], ..set.tcb_info.clone() },
            qe_identity: SignedJson { signature: [7; 64], ..set.qe_identity.clone() },
            ..set.clone()
        };
        let carried = [("old", statements(&set)), ("broken", statements(&broken))];
        Self::new(Tee::Tdx, set.quote, "pcs", ("intel", &set.root_pem), [good, bad], carried)
    }

    fn new(
        tee: Tee,
        evidence: Vec<u8>,
        service: &'static str,
        (vendor, root): (&str, &str),
        states: [Vec<Route>; 2],
        carried: [(&'static str, Vec<Statement>); 2],
    ) -> Self {
        let scratch = Scratch::new();
        let asked = GENUINE
            .replace("revocation = \"if-supplied\"", "revocation = \"required\"")
            .replace("tcb_status = \"unchecked\"", "tcb_status = [\"UpToDate\"]");
        scratch.write("policy.toml", &format!("{asked}\n[trust_anchors]\n{vendor} = ['''{root}''']\n"));
        Self { scratch, tee, evidence, vendor: Vendor::start(Vec::new()), service, states, carried }
    }

    fn path(&self, name: &str) -> String {
        self.scratch.path().join(name).display().to_string()
    }

    /// Runs the command on the evidence in the file `name`; what the vendor was asked comes with it.
    fn run(&self, verb: &[&str], name: &str) -> (Output, Vec<String>) {
        self.vendor.forget();
        let source = format!("{}={}", self.service, self.vendor.url());
        let (evidence, at, tee) = (self.path(name), rfc3339(AT), if self.tee == Tee::Tdx { "tdx" } else { "snp" });
        let question = [&evidence, "--source", &source, "--at", &at, "--tee", tee];
        let output = teegate(&[verb, &question].concat());
        (output, self.vendor.requests())
    }

    /// The verdict on it with `--online`: exit status, and how every check ended.
    fn verify(&self, name: &str) -> (i32, Vec<(String, String)>, Vec<String>) {
        let policy = self.path("policy.toml");
        let (output, requests) = self.run(&["verify", "--online", "--policy", &policy, "--format", "json"], name);
        let report = report(&output);
        assert_eq!(
            report["not_to_be_had"].as_array().unwrap().is_empty(),
            !said(&output.stderr).contains("not to be had")
        );
        let word = |check: &Value, name: &str| check[name].as_str().unwrap().to_owned();
        let checks = report["checks"].as_array().unwrap();
        let ended = checks.iter().map(|check| (word(check, "id"), word(check, "result"))).collect();
        (status(&output), ended, requests)
    }

    /// What `fetch` writes: names and bytes.
    fn fetch(&self, name: &str) -> (i32, Written, Vec<String>) {
        let into = self.path("fetched");
        let (output, requests) = self.run(&["fetch", "--into", &into], name);
        let mut files: Written = std::fs::read_dir(&into)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap()))
            .collect();
        files.sort();
        std::fs::remove_dir_all(&into).unwrap();
        (status(&output), files, requests)
    }
}

/// Files of a folder, by name.
type Written = Vec<(String, Vec<u8>)>;

fn statements(set: &TdxSet) -> Vec<Statement> {
    let signed = |json: &SignedJson| (json.body.clone(), json.signature);
    let ((body, signature), (identity, of_identity)) = (signed(&set.tcb_info), signed(&set.qe_identity));
    let certificates = set.certificates().into_iter().map(Statement::Certificate);
    certificates
        .chain(set.crls().into_iter().map(Statement::Crl))
        .chain([
            Statement::TcbInfo { body, signature },
            Statement::QeIdentity { body: identity, signature: of_identity },
        ])
        .collect()
}

/// The same list with a signature that does not hold.
fn spoilt(list: &[u8]) -> Vec<u8> {
    let mut list = list.to_vec();
    *list.last_mut().unwrap() ^= 1;
    list
}

/// A host's certificate table: GUID, offset, length, then what they point to.
fn table(statements: &[Statement]) -> Vec<u8> {
    let guid = |statement: &Statement| match statement {
        Statement::Crl(_) => "92f81bc358114d3d97ffd19f88dc67ea",
        _ => "63da758de6644564adc5f4b93be8accd",
    };
    let documents: Vec<_> = statements.iter().map(|one| (hex::decode(guid(one)).unwrap(), der(one))).collect();
    let (mut entries, mut contents) = (Vec::new(), Vec::new());
    for (guid, document) in &documents {
        let offset = 24 * (documents.len() + 1) + contents.len();
        entries.extend(guid);
        entries.extend(u32::try_from(offset).unwrap().to_le_bytes());
        entries.extend(u32::try_from(document.len()).unwrap().to_le_bytes());
        contents.extend_from_slice(document);
    }
    [entries, vec![0; 24], contents, vec![0; 100]].concat()
}

fn der(statement: &Statement) -> &[u8] {
    match statement {
        Statement::Certificate(der) | Statement::Crl(der) => der,
        other => panic!("{other:?} is no DER"),
    }
}

/// Everything in PEM, and for what is not DER as `dcap-qvl` writes it.
fn document(statements: &[Statement]) -> (EndorsementsKind, Vec<u8>) {
    let signed = |wanted: &str| {
        statements.iter().find_map(|one| match one {
            Statement::TcbInfo { body, signature } if wanted == "tcb_info" => Some((body.clone(), *signature)),
            Statement::QeIdentity { body, signature } if wanted == "qe_identity" => Some((body.clone(), *signature)),
            _ => None,
        })
    };
    let lists: Vec<_> = statements.iter().filter(|one| matches!(one, Statement::Crl(_))).map(der).collect();
    let certificates = statements.iter().filter(|one| matches!(one, Statement::Certificate(_))).map(der);
    let chain: String = certificates.map(pem::certificate).collect();
    match (signed("tcb_info"), signed("qe_identity")) {
        (Some((info, of_info)), Some((identity, of_identity))) => {
            let collateral = serde_json::json!({
                "tcb_info": info, "tcb_info_signature": hex::encode(of_info), "tcb_info_issuer_chain": chain,
                "qe_identity": identity, "qe_identity_signature": hex::encode(of_identity),
                "qe_identity_issuer_chain": chain, "pck_crl_issuer_chain": chain,
                "root_ca_crl": hex::encode(lists[0]), "pck_crl": hex::encode(lists[1]),
            });
            (EndorsementsKind::Json, serde_json::to_vec(&collateral).unwrap())
        }
        _ => {
            let lists: String = lists.into_iter().map(pem::crl).collect();
            (EndorsementsKind::PemCertificateChain, (chain + &lists).into_bytes())
        }
    }
}

/// Every container that can carry a statement, with these in it; a name without bytes is a configfs-tsm folder.
fn containers(tee: Tee, evidence: &[u8], carried: &[Statement]) -> Vec<(&'static str, Vec<u8>)> {
    let kind = if tee == Tee::Tdx { EvidenceKind::TdxQuote } else { EvidenceKind::SnpReport };
    let (form, bytes) = document(carried);
    let envelope = Envelope {
        manifest: b"{}".to_vec(),
        evidence: TeeEvidence { kind, bytes: evidence.to_vec() },
        endorsements: Some(Endorsements { kind: form, bytes: bytes.clone() }),
        event_log: None,
        nonce: None,
    };
    let cbor = cbor_collection(&[
        ("evidence", kind.media_type(), evidence),
        ("endorsements", form.media_type(), bytes.as_slice()),
    ]);
    let kept = Kept::new(&evidence::recognise(evidence, Some(tee)).unwrap(), carried.iter().cloned());
    let bundle = Bundle {
        kept,
        policy: PolicyText { name: "theirs.toml".to_owned(), text: String::new() },
        at: UnixTime::from_seconds(AT),
        report_data: None,
        recorded: Conclusion {
            failed: vec!["none".to_owned()],
            stage: Some("unacceptable".to_owned()),
            valid_until: None,
            verdict: Verdict::Rejected,
        },
        creator: "somebody".to_owned(),
    };
    let mut containers = vec![
        ("CMW in JSON", envelope.to_json().unwrap()),
        ("CMW in CBOR", cbor),
        ("bundle", bundle.to_text().unwrap().into_bytes()),
        ("configfs-tsm", Vec::new()),
        ("configfs-tsm in JSON", {
            let blobs = [evidence, &auxblob(carried)].map(hex::encode);
            format!(r#"{{"outblob":"{}","auxblob":"{}","provider":"x"}}"#, blobs[0], blobs[1]).into_bytes()
        }),
    ];
    if tee == Tee::SevSnp {
        let chain: Vec<(&str, &[u8])> = carried
            .iter()
            .map(|one| (if matches!(one, Statement::Crl(_)) { "CRL" } else { "VCEK" }, der(one)))
            .collect();
        // Google's messages have places for certificates alone.
        let certificates: Vec<u8> =
            chain.iter().filter(|(kind, _)| *kind == "VCEK").flat_map(|(_, der)| field(1, der)).collect();
        let attestation = [field(1, &sev_report(evidence)), field(2, &certificates)].concat();
        containers.extend([
            ("certificate table", [evidence, &table(carried)].concat()),
            ("CoCo JSON", forge::coco::snp_evidence(evidence, Some(&chain)).into_bytes()),
            ("go-tpm-tools", [field(1, b"ak"), field(8, &attestation)].concat()),
            ("go-sev-guest", attestation),
        ]);
    }
    containers
}

fn write(scratch: &Path, container: &(&'static str, Vec<u8>), evidence: &[u8], carried: &[Statement]) {
    let path = scratch.join("evidence");
    let _gone = std::fs::remove_file(&path);
    let _gone = std::fs::remove_dir_all(&path);
    if container.0 != "configfs-tsm" {
        return std::fs::write(path, &container.1).unwrap();
    }
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("outblob"), evidence).unwrap();
    std::fs::write(path.join("auxblob"), auxblob(carried)).unwrap();
}

fn auxblob(carried: &[Statement]) -> Vec<u8> {
    if carried.iter().any(|one| matches!(one, Statement::TcbInfo { .. })) {
        document(carried).1
    } else {
        table(carried)
    }
}

#[test]
fn nothing_that_comes_with_evidence_changes_what_is_asked_or_what_is_found() {
    for scene in [Scene::snp(), Scene::tdx()] {
        std::fs::write(scene.path("bare"), &scene.evidence).unwrap();
        let all = if scene.tee == Tee::Tdx { 4 } else { 3 };
        for (state, code) in [(0, 0), (1, 3)] {
            scene.vendor.serve(scene.states[state].clone());
            let verdict = scene.verify("bare");
            assert_eq!((verdict.0, verdict.2.len()), (code, all), "{} {state}: {verdict:?}", scene.tee);
            let fetched = scene.fetch("bare");
            assert_eq!((fetched.0, fetched.1.len(), fetched.2.len()), (0, all, all));
            for (what, carried) in &scene.carried {
                for container in containers(scene.tee, &scene.evidence, carried) {
                    let case = format!("{}, {what} in {}, state {state}", scene.tee, container.0);
                    write(scene.scratch.path(), &container, &scene.evidence, carried);
                    assert_eq!(scene.verify("evidence"), verdict, "{case}");
                    assert_eq!(scene.fetch("evidence"), fetched, "{case}");
                }
            }
        }
    }
}

/// Certificates that came along and vouch for the evidence spare a question; a list beside them changes nothing of that, even
/// one that revokes them.
#[test]
fn a_list_beside_certificates_changes_no_question() {
    let device = forge::snp();
    let scene = Scene::snp_of(&device);
    scene.vendor.serve(scene.states[0].clone());
    // The trial that shows whether they vouch knows no list yet.
    let policy = std::fs::read_to_string(scene.path("policy.toml")).unwrap();
    scene.scratch.write("policy.toml", &policy.replace("revocation = \"required\"", "revocation = \"if-supplied\""));
    let set = device.revoke_intermediate().build();
    let certificates: Vec<_> = set.certificates().into_iter().map(Statement::Certificate).collect();
    let revoking = [certificates.clone(), vec![Statement::Crl(set.crl.unwrap())]].concat();
    let mut asked = Vec::new();
    for carried in [Vec::new(), certificates, revoking] {
        let container = ("certificate table", [scene.evidence.as_slice(), &table(&carried)].concat());
        write(scene.scratch.path(), &container, &scene.evidence, &carried);
        let (code, _, requests) = scene.verify("evidence");
        assert_eq!(code, 0);
        asked.push(requests.len());
    }
    assert_eq!(asked, [3, 1, 1]);
}

/// Where the vendor cannot be reached, what came along does not stand in for the answer: it is missing, and the report says that the
/// vendor could not be asked.
#[test]
fn what_came_along_does_not_stand_in_where_nobody_answers() {
    for scene in [Scene::snp(), Scene::tdx()] {
        std::fs::write(scene.path("bare"), &scene.evidence).unwrap();
        scene.vendor.serve(scene.states[0].clone());
        // AMD's certificates are to be had, its list is not; of Intel nothing is.
        let (part, check) =
            if scene.tee == Tee::Tdx { ("", "tdx.collateral.present") } else { ("/crl", "snp.chain.revocation") };
        scene.vendor.misbehave(part, usize::MAX, Misbehaviour::status(404));
        let verdict = scene.verify("bare");
        let failed: Vec<_> = verdict.1.iter().filter(|(_, result)| result == "fail").map(|(id, _)| &**id).collect();
        assert_eq!((verdict.0, &failed[..]), (3, &[check][..]));
        let (_, old) = &scene.carried[0];
        for container in containers(scene.tee, &scene.evidence, old) {
            write(scene.scratch.path(), &container, &scene.evidence, old);
            assert_eq!(scene.verify("evidence"), verdict, "{}", container.0);
            // The twin: where nobody asks for the vendor's word, Intel's that came along is enough.
            let offline = if scene.tee == Tee::Tdx { 0 } else { 3 };
            assert_eq!(scene.offline("evidence"), offline, "{}", container.0);
        }
    }
}

impl Scene {
    /// The status without `--online`, where what came along counts.
    fn offline(&self, name: &str) -> i32 {
        let (evidence, policy, at) = (self.path(name), self.path("policy.toml"), rfc3339(AT));
        let tee = if self.tee == Tee::Tdx { "tdx" } else { "snp" };
        status(&teegate(&["verify", &evidence, "--policy", &policy, "--at", &at, "--tee", tee]))
    }
}
