//! The driver of an SEV-SNP guest, asked by `ioctl`: `/dev/sev-guest` (Linux 5.19 and later), and `/dev/sev` of the guests that Azure runs
//! with its Linux 5.15. Confidential ACI has one of the two where configfs-tsm is not to be had: its kernels are older than 6.7, or a
//! container does not see configfs.
//!
//! A request that fails may be repeated with the very same content and not with another: the driver encrypts it for the
//! firmware under a counter, and drivers before Linux 6.3 keep the counter after a failure. So one order is one message, at privilege
//! level 0, however often it is sent, and only where the host says that it was busy. Newer drivers repeat by themselves, for a
//! minute at most, and after any other failure wipe their key to the firmware; then there is no report until the guest is started anew.
//!
//! Not exercised on hardware: the tests answer in place of the driver, and one test holds the layout to the kernel's header.

mod ioctl;
pub mod response;

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ioctl::Outcome;
use rustix::io::Errno;
use teegate_protocol::evidence::EvidenceKind;

use crate::AttesterError;
use crate::apart::Turn;
use crate::configfs_tsm::Report;

/// Where Linux has the driver, and where Azure's Linux 5.15 has it.
pub const SEV_GUEST: &str = "/dev/sev-guest";
/// See [`SEV_GUEST`].
pub const SEV: &str = "/dev/sev";

/// How often a busy host is asked, and how long the first pause is; each further one is twice as long. Seven and a half seconds, all in all.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// Which requests a driver knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// Those of `/dev/sev-guest`.
    SevGuest,
    /// Those of `/dev/sev` in a guest with Azure's Linux 5.15.
    Sev,
}

/// Whether the certificates that the host supplies are asked for as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificates {
    /// They are, where the driver can be asked for them.
    Asked,
    /// They are not: another way has them, and a request that a host does not know can cost the guest its key to the firmware.
    NotAsked,
}

/// One driver. Answers one question at a time.
#[derive(Debug, Clone)]
pub struct SevGuest {
    driver: Driver,
    path: PathBuf,
    turn: Turn,
}

impl SevGuest {
    /// The driver behind this device.
    pub fn at(driver: Driver, path: &Path) -> Self {
        Self { driver, path: path.to_owned(), turn: Turn::default() }
    }

    /// Asks the driver, and waits for it on this thread.
    ///
    /// # Errors
    /// The device is not there or no character device; the firmware or the host refuses; what comes is no report.
    pub fn report(&self, report_data: &[u8; 64], certificates: Certificates) -> Result<Report, AttesterError> {
        let source = self.to_string();
        // A driver may hold a question for a minute, and be given up before.
        let _turn = self.turn.take(&source)?;
        let device = open(&self.path).map_err(|error| not_opened(&source, &error))?;
        let order = Order { source: &source, driver: self.driver, pause: PAUSE };
        order.report(&|request| request.ask(&device, report_data), certificates)
    }
}

impl std::fmt::Display for SevGuest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the driver of the SEV-SNP guest ({})", self.path.display())
    }
}

/// Only a character device: a pipe or a file that somebody put there would not answer, and opening one can block.
fn open(path: &Path) -> std::io::Result<File> {
    if !std::fs::metadata(path)?.file_type().is_char_device() {
        return Err(Error::new(ErrorKind::InvalidInput, "not a character device"));
    }
    // Never the terminal of this process, if it should be one.
    let no_terminal = i32::try_from(rustix::fs::OFlags::NOCTTY.bits()).unwrap_or_default();
    OpenOptions::new().read(true).write(true).custom_flags(no_terminal).open(path)
}

fn not_opened(source: &str, error: &Error) -> AttesterError {
    let (source, reason) = (source.to_owned(), error.to_string());
    match error.kind() {
        ErrorKind::NotFound => {
            let reason =
                "it is not there: is this an SEV-SNP guest, and is the device given to this container?".to_owned();
            AttesterError::Missing { source, reason }
        }
        ErrorKind::PermissionDenied => AttesterError::Missing { source, reason: format!("{reason}; are you root?") },
        ErrorKind::InvalidInput => AttesterError::Missing { source, reason },
        _ => AttesterError::Unreachable { source, reason },
    }
}

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    Report,
    ExtendedReport,
    OlderReport,
}

impl Request {
    fn ask(self, device: &File, report_data: &[u8; 64]) -> Outcome {
        match self {
            Self::Report => ioctl::report(device, report_data),
            Self::ExtendedReport => ioctl::extended_report(device, report_data),
            Self::OlderReport => ioctl::older_report(device, report_data),
        }
    }
}

/// How a request is answered: by the driver, or by an imitation.
type Ask<'a> = &'a dyn Fn(Request) -> Outcome;

/// What the host says in the upper half of `exit_info` (GHCB specification, `SNP Guest Request`).
const HOST_TABLE_TOO_LONG: u64 = 1;
const HOST_BUSY: u64 = 2;

fn host_error(outcome: &Outcome) -> u64 {
    outcome.exit_info >> 32
}

/// What the firmware says in the lower half; `None` where it was not asked, which a driver writes in one of two ways.
fn firmware_error(outcome: &Outcome) -> Option<u64> {
    let error = outcome.exit_info & 0xFFFF_FFFF;
    (![0, 0xFF, 0xFFFF_FFFF].contains(&error)).then_some(error)
}

/// The one question that is asked.
struct Order<'a> {
    source: &'a str,
    driver: Driver,
    pause: Duration,
}

impl Order<'_> {
    fn report(&self, ask: Ask<'_>, certificates: Certificates) -> Result<Report, AttesterError> {
        let mut left_out = Vec::new();
        let mut outcome = match (self.driver, certificates) {
            (Driver::SevGuest, Certificates::Asked) => self.persist(ask, Request::ExtendedReport),
            (Driver::SevGuest, Certificates::NotAsked) => self.persist(ask, Request::Report),
            (Driver::Sev, _) => self.persist(ask, Request::OlderReport),
        };
        if (self.driver, certificates) == (Driver::SevGuest, Certificates::Asked) {
            let table = "the host's certificate table";
            if outcome.result.is_err() && host_error(&outcome) == HOST_TABLE_TOO_LONG {
                left_out
                    .push(format!("{table}: it has more than the {} bytes that the driver takes", ioctl::TABLE_BYTES));
                outcome = self.persist(ask, Request::Report);
            } else if outcome.result == Err(Errno::NOTTY) {
                left_out.push(format!("{table}: the driver knows no request for it"));
                outcome = self.persist(ask, Request::Report);
            }
        }
        outcome.result.map_err(|error| self.refused(&outcome, error))?;
        let bytes = response::report(outcome.response.as_slice(), self.source)?;
        Ok(Report { kind: EvidenceKind::SnpReport, bytes, certificate_table: outcome.table, left_out })
    }

    /// Asks again, and the same, while the host is busy.
    fn persist(&self, ask: Ask<'_>, request: Request) -> Outcome {
        let mut pause = self.pause;
        let mut attempt = 1;
        loop {
            let outcome = ask(request);
            let is_busy = outcome.result.is_err() && host_error(&outcome) == HOST_BUSY;
            let is_early = matches!(outcome.result, Err(Errno::AGAIN | Errno::INTR));
            if attempt == ATTEMPTS || !(is_busy || is_early) {
                return outcome;
            }
            attempt += 1;
            std::thread::sleep(pause);
            pause = pause.saturating_mul(2);
        }
    }

    fn refused(&self, outcome: &Outcome, error: Errno) -> AttesterError {
        let source = self.source.to_owned();
        let refused = |reason: String| AttesterError::Refused { source: source.clone(), reason, is_early: false };
        let missing = |reason: &str| AttesterError::Missing { source: source.clone(), reason: reason.to_owned() };
        if let Some(code) = firmware_error(outcome) {
            return refused(format!("the firmware's error {code:#x} (AMD 56860, status codes)"));
        }
        match (host_error(outcome), error) {
            (HOST_BUSY, _) => AttesterError::Unreachable {
                source,
                reason: format!(
                    "the host lets no more requests through to the firmware; it was asked {ATTEMPTS} times"
                ),
            },
            (_, Errno::NOTTY) if self.driver == Driver::SevGuest => missing(
                "the driver has no key to the firmware (it wipes it after a failed request, and the kernel's log then says VMPCK): start \
                 the guest anew",
            ),
            (_, Errno::NOTTY | Errno::INVAL) if self.driver == Driver::Sev => {
                missing("it does not know the request: a host's device of this name is no guest's")
            }
            // Where the firmware was not asked the host's half can be ones as well.
            (0 | 0xFFFF_FFFF, _) => AttesterError::Unreachable { source, reason: error.to_string() },
            (code, _) => refused(format!("the host's error {code:#x} ({error})")),
        }
    }
}

#[cfg(test)]
mod tests;
