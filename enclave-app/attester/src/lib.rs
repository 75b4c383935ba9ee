//! Where evidence comes from: one trait, and one file for each source.
//!
//! An attester is asked for evidence over 64 bytes and hands out what the platform says, as raw bytes of a kind that a
//! verifier knows. Nothing here signs, and nothing here can be told to: there is no simulator in this crate.
//!
//! What comes beside the evidence is the host's, and a help only: whatever of it cannot be used is passed over and named in
//! [`RawEvidence::left_out`], and costs nobody the evidence. So is what an attester sees that no verifier will take: it is the verifier who judges.

pub mod aci;
mod apart;
pub mod azure_vtpm;
pub mod coco;
pub mod configfs_tsm;
mod http;
pub mod imds;
pub mod sev_guest;
pub mod sev_snp;
pub mod tpm;

use std::future::Future;
use std::pin::Pin;

use teegate_encoding::{document, pem};
use teegate_protocol::evidence::{Endorsements, EndorsementsKind, EvidenceKind};
use teegate_protocol::limits;

/// A source of evidence.
pub trait Attester: Send + Sync + 'static {
    /// Asks the platform for evidence that reports these 64 bytes.
    fn evidence(&self, report_data: [u8; 64]) -> Answer<'_>;
}

/// The answer of an [`Attester`], when it comes.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<RawEvidence, AttesterError>> + Send + 'a>>;

/// What the platform said, in the bytes that it signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEvidence {
    /// What the bytes are.
    pub kind: EvidenceKind,
    /// The report or quote.
    pub bytes: Vec<u8>,
    /// Certificates that came along.
    pub endorsements: Option<Endorsements>,
    /// The runtime event log, where the platform keeps one.
    pub event_log: Option<Vec<u8>>,
    /// What came along and was passed over, and what does not fit together, in words.
    pub left_out: Vec<String>,
}

/// `REPORT_DATA` of an SEV-SNP report: 64 bytes at 0x50 (AMD 56860, table 23).
const SNP_REPORT_DATA: usize = 0x50;
/// `REPORTDATA` of a TDX quote: 520 bytes into the TD report body, which begins at 48 in version 4 and at 54 in version
/// 5.
const TDX_REPORT_DATA: usize = 520;

impl RawEvidence {
    /// The 64 bytes that the evidence reports, where this program knows how to find them: behind a vTPM those of the quote.
    pub fn report_data(&self) -> Option<[u8; 64]> {
        let report = if self.kind == EvidenceKind::AciSnp { aci::report(&self.bytes) } else { None };
        let bytes = report.as_ref().unwrap_or(&self.bytes);
        let offset = match self.kind {
            EvidenceKind::AzSnpVtpm | EvidenceKind::AzTdxVtpm => return azure_vtpm::report_data(&self.bytes),
            EvidenceKind::SnpReport | EvidenceKind::AciSnp => SNP_REPORT_DATA,
            EvidenceKind::TdxQuote => match bytes.first_chunk::<2>().map(|version| u16::from_le_bytes(*version)) {
                Some(4) => 48 + TDX_REPORT_DATA,
                Some(5) => 54 + TDX_REPORT_DATA,
                _ => return None,
            },
            // No source of this crate makes others.
            _ => return None,
        };
        bytes.get(offset..)?.first_chunk().copied()
    }
}

/// Why there is no evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttesterError {
    /// The source is not there or not for this process, and waiting will not change that.
    Missing {
        /// Which source.
        source: String,
        /// What to look at.
        reason: String,
    },
    /// The source could not be asked.
    Unreachable {
        /// Which source.
        source: String,
        /// Why.
        reason: String,
    },
    /// The source answered, and said no.
    Refused {
        /// Which source.
        source: String,
        /// What it said.
        reason: String,
        /// Whether that is the answer of a source that has not come up yet.
        is_early: bool,
    },
    /// The source's answer is not what its documents say.
    Malformed {
        /// Where in the answer.
        place: String,
        /// What was expected there.
        expected: String,
    },
    /// The evidence reports other bytes than those asked for: somebody else's question was answered.
    OtherReportData,
    /// The source did not answer in time.
    TimedOut,
    /// The wait would be too long.
    Busy {
        /// Seconds after which to ask again.
        seconds: u32,
    },
    /// The actor has ended.
    Ended,
}

impl AttesterError {
    /// Whether the same question may be answered a little later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut | Self::Busy { .. } => true,
            Self::Refused { is_early, .. } => *is_early,
            Self::Missing { .. } | Self::Malformed { .. } | Self::OtherReportData | Self::Ended => false,
        }
    }

    fn malformed(place: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Malformed { place: place.into(), expected: expected.into() }
    }
}

impl std::fmt::Display for AttesterError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing { source, reason } | Self::Unreachable { source, reason } => {
                write!(f, "evidence: {source} could not be asked: {reason}")
            }
            Self::Refused { source, reason, .. } => write!(f, "evidence: {source} refused with {reason}"),
            Self::Malformed { place, expected } => write!(f, "evidence: {place} is malformed, expected {expected}"),
            Self::OtherReportData => f.write_str(
                "evidence reports other bytes than those asked for; another process may be using the same attester",
            ),
            Self::TimedOut => f.write_str("evidence: the attester did not answer in time"),
            Self::Busy { seconds } => write!(f, "evidence: too many orders are waiting; ask again in {seconds} s"),
            Self::Ended => f.write_str("evidence: the attester has ended"),
        }
    }
}

impl std::error::Error for AttesterError {}

/// Certificates and revocation lists in DER as one PEM text, `None` if there are none. What cannot be one, or finds no room, is
/// passed over and named.
fn pem_chain<'a>(
    parts: impl IntoIterator<Item = (&'static str, &'a [u8])>,
    left_out: &mut Vec<String>,
) -> Option<Endorsements> {
    let mut text = String::new();
    for (number, (label, der)) in parts.into_iter().enumerate() {
        let mut leave_out =
            |why: String| left_out.push(format!("entry {number} of the host's certificates, {label}: {why}"));
        // One document that is no certificate would make the whole text unreadable to everybody further on.
        if der.is_empty() {
            leave_out("empty".to_owned());
        } else if let Err(error) = document::kind(der) {
            leave_out(format!("unreadable: {error}"));
        } else if text.len().saturating_add(pem::length(label, der)) > limits::ENDORSEMENTS_BYTES {
            leave_out(format!("no room in {} bytes", limits::ENDORSEMENTS_BYTES));
        } else {
            pem::push(&mut text, label, der);
        }
    }
    let endorsements = Endorsements { kind: EndorsementsKind::PemCertificateChain, bytes: text.into_bytes() };
    (!endorsements.bytes.is_empty()).then_some(endorsements)
}

const CERTIFICATE: &str = "CERTIFICATE";
const CRL: &str = "X509 CRL";

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A certificate and a list in shape, signed by nobody.
    pub(crate) const SOME_CERTIFICATE: &[u8] = &[0x30, 0x0B, 0x30, 0x09, 2, 1, 7, 0x30, 0, 0x30, 0, 0x30, 0];
    pub(crate) const SOME_LIST: &[u8] = &[0x30, 0x09, 0x30, 0x07, 0x30, 0, 0x30, 0, 0x18, 1, b'2'];
    /// Both as PEM.
    pub(crate) const BOTH: &str = "-----BEGIN CERTIFICATE-----\nMAswCQIBBzAAMAAwAA==\n-----END CERTIFICATE-----\n\
                                   -----BEGIN X509 CRL-----\nMAkwBzAAMAAYATI=\n-----END X509 CRL-----\n";

    #[test]
    fn report_data_is_found_where_the_platform_puts_it() {
        for (kind, start, offset, length) in [
            (EvidenceKind::SnpReport, vec![3, 0, 0, 0], 0x50, 1184),
            (EvidenceKind::TdxQuote, vec![4, 0], 568, 700),
            (EvidenceKind::TdxQuote, vec![5, 0], 574, 700),
        ] {
            let mut bytes = vec![0; length];
            bytes[..start.len()].copy_from_slice(&start);
            bytes[offset..offset + 64].copy_from_slice(&[7; 64]);
            let evidence =
                RawEvidence { kind, bytes: bytes.clone(), endorsements: None, event_log: None, left_out: Vec::new() };
            assert_eq!(evidence.report_data(), Some([7; 64]));
            let short = RawEvidence { bytes: bytes[..offset + 63].to_vec(), ..evidence };
            assert_eq!(short.report_data(), None);
        }
    }

    #[test]
    fn a_chain_is_pem_of_der() {
        let mut left_out = Vec::new();
        let pem = pem_chain([(CERTIFICATE, SOME_CERTIFICATE), (CRL, SOME_LIST)], &mut left_out).unwrap();
        assert_eq!(String::from_utf8(pem.bytes).unwrap(), BOTH);
        assert_eq!((pem_chain([], &mut left_out), left_out), (None, vec![]));
    }

    #[test]
    fn what_is_no_certificate_or_finds_no_room_is_passed_over_and_named() {
        let alone = pem_chain([(CRL, SOME_LIST)], &mut Vec::new());
        let long = [&[0x30, 0x83, 0x04, 0, 9][..], &SOME_CERTIFICATE[2..], &vec![0; (4 << 16) - 2]].concat();
        for (entry, why) in [
            (&b""[..], "empty"),
            (b"-----BEGIN", "unreadable: an element runs past the end"),
            (&[5, 0], "unreadable: an element of another type than expected"),
            (&[0x30], "unreadable: an element runs past the end"),
            (&SOME_CERTIFICATE[..12], "unreadable: an element runs past the end"),
            (&[SOME_CERTIFICATE, &[0]].concat(), "unreadable: bytes after the last element"),
            (&[0x30, 0x80, 0, 0], "unreadable: an indefinite or oversized length"),
            (&long, "no room in 262144 bytes"),
        ] {
            let mut left_out = Vec::new();
            assert_eq!(pem_chain([(CERTIFICATE, entry), (CRL, SOME_LIST)], &mut left_out), alone, "{why}");
            assert_eq!(left_out, [format!("entry 0 of the host's certificates, CERTIFICATE: {why}")]);
            left_out.clear();
            assert_eq!(pem_chain([(CRL, SOME_LIST), (CERTIFICATE, entry)], &mut left_out), alone, "{why}");
            assert_eq!(left_out, [format!("entry 1 of the host's certificates, CERTIFICATE: {why}")]);
        }
    }

    #[test]
    fn only_what_waiting_can_mend_may_pass() {
        let (source, reason) = ("s".to_owned(), "r".to_owned());
        let refused = |is_early| AttesterError::Refused { source: source.clone(), reason: reason.clone(), is_early };
        assert!(AttesterError::Unreachable { source: source.clone(), reason: reason.clone() }.may_pass());
        assert!(refused(true).may_pass() && AttesterError::TimedOut.may_pass());
        assert!(!refused(false).may_pass() && !AttesterError::malformed("a", "b").may_pass());
        assert!(!AttesterError::Missing { source, reason }.may_pass());
    }
}
