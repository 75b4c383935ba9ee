//! A NumPy array, read: formats 1.0, 2.0 and 3.0, either byte order, either order of axes.
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>. What a file says of its size is compared with what
//! it has before anything is allocated, and pickled objects, which are code, are refused.

use teegate_client::oip::{Datatype, TensorData};

use super::header::Header;
use crate::error::{FileError, quoted};

/// Many times what a header needs.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// An array without a name.
#[derive(Clone, PartialEq)]
pub struct Array {
    /// Its extent along each axis, outermost first.
    pub shape: Vec<u64>,
    /// Its elements, the last axis fastest.
    pub data: TensorData,
}

impl std::fmt::Debug for Array {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Array({} dimensions, {:?})", self.shape.len(), self.data)
    }
}

/// Reads a `.npy` file.
pub fn read(bytes: &[u8]) -> Result<Array, FileError> {
    let short = || FileError::new("it ends before its header does");
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or_else(|| FileError::new("this is no NumPy file"))?;
    let ([major, _minor], rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
    let (length, rest) = match major {
        1 => rest.split_first_chunk::<2>().map(|(length, rest)| (u32::from(u16::from_le_bytes(*length)), rest)),
        2 | 3 => rest.split_first_chunk::<4>().map(|(length, rest)| (u32::from_le_bytes(*length), rest)),
        _ => return Err(FileError::new(format!("it is of NumPy's format {major}; 1, 2 and 3 are read"))),
    }
    .ok_or_else(short)?;
    let length = usize::try_from(length).ok().filter(|length| *length <= MAX_HEADER_BYTES).ok_or_else(|| {
        FileError::new(format!("its header is said to have {length} bytes; {MAX_HEADER_BYTES} are read at most"))
    })?;
    let (header, elements) = rest.split_at_checked(length).ok_or_else(short)?;
    let header = std::str::from_utf8(header).map_err(|_| FileError::new("its header is no text"))?;
    let Header { kind, is_fortran, shape } = Header::parse(header)?;
    let kind = Kind::parse(&kind)?;
    let wrong_size = |expected: &str| {
        let (shape, found) = (shown(&shape), elements.len());
        FileError::new(format!("its header says {shape}, which takes {expected} bytes, and {found} are there"))
    };
    let expected = shape
        .iter()
        .try_fold(1_u64, |product, extent| product.checked_mul(*extent))
        .and_then(|count| usize::try_from(count).ok()?.checked_mul(kind.width))
        .ok_or_else(|| wrong_size("more than any"))?;
    if expected != elements.len() {
        return Err(wrong_size(&expected.to_string()));
    }
    let data = if is_fortran && shape.len() > 1 {
        kind.elements(&rows_first(elements, &shape, kind.width))
    } else {
        kind.elements(elements)
    };
    Ok(Array { data: data?, shape })
}

/// `[2, 3]`
fn shown(shape: &[u64]) -> String {
    format!("{shape:?}")
}

/// The same elements with the last axis fastest instead of the first. There are as many as the shape counts.
fn rows_first(elements: &[u8], shape: &[u64], width: usize) -> Vec<u8> {
    // How far apart two neighbours along each axis stand, in elements.
    let steps: Vec<u64> = shape
        .iter()
        .scan(1_u64, |step, extent| {
            let this = *step;
            *step = step.saturating_mul(*extent);
            Some(this)
        })
        .collect();
    let mut ordered = Vec::with_capacity(elements.len());
    let (mut place, mut from) = (vec![0_u64; shape.len()], 0_u64);
    while ordered.len() < elements.len() {
        let start = usize::try_from(from).unwrap_or(usize::MAX).saturating_mul(width);
        let element = elements.get(start..start.saturating_add(width)).unwrap_or_default();
        // Cannot be: every place is within the shape. Then nothing grows either.
        if element.len() < width {
            break;
        }
        ordered.extend_from_slice(element);
        for ((at, extent), step) in place.iter_mut().zip(shape).zip(&steps).rev() {
            *at = at.saturating_add(1);
            from = from.saturating_add(*step);
            if *at < *extent {
                break;
            }
            from = from.saturating_sub(extent.saturating_mul(*step));
            *at = 0;
        }
    }
    ordered
}

/// How elements are written.
struct Kind {
    form: Form,
    is_big_endian: bool,
    /// Bytes an element.
    width: usize,
}

enum Form {
    Number(Datatype),
    /// Bytes, padded with zeros.
    Bytes,
    /// Characters of four bytes, padded with zeros.
    Text,
}

impl Kind {
    /// NumPy's letters: byte order, what it is, how many bytes (for text, characters).
    fn parse(kind: &str) -> Result<Self, FileError> {
        let (order, letters) = match kind.split_at_checked(1) {
            Some((order @ ("<" | ">" | "|" | "="), letters)) => (order, letters),
            _ => ("<", kind),
        };
        let refused =
            |why: &str| Err(FileError::new(format!("its elements are of NumPy's type {}: {why}", quoted(kind))));
        let number = |datatype: Datatype| Ok((Form::Number(datatype), datatype.least_size()));
        let (form, width) = match letters.split_at_checked(1) {
            Some(("b", "1")) => number(Datatype::Bool),
            Some(("u", "1")) => number(Datatype::Uint8),
            Some(("u", "2")) => number(Datatype::Uint16),
            Some(("u", "4")) => number(Datatype::Uint32),
            Some(("u", "8")) => number(Datatype::Uint64),
            Some(("i", "1")) => number(Datatype::Int8),
            Some(("i", "2")) => number(Datatype::Int16),
            Some(("i", "4")) => number(Datatype::Int32),
            Some(("i", "8")) => number(Datatype::Int64),
            Some(("f", "2")) => number(Datatype::Fp16),
            Some(("f", "4")) => number(Datatype::Fp32),
            Some(("f", "8")) => number(Datatype::Fp64),
            // As `ml_dtypes` saves its `bfloat16`, which NumPy has not.
            Some(("V", "2")) => number(Datatype::Bf16),
            Some((letter @ ("S" | "U"), length)) => {
                let unit = if letter == "U" { 4 } else { 1 };
                let width = length.parse::<usize>().ok().filter(|length| *length > 0);
                match width.and_then(|length| length.checked_mul(unit)) {
                    Some(width) => Ok((if letter == "U" { Form::Text } else { Form::Bytes }, width)),
                    None => refused("that has no width"),
                }
            }
            Some(("O", _)) => refused("pickled objects are code and are not read; save numbers or text (`.astype`)"),
            Some(("M" | "m", _)) => refused("dates and times are not tensors; save numbers"),
            Some(("c", _)) => refused("no tensor is complex; save real and imaginary part"),
            _ => refused("no tensor has it; `.astype` makes another"),
        }?;
        Ok(Self { form, is_big_endian: order == ">", width })
    }

    fn elements(&self, bytes: &[u8]) -> Result<TensorData, FileError> {
        match self.form {
            Form::Number(datatype) => {
                let turned = (self.is_big_endian && self.width > 1).then(|| reversed(bytes, self.width));
                TensorData::from_le_bytes(datatype, turned.as_deref().unwrap_or(bytes))
                    .ok_or_else(|| FileError::new("an element of its truth values is neither 0 nor 1"))
            }
            Form::Bytes => {
                Ok(TensorData::Bytes(bytes.chunks(self.width).map(|element| unpadded(element).to_vec()).collect()))
            }
            Form::Text => {
                let turned = self.is_big_endian.then(|| reversed(bytes, 4));
                let texts = turned.as_deref().unwrap_or(bytes).chunks(self.width).map(text);
                let texts: Option<Vec<_>> = texts.collect();
                texts.map(TensorData::Bytes).ok_or_else(|| FileError::new("an element of its texts is no text"))
            }
        }
    }
}

/// Each `width` bytes the other way round.
fn reversed(bytes: &[u8], width: usize) -> Vec<u8> {
    bytes.chunks(width).flat_map(|element| element.iter().rev().copied()).collect()
}

/// Without the zeros at its end.
fn unpadded(element: &[u8]) -> &[u8] {
    let end = element.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
    element.get(..end).unwrap_or_default()
}

/// Characters of four bytes as UTF-8, without the zeros at the end.
fn text(element: &[u8]) -> Option<Vec<u8>> {
    let (characters, _) = element.as_chunks::<4>();
    let text: Option<String> = characters.iter().map(|bytes| char::from_u32(u32::from_le_bytes(*bytes))).collect();
    text.map(|text| text.trim_end_matches('\0').as_bytes().to_vec())
}
