//! The readers of the ground floor: nothing panics, and what can be read and written again reads the same.

use teegate_encoding::der::{Der, Element};
use teegate_encoding::{base64, cbor, cose, der, document, hex, json, pem, protobuf};
use teegate_fuzz_engine::{Effort, Target, mutate};

use crate::hold;

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "hex",
        about: "hexadecimal digits",
        effort: Effort::Reader,
        run: hex,
        mutate: mutate::text,
        words: &["0x", "0X", "00", "ff", "FF", " ", "\n"],
        max_bytes: 256,
    },
    Target {
        name: "base64",
        about: "base64 in every form that is read",
        effort: Effort::Reader,
        run: base64,
        mutate: mutate::text,
        words: &["=", "==", "+/", "-_", "\n", "\r\n", " ", "AA=="],
        max_bytes: 512,
    },
    Target {
        name: "pem",
        about: "PEM blocks, and chains of certificates",
        effort: Effort::Reader,
        run: pem,
        mutate: mutate::text,
        words: &[
            "-----BEGIN CERTIFICATE-----\n",
            "-----END CERTIFICATE-----\n",
            "-----BEGIN ",
            "-----END ",
            "-----",
            "X509 CRL",
            "\0",
            "\r\n",
        ],
        max_bytes: 2_048,
    },
    Target {
        name: "der",
        about: "DER elements, and every typed reader on each of them",
        effort: Effort::Reader,
        run: der,
        mutate: mutate::der,
        words: &["\x17\x0d260601000000Z", "\x18\x0f20260601000000Z", "\x02\x01\x00", "\x01\x01\u{7f}", "\x05\x00"],
        max_bytes: 1_024,
    },
    Target {
        name: "document",
        about: "a certificate told from a list by its shape",
        effort: Effort::Reader,
        run: document,
        mutate: mutate::der,
        words: &["\x17\x0d260601000000Z", "\x02\x01\x01"],
        max_bytes: 512,
    },
    Target {
        name: "cbor",
        about: "CBOR items",
        effort: Effort::Reader,
        run: cbor,
        mutate: mutate::cbor,
        words: &["\x1b", "\x7f", "tdx", "sev-snp"],
        max_bytes: 512,
    },
    Target {
        name: "cose",
        about: "COSE messages of one signer, and the chains and digests in their headers",
        effort: Effort::Reader,
        run: cose,
        mutate: mutate::cbor,
        words: &["\x18\x21", "\x18\x22", "\x01\x38\x25", "iss", "\x02\x80"],
        max_bytes: 1_024,
    },
    Target {
        name: "protobuf",
        about: "fields of Protocol Buffers",
        effort: Effort::Reader,
        run: protobuf,
        mutate: mutate::protobuf,
        words: &["\x0a\x04", "\x08\x01", "\x7f"],
        max_bytes: 512,
    },
    Target {
        name: "json",
        about: "members, elements and strings of JSON, each value as its text",
        effort: Effort::Reader,
        run: json,
        mutate: mutate::json,
        words: &["a", "\\u0061", "b", "\\ud83d\\ude00", "", "[[[[[[[[", "]]]]]]]]"],
        max_bytes: 512,
    },
];

fn hex(input: &[u8]) {
    if let Some(bytes) = hold::same(input, || hex::decode(input)) {
        let text = hex::encode(&bytes);
        assert!(text.eq_ignore_ascii_case(&String::from_utf8_lossy(input)), "digits that are not these bytes");
        let mut slice = vec![0; bytes.len()];
        assert_eq!(hex::decode_to_slice(input, &mut slice), Ok(()));
        assert_eq!(slice, bytes);
        assert_eq!(hex::array::<16>(input).is_ok(), bytes.len() == 16);
    }
    let mut short = [0; 3];
    let _ = hex::decode_to_slice(input, &mut short);
}

fn base64(input: &[u8]) {
    if let Some(bytes) = hold::same(input, || base64::decode(input)) {
        assert_eq!(base64::encode(&bytes).as_bytes(), input, "another spelling of the same bytes was accepted");
    }
    if let Some(bytes) = hold::same(input, || base64::decode_url(input)) {
        assert_eq!(base64::encode_url(&bytes).as_bytes(), input, "another spelling of the same bytes was accepted");
        assert_eq!(base64::decode_url_with_any_padding(input), Ok(bytes.clone()));
        assert_eq!(base64::decode_any(input), Ok(bytes));
    }
    hold::same(input, || base64::decode_any(input));
    hold::same(input, || base64::decode_url_with_any_padding(input));
    let unbroken: Vec<u8> = input.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let lines = hold::same(input, || base64::decode_lines(input));
    assert_eq!(lines, base64::decode(unbroken).ok(), "white space changed what the digits say");
}

fn pem(input: &[u8]) {
    if let Some(chain) = pem::certificates(input) {
        let mut text = String::new();
        chain.iter().for_each(|der| pem::push(&mut text, "CERTIFICATE", der));
        assert_eq!(pem::certificates(text.as_bytes()), Some(chain), "written and read again");
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut blocks = pem::Blocks::new(text);
    let mut seen = 0;
    for block in blocks.by_ref() {
        match block {
            Ok(block) => {
                seen += block.before.len() + block.label.len();
                if let Ok(bytes) = block.decode() {
                    let mut again = String::new();
                    pem::push(&mut again, block.label, &bytes);
                    assert_eq!(again.len(), pem::length(block.label, &bytes));
                    let read =
                        pem::Blocks::new(&again).next().and_then(Result::ok).and_then(|block| block.decode().ok());
                    assert_eq!(read, Some(bytes), "written and read again");
                }
            }
            Err(error) => hold::message(input, &error.to_string()),
        }
    }
    assert!(seen + blocks.rest().len() <= text.len(), "more text came out than went in");
}

fn der(input: &[u8]) {
    walk_der(Der::new(input), 0);
}

fn walk_der(mut reader: Der<'_>, depth: usize) {
    if depth > 32 {
        return;
    }
    typed(&reader);
    while let Ok(Element { tag, content, whole }) = reader.any() {
        assert_eq!(
            teegate_forge::der::element(tag, content),
            whole,
            "another spelling of the same element was accepted"
        );
        walk_der(Der::new(content), depth + 1);
        let _ = Der::new(content).nested(tag);
    }
    assert!(reader.end().is_ok() == reader.is_empty());
}

/// Each typed reader, from the same place.
fn typed(reader: &Der<'_>) {
    let again = || *reader;
    if let Ok(number) = again().unsigned(der::INTEGER) {
        let digits = again().integer().expect("what reads as a number is one");
        let sum = digits.iter().fold(0_u64, |sum, digit| sum << 8 | u64::from(*digit));
        assert_eq!(sum, u64::from(number));
    }
    let _ = again().boolean();
    let _ = again().bit_string();
    if let Ok(time) = again().civil_time() {
        // Whether there is such a day is not looked at here.
        assert!(
            time.year < 10_000 && [time.month, time.day].iter().chain(&time.time).all(|two| *two < 100),
            "{time:?}"
        );
    }
}

fn document(input: &[u8]) {
    let kind = hold::same(input, || document::kind(input));
    assert!(kind.is_none() || document::looks_like_der(input), "a document that does not look like DER");
}

fn cbor(input: &[u8]) {
    let mut reader = cbor::Reader::new(input);
    for count in 0.. {
        assert!(count <= input.len(), "more items than bytes");
        match reader.next() {
            Ok(cbor::Item::Bytes(bytes)) => assert!(bytes.len() < input.len()),
            Ok(cbor::Item::Text(text)) => assert!(text.len() < input.len()),
            Ok(_) => {}
            Err(error) => {
                hold::message(input, &error.to_string());
                break;
            }
        }
    }
    if let Err(error) = reader.end() {
        hold::message(input, &error.to_string());
    }
}

fn cose(input: &[u8]) {
    use cose::Label;

    let message = match cose::Sign1::parse(input) {
        Ok(message) => message,
        Err(error) => return hold::message(input, &error.to_string()),
    };
    assert!(message.payload().len() + message.signature().len() < input.len(), "more than was there");
    let header = message.protected();
    assert!(header.get(Label::ALG).is_some() && header.get(Label::CRIT).is_none(), "an algorithm, and nothing critical");
    for label in [Label::ALG, Label::CONTENT_TYPE, Label::X5CHAIN, Label::X5T, Label::Text("iss")] {
        assert!(header.get(label).is_none() || message.unprotected().get(label).is_none(), "a label in both headers");
        let Some(value) = header.get(label) else { continue };
        match value.chain() {
            Ok(chain) => assert!(!chain.is_empty() && chain.iter().all(|one| one.len() < input.len())),
            Err(error) => hold::message(input, &error.to_string()),
        }
        if let Some((_, digest)) = value.digest() {
            assert!(digest.len() < value.encoded().len());
        }
    }
    // What is signed ends in the payload, whatever the widths of its heads were.
    assert!(message.signed().ends_with(message.payload()));
}

fn protobuf(input: &[u8]) {
    walk_protobuf(input, 0);
}

fn walk_protobuf(message: &[u8], depth: usize) {
    if depth > 16 {
        return;
    }
    let mut fields = protobuf::Fields::of(message);
    let mut count = 0;
    loop {
        match fields.next() {
            Ok(None) => break,
            Ok(Some((number, value))) => {
                count += 1;
                assert!(count <= message.len(), "more fields than bytes");
                assert!(number > 0, "field 0");
                if let protobuf::Value::Bytes { bytes, .. } = value {
                    walk_protobuf(bytes, depth + 1);
                }
            }
            Err(error) => {
                assert!(error.offset() <= message.len());
                hold::message(message, &error.to_string());
                break;
            }
        }
    }
}

/// Fewer levels and members than a mutation soon has, so that the bounds are met.
const LEVELS: usize = 8;
const MEMBERS: usize = 12;

fn json(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let members = hold::same(input, || {
        json::Members::parse(text, LEVELS, MEMBERS)
            .map(|members| members.each().map(|(name, value)| (name.to_owned(), value)).collect::<Vec<_>>())
    });
    if let Some(members) = members {
        assert!(!json::is_deeper_than(text, LEVELS) && members.len() <= MEMBERS, "beyond a bound");
        stands_in(text, members.iter().map(|(_, value)| *value));
        let written: Vec<_> =
            members.iter().map(|(name, value)| format!("{}:{value}", serde_json::Value::from(name.as_str()))).collect();
        let again = format!("{{{}}}", written.join(","));
        let again = json::Members::parse(&again, LEVELS, MEMBERS).expect("what was read can be written");
        assert!(again.each().eq(members.iter().map(|(name, value)| (name.as_str(), *value))), "written and read again");
        assert!(members.iter().all(|(name, value)| again.get(name) == Some(*value)), "a member stands twice");
        // The first once more, spelt in escapes.
        if let Some((name, _)) = members.first().filter(|_| members.len() < MEMBERS) {
            let escaped: String = name.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            let twice = format!("{{{},\"{escaped}\":0}}", written.join(","));
            let refused = json::Members::parse(&twice, LEVELS, MEMBERS).map(|_| ());
            assert_eq!(refused, Err(json::JsonError::Duplicate(name.clone())), "a member stands twice");
        }
    }
    if let Some(elements) = hold::same(input, || json::elements(text, MEMBERS)) {
        assert!(elements.len() <= MEMBERS, "beyond a bound");
        stands_in(text, elements.iter().copied());
        let again = format!("[{}]", elements.join(","));
        assert_eq!(json::elements(&again, MEMBERS).as_ref(), Ok(&elements), "written and read again");
    }
    if let Some(content) = json::string(text) {
        assert_eq!(json::string(&serde_json::Value::from(content.as_str()).to_string()), Some(content));
    }
    if let Ok(value) = serde_json::from_str::<serde_json::Value>(text) {
        let (levels, written) = (levels(&value), value.to_string());
        assert!(!json::is_deeper_than(&written, levels), "deeper than it is");
        // An inner member that stands twice is in the text, and once in the value.
        for text in [text, &written] {
            assert!(levels == 0 || json::is_deeper_than(text, levels - 1), "less deep than it is");
        }
    }
}

/// Each value stands in the text, behind the one before it, and nothing around it belongs to it.
fn stands_in<'t>(text: &str, values: impl Iterator<Item = &'t str>) {
    let mut end = text.as_ptr().addr();
    for value in values {
        let start = value.as_ptr().addr();
        assert!(start >= end && !value.is_empty() && value.trim() == value, "a value that is not its own text");
        end = start + value.len();
    }
    assert!(end <= text.as_ptr().addr() + text.len(), "a value beyond the text");
}

fn levels(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(elements) => 1 + elements.iter().map(levels).max().unwrap_or(0),
        serde_json::Value::Object(members) => 1 + members.values().map(levels).max().unwrap_or(0),
        _ => 0,
    }
}
