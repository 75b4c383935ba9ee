use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
use sha2::{Digest, Sha256};
use teegate_protocol::evidence::EvidenceKind;

use super::hcl::tests::blob;
use super::*;
use crate::tpm::PCRS;

/// A vTPM in memory, of a paravisor that renews the report after some readings. It signs nothing: evidence out of it convinces
/// nobody.
struct Vtpm {
    /// `None` until the index is made.
    user_data: Option<Vec<u8>>,
    report_type: u8,
    /// Readings of the report that still give the old one, and how many after each write.
    stale: u32,
    slow: u32,
    /// Readings whose first part is of the report before.
    torn: u32,
    /// How often the 64 bytes were written, and what another process writes behind so many of them.
    writes: Arc<AtomicU32>,
    others: u32,
    /// The answer to TPM2_ReadPublic.
    key: Vec<u8>,
    /// Quotes that are over other values than those that are read afterwards.
    moving: u32,
    /// How the user data stand in the claims.
    claims: fn(&str) -> String,
    hcl_size: Option<u16>,
    selection: [u8; 6],
    extra_data: fn(&[u8]) -> Vec<u8>,
    quotes: u8,
    written: Vec<u8>,
    answer: std::collections::VecDeque<u8>,
}

impl Vtpm {
    fn new() -> Self {
        Self {
            user_data: Some(vec![0; 64]),
            report_type: 2,
            stale: 0,
            slow: 0,
            torn: 0,
            writes: Arc::default(),
            others: 0,
            key: crate::tpm::tests::key([0, 1], &crate::tpm::tests::SIGNS, &MODULUS),
            moving: 0,
            claims: |digits| format!(r#"{{"keys":[{}],"user-data":"{digits}"}}"#, named(&MODULUS)),
            hcl_size: None,
            selection: [0, 0x0B, 3, 0xFF, 0xFF, 0xFF],
            extra_data: <[u8]>::to_vec,
            quotes: 0,
            written: Vec::new(),
            answer: Default::default(),
        }
    }

    fn report(&self) -> Vec<u8> {
        let known = if self.stale > 0 { &[0; 64] } else { self.user_data.as_deref().unwrap_or_default() };
        self.report_over(known)
    }

    fn report_over(&self, user_data: &[u8]) -> Vec<u8> {
        blob(self.report_type, &(self.claims)(&teegate_encoding::hex::encode(user_data).to_uppercase()))
    }

    fn pcrs(&self) -> [[u8; 32]; PCRS] {
        [[self.quotes; 32]; PCRS]
    }

    fn respond(&mut self, request: &[u8]) -> (u16, u32, Vec<u8>) {
        let sized = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
        let authorised = |parameters: &[u8]| {
            let length = u32::try_from(parameters.len()).unwrap().to_be_bytes();
            (0x8002, 0, [&length[..], parameters, &[0, 0, 1, 0, 0]].concat())
        };
        let word = |at: usize| u32::from_be_bytes(request[at..at + 4].try_into().unwrap());
        let half = |at: usize| u16::from_be_bytes(request[at..at + 2].try_into().unwrap());
        match word(6) {
            0x169 => {
                let size = match word(10) {
                    HCL_REPORT => self.hcl_size.or(Some(u16::try_from(self.report().len()).unwrap())),
                    _ => self.user_data.as_ref().map(|data| u16::try_from(data.len()).unwrap()),
                };
                let Some(size) = size else { return (0x8001, 0x18B, vec![]) };
                let area = [&request[10..14], &[0, 0x0B, 0, 2, 0, 2, 0, 0], &size.to_be_bytes()].concat();
                (0x8001, 0, [sized(&area), sized(&[7; 34])].concat())
            }
            0x12A => {
                self.user_data = Some(vec![0; 64]);
                authorised(&[])
            }
            0x137 => {
                let is_overwritten = self.writes.fetch_add(1, Ordering::Relaxed) < self.others;
                self.user_data = Some(if is_overwritten { vec![0xEE; 64] } else { request[33..97].to_vec() });
                if self.slow > 0 {
                    self.stale = self.slow;
                }
                authorised(&[])
            }
            0x14E if word(14) == USER_DATA => authorised(&sized(self.user_data.as_deref().unwrap_or_default())),
            0x14E => {
                let (size, offset) = (usize::from(half(31)), usize::from(half(33)));
                let is_old = offset == 0 && self.torn > 0;
                let report = if is_old { self.report_over(&[0; 64]) } else { self.report() };
                let part = report[offset..offset + size].to_vec();
                if offset == 0 {
                    (self.stale, self.torn) = (self.stale.saturating_sub(1), self.torn.saturating_sub(1));
                }
                authorised(&sized(&part))
            }
            0x158 => {
                let extra = (self.extra_data)(&request[29..93]);
                self.quotes += 1;
                let digest = Sha256::digest(self.pcrs().as_flattened());
                let message = crate::tpm::tests::attest(&extra, &[&self.selection], &digest);
                if self.moving > 0 {
                    self.moving -= 1;
                    self.quotes += 1;
                }
                authorised(&[&sized(&message)[..], &[0, 0x14, 0, 0x0B], &sized(&[9; 256])].concat())
            }
            0x173 if self.key.is_empty() => (0x8001, 0x18B, vec![]),
            0x173 => (0x8001, 0, self.key.clone()),
            0x17E => {
                let head = [&[0, 0, 0, 1][..], &[0, 0, 0, 1, 0, 0x0B, 3, 0xFF, 0xFF, 0xFF], &[0, 0, 0, 24]].concat();
                (0x8001, 0, [head, self.pcrs().map(|value| sized(&value)).concat()].concat())
            }
            other => panic!("{other:#x}"),
        }
    }
}

impl Read for Vtpm {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.answer.read(buffer)
    }
}

impl Write for Vtpm {
    fn write(&mut self, request: &[u8]) -> std::io::Result<usize> {
        self.written.extend(request);
        let (tag, code, body) = self.respond(request);
        self.answer.extend(tag.to_be_bytes());
        self.answer.extend(u32::try_from(10 + body.len()).unwrap().to_be_bytes());
        self.answer.extend(u32::to_be_bytes(code).iter().chain(&body));
        Ok(request.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const DATA: [u8; 64] = [0xA5; 64];
const MODULUS: [u8; 256] = [0xC5; 256];

/// The attestation key as the claims name it.
fn named(modulus: &[u8]) -> String {
    format!(r#"{{"kid":"HCLAkPub","kty":"RSA","e":"AQAB","n":"{}"}}"#, teegate_encoding::base64::encode_url(modulus))
}

fn take(vtpm: Vtpm, renewal: Duration) -> Result<Taken, AttesterError> {
    let patience = Patience { renewal, pause: Duration::ZERO, rewrite: Duration::from_secs(600), ..PATIENCE };
    Taken::from(&mut Tpm::new(vtpm), &DATA, patience, "the vTPM")
}

fn error(vtpm: Vtpm) -> String {
    take(vtpm, Duration::ZERO).unwrap_err().to_string()
}

#[test]
fn the_same_bytes_are_in_the_claims_and_in_the_quote() {
    for report_type in [2, 4] {
        let taken = take(Vtpm { report_type, ..Vtpm::new() }, Duration::ZERO).unwrap();
        let td_report = Hardware::Tdx(taken.hcl_report[32..32 + 1_024].to_vec());
        let hardware = if report_type == 2 { Hardware::SevSnp } else { td_report };
        assert_eq!((&taken.hardware, taken.pcrs), (&hardware, [[1; 32]; PCRS]));
        assert_eq!(taken.misfits, [""; 0]);
        let report = taken.hcl_report.clone();
        let json = taken.with(VtpmPlatform::SevSnp(None)).to_json().into_bytes();
        assert_eq!(report_data(&json), Some(DATA));
        let written = VtpmEvidence::parse(&json).unwrap();
        assert_eq!((written.version, written.pcrs.len(), &written.hcl_report), (2, 24, &report));
        assert_eq!((written.signature, written.platform), (vec![9; 256], VtpmPlatform::SevSnp(None)));
        let evidence = |kind, bytes: &[u8]| RawEvidence {
            kind,
            bytes: bytes.to_vec(),
            endorsements: None,
            event_log: None,
            left_out: vec![],
        };
        assert_eq!(evidence(EvidenceKind::AzSnpVtpm, &json).report_data(), Some(DATA));
        assert_eq!(evidence(EvidenceKind::AzTdxVtpm, &json[1..]).report_data(), None);
    }
}

const FOREIGN: &str =
    "its `user-data` is still something else; is the paravisor slow, or does another process write them?";

#[test]
fn an_index_that_is_not_there_is_made_and_an_old_report_is_waited_out() {
    let vtpm = Vtpm { user_data: None, stale: 3, ..Vtpm::new() };
    let taken = take(vtpm, Duration::from_secs(60)).unwrap();
    assert_eq!(Hcl::parse(&taken.hcl_report).unwrap().user_data.as_deref(), Some(&DATA[..]));
    let said = error(Vtpm { stale: 3, ..Vtpm::new() });
    assert!(said.ends_with(&format!("did not take up what was written: {FOREIGN}")), "{said}");
    let said = error(Vtpm { claims: |_| "{}".to_owned(), ..Vtpm::new() });
    assert!(said.ends_with("it has no `user-data`: this paravisor is too old to bind any"), "{said}");
    for claims in [
        |digits: &str| format!(r#"{{"user-data":"{}"}}"#, digits.strip_prefix("A5").unwrap()),
        |digits: &str| format!(r#"{{"user-data":"{digits}00"}}"#),
    ] {
        let said = error(Vtpm { claims, ..Vtpm::new() });
        assert!(said.ends_with(FOREIGN), "{said}");
    }
    let said = error(Vtpm { claims: |digits| format!(r#"{{"user-data":"{digits}","user-data":""}}"#), ..Vtpm::new() });
    assert_eq!(said, "evidence: the claims of the HCL report is malformed, expected a JSON object");
    let lower = Vtpm { claims: |digits| format!(r#"{{"user-data":"{}"}}"#, digits.to_lowercase()), ..Vtpm::new() };
    take(lower, Duration::ZERO).unwrap();
}

/// A reading in two parts, the first of the old report and the second of the new one: the claims are the new ones already.
#[test]
fn a_report_that_was_renewed_while_it_was_read_is_read_again() {
    for report_type in [2, 4] {
        let torn = || Vtpm { report_type, torn: 3, ..Vtpm::new() };
        let taken = take(torn(), Duration::from_secs(60)).unwrap();
        assert_eq!(taken.misfits, [""; 0]);
        assert_eq!(taken.hcl_report, take(Vtpm { torn: 0, ..torn() }, Duration::ZERO).unwrap().hcl_report);
        // One that stays so goes out in the end, and whoever verifies judges it.
        let taken = take(torn(), Duration::ZERO).unwrap();
        assert_eq!(
            taken.misfits,
            [
                "no verifier will take the evidence: the hardware's report is not over the claims beside it, however often both were read; \
              is the vTPM the one that Azure gave this machine?"
            ]
        );
    }
}

#[test]
fn what_another_process_writes_is_overwritten_and_not_for_ever() {
    let overwritten = |others: u32, renewal: Duration, rewrite: Duration| {
        let vtpm = Vtpm { others, ..Vtpm::new() };
        let writes = Arc::clone(&vtpm.writes);
        let patience = Patience { renewal, pause: Duration::ZERO, rewrite, ..PATIENCE };
        let taken = Taken::from(&mut Tpm::new(vtpm), &DATA, patience, "the vTPM");
        (taken.map(|taken| Hcl::parse(&taken.hcl_report).unwrap().user_data), writes.load(Ordering::Relaxed))
    };
    let (long, at_once) = (Duration::from_secs(60), Duration::ZERO);
    assert_eq!(overwritten(0, long, at_once), (Ok(Some(DATA.to_vec())), 1));
    assert_eq!(overwritten(3, long, at_once), (Ok(Some(DATA.to_vec())), 4));
    // Once in so long, and the wait ends.
    let soon = Duration::from_millis(20);
    let (given_up, writes) = overwritten(u32::MAX, soon, long);
    assert!(given_up.unwrap_err().to_string().ends_with(FOREIGN));
    assert_eq!(writes, 1);
    let (given_up, writes) = overwritten(u32::MAX, soon, at_once);
    assert!(given_up.is_err() && writes > 1, "{writes}");
    assert_eq!(PATIENCE.rewrite, Duration::from_secs(1));
}

/// Each write begins the renewal again: whoever wrote once a second would wait for ever.
#[test]
fn a_slow_renewal_is_waited_for_and_not_begun_again() {
    let vtpm = Vtpm { slow: 5, ..Vtpm::new() };
    let writes = Arc::clone(&vtpm.writes);
    let patience =
        Patience { renewal: Duration::from_secs(60), pause: Duration::ZERO, rewrite: Duration::ZERO, ..PATIENCE };
    let taken = Taken::from(&mut Tpm::new(vtpm), &DATA, patience, "the vTPM").unwrap();
    assert_eq!(Hcl::parse(&taken.hcl_report).unwrap().user_data, Some(DATA.to_vec()));
    assert_eq!(writes.load(Ordering::Relaxed), 1);
}

#[test]
fn a_key_that_the_claims_do_not_name_is_said_and_costs_nobody_the_evidence() {
    let misfits = |vtpm| take(vtpm, Duration::ZERO).unwrap().misfits;
    let other = "no verifier will take the evidence: the attestation key at 0x81000003 is not the one that the claims of the HCL report \
                 name (`HCLAkPub`); is the vTPM the one that Azure gave this machine?";
    let key = |modulus: &[u8]| crate::tpm::tests::key([0, 1], &crate::tpm::tests::SIGNS, modulus);
    assert_eq!(misfits(Vtpm { key: key(&[0xC6; 256]), ..Vtpm::new() }), [other]);
    for claims in [
        |digits: &str| format!(r#"{{"keys":[],"user-data":"{digits}"}}"#),
        |digits: &str| format!(r#"{{"keys":[{0},{0}],"user-data":"{digits}"}}"#, named(&MODULUS)),
    ] {
        assert_eq!(misfits(Vtpm { claims, ..Vtpm::new() }), [other]);
    }
    let unread = "the attestation key was not held against the claims of the HCL report: TPM2_ReadPublic: ";
    let refused = misfits(Vtpm { key: Vec::new(), ..Vtpm::new() });
    assert_eq!(refused, [format!("{unread}the TPM answers with the response code 0x18b")]);
    let [short] = <[String; 1]>::try_from(misfits(Vtpm { key: key(&[0xC5; 128]), ..Vtpm::new() })).unwrap();
    assert_eq!(short, format!("{unread}the answer is malformed, expected a key of 2,048 bits"));
    assert_eq!(misfits(Vtpm::new()), [""; 0], "the twin");
}

/// A terminal as a device, whose other end is the TPM's. While `holds` is set it says that it can be read as soon as a byte is there, and
/// holds whoever reads then: so does Linux's driver, whose `poll` looks at no command.
struct Terminal {
    ours: std::fs::File,
    theirs: OwnedFd,
    path: PathBuf,
}

impl Terminal {
    fn open() -> Self {
        use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        unlockpt(&ours).unwrap();
        let path = PathBuf::from(ptsname(&ours, Vec::new()).unwrap().into_string().unwrap());
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
        let theirs = rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).unwrap();
        Self { ours: ours.into(), theirs, path }
    }

    fn holds(&self, holds: bool) {
        let mut settings = tcgetattr(&self.theirs).unwrap();
        settings.make_raw();
        // A reader waits for ten bytes, or for 25.5 s without one.
        let (bytes, tenths) = if holds { (10, 255) } else { (1, 0) };
        settings.special_codes[SpecialCodeIndex::VMIN] = bytes;
        settings.special_codes[SpecialCodeIndex::VTIME] = tenths;
        tcsetattr(&self.theirs, OptionalActions::Now, &settings).unwrap();
    }
}

#[test]
fn a_tpm_that_holds_the_question_in_the_kernel_is_given_up_and_keeps_nobody() {
    let terminal = Terminal::open();
    terminal.holds(true);
    let patience = Patience { whole: Duration::from_secs(1), ..PATIENCE };
    let nobody: Imds = "http://127.0.0.1:1".parse().unwrap();
    let vtpm = AzureVtpm { patience, ..AzureVtpm::at(&terminal.path, nobody) };
    let mut ours = terminal.ours.try_clone().unwrap();
    let (told, held) = mpsc::channel();
    let holder = std::thread::spawn(move || {
        ours.read_exact(&mut [0; 14]).unwrap();
        // The first byte of an answer: now it can be read.
        ours.write_all(&[0x80]).unwrap();
        told.send(()).unwrap();
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let begun = Instant::now();
    assert_eq!(runtime.block_on(vtpm.evidence(DATA)), Err(AttesterError::TimedOut));
    assert!(begun.elapsed() < Duration::from_secs(10), "given up after {:?}", begun.elapsed());
    held.recv().unwrap();
    holder.join().unwrap();
    let refused = runtime.block_on(vtpm.evidence(DATA)).unwrap_err();
    let said = format!(
        "evidence: the vTPM ({}) could not be asked: it has not answered the last question yet",
        terminal.path.display()
    );
    assert!(refused.to_string() == said && refused.may_pass(), "{refused}");
    drop(runtime);
    assert!(vtpm.turn.take("").is_err(), "the question was waited for, {:?}", begun.elapsed());
    // Well before the terminal itself would end it.
    assert!(begun.elapsed() < Duration::from_secs(20));

    // The kernel comes back, and the next question is answered by the same device. The old one goes no further, though it could: there is
    // no such index, and one might be made.
    let mut ours = terminal.ours.try_clone().unwrap();
    ours.write_all(&[1, 0, 0, 0, 10, 0, 0, 1, 0x8B]).unwrap();
    while vtpm.turn.take("").is_err() {
        std::thread::yield_now();
    }
    let mut further = [PollFd::new(&terminal.ours, PollFlags::IN)];
    assert_eq!(poll(&mut further, Some(&Timespec::default())), Ok(0), "the TPM was asked after the deadline");
    terminal.holds(false);
    let patience = Patience { whole: Duration::from_secs(60), ..PATIENCE };
    let vtpm = AzureVtpm { patience, ..vtpm };
    let tpm = std::thread::spawn(move || {
        let mut tpm = Vtpm::new();
        // Until the terminal is gone.
        let mut request = vec![0; 4_096];
        while let Ok(length @ 1..) = ours.read(&mut request) {
            tpm.write_all(&request[..length]).unwrap();
            let answer: Vec<u8> = tpm.answer.drain(..).collect();
            ours.write_all(&answer).unwrap();
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let evidence = runtime.block_on(vtpm.evidence(DATA)).unwrap();
    assert_eq!((evidence.kind, evidence.report_data()), (EvidenceKind::AzSnpVtpm, Some(DATA)));
    drop(terminal);
    tpm.join().unwrap();
}

#[test]
fn registers_that_move_are_quoted_again_and_not_for_ever() {
    let taken = take(Vtpm { moving: 2, ..Vtpm::new() }, Duration::ZERO).unwrap();
    assert!(Attested::parse(&taken.quote.message).unwrap().is_over(&taken.pcrs));
    let bank = "expected one over the 24 registers of the SHA-256 bank, with their values";
    for vtpm in [
        Vtpm { moving: QUOTES, ..Vtpm::new() },
        Vtpm { selection: [0, 4, 3, 0xFF, 0xFF, 0xFF], ..Vtpm::new() },
        // PCR 23, which anybody may reset, in the place of PCR 11.
        Vtpm { selection: [0, 0x0B, 3, 0xFF, 0x07, 0x80], ..Vtpm::new() },
    ] {
        assert!(error(vtpm).ends_with(bank));
    }
}

#[test]
fn what_is_not_as_it_should_be_is_named() {
    let said = error(Vtpm { user_data: Some(vec![0; 32]), ..Vtpm::new() });
    assert_eq!(said, "evidence: NV index 0x01400002 of 32 bytes is malformed, expected 64 bytes");
    let said = error(Vtpm { hcl_size: Some(u16::MAX), ..Vtpm::new() });
    assert_eq!(said, "evidence: the HCL report of 65535 bytes is malformed, expected at most 16384");
    let said = error(Vtpm { report_type: 3, ..Vtpm::new() });
    assert!(said.starts_with("evidence: the report type of the HCL report is malformed"), "{said}");
    let other = Vtpm { extra_data: |_| vec![0; 64], ..Vtpm::new() };
    assert_eq!(take(other, Duration::ZERO), Err(AttesterError::OtherReportData));
    let short = Vtpm { extra_data: |extra| extra[..63].to_vec(), ..Vtpm::new() };
    assert_eq!(take(short, Duration::ZERO), Err(AttesterError::OtherReportData));
}

#[tokio::test]
async fn a_device_that_is_not_there_says_what_to_look_at() {
    let missing = AzureVtpm::at(Path::new("/nonexistent/tpm"), Imds::default());
    match missing.evidence(DATA).await {
        Err(AttesterError::Missing { source, reason }) => {
            assert_eq!(source, "the vTPM (/nonexistent/tpm)");
            assert!(reason.starts_with("it is not there: is this an Azure confidential VM"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    let folder = AzureVtpm::at(Path::new("/tmp"), Imds::default()).evidence(DATA).await.unwrap_err();
    assert_eq!(folder.to_string(), "evidence: the vTPM (/tmp) could not be asked: not a character device");
    assert!(!folder.may_pass());
    let denied = not_opened("the vTPM", &ErrorKind::PermissionDenied.into()).to_string();
    assert!(denied.ends_with("is this process in the device's group (`tss`)?"), "{denied}");
}
