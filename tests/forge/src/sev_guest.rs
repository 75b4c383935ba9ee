//! A forged firmware behind a forged driver: what `/dev/sev-guest` answers, to `device/sev_guest.c`, which stands in front of a program in
//! the driver's place. Reports are signed by the forged vendor. What passes proves the plumbing and never the silicon.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

/// What is wrong, one thing at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The host is busy twice, and then not. Not wrong: hosts throttle.
    Busy,
    /// The host is always busy.
    AlwaysBusy,
    /// The firmware refuses.
    FirmwareError,
    /// The driver has wiped its key.
    NoKey,
    /// The firmware answers that it has no key of that kind.
    Status,
    /// The firmware answers, and there is no report.
    NoReport,
    /// The host has more certificates than the driver has room for.
    LongTable,
    /// The report is over other bytes.
    OtherReportData,
}

/// Every defect by its name on the command line.
pub const DEFECTS: [(&str, Defect); 8] = [
    ("busy", Defect::Busy),
    ("always-busy", Defect::AlwaysBusy),
    ("firmware-error", Defect::FirmwareError),
    ("no-key", Defect::NoKey),
    ("status", Defect::Status),
    ("no-report", Defect::NoReport),
    ("long-table", Defect::LongTable),
    ("other-report-data", Defect::OtherReportData),
];

/// `EIO` and `ENOTTY`.
const IO: u32 = 5;
const NO_SUCH_REQUEST: u32 = 25;

/// The firmware of one guest.
pub struct Firmware<'a> {
    /// The report over these bytes.
    pub report: &'a dyn Fn([u8; 64]) -> Vec<u8>,
    /// The host's certificate table.
    pub table: Vec<u8>,
    /// What is wrong now.
    pub defect: &'a dyn Fn() -> Option<Defect>,
    /// Requests that were answered with busy since that became a defect.
    pub refusals: u32,
}

/// What the driver returns.
#[derive(Default)]
struct Answer {
    error: u32,
    exit_info: u64,
    response: Vec<u8>,
}

impl Answer {
    fn failed(error: u32, exit_info: u64) -> Self {
        Self { error, exit_info, response: Vec::new() }
    }
}

impl Firmware<'_> {
    /// Answers whoever connects, one after the other. Says on standard error what it was asked.
    pub fn serve(&mut self, listener: &UnixListener) -> io::Result<()> {
        for stream in listener.incoming() {
            // A program that is ended in the middle is its own business.
            let _ = self.answer(&mut stream?);
        }
        Ok(())
    }

    fn answer(&mut self, stream: &mut UnixStream) -> io::Result<()> {
        let mut question = [0; 108];
        stream.read_exact(&mut question)?;
        let word = |at: usize| u32::from_ne_bytes(question[at..at + 4].try_into().expect("four bytes"));
        let (kind, room) = (word(0), word(8));
        let names = ["report", "report and certificates", "report (Linux 5.15)"];
        eprintln!("forge-guest: forged firmware: {}", names[kind as usize]);
        let mut answer = self.of(&question[12..]);
        let mut table = if kind == 1 { self.table.clone() } else { Vec::new() };
        if kind == 1 && (self.defect)() == Some(Defect::LongTable) {
            table.resize(20 << 10, 0);
        }
        if room > 0 && table.len() > room as usize && answer.error == 0 {
            answer = Answer::failed(IO, 1 << 32);
        }
        answer.response.resize(4_000, 0);
        stream.write_all(&answer.error.to_ne_bytes())?;
        stream.write_all(&u32::try_from(table.len()).expect("a short table").to_ne_bytes())?;
        stream.write_all(&answer.exit_info.to_ne_bytes())?;
        stream.write_all(&answer.response)?;
        if table.len() <= room as usize { stream.write_all(&table) } else { Ok(()) }
    }

    /// MSG_REPORT_REQ, 96 bytes, to MSG_REPORT_RSP.
    fn of(&mut self, request: &[u8]) -> Answer {
        let defect = (self.defect)();
        if !matches!(defect, Some(Defect::Busy)) {
            self.refusals = 0;
        }
        match defect {
            Some(Defect::AlwaysBusy) => return Answer::failed(IO, 2 << 32),
            Some(Defect::Busy) if self.refusals < 2 => {
                self.refusals += 1;
                return Answer::failed(IO, 2 << 32);
            }
            Some(Defect::FirmwareError) => return Answer::failed(IO, 0x0D),
            Some(Defect::NoKey) => return Answer::failed(NO_SUCH_REQUEST, 0),
            _ => {}
        }
        // The privilege level, the kind of key and what is reserved: this guest is at level 0, and asks for nothing else.
        if request[64..].iter().any(|byte| *byte != 0) {
            return Answer::failed(IO, 0x16);
        }
        let mut report_data: [u8; 64] = request[..64].try_into().expect("64 bytes");
        if defect == Some(Defect::OtherReportData) {
            report_data[63] ^= 1;
        }
        let report = (self.report)(report_data);
        let status = if defect == Some(Defect::Status) { 0x27_u32 } else { 0 };
        let size = if defect == Some(Defect::NoReport) { 0 } else { u32::try_from(report.len()).expect("a report") };
        let response = [&status.to_le_bytes()[..], &size.to_le_bytes(), &[0; 24], &report].concat();
        Answer { response, ..Answer::default() }
    }
}
