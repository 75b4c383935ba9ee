//! Why a model is refused before it is loaded, and the limits.

use std::path::{Path, PathBuf};

use teegate_encoding::protobuf::ProtobufError;

/// Protocol Buffers allow a message of less than 2 GiB, and so does ONNX.
pub(super) const MAX_MODEL_BYTES: u64 = (1 << 31) - 1;

/// Subgraphs inside subgraphs; real models stay below five.
pub(super) const MAX_DEPTH: usize = 32;

/// Calls of functions inside functions.
pub(super) const MAX_CALL_DEPTH: usize = 32;

/// Nodes that functions bring into a model, calls included. Exporters that write functions stay below a few thousand.
pub(super) const MAX_EXPANDED_NODES: u64 = 1 << 16;

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
    /// A folder of models is not one.
    Repository {
        /// The folder.
        path: PathBuf,
        /// What was expected in it.
        expected: &'static str,
    },
    /// An OCI image layout does not lead to a model.
    Layout {
        /// The folder.
        path: PathBuf,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// The bytes are not those that were asked for.
    OtherDigest {
        /// The file, or the folder that it was found in.
        path: PathBuf,
        /// SHA-256 of what is there.
        actual: String,
        /// SHA-256 of what was asked for.
        expected: String,
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
    /// A manifest was asked for where there is no OCI image layout.
    NoLayout {
        /// The file.
        path: PathBuf,
    },
    /// The file is in ONNX Runtime's own format, which this check does not read.
    OrtFormat,
    /// Subgraphs are nested too deeply.
    TooDeep,
    /// A function calls itself, through others or at once.
    CallsItself {
        /// The function's name.
        function: String,
    },
    /// Functions call each other too deeply.
    CallsTooDeep {
        /// The function at the end of the calls.
        function: String,
    },
    /// Functions expand to too many nodes.
    TooManyNodes,
    /// A tensor keeps its bytes outside the file.
    ExternalData {
        /// The tensor's name.
        tensor: String,
    },
}

impl From<ProtobufError> for ModelError {
    fn from(error: ProtobufError) -> Self {
        Self::Malformed { offset: error.offset(), expected: error.expected() }
    }
}

impl std::fmt::Display for ModelError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable { path, reason } => write!(f, "model file `{}` cannot be read: {reason}", line(path)),
            Self::Repository { path, expected } => {
                write!(f, "folder of models: no model in `{}`, expected {expected} in it", line(path))
            }
            Self::NoLayout { path } => write!(
                f,
                "model file `{}` is no folder: `oci_manifest` chooses from an OCI image layout; leave it out for a file, and name its digest with `sha256`",
                line(path)
            ),
            Self::Layout { path, reason } => write!(f, "OCI image layout `{}`: {reason}", line(path)),
            Self::OtherDigest { path, actual, expected } => {
                write!(f, "model file `{}` has sha256 {actual}, expected {expected}", line(path))
            }
            Self::TooLarge => write!(f, "model file is larger than {MAX_MODEL_BYTES} bytes, the limit of the format"),
            Self::Malformed { offset, expected } => {
                write!(f, "model file is not ONNX: expected {expected} at byte {offset}")
            }
            Self::OrtFormat => write!(f, "model file is in ORT format; give the ONNX file it was made from"),
            Self::TooDeep => write!(f, "model nests subgraphs deeper than {MAX_DEPTH}"),
            Self::CallsItself { function } => write!(f, "model has a function `{function}` that calls itself"),
            Self::CallsTooDeep { function } => {
                write!(
                    f,
                    "model has functions that call each other more than {MAX_CALL_DEPTH} deep, down to `{function}`"
                )
            }
            Self::TooManyNodes => write!(
                f,
                "model has functions that expand to more than {MAX_EXPANDED_NODES} nodes, and loading would take very long; export it without functions"
            ),
            Self::ExternalData { tensor } => write!(
                f,
                "model keeps the data of tensor `{tensor}` in another file, which the model's digest would not cover; save it as one file (`onnx.save(model, path)` with all tensors inline)"
            ),
        }
    }
}

impl std::error::Error for ModelError {}

/// A name in a model, as far as an error repeats it on a terminal: one short line.
pub(crate) fn shown(name: &[u8]) -> String {
    on_a_line(&String::from_utf8_lossy(name).chars().take(80).collect::<String>())
}

/// Without what moves the cursor of a terminal or turns the direction of its text.
pub(crate) fn on_a_line(text: &str) -> String {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || turns(c) { ' ' } else { c }).collect()
}

/// A path, whose folders somebody else may have named.
fn line(path: &Path) -> String {
    on_a_line(&path.to_string_lossy())
}
