//! SEV-SNP, parsing: what the bytes of a report may be (AMD 56860 rev. 1.58, table 23).

use crate::case::{Case, cases, refused};
use crate::subject::{Subject, good, snp};
use teegate_verifier::Tee;

cases! { length version reserved_bytes reserved_bits signature_numbers signature_algorithm signing_key vmpl }

fn bytes(edit: impl FnOnce(&mut Vec<u8>)) -> Subject {
    good(Tee::SevSnp).with_evidence(edit)
}

fn length() -> Vec<Case> {
    let case = |actual: &str, edit: fn(&mut Vec<u8>)| {
        refused("snp.bytes.length", bytes(edit)).expected("1184 bytes").actual(actual)
    };
    vec![
        case("0 bytes", Vec::clear),
        case("2 bytes", |report| report.truncate(2)),
        case("1183 bytes", |report| report.truncate(1183)),
        case("1185 bytes", |report| report.push(0)),
        case("2368 bytes", |report| report.extend(report.clone())),
    ]
}

/// Versions 3 and 4 have no mitigation vectors; version 2 has no CPUID and shows no alias check either.
fn version() -> Vec<Case> {
    let of = |version: u32| snp(|device| device.version(version));
    let mut cases: Vec<_> = [0, 1, 6, 7, 0x0500, u32::MAX]
        .map(|version| refused("snp.bytes.version", of(version)).actual(format!("version {version}")))
        .to_vec();
    cases.extend([3, 4, 5].map(|version| refused("snp.bytes.version", of(1)).twin(of(version))));
    cases.push(refused("snp.bytes.version", of(1)).twin(of(2)).under("platform_info", "\"unchecked\""));
    cases
}

fn reserved_bytes() -> Vec<Case> {
    let mut cases = Vec::new();
    for (offsets, field) in [
        ([0x4C, 0x4F], "bytes 0x4C to 0x4F"),
        ([0x18B, 0x19F], "bytes 0x188 to 0x19F"),
        ([0x1EB, 0x1EB], "byte 0x1EB"),
        ([0x1EF, 0x1EF], "byte 0x1EF"),
        ([0x208, 0x29F], "bytes 0x208 to 0x29F"),
    ] {
        for offset in offsets {
            let subject = snp(|device| device.patch_before_signing(offset, &[0x80]));
            cases.push(refused("snp.bytes.reserved", subject).expected(field).actual("80"));
        }
    }
    for offset in [0x330, 0x49F] {
        let subject = snp(|device| device.patch_after_signing(offset, &[1]));
        cases.push(refused("snp.bytes.reserved", subject).expected("bytes 0x330 to 0x49F"));
    }
    // Before version 5 the mitigation vectors are reserved, before version 3 CPUID is too.
    for version in [3, 4] {
        for offset in [0x1F8, 0x207] {
            let subject = snp(|device| device.version(version).patch_before_signing(offset, &[1]));
            let twin = snp(|device| device.version(version));
            cases.push(refused("snp.bytes.reserved", subject).twin(twin).expected("bytes 0x1F8 to 0x207"));
        }
    }
    for offset in [0x188, 0x18A] {
        let subject = snp(|device| device.version(2).patch_before_signing(offset, &[0x19]));
        let twin = snp(|device| device.version(2));
        let case = refused("snp.bytes.reserved", subject).twin(twin).expected("bytes 0x188 to 0x19F");
        cases.push(case.under("platform_info", "\"unchecked\""));
    }
    cases
}

fn reserved_bits() -> Vec<Case> {
    let policy = |policy: u64| snp(|device| device.policy(policy));
    let mut cases = vec![
        refused("snp.bytes.reserved", policy(0x1_0000)).expected("POLICY bit 17: one"),
        refused("snp.bytes.reserved", policy(0x3_0000 | 1 << 26)).expected("POLICY bits 63:26"),
        refused("snp.bytes.reserved", policy(0x3_0000 | 1 << 63)).expected("POLICY bits 63:26"),
    ];
    cases
        .extend([5, 31].map(|bit| {
            refused("snp.bytes.reserved", snp(|device| device.flags(1 << bit))).expected("FLAGS bits 31:5")
        }));
    // MASK_CHIP_KEY is a known flag and says nothing about CHIP_ID.
    cases[0] = cases[0].clone().twin(snp(|device| device.mask_chip_key()));
    cases
}

/// The order of P-384 (NIST SP 800-186, section 3.2.1.4), little-endian as the report writes numbers.
const ORDER: [u8; 48] = [
    0x73, 0x29, 0xC5, 0xCC, 0x6A, 0x19, 0xEC, 0xEC, 0x7A, 0xA7, 0xB0, 0x48, 0xB2, 0x0D, 0x1A, 0x58, 0xDF, 0x2D, 0x37,
    0xF4, 0x81, 0x4D, 0x63, 0xC7, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
];

fn signature_numbers() -> Vec<Case> {
    let mut cases = Vec::new();
    for (offset, name) in [(0x2A0, "R"), (0x2E8, "S")] {
        for number in [[0; 48], ORDER, [0xFF; 48]] {
            let subject = snp(|device| device.patch_after_signing(offset, &number));
            cases.push(refused("snp.bytes.reserved", subject).expected(format!("{name}: between 0 and the order")));
        }
        for above in [48, 71] {
            let subject = snp(|device| device.patch_after_signing(offset + above, &[1]));
            cases.push(refused("snp.bytes.reserved", subject).expected(format!("{name} above 48 bytes")));
        }
    }
    cases
}

fn signature_algorithm() -> Vec<Case> {
    [0, 2, u32::MAX]
        .map(|algorithm| {
            refused("snp.bytes.signature-algorithm", snp(|device| device.signature_algo(algorithm)))
                .actual(algorithm.to_string())
        })
        .to_vec()
}

/// 7 is a report that nobody signed, 2 to 6 are reserved.
fn signing_key() -> Vec<Case> {
    (2..=7)
        .map(|key| {
            let actual = if key == 7 { "7 (not signed)".to_owned() } else { format!("{key} (reserved)") };
            refused("snp.bytes.signing-key", snp(|device| device.signing_key(key))).actual(actual)
        })
        .collect()
}

/// 0xFFFFFFFF is a report that the host asked for.
fn vmpl() -> Vec<Case> {
    let at = |vmpl: u32| snp(|device| device.vmpl(vmpl)).claiming_nothing();
    let mut cases = vec![
        refused("snp.bytes.vmpl", at(u32::MAX)).twin(at(0)).actual("0xFFFFFFFF (asked for by the host)"),
        refused("snp.bytes.vmpl", at(4)).twin(at(0)).actual("4"),
    ];
    cases.extend([1, 2, 3].map(|level| refused("snp.bytes.vmpl", at(4)).twin(at(level))));
    cases.into_iter().map(|case| case.under("vmpl", "\"unchecked\"")).collect()
}
