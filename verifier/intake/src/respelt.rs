//! Signed text that a program has read and written again. Intel's signature is over the very bytes that Intel served, so it cannot hold
//! over these; that is another fault than a signature that does not fit, and the verifier, which sees bytes, cannot tell the two apart.
//! Nothing is decided here: it is for whoever wonders why a signature fails.

use crate::json::{Members, without_white_space};
use crate::statement::Statement;

/// The members of Intel's texts in the order in which Intel writes them. PCS API version 4; what is not in the list may stand anywhere.
const TCB_INFO: [&str; 11] = [
    "id",
    "version",
    "issueDate",
    "nextUpdate",
    "fmspc",
    "pceId",
    "tcbType",
    "tcbEvaluationDataNumber",
    "tdxModule",
    "tdxModuleIdentities",
    "tcbLevels",
];
const QE_IDENTITY: [&str; 12] = [
    "id",
    "version",
    "issueDate",
    "nextUpdate",
    "tcbEvaluationDataNumber",
    "miscselect",
    "miscselectMask",
    "attributes",
    "attributesMask",
    "mrsigner",
    "isvprodid",
    "tcbLevels",
];

/// How the text of the statement differs from any that Intel writes; `None` where it does not, or where nothing is signed as text.
pub(crate) fn how(statement: &Statement) -> Option<&'static str> {
    let (body, order) = match statement {
        Statement::Certificate(_) | Statement::Crl(_) => return None,
        Statement::TcbInfo { body, .. } => (body, &TCB_INFO[..]),
        Statement::QeIdentity { body, .. } => (body, &QE_IDENTITY[..]),
    };
    if without_white_space(body).len() != body.len() {
        return Some("it has white space between its members, which Intel's text has not");
    }
    let members = Members::parse(body).ok()?;
    let places: Vec<_> = members.names().filter_map(|name| order.iter().position(|known| *known == name)).collect();
    (!places.is_sorted()).then_some("its members stand in another order than Intel writes them in")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_and_another_order_are_told_apart_from_intel_s_own_spelling() {
        let tcb_info = |body: &str| how(&Statement::TcbInfo { body: body.to_owned(), signature: [0; 64] });
        let identity = |body: &str| how(&Statement::QeIdentity { body: body.to_owned(), signature: [0; 64] });
        for text in [
            "{}",
            r#"{"id":"TDX","version":3,"issueDate":"a b"}"#,
            r#"{"id":"x","new":1,"version":2,"tcbLevels":[1,2]}"#,
        ] {
            assert_eq!((tcb_info(text), identity(text)), (None, None), "{text}");
        }
        for text in [r#"{"id": 1}"#, "{\n}", r#"{"tcbLevels":[1, 2]}"#] {
            assert!(tcb_info(text).unwrap().contains("white space") && identity(text).unwrap().contains("white space"));
        }
        for text in [r#"{"version":3,"id":"TDX"}"#, r#"{"tcbLevels":[],"a":0,"id":"TDX"}"#] {
            assert!(
                tcb_info(text).unwrap().contains("another order") && identity(text).unwrap().contains("another order")
            );
        }
        assert_eq!(how(&Statement::Crl(b"{ }".to_vec())), None);
    }
}
