//! The event log of a guest on a vTPM: forged ones beside quotes that state their replay, and that of our own guest's boot.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use teegate_forge::azure::event_log::{
    BANKS, BOOT, Event, NO_ACTION, SEPARATOR, encode, encode_in, extended, registers,
};
use teegate_forge::tdx::event_log as ccel;
use teegate_intake::evidence;
use teegate_protocol::evidence::{Envelope, EvidenceKind, TeeEvidence};
use teegate_tests::harness::note;
use teegate_verifier::{Check, FactValue, Report, Tee, UnixTime, verify};

use crate::case::{Case, cases, refused};
use crate::subject::{Subject, azure};
use crate::tdx_log::of_nothing;

cases! { replay what_extends_nothing another_boot form another_kind_of_log absence }

const REQUIRED: &str = "\"required\"";
const LOG: &str = "hcl.log.replay";
const UNCHECKED: &str = "\"unchecked\"";

/// A guest whose registers are these, under a policy that expects them and requires a log.
fn stating(tee: Tee, registers: &[Vec<u8>]) -> Subject {
    let values = registers.to_vec();
    let subject = azure(tee, |vm| values.into_iter().enumerate().fold(vm, |vm, (number, value)| vm.pcr(number, value)));
    let named = [("pcr4", 4), ("pcr7", 7), ("pcr8", 8), ("pcr9", 9), ("pcr11", 11), ("pcr12", 12)];
    let named = named.map(|(name, number)| (name, format!("\"{}\"", hex::encode(&registers[number]))));
    named.iter().fold(subject, |subject, (name, value)| subject.under(name, value)).under("vtpm_log", REQUIRED)
}

/// The guest that booted so, with this log.
fn booted_with(tee: Tee, log: Vec<u8>) -> Subject {
    stating(tee, &registers(&BOOT)).with_event_log(log)
}

/// On both TEEs, whether or not the policy requires a log.
fn on_both(log: &[u8], expected: &str, actual: &str) -> Vec<Case> {
    let case = |tee| {
        let twin = booted_with(tee, encode(&BOOT));
        let case = refused(LOG, booted_with(tee, log.to_vec())).twin(twin);
        let case = case.expected(expected).actual(actual);
        [case.clone().under("vtpm_log", UNCHECKED), case]
    };
    Tee::all().flat_map(case).collect()
}

/// The registers after these events, by another implementation of SHA-256 than the verifier's.
#[test]
fn the_forged_guest_has_the_registers_of_its_boot() {
    for number in (0..8).chain([9, 11]) {
        let own = BOOT.iter().filter(|Event(register, kind, _)| *register == number && *kind != NO_ACTION);
        let value = own.fold([0; 32], |value: [u8; 32], Event(_, _, byte)| {
            Sha256::new().chain_update(value).chain_update([*byte; 32]).finalize().into()
        });
        assert_eq!(registers(&BOOT)[usize::try_from(number).unwrap()], value, "{number}");
    }
}

/// One change, and the first register that then misses, with how many events of it there were.
fn replay() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |register: usize, edit: &dyn Fn(&mut Vec<Event>)| {
        let mut events = BOOT.to_vec();
        edit(&mut events);
        let own = |Event(own, kind, _): &&Event| usize::try_from(*own).unwrap() == register && *kind != NO_ACTION;
        let own: Vec<_> = events.iter().filter(own).collect();
        let found = own.iter().fold(vec![0; 32], |value, Event(_, _, byte)| extended(&value, &[*byte; 32]));
        let (count, quoted) = (own.len(), hex::encode(&registers(&BOOT)[register]));
        cases.extend(on_both(
            &encode(&events),
            &format!("an event log that replays to PCR {register} {quoted}"),
            &format!(
                "{} events, {count} of them of PCR {register}, that replay to {}",
                events.iter().filter(|Event(_, kind, _)| *kind != NO_ACTION).count(),
                hex::encode(found)
            ),
        ));
    };
    // Cut: of 11 the last one is missing; of 4 all are.
    add(11, &|events| events.truncate(15));
    add(4, &|events| events.truncate(9));
    add(0, &|events| {
        events.remove(0);
    });
    add(4, &|events| events.swap(9, 11));
    add(11, &|events| events.swap(14, 15));
    add(2, &|events| events.push(events[5]));
    add(9, &|events| events.insert(12, events[12]));
    add(5, &|events| events[8].2 ^= 0x80);
    // A type decides whether a record extends; the digest does not cover it, the register does.
    add(0, &|events| events[3].1 = SEPARATOR);
    add(7, &|events| events[2].1 = NO_ACTION);
    // Moved to another register: the first that misses is named.
    add(1, &|events| events[4].0 = 6);
    add(12, &|events| events.push(Event(12, 0xD, 9)));
    // A register of the firmware without an event is not silent but wrong.
    add(3, &|events| {
        events.remove(6);
    });
    cases
}

/// A vTPM whose registers these events alone extended. Of a guest that has not booted no policy can claim anything.
fn before_the_boot(tee: Tee, events: &[Event]) -> Subject {
    let fields = ["pcr4", "pcr7", "pcr8", "pcr9", "pcr11", "pcr12", "secure_boot"].into_iter();
    fields.fold(stating(tee, &registers(events)).claiming_nothing(), |subject, field| subject.under(field, UNCHECKED))
}

/// Registers that nothing extended agree with every log that extends nothing. One event beside it, which was extended, makes the twin.
fn what_extends_nothing() -> Vec<Case> {
    let note = Event(9, NO_ACTION, 0x77);
    let event = [Event(9, 6, 0x0D)];
    let logs = [
        (encode(&[]), "no record but the first, which describes the format"),
        (encode(&[note]), "no event that extends a register, and 1 record that extends nothing"),
        (encode(&[note; 500]), "no event that extends a register, and 500 records that extend nothing"),
    ];
    let expected = "an event log with an event that extends a register";
    let mut cases: Vec<_> = logs.iter().flat_map(|(log, why)| on_both(log, expected, why)).collect();
    for tee in Tee::all() {
        let twin = before_the_boot(tee, &event).with_event_log(encode(&[&event[..], &[note; 500]].concat()));
        for (log, why) in &logs {
            let subject = before_the_boot(tee, &[]).with_event_log(log.clone());
            let case = refused(LOG, subject).twin(twin.clone()).expected(expected).actual(*why);
            cases.extend([case.clone().under("vtpm_log", UNCHECKED), case]);
        }
    }
    // A TD under the paravisor, whose own registers are zero: a TD's log that anybody can invent.
    let td = |events: &[ccel::Event]| {
        let values = ccel::registers(events);
        let td = azure(Tee::Tdx, |vm| {
            vm.tdx(move |device| (0..4).fold(device, |device, number| device.rtmr(number, values[number])))
        });
        let fields = ["rtmr0", "rtmr1", "rtmr2", "rtmr3"].iter();
        fields.fold(td, |subject, field| subject.under(field, UNCHECKED)).under("event_log", REQUIRED)
    };
    let extended = [ccel::Event(4, 6, 8)];
    let twin = td(&extended).with_event_log(ccel::encode(&extended));
    for (log, why) in of_nothing() {
        // One that was never written is no log where nobody asks for one.
        let is_unwritten = log == ccel::encode(&[]);
        let case = refused("tdx.log.replay", td(&[]).with_event_log(log)).twin(twin.clone());
        let case = case.expected(expected).actual(why);
        cases.extend((!is_unwritten).then(|| case.clone().under("event_log", UNCHECKED)));
        cases.push(case);
    }
    cases
}

/// However many are put in, and wherever: the registers and the number of events stay, and the words say what was put in.
#[test]
fn what_extends_nothing_is_counted_apart() {
    for register in [0, 4, 8, 9, 23] {
        let mut events = BOOT.to_vec();
        events.splice(7..7, [Event(register, NO_ACTION, 0x77); 4]);
        let report = booted_with(Tee::SevSnp, encode(&events)).accepted();
        assert_eq!(report.fact("event_log_events"), Some(&FactValue::Number(15)));
        let said = said(&report);
        assert!(said.starts_with("15 events that replay to PCR 0, 1, 2, 3, 4, 5, 6, 7, 9, 11; "), "{said}");
        assert!(said.ends_with("; 5 records extend nothing, and nobody vouches for those"), "{said}");
    }
    let events: Vec<_> = BOOT.into_iter().filter(|Event(_, kind, _)| *kind != NO_ACTION).collect();
    let said = said(&booted_with(Tee::SevSnp, encode(&events)).accepted());
    assert!(said.ends_with("; extended without an event: PCR 8"), "{said}");
}

fn another_boot() -> Vec<Case> {
    let other = BOOT.map(|Event(register, kind, byte)| Event(register, kind, byte ^ 0x40));
    let mut cases = on_both(&encode(&other), "replays to PCR 0", "15 events, 2 of them of PCR 0,");
    // A log that begins at another locality ends elsewhere.
    let mut log = encode(&BOOT);
    let record = encode(&[Event(0, NO_ACTION, 0)]);
    let header = encode(&[]).len();
    let mut locality = record[header..record.len() - 8].to_vec();
    locality.extend([17, 0, 0, 0]);
    locality.extend(b"StartupLocality\0\x03");
    log.splice(header..header, locality);
    cases.extend(on_both(&log, "replays to PCR 0", "15 events, 2 of them of PCR 0,"));
    cases
}

fn form() -> Vec<Case> {
    let edited = |edit: fn(&mut Vec<u8>), why: &str| {
        let mut log = encode(&BOOT);
        edit(&mut log);
        on_both(&log, "the event log of the vTPM", why)
    };
    // The first record ends at 73, and an event with three digests and four bytes of data has 126.
    let mut cases = [
        edited(|log| log.clear(), "record 0 needs 4 bytes at offset 0, where 0 are left"),
        edited(|log| log.truncate(72), "record 0 needs 1 bytes at offset 72"),
        edited(|log| log.truncate(log.len() - 1), "record 16 needs 4 bytes"),
        edited(|log| log[73 + 8..73 + 12].fill(0xFF), "record 1 has number of digests 4294967295"),
        edited(|log| log[73 + 8] = 0, "record 1 has number of digests 0"),
        edited(|log| log[73 + 12] = 0x0B, "record 1 has algorithm 0x0101 instead of one of record 0"),
        edited(|log| log[73] = 24, "record 1 has register 24 instead of 0 to 23"),
        edited(|log| log[73 + 118..73 + 122].fill(0xFF), "record 1 needs 4294967295 bytes"),
        edited(|log| log[56..60].fill(0xFF), "record 0 has number of algorithms 4294967295"),
        edited(|log| log.resize((1 << 20) + 1, 0xFF), "a log of 1048577 bytes"),
        edited(|log| log.extend([0xFF, 0xFF, 0]), "record 17 needs 4 bytes"),
    ]
    .concat();
    // The quote is about the bank of SHA-256.
    let in_banks = |banks: &[(u16, u16)]| encode_in(banks, &BOOT);
    cases.extend(on_both(&in_banks(&BANKS[..1]), "", "record 0 has algorithms neither"));
    cases.extend(on_both(&in_banks(&BANKS[2..]), "", "an event log without the SHA-256 bank"));
    cases.extend(on_both(&in_banks(&[BANKS[0], BANKS[2]]), "", "an event log without the SHA-256 bank"));
    cases
}

/// A TD's log is held against a TD's registers, and a TPM's against those of a TPM; each is called by its name elsewhere.
fn another_kind_of_log() -> Vec<Case> {
    let log = ccel::encode(&ccel::BOOT);
    let on = |tee| {
        let twin = booted_with(tee, encode(&BOOT));
        refused("hcl.log.replay", booted_with(tee, log.clone())).twin(twin).actual("the event log of a TD (CCEL)")
    };
    let snp = on(Tee::SevSnp);
    vec![snp.clone().under("vtpm_log", UNCHECKED), snp, on(Tee::Tdx).and("tdx.log.replay")]
}

fn absence() -> Vec<Case> {
    let case = |tee| {
        let without = stating(tee, &registers(&BOOT));
        let case = refused("hcl.log.replay", without.clone()).actual("no event log");
        [
            case.clone().twin(booted_with(tee, encode(&BOOT))),
            case.twin(without.under("vtpm_log", UNCHECKED)).twin_shows("not-checked"),
        ]
    };
    Tee::all().flat_map(case).collect()
}

fn said(report: &Report) -> String {
    report.finding(Check::HCL_LOG_REPLAY).unwrap().actual().to_owned()
}

#[test]
fn a_log_that_replays_says_which_registers_its_events_are_of() {
    for tee in Tee::all() {
        for filling in [&[][..], &[0xFF; 70_000], &[0; 3]] {
            let report = booted_with(tee, [&encode(&BOOT), filling].concat()).accepted();
            // Of the initdata there is no event.
            assert_eq!(
                said(&report),
                "15 events that replay to PCR 0, 1, 2, 3, 4, 5, 6, 7, 9, 11; extended without an event: PCR 8; \
                 1 record extends nothing, and nobody vouches for it"
            );
            assert_eq!(report.fact("event_log_events"), Some(&FactValue::Number(15)));
            let named = [0, 1, 2, 3, 4, 5, 6, 7, 9, 11].map(|number| format!("pcr{number}")).to_vec();
            assert_eq!(report.fact("event_log_registers"), Some(&FactValue::List(named)));
        }
        // The bank of SHA-256 alone is enough.
        booted_with(tee, encode_in(&BANKS[1..2], &BOOT)).accepted();
    }
}

/// Nothing of a log that misses is shown as a fact, and none of one that is not there.
#[test]
fn nothing_of_a_log_that_does_not_replay_is_believed() {
    for tee in Tee::all() {
        let rejected = booted_with(tee, encode(&BOOT[1..])).rejected().report().clone();
        let none = stating(tee, &registers(&BOOT)).under("vtpm_log", UNCHECKED).accepted();
        for report in [rejected, none] {
            for fact in ["event_log_events", "event_log_registers"] {
                assert_eq!(report.fact(fact), Some(&FactValue::Absent), "{tee} {fact}");
                assert_eq!(report.facts().filter(|(name, _)| *name == fact).count(), 1, "{tee} {fact}");
            }
        }
    }
}

/// The log of a TD's own registers is judged where those are, and a policy that asks for it is not content with another.
#[test]
fn under_a_paravisor_each_log_is_judged_against_its_own_registers() {
    let outcome = |report: &Report, check| report.finding(check).unwrap().outcome().name();
    let report = booted_with(Tee::Tdx, encode(&BOOT)).accepted();
    assert_eq!(outcome(&report, Check::TDX_LOG_REPLAY), "not-applicable");
    let own = booted_with(Tee::Tdx, encode(&BOOT)).under("event_log", REQUIRED).rejected();
    assert_eq!(own.failed_checks(), ["tdx.log.replay"]);
    assert!(own.to_string().contains("an event log that is none of a TD's"), "{own}");

    let values = ccel::registers(&ccel::BOOT);
    let of_the_td = azure(Tee::Tdx, |vm| {
        vm.tdx(move |device| (0..4).fold(device, |device, number| device.rtmr(number, values[number])))
    });
    let of_the_td = ["rtmr0", "rtmr1", "rtmr2", "rtmr3"]
        .iter()
        .fold(of_the_td, |subject, field| subject.under(field, UNCHECKED))
        .with_event_log(ccel::encode(&ccel::BOOT));
    let report = of_the_td.accepted();
    assert_eq!(
        (outcome(&report, Check::TDX_LOG_REPLAY), outcome(&report, Check::HCL_LOG_REPLAY)),
        ("pass", "not-applicable")
    );
    assert_eq!(report.fact("event_log_events"), Some(&FactValue::Number(6)));
    assert_eq!(report.facts().filter(|(name, _)| *name == "event_log_events").count(), 1);
    let other = of_the_td.under("vtpm_log", REQUIRED).rejected();
    assert_eq!(other.failed_checks(), ["hcl.log.replay"]);
}

/// systemd extends PCR 11 after the boot, and says in advance by which words.
#[test]
fn the_phases_of_systemd_may_lie_behind_the_events_of_pcr_11() {
    let behind = |number: usize, words: &[&str]| {
        let mut registers = registers(&BOOT);
        let extend = |value: Vec<u8>, word: &&str| extended(&value, Sha256::digest(word.as_bytes()).as_slice());
        registers[number] = words.iter().fold(registers[number].clone(), extend);
        stating(Tee::SevSnp, &registers).with_event_log(encode(&BOOT))
    };
    for words in [
        &["enter-initrd"][..],
        &["enter-initrd", "leave-initrd", "sysinit", "ready"],
        &["enter-initrd", "leave-initrd", "sysinit", "ready", "shutdown", "final"],
        &["sysinit", "ready"],
    ] {
        let report = behind(11, words).accepted();
        let last = words.last().unwrap();
        assert!(
            said(&report).contains(&format!("11 (there with systemd's phases up to `{last}` behind them)")),
            "{}",
            said(&report)
        );
    }
    for (number, words) in [
        (11, &["leave-initrd", "enter-initrd"][..]),
        (11, &["enter-initrd", "sysinit"]),
        (11, &["ready"]),
        (11, &["anything"]),
        (11, &["enter-initrd\0"]),
        (9, &["enter-initrd"]),
        (4, &["sysinit"]),
    ] {
        let rejection = behind(number, words).rejected();
        assert_eq!(rejection.failed_checks(), ["hcl.log.replay"], "{number} {words:?}");
    }
}

/// Through the envelope of an instance, as gateway and client get it.
#[test]
fn the_log_of_an_envelope_is_judged() {
    let subject = stating(Tee::SevSnp, &registers(&BOOT));
    let pcrs = registers(&BOOT);
    let set =
        pcrs.into_iter().enumerate().fold(
            teegate_forge::azure::AzureBuilder::on_snp(crate::subject::SNP_DEVICE.clone()),
            |vm, (number, value)| vm.pcr(number, value),
        );
    let bytes = set.build().coco_evidence(2).into_bytes();
    let judge = |events: &[Event]| {
        let evidence = TeeEvidence { kind: EvidenceKind::AzSnpVtpm, bytes: bytes.clone() };
        let event_log = Some(encode(events));
        let envelope = Envelope { manifest: b"{}".to_vec(), evidence, endorsements: None, event_log, nonce: None };
        let found = evidence::recognise(&envelope.to_json().unwrap(), None).unwrap();
        let mut pool = subject.pool.to_endorsements();
        pool.extend(&found.endorsements);
        verify(&found.as_evidence(&pool), &subject.load_policy(), UnixTime::from_seconds(subject.now))
    };
    judge(&BOOT).unwrap();
    assert_eq!(judge(&BOOT[1..]).unwrap_err().failed_checks(), ["hcl.log.replay"]);
}

/// Our own guest (OVMF, systemd-stub, Linux, swtpm): the log of its boot leads to the registers that it showed. The quote of them is forged;
/// one that its TPM made, before the boot, says that nothing was extended.
#[test]
fn the_log_of_our_own_guest_replays_to_its_registers_and_to_no_others() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/tools/guest/vectors");
    let Ok(log) = std::fs::read(folder.join("tcg-eventlog.bin")) else {
        return note("not run: the log of our own guest in ../shared/tools/guest/vectors (the folder is absent)");
    };
    let text = std::fs::read_to_string(folder.join("pcrs.txt")).unwrap();
    let untouched = |number: usize| vec![if (17..23).contains(&number) { 0xFF } else { 0 }; 32];
    let shown = |number: usize| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("pcr {number} ")));
        line.map_or_else(|| untouched(number), |line| hex::decode(line.trim()).unwrap())
    };
    let pcrs: Vec<_> = (0..24).map(shown).collect();
    let pem = std::fs::read_to_string(folder.join("quote-ak.pem")).unwrap();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let key = STANDARD.decode(&body).unwrap();
    // SubjectPublicKeyInfo ends with the modulus, 256 bytes, and the exponent as 02 03 01 00 01.
    let modulus = URL_SAFE_NO_PAD.encode(&key[key.len() - 261..key.len() - 5]);
    let [message, signature] =
        ["quote-message.bin", "quote-signature.bin"].map(|name| std::fs::read(folder.join(name)).unwrap());
    let asked: Vec<u8> = (0..64).collect();
    for tee in Tee::all() {
        let own = stating(tee, &pcrs);
        let report = own.clone().with_event_log(log.clone()).accepted();
        // 36 records, the first of which describes the format.
        assert_eq!(report.fact("event_log_events"), Some(&FactValue::Number(35)));
        // The kernel's own measurements (IMA) are in no log of firmware.
        assert!(said(&report).ends_with("; extended without an event: PCR 10"), "{}", said(&report));
        let cut = own.clone().with_event_log(log[..log.len() - 1].to_vec()).rejected();
        assert!(said(cut.report()).contains("a log whose record 35 needs"), "{}", said(cut.report()));
        let other = own.with_event_log(encode(&BOOT)).rejected();
        assert_eq!(other.failed_checks(), ["hcl.log.replay"]);

        let (modulus, message, signature) = (modulus.clone(), message.clone(), signature.clone());
        let before = azure(tee, |vm| {
            vm.asked(&asked).edit_claims(move |claims| claims.keys[0].n.clone_from(&modulus)).edit_quote(move |quote| {
                quote.message.clone_from(&message);
                quote.signature.clone_from(&signature);
                quote.pcrs = (0..24).map(untouched).collect();
            })
        });
        // Of what has not booted no policy can claim anything.
        let before = ["pcr4", "pcr7", "pcr8", "pcr9", "pcr11", "pcr12", "secure_boot"]
            .iter()
            .fold(before.claiming_nothing(), |subject, field| subject.under(field, UNCHECKED))
            .under("report_data", &format!("\"{}\"", hex::encode(&asked)));
        // A log that extends nothing leads there, and shows nothing.
        before.clone().under("vtpm_log", UNCHECKED).accepted();
        let refused = before.clone().with_event_log(encode(&[])).rejected();
        assert_eq!(said(refused.report()), "no record but the first, which describes the format");
        let refused = before.with_event_log(log.clone()).rejected();
        assert_eq!(refused.failed_checks(), ["hcl.log.replay"]);
        assert!(said(refused.report()).starts_with("35 events, "), "{}", said(refused.report()));
    }
}
