//! JSON that is no form of evidence which is read here, named for what it looks like. Attesters wrap reports and quotes in shapes of
//! their own, and *save it as it was sent* is no help to whoever did. Where the raw bytes lie in it in text, their place is said.

use crate::encoded;
use crate::first_bytes::begins_like;
use crate::json::Members;
use crate::words::shown;

/// How deep the raw bytes are looked for, and among how many members at each level.
const DEPTH: usize = 4;
/// So many names of an unknown object are repeated, each cut.
const NAMES: usize = 6;

/// What the object looks like.
pub(crate) fn describe(members: &Members<'_>) -> String {
    let inner = members.raw("evidence").ok().and_then(|text| Members::parse(text).ok());
    let has = |name: &str| members.has(name) || inner.as_ref().is_some_and(|inner| inner.has(name));
    let is_list = members.raw("evidence").is_ok_and(|text| text.starts_with('['));
    let found = if has("hcl_report") || has("tpm_quote") {
        "evidence of an Azure vTPM (`hcl_report`, `tpm_quote`), which this release does not read yet".to_owned()
    } else if has("outblob") {
        "the blobs of configfs-tsm in JSON (`outblob`), which this release does not read yet; the folder itself is read"
            .to_owned()
    } else if members.has("instances") {
        "a gateway's listing (`instances`), not evidence: one of its `envelope`s is".to_owned()
    } else if inner.as_ref().is_some_and(|inner| inner.has("Snp") || inner.has("Tdx")) {
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
    };
    match raw(members, DEPTH) {
        Some((place, what)) => format!("{found}; `{}` in it holds {what}", shown(&place)),
        None => found,
    }
}

/// Where in the object evidence lies in text, and what it is.
fn raw(members: &Members<'_>, depth: usize) -> Option<(String, String)> {
    members.each().find_map(|(name, text)| {
        let (place, what) = value(text, depth)?;
        Some((format!("{name}{place}"), what))
    })
}

fn value(text: &str, depth: usize) -> Option<(String, String)> {
    let depth = depth.checked_sub(1)?;
    match text.chars().next()? {
        '"' => {
            let text: String = serde_json::from_str(text).ok()?;
            let encoded::Decoded { bytes, form } = encoded::decode(&text)?;
            let tee = begins_like(&bytes)?;
            let kind = if tee == teegate_verifier::Tee::Tdx { "a TDX quote" } else { "an SEV-SNP report" };
            let form = if form == encoded::BASE64 { "base64" } else { "hexadecimal" };
            Some((String::new(), format!("{kind} in {form}: pass that text alone")))
        }
        '{' => raw(&Members::parse(text).ok()?, depth).map(|(place, what)| (format!(".{place}"), what)),
        '[' => {
            let items: Vec<&serde_json::value::RawValue> = serde_json::from_str(text).ok()?;
            let mut numbered = items.iter().take(DEPTH).enumerate();
            numbered.find_map(|(number, item)| {
                let (place, what) = value(item.get(), depth)?;
                Some((format!("[{number}]{place}"), what))
            })
        }
        _ => None,
    }
}
