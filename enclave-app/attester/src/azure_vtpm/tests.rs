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
    /// Readings of the report that still give the old one.
    stale: u32,
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
            moving: 0,
            claims: |digits| format!(r#"{{"keys":[],"user-data":"{digits}"}}"#),
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
        blob(self.report_type, &(self.claims)(&teegate_encoding::hex::encode(known).to_uppercase()))
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
                self.user_data = Some(request[33..97].to_vec());
                authorised(&[])
            }
            0x14E => {
                let (size, offset) = (usize::from(half(31)), usize::from(half(33)));
                let part = self.report()[offset..offset + size].to_vec();
                if offset == 0 {
                    self.stale = self.stale.saturating_sub(1);
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

fn take(vtpm: Vtpm, patience: Duration) -> Result<Taken, AttesterError> {
    Taken::from(&mut Tpm::new(vtpm), &DATA, Instant::now() + patience, "the vTPM")
}

fn error(vtpm: Vtpm) -> String {
    take(vtpm, Duration::ZERO).unwrap_err().to_string()
}

#[test]
fn the_same_bytes_are_in_the_claims_and_in_the_quote() {
    for (report_type, hardware) in [(2, Hardware::SevSnp), (4, Hardware::Tdx(vec![7; 1_024]))] {
        let taken = take(Vtpm { report_type, ..Vtpm::new() }, Duration::ZERO).unwrap();
        assert_eq!((&taken.hardware, taken.pcrs), (&hardware, [[1; 32]; PCRS]));
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

#[test]
fn an_index_that_is_not_there_is_made_and_an_old_report_is_waited_out() {
    let vtpm = Vtpm { user_data: None, stale: 3, ..Vtpm::new() };
    let taken = take(vtpm, Duration::from_secs(60)).unwrap();
    assert_eq!(Hcl::parse(&taken.hcl_report).unwrap().user_data.as_deref(), Some(&DATA[..]));
    let said = error(Vtpm { stale: 3, ..Vtpm::new() });
    assert!(said.ends_with("did not take up what was written: its `user-data` is still something else"), "{said}");
    let said = error(Vtpm { claims: |_| "{}".to_owned(), ..Vtpm::new() });
    assert!(said.ends_with("it has no `user-data`: this paravisor is too old to bind any"), "{said}");
    for claims in [
        |digits: &str| format!(r#"{{"user-data":"{}"}}"#, digits.strip_prefix("A5").unwrap()),
        |digits: &str| format!(r#"{{"user-data":"{digits}00"}}"#),
    ] {
        let said = error(Vtpm { claims, ..Vtpm::new() });
        assert!(said.ends_with("its `user-data` is still something else"), "{said}");
    }
    let said = error(Vtpm { claims: |digits| format!(r#"{{"user-data":"{digits}","user-data":""}}"#), ..Vtpm::new() });
    assert_eq!(said, "evidence: the claims of the HCL report is malformed, expected a JSON object");
    let lower = Vtpm { claims: |digits| format!(r#"{{"user-data":"{}"}}"#, digits.to_lowercase()), ..Vtpm::new() };
    take(lower, Duration::ZERO).unwrap();
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
