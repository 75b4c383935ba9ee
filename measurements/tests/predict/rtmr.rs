//! RTMRs from components, beside recorded logs of TDs, and beside a boot of Debian's firmware and kernel with a TPM (`ci/acpi.sh --check`).

use std::path::Path;

use teegate_encoding::hex;
use teegate_measurements::ReferenceValues;
use teegate_measurements::predict::{
    AcpiBlobs, AcpiOrigin, Choice, Outcome, Prediction, TdBoot, TdEvent, TdGuest, TdKernel,
};
use teegate_verifier::{EventLog, LogRegisters, read_event_log};

use crate::acpi::{LOADER, RSDP, TABLES, blobs};
use crate::firmware::{METADATA_FROM_END, TDX_METADATA, TdxSection, tdvf, with_table};
use crate::{found, pe};

/// Firmware with this volume of variables and its memory where OVMF has it.
fn firmware(variables: &[u8]) -> Vec<u8> {
    let volume = u32::try_from(variables.len()).unwrap();
    let (length, code) = (volume + 0x4000, (1_u64 << 32) - 0x4000);
    let sections: [TdxSection; 6] = [
        (volume, 0x4000, code, 0x4000, 0, 1),
        (0, volume, code - u64::from(volume), u64::from(volume), 1, 0),
        (0, 0, 0x81_0000, 0x1_0000, 3, 0),
        (0, 0, 0x80_B000, 0x2000, 3, 0),
        (0, 0, 0x80_9000, 0x2000, 2, 0),
        (0, 0, 0x80_0000, 0x6000, 3, 0),
    ];
    let length = usize::try_from(length).unwrap();
    let mut firmware = with_table(length, &tdvf(&sections), &[(TDX_METADATA, METADATA_FROM_END)]);
    firmware[..variables.len()].copy_from_slice(variables);
    firmware
}

/// An erased volume with an empty store, as `VARS` files begin; and these variables in it.
fn volume(variables: &[([u8; 16], &str, u8, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; 16];
    bytes.extend(hex::decode("8d2bf1ff96768b4ca9852747075b4f50").unwrap());
    bytes.extend(0x2000_u64.to_le_bytes());
    bytes.extend(b"_FVH\xff\xfe\x04\x00\x48\x00");
    bytes.resize(0x48, 0);
    bytes.extend(hex::decode("782cf3aa7b949a43a1802e144ec37792").unwrap());
    bytes.extend(0x1000_u32.to_le_bytes());
    bytes.extend([0x5A, 0xFE, 0, 0, 0, 0, 0, 0]);
    for (guid, name, state, value) in variables {
        bytes.extend([0xAA, 0x55, *state, 0]);
        bytes.extend([0; 32]);
        let name: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        for length in [name.len(), value.len()] {
            bytes.extend(u32::try_from(length).unwrap().to_le_bytes());
        }
        bytes.extend(guid);
        bytes.extend(name);
        bytes.extend(*value);
        bytes.resize(bytes.len().next_multiple_of(4), 0xFF);
    }
    bytes.resize(0x2000, 0xFF);
    bytes
}

const GLOBAL: [u8; 16] =
    [0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c];

fn log(path: &Path) -> EventLog {
    read_event_log(&std::fs::read(path).unwrap()).unwrap()
}

fn of(boot: &TdBoot, register: &str, what: &str) -> Vec<TdEvent> {
    boot.events.iter().filter(|event| event.register == register && event.what == what).cloned().collect()
}

fn value(digests: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    digests.into_iter().fold(vec![0; 48], |value, digest| {
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA384, &[value, digest].concat()).as_ref().to_vec()
    })
}

/// Two recorded boots that QEMU gave a kernel, without disks. Their kernels and ACPI tables are not kept: of RTMR0 every event but those three
/// is predicted and equal, and with those three taken from the log it adds up to the recorded value.
#[test]
fn recorded_boots_extended_rtmr0_as_predicted_but_for_the_acpi_tables() {
    let what = "RTMR0 beside recorded logs of TDs";
    let Some(folder) = found::shared("fixtures/eventlog/ccel", what) else { return };
    let Some(variables) = found::debian("usr/share/OVMF/OVMF_VARS_4M.fd", what) else { return };
    let firmware = firmware(&std::fs::read(variables).unwrap());
    let kernel = kernel();
    for (name, memory, choices) in [
        ("trustee-ovmf.ccel", Some(2 << 30), [Choice::SecureBootAbsent, Choice::SeparatorInRtmr0]),
        ("go-eventlog-unpadded.ccel", Some(8 << 30), [Choice::SecureBootOff, Choice::SeparatorInRtmr0]),
        // Of how much memory is not known.
        ("dstack.ccel", None, [Choice::SecureBootAbsent, Choice::SeparatorInRtmr1]),
    ] {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        let guest = TdGuest {
            firmware: Some(&firmware),
            memory,
            acpi: None,
            kernel: Some(TdKernel { kernel: &kernel, initrd: b"", command_line: "quiet" }),
        };
        let compared = TdBoot::of(&guest, &[]).unwrap().against(&bytes).unwrap();
        // The build is found out from the log.
        assert!(choices.iter().all(|choice| compared.build.contains(&choice.name())), "{name}: {compared:?}");
        let own: Vec<_> = compared.events.iter().filter(|event| event.register == "rtmr0").collect();
        let count = |outcome| own.iter().filter(|event| event.outcome == outcome).count();
        let unknown = 3 + usize::from(memory.is_none());
        assert_eq!((count(Outcome::Differs), count(Outcome::NotPredicted)), (0, unknown), "{name}: {own:?}");
        assert!(own.len() >= 13, "{own:?}");

        let recorded = log(&folder.join(name));
        let logged = |register: u32| -> Vec<Vec<u8>> {
            let own = recorded.events.iter().filter(|event| event.extends && event.register == register);
            own.map(|event| event.digest.clone()).collect()
        };
        let boot = TdBoot::of(&guest, &choices).unwrap();
        let filled = |register: &str, number: u32| {
            let expected = boot.events.iter().filter(|event| event.register == register);
            let pairs = expected.filter(|event| event.only != Some(Choice::KernelByQemu)).zip(logged(number));
            value(pairs.map(|(event, logged)| event.digest.clone().unwrap_or(logged)))
        };
        let LogRegisters::Rtmrs(registers) = &recorded.registers else { panic!("{name}") };
        assert_eq!(filled("rtmr0", 1), registers[0], "{name}");
        // The kernel alone is another: what the firmware says around it is the same.
        let around: Vec<_> =
            boot.events.iter().filter(|event| event.register == "rtmr1" && event.what != "kernel").collect();
        assert_eq!(
            around.iter().filter_map(|event| event.digest.clone()).collect::<Vec<_>>(),
            logged(2)[1..],
            "{name}"
        );
    }
    found::note(
        "RTMR0 of 2 recorded boots of TDs: every event but the three of ACPI tables, and of a third but TD HOB; RTMR1 but the kernel",
    );
}

#[test]
fn four_recorded_logs_have_the_td_hob_that_follows_from_the_memory() {
    let Some(folder) = found::shared("fixtures", "TD HOB beside recorded logs") else { return };
    let firmware = firmware(&volume(&[]));
    for (name, gib) in [
        ("eventlog/ccel/trustee-ovmf.ccel", 2),
        ("tdx/v4-preproduction-root/ccel.bin", 2),
        ("eventlog/ccel/go-eventlog-unpadded.ccel", 8),
        ("eventlog/ccel/trustee-grub.ccel", 10),
    ] {
        let digest = |memory: u64| {
            let guest = TdGuest { firmware: Some(&firmware), memory: Some(memory), ..TdGuest::default() };
            of(&TdBoot::of(&guest, &[]).unwrap(), "rtmr0", "TD HOB")[0].digest.clone().unwrap()
        };
        let recorded = log(&folder.join(name)).events[0].digest.clone();
        assert_eq!(digest(gib << 30), recorded, "{name}");
        assert_ne!(digest((gib << 30) + (1 << 20)), recorded, "{name}");
    }
}

/// The files of the boot are those of `ci/acpi.sh --check`. It has a TPM instead of a TDX module, so its PCRs stand for the registers that firmware
/// of a TD maps them to; and this build of the firmware measures no ACPI tables with a TPM.
#[test]
fn firmware_and_kernel_of_debian_extend_what_is_predicted() {
    let what = "a boot of Debian's firmware and kernel";
    let Some(log_file) = found::acpi("measured/event-log", what) else { return };
    let Some(firmware) = found::debian("usr/share/ovmf/OVMF.fd", what) else { return };
    let Some(kernel) = found::debian("boot/vmlinuz-6.1.0-56-cloud-amd64", what) else { return };
    let (firmware, kernel) = (std::fs::read(firmware).unwrap(), std::fs::read(kernel).unwrap());
    let initrd = std::fs::read(log_file.with_file_name("../initrd")).unwrap();
    let guest = TdGuest {
        firmware: Some(&firmware),
        memory: Some(256 << 20),
        acpi: None,
        kernel: Some(TdKernel { kernel: &kernel, initrd: &initrd, command_line: "console=hvc0 quiet" }),
    };
    let choices = [Choice::SecureBootOff, Choice::SeparatorInRtmr0, Choice::KernelByQemu];
    let boot = TdBoot::of(&guest, &choices).unwrap();
    let log = log(&log_file);
    let logged = |registers: &[u32]| -> Vec<String> {
        let own = log.events.iter().filter(|event| event.extends && registers.contains(&event.register));
        own.map(|event| hex::encode(&event.digest)).collect()
    };
    let predicted = |register: &str, left_out: &[&str]| -> Vec<String> {
        let own = boot.events.iter().filter(|event| event.register == register && !left_out.contains(&event.what));
        own.map(|event| hex::encode(event.digest.as_ref().unwrap())).collect()
    };
    assert_eq!(predicted("rtmr0", &["TD HOB", "CFV", "ACPI DATA"]), logged(&[1, 7]));
    // Each PCR has a separator of its own; of a TD's registers one has it.
    let separator = hex::encode(of(&boot, "rtmr0", "separator")[0].digest.as_ref().unwrap());
    let without: Vec<_> = logged(&[4, 5]).into_iter().filter(|digest| *digest != separator).collect();
    assert_eq!(predicted("rtmr1", &[]), without);
    // This kernel measures with a TPM alone: what it then measures is what one that knows TDs is predicted to.
    let in_a_td = &of(&boot, "rtmr2", "kernel")[0];
    assert!(in_a_td.digest.is_none() && in_a_td.of.contains("does not hold the GUID"), "{in_a_td:?}");
    let knowing = [&kernel, CC].concat();
    let knowing = TdGuest { kernel: guest.kernel.map(|own| TdKernel { kernel: &knowing, ..own }), ..guest };
    let knowing = TdBoot::of(&knowing, &choices).unwrap();
    let measured = knowing.events.iter().filter(|event| event.register == "rtmr2");
    let measured: Vec<_> = measured.map(|event| hex::encode(event.digest.as_ref().unwrap())).collect();
    assert_eq!(measured, logged(&[9]));
    // The kernel as its file is another.
    let as_file = TdBoot::of(&guest, &[Choice::KernelAsFile]).unwrap();
    assert_ne!(of(&as_file, "rtmr1", "kernel")[0].digest, of(&boot, "rtmr1", "kernel")[0].digest);
    found::note(
        "a boot of Debian's firmware and kernel: Secure Boot and boot variables, the kernel as QEMU edits it, load options and initrd",
    );
}

#[test]
fn another_shape_has_other_tables_and_another_rtmr0() {
    let what = "ACPI tables of several shapes";
    let Some(one) = found::acpi("one/shape", what) else { return };
    let Some(firmware) = found::debian("usr/share/ovmf/OVMF.fd", what) else { return };
    let firmware = std::fs::read(firmware).unwrap();
    let kernel = kernel();
    let rtmr0 = |name: &str, memory: u64| {
        let folder = one.with_file_name("..").join(name);
        let [tables, rsdp, loader] =
            ["acpi-tables", "acpi-rsdp", "table-loader"].map(|file| std::fs::read(folder.join(file)).unwrap());
        let shape = std::fs::read_to_string(folder.join("shape")).unwrap();
        let guest = TdGuest {
            firmware: Some(&firmware),
            memory: Some(memory << 20),
            acpi: Some(AcpiBlobs {
                tables: &tables,
                rsdp: &rsdp,
                loader: &loader,
                origin: AcpiOrigin::Rebuilt(shape.trim()),
            }),
            kernel: Some(TdKernel { kernel: &kernel, initrd: b"", command_line: "quiet" }),
        };
        let choices = [Choice::SecureBootOff, Choice::SeparatorInRtmr0, Choice::KernelAsFile];
        let values = TdBoot::of(&guest, &choices).unwrap().prediction().values;
        let own: Vec<_> = values.into_iter().filter(|one| one.field == "rtmr0").collect();
        assert!(own.len() == 1 && own[0].of.contains("acpi tables: rebuilt from QEMU emulator version"), "{own:?}");
        own[0].value.clone()
    };
    let good = rtmr0("one", 256);
    assert_eq!(rtmr0("again", 256), good);
    for name in ["processors", "device"] {
        assert_ne!(rtmr0(name, 256), good, "{name}");
    }
    assert_ne!(rtmr0("memory", 512), good);
    found::note("ACPI tables rebuilt twice are the same, and others for other processors, memory and devices");
}

/// The GUID of `EFI_CC_MEASUREMENT_PROTOCOL`, by which a kernel asks for the registers of a TD.
const CC: &[u8] = b"\x3d\x1a\x75\x96\xf4\x72\xa6\x41\xa7\x94\xed\x5d\x0e\x67\xae\x6b";

/// A kernel that QEMU loads: a PE image with a header of the boot protocol, 2.15.
fn kernel() -> Vec<u8> {
    of_sections(&[(".text", &[&[0x90; 0x3F0], CC].concat())])
}

fn of_sections(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut kernel = pe::image(sections, b"", 0);
    kernel[0x1F1] = 1;
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    kernel[0x206..0x208].copy_from_slice(&0x20F_u16.to_le_bytes());
    kernel[0x211] = 1;
    kernel[0x236] = 3;
    kernel
}

#[test]
fn each_part_changes_its_own_registers_and_what_is_missing_is_named() {
    let (firmware, kernel) = (firmware(&volume(&[])), kernel());
    let whole = TdGuest {
        firmware: Some(&firmware),
        memory: Some(2 << 30),
        acpi: Some(blobs(&TABLES, &RSDP, &LOADER)),
        kernel: Some(TdKernel { kernel: &kernel, initrd: b"initrd", command_line: "quiet" }),
    };
    let choices = [Choice::SecureBootOff, Choice::SeparatorInRtmr0, Choice::KernelAsFile];
    let values = |guest: &TdGuest<'_>| {
        let prediction = TdBoot::of(guest, &choices).unwrap().prediction();
        ["rtmr0", "rtmr1", "rtmr2"]
            .map(|register| prediction.values.iter().find(|one| one.field == register).map(|one| one.value.clone()))
    };
    let good = values(&whole);
    assert!(good.iter().all(Option::is_some), "{good:?}");
    let changes = |guest: &TdGuest<'_>| {
        let other = values(guest);
        [0, 1, 2].map(|register| other[register] != good[register])
    };
    assert_eq!(changes(&whole), [false, false, false]);
    assert_eq!(changes(&TdGuest { memory: Some(3 << 30), ..whole }), [true, false, false]);
    let mut tables = TABLES.to_vec();
    tables[40] ^= 1;
    assert_eq!(changes(&TdGuest { acpi: Some(blobs(&tables, &RSDP, &LOADER)), ..whole }), [true, false, false]);
    let other = |initrd, command_line| TdKernel { kernel: &kernel, initrd, command_line };
    assert_eq!(changes(&TdGuest { kernel: Some(other(b"Initrd", "quiet")), ..whole }), [false, false, true]);
    assert_eq!(changes(&TdGuest { kernel: Some(other(b"initrd", "debug")), ..whole }), [false, false, true]);
    let mut edited = kernel.clone();
    edited[0x300] ^= 1;
    let edited = TdKernel { kernel: &edited, initrd: b"initrd", command_line: "quiet" };
    assert_eq!(changes(&TdGuest { kernel: Some(edited), ..whole }), [false, true, false]);

    // Builds that are not known make several values, each said to be of which.
    let prediction = TdBoot::of(&whole, &[]).unwrap().prediction();
    let count = |register: &str| prediction.values.iter().filter(|one| one.field == register).count();
    assert_eq!([count("rtmr0"), count("rtmr1"), count("rtmr2")], [4, 4, 1]);
    let mixed =
        |prediction: &Prediction| prediction.notes.iter().any(|note| note.contains("also where no build has both"));
    assert!(mixed(&prediction) && !mixed(&TdBoot::of(&whole, &choices).unwrap().prediction()));
    let text = prediction.reference_values("td", "teegate predict tdx; acpi tables: given as files", None).unwrap();
    ReferenceValues::parse(&text).unwrap();
    assert!(text.contains("acpi tables: given as files") && !text.contains("rebuilt_acpi_tables"), "{text}");
    // Said of RTMR0 alone, whether it has one value or several.
    for prediction in [&prediction, &TdBoot::of(&whole, &choices).unwrap().prediction()] {
        let text = prediction.reference_values("td", "teegate predict tdx", Some("QEMU 7.2: -m \"2G\"")).unwrap();
        let read = ReferenceValues::parse(&text).unwrap();
        let rebuilt: Vec<_> = read.given().iter().map(|one| (one.field(), one.rebuilt_acpi_tables())).collect();
        assert_eq!(rebuilt, [("rtmr0", Some("QEMU 7.2: -m \"2G\"")), ("rtmr1", None), ("rtmr2", None)], "{text}");
        let plain = ReferenceValues::parse(&prediction.reference_values("td", "x", None).unwrap()).unwrap();
        assert!(read.given().iter().zip(plain.given()).all(|(one, other)| one.rule() == other.rule()), "{text}");
    }

    let ignorant = of_sections(&[(".text", &[0x90; 0x400])]);
    let ignorant = TdKernel { kernel: &ignorant, initrd: b"initrd", command_line: "quiet" };
    for (guest, register, says) in [
        (TdGuest { memory: None, ..whole }, 0, "TD HOB (no memory is named)"),
        (TdGuest { acpi: None, ..whole }, 0, "etc/acpi/tables: no ACPI tables are given"),
        (TdGuest { kernel: None, ..whole }, 0, "boot variables"),
        (TdGuest { kernel: None, ..whole }, 1, "what boots from which disk"),
        (TdGuest { firmware: None, ..whole }, 0, "no firmware is named"),
        (TdGuest { kernel: Some(other(b"", "")), ..whole }, 2, "a boot without a command line"),
        (
            TdGuest { kernel: Some(ignorant), ..whole },
            2,
            "kernel (its EFI stub does not hold the GUID of EFI_CC_MEASUREMENT",
        ),
    ] {
        let prediction = TdBoot::of(&guest, &choices).unwrap().prediction();
        assert_eq!(values(&guest)[register], None, "{says}");
        assert!(prediction.notes.iter().any(|note| note.contains(says)), "{says}: {:?}", prediction.notes);
    }
}

/// What is about an input says about which, and what is about a number says about none.
#[test]
fn an_error_says_which_input_it_is_about() {
    let (firmware, good) = (firmware(&volume(&[])), kernel());
    let of = |firmware: &[u8], memory: u64, kernel: &[u8]| {
        let kernel = Some(TdKernel { kernel, initrd: b"", command_line: "quiet" });
        let guest = TdGuest { firmware: Some(firmware), memory: Some(memory), acpi: None, kernel };
        TdBoot::of(&guest, &[]).map(drop).map_err(|error| error.input())
    };
    assert_eq!(of(&firmware, 2 << 30, &good), Ok(()));
    assert_eq!(of(b"no firmware", 2 << 30, &good), Err(Some("firmware")));
    assert_eq!(of(&firmware, 2 << 30, b"no kernel"), Err(Some("the kernel")));
    assert_eq!(of(&firmware, 4 << 20, &good), Err(None));
}

#[test]
fn what_is_enrolled_for_secure_boot_is_read_and_leaves_rtmr0_open() {
    let kernel = kernel();
    let boot = |volume: &[u8]| {
        let firmware = firmware(volume);
        let guest = TdGuest {
            firmware: Some(&firmware),
            memory: Some(2 << 30),
            acpi: Some(blobs(&TABLES, &RSDP, &LOADER)),
            kernel: Some(TdKernel { kernel: &kernel, initrd: b"", command_line: "quiet" }),
        };
        TdBoot::of(&guest, &[])
    };
    let pk = |variables: &[([u8; 16], &str, u8, &[u8])]| {
        of(&boot(&volume(variables)).unwrap(), "rtmr0", "PK")[0].digest.clone()
    };
    let none = pk(&[]);
    // Deleted, and one of another name.
    assert_eq!(pk(&[(GLOBAL, "PK", 0x3C, b"key"), (GLOBAL, "PKx", 0x3F, b"key")]), none);
    let enrolled = pk(&[(GLOBAL, "PK", 0x3C, b"old"), (GLOBAL, "Lang", 0x3F, b"eng"), (GLOBAL, "PK", 0x3F, b"key")]);
    assert_ne!(enrolled, none);
    assert_eq!(pk(&[(GLOBAL, "PK", 0x3E, b"key")]), enrolled);
    let prediction = boot(&volume(&[(GLOBAL, "PK", 0x3F, b"key")])).unwrap().prediction();
    assert!(prediction.values.iter().all(|one| one.field != "rtmr0"), "{:?}", prediction.values);
    assert!(
        prediction.notes[0].contains("a PK is enrolled") && prediction.notes[0].contains("authority"),
        "{:?}",
        prediction.notes
    );

    let mut long = volume(&[(GLOBAL, "PK", 0x3F, b"key")]);
    long[0x48 + 28 + 40..0x48 + 28 + 44].fill(0xFF);
    let mut other = volume(&[]);
    other[0x48] ^= 1;
    for (volume, says) in [
        (vec![0xFF; 0x2000], "no `_FVH`"),
        (other, "no store of authenticated variables begins at 0x48"),
        (long, "the value of a variable needs 4294967295 bytes"),
    ] {
        let error = boot(&volume).unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
}

#[test]
fn kernels_memory_and_logs_without_an_answer_are_refused_with_the_reason() {
    let (firmware, good) = (firmware(&volume(&[])), kernel());
    let with = |memory: u64, kernel: &[u8], initrd: &[u8], command_line: &str| {
        let kernel = Some(TdKernel { kernel, initrd, command_line });
        TdBoot::of(&TdGuest { firmware: Some(&firmware), memory: Some(memory), acpi: None, kernel }, &[])
            .map(drop)
            .map_err(|error| error.to_string())
    };
    let edited = |at: usize, byte: u8| {
        let mut kernel = good.clone();
        kernel[at] = byte;
        kernel
    };
    let large = vec![0; 16 << 20];
    let unified = of_sections(&[(".text", &[0x90; 0x400]), (".linux", &good)]);
    assert_eq!(with(2 << 30, &good, b"", "quiet"), Ok(()));
    for (result, says) in [
        (with(2 << 30, b"MZ", b"", "quiet"), "the kernel: the offset of the PE header"),
        (with(2 << 30, &edited(0x202, 0), b"", "quiet"), "expected a bzImage"),
        (with(2 << 30, &edited(0x207, 1), b"", "quiet"), "expected a bzImage"),
        (with(2 << 30, &edited(0x211, 0), b"", "quiet"), "expected a bzImage"),
        (with(2 << 30, &edited(0x1F1, 200), b"", "quiet"), "setup of 200 sectors"),
        (
            with(2 << 30, &unified, b"", "quiet"),
            "the kernel: it has a section `.linux`, so it is a unified kernel image",
        ),
        (with(2 << 30, &good, b"", "vga=ask"), "`vga=`"),
        (with(2 << 30, &good, b"", "größe"), "other characters than ASCII"),
        (with(16 << 20, &good, &large, "quiet"), "does not fit into 16777216 bytes"),
        (with(4 << 20, &good, b"", "quiet"), "the firmware's own memory"),
        (with(1, &good, b"", "quiet"), "expected whole MiB"),
        (with(1 << 50, &good, b"", "quiet"), "at most 64 TiB"),
    ] {
        let error = result.unwrap_err();
        assert!(error.contains(says), "{says}: {error}");
    }
    // What only the other build of QEMU does is not asked for.
    let guest = TdGuest {
        kernel: Some(TdKernel { kernel: &good, initrd: b"", command_line: "vga=ask" }),
        ..TdGuest::default()
    };
    assert!(TdBoot::of(&guest, &[Choice::KernelAsFile]).is_ok());
    // And a unified kernel image is refused whatever hands it over.
    let kernel = TdKernel { kernel: &unified, initrd: b"", command_line: "quiet" };
    let error =
        TdBoot::of(&TdGuest { kernel: Some(kernel), ..guest }, &[Choice::KernelAsFile]).unwrap_err().to_string();
    assert!(error.contains("name it with `--uki`"), "{error}");
    let boot = TdBoot::of(&guest, &[Choice::KernelAsFile]).unwrap();
    assert!(boot.against(b"log").unwrap_err().to_string().starts_with("event log: a log whose record 0 needs"));
}

/// A log that ends early differs where an event was predicted, and not where none was.
#[test]
fn a_log_that_ends_differs_from_what_was_predicted_alone() {
    let (firmware, kernel) = (firmware(&volume(&[])), kernel());
    let log = crate::tdx::header();
    let ends = |memory| {
        let kernel = Some(TdKernel { kernel: &kernel, initrd: b"", command_line: "quiet" });
        let guest = TdGuest { firmware: Some(&firmware), memory, acpi: None, kernel };
        let compared = TdBoot::of(&guest, &[]).unwrap().against(&log).unwrap();
        assert!(!compared.is_same());
        compared
            .events
            .into_iter()
            .filter(|event| event.register == "rtmr0")
            .map(|event| (event.outcome, event.words))
            .collect::<Vec<_>>()
    };
    let words = |text: &str| text.to_owned();
    assert_eq!(
        ends(Some(2 << 30)),
        [(Outcome::Differs, words("TD HOB: 2048 MiB of memory is predicted, and the log ends"))]
    );
    assert_eq!(
        ends(None),
        [
            (Outcome::NotPredicted, words("TD HOB: no memory is named; the log has no such event")),
            (Outcome::Differs, words("CFV: the volume of variables in the firmware is predicted, and the log ends")),
        ]
    );
    // Nothing that was predicted is missing: a boot of which nothing is known.
    let nothing = TdBoot::of(&TdGuest::default(), &[]).unwrap().against(&log).unwrap();
    assert!(nothing.is_same(), "{nothing:?}");
}
