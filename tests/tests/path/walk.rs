//! The walk of whoever keeps evidence, over the real programs: record in a guest, fetch from its vendor, bundle, carry the one file
//! elsewhere, verify there without any network, in every format. Hardware and vendors are forged and under roots of their own:
//! this proves the plumbing and not the silicon.

use std::path::Path;
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use teegate_tests::harness::{Guest, Scratch, binary, note};
use teegate_tests::isolation::without_network;

/// What differs between the two platforms on the walk.
struct Leg {
    tee: &'static str,
    /// As reports name it.
    name: &'static str,
    options: &'static [&'static str],
    service: &'static str,
    /// The check that fails until the vendor was asked.
    present: &'static str,
    /// How many documents the vendor gives.
    documents: usize,
    /// The check that fails once everything is old, and what it names.
    expires: (&'static str, &'static str),
}

const LEGS: [Leg; 2] = [
    Leg {
        tee: "snp",
        name: "sev-snp",
        options: &["--no-cert-chain"],
        service: "kds",
        present: "snp.chain.present",
        documents: 3,
        expires: (
            "snp.chain.validity",
            "expected   the ARK valid at 2060-01-01T00:00:00Z\n      found      the ARK valid from ",
        ),
    },
    Leg {
        tee: "tdx",
        name: "tdx",
        options: &[],
        service: "pcs",
        present: "tdx.collateral.present",
        documents: 4,
        expires: ("tdx.chain.pck", "found      Intel SGX PCK Certificate is valid from "),
    },
];

fn teegate(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(binary("teegate")).current_dir(folder).args(arguments).output().unwrap()
}

/// What it said on standard output, if it ended with `status`.
fn ended(status: i32, output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8(bytes.clone()).unwrap());
    assert_eq!(output.status.code(), Some(status), "{out}{err}");
    out
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Verifies `bundle.json` in `folder`, without a network where that is allowed; says whether it was.
fn verify_bundle(folder: &Path, more: &[&str]) -> (Output, bool) {
    let arguments = [&["bundle", "verify", "bundle.json"], more].concat();
    match without_network(folder, &arguments) {
        Some(output) => (output, true),
        None => (teegate(folder, &arguments), false),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_fetched_bundled_and_carried_away_evidence_verifies_in_every_format() {
    let mut isolated = 0;
    for leg in LEGS {
        let elsewhere = Scratch::new();
        let at = carry_bundle(&leg, elsewhere.path()).await;
        isolated += assert_verifies(&leg, elsewhere.path(), &at);
    }
    match isolated {
        0 => note("not run: the walk's last step in an empty network namespace (`unshare -rn` is not allowed here)"),
        count => note(&format!("verdicts at the end of the walk in an empty network namespace: {count} of 12")),
    }
    assert!([0, 12].contains(&isolated), "{isolated}");
}

/// What the guest was asked to put into its evidence.
const DATA: &str = "\
    a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5\
    a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5";

/// Everything up to the copy: afterwards there is nothing but `bundle.json` and the verifier's own policy in `to`, and neither
/// guest nor vendor. Gives the time of the recording.
async fn carry_bundle(leg: &Leg, to: &Path) -> String {
    let scratch = Scratch::new();
    let options = [&["--tee", leg.tee, "--services", "127.0.0.1:0"], leg.options].concat();
    let mut guest = Guest::start(&scratch, "guest", &options).await;
    scratch.write("policy.toml", &guest.policy());
    let run = |arguments: &[&str]| teegate(scratch.path(), arguments);

    let device = format!("coco=http://{}", guest.program.address("listening"));
    ended(0, &run(&["record", "--into", "recorded", "--report-data", DATA, "--source", &device]));
    let recorded = json(&std::fs::read_to_string(scratch.path().join("recorded/recorded.json")).unwrap());
    let at = recorded["at"].as_str().unwrap().to_owned();
    let asked = ["recorded/evidence.bin", "--policy", "policy.toml", "--report-data", DATA, "--at", &at];
    let verify = |more: &[&str]| run(&[&["verify"], &asked[..], more].concat());

    let alone = ended(3, &verify(&[]));
    assert!(alone.contains(&format!("\n  ✗ {}\n", leg.present)), "{alone}");
    let source = format!("{}=http://{}", leg.service, guest.program.address("services"));
    ended(0, &run(&["fetch", "recorded/evidence.bin", "--into", "fetched", "--source", &source]));
    assert_eq!(std::fs::read_dir(scratch.path().join("fetched")).unwrap().count(), leg.documents);
    guest.program.kill().await;
    let complete = ended(0, &verify(&["--endorsements", "fetched"]));
    assert!(!complete.contains('✗'), "{complete}");

    let output = ["--endorsements", "fetched", "--output", "bundle.json"];
    ended(0, &run(&[&["bundle", "create"], &asked[..], &output].concat()));
    for carried in ["bundle.json", "policy.toml"] {
        std::fs::copy(scratch.path().join(carried), to.join(carried)).unwrap();
    }
    let original = scratch.path().to_owned();
    drop(scratch);
    assert!(!original.exists());
    at
}

/// Verifies what was carried into `folder`; gives how often that was without any network.
fn assert_verifies(leg: &Leg, folder: &Path, at: &str) -> usize {
    let mut isolated = 0;
    let mut verified = |status: i32, more: &[&str]| {
        let (output, alone) = verify_bundle(folder, more);
        isolated += usize::from(alone);
        ended(status, &output)
    };
    let text = verified(0, &[]);
    assert!(text.contains("\nACCEPTED: this evidence satisfies the policy `policy.toml` at "), "{text}");

    let report = json(&verified(0, &["--format", "json"]));
    assert_eq!((&report["verdict"], &report["tee"]), (&"accepted".into(), &leg.name.into()), "{report}");

    // The key is the verifier's own, and stays with it; so is the question that it signs an answer to.
    let key = STANDARD.encode(rcgen::KeyPair::generate().unwrap().serialize_der());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n");
    std::fs::write(folder.join("ear-key.pem"), pem).unwrap();
    let question = ["--policy", "policy.toml", "--report-data", DATA, "--at", at];
    let token = verified(0, &[&question[..], &["--format", "ear", "--ear-key", "ear-key.pem"]].concat());
    let parts: Vec<_> = token.trim_end().split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
    let [header, claims, signature] = &parts[..] else { panic!("{token}") };
    let [header, claims] = [header, claims].map(|part| json(std::str::from_utf8(part).unwrap()));
    assert_eq!((&header["alg"], signature.len()), (&"ES256".into(), 64));
    let appraisal = &claims["submods"][leg.name];
    assert_eq!((&claims["ear_status"], &appraisal["ear_status"]), (&"warning".into(), &"warning".into()), "{claims}");
    // Under roots of the policy's own nothing is affirmed of the hardware.
    assert_eq!(appraisal["ear_trustworthiness_vector"]["hardware"], 32, "{claims}");
    assert_eq!(appraisal["ear_trustworthiness_vector"]["executables"], 3, "{claims}");

    let suites = verified(0, &["--format", "junit"]);
    assert!(suites.contains("<testsuites") && !suites.contains("<failure"), "{suites}");

    let sarif = json(&verified(0, &["--format", "sarif"]));
    assert_eq!(sarif["version"], "2.1.0");
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert!(results.len() == 1 && results[0]["level"] == "warning", "{sarif}");
    assert_eq!(results[0]["ruleId"], "report.trust-anchors");

    let later = verified(3, &["--at", "2060-01-01T00:00:00Z"]);
    assert!(later.contains(&format!("\n  ✗ {}\n", leg.expires.0)), "{later}");
    assert!(later.contains(leg.expires.1), "{later}");
    isolated
}
