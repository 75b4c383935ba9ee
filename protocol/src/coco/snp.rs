//! Rebuilds the 1,184 bytes of an SEV-SNP report from the JSON of the CoCo attestation agent.
//!
//! The agent decodes the report with the `sev` crate and serialises the structure, which has had two shapes: until
//! guest-components v0.13 ([`raw`]) every byte under the name that `sev` 3 to 5 gave it, from v0.14 on ([`decoded`]) fields
//! that depend on processor and version. A verifier needs the bytes that the processor signed, so they are put together
//! again. A member that is unknown or missing means that the agent knows a field that this file does not, so it is refused.
//! Whether the result is right needs no trust in this file: the signature covers it.

mod decoded;
mod raw;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, SeqAccess, Visitor};

use super::chain::{Chain, ChainKind};
use super::error::CocoError;
use super::words::not_json;
use crate::members::{Members, object};

/// Length of a report.
const REPORT_BYTES: usize = 0x4A0;

/// Raw report bytes, and the chain in DER. Entries of other kinds are left out.
pub(super) fn rebuild(json: &[u8]) -> Result<(Vec<u8>, Chain), CocoError> {
    // Which of the two shapes it is shows in one member; the rest is then read by the rules of that shape.
    #[derive(Deserialize)]
    struct Hint {
        attestation_report: Members<Shape>,
    }
    #[derive(Deserialize)]
    struct Shape {
        #[serde(rename = "_author_key_en")]
        author_key_en: Option<IgnoredAny>,
    }
    let hint: Hint = object(json).map_err(|error| not_json(&error))?;
    match hint.attestation_report.0.author_key_en {
        Some(IgnoredAny) => read::<raw::Report>(json)?.rebuild(),
        None => read::<decoded::Report>(json)?.rebuild(),
    }
}

fn read<'j, R: Deserialize<'j>>(json: &'j [u8]) -> Result<SnpEvidence<R>, CocoError> {
    object(json).map_err(|error| not_json(&error))
}

/// The agent's answer for the attester `snp`, with a report of one of the two shapes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SnpEvidence<R> {
    attestation_report: Members<R>,
    #[serde(deserialize_with = "Option::deserialize")]
    cert_chain: Option<Vec<Members<ChainEntry>>>,
}

/// A report that can be put together again.
trait Rebuild {
    /// The bytes that the processor signed, and the signature.
    fn bytes(&self) -> Result<Vec<u8>, CocoError>;
}

impl<R: Rebuild> SnpEvidence<R> {
    fn rebuild(self) -> Result<(Vec<u8>, Chain), CocoError> {
        let bytes = self.attestation_report.0.bytes()?;
        if bytes.len() != REPORT_BYTES {
            let place = "`attestation_report` of the attestation agent";
            return Err(CocoError::new(place, "fields of 1,184 bytes together"));
        }
        let chain = self.cert_chain.unwrap_or_default();
        let chain =
            chain.into_iter().filter_map(|Members(entry)| entry.cert_type.kind().map(|kind| (kind, entry.data.0)));
        Ok((bytes, chain.collect()))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChainEntry {
    cert_type: CertType,
    data: Bytes,
}

#[derive(Deserialize)]
enum CertType {
    #[serde(rename = "VCEK")]
    Vcek,
    #[serde(rename = "VLEK")]
    Vlek,
    #[serde(rename = "ASK")]
    Ask,
    #[serde(rename = "ARK")]
    Ark,
    #[serde(rename = "CRL")]
    Crl,
    Empty,
    #[serde(rename = "OTHER")]
    Other(#[expect(dead_code, reason = "entries of other kinds are read and left out")] String),
}

impl CertType {
    fn kind(&self) -> Option<ChainKind> {
        match self {
            Self::Vcek | Self::Vlek | Self::Ask | Self::Ark => Some(ChainKind::Certificate),
            Self::Crl => Some(ChainKind::Crl),
            Self::Empty | Self::Other(_) => None,
        }
    }
}

fn malformed(member: &str, expected: &'static str) -> CocoError {
    CocoError::new(format!("`attestation_report.{member}` of the attestation agent"), expected)
}

/// Fields one after the other; what lies between them is reserved and zero.
struct Writer(Vec<u8>);

impl Writer {
    fn put<const N: usize>(&mut self, field: [u8; N]) {
        self.0.extend_from_slice(&field);
    }

    fn reserved_to(&mut self, offset: usize) {
        debug_assert!(self.0.len() <= offset);
        self.0.resize(offset, 0);
    }
}

/// An array of exactly `N` byte numbers.
struct Fixed<const N: usize>([u8; N]);

impl<'de, const N: usize> Deserialize<'de> for Fixed<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = deserializer.deserialize_seq(AtMost(N))?;
        let length = bytes.len();
        bytes.try_into().map(Self).map_err(|_| D::Error::custom(format!("{length} byte numbers, expected {N}")))
    }
}

/// An array of byte numbers: a certificate or CRL.
struct Bytes(Vec<u8>);

/// No certificate is longer, and AMD's CRLs are below 1 KiB.
const MAX_CHAIN_ENTRY_BYTES: usize = 64 * 1024;

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(AtMost(MAX_CHAIN_ENTRY_BYTES)).map(Self)
    }
}

struct AtMost(usize);

impl<'de> Visitor<'de> for AtMost {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "an array of at most {} byte numbers", self.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<u8>, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = items.next_element()? {
            if bytes.len() == self.0 {
                return Err(A::Error::custom(format!("more than {} byte numbers", self.0)));
            }
            bytes.push(byte);
        }
        Ok(bytes)
    }
}
