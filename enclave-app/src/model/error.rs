//! Why a model is refused before it is loaded, and the limits.

use std::path::PathBuf;

/// Protocol Buffers allow a message of less than 2 GiB, and so does ONNX.
pub(super) const MAX_MODEL_BYTES: u64 = (1 << 31) - 1;

/// Subgraphs inside subgraphs; real models stay below five.
pub(super) const MAX_DEPTH: usize = 32;

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
