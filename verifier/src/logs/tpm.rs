//! The event log of a TPM, and the registers that it adds up to.
//!
//! TCG PC Client Platform Firmware Profile 1.05, sections 10.2 and 10.4.5.3 (`StartupLocality`); TPM 2.0 Library, part 1, section
//! *Platform Configuration Registers*: 17 to 22 begin with all ones, the others with zero, and PCR 0 with the locality from which the
//! TPM was started.

use super::tcg2::{Defect, Kind, Log, Record, SHA256, SHA384, differs};
use crate::signature::{sha256, sha384};

pub(crate) const REGISTERS: usize = 24;

/// What a log adds up to, in the banks that are believed. SHA-1 is not among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replayed {
    /// Records that extend a register.
    pub(crate) events: u32,
    /// Records that extend nothing, beside the first, which describes the format, and the locality that PCR 0 begins with.
    pub(crate) notes: u32,
    /// How many events extend each register.
    pub(crate) extended: [u32; REGISTERS],
    /// PCR 0 to 23 of the bank of SHA-256, if the log has one.
    pub(crate) sha256: Option<[[u8; 32]; REGISTERS]>,
    /// PCR 0 to 23 of the bank of SHA-384, if the log has one.
    pub(crate) sha384: Option<[[u8; 48]; REGISTERS]>,
}

/// Reads the whole log, and replays it.
pub(crate) fn replay(log: &[u8]) -> Result<Replayed, Defect> {
    let mut log = Log::open(log, Kind::Tpm)?;
    if !log.has(SHA256) && !log.has(SHA384) {
        return Err(differs(0, "algorithms", "SHA-256 or SHA-384 among them", "neither"));
    }
    let (sha256, sha384) = (log.has(SHA256).then(initial), log.has(SHA384).then(initial));
    let mut replayed = Replayed { events: 0, notes: 0, extended: [0; REGISTERS], sha256, sha384 };
    let mut is_located = false;
    while let Some(record) = log.next()? {
        let register = usize::try_from(record.register).unwrap_or(usize::MAX);
        if register >= REGISTERS {
            return Err(differs(record.number, "register", "0 to 23", record.register));
        }
        if !record.extends() {
            let locality = startup_locality(&record);
            if let Some(locality) = locality {
                if replayed.extended.first() != Some(&0) {
                    return Err(differs(record.number, "a locality", "one before PCR 0 is extended", "a late one"));
                }
                replayed.start_from(locality);
            }
            // PCR 0 says from where it began: of several localities one counts.
            if locality.is_none() || is_located {
                replayed.notes = replayed.notes.saturating_add(1);
            }
            is_located |= locality.is_some();
            continue;
        }
        replayed.events = replayed.events.saturating_add(1);
        replayed.extend(register, &record);
    }
    Ok(replayed)
}

/// The registers before anything is extended, from whatever locality the TPM is started.
pub(crate) fn initial<const N: usize>() -> [[u8; N]; REGISTERS] {
    let mut registers = [[0; N]; REGISTERS];
    registers.iter_mut().skip(17).take(6).for_each(|register| *register = [0xFF; N]);
    registers
}

impl Replayed {
    fn start_from(&mut self, locality: u8) {
        if let Some([[.., last], ..]) = &mut self.sha256 {
            *last = locality;
        }
        if let Some([[.., last], ..]) = &mut self.sha384 {
            *last = locality;
        }
    }

    fn extend(&mut self, register: usize, record: &Record<'_>) {
        if let Some(count) = self.extended.get_mut(register) {
            *count = count.saturating_add(1);
        }
        let of_sha256 = self.sha256.as_mut().and_then(|bank| bank.get_mut(register));
        if let (Some(register), Some(digest)) = (of_sha256, record.digest(SHA256)) {
            *register = sha256(&[&*register, digest]);
        }
        let of_sha384 = self.sha384.as_mut().and_then(|bank| bank.get_mut(register));
        if let (Some(register), Some(digest)) = (of_sha384, record.digest(SHA384)) {
            *register = sha384(&[&*register, digest]);
        }
    }
}

/// `StartupLocality`, a zero, and the locality: 0, 3, or 4 after a measured start of the hardware itself.
fn startup_locality(record: &Record<'_>) -> Option<u8> {
    let locality = record.data.strip_prefix(b"StartupLocality\0".as_slice())?;
    match (record.register, locality) {
        (0, [locality]) => Some(*locality),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::to_hex;

    fn header(algorithms: &[(u16, u16)]) -> Vec<u8> {
        let mut bytes = [0_u32.to_le_bytes(), 3_u32.to_le_bytes()].concat();
        bytes.extend([0; 20]);
        let count = u32::try_from(algorithms.len()).unwrap();
        bytes.extend((29 + 4 * count).to_le_bytes());
        bytes.extend(b"Spec ID Event03\0\0\0\0\0\x00\x02\x00\x02");
        bytes.extend(count.to_le_bytes());
        for (algorithm, length) in algorithms {
            bytes.extend(algorithm.to_le_bytes());
            bytes.extend(length.to_le_bytes());
        }
        bytes.push(0);
        bytes
    }

    fn event(register: u32, kind: u32, digests: &[(u16, &[u8])], data: &[u8]) -> Vec<u8> {
        let count = u32::try_from(digests.len()).unwrap();
        let mut bytes = [register, kind, count].map(u32::to_le_bytes).concat();
        for (algorithm, digest) in digests {
            bytes.extend(algorithm.to_le_bytes());
            bytes.extend(*digest);
        }
        bytes.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        bytes.extend(data);
        bytes
    }

    const BANKS: [(u16, u16); 3] = [(4, 20), (SHA256, 32), (SHA384, 48)];

    fn three(byte: u8) -> Vec<(u16, Vec<u8>)> {
        vec![(4, vec![byte; 20]), (SHA256, vec![byte; 32]), (SHA384, vec![byte; 48])]
    }

    fn extending(register: u32, byte: u8) -> Vec<u8> {
        let digests = three(byte);
        let digests: Vec<_> = digests.iter().map(|(id, digest)| (*id, digest.as_slice())).collect();
        event(register, 8, &digests, b"data")
    }

    #[test]
    fn each_bank_ends_where_its_digests_lead() {
        let log = [header(&BANKS), extending(4, 1), extending(4, 2), extending(17, 3)].concat();
        let replayed = replay(&log).unwrap();
        let of_sha256 = replayed.sha256.unwrap();
        assert_eq!((replayed.events, replayed.notes), (3, 0));
        assert_eq!((replayed.extended[4], replayed.extended[17], replayed.extended[0]), (2, 1, 0));
        assert_eq!(of_sha256[4], sha256(&[&sha256(&[&[0; 32], &[1; 32]]), &[2; 32]]));
        assert_eq!(of_sha256[17], sha256(&[&[0xFF; 32], &[3; 32]]));
        assert_eq!((of_sha256[5], of_sha256[22], of_sha256[23]), ([0; 32], [0xFF; 32], [0; 32]));
        assert_eq!(replayed.sha384.unwrap()[4], sha384(&[&sha384(&[&[0; 48], &[1; 48]]), &[2; 48]]));
        // FIPS 180-4 by another implementation: SHA-256 of 64 zero bytes.
        let zeros = replay(&[header(&[(SHA256, 32)]), event(0, 8, &[(SHA256, &[0; 32])], b"")].concat()).unwrap();
        assert_eq!(
            (to_hex(&zeros.sha256.unwrap()[0]), zeros.sha384),
            ("f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b".to_owned(), None)
        );
    }

    #[test]
    fn the_locality_is_where_register_0_begins_and_comes_first() {
        let locality = |number| {
            let digests = three(0);
            let digests: Vec<_> = digests.iter().map(|(id, digest)| (*id, digest.as_slice())).collect();
            event(0, 3, &digests, &[b"StartupLocality\0".as_slice(), &[number]].concat())
        };
        let first = |log: &[u8]| replay(log).unwrap().sha256.unwrap()[0];
        let mut begun = [0; 32];
        begun[31] = 3;
        assert_eq!(first(&[header(&BANKS), locality(3), extending(0, 1)].concat()), sha256(&[&begun, &[1; 32]]));
        assert_eq!(first(&[header(&BANKS), extending(0, 1)].concat()), sha256(&[&[0; 32], &[1; 32]]));
        let counted = |log: &[u8]| replay(log).map(|replayed| (replayed.events, replayed.notes)).unwrap();
        assert_eq!(counted(&[header(&BANKS), locality(3), extending(0, 1)].concat()), (1, 0));
        assert_eq!(counted(&[header(&BANKS), locality(4), locality(3), extending(0, 1)].concat()), (1, 1));
        let late = replay(&[header(&BANKS), extending(0, 1), locality(3)].concat()).unwrap_err();
        assert_eq!(
            late.to_string(),
            "a log whose record 2 has a locality a late one instead of one before PCR 0 is extended"
        );
    }

    /// Whatever is put in of what extends nothing, neither the registers nor the number of events move.
    #[test]
    fn what_extends_nothing_is_no_event() {
        let whole = [header(&BANKS), extending(4, 1), extending(9, 2)].concat();
        let digests = three(9);
        let digests: Vec<_> = digests.iter().map(|(id, digest)| (*id, digest.as_slice())).collect();
        let replayed = replay(&whole).unwrap();
        for register in [0, 4, 9, 23] {
            let invented = event(register, 3, &digests, b"invented").repeat(500);
            let longer = replay(&[&whole[..], &invented].concat()).unwrap();
            assert_eq!(longer, Replayed { notes: 500, ..replayed.clone() }, "{register}");
        }
        let one_more = replay(&[&whole[..], &extending(9, 3)].concat()).unwrap();
        assert_eq!((one_more.events, one_more.notes, one_more.extended[9]), (3, 0, 2));
    }

    #[test]
    fn what_is_no_log_of_a_tpm_is_refused_by_name() {
        let whole = [header(&BANKS), extending(4, 1)].concat();
        assert!(replay(&whole).is_ok());
        let only_sha1 = header(&[(4, 20)]);
        for (log, says) in [
            (only_sha1, "algorithms neither"),
            (header(&[(SHA256, 31)]), "algorithm 0x000b of 31 bytes"),
            (header(&[(SHA256, 32), (SHA256, 32)]), "algorithm 0x000b of 32 bytes"),
            (header(&[(9, 65)]), "algorithm 0x0009 of 65 bytes"),
            (header(&[(4, 20); 9]), "number of algorithms 9"),
            ([header(&BANKS), extending(24, 1)].concat(), "register 24 instead of 0 to 23"),
            ([header(&BANKS), event(4, 8, &[(SHA256, &[1; 32])], b"")].concat(), "number of digests 1"),
            (
                [header(&BANKS), event(4, 8, &[(4, &[1; 20]), (4, &[1; 20]), (SHA256, &[1; 32])], b"")].concat(),
                "algorithm 0x0004 instead of one of record 0, each once",
            ),
            (whole[..whole.len() - 1].to_vec(), "needs 4 bytes"),
        ] {
            let defect = replay(&log).unwrap_err().to_string();
            assert!(defect.contains(says), "{says}: {defect}");
        }
    }
}
