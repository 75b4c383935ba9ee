//! The header of a NumPy file: a dictionary as Python writes it, with `descr`, `fortran_order` and `shape`, and nothing else.
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>, *Format Version 1.0* to *3.0*.

use crate::error::FileError;

/// No more axes than a tensor of the protocol has.
const MAX_RANK: usize = 16;

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The type of the elements, in NumPy's letters.
    pub(super) kind: String,
    /// Whether the first axis runs fastest.
    pub(super) is_fortran: bool,
    /// The extent along each axis.
    pub(super) shape: Vec<u64>,
}

impl Header {
    pub(super) fn parse(text: &str) -> Result<Self, FileError> {
        let wrong = || FileError::new("its header is not one that NumPy writes");
        let (mut kind, mut is_fortran, mut shape) = (None, None, None);
        let mut rest = Rest(text.trim());
        rest.word("{").ok_or_else(wrong)?;
        while rest.word("}").is_none() {
            let key = rest.quoted().ok_or_else(wrong)?;
            rest.word(":").ok_or_else(wrong)?;
            match key {
                "descr" if rest.0.starts_with('[') => {
                    return Err(FileError::new(
                        "this is a structured array (records); save each column as an array of its own",
                    ));
                }
                "descr" if kind.is_none() => kind = Some(rest.quoted().ok_or_else(wrong)?),
                "fortran_order" if is_fortran.is_none() => is_fortran = Some(rest.truth().ok_or_else(wrong)?),
                "shape" if shape.is_none() => shape = Some(rest.shape().ok_or_else(wrong)?),
                _ => return Err(wrong()),
            }
            if rest.word(",").is_none() && !rest.0.starts_with('}') {
                return Err(wrong());
            }
        }
        match (kind, is_fortran, shape) {
            (Some(_), Some(_), Some(shape)) if shape.len() > MAX_RANK => {
                Err(FileError::new(format!("it has more than {MAX_RANK} dimensions")))
            }
            (Some(kind), Some(is_fortran), Some(shape)) if rest.0.is_empty() => {
                Ok(Self { kind: kind.to_owned(), is_fortran, shape })
            }
            _ => Err(wrong()),
        }
    }
}

/// What is left of the text, without white space before it.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn word(&mut self, word: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(word)?.trim_start();
        Some(())
    }

    fn quoted(&mut self) -> Option<&'a str> {
        let quote = if self.0.starts_with('"') { '"' } else { '\'' };
        let (text, rest) = self.0.strip_prefix(quote)?.split_once(quote)?;
        self.0 = rest.trim_start();
        Some(text)
    }

    fn truth(&mut self) -> Option<bool> {
        if self.word("True").is_some() {
            return Some(true);
        }
        self.word("False").map(|()| false)
    }

    /// Numbers in parentheses, with a comma behind each but, of several, the last.
    fn shape(&mut self) -> Option<Vec<u64>> {
        let mut shape = Vec::new();
        self.word("(")?;
        while self.word(")").is_none() {
            // One more than is taken, so that the reason can be told.
            if shape.len() > MAX_RANK {
                return Some(shape);
            }
            let end = self.0.find(|letter: char| !letter.is_ascii_digit())?;
            let (digits, rest) = self.0.split_at_checked(end)?;
            shape.push(digits.parse().ok()?);
            self.0 = rest.trim_start();
            // Python 2 wrote an `L` behind a long one.
            let _long = self.word("L");
            if self.word(",").is_none() && !self.0.starts_with(')') {
                return None;
            }
        }
        Some(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_numpy_writes_is_read_and_nothing_else() {
        let of = |text: &str| Header::parse(text).map_err(|error| error.to_string());
        let header = |shape: &[u64]| Ok(Header { kind: "<f4".to_owned(), is_fortran: false, shape: shape.to_vec() });
        assert_eq!(of("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }        \n"), header(&[2, 3]));
        assert_eq!(of("{'shape': (), \"fortran_order\":False,'descr':'<f4'}"), header(&[]));
        assert_eq!(of("{'descr': '<f4', 'fortran_order': False, 'shape': (7L,)}"), header(&[7]));
        assert!(of("{'descr': '<f4', 'fortran_order': True, 'shape': (7,)}").unwrap().is_fortran);
        let wrong = "its header is not one that NumPy writes";
        for (text, reason) in [
            ("", wrong),
            ("{", wrong),
            ("{}", wrong),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)", wrong),
            ("{'descr': '<f4', 'fortran_order': False}", wrong),
            ("{'descr': '<f4', 'fortran_order': 0, 'shape': ()}", wrong),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", wrong),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (,)}", wrong),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (1 2)}", wrong),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", wrong),
            ("{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': ()}", wrong),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (), 'more': 1}", wrong),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': ()} x", wrong),
            ("{'descr': '<f4", wrong),
            ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': ()}", "a structured array (records)"),
        ] {
            assert!(of(text).unwrap_err().contains(reason), "{text}");
        }
        let long = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({})}}", "1, ".repeat(17));
        assert!(of(&long).unwrap_err().contains("more than 16 dimensions"));
        assert!(of(&long.replacen("1, ", "", 1)).is_ok());
    }
}
