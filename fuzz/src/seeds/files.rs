//! Inputs of models, as people have them.

use teegate_client::oip::{Tensor, TensorData};
use teegate_files::{npy, npz};

use crate::forged::Seeds;

fn tensors() -> [(&'static str, Tensor); 3] {
    let tensor = |name: &str, shape: &[u64], data| Tensor { name: name.to_owned(), shape: shape.to_vec(), data };
    [
        ("numbers", tensor("x", &[2, 2], TensorData::Fp32(vec![0.5, 1.5, f32::NAN, -1.0]))),
        ("bytes", tensor("y", &[2], TensorData::Bytes(vec![b"a\xFF".to_vec(), b"b".to_vec()]))),
        ("text", tensor("z", &[1, 2], TensorData::Bytes(vec![b"ab".to_vec(), "\u{fc}".as_bytes().to_vec()]))),
    ]
}

pub(super) fn npy() -> Seeds {
    let written = |(name, tensor): (&'static str, Tensor)| npy::write(&tensor).ok().map(|bytes| (name, bytes));
    let mut seeds: Seeds = tensors().into_iter().filter_map(written).collect();
    let header = b"{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }\n";
    let length = u32::try_from(header.len()).unwrap_or(0);
    let elements = [0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6];
    seeds.push(("fortran", [b"\x93NUMPY\x02\0", &length.to_le_bytes()[..], header, &elements].concat()));
    seeds
}

pub(super) fn npz() -> Seeds {
    let tensors = tensors().map(|(_, tensor)| tensor);
    vec![
        ("stored", npz::write(&tensors).unwrap_or_default()),
        // As NumPy compresses one.
        ("deflated", include_bytes!("../../../client/files/tests/numpy/deflated.npz").to_vec()),
    ]
}

pub(super) fn table() -> Seeds {
    let text = |first: u8, text: &str| [&[first], text.as_bytes()].concat();
    vec![
        ("numbers", text(11, "1.5,2\n-3,4e2\n")),
        ("header", text(12, "a;b\r\n1;\"2\"\r\n")),
        ("titles", text(24, "x,y\n1,2\n3,4.0\n")),
        ("texts", text(13, "x\n\"one, \"\"two\"\"\"\nthree\n")),
    ]
}
