//! Whether files look otherwise than they did: by what the system says of them, so that looking costs nothing, and through every
//! link, so that a ConfigMap, whose files change by one link that is put in another's place, is seen to change.
//!
//! A file that is being written looks otherwise at each look. So a change counts once two looks in a row agree: half a file is read by
//! nobody but whoever sends SIGHUP in the middle.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Of one folder with all that is in it, as many entries are looked at as are ever read.
const MAX_ENTRIES: usize = 1_024;
/// As deep as endorsements are read.
const MAX_DEPTH: usize = 4;

/// What the system says of one file or folder; `None` where there is none.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Look {
    path: PathBuf,
    /// Device, inode, length, and seconds and nanoseconds of the last changes of contents and of the file.
    seen: Option<(u64, u64, u64, [i64; 4])>,
}

/// How a set of files and folders looked at one time.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Stamp(Vec<Look>);

impl Stamp {
    /// Looks at `paths`, and at what is in those that are folders.
    pub fn of(paths: &[PathBuf]) -> Self {
        let mut stamp = Self::default();
        paths.iter().for_each(|path| stamp.look(path, 0));
        stamp
    }

    fn look(&mut self, path: &Path, depth: usize) {
        if self.0.len() >= MAX_ENTRIES {
            return;
        }
        let metadata = fs::metadata(path).ok();
        let seen = metadata.as_ref().map(|of| {
            let times = [of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec()];
            (of.dev(), of.ino(), of.len(), times)
        });
        self.0.push(Look { path: path.to_owned(), seen });
        if metadata.is_some_and(|of| of.is_dir()) && depth < MAX_DEPTH {
            let entries = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
            let mut entries: Vec<_> = entries.take(MAX_ENTRIES).map(|entry| entry.path()).collect();
            entries.sort();
            entries.iter().for_each(|entry| self.look(entry, depth.saturating_add(1)));
        }
    }
}

/// Files that are looked at again and again.
#[derive(Debug)]
pub struct Watched {
    paths: Vec<PathBuf>,
    every: Duration,
    /// How they looked when they were read.
    read: Stamp,
}

impl Watched {
    /// Takes the files as read now: to be called before they are read, so that what changes meanwhile is seen.
    pub fn new(paths: Vec<PathBuf>, every: Duration) -> Self {
        let read = Stamp::of(&paths);
        Self { paths, every, read }
    }

    /// The same again.
    pub fn read_now(&mut self) {
        self.read = Stamp::of(&self.paths);
    }

    /// What was read names these files. Those that were not looked at before count as changed once more.
    pub fn name(&mut self, paths: Vec<PathBuf>, every: Duration) {
        self.every = every;
        if paths != self.paths {
            (self.paths, self.read) = (paths, Stamp::default());
        }
    }

    /// Resolves when the files look otherwise than when they were read, and have come to rest. May be given up at any time.
    pub async fn changed(&self) {
        let mut last = self.read.clone();
        loop {
            tokio::time::sleep(self.every).await;
            let paths = self.paths.clone();
            // A disk, or a network that stands for one, may take its time.
            let Ok(now) = tokio::task::spawn_blocking(move || Stamp::of(&paths)).await else { continue };
            if now != self.read && now == last {
                return;
            }
            last = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn contents_links_folders_and_absence_are_seen() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        // As a ConfigMap is laid out: the file is a link through `..data`, which leads to the version of now.
        for (version, text) in [("..v1", "one"), ("..v2", "two")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("policy.toml"), text).unwrap();
        }
        symlink("..v1", at("..data")).unwrap();
        symlink("..data/policy.toml", at("policy.toml")).unwrap();
        fs::create_dir(at("lists")).unwrap();
        let paths = [at("policy.toml"), at("lists"), at("absent")];
        let mut last = Stamp::of(&paths);
        assert_eq!(Stamp::of(&paths), last, "nothing has changed");
        let mut change = |what: &str, change: &dyn Fn()| {
            change();
            let now = Stamp::of(&paths);
            assert_ne!(now, last, "{what}");
            last = now;
        };
        change("another version", &|| {
            symlink("..v2", at("..data_tmp")).unwrap();
            fs::rename(at("..data_tmp"), at("..data")).unwrap();
        });
        change("a file in a folder", &|| fs::write(at("lists/a.crl"), "1").unwrap());
        change("a file that was written over", &|| fs::write(at("lists/a.crl"), "22").unwrap());
        change("a file that appears", &|| fs::write(at("absent"), "").unwrap());
        change("a file that goes", &|| fs::remove_file(at("lists/a.crl")).unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_counts_once_it_has_come_to_rest() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("policy.toml");
        fs::write(&path, "one").unwrap();
        let every = Duration::from_secs(5);
        let watched = Watched::new(vec![path.clone()], every);
        assert!(tokio::time::timeout(every * 10, watched.changed()).await.is_err(), "nothing has changed");
        let begin = tokio::time::Instant::now();
        let writing = async {
            // Longer at each look, and written between two of them.
            tokio::time::sleep(every / 2).await;
            for length in 1..=6_usize {
                fs::write(&path, "x".repeat(length)).unwrap();
                tokio::time::sleep(every).await;
            }
        };
        let (took, ()) = tokio::join!(
            async {
                watched.changed().await;
                begin.elapsed()
            },
            writing
        );
        assert!(took >= every * 6, "read while it was being written, after {took:?}");
    }
}
