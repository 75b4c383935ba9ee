//! Where the ONNX Runtime library lies.

use std::path::{Path, PathBuf};

/// The library of the workspace, or the one that `TEEGATE_ORT_LIB` names; without it the test says so and does not run.
pub(crate) fn library() -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/onnxruntime/lib/libonnxruntime.so");
    let path = std::env::var_os("TEEGATE_ORT_LIB").map_or_else(default, PathBuf::from);
    if path.is_file() {
        return Some(path);
    }
    eprintln!("NOT RUN: no ONNX Runtime library at {}; `ci/onnxruntime.sh` installs it", path.display());
    None
}
