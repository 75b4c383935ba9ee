//! Intel's signed answers, and certificates in PEM: what every container of endorsements is made of.

use crate::error::Defect;
use crate::json::Members;
use crate::pem;
use crate::statement::Statement;

/// Intel's answer to a request for TCB info or a QE identity, with the chain of its signer where it stands beside; `None` where these are
/// members of something else.
pub(crate) fn signed(members: &Members<'_>) -> Result<Option<Vec<Statement>>, Defect> {
    let signed = if members.has("tcbInfo") {
        let (body, signature) = (members.raw("tcbInfo")?.to_owned(), members.signature("signature")?);
        Statement::TcbInfo { body, signature }
    } else if members.has("enclaveIdentity") {
        let (body, signature) = (members.raw("enclaveIdentity")?.to_owned(), members.signature("signature")?);
        Statement::QeIdentity { body, signature }
    } else {
        return Ok(None);
    };
    with_issuer_chain(signed, members).map(Some)
}

/// A signed body, and the chain of its signer where whoever saved the answer put it beside the two members that Intel sends.
/// Tools name that member differently and write it plain or percent-encoded, so it is known by its content.
fn with_issuer_chain(signed: Statement, members: &Members<'_>) -> Result<Vec<Statement>, Defect> {
    let mut statements = vec![signed];
    for text in members.texts().filter(|text| pem::looks_like_pem(text)) {
        statements.extend(from_pem(&text)?);
    }
    Ok(statements)
}

/// The certificates and lists of a text, of which there must be one.
pub(crate) fn from_pem(text: &str) -> Result<Vec<Statement>, Defect> {
    let pem::Blocks { documents, others } = pem::blocks(text)?;
    if documents.is_empty() {
        let labels: Vec<_> = others.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!(" ({})", labels.join(", ")) };
        return Err(unrecognised(format!("PEM blocks{labels}, none of them a `CERTIFICATE` or an `X509 CRL`")));
    }
    documents.into_iter().map(Statement::from_der).collect()
}

/// What is no endorsement.
pub(crate) fn unrecognised(found: impl Into<String>) -> Defect {
    Defect::Unrecognised {
        found: found.into(),
        expected: "a certificate or CRL (DER or PEM), an SNP certificate table, Intel TCB info or QE identity with its `signature`, \
                   collateral as `dcap-qvl`, Intel's library (`sgx_ql_qve_collateral_t`) or Intel's administrator tools \
                   (`platform_collaterals.json`) keep it, or an Azure THIM answer",
        remedy: "`teegate fetch EVIDENCE --into DIR` writes what the evidence needs; leave this file out, or save the vendor's \
                 answer as it was sent",
    }
}
