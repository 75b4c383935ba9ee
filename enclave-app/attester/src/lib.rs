//! Where evidence comes from: one trait, and one file for each source.
//!
//! An attester is asked for evidence over 64 bytes and hands out what the platform says, as raw bytes of a kind that a
//! verifier knows. Nothing here signs, and nothing here can be told to: there is no simulator in this crate.

pub mod coco;
pub mod configfs_tsm;

use std::future::Future;
use std::pin::Pin;

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
}

/// `REPORT_DATA` of an SEV-SNP report: 64 bytes at 0x50 (AMD 56860, table 23).
const SNP_REPORT_DATA: usize = 0x50;
/// `REPORTDATA` of a TDX quote: 520 bytes into the TD report body, which begins at 48 in version 4 and at 54 in version
/// 5.
const TDX_REPORT_DATA: usize = 520;

impl RawEvidence {
    /// The 64 bytes that the evidence reports, where this program knows how to find them.
    pub fn report_data(&self) -> Option<&[u8]> {
        let offset = match self.kind {
            EvidenceKind::SnpReport => SNP_REPORT_DATA,
            EvidenceKind::TdxQuote => match self.bytes.first_chunk::<2>().map(|version| u16::from_le_bytes(*version)) {
                Some(4) => 48 + TDX_REPORT_DATA,
                Some(5) => 54 + TDX_REPORT_DATA,
                _ => return None,
            },
            // No source of this crate makes these.
            EvidenceKind::AzSnpVtpm | EvidenceKind::AzTdxVtpm | EvidenceKind::AciSnp => return None,
        };
        self.bytes.get(offset..offset + 64)
    }
}

/// Why there is no evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttesterError {
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
    fn malformed(place: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Malformed { place: place.into(), expected: expected.into() }
    }
}

impl std::fmt::Display for AttesterError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable { source, reason } => write!(f, "evidence: {source} could not be asked: {reason}"),
            Self::Refused { source, reason } => write!(f, "evidence: {source} refused: {reason}"),
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

/// Certificates and CRLs in DER as one PEM text, `None` if there are none.
fn pem_chain<'a>(
    parts: impl IntoIterator<Item = (&'static str, &'a [u8])>,
) -> Result<Option<Endorsements>, AttesterError> {
    use base64::Engine as _;
    let mut pem = String::new();
    for (label, der) in parts {
        // A certificate or CRL is a SEQUENCE; anything else would be refused by every reader further on, and with less
        // to say.
        if der.first() != Some(&0x30) {
            return Err(AttesterError::malformed(format!("{label} in the certificate chain"), "DER"));
        }
        if pem.len() + der.len() * 3 / 2 > limits::ENDORSEMENTS_BYTES {
            return Err(AttesterError::malformed(
                "certificate chain",
                format!("at most {} bytes", limits::ENDORSEMENTS_BYTES),
            ));
        }
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        pem.push_str(&format!("-----BEGIN {label}-----\n"));
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
            pem.push_str(line);
            pem.push('\n');
            rest = after;
        }
        pem.push_str(&format!("-----END {label}-----\n"));
    }
    let endorsements = Endorsements { kind: EndorsementsKind::PemCertificateChain, bytes: pem.into_bytes() };
    Ok((!endorsements.bytes.is_empty()).then_some(endorsements))
}

const CERTIFICATE: &str = "CERTIFICATE";
const CRL: &str = "X509 CRL";

#[cfg(test)]
mod tests {
    use super::*;

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
            let evidence = RawEvidence { kind, bytes: bytes.clone(), endorsements: None, event_log: None };
            assert_eq!(evidence.report_data(), Some([7; 64].as_slice()));
            let short = RawEvidence { bytes: bytes[..offset + 63].to_vec(), ..evidence };
            assert_eq!(short.report_data(), None);
        }
    }

    #[test]
    fn a_chain_is_pem_of_der() {
        let pem = pem_chain([(CERTIFICATE, [&[0x30][..], &[1; 60]].concat().as_slice()), (CRL, &[0x30, 0])])
            .unwrap()
            .unwrap();
        assert_eq!(
            String::from_utf8(pem.bytes).unwrap(),
            "-----BEGIN CERTIFICATE-----\nMAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB\nAQEBAQEBAQEBAQEBAQ==\n-----END CERTIFICATE-----\n\
             -----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n"
        );
        assert_eq!(pem_chain([]), Ok(None));
        assert!(matches!(pem_chain([(CERTIFICATE, b"-----BEGIN".as_slice())]), Err(AttesterError::Malformed { .. })));
        assert!(matches!(
            pem_chain([(CERTIFICATE, vec![0x30; 300_000].as_slice())]),
            Err(AttesterError::Malformed { .. })
        ));
    }
}
