//! Conceptual message wrappers in CBOR (CMW, RFC 9999): a record, or a collection of records. What they may hold is what
//! [`crate::wrapper`] says of JSON.
//!
//! In a collection a record is known by its type and not by its label, because labels are the sender's to choose; two pieces of
//! evidence in one collection are refused. The third form, a CBOR tag, names its type as a CoAP content format, and no report or
//! quote has a registered one: it is recognised and refused by name.

use std::collections::BTreeSet;

use teegate_encoding::cbor::{CborError, Item, Reader};
use teegate_protocol::evidence::{EndorsementsKind, EvidenceKind};

use crate::endorsements;
use crate::error::Defect;
use crate::unwrapped::Unwrapped;
use crate::words::shown;
use crate::wrapper::{EVIDENCE_INDICATOR, broken, of_record, unrecognised};

/// Records of a collection that are looked at; nobody sends a dozen.
const MAX_RECORDS: u64 = 64;
/// RFC 8949, section 3.4.6: says that CBOR follows.
const SELF_DESCRIBED: u64 = 55_799;
/// Tags that stand for CoAP content formats 0 to 65024. RFC 9277, appendix B.
const CONTENT_FORMATS: std::ops::RangeInclusive<u64> = 1_668_546_817..=1_668_612_095;
const EVENT_LOG_TYPE: &str = "application/vnd.teegate.event-log";

impl From<CborError> for Defect {
    fn from(error: CborError) -> Self {
        Self::Broken {
            kind: "CMW in CBOR",
            defect: error.to_string(),
            remedy: "save the answer of the attester as it was sent",
        }
    }
}

/// Whether the bytes begin like a wrapper. Neither a report nor a quote nor text begins so.
pub(crate) fn looks_like_cmw(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    let mut next = || reader.next().ok();
    let mut first = next();
    if first == Some(Item::Tag(SELF_DESCRIBED)) {
        first = next();
    }
    match first {
        Some(Item::Array(2 | 3)) => matches!(next(), Some(Item::Text(media_type)) if media_type.contains('/')),
        Some(Item::Map(1..=MAX_RECORDS)) => {
            matches!(next(), Some(Item::Text(_) | Item::Unsigned(_) | Item::Negative(_)))
        }
        Some(Item::Tag(number)) => CONTENT_FORMATS.contains(&number),
        _ => false,
    }
}

/// Takes the evidence out of the wrapper that fills `bytes`.
pub(crate) fn unwrap(bytes: &[u8]) -> Result<Unwrapped, Defect> {
    let mut reader = Reader::new(bytes);
    let mut first = reader.next()?;
    if first == Item::Tag(SELF_DESCRIBED) {
        first = reader.next()?;
    }
    let unwrapped = match first {
        Item::Array(length) => {
            Contents::default().with(Record::read(length, &mut reader)?)?.finish("CMW record in CBOR")
        }
        Item::Map(length) => from_collection(length, &mut reader),
        Item::Tag(number) if CONTENT_FORMATS.contains(&number) => Err(content_format(number)),
        _ => Err(unrecognised("CBOR that is neither a record nor a collection")),
    }?;
    reader.end()?;
    Ok(unwrapped)
}

fn from_collection(length: u64, reader: &mut Reader<'_>) -> Result<Unwrapped, Defect> {
    if length > MAX_RECORDS {
        return Err(broken(format!("a collection of {length} records, at most {MAX_RECORDS} are read")));
    }
    let (mut contents, mut labels) = (Contents::default(), BTreeSet::new());
    for _ in 0..length {
        let label = match reader.next()? {
            Item::Text(label) => Label::Text(label),
            Item::Unsigned(number) => Label::Unsigned(number),
            Item::Negative(number) => Label::Negative(number),
            _ => return Err(broken("a label is neither text nor an integer".to_owned())),
        };
        let shown = label.to_string();
        if !labels.insert(label) {
            return Err(broken(format!("label `{shown}` stands twice")));
        }
        let item = reader.next()?;
        if shown == "__cmwc_t" {
            // The type of the collection, a URI or an OID: the sender's word for it, and nothing is read out of it here.
            match item {
                Item::Text(_) | Item::Bytes(_) => continue,
                Item::Tag(_) if matches!(reader.next()?, Item::Text(_) | Item::Bytes(_)) => continue,
                _ => return Err(broken("`__cmwc_t` is neither a URI nor an OID".to_owned())),
            }
        }
        contents = match item {
            Item::Array(length) => contents.with(Record::read(length, reader)?)?,
            Item::Tag(number) if CONTENT_FORMATS.contains(&number) => return Err(content_format(number)),
            _ => {
                return Err(broken(format!(
                    "what stands under `{shown}` is no record; collections are not nested here"
                )));
            }
        };
    }
    contents.finish("CMW collection in CBOR")
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Label<'a> {
    Text(&'a str),
    Unsigned(u64),
    Negative(u64),
}

impl std::fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&shown(text)),
            Self::Unsigned(number) => write!(f, "{number}"),
            Self::Negative(number) => write!(f, "{}", -1 - i128::from(*number)),
        }
    }
}

/// `[type, value]` or `[type, value, indicator]`.
struct Record<'a> {
    media_type: &'a str,
    value: &'a [u8],
    indicator: Option<u64>,
}

impl<'a> Record<'a> {
    fn read(length: u64, reader: &mut Reader<'a>) -> Result<Self, Defect> {
        if !(2..=3).contains(&length) {
            return Err(broken(format!("a record of {length} items, expected type, value and perhaps an indicator")));
        }
        let media_type = match reader.next()? {
            Item::Text(media_type) => media_type,
            Item::Unsigned(format) => {
                return Err(unrecognised(format!("a CMW record of CoAP content format {format}")));
            }
            _ => return Err(broken("the type of a record is neither text nor a content format".to_owned())),
        };
        let Item::Bytes(value) = reader.next()? else {
            return Err(broken("the value of a record is not a byte string".to_owned()));
        };
        let indicator = match if length == 3 { Some(reader.next()?) } else { None } {
            None => None,
            Some(Item::Unsigned(indicator)) => Some(indicator),
            Some(_) => return Err(broken("the indicator of a record is not a number".to_owned())),
        };
        Ok(Self { media_type, value, indicator })
    }
}

/// What has been found so far.
#[derive(Default)]
struct Contents {
    evidence: Option<(EvidenceKind, Vec<u8>)>,
    endorsements: Vec<crate::Statement>,
    event_log: Option<Vec<u8>>,
    other: Option<String>,
}

impl Contents {
    fn with(mut self, record: Record<'_>) -> Result<Self, Defect> {
        let Record { media_type, value, indicator } = record;
        if let Some(kind) = EvidenceKind::ALL.into_iter().find(|kind| kind.media_type() == media_type) {
            if indicator.is_some_and(|indicator| indicator != EVIDENCE_INDICATOR) {
                return Err(broken(format!("the indicator is not {EVIDENCE_INDICATOR}, evidence")));
            }
            if self.evidence.replace((kind, value.to_vec())).is_some() {
                return Err(broken("it holds evidence twice".to_owned()));
            }
        } else if EndorsementsKind::ALL.into_iter().any(|kind| kind.media_type() == media_type) {
            self.endorsements.extend(endorsements::statements(value)?);
        } else if media_type == EVENT_LOG_TYPE {
            if self.event_log.replace(value.to_vec()).is_some() {
                return Err(broken("it holds an event log twice".to_owned()));
            }
        } else {
            self.other = Some(shown(media_type));
        }
        Ok(self)
    }

    fn finish(self, form: &'static str) -> Result<Unwrapped, Defect> {
        let Some((kind, bytes)) = self.evidence else {
            let found =
                self.other.map_or_else(|| "no evidence".to_owned(), |other| format!("`{other}` and no evidence"));
            return Err(unrecognised(format!("a CMW with {found}")));
        };
        let mut found = of_record(kind, bytes, form)?;
        found.endorsements.extend(self.endorsements);
        Ok(Unwrapped { event_log: self.event_log, ..found })
    }
}

fn content_format(tag: u64) -> Defect {
    // RFC 9277, appendix B: 255 content formats to 256 tags.
    let delta = tag.saturating_sub(*CONTENT_FORMATS.start());
    let format = delta / 256 * 255 + delta % 256;
    unrecognised(format!("a CMW tag of CoAP content format {format}, of which no report or quote is known"))
}

#[cfg(test)]
mod tests {
    use teegate_encoding::hex;

    use super::*;
    use teegate_verifier::Tee;

    fn text(text: &str) -> Vec<u8> {
        [&[0x78, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
    }

    fn bytes(bytes: &[u8]) -> Vec<u8> {
        [&[0x58, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn record(media_type: &str, value: &[u8], indicator: &[u8]) -> Vec<u8> {
        let length = 0x82 + u8::try_from(indicator.len()).unwrap();
        [vec![length], text(media_type), bytes(value), indicator.to_vec()].concat()
    }

    fn collection(records: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        let pairs = records.iter().flat_map(|(label, record)| [label.clone(), record.clone()].concat());
        [0xA0 + u8::try_from(records.len()).unwrap()].into_iter().chain(pairs).collect()
    }

    const QUOTE: &str = "application/vnd.teegate.tdx-quote";
    const REPORT: &str = "application/vnd.teegate.snp-report";

    fn message(bytes: &[u8]) -> String {
        unwrap(bytes).unwrap_err().to_string()
    }

    #[test]
    fn a_record_gives_its_evidence() {
        for indicator in [&[][..], &[4]] {
            for (media_type, tee) in [(QUOTE, Tee::Tdx), (REPORT, Tee::SevSnp)] {
                let wrapped = record(media_type, &[1, 2, 3], indicator);
                assert!(looks_like_cmw(&wrapped));
                let unwrapped = unwrap(&wrapped).unwrap();
                assert_eq!((unwrapped.tee, unwrapped.bytes), (tee, vec![1, 2, 3]));
                let described = [&[0xD9, 0xD9, 0xF7], &wrapped[..]].concat();
                assert!(looks_like_cmw(&described) && unwrap(&described).is_ok());
            }
        }
        assert!(message(&record(QUOTE, &[1], &[2])).contains("the indicator is not 4"));
        assert!(message(&record("text/plain", &[1], &[])).contains("`text/plain` and no evidence"));
        assert!(message(&record("application/vnd.teegate.aci-snp", &[1], &[])).contains("does not verify"));
        assert!(message(&[&record(QUOTE, &[1], &[])[..], &[0]].concat()).contains("1 bytes follow its end"));
        assert!(message(&[0x82, 0x18, 60, 0x40]).contains("CoAP content format 60"));
        assert!(message(&[0x84, 0x60]).contains("a record of 4 items"));
    }

    #[test]
    fn a_collection_gives_one_piece_of_evidence_and_what_goes_with_it() {
        let pem = "-----BEGIN CERTIFICATE-----\nMA4wDKADAgECAgEHMAAwAA==\n-----END CERTIFICATE-----\n";
        let good = [
            (text("__cmwc_t"), text("urn:teegate:envelope:1")),
            (text("manifest"), record("application/vnd.teegate.manifest+json", b"{}", &[])),
            (vec![0x20], record("application/pem-certificate-chain", pem.as_bytes(), &[2])),
            (vec![0x01], record(QUOTE, &[4, 0], &[4])),
            (text("event-log"), record(EVENT_LOG_TYPE, &[9], &[])),
        ];
        assert!(looks_like_cmw(&collection(&good)));
        let unwrapped = unwrap(&collection(&good)).unwrap();
        assert_eq!((unwrapped.tee, unwrapped.bytes, unwrapped.event_log), (Tee::Tdx, vec![4, 0], Some(vec![9])));
        assert_eq!(unwrapped.endorsements.len(), 1);

        let with = |label: Vec<u8>, item: Vec<u8>| {
            let mut pairs = good.to_vec();
            pairs.push((label, item));
            message(&collection(&pairs))
        };
        assert!(with(text("more"), record(REPORT, &[3], &[])).contains("it holds evidence twice"));
        assert!(with(vec![0x20], record("text/plain", &[], &[])).contains("label `-1` stands twice"));
        assert!(with(text("log"), record(EVENT_LOG_TYPE, &[9], &[])).contains("an event log twice"));
        assert!(with(text("more"), collection(&good)).contains("collections are not nested"));
        assert!(with(vec![0x40], vec![]).contains("a label is neither text nor an integer"));
        assert!(message(&collection(&good[..3])).contains("and no evidence"));
        assert!(message(&[0xB8, 65]).contains("a collection of 65 records"));
        assert!(message(&[0xBB, 0, 0, 0, 0, 0x40, 0, 0, 0]).contains("a collection of 1073741824 records"));
    }

    #[test]
    fn a_tag_is_refused_by_the_content_format_that_it_stands_for() {
        // RFC 9277: content format 0 is the first tag, 255 is 256 tags on.
        for (tag, format) in [("da63740101", 0), ("da63740201", 255), ("da637401ff", 254)] {
            let wrapped = hex::decode(format!("{tag}4101")).unwrap();
            assert!(looks_like_cmw(&wrapped));
            assert!(message(&wrapped).contains(&format!("CoAP content format {format},")), "{tag}");
        }
        assert!(!looks_like_cmw(&[0xC0, 0x60]));
    }
}
