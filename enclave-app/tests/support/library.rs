//! Where the ONNX Runtime library lies.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The library of the workspace, or the one that `TEEGATE_ORT_LIB` names.
///
/// Without it the test fails: a test that did not run has shown nothing. Where `TEEGATE_WITHOUT_ONNXRUNTIME` is set it
/// says instead that it is skipped, past libtest, which keeps what a passing test prints to itself; `ci/test.sh` counts
/// the line.
pub(crate) fn library() -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/onnxruntime/lib/libonnxruntime.so");
    let path = std::env::var_os("TEEGATE_ORT_LIB").map_or_else(default, PathBuf::from);
    if path.is_file() {
        return Some(path);
    }
    assert!(
        std::env::var_os("TEEGATE_WITHOUT_ONNXRUNTIME").is_some(),
        "no ONNX Runtime library at {}: run ci/onnxruntime.sh, or set TEEGATE_WITHOUT_ONNXRUNTIME to skip this test",
        path.display()
    );
    skipped("there is no ONNX Runtime library");
    None
}

/// Says that the test that calls it is skipped, and why.
pub(crate) fn skipped(why: &str) {
    let test = std::thread::current();
    // In one piece: the runner's own words come between pieces, and the line is counted.
    let line = format!("note: skipped: {}: {why}\n", test.name().unwrap_or("a test"));
    std::io::stderr().lock().write_all(line.as_bytes()).unwrap();
}
