//! PCRs of a unified kernel image, beside what firmware and kernel wrote down as they booted one, and beside `systemd-measure`.

use std::path::Path;
use std::process::Command;

use teegate_measurements::predict::{DigestAlgorithm, UkiBoot, authenticode, pcrs, rtmr2};
use teegate_verifier::{LogRegisters, read_event_log};

use crate::found::{self, note};
use crate::pe;

/// Sections of an image, each with its name.
type Sections<'a> = &'a [(&'a str, &'a [u8])];

const SHA256: DigestAlgorithm = DigestAlgorithm::Sha256;
const MAGIC: &[u8] = b"#### LoaderInfo: systemd-stub 252.39-1~deb12u2 ####\0";

fn hex(bytes: &[u8]) -> String {
    teegate_encoding::hex::encode(bytes)
}

fn kernel() -> Vec<u8> {
    pe::image(&[(".text", b"kernel")], b"", 0)
}

/// An image on a stub of version 252, with these sections beside its kernel.
fn uki(sections: &[(&str, &[u8])]) -> Vec<u8> {
    on(MAGIC, sections)
}

/// The same on another stub.
fn on(magic: &[u8], sections: &[(&str, &[u8])]) -> Vec<u8> {
    let kernel = kernel();
    let own: [(&str, &[u8]); 2] = [(".sdmagic", magic), (".linux", &kernel)];
    pe::image(&[own.as_slice(), sections].concat(), b"", 0)
}

/// A register of a prediction, if it has a value.
fn register(image: &[u8], field: &str) -> Option<String> {
    let values = pcrs(image, SHA256).unwrap().values;
    values.iter().find(|one| one.field == field).map(|one| hex(&one.value))
}

const GOOD: [(&str, &[u8]); 3] = [(".osrel", b"ID=x\n"), (".cmdline", b"quiet"), (".initrd", b"initrd")];

#[test]
fn the_hash_of_an_image_is_the_one_that_its_own_signature_states() {
    let Some(file) = found::debian("boot/vmlinuz-6.1.0-56-cloud-amd64", "the hash of Debian's signed kernel") else {
        return;
    };
    let kernel = std::fs::read(file).unwrap();
    let hash = authenticode(&kernel, SHA256).unwrap();
    let signature = &kernel[kernel.len() - 0x5C0..];
    assert!(signature.windows(32).any(|window| window == hash), "{}", hex(&hash));
    let mut other = kernel.clone();
    other[0x5000] ^= 1;
    assert_ne!(authenticode(&other, SHA256).unwrap(), hash);
}

#[test]
fn a_hash_leaves_out_the_checksum_and_the_signatures_and_nothing_else() {
    let image = pe::image(&[(".text", b"code"), (".data", b"data")], b"behind and signed", 6);
    let hash = authenticode(&image, SHA256).unwrap();
    let is_left_out = |at: usize| {
        (pe::OPTIONAL + 64..pe::OPTIONAL + 68).contains(&at)
            || (pe::CERTIFICATES..pe::CERTIFICATES + 4).contains(&at)
            || at >= image.len() - 6
    };
    for at in 0..image.len() {
        let mut other = image.clone();
        other[at] ^= 1;
        // Headers that no longer fit are refused, which is no hash either.
        assert_eq!(authenticode(&other, SHA256) == Ok(hash.clone()), is_left_out(at), "byte {at:#x}");
    }
}

/// The files of two boots whose logs and registers are kept: OVMF, systemd-stub and Debian's cloud kernel in QEMU, with a TPM. Their
/// initrds are not kept; the digest that the stub extended stands in, and the hash of the whole image is not compared: `ci/guest.sh` does.
#[test]
fn recorded_boots_extended_what_is_predicted() {
    let of = "PCR 4, 9 and 11 beside recorded boots";
    // The first is in the repository, and `ci/guest.sh --log` makes it again.
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/predict");
    a_recorded_boot(&own.join("guest-boot.bin"), &own.join("guest-boot.pcrs"), b"ID=teegate-guest\nVERSION_ID=1\n", of);
    let Some(folder) = found::shared("tools/guest/vectors", of) else { return };
    let (log, registers) = (folder.join("tcg-eventlog.bin"), folder.join("pcrs.txt"));
    a_recorded_boot(&log, &registers, b"ID=teegate-guest\nVERSION_ID=0\n", of);
}

fn a_recorded_boot(log: &Path, registers: &Path, osrel: &[u8], of: &str) {
    let log = read_event_log(&std::fs::read(log).unwrap()).unwrap();
    // With the record that says in which form the others are, which extends nothing: 36.
    assert_eq!(log.events.len(), 35);
    let LogRegisters::Pcrs { sha256: Some(replayed), .. } = &log.registers else { panic!("no bank of SHA-256") };
    // 8 is initdata's, 10 the kernel's own; from 17 on a register that nobody extends is not zero.
    let stated = std::fs::read_to_string(registers).unwrap();
    for (number, line) in stated.lines().enumerate().take(16).filter(|(number, _)| ![8, 10].contains(number)) {
        assert_eq!(line, format!("pcr {number} {}", hex(&replayed[number])));
    }
    let Some(stub) = found::debian("usr/lib/systemd/boot/efi/linuxx64.efi.stub", of) else { return };
    let Some(kernel) = found::debian("boot/vmlinuz-6.1.0-56-cloud-amd64", of) else { return };
    let (stub, kernel) = (std::fs::read(stub).unwrap(), std::fs::read(kernel).unwrap());
    let uki = pe::with_sections(
        &stub,
        &[
            (".osrel", osrel),
            (".cmdline", b"console=ttyS0 quiet panic=-1 rdinit=/init"),
            (".initrd", b"another initrd"),
            (".linux", &kernel),
        ],
    );
    let boot = UkiBoot::of(&uki, SHA256).unwrap();
    assert_eq!(boot.stub, "systemd-stub 252.39-1~deb12u2");

    let extended = |register: u32| -> Vec<Vec<u8>> {
        let own = log.events.iter().filter(|event| event.extends && event.register == register);
        own.map(|event| event.digest.clone()).collect()
    };
    let initrd = extended(9).pop().unwrap();
    let in_place = |digests: &[Vec<u8>]| -> Vec<Vec<u8>> {
        let (last, others) = digests.split_last().unwrap();
        assert_eq!(*last, SHA256_OF_ANOTHER.map(|digits| u8::from_str_radix(digits, 16).unwrap()).to_vec());
        others.iter().cloned().chain([initrd.clone()]).collect()
    };
    assert_eq!(in_place(&boot.pcr9), extended(9));
    assert_eq!(in_place(&boot.pcr11), extended(11));
    // The action, the separator, and the kernel inside; between them the image itself.
    let (own, recorded) = (boot.pcr4.as_ref().unwrap(), extended(4));
    assert_eq!((&own[0], &own[1], &own[3], own.len()), (&recorded[0], &recorded[1], &recorded[3], recorded.len()));

    note(
        "a recorded boot: PCR 9 and 11 predicted but for its initrd, PCR 4 but for the image itself; 36 records replay",
    );
}

/// SHA-256 of `another initrd`, by Python's hashlib.
#[rustfmt::skip]
const SHA256_OF_ANOTHER: [&str; 32] = [
    "29", "a8", "a9", "ec", "c5", "2e", "04", "0e", "85", "00", "0e", "c4", "2b", "d3", "16", "50", "73", "49", "63", "ce", "b6", "6c", "16", "af", "e7", "92", "7d", "e2", "e6", "77", "2b", "47",
];

#[test]
fn systemd_measure_says_the_same_of_pcr_11() {
    let measure = Path::new("/lib/systemd/systemd-measure");
    if !measure.is_file() {
        return note("skipped: PCR 11 beside systemd-measure: it is not installed");
    }
    let folder = std::env::temp_dir().join(format!("teegate-predict-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let kernel = kernel();
    let all: [(&str, &[u8]); 5] =
        [GOOD[0], GOOD[1], GOOD[2], (".splash", b"picture"), (".pcrpkey", b"-----BEGIN PUBLIC KEY-----\n")];
    // Without bytes, each that can be so.
    let empty = all.map(|(name, content)| (name, if name == ".cmdline" { content } else { b"".as_slice() }));
    let one_empty = [(".osrel", b"".as_slice()), all[1], all[2], all[3], all[4]];
    let mut compared = 0;
    for sections in [&GOOD[1..2], &GOOD[..], &all[..], &empty[..], &one_empty[..]] {
        for bank in DigestAlgorithm::ALL {
            let mut command = Command::new(measure);
            command.args(["calculate", "--phase=", &format!("--bank={}", bank.name())]);
            for (name, content) in [&[(".linux", kernel.as_slice())], sections].concat() {
                let file = folder.join(name.trim_start_matches('.'));
                std::fs::write(&file, content).unwrap();
                command.arg(format!("--{}={}", name.trim_start_matches('.'), file.display()));
            }
            let output = command.output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            let line = said
                .lines()
                .find(|line| line.starts_with("11:"))
                .unwrap_or_else(|| panic!("{said} {:?}", output.stderr));
            let predicted = pcrs(&uki(sections), bank).unwrap();
            let own = predicted.values.iter().find(|one| one.field == "pcr11").unwrap();
            assert_eq!(line, format!("11:{}={}", bank.name(), hex(&own.value)));
            compared += 1;
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
    note(&format!("PCR 11 beside systemd-measure: {compared} equal"));
}

/// The GUID of `EFI_CC_MEASUREMENT_PROTOCOL`, in one piece and as two moves have it.
const CC: &[u8] = b"\x3d\x1a\x75\x96\xf4\x72\xa6\x41\xa7\x94\xed\x5d\x0e\x67\xae\x6b";
const CC_IN_TWO: &[u8] = b"\x48\xb8\xa7\x94\xed\x5d\x0e\x67\xae\x6b\x48\xb8\x3d\x1a\x75\x96\xf4\x72\xa6\x41";

#[test]
fn rtmr2_is_what_the_stub_and_then_the_kernel_extend_if_both_know_how() {
    let image = |stub: &[u8], kernel: &[u8], osrel: &[u8]| {
        let kernel = pe::image(&[(".text", kernel)], b"", 0);
        let magic = b"#### LoaderInfo: systemd-stub 257.1 ####".as_slice();
        let own = [(".text", stub), (".sdmagic", magic), (".linux", &kernel), (".osrel", osrel)];
        pe::image(&[own.as_slice(), &GOOD[1..]].concat(), b"", 0)
    };
    let good = image(CC, CC_IN_TWO, b"ID=x\n");
    let boot = UkiBoot::of(&good, DigestAlgorithm::Sha384).unwrap();
    assert_eq!((boot.pcr9.len(), boot.pcr11.len()), (2, 8));
    let prediction = rtmr2(&good).unwrap();
    let extended = boot.pcr11.iter().chain(&boot.pcr9).fold(vec![0; 48], |value, digest| {
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA384, &[value, digest.clone()].concat()).as_ref().to_vec()
    });
    assert_eq!((prediction.values[0].field, &prediction.values[0].value), ("rtmr2", &extended));
    assert!(rtmr2(&image(CC_IN_TWO, CC, b"ID=x\n")).is_ok());
    for (stub, kernel, osrel, says) in [
        (b"stub".as_slice(), CC, b"ID=x\n".as_slice(), "UKI: its stub (`systemd-stub 257.1`) does not hold the GUID"),
        (CC, b"kernel", b"ID=x\n", "UKI: the kernel in it does not hold the GUID"),
        (b"stub", b"kernel", b"ID=x\n", "its stub (`systemd-stub 257.1`) and the kernel in it do not hold the GUID"),
        // One half says nothing, and what the stub measures is not its code.
        (&CC[..8], CC, b"ID=x\n", "its stub (`systemd-stub 257.1`) does not hold the GUID"),
        (CC, &CC[8..], b"ID=x\n", "the kernel in it does not hold the GUID"),
        (b"stub", CC, CC, "its stub (`systemd-stub 257.1`) does not hold the GUID"),
    ] {
        let error = rtmr2(&image(stub, kernel, osrel)).unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
    // Registers of a TPM are no fields of a policy of this release, and say so.
    let error = pcrs(&good, SHA256).unwrap().reference_values("x", "y", None).unwrap_err().to_string();
    assert!(error.contains("belongs to no TEE by itself"), "{error}");
}

/// Debian's kernels, of which each says by its bytes whether it knows: 6.1 does not.
#[test]
fn debians_kernel_and_stub_know_nothing_of_rtmrs() {
    let of = "RTMR2 of Debian's stub and kernel";
    let Some(stub) = found::debian("usr/lib/systemd/boot/efi/linuxx64.efi.stub", of) else { return };
    let Some(kernel) = found::debian("boot/vmlinuz-6.1.0-56-cloud-amd64", of) else { return };
    let kernel = std::fs::read(kernel).unwrap();
    let image = pe::with_sections(&std::fs::read(stub).unwrap(), &[GOOD[1], (".linux", &kernel)]);
    let error = rtmr2(&image).unwrap_err().to_string();
    assert!(error.contains("its stub (`systemd-stub 252.39-1~deb12u2`) and the kernel in it do not hold"), "{error}");
}

/// What guests read of a TPM behind five versions of the stub, each with every section that a stub hands on, with none, and with empty ones
/// (`stubs/boot.py`). PCR 9 follows from small inputs alone; PCR 11 from Debian's kernel too.
#[test]
fn booted_images_of_each_stub_have_what_is_predicted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/predict/stubs");
    let boots: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("boots.json")).unwrap()).unwrap();
    let initrd = std::fs::read(folder.join("initrd.bin")).unwrap();
    assert_eq!(initrd.len() % 4, 1, "what stands between it and the first archive is not seen");
    let kernel = found::debian("boot/vmlinuz-6.1.0-56-cloud-amd64", "PCR 11 of images on five stubs");
    let kernel = kernel.map(|file| std::fs::read(file).unwrap());
    let small = pe::image(&[(".text", b"kernel")], b"", 0);
    let mut versions = Vec::new();
    for boot in boots.as_array().unwrap() {
        let text = |field: &str| boot.get(field).and_then(serde_json::Value::as_str).unwrap();
        let mut sbat = text("sbat").as_bytes().to_vec();
        sbat.resize(usize::try_from(boot["sbat_bytes"].as_u64().unwrap()).unwrap(), 0);
        let mut sections = vec![(".sdmagic", text("sdmagic").as_bytes()), (".initrd", &initrd), (".sbat", &sbat)];
        let of = boot["of"].as_object().unwrap();
        sections.extend(of.iter().map(|(name, content)| (name.as_str(), content.as_str().unwrap().as_bytes())));
        let image = |kernel: &[u8]| pe::image(&[sections.as_slice(), &[(".linux", kernel)]].concat(), b"", 0);
        let said = format!("{} {}", text("sections"), text("sdmagic"));
        assert_eq!(register(&image(&small), "pcr9").as_deref(), Some(text("pcr9")), "{said}");
        assert_eq!(register(&image(&small), "pcr12").as_deref(), Some(text("pcr12")), "{said}");
        if let Some(kernel) = &kernel {
            assert_eq!(register(&image(kernel), "pcr11").as_deref(), Some(text("pcr11")), "{said}");
        }
        // PCR 4 has the hash of the whole image in it, which is not kept; that of 262 was without the kernel's.
        assert_eq!(register(&image(&small), "pcr4").is_none(), text("sdmagic").contains("systemd-stub 262"), "{said}");
        versions.push(text("sdmagic").split(' ').nth(3).unwrap().to_owned());
    }
    versions.dedup();
    assert_eq!(versions, ["252.39-1~deb12u2", "254.26-1~bpo12+1", "255.4-1ubuntu8", "257.13-1~deb13u1", "262.1-1"]);
    found::note(
        "PCR 9 of 15 booted images on five versions of systemd-stub, and PCR 11 where Debian's kernel is there",
    );
}

/// Images without `.initrd`: what the stub hands on is all that the kernel gets. Nothing in such a guest reads a TPM, so these values of PCR 9 were
/// found in the state of swtpm, beside a kernel that had ended in a panic.
#[test]
fn booted_images_without_an_initrd_hand_on_what_the_stub_adds() {
    let sections: [(&str, &[u8]); 3] =
        [(".osrel", b"ID=x\n"), (".cmdline", b"console=ttyS0"), (".pcrsig", b"{\"sha256\":[]}")];
    for (version, pcr9) in [
        ("252", "014a21c9b090a0c0aae44daad9231c85de3f99a289fcad9d80403445a67af74c"),
        ("257", "24715820cb0bf81f1db0281155385bf12e1d56391eeec7d6b977a18bf8ed4846"),
        ("262", "24715820cb0bf81f1db0281155385bf12e1d56391eeec7d6b977a18bf8ed4846"),
    ] {
        let magic = format!("#### LoaderInfo: systemd-stub {version} ####");
        assert_eq!(register(&on(magic.as_bytes(), &sections), "pcr9").as_deref(), Some(pcr9), "{version}");
    }
}

#[test]
fn a_stub_that_loads_the_kernel_by_itself_leaves_pcr_4_without_a_value_and_says_why() {
    let prediction = |magic: &[u8]| pcrs(&on(magic, &GOOD), SHA256).unwrap();
    let fields = |magic| prediction(magic).values.iter().map(|one| one.field).collect::<Vec<_>>();
    let new = b"#### LoaderInfo: systemd-stub 262.1-1 ####".as_slice();
    assert_eq!(fields(MAGIC), ["pcr4", "pcr9", "pcr11", "pcr12"]);
    assert_eq!(fields(new), ["pcr9", "pcr11", "pcr12"]);
    let note = |magic| {
        prediction(magic)
            .notes
            .iter()
            .any(|note| note.starts_with("PCR 4 has no value here: systemd-stub 262.1-1 loads"))
    };
    assert!(note(new) && !note(MAGIC));
}

#[test]
fn a_section_without_bytes_is_as_if_it_were_not_there() {
    let stub = b"#### LoaderInfo: systemd-stub 257.1 ####".as_slice();
    let with: [(&str, &[u8]); 6] =
        [(".osrel", b""), (".sbat", b""), (".uname", b""), (".splash", b""), (".pcrsig", b""), (".pcrpkey", b"")];
    for magic in [MAGIC, stub] {
        for field in ["pcr9", "pcr11"] {
            let without = register(&on(magic, &GOOD[1..]), field);
            assert_eq!(register(&on(magic, &[&GOOD[1..], &with].concat()), field), without, "{field}");
            let none = register(&on(magic, &GOOD[1..2]), field);
            assert_eq!(register(&on(magic, &[GOOD[1], (".initrd", b"")]), field), none, "{field}");
            assert_ne!(none, without, "{field}");
        }
    }
}

#[test]
fn every_part_changes_its_registers_and_no_other() {
    let registers = |sections: &[(&str, &[u8])]| {
        let values = pcrs(&uki(sections), SHA256).unwrap().values;
        [0, 1, 2].map(|at| values[at].value.clone())
    };
    let good = registers(&GOOD);
    let with = |at: usize, content: &'static [u8]| {
        let mut sections = GOOD;
        sections[at].1 = content;
        let other = registers(&sections);
        [0, 1, 2].map(|at| other[at] != good[at])
    };
    assert_eq!(with(0, b"ID=y\n"), [true, false, true]);
    assert_eq!(with(1, b"quiet debug"), [true, true, true]);
    assert_eq!(with(2, b"Initrd"), [true, true, true]);
    // Not measured by the stub itself, but put behind the initrd, which the kernel measures.
    let signed = registers(&[GOOD.as_slice(), &[(".pcrsig", b"{}")]].concat());
    assert_eq!([0, 1, 2].map(|at| signed[at] != good[at]), [true, true, false]);
}

#[test]
fn images_without_an_answer_are_refused_with_the_reason() {
    let of = |sections: &[(&str, &[u8])]| UkiBoot::of(&pe::image(sections, b"", 0), SHA256).map(drop);
    let kernel = kernel();
    let magic = (".sdmagic", MAGIC);
    let linux = (".linux", kernel.as_slice());
    let command_line = (".cmdline", b"quiet".as_slice());
    assert_eq!(of(&[magic, linux, command_line]), Ok(()));
    let version = |number: &str| format!("#### LoaderInfo: systemd-stub {number} ####");
    let [old, between, later, newest, new] = ["251.1", "253.5", "256.4", "263", "257~rc1"].map(version);
    assert_eq!(of(&[(".sdmagic", new.as_bytes()), linux, command_line]), Ok(()));
    let compared = "boots were compared of systemd-stub 252, 254, 255, 257 and 262";
    let cases: [(Sections<'_>, &str); 18] = [
        (&[linux, command_line], "no section `.sdmagic`"),
        (&[(".sdmagic", b"#### LoaderInfo: sd-boot 252 ####"), linux, command_line], "its stub is `sd-boot 252`"),
        (&[(".sdmagic", old.as_bytes()), linux, command_line], compared),
        (&[(".sdmagic", between.as_bytes()), linux, command_line], compared),
        (&[(".sdmagic", later.as_bytes()), linux, command_line], compared),
        (&[(".sdmagic", newest.as_bytes()), linux, command_line], compared),
        (&[magic, command_line], "no section `.linux`"),
        (&[magic, linux], "whoever starts it chooses the command line"),
        (&[magic, linux, (".cmdline", b"quiet\n")], "space at its ends"),
        (&[magic, linux, (".cmdline", b"")], "`.cmdline`, or an empty one"),
        (&[magic, linux, (".cmdline", "größe".as_bytes())], "other characters than ASCII"),
        (&[magic, linux, command_line, command_line], "two sections `.cmdline`"),
        (&[magic, linux, command_line, (".profile", b"")], "which profile boots"),
        (&[magic, linux, command_line, (".ucode", b"u")], "joins it with the initrd"),
        (&[magic, linux, command_line, (".dtbauto", b"d")], "the machine decides"),
        (&[magic, (".linux", b"no image"), command_line], "the kernel in the UKI: it is no PE image"),
        (&[magic, (".linux", b""), command_line], "no section `.linux`, or an empty one"),
        (&[magic, (".linux", b"M"), command_line], "the kernel in the UKI: the header needs 2 bytes"),
    ];
    for (sections, says) in cases {
        let error = of(sections).unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
    }

    let image = uki(&GOOD);
    let edited = |at: usize, byte: u8| {
        let mut other = image.clone();
        other[at] = byte;
        UkiBoot::of(&other, SHA256).unwrap_err().to_string()
    };
    for (at, byte, says) in [
        (0, 0, "does not begin with `MZ`"),
        (0x3C, 0xFF, "no `PE`"),
        (0x3F, 0xFF, "the PE header needs 4 bytes"),
        (0x46, 0, "0 sections"),
        (0x47, 1, "sections: expected 1 to 96"),
        (pe::OPTIONAL, 0, "an optional header of kind 0x200"),
        (pe::OPTIONAL + 61, 0, "headers of 0x0 bytes"),
        (pe::CERTIFICATES + 6, 0x10, "bytes of signatures do not fit"),
        (pe::OPTIONAL + 240 + 23, 1, "a section needs"),
        (pe::OPTIONAL + 240 + 2 * 40 + 21, 6, "would leave bytes out or take them twice"),
    ] {
        let error = edited(at, byte);
        assert!(error.contains(says), "{at:#x} {says}: {error}");
    }
    for length in 0..0x400 {
        assert!(UkiBoot::of(&image[..length], SHA256).is_err(), "{length}");
    }
}
