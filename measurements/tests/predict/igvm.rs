//! IGVM files that a test writes with an encoder of its own, beside digests that another implementation computes.

use teegate_measurements::predict::igvm;

use crate::value;

const SNP: u32 = 1;
const TDX: u32 = 2;

fn header(kind: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

fn platform(mask: u32, kind: u8) -> Vec<u8> {
    header(0x1, &[&mask.to_le_bytes()[..], &[0, kind, 1, 0], &[0; 8]].concat())
}

fn page(gpa: u64, mask: u32, offset: u32, flags: u32, kind: u16) -> Vec<u8> {
    let words = [mask, offset, flags].map(u32::to_le_bytes).concat();
    header(0x302, &[&gpa.to_le_bytes()[..], &words, &kind.to_le_bytes(), &[0; 2]].concat())
}

fn area(bytes: u64, index: u32) -> Vec<u8> {
    header(0x301, &[&bytes.to_le_bytes()[..], &index.to_le_bytes(), &[0; 4]].concat())
}

fn insert(gpa: u64, index: u32) -> Vec<u8> {
    header(0x303, &[&gpa.to_le_bytes()[..], &SNP.to_le_bytes(), &index.to_le_bytes()].concat())
}

fn context(gpa: u64, offset: u32) -> Vec<u8> {
    header(0x304, &[&gpa.to_le_bytes()[..], &SNP.to_le_bytes(), &offset.to_le_bytes(), &[0; 4]].concat())
}

fn id_block(digest: &[u8]) -> Vec<u8> {
    header(0x30B, &[&SNP.to_le_bytes()[..], &[0; 4], digest, &[0; 48]].concat())
}

/// CRC-32, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// Where the data of a file lie: behind 4 KiB for its headers.
const DATA: u32 = 0x1000;

/// A file of version 1 with these headers, and two pages of data.
fn file(headers: &[Vec<u8>]) -> Vec<u8> {
    let variable = headers.concat();
    let word = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let mut bytes = [b"IGVM".as_slice(), &word(1), &word(24), &word(variable.len()), &word(0x3000), &[0; 4]].concat();
    bytes.extend(&variable);
    let checksum = crc32(&bytes);
    bytes[20..24].copy_from_slice(&checksum.to_le_bytes());
    bytes.resize(0x1000, 0);
    bytes.extend((0..0x1000).map(|at| u8::try_from(at % 251).unwrap()));
    bytes.extend((0..0x1000).map(|at| u8::try_from(at % 7).unwrap()));
    bytes
}

fn good() -> Vec<Vec<u8>> {
    vec![
        platform(TDX, 3),
        platform(SNP, 2),
        area(0x2000, 0),
        page(0x10_0000, SNP | TDX, DATA, 0, 0),
        page(0x10_1000, SNP, 0, 0, 0),
        page(0x10_2000, TDX, DATA, 0, 0),
        page(0x10_3000, SNP, 0, 0, 1),
        page(0x10_4000, SNP, 0, 0, 2),
        page(0x10_5000, SNP, 0, 2, 0),
        page(0x10_6000, SNP, DATA, 4, 0),
        insert(0x10_8000, 0),
        context(0xFFFF_FFFF_F000, DATA + 0x1000),
    ]
}

/// Computed by a script of its own, in Python, from AMD's table of PAGE_INFO.
const DIGEST: &str = "bbce8a168420f68b7e159e645d6945c45e6f328b17a956f0b1686f9560e1100d0badb08bb38b830c6d2d91c184ff7150";

#[test]
fn every_page_of_the_platform_is_measured_in_the_order_of_the_file() {
    assert_eq!(value(&igvm(&file(&good())).unwrap()), DIGEST);
    // What is of another platform, or shared with the host, counts for nothing.
    let mut without = good();
    without.remove(9);
    without.remove(5);
    without.remove(0);
    assert_eq!(value(&igvm(&file(&without)).unwrap()), DIGEST);
    for at in [3, 4, 6, 7, 8, 10] {
        let mut other = good();
        other.remove(at);
        assert_ne!(value(&igvm(&file(&other)).unwrap()), DIGEST, "{at}");
    }
    let mut large = good();
    large[4] = page(0x20_0000, SNP, 0, 1, 0);
    let prediction = igvm(&file(&large)).unwrap();
    assert!(prediction.values[0].of.contains("519 measured pages"), "{}", prediction.values[0].of);
}

#[test]
fn an_id_block_states_the_digest_or_the_file_is_refused() {
    let stating = |digest: &[u8]| igvm(&file(&[good(), vec![id_block(digest)]].concat()));
    let digest = teegate_encoding::hex::decode(DIGEST).unwrap();
    assert_eq!(value(&stating(&digest).unwrap()), DIGEST);
    let error = stating(&[7; 48]).unwrap_err().to_string();
    assert!(error.contains("its ID block states the digest 0707") && error.contains(DIGEST), "{error}");
}

#[test]
fn files_without_an_answer_are_refused_with_the_reason() {
    let with = |at: usize, header: Vec<u8>| {
        let mut headers = good();
        headers[at] = header;
        file(&headers)
    };
    let edited = |at: usize, byte: u8| {
        let mut bytes = file(&good());
        bytes[at] = byte;
        bytes
    };
    let whole = file(&good());
    for (bytes, says) in [
        (Vec::new(), "the header needs 4 bytes"),
        (edited(0, b'X'), "does not begin with `IGVM`"),
        (edited(4, 3), "format version 3"),
        (edited(17, 0x31), "is it whole?"),
        (edited(20, whole[20] ^ 1), "its checksum is"),
        (edited(40, whole[40] ^ 1), "its headers add up to"),
        (whole[..whole.len() - 1].to_vec(), "is it whole?"),
        (with(1, platform(SNP, 3)), "does not speak of SEV-SNP"),
        (with(1, platform(3, 2)), "does not speak of SEV-SNP"),
        (with(0, platform(SNP, 2)), "speaks of SEV-SNP twice"),
        (with(11, Vec::new()), "no registers (VP context)"),
        (with(11, context(0xFFFF_FFFF_F000, 0x2800)), "a save area needs 4096 bytes"),
        (with(3, page(0x10_0001, SNP, DATA, 0, 0)), "is not that of a page"),
        (with(3, page(0x10_0000, SNP, 0x2001, 0, 0)), "a page needs 4096 bytes"),
        (with(3, page(0x10_0000, SNP, DATA, 8, 0)), "has flags 0x8"),
        (with(3, page(0x10_0000, SNP, DATA, 0, 9)), "of kind 9, which is not known"),
        (with(10, insert(0x10_8000, 1)), "parameter area 1 is not there"),
        (with(2, area(0x2001, 0)), "not whole pages"),
        (with(2, area(1 << 40, 0)), "loads more than"),
        (with(3, header(0x302, &[0; 8])), "a header of type 0x302 has 8 bytes"),
    ] {
        let error = igvm(&bytes).unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
    for length in 0..0x1000 {
        let error = igvm(&whole[..length]).unwrap_err().to_string();
        assert!(error.starts_with("IGVM file: "), "{length}: {error}");
    }
}
