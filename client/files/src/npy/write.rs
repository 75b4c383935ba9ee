//! A tensor as a NumPy file, format 1.0
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>). Every value is written as it is, a NaN and an
//! infinity too.

use teegate_client::oip::{self, Tensor, TensorData};

use crate::error::FileError;

/// A tensor as a file. `BF16`, which NumPy has not, is widened to `float32`; `BYTES` are text (`U`) where all are, and else
/// bytes of one width (`S`).
pub fn write(tensor: &Tensor) -> Result<Vec<u8>, FileError> {
    let (kind, elements) = elements(&tensor.data)?;
    let extents: String = tensor.shape.iter().map(|extent| format!("{extent}, ")).collect();
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({extents}), }}");
    // Magic, version, length and header together are a multiple of 64, and the header ends with a line feed.
    while !(PREFIX_BYTES + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    // At most sixteen extents: a few hundred bytes.
    let length = u16::try_from(header.len()).unwrap_or(u16::MAX);
    Ok([b"\x93NUMPY\x01\x00", &length.to_le_bytes()[..], header.as_bytes(), &elements].concat())
}

/// NumPy's word for the type of the elements, and the elements.
fn elements(data: &TensorData) -> Result<(String, Vec<u8>), FileError> {
    let kind = match data {
        TensorData::Bool(_) => "|b1",
        TensorData::Uint8(_) => "|u1",
        TensorData::Uint16(_) => "<u2",
        TensorData::Uint32(_) => "<u4",
        TensorData::Uint64(_) => "<u8",
        TensorData::Int8(_) => "|i1",
        TensorData::Int16(_) => "<i2",
        TensorData::Int32(_) => "<i4",
        TensorData::Int64(_) => "<i8",
        TensorData::Fp16(_) => "<f2",
        TensorData::Fp32(_) => "<f4",
        TensorData::Fp64(_) => "<f8",
        TensorData::Bf16(v) => {
            let wide = v.iter().map(|bits| oip::f32_from_bf16(*bits)).collect();
            return elements(&TensorData::Fp32(wide));
        }
        TensorData::Bytes(v) => return texts(v),
    };
    Ok((kind.to_owned(), data.to_le_bytes().unwrap_or_default()))
}

/// The most bytes to which elements of different lengths are padded.
const MAX_PADDED_BYTES: usize = 256 * 1024 * 1024;

/// Elements of one width, padded with zeros: characters of four bytes (`U`) where all are text, else bytes (`S`). NumPy takes
/// zeros at the end for padding.
fn texts(elements: &[Vec<u8>]) -> Result<(String, Vec<u8>), FileError> {
    let texts: Option<Vec<&str>> = elements.iter().map(|element| std::str::from_utf8(element).ok()).collect();
    let wide = texts.map(|texts| {
        let characters = |text: &str| text.chars().flat_map(|letter| u32::from(letter).to_le_bytes()).collect();
        texts.into_iter().map(characters).collect::<Vec<Vec<u8>>>()
    });
    let (kind, unit, elements) = wide.as_deref().map_or(('S', 1, elements), |wide| ('U', 4, wide));
    // NumPy has no elements without any width.
    let width = elements.iter().map(Vec::len).max().unwrap_or_default().max(unit);
    let size = width.checked_mul(elements.len()).filter(|size| *size <= MAX_PADDED_BYTES).ok_or_else(|| {
        FileError::new("its elements are of too different lengths for NumPy, which pads each to the longest")
    })?;
    let mut padded = Vec::with_capacity(size);
    for element in elements {
        padded.extend_from_slice(element);
        padded.resize(padded.len().saturating_add(width.saturating_sub(element.len())), 0);
    }
    Ok((format!("{}{kind}{}", if unit == 1 { '|' } else { '<' }, width / unit), padded))
}

/// Magic, version and length of the header.
const PREFIX_BYTES: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, shape: &[u64], data: TensorData) -> Tensor {
        Tensor { name: name.to_owned(), shape: shape.to_vec(), data }
    }

    #[test]
    fn a_file_has_the_head_of_the_format_and_the_elements_as_they_are() {
        let bytes = write(&tensor("y", &[2, 1], TensorData::Fp32(vec![1.5, f32::NAN]))).unwrap();
        let (head, data) = bytes.split_at(128);
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, ), }";
        assert_eq!(&head[..10], b"\x93NUMPY\x01\x00\x76\x00");
        assert!(head[10..].starts_with(header.as_bytes()) && head.ends_with(b" \n"));
        assert_eq!(data, [1.5_f32.to_le_bytes(), f32::NAN.to_le_bytes()].concat());
        let scalar = write(&tensor("y", &[], TensorData::Bool(vec![true]))).unwrap();
        assert!(scalar[10..].starts_with(b"{'descr': '|b1', 'fortran_order': False, 'shape': (), }"));
        assert_eq!((scalar.len(), scalar.last()), (129, Some(&1)));
    }

    #[test]
    fn what_numpy_has_no_type_for_is_written_as_what_comes_closest() {
        let of = |data: TensorData| {
            let bytes = write(&tensor("y", &[data.len() as u64], data)).unwrap();
            let header = String::from_utf8_lossy(&bytes[10..128]).into_owned();
            (header.split('\'').nth(3).unwrap().to_owned(), bytes[128..].to_vec())
        };
        let text = |elements: &[&[u8]]| of(TensorData::Bytes(elements.iter().map(|one| one.to_vec()).collect()));
        assert_eq!(of(TensorData::Fp16(vec![0x3C00])), ("<f2".to_owned(), vec![0, 0x3C]));
        assert_eq!(of(TensorData::Bf16(vec![0x3F80])), ("<f4".to_owned(), vec![0, 0, 0x80, 0x3F]));
        let wide = [b'a', 0, 0, 0, b'b', 0, 0, 0, 0xFC, 0, 0, 0, 0, 0, 0, 0].to_vec();
        assert_eq!(text(&[b"ab", "\u{fc}".as_bytes()]), ("<U2".to_owned(), wide));
        assert_eq!(text(&[b"\xff", b"", b"ab"]), ("|S2".to_owned(), b"\xff\0\0\0ab".to_vec()));
        assert_eq!(text(&[b""]), ("<U1".to_owned(), vec![0; 4]));
        assert_eq!(text(&[]), ("<U1".to_owned(), vec![]));
        let mut ragged = vec![vec![]; 1 << 10];
        ragged.push(vec![0xFF; 1 << 18]);
        assert!(
            write(&tensor("y", &[1025], TensorData::Bytes(ragged)))
                .unwrap_err()
                .to_string()
                .contains("too different lengths")
        );
    }
}
