//! Firmware, images and configuration from which measurements are predicted, and event logs. Their authors are not hostile, but a
//! stranger may have handed on the file.

use teegate_encoding::hex;
use teegate_fuzz_engine::{Effort, Target, mutate};
use teegate_measurements::ReferenceValues;
use teegate_measurements::predict::{
    AcpiBlobs, AcpiOrigin, CpuSignature, DigestAlgorithm, InitdataFor, PageOrder, PredictError, Prediction, SnpGuest,
    SnpKernel, SnpVmm, TdBoot, TdGuest, UkiBoot, aci_policy, igvm, initdata, mrtd, pcrs, rtmr2, rtmrs, sev_snp,
};
use teegate_verifier::{LogRegisters, is_event_log, read_event_log};

use crate::hold;

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "event_log",
        about: "the event log of a TD or of a TPM, and its replay",
        effort: Effort::Reader,
        run: event_log,
        mutate: binary,
        words: &["StartupLocality\0", "Spec ID Event03\0", "ACPI DATA"],
        max_bytes: 2_048,
    },
    Target {
        name: "firmware",
        about: "firmware, its table and its metadata, and the measurement of what starts from it",
        effort: Effort::Walk,
        run: firmware,
        mutate: binary,
        words: &["ASEV", "TDVF"],
        max_bytes: 8_192,
    },
    Target {
        name: "acpi",
        about: "ACPI tables out of QEMU's fw_cfg, and the commands that load them",
        effort: Effort::Reader,
        run: acpi,
        mutate: binary,
        words: &["RSD PTR ", "etc/acpi/rsdp\0", "etc/acpi/tables\0", "etc/table-loader\0", "DSDT", "FACS"],
        max_bytes: 2_048,
    },
    Target {
        name: "igvm",
        about: "an IGVM file, and the launch digest of what it loads",
        effort: Effort::Walk,
        run: igvm_file,
        mutate: igvm_bytes,
        words: &["IGVM"],
        max_bytes: 8_192,
    },
    Target {
        name: "uki",
        about: "a PE image, its hash, and the registers of a unified kernel image",
        effort: Effort::Reader,
        run: uki,
        mutate: binary,
        words: &[
            ".linux\0\0",
            ".cmdline",
            ".initrd\0",
            ".osrel\0\0",
            ".sdmagic",
            ".pcrsig\0",
            "#### LoaderInfo: systemd-stub 252 ####",
            "#### LoaderInfo: systemd-stub 257 ####",
        ],
        max_bytes: 6_144,
    },
    Target {
        name: "initdata",
        about: "initdata of Kata and CoCo, and policies of Confidential ACI",
        effort: Effort::Reader,
        run: text,
        mutate: mutate::text,
        words: &["version = \"0.1.0\"\n", "algorithm = \"sha256\"\n", "[data]\n", "package policy\n", "allow_all"],
        max_bytes: 2_048,
    },
];

/// Fields at fixed places: mostly changed where they stand.
fn binary(mutator: &mut mutate::Mutator<'_>, input: &mut Vec<u8>) {
    if mutator.random.once_in(4) {
        return mutate::bytes(mutator, input);
    }
    (0..mutator.changes()).for_each(|_| mutate::few_bytes(mutator, input));
}

/// As `binary`, with lengths and the checksum put right three times in four: few changes would be read otherwise.
fn igvm_bytes(mutator: &mut mutate::Mutator<'_>, input: &mut Vec<u8>) {
    binary(mutator, input);
    if mutator.random.once_in(4) {
        return;
    }
    let length = u32::try_from(input.len()).unwrap_or(u32::MAX).to_le_bytes();
    let word = |input: &[u8], at: usize| {
        input
            .get(at..at + 4)
            .map_or(0, |bytes| bytes.iter().rev().fold(0_usize, |number, byte| (number << 8) | usize::from(*byte)))
    };
    if let Some(place) = input.get_mut(16..20) {
        place.copy_from_slice(&length);
    }
    if let Some(place) = input.get_mut(20..24) {
        place.fill(0);
    }
    let fixed = if word(input, 4) == 2 { 32 } else { 24 };
    let (from, to) = (word(input, 8), word(input, 8).saturating_add(word(input, 12)));
    let (Some(head), Some(variable)) = (input.get(..fixed), input.get(from..to)) else { return };
    let crc = !head.iter().chain(variable).fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    });
    input[20..24].copy_from_slice(&crc.to_le_bytes());
}

fn event_log(input: &[u8]) {
    let Some(log) = hold::same(input, || read_event_log(input)) else { return };
    assert!(is_event_log(input), "read, and not recognised");
    // What is behind the last event is filling: more of it changes nothing.
    let longer = [input, &[0xFF; 7]].concat();
    if input.last() != Some(&0) {
        assert_eq!(read_event_log(&longer).as_ref(), Ok(&log), "filling was read");
    }
    match (&log.registers, rtmrs(input)) {
        (LogRegisters::Rtmrs(registers), Ok(prediction)) => {
            assert!(registers.iter().zip(&prediction.values).all(|(own, other)| own.as_slice() == other.value));
        }
        (LogRegisters::Pcrs { .. }, Err(error)) => hold::message(input, &error.to_string()),
        (LogRegisters::Rtmrs(registers), Err(error)) if registers.iter().flatten().all(|byte| *byte == 0) => {
            hold::message(input, &error.to_string());
        }
        (registers, other) => panic!("{registers:?} {other:?}"),
    }
}

/// Predicts twice, and reads what it writes.
fn predicted(input: &[u8], predict: impl Fn() -> Result<Prediction, PredictError>) {
    let Some(prediction) = hold::same(input, &predict) else { return };
    assert!(!prediction.values.is_empty(), "a prediction of nothing");
    match prediction.reference_values("fuzz", "teegate predict", None) {
        Ok(text) => {
            ReferenceValues::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            for one in prediction.values.iter().filter(|one| one.field != "rtmr3") {
                assert!(text.contains(&hex::encode(&one.value)), "a value was left out");
            }
        }
        Err(error) => hold::message(input, &error.to_string()),
    }
}

fn firmware(input: &[u8]) {
    let kernel = SnpKernel { kernel: b"kernel", initrd: b"", command_line: "quiet" };
    for (vmm, cpu, kernel) in [
        (SnpVmm::Qemu, Some(CpuSignature(1)), Some(kernel)),
        (SnpVmm::Ec2, None, None),
        (SnpVmm::Gce, None, Some(kernel)),
    ] {
        predicted(input, || sev_snp(&SnpGuest { firmware: input, kernel, vcpus: 2, cpu, guest_features: 1, vmm }));
    }
    predicted(input, || mrtd(input, &PageOrder::ALL));
    boot(input, &TdGuest { firmware: Some(input), memory: Some(2 << 30), ..TdGuest::default() });
}

/// The commands behind a byte that counts them, then 20 bytes of RSDP, then the tables.
fn acpi(input: &[u8]) {
    let Some((number, rest)) = input.split_first() else { return };
    let (loader, rest) = rest.split_at(rest.len().min(usize::from(*number) * 128));
    let (rsdp, tables) = rest.split_at(rest.len().min(20));
    let acpi = Some(AcpiBlobs { tables, rsdp, loader, origin: AcpiOrigin::Files });
    boot(input, &TdGuest { acpi, ..TdGuest::default() });
}

/// What is known of a boot has a digest, and a register with something unknown has no value.
fn boot(input: &[u8], guest: &TdGuest<'_>) {
    let Some(boot) = hold::same(input, || TdBoot::of(guest, &[])) else { return };
    assert!(boot.prediction().values.is_empty(), "a value without a kernel");
    assert!(boot.events.iter().all(|event| event.digest.as_ref().is_none_or(|digest| digest.len() == 48)));
}

fn igvm_file(input: &[u8]) {
    predicted(input, || igvm(input));
}

fn uki(input: &[u8]) {
    if let Some(boot) = hold::same(input, || UkiBoot::of(input, DigestAlgorithm::Sha256)) {
        assert!(boot.pcr4.is_none_or(|pcr4| pcr4.len() == 4) && !boot.pcr9.is_empty() && boot.pcr11.len() % 2 == 0);
    }
    predicted(input, || pcrs(input, DigestAlgorithm::Sha384));
    predicted(input, || rtmr2(input));
}

fn text(input: &[u8]) {
    for place in [InitdataFor::SevSnp, InitdataFor::Tdx, InitdataFor::AzureVtpm] {
        predicted(input, || initdata(input, place));
    }
    predicted(input, || aci_policy(input));
}
