//! Files that are there whole or not at all: written beside their place, flushed to the disk, then renamed into it. What is replaced
//! hands on its mode, and of a symbolic link it is what the link leads to.

use std::fmt::Display;
use std::fs::{File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

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
    let failed = |cause: &dyn Display| format!("`{}` cannot be written: {cause}", path.display());
    if path.is_dir() {
        return Err(failed(&"it is a folder"));
    }
    // What has to be new is never behind a link.
    let path = &if existing == Existing::Replace { target(path) } else { path.to_owned() };
    let mut file = beside(path).map_err(|cause| failed(&cause))?;
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

/// A place for a file, made sure of before there is anything to write, so that a mistyped path is told early. What stands there
/// already stays until the file is written.
pub(crate) struct Place {
    path: PathBuf,
    file: Opened,
}

enum Opened {
    Beside(NamedTempFile),
    /// What is no file, such as a pipe, is written to and never replaced.
    Itself(File),
}

impl Place {
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let failed = |cause: &dyn Display| format!("`{}` cannot be written: {cause}", path.display());
        if path.is_dir() {
            return Err(failed(&"it is a folder"));
        }
        let file = if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            File::options().write(true).open(path).map(Opened::Itself)
        } else {
            beside(&target(path)).map(Opened::Beside)
        };
        Ok(Self { path: path.to_owned(), file: file.map_err(|cause| failed(&cause))? })
    }

    /// Writes `bytes`, whole or not at all.
    pub(crate) fn write(self, bytes: &[u8]) -> Result<(), String> {
        let written = match self.file {
            Opened::Itself(mut file) => file.write_all(bytes),
            Opened::Beside(mut file) => file
                .write_all(bytes)
                .and_then(|()| file.as_file().sync_all())
                .and_then(|()| file.persist(target(&self.path)).map(drop).map_err(|error| error.error)),
        };
        written.map_err(|cause| format!("`{}` cannot be written: {cause}", self.path.display()))
    }
}

/// The folder that a file of this path stands in.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Where a path leads to, whether something is there or not.
fn target(path: &Path) -> PathBuf {
    let mut target = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(next) = std::fs::read_link(&target) else { break };
        target = folder(&target).join(next);
    }
    target
}

/// As many as Linux follows.
const MAX_LINKS: usize = 40;

/// A file that nobody sees by its final name yet, of the mode of what stands at `path`, or readable as any new file is.
fn beside(path: &Path) -> std::io::Result<NamedTempFile> {
    let mode = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|there| there.mode() & 0o777);
    let permissions = Permissions::from_mode(mode.unwrap_or(0o666));
    let file = Builder::new().prefix(".teegate-").permissions(permissions.clone()).tempfile_in(folder(path))?;
    if mode.is_some() {
        // Of a new file the system takes away what the umask says.
        file.as_file().set_permissions(permissions)?;
    }
    Ok(file)
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
    fn what_is_replaced_hands_on_its_mode_and_a_link_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link, chain) = (folder.path().join("out"), folder.path().join("link"), folder.path().join("chain"));
        std::os::unix::fs::symlink("out", &link).unwrap();
        std::os::unix::fs::symlink(&link, &chain).unwrap();
        // It leads to nothing yet.
        write(&chain, b"new", Existing::Replace).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        for mode in [0o600, 0o666, 0o640] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            write(&path, b"one", Existing::Replace).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode);
            Place::open(&chain).unwrap().write(b"two").unwrap();
            assert_eq!(
                (fs::metadata(&path).unwrap().mode() & 0o777, fs::read(&path).unwrap()),
                (mode, b"two".to_vec())
            );
            assert!(
                fs::symlink_metadata(&link).unwrap().is_symlink() && fs::symlink_metadata(&chain).unwrap().is_symlink()
            );
        }
        let refused = write(&link, b"three", Existing::Keep).unwrap_err();
        assert!(refused.contains("it exists already") && fs::read(&path).unwrap() == b"two", "{refused}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = folder.path().join("no/such/out");
        assert!(write(&nowhere, b"", Existing::Replace).unwrap_err().contains("no/such/out` cannot be written"));
        assert!(write(folder.path(), b"", Existing::Replace).unwrap_err().ends_with("it is a folder"));
    }

    #[test]
    fn a_place_is_made_sure_of_and_keeps_what_it_holds_until_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        fs::write(&path, b"one").unwrap();
        drop(Place::open(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"one");
        let place = Place::open(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        place.write(b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        for (path, reason) in
            [(folder.path().to_owned(), "it is a folder"), (folder.path().join("no/out"), "cannot be")]
        {
            assert!(Place::open(&path).err().unwrap().contains(reason), "{}", path.display());
        }
        // A device is written to, and stays one.
        Place::open(Path::new("/dev/null")).unwrap().write(b"gone").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        assert!(
            Place::open(Path::new("/dev/full")).unwrap().write(b"x").unwrap_err().contains("`/dev/full` cannot be")
        );
    }
}
