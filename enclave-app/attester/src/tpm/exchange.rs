//! One command and its answer: header, empty password, repetitions, bounds.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use super::error::{ATTEMPTS, TpmError};
use super::wire::{Reader, Writer};

/// No answer is longer (`TPM_PT_MAX_RESPONSE_SIZE` is 4,096 in the TPMs of PCs and of hypervisors).
const MAX_ANSWER_BYTES: usize = 4_096;
const HEADER_BYTES: usize = 10;

/// `TPM_ST_NO_SESSIONS` and `TPM_ST_SESSIONS`.
const PLAIN: u16 = 0x8001;
const AUTHORISED: u16 = 0x8002;
/// `TPM_RS_PW`: the session that is a password.
const PASSWORD: u32 = 0x4000_0009;

/// `TPM_RC_RETRY`, `TPM_RC_TESTING` and `TPM_RC_YIELDED`: the same command once more, a little later.
pub(super) const AGAIN: [u32; 3] = [0x922, 0x90A, 0x908];
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// A TPM behind a channel.
pub struct Tpm<C> {
    pub(super) channel: C,
}

/// A command by its name and its code.
#[derive(Clone, Copy)]
pub(super) struct Command {
    pub(super) name: &'static str,
    pub(super) code: u32,
}

impl<C: Read + Write> Tpm<C> {
    /// The TPM at the other end.
    pub fn new(channel: C) -> Self {
        Self { channel }
    }

    /// Sends a command without authorisation; gives the parameters of the answer.
    pub(super) fn plain(&mut self, command: Command, body: &[u8]) -> Result<Vec<u8>, TpmError> {
        self.repeat(PLAIN, command, body)
    }

    /// Sends a command with the empty password for its first handle; gives the parameters of the answer.
    pub(super) fn authorised(
        &mut self,
        command: Command,
        handles: &[u32],
        parameters: &[u8],
    ) -> Result<Vec<u8>, TpmError> {
        let body = handles.iter().fold(Writer::default(), |body, handle| body.u32(*handle));
        // Size of the area, session, no nonce, no attributes, no password.
        let body = body.u32(9).u32(PASSWORD).sized(&[]).u8(0).sized(&[]).bytes(parameters).finish();
        let answer = self.repeat(AUTHORISED, command, &body)?;
        let mut reader = Reader::new(command.name, &answer);
        let length = reader.u32("the length of its parameters")?;
        let length = usize::try_from(length).map_err(|_| reader.wrong("the length of its parameters"))?;
        let parameters = reader.bytes(length, "as many parameters as it announces")?;
        let session = "an answer to the empty password";
        if !reader.sized(session)?.is_empty() {
            return Err(reader.wrong(session));
        }
        reader.u8(session)?;
        if !reader.sized(session)?.is_empty() {
            return Err(reader.wrong(session));
        }
        reader.end()?;
        Ok(parameters.to_vec())
    }

    fn repeat(&mut self, tag: u16, command: Command, body: &[u8]) -> Result<Vec<u8>, TpmError> {
        let mut pause = PAUSE;
        let mut attempt = 1;
        loop {
            match self.exchange(tag, command, body)? {
                (0, parameters) => return Ok(parameters),
                (code, _) if !AGAIN.contains(&code) => return Err(TpmError::Refused { command: command.name, code }),
                (code, _) if attempt == ATTEMPTS => return Err(TpmError::Busy { command: command.name, code }),
                _ => {}
            }
            attempt += 1;
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One command and its answer: the response code, and what follows the header.
    fn exchange(&mut self, tag: u16, command: Command, body: &[u8]) -> Result<(u32, Vec<u8>), TpmError> {
        let Command { name, code } = command;
        let failed = |source| TpmError::Channel { command: name, source };
        let length = u32::try_from(HEADER_BYTES + body.len()).map_err(|_| failed(ErrorKind::InvalidInput.into()))?;
        let message = Writer::default().u16(tag).u32(length).u32(code).bytes(body).finish();
        // The kernel's device takes a command in one write.
        self.channel.write_all(&message).map_err(failed)?;
        let answer = self.answer(name)?;
        let mut reader = Reader::new(name, &answer);
        let answered_tag = reader.u16("a header")?;
        reader.u32("a header")?;
        let code = reader.u32("a header")?;
        let parameters = reader.bytes(answer.len().saturating_sub(HEADER_BYTES), "a header")?.to_vec();
        // A refusal has no sessions and nothing to say (Part 3, 4.4).
        let expected = if code == 0 { tag } else { PLAIN };
        if answered_tag != expected {
            return Err(reader.wrong("the tag of the command, or of a refusal"));
        }
        if code != 0 && !parameters.is_empty() {
            return Err(reader.wrong("nothing behind a refusal"));
        }
        Ok((code, parameters))
    }

    /// The whole of an answer. The kernel's device gives it in one read, which must take it all; a stream may give it in parts.
    pub(super) fn answer(&mut self, command: &'static str) -> Result<Vec<u8>, TpmError> {
        let failed = |source| TpmError::Channel { command, source };
        let wrong = |expected| TpmError::Malformed { command, expected };
        let mut answer = vec![0; MAX_ANSWER_BYTES];
        let mut have = 0;
        loop {
            let room = answer.get_mut(have..).unwrap_or_default();
            let read = match self.channel.read(room) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read.map_err(failed)?,
            };
            if read == 0 {
                return Err(failed(ErrorKind::UnexpectedEof.into()));
            }
            have = have.saturating_add(read);
            let Some(header) = answer.get(..have).filter(|bytes| bytes.len() >= HEADER_BYTES) else { continue };
            let mut reader = Reader::new(command, header);
            reader.u16("a header")?;
            let announced = usize::try_from(reader.u32("a header")?).unwrap_or(usize::MAX);
            if !(HEADER_BYTES..=MAX_ANSWER_BYTES).contains(&announced) {
                return Err(wrong("a length of 10 to 4096 bytes in its header"));
            }
            if have > announced {
                return Err(wrong("as many bytes as its header announces"));
            }
            if have == announced {
                answer.truncate(have);
                return Ok(answer);
            }
        }
    }
}
