//! Where a file stands in a tar archive: ustar (POSIX.1-1988), with the longer names of pax (POSIX.1-2001) and of GNU tar.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 100 | name |
//! | 124 | 12 | size, octal digits or, with the first bit set, a big-endian number |
//! | 148 | 8 | sum of the header's bytes, with spaces in this place |
//! | 156 | 1 | type: `0` or nothing a file, `x` pax for the next entry, `g` pax for all, `L` a name of the next entry |
//! | 257 | 5 | `ustar` |
//! | 345 | 155 | what stands before the name |

use std::ops::Range;

const BLOCK: usize = 512;

/// The longest entry that says something of others; names are no longer anywhere.
const MAX_RECORD_BYTES: usize = 1 << 20;

/// Most files of an archive: each name is kept.
const MAX_FILES: usize = 1 << 16;

/// The files of an archive, each with its place.
///
/// # Errors
/// What is wrong, and where.
pub(super) fn files(archive: &[u8]) -> Result<Vec<(String, Range<usize>)>, String> {
    let mut files = Vec::new();
    let mut at = 0_usize;
    let (mut long_name, mut long_size) = (None, None);
    while let Some(header) = archive.get(at..).and_then(|rest| rest.first_chunk::<BLOCK>()) {
        if header.iter().all(|byte| *byte == 0) {
            return Ok(files);
        }
        if !is_summed(header) {
            return Err(format!("no tar header at byte {at}"));
        }
        let kind = header.get(156).copied().unwrap_or_default();
        let size = number(header.get(124..136).unwrap_or_default());
        let size = long_size.take().filter(|_| !matches!(kind, b'x' | b'g' | b'L')).or(size);
        let size = size.ok_or_else(|| format!("no size in the tar header at byte {at}"))?;
        let begin = at + BLOCK;
        let end = begin.checked_add(size).filter(|end| *end <= archive.len());
        let end = end.ok_or_else(|| format!("the entry at byte {at} is longer than the archive"))?;
        if matches!(kind, b'x' | b'g' | b'L') && size > MAX_RECORD_BYTES {
            return Err(format!(
                "the entry at byte {at} has {size} bytes of names, expected at most {MAX_RECORD_BYTES}"
            ));
        }
        let content = archive.get(begin..end).unwrap_or_default();
        match kind {
            b'x' => {
                let records = pax(content).ok_or_else(|| format!("no pax records at byte {begin}"))?;
                for (key, value) in records {
                    match key {
                        "path" => long_name = Some(value.to_owned()),
                        "size" => long_size = value.parse().ok(),
                        _ => {}
                    }
                }
            }
            b'L' => long_name = Some(text(content)),
            b'0' | 0 if files.len() == MAX_FILES => return Err(format!("more than {MAX_FILES} files")),
            b'0' | 0 => files.push((long_name.take().unwrap_or_else(|| name(header)), begin..end)),
            b'g' => {}
            _ => long_name = None,
        }
        at = end.next_multiple_of(BLOCK);
    }
    Err("the archive does not end".to_owned())
}

fn is_summed(header: &[u8; BLOCK]) -> bool {
    let sum: usize = header
        .iter()
        .enumerate()
        .map(|(at, &byte)| usize::from(if (148..156).contains(&at) { b' ' } else { byte }))
        .sum();
    number(header.get(148..156).unwrap_or_default()) == Some(sum)
}

/// Octal digits, with spaces around and a zero behind them, or the large form.
fn number(field: &[u8]) -> Option<usize> {
    if let Some((first @ 0x80.., rest)) = field.split_first() {
        return rest
            .iter()
            .try_fold(usize::from(first & 0x7f), |sum, &byte| sum.checked_mul(256)?.checked_add(usize::from(byte)));
    }
    let digits = text(field);
    usize::from_str_radix(digits.trim(), 8).ok()
}

/// What stands before the first zero.
fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(field.get(..end).unwrap_or_default()).into_owned()
}

fn name(header: &[u8; BLOCK]) -> String {
    let name = text(header.get(..100).unwrap_or_default());
    let prefix = if header.get(257..262) == Some(b"ustar") {
        text(header.get(345..500).unwrap_or_default())
    } else {
        String::new()
    };
    if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
}

/// Records of the form `LENGTH KEY=VALUE\n`.
fn pax(mut records: &[u8]) -> Option<Vec<(&str, &str)>> {
    let mut found = Vec::new();
    while !records.is_empty() {
        let space = records.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(records.get(..space)?).ok()?.parse().ok()?;
        let (record, rest) = records.split_at_checked(length)?;
        let record = std::str::from_utf8(record.get(space + 1..)?).ok()?;
        found.push(record.strip_suffix('\n')?.split_once('=')?);
        records = rest;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Archives as GNU tar, and Python's `tarfile`, write them, by their own hand.
    fn entry(kind: u8, name: &str, content: &[u8]) -> Vec<u8> {
        let mut header = [0; BLOCK];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[156] = kind;
        header[257..263].copy_from_slice(b"ustar\0");
        sum(&mut header);
        let mut out = [&header[..], content].concat();
        out.resize(out.len().next_multiple_of(BLOCK), 0);
        out
    }

    fn sum(header: &mut [u8]) {
        header[148..156].copy_from_slice(b"        ");
        let sum: usize = header.iter().map(|byte| usize::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }

    fn end() -> Vec<u8> {
        vec![0; 2 * BLOCK]
    }

    fn names(archive: &[u8]) -> Result<Vec<(String, String)>, String> {
        let read = |(name, range): (String, Range<usize>)| (name, String::from_utf8(archive[range].to_vec()).unwrap());
        Ok(files(archive)?.into_iter().map(read).collect())
    }

    #[test]
    fn files_are_found_under_their_names() {
        let long = "d/".repeat(80) + "model.onnx";
        let length = format!("{}", 10 + long.len());
        let record = format!("{} path={long}\n", length);
        assert_eq!(record.len().to_string(), length);
        let mut split = entry(b'0', "model.onnx", b"prefixed");
        split[345..350].copy_from_slice(b"a/b/c");
        sum(&mut split[..BLOCK]);
        let archive = [
            entry(b'5', "folder/", b""),
            entry(b'0', "folder/a.onnx", b"one"),
            entry(0, "empty", b""),
            entry(b'2', "link", b""),
            entry(b'g', "pax_global_header", b"19 comment=nothing\n"),
            entry(b'x', "PaxHeaders/x", record.as_bytes()),
            entry(b'0', "short", b"two"),
            entry(b'L', "././@LongLink", long.as_bytes()),
            entry(b'0', "short", &[b'x'; 513]),
            split,
            end(),
        ]
        .concat();
        let expected = [
            ("folder/a.onnx", "one".to_owned()),
            ("empty", String::new()),
            (&long, "two".to_owned()),
            (&long, "x".repeat(513)),
            ("a/b/c/model.onnx", "prefixed".to_owned()),
        ];
        assert_eq!(names(&archive).unwrap(), expected.map(|(name, content)| (name.to_owned(), content)));
    }

    #[test]
    fn what_names_others_is_no_longer_than_names_are() {
        let long = vec![b'a'; MAX_RECORD_BYTES + 1];
        for kind in [b'x', b'g', b'L'] {
            let error = files(&[entry(kind, "p", &long), entry(b'0', "a", b""), end()].concat()).unwrap_err();
            assert!(error.contains("at byte 0 has 1048577 bytes of names, expected at most 1048576"), "{error}");
        }
        let most = entry(b'L', "p", &long[1..]);
        assert_eq!(files(&[most, entry(b'0', "a", b""), end()].concat()).unwrap()[0].0.len(), MAX_RECORD_BYTES);
        assert!(files(&[entry(b'0', "a", &long), end()].concat()).is_ok(), "a file may be as long");
    }

    #[test]
    fn an_archive_has_no_more_files_than_names_can_be_kept() {
        let most = entry(b'0', "a", b"").repeat(MAX_FILES);
        assert_eq!(files(&[&most[..], &end()].concat()).unwrap().len(), MAX_FILES);
        let error = files(&[most, entry(b'0', "a", b""), end()].concat()).unwrap_err();
        assert_eq!(error, "more than 65536 files");
    }

    #[test]
    fn sizes_that_lie_and_archives_that_end_early_are_refused() {
        let good = [entry(b'0', "a", b"one"), end()].concat();
        assert!(files(&good).is_ok());
        for end in 0..2 * BLOCK {
            assert!(files(&good[..end]).is_err(), "{end}");
        }
        for (at, bytes) in [(0, &b"b"[..]), (124, b"0"), (148, b"x"), (124, b"7")] {
            let mut bad = good.clone();
            bad[at..at + bytes.len()].copy_from_slice(bytes);
            assert_eq!(files(&bad).is_err(), bad != good, "{at}");
        }
        for size in
            [&b"77777777777"[..], b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"-0000000003", b"           "]
        {
            let mut bad = good.clone();
            bad[124..135].copy_from_slice(size);
            sum(&mut bad[..BLOCK]);
            assert!(files(&bad).is_err(), "{size:?}");
        }
        for record in [&b"x"[..], b"99 path=a\n", b"0 path=a\n", b"9 path=a", b"\xff 1"] {
            assert!(files(&[entry(b'x', "p", record), good.clone()].concat()).is_err(), "{record:?}");
        }
    }
}
