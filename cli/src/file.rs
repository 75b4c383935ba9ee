//! The reader of evidence, policies, values and inputs that a user names: regular files alone, and no more bytes of them than their kind may have.
//!
//! A device may never end, and opening a pipe that nobody writes to never returns. A pipe that the shell has opened is another matter: its
//! writer is there (`<(…)` of bash, which is `/dev/fd/63`). Where one stream is welcome, it is standard input, by the name `-`.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

/// The bytes of the file at `path`, or what is wrong with it, said of it: `cannot be read: …`.
pub(crate) fn read(path: &Path, most: usize) -> Result<Vec<u8>, String> {
    let unreadable = |cause: std::io::Error| format!("cannot be read: {cause}");
    ends(path, &fs::metadata(path).map_err(unreadable)?)?;
    at_most(File::open(path).map_err(unreadable)?, most)
}

/// What `source` gives, if it is no more: a file may grow while it is read, so its length is not asked for.
pub(crate) fn at_most(source: impl Read, most: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    source.take(limit).read_to_end(&mut bytes).map_err(|cause| format!("cannot be read: {cause}"))?;
    if bytes.len() > most {
        return Err(format!("has more than {most} bytes, which is more than is read of its kind"));
    }
    Ok(bytes)
}

/// That `path`, which something else is going to read, names no device and no pipe that may have no writer.
pub(crate) fn is_no_stream(path: &Path) -> Result<(), String> {
    // What is not there, or is a folder, its reader has words for; `-` is standard input.
    let found = fs::metadata(path).ok().filter(|found| !found.is_dir() && path != Path::new("-"));
    found.map_or(Ok(()), |found| ends(path, &found))
}

/// That reading it comes to an end.
fn ends(path: &Path, found: &Metadata) -> Result<(), String> {
    let is_open = ["/dev/fd", "/proc/self/fd"].iter().any(|folder| path.parent() == Some(Path::new(folder)))
        || path == Path::new("/dev/stdin");
    if found.is_file() || (is_open && found.file_type().is_fifo()) {
        return Ok(());
    }
    Err(if found.is_dir() {
        "is no file: it is a folder".to_owned()
    } else {
        "is no file: it is a pipe, a socket or a device, which may never end; save what it gives in a file and name that".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever asks it for a byte has read too far.
    struct Beyond;

    impl Read for Beyond {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("beyond"))
        }
    }

    #[test]
    fn no_more_is_read_than_the_kind_may_have() {
        let long = at_most([1_u8; 8].as_slice().chain(Beyond), 7).unwrap_err();
        assert_eq!(long, "has more than 7 bytes, which is more than is read of its kind");
        assert_eq!(at_most([1_u8; 7].as_slice().chain(Beyond), 7).unwrap_err(), "cannot be read: beyond");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, [1; 8]).unwrap();
        assert_eq!(read(&path, 7).unwrap_err(), long);
        fs::write(&path, [1; 7]).unwrap();
        assert_eq!(read(&path, 7).unwrap(), [1; 7]);
    }

    #[test]
    fn a_pipe_that_nobody_writes_to_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let refused = is_no_stream(&pipe).unwrap_err();
        assert!(refused.starts_with("is no file: it is a pipe"), "{refused}");
        // Asked second: where the rule is gone, this would wait for ever.
        assert_eq!(read(&pipe, 7).unwrap_err(), refused);
        assert_eq!(read(folder.path(), 7).unwrap_err(), "is no file: it is a folder");
        assert!(read(&folder.path().join("none"), 7).unwrap_err().starts_with("cannot be read: "));
        for other in [folder.path(), &folder.path().join("none"), Path::new("-")] {
            is_no_stream(other).unwrap();
        }
        // One that the shell has opened has its writer.
        let (reader, writer) = std::io::pipe().unwrap();
        let open = Path::new("/dev/fd").join(std::os::fd::AsRawFd::as_raw_fd(&reader).to_string());
        std::io::Write::write_all(&mut &writer, b"77").unwrap();
        drop(writer);
        assert_eq!(read(&open, 7).unwrap(), b"77");
        // A link to a file is that file.
        let link = folder.path().join("link");
        fs::write(folder.path().join("file"), "x").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        assert_eq!(read(&link, 7).unwrap(), b"x");
    }
}
