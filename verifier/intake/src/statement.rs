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
    /// Every statement of a pool, in its order.
    #[must_use]
    pub fn all_of(pool: &Endorsements) -> Vec<Self> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        let each = pool.statements().filter_map(|(kind, bytes, signature)| match (kind, signature) {
            ("certificate", None) => Some(Self::Certificate(bytes.to_vec())),
            ("crl", None) => Some(Self::Crl(bytes.to_vec())),
            ("tcb-info", Some(signature)) => Some(Self::TcbInfo { body: text(bytes)?, signature: *signature }),
            ("qe-identity", Some(signature)) => Some(Self::QeIdentity { body: text(bytes)?, signature: *signature }),
            _ => None,
        });
        each.collect()
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_gives_back_what_was_put_into_it() {
        let all = [
            Statement::Certificate(vec![1]),
            Statement::Crl(vec![2]),
            Statement::TcbInfo { body: "{}".to_owned(), signature: [3; 64] },
            Statement::QeIdentity { body: "{ }".to_owned(), signature: [4; 64] },
        ];
        let mut pool = Endorsements::new();
        all.iter().for_each(|statement| statement.clone().add_to(&mut pool));
        assert_eq!(Statement::all_of(&pool), all);
    }
}
