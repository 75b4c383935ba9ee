//! Evidence inside somebody else's JSON: providers and agents answer it in a member of their own naming. It is looked for by content, in
//! one pass, in every text (hexadecimal, base64) and every array of byte numbers.
//!
//! What is found is taken only where it is the only one, and whole: which of two quotes was meant is not for a reader to choose.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use teegate_verifier::Tee;

use crate::encoded::{self, Decoded};
use crate::error::Defect;
use crate::first_bytes::{begins_like, is_whole};
use crate::words::{said, shown};
use crate::wrapper::unrecognised;

/// Something in a JSON document that begins like evidence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where it stands, as `a.b[0]`, cut like any text that is repeated; empty where it is all of the document.
    pub(crate) place: String,
    pub(crate) tee: Tee,
    pub(crate) bytes: Vec<u8>,
    /// How it is spelt.
    pub(crate) spelling: &'static str,
    /// It is a report or quote by more than its first bytes.
    pub(crate) is_whole: bool,
}

impl Found {
    /// The form, in words.
    pub(crate) fn form(&self) -> &'static str {
        match self.spelling {
            encoded::BASE64 => "base64 text in JSON",
            encoded::HEXADECIMAL => "hexadecimal text in JSON",
            _ => "byte numbers in JSON",
        }
    }

    /// The name of the member, as it is repeated.
    pub(crate) fn member(&self) -> Option<String> {
        (!self.place.is_empty()).then(|| self.place.clone())
    }

    /// `` `a.b` (a TDX quote in base64) ``.
    fn described(&self) -> String {
        format!("`{}` ({} as {})", self.place, self.tee.evidence(), self.spelling)
    }
}

/// So many are named; whether there are more makes no difference.
const NAMED: usize = 4;
/// Bytes below which nothing is evidence, however it begins.
const SHORTEST: usize = 64;

/// The only whole report or quote in `json`, with what else begins like one.
///
/// # Errors
/// There are two or more. What is no JSON is said to be that.
pub(crate) fn only_one(json: &str) -> Result<Result<Found, Vec<Found>>, Defect> {
    let mut found = search(json)?;
    let whole: Vec<_> = found.iter().filter(|found| found.is_whole).collect();
    match whole.as_slice() {
        [] => Ok(Err(found)),
        [_] => Ok(found.iter().position(|found| found.is_whole).map(|place| found.swap_remove(place)).ok_or(found)),
        many => {
            let names: Vec<_> = many.iter().take(NAMED).map(|found| found.described()).collect();
            let more = if many.len() > NAMED { ", …" } else { "" };
            let found = format!("JSON that holds evidence in more than one place, {}{more}", names.join(", "));
            Err(unrecognised(format!("{found}: pass one of them alone (`jq -r .MEMBER FILE | teegate verify -`)")))
        }
    }
}

/// What begins like evidence, without being whole, in words; none where nothing does.
pub(crate) fn described(found: &[Found]) -> Option<String> {
    let first = found.first()?;
    let place = if first.place.is_empty() { "it".to_owned() } else { format!("`{}` in it", first.place) };
    Some(format!(
        "{place} begins like {} as {} and is not whole ({} bytes)",
        first.tee.evidence(),
        first.spelling,
        first.bytes.len()
    ))
}

fn search(json: &str) -> Result<Vec<Found>, Defect> {
    let (mut path, mut found) = (Vec::new(), Vec::new());
    let mut reader = serde_json::Deserializer::from_str(json);
    let walk = Walk { path: &mut path, found: &mut found };
    walk.deserialize(&mut reader).and_then(|_| reader.end()).map_err(|cause| Defect::Broken {
        kind: "JSON document",
        defect: said(&cause),
        remedy: "save the answer of the attester as it was sent",
    })?;
    Ok(found)
}

enum Step {
    Member(String),
    Element(usize),
}

/// One value on the way down.
struct Walk<'w> {
    path: &'w mut Vec<Step>,
    found: &'w mut Vec<Found>,
}

impl Walk<'_> {
    fn consider(&mut self, bytes: Vec<u8>, spelling: &'static str) {
        let whole = is_whole(&bytes);
        // As many as are named, and one to know that there are more; each keeps its whole path.
        if self.found.iter().filter(|found| found.is_whole == whole.is_some()).count() > NAMED {
            return;
        }
        if let Some(tee) = whole.or_else(|| begins_like(&bytes)).filter(|_| bytes.len() >= SHORTEST) {
            let place = self.place();
            self.found.push(Found { place, tee, bytes, spelling, is_whole: whole.is_some() });
        }
    }

    fn place(&self) -> String {
        let mut place = String::new();
        for step in self.path.iter() {
            match step {
                Step::Member(name) if place.is_empty() => place.push_str(name),
                Step::Member(name) => place.extend([".", name]),
                Step::Element(number) => place.push_str(&format!("[{number}]")),
            }
        }
        shown(&place)
    }

    fn below(&mut self) -> Walk<'_> {
        Walk { path: self.path, found: self.found }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    /// The number that it is, if it is one of a byte.
    type Value = Option<u8>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Option<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E>(mut self, text: &str) -> Result<Self::Value, E> {
        if text.len() >= SHORTEST
            && let Some(Decoded { bytes, form }) = encoded::decode(text)
        {
            self.consider(bytes, form);
        }
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut bytes = Some(Vec::new());
        for number in 0_usize.. {
            self.path.push(Step::Element(number));
            let element = elements.next_element_seed(self.below());
            self.path.pop();
            match (element?, &mut bytes) {
                (None, _) => break,
                (Some(Some(byte)), Some(bytes)) => bytes.push(byte),
                (Some(_), _) => bytes = None,
            }
        }
        if let Some(bytes) = bytes {
            self.consider(bytes, "byte numbers");
        }
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Self::Value, A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            self.path.push(Step::Member(name));
            let member = members.next_value_seed(self.below());
            self.path.pop();
            member?;
        }
        Ok(None)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(u8::try_from(number).ok())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use teegate_encoding::{base64, hex};

    fn quote(fill: u8) -> Vec<u8> {
        [&[5, 0, 2, 0, 0x81, 0, 0, 0][..], &[fill; 700]].concat()
    }

    fn report() -> Vec<u8> {
        let mut bytes = vec![7; 1_184];
        bytes[..4].copy_from_slice(&[3, 0, 0, 0]);
        bytes[0x34..0x38].copy_from_slice(&[1, 0, 0, 0]);
        bytes
    }

    fn taken(json: &str) -> (String, Tee, Vec<u8>, &'static str) {
        let found = only_one(json).unwrap().unwrap();
        (found.place, found.tee, found.bytes, found.spelling)
    }

    #[test]
    fn one_member_is_taken_wherever_and_however_it_is_spelt() {
        let (quote, report) = (quote(7), report());
        let numbers = format!("{quote:?}");
        for (json, place, spelling) in [
            (format!(r#"{{"quote":"{}","n":1}}"#, base64::encode(&quote)), "quote", encoded::BASE64),
            (
                format!(r#"{{"a":{{"b":[null,true,{{"q":"{}"}}]}}}}"#, hex::encode(&quote)),
                "a.b[2].q",
                encoded::HEXADECIMAL,
            ),
            (format!(r#"[-1,2.5,"0x{}"]"#, hex::encode(&quote)), "[2]", encoded::HEXADECIMAL),
            (format!(r#"{{"q":{numbers},"r":[1,2,300]}}"#), "q", "byte numbers"),
            (numbers.clone(), "", "byte numbers"),
            (format!("\"{}\"", base64::encode_url(&quote)), "", encoded::BASE64),
            (format!(r#"{{"q":"{}"}}"#, base64::encode(&quote).replace('/', "\\/")), "q", encoded::BASE64),
        ] {
            assert_eq!(taken(&json), (place.to_owned(), Tee::Tdx, quote.clone(), spelling), "{json:.80}");
        }
        let with_zeros = [&report[..], &[0; 40]].concat();
        for bytes in [report, with_zeros] {
            let json = format!(r#"{{"report":"{}"}}"#, base64::encode(&bytes));
            assert_eq!(taken(&json), ("report".to_owned(), Tee::SevSnp, bytes, encoded::BASE64));
        }
    }

    #[test]
    fn two_are_named_and_none_is_taken() {
        let json = |a: &[u8], b: &[u8]| format!(r#"{{"a":"{}","b":["{}"]}}"#, base64::encode(a), hex::encode(b));
        for other in [quote(8), quote(7), report()] {
            let error = only_one(&json(&quote(7), &other)).unwrap_err().to_string();
            assert!(error.contains("in more than one place, `a` (a TDX quote as base64 text), `b[0]` (a"), "{error}");
        }
        let many = vec![format!("\"{}\"", base64::encode(quote(7))); 9].join(",");
        let error = only_one(&format!("[{many}]")).unwrap_err().to_string();
        assert!(error.contains("`[3]` (a TDX quote as base64 text), …: pass one") && !error.contains("[4]"), "{error}");
        // Half of one beside a whole one is no second.
        assert_eq!(taken(&json(&quote(7), &quote(8)[..300])).0, "a");
    }

    /// Hundreds of pieces under a name of a hundred thousand letters: no more of them are kept than are named.
    #[test]
    fn what_is_kept_is_bounded() {
        for bytes in [quote(7), quote(7)[..300].to_vec()] {
            let piece = format!("\"{}\"", base64::encode(&bytes));
            let many = vec![piece; 500].join(",");
            let found = search(&format!("{{\"{}\":[{many}]}}", "n".repeat(100_000))).unwrap();
            assert_eq!(found.len(), NAMED + 1);
            assert!(found.iter().all(|found| found.place.chars().count() <= 81));
        }
    }

    /// A boot's event log begins with a small number, and half a quote is none.
    #[test]
    fn what_only_begins_like_evidence_is_described() {
        let log = [&[1, 0, 0, 0, 3, 0, 0, 0][..], &[0; 2_000]].concat();
        let mut other_algorithm = report();
        other_algorithm[0x34] = 2;
        let behind = [report(), vec![9]].concat();
        for (bytes, kind) in [
            (&log[..], "an SEV-SNP report"),
            (&other_algorithm, "an SEV-SNP report"),
            (&behind, "an SEV-SNP report"),
            (&quote(7)[..635], "a TDX quote"),
        ] {
            let found = only_one(&format!(r#"{{"x":"{}"}}"#, base64::encode(bytes))).unwrap().unwrap_err();
            let words = described(&found).unwrap();
            assert!(
                words.starts_with(&format!("`x` in it begins like {kind} as base64 text and is not whole (")),
                "{words}"
            );
        }
        assert_eq!(described(&only_one(r#"{"quote":"BAACAIEAAAA="}"#).unwrap().unwrap_err()), None);
        for (text, why) in
            [("[".repeat(100_000), "recursion limit exceeded at line 1"), ("{} {}".to_owned(), "column 4")]
        {
            let words = only_one(&text).map(drop).unwrap_err().to_string();
            assert!(words.contains(why), "{words}");
        }
    }
}
