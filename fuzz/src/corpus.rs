//! Where inputs lie.

use std::path::{Path, PathBuf};

/// The inputs of this target that stand in the repository.
pub fn corpus_folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// Where inputs that broke this target are written.
pub fn artifacts_folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts").join(target)
}

/// The inputs in the repository, by name.
///
/// # Errors
/// The folder is not there or cannot be read.
pub fn read_corpus(target: &str) -> std::io::Result<Vec<Vec<u8>>> {
    read_folder(&corpus_folder(target))
}

/// Every file of a folder, by name.
///
/// # Errors
/// It cannot be read.
pub fn read_folder(folder: &Path) -> std::io::Result<Vec<Vec<u8>>> {
    let mut paths = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    paths.iter().map(std::fs::read).collect()
}
