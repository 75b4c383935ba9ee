//! The certificate table that a host attaches to an SNP report (extended guest request; `auxblob` of configfs-tsm).
//! AMD 56421 (GHCB specification), `SNP Extended Guest Request`: entries of GUID 16, offset u32, length u32, little-endian,
//! offsets from the start of the table, an all-zero entry at the end. GUIDs stand in textual order. Padding may follow.

use crate::error::Defect;
use crate::statement::Statement;

const ENTRY_BYTES: usize = 24;
/// Six kinds are known; a host that names more has something else in mind.
const MAX_ENTRIES: usize = 32;

const VCEK: [u8; 16] = *b"\x63\xda\x75\x8d\xe6\x64\x45\x64\xad\xc5\xf4\xb9\x3b\xe8\xac\xcd";
const ASK: [u8; 16] = *b"\x4a\xb7\xb3\x79\xbb\xac\x4f\xe4\xa0\x2f\x05\xae\xf3\x27\xc7\x82";
const ARK: [u8; 16] = *b"\xc0\xb4\x06\xa4\xa8\x03\x49\x52\x97\x43\x3f\xb6\x01\x4c\xd0\xae";
const VLEK: [u8; 16] = *b"\xa8\x07\x4b\xc2\xa2\x5a\x48\x3e\xaa\xe6\x39\xc0\x45\xa0\xb8\xa1";
const CRL: [u8; 16] = *b"\x92\xf8\x1b\xc3\x58\x11\x4d\x3d\x97\xff\xd1\x9f\x88\xdc\x67\xea";
const KNOWN: [[u8; 16]; 5] = [VCEK, ASK, ARK, VLEK, CRL];

/// Whether `bytes` begin with an entry of a known kind.
pub(crate) fn looks_like_table(bytes: &[u8]) -> bool {
    bytes.first_chunk().is_some_and(|guid| KNOWN.contains(guid))
}

/// What the table holds. Entries of unknown kinds are passed over.
pub(crate) fn statements(table: &[u8]) -> Result<Vec<Statement>, Defect> {
    let mut statements = Vec::new();
    let (entries, _) = table.as_chunks::<ENTRY_BYTES>();
    for (number, entry) in entries.iter().enumerate() {
        if *entry == [0; ENTRY_BYTES] {
            return Ok(statements);
        }
        if number == MAX_ENTRIES {
            return Err(broken(format!("more than {MAX_ENTRIES} entries")));
        }
        let (guid, offset, length) = fields(entry);
        if !KNOWN.contains(&guid) {
            continue;
        }
        let document = offset
            .checked_add(length)
            .and_then(|end| table.get(offset..end))
            .ok_or_else(|| broken(format!("entry {number} points outside the table of {} bytes", table.len())))?;
        statements.push(Statement::from_der(document.to_vec())?);
    }
    Err(broken("the all-zero entry that ends the table is missing".to_owned()))
}

fn fields(entry: &[u8; ENTRY_BYTES]) -> ([u8; 16], usize, usize) {
    let [guid @ .., o0, o1, o2, o3, l0, l1, l2, l3] = *entry;
    (guid, usize_of([o0, o1, o2, o3]), usize_of([l0, l1, l2, l3]))
}

/// What does not fit points outside any table.
fn usize_of(bytes: [u8; 4]) -> usize {
    usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX)
}

fn broken(defect: String) -> Defect {
    Defect::Broken { kind: "SNP certificate table", defect, remedy: "take it from the host again, unchanged" }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A version 1 revocation list in shape: algorithm, issuer, time.
    const LIST: &[u8] = &[0x30, 0x09, 0x30, 0x07, 0x30, 0, 0x30, 0, 0x18, 1, b'2'];

    fn table(guid: [u8; 16], offset: u32, length: u32) -> Vec<u8> {
        [&guid[..], &offset.to_le_bytes(), &length.to_le_bytes(), &[0; ENTRY_BYTES], LIST, &[0; 100]].concat()
    }

    #[test]
    fn reads_what_an_entry_points_to_and_ignores_padding() {
        let bytes = table(CRL, 48, 11);
        assert!(looks_like_table(&bytes));
        assert_eq!(statements(&bytes).unwrap(), [Statement::Crl(LIST.to_vec())]);
        assert_eq!(statements(&table([9; 16], 48, 11)).unwrap(), []);
    }

    #[test]
    fn an_entry_that_points_outside_is_broken() {
        for (offset, length) in [(48, 500), (u32::MAX, 1), (u32::MAX, u32::MAX)] {
            let error = statements(&table(ARK, offset, length)).unwrap_err().to_string();
            assert!(error.contains("entry 0 points outside"), "{error}");
        }
    }

    #[test]
    fn a_table_without_end_is_broken() {
        let endless: Vec<u8> = table([9; 16], 0, 0)[..24].repeat(40);
        assert!(statements(&endless).unwrap_err().to_string().contains("more than 32"));
        assert!(statements(&endless[..48]).unwrap_err().to_string().contains("all-zero entry"));
    }
}
