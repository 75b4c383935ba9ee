//! The file that says that the door is open: there from then on, gone when it closes.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::atomic::{self, Existing};

/// Removes the file when it is dropped.
pub(super) struct ReadyFile(PathBuf);

impl ReadyFile {
    /// Takes away what an earlier run may have left, so that nobody takes it for this one's.
    pub(super) fn announce(path: &Path) -> Result<Self, String> {
        match fs::remove_file(path) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => {
                Err(format!("`{}` of an earlier run cannot be removed: {cause}", path.display()))
            }
            _ => Ok(Self(path.to_owned())),
        }
    }

    /// Writes it, whole.
    pub(super) fn write(&self, text: &str) -> Result<(), String> {
        atomic::write(&self.0, text.as_bytes(), Existing::Replace)
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_there_while_the_door_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ready");
        fs::write(&path, "an earlier run").unwrap();
        let file = ReadyFile::announce(&path).unwrap();
        assert!(!path.exists());
        file.write("now\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "now\n");
        drop(file);
        assert!(!path.exists());
        let refused = ReadyFile::announce(folder.path()).map(drop).unwrap_err();
        assert!(refused.contains("of an earlier run cannot be removed"), "{refused}");
    }
}
