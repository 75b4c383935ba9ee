//! One statement by a vendor, unparsed: what every container of endorsements comes down to.

use teegate_encoding::document;
use teegate_verifier::Endorsements;

use crate::error::Defect;

/// One statement by a vendor, unparsed, on its shelf. Their order is that of a bundle: by kind, then by bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Statement {
    /// An X.509 certificate, DER.
    Certificate(Vec<u8>),
    /// An X.509 certificate revocation list, DER.
    Crl(Vec<u8>),
    /// Intel's TCB info.
    TcbInfo {
        /// The exact text that was signed.
        body: String,
        /// r and s, big-endian.
        signature: [u8; 64],
    },
    /// Intel's QE identity.
    QeIdentity {
        /// The exact text that was signed.
        body: String,
        /// r and s, big-endian.
        signature: [u8; 64],
    },
}

impl Statement {
    /// Puts it into the pool that the verifier chooses from.
    pub fn add_to(self, pool: &mut Endorsements) {
        match self {
            Self::Certificate(der) => pool.add_certificate(der),
            Self::Crl(der) => pool.add_crl(der),
            Self::TcbInfo { body, signature } => pool.add_tcb_info(body, signature),
            Self::QeIdentity { body, signature } => pool.add_qe_identity(body, signature),
        }
    }

    /// A certificate or a revocation list, whichever the DER turns out to be.
    pub(crate) fn from_der(document: Vec<u8>) -> Result<Self, Defect> {
        match document::kind(&document) {
            Ok(document::Kind::Certificate) => Ok(Self::Certificate(document)),
            Ok(document::Kind::Crl) => Ok(Self::Crl(document)),
            Err(error) => Err(Defect::Broken {
                kind: "DER certificate or revocation list",
                defect: error.to_string(),
                remedy: "fetch it again (`teegate fetch EVIDENCE --into DIR`), and convert it with no other tool than a copy",
            }),
        }
    }
}
