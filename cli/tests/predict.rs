//! `teegate predict` and `teegate inspect` of a log from outside: every command of docs/MEASUREMENTS.md, on small made-up inputs, and what
//! is refused.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its input should fail where it stands")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A folder with an input under each name that the page uses.
fn inputs() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let corpus = root().join("fuzz/corpus");
    for (name, from) in [
        ("OVMF.amdsev.fd", "firmware/sev-snp"),
        ("OVMF.fd", "firmware/tdx"),
        ("guest.igvm", "igvm/version-1"),
        ("guest.efi", "uki/uki"),
        ("vmlinuz", "uki/image"),
        ("initdata.toml", "initdata/initdata.toml"),
        ("policy.rego", "initdata/policy.rego"),
        ("ccel.bin", "event_log/ccel"),
        ("tpm.bin", "event_log/tpm"),
    ] {
        std::fs::copy(corpus.join(from), folder.path().join(name)).unwrap();
    }
    std::fs::write(folder.path().join("initrd.img"), "an initrd").unwrap();
    let text = std::fs::read_to_string(folder.path().join("initdata.toml")).unwrap();
    std::fs::write(folder.path().join("long.toml"), text.replace("sha256", "sha384")).unwrap();
    folder
}

/// Runs a line as a shell would, with this build's command under its name.
fn run(folder: &Path, line: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_teegate"));
    let path = std::env::join_paths([program.parent().unwrap(), Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
    Command::new("sh").args(["-ec", line]).current_dir(folder).env("PATH", path).stdin(Stdio::null()).output().unwrap()
}

fn answered(folder: &Path, line: &str) -> String {
    let output = run(folder, line);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{line}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(folder: &Path, line: &str) -> String {
    let output = run(folder, line);
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert!(output.stdout.is_empty(), "{line}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn every_command_of_the_page_runs() {
    let folder = inputs();
    let page = std::fs::read_to_string(root().join("docs/MEASUREMENTS.md")).unwrap();
    let mut commands = 0;
    for block in page.split("```sh\n").skip(1) {
        let (block, _) = block.split_once("```").unwrap();
        for line in block.lines() {
            // A policy that this page fills asks for less than lint would like; 4 is its status for that.
            let output = run(folder.path(), line);
            let is_lint = line.starts_with("teegate policy lint");
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() || (is_lint && output.status.code() == Some(4)), "{line}: {errors}");
            commands += 1;
        }
    }
    assert!(commands > 18, "{commands}");
    // What came out of firmware stands in the policy.
    let measurement = answered(
        folder.path(),
        "teegate predict sev-snp --firmware OVMF.amdsev.fd --kernel vmlinuz --initrd initrd.img --append 'console=hvc0 quiet' \
         --vcpus 4 --cpu EPYC-v4 --format json",
    );
    let document: serde_json::Value = serde_json::from_str(&measurement).unwrap();
    let value = document.pointer("/values/0/value").and_then(serde_json::Value::as_str).unwrap();
    assert_eq!(document.pointer("/schema").unwrap(), "teegate/prediction/1");
    assert_eq!(document.pointer("/tee").unwrap(), "sev-snp");
    assert!(std::fs::read_to_string(folder.path().join("snp.toml")).unwrap().contains(value));
    // The command that computes it again is its source.
    let values = std::fs::read_to_string(folder.path().join("guest.toml")).unwrap();
    assert!(values.contains("source = ") && values.contains("predict sev-snp --firmware OVMF.amdsev.fd"), "{values}");
}

#[test]
fn what_gives_no_prediction_ends_with_1_and_says_why() {
    let folder = inputs();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    for (line, says) in [
        ("teegate predict sev-snp --firmware OVMF.fd --vcpus 1 --cpu EPYC", "no metadata of SEV"),
        ("teegate predict tdx --firmware OVMF.amdsev.fd", "no metadata of TDX"),
        ("teegate predict tdx --firmware missing.fd", "`missing.fd` cannot be read"),
        ("teegate predict tdx --firmware folder", "`folder` is no file"),
        ("teegate predict tdx --event-log tpm.bin", "the log of a TPM"),
        ("teegate predict tdx --event-log ccel.bin --uki guest.efi", "`rtmr2` of"),
        ("teegate predict sev-snp --igvm OVMF.fd", "does not begin with `IGVM`"),
        ("teegate predict pcr --uki vmlinuz", "no section `.sdmagic`"),
        ("teegate predict pcr --uki guest.efi --reference-values", "belongs to no TEE by itself"),
        (
            "teegate predict initdata long.toml --platform azure-vtpm",
            "the attestation agent extends PCR 8 with a digest of sha256",
        ),
        ("teegate predict initdata long.toml --platform sev-snp", "HOST_DATA has 32 bytes"),
        ("teegate predict aci-policy initrd.img", "neither Rego"),
        ("teegate predict sev-snp --firmware OVMF.amdsev.fd --vcpus 1 --cpu host", "whatever the guest runs on"),
        (
            "teegate predict sev-snp --firmware OVMF.amdsev.fd --vcpus 1 --cpu EPYC --guest-features 0xg",
            "expected a number",
        ),
        ("teegate predict sev-snp --firmware OVMF.amdsev.fd --vcpus 1", "name the processor"),
        ("teegate predict tdx", "--firmware"),
    ] {
        let error = refused(folder.path(), line);
        assert!(error.contains(says), "{line}: {error}");
    }
}

#[test]
fn a_log_is_shown_with_its_registers_and_believed_by_nobody() {
    let folder = inputs();
    let ccel = answered(folder.path(), "teegate inspect ccel.bin");
    assert!(ccel.starts_with("NOT VERIFIED.") && ccel.contains("event log of a TD (CCEL)"), "{ccel}");
    assert!(ccel.contains("Calling EFI Application from Boot Option") && ccel.contains("extends nothing"), "{ccel}");
    let tpm = answered(folder.path(), "teegate inspect tpm.bin --format json");
    let document: serde_json::Value = serde_json::from_str(&tpm).unwrap();
    assert_eq!(document.pointer("/kind").unwrap(), "tpm");
    assert_eq!(document.pointer("/verified").unwrap(), false);
    assert_eq!(document.pointer("/events/3/text").unwrap(), ".linux");
    assert!(document.pointer("/registers/sha256.pcr0").is_some(), "{tpm}");
    // Cut in a record.
    answered(folder.path(), "head -c 100 ccel.bin > cut.bin");
    let output = run(folder.path(), "teegate inspect cut.bin");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("a log whose record 1 needs"), "{output:?}");
}
