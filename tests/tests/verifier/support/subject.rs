//! What is judged: evidence, the pool that vouches for it, the policy, the time. Every test changes one of them.

use std::sync::LazyLock;

use teegate_forge as forge;
use teegate_forge::azure::{AzureBuilder, AzureSet, PlatformSet, Quote, default_pcrs};
use teegate_forge::snp::{SnpBuilder, SnpSet};
use teegate_forge::tdx::{SignedJson, TdxBuilder, TdxSet};
use teegate_verifier::{
    AciContext, Attested, AzureVtpm, Endorsements, Evidence, Memory, Rejection, Report, ReportData, Source, Tee,
    TpmQuote, UnixTime, Verifier,
};

use crate::policy_text::{FORGED_ARKS, PolicyText};

/// One question to the verifier.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) tee: Tee,
    pub(crate) evidence: Vec<u8>,
    pub(crate) vtpm: Option<AzureVtpm>,
    pub(crate) aci: Option<AciContext>,
    pub(crate) event_log: Option<Vec<u8>>,
    pub(crate) pool: Pool,
    pub(crate) policy: PolicyText,
    pub(crate) now: u64,
    pub(crate) asked: Option<[u8; 64]>,
    pub(crate) memory: Option<Memory>,
}

/// Statements by the vendors, in the order in which they are handed in.
#[derive(Clone, Default)]
pub(crate) struct Pool {
    pub(crate) certificates: Vec<Vec<u8>>,
    pub(crate) crls: Vec<Vec<u8>>,
    pub(crate) tcb_infos: Vec<SignedJson>,
    pub(crate) qe_identities: Vec<SignedJson>,
    /// Who brought them.
    pub(crate) source: Source,
    /// What somebody else brought as well.
    pub(crate) others: Endorsements,
}

impl Pool {
    pub(crate) fn to_endorsements(&self) -> Endorsements {
        let mut endorsements = Endorsements::brought_by(self.source);
        self.certificates.iter().for_each(|der| endorsements.add_certificate(der.clone()));
        self.crls.iter().for_each(|der| endorsements.add_crl(der.clone()));
        self.tcb_infos.iter().for_each(|json| endorsements.add_tcb_info(json.body.clone(), json.signature));
        self.qe_identities.iter().for_each(|json| endorsements.add_qe_identity(json.body.clone(), json.signature));
        endorsements.extend(&self.others);
        endorsements
    }
}

/// The one SEV-SNP device of these tests: its key stays the same whatever is edited.
pub(crate) static SNP_DEVICE: LazyLock<SnpBuilder> = LazyLock::new(forge::snp);
/// The one TDX platform of these tests.
pub(crate) static TDX_DEVICE: LazyLock<TdxBuilder> = LazyLock::new(forge::tdx);

static INTEL_ROOT: LazyLock<String> = LazyLock::new(|| TDX_DEVICE.build().root_pem);
static GOOD_SNP: LazyLock<Subject> = LazyLock::new(|| snp(|device| device));
static GOOD_TDX: LazyLock<Subject> = LazyLock::new(|| tdx(|device| device));

/// The SNP device with an edit, under the policy that accepts it without one.
pub(crate) fn snp(edit: impl FnOnce(SnpBuilder) -> SnpBuilder) -> Subject {
    snp_set(edit(SNP_DEVICE.clone()).build())
}

/// A report that was built elsewhere, under the same policy.
pub(crate) fn snp_set(set: SnpSet) -> Subject {
    let pool =
        Pool { certificates: set.certificates(), crls: set.crl.clone().into_iter().collect(), ..Pool::default() };
    Subject::new(Tee::SevSnp, set.report, pool)
}

/// The TDX platform with an edit, under the policy that accepts it without one.
pub(crate) fn tdx(edit: impl FnOnce(TdxBuilder) -> TdxBuilder) -> Subject {
    tdx_set(edit(TDX_DEVICE.clone()).build())
}

/// A quote that was built elsewhere, under the same policy.
pub(crate) fn tdx_set(set: TdxSet) -> Subject {
    let pool = Pool {
        certificates: set.certificates(),
        crls: set.crls(),
        tcb_infos: vec![set.tcb_info],
        qe_identities: vec![set.qe_identity],
        ..Pool::default()
    };
    Subject::new(Tee::Tdx, set.quote, pool)
}

/// The Azure confidential VM on the device of this TEE with an edit, under the policy that accepts it without one.
pub(crate) fn azure(tee: Tee, edit: impl FnOnce(AzureBuilder) -> AzureBuilder) -> Subject {
    let vm = match tee {
        Tee::SevSnp => AzureBuilder::on_snp(SNP_DEVICE.clone()),
        _ => AzureBuilder::on_tdx(TDX_DEVICE.clone()),
    };
    let AzureSet { hcl_report, quote, platform } = edit(vm).build();
    let subject = match platform {
        PlatformSet::Snp(set) => snp_set(set),
        PlatformSet::Tdx(set) => tdx_set(set),
    };
    let Quote { message, signature, pcrs } = quote;
    let vtpm = AzureVtpm { hcl_report, quote: TpmQuote { message, signature, pcrs } };
    Subject { vtpm: Some(vtpm), ..subject }.under_its_paravisor()
}

/// A container group of Confidential ACI on the SNP device, whose host bound the policy of `context`, under the policy that accepts
/// it where its endorsement is good.
pub(crate) fn aci(context: forge::aci::Context) -> Subject {
    let bound = context.host_data();
    let host_data = format!("\"{}\"", hex::encode(bound));
    let subject = snp(|device| device.host_data(bound).measurement(forge::aci::MEASUREMENT));
    let issuers = format!("[\"{}\"]", forge::aci().build().issuer);
    let forge::aci::Context { security_policy, reference_info, .. } = context;
    let mut subject = Subject { aci: Some(AciContext { security_policy, reference_info }), ..subject };
    for (name, value) in [
        ("uvm_issuers", issuers.as_str()),
        ("uvm_feeds", "[\"ContainerPlat-AMD-UVM\"]"),
        ("uvm_svn", "{ at_least = 100 }"),
        ("uvm_signer_validity", "\"required\""),
    ] {
        subject.policy.snp.push((name, value.to_owned()));
    }
    let subject = subject.under("wrapping", "\"aci\"").under("measurement", "\"unchecked\"");
    subject.under("host_data", &host_data).under("bound_to", "\"workload\"")
}

/// What is accepted before anything is wrong with it.
pub(crate) fn good(tee: Tee) -> Subject {
    if tee == Tee::SevSnp { GOOD_SNP.clone() } else { GOOD_TDX.clone() }
}

impl Subject {
    fn new(tee: Tee, evidence: Vec<u8>, pool: Pool) -> Self {
        let policy = PolicyText::pinning(Some(FORGED_ARKS.clone()), Some(vec![INTEL_ROOT.clone()]));
        Self {
            tee,
            evidence,
            vtpm: None,
            aci: None,
            event_log: None,
            pool,
            policy,
            now: forge::time::AT,
            asked: None,
            memory: None,
        }
    }

    /// Under a policy for an Azure vTPM, which pins all that the forged one shows.
    fn under_its_paravisor(mut self) -> Self {
        let pcrs = default_pcrs();
        let registers = [4, 7, 8, 9, 11, 12].map(|number| (number, format!("\"{}\"", hex::encode(&pcrs[number]))));
        let fields = if self.tee == Tee::SevSnp { &mut self.policy.snp } else { &mut self.policy.tdx };
        for name in ["user_data", "secure_boot"] {
            fields.push((name, "\"required\"".to_owned()));
        }
        for (name, (_, value)) in ["pcr4", "pcr7", "pcr8", "pcr9", "pcr11", "pcr12"].into_iter().zip(registers) {
            fields.push((name, value));
        }
        fields.push(("vtpm_log", "\"unchecked\"".to_owned()));
        self.under("wrapping", "\"azure-vtpm\"").under("report_data", &format!("\"{}\"", "a5".repeat(64)))
    }

    /// Under a policy that says this of one field.
    pub(crate) fn under(mut self, field: &str, value: &str) -> Self {
        self.policy.set(self.tee, field, value);
        self
    }

    /// Under a policy that claims nothing of what the host chooses or the guest extends.
    pub(crate) fn claiming_nothing(mut self) -> Self {
        self.policy.claim_nothing();
        self
    }

    /// Under a policy that pins this root alone.
    pub(crate) fn under_root(mut self, pem: String) -> Self {
        *if self.tee == Tee::SevSnp { &mut self.policy.amd } else { &mut self.policy.intel } = Some(vec![pem]);
        self
    }

    /// Under a policy that pins the vendors' own roots.
    pub(crate) fn under_vendors(mut self) -> Self {
        (self.policy.amd, self.policy.intel) = (None, None);
        self
    }

    /// At another time.
    pub(crate) fn at(mut self, now: u64) -> Self {
        self.now = now;
        self
    }

    /// The caller names the report data.
    pub(crate) fn asking(mut self, report_data: [u8; 64]) -> Self {
        self.asked = Some(report_data);
        self
    }

    /// With other evidence.
    pub(crate) fn with_evidence(mut self, edit: impl FnOnce(&mut Vec<u8>)) -> Self {
        edit(&mut self.evidence);
        self
    }

    /// With this event log.
    pub(crate) fn with_event_log(mut self, log: Vec<u8>) -> Self {
        self.event_log = Some(log);
        self
    }

    /// Held against a memory that has seen this other subject accepted.
    pub(crate) fn after(mut self, other: &Subject) -> Self {
        let seen = other.judge().unwrap_or_else(|rejection| panic!("must be accepted, but: {rejection}"));
        self.memory.get_or_insert_default().remember(seen.seen());
        self
    }

    /// With a pool that this source brought.
    pub(crate) fn brought_by(self, source: Source) -> Self {
        self.with_pool(|pool| pool.source = source)
    }

    /// With another pool.
    pub(crate) fn with_pool(mut self, edit: impl FnOnce(&mut Pool)) -> Self {
        edit(&mut self.pool);
        self
    }

    /// The verdict, without a memory.
    pub(crate) fn judge(&self) -> Result<Attested, Rejection> {
        self.with_parts(|evidence, policy, now| match &self.memory {
            None => teegate_verifier::verify(&evidence, policy, now),
            Some(memory) => teegate_verifier::verify_with(&evidence, policy, now, memory),
        })
    }

    /// The verdict of a verifier that may remember.
    pub(crate) fn judge_with(&self, verifier: &Verifier) -> Result<Attested, Rejection> {
        self.with_parts(|evidence, policy, now| match &self.memory {
            None => verifier.verify(&evidence, policy, now),
            Some(memory) => verifier.verify_with(&evidence, policy, now, memory),
        })
    }

    fn with_parts<R>(&self, judge: impl FnOnce(Evidence<'_>, &teegate_verifier::Policy, UnixTime) -> R) -> R {
        let endorsements = self.pool.to_endorsements();
        let policy = self.load_policy();
        let mut evidence = match (&self.vtpm, self.tee) {
            (None, Tee::SevSnp) if self.aci.is_some() => {
                Evidence::sev_snp_in_aci(self.aci.as_ref().unwrap(), &self.evidence, &endorsements)
            }
            (None, tee) => evidence(tee, &self.evidence, &endorsements),
            (Some(vtpm), Tee::SevSnp) => Evidence::sev_snp_under_azure_vtpm(vtpm, &endorsements),
            (Some(vtpm), _) => Evidence::tdx_under_azure_vtpm(vtpm, &self.evidence, &endorsements),
        };
        if let Some(log) = &self.event_log {
            evidence = evidence.with_event_log(log);
        }
        judge(evidence, &policy, UnixTime::from_seconds(self.now))
    }

    /// What of the pool the time lies outside of, one `what` each.
    pub(crate) fn expired(&self) -> Vec<String> {
        let expired = self.with_parts(|evidence, policy, now| teegate_verifier::expired(&evidence, policy, now));
        expired.iter().map(|expired| expired.what().to_owned()).collect()
    }

    pub(crate) fn load_policy(&self) -> teegate_verifier::Policy {
        let policy = self.policy.load();
        self.asked.map_or_else(|| policy.clone(), |bytes| policy.with_report_data(ReportData(bytes)))
    }

    /// Its report, after making sure that it is accepted.
    #[track_caller]
    pub(crate) fn accepted(&self) -> Report {
        match self.judge() {
            Ok(attested) => attested.report().clone(),
            Err(rejection) => panic!("must be accepted, but: {rejection}"),
        }
    }

    /// The rejection, after making sure that there is one.
    #[track_caller]
    pub(crate) fn rejected(&self) -> Rejection {
        match self.judge() {
            Ok(_) => panic!("must be rejected, but was accepted"),
            Err(rejection) => rejection,
        }
    }
}

/// Evidence of this TEE.
pub(crate) fn evidence<'a>(tee: Tee, bytes: &'a [u8], endorsements: &'a Endorsements) -> Evidence<'a> {
    Evidence::of(tee, bytes, endorsements)
}
