//! What is no form of evidence that is read here, named for what it looks like: JSON that attesters wrap evidence in, blobs of other
//! platforms, tokens. *Save it as it was sent* is no help to whoever did.

use crate::json::Members;
use crate::words::shown;

/// So many names of an unknown object are repeated, each cut.
const NAMES: usize = 6;

/// What an object is that must not be read for what it holds, although a report or quote may lie in it: what the evidence is bound to is
/// said by what stands around it.
pub(crate) fn more_than_its_evidence(members: &Members<'_>) -> Option<&'static str> {
    let inner = inner(members);
    let has = |name: &str| members.has(name) || inner.as_ref().is_some_and(|inner| inner.has(name));
    if has("hcl_report") || has("tpm_quote") {
        Some(
            "a part of the evidence of an Azure vTPM: expected `hcl_report` and `tpm_quote` in one object, as the agent answers",
        )
    } else if is_tpm_quote(members) || inside(members, "quote").is_some_and(|quote| is_tpm_quote(&quote)) {
        Some(
            "a TPM quote (`message`, `pcrs`) without the paravisor's report, as evidence of an Azure vTPM has it beside the quote",
        )
    } else if members.has("vm-configuration") {
        Some("the runtime claims of an Azure HCL report (`vm-configuration`), which are bound by a report and are none")
    } else if members.has("instances") {
        Some("a gateway's listing (`instances`), not evidence: one of its `envelope`s is")
    } else {
        None
    }
}

/// What the object looks like.
pub(crate) fn describe(members: &Members<'_>) -> String {
    let inner = inner(members);
    let is_list = members.raw("evidence").is_ok_and(|text| text.starts_with('['));
    if inner.as_ref().is_some_and(|inner| inner.has("Snp") || inner.has("Tdx")) {
        "an attestation request of COCONUT-SVSM (`evidence.Snp`)".to_owned()
    } else if members.has("platform") && inner.is_some() {
        "the platform envelope of attestation-rs (`platform`, `evidence`)".to_owned()
    } else if is_list {
        "a list under `evidence`, one entry for each device".to_owned()
    } else {
        let names: Vec<_> = members.names().take(NAMES).map(|name| format!("`{}`", shown(name))).collect();
        let more = if members.names().count() > NAMES { ", …" } else { "" };
        match names.as_slice() {
            [] => "an empty JSON object".to_owned(),
            names => {
                format!("a JSON object with {}{more}, without the members of any form of evidence", names.join(", "))
            }
        }
    }
}

fn inner<'a>(members: &Members<'a>) -> Option<Members<'a>> {
    inside(members, "evidence")
}

fn inside<'a>(members: &Members<'a>, name: &str) -> Option<Members<'a>> {
    members.raw(name).ok().and_then(|text| Members::parse(text).ok())
}

fn is_tpm_quote(members: &Members<'_>) -> bool {
    members.has("message") && members.has("pcrs")
}

/// Blobs that belong to attestation and are no report or quote, by their first bytes.
pub(crate) fn blob(bytes: &[u8]) -> Option<&'static str> {
    const TDREPORT_BYTES: usize = 1_024;
    const SHORTEST_TEXT: usize = 16;
    match bytes {
        [b'H', b'C', b'L', b'A', ..] => {
            Some("an Azure HCL report (`HCLA`) of neither SEV-SNP nor TDX, or cut before it says which")
        }
        [0xFF, b'T', b'C', b'G', 0x80, 0x18, ..] => Some(
            "a TPM quote (`TPMS_ATTEST`), which says nothing without the paravisor's report and the values of the registers",
        ),
        [0x81, 0, 0 | 1, 0, ..] if bytes.len() == TDREPORT_BYTES => Some(
            "a TD report (`TDREPORT`), which only its own machine can check; what is verified is the quote that the quoting enclave makes \
             of it",
        ),
        // The tag of a token of Arm's Confidential Compute Architecture (399).
        [0xD9, 0x01, 0x8F, ..] => Some("an attestation token of Arm CCA, which this release does not read"),
        // SPDM 1.1, GET_MEASUREMENTS of everything, with a signature.
        [0x11, 0xE0, 0x01, 0xFF, ..] => {
            Some("an SPDM exchange, as an NVIDIA GPU attests, which says nothing of the guest and is not read yet")
        }
        // A mark of order, and a first character of ASCII.
        [0xFF, 0xFE, _, 0, ..] | [0xFE, 0xFF, 0, _, ..] if bytes.len() >= SHORTEST_TEXT => {
            Some("text in UTF-16, as PowerShell redirects it: write it as UTF-8 or ASCII (`Out-File -Encoding ascii`)")
        }
        // COSE_Sign1, with or without its tag, whose protected header says ES384.
        [0xD2, 0x84, 0x44, 0xA1, 0x01, 0x38, 0x22, ..] | [0x84, 0x44, 0xA1, 0x01, 0x38, 0x22, ..] => {
            Some("a document in COSE, as AWS Nitro attests, which this release does not read")
        }
        _ => None,
    }
}

/// Three parts of base64url, the first of which begins with `{"`: a JSON Web Token.
pub(crate) fn is_token(text: &str) -> bool {
    text.starts_with("eyJ")
        && text.bytes().filter(|byte| *byte == b'.').count() == 2
        && !text.contains(char::is_whitespace)
}

/// What such a token is.
pub(crate) const TOKEN: &str = "a JSON Web Token: what a verifier concluded, and not the evidence that it saw";
