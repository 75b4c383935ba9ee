//! Bundles: one file that holds evidence and everything that a verification of it needs, so that whoever has the file has the
//! verdict, offline, today and in three years. The format is `BUNDLE.md` beside this crate's source, its schema
//! `schema/bundle-1.json`.
//!
//! A bundle proves nothing by itself: its digest tells whether it is the file that was meant, and the verifier judges what is
//! in it as it judges everything else. One bundle has one spelling, which the reader insists on, so that equal bundles are equal
//! bytes and no two readers can see two things. There is no clock and no randomness here.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use teegate_encoding::{base64, hex};
use teegate_verifier::{AciContext, AzureVtpm, Report, ReportData, Stage, Tee, TpmQuote, UnixTime};

use crate::error::{Defect, IntakeError};
use crate::json::Members;
use crate::owned::OwnedEvidence;
use crate::statement::Statement;
use crate::words::{said, shown};

/// What the first member of every bundle of this version says.
pub const SCHEMA: &str = "teegate/bundle/1";
/// The longest bundle that is written or read. Evidence with all its collateral is 40 to 80 KB as text.
pub const MAX_BYTES: u64 = 4 << 20;
/// How [`OwnedEvidence::form`] calls it.
pub const FORM: &str = "teegate bundle";

const SCHEMA_PREFIX: &str = "teegate/bundle/";
/// As many files as are read in one call.
const MAX_STATEMENTS: usize = 1_024;

/// Evidence, what vouches for it, what is asked of it, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// What is judged.
    pub kept: Kept,
    /// What is asked of it.
    pub policy: PolicyText,
    /// The time to verify at.
    pub at: UnixTime,
    /// The report data that the policy's `caller` stands for.
    pub report_data: Option<ReportData>,
    /// What the release that made the bundle concluded.
    pub recorded: Conclusion,
    /// That release, in words.
    pub creator: String,
}

/// Evidence and what vouches for it, in the one order that a bundle has for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The platform of the evidence.
    pub tee: Tee,
    /// The report or quote, exactly as received.
    pub evidence: Vec<u8>,
    /// What lay around it, under the paravisor of an Azure confidential VM.
    pub vtpm: Option<AzureVtpm>,
    /// The security context beside it, of a container group of Confidential ACI.
    pub aci: Option<AciContext>,
    /// The event log of the boot.
    pub event_log: Option<Vec<u8>>,
    /// Certificates, CRLs and collateral, each once.
    pub statements: BTreeSet<Statement>,
}

impl Kept {
    /// Evidence, what came along with it, and `statements`.
    #[must_use]
    pub fn new(evidence: &OwnedEvidence, statements: impl IntoIterator<Item = Statement>) -> Self {
        Self {
            tee: evidence.tee,
            evidence: evidence.bytes.clone(),
            vtpm: evidence.vtpm.clone(),
            aci: evidence.aci.clone(),
            event_log: evidence.event_log.clone(),
            statements: statements.into_iter().chain(evidence.carried.iter().cloned()).collect(),
        }
    }

    /// The evidence as taken in, with all that vouches for it.
    #[must_use]
    pub fn to_evidence(&self) -> OwnedEvidence {
        OwnedEvidence::out_of_a_bundle(self.tee, self.evidence.clone(), FORM)
            .with_statements(self.statements.iter().cloned().collect())
            .with_event_log(self.event_log.clone())
            .under(self.vtpm.clone())
            .in_aci(self.aci.clone())
    }
}

/// A policy as text, because a later release must parse what was written and not what an earlier one understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyText {
    /// What it was called; nothing depends on it.
    pub name: String,
    /// The whole TOML document.
    pub text: String,
}

/// A verdict in short: enough to notice that another release concludes otherwise, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conclusion {
    /// The ids of the checks that failed, in the order of the report.
    pub failed: Vec<String>,
    /// As what it was rejected: `malformed`, `unauthentic` or `unacceptable`; none for an acceptance.
    pub stage: Option<String>,
    /// RFC 3339; only an acceptance has an end.
    pub valid_until: Option<String>,
    /// Accepted or rejected.
    pub verdict: Verdict,
}

/// One of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The evidence satisfied the policy.
    Accepted,
    /// It did not.
    Rejected,
}

impl Conclusion {
    /// The conclusion of a report.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        Self {
            failed: report
                .findings()
                .iter()
                .filter(|finding| finding.outcome().name() == "fail")
                .map(|finding| finding.check().id().to_owned())
                .collect(),
            stage: report.stage().map(|stage| stage.rejection().to_owned()),
            valid_until: report.valid_until().map(|end| end.to_string()),
            verdict: if report.accepted() { Verdict::Accepted } else { Verdict::Rejected },
        }
    }

    /// An acceptance has an end and no failure, a rejection a stage and a reason.
    fn is_consistent(&self) -> bool {
        let ends = self.valid_until.as_deref().map(UnixTime::parse);
        let stages = [Stage::Parse, Stage::Authenticate, Stage::Appraise].map(Stage::rejection);
        match (self.verdict, self.stage.as_deref(), ends, self.failed.as_slice()) {
            (Verdict::Accepted, None, Some(Ok(_)), []) => true,
            (Verdict::Rejected, Some(stage), None, [_, ..]) => stages.contains(&stage),
            _ => false,
        }
    }
}

impl fmt::Display for Conclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.stage, &self.valid_until) {
            (None, Some(end)) => write!(f, "accepted, valid until {end}"),
            (None, None) => f.write_str("accepted"),
            (Some(stage), _) => write!(f, "rejected, {stage}: {}", self.failed.join(", ")),
        }
    }
}

impl Bundle {
    /// Reads a bundle.
    ///
    /// # Errors
    /// When it is too large, of another version, damaged, or spelt in any other way than [`Bundle::to_text`] spells it.
    pub fn parse(bytes: &[u8]) -> Result<Self, IntakeError> {
        let actual = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let text = match std::str::from_utf8(bytes) {
            _ if actual > MAX_BYTES => Err(Defect::TooLarge { unit: "bytes", actual, limit: MAX_BYTES }),
            Ok(text) => Ok(text),
            Err(cause) => Err(broken(format!("is not UTF-8 text: {cause}"))),
        };
        text.and_then(Self::from_text).map_err(|defect| IntakeError::new("bundle", defect))
    }

    /// What is around it may be white space, as JSON knows it: any other blank is one that other readers refuse.
    pub(crate) fn from_text(text: &str) -> Result<Self, Defect> {
        let text = text.trim_matches([' ', '\t', '\n', '\r']);
        let members = Members::parse(text).map_err(said_of_a_bundle)?;
        let schema = members.text("schema").map_err(said_of_a_bundle)?;
        if schema != SCHEMA {
            return Err(other_schema(&schema));
        }
        let stated = members.text("digest").map_err(said_of_a_bundle)?;
        let content = members.raw("content").map_err(said_of_a_bundle)?;
        let actual = digest(content);
        if stated != actual {
            return Err(broken(format!("it states the digest `{}`, its content has `{actual}`", shown(&stated))));
        }
        let content: Content =
            serde_json::from_str(content).map_err(|cause| broken(format!("its content: {}", said(&cause))))?;
        let bundle = content.read()?;
        let canonical = bundle.to_text().map_err(said_of_a_bundle)?;
        if canonical.trim_end() != text {
            return Err(broken(format!("{} is spelt in another way than this format has", place(&canonical, text))));
        }
        Ok(bundle)
    }

    /// The whole file: one line, so that no tool that rewrites line ends can change it.
    ///
    /// # Errors
    /// When it would be longer than [`MAX_BYTES`].
    pub fn to_text(&self) -> Result<String, Defect> {
        let content = self.content()?;
        let digest = digest(&content);
        let text = format!("{{\"schema\":\"{SCHEMA}\",\"digest\":\"{digest}\",\"content\":{content}}}\n");
        let actual = u64::try_from(text.len()).unwrap_or(u64::MAX);
        if actual > MAX_BYTES {
            return Err(Defect::TooLarge { unit: "bytes", actual, limit: MAX_BYTES });
        }
        Ok(text)
    }

    /// `sha256:` and the digest of the content, by which a bundle is named.
    ///
    /// # Errors
    /// As [`Bundle::to_text`].
    pub fn digest(&self) -> Result<String, Defect> {
        self.content().map(|content| digest(&content))
    }

    fn content(&self) -> Result<String, Defect> {
        serde_json::to_string(&Content::of(self)).map_err(|cause| broken(format!("it cannot be written: {cause}")))
    }
}

/// Whether `text` announces itself as a bundle of any version.
pub(crate) fn looks_like_bundle(text: &str) -> bool {
    let text = text.trim_start();
    // Other documents of that size need not be taken apart to find out.
    text.starts_with('{')
        && text.contains(SCHEMA_PREFIX)
        && Members::parse(text.trim_end())
            .and_then(|members| members.text("schema"))
            .is_ok_and(|schema| schema.starts_with(SCHEMA_PREFIX))
}

fn digest(content: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

/// The content as text. Members stand in the order of their names, which together with `serde_json`'s strings is the
/// canonical form of RFC 8785; there are no numbers.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    at: String,
    creator: String,
    endorsements: Pool,
    event_log: Option<String>,
    evidence: EvidenceText,
    policy: PolicyText,
    recorded: Conclusion,
    report_data: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EvidenceText {
    #[serde(skip_serializing_if = "Option::is_none")]
    aci: Option<AciText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    azure_vtpm: Option<VtpmText>,
    bytes: String,
    tee: String,
}

/// What lies beside the report of a container group.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AciText {
    reference_info: String,
    security_policy: String,
}

/// What lies around the evidence under a paravisor: its report, and the quote of its vTPM.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VtpmText {
    hcl_report: String,
    message: String,
    pcrs: Vec<String>,
    signature: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pool {
    certificates: Vec<String>,
    crls: Vec<String>,
    qe_identities: Vec<Signed>,
    tcb_infos: Vec<Signed>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    body: String,
    signature: String,
}

impl Content {
    fn of(bundle: &Bundle) -> Self {
        let mut pool = Pool::default();
        for statement in &bundle.kept.statements {
            match statement {
                Statement::Certificate(der) => pool.certificates.push(base64::encode(der)),
                Statement::Crl(der) => pool.crls.push(base64::encode(der)),
                Statement::TcbInfo { body, signature } => pool.tcb_infos.push(Signed::of(body, signature)),
                Statement::QeIdentity { body, signature } => pool.qe_identities.push(Signed::of(body, signature)),
            }
        }
        Self {
            at: bundle.at.to_string(),
            creator: bundle.creator.clone(),
            endorsements: pool,
            event_log: bundle.kept.event_log.as_ref().map(base64::encode),
            evidence: EvidenceText {
                aci: bundle.kept.aci.as_ref().map(AciText::of),
                azure_vtpm: bundle.kept.vtpm.as_ref().map(VtpmText::of),
                bytes: base64::encode(&bundle.kept.evidence),
                tee: bundle.kept.tee.name().to_owned(),
            },
            policy: bundle.policy.clone(),
            recorded: bundle.recorded.clone(),
            report_data: bundle.report_data.map(|bytes| hex::encode(bytes.0)),
        }
    }

    fn read(self) -> Result<Bundle, Defect> {
        let tee = [Tee::SevSnp, Tee::Tdx].into_iter().find(|tee| tee.name() == self.evidence.tee);
        let tee = tee.ok_or_else(|| {
            broken(format!("`evidence.tee` is `{}`, expected `sev-snp` or `tdx`", shown(&self.evidence.tee)))
        })?;
        if !self.recorded.is_consistent() {
            return Err(broken("`recorded` contradicts itself"));
        }
        let report_data = match self.report_data {
            None => None,
            Some(text) => {
                let mut bytes = [0; 64];
                hex::decode_to_slice(&text, &mut bytes)
                    .map_err(|_| broken("`report_data` is not 64 bytes in hexadecimal"))?;
                Some(ReportData(bytes))
            }
        };
        let evidence = from_base64("evidence.bytes", &self.evidence.bytes)?;
        let vtpm = self.evidence.azure_vtpm.map(VtpmText::read).transpose()?;
        if tee == Tee::SevSnp && vtpm.as_ref().is_some_and(|vtpm| vtpm.sev_snp_report() != evidence) {
            return Err(broken("`evidence.bytes` is not the report that stands in `evidence.azure_vtpm.hcl_report`"));
        }
        let aci = self.evidence.aci.map(AciText::read).transpose()?;
        if aci.is_some() && (tee != Tee::SevSnp || vtpm.is_some()) {
            return Err(broken("`evidence.aci` stands beside an SEV-SNP report alone"));
        }
        let kept = Kept {
            tee,
            evidence,
            vtpm,
            aci,
            event_log: self.event_log.map(|text| from_base64("event_log", &text)).transpose()?,
            statements: self.endorsements.read()?,
        };
        Ok(Bundle {
            kept,
            policy: self.policy,
            at: UnixTime::parse(&self.at).map_err(|_| broken(format!("`at`: `{}` is not a time", shown(&self.at))))?,
            report_data,
            recorded: self.recorded,
            creator: self.creator,
        })
    }
}

impl Pool {
    fn read(self) -> Result<BTreeSet<Statement>, Defect> {
        let number = self.certificates.len() + self.crls.len() + self.qe_identities.len() + self.tcb_infos.len();
        if number > MAX_STATEMENTS {
            return Err(broken(format!("`endorsements` holds {number} statements, at most {MAX_STATEMENTS} are read")));
        }
        let mut statements = BTreeSet::new();
        for text in &self.certificates {
            statements.insert(Statement::Certificate(from_base64("endorsements.certificates", text)?));
        }
        for text in &self.crls {
            statements.insert(Statement::Crl(from_base64("endorsements.crls", text)?));
        }
        for signed in self.tcb_infos {
            let (body, signature) = signed.read("endorsements.tcb_infos")?;
            statements.insert(Statement::TcbInfo { body, signature });
        }
        for signed in self.qe_identities {
            let (body, signature) = signed.read("endorsements.qe_identities")?;
            statements.insert(Statement::QeIdentity { body, signature });
        }
        Ok(statements)
    }
}

impl AciText {
    fn of(context: &AciContext) -> Self {
        Self {
            reference_info: base64::encode(&context.reference_info),
            security_policy: base64::encode(&context.security_policy),
        }
    }

    fn read(self) -> Result<AciContext, Defect> {
        Ok(AciContext {
            reference_info: from_base64("evidence.aci.reference_info", &self.reference_info)?,
            security_policy: from_base64("evidence.aci.security_policy", &self.security_policy)?,
        })
    }
}

impl VtpmText {
    fn of(vtpm: &AzureVtpm) -> Self {
        let TpmQuote { message, signature, pcrs } = &vtpm.quote;
        Self {
            hcl_report: base64::encode(&vtpm.hcl_report),
            message: base64::encode(message),
            pcrs: pcrs.iter().map(hex::encode).collect(),
            signature: base64::encode(signature),
        }
    }

    fn read(self) -> Result<AzureVtpm, Defect> {
        let pcrs = self.pcrs.iter().map(|text| {
            hex::decode(text).map_err(|cause| broken(format!("`evidence.azure_vtpm.pcrs` is not hexadecimal: {cause}")))
        });
        Ok(AzureVtpm {
            hcl_report: from_base64("evidence.azure_vtpm.hcl_report", &self.hcl_report)?,
            quote: TpmQuote {
                message: from_base64("evidence.azure_vtpm.message", &self.message)?,
                signature: from_base64("evidence.azure_vtpm.signature", &self.signature)?,
                pcrs: pcrs.collect::<Result<_, _>>()?,
            },
        })
    }
}

impl Signed {
    fn of(body: &str, signature: &[u8; 64]) -> Self {
        Self { body: body.to_owned(), signature: hex::encode(signature) }
    }

    fn read(self, place: &str) -> Result<(String, [u8; 64]), Defect> {
        let mut signature = [0; 64];
        hex::decode_to_slice(&self.signature, &mut signature)
            .map_err(|_| broken(format!("a `signature` in `{place}` is not 64 bytes in hexadecimal")))?;
        Ok((self.body, signature))
    }
}

fn from_base64(place: &str, text: &str) -> Result<Vec<u8>, Defect> {
    base64::decode(text).map_err(|cause| broken(format!("`{place}` is not base64 with padding: {cause}")))
}

/// Where two texts part, as a reader would look for it.
fn place(expected: &str, found: &str) -> String {
    let same = expected.bytes().zip(found.bytes()).take_while(|(a, b)| a == b).count();
    format!("what stands from byte {same} on")
}

fn other_schema(schema: &str) -> Defect {
    Defect::Broken {
        kind: "bundle",
        defect: format!("its schema is `{}`, this release reads `{SCHEMA}`", shown(schema)),
        remedy: "use a release of teegate that reads that schema, or create the bundle again",
    }
}

fn said_of_a_bundle(defect: Defect) -> Defect {
    match defect {
        Defect::Broken { defect, .. } => broken(defect),
        other => other,
    }
}

fn broken(defect: impl Into<String>) -> Defect {
    Defect::Broken {
        kind: "bundle",
        defect: defect.into(),
        remedy: "copy the file again from where it was created, byte for byte, or create it again with `teegate bundle create`",
    }
}

#[cfg(test)]
mod tests;
