//! MRTD beside what two other implementations said of Debian's firmware, and RTMRs out of recorded logs.

use serde_json::Value;
use teegate_measurements::ReferenceValues;
use teegate_measurements::predict::{PageOrder, mrtd, rtmrs};

use crate::firmware::{TDX_METADATA, TDX_SECTIONS, TdxSection, snp, tdx, with_table};
use crate::found;
use crate::value;

/// OVMF 2022.11-6+deb12u2, by dstack's code and by a script of its own.
const PAGE_BY_PAGE: &str = "4c7206f0";
const TWO_PASSES: &str = "acccbcc8";

#[test]
fn debians_firmware_has_the_mrtd_that_others_found() {
    let Some(whole) = found::debian("usr/share/ovmf/OVMF.fd", "MRTD of Debian's firmware") else { return };
    let bytes = std::fs::read(&whole).unwrap();
    let one = |order| value(&mrtd(&bytes, &[order]).unwrap());
    let (by_page, in_passes) = (one(PageOrder::PageByPage), one(PageOrder::TwoPasses));
    assert!(by_page.starts_with(PAGE_BY_PAGE) && by_page.ends_with("1c47"), "{by_page}");
    assert!(in_passes.starts_with(TWO_PASSES) && in_passes.ends_with("43f7e1"), "{in_passes}");

    // Half of the image, whose metadata speak of the whole; and the halves joined.
    let half = |name: &str| std::fs::read(whole.with_file_name("../OVMF").join(name)).unwrap();
    let (variables, code) = (half("OVMF_VARS.fd"), half("OVMF_CODE.fd"));
    let error = mrtd(&code, &PageOrder::ALL).unwrap_err().to_string();
    assert!(error.contains("half of an image") && error.contains("cat OVMF_VARS.fd OVMF_CODE.fd"), "{error}");
    assert_eq!(
        mrtd(&[variables, code].concat(), &PageOrder::ALL).unwrap().values,
        mrtd(&bytes, &PageOrder::ALL).unwrap().values
    );
}

/// Computed by `mrtd.py` (another implementation, in Python) for the bytes of [`tdx`].
const MADE_UP: [&str; 2] = [
    "1266c059efa76e3158095a785ba99a5693cdfd18de303b7cf79d989a8114c1b2338a65cebed5202d8d76a3152ffdf535",
    "3b86b26bfda4d07c462700805a7e83eac88d251ba40a8f8ad8027cef9765122a78dfdd10d7a648053c011d3dfd17e98b",
];

#[test]
fn made_up_firmware_has_the_mrtd_that_another_implementation_computes() {
    let firmware = tdx(&TDX_SECTIONS);
    let both = mrtd(&firmware, &PageOrder::ALL).unwrap();
    let values: Vec<_> = both.values.iter().map(|one| teegate_encoding::hex::encode(&one.value)).collect();
    assert_eq!(values, MADE_UP);
    // Both are taken where the order is not known.
    let text = both.reference_values("firmware", "teegate predict tdx --firmware OVMF.fd", None).unwrap();
    ReferenceValues::parse(&text).unwrap();
    assert!(MADE_UP.iter().all(|value| text.contains(value)), "{text}");
}

/// Firmware of one page measures the same in both orders, and a list names it once.
#[test]
fn a_value_to_which_both_orders_lead_is_written_once() {
    let page = (0x3000, 0x1000, 0xFFFF_F000, 0x1000, 0, 1);
    let both = mrtd(&tdx(&[page]), &PageOrder::ALL).unwrap();
    assert_eq!(both.values[0].value, both.values[1].value);
    let text = both.reference_values("firmware", "teegate predict tdx --firmware OVMF.fd", None).unwrap();
    ReferenceValues::parse(&text).unwrap();
}

#[test]
fn what_is_measured_of_firmware_changes_the_mrtd_and_what_is_not_does_not() {
    let of = |sections: &[TdxSection], changed: Option<usize>| {
        let mut firmware = tdx(sections);
        if let Some(at) = changed {
            firmware[at] ^= 1;
        }
        value(&mrtd(&firmware, &[PageOrder::PageByPage]).unwrap())
    };
    let [code, variables, hob, memory] = TDX_SECTIONS;
    let good = of(&TDX_SECTIONS, None);
    // The variable store is added and not extended: its content is the host's.
    assert_eq!(of(&TDX_SECTIONS, Some(0x10)), good);
    assert_ne!(of(&TDX_SECTIONS, Some(0x1010)), good);
    // Its metadata lie in what is extended, so each change of them is one of the content as well.
    let (mut moved, mut later) = (hob, memory);
    moved.2 += 0x1000;
    later.2 += 0x1000;
    assert_ne!(of(&[code, variables, moved, memory], None), good);
    assert_ne!(of(&[code, variables, hob, later], None), good);
}

#[test]
fn firmware_without_an_answer_is_refused_with_the_reason() {
    let [code, variables, hob, memory] = TDX_SECTIONS;
    let with = |edit: &dyn Fn(&mut TdxSection)| {
        let mut other = code;
        edit(&mut other);
        tdx(&[other, variables, hob, memory])
    };
    let mut other_version = tdx(&TDX_SECTIONS);
    other_version[0x4000 - 0x800 + 8] = 2;
    for (firmware, says) in [
        (snp(), "no metadata of TDX: no TD can start from it"),
        (with_table(0x4000, &[], &[(TDX_METADATA, 0x5000)]), "would lie 0x5000 before the end"),
        (other_version, "no `TDVF` of version 1"),
        (tdx(&[]), "name 0 sections"),
        (tdx(&[variables]), "no boot firmware volume"),
        (with(&|code| code.1 = 0x4000), "half of an image"),
        (with(&|code| code.0 = u32::MAX), "half of an image"),
        (with(&|code| code.1 = 0x2000), "must end the file"),
        (with(&|code| code.2 -= 0x1000), "must end the file, and memory at 4 GiB"),
        (tdx(&[code, (0, 0x1001, 0xFFFF_C000, 0x1000, 1, 0)]), "has 0x1001 bytes for 0x1000 bytes of memory"),
        (tdx(&[code, (0, 0, 0x1234, 0x1000, 3, 0)]), "not whole pages"),
        (tdx(&[code, (0, 0, u64::MAX - 0xFFF, 0x1000, 3, 0)]), "not whole pages"),
        (tdx(&[code, (0, 0, 0x1000, 0x1000, 3, 4)]), "attributes 0x4"),
        (tdx(&[code, (0, 0, 0x1000, 0x1000, 3, 3)]), "attributes 0x3"),
        (tdx(&[code, (0, 0, 0x1000, 1 << 40, 3, 1)]), "at most 65536 are read"),
    ] {
        let error = mrtd(&firmware, &PageOrder::ALL).unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
    // So much memory that the guest takes itself costs nothing.
    assert!(mrtd(&tdx(&[code, (0, 0, 0x1000, 1 << 40, 4, 2)]), &PageOrder::ALL).is_ok());
}

#[test]
fn recorded_logs_of_tds_give_their_registers_and_others_none() {
    let Some(folder) = found::shared("fixtures/eventlog/ccel", "RTMRs out of recorded logs") else { return };
    let facts: Value = serde_json::from_slice(&std::fs::read(folder.join("facts.json")).unwrap()).unwrap();
    for (name, facts) in facts.as_object().unwrap() {
        let prediction = rtmrs(&std::fs::read(folder.join(name)).unwrap()).unwrap();
        let values: Vec<_> = prediction.values.iter().map(|one| teegate_encoding::hex::encode(&one.value)).collect();
        let recorded: Vec<_> = (0..4).map(|number| facts["rtmr"][number.to_string()].as_str().unwrap()).collect();
        assert_eq!(values, recorded, "{name}");
        assert!(prediction.notes[0].contains("checks nothing"));
    }
    let tpm = std::fs::read(folder.join("tpm-ubuntu2404-snp-gcp.bin")).unwrap();
    let error = rtmrs(&tpm).unwrap_err().to_string();
    assert!(error.contains("the log of a TPM"), "{error}");
    assert!(rtmrs(b"log").unwrap_err().to_string().starts_with("event log: a log whose record 0 needs"));
}

/// The first record describes the log. Without another the registers are zeros, which are those of no boot.
#[test]
fn a_log_that_extends_nothing_has_no_registers() {
    let mrtd = event(0);
    for log in [header(), [header(), mrtd.clone()].concat()] {
        let error = rtmrs(&log).unwrap_err().to_string();
        assert!(error.contains("none of its events extends an RTMR"), "{error}");
    }
    for register in 1..=4 {
        assert_eq!(rtmrs(&[header(), mrtd.clone(), event(register)].concat()).unwrap().values.len(), 4);
    }
}

/// The record with which the log of a TD begins: it has SHA-384 alone.
pub(crate) fn header() -> Vec<u8> {
    let head = [3_u32.to_le_bytes(), 33_u32.to_le_bytes()];
    let form = b"Spec ID Event03\0\0\0\0\0\x00\x02\x00\x02\x01\0\0\0\x0c\0\x30\0\0";
    [&1_u32.to_le_bytes()[..], &head[0], &[0; 20], &head[1], form].concat()
}

/// A record that extends this register, as the log counts: 0 is MRTD, which nothing extends at run time.
fn event(register: u32) -> Vec<u8> {
    [&[register, 4, 1].map(u32::to_le_bytes).concat()[..], &[0x0C, 0], &[7; 48], &0_u32.to_le_bytes()].concat()
}
