//! The event log of a TD's boot (CCEL), and what it adds up to.
//!
//! The log itself is hostile: nothing signs it. If replaying it ends at the registers that the quote states, then of each register
//! the digests of the events that extend it are all that was extended, in this order. Nothing else is proven: not the order between
//! registers, not what an event's *data* say, and nothing about a record that extends nothing, which anybody can put in.
//!
//! UEFI 2.10, section 38.4 (measurement registers, ACPI table CCEL); its form is that of [`super::tcg2`].

use super::tcg2::{Defect, Kind, Log, SHA384, differs};
use crate::bytes::Mr;
use crate::signature::sha384;

/// What a log adds up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replayed {
    /// Records that extend a register.
    pub(crate) events: u32,
    /// Records that extend nothing, beside the first, which describes the format.
    pub(crate) notes: u32,
    /// RTMR0 to RTMR3 after the last of them.
    pub(crate) rtmrs: [Mr; 4],
}

/// Reads the whole log, and replays it: from 48 zero bytes, register = SHA-384(register ‖ digest).
pub(crate) fn replay(log: &[u8]) -> Result<Replayed, Defect> {
    let mut log = Log::open(log, Kind::Ccel)?;
    let mut replayed = Replayed { events: 0, notes: 0, rtmrs: [Mr([0; 48]); 4] };
    while let Some(record) = log.next()? {
        let [rtmr0, rtmr1, rtmr2, rtmr3] = &mut replayed.rtmrs;
        let register = match record.register {
            // MRTD is not extended at run time.
            0 => None,
            1 => Some(rtmr0),
            2 => Some(rtmr1),
            3 => Some(rtmr2),
            4 => Some(rtmr3),
            other => return Err(differs(record.number, "register", "0 (MRTD) to 4 (RTMR3)", other)),
        };
        if let (Some(register), true, Some(digest)) = (register, record.extends(), record.digest(SHA384)) {
            register.0 = sha384(&[&register.0, digest]);
            replayed.events = replayed.events.saturating_add(1);
        } else {
            replayed.notes = replayed.notes.saturating_add(1);
        }
    }
    Ok(replayed)
}

/// Whether the log has its description and nothing behind it.
pub(crate) fn is_without_records(log: &[u8]) -> bool {
    Log::open(log, Kind::Ccel).and_then(|mut log| Ok(log.next()?.is_none())) == Ok(true)
}

#[cfg(test)]
mod tests {
    use super::super::tcg2::{MAX_LOG_BYTES, is_filling};
    use super::*;
    use crate::bytes::to_hex;
    use crate::reader::OutOfBounds;

    const HEADER_BYTES: usize = 65;

    fn header() -> Vec<u8> {
        let mut bytes = [1_u32.to_le_bytes(), 3_u32.to_le_bytes()].concat();
        bytes.extend([0; 20]);
        bytes.extend(33_u32.to_le_bytes());
        bytes.extend(b"Spec ID Event03\0\0\0\0\0\x00\x02\x00\x02\x01\0\0\0\x0c\0\x30\0\0");
        bytes
    }

    fn event(index: u32, kind: u32, digest: u8, data: &[u8]) -> Vec<u8> {
        let mut bytes = [index, kind, 1].map(u32::to_le_bytes).concat();
        bytes.extend([0x0C, 0]);
        bytes.extend([digest; 48]);
        bytes.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        bytes.extend(data);
        bytes
    }

    /// A log of every register, with both kinds of record that extend nothing.
    fn log() -> Vec<u8> {
        [
            header(),
            event(1, 0x8000_000B, 1, b"table"),
            event(0, 4, 2, b""),
            event(3, 3, 3, b"note"),
            event(1, 4, 4, &[0; 4]),
            event(2, 0x8000_0003, 5, b"kernel"),
            event(3, 0xD, 6, b"command line"),
            event(4, 6, 7, b"run time"),
        ]
        .concat()
    }

    fn extended(digests: &[u8]) -> Mr {
        let extend = |register: [u8; 48], digest: &u8| sha384(&[&register, &[*digest; 48]]);
        Mr(digests.iter().fold([0; 48], extend))
    }

    fn differing(log: &[u8]) -> (u32, &'static str, String) {
        match replay(log) {
            Err(Defect::Differs { record, field, actual, .. }) => (record, field, actual),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_register_ends_where_its_events_lead() {
        let replayed = replay(&log()).unwrap();
        let rtmrs = [extended(&[1, 4]), extended(&[5]), extended(&[6]), extended(&[7])];
        assert_eq!(replayed, Replayed { events: 5, notes: 2, rtmrs });
        assert_eq!(replay(&header()).unwrap(), Replayed { events: 0, notes: 0, rtmrs: [Mr([0; 48]); 4] });
        // FIPS 180-4 by another implementation: SHA-384 of 96 zero bytes.
        let zeros = replay(&[header(), event(4, 4, 0, b"")].concat()).unwrap();
        assert_eq!(to_hex(&zeros.rtmrs[3].0), EXTENDED_BY_ZERO);
    }

    const EXTENDED_BY_ZERO: &str =
        "f57bb7ed82c6ae4a29e6c9879338c592c7d42a39135583e8ccbe3940f2344b0eb6eb8503db0ffd6a39ddd00cd07d8317";

    /// Whatever is put in of what extends nothing, neither the registers nor the number of events move.
    #[test]
    fn what_extends_nothing_is_no_event() {
        let whole = replay(&log()).unwrap();
        for (register, kind) in [(0, 4), (0, 3), (0, 0x8000_0003), (1, 3), (2, 3), (3, 3), (4, 3)] {
            let invented = event(register, kind, 9, b"invented").repeat(500);
            let replayed = replay(&[log(), invented].concat()).unwrap();
            assert_eq!(replayed, Replayed { notes: whole.notes + 500, ..whole.clone() }, "{register} {kind}");
        }
        let one_more = replay(&[log(), event(1, 4, 9, b"")].concat()).unwrap();
        assert_eq!((one_more.events, one_more.notes), (whole.events + 1, whole.notes));
        assert_ne!(one_more.rtmrs, whole.rtmrs);
    }

    #[test]
    fn a_log_that_was_never_written_is_told_from_one_that_shows_nothing() {
        for filling in [&[][..], &[0; 100], &[0xFF; 9]] {
            assert!(is_without_records(&[&header()[..], filling].concat()));
        }
        for log in [log(), [header(), event(0, 4, 2, b"")].concat(), header()[1..].to_vec(), Vec::new()] {
            assert!(!is_without_records(&log));
        }
    }

    #[test]
    fn one_event_more_or_less_or_elsewhere_ends_elsewhere() {
        let (first, second) = (event(2, 4, 1, b"a"), event(2, 4, 2, b"b"));
        let rtmr1 = |events: &[&[u8]]| replay(&[&header()[..], &events.concat()].concat()).unwrap().rtmrs[1];
        let whole = rtmr1(&[&first, &second]);
        assert_eq!(whole, extended(&[1, 2]));
        for other in [&[&first[..]][..], &[&second], &[&second, &first], &[&first, &second, &second], &[]] {
            assert_ne!(rtmr1(other), whole);
        }
        // What an event says is not extended, only its digest is.
        assert_eq!(rtmr1(&[&first, &event(2, 4, 2, b"something else")]), whole);
    }

    #[test]
    fn the_buffer_may_be_longer_than_the_log() {
        let whole = replay(&log()).unwrap();
        for filling in [0x00, 0xFF] {
            for length in [1, 4, 8, 12, 66, 65_536] {
                assert_eq!(replay(&[log(), vec![filling; length]].concat()), Ok(whole.clone()), "{length}");
            }
        }
        // Bytes among the filling are not filling.
        let mut filled = [log(), vec![0xFF; 100]].concat();
        filled[log().len() + 99] = 0;
        assert_eq!(differing(&filled), (8, "number of digests", u32::MAX.to_string()));
        filled[log().len()..].fill(0);
        *filled.last_mut().unwrap() = 1;
        assert_eq!(differing(&filled), (8, "number of digests", "0".to_owned()));
    }

    #[test]
    fn every_truncation_is_a_shorter_log_or_an_error() {
        let log = log();
        let mut ends = vec![HEADER_BYTES];
        for length in [5, 0, 4, 4, 6, 12, 8] {
            ends.push(ends.last().unwrap() + 66 + length);
        }
        assert_eq!(ends.last(), Some(&log.len()));
        for length in 0..=log.len() {
            let replayed = replay(&log[..length]);
            match ends.iter().position(|end| *end == length) {
                Some(records) => {
                    let Replayed { events, notes, .. } = replayed.unwrap();
                    assert_eq!(events + notes, u32::try_from(records).unwrap());
                }
                // A zero or two of the next record's first bytes look like filling; they extend nothing.
                None if length > HEADER_BYTES
                    && is_filling(&log[*ends.iter().rfind(|end| **end < length).unwrap()..length]) =>
                {
                    assert!(replayed.is_ok());
                }
                None => assert!(matches!(replayed, Err(Defect::Ends { .. })), "{length}: {replayed:?}"),
            }
        }
    }

    #[test]
    fn every_changed_byte_of_a_digest_or_of_the_form_is_seen() {
        let log = log();
        let whole = replay(&log).unwrap();
        let (class, errata_and_uintn) = (48..52, 54..56);
        for position in 1..HEADER_BYTES {
            let mut changed = log.clone();
            changed[position] ^= 0x40;
            let unread = class.contains(&position) || errata_and_uintn.contains(&position);
            assert_eq!(replay(&changed) == Ok(whole.clone()), unread, "byte {position}");
        }
        for position in HEADER_BYTES + 14..HEADER_BYTES + 62 {
            let mut changed = log.clone();
            changed[position] ^= 1;
            assert_ne!(replay(&changed).unwrap().rtmrs[0], whole.rtmrs[0], "byte {position}");
        }
    }

    #[test]
    fn another_form_of_log_is_refused_by_name() {
        for (position, byte, field, actual) in [
            (0, 2, "register", "2"),
            (4, 4, "type", "4"),
            (8, 1, "digest", "another"),
            (28, 34, "length", "34 (its fields have 33)"),
            (31, 0xFF, "length", "4278190113 (its fields have 33)"),
            (46, b'2', "signature", "another"),
            (52, 1, "version", "2.1"),
            (53, 1, "version", "1.0"),
            (56, 3, "number of algorithms", "3"),
            (59, 0xFF, "number of algorithms", "4278190081"),
            (60, 0x0B, "algorithm", "0x000b of 48 bytes"),
            (62, 32, "algorithm", "0x000c of 32 bytes"),
            (64, 5, "length", "33 (its fields have 38)"),
        ] {
            let mut other = log();
            other[position] = byte;
            assert_eq!(differing(&other), (0, field, actual.to_owned()), "byte {position}");
        }
        let mut with_vendor = header();
        (with_vendor[28], with_vendor[64]) = (35, 2);
        assert_eq!(replay(&[&with_vendor[..], b"vi", &event(1, 4, 1, b"")].concat()).unwrap().events, 1);
        let mut as_tcg_has_it = log();
        as_tcg_has_it[0] = 0;
        assert_eq!(replay(&as_tcg_has_it), replay(&log()));
    }

    #[test]
    fn another_form_of_record_is_refused_by_name() {
        for (position, byte, field, actual) in [
            (0, 5, "register", "5"),
            (3, 0xFF, "register", "4278190081"),
            (8, 0, "number of digests", "0"),
            (8, 2, "number of digests", "2"),
            (11, 0xFF, "number of digests", "4278190081"),
            (12, 0x04, "algorithm", "0x0004"),
            (12, 0x0B, "algorithm", "0x000b"),
            (12, 0x0D, "algorithm", "0x000d"),
        ] {
            let mut other = log();
            other[HEADER_BYTES + position] = byte;
            assert_eq!(differing(&other), (1, field, actual.to_owned()), "byte {position}");
        }
        let mut long = log();
        long[HEADER_BYTES + 62..HEADER_BYTES + 66].fill(0xFF);
        let end = OutOfBounds { offset: 131, wanted: 0xFFFF_FFFF, left: log().len() - 131 };
        assert_eq!(replay(&long), Err(Defect::Ends { record: 1, end }));
    }

    #[test]
    fn a_log_is_bounded() {
        let mut longest = log();
        longest.resize(MAX_LOG_BYTES, 0xFF);
        assert_eq!(replay(&longest), replay(&log()));
        longest.push(0xFF);
        assert_eq!(replay(&longest), Err(Defect::TooLong { actual: MAX_LOG_BYTES + 1 }));
        // As many events as fit.
        let events = (MAX_LOG_BYTES - HEADER_BYTES) / 66;
        let many = [header(), event(2, 4, 9, b"").repeat(events)].concat();
        assert_eq!(replay(&many).unwrap().events, u32::try_from(events).unwrap());
    }

    #[test]
    fn no_shapeless_bytes_are_a_log() {
        for length in [0, 1, 31, 32, 64, 65, 1_000] {
            for byte in 0..=u8::MAX {
                assert!(replay(&vec![byte; length]).is_err(), "{length} bytes {byte:#04x}");
            }
        }
    }
}
