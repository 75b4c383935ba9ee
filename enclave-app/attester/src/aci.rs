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
use crate::sev_guest::Certificates;
use crate::sev_snp::SevSnp;
use crate::{Answer, Attester, AttesterError, RawEvidence};

/// A text of the context: its file, its variable, and the most that is read of it. The endorsement has some 14 kB in base64.
struct Text {
    file: &'static str,
    variable: &'static str,
    is_required: bool,
}

const TEXTS: [Text; 3] = [
    Text { file: "security-policy-base64", variable: "UVM_SECURITY_POLICY", is_required: true },
    Text { file: "reference-info-base64", variable: "UVM_REFERENCE_INFO", is_required: false },
    Text { file: "host-amd-cert-base64", variable: "UVM_HOST_AMD_CERTIFICATE", is_required: false },
];
/// An envelope has room for 1 MiB, all in all.
const MAX_TEXT_BYTES: usize = 256 << 10;
const FOLDER: &str = "security-context-";
const REPORT: &str = "report";

/// The environment, as a program that has one gives it.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The context of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context(Vec<(&'static str, String)>);

impl Context {
    /// Reads the one in this folder.
    ///
    /// # Errors
    /// There is no policy in it, or one of its texts is too long or cannot be read.
    pub fn in_folder(folder: &Path) -> Result<Self, AttesterError> {
        let source = || format!("the security context ({})", folder.display());
        let mut found = Vec::new();
        for text in &TEXTS {
            let path = folder.join(text.file);
            let file = match std::fs::File::open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound && !text.is_required => continue,
                Err(error) => {
                    let reason = format!("`{}`: {error}", text.file);
                    return Err(AttesterError::Missing { source: source(), reason });
                }
                Ok(file) => file,
            };
            let mut content = String::new();
            let read = file.take(MAX_TEXT_BYTES as u64 + 1).read_to_string(&mut content);
            read.map_err(|error| AttesterError::Missing {
                source: source(),
                reason: format!("`{}`: {error}", text.file),
            })?;
            found.push((text.file, content));
        }
        Self::checked(found)
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
        let texts = TEXTS.iter().filter_map(|text| Some((text.file, variables(text.variable)?)));
        let texts: Vec<_> = texts.collect();
        if texts.iter().any(|(file, _)| *file == "security-policy-base64") {
            return Self::checked(texts);
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

    fn checked(texts: Vec<(&'static str, String)>) -> Result<Self, AttesterError> {
        let trimmed = texts.into_iter().map(|(file, text)| (file, text.trim().to_owned()));
        let texts: Vec<_> = trimmed.filter(|(_, text)| !text.is_empty()).collect();
        for (file, text) in &texts {
            if text.len() > MAX_TEXT_BYTES || base64::decode_any(text).is_err() {
                return Err(AttesterError::malformed(
                    format!("`{file}` of the security context"),
                    format!("base64 of at most {MAX_TEXT_BYTES} characters"),
                ));
            }
        }
        if texts.iter().all(|(file, _)| *file != "security-policy-base64") {
            return Err(AttesterError::malformed("`security-policy-base64` of the security context", "a policy"));
        }
        Ok(Self(texts))
    }

    /// The evidence: this context and a report, under the names of the platform.
    fn with(&self, report: &[u8]) -> Vec<u8> {
        let mut members = Map::new();
        members.insert(REPORT.into(), base64::encode(report).into());
        for (file, text) in &self.0 {
            members.insert((*file).into(), text.as_str().into());
        }
        Value::Object(members).to_string().into_bytes()
    }
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

    /// Asks the kernel, and waits for it on this thread.
    ///
    /// # Errors
    /// As those of the kernel's interface, and where it is not SEV-SNP's.
    pub fn take(&self, report_data: [u8; 64]) -> Result<RawEvidence, AttesterError> {
        let Report { bytes, left_out, .. } = self.guest.report(&report_data, Certificates::NotAsked)?;
        let bytes = self.context.with(&bytes);
        Ok(RawEvidence { kind: EvidenceKind::AciSnp, bytes, endorsements: None, event_log: None, left_out })
    }
}

impl Attester for Aci {
    fn evidence(&self, report_data: [u8; 64]) -> Answer<'_> {
        let aci = Self { context: self.context.clone(), guest: self.guest.clone() };
        Box::pin(async move {
            tokio::task::spawn_blocking(move || aci.take(report_data)).await.unwrap_or(Err(AttesterError::Ended))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn the_context_is_found_in_its_folder_or_in_the_environment() {
        let root = folder(&[POLICY, REFERENCE]);
        let expected = Context(vec![(POLICY.0, "cG9saWN5".to_owned()), (REFERENCE.0, REFERENCE.1.to_owned())]);
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
