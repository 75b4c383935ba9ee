//! Files that NumPy wrote (`tests/numpy/make.py`), and files that nobody should have written.

use teegate_client::oip::{Tensor, TensorData};

use super::*;

macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!("../../tests/numpy/", $name, ".npy")).as_slice()
    };
}

fn array(shape: &[u64], data: TensorData) -> Array {
    Array { shape: shape.to_vec(), data }
}

fn texts(texts: &[&[u8]]) -> TensorData {
    TensorData::Bytes(texts.iter().map(|text| text.to_vec()).collect())
}

#[test]
fn what_numpy_writes_is_read_in_every_version_order_and_type() {
    let plain = array(&[1, 3], TensorData::Fp32(vec![1.5, -2.0, f32::INFINITY]));
    for (name, file) in [
        ("plain", file!("plain")),
        ("version-2", file!("version-2")),
        ("version-3", file!("version-3")),
        ("big-endian", file!("big-endian")),
    ] {
        assert_eq!(read(file), Ok(plain.clone()), "{name}");
    }
    let count = array(&[2, 3, 4], TensorData::Int16((0..24).collect()));
    assert_eq!(read(file!("fortran")), Ok(count.clone()));
    assert_eq!(read(file!("fortran-big-endian")), Ok(count));
    assert_eq!(read(file!("half")), Ok(array(&[3], TensorData::Fp16(vec![0x3E00, 0xC000, 0x7C00]))));
    assert_eq!(read(file!("truth")), Ok(array(&[2], TensorData::Bool(vec![true, false]))));
    assert_eq!(read(file!("scalar")), Ok(array(&[], TensorData::Int64(vec![7]))));
    assert_eq!(read(file!("empty")), Ok(array(&[0, 3], TensorData::Fp64(vec![]))));
    assert_eq!(read(file!("bytes")), Ok(array(&[3], texts(&[b"ab", b"", b"c\0d"]))));
    let text = array(&[3], texts(&[b"ab", b"", "\u{fc}\u{1f600}".as_bytes()]));
    assert_eq!(read(file!("text")), Ok(text.clone()));
    assert_eq!(read(file!("text-big-endian")), Ok(text));
    assert_eq!(read(file!("text-fortran")), Ok(array(&[2, 2], texts(&[b"a", b"b", b"c", b"d"]))));
    assert_eq!(read(file!("bfloat16")), Ok(array(&[2], TensorData::Bf16(vec![0x3F80, 0xC000]))));
}

#[test]
fn what_is_no_tensor_is_named() {
    for (file, reason) in [
        (file!("objects"), "NumPy's type `|O`: pickled objects are code and are not read"),
        (file!("records"), "this is a structured array (records)"),
        (file!("complex"), "NumPy's type `<c16`: no tensor is complex"),
        (file!("dates"), "NumPy's type `<M8[D]`: dates and times are not tensors"),
        (file!("void"), "NumPy's type `|V3`: no tensor has it"),
    ] {
        let error = read(file).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

/// A file of version 1 with this header.
fn with_header(header: &str, elements: &[u8]) -> Vec<u8> {
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\0", &length[..], header.as_bytes(), elements].concat()
}

#[test]
fn no_size_is_believed_and_every_cut_is_an_error() {
    let of = |kind: &str, shape: &str, elements: &[u8]| {
        read(&with_header(&format!("{{'descr': '{kind}', 'fortran_order': True, 'shape': {shape}}}"), elements))
            .map_err(|error| error.to_string())
    };
    assert!(of("<f4", "(2,)", &[0; 8]).is_ok());
    for (kind, shape, elements, reason) in [
        ("<f4", "(2,)", &[0; 7][..], "its header says [2], which takes 8 bytes, and 7 are there"),
        ("<f4", "(2,)", &[0; 9], "which takes 8 bytes, and 9 are there"),
        ("<f4", "(4611686018427387904,)", &[0; 8], "takes more than any bytes, and 8 are there"),
        ("<f4", "(9223372036854775807, 9223372036854775807)", &[0; 8], "takes more than any bytes"),
        ("<f4", "(1152921504606846976,)", &[0; 8], "which takes 4611686018427387904 bytes, and 8 are there"),
        ("|S0", "(1152921504606846976,)", &[], "NumPy's type `|S0`: that has no width"),
        ("<U0", "(1152921504606846976,)", &[], "that has no width"),
        ("<U9223372036854775807", "(1,)", &[0; 4], "that has no width"),
        ("|S99999999999999999999", "(1,)", &[0; 4], "that has no width"),
        ("|b1", "(1,)", &[2], "neither 0 nor 1"),
        ("<U1", "(1,)", &[0, 0xD8, 0, 0], "is no text"),
        ("<f16", "(1,)", &[0; 16], "no tensor has it"),
        ("", "()", &[], "its elements are of NumPy's type ``"),
        ("\u{fc}4", "()", &[], "no tensor has it"),
    ] {
        let error = of(kind, shape, elements).unwrap_err();
        assert!(error.contains(reason), "{kind} {shape}: {error}");
    }
    let whole = file!("version-2");
    for end in 0..whole.len() {
        assert!(read(&whole[..end]).is_err(), "{end}");
    }
    let header = |version: u8, length: &[u8]| read(&[b"\x93NUMPY", &[version, 0][..], length].concat());
    let error = header(2, &u32::MAX.to_le_bytes()).unwrap_err().to_string();
    assert_eq!(error, "its header is said to have 4294967295 bytes; 65536 are read at most");
    assert!(header(4, &[0; 4]).unwrap_err().to_string().contains("NumPy's format 4; 1, 2 and 3 are read"));
    assert_eq!(read(b"PK\x03\x04").unwrap_err().to_string(), "this is no NumPy file");
}

#[test]
fn what_is_written_is_read_again() {
    for data in [
        TensorData::Bool(vec![true, false]),
        TensorData::Uint16(vec![1, 2]),
        TensorData::Int64(vec![i64::MIN, 2]),
        TensorData::Fp16(vec![0x7C00, 1]),
        TensorData::Fp64(vec![f64::INFINITY, 0.1]),
        texts(&[b"\xff", b"a"]),
        texts(&["\u{1f600}".as_bytes(), b""]),
    ] {
        let tensor = Tensor { name: "y".to_owned(), shape: vec![1, 2], data: data.clone() };
        assert_eq!(read(&write(&tensor).unwrap()), Ok(array(&[1, 2], data)));
    }
}
