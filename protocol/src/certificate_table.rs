//! The certificate table that a host attaches to an SNP report (extended guest request; `auxblob` of configfs-tsm).
//! AMD 56421 (GHCB specification), `SNP Extended Guest Request`: entries of GUID 16, offset u32, length u32, little-endian,
//! offsets from the start of the table, an all-zero entry at the end. GUIDs stand in textual order. Padding may follow.
//!
//! An enclave receives it from the kernel, and a verifier finds it in files, so the reading is here, once. The host fills it for
//! every guest alike, so one entry that is empty, of an unknown kind or unreadable takes nothing from the others. Only a table
//! whose entries leave it is refused as a whole, because then the table itself was cut.

use std::fmt;

const ENTRY_BYTES: usize = 24;
/// Six kinds are known; a host that names more has something else in mind.
const MAX_ENTRIES: usize = 32;

type Guid = [u8; 16];

const VCEK: Guid = *b"\x63\xda\x75\x8d\xe6\x64\x45\x64\xad\xc5\xf4\xb9\x3b\xe8\xac\xcd";
const ASK: Guid = *b"\x4a\xb7\xb3\x79\xbb\xac\x4f\xe4\xa0\x2f\x05\xae\xf3\x27\xc7\x82";
const ARK: Guid = *b"\xc0\xb4\x06\xa4\xa8\x03\x49\x52\x97\x43\x3f\xb6\x01\x4c\xd0\xae";
const VLEK: Guid = *b"\xa8\x07\x4b\xc2\xa2\x5a\x48\x3e\xaa\xe6\x39\xc0\x45\xa0\xb8\xa1";
const CRL: Guid = *b"\x92\xf8\x1b\xc3\x58\x11\x4d\x3d\x97\xff\xd1\x9f\x88\xdc\x67\xea";
/// What a library adds of its own about the platform: known, and no statement of a vendor.
const PLATFORM_INFO: Guid = *b"\xec\xae\x0c\x0f\x95\x02\x43\xb1\xaf\xa2\x0a\xe2\xe0\xd5\x65\xb6";

/// What the GUID of an entry says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A certificate: VCEK, VLEK, ASK (and ASVK) or ARK.
    Certificate,
    /// A revocation list.
    Crl,
    /// What is no statement of a vendor, or of no kind that is known here.
    Other,
}

/// One entry of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'t> {
    /// What it is said to be.
    pub kind: EntryKind,
    /// What it points to; empty where its length is 0, wherever it then points.
    pub content: &'t [u8],
}

/// The table as a whole cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableError(String);

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TableError {}

/// Whether `bytes` are a table: some entry before its end is of a known kind, or the entries, all of them of other kinds, are in
/// order and point to something.
pub fn looks_like_table(bytes: &[u8]) -> bool {
    let (fields, _) = bytes.as_chunks::<ENTRY_BYTES>();
    let mut before_end = fields.iter().take(MAX_ENTRIES).take_while(|entry| **entry != END).map(split);
    before_end.any(|(guid, ..)| guid == PLATFORM_INFO || kind(guid) != EntryKind::Other)
        || entries(bytes).is_ok_and(|entries| entries.iter().any(|entry| !entry.content.is_empty()))
}

/// Whether `bytes` are a table without entries: the one that ends it, and padding.
pub fn is_empty_table(bytes: &[u8]) -> bool {
    bytes.len() >= ENTRY_BYTES && bytes.iter().all(|byte| *byte == 0)
}

/// The entry that ends the table.
const END: [u8; ENTRY_BYTES] = [0; ENTRY_BYTES];

/// Every entry of the table, in its order.
///
/// # Errors
/// An entry points outside the table, there are too many, or none ends it.
pub fn entries(table: &[u8]) -> Result<Vec<Entry<'_>>, TableError> {
    let mut found = Vec::new();
    let (entries, _) = table.as_chunks::<ENTRY_BYTES>();
    for (number, entry) in entries.iter().enumerate() {
        if *entry == END {
            return Ok(found);
        }
        if number == MAX_ENTRIES {
            return Err(TableError(format!("more than {MAX_ENTRIES} entries")));
        }
        let (guid, offset, length) = split(entry);
        // An empty entry points nowhere, so where it points does not matter.
        let start = if length == 0 { 0 } else { offset };
        let content = start
            .checked_add(length)
            .and_then(|end| table.get(start..end))
            .ok_or_else(|| TableError(format!("entry {number} points outside the table of {} bytes", table.len())))?;
        found.push(Entry { kind: kind(guid), content });
    }
    Err(TableError("the all-zero entry that ends the table is missing".to_owned()))
}

fn kind(guid: Guid) -> EntryKind {
    match guid {
        VCEK | ASK | ARK | VLEK => EntryKind::Certificate,
        CRL => EntryKind::Crl,
        _ => EntryKind::Other,
    }
}

fn split(entry: &[u8; ENTRY_BYTES]) -> (Guid, usize, usize) {
    let [guid @ .., o0, o1, o2, o3, l0, l1, l2, l3] = *entry;
    (guid, usize_of([o0, o1, o2, o3]), usize_of([l0, l1, l2, l3]))
}

/// What does not fit points outside any table.
fn usize_of(bytes: [u8; 4]) -> usize {
    usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use teegate_encoding::hex;

    use super::*;

    const LIST: &[u8] = b"a list";

    const UNKNOWN: Guid = [9; 16];

    /// A table of these kinds and contents, padded as a host pads it.
    fn table(documents: &[(Guid, &[u8])]) -> Vec<u8> {
        let mut entries = Vec::new();
        let mut contents = Vec::new();
        for (guid, content) in documents {
            let offset = u32::try_from(ENTRY_BYTES * (documents.len() + 1) + contents.len()).unwrap();
            entries.extend(entry(*guid, offset, u32::try_from(content.len()).unwrap()));
            contents.extend_from_slice(content);
        }
        [entries, END.to_vec(), contents, vec![0; 100]].concat()
    }

    fn entry(guid: Guid, offset: u32, length: u32) -> Vec<u8> {
        [&guid[..], &offset.to_le_bytes(), &length.to_le_bytes()].concat()
    }

    fn other(content: &[u8]) -> Entry<'_> {
        Entry { kind: EntryKind::Other, content }
    }

    fn list() -> Entry<'static> {
        Entry { kind: EntryKind::Crl, content: LIST }
    }

    #[test]
    fn reads_what_an_entry_points_to_and_ignores_padding() {
        let bytes = table(&[(CRL, LIST)]);
        assert!(looks_like_table(&bytes));
        assert_eq!(entries(&bytes).unwrap(), [list()]);
        for guid in [VCEK, ASK, ARK, VLEK] {
            let bytes = table(&[(guid, b"one"), (CRL, LIST)]);
            assert_eq!(entries(&bytes).unwrap(), [Entry { kind: EntryKind::Certificate, content: b"one" }, list()]);
        }
    }

    #[test]
    fn other_kinds_are_told_wherever_they_stand() {
        // ecae0c0f-9502-43b1-afa2-0ae2e0d565b6.
        assert_eq!(hex::encode(PLATFORM_INFO), "ecae0c0f950243b1afa20ae2e0d565b6");
        for guid in [PLATFORM_INFO, UNKNOWN] {
            let bytes = table(&[(guid, LIST), (CRL, LIST)]);
            assert!(looks_like_table(&bytes));
            assert_eq!(entries(&bytes).unwrap(), [other(LIST), list()]);
            let bytes = table(&[(CRL, LIST), (guid, LIST)]);
            assert!(looks_like_table(&bytes));
            assert_eq!(entries(&bytes).unwrap(), [list(), other(LIST)]);
            assert!(looks_like_table(&table(&[(guid, LIST)])));
        }
    }

    #[test]
    fn an_empty_entry_points_nowhere_and_takes_nothing_from_the_others() {
        let empty = Entry { kind: EntryKind::Certificate, content: b"" };
        assert_eq!(entries(&table(&[(VCEK, b""), (CRL, LIST)])).unwrap(), [empty, list()]);
        assert_eq!(entries(&table(&[(CRL, LIST), (VCEK, b"")])).unwrap(), [list(), empty]);
        let bytes = [entry(VLEK, u32::MAX, 0), END.to_vec()].concat();
        assert!(looks_like_table(&bytes));
        assert_eq!(entries(&bytes).unwrap(), [empty]);
    }

    #[test]
    fn an_entry_of_any_kind_that_points_outside_is_broken() {
        for guid in [ARK, PLATFORM_INFO, UNKNOWN] {
            for (offset, length) in [(48, 500), (u32::MAX, 1), (u32::MAX, u32::MAX)] {
                let bytes = [table(&[(CRL, LIST)])[..24].to_vec(), entry(guid, offset, length), vec![0; 200]].concat();
                let error = entries(&bytes).unwrap_err().to_string();
                assert!(error.contains("entry 1 points outside"), "{error}");
            }
        }
    }

    #[test]
    fn a_known_kind_is_enough_to_tell_a_table_that_is_broken() {
        for guid in [VCEK, ASK, ARK, VLEK, CRL, PLATFORM_INFO] {
            assert!(looks_like_table(&[entry(guid, u32::MAX, 1), END.to_vec()].concat()));
        }
        assert!(!looks_like_table(&[entry(UNKNOWN, u32::MAX, 1), END.to_vec()].concat()));
    }

    #[test]
    fn a_table_without_end_is_broken() {
        let endless = entry(UNKNOWN, 0, 0).repeat(40);
        assert!(entries(&endless).unwrap_err().to_string().contains("more than 32"));
        assert!(entries(&endless[..48]).unwrap_err().to_string().contains("all-zero entry"));
    }

    #[test]
    fn zeros_and_other_bytes_are_no_table() {
        for bytes in [&[0; 4_096][..], &[0xEE; 4_096], &[9; 23], &entry(UNKNOWN, 0, 0).repeat(2), b""] {
            assert!(!looks_like_table(bytes));
        }
        assert!(!looks_like_table(&[entry(UNKNOWN, 0, 0), END.to_vec()].concat()));
        assert!(is_empty_table(&[0; 24]) && !is_empty_table(&[0; 23]));
    }
}
