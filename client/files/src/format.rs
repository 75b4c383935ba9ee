//! Which form a file has: by its first bytes where they tell, by its name where they do not.

use std::fmt;

use crate::error::FileError;

/// A form in which inputs of a model are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A whole request of the Open Inference Protocol v2, JSON with or without raw tensors behind it.
    Json,
    /// Lines of cells: a row each, with a header or without.
    Csv,
    /// One NumPy array.
    Npy,
    /// Several NumPy arrays in a zip archive, each with a name.
    Npz,
    /// The elements and nothing else, little-endian, row-major.
    Raw,
}

impl Format {
    /// The form of what `bytes` holds, in a file of that name.
    pub fn recognise(name: &str, bytes: &[u8]) -> Result<Self, FileError> {
        let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
        let by_name = match ending.as_str() {
            "json" => Some(Self::Json),
            "csv" | "tsv" => Some(Self::Csv),
            "npy" => Some(Self::Npy),
            "npz" => Some(Self::Npz),
            "bin" | "raw" => Some(Self::Raw),
            _ => None,
        };
        // A name that says raw may stand over anything at all.
        if by_name == Some(Self::Raw) {
            return Ok(Self::Raw);
        }
        if bytes.starts_with(b"\x93NUMPY") {
            return Ok(Self::Npy);
        }
        if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
            return Ok(Self::Npz);
        }
        match by_name {
            Some(format @ (Self::Npy | Self::Npz)) => Err(FileError::new(format!(
                "this does not begin as {format} does; `--input-format` insists on another"
            ))),
            Some(format) => Ok(format),
            None => Self::by_text(bytes),
        }
    }

    /// What text is. JSON begins with a bracket; anything else that is text may be a table.
    fn by_text(bytes: &[u8]) -> Result<Self, FileError> {
        let start = bytes.get(..SEEN_BYTES).unwrap_or(bytes);
        match start.trim_ascii_start().first() {
            None => Err(FileError::new("this is empty")),
            Some(b'{' | b'[') => Ok(Self::Json),
            Some(_) if start.iter().all(|byte| *byte >= 0x20 || matches!(byte, b'\t' | b'\r' | b'\n')) => Ok(Self::Csv),
            Some(_) => Err(FileError::new(
                "this is neither JSON, CSV nor NumPy; if it is the raw elements of an input, say `--input-format raw`",
            )),
        }
    }
}

/// How much of a file is looked at to tell text from other bytes.
const SEEN_BYTES: usize = 4_096;

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "JSON",
            Self::Csv => "CSV",
            Self::Npy => "a NumPy array",
            Self::Npz => "an archive of NumPy arrays",
            Self::Raw => "raw elements",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_goes_before_the_name_and_the_name_before_a_guess() {
        for (name, bytes, expected) in [
            ("x.json", &b"\x93NUMPY\x01\0"[..], Ok(Format::Npy)),
            ("x", b"PK\x03\x04", Ok(Format::Npz)),
            ("x.csv", b"[1,2]", Ok(Format::Csv)),
            ("x.JSON", b"1,2", Ok(Format::Json)),
            ("x.tsv", b"", Ok(Format::Csv)),
            ("x.bin", b"PK\x03\x04", Ok(Format::Raw)),
            ("-", b" \n{\"inputs\"", Ok(Format::Json)),
            ("x.txt", b"[1]", Ok(Format::Json)),
            ("x.txt", "1.5;2\r\n\u{fc}".as_bytes(), Ok(Format::Csv)),
            ("x.npy", b"1,2", Err("does not begin as a NumPy array does; `--input-format` insists on another")),
            ("x", b"", Err("this is empty")),
            ("x", b"\0\0\x80\x3f", Err("say `--input-format raw`")),
        ] {
            match (Format::recognise(name, bytes), expected) {
                (Ok(format), Ok(expected)) => assert_eq!(format, expected, "{name}"),
                (Err(error), Err(reason)) => assert!(error.to_string().contains(reason), "{error}"),
                (other, expected) => panic!("{name}: {other:?}, expected {expected:?}"),
            }
        }
    }
}
