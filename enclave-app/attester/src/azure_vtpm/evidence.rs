//! How the parts are written: the JSON of CoCo's attestation agent, version 2, whose `user-data` is what was asked for.
//!
//! `{"version":2,"tpm_quote":{"signature":hex,"message":hex,"pcrs":[hex, …]},"hcl_report":base64url,"vcek":base64url}`, and
//! `td_quote` in place of `vcek` on TDX; base64url without padding.

use serde_json::{Map, Value, json};
use teegate_encoding::json::{Members, string};
use teegate_encoding::{base64, hex};

use crate::tpm::{Attested, Pcrs, Quote};

/// A quote with its registers has five levels less.
const DEPTH: usize = 4;
const MEMBERS: usize = 8;

/// What vouches for the report, by its member.
pub(crate) enum Voucher<'a> {
    Vcek(&'a [u8]),
    TdQuote(&'a [u8]),
}

pub(crate) fn write(quote: &Quote, pcrs: &Pcrs, hcl_report: &[u8], voucher: &Voucher<'_>) -> Vec<u8> {
    let mut members = Map::new();
    members.insert("version".into(), json!(2));
    let pcrs: Vec<Value> = pcrs.iter().map(|value| hex::encode(value).into()).collect();
    let (signature, message) = (hex::encode(&quote.signature), hex::encode(&quote.message));
    members.insert("tpm_quote".into(), json!({ "signature": signature, "message": message, "pcrs": pcrs }));
    members.insert("hcl_report".into(), base64::encode_url(hcl_report).into());
    let (name, bytes) = match voucher {
        Voucher::Vcek(bytes) => ("vcek", bytes),
        Voucher::TdQuote(bytes) => ("td_quote", bytes),
    };
    members.insert(name.into(), base64::encode_url(bytes).into());
    Value::Object(members).to_string().into_bytes()
}

/// The 64 bytes that the quote in such JSON carries.
pub(crate) fn report_data(evidence: &[u8]) -> Option<[u8; 64]> {
    let members = Members::parse(std::str::from_utf8(evidence).ok()?, DEPTH, MEMBERS).ok()?;
    let quote = Members::parse(members.get("tpm_quote")?, DEPTH, MEMBERS).ok()?;
    let message = hex::decode(string(quote.get("message")?)?).ok()?;
    Attested::parse(&message).ok()?.extra_data.try_into().ok()
}
