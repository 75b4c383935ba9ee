//! Recognises evidence: the bare report or quote, its hexadecimal or base64 text, a hex dump, a firmware response, a conceptual message wrapper
//! (CMW) in JSON or CBOR, the JSON of Confidential Containers, a member of other JSON, an attestation of Google's Go libraries, a
//! configfs-tsm report as folder, JSON or CBOR, a [bundle](crate::bundle). FORMS.md beside this crate's source lists them all.
//!
//! Recognition is generous and believes nothing. Bytes that begin like a report or a quote are handed on as one, whole, however
//! wrong they are inside: that they are wrong is the verifier's finding, with a check id, and not a matter of file formats.

use std::io;
use std::path::Path;

use teegate_encoding::document::looks_like_der;
use teegate_encoding::hex;
use teegate_protocol::certificate_table::{is_empty_table, looks_like_table};
use teegate_verifier::Tee;

pub use crate::owned::OwnedEvidence;

use crate::bundle::{self, Bundle};
use crate::encoded::{self, Decoded};
use crate::error::{Defect, IntakeError};
use crate::first_bytes::{SNP_REPORT_BYTES, begins_like, could_be};
use crate::json::{Members, of_evidence};
use crate::statement::Statement;
use crate::tsm::{self, Blobs};
use crate::unwrapped::Unwrapped;
use crate::words::shown;
use crate::wrapper;
use crate::{
    aci, azure_vtpm, certificate_table, cmw_cbor, coco, dump, endorsements, files, go_attestation, lookalike, member,
    pem, ra_tls,
};

impl From<Unwrapped> for OwnedEvidence {
    fn from(found: Unwrapped) -> Self {
        Self::new(found.tee, found.bytes, found.form)
            .with_statements(found.endorsements)
            .with_event_log(found.event_log)
            .under(found.vtpm)
            .in_aci(found.aci)
    }
}

/// Reads the event log that `path` holds: the area that the ACPI table CCEL points to, on Linux
/// `/sys/firmware/acpi/tables/data/CCEL`, or the log of a TPM. What it says is the verifier's to judge.
///
/// # Errors
/// When it cannot be read or has more than 1 MiB.
pub fn load_event_log(path: &Path) -> Result<Vec<u8>, IntakeError> {
    files::read(path)
}

/// Reads and recognises what `path` names: a file, a configfs-tsm folder, or `-` for standard input.
///
/// # Errors
/// When it cannot be read, is too large, or is not recognised.
pub fn load(path: &Path, insist: Option<Tee>) -> Result<OwnedEvidence, IntakeError> {
    let name = path.display().to_string();
    if path == Path::new("-") {
        let bytes = files::read_bounded(io::stdin().lock(), bundle::MAX_BYTES)
            .map_err(|cause| IntakeError::unreadable(path, cause))?;
        let limit = bundle::MAX_BYTES;
        let too_large = Defect::TooLarge { unit: "bytes or more", actual: limit + 1, limit };
        let bytes = bytes.ok_or_else(|| IntakeError::new("standard input", too_large))?;
        return from_file(&bytes, insist).map_err(|error| error.named("standard input"));
    }
    if path.is_dir() {
        if aci::is_folder(path) {
            return of_tee(aci::from_folder(path)?.into(), insist).map_err(|error| error.named(name));
        }
        return from_configfs_tsm(path, insist);
    }
    from_file(&files::read_at_most(path, bundle::MAX_BYTES)?, insist).map_err(|error| error.named(name))
}

/// Nothing but a bundle is as large as a bundle may be.
fn from_file(bytes: &[u8], insist: Option<Tee>) -> Result<OwnedEvidence, IntakeError> {
    let (actual, limit) = (u64::try_from(bytes.len()).unwrap_or(u64::MAX), files::MAX_FILE_BYTES);
    if actual > limit && !std::str::from_utf8(bytes).is_ok_and(bundle::looks_like_bundle) {
        return Err(IntakeError::new("evidence", Defect::TooLarge { unit: "bytes", actual, limit }));
    }
    recognise(bytes, insist)
}

/// Recognises the evidence that `bytes` are. With `insist`, bytes that could be of that platform are taken for it, whatever
/// else they could be; bytes that can only be another's are refused.
///
/// # Errors
/// When the bytes are no evidence, or of another platform than the one insisted on.
pub fn recognise(bytes: &[u8], insist: Option<Tee>) -> Result<OwnedEvidence, IntakeError> {
    of_tee(recognise_any(bytes, insist).map_err(|defect| IntakeError::new("evidence", defect))?, insist)
}

/// The same, unless another platform is insisted on.
fn of_tee(evidence: OwnedEvidence, insist: Option<Tee>) -> Result<OwnedEvidence, IntakeError> {
    match insist {
        Some(expected) if expected != evidence.tee => {
            let defect = Defect::OtherTee { expected: expected.name(), actual: evidence.tee.name() };
            Err(IntakeError::new("evidence", defect))
        }
        _ => Ok(evidence),
    }
}

fn recognise_any(bytes: &[u8], insist: Option<Tee>) -> Result<OwnedEvidence, Defect> {
    if let Ok(whole) = std::str::from_utf8(bytes) {
        let text = whole.trim();
        if bundle::looks_like_bundle(text) {
            return Bundle::from_text(whole).map(|bundle| bundle.kept.to_evidence());
        }
        // A bundle has one spelling; other text may begin with a mark of its encoding.
        let text = text.trim_start_matches('\u{feff}').trim_start();
        if coco::looks_like_coco(text) {
            return coco::unwrap(text).map(OwnedEvidence::from);
        }
        if azure_vtpm::looks_like_it(text) {
            return azure_vtpm::unwrap(text).map(OwnedEvidence::from);
        }
        // Before JSON, which begins with the same brackets; and text that is hexadecimal throughout need not be a whole dump.
        match dump::read(text) {
            Ok(Some(Decoded { bytes: decoded, form })) => return from_raw(&decoded, insist, form),
            Err(defect) if encoded::decode(text).is_none() => return Err(defect),
            Ok(None) | Err(_) => {}
        }
        if text.starts_with(['{', '[', '"']) {
            return from_json(text, insist);
        }
        if let Some(Decoded { bytes: decoded, form }) = encoded::decode(text)
            && (form == encoded::HEXADECIMAL || is_evidence(&decoded, insist))
        {
            return from_raw(&decoded, insist, form);
        }
        // Words are nobody's report, whatever is insisted on.
        if text.chars().all(|c| !c.is_control() || c.is_ascii_whitespace()) {
            return Err(unrecognised(bytes));
        }
    }
    if let Some(kind) = go_attestation::kind(bytes) {
        return go_attestation::unwrap(kind, bytes).map(OwnedEvidence::from);
    }
    if let Some(blobs) = tsm::from_cbor(bytes)? {
        return from_blobs(&blobs, insist);
    }
    if cmw_cbor::looks_like_cmw(bytes) {
        return cmw_cbor::unwrap(bytes).map(OwnedEvidence::from);
    }
    from_raw(bytes, insist, "raw bytes")
}

/// JSON of whatever shape.
fn from_json(text: &str, insist: Option<Tee>) -> Result<OwnedEvidence, Defect> {
    if wrapper::looks_like_record(text) {
        return wrapper::from_record(text).map(OwnedEvidence::from);
    }
    let members = if text.starts_with('{') { Some(Members::parse(text).map_err(of_evidence)?) } else { None };
    if let Some(members) = &members {
        if wrapper::is_envelope(members) {
            return wrapper::from_envelope(text).map(OwnedEvidence::from);
        }
        if aci::is_it(members) {
            return aci::unwrap(members).map(OwnedEvidence::from);
        }
        if members.has("outblob") {
            return from_blobs(&tsm::from_json(members)?, insist);
        }
        if let Some(named) = lookalike::more_than_its_evidence(members) {
            return Err(wrapper::unrecognised(named));
        }
    }
    let (found, agents) = (member::only_one(text)?, members.as_ref().map(coco::inside).unwrap_or_default());
    let found = match (found, agents.as_slice()) {
        // Of a TD the agent's answer holds a quote in text, and the log of the boot beside it.
        (found, [(place, answer)]) if found.as_ref().map_or(true, |found| found.place == format!("{place}.quote")) => {
            return Ok(OwnedEvidence { member: Some(shown(place)), ..coco::unwrap(answer)?.into() });
        }
        (Ok(found), []) => {
            let evidence = from_raw(&found.bytes, insist, found.form())?;
            return Ok(OwnedEvidence { member: found.member(), ..evidence });
        }
        (Err(found), []) => found,
        (_, many) => {
            let places: Vec<_> = many.iter().map(|(place, _)| format!("`{}`", shown(place))).collect();
            return Err(wrapper::unrecognised(format!(
                "JSON that holds evidence in more than one place, answers of the attestation agent in {} among it: pass one of them \
                 alone (`jq .MEMBER FILE | teegate verify -`)",
                places.join(", ")
            )));
        }
    };
    if endorsements::statements(text.as_bytes()).is_ok() {
        return Err(wrapper::unrecognised("an endorsement, not evidence"));
    }
    let named = members.as_ref().map_or_else(|| "JSON without evidence in it".to_owned(), lookalike::describe);
    Err(wrapper::unrecognised(match member::described(&found) {
        Some(beginning) => format!("{named}; {beginning}"),
        None => named,
    }))
}

/// The files of a configfs-tsm report in one document.
fn from_blobs(blobs: &Blobs, insist: Option<Tee>) -> Result<OwnedEvidence, Defect> {
    let evidence = from_raw(&blobs.outblob, insist, blobs.form)?;
    Ok(evidence.with_statements(blobs.auxblob.as_deref().map(tsm::statements).transpose()?.unwrap_or_default()))
}

/// Whether bytes out of base64, which any word may be, are evidence, or of a length that evidence may have and insisted on.
fn is_evidence(decoded: &[u8], insist: Option<Tee>) -> bool {
    let body = from_firmware_response(decoded).unwrap_or(decoded);
    let long_enough = insist.is_some() && decoded.len() >= SHORTEST_INSISTED;
    begins_like(body).is_some() || body.len() == SNP_REPORT_BYTES || long_enough
}

/// What a paravisor's report alone is called: a quote of its vTPM is missing, without which it says nothing of the guest.
const HCL_FORM: &str = "a paravisor's report (HCL) without the quote of its vTPM";

/// Longer than what is base64 by accident, and shorter than any evidence that was cut to pieces.
const SHORTEST_INSISTED: usize = 128;

fn from_raw(bytes: &[u8], insist: Option<Tee>, form: &'static str) -> Result<OwnedEvidence, Defect> {
    if let Some(found) = azure_vtpm::alone(bytes, HCL_FORM) {
        return Ok(found.into());
    }
    // Whatever is insisted on, what is known to be something else is none of it.
    if lookalike::blob(bytes).is_some() {
        return Err(unrecognised(bytes));
    }
    if let Some(report) = from_firmware_response(bytes) {
        return from_raw(report, insist, "firmware response (MSG_REPORT_RSP)");
    }
    // Insisting decides what the bytes leave open. What they rule out stands, so that insisting on the wrong platform is noticed.
    let tee = match (begins_like(bytes), insist) {
        (Some(_), Some(insisted)) if could_be(insisted, bytes) => insisted,
        (Some(named), _) => named,
        (None, Some(_)) if looks_like_der(bytes) && endorsements::statements(bytes).is_ok() => {
            return Err(unrecognised(bytes));
        }
        (None, Some(insisted)) => insisted,
        (None, None) if bytes.len() == SNP_REPORT_BYTES => Tee::SevSnp,
        (None, None) => return Err(unrecognised(bytes)),
    };
    let (bytes, statements) = match tee {
        Tee::SevSnp => split_certificate_table(bytes)?,
        _ => (bytes, Vec::new()),
    };
    Ok(OwnedEvidence::new(tee, bytes.to_vec(), form).with_statements(statements))
}

/// What the guest device answers: status u32 (0), length u32 of the report, 24 reserved bytes, the report, and a buffer's zeros
/// behind it. AMD 56860 rev. 1.58, MSG_REPORT_RSP. The report is taken out of it only when nothing else is in it.
fn from_firmware_response(bytes: &[u8]) -> Option<&[u8]> {
    const HEADER: [u8; 32] = {
        let mut header = [0; 32];
        let [_, _, _, _, low, high, ..] = &mut header;
        (*low, *high) = (0xA0, 0x04);
        header
    };
    let (report, padding) = bytes.strip_prefix(&HEADER)?.split_at_checked(SNP_REPORT_BYTES)?;
    padding.iter().all(|byte| *byte == 0).then_some(report)
}

/// An extended guest request answers the report and, behind it, the host's certificate table: with no certificates, that is the
/// entry that ends it and padding, all zeros. Anything else behind a report stays with it, for the verifier to refuse.
fn split_certificate_table(bytes: &[u8]) -> Result<(&[u8], Vec<Statement>), Defect> {
    match bytes.split_at_checked(SNP_REPORT_BYTES) {
        Some((report, table)) if looks_like_table(table) => Ok((report, certificate_table::statements(table)?)),
        Some((report, table)) if is_empty_table(table) => Ok((report, Vec::new())),
        _ => Ok((bytes, Vec::new())),
    }
}

/// The files of one request under `/sys/kernel/config/tsm/report/`: `outblob` is the evidence, `auxblob` the certificate table
/// of an SNP host. Linux, Documentation/ABI/testing/configfs-tsm-report.
fn from_configfs_tsm(folder: &Path, insist: Option<Tee>) -> Result<OwnedEvidence, IntakeError> {
    let outblob = folder.join("outblob");
    if !outblob.exists() {
        let defect = Defect::Unrecognised {
            found: "a folder without `outblob`".to_owned(),
            expected: "a configfs-tsm report folder, or a file",
            remedy: "name the file that holds the report or quote; certificates and collateral go to `--endorsements`",
        };
        return Err(IntakeError::new(folder.display().to_string(), defect));
    }
    let bytes = files::read(&outblob)?;
    let mut evidence = recognise(&bytes, insist).map_err(|error| error.named(outblob.display().to_string()))?;
    evidence.form = "configfs-tsm folder";
    let auxblob = folder.join("auxblob");
    if auxblob.exists() {
        let statements = tsm::statements(&files::read(&auxblob)?)
            .map_err(|defect| IntakeError::new(auxblob.display().to_string(), defect))?;
        return Ok(evidence.with_statements(statements));
    }
    Ok(evidence)
}

fn unrecognised(bytes: &[u8]) -> Defect {
    let text = std::str::from_utf8(bytes).ok().map(str::trim);
    let decoded = text.and_then(encoded::decode);
    let inside = decoded.as_ref().map_or(bytes, |decoded| decoded.bytes.as_slice());
    let found = if bytes.is_empty() {
        "an empty file".to_owned()
    } else if let Some(named) = lookalike::blob(inside) {
        named.to_owned()
    } else if text.is_some_and(lookalike::is_token) {
        lookalike::TOKEN.to_owned()
    } else {
        match (endorsements::statements(bytes).as_deref(), decoded) {
            (Ok(statements @ [_, ..]), _) => {
                let is_pem = text.is_some_and(pem::looks_like_pem);
                ra_tls::describe(statements, is_pem).unwrap_or_else(|| "an endorsement, not evidence".to_owned())
            }
            (_, Some(Decoded { bytes: inside, form })) if inside.len() >= SHORTEST_INSISTED => {
                format!("{form} of {}", beginning(&inside))
            }
            _ => beginning(bytes),
        }
    };
    Defect::Unrecognised {
        found,
        expected: "an SEV-SNP report (1,184 bytes, version 2 to 5), a TDX quote (version 4 or 5), either as hexadecimal, base64 or a \
                   hex dump, a CMW in JSON or CBOR, CoCo evidence JSON, JSON with one of them in a member, an attestation of Google's \
                   Go libraries in binary, a teegate bundle, or a configfs-tsm report as folder, JSON or CBOR",
        remedy: "pass the evidence as the platform gave it; `teegate record --into DIR` takes it on a TEE, and certificates and \
                 collateral go to `--endorsements`",
    }
}

fn beginning(bytes: &[u8]) -> String {
    format!("{} bytes that begin with {}", bytes.len(), hex::encode(bytes.get(..8).unwrap_or(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use teegate_encoding::base64;

    use crate::first_bytes::INTEL_QE_VENDOR_ID;

    fn snp(length: usize, version: u8) -> Vec<u8> {
        let mut bytes = vec![0xEE; length];
        bytes[..4].copy_from_slice(&[version, 0, 0, 0]);
        bytes
    }

    fn quote(version: u8, tee_type: u8) -> Vec<u8> {
        let mut bytes = vec![0; 700];
        bytes[..8].copy_from_slice(&[version, 0, 2, 0, tee_type, 0, 0, 0]);
        bytes[12..28].copy_from_slice(&INTEL_QE_VENDOR_ID);
        bytes
    }

    #[test]
    fn a_report_is_recognised_at_any_length_and_version_so_that_the_verifier_may_refuse_it() {
        for (length, version) in [(1_184, 2), (1_184, 5), (1_185, 2), (793, 2), (1_184, 1), (1_184, 9), (4, 3)] {
            let bytes = snp(length, version);
            let evidence = recognise(&bytes, None).unwrap();
            assert_eq!((evidence.tee, evidence.bytes), (Tee::SevSnp, bytes), "{length} {version}");
        }
        // The length of a report alone is enough too.
        assert_eq!(recognise(&[0xEE; 1_184], None).unwrap().tee, Tee::SevSnp);
    }

    #[test]
    fn a_quote_is_recognised_with_what_follows_it() {
        for bytes in
            [quote(4, 0x81), quote(5, 0x81), quote(3, 0), quote(4, 0), [quote(4, 0x81), vec![0; 3_065]].concat()]
        {
            let evidence = recognise(&bytes, None).unwrap();
            assert_eq!((evidence.tee, evidence.bytes), (Tee::Tdx, bytes));
        }
    }

    #[test]
    fn hexadecimal_is_the_same_evidence() {
        for bytes in [snp(1_184, 2), snp(793, 2), quote(4, 0x81)] {
            let digits = hex::encode(&bytes);
            let wrapped: String =
                digits.as_bytes().chunks(64).flat_map(|line| [line, b"\n"].concat()).map(char::from).collect();
            for text in [digits.clone(), format!("0x{digits}\n"), wrapped, digits.to_uppercase()] {
                let evidence = recognise(text.as_bytes(), None).unwrap();
                assert_eq!((&evidence.bytes, evidence.form), (&bytes, "hexadecimal text"));
            }
        }
    }

    /// Most services hand a report or quote out so. A platform that is insisted on changes nothing but what it is cut to.
    #[test]
    fn base64_is_the_same_evidence() {
        let behind = [snp(1_184, 3), vec![0; 48]].concat();
        for bytes in [snp(1_184, 2), snp(793, 2), quote(4, 0x81), quote(5, 0x81), behind] {
            let encoded = base64::encode(&bytes);
            let url = encoded.replace('+', "-").replace('/', "_");
            let wrapped: String =
                encoded.as_bytes().chunks(64).flat_map(|line| [line, b"\r\n"].concat()).map(char::from).collect();
            let bare = url.trim_end_matches('=').to_owned();
            for text in
                [encoded.clone(), format!("{encoded}\n"), wrapped, url, bare, encoded.trim_end_matches('=').to_owned()]
            {
                let evidence = recognise(text.as_bytes(), None).unwrap();
                assert_eq!((evidence.tee, evidence.form), (recognise(&bytes, None).unwrap().tee, "base64 text"));
                assert_eq!(evidence.bytes, recognise(&bytes, None).unwrap().bytes);
                assert_eq!(recognise(text.as_bytes(), Some(evidence.tee)).unwrap().bytes, evidence.bytes);
            }
        }
        let cut = base64::encode(&quote(9, 0x81)[..200]);
        assert_eq!(recognise(cut.as_bytes(), Some(Tee::Tdx)).unwrap().bytes.len(), 200);
        // Words are base64 too, and nobody's quote.
        for words in ["plainwords", "deadbeefdeadbeeg"] {
            for insist in [None, Some(Tee::SevSnp), Some(Tee::Tdx)] {
                let error = recognise(words.as_bytes(), insist).unwrap_err();
                assert!(matches!(error.defect(), Defect::Unrecognised { .. }), "{words} {insist:?}: {error}");
            }
        }
    }

    /// Whoever hands in evidence is told what to do with evidence. The twin is read as an endorsement, and told what helps there.
    #[test]
    fn json_that_is_broken_as_evidence_is_not_answered_as_an_endorsement() {
        for twice in [
            r#"{"version":1,"version":2,"tpm_quote":{},"hcl_report":""}"#,
            r#"{"UVM_SECURITY_POLICY":"cA==","UVM_SECURITY_POLICY":"cA==","report":"0203"}"#,
        ] {
            let error = recognise(twice.as_bytes(), None).unwrap_err().to_string();
            assert!(
                error.contains("stands twice") && error.contains("save the evidence as the attester answered it"),
                "{error}"
            );
            assert!(!error.contains("vendor"), "{error}");
        }
        let error = recognise(br#"{"outblob":1}"#, None).unwrap_err().to_string();
        assert!(error.contains("`outblob` is not a string; save the evidence as the attester answered it"), "{error}");
        let twin = endorsements::statements(br#"{"vcekCert":"","vcekCert":""}"#).unwrap_err().to_string();
        assert!(twin.contains("save the vendor's answer as it was sent"), "{twin}");
    }

    #[test]
    fn insisting_decides_what_the_bytes_leave_open_and_nothing_else() {
        assert_eq!(recognise(b"\xFFno idea", Some(Tee::SevSnp)).unwrap().tee, Tee::SevSnp);
        assert_eq!(recognise(b"\xFFno idea", Some(Tee::Tdx)).unwrap().tee, Tee::Tdx);
        let error = recognise(&quote(4, 0x81), Some(Tee::SevSnp)).unwrap_err();
        assert!(matches!(error.defect(), Defect::OtherTee { expected: "sev-snp", actual: "tdx" }), "{error}");
        assert!(recognise(&quote(4, 0x81), Some(Tee::Tdx)).is_ok());
        let error = recognise(&snp(1_184, 3), Some(Tee::Tdx)).unwrap_err();
        assert!(matches!(error.defect(), Defect::OtherTee { expected: "tdx", actual: "sev-snp" }), "{error}");
    }

    #[test]
    fn a_report_of_a_guest_with_security_version_129_is_no_quote() {
        for version in [4, 5] {
            let mut report = snp(1_184, version);
            report[4..8].copy_from_slice(&[0x81, 0, 0, 0]);
            for insist in [None, Some(Tee::SevSnp)] {
                assert_eq!(recognise(&report, insist).unwrap().tee, Tee::SevSnp, "{version} {insist:?}");
            }
            // Even one that carries what looks like Intel's vendor id is a report to whoever insists.
            report[12..28].copy_from_slice(&INTEL_QE_VENDOR_ID);
            assert_eq!(recognise(&report, Some(Tee::SevSnp)).unwrap().tee, Tee::SevSnp);

            for key_type in [2, 3] {
                let header = [version, 0, key_type, 0, 0x81, 0, 0, 0];
                assert_eq!(recognise(&header, None).unwrap().tee, Tee::Tdx, "{version} {key_type}");
            }
        }
    }

    #[test]
    fn a_quote_with_an_unknown_key_type_reaches_the_verifier() {
        for key_type in [0, 1, 4, 0xFF] {
            let mut bytes = quote(4, 0x81);
            bytes[2] = key_type;
            assert_eq!(recognise(&bytes, None).unwrap().tee, Tee::Tdx, "{key_type}");
            bytes[12..28].fill(0);
            let evidence = recognise(&bytes, Some(Tee::Tdx)).unwrap();
            assert_eq!((evidence.tee, &evidence.bytes), (Tee::Tdx, &bytes), "{key_type}");
            let refused = teegate_verifier::inspect(Tee::Tdx, &evidence.bytes).unwrap_err();
            assert_eq!(refused.check().id(), "tdx.bytes.header", "{key_type}");
        }
    }

    #[test]
    fn the_table_behind_a_report_becomes_endorsements_and_other_bytes_stay() {
        let list = hex::decode("3009300730003000180132").unwrap();
        let crl_guid = hex::decode("92f81bc358114d3d97ffd19f88dc67ea").unwrap();
        let table = [&crl_guid[..], &[48, 0, 0, 0, 11, 0, 0, 0], &[0; 24], &list].concat();
        let evidence = recognise(&[snp(1_184, 3), table.clone()].concat(), None).unwrap();
        assert_eq!((evidence.bytes.len(), evidence.endorsements.len()), (1_184, 1));

        for (behind, left) in
            [(vec![0; 24], 1_184), (vec![0; 4_096], 1_184), (vec![0; 23], 1_207), (vec![7; 24], 1_208)]
        {
            let evidence = recognise(&[snp(1_184, 3), behind].concat(), None).unwrap();
            assert_eq!((evidence.bytes.len(), evidence.endorsements.len()), (left, 0));
        }

        let error = recognise(&[snp(1_184, 3), table[..40].to_vec()].concat(), None).unwrap_err();
        assert!(matches!(error.defect(), Defect::Broken { kind: "SNP certificate table", .. }), "{error}");
    }

    #[test]
    fn the_report_is_taken_out_of_a_firmware_response_that_holds_nothing_else() {
        let report = snp(1_184, 2);
        let response = [&[0, 0, 0, 0, 0xA0, 4, 0, 0][..], &[0; 24], &report, &[0; 2_784]].concat();
        let evidence = recognise(&response, None).unwrap();
        assert_eq!((evidence.bytes, evidence.form), (report, "firmware response (MSG_REPORT_RSP)"));
        // A failed request, another length, a filled reserved byte, something behind the report: not taken apart.
        for position in [0, 4, 8, 3_999] {
            let mut other = response.clone();
            other[position] ^= 0x10;
            assert!(matches!(recognise(&other, None).unwrap_err().defect(), Defect::Unrecognised { .. }), "{position}");
        }
    }

    #[test]
    fn a_configfs_folder_is_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let error = load(folder.path(), None).unwrap_err();
        assert!(error.to_string().contains("a folder without `outblob`"), "{error}");
        std::fs::write(folder.path().join("outblob"), snp(1_184, 3)).unwrap();
        std::fs::write(folder.path().join("auxblob"), [0; 4_096]).unwrap();
        let evidence = load(folder.path(), None).unwrap();
        assert_eq!((evidence.form, evidence.endorsements.len()), ("configfs-tsm folder", 0));
        std::fs::write(folder.path().join("auxblob"), hex::decode("3009300730003000180132").unwrap()).unwrap();
        assert_eq!(load(folder.path(), None).unwrap().endorsements.len(), 1);
    }

    #[test]
    fn what_is_no_evidence_says_what_was_found_and_expected() {
        let text = base64::encode([0x41; 200]);
        for (bytes, found) in [
            (text.as_bytes(), "base64 text of 200 bytes that begin with 4141414141414141"),
            (&b""[..], "an empty file"),
            (b"\xFF\xFE\xFD", "3 bytes that begin with fffefd"),
            (b"plain words", "11 bytes that begin with 706c61696e20776f"),
            (&[0x30, 9, 0x30, 7, 0x30, 0, 0x30, 0, 0x18, 1, b'2'], "an endorsement, not evidence"),
        ] {
            let error = recognise(bytes, None).unwrap_err().to_string();
            assert!(error.contains(found) && error.contains("expected an SEV-SNP report"), "{error}");
            assert!(!error.contains("--tee"), "no flag makes evidence of it: {error}");
        }
    }
}
