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
    std::fs::create_dir(folder.path().join("tables")).unwrap();
    let tables = ["acpi-tables", "acpi-rsdp", "table-loader", "shape"].map(|name| format!("tables/{name}"));
    for name in ["TDVF.fd", "bzImage"].into_iter().chain(tables.iter().map(String::as_str)) {
        std::fs::copy(root().join("cli/tests/td").join(name), folder.path().join(name)).unwrap();
    }
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
        (
            "teegate predict tdx --firmware TDVF.fd --acpi-tables tables/acpi-rsdp --acpi-rsdp tables/acpi-tables --acpi-loader tables/table-loader",
            "etc/acpi/tables: this is `etc/acpi/rsdp`: the files are swapped",
        ),
        ("teegate predict tdx --firmware TDVF.fd --acpi-tables tables/acpi-tables", "--acpi-rsdp"),
        ("teegate predict tdx --firmware TDVF.fd --acpi folder", "`ci/acpi.sh --into` makes such a folder"),
        ("teegate predict tdx --firmware TDVF.fd --memory 2T", "expected MiB"),
        ("teegate predict tdx --firmware TDVF.fd --memory 4M", "the firmware's own memory"),
        ("teegate predict tdx --kernel vmlinuz --append quiet", "expected a bzImage"),
        ("teegate predict tdx --firmware TDVF.fd --against tpm.bin", "the log of a TPM"),
        ("teegate predict tdx --uki guest.efi --kernel bzImage", "cannot be used with"),
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
    assert!(
        ccel.contains("Calling EFI Application from Boot Option") && ccel.contains("  extends nothing  note\n"),
        "{ccel}"
    );
    assert!(ccel.contains(" bytes, 3 events, and 1 record that extends nothing\n"), "{ccel}");
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

/// Of the bytes in `td/`, by another implementation, in Python: RTMR0 with 2 GiB of memory, `SecureBoot` 0, and its last separator.
const RTMR0: &str = "27f2c70085d0e1120256ff37db3f21a9ab632623eaccba7d092cc3e27eff27c0b29d668407af6f8e4708aef723ffa11b";
const WHOLE: &str = "teegate predict tdx --firmware TDVF.fd --memory 2G --acpi tables --kernel bzImage --initrd initrd.img --append quiet";

#[test]
fn rtmrs_follow_from_components_and_say_whose_tables_are_behind_them() {
    let folder = inputs();
    let document = |line: &str| -> serde_json::Value { serde_json::from_str(&answered(folder.path(), line)).unwrap() };
    let values = |document: &serde_json::Value, field: &str| -> Vec<String> {
        let all = document.pointer("/values").and_then(serde_json::Value::as_array).unwrap();
        let own = all.iter().filter(|one| one.pointer("/field").unwrap() == field);
        own.map(|one| one.pointer("/value").and_then(serde_json::Value::as_str).unwrap().to_owned()).collect()
    };
    let whole = document(&format!("{WHOLE} --format json"));
    assert_eq!(["mrtd", "rtmr0", "rtmr1", "rtmr2"].map(|field| values(&whole, field).len()), [2, 4, 4, 1]);
    assert!(values(&whole, "rtmr0").contains(&RTMR0.to_owned()), "{whole}");
    assert_eq!(whole.pointer("/acpi_tables").unwrap(), "acpi tables: rebuilt from nothing, by make.py: -machine q35");
    let narrowed = "--build secure-boot-off --build separator-rtmr0 --build kernel-as-file";
    let one = document(&format!("{WHOLE} {narrowed} --format json"));
    assert_eq!(values(&one, "rtmr0"), [RTMR0]);
    assert_eq!(one.pointer("/events/0/what").unwrap(), "TD HOB");
    assert_eq!(one.pointer("/events/0/register").unwrap(), "rtmr0");
    // As files: the same values, and that nobody said of which shape.
    let files = WHOLE.replace(
        "--acpi tables",
        "--acpi-tables tables/acpi-tables --acpi-rsdp tables/acpi-rsdp --acpi-loader tables/table-loader",
    );
    let files = document(&format!("{files} {narrowed} --format json"));
    assert_eq!(values(&files, "rtmr0"), [RTMR0]);
    assert_eq!(files.pointer("/acpi_tables").unwrap(), "acpi tables: given as files");

    // What is read from them into a policy names the tables in its source.
    answered(folder.path(), &format!("{WHOLE} --reference-values --name td > whole.toml"));
    let text = std::fs::read_to_string(folder.path().join("whole.toml")).unwrap();
    assert!(text.contains("; acpi tables: rebuilt from nothing, by make.py") && text.contains(RTMR0), "{text}");
    let logged = answered(folder.path(), "teegate predict tdx --event-log ccel.bin --reference-values");
    assert!(logged.contains("; acpi tables: as the log has them, not looked at"), "{logged}");
    // What is missing is named, and its register has no value.
    let part = document("teegate predict tdx --firmware TDVF.fd --memory 2G --format json");
    assert_eq!(values(&part, "rtmr0"), [] as [String; 0]);
    assert!(part.pointer("/notes").unwrap().to_string().contains("no ACPI tables are given"), "{part}");
}

#[test]
fn a_log_is_held_against_a_prediction_event_by_event() {
    let folder = inputs();
    let output = run(folder.path(), &format!("{WHOLE} --against ccel.bin"));
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("rtmr0   1 DIFFERS") && text.contains("TD HOB: 2048 MiB of memory is predicted as"),
        "{text}"
    );
    assert!(text.contains("is not compared"), "{text}");
    // Without what would differ, nothing does.
    let events = answered(
        folder.path(),
        "teegate predict tdx --kernel bzImage --append quiet --initrd initrd.img --format json",
    );
    let events: serde_json::Value = serde_json::from_str(&events).unwrap();
    let events = events.pointer("/events").and_then(serde_json::Value::as_array).unwrap();
    let digests: Vec<_> = events
        .iter()
        .filter(|event| event.pointer("/register").unwrap() == "rtmr2")
        .map(|event| event.pointer("/digest").and_then(serde_json::Value::as_str).unwrap())
        .collect();
    assert_eq!(digests.len(), 2);
    // A log of these two events alone: a kernel measured them, and firmware nothing.
    let header = std::fs::read(folder.path().join("ccel.bin")).unwrap().get(..65).unwrap().to_vec();
    let event = |digest: &str| {
        let head = [3_u32, 6, 1].map(u32::to_le_bytes).concat();
        [head, vec![0x0C, 0], teegate_encoding::hex::decode(digest).unwrap(), vec![0; 4]].concat()
    };
    let log: Vec<u8> = [header, digests.iter().flat_map(|digest| event(digest)).collect()].concat();
    std::fs::write(folder.path().join("two.bin"), log).unwrap();
    let output =
        run(folder.path(), "teegate predict tdx --kernel bzImage --append quiet --initrd initrd.img --against two.bin");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("rtmr2   1 same          load options") && text.contains("rtmr2   2 same          initrd"),
        "{text}"
    );
    assert!(text.contains("rtmr1   2 DIFFERS") && text.contains("the log ends"), "{text}");
}
