//! X.509 certificate revocation lists (RFC 5280, section 5): looked through in place, whatever their size.

use std::sync::OnceLock;

use bytes::Bytes;

use super::certificate::{PublicKey, SignatureAlgorithm, parse_algorithm, parse_extension};
use super::der::{self, Der, DerError, INTEGER, ReadTime as _, SEQUENCE, context};
use crate::signature::{Digest, Share, Signatures, Statement};
use crate::statement::Readable;
use crate::time::UnixTime;

/// One entry: where in the list its serial stands, and since when it is revoked.
#[derive(Clone, Copy, Debug)]
struct Entry {
    from: u32,
    length: u32,
    since: UnixTime,
}

/// A parsed list. Entries are read once, when a serial is looked up; an entry takes about as much room again.
#[derive(Debug)]
pub(crate) struct Crl {
    tbs: Bytes,
    pub(crate) issuer: Bytes,
    pub(crate) this_update: UnixTime,
    /// Absent in a list that never ends, which is refused where a list is required.
    pub(crate) next_update: Option<UnixTime>,
    entries: Bytes,
    /// The entries, read at the first look-up.
    read: OnceLock<der::Result<Vec<Entry>>>,
    /// A delta or an indirect list says so in a critical extension, and is no complete list of its issuer.
    pub(crate) has_critical_extension: bool,
    algorithm: SignatureAlgorithm,
    signature: Bytes,
    name: OnceLock<Digest>,
}

impl Readable for Crl {
    type Hint = ();
    type Error = DerError;

    fn hint(_: &Bytes) -> Option<()> {
        None
    }

    fn read(der: &Bytes) -> Result<Self, DerError> {
        Self::parse(der)
    }
}

impl Crl {
    /// Parses one list, which must fill `input`.
    pub(crate) fn parse(input: &Bytes) -> der::Result<Self> {
        let part = |bytes: &[u8]| input.slice_ref(bytes);
        let mut outer = Der::new(input);
        let mut list = outer.nested(SEQUENCE)?;
        outer.end()?;
        let tbs = list.element(SEQUENCE)?;
        let algorithm = list.element(SEQUENCE)?;
        let signature = list.bit_string()?;
        list.end()?;

        let mut fields = Der::new(tbs.content);
        if fields.unsigned(INTEGER)? != 1 {
            return Err(DerError("a CRL that is not of version 2"));
        }
        if fields.element(SEQUENCE)?.whole != algorithm.whole {
            return Err(DerError("two different signature algorithms in one CRL"));
        }
        let issuer = fields.element(SEQUENCE)?.whole;
        let this_update = fields.time()?;
        let next_update = match fields.peek() {
            Some(der::UTC_TIME | der::GENERALIZED_TIME) => Some(fields.time()?),
            _ => None,
        };
        let entries = match fields.peek() {
            Some(SEQUENCE) => fields.content(SEQUENCE)?,
            _ => &[],
        };
        let mut has_critical_extension = false;
        if fields.peek() == Some(context(0)) {
            let mut wrapper = fields.nested(context(0))?;
            let mut extensions = wrapper.nested(SEQUENCE)?;
            wrapper.end()?;
            while !extensions.is_empty() {
                has_critical_extension |= parse_extension(&mut extensions)?.1;
            }
        }
        fields.end()?;
        let algorithm = parse_algorithm(algorithm.content)?;
        Ok(Self {
            tbs: part(tbs.whole),
            issuer: part(issuer),
            this_update,
            next_update,
            entries: part(entries),
            read: OnceLock::new(),
            has_critical_extension,
            algorithm,
            signature: part(signature),
            name: OnceLock::new(),
        })
    }

    /// Whether `issuer` signed this list; paid out of `share`.
    pub(crate) fn is_signed_by(&self, share: Share, issuer: &PublicKey, signatures: &mut Signatures<'_>) -> bool {
        let statement = Statement { message: &self.tbs, signature: &self.signature, name: &self.name };
        issuer.signed(share, self.algorithm, statement, signatures)
    }

    /// Whether it is current at `now`: thisUpdate <= now < nextUpdate. A list without nextUpdate never is.
    pub(crate) fn is_current_at(&self, now: UnixTime) -> bool {
        self.this_update <= now && self.next_update.is_some_and(|next| now < next)
    }

    /// Since when it lists `serial` (an INTEGER's content), if it does; every entry must be well formed.
    pub(crate) fn lists(&self, serial: &[u8]) -> der::Result<Option<UnixTime>> {
        let entries = self.read.get_or_init(|| read_entries(&self.entries)).as_ref().map_err(|error| *error)?;
        let serial_of = |entry: &Entry| {
            let from = usize::try_from(entry.from).ok()?;
            self.entries.get(from..)?.get(..usize::try_from(entry.length).ok()?)
        };
        Ok(entries.iter().find(|entry| serial_of(entry) == Some(serial)).map(|entry| entry.since))
    }
}

/// How long an entry is as a rule: a serial number of 20 or 21 bytes, a time and a reason.
const USUAL_ENTRY: usize = 50;

/// Every entry of a list, in its order.
fn read_entries(all: &[u8]) -> der::Result<Vec<Entry>> {
    const TOO_LONG: DerError = DerError("a list of more than 4 GiB");
    let mut entries = Der::new(all);
    let mut found = Vec::with_capacity(all.len() / USUAL_ENTRY);
    while !entries.is_empty() {
        let mut entry = entries.nested(SEQUENCE)?;
        let end = all.len() - entries.left();
        let serial = entry.integer()?;
        let from = end - entry.left() - serial.len();
        let (from, length) = (u32::try_from(from), u32::try_from(serial.len()));
        let since = entry.time()?;
        if !entry.is_empty() {
            let mut extensions = entry.nested(SEQUENCE)?;
            while !extensions.is_empty() {
                if parse_extension(&mut extensions)?.1 {
                    return Err(DerError("a critical extension in a CRL entry"));
                }
            }
        }
        entry.end()?;
        found.push(Entry { from: from.map_err(|_| TOO_LONG)?, length: length.map_err(|_| TOO_LONG)?, since });
    }
    Ok(found)
}
