//! What was fetched, on disk: one file a question, found by the digest of its URL.
//!
//! A file is believed to be what was written only after everything about it was looked at again: the digest over all of it,
//! the format, the URL, that the document can be read and says of itself what the file says of it. A file that fails is
//! reported, never served, and replaced by the next answer. It protects against disks and half-finished copies. Whoever can
//! write into the folder can also make a digest; against them there are the vendors' signatures, as everywhere.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use teegate_encoding::hex;
use teegate_verifier::UnixTime;

use crate::answer::Read;
use crate::settings::Limits;

/// A folder of kept answers.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    max_file_bytes: u64,
    max_files: u64,
    max_bytes: u64,
}

/// What the folder holds for one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Nothing.
    Nothing,
    /// A document, and when it was fetched.
    Document {
        /// The document.
        read: Read,
        /// When, by the wall clock of whoever fetched it.
        fetched_at: UnixTime,
    },
    /// A file that is not what was once written there, with the reason.
    Spoilt {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// First line of a file, before the digest of everything behind that line.
const FORMAT: &str = "teegate-collateral/1 ";
/// More than any head of a file needs.
const MAX_HEAD_BYTES: u64 = 8 << 10;

impl Cache {
    pub(crate) fn new(folder: PathBuf, limits: Limits) -> Self {
        let max_file_bytes = u64::try_from(limits.max_body_bytes).unwrap_or(u64::MAX).saturating_add(128 << 10);
        Self {
            folder,
            max_file_bytes: max_file_bytes.saturating_add(MAX_HEAD_BYTES),
            max_files: limits.max_cache_files,
            max_bytes: limits.max_cache_bytes,
        }
    }

    /// What is kept for `url`.
    pub(crate) fn read(&self, url: &str) -> Kept {
        let path = self.path(url);
        match self.load(&path) {
            Ok(Some(bytes)) => match parse(&bytes, url) {
                Ok((read, fetched_at)) => {
                    // In use: where room has to be made, others go first. A file system that does not keep that loses nothing else.
                    let _used = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
                    Kept::Document { read, fetched_at }
                }
                Err(reason) => Kept::Spoilt { path, reason },
            },
            Ok(None) => Kept::Nothing,
            Err(reason) => Kept::Spoilt { path, reason },
        }
    }

    /// Keeps `read` for `url`: written beside, made durable, then put in place at once, so that nobody ever sees half of it.
    pub(crate) fn write(&self, url: &str, read: &Read, fetched_at: UnixTime) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&encode(url, read, fetched_at))?;
        file.as_file().sync_all()?;
        file.persist(self.path(url)).map_err(|error| error.error)?;
        // The new name, too, is to survive a loss of power; a folder that cannot be synced loses at most a cached copy.
        let _synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        self.make_room()
    }

    /// Removes what was not used for longest, where there is more than there may be. Only what has the name of a kept answer is touched.
    fn make_room(&self) -> io::Result<()> {
        let is_ours = |name: &str| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // One that is gone meanwhile takes no room.
            let Ok(metadata) = entry.metadata() else { continue };
            if entry.file_name().to_str().is_some_and(is_ours) && metadata.is_file() {
                files.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        files.sort();
        let mut count = u64::try_from(files.len()).unwrap_or(u64::MAX);
        let mut bytes = files.iter().fold(0_u64, |sum, (_, length, _)| sum.saturating_add(*length));
        for (_, length, path) in files {
            if count <= self.max_files && bytes <= self.max_bytes || count <= 1 {
                break;
            }
            match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => (count, bytes) = (count.saturating_sub(1), bytes.saturating_sub(length)),
            }
        }
        Ok(())
    }

    fn path(&self, url: &str) -> PathBuf {
        self.folder.join(hex::encode(Sha256::digest(url)))
    }

    fn load(&self, path: &Path) -> Result<Option<Vec<u8>>, String> {
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("cannot be read: {error}")),
        };
        // Anything else was not written here, and reading a pipe might never end.
        if !metadata.is_file() {
            return Err("is not a regular file".to_owned());
        }
        if metadata.len() > self.max_file_bytes {
            return Err(format!("has {} bytes, at most {} are ever written", metadata.len(), self.max_file_bytes));
        }
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(self.max_file_bytes).read_to_end(&mut bytes))
            .map_err(|error| format!("cannot be read: {error}"))?;
        Ok(Some(bytes))
    }
}

fn encode(url: &str, read: &Read, fetched_at: UnixTime) -> Vec<u8> {
    let head = format!("{url}\n{}\n{}\n{}\n", fetched_at.seconds(), read.from.seconds(), read.until.seconds());
    let rest = [head.as_bytes(), &read.bytes].concat();
    [format!("{FORMAT}{}\n", hex::encode(Sha256::digest(&rest))).as_bytes(), &rest].concat()
}

fn parse(bytes: &[u8], url: &str) -> Result<(Read, UnixTime), String> {
    let mut rest = bytes;
    let mut line = || -> Result<&str, String> {
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or("ends inside its head")?;
        let (line, behind) = rest.split_at_checked(end).ok_or("ends inside its head")?;
        rest = behind.get(1..).unwrap_or_default();
        std::str::from_utf8(line).map_err(|_| "has a head that is not text".to_owned())
    };
    let digest = line()?.strip_prefix(FORMAT).ok_or_else(|| format!("does not begin with `{FORMAT}`"))?.to_owned();
    let (kept_url, times) = (line()?.to_owned(), [line()?.to_owned(), line()?.to_owned(), line()?.to_owned()]);
    let behind = bytes.get(FORMAT.len().saturating_add(digest.len()).saturating_add(1)..).unwrap_or_default();
    if hex::encode(Sha256::digest(behind)) != digest {
        return Err("does not have the digest that it was written with".to_owned());
    }
    if kept_url != url {
        return Err("is the answer to another question".to_owned());
    }
    let [fetched_at, from, until] = times.map(|time| time.parse().map(UnixTime::from_seconds));
    let read = Read::parse(rest.to_vec()).map_err(|reason| format!("holds no document: {reason}"))?;
    if (from, until) != (Ok(read.from), Ok(read.until)) {
        return Err("says other times than the document in it".to_owned());
    }
    Ok((read, fetched_at.map_err(|_| "does not say when it was fetched")?))
}
