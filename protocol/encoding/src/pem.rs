//! PEM (RFC 7468): blocks of base64 between lines that name what they hold.

use std::fmt;

use crate::base64::{self, Base64Error};

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
/// Characters of base64 on a line (RFC 7468, section 2).
const LINE: usize = 64;

/// One block, where it stands in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'t> {
    /// The text between the block before and this one.
    pub before: &'t str,
    /// What its first line says that it holds.
    pub label: &'t str,
    body: &'t str,
}

impl Block<'_> {
    /// The bytes that it holds.
    ///
    /// # Errors
    /// [`Base64Error`], where its body is not base64 in lines.
    pub fn decode(&self) -> Result<Vec<u8>, Base64Error> {
        base64::decode_lines(self.body)
    }
}

/// A block that does not end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PemError<'t> {
    /// Its first line does not.
    FirstLine,
    /// There is no last line that matches the first.
    LastLine {
        /// The label of the first, as long as it is.
        label: &'t str,
    },
}

impl fmt::Display for PemError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstLine => "a block has no end of its first line",
            Self::LastLine { .. } => "a block has no matching end line",
        })
    }
}

impl std::error::Error for PemError<'_> {}

/// The blocks of a text, one after the other, and what stands around them. After an error there is none.
#[derive(Debug, Clone)]
pub struct Blocks<'t> {
    rest: &'t str,
}

impl<'t> Blocks<'t> {
    /// Those of this text.
    pub fn new(text: &'t str) -> Self {
        Self { rest: text }
    }

    /// The text behind the last block that was handed out.
    pub fn rest(&self) -> &'t str {
        self.rest
    }

    fn block(&mut self, before: &'t str, block: &'t str) -> Result<Block<'t>, PemError<'t>> {
        self.rest = "";
        let (label, body) = block.split_once(DASHES).ok_or(PemError::FirstLine)?;
        let end = [END, label, DASHES].concat();
        let (body, after) = body.split_once(&end).ok_or(PemError::LastLine { label })?;
        self.rest = after;
        Ok(Block { before, label, body })
    }
}

impl<'t> Iterator for Blocks<'t> {
    type Item = Result<Block<'t>, PemError<'t>>;

    fn next(&mut self) -> Option<Self::Item> {
        let (before, block) = self.rest.split_once(BEGIN)?;
        Some(self.block(before, block))
    }
}

/// A chain of leaf, intermediate and root needs three.
const MAX_CERTIFICATES: usize = 8;

/// The DER of every `CERTIFICATE` block of a chain as quotes carry it, in order; `None` where anything else stands in it.
///
/// Quotes end their chain in nothing, in a line feed, or in a line feed and a NUL: all three are accepted.
pub fn certificates(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = text.strip_suffix(b"\0").unwrap_or(text).trim_ascii();
    let mut found = Vec::new();
    while !rest.is_empty() {
        if found.len() == MAX_CERTIFICATES {
            return None;
        }
        let block = rest.strip_prefix(b"-----BEGIN CERTIFICATE-----")?;
        // No dash is a digit of base64.
        let (der, end) = base64::decode_lines_until(block, b'-')?;
        found.push(der);
        rest = end.strip_prefix(b"-----END CERTIFICATE-----")?.trim_ascii_start();
    }
    Some(found)
}

/// Writes a block.
pub fn push(text: &mut String, label: &str, bytes: &[u8]) {
    let digits = base64::encode(bytes);
    text.extend([BEGIN, label, DASHES, "\n"]);
    let mut rest = digits.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(LINE).unwrap_or((rest, ""));
        text.extend([line, "\n"]);
        rest = after;
    }
    text.extend([END, label, DASHES, "\n"]);
}

/// How many bytes [`push`] writes.
pub fn length(label: &str, bytes: &[u8]) -> usize {
    let digits = bytes.len().div_ceil(3).saturating_mul(4);
    let lines = BEGIN.len() + END.len() + 2 * DASHES.len() + 2;
    digits.saturating_add(digits.div_ceil(LINE)).saturating_add(label.len().saturating_mul(2)).saturating_add(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = "-----BEGIN CERTIFICATE-----\nZm9v\n-----END CERTIFICATE-----";

    #[test]
    fn chains_end_as_real_quotes_do() {
        for end in ["", "\n", "\n\0"] {
            let chain = certificates(format!("{BLOCK}\n{BLOCK}{end}").as_bytes()).unwrap();
            assert_eq!(chain, [b"foo", b"foo"], "{end:?}");
        }
        assert_eq!(certificates(b"").unwrap().len(), 0);
        assert_eq!(certificates(BLOCK.repeat(8).as_bytes()).unwrap().len(), 8);
    }

    #[test]
    fn a_chain_holds_nothing_else() {
        for wrong in [
            format!("{BLOCK} and more"),
            format!("before {BLOCK}"),
            format!("{BLOCK}\nbetween\n{BLOCK}"),
            format!("{BLOCK}\n\0\0"),
            "-----BEGIN CERTIFICATE-----\nZm9v\n".to_owned(),
            "-----BEGIN CERTIFICATE".to_owned(),
            format!("{BLOCK}{}", BLOCK.replace("CERTIFICATE", "X509 CRL")),
            BLOCK.replace("Zm9v", "Zm9vYh=="),
            BLOCK.replace("END CERTIFICATE", "END X509 CRL"),
            BLOCK.repeat(9),
        ] {
            assert_eq!(certificates(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(certificates(b"\xFF"), None);
    }

    #[test]
    fn blocks_of_any_label_are_found_with_what_stands_around_them() {
        let text = format!("one\n{BLOCK}two{}three", BLOCK.replace("CERTIFICATE", "A B").replace("Zm9v", "Zg=="));
        let mut blocks = Blocks::new(&text);
        let (first, second) = (blocks.next().unwrap().unwrap(), blocks.next().unwrap().unwrap());
        assert_eq!((first.before, first.label, first.decode()), ("one\n", "CERTIFICATE", Ok(b"foo".to_vec())));
        assert_eq!((second.before, second.label, second.decode()), ("two", "A B", Ok(b"f".to_vec())));
        assert_eq!((blocks.next(), blocks.rest()), (None, "three"));
    }

    #[test]
    fn half_a_block_is_an_error_and_ends_the_text() {
        for (text, error) in [
            ("-----BEGIN A", PemError::FirstLine),
            ("-----BEGIN A-----\nZg==", PemError::LastLine { label: "A" }),
            ("-----BEGIN A-----\n-----END B-----", PemError::LastLine { label: "A" }),
        ] {
            let mut blocks = Blocks::new(text);
            assert_eq!((blocks.next(), blocks.next()), (Some(Err(error)), None), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_and_as_long_as_announced() {
        for size in [0, 1, 47, 48, 49, 96, 1_000] {
            let (bytes, mut text) = (vec![7; size], String::new());
            push(&mut text, "X509 CRL", &bytes);
            assert_eq!(text.len(), length("X509 CRL", &bytes), "{size}");
            assert!(text.lines().all(|line| line.len() <= LINE));
            let block = Blocks::new(&text).next().unwrap().unwrap();
            assert_eq!((block.label, block.decode()), ("X509 CRL", Ok(bytes)));
        }
    }
}
