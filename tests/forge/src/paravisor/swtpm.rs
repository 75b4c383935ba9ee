//! A software TPM (`swtpm`) in a process and a folder of its own, provisioned as an Azure VM's: one that runs, its registers as a boot
//! leaves them, or one that a virtual machine turns on and whose registers that machine extends.

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
    process: Process,
    // Behind the process, which writes there until it has ended.
    state: tempfile::TempDir,
}

#[derive(Debug)]
struct Process(Child);

impl Swtpm {
    /// Starts one, with an attestation key and registers as the boot of `azure::event_log` and an initdata leave them.
    ///
    /// # Errors
    /// `NotFound` where swtpm is not installed.
    pub fn start() -> io::Result<Self> {
        let mut swtpm = Self::with_a_key()?;
        for Event(register, _, byte) in BOOT.iter().filter(|Event(_, kind, _)| *kind != NO_ACTION) {
            tpm::extend(&mut swtpm.stream, *register, &[*byte; 32])?;
        }
        // The initdata of 32 bytes of 0x1D, as the attestation agent extends it.
        tpm::extend(&mut swtpm.stream, 8, &[0x1D; 32])?;
        Ok(swtpm)
    }

    /// One that runs, with an attestation key.
    fn with_a_key() -> io::Result<Self> {
        let state = tempfile::Builder::new().prefix("forge-swtpm-").tempdir()?;
        let (ours, theirs) = UnixStream::pair()?;
        let options = ["--server", "type=tcp,fd=0", "--flags", "not-need-init,startup-clear"];
        let process = spawn(&state, &options, theirs)?;
        let mut swtpm = Self { stream: ours, process, state };
        tpm::make_attestation_key(&mut swtpm.stream)?;
        Ok(swtpm)
    }

    /// The folder of one that is off, with an attestation key, whose modulus stands beside it, and the SHA-256 bank alone: firmware
    /// hashes what it measures once for each bank.
    ///
    /// # Errors
    /// `NotFound` where swtpm is not installed.
    pub(super) fn provision() -> io::Result<(tempfile::TempDir, Vec<u8>)> {
        let mut swtpm = Self::with_a_key()?;
        let modulus = tpm::modulus(&mut swtpm.stream)?;
        tpm::keep_one_bank(&mut swtpm.stream)?;
        tpm::shut_down(&mut swtpm.stream)?;
        let Self { stream, mut process, state } = swtpm;
        // It ends with its stream.
        drop(stream);
        process.0.wait()?;
        Ok((state, modulus))
    }

    /// The one in this folder, which waits for what its control channel says; that, and the end of the stream of commands which
    /// it has to be given there. Without that stream it would not notice that the process which holds it is gone.
    pub(super) fn controlled(state: tempfile::TempDir) -> io::Result<(Self, UnixStream, UnixStream)> {
        let (stream, commands) = UnixStream::pair()?;
        let (control, of_the_tpm) = UnixStream::pair()?;
        let process = spawn(&state, &["--ctrl", "type=unixio,clientfd=0"], of_the_tpm)?;
        Ok((Self { stream, process, state }, control, commands))
    }

    /// The stream of commands and answers.
    pub fn stream(&mut self) -> &mut UnixStream {
        &mut self.stream
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A TPM that keeps its state in this folder and ends when the other end of `input` does.
fn spawn(state: &tempfile::TempDir, options: &[&str], input: UnixStream) -> io::Result<Process> {
    // The path is absolute: a TPM without its state fails at everything.
    let child = Command::new("swtpm")
        .args(["socket", "--tpm2", "--terminate", "--tpmstate", &format!("dir={}", state.path().display())])
        .args(options)
        .stdin(OwnedFd::from(input))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    child.map(Process)
}
