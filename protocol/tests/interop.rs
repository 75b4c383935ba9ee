//! The `ohttp` and `bhttp` crates as the other side, both directions, both AEADs; and what an attacker on the way can do to sealed bytes.

#![expect(clippy::expect_used, reason = "a test that cannot make its key has nothing to say")]

use bhttp::{Message, Mode};
use ohttp::hpke::{Aead as PeerAead, Kdf, Kem};
use ohttp::{ClientRequest, KeyConfig as PeerConfig, Server, SymmetricSuite};
use std::io::Cursor;
use teegate_protocol::bhttp::{Request, Response};
use teegate_protocol::ohttp::request::{EncapsulatedRequest, OpenError, seal_with};
use teegate_protocol::ohttp::response::OpenResponseError;
use teegate_protocol::ohttp::suite::Aead;
use teegate_protocol::ohttp::{KeyConfig, KeyPair, seal};
use teegate_protocol::padding::padded_len;

const KEY_ID: u8 = 0x42;
const AEADS: [(Aead, PeerAead); 2] =
    [(Aead::Aes128Gcm, PeerAead::Aes128Gcm), (Aead::ChaCha20Poly1305, PeerAead::ChaCha20Poly1305)];

fn key_pair() -> KeyPair {
    KeyPair::generate(KEY_ID).expect("randomness")
}

#[test]
fn our_client_and_a_stock_server() {
    for (ours, theirs) in AEADS {
        let suites = vec![SymmetricSuite::new(Kdf::HkdfSha256, theirs)];
        let server = Server::new(PeerConfig::new(KEY_ID, Kem::X25519Sha256, suites).expect("key")).expect("server");
        let list = PeerConfig::encode_list(&[server.config()]).expect("written");
        let configs = KeyConfig::parse_list(&list).expect("accepted");
        assert_eq!(KeyConfig::encode_list(&configs), list);
        assert_eq!(configs[0].aeads(), [ours]);

        let (request, context) = seal(&configs[0], b"a request").expect("sealed");
        let (opened, peer_context) = server.decapsulate(&request).expect("opened");
        assert_eq!(opened, b"a request");
        let response = peer_context.encapsulate(b"a response").expect("sealed");
        assert_eq!(context.open(&response).expect("opened"), b"a response");
    }
}

#[test]
fn a_stock_client_and_our_server() {
    let key_pair = key_pair();
    for (ours, theirs) in AEADS {
        // The stock client takes the first suite of a configuration: offer it only the one under test.
        let mut config = key_pair.config().encode();
        config.truncate(config.len() - 8);
        let [high, low] = ours.id().to_be_bytes();
        let suites_length = config.len() - 1;
        config[suites_length] = 4;
        config.extend([0, 1, high, low]);
        assert!(
            PeerConfig::decode(&config).expect("accepted").select(SymmetricSuite::new(Kdf::HkdfSha256, theirs)).is_ok()
        );

        let client = ClientRequest::from_encoded_config(&config).expect("accepted");
        let (request, peer_context) = client.encapsulate(b"a request").expect("sealed");
        let parsed = EncapsulatedRequest::parse(&request).expect("parsed");
        assert_eq!(parsed.key_id(), KEY_ID);
        let (opened, context) = parsed.open(&key_pair).expect("opened");
        assert_eq!(opened, b"a request");
        let response = context.seal(b"a response").expect("sealed");
        assert_eq!(peer_context.decapsulate(&response).expect("opened"), b"a response");
    }
    let list = KeyConfig::encode_list([key_pair.config()]);
    let client = ClientRequest::from_encoded_config_list(&list).expect("a stock client takes our list as it is");
    let (request, _) = client.encapsulate(b"x").expect("sealed");
    assert!(EncapsulatedRequest::parse(&request).expect("parsed").open(&key_pair).is_ok());
}

#[test]
fn both_sides_ours() {
    let key_pair = key_pair();
    for (aead, _) in AEADS {
        for message in [vec![], vec![7; 1 << 20]] {
            let (request, client) = seal_with(key_pair.config(), aead, &message).expect("sealed");
            let (opened, server) =
                EncapsulatedRequest::parse(&request).expect("parsed").open(&key_pair).expect("opened");
            assert_eq!(opened, message);
            let response = server.seal(&message).expect("sealed");
            assert_eq!(client.open(&response), Ok(message));
        }
    }
}

#[test]
fn no_two_sealings_share_a_replay_key() {
    let key_pair = key_pair();
    let name = |bytes: &[u8]| EncapsulatedRequest::parse(bytes).expect("parsed").replay_key();
    let (first, _) = seal(key_pair.config(), b"a request").expect("sealed");
    let (second, _) = seal(key_pair.config(), b"a request").expect("sealed");
    assert_ne!(name(&first), name(&second));
    assert_eq!(name(&first), name(&first.clone()));
    // The name does not depend on the ciphertext, so a damaged copy reserves the same name and has to be released when it does not open.
    let mut damaged = first.clone();
    *damaged.last_mut().expect("bytes") ^= 1;
    assert_eq!(name(&first), name(&damaged));
}

#[test]
fn every_flipped_bit_of_a_request_is_refused() {
    let key_pair = key_pair();
    for (aead, _) in AEADS {
        let (request, _) = seal_with(key_pair.config(), aead, b"a request").expect("sealed");
        assert!(EncapsulatedRequest::parse(&request).expect("parsed").open(&key_pair).is_ok());
        for bit in 0..request.len() * 8 {
            let mut flipped = request.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let refusal = EncapsulatedRequest::parse(&flipped).and_then(|request| request.open(&key_pair)).err();
            let refusal = refusal.expect("a flipped bit opens nothing");
            match bit / 8 {
                0 => assert_eq!(refusal, OpenError::UnknownKeyId { key_id: flipped[0] }),
                // From AES-128-GCM (1) to ChaCha20-Poly1305 (3) and back is one bit: offered, but not what was sealed.
                6 if [1, 3].contains(&flipped[6]) => assert_eq!(refusal, OpenError::Unauthentic),
                1..=6 => assert!(matches!(refusal, OpenError::UnsupportedSuite { .. }), "{bit}: {refusal:?}"),
                _ => assert_eq!(refusal, OpenError::Unauthentic, "{bit}"),
            }
        }
    }
}

#[test]
fn every_flipped_bit_of_a_response_is_refused() {
    let key_pair = key_pair();
    let exchange = || {
        let (request, client) = seal(key_pair.config(), b"a request").expect("sealed");
        let (_, server) = EncapsulatedRequest::parse(&request).expect("parsed").open(&key_pair).expect("opened");
        (client, server.seal(b"a response").expect("sealed"))
    };
    let (client, response) = exchange();
    assert_eq!(client.open(&response), Ok(b"a response".to_vec()));
    for bit in 0..response.len() * 8 {
        let (client, mut response) = exchange();
        response[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(client.open(&response), Err(OpenResponseError::Unauthentic), "{bit}");
    }
    let (client, _) = exchange();
    assert_eq!(client.open(&response), Err(OpenResponseError::Unauthentic), "the answer to another request");
}

#[test]
fn every_prefix_is_refused() {
    let key_pair = key_pair();
    let (request, client) = seal(key_pair.config(), b"a request").expect("sealed");
    for end in 0..request.len() {
        let refusal = EncapsulatedRequest::parse(&request[..end]).and_then(|request| request.open(&key_pair)).err();
        // Seven bytes of header, 32 of `enc`, 16 of tag: what is shorter is not a request at all.
        let expected = if end < 7 + 32 + 16 { OpenError::Malformed } else { OpenError::Unauthentic };
        assert_eq!(refusal, Some(expected), "{end}");
    }
    drop(client);
    for length in 0..48 {
        let (_, client) = seal(key_pair.config(), b"a request").expect("sealed");
        let expected = if length < 32 { OpenResponseError::Malformed } else { OpenResponseError::Unauthentic };
        assert_eq!(client.open(&vec![0; length]), Err(expected), "{length}");
    }
}

#[test]
fn requests_of_the_bhttp_crate() {
    let mut theirs = Message::request(b"POST".to_vec(), b"https".to_vec(), b"example.com".to_vec(), b"/v2/x".to_vec());
    theirs.put_header("content-type", "application/json");
    theirs.write_content(b"{}");
    theirs.put_trailer("t", "v");
    let mut ours = Request::new("POST", "example.com", "/v2/x");
    ours.fields.push("content-type", "application/json").expect("accepted");
    ours.content = b"{}".to_vec();
    ours.trailers.push("t", "v").expect("accepted");
    for mode in [Mode::KnownLength, Mode::IndeterminateLength] {
        let mut written = Vec::new();
        theirs.write_bhttp(mode, &mut written).expect("written");
        assert_eq!(Request::decode(&written, 1024), Ok(ours.clone()));
    }
    let padded = ours.encode_padded().expect("written");
    assert_eq!(padded.len(), padded_len(padded.len()));
    let read = Message::read_bhttp(&mut Cursor::new(&padded)).expect("read");
    assert_eq!(read.control().method(), Some(b"POST".as_slice()));
    assert_eq!(read.control().path(), Some(b"/v2/x".as_slice()));
    assert_eq!(read.header().get(b"content-type"), Some(b"application/json".as_slice()));
    assert_eq!((read.content(), read.trailer().get(b"t")), (b"{}".as_slice(), Some(b"v".as_slice())));
}

#[test]
fn responses_of_the_bhttp_crate() {
    let mut theirs = Message::response(200_u16.try_into().expect("status"));
    theirs.put_header("content-type", "application/json");
    theirs.write_content(b"{}");
    let mut ours = Response::new(200);
    ours.fields.push("content-type", "application/json").expect("accepted");
    ours.content = b"{}".to_vec();
    for mode in [Mode::KnownLength, Mode::IndeterminateLength] {
        let mut written = Vec::new();
        theirs.write_bhttp(mode, &mut written).expect("written");
        assert_eq!(Response::decode(&written, 1024), Ok(ours.clone()));
    }
    let read = Message::read_bhttp(&mut Cursor::new(&ours.encode_padded().expect("written"))).expect("read");
    assert_eq!(read.control().status().map(|status| status.code()), Some(200));
    assert_eq!(read.header().get(b"content-type"), Some(b"application/json".as_slice()));
    assert_eq!(read.content(), b"{}");
}
