//! The event log of a forged boot (CCEL), and the registers that it leads to.

use aws_lc_rs::digest;

/// One record: register (1 is RTMR0), type, the byte that fills its digest.
#[derive(Clone, Copy, Debug)]
pub struct Event(pub u32, pub u32, pub u8);

/// EV_SEPARATOR.
pub const SEPARATOR: u32 = 4;
/// EV_NO_ACTION: a record that extends no register.
pub const NO_ACTION: u32 = 3;

/// A boot that extends every register, and writes two records that extend none.
pub const BOOT: [Event; 8] = [
    Event(1, 0x8000_000B, 1),
    Event(1, 0x8000_0001, 2),
    Event(0, SEPARATOR, 3),
    Event(2, 0x8000_0003, 4),
    Event(2, NO_ACTION, 5),
    Event(3, 0xD, 6),
    Event(3, 0xD, 7),
    Event(4, 6, 8),
];

/// The record before all others: one algorithm, SHA-384.
const HEADER: &[u8; 65] = b"\x01\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x21\0\0\0\
    Spec ID Event03\0\0\0\0\0\x00\x02\x00\x02\x01\0\0\0\x0c\0\x30\0\0";

/// The log of these events.
pub fn encode(events: &[Event]) -> Vec<u8> {
    let mut log = HEADER.to_vec();
    for Event(register, kind, digest) in events {
        log.extend([*register, *kind, 1].map(u32::to_le_bytes).concat());
        log.extend([0x0C, 0]);
        log.extend([*digest; 48]);
        log.extend([4, 0, 0, 0]);
        log.extend(b"data");
    }
    log
}

/// RTMR0 to RTMR3 after these events.
pub fn registers(events: &[Event]) -> [[u8; 48]; 4] {
    [1, 2, 3, 4].map(|own| {
        let extending = events.iter().filter(|Event(register, kind, _)| *register == own && *kind != NO_ACTION);
        extending.fold([0; 48], |value, Event(_, _, digest)| {
            let extended = digest::digest(&digest::SHA384, &[value, [*digest; 48]].concat());
            extended.as_ref().try_into().expect("48 bytes")
        })
    })
}
