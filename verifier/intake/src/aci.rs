//! Evidence of Confidential ACI: the report of a container group and its security context, as files of a folder or as members of
//! one JSON object, under the names that the platform gives them.
//!
//! The platform puts three texts into each container: files of the folder that `UVM_SECURITY_CONTEXT_DIR` names, or, before that,
//! environment variables. The report is asked for by the workload and lies beside them under any name.

use std::fs;
use std::path::Path;

use teegate_encoding::{base64, hex};
use teegate_verifier::{AciContext, Tee};

use crate::error::{Defect, IntakeError};
use crate::first_bytes::begins_like;
use crate::json::Members;
use crate::statement::Statement;
use crate::unwrapped::Unwrapped;
use crate::words::shown;
use crate::{endorsements, files};

/// What one of the three is called: as a file of the security context, and as an environment variable of older ones.
struct Name {
    file: &'static str,
    variable: &'static str,
}

const POLICY: Name = Name { file: "security-policy-base64", variable: "UVM_SECURITY_POLICY" };
const HOST: Name = Name { file: "host-amd-cert-base64", variable: "UVM_HOST_AMD_CERTIFICATE" };
const REFERENCE: Name = Name { file: "reference-info-base64", variable: "UVM_REFERENCE_INFO" };
/// The report, where it is a member beside them.
const REPORT: &str = "report";

pub(crate) const FOLDER: &str = "Confidential ACI security context folder";
const JSON: &str = "Confidential ACI security context in JSON";
/// Such a folder has three files and a report.
const MAX_FILES: usize = 64;

/// Whether these are members of such a context.
pub(crate) fn is_it(members: &Members<'_>) -> bool {
    members.has(POLICY.file) || members.has(POLICY.variable)
}

/// Whether such a context lies in this folder.
pub(crate) fn is_folder(folder: &Path) -> bool {
    [POLICY.file, POLICY.variable].iter().any(|name| folder.join(name).is_file())
}

/// Reads the object.
pub(crate) fn unwrap(members: &Members<'_>) -> Result<Unwrapped, Defect> {
    from_members(members, JSON)
}

/// The value of a record of this kind: the same object.
pub(crate) fn from_record(value: &[u8], form: &'static str) -> Result<Unwrapped, Defect> {
    let text = std::str::from_utf8(value).map_err(|_| broken("is no JSON: not UTF-8".to_owned()))?;
    let members = Members::parse(text).map_err(|error| match said_of_a_context(error) {
        Defect::Broken { defect, .. } => broken(format!("is no JSON: {defect}")),
        other => other,
    })?;
    from_members(&members, form)
}

/// What is wrong with a member, with what to do about a security context.
fn said_of_a_context(defect: Defect) -> Defect {
    match defect {
        Defect::Broken { defect, .. } => broken(defect),
        other => other,
    }
}

fn from_members(members: &Members<'_>, form: &'static str) -> Result<Unwrapped, Defect> {
    // One set of names, so that nothing stands there twice; and nothing else, so that nothing is passed over.
    let by_file = members.has(POLICY.file);
    let name = |name: &Name| if by_file { name.file } else { name.variable };
    let known = [name(&POLICY), name(&HOST), name(&REFERENCE), REPORT];
    if let Some(other) = members.names().find(|name| !known.contains(name)) {
        return Err(broken(format!("has a member `{}`: expected {}", shown(other), known.join(", "))));
    }
    let needed = |name: &str| members.text(name).map_err(said_of_a_context);
    let text = |name: &str| if members.has(name) { needed(name).map(Some) } else { Ok(None) };
    let report = needed(REPORT)?;
    let report = hex::decode(report.trim()).ok().map_or_else(|| from_base64(REPORT, &report), Ok)?;
    // As in a host's table: what is unreadable costs nobody the evidence, which its certificates may reach another way.
    let host = text(name(&HOST))?.and_then(|text| host_certificates(&text).ok()).unwrap_or_default();
    of(report, &needed(name(&POLICY))?, text(name(&REFERENCE))?.as_deref(), host, form)
}

fn of(
    report: Vec<u8>,
    policy: &str,
    reference_info: Option<&str>,
    statements: Vec<Statement>,
    form: &'static str,
) -> Result<Unwrapped, Defect> {
    let aci = AciContext {
        security_policy: from_base64(POLICY.file, policy)?,
        reference_info: reference_info.map_or_else(|| Ok(Vec::new()), |text| from_base64(REFERENCE.file, text))?,
    };
    Ok(Unwrapped { aci: Some(aci), ..Unwrapped::new(Tee::SevSnp, report, statements, form) })
}

/// What the host says of its processor: the answer of its agent (THIM), in base64.
fn host_certificates(text: &str) -> Result<Vec<Statement>, Defect> {
    endorsements::statements(&from_base64(HOST.file, text)?)
}

fn from_base64(name: &str, text: &str) -> Result<Vec<u8>, Defect> {
    let decoded = base64::decode_lines(text).or_else(|error| base64::decode_any(text.trim()).map_err(|_| error));
    decoded.map_err(|cause| broken(format!("`{name}` is not base64: {cause}")))
}

/// Reads the three files and the report beside them.
pub(crate) fn from_folder(folder: &Path) -> Result<Unwrapped, IntakeError> {
    let place = |name: &str| folder.join(name).display().to_string();
    let by_file = folder.join(POLICY.file).is_file();
    let name = |name: &Name| if by_file { name.file } else { name.variable };
    let read = |name: &'static str| -> Result<String, IntakeError> {
        let bytes = files::read(&folder.join(name))?;
        String::from_utf8(bytes).map_err(|_| IntakeError::new(place(name), broken("is no text".to_owned())))
    };
    let optional = |name: &'static str| if folder.join(name).is_file() { read(name).map(Some) } else { Ok(None) };
    let (policy, reference_info, host) = (read(name(&POLICY))?, optional(name(&REFERENCE))?, optional(name(&HOST))?);
    let report = report_in(folder, &[name(&POLICY), name(&REFERENCE), name(&HOST)])?;
    // Whoever put the folder together can mend it.
    let host = host.as_deref().map(host_certificates).transpose();
    let host = host.map_err(|defect| IntakeError::new(place(name(&HOST)), defect))?.unwrap_or_default();
    of(report, &policy, reference_info.as_deref(), host, FOLDER)
        .map_err(|defect| IntakeError::new(folder.display().to_string(), defect))
}

/// The one file that is a report, raw, in hexadecimal or in base64.
fn report_in(folder: &Path, others: &[&str]) -> Result<Vec<u8>, IntakeError> {
    let unreadable = |cause| IntakeError::unreadable(folder, cause);
    let failed = |defect| IntakeError::new(folder.display().to_string(), broken(defect));
    let mut found = Vec::new();
    for (count, entry) in fs::read_dir(folder).map_err(unreadable)?.enumerate() {
        let entry = entry.map_err(unreadable)?;
        if count == MAX_FILES {
            return Err(failed(format!("holds more than {MAX_FILES} files")));
        }
        let is_other = entry.file_name().to_str().is_some_and(|name| others.contains(&name));
        // Links are followed, as the three texts' are: in a volume of Kubernetes every file is one.
        if is_other || !entry.path().is_file() {
            continue;
        }
        found.extend(report(&files::read(&entry.path())?));
    }
    let count = found.len();
    match (found.pop(), count) {
        (Some(report), 1) => Ok(report),
        (_, 0) => Err(failed(
            "holds a security context and no report: put the report of the container group beside it, whose report data you chose"
                .to_owned(),
        )),
        _ => Err(failed(format!("holds {count} reports: expected one beside the security context"))),
    }
}

fn report(bytes: &[u8]) -> Option<Vec<u8>> {
    let is_report = |bytes: &[u8]| begins_like(bytes) == Some(Tee::SevSnp);
    if is_report(bytes) {
        return Some(bytes.to_vec());
    }
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let decoded = hex::decode(text).ok().or_else(|| base64::decode_any(text).ok())?;
    is_report(&decoded).then_some(decoded)
}

fn broken(defect: String) -> Defect {
    Defect::Broken {
        kind: "security context of Confidential ACI",
        defect,
        remedy: "copy `security-policy-base64`, `reference-info-base64` and `host-amd-cert-base64` out of the container as they are, \
                 and the report beside them",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// THIM's answer with two certificates in shape only.
    const CERTIFICATES: &str = "eyJ2Y2VrQ2VydCI6Ii0tLS0tQkVHSU4gQ0VSVElGSUNBVEUtLS0tLVxuTUE0d0RLQURBZ0VDQWdFSE1BQXdBQT09XG4tLS0tLUVORCBDRVJUSU\
         ZJQ0FURS0tLS0tXG4iLCJjZXJ0aWZpY2F0ZUNoYWluIjoiLS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tXG5NQTR3REtBREFnRUNBZ0VITUFB\
         d0FBPT1cbi0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS1cbiJ9";

    fn refused(json: &str) -> String {
        unwrap(&Members::parse(json).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn both_sets_of_names_are_read_and_no_mixture() {
        let old = r#"{"UVM_SECURITY_POLICY": "cA==", "UVM_REFERENCE_INFO": "cQ==", "report": "0203"}"#;
        let new = old.replace("UVM_SECURITY_POLICY", POLICY.file).replace("UVM_REFERENCE_INFO", REFERENCE.file);
        for json in [old, &new, &new.replace("0203", "AgM=")] {
            let found = unwrap(&Members::parse(json).unwrap()).unwrap();
            let context = found.aci.unwrap();
            assert_eq!(
                (found.bytes, context.security_policy, context.reference_info),
                (vec![2, 3], b"p".to_vec(), b"q".to_vec())
            );
        }
        let mixed = old.replace("UVM_SECURITY_POLICY", POLICY.file);
        assert!(
            refused(&mixed).contains("has a member `UVM_REFERENCE_INFO`: expected security-policy-base64, "),
            "{mixed}"
        );
        assert!(refused(&old.replace("cA==", "c A=")).contains("`security-policy-base64` is not base64"));
        let missing = refused(r#"{"UVM_SECURITY_POLICY": "cA=="}"#);
        assert!(missing.contains("`report` is missing; copy `security-policy-base64`"), "{missing}");
        for (host, count) in [("?", 0), ("e30=", 0), (CERTIFICATES, 2)] {
            let with = old.replace('}', &format!(r#", "UVM_HOST_AMD_CERTIFICATE": "{host}"}}"#));
            let found = unwrap(&Members::parse(&with).unwrap()).unwrap();
            assert_eq!((found.bytes, found.endorsements.len()), (vec![2, 3], count), "{host}");
        }
        let without = old.replace(r#", "UVM_REFERENCE_INFO": "cQ==""#, "");
        assert_eq!(unwrap(&Members::parse(&without).unwrap()).unwrap().aci.unwrap().reference_info, b"");
    }

    #[test]
    fn a_folder_holds_one_report_beside_its_context() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
        assert!(!is_folder(folder.path()));
        put(POLICY.file, b"cA==\n");
        assert!(is_folder(folder.path()));
        let error = from_folder(folder.path()).unwrap_err().to_string();
        assert!(error.contains("a security context and no report"), "{error}");
        let mut report = vec![0; 1_184];
        report[0] = 2;
        report[0x34] = 1;
        put("notes.txt", b"notes");
        // As in a volume of Kubernetes: the file is a link into a folder beside it, and a link to nowhere is no report.
        let data = folder.path().join("..data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("report.bin"), &report).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("gone")).unwrap();
        std::os::unix::fs::symlink("..data/report.bin", folder.path().join("report.bin")).unwrap();
        let found = from_folder(folder.path()).unwrap();
        assert_eq!(found.bytes, report);
        fs::remove_file(folder.path().join("report.bin")).unwrap();
        put("report.bin", &report);
        let found = from_folder(folder.path()).unwrap();
        assert_eq!((found.bytes.len(), found.aci.unwrap().security_policy), (1_184, b"p".to_vec()));
        put(HOST.file, CERTIFICATES.as_bytes());
        assert_eq!(from_folder(folder.path()).unwrap().endorsements.len(), 2);
        put(HOST.file, b"e30=");
        let error = from_folder(folder.path()).unwrap_err().to_string();
        assert!(error.contains("host-amd-cert-base64`: not recognised: found a JSON object with none"), "{error}");
        put(HOST.file, CERTIFICATES.as_bytes());
        put("report.hex", hex::encode(&report).as_bytes());
        let error = from_folder(folder.path()).unwrap_err().to_string();
        assert!(error.contains("holds 2 reports"), "{error}");
    }
}
