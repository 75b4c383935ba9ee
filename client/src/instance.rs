//! Whether an instance may be sealed to: from the bytes of an envelope to an [`Instance`], by verification alone.
//!
//! The order is the argument of DESIGN section 3. The envelope brings a manifest and evidence, both hostile. The manifest's
//! exact bytes are hashed into the 64 bytes that the evidence must report; the verifier judges the evidence with these 64
//! bytes as its report data; so what the manifest says, its keys above all, was chosen by the measured code, or there is no
//! `Instance`. Nothing else in this crate makes one, and nothing else in this crate yields a key to seal to.

use std::fmt;
use std::time::Duration;

use teegate_protocol::binding::{self, Nonce};
use teegate_protocol::evidence::{EndorsementsKind, Envelope, EvidenceKind};
use teegate_protocol::manifest::{Manifest, ManifestBytes, ManifestDigest};
use teegate_protocol::ohttp::KeyConfig;
use teegate_protocol::ohttp::suite::Kem;
use teegate_verifier::{
    Attested, BoundTo, Endorsements, Evidence, FactValue, Memory, Policy, Rejection, Report, ReportData, Source, Stage,
    UnixTime, Verifier,
};

/// What a client holds an instance against.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The appraisal policy. Its report data is set here, to the binding that is asked for.
    pub policy: Policy,
    /// Certificates, CRLs and collateral, beside those that come with the evidence.
    pub endorsements: Endorsements,
    /// The longest life of a manifest that is accepted.
    pub max_manifest_life: Duration,
}

/// Which binding the evidence has to report.
#[derive(Clone, Copy, Debug)]
pub enum Freshness<'a> {
    /// Evidence of the epoch: it says that measured code made this key, in the window that the manifest names.
    Epoch,
    /// Evidence made for this challenge, which the caller made and sent to the instance itself.
    Challenge(&'a Nonce),
}

/// An instance that was verified: its manifest, its verdict, and the key that requests to it are sealed to.
#[derive(Clone)]
pub struct Instance {
    manifest: ManifestBytes,
    attested: Attested,
    key: KeyConfig,
}

impl Instance {
    /// Verifies the envelope of one instance at `now`. What is older than what `memory` holds is refused; an empty one
    /// refuses nothing.
    pub fn verify(
        envelope: &[u8],
        freshness: Freshness<'_>,
        trust: &Trust,
        verifier: &mut Verifier,
        memory: &Memory,
        now: UnixTime,
    ) -> Result<Self, Refused> {
        let envelope = Envelope::parse(envelope)
            .map_err(|e| Refused::own(None, Stage::Parse, "client.envelope", e.to_string()))?;
        let manifest = ManifestBytes::parse(envelope.manifest.clone())
            .map_err(|e| Refused::own(None, Stage::Parse, "client.manifest", e.to_string()))?;
        let digest = Some(*manifest.digest());
        let refused = |stage, check, reason: String| Refused::own(digest, stage, check, reason);

        manifest
            .manifest()
            .check_window(now.seconds(), trust.max_manifest_life)
            .map_err(|e| refused(Stage::Authenticate, "client.manifest-window", e.to_string()))?;
        if !manifest.manifest().may_seal(now.seconds()) {
            let reason = format!("the epoch of its key ended at {}, it is {now}", manifest.manifest().use_until);
            return Err(refused(Stage::Authenticate, "client.manifest-window", reason));
        }

        let expected = match freshness {
            Freshness::Epoch => binding::epoch(manifest.digest()),
            Freshness::Challenge(nonce) => binding::fresh(manifest.digest(), nonce),
        };
        let policy = trust.policy.clone().with_report_data(ReportData(expected));
        let endorsements = pool(&envelope, &trust.endorsements)
            .map_err(|reason| refused(Stage::Parse, "client.endorsements", reason))?;
        let bytes = envelope.evidence.bytes.as_slice();
        let evidence = match envelope.evidence.kind {
            EvidenceKind::SnpReport => Evidence::sev_snp(bytes, &endorsements),
            EvidenceKind::TdxQuote => Evidence::tdx(bytes, &endorsements),
            kind @ (EvidenceKind::AzSnpVtpm | EvidenceKind::AzTdxVtpm | EvidenceKind::AciSnp) => {
                let reason = format!("this version does not verify evidence of type `{}`", kind.media_type());
                return Err(refused(Stage::Parse, "client.evidence-type", reason));
            }
        };
        let attested =
            verifier.verify_with(&evidence, &policy, now, memory).map_err(|e| Refused::evidence(digest, e))?;

        // The verifier compared the report data; that it did is the one thing that must not hang on a policy's spelling.
        if attested.report().fact("report_data") != Some(&FactValue::Bytes(expected.to_vec())) {
            let reason = "the evidence was made for another manifest or challenge".to_owned();
            return Err(refused(Stage::Appraise, "client.binding", reason));
        }
        if attested.bound_to().is_none() {
            let reason =
                "the policy does not say what its evidence is bound to (`bound_to`), as one that decides about \
                          sending has to; `genuine` is about hardware only"
                    .to_owned();
            return Err(refused(Stage::Appraise, "client.bound-to", reason));
        }
        let key = choose_key(manifest.manifest()).map_err(|reason| refused(Stage::Parse, "client.key", reason))?;
        Ok(Self { manifest, attested, key })
    }

    /// What the manifest says.
    pub fn manifest(&self) -> &Manifest {
        self.manifest.manifest()
    }

    /// The name of the manifest.
    pub fn digest(&self) -> &ManifestDigest {
        self.manifest.digest()
    }

    /// The verdict, with its total report.
    pub fn attested(&self) -> &Attested {
        &self.attested
    }

    /// Whether a request may still be sealed to it at `now` without verifying again.
    pub fn may_seal(&self, now: UnixTime) -> bool {
        self.manifest().may_seal(now.seconds()) && now < self.attested.valid_until()
    }

    /// What the evidence is bound to, for people: the code that is measured, or a whole machine that holds it.
    pub fn bound_to_words(&self) -> &'static str {
        match self.attested.bound_to() {
            Some(BoundTo::Workload) => "bound to the workload",
            Some(BoundTo::Pod) => "bound to the pod: other code in it could have answered",
            Some(BoundTo::Guest) => {
                "bound to the whole guest: NOT end-to-end, any code of that machine could have answered"
            }
            None => "bound to nothing that the policy names",
        }
    }

    /// The key to which requests are sealed.
    pub(crate) fn key(&self) -> &KeyConfig {
        &self.key
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instance({})", self.digest())
    }
}

/// The caller's endorsements and those of the envelope.
fn pool(envelope: &Envelope, own: &Endorsements) -> Result<Endorsements, String> {
    let mut pool = own.clone();
    if let Some(endorsements) = &envelope.endorsements {
        let name = match endorsements.kind {
            EndorsementsKind::PemCertificateChain => "endorsements.pem",
            EndorsementsKind::Json => "endorsements.json",
        };
        // Instance and gateway chose them: they may complete what the caller has, and never stand for it.
        let mut relayed = Endorsements::brought_by(Source::Relayed);
        teegate_intake::endorsements::recognise(name, &endorsements.bytes, &mut relayed).map_err(|e| e.to_string())?;
        pool.extend(&relayed);
    }
    Ok(pool)
}

/// The strongest key of the manifest. There is no way from here to a weaker one: no error ever asks for another choice.
fn choose_key(manifest: &Manifest) -> Result<KeyConfig, String> {
    let mut configs = manifest.key_configs().map_err(|e| e.to_string())?;
    configs.sort_by_key(|config| match config.kem() {
        Kem::X25519 => 0,
    });
    configs.pop().ok_or_else(|| "the manifest holds no key that this version can seal to".to_owned())
}

/// Why one candidate was refused.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The name of its manifest, if it had a readable one.
    pub manifest: Option<ManifestDigest>,
    /// The stage that refused it.
    pub stage: Stage,
    /// The ids of the checks that failed: the verifier's, or this crate's own, which begin with `client.`
    pub checks: Vec<&'static str>,
    /// Why, in words.
    pub reason: String,
    /// The verifier's report, where the verifier refused.
    pub report: Option<Box<Report>>,
}

impl Refused {
    fn own(manifest: Option<ManifestDigest>, stage: Stage, check: &'static str, reason: String) -> Self {
        Self { manifest, stage, checks: vec![check], reason, report: None }
    }

    fn evidence(manifest: Option<ManifestDigest>, rejection: Rejection) -> Self {
        Self {
            manifest,
            stage: rejection.stage(),
            checks: rejection.failed_checks(),
            reason: rejection.to_string(),
            report: Some(Box::new(rejection.report().clone())),
        }
    }

    pub(crate) fn model_missing(manifest: &ManifestDigest, model: &str) -> Self {
        let reason = format!("its manifest does not name the model `{model}`");
        Self::own(Some(*manifest), Stage::Appraise, "client.model", reason)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(manifest) = &self.manifest {
            write!(f, "manifest {manifest}: ")?;
        }
        write!(f, "{} ({}): {}", self.stage.rejection(), self.checks.join(", "), self.reason)
    }
}
