//! The event log of a TD: forged ones beside quotes that state their replay, and recorded ones beside what hardware stated.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest, Sha384};
use teegate_forge::azure::event_log as azure;
use teegate_forge::tdx::event_log::{self, BOOT, Event, NO_ACTION, SEPARATOR, encode};
use teegate_intake::{endorsements, evidence};
use teegate_measurements::GENUINE;
use teegate_protocol::evidence::{Envelope, EvidenceKind, TeeEvidence};
use teegate_tests::harness::{self, note};
use teegate_verifier::{Check, FactValue, Policy, Rejection, Report, Tee, UnixTime, inspect, verify};

use crate::case::{Case, cases, refused};
use crate::subject::{Subject, good, tdx};

cases! { replay form absence what_extends_nothing what_extends_nothing_on_registers_of_zeros }

/// The registers after these events, by another implementation of SHA-384 than the verifier's.
fn registers(events: &[Event]) -> [[u8; 48]; 4] {
    [1, 2, 3, 4].map(|own| {
        let extending = events.iter().filter(|Event(register, kind, _)| *register == own && *kind != NO_ACTION);
        extending.fold([0; 48], |value, Event(_, _, digest)| {
            Sha384::new().chain_update(value).chain_update([*digest; 48]).finalize().into()
        })
    })
}

#[test]
fn the_forged_guest_has_the_registers_of_its_boot() {
    assert_eq!(event_log::registers(&BOOT), registers(&BOOT));
}

/// How many of these extend a register.
fn extending(events: &[Event]) -> usize {
    events.iter().filter(|Event(register, kind, _)| *register != 0 && *kind != NO_ACTION).count()
}

/// A TD whose registers are these, under a policy that expects them and requires a log.
fn stating(registers: [[u8; 48]; 4]) -> Subject {
    let subject = tdx(|device| (0..4).fold(device, |device, number| device.rtmr(number, registers[number])));
    let names = ["rtmr0", "rtmr1", "rtmr2", "rtmr3"].into_iter().zip(registers);
    names
        .fold(subject, |subject, (name, value)| subject.under(name, &format!("\"{}\"", hex::encode(value))))
        .under("event_log", "\"required\"")
}

/// The TD that booted so, with this log.
fn booted_with(log: Vec<u8>) -> Subject {
    stating(registers(&BOOT)).with_event_log(log)
}

/// A TD with the log of its boot, which its policy requires.
pub(crate) fn booted() -> Subject {
    booted_with(encode(&BOOT))
}

fn case(log: Vec<u8>) -> Case {
    refused("tdx.log.replay", booted_with(log)).twin(booted_with(encode(&BOOT)))
}

fn replay() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |register: usize, edit: &dyn Fn(&mut Vec<Event>)| {
        let mut events = BOOT.to_vec();
        edit(&mut events);
        let (quoted, found) = (registers(&BOOT)[register], registers(&events)[register]);
        let case = case(encode(&events))
            .expected(format!("an event log that replays to RTMR{register} {}", hex::encode(quoted)))
            .actual(format!("{} events that replay to RTMR{register} {}", extending(&events), hex::encode(found)));
        // A log that is there is judged where the policy does not require one, too.
        cases.extend([case.clone().under("event_log", "\"unchecked\""), case]);
    };
    add(0, &|events| events.push(Event(1, SEPARATOR, 9)));
    add(1, &|events| events.push(Event(2, SEPARATOR, 9)));
    add(2, &|events| events.push(Event(3, SEPARATOR, 9)));
    add(3, &|events| events.push(Event(4, SEPARATOR, 9)));
    add(0, &|events| {
        events.remove(0);
    });
    add(1, &|events| {
        events.remove(3);
    });
    add(2, &|events| {
        events.remove(6);
    });
    // What the guest extended at run time, and the log of the boot does not know.
    add(3, &|events| events.truncate(7));
    add(0, &|events| events.swap(0, 1));
    add(2, &|events| events.swap(5, 6));
    add(1, &|events| events[3].2 ^= 0x80);
    // A type decides whether a record extends; the digest does not cover it, the register does.
    add(1, &|events| events[4].1 = SEPARATOR);
    add(1, &|events| events[3].1 = NO_ACTION);
    add(0, &|events| events[2].0 = 1);
    // Two registers at once are both named.
    let mut moved = BOOT;
    moved[0].0 = 2;
    let [first, second, ..] = registers(&moved).map(hex::encode);
    cases.push(case(encode(&moved)).actual(format!("RTMR0 {first}, RTMR1 {second}")));
    cases
}

fn form() -> Vec<Case> {
    let edited = |edit: fn(&mut Vec<u8>)| {
        let mut log = encode(&BOOT);
        edit(&mut log);
        case(log).expected("RTMR0, RTMR1, RTMR2 and RTMR3")
    };
    vec![
        edited(|log| log.clear()).actual("record 0 needs 4 bytes at offset 0, where 0 are left"),
        edited(|log| log.truncate(64)).actual("record 0 needs 1 bytes at offset 64"),
        edited(|log| log.truncate(log.len() - 1)).actual("record 8 needs 4 bytes"),
        edited(|log| log[65 + 12] = 0x0B).actual("record 1 has algorithm 0x000b instead of 0x000c (SHA-384)"),
        edited(|log| log[65 + 8] = 2).actual("record 1 has number of digests 2"),
        edited(|log| log[65 + 11] = 0xFF).actual("record 1 has number of digests 4278190081"),
        edited(|log| log[65] = 5).actual("record 1 has register 5"),
        edited(|log| log[65 + 62..65 + 66].fill(0xFF)).actual("record 1 needs 4294967295 bytes at offset 131"),
        edited(|log| log[56] = 3).actual("record 0 has number of algorithms 3"),
        edited(|log| log.resize((1 << 20) + 1, 0xFF)).actual("a log of 1048577 bytes"),
        edited(|log| log.extend([0xFF, 0xFF, 0])).actual("record 9 needs 4 bytes"),
        case(azure::encode(&azure::BOOT)).actual("the event log of a TPM, whose registers no quote of a TD holds"),
    ]
}

fn absence() -> Vec<Case> {
    let without = stating(registers(&BOOT));
    let twin = booted_with(encode(&BOOT));
    vec![
        refused("tdx.log.replay", without.clone()).actual("no event log").twin(twin),
        refused("tdx.log.replay", without.clone())
            .twin(without.under("event_log", "\"unchecked\""))
            .twin_shows("not-checked"),
    ]
}

/// Records that nobody vouches for: of the register that nothing extends, and of the type that extends nothing.
const INVENTED: [Event; 3] = [Event(0, SEPARATOR, 9), Event(0, 0x8000_0003, 9), Event(2, NO_ACTION, 9)];
const AN_EVENT: &str = "an event log with an event that extends a register";

/// Logs that extend nothing, each with what is said of it.
pub(crate) fn of_nothing() -> Vec<(Vec<u8>, &'static str)> {
    let one = |event: Event| (encode(&[event]), "no event that extends a register, and 1 record that extends nothing");
    let mut logs = INVENTED.map(one).to_vec();
    logs.push((encode(&[]), "no record but the first, which describes the format"));
    let many = encode(&INVENTED.repeat(167));
    logs.push((many, "no event that extends a register, and 501 records that extend nothing"));
    logs
}

fn what_extends_nothing() -> Vec<Case> {
    let case = |(log, why)| {
        let case = case(log).expected(AN_EVENT).actual(why);
        [case.clone().under("event_log", "\"unchecked\""), case]
    };
    of_nothing().into_iter().flat_map(case).collect()
}

/// Whatever extends nothing leads to them. One event beside it, which the TD did extend, makes the twin.
fn what_extends_nothing_on_registers_of_zeros() -> Vec<Case> {
    let open = |registers| {
        let fields = ["rtmr0", "rtmr1", "rtmr2", "rtmr3"].into_iter();
        fields.fold(stating(registers).claiming_nothing(), |subject, field| subject.under(field, "\"unchecked\""))
    };
    let event = [Event(4, 6, 8)];
    let twin = open(registers(&event)).with_event_log(encode(&[&event[..], &INVENTED.repeat(167)].concat()));
    let case = |(log, why)| {
        let is_unwritten = log == encode(&[]);
        let subject = open([[0; 48]; 4]).with_event_log(log);
        let case = refused("tdx.log.replay", subject).twin(twin.clone()).expected(AN_EVENT).actual(why);
        let unasked = case.clone().under("event_log", "\"unchecked\"");
        // One that was never written says what the registers say, and nobody asked for one.
        if is_unwritten { vec![case] } else { vec![unasked, case] }
    };
    of_nothing().into_iter().flat_map(case).collect()
}

/// Firmware that measures nothing leaves the log as it was made, and an agent hands it on: that is no log, and costs nobody the evidence.
#[test]
fn a_log_that_was_never_written_is_no_log_where_the_registers_say_the_same() {
    let open = |registers| {
        let fields = ["rtmr0", "rtmr1", "rtmr2", "rtmr3"].into_iter();
        let open = fields.fold(stating(registers).claiming_nothing(), |open, field| open.under(field, "\"unchecked\""));
        open.under("event_log", "\"unchecked\"").with_event_log(encode(&[]))
    };
    let report = open([[0; 48]; 4]).accepted();
    let finding = report.finding(Check::TDX_LOG_REPLAY).unwrap();
    assert_eq!(finding.outcome().name(), "not-checked");
    let why = finding.outcome().why().unwrap();
    assert!(why.starts_with("the event log that came along has no record"), "{why}");
    assert_eq!(open(registers(&BOOT)).rejected().failed_checks(), ["tdx.log.replay"]);
}

/// However many are put in, and wherever: the registers and the number of events stay, and the words say what was put in.
#[test]
fn what_extends_nothing_is_counted_apart() {
    for invented in INVENTED {
        for place in 0..=BOOT.len() {
            let mut events = BOOT.to_vec();
            events.insert(place, invented);
            let report = booted_with(encode(&events)).accepted();
            assert_eq!(report.fact("event_log_events"), Some(&FactValue::Number(6)));
            let said = "6 events that replay to all four; 3 records extend nothing, and nobody vouches for those";
            assert_eq!(report.finding(Check::TDX_LOG_REPLAY).unwrap().actual(), said);
        }
    }
    let events: Vec<_> = BOOT.into_iter().filter(|event| extending(&[*event]) == 1).collect();
    let said = |events: &[Event]| {
        let report = booted_with(encode(events)).accepted();
        report.finding(Check::TDX_LOG_REPLAY).unwrap().actual().to_owned()
    };
    assert_eq!(said(&events), "6 events that replay to all four");
    assert_eq!(
        said(&[&events[..], &INVENTED[..1]].concat()),
        "6 events that replay to all four; 1 record extends nothing, and nobody vouches for it"
    );
}

/// Nothing of a log that misses is shown as a fact, and none of one that shows nothing.
#[test]
fn nothing_of_a_log_that_does_not_replay_is_believed() {
    for log in [encode(&BOOT[1..]), encode(&INVENTED), encode(&[]), b"no log".to_vec()] {
        let rejection = booted_with(log).rejected();
        assert_eq!(rejection.failed_checks(), ["tdx.log.replay"]);
        assert_eq!(rejection.report().fact("event_log_events"), Some(&FactValue::Absent));
        let stated = rejection.report().facts().filter(|(name, _)| *name == "event_log_events").count();
        assert_eq!(stated, 1);
    }
}

#[test]
fn a_log_that_replays_says_how_many_events_it_has() {
    for (word, filling) in
        [("required", &[][..]), ("unchecked", &[]), ("required", &[0xFF; 70_000]), ("required", &[0; 3])]
    {
        let log = [&encode(&BOOT), filling].concat();
        let report = booted_with(log).under("event_log", &format!("\"{word}\"")).accepted();
        assert_eq!(report.fact("event_log_events"), Some(&FactValue::Number(6)));
        let said = "6 events that replay to all four; 2 records extend nothing, and nobody vouches for those";
        assert_eq!(report.finding(Check::TDX_LOG_REPLAY).unwrap().actual(), said);
    }
}

#[test]
fn a_log_beside_a_report_without_registers_is_not_read() {
    good(Tee::SevSnp).with_event_log(b"no log".to_vec()).accepted();
}

#[test]
fn the_log_of_an_envelope_is_judged() {
    let subject = stating(registers(&BOOT));
    let judge = |events: &[Event]| {
        let envelope = Envelope {
            manifest: b"{}".to_vec(),
            evidence: TeeEvidence { kind: EvidenceKind::TdxQuote, bytes: subject.evidence.clone() },
            endorsements: None,
            event_log: Some(encode(events)),
            nonce: None,
        };
        let found = evidence::recognise(&envelope.to_json().unwrap(), None).unwrap();
        let endorsements = subject.pool.to_endorsements();
        verify(&found.as_evidence(&endorsements), &subject.load_policy(), UnixTime::from_seconds(subject.now))
    };
    judge(&BOOT).unwrap();
    assert_eq!(judge(&BOOT[1..]).unwrap_err().failed_checks(), ["tdx.log.replay"]);
}

/// ACPI tables are code of the host's (BadAML). A log that replays says that firmware measured some, and nothing about them.
#[test]
fn a_verdict_says_whether_anybody_judged_the_acpi_tables() {
    let said = |subject: Subject| subject.accepted().fact("acpi_tables").unwrap().to_string();
    let mut registers = registers(&BOOT);
    assert_eq!(said(stating(registers).with_event_log(encode(&BOOT))), "pinned");
    let rebuilt = stating(registers).with_event_log(encode(&BOOT)).under("rebuilt_acpi_tables", "\"q35, 4 GiB\"");
    assert_eq!(said(rebuilt), "pinned as rebuilt from the declared shape of the VM: q35, 4 GiB");
    let others =
        stating(registers).under("rtmr0", &format!("\"{}\"", "2a".repeat(48))).under("rebuilt_acpi_tables", "\"q35\"");
    let refused = others.rejected();
    assert_eq!(refused.report().fact("acpi_tables").unwrap().to_string(), "not those that the policy names");
    let open = ["rtmr0", "rtmr3", "mrconfigid", "mrowner", "mrownerconfig"]
        .into_iter()
        .fold(stating(registers).claiming_nothing(), |subject, field| subject.under(field, "\"unchecked\""));
    assert_eq!(said(open.with_event_log(encode(&BOOT))), "not judged");
    registers[0] = [0; 48];
    // Who claims something of the code has it in writing why nobody has to judge them; who claims nothing need not.
    let unmeasured = stating(registers).under("event_log", "\"unchecked\"");
    assert_eq!(said(unmeasured.clone().claiming_nothing()), "not measured");
    let borne = unmeasured.under("unjudged_acpi_tables", "\"measured into RTMR2\"");
    assert_eq!(said(borne), "not measured, which the policy bears: measured into RTMR2");
}

fn fixtures() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures");
    let found = folder.join("eventlog/ccel/facts.json").is_file();
    if !found {
        note("not run: the recorded event logs of ../shared/fixtures (the folder is absent)");
    }
    found.then_some(folder)
}

/// What the quote in `file` states, whoever signed it.
fn stated_by(file: &Path) -> [[u8; 48]; 4] {
    let facts = inspect(Tee::Tdx, &std::fs::read(file).unwrap()).unwrap();
    ["rtmr0", "rtmr1", "rtmr2", "rtmr3"].map(|name| match facts.iter().find(|(own, _)| *own == name) {
        Some((_, FactValue::Bytes(bytes))) => bytes.as_slice().try_into().unwrap(),
        other => panic!("{name}: {other:?}"),
    })
}

#[test]
fn recorded_logs_lead_to_the_registers_that_hardware_and_others_found() {
    let Some(fixtures) = fixtures() else { return };
    let folder = fixtures.join("eventlog/ccel");
    let facts: Value = serde_json::from_slice(&std::fs::read(folder.join("facts.json")).unwrap()).unwrap();
    let logs = facts.as_object().unwrap();
    for (name, facts) in logs {
        let registers = ["0", "1", "2", "3"].map(|register| {
            let digits = facts["rtmr"][register].as_str().unwrap();
            hex::decode(digits).unwrap().try_into().unwrap()
        });
        let log = std::fs::read(folder.join(name)).unwrap();
        let report = stating(registers).with_event_log(log.clone()).accepted();
        // Others count records. One guest wrote two (SP800-155 Event3, EV_NO_ACTION) that extend nothing.
        let notes = if name == "trustee-grub-gke.ccel" { 2 } else { 0 };
        let events = facts["events"].as_u64().map(|records| FactValue::Number(records - notes));
        assert_eq!(report.fact("event_log_events"), events.as_ref(), "{name}");
        let said = report.finding(Check::TDX_LOG_REPLAY).unwrap().actual().to_owned();
        assert_eq!(said.contains("; 2 records extend nothing"), notes == 2, "{name}: {said}");
        let mut others = registers;
        others[1][47] ^= 1;
        let rejection = stating(others).with_event_log(log).rejected();
        assert_eq!(rejection.failed_checks(), ["tdx.log.replay"], "{name}");
    }
    // A vTPM's log has other registers and three algorithms.
    let tpm = std::fs::read(folder.join("tpm-ubuntu2404-snp-gcp.bin")).unwrap();
    let rejection = stating([[1; 48]; 4]).with_event_log(tpm).rejected();
    let says = "the event log of a TPM, whose registers no quote of a TD holds";
    assert!(rejection.to_string().contains(says), "{rejection}");

    let recorded = |name: &str| {
        let folder = fixtures.join("tdx").join(name);
        stating(stated_by(&folder.join("quote.bin"))).with_event_log(std::fs::read(folder.join("ccel.bin")).unwrap())
    };
    recorded("v4-00806f-gcp-ccel").accepted();
    // The guest extended RTMR2 after this log was read.
    let rejection = recorded("v4-preproduction-root").rejected();
    assert_eq!(rejection.failed_checks(), ["tdx.log.replay"]);
    let finding = rejection.report().finding(Check::TDX_LOG_REPLAY).unwrap();
    assert!(finding.expected().starts_with("an event log that replays to RTMR2 "), "{}", finding.expected());
    assert!(finding.actual().starts_with("98 events that replay to RTMR2 58bc48d5c486"), "{}", finding.actual());
    assert!(!finding.actual().contains(','), "only RTMR2 differs: {}", finding.actual());
    note(&format!("recorded event logs: {} replay, 1 misses RTMR2, 1 is a vTPM's", logs.len() + 1));
}

/// The recorded quote with its own log, collateral and time: through the library, then through the command.
#[test]
fn a_recorded_quote_is_accepted_with_its_log_and_refused_with_another() {
    let Some(fixtures) = fixtures() else { return };
    let rows: Value = serde_json::from_slice(&std::fs::read(fixtures.join("cases.json")).unwrap()).unwrap();
    let row = rows.as_array().unwrap().iter().find(|row| row["id"] == "tdx/v4-00806f-gcp-ccel@0").unwrap();
    let quote = fixtures.join(row["evidence"].as_str().unwrap());
    let paths: Vec<PathBuf> =
        row["endorsements"].as_array().unwrap().iter().map(|path| fixtures.join(path.as_str().unwrap())).collect();
    let at = row["at"].as_str().unwrap();
    let own = quote.with_file_name("ccel.bin");
    let another = fixtures.join("eventlog/ccel/trustee-ovmf.ccel");

    let policy = Policy::parse(&GENUINE.replace("event_log = \"unchecked\"", "event_log = \"required\"")).unwrap();
    let endorsements = endorsements::load_paths(&paths).unwrap();
    let judge = |log: Option<&Path>| -> Result<Report, Rejection> {
        let mut evidence = evidence::load(&quote, None).unwrap();
        evidence.event_log = log.map(|log| evidence::load_event_log(log).unwrap());
        let attested = verify(&evidence.as_evidence(&endorsements), &policy, UnixTime::parse(at).unwrap())?;
        Ok(attested.report().clone())
    };
    assert_eq!(judge(Some(&own)).unwrap().fact("event_log_events"), Some(&FactValue::Number(43)));
    for log in [None, Some(another.as_path())] {
        assert_eq!(judge(log).unwrap_err().failed_checks(), ["tdx.log.replay"]);
    }

    let teegate = harness::binary("teegate");
    for (log, result, status) in
        [(None, "not-checked", 0), (Some(&own), "pass", 0), (Some(&another), "fail", 4), (Some(&quote), "fail", 4)]
    {
        let mut command = Command::new(&teegate);
        command.arg("verify").arg(&quote).args(["--policy", "genuine", "--format", "json", "--at", at]);
        for path in &paths {
            command.arg("--endorsements").arg(path);
        }
        if let Some(log) = log {
            command.arg("--event-log").arg(log);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{log:?}: {}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = report["checks"].as_array().unwrap();
        let line = checks.iter().find(|check| check["id"] == "tdx.log.replay").unwrap();
        assert_eq!(line["result"], result, "{log:?}");
    }
}
