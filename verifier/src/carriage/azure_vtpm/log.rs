//! Whether the event log that came along is that of this vTPM: what it adds up to stands in the quote.
//!
//! The log is hostile, and nothing is proven but which digests were extended into each register that is named, in which order. What
//! extends nothing is counted apart, and a log of nothing else is refused: a vTPM before its boot agrees with every such log. Registers 0 to 7 are extended by the firmware alone, which writes
//! down each event, so that they are always compared. Of the others the log must lead to each that it has events of. A register
//! that it has none of may hold anything (PCR 8 the initdata, PCR 10 what the kernel measures): nothing is said of it.
//!
//! TCG PC Client Platform Firmware Profile 1.06, 2.3.4 (who extends which register); systemd-pcrphase(8) (PCR 11 after the boot).

use super::authenticate::Vouched;
use super::profile::VtpmProfile;
use super::quote::{NAMES, REGISTERS, Registers};
use crate::check::Check;
use crate::findings::{Comparison, Findings};
use crate::logs::tpm::{self, Replayed};
use crate::logs::{AN_EVENT, Kind, beside, kind, only_notes};
use crate::signature::sha256;

const WANTED: &str = "the event log of the vTPM, which replays to the registers of its quote";

/// Judges the log, if there is one. `platform_replays` is whether the platform has registers of its own, and judges the log of those.
pub(super) fn judge(
    vouched: &Vouched<'_>,
    profile: &VtpmProfile,
    (log, platform_replays): (Option<&[u8]>, bool),
    findings: &mut Findings,
) {
    let is_required = profile.vtpm_log.required().is_some();
    let (holds, expected, actual) = match log {
        None if !is_required => {
            say_nothing(platform_replays, findings);
            let why = "the policy requires no event log of the vTPM, and none was supplied";
            return findings.not_checked(Check::HCL_LOG_REPLAY, "vtpm_log", why);
        }
        Some(log) if kind(log) == Kind::Ccel && platform_replays && !is_required => {
            say_nothing(platform_replays, findings);
            let why = format!("{} came along, which is held against the registers of the TD", Kind::Ccel.name());
            return findings.not_applicable(Check::HCL_LOG_REPLAY, why);
        }
        None => (false, WANTED.to_owned(), "no event log".to_owned()),
        Some(log) if kind(log) == Kind::Ccel => (false, WANTED.to_owned(), Kind::Ccel.name().to_owned()),
        Some(log) => match tpm::replay(log).map_err(|defect| defect.to_string()).and_then(Bank::of) {
            Err(why) => (false, WANTED.to_owned(), why),
            Ok(bank) if bank.events == 0 => (false, AN_EVENT.to_owned(), only_notes(bank.notes)),
            Ok(bank) => match bank.led_to(&vouched.registers) {
                Ok(led) => {
                    findings.facts.number("event_log_events", bank.events);
                    findings.facts.list("event_log_registers", led.registers);
                    findings.judge(
                        true,
                        Comparison { check: Check::HCL_LOG_REPLAY, expected: WANTED.into(), actual: led.words.into() },
                    );
                    return;
                }
                Err((expected, actual)) => (false, expected, actual),
            },
        },
    };
    say_nothing(platform_replays && log.is_none_or(|log| kind(log) == Kind::Ccel), findings);
    let (expected, actual) = (expected.into(), actual.into());
    findings.judge(holds, Comparison { check: Check::HCL_LOG_REPLAY, expected, actual });
}

/// Nothing of a log that does not replay is shown. Of one that the platform judges the platform says how long it is.
fn say_nothing(platform_says: bool, findings: &mut Findings) {
    if !platform_says {
        findings.facts.absent("event_log_events");
    }
    findings.facts.absent("event_log_registers");
}

/// The bank that a quote is about, as the log leaves it.
struct Bank {
    events: u32,
    notes: u32,
    extended: [u32; REGISTERS],
    registers: Registers,
}

/// What a log that replays says.
struct Led {
    /// The registers whose events are believed.
    registers: Vec<String>,
    words: String,
}

impl Bank {
    fn of(Replayed { events, notes, extended, sha256, .. }: Replayed) -> Result<Self, String> {
        let registers = sha256.ok_or("an event log without the SHA-256 bank, which the quote is about")?;
        Ok(Self { events, notes, extended, registers })
    }

    /// Which registers the events lead to; or the first that they miss, with what was expected and what they lead to.
    fn led_to(&self, quoted: &Registers) -> Result<Led, (String, String)> {
        let (mut led, mut silent, mut phases) = (Vec::new(), Vec::new(), String::new());
        let untouched = tpm::initial::<32>();
        let each = self.extended.iter().zip(&self.registers).zip(quoted.iter().zip(&untouched)).enumerate();
        for (number, ((events, found), (quoted, untouched))) in each {
            if *events == 0 && number > FIRMWARE {
                if quoted != untouched {
                    silent.push(number.to_string());
                }
                continue;
            }
            if found != quoted {
                let Some(last) = (number == UKI).then(|| phase_behind(*found, quoted)).flatten() else {
                    let hex = teegate_encoding::hex::encode;
                    return Err((
                        format!("an event log that replays to PCR {number} {}", hex(quoted)),
                        format!(
                            "{} events, {events} of them of PCR {number}, that replay to {}",
                            self.events,
                            hex(found)
                        ),
                    ));
                };
                phases = format!(" (there with systemd's phases up to `{last}` behind them)");
            }
            led.push(number);
        }
        let numbers: Vec<_> = led.iter().map(usize::to_string).collect();
        let mut words = format!("{} events that replay to PCR {}{phases}", self.events, numbers.join(", "));
        if !silent.is_empty() {
            words.push_str(&format!("; extended without an event: PCR {}", silent.join(", ")));
        }
        words.push_str(&beside(self.notes));
        let registers = led.iter().filter_map(|number| NAMES.get(*number)).map(|name| (*name).to_owned()).collect();
        Ok(Led { registers, words })
    }
}

/// The last register of the firmware.
const FIRMWARE: usize = 7;
/// The register of a unified kernel image, which the running system goes on to extend.
const UKI: usize = 11;

/// The words that systemd extends PCR 11 by as it comes to each phase, from the initial file system's or from the system's first.
const PHASES: [&str; 6] = ["enter-initrd", "leave-initrd", "sysinit", "ready", "shutdown", "final"];

/// The phase that the guest had come to where nothing but phases, in their order, lies between both values.
fn phase_behind(booted: [u8; 32], quoted: &[u8; 32]) -> Option<&'static str> {
    let from = |first: usize| {
        let mut value = booted;
        PHASES.iter().skip(first).find(|phase| {
            value = sha256(&[&value, &sha256(&[phase.as_bytes()])]);
            value == *quoted
        })
    };
    from(0).or_else(|| from(2)).copied()
}
