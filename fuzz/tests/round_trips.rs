//! What is written is read again as it was, for values that no corpus holds; the targets show the other direction, for bytes that
//! nobody wrote.

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};
use proptest::test_runner::RngSeed;
use proptest::{prop_assert, prop_assert_eq};
use teegate_encoding::der::Der;
use teegate_encoding::{base64, cbor, hex, pem, protobuf};
use teegate_protocol::bhttp::{Request, Response};
use teegate_protocol::ohttp::request::OpenError;
use teegate_protocol::ohttp::{EncapsulatedRequest, KeyConfig, KeyPair, open_in_place, seal};
use teegate_protocol::padding;

/// The same cases in every run, and no file of those that failed: what fails becomes an input of a corpus.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn hexadecimal(bytes in vec(any::<u8>(), 0..100), upper in any::<bool>()) {
        let mut text = hex::encode(&bytes);
        if upper {
            text.make_ascii_uppercase();
        }
        prop_assert_eq!(hex::decode(&text), Ok(bytes.clone()));
        text.push('0');
        prop_assert_eq!(hex::decode(&text), Err(hex::HexError::Odd));
    }

    #[test]
    fn base64_of_every_kind(bytes in vec(any::<u8>(), 0..200), line in 1..80_usize) {
        let (padded, url) = (base64::encode(&bytes), base64::encode_url(&bytes));
        prop_assert_eq!(base64::decode(&padded), Ok(bytes.clone()));
        prop_assert_eq!(base64::decode_url(&url), Ok(bytes.clone()));
        prop_assert_eq!(base64::decode_any(&padded), Ok(bytes.clone()));
        prop_assert_eq!(base64::decode_any(&url), Ok(bytes.clone()));
        prop_assert_eq!(base64::decode_url_with_any_padding(&url), Ok(bytes.clone()));
        let lines = padded.as_bytes().chunks(line).collect::<Vec<_>>().join(&b"\r\n"[..]);
        prop_assert_eq!(base64::decode_lines(&lines), Ok(bytes));
    }

    #[test]
    fn pem_blocks(blocks in vec(("[A-Z][A-Z0-9 ]{0,20}[A-Z]", vec(any::<u8>(), 0..200)), 0..5)) {
        let mut text = String::new();
        for (label, bytes) in &blocks {
            let before = text.len();
            pem::push(&mut text, label, bytes);
            prop_assert_eq!(text.len() - before, pem::length(label, bytes));
        }
        let read = pem::Blocks::new(&text)
            .map(|block| block.map(|block| (block.label.to_owned(), block.decode().unwrap())).map_err(|e| e.to_string()))
            .collect::<Result<Vec<_>, _>>();
        prop_assert_eq!(read, Ok(blocks));
    }

    #[test]
    fn der_lengths(tag in 0..0x1F_u8, length in 0..70_000_usize, behind in vec(any::<u8>(), 0..3)) {
        // Written by the forge, with an encoder of its own.
        let element = teegate_forge::der::element(tag, &vec![7; length]);
        let whole = [&element[..], &behind].concat();
        let mut reader = Der::new(&whole);
        let read = reader.any().unwrap();
        prop_assert_eq!((read.tag, read.content.len(), read.whole), (tag, length, &element[..]));
        prop_assert_eq!(reader.end().is_ok(), behind.is_empty());
        let short = Der::new(&element[..element.len() - 1]).any().unwrap_err();
        prop_assert_eq!(short.0, "an element runs past the end");
    }

    #[test]
    fn der_numbers(number in any::<u32>()) {
        let der = teegate_forge::der::integer(number.into());
        prop_assert_eq!(Der::new(&der).unsigned(teegate_encoding::der::INTEGER), Ok(number));
    }

    #[test]
    fn cbor_heads(major in 0..7_u8, argument in any::<u64>(), shift in 0..64_u32) {
        let argument = argument >> shift;
        let head = cbor_head(major, argument);
        let read = cbor::Reader::new(&head).next();
        let expected = match major {
            0 => Ok(cbor::Item::Unsigned(argument)),
            1 => Ok(cbor::Item::Negative(argument)),
            2 | 3 if argument > 0 => Err(cbor::CborError::Cut { announced: argument, left: 0 }),
            2 => Ok(cbor::Item::Bytes(&[])),
            3 => Ok(cbor::Item::Text("")),
            4 => Ok(cbor::Item::Array(argument)),
            5 => Ok(cbor::Item::Map(argument)),
            _ => Ok(cbor::Item::Tag(argument)),
        };
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn protocol_buffers(fields in vec((1..1_000_u64, any::<u64>(), vec(any::<u8>(), 0..40)), 0..6)) {
        let mut message = Vec::new();
        for (number, value, bytes) in &fields {
            message.extend([varint(number << 3), varint(*value), varint(number << 3 | 2), varint(bytes.len() as u64)].concat());
            message.extend(bytes);
        }
        let mut read = protobuf::Fields::of(&message);
        for (number, value, bytes) in &fields {
            prop_assert_eq!(read.next(), Ok(Some((*number, protobuf::Value::Number(*value)))));
            let Ok(Some((again, protobuf::Value::Bytes { bytes: found, offset }))) = read.next() else {
                return Err(proptest::test_runner::TestCaseError::fail("no bytes"));
            };
            prop_assert_eq!((again, found), (*number, &bytes[..]));
            prop_assert_eq!(message.get(offset..offset + bytes.len()), Some(&bytes[..]));
        }
        prop_assert_eq!(read.next(), Ok(None));
    }

    #[test]
    fn binary_http(path in "/[a-z0-9/]{0,40}", names in vec("[a-z][a-z0-9-]{0,10}", 0..6), content in vec(any::<u8>(), 0..300)) {
        let mut request = Request::new("POST", "gateway.example", &path);
        let mut response = Response::new(200);
        for name in &names {
            request.fields.push(name, path.as_bytes()).unwrap();
            response.fields.push(name, path.as_bytes()).unwrap();
        }
        request.content.clone_from(&content);
        response.content = content;
        for written in [request.encode().unwrap(), request.encode_padded().unwrap()] {
            prop_assert!(Request::decode(&written, 1 << 16).unwrap() == request);
        }
        for written in [response.encode().unwrap(), response.encode_padded().unwrap()] {
            prop_assert!(Response::decode(&written, 1 << 16).unwrap() == response);
        }
    }

    #[test]
    fn padding_hides_a_length_and_no_byte(content in vec(any::<u8>(), 0..3_000)) {
        let mut padded = content.clone();
        padding::pad(&mut padded);
        prop_assert_eq!(padded.len(), padding::padded_len(content.len()));
        prop_assert!(padded.starts_with(&content) && padded[content.len()..].iter().all(|byte| *byte == 0));
    }
}

proptest! {
    #![proptest_config(cases(32))]

    #[test]
    fn oblivious_http(key_id in any::<u8>(), question in vec(any::<u8>(), 0..200), answer in vec(any::<u8>(), 0..200), at in any::<usize>()) {
        let key_pair = KeyPair::generate(key_id).unwrap();
        let list = KeyConfig::encode_list([key_pair.config()]);
        prop_assert_eq!(KeyConfig::parse_list(&list), Ok(vec![key_pair.config().clone()]));
        let (sealed, client) = seal(key_pair.config(), &question).unwrap();
        let outer = EncapsulatedRequest::parse(&sealed).unwrap();
        prop_assert_eq!(7 + outer.enc().len() + outer.ciphertext().len(), sealed.len());
        let mut buffer = sealed.clone();
        let server = open_in_place(&mut buffer, &key_pair).unwrap();
        prop_assert_eq!(&buffer, &question);
        prop_assert_eq!(client.open(&server.seal(&answer).unwrap()), Ok(answer));
        // One bit of any byte, header and key included.
        let mut changed = sealed.clone();
        changed[at % sealed.len()] ^= 1;
        let error = open_in_place(&mut changed, &key_pair).err().unwrap();
        let as_meant = match at % sealed.len() {
            0 => matches!(error, OpenError::UnknownKeyId { .. }),
            1..7 => matches!(error, OpenError::UnsupportedSuite { .. }),
            _ => error == OpenError::Unauthentic,
        };
        prop_assert!(as_meant, "byte {}: {error}", at % sealed.len());
    }
}

/// RFC 8949, section 3: the shortest head.
fn cbor_head(major: u8, argument: u64) -> Vec<u8> {
    let (major, wide) = (major << 5, argument.to_be_bytes());
    match argument {
        0..24 => vec![major | wide[7]],
        24..0x100 => vec![major | 24, wide[7]],
        0x100..0x1_0000 => [&[major | 25], &wide[6..]].concat(),
        0x1_0000..0x1_0000_0000 => [&[major | 26], &wide[4..]].concat(),
        _ => [&[major | 27], &wide[..]].concat(),
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7F {
        bytes.push(0x80 | (value & 0x7F) as u8);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
