//! Files that are there whole or not at all: written beside their place, flushed to the disk, then renamed into it.

use std::fs::Permissions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

/// What may stand in the file's place already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Nothing: a file that is there stays, and the write fails.
    Keep,
    /// Anything: it is replaced.
    Replace,
}

/// Writes `bytes` to `path`.
pub(crate) fn write(path: &Path, bytes: &[u8], existing: Existing) -> Result<(), String> {
    let failed = |cause: &dyn std::fmt::Display| format!("`{}` cannot be written: {cause}", path.display());
    if path.is_dir() {
        return Err(failed(&"it is a folder"));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = beside(folder).map_err(|cause| failed(&cause))?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(|cause| failed(&cause))?;
    let placed = match existing {
        Existing::Replace => file.persist(path),
        Existing::Keep => file.persist_noclobber(path),
    };
    match placed {
        Ok(_file) => Ok(()),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {
            Err(failed(&"it exists already; name another file, or give `--force` to replace it"))
        }
        Err(error) => Err(failed(&error.error)),
    }
}

/// A file that nobody sees by its final name yet, readable as any new file is.
fn beside(folder: &Path) -> std::io::Result<NamedTempFile> {
    Builder::new().prefix(".teegate-").permissions(Permissions::from_mode(0o666)).tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_is_replaced_only_when_asked_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        write(&path, b"one", Existing::Keep).unwrap();
        let refused = write(&path, b"two", Existing::Keep).unwrap_err();
        assert!(refused.contains("it exists already; name another file, or give `--force`"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write(&path, b"two", Existing::Replace).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = folder.path().join("no/such/out");
        assert!(write(&nowhere, b"", Existing::Replace).unwrap_err().contains("no/such/out` cannot be written"));
        assert!(write(folder.path(), b"", Existing::Replace).unwrap_err().ends_with("it is a folder"));
    }
}
