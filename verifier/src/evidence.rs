//! What a caller hands in: evidence (hostile), and endorsements (self-authenticating, but as hostile until they are).

/// Evidence of one TEE, with the endorsements that may authenticate it. Borrows both: nothing is copied.
#[derive(Clone, Copy, Debug)]
pub enum Evidence<'a> {
    /// An SEV-SNP attestation report.
    SevSnp {
        /// The report as received.
        report: &'a [u8],
        /// Certificates and CRLs, in any order.
        endorsements: &'a Endorsements,
    },
    /// A TDX quote.
    Tdx {
        /// The quote as received, with whatever stands behind it.
        quote: &'a [u8],
        /// Certificates, CRLs, TCB info and QE identity, in any order.
        endorsements: &'a Endorsements,
        /// The event log of the boot, where the caller has it.
        event_log: Option<&'a [u8]>,
    },
}

impl<'a> Evidence<'a> {
    /// Evidence that is an SEV-SNP attestation report.
    pub const fn sev_snp(report: &'a [u8], endorsements: &'a Endorsements) -> Self {
        Self::SevSnp { report, endorsements }
    }

    /// Evidence that is a TDX quote.
    pub const fn tdx(quote: &'a [u8], endorsements: &'a Endorsements) -> Self {
        Self::Tdx { quote, endorsements, event_log: None }
    }

    /// The same evidence with the event log of the boot, as firmware and guest wrote it (CCEL; on Linux
    /// `/sys/firmware/acpi/tables/data/CCEL`).
    ///
    /// A log that is here is judged, whether or not the policy requires one: it must replay to all four RTMRs of the quote.
    /// A guest that extends a register at run time and writes no event for it has no such log. To an SEV-SNP report, which
    /// has no registers, a log adds nothing and is not read.
    #[must_use]
    pub const fn with_event_log(self, log: &'a [u8]) -> Self {
        match self {
            Self::SevSnp { .. } => self,
            Self::Tdx { quote, endorsements, .. } => Self::Tdx { quote, endorsements, event_log: Some(log) },
        }
    }
}

/// A pool of statements by the vendors, unparsed and in any order.
///
/// The verifier takes from it what the evidence needs, ignores the rest, and names what is missing. Nothing in it is
/// believed because it is here: a root is taken from the policy, never from this pool.
#[derive(Clone, Debug, Default)]
pub struct Endorsements {
    pub(crate) certificates: Vec<Vec<u8>>,
    pub(crate) crls: Vec<Vec<u8>>,
    pub(crate) tcb_infos: Vec<SignedJson>,
    pub(crate) qe_identities: Vec<SignedJson>,
}

/// Text that Intel signed, kept as text until its signature holds over these exact bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedJson {
    pub(crate) body: String,
    pub(crate) signature: [u8; 64],
}

impl Endorsements {
    /// An empty pool.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an X.509 certificate, DER.
    pub fn add_certificate(&mut self, der: Vec<u8>) {
        self.certificates.push(der);
    }

    /// Adds an X.509 certificate revocation list, DER.
    pub fn add_crl(&mut self, der: Vec<u8>) {
        self.crls.push(der);
    }

    /// Adds a TCB info: the exact bytes of the value of `tcbInfo`, and its signature (r and s, big-endian).
    pub fn add_tcb_info(&mut self, body: String, signature: [u8; 64]) {
        self.tcb_infos.push(SignedJson { body, signature });
    }

    /// Adds a QE identity: the exact bytes of the value of `enclaveIdentity`, and its signature (r and s, big-endian).
    pub fn add_qe_identity(&mut self, body: String, signature: [u8; 64]) {
        self.qe_identities.push(SignedJson { body, signature });
    }

    /// Adds everything that `other` holds.
    pub fn extend(&mut self, other: &Endorsements) {
        self.certificates.extend(other.certificates.iter().cloned());
        self.crls.extend(other.crls.iter().cloned());
        self.tcb_infos.extend(other.tcb_infos.iter().cloned());
        self.qe_identities.extend(other.qe_identities.iter().cloned());
    }

    /// How many statements the pool holds.
    pub fn len(&self) -> usize {
        self.certificates.len() + self.crls.len() + self.tcb_infos.len() + self.qe_identities.len()
    }

    /// Whether the pool holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
