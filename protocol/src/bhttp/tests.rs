//! The examples of RFC 9292 section 5, the bounds, and everything that has to be refused.

use super::message::*;
use super::*;
use crate::limits;
use teegate_encoding::hex;

/// The request of section 5.1, known-length.
const KNOWN_REQUEST: &str = concat!(
    "0003474554056874747073000a2f68656c6c6f2e747874406c0a757365722d6167656e74346375726c2f372e31362e33206c69626375726c2f372e31362e33204f7065",
    "6e53534c2f302e392e376c207a6c69622f312e322e3304686f73740f7777772e6578616d706c652e636f6d0f6163636570742d6c616e677561676506656e2c206d690000"
);

/// The same, indeterminate-length, with its ten bytes of padding.
const INDETERMINATE_REQUEST: &str = concat!(
    "0203474554056874747073000a2f68656c6c6f2e7478740a757365722d6167656e74346375726c2f372e31362e33206c69626375726c2f372e31362e33204f70656e53",
    "534c2f302e392e376c207a6c69622f312e322e3304686f73740f7777772e6578616d706c652e636f6d0f6163636570742d6c616e677561676506656e2c206d69000000",
    "00000000000000000000"
);

/// The second response of section 5.2: content and a trailer, known-length.
const KNOWN_RESPONSE: &str =
    "0140c8001d5468697320636f6e74656e7420636f6e7461696e732043524c462e0d0a0d07747261696c65720474657874";

const LIMIT: usize = 1 << 20;

fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex).expect("hex")
}

fn example_request() -> Request {
    let mut request = Request::new("GET", "", "/hello.txt");
    for (name, value) in [
        ("user-agent", "curl/7.16.3 libcurl/7.16.3 OpenSSL/0.9.7l zlib/1.2.3"),
        ("host", "www.example.com"),
        ("accept-language", "en, mi"),
    ] {
        request.fields.push(name, value).expect("accepted");
    }
    request
}

fn example_response() -> Response {
    let mut response = Response::new(200);
    response.content = b"This content contains CRLF.\r\n".to_vec();
    response.trailers.push("trailer", "text").expect("accepted");
    response
}

#[test]
fn examples_of_the_rfc() {
    assert_eq!(Request::decode(&bytes(KNOWN_REQUEST), LIMIT), Ok(example_request()));
    assert_eq!(Request::decode(&bytes(INDETERMINATE_REQUEST), LIMIT), Ok(example_request()));
    assert_eq!(hex::encode(example_request().encode().expect("written")), KNOWN_REQUEST);
    assert_eq!(Response::decode(&bytes(KNOWN_RESPONSE), LIMIT), Ok(example_response()));
    assert_eq!(hex::encode(example_response().encode().expect("written")), KNOWN_RESPONSE);
}

/// What a message holds is in one place, and stays where it is.
#[test]
fn a_message_is_written_and_its_content_is_found_without_a_copy_beside_it() {
    for length in [0, 1, 63, 64, 1000, 16_383, 16_384, 65_000, 65_500, 100_000] {
        let mut request = example_request();
        request.content = (0..length).map(|n| u8::try_from(n % 251).expect("below 251")).collect();
        request.trailers.push("trailer", "text").expect("accepted");
        let mut message = request.encode_padded().expect("written");
        assert_eq!(message.capacity(), message.len(), "{length}");

        let (head, place) = Request::decode_head(&message, LIMIT).expect("read");
        assert_eq!(head, Request { content: Vec::new(), ..request.clone() }, "{length}");
        let before = message.as_ptr();
        place.gather(&mut message);
        assert_eq!((&message, message.as_ptr()), (&request.content, before), "{length}");
    }
}

#[test]
fn content_in_pieces_is_gathered() {
    let head = &bytes(INDETERMINATE_REQUEST)[..bytes(INDETERMINATE_REQUEST).len() - 12];
    for (pieces, content) in [
        (&[][..], &b""[..]),
        (&[&b"a"[..]], b"a"),
        (&[b"ab", b"c", b"defgh"], b"abcdefgh"),
        (&[&[7; 100], &[8; 1], &[9; 20_000]], &[&[7; 100][..], &[8], &[9; 20_000]].concat()),
    ] {
        let mut message = head.to_vec();
        pieces.iter().for_each(|piece| write_prefixed(&mut message, piece));
        for end in [&[][..], &[0], &[0, 0], &[0, 0, 0, 0, 0]] {
            // Without its end the content is not whole, unless there is none.
            let mut message = [&message, end].concat();
            if end.is_empty() && !pieces.is_empty() {
                assert_eq!(Request::decode(&message, LIMIT), Err(BhttpError::Truncated { part: "content" }));
                continue;
            }
            assert_eq!(Request::decode(&message, LIMIT).expect("read").content, content);
            let (head, place) = Request::decode_head(&message, LIMIT).expect("read");
            assert_eq!(head, example_request());
            place.gather(&mut message);
            assert_eq!(message, content);
        }
    }
}

#[test]
fn wiping_a_request_leaves_nothing_of_it() {
    let mut request = example_request();
    request.content = b"text".to_vec();
    request.trailers.push("trailer", "text").expect("accepted");
    zeroize::Zeroize::zeroize(&mut request);
    assert_eq!(request, Request::default());
}

/// "Anything up to 12 bytes can be removed from this message without affecting its meaning", and no byte more.
#[test]
fn empty_sections_at_the_end_may_be_missing() {
    let indeterminate = bytes(INDETERMINATE_REQUEST);
    for removed in 0..=12 {
        let end = indeterminate.len() - removed;
        assert_eq!(Request::decode(&indeterminate[..end], LIMIT), Ok(example_request()), "{removed}");
    }
    let cut = Request::decode(&indeterminate[..indeterminate.len() - 13], LIMIT);
    assert_eq!(cut, Err(BhttpError::Truncated { part: "header section" }));
    let known = bytes(KNOWN_REQUEST);
    for removed in 0..=2 {
        assert_eq!(Request::decode(&known[..known.len() - removed], LIMIT), Ok(example_request()), "{removed}");
    }
}

#[test]
fn every_other_prefix_is_refused_as_truncated() {
    let known = bytes(KNOWN_REQUEST);
    let control_data = 1 + 4 + 6 + 1 + 11;
    for end in 0..known.len() - 2 {
        let decoded = Request::decode(&known[..end], LIMIT);
        if end == control_data {
            assert_eq!(decoded, Ok(Request::new("GET", "", "/hello.txt")), "the header section may be missing too");
        } else {
            assert!(matches!(decoded, Err(BhttpError::Truncated { .. })), "{end}: {decoded:?}");
        }
    }
    let response = bytes(KNOWN_RESPONSE);
    for end in 0..response.len() {
        match Response::decode(&response[..end], LIMIT) {
            Ok(shorter) => assert!([3, 4, 34].contains(&end), "{end}: {shorter:?}"),
            Err(error) => assert!(matches!(error, BhttpError::Truncated { .. }), "{end}: {error}"),
        }
    }
}

#[test]
fn informational_responses_come_first() {
    // 102 with a field, 103 without, then 200 with two chunks and a trailer.
    let message = b"\x03\x40\x66\x07running\x02ok\x00\x40\x67\x00\x40\xc8\x00\x02ab\x01c\x00\x01t\x01v\x00".to_vec();
    let response = Response::decode(&message, LIMIT).expect("accepted");
    let statuses: Vec<u16> = response.informational.iter().map(|informational| informational.status).collect();
    assert_eq!((statuses, response.status), (vec![102, 103], 200));
    assert_eq!(response.informational[0].fields.get("running"), Some("ok"));
    assert_eq!(response.content, b"abc");
    assert_eq!(response.trailers.get("t"), Some("v"));
    assert_eq!(Response::decode(&response.encode().expect("written"), LIMIT), Ok(response));
    let many = |count| [b"\x01".to_vec(), b"\x40\x66\x00".repeat(count), b"\x40\xc8".to_vec()].concat();
    assert!(Response::decode(&many(limits::BHTTP_INFORMATIONAL), LIMIT).is_ok());
    let refused = Response::decode(&many(limits::BHTTP_INFORMATIONAL + 1), LIMIT);
    assert_eq!(refused, Err(BhttpError::TooManyInformational));
}

#[test]
fn padding_is_zero_and_counts() {
    let padded = example_response().encode_padded().expect("written");
    assert_eq!(padded.len(), 1024);
    assert_eq!(Response::decode(&padded, 1024), Ok(example_response()));
    assert_eq!(Response::decode(&padded, 1023), Err(BhttpError::TooLarge { actual: 1024, limit: 1023 }));
    for position in [bytes(KNOWN_RESPONSE).len(), 500, 1023] {
        let mut marked = padded.clone();
        marked[position] = 1;
        assert_eq!(Response::decode(&marked, 1024), Err(BhttpError::Padding), "{position}");
    }
    let padded = example_request().encode_padded().expect("written");
    assert_eq!((padded.len(), Request::decode(&padded, 1024)), (1024, Ok(example_request())));
}

#[test]
fn framing_and_status_are_what_was_expected() {
    assert_eq!(Response::decode(&bytes(KNOWN_REQUEST), LIMIT), Err(BhttpError::Framing { found: 0 }));
    assert_eq!(Request::decode(&bytes(KNOWN_RESPONSE), LIMIT), Err(BhttpError::Framing { found: 1 }));
    assert_eq!(Request::decode(&[4], LIMIT), Err(BhttpError::Framing { found: 4 }));
    assert_eq!(Request::decode(&[], LIMIT), Err(BhttpError::Truncated { part: "framing indicator" }));
    for found in [0, 99, 600, 1 << 20] {
        let mut message = vec![1];
        write_varint(&mut message, found);
        assert_eq!(Response::decode(&message, LIMIT), Err(BhttpError::Status { found }));
    }
    assert_eq!(Response::new(199).encode(), Err(BhttpError::Status { found: 199 }));
}

#[test]
fn a_declared_length_allocates_nothing() {
    for length in [1 << 14, 1 << 30, (1 << 62) - 1] {
        let mut message = vec![0];
        write_varint(&mut message, length);
        assert_eq!(Request::decode(&message, LIMIT), Err(BhttpError::Truncated { part: "method" }));
        let mut message = vec![1, 0x40, 0xc8, 0];
        write_varint(&mut message, length);
        assert_eq!(Response::decode(&message, LIMIT), Err(BhttpError::Truncated { part: "content" }));
    }
}

#[test]
fn fields_are_those_of_http2() {
    let mut fields = Fields::default();
    for name in ["", "Accept", ":path", "a b", "a:", "\u{e9}"] {
        assert_eq!(fields.push(name, ""), Err(BhttpError::FieldName), "{name}");
    }
    for value in [" a", "a ", "a\t", "a\nb", "a\rb", "a\0b"] {
        assert_eq!(fields.push("a", value), Err(BhttpError::FieldValue { name: "a".into() }), "{value:?}");
    }
    fields.push("a", "x y").expect("accepted");
    assert_eq!((fields.get("a"), fields.get("b")), (Some("x y"), None));
    fields.push("a", [0xff]).expect("accepted: opaque bytes are allowed");
    assert_eq!(fields.get("a"), None, "two values say nothing for certain");
    assert_eq!(fields.get_all("a").count(), 2);
    let upper = b"\x01\x40\xc8\x04\x01A\x01v".to_vec();
    assert_eq!(Response::decode(&upper, LIMIT), Err(BhttpError::FieldName));
}

#[test]
fn fields_are_bounded_over_all_sections() {
    let mut response = Response::new(200);
    for _ in 0..limits::BHTTP_FIELDS - 1 {
        response.fields.push("a", "").expect("accepted");
    }
    response.trailers.push("a", "").expect("accepted");
    let encoded = response.encode().expect("written");
    assert_eq!(Response::decode(&encoded, LIMIT), Ok(response.clone()));
    response.trailers.push("a", "").expect("accepted");
    assert_eq!(response.encode(), Err(BhttpError::TooManyFields));
    let mut above = encoded;
    above.truncate(above.len() - 4);
    above.extend(b"\x06\x01a\x00\x01a\x00");
    assert_eq!(Response::decode(&above, LIMIT), Err(BhttpError::TooManyFields));

    let with_value = |length| {
        let mut response = Response::new(200);
        response.fields.push("a", "v".repeat(length)).expect("accepted");
        response
    };
    let full = with_value(limits::BHTTP_FIELD_BYTES - 1);
    assert_eq!(Response::decode(&full.encode().expect("written"), LIMIT), Ok(full));
    assert_eq!(with_value(limits::BHTTP_FIELD_BYTES).encode(), Err(BhttpError::FieldsTooLarge));
    let mut above = vec![1, 0x40, 0xc8];
    let mut section = vec![1, b'a'];
    write_prefixed(&mut section, &vec![b'v'; limits::BHTTP_FIELD_BYTES]);
    write_prefixed(&mut above, &section);
    assert_eq!(Response::decode(&above, LIMIT), Err(BhttpError::FieldsTooLarge));
}

#[test]
fn control_data_is_that_of_a_request_like_ours() {
    let refused = |change: fn(&mut Request), part| {
        let mut request = example_request();
        change(&mut request);
        assert_eq!(request.encode(), Err(BhttpError::ControlData { part }));
    };
    refused(|request| request.method = String::new(), "method");
    refused(|request| request.method = "GE T".into(), "method");
    refused(|request| request.scheme = String::new(), "scheme");
    refused(|request| request.authority = "a b".into(), "authority");
    refused(|request| request.path = "*".into(), "path");
    refused(|request| request.path = "/a\r\nb".into(), "path");
    let read = Request::decode(b"\x00\x03GET\x05https\x00\x01*", LIMIT);
    assert_eq!(read, Err(BhttpError::ControlData { part: "path" }));
    assert!(Request::decode(b"\x00\x03GET\x05https\x00\x01/", LIMIT).is_ok());
    let read = Request::decode(b"\x00\x01\xff\x05https\x00\x01/", LIMIT);
    assert_eq!(read, Err(BhttpError::ControlData { part: "method" }));
    let long = Request { path: format!("/{}", "a".repeat(limits::BHTTP_CONTROL_BYTES)), ..example_request() };
    assert!(matches!(long.encode(), Err(BhttpError::ControlDataTooLarge { .. })));
}

#[test]
fn integers_have_four_lengths() {
    for (value, encoded) in [
        (0, "00"),
        (63, "3f"),
        (64, "4040"),
        (16_383, "7fff"),
        (16_384, "80004000"),
        (1_073_741_823, "bfffffff"),
        (1_073_741_824, "c000000040000000"),
    ] {
        let mut written = Vec::new();
        write_varint(&mut written, value);
        assert_eq!(hex::encode(written), encoded, "{value}");
    }
}

#[test]
fn no_flipped_bit_panics() {
    for example in [KNOWN_REQUEST, INDETERMINATE_REQUEST, KNOWN_RESPONSE] {
        let message = bytes(example);
        for bit in 0..message.len() * 8 {
            let mut flipped = message.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let request = Request::decode(&flipped, LIMIT).map(|request| request.encode().is_ok());
            let response = Response::decode(&flipped, LIMIT).map(|response| response.encode().is_ok());
            assert!(request != Ok(false) && response != Ok(false), "whatever is read can be written");
        }
    }
}

#[test]
fn an_error_repeats_a_line_of_a_field_s_name_and_no_more() {
    let refused = |name: &str| Fields::default().push(name, " white space in front").unwrap_err().to_string();
    let (line, longer) = ("x".repeat(80), "x".repeat(8_000));
    assert_eq!(refused(&line), format!("binary HTTP message has an unacceptable value in the field `{line}`"));
    assert_eq!(refused(&longer), format!("binary HTTP message has an unacceptable value in the field `{line}…`"));
}
