//! A model is untrusted input, and its digest must cover every byte that is loaded.
//!
//! ONNX lets a tensor keep its bytes in another file (`TensorProto.data_location = EXTERNAL`), and ONNX Runtime follows
//! such a reference from the working directory even when the model itself came from memory. This module reads a model
//! file once, digests it, and walks the Protocol Buffers encoding (onnx.proto3 of ONNX 1.21) for any tensor that points
//! outside: in initialisers, sparse initialisers, attributes, subgraphs, functions and training graphs. Finding one
//! refuses the model before ONNX Runtime sees it.

mod error;
mod external;
mod fields;

use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use error::MAX_MODEL_BYTES;
pub use error::ModelError;

/// The bytes of a model file, and the digest that the manifest shows.
pub struct ModelFile {
    bytes: Vec<u8>,
    sha256: [u8; 32],
}

impl ModelFile {
    /// Reads and digests the file at `path`, and refuses it if it refers to anything outside itself.
    ///
    /// # Errors
    /// [`ModelError`] says why.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        let unreadable =
            |source: std::io::Error| ModelError::Unreadable { path: path.to_owned(), reason: source.to_string() };
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(unreadable)?;
        file.take(MAX_MODEL_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        Self::from_bytes(bytes)
    }

    /// As [`ModelFile::load`], from bytes already read.
    ///
    /// # Errors
    /// [`ModelError`] says why.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, ModelError> {
        if bytes.len() as u64 > MAX_MODEL_BYTES {
            return Err(ModelError::TooLarge);
        }
        if bytes.get(4..8) == Some(b"ORTM") {
            return Err(ModelError::OrtFormat);
        }
        external::refuse(&bytes)?;
        let sha256 = Sha256::digest(&bytes).into();
        Ok(Self { bytes, sha256 })
    }

    /// The bytes that were digested and are loaded.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the file.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }
}

impl std::fmt::Debug for ModelFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ModelFile({} bytes, sha256 {})", self.bytes.len(), hex::encode(self.sha256))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One length-delimited field.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for mut value in [usize::from(number) << 3 | 2, content.len()] {
            loop {
                let [low, ..] = value.to_le_bytes();
                value >>= 7;
                if value == 0 {
                    out.push(low & 0x7f);
                    break;
                }
                out.push(low | 0x80);
            }
        }
        out.extend_from_slice(content);
        out
    }

    fn tensor(location: &[u8]) -> Vec<u8> {
        [field(8, b"w"), location.to_vec()].concat()
    }

    const EXTERNAL: &[u8] = &[14 << 3, 1];
    const DEFAULT: &[u8] = &[14 << 3, 0];

    /// Every way from the model to a tensor.
    fn paths(tensor: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
        let in_attribute = field(5, &field(5, tensor));
        let subgraph = field(5, &field(6, &field(5, tensor)));
        let subgraphs = field(5, &field(11, &field(1, &in_attribute)));
        vec![
            ("initialiser", field(7, &field(5, tensor))),
            ("sparse values", field(7, &field(15, &field(1, tensor)))),
            ("sparse indices", field(7, &field(15, &field(2, tensor)))),
            ("attribute", field(7, &field(1, &in_attribute))),
            ("attribute list", field(7, &field(1, &field(5, &field(10, tensor))))),
            ("subgraph", field(7, &field(1, &subgraph))),
            ("subgraph list", field(7, &field(1, &subgraphs))),
            ("sparse attribute", field(7, &field(1, &field(5, &field(22, &field(1, tensor)))))),
            ("function", field(25, &field(7, &in_attribute))),
            ("default of a function's attribute", field(25, &field(11, &field(5, tensor)))),
            ("training", field(20, &field(2, &field(5, tensor)))),
            ("second graph", [field(7, b""), field(7, &field(5, tensor))].concat()),
        ]
    }

    #[test]
    fn external_data_is_refused_wherever_it_hides() {
        for (place, model) in paths(&tensor(EXTERNAL)) {
            assert_eq!(
                ModelFile::from_bytes(model).unwrap_err(),
                ModelError::ExternalData { tensor: "w".into() },
                "{place}"
            );
        }
        for (place, model) in paths(&tensor(&field(13, b""))) {
            assert_eq!(
                ModelFile::from_bytes(model).unwrap_err(),
                ModelError::ExternalData { tensor: "w".into() },
                "{place}"
            );
        }
        for (place, model) in paths(&tensor(DEFAULT)) {
            assert!(ModelFile::from_bytes(model).is_ok(), "{place}");
        }
    }

    #[test]
    fn a_key_that_another_reader_shortens_is_refused_wherever_it_hides() {
        // With the low 32 bits only, these are fields 13 (of no bytes) and 14 (EXTERNAL); so is 14 in six bytes.
        for key in [
            &[0xEA, 0x80, 0x80, 0x80, 0x10, 0][..],
            &[0xF0, 0x80, 0x80, 0x80, 0x10, 1],
            &[0xF0, 0x80, 0x80, 0x80, 0x80, 0, 1],
        ] {
            for (place, model) in paths(&tensor(key)) {
                match ModelFile::from_bytes(model).unwrap_err() {
                    ModelError::Malformed { expected, .. } => {
                        assert_eq!(expected, "a field key of at most 32 bits in 5 bytes", "{place}");
                    }
                    other => panic!("{place}: {other:?}"),
                }
            }
        }
        // The same number in five bytes is the same field everywhere.
        for (place, model) in paths(&tensor(&[0xF0, 0x80, 0x80, 0x80, 0, 1])) {
            assert_eq!(
                ModelFile::from_bytes(model).unwrap_err(),
                ModelError::ExternalData { tensor: "w".into() },
                "{place}"
            );
        }
    }

    #[test]
    fn malformed_files_are_named_by_offset() {
        let truncated = field(7, &field(5, b"abc"));
        for end in 1..truncated.len() {
            assert!(
                matches!(ModelFile::from_bytes(truncated[..end].to_vec()), Err(ModelError::Malformed { .. })),
                "{end}"
            );
        }
        for (bytes, offset) in
            [(vec![0x0b], 0), (vec![0xff; 11], 10), (vec![7 << 3 | 2, 2, 5 << 3 | 2, 9], 4), (vec![0, 0], 0)]
        {
            match ModelFile::from_bytes(bytes.clone()) {
                Err(ModelError::Malformed { offset: at, .. }) => assert_eq!(at, offset, "{bytes:?}"),
                other => panic!("{bytes:?}: {other:?}"),
            }
        }
        assert_eq!(ModelFile::from_bytes(b"\x18\0\0\0ORTM".to_vec()).unwrap_err(), ModelError::OrtFormat);
    }

    #[test]
    fn nesting_has_an_end() {
        let mut deep = field(5, b"");
        for _ in 0..40 {
            deep = field(1, &field(5, &field(6, &deep)));
        }
        assert_eq!(ModelFile::from_bytes(field(7, &deep)).unwrap_err(), ModelError::TooDeep);
        let mut shallow = field(5, b"");
        for _ in 0..20 {
            shallow = field(1, &field(5, &field(6, &shallow)));
        }
        assert!(ModelFile::from_bytes(field(7, &shallow)).is_ok());
    }
}
