//! The certificate table of an SNP host, as statements. What cannot be read in it is passed over: the verifier names the
//! certificate that it misses.

use teegate_protocol::certificate_table::{EntryKind, entries};

use crate::error::Defect;
use crate::statement::Statement;

/// What the table holds of certificates and revocation lists.
pub(crate) fn statements(table: &[u8]) -> Result<Vec<Statement>, Defect> {
    let entries = entries(table).map_err(|error| broken(error.to_string()))?.into_iter();
    let of_vendors = entries.filter(|entry| entry.kind != EntryKind::Other);
    Ok(of_vendors.filter_map(|entry| Statement::from_der(entry.content.to_vec()).ok()).collect())
}

fn broken(defect: String) -> Defect {
    Defect::Broken {
        kind: "SNP certificate table",
        defect,
        remedy: "take it from the host again, unchanged, or leave it out: `teegate fetch EVIDENCE --into DIR` asks AMD",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A version 1 revocation list in shape: algorithm, issuer, time.
    const LIST: &[u8] = &[0x30, 0x09, 0x30, 0x07, 0x30, 0, 0x30, 0, 0x18, 1, b'2'];

    const CRL: &[u8; 16] = b"\x92\xf8\x1b\xc3\x58\x11\x4d\x3d\x97\xff\xd1\x9f\x88\xdc\x67\xea";
    const VCEK: &[u8; 16] = b"\x63\xda\x75\x8d\xe6\x64\x45\x64\xad\xc5\xf4\xb9\x3b\xe8\xac\xcd";
    const UNKNOWN: &[u8; 16] = &[9; 16];

    /// A table of these kinds and contents, padded as a host pads it.
    fn table(documents: &[(&[u8; 16], &[u8])]) -> Vec<u8> {
        let (mut entries, mut contents) = (Vec::new(), Vec::new());
        for (guid, content) in documents {
            let offset = u32::try_from(24 * (documents.len() + 1) + contents.len()).unwrap();
            let length = u32::try_from(content.len()).unwrap();
            entries.extend([&guid[..], &offset.to_le_bytes(), &length.to_le_bytes()].concat());
            contents.extend_from_slice(content);
        }
        [entries, vec![0; 24], contents, vec![0; 100]].concat()
    }

    #[test]
    fn an_empty_unknown_or_unreadable_entry_takes_nothing_from_the_others() {
        for content in [(VCEK, &b""[..]), (VCEK, b"no DER"), (VCEK, &LIST[..5]), (UNKNOWN, LIST)] {
            for documents in [[content, (CRL, LIST)], [(CRL, LIST), content]] {
                assert_eq!(statements(&table(&documents)).unwrap(), [Statement::Crl(LIST.to_vec())]);
            }
        }
        assert_eq!(statements(&table(&[(UNKNOWN, LIST)])).unwrap(), []);
    }

    #[test]
    fn a_table_that_was_cut_is_broken_and_says_where() {
        let cut = &table(&[(VCEK, LIST), (CRL, LIST)])[..80];
        let error = statements(cut).unwrap_err().to_string();
        assert!(error.contains("SNP certificate table") && error.contains("entry 0 points outside"), "{error}");
    }
}
