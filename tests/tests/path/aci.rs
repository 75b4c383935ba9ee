//! A container group of Confidential ACI, whole: a forged firmware behind a stand-in for the kernel's driver, the security context in the
//! platform's files, and an endorsement of the utility VM under a forged issuer. enclave-app and `teegate` are the programs that
//! are shipped; their requests to `/dev/sev-guest` are answered by another process (`tests/forge/device/sev_guest.c`). Nothing here ran on
//! Azure: this proves the plumbing and not the silicon.

use std::path::Path;

use serde_json::Value;
use teegate_intake::bundle::Bundle;
use teegate_tests::harness::{Enclave, Gateway, Guest, Scratch, binary, has_driver};

use crate::Stage1;

const DATA: &str = "\
    a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5\
    a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5";

/// Runs `teegate`, in front of which stands what this guest has in front of its programs.
async fn teegate_in(guest: Option<&Guest>, folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut words = guest.map(Guest::wrapper).unwrap_or_default();
    words.push(binary("teegate").display().to_string());
    let mut command = tokio::process::Command::new(&words[0]);
    let output = command.args(&words[1..]).current_dir(folder).args(arguments).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

async fn teegate(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    teegate_in(None, folder, arguments).await
}

/// The exit status and the checks that failed.
async fn judged(folder: &Path, arguments: &[&str]) -> (i32, Vec<String>) {
    let (status, out, err) = teegate(folder, &[arguments, &["--format", "json"]].concat()).await;
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}{err}"));
    let failed = report["checks"].as_array().unwrap().iter().filter(|check| check["result"] == "fail");
    (status, failed.map(|check| check["id"].as_str().unwrap().to_owned()).collect())
}

fn device(guest: &Guest) -> String {
    format!("sev-guest={}", guest.program.address("driver"))
}

/// A gateway under this policy serves no instance, and says that this check is why.
async fn refuses(scratch: &Scratch, label: &str, guest: &Guest, policy: &str, enclave: &Enclave, check: &str) {
    let gateway = Gateway::start(scratch, label, guest, policy, &[&enclave.address], "").await;
    let asked = gateway.ask("GET", "/v1/instances?model=breast-cancer&wait=2", &[], b"").await;
    assert_ne!(asked.status, 200, "{label}: {}", asked.text());
    let said = std::fs::read_to_string(scratch.path().join(format!("{label}.log"))).unwrap();
    assert!(said.contains(check), "{label}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_group_serves_under_the_shipped_policy_filled() {
    if !has_driver("sealed inference in a container group of Confidential ACI") {
        return;
    }
    let stage = Stage1::set_in(&["--aci"]).await;
    let reply = stage.answered().await;
    let attested = reply.instance.attested();
    assert_eq!(attested.bound_to().map(|bound| bound.name()), Some("workload"));
    assert_eq!(attested.report().wrapping().name(), "aci");
    let log = std::fs::read_to_string(stage.scratch.path().join("enclave.log")).unwrap();
    let driver = stage.guest.program.address("driver");
    assert!(log.contains(&format!("evidence is taken from the kernel interface={driver}")), "{log}");
    // The host's certificates stand in the context: no request asks for them a second time.
    let asked = std::fs::read_to_string(stage.scratch.path().join("guest.log")).unwrap();
    assert!(asked.contains("forged firmware: report\n") && !asked.contains("report and certificates"), "{asked}");

    // The same instance under a policy that expects something else is nobody's.
    let policy = stage.guest.policy();
    let line = |name: &str| policy.lines().find(|line| line.starts_with(&format!("{name} = "))).unwrap();
    for (name, value, check) in [
        ("host_data", format!("{:?}", "77".repeat(32)), "snp.guest.host-data"),
        ("uvm_svn", "{ at_least = 101 }".to_owned(), "uvm.guest-svn"),
        ("uvm_feeds", "[\"ContainerPlat-AMD-UVM-Preview\"]".to_owned(), "uvm.feed"),
        ("uvm_issuers", line("uvm_issuers").replace("uvm_issuers = ", "").replace("59.1.2", "59.1.3"), "uvm.issuer"),
    ] {
        let other = policy.replace(line(name), &format!("{name} = {value}"));
        refuses(&stage.scratch, name, &stage.guest, &other, &stage.enclave, check).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_with_another_policy_and_a_debug_guest_are_refused() {
    if !has_driver("a container group that is not what it should be") {
        return;
    }
    let scratch = Scratch::new();
    let mut guest = Guest::start(&scratch, "guest", &["--aci"]).await;
    let policy = guest.policy();
    guest.security_context = "other-policy";
    let enclave = Enclave::start(&scratch, "other-policy", &guest).await;
    refuses(&scratch, "gateway", &guest, &policy, &enclave, "aci.policy").await;

    let debug = Guest::start(&scratch, "debug", &["--aci", "--debug"]).await;
    let enclave = Enclave::start(&scratch, "debug-enclave", &debug).await;
    refuses(&scratch, "debug-gateway", &debug, &debug.policy(), &enclave, "snp.policy.debug").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_recorded_in_a_group_is_verified_elsewhere_and_not_with_another_policy() {
    if !has_driver("recording in a container group of Confidential ACI") {
        return;
    }
    let scratch = Scratch::new();
    let guest = Guest::start(&scratch, "guest", &["--aci"]).await;
    let policy = scratch.write("policy.toml", &guest.policy());
    let given = guest.endorsements().display().to_string();
    for (context, status, check) in [
        ("good", 0, None),
        ("other-policy", 3, Some("aci.policy")),
        ("other-issuer", 3, Some("uvm.issuer")),
        ("other-measurement", 3, Some("uvm.measurement")),
        ("older-svn", 4, Some("uvm.guest-svn")),
        ("other-feed", 4, Some("uvm.feed")),
    ] {
        let source = format!("aci={},{}", guest.context(context).unwrap(), device(&guest));
        let arguments = ["record", "--into", context, "--report-data", DATA, "--source", &source];
        let (recorded, out, err) = teegate_in(Some(&guest), scratch.path(), &arguments).await;
        assert_eq!(recorded, 0, "{context}: {err}");
        assert!(out.contains("from Confidential ACI (") && err.contains("the report comes from /"), "{out}{err}");
        let evidence = format!("{context}/evidence.json");
        let own = format!("{context}/endorsements");
        let arguments = ["verify", &evidence, "--policy", &policy, "--report-data", DATA];
        let endorsements = ["--endorsements", &own, "--endorsements", &given];
        let expected: Vec<String> = check.iter().map(|check: &&str| (*check).to_owned()).collect();
        assert_eq!(
            judged(scratch.path(), &[&arguments[..], &endorsements].concat()).await,
            (status, expected),
            "{context}"
        );
    }

    // Which code runs was asked, of whom the policy names.
    let arguments = ["verify", "good/evidence.json", "--policy", &policy, "--report-data", DATA];
    let (_, out, _) = teegate(scratch.path(), &[&arguments[..], &["--endorsements", &given]].concat()).await;
    assert!(out.contains("as endorsed: acacac") && !out.contains("did not ask which code"), "{out}");

    let manifest: Value =
        serde_json::from_slice(&std::fs::read(scratch.path().join("good/recorded.json")).unwrap()).unwrap();
    let at = manifest["at"].as_str().unwrap();
    let arguments = ["bundle", "create", "good/evidence.json", "--endorsements", "good/endorsements"];
    let more = ["--endorsements", &given, "--policy", &policy, "--at", at, "--report-data", DATA];
    let (created, out, err) =
        teegate(scratch.path(), &[&arguments[..], &more, &["--output", "bundle.json"]].concat()).await;
    assert_eq!(created, 0, "{out}{err}");

    // Elsewhere, when the guest has gone.
    let bundle = std::fs::read_to_string(scratch.path().join("bundle.json")).unwrap();
    drop((guest, scratch));
    let elsewhere = Scratch::new();
    elsewhere.write("bundle.json", &bundle);
    let (status, failed) = judged(elsewhere.path(), &["bundle", "verify", "bundle.json"]).await;
    assert_eq!((status, failed), (0, vec![]));
    // One byte of the security policy, under the digest that the bundle had, and under one made anew.
    let mut kept = Bundle::parse(bundle.as_bytes()).unwrap();
    let policy = &mut kept.kept.aci.as_mut().unwrap().security_policy;
    let place = policy.len() / 2;
    policy[place] ^= 1;
    let altered = kept.to_text().unwrap();
    let (old, new) = (digest(&bundle), digest(&altered));
    elsewhere.write("altered.json", &altered.replacen(&new, &old, 1));
    let (status, out, err) = teegate(elsewhere.path(), &["bundle", "verify", "altered.json"]).await;
    assert_eq!((status, out.as_str()), (2, ""), "{err}");
    assert!(err.contains(&format!("it states the digest `{old}`, its content has `{new}`")), "{err}");
    elsewhere.write("altered.json", &altered);
    let (status, failed) = judged(elsewhere.path(), &["bundle", "verify", "altered.json"]).await;
    assert_eq!((status, failed), (3, vec!["aci.policy".to_owned()]));
}

fn digest(bundle: &str) -> String {
    let bundle: Value = serde_json::from_str(bundle).unwrap();
    bundle["digest"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_driver_says_is_said_and_nothing_is_recorded() {
    if !has_driver("what a driver of an SEV-SNP guest refuses") {
        return;
    }
    let scratch = Scratch::new();
    let defect = scratch.path().join("defect");
    let file = defect.display().to_string();
    let guest = Guest::start(&scratch, "guest", &["--driver", "--defect", &file]).await;
    let older = device(&guest).replacen("sev-guest=", "sev=", 1);
    let source = device(&guest);
    let no_report = "REPORT_SIZE of the firmware's answer, 0, is malformed, expected 1184";
    for (number, (defect, source, expected)) in [
        ("firmware-error", &source, "refused with the firmware's error 0xd (AMD 56860, status codes)"),
        ("no-key", &source, "the driver has no key to the firmware"),
        ("status", &source, "refused with the firmware's status 0x27, no key of the kind that was asked for"),
        ("no-report", &source, no_report),
        ("no-report", &older, no_report),
        ("no-key", &older, "it does not know the request: a host's device of this name is no guest's"),
        ("other-report-data", &source, "the evidence carries other report data than was asked for"),
        ("always-busy", &source, "the host lets no more requests through to the firmware; it was asked 5 times"),
    ]
    .into_iter()
    .enumerate()
    {
        std::fs::write(&file, defect).unwrap();
        let into = format!("{number}");
        let arguments = ["record", "--into", &into, "--nonce", "01", "--source", source];
        let (status, out, err) = teegate_in(Some(&guest), scratch.path(), &arguments).await;
        assert_eq!((status, out.as_str()), (1, ""), "{defect}: {err}");
        assert!(err.contains(expected), "{defect}: {err}");
        assert!(!scratch.path().join(into).exists(), "{defect}");
    }
    // Without the stand-in the device answers to no such request.
    std::fs::remove_file(&defect).unwrap();
    let arguments = ["record", "--into", "alone", "--nonce", "01", "--source", &source];
    let (status, _, err) = teegate(scratch.path(), &arguments).await;
    assert_eq!(status, 1, "{err}");
    assert!(err.contains("the driver has no key to the firmware"), "{err}");
    // The twins.
    let policy = scratch.write("policy.toml", &guest.policy());
    let given = guest.endorsements().join("crl.der").display().to_string();
    for (label, source, wrong, note) in [
        ("plain", &source, None, ""),
        ("busy", &source, Some("busy"), ""),
        ("long-table", &source, Some("long-table"), "it has more than the 16384 bytes that the driver takes"),
        ("older", &older, None, ""),
    ] {
        match wrong {
            Some(wrong) => std::fs::write(&file, wrong).unwrap(),
            None => drop(std::fs::remove_file(&defect)),
        }
        let arguments = ["record", "--into", label, "--report-data", DATA, "--source", source];
        let (status, _, err) = teegate_in(Some(&guest), scratch.path(), &arguments).await;
        assert_eq!(status, 0, "{label}: {err}");
        assert!(err.contains(note), "{label}: {err}");
        let (evidence, own) = (format!("{label}/evidence.bin"), format!("{label}/endorsements"));
        let arguments = ["verify", &evidence, "--policy", &policy, "--report-data", DATA, "--endorsements", &own];
        let has_table = scratch.path().join(&own).join("auxblob.bin").exists();
        assert_eq!(has_table, ["plain", "busy"].contains(&label), "{label}");
        let chain = guest.endorsements().display().to_string();
        let more = if has_table { &given } else { &chain };
        let judged = judged(scratch.path(), &[&arguments[..], &["--endorsements", more]].concat()).await;
        assert_eq!(judged, (0, vec![]), "{label}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_with_a_driver_alone_serves() {
    if !has_driver("sealed inference in a guest with /dev/sev-guest alone") {
        return;
    }
    let stage = Stage1::set_in(&["--driver"]).await;
    let reply = stage.answered().await;
    assert_eq!(reply.instance.attested().report().wrapping().name(), "raw");
    let asked = std::fs::read_to_string(stage.scratch.path().join("guest.log")).unwrap();
    assert!(asked.contains("forged firmware: report and certificates\n"), "{asked}");
}
