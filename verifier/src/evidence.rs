//! What a caller hands in: evidence (hostile), and endorsements (self-authenticating, but as hostile until they are).

use std::fmt;
use std::sync::Arc;

use crate::carriage::{AciContext, AzureVtpm, Carriage};
use crate::check::Tee;
use crate::devices::Device;
use crate::intel::collateral::{QeIdentity, TcbInfo};
use crate::statement::{Brought, Item, Readable, Source};
use crate::wrapping::Wrapping;
use crate::x509::certificate::Certificate;
use crate::x509::crl::Crl;

/// Evidence of one TEE, with the endorsements that may authenticate it. Borrows both: nothing is copied.
#[derive(Clone, Copy)]
pub struct Evidence<'a> {
    pub(crate) tee: Tee,
    /// What lay around it.
    pub(crate) carriage: Carriage<'a>,
    pub(crate) bytes: &'a [u8],
    pub(crate) endorsements: &'a Endorsements,
    pub(crate) event_log: Option<&'a [u8]>,
    /// What was attested beside it.
    pub(crate) devices: &'a [Device],
}

impl<'a> Evidence<'a> {
    /// Evidence of this TEE, as the constructor of its name takes it: [`Evidence::sev_snp`], [`Evidence::tdx`].
    pub const fn of(tee: Tee, bytes: &'a [u8], endorsements: &'a Endorsements) -> Self {
        Self { tee, carriage: Carriage::Raw, bytes, endorsements, event_log: None, devices: &[] }
    }

    /// Evidence of an SEV-SNP guest under the paravisor of an Azure confidential VM: the report stands in the paravisor's.
    pub fn sev_snp_under_azure_vtpm(vtpm: &'a AzureVtpm, endorsements: &'a Endorsements) -> Self {
        let report = vtpm.sev_snp_report();
        Self { carriage: Carriage::AzureVtpm(vtpm), ..Self::of(Tee::SevSnp, report, endorsements) }
    }

    /// Evidence of a TD under the paravisor of an Azure confidential VM: the quote, as received, stands beside the paravisor's
    /// report.
    pub const fn tdx_under_azure_vtpm(vtpm: &'a AzureVtpm, quote: &'a [u8], endorsements: &'a Endorsements) -> Self {
        Self { carriage: Carriage::AzureVtpm(vtpm), ..Self::of(Tee::Tdx, quote, endorsements) }
    }

    /// Evidence of a container group of Confidential ACI: its SEV-SNP report, and the security context beside it.
    pub const fn sev_snp_in_aci(context: &'a AciContext, report: &'a [u8], endorsements: &'a Endorsements) -> Self {
        Self { carriage: Carriage::Aci(context), ..Self::of(Tee::SevSnp, report, endorsements) }
    }

    /// In what the evidence is carried.
    pub const fn wrapping(&self) -> Wrapping {
        self.carriage.wrapping()
    }

    /// The TEE whose evidence it is said to be.
    pub const fn tee(&self) -> Tee {
        self.tee
    }

    /// The same evidence with the event log of the boot, as firmware and guest wrote it: of a TD its CCEL (on Linux
    /// `/sys/firmware/acpi/tables/data/CCEL`), under a paravisor that of the vTPM (`/sys/kernel/security/tpm0/binary_bios_measurements`).
    ///
    /// A log that is here is judged, whether or not the policy requires one: it must replay to all four RTMRs of the quote, or to
    /// the registers that the vTPM quoted, 0 to 7 and each other one that it has events of. A guest that extends such a register at
    /// run time and writes no event for it has no such log. To a bare SEV-SNP report, which has no registers, a log adds nothing and
    /// is not read.
    #[must_use]
    pub const fn with_event_log(self, log: &'a [u8]) -> Self {
        Self { event_log: Some(log), ..self }
    }
}

impl fmt::Debug for Evidence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Evidence({}, {} bytes)", self.tee, self.bytes.len())
    }
}

/// A pool of statements by the vendors, unparsed and in any order.
///
/// The verifier takes from it what the evidence needs, ignores the rest, and names what is missing. Nothing in it is
/// believed because it is here: a root is taken from the policy, never from this pool. Each statement says who brought it
/// ([`Source`]).
#[derive(Clone, Default)]
pub struct Endorsements {
    pub(crate) certificates: Vec<Brought<Certificate>>,
    pub(crate) crls: Vec<Brought<Crl>>,
    pub(crate) tcb_infos: Vec<Brought<TcbInfo>>,
    pub(crate) qe_identities: Vec<Brought<QeIdentity>>,
    source: Source,
    from: Option<Arc<str>>,
}

/// How many statements of each kind: nobody reads a pool in hexadecimal.
impl fmt::Debug for Endorsements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endorsements")
            .field("certificates", &self.certificates.len())
            .field("crls", &self.crls.len())
            .field("tcb_infos", &self.tcb_infos.len())
            .field("qe_identities", &self.qe_identities.len())
            .finish()
    }
}

impl Endorsements {
    /// An empty pool, for statements that the user supplies.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty pool, for statements that `source` brings.
    pub fn brought_by(source: Source) -> Self {
        Self { source, ..Self::default() }
    }

    /// What is added from now on came from `place`: a file, a URL, an age. Reports show it.
    #[must_use]
    pub fn found_in(mut self, place: &str) -> Self {
        self.from = Some(place.into());
        self
    }

    /// Adds an X.509 certificate, DER.
    pub fn add_certificate(&mut self, der: Vec<u8>) {
        let brought = self.brought(der, None);
        self.certificates.push(brought);
    }

    /// Adds an X.509 certificate revocation list, DER.
    pub fn add_crl(&mut self, der: Vec<u8>) {
        let brought = self.brought(der, None);
        self.crls.push(brought);
    }

    /// Adds a TCB info: the exact bytes of the value of `tcbInfo`, and its signature (r and s, big-endian).
    pub fn add_tcb_info(&mut self, body: String, signature: [u8; 64]) {
        let brought = self.brought(body.into_bytes(), Some(signature));
        self.tcb_infos.push(brought);
    }

    /// Adds a QE identity: the exact bytes of the value of `enclaveIdentity`, and its signature (r and s, big-endian).
    pub fn add_qe_identity(&mut self, body: String, signature: [u8; 64]) {
        let brought = self.brought(body.into_bytes(), Some(signature));
        self.qe_identities.push(brought);
    }

    fn brought<T: Readable>(&self, bytes: Vec<u8>, signature: Option<[u8; 64]>) -> Brought<T> {
        let item = Arc::new(Item::new(bytes.into(), signature));
        Brought { item, source: self.source, from: self.from.clone() }
    }

    /// Adds everything that `other` holds, each as brought by whom it was.
    pub fn extend(&mut self, other: &Endorsements) {
        self.certificates.extend(other.certificates.iter().cloned());
        self.crls.extend(other.crls.iter().cloned());
        self.tcb_infos.extend(other.tcb_infos.iter().cloned());
        self.qe_identities.extend(other.qe_identities.iter().cloned());
    }

    /// Each statement as it was added: its kind, as reports name it (`certificate`, `crl`, `tcb-info`, `qe-identity`), its bytes, and
    /// the signature of one whose signature stands beside its text.
    pub fn statements(&self) -> impl Iterator<Item = (&'static str, &[u8], Option<&[u8; 64]>)> {
        fn each<'s, T: Readable>(
            kind: &'static str,
            pool: &'s [Brought<T>],
        ) -> impl Iterator<Item = (&'static str, &'s [u8], Option<&'s [u8; 64]>)> {
            pool.iter().map(move |brought| (kind, &*brought.item.bytes, brought.item.signature.as_ref()))
        }
        let lists = each("certificate", &self.certificates).chain(each("crl", &self.crls));
        lists.chain(each("tcb-info", &self.tcb_infos)).chain(each("qe-identity", &self.qe_identities))
    }

    /// Only what has no order in time: certificates. Of a CRL, a TCB info or a QE identity there may be a later one, so
    /// whoever asks the vendors lets none that somebody else chose stand in for their answer.
    #[must_use]
    pub fn without_order_in_time(&self) -> Self {
        Self {
            certificates: self.certificates.clone(),
            source: self.source,
            from: self.from.clone(),
            ..Self::default()
        }
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
