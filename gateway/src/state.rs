//! The folder of what has to outlive this process (`state_dir`): the highest policy, what was seen, what the vendors answered.
//!
//! One process has it at a time, by a lock that ends with the process. A file in it is there whole or not at all: written beside its
//! place, flushed, then renamed into it. Nothing in it is secret, and nobody but the gateway's user has to read it.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A full memory, 65,536 platforms, takes less.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// The folder, held by this process.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// None where it is only looked at.
    lock: Option<File>,
}

/// What is there, looked at and not taken.
#[derive(Debug)]
pub enum Look {
    /// Nothing yet.
    Absent,
    /// A folder that nobody has.
    Free(StateDir),
    /// A folder that another process has.
    Held(StateDir),
}

impl StateDir {
    /// Makes the folder where it is not there, and takes it.
    ///
    /// # Errors
    /// It cannot be made or written, or another process has it.
    pub fn open(path: &Path) -> Result<Self, String> {
        let cannot = |why: &dyn std::fmt::Display| format!("`state_dir`: `{}` {why}", path.display());
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|error| cannot(&format_args!("cannot be made: {error}")))?;
        let lock = File::options().write(true).create(true).truncate(false).open(path.join("lock"));
        let lock = lock.map_err(|error| cannot(&format_args!("cannot be written: {error}")))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), lock: Some(lock) }),
            Err(TryLockError::WouldBlock) => {
                Err(cannot(&"is in use by another gateway: give each gateway a folder of its own"))
            }
            Err(TryLockError::Error(error)) => Err(cannot(&format_args!("cannot be locked: {error}"))),
        }
    }

    /// What is there, for who only reads it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn look(path: &Path) -> Result<Look, String> {
        let own = || Self { path: path.to_owned(), lock: None };
        let lock = match File::open(path.join("lock")) {
            Ok(lock) => lock,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(if path.exists() { Look::Free(own()) } else { Look::Absent });
            }
            Err(error) => return Err(format!("`state_dir`: `{}` cannot be read: {error}", path.display())),
        };
        // It is given back at once: who starts at this very moment may meet it, and has to start again.
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(Look::Held(own())),
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Look::Free(own())),
        }
    }

    /// A folder inside it, made when something is written into it.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What was written under this name; `None` where nothing was.
    ///
    /// # Errors
    /// It cannot be read, or is not what was written.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, String> {
        let path = self.path.join(name);
        let bytes = match bounded(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| format!("`{}` cannot be read: {error}", path.display()))?,
        };
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            format!(
                "`{}` is not what a gateway wrote: {error}; remove it to begin anew, which forgets what it guards against",
                path.display()
            )
        })?;
        Ok(Some(value))
    }

    /// Writes this under that name, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written; what was there before is there still.
    pub fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), String> {
        let path = self.path.join(name);
        if self.lock.is_none() {
            return Err(format!("`{}` is only looked at", path.display()));
        }
        let bytes = serde_json::to_vec(value).map_err(io::Error::from);
        let written = bytes.and_then(|bytes| write_whole(&self.path, &path, &bytes));
        written.map_err(|error| format!("`{}` cannot be written: {error}", path.display()))
    }
}

/// Writes `bytes` to `path` in `folder`: beside its place, flushed, then into it at once.
pub(crate) fn write_whole(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".teegate-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The new name, too, is to survive a loss of power; a folder that cannot be synced loses at most the newest file.
    let _synced = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let length = fs::metadata(path)?.len();
    if length > MAX_FILE_BYTES {
        let what = format!("{length} bytes, and at most {MAX_FILE_BYTES} are ever written");
        return Err(io::Error::new(ErrorKind::InvalidData, what));
    }
    File::open(path)?.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_there_for_the_next_process_and_for_one_at_a_time() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/state");
        let state = StateDir::open(&path).unwrap();
        assert_eq!(state.read::<u64>("number.json"), Ok(None));
        state.write("number.json", &7).unwrap();
        let refused = StateDir::open(&path).unwrap_err();
        assert!(refused.contains("is in use by another gateway"), "{refused}");
        // Who only looks sees it all the same, and changes nothing.
        let Ok(Look::Held(looked)) = StateDir::look(&path) else { panic!() };
        assert_eq!(looked.read("number.json"), Ok(Some(7)));
        assert!(looked.write("number.json", &8).unwrap_err().contains("only looked at"));
        drop(state);
        assert!(matches!(StateDir::look(&path), Ok(Look::Free(_))));
        assert!(matches!(StateDir::look(&place.path().join("b")), Ok(Look::Absent)));
        assert!(!place.path().join("b").exists());
        let state = StateDir::open(&path).unwrap();
        assert_eq!(state.read("number.json"), Ok(Some(7)));
        fs::write(path.join("number.json"), "{").unwrap();
        let refused = state.read::<u64>("number.json").unwrap_err();
        assert!(refused.contains("number.json` is not what a gateway wrote"), "{refused}");
        assert_eq!(fs::read_dir(&path).unwrap().count(), 2, "the lock and the file, nothing half written");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        let refused = StateDir::open(&file.join("state")).unwrap_err();
        assert!(refused.contains("file/state` cannot be made"), "{refused}");
    }
}
