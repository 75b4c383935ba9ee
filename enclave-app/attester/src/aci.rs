//! Confidential Azure Container Instances: the SEV-SNP report of the utility VM that runs a container group, and the security
//! context that the platform puts into each container.
//!
//! The context is a folder, `/security-context-*` or the one that `UVM_SECURITY_CONTEXT_DIR` names; on older platforms the three texts are
//! environment variables. Each is base64, and goes into the evidence as it lies there:
//!
//! | file | variable | |
//! |---|---|---|
//! | `security-policy-base64` | `UVM_SECURITY_POLICY` | the policy whose SHA-256 is HOST_DATA |
//! | `reference-info-base64` | `UVM_REFERENCE_INFO` | the endorsement of the utility VM, COSE_Sign1 |
//! | `host-amd-cert-base64` | `UVM_HOST_AMD_CERTIFICATE` | THIM's answer about the host's processor |
//!
//! The report comes from whichever interface the guest's kernel has ([`crate::sev_snp`]), without the certificates that a host could supply
//! beside it: they stand in the context, Microsoft's own tool asks for the report alone, and a driver that is refused the longer
//! request wipes its key to the firmware. The folder is the host's, and choosing it weakens nothing: the policy convinces by its digest
//! in the report, the endorsement by its signature.
//!
//! Not exercised on Azure.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use teegate_encoding::base64;
use teegate_encoding::json::{Members, string};
use teegate_protocol::evidence::EvidenceKind;

use crate::configfs_tsm::Report;
use crate::imds::Certification;
use crate::sev_guest::Certificates;
use crate::sev_snp::SevSnp;
use crate::{Answer, Attester, AttesterError, RawEvidence};

/// A text of the context: its file and its variable.
struct Text {
    file: &'static str,
    variable: &'static str,
    kind: Kind,
}

/// What is lost with a text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The evidence.
    Required,
    /// Part of the evidence, on platforms that have it.
    Optional,
    /// A help: whoever verifies can ask AMD for the certificates.
    Help,
}

const TEXTS: [Text; 3] = [
    Text { file: "security-policy-base64", variable: "UVM_SECURITY_POLICY", kind: Kind::Required },
    Text { file: "reference-info-base64", variable: "UVM_REFERENCE_INFO", kind: Kind::Optional },
    Text { file: "host-amd-cert-base64", variable: "UVM_HOST_AMD_CERTIFICATE", kind: Kind::Help },
];
/// The endorsement has some 14 kB in base64; an envelope has room for 1 MiB, all in all.
const MAX_TEXT_BYTES: usize = 256 << 10;
const FOLDER: &str = "security-context-";
const REPORT: &str = "report";

/// The environment, as a program that has one gives it.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The context of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    texts: Vec<(&'static str, String)>,
    /// Which text is of no use to anybody, and why.
    left_out: Vec<String>,
}

/// A text as it was found; or, in words, why it could not be read.
type Found = Vec<(&'static Text, Result<String, String>)>;

impl Context {
    /// Reads the one in this folder.
    ///
    /// # Errors
    /// There is no policy in it; or policy or endorsement is too long, no base64 or cannot be read. Certificates of no use are left out and
    /// named.
    pub fn in_folder(folder: &Path) -> Result<Self, AttesterError> {
        let mut found = Found::new();
        for text in &TEXTS {
            let file = match std::fs::File::open(folder.join(text.file)) {
                Err(error) if error.kind() == ErrorKind::NotFound && text.kind != Kind::Required => continue,
                file => file,
            };
            let mut content = String::new();
            let read = file.and_then(|file| file.take(MAX_TEXT_BYTES as u64 + 1).read_to_string(&mut content));
            found.push((text, read.map(|_| content).map_err(|error| error.to_string())));
        }
        Self::checked(found, &format!("the security context ({})", folder.display()))
    }

    /// The one that this program was given: by the variable that names a folder, by the three variables, or in the only folder of that name in
    /// `root`.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn find(root: &Path, variables: Variables<'_>) -> Result<Self, AttesterError> {
        if let Some(folder) = variables("UVM_SECURITY_CONTEXT_DIR") {
            return Self::in_folder(Path::new(&folder));
        }
        let found: Found = TEXTS.iter().filter_map(|text| Some((text, Ok(variables(text.variable)?)))).collect();
        if found.iter().any(|(text, _)| text.kind == Kind::Required) {
            return Self::checked(found, "the environment");
        }
        let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
        let is_one = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.starts_with(FOLDER));
        let mut folders: Vec<PathBuf> =
            entries.filter(|entry| is_one(&entry.file_name())).map(|entry| entry.path()).collect();
        match (folders.pop(), folders.is_empty()) {
            (Some(folder), true) => Self::in_folder(&folder),
            (found, _) => {
                let source = format!("the security context ({}{FOLDER}*)", root.display());
                let reason =
                    if found.is_some() { "there are several" } else { "it is not there: is this Confidential ACI?" };
                Err(AttesterError::Missing { source, reason: reason.to_owned() })
            }
        }
    }

    fn checked(found: Found, source: &str) -> Result<Self, AttesterError> {
        let (mut texts, mut left_out) = (Vec::new(), Vec::new());
        for (Text { file, kind, .. }, read) in found {
            let is_help = *kind == Kind::Help;
            match read {
                Ok(text) if text.trim().is_empty() && *kind != Kind::Required => {}
                Ok(text) => match unfit(text.trim(), *kind) {
                    None => texts.push((*file, text.trim().to_owned())),
                    Some(expected) if is_help => {
                        left_out.push(format!("`{file}` of the security context: expected {expected}"));
                    }
                    Some(expected) => {
                        return Err(AttesterError::malformed(format!("`{file}` of the security context"), expected));
                    }
                },
                Err(reason) if is_help => {
                    left_out.push(format!("`{file}` of the security context: {reason}"));
                }
                Err(reason) => {
                    let reason = format!("`{file}`: {reason}");
                    return Err(AttesterError::Missing { source: source.to_owned(), reason });
                }
            }
        }
        Ok(Self { texts, left_out })
    }

    /// The evidence: this context and a report, under the names of the platform.
    pub fn with(&self, report: &[u8]) -> Vec<u8> {
        let mut members = Map::new();
        members.insert(REPORT.into(), base64::encode(report).into());
        for (file, text) in &self.texts {
            members.insert((*file).into(), text.as_str().into());
        }
        Value::Object(members).to_string().into_bytes()
    }
}

/// What was expected of this text, if that is not what it is.
fn unfit(text: &str, kind: Kind) -> Option<String> {
    if text.is_empty() {
        return Some("a policy".to_owned());
    }
    let decoded = if text.len() > MAX_TEXT_BYTES { None } else { base64::decode_any(text).ok() };
    let Some(decoded) = decoded else {
        return Some(format!("base64 of at most {MAX_TEXT_BYTES} characters"));
    };
    let is_fit = kind != Kind::Help || Certification::parse(&decoded).is_ok();
    (!is_fit).then(|| "THIM's answer, with certificates in `vcekCert` and `certificateChain`".to_owned())
}

/// The SEV-SNP report in such evidence.
pub(crate) fn report(evidence: &[u8]) -> Option<Vec<u8>> {
    let members = Members::parse(std::str::from_utf8(evidence).ok()?, 1, TEXTS.len() + 1).ok()?;
    base64::decode(string(members.get(REPORT)?)?).ok()
}

/// A container group's security context, and the hardware below.
pub struct Aci {
    context: Context,
    guest: SevSnp,
}

impl Aci {
    /// With this context, and the guest that it stands in.
    pub fn new(context: Context, guest: SevSnp) -> Self {
        Self { context, guest }
    }

    async fn ask(&self, report_data: [u8; 64]) -> Result<RawEvidence, AttesterError> {
        let Report { bytes, mut left_out, .. } = self.guest.answer(report_data, Certificates::NotAsked).await?;
        left_out.extend(self.context.left_out.iter().cloned());
        let bytes = self.context.with(&bytes);
        Ok(RawEvidence { kind: EvidenceKind::AciSnp, bytes, endorsements: None, event_log: None, left_out })
    }
}

impl Attester for Aci {
    fn evidence(&self, report_data: [u8; 64]) -> Answer<'_> {
        Box::pin(self.ask(report_data))
    }
}

#[cfg(test)]
mod tests {
    use teegate_encoding::pem;

    use super::*;
    use crate::CERTIFICATE;
    use crate::tests::SOME_CERTIFICATE;

    fn folder(texts: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("security-context-abc");
        std::fs::create_dir(&folder).unwrap();
        for (name, text) in texts {
            std::fs::write(folder.join(name), text).unwrap();
        }
        root
    }

    fn none(_: &str) -> Option<String> {
        None
    }

    const POLICY: (&str, &str) = ("security-policy-base64", "cG9saWN5\n");
    const REFERENCE: (&str, &str) = ("reference-info-base64", "0oRDAQ==");
    const HOST: &str = "host-amd-cert-base64";

    #[test]
    fn the_context_is_found_in_its_folder_or_in_the_environment() {
        let root = folder(&[POLICY, REFERENCE]);
        let texts = vec![(POLICY.0, "cG9saWN5".to_owned()), (REFERENCE.0, REFERENCE.1.to_owned())];
        let expected = Context { texts, left_out: Vec::new() };
        assert_eq!(Context::find(root.path(), &none), Ok(expected.clone()));
        let named = root.path().join("security-context-abc").display().to_string();
        let by_name = |name: &str| (name == "UVM_SECURITY_CONTEXT_DIR").then(|| named.clone());
        assert_eq!(Context::find(Path::new("/nonexistent"), &by_name), Ok(expected.clone()));
        let older = |name: &str| match name {
            "UVM_SECURITY_POLICY" => Some("cG9saWN5".to_owned()),
            "UVM_REFERENCE_INFO" => Some(REFERENCE.1.to_owned()),
            _ => None,
        };
        assert_eq!(Context::find(Path::new("/nonexistent"), &older), Ok(expected));
    }

    #[test]
    fn what_is_no_context_is_named() {
        let said = |found: Result<Context, AttesterError>| found.unwrap_err().to_string();
        let nowhere = said(Context::find(Path::new("/nonexistent/"), &none));
        assert!(
            nowhere.contains("(/nonexistent/security-context-*)") && nowhere.ends_with("is this Confidential ACI?")
        );
        let root = folder(&[POLICY]);
        std::fs::create_dir(root.path().join("security-context-def")).unwrap();
        assert!(said(Context::find(root.path(), &none)).ends_with("there are several"));
        assert!(
            said(Context::find(folder(&[REFERENCE]).path(), &none)).contains("`security-policy-base64`: No such file")
        );
        let text = "A".repeat(MAX_TEXT_BYTES + 4);
        for (name, text) in [(POLICY.0, "?"), (POLICY.0, text.as_str()), (REFERENCE.0, "?")] {
            let root = folder(&[POLICY]);
            std::fs::write(root.path().join("security-context-abc").join(name), text).unwrap();
            let said = said(Context::find(root.path(), &none));
            assert_eq!(
                said,
                format!(
                    "evidence: `{name}` of the security context is malformed, expected base64 of at most 262144 characters"
                )
            );
        }
        assert!(said(Context::find(folder(&[(POLICY.0, " ")]).path(), &none)).ends_with("expected a policy"));
        // Out of the environment comes the whole.
        let older = |name: &str| (name == "UVM_SECURITY_POLICY").then(|| text.clone());
        let long = said(Context::find(Path::new("/nonexistent"), &older));
        assert!(long.ends_with("expected base64 of at most 262144 characters"), "{long}");
    }

    #[tokio::test]
    async fn certificates_of_no_use_are_left_out_and_cost_nobody_the_evidence() {
        let mut chain = String::new();
        pem::push(&mut chain, CERTIFICATE, SOME_CERTIFICATE);
        let chain = chain.replace('\n', "\\n");
        let answer = base64::encode(format!(r#"{{"vcekCert":"{chain}","certificateChain":"{chain}"}}"#));
        let no_answer = base64::encode("{}");
        let long = "A".repeat(MAX_TEXT_BYTES + 4);
        for (text, why) in [
            (answer.as_bytes(), None),
            (b"\n", None),
            (b"?", Some("expected base64 of at most 262144 characters")),
            (long.as_bytes(), Some("expected base64 of at most 262144 characters")),
            (
                no_answer.as_bytes(),
                Some("expected THIM's answer, with certificates in `vcekCert` and `certificateChain`"),
            ),
            (&[0xFF], Some("stream did not contain valid UTF-8")),
        ] {
            let root = folder(&[POLICY]);
            std::fs::write(root.path().join("security-context-abc").join(HOST), text).unwrap();
            let guest = SevSnp::over(crate::configfs_tsm::tests::imitated("sev_guest\n"));
            let aci = Aci::new(Context::find(root.path(), &none).unwrap(), guest);
            let evidence = aci.evidence([7; 64]).await.unwrap();
            let said = why.map(|why| format!("`{HOST}` of the security context: {why}"));
            assert_eq!(evidence.left_out, Vec::from_iter(said));
            let value: Value = serde_json::from_slice(&evidence.bytes).unwrap();
            let sent = (text == answer.as_bytes()).then(|| answer.clone().into());
            assert_eq!((value.get(HOST), evidence.report_data()), (sent.as_ref(), Some([7; 64])));
        }
    }

    #[test]
    fn the_report_in_the_evidence_is_the_one_that_was_asked_for() {
        let context = Context::find(folder(&[POLICY, REFERENCE]).path(), &none).unwrap();
        let mut report = vec![0; 1_184];
        report[0x50..0x90].fill(7);
        let bytes = context.with(&report);
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((&value[POLICY.0], &value[REFERENCE.0]), (&"cG9saWN5".into(), &REFERENCE.1.into()));
        assert_eq!(super::report(&bytes), Some(report));
        let kind = EvidenceKind::AciSnp;
        let evidence = RawEvidence { kind, bytes, endorsements: None, event_log: None, left_out: vec![] };
        assert_eq!(evidence.report_data(), Some([7; 64]));
    }

    #[tokio::test]
    async fn the_kernel_is_asked_and_no_other_hardware_will_do() {
        let context = Context::find(folder(&[POLICY]).path(), &none).unwrap();
        let guest = |provider| SevSnp::over(crate::configfs_tsm::tests::imitated(provider));
        let on = |provider| Aci::new(context.clone(), guest(provider));
        let evidence = on("sev_guest\n").evidence([7; 64]).await.unwrap();
        assert_eq!((evidence.kind, evidence.report_data()), (EvidenceKind::AciSnp, Some([7; 64])));
        let error = on("tdx_guest\n").evidence([7; 64]).await.unwrap_err().to_string();
        assert_eq!(error, "evidence: `provider` of configfs-tsm is malformed, expected `sev_guest`");
    }

    #[tokio::test]
    async fn without_the_hardware_the_error_says_what_to_look_at() {
        let context = Context::find(folder(&[POLICY]).path(), &none).unwrap();
        let aci = Aci::new(context, SevSnp::by(&"configfs-tsm=/nonexistent/report".parse().unwrap()));
        let error = aci.evidence([7; 64]).await.unwrap_err();
        assert!(error.to_string().contains("configfs-tsm (/nonexistent/report) could not be asked"), "{error}");
        assert!(!error.may_pass());
    }
}
