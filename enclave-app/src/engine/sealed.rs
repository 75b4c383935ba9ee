//! Anonymous files that nobody can change any more: how a worker gets the library and the model without a way to open
//! anything.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags};

/// How long the kernel may keep a page of the copy to itself before the copy counts as one that cannot be sealed.
const SEAL_PATIENCE: Duration = Duration::from_secs(1);

/// An anonymous file with these bytes that nobody can change any more.
///
/// # Errors
/// When the bytes cannot be read, or the kernel does not make or seal the file.
pub fn sealed(name: &str, mut bytes: impl Read) -> std::io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create(name, flags)?);
    // Not `std::io::copy`: between two files it splices, and pages that wait in a pipe keep a file from being sealed.
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = bytes.read(&mut buffer)?;
        let Some(read) = buffer.get(..length).filter(|read| !read.is_empty()) else { break };
        file.write_all(read)?;
    }
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    patiently(SEAL_PATIENCE, || rustix::fs::fcntl_add_seals(&file, seals))?;
    Ok(file)
}

/// The same file, opened once more and to read only: with a position of its own. A position that two processes share is a
/// thing that both can read and write.
///
/// # Errors
/// When `/proc` does not show it.
pub fn opened_again(file: &File) -> std::io::Result<File> {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Tries again while the kernel says `EBUSY`, as it does while anybody else holds a page of the file: a reader that is
/// just being served, or the kernel's own lists. That passes.
fn patiently(patience: Duration, mut seal: impl FnMut() -> rustix::io::Result<()>) -> std::io::Result<()> {
    let end = Instant::now() + patience;
    loop {
        match seal() {
            Err(rustix::io::Errno::BUSY) if Instant::now() < end => std::thread::sleep(patience / 100),
            other => return Ok(other?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_is_busy_is_sealed_when_it_no_longer_is() {
        use rustix::io::Errno;

        let tried = std::cell::Cell::new(0);
        let busy = |times: u32| {
            tried.set(0);
            let tried = &tried;
            move || {
                tried.set(tried.get() + 1);
                if tried.get() > times { Ok(()) } else { Err(Errno::BUSY) }
            }
        };
        patiently(Duration::from_secs(600), busy(0)).unwrap();
        assert_eq!(tried.get(), 1);
        patiently(Duration::from_millis(200), busy(3)).unwrap();
        assert_eq!(tried.get(), 4);
        let never = patiently(Duration::from_millis(50), busy(u32::MAX)).unwrap_err();
        assert_eq!(never.kind(), std::io::ErrorKind::ResourceBusy);
        assert!(tried.get() > 1, "{}", tried.get());
        // Anything else will not pass by waiting.
        let refused = patiently(Duration::from_secs(600), || Err(Errno::PERM)).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn the_sealed_copy_cannot_be_written() {
        use std::os::unix::fs::FileExt;

        let mut file = sealed("copy", &b"bytes"[..]).unwrap();
        let mut read = [0; 5];
        file.read_exact_at(&mut read, 0).unwrap();
        assert_eq!(&read, b"bytes");
        let (mut one, mut other) = (opened_again(&file).unwrap(), opened_again(&file).unwrap());
        one.read_exact(&mut read).unwrap();
        other.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"bytes");
        assert_eq!(one.write(b"x").unwrap_err().raw_os_error(), Some(rustix::io::Errno::BADF.raw_os_error()));
        assert_eq!(file.write(b"x").unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
        assert_eq!(file.set_len(0).unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
    }
}
