//! A character device of our own: a pseudo terminal, whose one end is the paravisor's and whose other end a program opens by its path, as it
//! opens `/dev/tpmrm0`. Bytes pass as they are, in both directions.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// Both ends.
#[derive(Debug)]
pub struct Terminal {
    /// The paravisor's end.
    pub ours: File,
    /// Where the other end is opened.
    pub path: PathBuf,
    /// Kept, so that the device stays when nobody else has it open.
    _theirs: OwnedFd,
}

impl Terminal {
    /// A new one.
    pub fn open() -> io::Result<Self> {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        let path = ptsname(&ours, Vec::new())?.into_string().map_err(|_| io::Error::other("no path in UTF-8"))?;
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
        let theirs = rustix::fs::open(&path, flags, rustix::fs::Mode::empty())?;
        let mut settings = tcgetattr(&theirs)?;
        settings.make_raw();
        tcsetattr(&theirs, OptionalActions::Now, &settings)?;
        Ok(Self { ours: File::from(ours), path: path.into(), _theirs: theirs })
    }
}
