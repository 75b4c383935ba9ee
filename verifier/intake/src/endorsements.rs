//! Recognises endorsements: certificates, revocation lists and Intel's signed JSON, in the containers that people keep them in.
//!
//! Each is known by its content. What a file says is only put on the right shelf; the verifier finds out who signed it.

use std::path::{Path, PathBuf};

use teegate_encoding::document::looks_like_der;
use teegate_encoding::hex;
use teegate_protocol::certificate_table::looks_like_table;
use teegate_verifier::Endorsements;

use crate::answer::{self, from_pem, unrecognised};
use crate::error::{Defect, IntakeError};
use crate::json::Members;
use crate::statement::Statement;
use crate::{certificate_table, collateral, encoded, files, pem, respelt, saved_response};

/// What the files and folders at `paths` hold.
///
/// A file that was named and holds no endorsement is an error; one that lies in a named folder is passed over
/// (see [`load`] for the list of those).
///
/// # Errors
/// When a path cannot be read, is too large, or holds something that begins like an endorsement and is not well formed.
pub fn load_paths(paths: &[PathBuf]) -> Result<Endorsements, IntakeError> {
    load(paths).map(|loaded| loaded.endorsements())
}

/// The outcome of [`load`].
#[derive(Debug, Default)]
pub struct Loaded {
    /// Everything that was recognised, in the order of the files.
    pub found: Vec<Found>,
    /// Files in named folders that hold no endorsement, each with the reason.
    pub ignored: Vec<IntakeError>,
    /// Signed texts that a program has read and written again, so that no signature of Intel's can hold over them.
    pub respelt: Vec<Respelt>,
}

/// Signed text that is not in its vendor's spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Respelt {
    /// The file, as it was named.
    pub file: String,
    /// `tcb-info` or `qe-identity`.
    pub kind: &'static str,
    /// In what it differs from any text that the vendor writes.
    pub how: &'static str,
}

/// One statement, and the file that held it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The statement.
    pub statement: Statement,
    /// The file, as it was named.
    pub file: String,
}

impl Loaded {
    /// The pool that the verifier chooses from: supplied by the user, each statement with its file.
    #[must_use]
    pub fn endorsements(&self) -> Endorsements {
        self.endorsements_with(|_| None)
    }

    /// The same, where `remark` says more of how a statement comes to count.
    #[must_use]
    pub fn endorsements_with(&self, remark: impl Fn(&Statement) -> Option<String>) -> Endorsements {
        let mut pool = Endorsements::new();
        for Found { statement, file } in &self.found {
            let place = match remark(statement) {
                Some(remark) => format!("{file}, {remark}"),
                None => file.clone(),
            };
            pool = pool.found_in(&place);
            statement.clone().add_to(&mut pool);
        }
        pool
    }

    /// The statements one by one: what a bundle keeps.
    pub fn statements(&self) -> impl Iterator<Item = &Statement> {
        self.found.iter().map(|found| &found.statement)
    }
}

/// As [`load_paths`], with the files that were passed over.
///
/// # Errors
/// As [`load_paths`].
pub fn load(paths: &[PathBuf]) -> Result<Loaded, IntakeError> {
    let mut loaded = Loaded::default();
    for file in files::read_all(paths)? {
        let name = display(&file.path);
        match statements(&file.bytes).map_err(|defect| IntakeError::new(name.clone(), defect)) {
            Err(error) if !file.named && matches!(error.defect(), Defect::Unrecognised { .. }) => {
                loaded.ignored.push(error)
            }
            outcome => {
                let statements = outcome?;
                let respelt =
                    statements.iter().filter_map(|statement| Some((statement.label().kind, respelt::how(statement)?)));
                loaded.respelt.extend(respelt.map(|(kind, how)| Respelt { file: name.clone(), kind, how }));
                let found = |statement| Found { statement, file: name.clone() };
                loaded.found.extend(statements.into_iter().map(found));
            }
        }
    }
    Ok(loaded)
}

fn display(path: &Path) -> String {
    path.display().to_string()
}

/// Adds what `bytes` hold to `into`; `name` is how an error will speak of them. On an error nothing is added.
///
/// # Errors
/// When the content is of no known kind, or announces itself as one and is not well formed.
pub fn recognise(name: &str, bytes: &[u8], into: &mut Endorsements) -> Result<(), IntakeError> {
    let statements = statements(bytes).map_err(|defect| IntakeError::new(name, defect))?;
    for statement in statements {
        statement.add_to(into);
    }
    Ok(())
}

/// What `bytes` hold, one by one; `name` is how an error will speak of them.
///
/// # Errors
/// As [`recognise`].
pub fn read(name: &str, bytes: &[u8]) -> Result<Vec<Statement>, IntakeError> {
    statements(bytes).map_err(|defect| IntakeError::new(name, defect))
}

pub(crate) fn statements(bytes: &[u8]) -> Result<Vec<Statement>, Defect> {
    let Some((header, body)) = saved_response::split(bytes) else { return document(bytes) };
    let chain = match std::str::from_utf8(header) {
        Ok(header) if pem::looks_like_pem(header) => from_pem(header)?,
        _ => Vec::new(),
    };
    // A file of headers alone has said everything with its chain.
    if !chain.is_empty() && body.iter().all(u8::is_ascii_whitespace) {
        return Ok(chain);
    }
    let mut statements = document(body)?;
    statements.extend(chain);
    Ok(statements)
}

/// What one document holds, without the header of the answer that it came in.
fn document(bytes: &[u8]) -> Result<Vec<Statement>, Defect> {
    if looks_like_table(bytes) {
        return certificate_table::statements(bytes);
    }
    let text = std::str::from_utf8(bytes).map(|text| text.trim_start_matches('\u{feff}').trim_matches(BLANK)).ok();
    // A container's security context holds the base64 of a THIM answer, and some keep DER so.
    if let Some(inside) = text.and_then(base64_of_a_document) {
        return plain_document(&inside);
    }
    plain_document(bytes)
}

/// The document that base64 text spells, if it begins like one. Words are base64 as well.
fn base64_of_a_document(text: &str) -> Option<Vec<u8>> {
    let encoded::Decoded { bytes, form } = encoded::decode(text)?;
    let is_text = || {
        std::str::from_utf8(&bytes).is_ok_and(|text| text.trim_start().starts_with('{') || pem::looks_like_pem(text))
    };
    (form == encoded::BASE64 && (looks_like_der(&bytes) || looks_like_table(&bytes) || is_text())).then_some(bytes)
}

fn plain_document(bytes: &[u8]) -> Result<Vec<Statement>, Defect> {
    let text = std::str::from_utf8(bytes).map(|text| text.trim_start_matches('\u{feff}').trim_matches(BLANK)).ok();
    match text {
        Some("") => Err(unrecognised("an empty file")),
        Some(text) if text.starts_with('{') => from_json(text),
        Some(text) if pem::looks_like_pem(text) => from_pem(text),
        // Intel's caching service hands out revocation lists as the hexadecimal of their DER.
        Some(text) if text.starts_with("30") && text.bytes().all(|b| b.is_ascii_hexdigit()) => {
            let document = hex::decode(text).map_err(|_| unrecognised("an odd number of hexadecimal digits"))?;
            Ok(vec![Statement::from_der(document)?])
        }
        _ if looks_like_der(bytes) => Ok(vec![Statement::from_der(bytes.to_vec())?]),
        Some(_) => Err(unrecognised("text without a PEM block or a JSON object")),
        None => {
            Err(unrecognised(format!("{} bytes that begin neither like DER nor like a certificate table", bytes.len())))
        }
    }
}

/// Intel's services and C strings leave a NUL or a line end behind text.
const BLANK: [char; 5] = [' ', '\t', '\r', '\n', '\0'];

fn from_json(text: &str) -> Result<Vec<Statement>, Defect> {
    let members = Members::parse(text)?;
    if let Some(statements) = answer::signed(&members)? {
        Ok(statements)
    } else if collateral::is_of_a_quote(&members) {
        collateral::of_a_quote(&members)
    } else if members.has("collaterals") {
        collateral::of_platforms(members.raw("collaterals")?)
    } else if members.has("vcekCert") {
        from_thim(&members)
    } else {
        Err(unrecognised("a JSON object with none of the members that are looked for"))
    }
}

/// What Azure's host agent (THIM) answers about the processor it runs on.
fn from_thim(members: &Members<'_>) -> Result<Vec<Statement>, Defect> {
    let mut statements = from_pem(&members.text("vcekCert")?)?;
    statements.extend(from_pem(&members.text("certificateChain")?)?);
    Ok(statements)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A revocation list and a certificate in shape only: shelves are what is tested here.
    const CRL_HEX: &str = "3009300730003000180132";
    const CERTIFICATE_PEM: &str = "-----BEGIN CERTIFICATE-----\nMA4wDKADAgECAgEHMAAwAA==\n-----END CERTIFICATE-----\n";

    fn crl() -> Statement {
        Statement::Crl(hex::decode(CRL_HEX).unwrap())
    }

    fn certificate() -> Statement {
        Statement::Certificate(hex::decode("300e300ca003020102020107300030 00".replace(' ', "")).unwrap())
    }

    fn message(bytes: &[u8]) -> String {
        statements(bytes).unwrap_err().to_string()
    }

    #[test]
    fn the_signed_text_is_kept_to_the_byte() {
        let body = r#"{ "id":"TDX" , "version": 3}"#;
        let signature = "5a".repeat(64);
        for (member, expected) in [
            ("tcbInfo", Statement::TcbInfo { body: body.to_owned(), signature: [0x5A; 64] }),
            ("enclaveIdentity", Statement::QeIdentity { body: body.to_owned(), signature: [0x5A; 64] }),
        ] {
            let answer = format!("\n{{\"{member}\":{body},\"signature\":\"{signature}\"}}\n\0");
            assert_eq!(statements(answer.as_bytes()).unwrap(), [expected]);
        }
    }

    #[test]
    fn the_chain_of_the_signer_is_read_where_it_was_saved_with_the_answer() {
        let body = format!("{{\"tcbInfo\":{{}},\"signature\":\"{}\"}}", "5a".repeat(64));
        let signed = Statement::TcbInfo { body: "{}".to_owned(), signature: [0x5A; 64] };
        assert_eq!(statements(body.as_bytes()).unwrap(), std::slice::from_ref(&signed));

        let encoded = CERTIFICATE_PEM.replace(' ', "%20").replace('\n', "%0A").replace('=', "%3D").repeat(2);
        let header = format!("HTTP/1.1 200 OK\r\nTCB-Info-Issuer-Chain: {encoded}\r\n\r\n");
        let all = [signed, certificate(), certificate()];
        assert_eq!(statements(format!("{header}{body}").as_bytes()).unwrap(), all);
        assert_eq!(statements(header.as_bytes()).unwrap(), all[1..]);
        assert_eq!(statements(format!("HTTP/2 200\r\n\r\n{body}").as_bytes()).unwrap(), all[..1]);
        assert!(message(format!("{header}{{}}").as_bytes()).contains("none of the members"));

        let with_member = |chain: &str| {
            let chain = serde_json::to_string(chain).unwrap();
            statements(body.replacen('{', &format!("{{\"tcbInfoIssuerChain\":{chain},"), 1).as_bytes())
        };
        assert_eq!(with_member(&CERTIFICATE_PEM.repeat(2)).unwrap(), all);
        assert_eq!(with_member(&encoded).unwrap(), all);
        let cut = with_member(CERTIFICATE_PEM.strip_suffix("-----\n").unwrap()).unwrap_err().to_string();
        assert!(cut.contains("has no matching end line"), "{cut}");
    }

    #[test]
    fn signed_text_without_its_signature_is_refused() {
        assert!(message(br#"{"tcbInfo":{}}"#).contains("member `signature` is missing"));
        assert!(message(br#"{"tcbInfo":{},"signature":"00"}"#).contains("1 bytes, a signature has 64"));
        assert!(message(br#"{"tcbInfo":{},"tcbInfo":{},"signature":"00"}"#).contains("`tcbInfo` stands twice"));
    }

    #[test]
    fn der_pem_and_hexadecimal_name_the_same_thing() {
        assert_eq!(statements(&hex::decode(CRL_HEX).unwrap()).unwrap(), [crl()]);
        assert_eq!(statements(CRL_HEX.as_bytes()).unwrap(), [crl()]);
        let chain = CERTIFICATE_PEM.repeat(2);
        assert_eq!(statements(chain.as_bytes()).unwrap(), [certificate(), certificate()]);
    }

    #[test]
    fn thim_gives_leaf_and_chain() {
        let pem = serde_json::to_string(CERTIFICATE_PEM).unwrap();
        let answer = format!(r#"{{"vcekCert":{pem},"tcbm":"DB18","certificateChain":{pem},"cacheControl":"86400"}}"#);
        assert_eq!(statements(answer.as_bytes()).unwrap(), [certificate(), certificate()]);
        assert!(message(br#"{"vcekCert":""}"#).contains("none of them a `CERTIFICATE`"));
    }

    #[test]
    fn collateral_gives_everything_it_holds() {
        let pem = serde_json::to_string(CERTIFICATE_PEM).unwrap();
        let signature = "01".repeat(64);
        let collateral = format!(
            r#"{{"pck_crl_issuer_chain":{pem},"root_ca_crl":"{CRL_HEX}","pck_crl":"{CRL_HEX}","tcb_info_issuer_chain":{pem},
                "tcb_info":"{{\"a\": 1}}","tcb_info_signature":"{signature}","qe_identity_issuer_chain":{pem},
                "qe_identity":"{{}}","qe_identity_signature":"{signature}","pck_certificate_chain":null}}"#
        );
        let expected = [
            Statement::TcbInfo { body: r#"{"a": 1}"#.to_owned(), signature: [1; 64] },
            Statement::QeIdentity { body: "{}".to_owned(), signature: [1; 64] },
            crl(),
            crl(),
            certificate(),
            certificate(),
            certificate(),
        ];
        assert_eq!(statements(collateral.as_bytes()).unwrap(), expected);
        let with_chain = collateral.replace("null", &pem);
        assert_eq!(statements(with_chain.as_bytes()).unwrap().len(), expected.len() + 1);
        assert!(message(collateral.replace("pck_crl\"", "pck\"").as_bytes()).contains("`pck_crl` is missing"));
    }

    #[test]
    fn what_is_no_endorsement_says_what_was_expected() {
        for (bytes, found) in [
            (&b""[..], "an empty file"),
            (b"hello", "text without a PEM block"),
            (br#"{"a":1}"#, "none of the members"),
            (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "none of them a `CERTIFICATE`"),
            (&[2, 0, 0, 0, 0xFF], "5 bytes that begin neither"),
        ] {
            let message = message(bytes);
            assert!(message.contains(found) && message.contains("expected a certificate or CRL"), "{message}");
        }
    }

    #[test]
    fn a_named_stranger_is_an_error_and_one_in_a_folder_is_listed() {
        let folder = tempfile::tempdir().unwrap();
        let notes = folder.path().join("notes.txt");
        std::fs::write(&notes, "hello").unwrap();
        std::fs::write(folder.path().join("list.crl"), hex::decode(CRL_HEX).unwrap()).unwrap();

        let loaded = load(&[folder.path().to_owned()]).unwrap();
        assert_eq!((loaded.endorsements().len(), loaded.statements().count()), (1, 1));
        assert_eq!(loaded.found[0].file, folder.path().join("list.crl").display().to_string());
        let ignored: Vec<_> = loaded.ignored.iter().map(IntakeError::subject).collect();
        assert_eq!(ignored, [notes.display().to_string()]);

        let error = load_paths(std::slice::from_ref(&notes)).unwrap_err();
        assert!(matches!(error.defect(), Defect::Unrecognised { .. }), "{error}");

        std::fs::write(&notes, "-----BEGIN CERTIFICATE-----\ncut").unwrap();
        let error = load_paths(&[folder.path().to_owned()]).unwrap_err();
        assert!(matches!(error.defect(), Defect::Broken { kind: "PEM file", .. }), "{error}");
    }
}
