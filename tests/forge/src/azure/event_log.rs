//! The event log of a guest that boots on a vTPM, and the registers that it leads to.
//!
//! TCG PC Client Platform Firmware Profile 1.05, section 10.2: a first record of the old form that names the banks, and then, for each
//! event, register, type, a digest a bank, and data.

use aws_lc_rs::digest::{SHA256, digest};

use super::quote::default_pcrs;

/// One record: register, type, the byte that fills its digests.
#[derive(Clone, Copy, Debug)]
pub struct Event(pub u32, pub u32, pub u8);

/// EV_SEPARATOR.
pub const SEPARATOR: u32 = 4;
/// EV_NO_ACTION: a record that extends no register.
pub const NO_ACTION: u32 = 3;

/// A boot of a unified kernel image: firmware extends 0 to 7, the image's stub and the kernel 9 and 11.
pub const BOOT: [Event; 16] = [
    Event(0, 0x0000_0008, 0x01),
    Event(0, 0x8000_000A, 0x02),
    Event(7, 0x8000_0001, 0x03),
    Event(0, NO_ACTION, 0x04),
    Event(1, 0x8000_0002, 0x05),
    Event(2, SEPARATOR, 0x06),
    Event(3, SEPARATOR, 0x07),
    Event(6, SEPARATOR, 0x08),
    Event(5, 0x8000_0007, 0x09),
    Event(4, 0x8000_0007, 0x0A),
    Event(4, SEPARATOR, 0x0B),
    Event(4, 0x8000_0003, 0x0C),
    Event(9, 6, 0x0D),
    Event(9, 6, 0x0E),
    Event(11, 0xD, 0x0F),
    Event(11, 0xD, 0x10),
];

/// A bank: its TPM_ALG_ID, and the length of its digests.
pub type Bank = (u16, u16);
/// The banks of SHA-1, SHA-256 and SHA-384.
pub const BANKS: [Bank; 3] = [(0x0004, 20), (0x000B, 32), (0x000C, 48)];

/// The log of these events in the three banks.
pub fn encode(events: &[Event]) -> Vec<u8> {
    encode_in(&BANKS, events)
}

/// The log of these events in these banks.
pub fn encode_in(banks: &[Bank], events: &[Event]) -> Vec<u8> {
    let count = u32::try_from(banks.len()).expect("a few banks");
    let mut log = [0, NO_ACTION].map(u32::to_le_bytes).concat();
    log.extend([0; 20]);
    log.extend((29 + 4 * count).to_le_bytes());
    log.extend(b"Spec ID Event03\0\0\0\0\0\x00\x02\x00\x02");
    log.extend(count.to_le_bytes());
    banks.iter().for_each(|(id, length)| log.extend([id.to_le_bytes(), length.to_le_bytes()].concat()));
    log.push(0);
    for Event(register, kind, byte) in events {
        log.extend([*register, *kind, count].map(u32::to_le_bytes).concat());
        for (id, length) in banks {
            log.extend(id.to_le_bytes());
            log.extend(vec![*byte; usize::from(*length)]);
        }
        log.extend([4, 0, 0, 0]);
        log.extend(b"data");
    }
    log
}

/// The registers after these events, and whatever the good guest has in those that no event is about; those of the firmware begin empty.
pub fn registers(events: &[Event]) -> Vec<Vec<u8>> {
    let extends = |number: usize, Event(register, kind, _): &&Event| {
        usize::try_from(*register).ok() == Some(number) && *kind != NO_ACTION
    };
    let led = |(number, untouched): (usize, Vec<u8>)| {
        let own: Vec<_> = events.iter().filter(|event| extends(number, event)).collect();
        if own.is_empty() && number > 7 {
            return untouched;
        }
        own.iter().fold(vec![0; 32], |value, Event(_, _, byte)| extended(&value, &[*byte; 32]))
    };
    default_pcrs().into_iter().enumerate().map(led).collect()
}

/// A register after one more digest.
pub fn extended(value: &[u8], by: &[u8]) -> Vec<u8> {
    digest(&SHA256, &[value, by].concat()).as_ref().to_vec()
}
