//! Output tensors as files that NumPy opens: `NAME.npy`, format 1.0
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>). Every value arrives as the model gave it, a NaN
//! and an infinity too.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use teegate_client::oip::{self, Tensor, TensorData};

/// The longest file name that is made of a tensor's name, without its ending.
const MAX_NAME: usize = 80;

/// A folder that output tensors are written to.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes the folder if it is not there, so that a mistyped path is told before anything is sent.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(path).map_err(|e| format!("cannot make the folder {}: {e}", path.display()))?;
        Ok(Self(path.to_owned()))
    }

    /// Writes one file for each tensor.
    pub(super) fn save(&self, tensors: &[Tensor]) -> Result<(), String> {
        for (name, tensor) in file_names(tensors).into_iter().zip(tensors) {
            let path = self.0.join(name);
            let failed = |e: &dyn std::fmt::Display| format!("cannot write {}: {e}", path.display());
            let bytes = npy(tensor).map_err(|e| failed(&e))?;
            std::fs::write(&path, bytes).map_err(|e| failed(&e))?;
        }
        Ok(())
    }
}

/// File names made of the names that the model gives: no path, no hidden file, none twice.
fn file_names(tensors: &[Tensor]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let unused = |name: &str, taken: &mut BTreeSet<String>| {
        let free = (1_usize..)
            .map(|number| if number == 1 { format!("{name}.npy") } else { format!("{name}-{number}.npy") })
            .find(|name| !taken.contains(name));
        let free = free.unwrap_or_default();
        taken.insert(free.clone());
        free
    };
    let letter = |letter: char| if letter.is_ascii_alphanumeric() || "._-".contains(letter) { letter } else { '_' };
    tensors
        .iter()
        .map(|tensor| {
            let name: String = tensor.name.chars().take(MAX_NAME).map(letter).collect();
            let name = if name.is_empty() || name.starts_with('.') { format!("_{name}") } else { name };
            unused(&name, &mut taken)
        })
        .collect()
}

/// A tensor as a file. `BF16`, which NumPy has not, is widened to `float32`; `BYTES` are text (`U`) where all are, and else
/// bytes of one width (`S`).
fn npy(tensor: &Tensor) -> Result<Vec<u8>, String> {
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
fn elements(data: &TensorData) -> Result<(String, Vec<u8>), String> {
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
fn texts(elements: &[Vec<u8>]) -> Result<(String, Vec<u8>), String> {
    let texts: Option<Vec<&str>> = elements.iter().map(|element| std::str::from_utf8(element).ok()).collect();
    let wide = texts.map(|texts| {
        let characters = |text: &str| text.chars().flat_map(|letter| u32::from(letter).to_le_bytes()).collect();
        texts.into_iter().map(characters).collect::<Vec<Vec<u8>>>()
    });
    let (kind, unit, elements) = wide.as_deref().map_or(('S', 1, elements), |wide| ('U', 4, wide));
    // NumPy has no elements without any width.
    let width = elements.iter().map(Vec::len).max().unwrap_or_default().max(unit);
    let size = width.checked_mul(elements.len()).filter(|size| *size <= MAX_PADDED_BYTES).ok_or_else(|| {
        "its elements are of too different lengths for NumPy, which pads each to the longest".to_owned()
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
        let bytes = npy(&tensor("y", &[2, 1], TensorData::Fp32(vec![1.5, f32::NAN]))).unwrap();
        let (head, data) = bytes.split_at(128);
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, ), }";
        assert_eq!(&head[..10], b"\x93NUMPY\x01\x00\x76\x00");
        assert!(head[10..].starts_with(header.as_bytes()) && head.ends_with(b" \n"));
        assert_eq!(data, [1.5_f32.to_le_bytes(), f32::NAN.to_le_bytes()].concat());
        let scalar = npy(&tensor("y", &[], TensorData::Bool(vec![true]))).unwrap();
        assert!(scalar[10..].starts_with(b"{'descr': '|b1', 'fortran_order': False, 'shape': (), }"));
        assert_eq!((scalar.len(), scalar.last()), (129, Some(&1)));
    }

    #[test]
    fn what_numpy_has_no_type_for_is_written_as_what_comes_closest() {
        let of = |data: TensorData| {
            let bytes = npy(&tensor("y", &[data.len() as u64], data)).unwrap();
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
        assert!(npy(&tensor("y", &[1025], TensorData::Bytes(ragged))).unwrap_err().contains("too different lengths"));
    }

    #[test]
    fn no_name_leads_out_of_the_folder_or_over_another() {
        let names = ["y", "y", "../../etc/passwd", "", ".hidden", "a b/c", "y-2", "ü"];
        let tensors = names.map(|name| tensor(name, &[], TensorData::Uint8(vec![1])));
        let expected =
            ["y.npy", "y-2.npy", "_.._.._etc_passwd.npy", "_.npy", "_.hidden.npy", "a_b_c.npy", "y-2-2.npy", "_-2.npy"];
        assert_eq!(file_names(&tensors), expected);
        assert_eq!(file_names(&[tensor(&"x".repeat(500), &[], TensorData::Uint8(vec![1]))])[0].len(), 84);
    }
}
