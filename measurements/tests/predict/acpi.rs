//! Files of ACPI tables: small ones that hang together, and such as no firmware could take.

use teegate_measurements::predict::{AcpiBlobs, AcpiOrigin, TdBoot, TdGuest};

/// Two tables, each of 36 bytes and two more, and zeros behind.
pub(crate) const TABLES: [u8; 128] = tables();
pub(crate) const RSDP: [u8; 20] = *b"RSD PTR \0TEEGAT\0\0\0\0\0";
/// Load both, set the pointer of the RSDP, and two checksums; filled up.
pub(crate) const LOADER: [u8; 768] = loader();

const fn tables() -> [u8; 128] {
    let mut bytes = [0; 128];
    let (mut at, mut table) = (0, 0);
    while table < 2 {
        let name = [*b"DSDT", *b"RSDT"][table];
        let mut index = 0;
        while index < 4 {
            bytes[at + index] = name[index];
            index += 1;
        }
        bytes[at + 4] = 38;
        (at, table) = (at + 38, table + 1);
    }
    bytes
}

const fn loader() -> [u8; 768] {
    let mut bytes = [0; 768];
    name(&mut bytes, 0, 4, b"etc/acpi/rsdp");
    name(&mut bytes, 1, 4, b"etc/acpi/tables");
    name(&mut bytes, 2, 4, b"etc/acpi/rsdp");
    name(&mut bytes, 2, 60, b"etc/acpi/tables");
    name(&mut bytes, 3, 4, b"etc/acpi/tables");
    name(&mut bytes, 4, 4, b"etc/acpi/rsdp");
    (bytes[0], bytes[128], bytes[256], bytes[384], bytes[512]) = (1, 1, 2, 3, 3);
    // Four bytes at 16; the checksum at 9 of the first table's 38 bytes; that at 8 of the RSDP's 20.
    (bytes[256 + 116], bytes[256 + 120]) = (16, 4);
    (bytes[384 + 60], bytes[384 + 64], bytes[384 + 68]) = (9, 0, 38);
    (bytes[512 + 60], bytes[512 + 64], bytes[512 + 68]) = (8, 0, 20);
    bytes
}

const fn name(bytes: &mut [u8; 768], command: usize, at: usize, name: &[u8]) {
    let mut index = 0;
    while index < name.len() {
        bytes[command * 128 + at + index] = name[index];
        index += 1;
    }
}

pub(crate) const fn blobs<'a>(tables: &'a [u8], rsdp: &'a [u8], loader: &'a [u8]) -> AcpiBlobs<'a> {
    AcpiBlobs { tables, rsdp, loader, origin: AcpiOrigin::Files }
}

#[test]
fn files_that_hang_together_are_measured_in_the_order_of_their_commands() {
    let of = |loader: &[u8]| {
        let guest = TdGuest { acpi: Some(blobs(&TABLES, &RSDP, loader)), ..TdGuest::default() };
        let events = TdBoot::of(&guest, &[]).unwrap().events;
        let own = events.into_iter().filter(|event| event.what == "ACPI DATA");
        own.map(|event| (event.of, event.digest.unwrap())).collect::<Vec<_>>()
    };
    let good = of(&LOADER);
    let names: Vec<_> = good.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["etc/table-loader", "etc/acpi/rsdp", "etc/acpi/tables: DSDT RSDT"]);
    // SHA-384, by another implementation, of the RSDP.
    assert_eq!(teegate_encoding::hex::encode(&good[1].1), RSDP_SHA384);
    let mut turned = LOADER;
    turned.copy_within(128..256, 640);
    turned.copy_within(0..128, 128);
    turned.copy_within(640..768, 0);
    turned[640..].fill(0);
    let other = of(&turned);
    assert_eq!((&other[1], &other[2]), (&good[2], &good[1]));
}

const RSDP_SHA384: &str =
    "b203ffa0298cc79feb0f7da13c8ad02d8ea5bb460889f8cb8efae403145456020093a0b0af5021bc2a0fb9fcfb5862ac";

#[test]
fn files_that_no_firmware_could_take_are_refused_with_the_reason() {
    let refused = |tables: &[u8], rsdp: &[u8], loader: &[u8]| {
        let guest = TdGuest { acpi: Some(blobs(tables, rsdp, loader)), ..TdGuest::default() };
        TdBoot::of(&guest, &[]).unwrap_err().to_string()
    };
    let edited = |at: usize, byte: u8| {
        let mut loader = LOADER;
        loader[at] = byte;
        refused(&TABLES, &RSDP, &loader)
    };
    let mut short = TABLES;
    short[4] = 35;
    let mut long = TABLES;
    long[38 + 4] = 200;
    let mut twice = LOADER;
    twice.copy_within(0..128, 640);
    for (error, says) in [
        (refused(&RSDP, &TABLES, &LOADER), "etc/acpi/tables: this is `etc/acpi/rsdp`: the files are swapped"),
        (refused(&LOADER, &RSDP, &TABLES), "etc/acpi/tables: this is `etc/table-loader`"),
        (refused(&TABLES, &LOADER, &RSDP), "etc/acpi/rsdp: this is `etc/table-loader`"),
        (refused(&TABLES, &RSDP, &RSDP), "etc/table-loader: this is `etc/acpi/rsdp`"),
        (refused(b"", &RSDP, &LOADER), "it holds no table"),
        (refused(&[0; 64], &RSDP, &LOADER), "it holds no table"),
        (refused(b"DSDT", &RSDP, &LOADER), "the length of a table needs 4 bytes"),
        (refused(&short, &RSDP, &LOADER), "at 0x0 stands no table"),
        (refused(&long, &RSDP, &LOADER), "a table needs 200 bytes at offset 0x26"),
        (refused(&TABLES[3..], &RSDP, &LOADER), "at 0x0 stands no table"),
        (refused(&TABLES, b"RSD PTR", &LOADER), "the signature needs 8 bytes"),
        (refused(&TABLES, &RSDP[..19], &LOADER), "19 bytes, where one of revision 0 has 20"),
        (refused(&TABLES, b"XSD PTR \0TEEGAT\0\0\0\0\0", &LOADER), "does not begin with `RSD PTR `"),
        (refused(&TABLES, &RSDP, &LOADER[..700]), "700 bytes, where commands have 128 each"),
        (refused(&TABLES, &RSDP, b""), "0 bytes, where commands"),
        (refused(&TABLES, &RSDP, &LOADER[..128]), "it tells to load 1 files"),
        (refused(&TABLES, &RSDP, &twice), "command 6 loads `etc/acpi/rsdp` again"),
        (edited(256, 4), "command 3 is of kind 4"),
        (edited(4, b'x'), "command 1 speaks of `xtc/acpi/rsdp`"),
        (edited(256 + 116, 17), "command 3 touches 4 bytes at 0x11 of `etc/acpi/rsdp`, which has 0x14"),
        (edited(256 + 120, 0), "touches 0 bytes"),
        (edited(256 + 60, 0), "command 3 speaks of ``"),
        (edited(384 + 60, 128), "command 4 touches 1 bytes at 0x80"),
        (edited(384 + 70, 1), "command 4 touches 65574 bytes at 0x0"),
        (edited(512 + 67, 0xFF), "command 5 touches 20 bytes at 0xff000000"),
    ] {
        assert!(error.contains(says), "{says}: {error}");
    }
}
