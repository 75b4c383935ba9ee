//! A model is untrusted input, and its digest must cover every byte that is loaded.
//!
//! ONNX lets a tensor keep its bytes in another file (`TensorProto.data_location = EXTERNAL`), and ONNX Runtime follows
//! such a reference from the working directory even when the model itself came from memory. This module reads a model
//! file once, digests it, and walks the Protocol Buffers encoding (onnx.proto3 of ONNX 1.21) for any tensor that points
//! outside: in initialisers, sparse initialisers, attributes, subgraphs, functions and training graphs. Finding one
//! refuses the model before ONNX Runtime sees it.

use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Protocol Buffers allow a message of less than 2 GiB, and so does ONNX.
const MAX_MODEL_BYTES: u64 = (1 << 31) - 1;

/// Subgraphs inside subgraphs; real models stay below five.
const MAX_DEPTH: usize = 32;

/// Why a model is refused before it is loaded.
#[derive(Debug, PartialEq, Eq)]
pub enum ModelError {
    /// The file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file is larger than the format allows.
    TooLarge,
    /// The bytes are not a Protocol Buffers message of the ONNX schema.
    Malformed {
        /// Where, from the start of the file.
        offset: usize,
        /// What was expected there.
        expected: &'static str,
    },
    /// The file is in ONNX Runtime's own format, which this check does not read.
    OrtFormat,
    /// Subgraphs are nested too deeply.
    TooDeep,
    /// A tensor keeps its bytes outside the file.
    ExternalData {
        /// The tensor's name.
        tensor: String,
    },
}

impl std::fmt::Display for ModelError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable { path, reason } => write!(f, "model file `{}` cannot be read: {reason}", path.display()),
            Self::TooLarge => write!(f, "model file is larger than {MAX_MODEL_BYTES} bytes, the limit of the format"),
            Self::Malformed { offset, expected } => {
                write!(f, "model file is not ONNX: expected {expected} at byte {offset}")
            }
            Self::OrtFormat => write!(f, "model file is in ORT format; give the ONNX file it was made from"),
            Self::TooDeep => write!(f, "model nests subgraphs deeper than {MAX_DEPTH}"),
            Self::ExternalData { tensor } => write!(
                f,
                "model keeps the data of tensor `{tensor}` in another file, which the model's digest would not cover; save it as one file (`onnx.save(model, path)` with all tensors inline)"
            ),
        }
    }
}

impl std::error::Error for ModelError {}

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
        refuse_external_data(&bytes)?;
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

/// The messages of onnx.proto3 through which a tensor can be reached.
#[derive(Clone, Copy)]
enum Message {
    Model,
    TrainingInfo,
    Function,
    Graph,
    Node,
    Attribute,
    SparseTensor,
    Tensor,
}

impl Message {
    /// The message that field `number` of `self` holds, if tensors can be reached through it.
    fn inner(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Model, 7) => Self::Graph,
            (Self::Model, 20) => Self::TrainingInfo,
            (Self::Model, 25) => Self::Function,
            (Self::TrainingInfo, 1 | 2) => Self::Graph,
            (Self::Function, 7) => Self::Node,
            // `attribute_proto`: the default values of a function's attributes.
            (Self::Function, 11) => Self::Attribute,
            (Self::Graph, 1) => Self::Node,
            (Self::Graph, 5) => Self::Tensor,
            (Self::Graph, 15) => Self::SparseTensor,
            (Self::Node, 5) => Self::Attribute,
            (Self::Attribute, 5 | 10) => Self::Tensor,
            (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Attribute, 22 | 23) => Self::SparseTensor,
            (Self::SparseTensor, 1 | 2) => Self::Tensor,
            _ => return None,
        })
    }
}

/// A key of 32 bits takes no more.
const MAX_KEY_BYTES: usize = 5;

/// `TensorProto.name`, `external_data` and `data_location`.
const TENSOR_NAME: u64 = 8;
const TENSOR_EXTERNAL_DATA: u64 = 13;
const TENSOR_DATA_LOCATION: u64 = 14;

fn refuse_external_data(model: &[u8]) -> Result<(), ModelError> {
    walk(Message::Model, &mut Fields { rest: model, offset: 0 }, 0)
}

/// Visits every field once; the work is linear in the length of the file, the depth is bounded.
fn walk(message: Message, fields: &mut Fields<'_>, depth: usize) -> Result<(), ModelError> {
    // A subgraph is a graph in an attribute of a node: three messages deep.
    if depth > 3 * MAX_DEPTH {
        return Err(ModelError::TooDeep);
    }
    let mut name: &[u8] = b"";
    let mut external = false;
    while let Some((number, value)) = fields.next()? {
        if let (Some(inner), Value::Bytes { bytes, offset }) = (message.inner(number), value) {
            walk(inner, &mut Fields { rest: bytes, offset }, depth + 1)?;
        }
        if matches!(message, Message::Tensor) {
            match (number, value) {
                (TENSOR_NAME, Value::Bytes { bytes, .. }) => name = bytes,
                (TENSOR_DATA_LOCATION, Value::Number(0)) => {}
                (TENSOR_EXTERNAL_DATA | TENSOR_DATA_LOCATION, _) => external = true,
                _ => {}
            }
        }
    }
    if external {
        let tensor: String = String::from_utf8_lossy(name).chars().take(128).collect();
        return Err(ModelError::ExternalData { tensor });
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Bytes { bytes: &'a [u8], offset: usize },
}

/// The fields of one message, in the order in which they stand.
struct Fields<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, ModelError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let start = self.offset;
        let key = self.varint()?;
        // Readers differ in what they make of a longer key: the library that loads the model keeps its low 32 bits, and
        // would see another field than this walk.
        if key > u64::from(u32::MAX) || self.offset - start > MAX_KEY_BYTES {
            return Err(ModelError::Malformed { offset: start, expected: "a field key of at most 32 bits in 5 bytes" });
        }
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8)?,
            2 => {
                let length = self.varint()?;
                self.take(length)?
            }
            5 => self.take(4)?,
            _ => return Err(ModelError::Malformed { offset: start, expected: "a field of wire type 0, 1, 2 or 5" }),
        };
        if key >> 3 == 0 {
            return Err(ModelError::Malformed { offset: start, expected: "a field number from 1" });
        }
        Ok(Some((key >> 3, value)))
    }

    fn varint(&mut self) -> Result<u64, ModelError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let malformed = ModelError::Malformed {
                offset: self.offset,
                expected: "a variable-length integer of at most 10 bytes",
            };
            let Some((byte, rest)) = self.rest.split_first() else { return Err(malformed) };
            self.rest = rest;
            self.offset += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ModelError::Malformed { offset: self.offset, expected: "a variable-length integer of at most 10 bytes" })
    }

    fn take(&mut self, length: u64) -> Result<Value<'a>, ModelError> {
        let malformed = ModelError::Malformed { offset: self.offset, expected: "a field that ends inside its message" };
        let Ok(length) = usize::try_from(length) else { return Err(malformed) };
        let Some((bytes, rest)) = self.rest.split_at_checked(length) else { return Err(malformed) };
        let offset = self.offset;
        self.rest = rest;
        self.offset += length;
        Ok(Value::Bytes { bytes, offset })
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
