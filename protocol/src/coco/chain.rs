//! What comes along with evidence.

/// Entries of a certificate chain, each with what it is said to be.
pub type Chain = Vec<(ChainKind, Vec<u8>)>;

/// What an entry of the chain is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainKind {
    /// A certificate.
    Certificate,
    /// A revocation list.
    Crl,
}
