//! How QEMU reaches a TPM that is a process of its own (`-tpmdev emulator`), with a paravisor in between.
//!
//! QEMU connects to one unix socket, the control channel, and sends on it one end of a socket pair, on which its guest's commands will come
//! (`CMD_SET_DATAFD`, with the descriptor as SCM_RIGHTS). That end is kept here, for the paravisor; the TPM gets an end of another pair, of
//! which the paravisor holds the other. Everything else on the control channel (turning on and off, capabilities, the size of buffers) is
//! QEMU's and the TPM's own affair and passes as it is.
//!
//! swtpm, `include/swtpm/tpm_ioctl.h`; QEMU, `docs/specs/tpm.rst`.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

use super::swtpm::Swtpm;

const SET_DATAFD: u32 = 0x10;

/// Larger than any command or answer but those of a migration, of which there is none here.
const MAX_BYTES: usize = 8_192;

/// A machine's TPM before the machine is there: provisioned, and off.
#[derive(Debug)]
pub struct Machine {
    state: tempfile::TempDir,
    modulus: Vec<u8>,
}

impl Machine {
    /// One with an attestation key.
    ///
    /// # Errors
    /// `NotFound` where swtpm is not installed.
    pub fn provision() -> io::Result<Self> {
        let (state, modulus) = Swtpm::provision()?;
        Ok(Self { state, modulus })
    }

    /// It, the modulus of its attestation key, and the control channel by which QEMU turns it on.
    pub(super) fn controlled(self) -> io::Result<(Swtpm, Vec<u8>, Control)> {
        let (vtpm, tpm, commands) = Swtpm::controlled(self.state)?;
        Ok((vtpm, self.modulus, Control { tpm, commands }))
    }
}

/// The control channel of a TPM that is off.
#[derive(Debug)]
pub struct Control {
    tpm: UnixStream,
    commands: UnixStream,
}

impl Control {
    /// Passes on what comes from QEMU until it hangs up; `guest` is called with the stream of its guest's commands.
    ///
    /// # Errors
    /// Either side breaks off in the middle, or QEMU sends no stream where one has to come.
    pub fn relay(&mut self, qemu: &mut UnixStream, mut guest: impl FnMut(UnixStream)) -> io::Result<()> {
        let mut bytes = vec![0; MAX_BYTES];
        loop {
            // Each side writes a message at once and waits for what the other says, so that one reading gives one message.
            let (length, sent) = receive(qemu, &mut bytes)?;
            let command = &bytes[..length];
            match command {
                [] => return Ok(()),
                [a, b, c, d, ..] if u32::from_be_bytes([*a, *b, *c, *d]) == SET_DATAFD => {
                    guest(sent.ok_or_else(|| io::Error::other("QEMU has sent no stream of commands"))?);
                    send(&self.tpm, command, &self.commands)?;
                }
                _ => self.tpm.write_all(command)?,
            }
            let length = self.tpm.read(&mut bytes)?;
            if length == 0 {
                return Err(io::Error::other("the software TPM has ended"));
            }
            qemu.write_all(&bytes[..length])?;
        }
    }
}

/// One message, and the stream that came along with it.
fn receive(from: &UnixStream, bytes: &mut [u8]) -> io::Result<(usize, Option<UnixStream>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(from, &mut [IoSliceMut::new(bytes)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    let descriptors = beside.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    Ok((got.bytes, descriptors.flatten().next().map(UnixStream::from)))
}

/// One message with a stream beside it.
fn send(to: &UnixStream, bytes: &[u8], stream: &UnixStream) -> io::Result<()> {
    let descriptors = [stream.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !beside.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("no room for a descriptor"));
    }
    let sent = sendmsg(to, &[IoSlice::new(bytes)], &mut beside, SendFlags::empty())?;
    if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}
