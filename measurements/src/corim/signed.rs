//! A signed CoRIM (draft-ietf-rats-corim-11, section 4.2): a COSE_Sign1 around an unsigned one. Who signed is for [`Signer`]; what the
//! protected header says beside that is read here, because it may end the time of the whole.

use teegate_encoding::cbor::{Item, Reader};
use teegate_encoding::cose::{Header, Label, Value};
use teegate_verifier::{Signer, UnixTime};

/// What the payload is; the first is registered, and tools of earlier drafts write the second.
const CONTENT_TYPES: [&str; 2] = ["application/rim+cbor", "application/corim-unsigned+cbor"];
/// `corim-meta`, a map in a byte string.
const META: Label<'_> = Label::Number(8);
/// CWT claims (RFC 9597), which later drafts put in its place.
const CWT_CLAIMS: Label<'_> = Label::Number(15);

/// Who says it, and the unsigned manifest inside.
pub(super) struct Signed<'a> {
    pub(super) by: String,
    pub(super) manifest: &'a [u8],
}

/// The manifest in `bytes`, which `signer` signed, if it holds at `now`.
pub(super) fn open<'a>(bytes: &'a [u8], signer: &Signer, now: UnixTime) -> Result<Signed<'a>, String> {
    let signed = signer.signed(bytes, now).map_err(|error| error.to_string())?;
    let header = signed.message().protected();
    let content_type = header.get(Label::CONTENT_TYPE).and_then(Value::text);
    if !content_type.is_some_and(|content_type| CONTENT_TYPES.contains(&content_type)) {
        return Err(format!("a signed statement that is no CoRIM: expected the content type `{}`", CONTENT_TYPES[0]));
    }
    let windows = [meta(header)?, claims(header)?];
    for (from, until) in windows.into_iter().flatten() {
        let before = from.is_some_and(|from| now.seconds() < from);
        let after = until.is_some_and(|until| now.seconds() >= until);
        if before || after {
            let said =
                |at: Option<u64>| at.map_or_else(|| "ever".to_owned(), |at| UnixTime::from_seconds(at).to_string());
            return Err(format!("its signature is for {} to {}, not for {now}", said(from), said(until)));
        }
    }
    Ok(Signed { by: signed.by().to_owned(), manifest: signed.payload() })
}

/// From and until, in Unix seconds, where they are said.
type Window = (Option<u64>, Option<u64>);

const UNREADABLE: &str = "its protected header says for how long it holds in a form that is not read here";

/// `{0: signer, ? 1: {? 0: not-before, 1: not-after}}` in a byte string.
fn meta(header: &Header<'_>) -> Result<Option<Window>, String> {
    let Some(value) = header.get(META) else { return Ok(None) };
    let inner = value.bytes().ok_or(UNREADABLE)?;
    let validity = members(&mut Reader::new(inner), &[0, 1])?.into_iter().find(|(label, _)| *label == 1);
    let Some((_, validity)) = validity else { return Ok(None) };
    window(&members(&mut Reader::new(validity), &[0, 1])?, 0, 1).map(Some)
}

/// The claims `exp` (4) and `nbf` (5), beside any other.
fn claims(header: &Header<'_>) -> Result<Option<Window>, String> {
    let Some(value) = header.get(CWT_CLAIMS) else { return Ok(None) };
    window(&members(&mut Reader::new(value.encoded()), &[1, 2, 3, 4, 5, 6, 7])?, 5, 4).map(Some)
}

/// The members of a map that fills its bytes, each once and each of these.
fn members<'a>(reader: &mut Reader<'a>, known: &[u64]) -> Result<Vec<(u64, &'a [u8])>, String> {
    let failed = |_| UNREADABLE.to_owned();
    let Item::Map(count) = reader.next().map_err(failed)? else { return Err(UNREADABLE.to_owned()) };
    let mut found: Vec<(u64, &[u8])> = Vec::new();
    for _ in 0..count {
        let Item::Unsigned(label) = reader.next().map_err(failed)? else { return Err(UNREADABLE.to_owned()) };
        // What is not known could be a condition. A label that stands twice says two things.
        if !known.contains(&label) || found.iter().any(|(earlier, _)| *earlier == label) {
            return Err(UNREADABLE.to_owned());
        }
        found.push((label, reader.whole().map_err(failed)?));
    }
    reader.end().map_err(failed)?;
    Ok(found)
}

fn window(members: &[(u64, &[u8])], from: u64, until: u64) -> Result<Window, String> {
    let at = |label| members.iter().find(|(known, _)| *known == label).map(|(_, value)| seconds(value)).transpose();
    Ok((at(from)?, at(until)?))
}

/// Unix seconds, with or without the tag of a time.
fn seconds(value: &[u8]) -> Result<u64, String> {
    let mut reader = Reader::new(value);
    let mut next = || reader.next().map_err(|_| UNREADABLE.to_owned());
    match next()? {
        Item::Unsigned(seconds) => Ok(seconds),
        Item::Tag(1) => match next()? {
            Item::Unsigned(seconds) => Ok(seconds),
            _ => Err(UNREADABLE.to_owned()),
        },
        _ => Err(UNREADABLE.to_owned()),
    }
}
