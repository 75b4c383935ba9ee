//! SEV-SNP, authentication: what the leaf says of product, TCB and chip, and the signature over the report.

use std::sync::LazyLock;

use teegate_forge as forge;
use teegate_forge::keys::Key;
use teegate_forge::snp::{Product, SnpBuilder, Tcb, oid};
use teegate_verifier::Tee;

use crate::case::{Case, cases, refused};
use crate::subject::{Subject, good, snp};

cases! { product_known product_chain tcb_layout leaf_key leaf_tcb leaf_tcb_encoding turin_leaf_tcb chip_id masked_chip_id signature }

fn turin(device: SnpBuilder) -> SnpBuilder {
    device.product(Product::Turin)
}

fn product_known() -> Vec<Case> {
    let cpuid = |family, model| snp(|device| device.cpuid(family, model, 1));
    let unknown = [(0x17, 0x31), (0x19, 0x20), (0x19, 0x9F), (0x19, 0xB0), (0x1A, 0x12), (0x1B, 0x01), (0, 0)];
    let mut cases: Vec<_> = unknown
        .map(|(family, model)| {
            let actual = format!("unknown (family {family:02X}h, model {model:02X}h)");
            refused("snp.product.known", cpuid(family, model)).actual(actual)
        })
        .to_vec();
    for (family, model) in [(0x19, 0x10), (0x19, 0x1F), (0x19, 0xA0), (0x19, 0xAF)] {
        cases.push(refused("snp.product.known", cpuid(0x19, 0x20)).twin(cpuid(family, model)));
    }
    for product in [Product::Milan, Product::Siena, Product::Turin] {
        let twin = snp(|device| device.product(product));
        cases.push(refused("snp.product.known", cpuid(0x19, 0x20)).twin(twin));
    }
    cases
}

fn product_chain() -> Vec<Case> {
    let case = |subject, actual: &str| refused("snp.product.chain", subject).actual(actual);
    // Version 2 names no product: the authenticated chain does, and a Milan is then a Milan.
    let second = |device: SnpBuilder| device.product(Product::Milan).version(2);
    vec![
        case(snp(|device| device.cpuid(0x19, 0x01, 1)), "report Milan, chain Genoa, leaf Genoa"),
        case(
            snp(|device| device.product(Product::Milan).cpuid(0x19, 0x11, 1)),
            "report Genoa, chain Milan, leaf Milan-B0",
        ),
        case(snp(|device| device.product_name("Milan")), "leaf Milan"),
        case(snp(|device| device.product_name("Milan-B0")), "leaf Milan-B0"),
        case(snp(|device| device.product_name("GenoaX")), "leaf GenoaX"),
        case(snp(|device| device.drop_vek_extension(oid::PRODUCT_NAME)), "leaf (none)"),
        case(snp(|device| device.product_name("Milan")), "leaf Milan")
            .twin(snp(|device| device.product_name("Genoa-B1"))),
        case(snp(|device| second(device).product_name("Genoa")), "report (none), chain Milan, leaf Genoa")
            .twin(snp(second))
            .under("platform_info", "\"unchecked\""),
    ]
}

fn tcb_layout() -> Vec<Case> {
    type Field = fn(&mut forge::snp::Report) -> &mut [u8; 8];
    let fields: [(&str, Field); 4] = [
        ("reported", |report| &mut report.reported_tcb),
        ("current", |report| &mut report.current_tcb),
        ("committed", |report| &mut report.committed_tcb),
        ("launch", |report| &mut report.launch_tcb),
    ];
    let mut cases = Vec::new();
    for (name, field) in fields {
        for index in 2..6 {
            let subject = snp(|device| device.edit_report(move |report| field(report)[index] = 1));
            cases.push(refused("snp.tcb.layout", subject).expected("Genoa").actual(format!("{name} TCB")));
        }
        for index in 4..7 {
            let subject = snp(|device| turin(device).edit_report(move |report| field(report)[index] = 1));
            let case = refused("snp.tcb.layout", subject).twin(snp(turin));
            cases.push(case.expected("Turin").actual(format!("{name} TCB")));
        }
    }
    cases
}

fn leaf_key() -> Vec<Case> {
    vec![
        refused("snp.leaf.key", snp(|device| device.vek_key(Key::p256())))
            .expected("a P-384 key")
            .actual("a P-256 key")
            .twin(snp(|device| device.vek_key(Key::p384()))),
    ]
}

const GENOA: Tcb = Tcb { fmc: 0, bootloader: 10, tee: 0, snp: 0x1B, microcode: 0x54 };

/// A key of old firmware cannot vouch for a raised TCB, nor a new one for an old.
fn leaf_tcb() -> Vec<Case> {
    let issued = |tcb: Tcb| {
        let subject = snp(|device| device.vek_tcb(tcb));
        let actual =
            format!("bootloader {} tee {} snp {} microcode {}", tcb.bootloader, tcb.tee, tcb.snp, tcb.microcode);
        refused("snp.leaf.tcb", subject).expected("bootloader 10 tee 0 snp 27 microcode 84").actual(actual)
    };
    vec![
        issued(Tcb { bootloader: 9, ..GENOA }),
        issued(Tcb { bootloader: 11, ..GENOA }),
        issued(Tcb { tee: 1, ..GENOA }),
        issued(Tcb { snp: 26, ..GENOA }),
        issued(Tcb { microcode: 83, ..GENOA }),
        issued(Tcb { microcode: 255, ..GENOA }),
        // The other way round: REPORTED_TCB alone is raised, in step with nothing.
        refused("snp.leaf.tcb", snp(|device| device.edit_report(|report| report.reported_tcb[7] = 0x55)))
            .expected("microcode 85"),
    ]
}

fn leaf_tcb_encoding() -> Vec<Case> {
    let case = |subject, actual: &str| refused("snp.leaf.tcb", subject).actual(actual);
    let mut cases = vec![
        case(snp(|device| device.vek_spl(oid::STRUCT_VERSION, 1)), "structVersion is 1"),
        case(snp(|device| device.drop_vek_extension(oid::STRUCT_VERSION)), "structVersion is absent"),
        case(snp(|device| device.vek_spl(oid::FMC_SPL, 0)), "fmcSPL is present"),
        case(snp(|device| device.vek_spl(oid::UCODE_SPL, 0x154)), "ucodeSPL is not a number of 0 to 255"),
    ];
    for (oid, name) in [
        (oid::BL_SPL, "blSPL"),
        (oid::TEE_SPL, "teeSPL"),
        (oid::SNP_SPL, "snpSPL"),
        (oid::UCODE_SPL, "ucodeSPL"),
        (oid::SPL_4, "spl4"),
        (oid::SPL_5, "spl5"),
        (oid::SPL_6, "spl6"),
        (oid::SPL_7, "spl7"),
    ] {
        cases.push(case(snp(|device| device.drop_vek_extension(oid)), &format!("{name} is absent")));
    }
    for (oid, name) in [(oid::SPL_4, "spl4"), (oid::SPL_5, "spl5"), (oid::SPL_6, "spl6"), (oid::SPL_7, "spl7")] {
        cases.push(case(snp(|device| device.vek_spl(oid, 1)), &format!("the reserved {name} is 1")));
    }
    // The right number in another encoding: not minimal, with a byte behind it, negative, an octet string.
    for value in [&[2, 2, 0, 10][..], &[2, 1, 10, 0], &[2, 1, 0x8A], &[4, 1, 10], &[10], &[]] {
        let subject = snp(|device| device.vek_extension(oid::BL_SPL, value.to_vec()));
        cases.push(case(subject, "blSPL is not a number of 0 to 255"));
    }
    cases
}

fn turin_leaf_tcb() -> Vec<Case> {
    let case = |edit: fn(SnpBuilder) -> SnpBuilder, actual: &str| {
        refused("snp.leaf.tcb", snp(|device| edit(turin(device)))).actual(actual).twin(snp(turin))
    };
    vec![
        case(|device| device.drop_vek_extension(oid::FMC_SPL), "fmcSPL is absent"),
        case(|device| device.vek_spl(oid::FMC_SPL, 0), "fmc 0"),
        case(|device| device.vek_spl(oid::SPL_4, 0), "spl4 is present"),
        case(|device| device.vek_spl(oid::STRUCT_VERSION, 0), "structVersion is 0"),
        case(|device| device.vek_spl(oid::SPL_5, 1), "the reserved spl5 is 1"),
    ]
}

fn chip_id() -> Vec<Case> {
    let case = |subject, twin| refused("snp.leaf.chip-id", subject).expected("HWID").actual("HWID").twin(twin);
    let genoa = || good(Tee::SevSnp);
    let chip: [u8; 64] = std::array::from_fn(|index| 0xC1 ^ index as u8);
    let mut turin_chip = [0; 64];
    turin_chip[..8].copy_from_slice(&chip[..8]);
    vec![
        // One bit, at either end and in the middle.
        case(snp(|device| device.edit_report(|report| report.chip_id[0] ^= 1)), genoa()),
        case(snp(|device| device.edit_report(|report| report.chip_id[31] ^= 0x10)), genoa()),
        case(snp(|device| device.edit_report(|report| report.chip_id[63] ^= 0x80)), genoa()),
        // HWIDs of 8 and 64 bytes swapped, and other lengths.
        case(snp(|device| device.hwid(&chip[..8])), genoa()),
        case(snp(|device| device.hwid(&chip[..63])), genoa()),
        case(snp(|device| device.hwid(&[&chip[..], &[0]].concat())), genoa()),
        case(snp(|device| device.hwid(&[])), genoa()),
        case(snp(|device| turin(device).hwid(&turin_chip)), snp(turin)),
        case(snp(|device| turin(device).hwid(&turin_chip[..7])), snp(turin)),
        case(snp(|device| turin(device).edit_report(|report| report.chip_id[8] = 1)), snp(turin)),
        // HWID is raw bytes; as an OCTET STRING it is another value.
        case(snp(|device| device.hwid_in_octet_string()), genoa()),
    ]
}

/// Masking is the policy's decision; it never excuses a chip id that is shown and differs.
fn masked_chip_id() -> Vec<Case> {
    let masked = || snp(|device| device.masked_chip_id());
    let allowed = masked().under("masked_chip_id", "\"allowed\"");
    let another = snp(|device| device.edit_report(|report| report.chip_id[3] ^= 1));
    vec![
        refused("snp.leaf.chip-id", masked()).expected("a CHIP_ID that is not masked"),
        refused("snp.leaf.chip-id", masked()).twin(allowed.clone()).twin_shows("not-checked"),
        refused("snp.leaf.chip-id", another.under("masked_chip_id", "\"allowed\"")),
        refused("snp.leaf.chip-id", masked())
            .twin(snp(|device| device.vlek("forged-cloud")))
            .twin_shows("not-applicable"),
    ]
}

/// Another device with the same names, chip id and TCB, and another key.
static NAMESAKE: LazyLock<Subject> = LazyLock::new(|| crate::subject::snp_set(forge::snp().build()));

fn signature() -> Vec<Case> {
    let case = |subject| refused("snp.signature", subject).actual("no valid signature");
    let mixed = |tee| {
        let mut subject = good(tee);
        subject.pool.certificates[0] = NAMESAKE.pool.certificates[0].clone();
        subject
    };
    vec![
        case(mixed(Tee::SevSnp)).twin(NAMESAKE.clone()),
        case(snp(|device| device.patch_after_signing(0x90, &[0x4E]))),
        case(snp(|device| device.patch_after_signing(0x2A0, &[1]))),
        case(snp(|device| device.patch_after_signing(0x2E8, &[1, 2, 3]))),
    ]
}
