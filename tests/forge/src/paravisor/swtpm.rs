//! A software TPM (`swtpm`) in a process and a folder of its own, provisioned as an Azure VM's.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use super::tpm;
use crate::azure::event_log::{BOOT, Event, NO_ACTION};

/// A running TPM. It ends with this value, and also when the process that holds it is killed.
#[derive(Debug)]
pub struct Swtpm {
    stream: UnixStream,
    process: Child,
    _state: tempfile::TempDir,
}

impl Swtpm {
    /// Starts one, with an attestation key and registers as the boot of `azure::event_log` and an initdata leave them.
    ///
    /// # Errors
    /// `NotFound` where swtpm is not installed.
    pub fn start() -> io::Result<Self> {
        let state = tempfile::Builder::new().prefix("forge-swtpm-").tempdir()?;
        let (ours, theirs) = UnixStream::pair()?;
        // The path is absolute: a TPM without its state fails at everything. It ends when the other end of its socket does.
        let process = Command::new("swtpm")
            .args(["socket", "--tpm2", "--server", "type=tcp,fd=0", "--flags", "not-need-init,startup-clear"])
            .arg("--terminate")
            .arg("--tpmstate")
            .arg(format!("dir={}", state.path().display()))
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut swtpm = Self { stream: ours, process, _state: state };
        tpm::make_attestation_key(&mut swtpm.stream)?;
        for Event(register, _, byte) in BOOT.iter().filter(|Event(_, kind, _)| *kind != NO_ACTION) {
            tpm::extend(&mut swtpm.stream, *register, &[*byte; 32])?;
        }
        // The initdata of 32 bytes of 0x1D, as the attestation agent extends it.
        tpm::extend(&mut swtpm.stream, 8, &[0x1D; 32])?;
        Ok(swtpm)
    }

    /// The stream of commands and answers.
    pub fn stream(&mut self) -> &mut UnixStream {
        &mut self.stream
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}
