//! Intel's collateral in one file, as tools keep it: the answers of Intel's service with their names changed, and each blob in a spelling of
//! its own. Three shapes: the `dcap-qvl` tools (`QuoteCollateralV3`), Intel's library (`sgx_ql_qve_collateral_t` as JSON), and Intel's
//! administrator tools (`platform_collaterals.json`, PCCS admin tool and PCS client tool).

use teegate_encoding::hex;

use crate::answer::{from_pem, signed};
use crate::encoded;
use crate::error::Defect;
use crate::json::{Members, broken, without_white_space};
use crate::pem;
use crate::statement::Statement;
use crate::words::{said, shown};

/// Whether these are members of the first two shapes.
pub(crate) fn is_of_a_quote(members: &Members<'_>) -> bool {
    members.has("tcb_info_signature") || (members.has("tcb_info") && members.has("qe_identity"))
}

/// Collateral of one quote. `dcap-qvl` keeps each signed body apart from its signature, Intel's library the whole answer.
pub(crate) fn of_a_quote(members: &Members<'_>) -> Result<Vec<Statement>, Defect> {
    let mut statements = Vec::new();
    for (name, signature, build) in [
        ("tcb_info", "tcb_info_signature", (|body, signature| Statement::TcbInfo { body, signature }) as fn(_, _) -> _),
        ("qe_identity", "qe_identity_signature", |body, signature| Statement::QeIdentity { body, signature }),
    ] {
        let text = textual(members, name)?;
        if members.has(signature) {
            statements.push(build(text, signature_of(members, signature)?));
        } else {
            statements.extend(answer(name, &text)?);
        }
    }
    for list in ["root_ca_crl", "pck_crl"] {
        statements.extend(documents(members, list)?);
    }
    for chain in ["pck_crl_issuer_chain", "tcb_info_issuer_chain", "qe_identity_issuer_chain"] {
        statements.extend(from_pem(&textual(members, chain)?)?);
    }
    // Only evidence that carries no chain of its own needs this one; writers send it as absent, `null` or text.
    if members.has("pck_certificate_chain") && members.raw("pck_certificate_chain")? != "null" {
        statements.extend(from_pem(&textual(members, "pck_certificate_chain")?)?);
    }
    Ok(statements)
}

/// Intel's answer, signature included, where a body without one could stand.
fn answer(name: &str, text: &str) -> Result<Vec<Statement>, Defect> {
    signed(&Members::parse(text.trim_end_matches(BLANK))?)?.ok_or_else(|| {
        broken(format!("member `{name}_signature` is missing, and `{name}` is not the answer that includes it"))
    })
}

/// What `collaterals` of an administrator tool holds: answers, chains and lists by platform, each known by its content. Those tools take
/// the answers apart and write them indented; Intel's text has no white space, so that leaving it out gives the signed bytes back.
pub(crate) fn of_platforms(collaterals: &str) -> Result<Vec<Statement>, Defect> {
    let mut statements = Vec::new();
    gather("collaterals", collaterals, &mut statements)?;
    if statements.is_empty() {
        return Err(broken("`collaterals` holds no collateral".to_owned()));
    }
    Ok(statements)
}

/// `name` is that of the member which holds `text`.
fn gather(name: &str, text: &str, into: &mut Vec<Statement>) -> Result<(), Defect> {
    match text.as_bytes().first() {
        Some(b'{') => {
            let members = Members::parse(text)?;
            if members.has("signature") && (members.has("tcbInfo") || members.has("enclaveIdentity")) {
                into.extend(signed(&Members::parse(&without_white_space(text))?)?.unwrap_or_default());
                return Ok(());
            }
            members.each().try_for_each(|(name, value)| gather(name, value, into))
        }
        Some(b'[') => {
            let elements: Vec<&serde_json::value::RawValue> =
                serde_json::from_str(text).map_err(|cause| broken(said(&cause)))?;
            elements.iter().try_for_each(|element| gather(name, element.get(), into))
        }
        Some(b'"') => {
            let text: String = serde_json::from_str(text).map_err(|cause| broken(said(&cause)))?;
            if pem::looks_like_pem(&text) {
                into.extend(from_pem(&text)?);
            } else if name.to_ascii_lowercase().ends_with("crl") && !text.is_empty() {
                // Encrypted ids and TCBs stand there in hexadecimal as well; a list is the only blob of that kind that is wanted.
                let der = hex::decode(&text)
                    .map_err(|cause| broken(format!("`{}` is not hexadecimal: {cause}", shown(name))))?;
                into.push(Statement::from_der(der)?);
            } else if text.starts_with('{') {
                into.extend(signed(&Members::parse(text.trim_end_matches(BLANK))?)?.unwrap_or_default());
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// C strings keep their NUL, and some their line end.
const BLANK: [char; 5] = [' ', '\t', '\r', '\n', '\0'];

/// Text, or the bytes of text in a spelling of bytes.
fn textual(members: &Members<'_>, name: &str) -> Result<String, Defect> {
    let raw = members.raw(name)?;
    // Whoever keeps the answer as an object has it as it was sent, if nobody wrote it again.
    if raw.starts_with('{') {
        return Ok(raw.to_owned());
    }
    if let Ok(text) = members.text(name)
        && (text.trim_start().starts_with('{') || pem::looks_like_pem(&text))
    {
        return Ok(text);
    }
    let neither = || broken(format!("member `{name}` is neither text nor the bytes of text"));
    String::from_utf8(spelt(members, name)?.ok_or_else(neither)?).map_err(|_| neither())
}

/// A revocation list: PEM, or DER in a spelling of bytes.
fn documents(members: &Members<'_>, name: &str) -> Result<Vec<Statement>, Defect> {
    let is_pem = |text: &String| pem::looks_like_pem(text);
    if let Some(text) = members.text(name).ok().filter(is_pem) {
        return from_pem(&text);
    }
    let bytes = spelt(members, name)?.ok_or_else(|| {
        broken(format!("member `{name}` is neither PEM, hexadecimal, base64 nor an array of byte numbers"))
    })?;
    // Hexadecimal of Intel's caching service is itself sent as bytes by some.
    let inner = std::str::from_utf8(&bytes).ok().and_then(|text| hex::decode(text.trim_end_matches(BLANK)).ok());
    Ok(vec![Statement::from_der(inner.unwrap_or(bytes))?])
}

fn signature_of(members: &Members<'_>, name: &str) -> Result<[u8; 64], Defect> {
    let bytes = spelt(members, name)?.ok_or_else(|| {
        broken(format!("member `{name}` is neither hexadecimal, base64 nor an array of byte numbers"))
    })?;
    let length = bytes.len();
    bytes.try_into().map_err(|_| broken(format!("member `{name}` holds {length} bytes, a signature has 64")))
}

/// Bytes in hexadecimal, base64 or as an array of numbers; `None` where the member is none of them.
fn spelt(members: &Members<'_>, name: &str) -> Result<Option<Vec<u8>>, Defect> {
    let raw = members.raw(name)?;
    if raw.starts_with('[') {
        return Ok(serde_json::from_str(raw).ok());
    }
    let text = members.text(name)?;
    Ok(encoded::decode(text.trim_end_matches(BLANK)).map(|decoded| decoded.bytes))
}
