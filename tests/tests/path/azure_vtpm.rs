//! Azure's vTPM, whole: a software TPM behind a forged paravisor, as a character device that the programs open as they open
//! `/dev/tpmrm0`, and the metadata service of a forged host. Nothing here ran on Azure's hardware: this proves the plumbing and
//! not the silicon.

use std::path::Path;

use serde_json::Value;
use teegate_forge::paravisor::tpm;
use teegate_tests::harness::{Enclave, Gateway, Guest, Scratch, binary, note};

use crate::Stage1;

/// Whether there is a software TPM; says so, where there is none.
fn has_swtpm(test: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join("swtpm").is_file()));
    if !found {
        note(&format!("skipped: {test}: swtpm is not installed (on Debian: apt-get install swtpm)"));
    }
    found
}

async fn teegate(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = tokio::process::Command::new(binary("teegate"));
    let output = command.current_dir(folder).args(arguments).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A VM, and the file that names what is wrong with its paravisor.
struct Vm {
    guest: Guest,
    defect: String,
}

impl Vm {
    async fn start(scratch: &Scratch, label: &str, tee: &str) -> Self {
        let defect = scratch.path().join(format!("{label}-defect")).display().to_string();
        let guest = Guest::start(scratch, label, &["--paravisor", "--tee", tee, "--defect", &defect]).await;
        Self { guest, defect }
    }

    fn breaks(&self, defect: Option<&str>) {
        match defect {
            Some(name) => std::fs::write(&self.defect, name).unwrap(),
            None => drop(std::fs::remove_file(&self.defect)),
        }
    }
}

fn source(guest: &Guest) -> String {
    format!("azure-vtpm={},http://{}", guest.program.address("device"), guest.program.address("listening"))
}

const DATA: &str = "\
    a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5\
    a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5";

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_behind_a_paravisor_serves_under_a_filled_policy() {
    if !has_swtpm("sealed inference behind a paravisor") {
        return;
    }
    for tee in ["snp", "tdx"] {
        let scratch = Scratch::new();
        let Vm { guest, .. } = Vm::start(&scratch, "guest", tee).await;
        let enclave = Enclave::start(&scratch, "enclave", &guest).await;
        let stage = Stage1 { scratch, guest, enclave };
        let reply = stage.answered().await;
        let attested = reply.instance.attested();
        assert_eq!(attested.bound_to().map(|bound| bound.name()), Some("workload"), "{tee}");
        assert_eq!(attested.report().wrapping().name(), "azure-vtpm", "{tee}");

        // The same instance under a policy that expects another image or another pod is nobody's, and nothing is relayed.
        let registers = stage.guest.policy();
        for (register, check) in [("pcr11", "hcl.pcr.boot"), ("pcr8", "hcl.pcr8")] {
            let place = registers.find(&format!("{register} = \"")).unwrap() + register.len() + 4;
            let mut other = registers.clone();
            other.replace_range(place..place + 64, &"77".repeat(32));
            let refusing =
                Gateway::start(&stage.scratch, register, &stage.guest, &other, &[&stage.enclave.address], "").await;
            let asked = refusing.ask("GET", "/v1/instances?model=breast-cancer&wait=2", &[], b"").await;
            assert_ne!(asked.status, 200, "{tee} {register}: {}", asked.text());
            let said = String::from_utf8(stage.scratch.said()).unwrap();
            assert!(said.contains(check), "{tee} {register}: {said}");
        }
    }
}

/// What a verifier says of what was recorded at a paravisor with this defect: the exit status and the checks that failed; and what was said when
/// it was recorded.
async fn recorded_and_verified(scratch: &Scratch, vm: &Vm, defect: Option<&str>) -> ((i32, Vec<String>), String) {
    vm.breaks(defect);
    let guest = &vm.guest;
    let label = format!("{}-{}", guest.folder.file_name().unwrap().display(), defect.unwrap_or("none"));
    let policy = scratch.write(&format!("{label}-policy.toml"), &guest.policy());
    let arguments = ["record", "--into", &label, "--report-data", DATA, "--source", &source(guest)];
    let (status, _, said) = teegate(scratch.path(), &arguments).await;
    assert_eq!(status, 0, "{label}: {said}");
    let evidence = format!("{label}/evidence.json");
    let (own, given) = (format!("{label}/endorsements"), guest.endorsements().display().to_string());
    let arguments = ["verify", &evidence, "--policy", &policy, "--report-data", DATA, "--format", "json"];
    let endorsements = ["--endorsements", &own, "--endorsements", &given];
    let (status, out, err) = teegate(scratch.path(), &[&arguments[..], &endorsements].concat()).await;
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{label}: {error}: {out}{err}"));
    let failed = report["checks"].as_array().unwrap().iter().filter(|check| check["result"] == "fail");
    ((status, failed.map(|check| check["id"].as_str().unwrap().to_owned()).collect()), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_at_a_paravisor_is_refused_by_its_check() {
    if !has_swtpm("a paravisor's defects") {
        return;
    }
    let scratch = Scratch::new();
    let (snp, tdx) = (Vm::start(&scratch, "snp", "snp").await, Vm::start(&scratch, "tdx", "tdx").await);
    // What an attester sees and a verifier judges: the one says that the other will not take it.
    let not_over = Some("the hardware's report is not over the claims beside it");
    let not_named = Some("is not the one that the claims of the HCL report name (`HCLAkPub`)");
    for (tee, defect, status, check, seen) in [
        ("snp", None, 0, None, None),
        ("tdx", None, 0, None, None),
        ("tdx", Some("retry"), 0, None, None),
        ("tdx", Some("user-data-lower"), 0, None, None),
        // The certificates of the machine are a help, and these are supplied.
        ("snp", Some("no-service"), 0, None, None),
        ("snp", Some("claims-respelt"), 3, Some("hcl.binding"), not_over),
        ("tdx", Some("claims-respelt"), 3, Some("hcl.binding"), not_over),
        ("tdx", Some("second-key"), 3, Some("hcl.ak"), not_named),
        ("tdx", Some("other-vm"), 3, Some("hcl.quote"), not_named),
    ] {
        let expected: Vec<String> = check.iter().map(|check: &&str| (*check).to_owned()).collect();
        let (found, said) = recorded_and_verified(&scratch, if tee == "snp" { &snp } else { &tdx }, defect).await;
        assert_eq!(found, (status, expected), "{tee} {defect:?}");
        assert_eq!(
            said.matches("no verifier will take the evidence").count(),
            seen.iter().count(),
            "{tee} {defect:?}: {said}"
        );
        assert!(said.contains(seen.unwrap_or_default()), "{tee} {defect:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_attester_can_see_ends_there_and_nothing_is_recorded() {
    if !has_swtpm("what an attester refuses at a paravisor") {
        return;
    }
    let scratch = std::sync::Arc::new(Scratch::new());
    let bank = "expected one over the 24 registers of the SHA-256 bank, with their values";
    let stale = "did not take up what was written: its `user-data` is still something else";
    // Some of them last as long as an attester is patient: on five VMs, side by side.
    let on = [
        vec![
            ("not-renewed", stale),
            ("huge-index", "the HCL report of 65535 bytes is malformed, expected at most 16384"),
        ],
        vec![("user-data-short", stale), ("pcr-23", bank), ("sha1-bank", bank), ("two-selections", bank)],
        vec![
            ("user-data-absent", "it has no `user-data`: this paravisor is too old to bind any"),
            ("other-extra-data", "evidence reports other bytes than those asked for"),
            ("always-retry", "the TPM asked for a repetition 10 times, at last with 0x922"),
            ("no-service", "refused with status 400 Bad Request: Bad request"),
        ],
        vec![
            ("user-data-twice", "the claims of the HCL report is malformed, expected a JSON object"),
            ("huge-claims", "the length of the claims of the HCL report is malformed"),
        ],
        // What the claims are hashed with is no attester's business; the command looks at the whole before it writes anything.
        vec![
            ("hash-type-2", "hcl.bytes: expected hash type 1, SHA-256, found 2; nothing was written"),
            ("hash-type-3", "hcl.bytes: expected hash type 1, SHA-256, found 3; nothing was written"),
            ("silent", "the attester did not answer in time"),
        ],
    ];
    let mut vms = tokio::task::JoinSet::new();
    for (number, defects) in on.into_iter().enumerate() {
        let scratch = std::sync::Arc::clone(&scratch);
        let vm = Vm::start(&scratch, &format!("vm-{number}"), "tdx").await;
        vms.spawn(async move {
            for (defect, expected) in defects {
                vm.breaks(Some(defect));
                let into = format!("{defect}-recorded");
                let arguments = ["record", "--into", &into, "--nonce", "01", "--source", &source(&vm.guest)];
                let (status, out, err) = teegate(scratch.path(), &arguments).await;
                assert_eq!((status, out.as_str()), (1, ""), "{defect}: {err}");
                assert!(err.contains(expected), "{defect}: {err}");
                assert!(!scratch.path().join(into).exists(), "{defect}");
            }
        });
    }
    while let Some(vm) = vms.join_next().await {
        vm.unwrap();
    }
}

/// What an attester would not write: real quotes of the software TPM over other registers, banks and bytes, and other lists of values.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_quote_over_something_else_is_refused_and_so_is_another_list() {
    if !has_swtpm("quotes over other registers") {
        return;
    }
    let scratch = Scratch::new();
    let Vm { guest, .. } = Vm::start(&scratch, "guest", "tdx").await;
    let Vm { guest: other_vm, .. } = Vm::start(&scratch, "other", "tdx").await;
    let policy = scratch.write("policy.toml", &guest.policy());
    let arguments = ["record", "--into", "recorded", "--report-data", DATA, "--source", &source(&guest)];
    let (status, _, err) = teegate(scratch.path(), &arguments).await;
    assert_eq!(status, 0, "{err}");
    let recorded = std::fs::read(scratch.path().join("recorded/evidence.json")).unwrap();
    let recorded: Value = serde_json::from_slice(&recorded).unwrap();

    let open = |guest: &Guest| {
        let device = guest.program.address("device");
        std::fs::OpenOptions::new().read(true).write(true).open(device).unwrap()
    };
    let (mut device, mut other_device) = (open(&guest), open(&other_vm));
    let values = tpm::registers(&mut device).unwrap();
    let (sha256, sha1) = ((tpm::SHA256, [0xFF; 3]), (tpm::SHA1, [0xFF; 3]));
    let with_23 = (tpm::SHA256, [0xFF, 0x07, 0x80]);
    let asked = [0xA5; 64];
    let of =
        |device: &mut std::fs::File, extra: &[u8], banks: &tpm::Selections| tpm::quote(device, extra, banks).unwrap();
    let whole = of(&mut device, &asked, &[sha256]);
    let twelve = [&values[..11], &values[23..]].concat();
    let twenty_four = [&values[..11], &values[23..], &values[12..]].concat();
    let mut swapped = values.clone();
    swapped.swap(8, 9);
    let mut cut = values.clone();
    cut[23].pop();
    let cases = [
        ("the twin", whole.clone(), values.clone(), 0, None),
        ("PCR 23 at the place of PCR 11", of(&mut device, &asked, &[with_23]), twelve, 3, Some("hcl.quote")),
        ("the same, 24 values", of(&mut device, &asked, &[with_23]), twenty_four, 3, Some("hcl.quote")),
        ("the SHA-1 bank", of(&mut device, &asked, &[sha1]), values.clone(), 3, Some("hcl.quote")),
        ("two selections", of(&mut device, &asked, &[sha256, sha1]), values.clone(), 3, Some("hcl.quote")),
        ("no selection", of(&mut device, &asked, &[]), values.clone(), 3, Some("hcl.quote")),
        ("63 bytes of extraData", of(&mut device, &asked[1..], &[sha256]), values.clone(), 3, Some("hcl.quote")),
        ("no extraData", of(&mut device, &[], &[sha256]), values.clone(), 3, Some("hcl.quote")),
        ("other extraData", of(&mut device, &[0xEE; 64], &[sha256]), values.clone(), 4, Some("hcl.user-data")),
        ("another VM's quote", of(&mut other_device, &asked, &[sha256]), values.clone(), 3, Some("hcl.quote")),
        ("23 values", whole.clone(), values[..23].to_vec(), 3, Some("hcl.quote")),
        ("each value twice", whole.clone(), [&values[..], &values].concat(), 3, Some("hcl.quote")),
        ("two values swapped", whole.clone(), swapped, 3, Some("hcl.quote")),
        ("a value of 31 bytes", whole, cut, 3, Some("hcl.quote")),
    ];
    for (what, (message, signature), list, status, check) in cases {
        let mut evidence = recorded.clone();
        let list: Vec<_> = list.iter().map(hex::encode).collect();
        evidence["tpm_quote"] = serde_json::json!({
            "message": hex::encode(message), "signature": hex::encode(signature), "pcrs": list
        });
        let evidence = scratch.write("evidence.json", &evidence.to_string());
        let endorsements = guest.endorsements().display().to_string();
        let arguments =
            ["verify", &evidence, "--policy", &policy, "--report-data", DATA, "--endorsements", &endorsements];
        let (found, out, err) = teegate(scratch.path(), &[&arguments[..], &["--format", "json"]].concat()).await;
        let report: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{what}: {error}: {out}{err}"));
        let failed = report["checks"].as_array().unwrap().iter().filter(|check| check["result"] == "fail");
        let failed: Vec<_> = failed.map(|check| check["id"].as_str().unwrap()).collect();
        assert_eq!(found, status, "{what}: {failed:?}");
        match check {
            None => assert!(failed.is_empty(), "{what}: {failed:?}"),
            Some(check) => assert!(failed.contains(&check), "{what}: {failed:?}"),
        }
    }
}

/// The log of the guest's boot, on the whole path: the enclave hands it on, gateway and client hold it against the quote, and so does
/// whoever verifies what was recorded.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_boot_behind_a_paravisor_is_handed_on_and_judged() {
    if !has_swtpm("event logs behind a paravisor") {
        return;
    }
    let requiring = |guest: &Guest| {
        let policy = guest.policy();
        let required = policy.replacen("\npcr12 = ", "\nvtpm_log = \"required\"\npcr12 = ", 1);
        assert_ne!(required, policy);
        required
    };
    for (tee, log, refused) in [
        ("snp", "own", None),
        ("tdx", "own", None),
        ("snp", "none", Some("no event log")),
        ("snp", "another", Some("PCR 0")),
    ] {
        let scratch = Scratch::new();
        let guest = Guest::start(&scratch, "guest", &["--paravisor", "--tee", tee, "--event-log", log]).await;
        let enclave = Enclave::start(&scratch, "enclave", &guest).await;
        let required = requiring(&guest);
        let gateway = Gateway::start(&scratch, "gateway", &guest, &required, &[&enclave.address], "").await;
        let asked = gateway.ask("GET", "/v1/instances?model=breast-cancer&wait=2", &[], b"").await;
        let said = String::from_utf8(scratch.said()).unwrap();
        match refused {
            None => assert_eq!(asked.status, 200, "{tee} {log}: {said}"),
            Some(why) => {
                assert_ne!(asked.status, 200, "{tee} {log}: {}", asked.text());
                assert!(said.contains("hcl.log.replay") && said.contains(why), "{tee} {log}: {said}");
            }
        }
        // What is not there is said by the enclave, once.
        assert_eq!(
            said.matches("the event log of the vTPM (").count(),
            usize::from(log == "none"),
            "{tee} {log}: {said}"
        );

        let policy = scratch.write("policy.toml", &required);
        let from = guest.event_log().display().to_string();
        let arguments =
            ["record", "--into", "taken", "--report-data", DATA, "--source", &source(&guest), "--event-log", &from];
        let (status, out, err) = teegate(scratch.path(), &arguments).await;
        assert_eq!(status, 0, "{tee} {log}: {err}");
        let kept = scratch.path().join("taken/event-log.bin");
        assert_eq!((kept.is_file(), out.contains("--event-log")), (log != "none", log != "none"), "{tee} {log}: {out}");
        let (own, given) = ("taken/endorsements", guest.endorsements().display().to_string());
        let mut verify =
            vec!["verify", "taken/evidence.json", "--policy", &policy, "--report-data", DATA, "--format", "json"];
        verify.extend(["--endorsements", own, "--endorsements", &given]);
        if log != "none" {
            verify.extend(["--event-log", "taken/event-log.bin"]);
        }
        let (status, out, err) = teegate(scratch.path(), &verify).await;
        let report: Value =
            serde_json::from_str(&out).unwrap_or_else(|error| panic!("{tee} {log}: {error}: {out}{err}"));
        let line = report["checks"].as_array().unwrap().iter().find(|check| check["id"] == "hcl.log.replay").unwrap();
        let (wanted, result) = if refused.is_none() { (0, "pass") } else { (4, "fail") };
        assert_eq!((status, &line["result"]), (wanted, &result.into()), "{tee} {log}: {line}");
        let events: Value = if refused.is_none() { 15.into() } else { Value::Null };
        assert_eq!(report["facts"]["event_log_events"], events, "{tee} {log}");
    }
}
