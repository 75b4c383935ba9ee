//! Firmware that says of itself what a test wants: bytes without code, and the table of GUIDs at their end.

/// `96b582de-…`, as it lies in memory.
fn guid(text: &str) -> Vec<u8> {
    let parts: Vec<Vec<u8>> = text.split('-').map(|part| teegate_encoding::hex::decode(part).unwrap()).collect();
    let turned = parts.iter().take(3).flat_map(|part| part.iter().rev().copied());
    turned.chain(parts.iter().skip(3).flatten().copied()).collect()
}

pub(crate) const SEV_HASH_TABLE: &str = "7255371f-3a3b-4b04-927b-1da6efa8d454";
pub(crate) const SEV_ES_RESET: &str = "00f771de-1a7e-4fcb-890e-68c77e2fb44e";
pub(crate) const SEV_METADATA: &str = "dc886566-984a-4798-a75e-5585a7bf67cc";
pub(crate) const TDX_METADATA: &str = "e47a6535-984a-4798-865e-4685a7bf8ec2";
const FOOTER: &str = "96b582de-1fb2-45f7-baea-a366c55a082d";

/// Where metadata lie in firmware of this length: 0x800 from the end.
pub(crate) const METADATA_FROM_END: u32 = 0x800;

/// `length` bytes with these metadata and these entries, each a GUID and a number.
pub(crate) fn with_table(length: usize, metadata: &[u8], entries: &[(&str, u32)]) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..length).map(|at| u8::try_from(at / 7 % 251).unwrap()).collect();
    let at = length - usize::try_from(METADATA_FROM_END).unwrap();
    bytes[at..at + metadata.len()].copy_from_slice(metadata);
    let mut table = Vec::new();
    for (name, number) in entries {
        table.extend(number.to_le_bytes());
        table.extend(22_u16.to_le_bytes());
        table.extend(guid(name));
    }
    table.extend(u16::try_from(table.len() + 18).unwrap().to_le_bytes());
    table.extend(guid(FOOTER));
    let at = length - 32 - table.len();
    bytes[at..at + table.len()].copy_from_slice(&table);
    bytes
}

/// Metadata of SEV: address, length and kind of each section.
pub(crate) fn asev(sections: &[[u32; 3]]) -> Vec<u8> {
    let number = u32::try_from(sections.len()).unwrap();
    let mut bytes = b"ASEV".to_vec();
    for word in [16 + 12 * number, 1, number].into_iter().chain(sections.iter().flatten().copied()) {
        bytes.extend(word.to_le_bytes());
    }
    bytes
}

/// What OVMF for SEV-SNP asks for: memory, secrets, CPUID, a calling area, and a page for hashes.
pub(crate) const SECTIONS: [[u32; 3]; 6] = [
    [0x80_0000, 0x9000, 1],
    [0x80_A000, 0x3000, 1],
    [0x80_D000, 0x1000, 2],
    [0x80_E000, 0x1000, 3],
    [0x80_F000, 0x1000, 4],
    [0x81_0000, 0x1000, 0x10],
];

/// Firmware for SEV-SNP that measures a kernel.
pub(crate) fn snp() -> Vec<u8> {
    with_table(
        0x4000,
        &asev(&SECTIONS),
        &[(SEV_HASH_TABLE, 0x81_0C00), (SEV_ES_RESET, 0x0080_B004), (SEV_METADATA, METADATA_FROM_END)],
    )
}

/// One section of TDX: offset and length in the file, address and length in memory, kind, attributes.
pub(crate) type TdxSection = (u32, u32, u64, u64, u32, u32);

pub(crate) fn tdvf(sections: &[TdxSection]) -> Vec<u8> {
    let mut bytes = b"TDVF".to_vec();
    let number = u32::try_from(sections.len()).unwrap();
    for word in [16 + 32 * number, 1, number] {
        bytes.extend(word.to_le_bytes());
    }
    for (offset, length, gpa, size, kind, attributes) in sections {
        bytes.extend(offset.to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes.extend(gpa.to_le_bytes());
        bytes.extend(size.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(attributes.to_le_bytes());
    }
    bytes
}

/// A variable store, code that ends at 4 GiB, a list of memory, and memory that the guest takes.
pub(crate) const TDX_SECTIONS: [TdxSection; 4] = [
    (0x1000, 0x3000, 0xFFFF_D000, 0x3000, 0, 1),
    (0, 0x1000, 0xFFFF_C000, 0x1000, 1, 0),
    (0, 0, 0x80_9000, 0x2000, 2, 0),
    (0, 0, 0x10_0000, 0x20_0000, 4, 2),
];

/// Firmware for TDX with these sections.
pub(crate) fn tdx(sections: &[TdxSection]) -> Vec<u8> {
    with_table(0x4000, &tdvf(sections), &[(TDX_METADATA, METADATA_FROM_END)])
}
