//! SEV-SNP, appraisal: every rule of a profile, one defect at a time.

use teegate_forge::snp::{Product, SnpBuilder, Tcb};
use teegate_verifier::Tee;

use crate::case::{Case, cases, refused};
use crate::subject::{Subject, good, snp};

cases! {
    product_denied tcb_minimum turin_tcb_minimum tcb_order firmware_minimum mitigations platform_info platform_agrees
    debug migration policy_flags reference_values id_keys report_data platform_allowed
}

const GENOA: Tcb = Tcb { fmc: 0, bootloader: 10, tee: 1, snp: 0x1B, microcode: 0x54 };

fn genoa() -> Subject {
    good(Tee::SevSnp)
}

fn product_denied() -> Vec<Case> {
    let milan = snp(|device| device.product(Product::Milan));
    vec![
        refused("snp.product.denied", genoa())
            .twin(milan.clone())
            .under("denied_products", "{ genoa = \"its keys were extracted\" }")
            .actual("Genoa, denied: its keys were extracted"),
        refused("snp.product.denied", genoa())
            .twin(milan)
            .under("products", "[\"milan\", \"turin\"]")
            .actual("Genoa, which the policy does not name"),
        // Zen 4c is certified as Genoa, and denied as Genoa.
        refused("snp.product.denied", snp(|device| device.product(Product::Siena)))
            .under("denied_products", "{ genoa = \"its keys were extracted\" }")
            .twin(snp(|device| device.product(Product::Siena))),
    ]
}

/// Each component of each of the four versions, one below the floor.
fn tcb_minimum() -> Vec<Case> {
    let lower = [
        Tcb { bootloader: 9, ..GENOA },
        Tcb { tee: 0, ..GENOA },
        Tcb { snp: 26, ..GENOA },
        Tcb { microcode: 83, ..GENOA },
    ];
    let floor = "{ genoa = { bootloader = 10, tee = 1, snp = 27, microcode = 84 } }";
    let device = |edit: &dyn Fn(SnpBuilder) -> SnpBuilder| snp(|device| edit(device.tcb(GENOA)));
    let case = |subject, name: &str| {
        refused("snp.tcb.minimum", subject)
            .twin(device(&|device| device))
            .under("minimum_tcb", floor)
            .under("committed_firmware", "\"unchecked\"")
            .expected("at least bootloader 10 tee 1 snp 27 microcode 84")
            .actual(name)
    };
    let mut cases = Vec::new();
    for tcb in lower {
        cases.push(case(device(&|device| device.reported_tcb(tcb)), "reported"));
        cases.push(case(device(&|device| device.committed_tcb(tcb)), "committed"));
        cases.push(case(device(&|device| device.launch_tcb(tcb)), "launch"));
        // What runs is then also below what is reported and committed.
        cases.push(case(device(&|device| device.current_tcb(tcb)), "current").and("snp.tcb.order"));
    }
    // A product without a floor is refused where floors are asked for.
    cases.push(
        refused("snp.tcb.minimum", snp(|device| device.product(Product::Milan)))
            .under("minimum_tcb", "{ genoa = { bootloader = 10, tee = 0, snp = 27, microcode = 84 } }")
            .expected("a minimum for Milan"),
    );
    cases
}

fn turin_tcb_minimum() -> Vec<Case> {
    let turin = Tcb { fmc: 1, bootloader: 1, tee: 1, snp: 4, microcode: 0x51 };
    [
        Tcb { fmc: 0, ..turin },
        Tcb { bootloader: 0, ..turin },
        Tcb { tee: 0, ..turin },
        Tcb { snp: 3, ..turin },
        Tcb { microcode: 80, ..turin },
    ]
    .map(|tcb| {
        refused("snp.tcb.minimum", snp(|device| device.product(Product::Turin).tcb(tcb)))
            .twin(snp(|device| device.product(Product::Turin)))
            .expected("at least fmc 1 bootloader 1")
    })
    .to_vec()
}

/// Below what runs, nothing may exceed it; provisional firmware is the policy's decision.
fn tcb_order() -> Vec<Case> {
    let case =
        |subject, actual: &str| refused("snp.tcb.order", subject).under("minimum_tcb", "\"unchecked\"").actual(actual);
    let with = |edit: fn(SnpBuilder) -> SnpBuilder| snp(|device| edit(device.tcb(GENOA)));
    let newer = Tcb { microcode: 0x55, ..GENOA };
    let older = Tcb { microcode: 0x53, ..GENOA };
    let running_newer = move || snp(|device| device.tcb(GENOA).current_tcb(newer).reported_tcb(newer));
    let uncommitted = move || snp(|device| device.tcb(GENOA).current_tcb(newer));
    let waived = |subject: Subject| subject.under("committed_firmware", "\"unchecked\"");
    let version = |current, committed| {
        snp(|device| device.tcb(GENOA).current_firmware(1, 55, current).committed_firmware(1, 55, committed))
    };
    vec![
        case(snp(|device| device.tcb(GENOA).reported_tcb(newer)), "reported exceeds current"),
        case(snp(|device| device.tcb(GENOA).committed_tcb(newer)), "committed exceeds current"),
        case(waived(snp(|device| device.tcb(GENOA).reported_tcb(newer))), "reported exceeds current"),
        case(waived(snp(|device| device.tcb(GENOA).committed_tcb(newer))), "committed exceeds current"),
        case(running_newer(), "reported exceeds committed").twin(waived(running_newer())),
        case(uncommitted(), "current is not committed").twin(waived(uncommitted())),
        // To report less than what runs is the operator's right.
        case(uncommitted(), "current is not committed").twin(snp(|device| device.tcb(GENOA).reported_tcb(older))),
        case(uncommitted(), "current is not committed").twin(with(|device| device)),
        // Firmware can be new and uncommitted without a change of any TCB component.
        case(version(49, 48), "current firmware 1.55.49 is not committed, 1.55.48 is").twin(version(49, 49)),
        case(version(49, 48), "current firmware 1.55.49 is not committed").twin(waived(version(49, 48))),
        case(version(48, 49), "committed firmware 1.55.49 exceeds current 1.55.48").twin(version(49, 49)),
        case(waived(version(48, 49)), "committed firmware 1.55.49 exceeds current").twin(waived(version(49, 48))),
    ]
}

fn firmware_minimum() -> Vec<Case> {
    let case = |subject, actual: &str| {
        refused("snp.firmware.minimum", subject).under("minimum_firmware", "\"1.55.49\"").actual(actual)
    };
    let both = |major, minor, build| {
        snp(|device| device.current_firmware(major, minor, build).committed_firmware(major, minor, build))
    };
    let uncommitted = |edit: fn(SnpBuilder) -> SnpBuilder| snp(edit).under("committed_firmware", "\"unchecked\"");
    vec![
        case(both(1, 55, 48), "current 1.55.48, committed 1.55.48"),
        case(uncommitted(|device| device.committed_firmware(1, 55, 48)), "current 1.55.49, committed 1.55.48")
            .twin(uncommitted(|device| device.current_firmware(1, 55, 50))),
        case(both(1, 54, 200), "current 1.54.200"),
        case(both(0, 99, 99), "current 0.99.99"),
        case(both(1, 55, 48), "current").twin(both(2, 0, 0)),
    ]
}

fn mitigations() -> Vec<Case> {
    let vectors = |launch, current| snp(|device| device.mitigation_vectors(launch, current));
    let case = |subject, actual: &str| {
        refused("snp.mitigations", subject).twin(vectors(0x7, 0x3)).under("mitigations", "\"0x3\"").actual(actual)
    };
    vec![
        case(vectors(1, 3), "launch 0x1, current 0x3"),
        case(vectors(3, 2), "launch 0x3, current 0x2"),
        case(vectors(0, 0), "launch 0x0, current 0x0"),
        case(snp(|device| device.version(3)), "a report of version 3 has no mitigation vectors"),
    ]
}

fn platform_info() -> Vec<Case> {
    let info = |info: u64| snp(|device| device.platform_info(info));
    let case = |subject, actual: &str| refused("snp.platform.info", subject).actual(actual);
    let rule = |required: &str, forbidden: &str, unknown: &str| {
        format!("{{ required = [{required}], forbidden = [{forbidden}], unknown = \"{unknown}\" }}")
    };
    let names = [
        ("smt", 0),
        ("tsme", 1),
        ("ecc", 2),
        ("rapl-disabled", 3),
        ("ciphertext-hiding", 4),
        ("alias-check-complete", 5),
        ("iommu-write-safe", 6),
        ("tio", 7),
    ];
    let mut cases = vec![
        // BadRAM (CVE-2024-21944): without the alias check the memory may lie.
        case(info(0x05), "alias-check-complete is 0"),
        case(info(0x125), "unknown bits 0x100"),
        case(info(0x25 | 1 << 63), "unknown bits 0x8000000000000000"),
        case(info(0x05), "alias-check-complete is 0")
            .twin(info(0x125).under("platform_info", &rule("\"alias-check-complete\"", "", "allowed"))),
    ];
    for (name, bit) in names {
        let (set, clear) = (info(1 << bit | 1), info(0xFF & !(1 << bit)));
        // The launch policy of the forged guest allows SMT, so bit 0 may have either value.
        let required = rule(&format!("\"{name}\""), "", "rejected");
        let forbidden = rule("", &format!("\"{name}\""), "rejected");
        cases.push(case(clear.clone(), &format!("{name} is 0")).twin(set.clone()).under("platform_info", &required));
        cases.push(case(set, &format!("{name} is 1")).twin(clear).under("platform_info", &forbidden));
    }
    cases
}

fn platform_agrees() -> Vec<Case> {
    let guest = |policy: u64, info: u64| snp(|device| device.policy(policy).platform_info(info));
    let case = |subject, actual: &str| refused("snp.platform.agrees", subject).actual(actual);
    vec![
        case(guest(0x2_0000, 0x25), "SMT is on").twin(guest(0x2_0000, 0x24)),
        case(guest(0x3_0000 | 1 << 23, 0x25), "RAPL is on").twin(guest(0x3_0000 | 1 << 23, 0x2D)),
        case(guest(0x3_0000 | 1 << 24, 0x25), "ciphertext hiding is off").twin(guest(0x3_0000 | 1 << 24, 0x35)),
    ]
}

fn debug() -> Vec<Case> {
    let debug = || snp(|device| device.debug());
    vec![
        refused("snp.policy.debug", debug()).expected("DEBUG 0").actual("DEBUG 1"),
        refused("snp.policy.debug", debug()).twin(debug().claiming_nothing().under("debug", "\"allowed\"")),
    ]
}

fn migration() -> Vec<Case> {
    let migrates = || snp(|device| device.migration_agent());
    vec![
        refused("snp.policy.migration", migrates()).expected("MIGRATE_MA 0").actual("MIGRATE_MA 1"),
        refused("snp.policy.migration", migrates()).twin(migrates().under("migration_agent", "\"allowed\"")),
    ]
}

fn policy_flags() -> Vec<Case> {
    let policy = |policy: u64| snp(|device| device.policy(policy).platform_info(0x3C));
    let case = |subject, actual: &str| refused("snp.policy.flags", subject).actual(actual);
    let mut cases = vec![
        case(policy(0x3_0000 | 1 << 21), "cxl is 1"),
        case(policy(0x3_0136), "ABI 1.54").twin(policy(0x3_0137)).under("minimum_abi", "\"1.55\"").expected("1.55"),
        case(policy(0x3_00FF), "ABI 0.255").twin(policy(0x3_0200)).under("minimum_abi", "\"1.55\""),
        // The floor counts even where the flags are waived.
        case(policy(0x3_0000), "ABI 0.0")
            .twin(policy(0x3_0137))
            .under("policy_flags", "\"unchecked\"")
            .under("minimum_abi", "\"1.55\""),
    ];
    for (name, bit) in [
        ("smt", 16),
        ("single-socket", 20),
        ("cxl", 21),
        ("aes-256-xts", 22),
        ("rapl-disabled", 23),
        ("ciphertext-hiding", 24),
        ("page-swap-disabled", 25),
    ] {
        let (set, clear) = (policy(0x2_0000 | 1 << bit), policy(0x2_0000));
        let required = format!("{{ required = [\"{name}\"], forbidden = [], unknown = \"rejected\" }}");
        let forbidden = format!("{{ required = [], forbidden = [\"{name}\"], unknown = \"rejected\" }}");
        cases.push(case(clear.clone(), &format!("{name} is 0")).twin(set.clone()).under("policy_flags", &required));
        cases.push(case(set, &format!("{name} is 1")).twin(clear).under("policy_flags", &forbidden));
    }
    cases
}

fn reference_values() -> Vec<Case> {
    let case = |check: &str, edit: fn(SnpBuilder) -> SnpBuilder, expected: &str, actual: &str| {
        refused(check, snp(edit)).expected(expected).actual(actual)
    };
    let other = |byte: &str, length: usize| byte.repeat(length);
    let vmpl = |vmpl| snp(move |device| device.vmpl(vmpl));
    vec![
        case("snp.guest.measurement", |d| d.measurement([0x4E; 48]), &other("4d", 48), &other("4e", 48)),
        case(
            "snp.guest.measurement",
            |d| {
                let mut measurement = [0x4D; 48];
                measurement[47] ^= 1;
                d.measurement(measurement)
            },
            &other("4d", 48),
            "4d4c",
        ),
        // The right HOST_DATA with another MEASUREMENT: what the host says counts only with the code that reads it.
        case(
            "snp.guest.measurement",
            |d| d.measurement([0; 48]).host_data([0; 32]),
            &other("4d", 48),
            &other("00", 48),
        ),
        case("snp.guest.host-data", |d| d.host_data([1; 32]), &other("00", 32), &other("01", 32)),
        case("snp.guest.guest-svn", |d| d.guest_svn(6), "at least 7", "6")
            .twin(snp(|d| d.guest_svn(8)))
            .under("guest_svn", "{ at_least = 7 }"),
        case("snp.guest.guest-svn", |d| d.guest_svn(1), "0", "1"),
        case("snp.guest.family-id", |d| d.family_id([2; 16]), &other("00", 16), &other("02", 16)),
        case("snp.guest.image-id", |d| d.image_id([3; 16]), &other("00", 16), &other("03", 16)),
        case("snp.guest.report-id-ma", |d| d.report_id_ma([4; 32]), &other("ff", 32), &other("04", 32)),
        case("snp.guest.vmpl", |d| d.vmpl(2), "1", "2").twin(vmpl(1)).under("vmpl", "1"),
        refused("snp.guest.vmpl", vmpl(2).claiming_nothing())
            .twin(vmpl(1).claiming_nothing())
            .under("vmpl", "[0, 1]")
            .expected("one of 0, 1")
            .actual("2"),
        // One of several reference values is enough.
        case("snp.guest.measurement", |d| d.measurement([0x4C; 48]), "one of", &other("4c", 48))
            .twin(snp(|d| d.measurement([0x4E; 48])))
            .under("measurement", &format!("[\"{}\", \"{}\"]", other("4d", 48), other("4e", 48))),
    ]
}

/// Zero if and only if no author key is in use, whatever the policy expects.
fn id_keys() -> Vec<Case> {
    let authored = || snp(|d| d.author_key([5; 48]));
    let expecting = format!("\"{}\"", "05".repeat(48));
    vec![
        refused("snp.guest.id-key", snp(|d| d.id_key_digest([6; 48]))).actual("06".repeat(48)),
        refused("snp.guest.author-key", authored()).actual("AUTHOR_KEY_EN 1"),
        refused("snp.guest.author-key", genoa()).twin(authored()).under("author_key", &expecting),
        refused("snp.guest.author-key", snp(|d| d.flags(1)))
            .under("author_key", "\"unchecked\"")
            .actual("AUTHOR_KEY_EN 1"),
        refused("snp.guest.author-key", snp(|d| d.edit_report(|report| report.author_key_digest = [5; 48])))
            .twin(authored())
            .under("author_key", "\"unchecked\"")
            .actual("AUTHOR_KEY_EN 0"),
    ]
}

fn report_data() -> Vec<Case> {
    let case = |subject, expected: &str| refused("snp.guest.report-data", subject).expected(expected);
    let saying = |byte: u8| snp(|d| d.report_data([byte; 64]));
    let caller = |subject: Subject| subject.under("report_data", "\"caller\"");
    let last = snp(|d| {
        let mut report_data = [0; 64];
        report_data[63] = 1;
        d.report_data(report_data)
    });
    vec![
        case(saying(7), &"00".repeat(64)).actual("07".repeat(64)),
        case(last, &"00".repeat(64)),
        // Without the caller's 64 bytes a policy that leaves them to the caller accepts nothing, not even zero.
        case(caller(genoa()), "none were named").twin(caller(genoa()).asking([0; 64])),
        case(caller(saying(7)).asking([8; 64]), &"08".repeat(64)).twin(caller(saying(8)).asking([8; 64])),
        // A caller who asks is never overruled by a policy that does not.
        case(saying(7).under("report_data", "\"unchecked\"").asking([8; 64]), &"08".repeat(64))
            .twin(saying(8).under("report_data", "\"unchecked\"").asking([8; 64])),
        case(saying(7).asking([7; 64]), "by the caller").twin(genoa().asking([0; 64])),
        case(genoa().asking([7; 64]), "by the caller"),
    ]
}

fn platform_allowed() -> Vec<Case> {
    let chip = hex::encode(std::array::from_fn::<u8, 64, _>(|index| 0xC1 ^ index as u8));
    let other = || snp(|d| d.chip_id([9; 64]));
    let turin = || snp(|d| d.product(Product::Turin));
    vec![
        refused("snp.platform.allowed", other()).under("chip_ids", &format!("[\"{chip}\"]")).actual("09".repeat(64)),
        refused("snp.platform.allowed", other()).twin(turin()).under("chip_ids", &format!("[\"{}\"]", &chip[..16])),
        // A masked chip id is on no list.
        refused("snp.platform.allowed", snp(|d| d.masked_chip_id()).under("masked_chip_id", "\"allowed\""))
            .under("chip_ids", &format!("[\"{chip}\"]")),
    ]
}
