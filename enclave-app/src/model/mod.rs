//! A model is untrusted input, and its digest must cover every byte that is loaded.
//!
//! ONNX lets a tensor keep its bytes in another file (`TensorProto.data_location = EXTERNAL`), and ONNX Runtime follows
//! such a reference from the working directory even when the model itself came from memory. This module reads a model
//! file once, digests it, and walks the Protocol Buffers encoding (onnx.proto3 of ONNX 1.21) for any tensor that points
//! outside: in initialisers, sparse initialisers, attributes, subgraphs, functions and training graphs. Finding one
//! refuses the model before ONNX Runtime sees it; so do functions that would make far more of the model than its file.
//!
//! A model comes as a file, as a blob that is called by its digest, out of an OCI image layout (`oci`), or out of a folder of
//! models ([`repository`]).

mod declared;
mod error;
mod external;
mod functions;
mod oci;
pub mod repository;
mod tar;

use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};
use teegate_encoding::hex;

pub(crate) use declared::any_rank;
use error::MAX_MODEL_BYTES;
pub use error::ModelError;
pub(crate) use error::{on_a_line, shown};

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
        Self::from_bytes(read(path)?)
    }

    /// Reads what is at `path`, and refuses it if its SHA-256 is not the one expected. A folder has to be an OCI image
    /// layout, of which `oci_manifest` chooses a manifest by digest or tag. A file below a folder `sha256` that is called by
    /// a digest, as blobs are, has to have that one.
    ///
    /// # Errors
    /// [`ModelError`] says why.
    pub fn find(path: &Path, sha256: Option<&str>, oci_manifest: Option<&str>) -> Result<Self, ModelError> {
        let bytes = match oci_manifest {
            _ if path.is_dir() => oci::read(path, oci_manifest)?,
            None => read(path)?,
            Some(_) => return Err(ModelError::NoLayout { path: path.to_owned() }),
        };
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        let actual = hex::encode(digest);
        match [sha256, blob_name(path)].into_iter().flatten().find(|expected| *expected != actual) {
            Some(expected) => {
                Err(ModelError::OtherDigest { path: path.to_owned(), actual, expected: expected.to_owned() })
            }
            None => Self::of(bytes, digest),
        }
    }

    /// As [`ModelFile::load`], from bytes already read.
    ///
    /// # Errors
    /// [`ModelError`] says why.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, ModelError> {
        let sha256 = Sha256::digest(&bytes).into();
        Self::of(bytes, sha256)
    }

    fn of(bytes: Vec<u8>, sha256: [u8; 32]) -> Result<Self, ModelError> {
        if bytes.len() as u64 > MAX_MODEL_BYTES {
            return Err(ModelError::TooLarge);
        }
        if bytes.get(4..8) == Some(b"ORTM") {
            return Err(ModelError::OrtFormat);
        }
        // The first bounds how deep messages are nested, which the second relies on.
        external::refuse(&bytes)?;
        functions::refuse(&bytes)?;
        // What a worker reads again, once it is confined: that it can be read is known here.
        any_rank(&bytes)?;
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

/// A file, no further than the format allows.
fn read(path: &Path) -> Result<Vec<u8>, ModelError> {
    let unreadable =
        |source: std::io::Error| ModelError::Unreadable { path: path.to_owned(), reason: source.to_string() };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_MODEL_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// The digest that a blob is called by.
fn blob_name(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    (path.parent()?.file_name()? == "sha256" && oci::is_sha256(name)).then_some(name)
}

impl std::fmt::Debug for ModelFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ModelFile({} bytes, sha256 {})", self.bytes.len(), hex::encode(self.sha256))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_not_asked_of_a_file() {
        let path = std::env::temp_dir().join(format!("teegate-file-{}.onnx", std::process::id()));
        std::fs::write(&path, field(8, b"x")).unwrap();
        let found = |asked| ModelFile::find(&path, None, asked).map(drop).map_err(|error| error.to_string());
        let (asked, not_asked) = (found(Some("v1")), found(None));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(not_asked, Ok(()));
        let error = asked.unwrap_err();
        assert!(error.contains("`oci_manifest` chooses from an OCI image layout"), "{error}");
        assert!(error.contains("is no folder"), "{error}");
    }

    #[test]
    fn what_an_error_repeats_of_a_model_is_a_line_of_a_terminal() {
        assert_eq!(error::shown("é\u{1b}[2J\nx\u{9b}".as_bytes()), "é [2J x ");
        assert_eq!(error::shown(&[b'a'; 90]).len(), 80);
        // What turns the direction of text is as bad as what moves the cursor.
        assert_eq!(error::shown("a\u{202e}b".as_bytes()), "a b");
    }

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
    fn a_scalar_is_told_from_a_tensor_of_unknown_rank() {
        let value = |name: &str, declared: &[u8]| [field(1, name.as_bytes()), field(2, declared)].concat();
        let element = &[1 << 3, 1][..];
        let graph = [
            field(11, &value("unknown", &field(1, element))),
            field(11, &value("scalar", &field(1, &[element, &field(2, b"")].concat()))),
            field(12, &value("vector", &field(1, &[element, &field(2, &field(1, b""))].concat()))),
            // Of a message that stands there twice both parts count.
            field(12, &value("in two parts", &[field(1, element), field(1, &field(2, b""))].concat())),
            field(12, &field(1, b"untyped")),
        ];
        let any_rank = any_rank(&field(7, &graph.concat())).unwrap();
        let names = ["unknown", "scalar", "vector", "in two parts", "untyped", "absent"];
        assert_eq!(names.map(|name| any_rank.contains(name.as_bytes())), [true, false, false, false, true, false]);
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

    /// A function of this name that holds these nodes.
    fn function(name: &str, nodes: &[Vec<u8>]) -> Vec<u8> {
        let nodes: Vec<u8> = nodes.iter().flat_map(|node| field(7, node)).collect();
        field(25, &[field(1, name.as_bytes()), nodes, field(10, b"d")].concat())
    }

    /// A node that calls a function of this name.
    fn call(name: &str) -> Vec<u8> {
        [field(4, name.as_bytes()), field(7, b"d")].concat()
    }

    fn graph_of(nodes: &[Vec<u8>]) -> Vec<u8> {
        field(7, &nodes.iter().flat_map(|node| field(1, node)).collect::<Vec<u8>>())
    }

    /// 2^(`levels` + 1) - 2 nodes.
    fn doubling(levels: usize) -> Vec<Vec<u8>> {
        let name = |level: usize| format!("f{level}");
        let leaf = function("f1", &[field(4, b"Identity"), field(4, b"Identity")]);
        let double = |level| function(&name(level), &[call(&name(level - 1)), call(&name(level - 1))]);
        std::iter::once(leaf).chain((2..=levels).map(double)).collect()
    }

    #[test]
    fn functions_that_double_are_counted_and_refused() {
        let load = |called: &[Vec<u8>], functions: Vec<Vec<u8>>| {
            ModelFile::from_bytes([graph_of(called), functions.concat()].concat()).map(drop)
        };
        // 65,534 nodes, and with one call more 65,536, which is the limit.
        assert_eq!(load(&[call("f15")], doubling(15)), Ok(()));
        let one_more = |nodes: &[Vec<u8>]| [doubling(15), vec![function("g", nodes)]].concat();
        assert_eq!(load(&[call("f15"), call("g")], one_more(&[field(4, b"Add"), field(4, b"Add")])), Ok(()));
        let three = [field(4, b"Add"), field(4, b"Add"), field(4, b"Add")];
        assert_eq!(load(&[call("f15"), call("g")], one_more(&three)), Err(ModelError::TooManyNodes));
        assert_eq!(load(&[call("f22")], doubling(22)), Err(ModelError::TooManyNodes));
        assert_eq!(load(&[call("f15"), call("f15")], doubling(15)), Err(ModelError::TooManyNodes));
        // A message that stands there twice is one, of both.
        let twice = [graph_of(&[call("f15")]), graph_of(&[call("f15")]), doubling(15).concat()].concat();
        assert_eq!(ModelFile::from_bytes(twice).unwrap_err(), ModelError::TooManyNodes);
        // Beyond what a number of 64 bits holds, in reverse order, and out of graphs inside nodes.
        let mut reversed = doubling(32);
        reversed.reverse();
        assert_eq!(load(&[call("f32")], reversed), Err(ModelError::TooManyNodes));
        let branch = |number, name| field(5, &field(number, &field(1, &call(name))));
        for number in [6, 11] {
            let node = [field(4, b"If"), branch(number, "f15"), branch(number, "f15")].concat();
            assert_eq!(load(&[node], doubling(15)), Err(ModelError::TooManyNodes), "{number}");
        }
        // What nobody calls brings nothing, and neither does an operator of the same name in another domain.
        assert_eq!(load(&[field(4, b"f22")], doubling(22)), Ok(()));
        // The standard's domain has two names.
        let standard = |domain: &[u8]| {
            let nodes: Vec<Vec<u8>> = (0..2).map(|_| field(7, &call("f15"))).collect();
            [field(1, b"Own"), nodes.concat(), field(10, domain)].concat()
        };
        for (defined, called) in [(&b""[..], &b"ai.onnx"[..]), (b"ai.onnx", b"")] {
            let functions = [doubling(15), vec![field(25, &standard(defined))]].concat();
            let node = [field(4, b"Own"), field(7, called)].concat();
            assert_eq!(load(&[node], functions), Err(ModelError::TooManyNodes));
        }
    }

    #[test]
    fn functions_that_call_themselves_or_without_end_are_refused_by_name() {
        let load = |functions: &[Vec<u8>]| {
            ModelFile::from_bytes([graph_of(&[call("a")]), functions.concat()].concat()).map(drop)
        };
        let itself = |function: &str| Err(ModelError::CallsItself { function: function.into() });
        assert_eq!(load(&[function("a", &[call("a")])]), itself("a"));
        assert_eq!(load(&[function("a", &[call("b")]), function("b", &[call("a")])]), itself("a"));
        assert_eq!(load(&[function("a", &[call("b"), call("b")]), function("b", &[])]), Ok(()));
        // Two overloads of a name are two functions.
        let overloaded = |name: &str| [call(name), field(8, b"2")].concat();
        let second = field(25, &[field(1, b"a"), field(10, b"d"), field(13, b"2")].concat());
        assert_eq!(load(&[function("a", &[overloaded("a")]), second]), Ok(()));

        let chain = |length: usize| {
            let name = |n: usize| if n == 0 { "a".to_owned() } else { format!("a{n}") };
            (0..length).map(|n| function(&name(n), &[call(&name(n + 1))])).collect::<Vec<_>>()
        };
        assert_eq!(load(&chain(32)), Ok(()));
        assert_eq!(load(&chain(33)), Err(ModelError::CallsTooDeep { function: "a32".into() }));
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
