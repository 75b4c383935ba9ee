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

/// Each of these printed a value that looked as if the option counted.
#[test]
fn what_goes_unused_is_refused_with_what_it_counts_beside() {
    let folder = inputs();
    let snp = "teegate predict sev-snp --firmware OVMF.amdsev.fd --vcpus 1 --cpu EPYC";
    for (used, line, option, beside) in [
        (
            format!("{snp} --kernel vmlinuz --append y"),
            "sev-snp --igvm guest.igvm --append y".to_owned(),
            "--append",
            "`--kernel`",
        ),
        (
            format!("{snp} --kernel vmlinuz --initrd initrd.img"),
            "sev-snp --igvm guest.igvm --initrd initrd.img".to_owned(),
            "--initrd",
            "`--kernel`",
        ),
        (
            format!("{snp} --guest-features 0x21"),
            "sev-snp --igvm guest.igvm --guest-features 0x21".to_owned(),
            "--guest-features",
            "`--firmware`",
        ),
        (
            "teegate predict tdx --kernel bzImage --append y".to_owned(),
            "tdx --uki guest.efi --append y".to_owned(),
            "--append",
            "`--kernel`",
        ),
        (
            "teegate predict tdx --kernel bzImage --append y --initrd initrd.img".to_owned(),
            "tdx --event-log ccel.bin --initrd initrd.img".to_owned(),
            "--initrd",
            "`--kernel`",
        ),
        (
            "teegate predict tdx --firmware TDVF.fd --memory 2G --build secure-boot-off".to_owned(),
            "tdx --firmware TDVF.fd --build secure-boot-off".to_owned(),
            "--build secure-boot-off",
            "`--memory` or `--acpi`",
        ),
        (
            format!("{WHOLE} --build separator-rtmr0"),
            "tdx --firmware TDVF.fd --memory 2G --build separator-rtmr0".to_owned(),
            "--build separator-rtmr0",
            "`--kernel`",
        ),
        (
            "teegate predict pcr --uki guest.efi --tee tdx --reference-values --name x".to_owned(),
            "pcr --uki guest.efi --format json --name x".to_owned(),
            "--name",
            "`--reference-values`",
        ),
    ] {
        answered(folder.path(), &used);
        let error = refused(folder.path(), &format!("teegate predict {line}"));
        assert!(error.starts_with(&format!("error: `{option}` goes unused here")), "{line}: {error}");
        assert!(error.contains(&format!("it counts beside {beside}")), "{line}: {error}");
        let verb = line.split(' ').next().unwrap();
        assert!(error.contains(&format!("Usage: teegate predict {verb} ")), "{line}: {error}");
    }
}

/// The ways to ask each command, and for each of its options a value that is not the one that it has without.
const MODES: &[(&str, &[&str])] = &[
    (
        "sev-snp",
        &[
            "--igvm guest.igvm",
            "--firmware OVMF.amdsev.fd --vcpus 4 --cpu EPYC-v4",
            "--firmware OVMF.amdsev.fd --vcpus 4 --cpu-family 25 --cpu-model 1 --cpu-stepping 1",
            "--firmware OVMF.amdsev.fd --vcpus 4 --vmm ec2",
            "--firmware OVMF.amdsev.fd --vcpus 4 --cpu EPYC-v4 --kernel vmlinuz",
        ],
    ),
    (
        "tdx",
        &[
            "--firmware TDVF.fd",
            "--event-log ccel.bin",
            "--firmware TDVF.fd --event-log ccel.bin",
            "--uki guest.efi",
            "--firmware TDVF.fd --uki guest.efi",
            "--kernel bzImage --append console=hvc0",
            "--firmware TDVF.fd --memory 2G",
            "--firmware TDVF.fd --memory 2G --acpi tables",
            "--firmware TDVF.fd --memory 2G --acpi tables --uki guest.efi",
            "--firmware TDVF.fd --memory 2G --acpi tables --kernel bzImage --append console=hvc0",
            "--firmware TDVF.fd --against ccel.bin",
        ],
    ),
    ("pcr", &["--uki guest.efi", "--uki guest.efi --format json"]),
    ("initdata", &["initdata.toml --platform azure-vtpm", "initdata.toml --platform sev-snp --format json"]),
    ("aci-policy", &["policy.rego", "policy.rego --reference-values"]),
];
const VALUES: &[(&str, &[&str])] = &[
    ("--acpi", &["tables"]),
    ("--acpi-loader", &["tables/table-loader"]),
    ("--acpi-rsdp", &["tables/acpi-rsdp"]),
    ("--acpi-tables", &["tables/acpi-tables"]),
    ("--against", &["ccel.bin"]),
    ("--append", &["quiet"]),
    ("--bank", &["sha384"]),
    (
        "--build",
        &[
            "secure-boot-absent",
            "secure-boot-off",
            "separator-rtmr0",
            "separator-rtmr1",
            "kernel-as-file",
            "kernel-by-qemu",
        ],
    ),
    ("--cpu", &["EPYC-Milan"]),
    ("--cpu-family", &["26"]),
    ("--cpu-model", &["2"]),
    ("--cpu-stepping", &["2"]),
    ("--event-log", &["ccel.bin"]),
    ("--firmware", &["TDVF.fd", "OVMF.amdsev.fd"]),
    ("--format", &["json"]),
    ("--guest-features", &["0x21"]),
    ("--igvm", &["guest.igvm"]),
    ("--initrd", &["initrd.img"]),
    ("--kernel", &["bzImage"]),
    ("--memory", &["3G"]),
    ("--name", &["mine"]),
    ("--page-order", &["page-by-page", "two-passes"]),
    ("--platform", &["tdx"]),
    ("--reference-values", &[""]),
    ("--tee", &["tdx", "sev-snp"]),
    ("--uki", &["guest.efi"]),
    ("--vcpus", &["3"]),
    ("--vmm", &["gce"]),
];

/// Beside each way to ask, each option is refused, or changes what is printed. One that does neither is ignored, and whoever gave it
/// does not learn that.
#[test]
fn no_option_of_a_prediction_is_ignored() {
    let folder = inputs();
    let (mut counted, mut refusals) = (0, 0);
    for (command, modes) in MODES {
        let help = answered(folder.path(), &format!("teegate predict {command} --help"));
        let own = help.lines().filter_map(|line| {
            let (_, option) = line
                .split_once("--")
                .filter(|(before, _)| before.trim_matches([' ', '-', ',', 'h', 'V']).is_empty())?;
            Some(format!("--{}", option.split([' ', '=']).next().unwrap_or_default()))
        });
        let own: Vec<_> = own.filter(|option| !["--help", "--version", "--color"].contains(&option.as_str())).collect();
        assert!(own.len() > 2, "{help}");
        for mode in *modes {
            let line = format!("teegate predict {command} {mode}");
            let without = run(folder.path(), &line);
            assert!(matches!(without.status.code(), Some(0 | 4)), "{line}: {without:?}");
            for option in own.iter().filter(|option| !mode.split(' ').any(|word| word == *option)) {
                let values = VALUES.iter().find(|(known, _)| known == option);
                let (_, values) = values.unwrap_or_else(|| panic!("give {option} a value here"));
                for value in *values {
                    let with = run(folder.path(), &format!("{line} {option} {value}"));
                    match with.status.code() {
                        Some(0 | 4) => {
                            counted += 1;
                            // The command itself stands in reference values.
                            let said = |output: &Output| {
                                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                                text.lines()
                                    .filter(|line| !line.starts_with("source = "))
                                    .collect::<Vec<_>>()
                                    .join("\n")
                            };
                            assert_ne!(said(&with), said(&without), "ignored: {line} {option} {value}");
                        }
                        code => {
                            refusals += 1;
                            assert_eq!(code, Some(1), "{line} {option} {value}: {with:?}");
                            assert!(with.stdout.is_empty() && !with.stderr.is_empty(), "{line} {option} {value}");
                        }
                    }
                }
            }
        }
    }
    assert!(counted > 60 && refusals > 60, "{counted} counted, {refusals} refused");
}

#[test]
fn tables_of_a_vm_with_other_memory_are_refused() {
    let folder = inputs();
    let shape = folder.path().join("tables/shape");
    let named = std::fs::read_to_string(&shape).unwrap().trim().to_owned();
    let with = |more: &str| std::fs::write(&shape, format!("{named}{more}\n")).unwrap();
    with(" -m 256M -nodefaults");
    let error = refused(folder.path(), WHOLE);
    assert!(
        error.contains("`--memory` is 2048 MiB, and the tables in `tables` were rebuilt of a VM with 256 MiB"),
        "{error}"
    );
    for same in ["", " -m 2G", " -m 2048,slots=2,maxmem=8G", " -m unknown"] {
        with(same);
        answered(folder.path(), WHOLE);
    }
}

/// What a unified kernel image extends is known, so nothing may say that it is not.
#[test]
fn a_unified_kernel_image_beside_firmware_gives_one_rtmr2() {
    let folder = inputs();
    let text =
        answered(folder.path(), "teegate predict tdx --firmware TDVF.fd --memory 2G --acpi tables --uki guest.efi");
    let value = |text: &str| text.lines().find_map(|line| line.strip_prefix("rtmr2        ")).unwrap().to_owned();
    let alone = answered(folder.path(), "teegate predict tdx --uki guest.efi");
    assert_eq!((value(&text), text.matches("\nrtmr2        ").count()), (value(&alone), 1), "{text}");
    assert!(!text.contains("rtmr2 has no value here") && !text.contains("rtmr2  kernel"), "{text}");
    assert!(text.contains("rtmr2  UKI          "), "{text}");
    // The twin: with nothing that boots, it is said to be unknown.
    let none = answered(folder.path(), "teegate predict tdx --firmware TDVF.fd --memory 2G --acpi tables");
    assert!(none.contains("rtmr2 has no value here") && none.contains("rtmr2  kernel       not predicted"), "{none}");
}

/// A file of 3 GiB of nothing, in a process that may have 1 GiB: no more is read than the kind may have.
#[test]
fn a_file_that_is_too_long_is_refused_before_it_is_read() {
    let folder = inputs();
    std::fs::File::create(folder.path().join("big")).unwrap().set_len(3 << 30).unwrap();
    for (line, most) in [
        ("predict initdata big --platform sev-snp", 1_usize << 20),
        ("predict aci-policy big", 8 << 20),
        ("predict tdx --event-log big", 1 << 20),
        ("predict tdx --firmware TDVF.fd --against big", 1 << 20),
        ("predict tdx --firmware big", 64 << 20),
        ("predict sev-snp --firmware big --vcpus 1 --cpu EPYC", 64 << 20),
        ("policy fill strict --reference-values big", 1 << 20),
        ("policy explain big", 1 << 20),
    ] {
        let error = refused(folder.path(), &format!("ulimit -v 1048576; teegate {line}"));
        assert!(error.contains(&format!("has more than {most} bytes")), "{line}: {error}");
    }
}

/// A pipe that nobody writes to: opening it never returns, and `timeout` would end with 124.
#[test]
fn a_pipe_is_refused_wherever_a_file_is_named() {
    let folder = inputs();
    answered(folder.path(), "mkfifo pipe");
    for line in [
        "predict initdata pipe --platform sev-snp",
        "predict tdx --firmware pipe",
        "policy fill strict --reference-values pipe",
        "policy fill pipe",
        "policy fill strict --root amd=pipe",
        "policy init --from pipe",
        "verify pipe --policy genuine",
        "verify initrd.img --policy genuine --endorsements pipe",
        "inspect pipe",
        "fetch pipe --into into",
        "deploy initdata pipe --platform azure-snp --into into",
        "bundle verify pipe",
        "bundle show pipe",
    ] {
        let error = refused(folder.path(), &format!("timeout 60 teegate {line}"));
        assert!(error.contains("is no file: it is a pipe"), "{line}: {error}");
    }
    // Standard input is one, and welcome where it is named.
    let piped =
        run(folder.path(), "teegate deploy initdata - --name Pod/app --platform azure-snp --into into < /dev/null");
    assert!(!String::from_utf8_lossy(&piped.stderr).contains("is no file"), "{piped:?}");
}

/// What is wrong is said of what it is about: a file, a number, or nobody's file.
#[test]
fn an_error_names_what_it_is_about() {
    let folder = inputs();
    let tdvf = std::fs::read(folder.path().join("TDVF.fd")).unwrap();
    std::fs::write(folder.path().join("wrong.fd"), [tdvf.as_slice(), &[0xFF; 4096]].concat()).unwrap();
    std::fs::write(folder.path().join("vars.fd"), [0xFF; 8192]).unwrap();
    answered(folder.path(), "gzip -c initdata.toml > initdata.gz; base64 -w 0 initdata.gz > annotation");
    std::fs::write(folder.path().join("template.json"), "{\"a\": {\"ccePolicy\": \"aGVsbG8=\"}}").unwrap();
    let snp = "teegate predict sev-snp --firmware OVMF.amdsev.fd";
    for (line, says) in [
        (format!("{snp} --vcpus 0 --cpu EPYC"), "0 is not in 1..=4096"),
        (format!("{snp} --vcpus 4294967296 --cpu EPYC"), "4294967296 is not in 1..=4096"),
        (format!("{snp} --vcpus 1 --vmm ec2 --cpu EPYC"), "error: EC2 and GCE do not measure"),
        (format!("{snp} --vcpus 1 --cpu EPYC --guest-features 0x20"), "error: guest features 0x20 without bit 0"),
        (
            "teegate predict sev-snp --firmware OVMF.fd --vcpus 1 --cpu EPYC".to_owned(),
            "error: `OVMF.fd`: firmware: it has no metadata of SEV",
        ),
        ("teegate predict tdx --kernel initrd.img".to_owned(), "error: `initrd.img`: the kernel: "),
        ("teegate predict tdx --firmware OVMF.amdsev.fd --memory 2G".to_owned(), "error: `OVMF.amdsev.fd`: firmware: "),
        ("teegate predict tdx --firmware wrong.fd".to_owned(), "joined in the wrong order, or something is behind it"),
        (
            "teegate predict tdx --firmware vars.fd".to_owned(),
            "the code is the last: `cat OVMF_VARS.fd OVMF_CODE.fd > OVMF.fd`",
        ),
        ("teegate predict initdata annotation --platform sev-snp".to_owned(), "which `base64 -d FILE | gunzip` gives"),
        ("teegate predict initdata initdata.gz --platform sev-snp".to_owned(), "which `gunzip < FILE` gives"),
        ("teegate predict aci-policy annotation".to_owned(), "which `teegate predict initdata` takes"),
        ("teegate predict aci-policy template.json".to_owned(), "`jq -r '.. | .ccePolicy? // empty' FILE`"),
    ] {
        let error = refused(folder.path(), &line);
        assert!(error.contains(says), "{line}: {error}");
    }
    // What is told to do gives what is wanted.
    answered(folder.path(), "base64 -d annotation | gunzip > own.toml; cmp own.toml initdata.toml");
}

/// QEMU measures whatever it is handed, so a swap is no error; whoever made one is told.
#[test]
fn a_kernel_that_is_none_is_remarked_on() {
    let folder = inputs();
    let line = |kernel: &str, initrd: &str| {
        let line = format!(
            "teegate predict sev-snp --firmware OVMF.amdsev.fd --vcpus 1 --cpu EPYC --kernel {kernel} --initrd {initrd} --reference-values"
        );
        let output = run(folder.path(), &line);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(line("bzImage", "initrd.img"), "");
    std::fs::write(folder.path().join("empty"), "").unwrap();
    for (kernel, initrd) in [("initrd.img", "bzImage"), ("empty", "initrd.img")] {
        let said = line(kernel, initrd);
        assert!(said.starts_with(&format!("note: `--kernel`: `{kernel}` is no bzImage")), "{said}");
    }
}

/// Reference values of a release are of both TEEs; a policy of one needs what is of that one.
#[test]
fn a_policy_of_one_tee_is_filled_from_values_of_both() {
    let folder = inputs();
    let release = root().join("measurements/values/0.1.0.toml");
    std::fs::copy(release, folder.path().join("release.toml")).unwrap();
    let node = format!(
        "schema = 1\nname = \"node\"\n[sev-snp]\nmeasurement = \"{}\"\npcr7 = \"{}\"\npcr8 = \"{}\"\n",
        "22".repeat(48),
        "33".repeat(32),
        "44".repeat(32)
    );
    std::fs::write(folder.path().join("node.toml"), node).unwrap();
    let line = "teegate policy fill azure-peer-pod --reference-values release.toml --reference-values node.toml";
    let error = refused(folder.path(), line);
    assert!(error.contains("`tdx.azure-peer-pod.mrtd`") && !error.contains("`sev-snp."), "{error}");
    let text = answered(folder.path(), &format!("{line} --tee sev-snp"));
    assert!(text.contains("[sev-snp.azure-peer-pod]") && !text.contains("[tdx"), "{text}");
    let error = refused(folder.path(), &format!("{line} --tee tdx"));
    assert!(error.contains("`tdx.azure-peer-pod.mrtd`"), "{error}");
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
    // And a policy that is filled from them says so for itself.
    let rebuilt = "rebuilt_acpi_tables = \"nothing, by make.py: -machine q35\"";
    let mut lacking = text.clone();
    lacking.push_str(&format!("mrconfigid = \"{}\"\n", "11".repeat(48)));
    std::fs::write(folder.path().join("filled.toml"), &lacking).unwrap();
    let filled = answered(folder.path(), "teegate policy fill strict --reference-values filled.toml");
    assert!(text.contains(rebuilt) && filled.contains(rebuilt), "{filled}");
    let files = WHOLE.replace(
        "--acpi tables",
        "--acpi-tables tables/acpi-tables --acpi-rsdp tables/acpi-rsdp --acpi-loader tables/table-loader",
    );
    let unsaid = answered(folder.path(), &format!("{files} --reference-values --name td"));
    assert!(unsaid.contains("; acpi tables: given as files") && !unsaid.contains("rebuilt_acpi_tables"), "{unsaid}");
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
