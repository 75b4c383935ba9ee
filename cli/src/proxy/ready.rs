//! The file that says that the door is open: there from then on, gone when it closes.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use crate::atomic::{self, Existing};

/// How every such file begins.
const BEGINS: &[u8] = b"{\"listening\"";

/// Removes the file when it is dropped.
pub(super) struct ReadyFile(PathBuf);

impl ReadyFile {
    /// Takes away what an earlier run may have left, so that nobody takes it for this one's. To be called once the place is this run's:
    /// until then the file may be that of a door that is open there.
    pub(super) fn announce(path: &Path) -> Result<Self, String> {
        let cannot = |what: &dyn std::fmt::Display| format!("ready file `{}`: {what}", path.display());
        let not_ours = || Err(cannot(&"it exists and is not that of an earlier run; name another, or remove it"));
        // Opening a pipe would wait for somebody to write to it.
        if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            return not_ours();
        }
        let mut begins = Vec::new();
        let length = u64::try_from(BEGINS.len()).unwrap_or(u64::MAX);
        match fs::File::open(path).and_then(|file| file.take(length).read_to_end(&mut begins)) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Self(path.to_owned())),
            Err(cause) => return Err(cannot(&cause)),
            Ok(_) if begins != BEGINS => return not_ours(),
            Ok(_) => {}
        }
        fs::remove_file(path)
            .map_err(|cause| cannot(&format_args!("that of an earlier run cannot be removed: {cause}")))?;
        Ok(Self(path.to_owned()))
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
        fs::write(&path, "{\"listening\":\"127.0.0.1:1\"}\n").unwrap();
        let file = ReadyFile::announce(&path).unwrap();
        assert!(!path.exists());
        file.write("now\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "now\n");
        drop(file);
        assert!(!path.exists());
        drop(ReadyFile::announce(&path).unwrap());
        assert!(ReadyFile::announce(folder.path()).map(drop).unwrap_err().starts_with("ready file `"));
    }

    #[test]
    fn a_file_that_is_none_of_ours_stays() {
        let folder = tempfile::tempdir().unwrap();
        for other in ["a diary", "{\"listen", ""] {
            let path = folder.path().join("ready");
            fs::write(&path, other).unwrap();
            let refused = ReadyFile::announce(&path).map(drop).unwrap_err();
            assert!(refused.contains("it exists and is not that of an earlier run"), "{refused}");
            assert_eq!(fs::read_to_string(&path).unwrap(), other);
        }
    }
}
