//! The kernel's TPM device, with a deadline that is looked at between its calls.
//!
//! `/dev/tpmrm0` is the TPM behind the kernel's resource manager: several programs may use it side by side, and what one
//! leaves behind is cleared when it closes the device. A write is one command; then one read gives the whole answer. Only
//! a character device is opened: a pipe or a file that somebody put there would not answer, and opening one can block.
//!
//! **The deadline bounds the silence of a device that says when it can be read and written, and Linux's own is none**: its driver
//! (`drivers/char/tpm/tpm-dev-common.c`) runs the whole command inside of `write`, for minutes where the TPM hangs, and for a file with
//! O_NONBLOCK inside of a work item under whose lock `poll` and `read` wait as well. So whoever asks does it on a thread that it can do without
//! (`apart.rs`). What the deadline gives there is that such a thread ends at the first step after it.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// An open TPM device.
#[derive(Debug)]
pub struct Device {
    file: std::fs::File,
    deadline: Instant,
}

impl Device {
    /// Opens the device at `path`. Nothing is begun at `deadline` or later, and no silence is waited for beyond it.
    ///
    /// # Errors
    /// It is not there, not for this process, or no character device.
    pub fn open(path: &Path, deadline: Instant) -> Result<Self> {
        if !std::fs::metadata(path)?.file_type().is_char_device() {
            return Err(Error::new(ErrorKind::InvalidInput, "not a character device"));
        }
        // Never the terminal of this process, if it should be one.
        let no_terminal = i32::try_from(rustix::fs::OFlags::NOCTTY.bits()).unwrap_or_default();
        let file = std::fs::OpenOptions::new().read(true).write(true).custom_flags(no_terminal).open(path)?;
        Ok(Self { file, deadline })
    }

    fn wait_for(&self, event: PollFlags) -> Result<()> {
        loop {
            let late = || Error::new(ErrorKind::TimedOut, "no answer in time");
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(late());
            }
            let left = Timespec::try_from(left).map_err(|_| Error::from(ErrorKind::InvalidInput))?;
            let mut polled = [PollFd::new(&self.file, event)];
            match poll(&mut polled, Some(&left)) {
                Ok(0) => return Err(late()),
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Read for Device {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.wait_for(PollFlags::IN)?;
        self.file.read(buffer)
    }
}

impl Write for Device {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.wait_for(PollFlags::OUT)?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
