use std::cell::RefCell;

use super::ioctl::{RESPONSE_BYTES, TABLE_BYTES};
use super::*;

/// A driver in memory: it answers as it is told, and notes what it was asked.
struct Imitation {
    answers: RefCell<Vec<Outcome>>,
    asked: RefCell<Vec<Request>>,
}

/// A response with a report in it, of nobody.
fn response(status: u32, size: u32) -> Box<[u8; RESPONSE_BYTES]> {
    let mut bytes = Box::new([0; RESPONSE_BYTES]);
    bytes[..4].copy_from_slice(&status.to_le_bytes());
    bytes[4..8].copy_from_slice(&size.to_le_bytes());
    bytes[0x20..0x20 + 1_184].fill(7);
    bytes
}

fn good() -> Outcome {
    Outcome { response: response(0, 1_184), table: vec![9; TABLE_BYTES], exit_info: 0, result: Ok(()) }
}

fn failed(error: Errno, exit_info: u64) -> Outcome {
    Outcome { response: Box::new([0; RESPONSE_BYTES]), table: Vec::new(), exit_info, result: Err(error) }
}

const BUSY: u64 = 2 << 32;

/// Asks for certificates of a driver that gives these answers, one after the other.
fn ask(
    driver: Driver,
    certificates: Certificates,
    answers: Vec<Outcome>,
) -> (Result<Report, AttesterError>, Vec<Request>) {
    let imitation = Imitation { answers: RefCell::new(answers), asked: RefCell::default() };
    let order = Order { source: "the driver", driver, pause: Duration::ZERO };
    let answer = |request| {
        imitation.asked.borrow_mut().push(request);
        imitation.answers.borrow_mut().remove(0)
    };
    let report = order.report(&answer, certificates);
    assert!(imitation.answers.borrow().is_empty(), "asked less often than expected");
    (report, imitation.asked.into_inner())
}

fn asked(answers: Vec<Outcome>) -> (Result<Report, AttesterError>, Vec<Request>) {
    ask(Driver::SevGuest, Certificates::Asked, answers)
}

#[test]
fn the_report_comes_with_the_host_s_certificates_where_they_are_asked_for() {
    use Request::{ExtendedReport, OlderReport, Report as Alone};
    let (report, requests) = asked(vec![good()]);
    let report = report.unwrap();
    assert_eq!((report.kind, report.bytes), (EvidenceKind::SnpReport, vec![7; 1_184]));
    assert_eq!((report.certificate_table.len(), requests), (TABLE_BYTES, vec![ExtendedReport]));
    for (driver, certificates, request) in [
        (Driver::SevGuest, Certificates::NotAsked, Alone),
        (Driver::Sev, Certificates::NotAsked, OlderReport),
        (Driver::Sev, Certificates::Asked, OlderReport),
    ] {
        assert_eq!(ask(driver, certificates, vec![good()]).1, [request]);
    }
}

#[test]
fn a_host_without_room_and_a_driver_without_the_request_cost_the_certificates_and_not_the_report() {
    for (failure, why) in [
        (failed(Errno::IO, 1 << 32), "it has more than the 16384 bytes that the driver takes"),
        (failed(Errno::NOTTY, 0), "the driver knows no request for it"),
    ] {
        let (report, requests) = asked(vec![failure, Outcome { table: Vec::new(), ..good() }]);
        assert_eq!(requests, [Request::ExtendedReport, Request::Report]);
        assert_eq!(report.unwrap().left_out, [format!("the host's certificate table: {why}")]);
    }
}

#[test]
fn a_busy_host_is_asked_the_same_again_and_not_for_ever() {
    for (error, info) in [(Errno::IO, BUSY), (Errno::TIMEDOUT, BUSY), (Errno::AGAIN, 0), (Errno::INTR, 0)] {
        let (report, requests) = asked(vec![failed(error, info), failed(error, info), good()]);
        assert_eq!((report.unwrap().left_out, requests), (vec![], vec![Request::ExtendedReport; 3]));
    }
    let always = (0..ATTEMPTS).map(|_| failed(Errno::IO, BUSY)).collect();
    let (refused, requests) = asked(always);
    let refused = refused.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "evidence: the driver could not be asked: the host lets no more requests through to the firmware; it was asked 5 times"
    );
    assert!(refused.may_pass());
    assert_eq!(requests.len(), 5);
    // No other failure is repeated: another message under the same counter is what must not be.
    assert_eq!(asked(vec![failed(Errno::IO, 0x16)]).1.len(), 1);
}

#[test]
fn what_is_refused_is_said_with_whose_error_it_is() {
    for (error, info, said, may_pass) in [
        (Errno::IO, 0x16, "refused with the firmware's error 0x16 (AMD 56860, status codes)", false),
        (Errno::IO, 7 << 32, "refused with the host's error 0x7 (Input/output error (os error 5))", false),
        (Errno::IO, 0xFF, "could not be asked: Input/output error (os error 5)", true),
        (Errno::NOMEM, u64::MAX, "could not be asked: Cannot allocate memory (os error 12)", true),
        (Errno::FAULT, 0, "could not be asked: Bad address (os error 14)", true),
    ] {
        let refused = asked(vec![failed(error, info)]).0.unwrap_err();
        assert_eq!(refused.to_string(), format!("evidence: the driver {said}"));
        assert_eq!(refused.may_pass(), may_pass, "{said}");
    }
    let wiped = asked(vec![failed(Errno::NOTTY, 0), failed(Errno::NOTTY, 0)]).0.unwrap_err();
    assert!(wiped.to_string().contains("has no key to the firmware") && !wiped.may_pass(), "{wiped}");
    for error in [Errno::INVAL, Errno::NOTTY] {
        let host = ask(Driver::Sev, Certificates::NotAsked, vec![failed(error, 0)]).0.unwrap_err();
        assert!(host.to_string().ends_with("a host's device of this name is no guest's") && !host.may_pass(), "{host}");
    }
}

#[test]
fn an_answer_without_a_report_is_refused() {
    for (status, size, said) in [
        (0x16, 1_184, "refused with the firmware's status 0x16, invalid parameters"),
        (0x27, 1_184, "refused with the firmware's status 0x27, no key of the kind that was asked for"),
        (1, 1_184, "refused with the firmware's status 0x1"),
        (0, 0, "is malformed, expected 1184"),
        (0, 1_183, "REPORT_SIZE of the firmware's answer, 1183, is malformed, expected 1184"),
        (0, u32::MAX, "is malformed, expected 1184"),
    ] {
        let outcome = Outcome { response: response(status, size), ..good() };
        let refused = asked(vec![outcome]).0.unwrap_err().to_string();
        assert!(refused.ends_with(said), "{refused}");
    }
    // An answer that is cut anywhere is none; the twin is whole.
    let whole = response(0, 1_184);
    for length in 0..0x20 + 1_184 {
        assert!(super::response::report(&whole[..length], "the driver").is_err(), "{length}");
    }
    super::response::report(&whole[..0x20 + 1_184], "the driver").unwrap();
}

#[test]
fn only_a_device_is_opened_and_one_that_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for (path, said) in [
        (Path::new("/nonexistent/sev-guest"), "it is not there: is this an SEV-SNP guest"),
        (&file, "not a character device"),
        (folder.path(), "not a character device"),
    ] {
        for driver in [Driver::SevGuest, Driver::Sev] {
            let refused = SevGuest::at(driver, path).report(&[7; 64], Certificates::Asked).unwrap_err();
            let said =
                format!("evidence: the driver of the SEV-SNP guest ({}) could not be asked: {said}", path.display());
            assert!(refused.to_string().starts_with(&said), "{refused}");
            assert!(!refused.may_pass());
        }
    }
    // A device that is no such driver is asked, and says so.
    let null = SevGuest::at(Driver::SevGuest, Path::new("/dev/null")).report(&[7; 64], Certificates::Asked);
    assert!(null.unwrap_err().to_string().contains("has no key to the firmware"));
    let null = SevGuest::at(Driver::Sev, Path::new("/dev/null")).report(&[7; 64], Certificates::Asked);
    assert!(null.unwrap_err().to_string().contains("is no guest's"));
}

#[test]
fn a_driver_that_still_holds_a_question_is_not_asked_another() {
    let device = SevGuest::at(Driver::SevGuest, Path::new("/dev/null"));
    let held = device.turn.take("the driver").unwrap();
    let refused = device.clone().report(&[7; 64], Certificates::Asked).unwrap_err();
    assert!(refused.to_string().ends_with("it has not answered the last question yet") && refused.may_pass());
    drop(held);
    assert!(!device.report(&[7; 64], Certificates::Asked).unwrap_err().may_pass());
}
