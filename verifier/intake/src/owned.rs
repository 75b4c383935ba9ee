//! Evidence as taken in: its bytes, what came along with them, and the form that both were found in.

use teegate_verifier::{
    AciContext, AzureVtpm, Endorsements, Evidence, FactValue, Finding, Source, Tee, Wrapping, inspect, inspect_aci,
    inspect_azure_vtpm,
};

use crate::statement::Statement;

/// Evidence of one TEE as taken in, with the endorsements that came in the same file.
#[derive(Debug, Clone)]
pub struct OwnedEvidence {
    /// The platform that the bytes name.
    pub tee: Tee,
    /// The report or quote, exactly as received.
    pub bytes: Vec<u8>,
    /// What came along with it, as brought by the evidence, or by the bundle that it was in. It is as hostile as the
    /// evidence: the verifier believes signatures, and whoever asks the vendors lets nothing of it that has an order in time
    /// stand in for their answers ([`Endorsements::without_order_in_time`]).
    pub endorsements: Endorsements,
    /// The event log of the boot, where one came along. Nothing in it is believed until it replays to what a quote states.
    pub event_log: Option<Vec<u8>>,
    /// What lay around it, under the paravisor of an Azure confidential VM.
    pub vtpm: Option<AzureVtpm>,
    /// The security context beside it, of a container group of Confidential ACI.
    pub aci: Option<AciContext>,
    /// The form that it was found in, in words.
    pub form: &'static str,
    /// The member of somebody's JSON that it was taken out of, at most 80 characters of its name; nothing else of that file counts.
    pub member: Option<String>,
    /// What `endorsements` holds, one by one: what a bundle keeps.
    pub(crate) carried: Vec<Statement>,
}

impl OwnedEvidence {
    /// Evidence alone.
    pub(crate) fn new(tee: Tee, bytes: Vec<u8>, form: &'static str) -> Self {
        let endorsements = Endorsements::brought_by(Source::Evidence);
        let (event_log, vtpm, aci, member) = (None, None, None, None);
        Self { tee, bytes, endorsements, event_log, vtpm, aci, form, member, carried: Vec::new() }
    }

    /// Evidence alone, out of a bundle: what comes along with it, whoever made the bundle chose.
    pub(crate) fn out_of_a_bundle(tee: Tee, bytes: Vec<u8>, form: &'static str) -> Self {
        Self { endorsements: Endorsements::brought_by(Source::Bundle), ..Self::new(tee, bytes, form) }
    }

    /// The same, with more that came along.
    pub(crate) fn with_statements(mut self, statements: Vec<Statement>) -> Self {
        statements.iter().for_each(|statement| statement.clone().add_to(&mut self.endorsements));
        self.carried.extend(statements);
        self
    }

    pub(crate) fn with_event_log(self, event_log: Option<Vec<u8>>) -> Self {
        Self { event_log, ..self }
    }

    pub(crate) fn under(self, vtpm: Option<AzureVtpm>) -> Self {
        Self { vtpm, ..self }
    }

    pub(crate) fn in_aci(self, aci: Option<AciContext>) -> Self {
        Self { aci, ..self }
    }

    /// In what it is carried.
    pub fn wrapping(&self) -> Wrapping {
        match (&self.vtpm, &self.aci) {
            (Some(_), _) => Wrapping::AzureVtpm,
            (None, Some(_)) => Wrapping::AzureAci,
            (None, None) => Wrapping::Raw,
        }
    }

    /// What its bytes say, and those around it, every field by its name. **Nothing is verified.** Of a paravisor's report without
    /// the evidence of a platform, what that report says.
    ///
    /// # Errors
    /// They are malformed, as the verifier would say too.
    pub fn inspect(&self) -> Result<Vec<(&'static str, FactValue)>, Box<Finding>> {
        let around = match (&self.vtpm, &self.aci) {
            (Some(vtpm), _) => inspect_azure_vtpm(self.tee, vtpm)?,
            (None, Some(aci)) => inspect_aci(aci)?,
            (None, None) => return inspect(self.tee, &self.bytes),
        };
        let own = if self.bytes.is_empty() { Vec::new() } else { inspect(self.tee, &self.bytes)? };
        Ok(own.into_iter().chain(around).collect())
    }

    /// The evidence as the verifier takes it, with `endorsements` to choose from. Add [`OwnedEvidence::endorsements`] to
    /// them first, where what came along should count.
    #[must_use]
    pub fn as_evidence<'a>(&'a self, endorsements: &'a Endorsements) -> Evidence<'a> {
        of(self.tee, &self.bytes, (self.vtpm.as_ref(), self.aci.as_ref()), self.event_log.as_deref(), endorsements)
    }
}

/// Evidence of `tee`, in what lay around it, with the log of its boot where there is one.
pub(crate) fn of<'a>(
    tee: Tee,
    bytes: &'a [u8],
    (vtpm, aci): (Option<&'a AzureVtpm>, Option<&'a AciContext>),
    event_log: Option<&'a [u8]>,
    endorsements: &'a Endorsements,
) -> Evidence<'a> {
    let evidence = match (vtpm, aci, tee) {
        (None, Some(aci), Tee::SevSnp) => Evidence::sev_snp_in_aci(aci, bytes, endorsements),
        (None, ..) => Evidence::of(tee, bytes, endorsements),
        (Some(vtpm), _, Tee::SevSnp) => Evidence::sev_snp_under_azure_vtpm(vtpm, endorsements),
        (Some(vtpm), ..) => Evidence::tdx_under_azure_vtpm(vtpm, bytes, endorsements),
    };
    match event_log {
        Some(log) => evidence.with_event_log(log),
        None => evidence,
    }
}
