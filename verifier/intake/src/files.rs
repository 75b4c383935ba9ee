//! Bounded reading of what a path names. Sizes are asked for before anything is read; a stream, which has no size, is read up
//! to its limit and no further. Folders are walked in sorted order, so that the same files give the same outcome everywhere.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::{Defect, IntakeError};

/// No evidence or endorsement in use comes near this: quotes are 5 to 8 KB, collateral at most 25 KB.
pub(crate) const MAX_FILE_BYTES: u64 = 1 << 20;
/// Everything in all folders and files of one call.
const MAX_FILES: usize = 1_024;
const MAX_TOTAL_BYTES: u64 = 16 << 20;
const MAX_FOLDER_DEPTH: usize = 4;

/// One file that was found, and how it came to be read.
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    /// The user named this very file, rather than a folder that it lies in.
    pub(crate) named: bool,
}

/// Reads one file, pipe or device, at most [`MAX_FILE_BYTES`] of it.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, IntakeError> {
    read_at_most(path, MAX_FILE_BYTES)
}

/// Reads one file, pipe or device, at most `limit` bytes of it.
pub(crate) fn read_at_most(path: &Path, limit: u64) -> Result<Vec<u8>, IntakeError> {
    let metadata = fs::metadata(path).map_err(|cause| IntakeError::unreadable(path, cause))?;
    // One that somebody made may have no writer; the shell's (`/dev/fd/63`) has.
    let is_stream = !metadata.is_file() && !metadata.is_dir();
    if is_stream && !["/dev", "/proc"].iter().any(|open| path.starts_with(open)) {
        let cause = io::Error::new(io::ErrorKind::InvalidInput, "a pipe or a socket, to which nobody may ever write");
        return Err(IntakeError::unreadable(path, cause));
    }
    if metadata.is_file() && metadata.len() > limit {
        return Err(too_large(path, "bytes", metadata.len(), limit));
    }
    let file = File::open(path).map_err(|cause| IntakeError::unreadable(path, cause))?;
    read_bounded(file, limit)
        .map_err(|cause| IntakeError::unreadable(path, cause))?
        .ok_or_else(|| too_large(path, "bytes or more", limit.saturating_add(1), limit))
}

/// Everything that `source` gives, or `None` if that is more than `limit` bytes.
pub(crate) fn read_bounded(source: impl Read, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    source.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(u64::try_from(bytes.len()).is_ok_and(|length| length <= limit).then_some(bytes))
}

/// Reads every file that `paths` name or hold.
pub(crate) fn read_all(paths: &[PathBuf]) -> Result<Vec<Found>, IntakeError> {
    let mut found = Collection { files: Vec::new(), total_bytes: 0 };
    for path in paths {
        found.add(path, 0)?;
    }
    Ok(found.files)
}

struct Collection {
    files: Vec<Found>,
    total_bytes: u64,
}

impl Collection {
    fn add(&mut self, path: &Path, depth: usize) -> Result<(), IntakeError> {
        let metadata = fs::metadata(path).map_err(|cause| IntakeError::unreadable(path, cause))?;
        if metadata.is_dir() {
            return self.add_folder(path, depth);
        }
        // Inside a folder only regular files count: opening a pipe that nobody writes to would never return.
        if depth > 0 && !metadata.is_file() {
            return Ok(());
        }
        if self.files.len() == MAX_FILES {
            return Err(too_large(path, "files", count(MAX_FILES).saturating_add(1), count(MAX_FILES)));
        }
        let bytes = read(path)?;
        self.total_bytes = self.total_bytes.saturating_add(count(bytes.len()));
        if self.total_bytes > MAX_TOTAL_BYTES {
            return Err(too_large(path, "bytes in all", self.total_bytes, MAX_TOTAL_BYTES));
        }
        self.files.push(Found { path: path.to_owned(), bytes, named: depth == 0 });
        Ok(())
    }

    fn add_folder(&mut self, folder: &Path, depth: usize) -> Result<(), IntakeError> {
        if depth == MAX_FOLDER_DEPTH {
            return Err(too_large(
                folder,
                "levels of folders",
                count(depth).saturating_add(1),
                count(MAX_FOLDER_DEPTH),
            ));
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder).map_err(|cause| IntakeError::unreadable(folder, cause))? {
            if entries.len() == MAX_FILES {
                return Err(too_large(folder, "files", count(MAX_FILES).saturating_add(1), count(MAX_FILES)));
            }
            entries.push(entry.map_err(|cause| IntakeError::unreadable(folder, cause))?.path());
        }
        entries.sort();
        entries.iter().try_for_each(|entry| self.add(entry, depth + 1))
    }
}

fn too_large(path: &Path, unit: &'static str, actual: u64, limit: u64) -> IntakeError {
    IntakeError::new(path.display().to_string(), Defect::TooLarge { unit, actual, limit })
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_file_is_refused_by_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("huge");
        // A hole: the size is there, the bytes are not, so reading it first would show as 1 GiB of memory.
        File::create(&path).unwrap().set_len(1 << 30).unwrap();
        let error = read(&path).unwrap_err();
        let Defect::TooLarge { unit: "bytes", actual, limit: MAX_FILE_BYTES } = error.defect() else {
            panic!("{error}");
        };
        assert_eq!(*actual, 1 << 30);
        File::create(&path).unwrap().set_len(MAX_FILE_BYTES).unwrap();
        assert_eq!(count(read(&path).unwrap().len()), MAX_FILE_BYTES);
    }

    #[test]
    fn a_stream_without_end_is_given_up() {
        assert!(read_bounded(io::repeat(0), MAX_FILE_BYTES).unwrap().is_none());
        assert_eq!(read_bounded(&b"abc"[..], 3).unwrap().unwrap(), b"abc");
    }

    #[test]
    fn a_pipe_that_somebody_made_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let error = read(&pipe).unwrap_err();
        assert!(error.to_string().contains("a pipe or a socket, to which nobody may ever write"), "{error}");
        assert!(read_all(&[folder.path().to_owned()]).unwrap().is_empty());
        let (reader, writer) = io::pipe().unwrap();
        io::Write::write_all(&mut &writer, b"abc").unwrap();
        drop(writer);
        let open = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        assert_eq!(read(Path::new(&open)).unwrap(), b"abc");
    }

    #[test]
    fn folders_are_read_in_order_and_to_a_depth() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b", "a"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let found = read_all(&[folder.path().to_owned()]).unwrap();
        let contents: Vec<_> = found.iter().map(|file| file.bytes.as_slice()).collect();
        assert_eq!(contents, [b"a", b"b"]);
        assert!(found.iter().all(|file| !file.named));
        assert!(read_all(&[folder.path().join("a")]).unwrap().iter().all(|file| file.named));

        fs::create_dir_all(folder.path().join("c/d/e")).unwrap();
        assert_eq!(read_all(&[folder.path().to_owned()]).unwrap().len(), 2);
        fs::create_dir_all(folder.path().join("c/d/e/f")).unwrap();
        let error = read_all(&[folder.path().to_owned()]).map(|_| ()).unwrap_err();
        assert!(
            matches!(error.defect(), Defect::TooLarge { unit: "levels of folders", actual: 5, limit: 4 }),
            "{error}"
        );
    }

    #[test]
    fn what_is_not_there_is_named() {
        let error = read(Path::new("no/such/file")).unwrap_err();
        assert_eq!(error.subject(), "no/such/file");
        assert!(matches!(error.defect(), Defect::Unreadable { .. }));
    }
}
