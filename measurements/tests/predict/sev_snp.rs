//! The launch digest, beside `sev-snp-measure`: its recorded answers, and its own where it is installed.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use teegate_measurements::predict::{CpuSignature, SnpGuest, SnpKernel, SnpVmm, cpu_names, sev_snp};
use teegate_measurements::{ReferenceValues, STRICT, fill};

use crate::firmware::{
    self, METADATA_FROM_END, SECTIONS, SEV_ES_RESET, SEV_HASH_TABLE, SEV_METADATA, asev, with_table,
};
use crate::found::{self, note};
use crate::value;

fn guest(firmware: &[u8]) -> SnpGuest<'_> {
    SnpGuest {
        firmware,
        kernel: None,
        vcpus: 1,
        cpu: CpuSignature::named("EPYC-v4").ok(),
        guest_features: 1,
        vmm: SnpVmm::Qemu,
    }
}

fn refusal(guest: &SnpGuest<'_>) -> String {
    sev_snp(guest).unwrap_err().to_string()
}

fn vmm(name: &str) -> SnpVmm {
    match name {
        "QEMU" => SnpVmm::Qemu,
        "ec2" => SnpVmm::Ec2,
        "gce" => SnpVmm::Gce,
        other => panic!("{other}"),
    }
}

#[test]
fn recorded_digests_are_predicted() {
    let Some(folder) = found::shared("fixtures/measurement/snp-ovmf-suffix", "recorded launch digests") else { return };
    let facts: Value = serde_json::from_slice(&std::fs::read(folder.join("facts.json")).unwrap()).unwrap();
    for (name, signature) in facts["cpu_sigs"].as_object().unwrap() {
        let predicted = CpuSignature::named(name).unwrap().0;
        assert_eq!(format!("{predicted:#x}"), signature.as_str().unwrap(), "{name}");
    }
    assert_eq!(facts["cpu_sigs"].as_object().unwrap().len(), cpu_names().count());
    let (mut compared, mut refused) = (0, 0);
    for row in facts["vectors"].as_array().unwrap() {
        let text = |member: &str| row[member].as_str().unwrap();
        // A digest of firmware that nobody shows: not offered here.
        if row["ovmf_hash"].is_string() {
            continue;
        }
        let firmware = std::fs::read(folder.join(text("ovmf"))).unwrap();
        let kernel = SnpKernel { kernel: b"", initrd: b"", command_line: text("append") };
        let vmm = vmm(text("vmm"));
        let guest = SnpGuest {
            kernel: row["kernel"].is_string().then_some(kernel),
            vcpus: u32::try_from(row["vcpus"].as_u64().unwrap()).unwrap(),
            cpu: (vmm == SnpVmm::Qemu).then(|| CpuSignature::named(text("vcpu_type")).unwrap()),
            guest_features: u64::from_str_radix(text("guest_features").trim_start_matches("0x"), 16).unwrap(),
            vmm,
            ..guest(&firmware)
        };
        if text("launch_digest").starts_with("ERROR") {
            let error = refusal(&guest);
            assert!(error.contains("no table for the hashes of a kernel"), "{error}");
            refused += 1;
        } else {
            assert_eq!(value(&sev_snp(&guest).unwrap()), text("launch_digest"), "{row}");
            compared += 1;
        }
    }
    assert!(compared > 8 && refused == 1, "{compared} {refused}");
    note(&format!("recorded launch digests: {compared} predicted, {refused} refused as recorded"));
}

/// Reads one question a line, and answers it with the digest.
const ORACLE: &str = "
import json, sys, tempfile
from sevsnpmeasure import guest, vmm_types
from sevsnpmeasure.sev_mode import SevMode
for row in json.load(sys.stdin):
    files = []
    for name in 'firmware', 'kernel', 'initrd':
        if row[name] is None:
            files.append(None)
            continue
        file = tempfile.NamedTemporaryFile()
        file.write(bytes.fromhex(row[name]))
        file.flush()
        files.append(file)
    ovmf, kernel, initrd = [file and file.name for file in files]
    print(guest.calc_launch_digest(SevMode.SEV_SNP, row['vcpus'], row['cpu'], ovmf, kernel, initrd, row['append'],
                                   row['features'], vmm_type=vmm_types.VMMType[row['vmm']]).hex())
";

#[test]
fn another_implementation_says_the_same_over_a_matrix() {
    let Some(folder) = found::sev_snp_measure("the matrix of launch digests beside another implementation") else {
        return;
    };
    let with_hashes = firmware::snp();
    let without_hashes =
        with_table(0x3000, &asev(&SECTIONS[..5]), &[(SEV_ES_RESET, 0x00FF_1234), (SEV_METADATA, METADATA_FROM_END)]);
    let kernel = SnpKernel { kernel: b"a kernel", initrd: b"an initrd", command_line: "console=ttyS0 quiet" };
    let bare = SnpKernel { kernel: b"k", initrd: b"", command_line: "" };
    let (mut rows, mut predicted) = (Vec::new(), Vec::new());
    for (firmware, kernels) in [(&with_hashes, vec![None, Some(kernel), Some(bare)]), (&without_hashes, vec![None])] {
        for kernel in kernels {
            for name in ["QEMU", "ec2", "gce"] {
                for vcpus in [1, 2, 7] {
                    for (guest_features, cpu) in [(1, "EPYC-v4"), (0x21, "EPYC-Genoa"), (0x1_0000_0005, "EPYC-Turin")] {
                        let signature = CpuSignature::named(cpu).unwrap();
                        let vmm = vmm(name);
                        let cpu = (vmm == SnpVmm::Qemu).then_some(signature);
                        let guest = SnpGuest { firmware, kernel, vcpus, cpu, guest_features, vmm };
                        predicted.push(value(&sev_snp(&guest).unwrap()));
                        let digits = |bytes: &[u8]| teegate_encoding::hex::encode(bytes);
                        rows.push(json!({
                            "firmware": digits(firmware), "kernel": kernel.map(|kernel| digits(kernel.kernel)),
                            "initrd": kernel.map(|kernel| digits(kernel.initrd)), "vmm": name, "vcpus": vcpus,
                            "append": kernel.map(|kernel| kernel.command_line), "features": guest_features,
                            "cpu": signature.0,
                        }));
                    }
                }
            }
        }
    }
    let mut python = Command::new("python3")
        .args(["-c", ORACLE])
        .env("PYTHONPATH", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(&serde_json::to_vec(&rows).unwrap()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    let answers: Vec<_> = std::str::from_utf8(&output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), rows.len());
    for ((answer, own), row) in answers.iter().zip(&predicted).zip(&rows) {
        assert_eq!(answer, own, "{}", row["vmm"]);
    }
    note(&format!("launch digests beside sev-snp-measure: {} equal", rows.len()));
}

#[test]
fn everything_that_is_measured_changes_the_digest() {
    let firmware = firmware::snp();
    let kernel = SnpKernel { kernel: b"kernel", initrd: b"initrd", command_line: "quiet" };
    let good = SnpGuest { kernel: Some(kernel), vcpus: 2, ..guest(&firmware) };
    let mut other = firmware.clone();
    other[0] ^= 1;
    let with = |kernel| SnpGuest { kernel: Some(kernel), ..good };
    let mut digests = vec![value(&sev_snp(&good).unwrap())];
    for changed in [
        SnpGuest { firmware: &other, ..good },
        with(SnpKernel { kernel: b"Kernel", ..kernel }),
        with(SnpKernel { initrd: b"Initrd", ..kernel }),
        with(SnpKernel { command_line: "quiet ", ..kernel }),
        SnpGuest { kernel: None, ..good },
        SnpGuest { vcpus: 3, ..good },
        SnpGuest { cpu: CpuSignature::named("EPYC-Milan").ok(), ..good },
        SnpGuest { guest_features: 0x21, ..good },
        SnpGuest { vmm: SnpVmm::Ec2, cpu: None, ..good },
        SnpGuest { vmm: SnpVmm::Gce, cpu: None, ..good },
    ] {
        digests.push(value(&sev_snp(&changed).unwrap()));
    }
    let number = digests.len();
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), number);
}

#[test]
fn firmware_and_guests_without_an_answer_are_refused_with_the_reason() {
    let good = firmware::snp();
    assert!(sev_snp(&guest(&good)).is_ok());
    let kernel = Some(SnpKernel { kernel: b"k", initrd: b"", command_line: "" });
    let table = |metadata: &[u8], entries: &[(&str, u32)]| with_table(0x4000, metadata, entries);
    let metadata = (SEV_METADATA, METADATA_FROM_END);
    let reset = (SEV_ES_RESET, 0x0080_B004);
    let mut no_table = good.clone();
    no_table[0x4000 - 40] ^= 1;
    let mut longer = vec![0];
    longer.extend(&good);
    let mut version = asev(&SECTIONS);
    version[8] = 2;
    let mut long = asev(&SECTIONS);
    long[4] += 12;
    for (firmware, says) in [
        (Vec::new(), "no table of GUIDs"),
        (no_table, "no table of GUIDs"),
        (longer, "16385 bytes are not whole pages"),
        (table(&[], &[reset]), "no metadata of SEV: an SEV-SNP guest cannot start from it"),
        (table(&asev(&SECTIONS), &[metadata, metadata]), "an entry twice"),
        (table(&asev(&SECTIONS), &[(SEV_METADATA, 0x5000)]), "would lie 0x5000 before the end"),
        (table(&version, &[metadata]), "no `ASEV` of version 1"),
        (table(&long, &[metadata]), "100 bytes for 6 sections"),
        (table(&asev(&[]), &[metadata]), "name 0 pages"),
        (table(&asev(&[[0x1000, 0x1000, 9]]), &[metadata]), "of kind 0x9, which nobody documents"),
        (table(&asev(&[[0x1001, 0x1000, 1]]), &[metadata]), "not whole pages"),
        (table(&asev(&[[0x1000, 0x2000, 2]]), &[metadata]), "where a page is expected"),
        (table(&asev(&[[0x1000, 0xFFFF_F000, 1]; 3]), &[metadata]), "pages: expected 1 to 65536"),
    ] {
        let error = refusal(&guest(&firmware));
        assert!(error.contains(says), "{says}: {error}");
    }

    let no_reset = table(&asev(&SECTIONS), &[metadata]);
    assert!(sev_snp(&guest(&no_reset)).is_ok());
    let no_hashes = table(&asev(&SECTIONS), &[reset, metadata]);
    let elsewhere = table(&asev(&SECTIONS), &[(SEV_HASH_TABLE, 0x90_0000), metadata]);
    for (guest, says) in [
        (SnpGuest { vcpus: 2, ..guest(&no_reset) }, "where processors other than the first begin"),
        (SnpGuest { kernel, ..guest(&no_hashes) }, "no table for the hashes of a kernel"),
        (SnpGuest { kernel, ..guest(&elsewhere) }, "outside the page"),
        (SnpGuest { vcpus: 0, ..guest(&good) }, "0 virtual processors"),
        (SnpGuest { vcpus: 5000, ..guest(&good) }, "5000 virtual processors"),
        (SnpGuest { guest_features: 0x20, ..guest(&good) }, "without bit 0"),
        (SnpGuest { cpu: None, ..guest(&good) }, "name the processor"),
        (SnpGuest { vmm: SnpVmm::Ec2, ..guest(&good) }, "do not measure which processor"),
    ] {
        let error = refusal(&guest);
        assert!(error.contains(says), "{says}: {error}");
    }
}

/// One command leads from firmware to a policy.
#[test]
fn a_prediction_fills_a_policy() {
    let firmware = firmware::snp();
    let kernel = SnpKernel { kernel: b"k", initrd: b"i", command_line: "quiet" };
    let prediction = sev_snp(&SnpGuest { kernel: Some(kernel), ..guest(&firmware) }).unwrap();
    let text = prediction.reference_values("app \"1\"", "teegate predict sev-snp --append 'a \"b\"'", None).unwrap();
    let with_host_data = text.replace("measurement =", &format!("host_data = \"{}\"\nmeasurement =", "11".repeat(32)));
    let values = ReferenceValues::parse(&with_host_data).unwrap();
    let filled = fill(STRICT, &values).unwrap();
    assert!(filled.text().contains(&value(&prediction)), "{}", filled.text());
}
