//! The complete example of RFC 9458, appendix A: key configuration, encapsulated request, encapsulated response.

use super::config::{KeyConfig, KeyPair};
use super::exchange::{ResponseSecret, SecretKey};
use super::request::{EncapsulatedRequest, OpenError, ReplayKey, open_in_place};
use super::response::ClientContext;
use super::suite::{Aead, Kem};
use crate::bhttp;
use sha2::{Digest, Sha256};
use teegate_encoding::hex;

const SECRET_KEY: &str = "3c168975674b2fa8e465970b79c8dcf09f1c741626480bd4c6162fc5b6a98e1a";
const KEY_CONFIG: &str = "01002031e1f05a740102115220e9af918f738674aec95f54db6e04eb705aae8e79815500080001000100010003";
const REQUEST: &str = "00034745540568747470730b6578616d706c652e636f6d012f";
const ENC: &str = "4b28f881333e7c164ffc499ad9796f877f4e1051ee6d31bad19dec96c208b472";
const ENCAPSULATED_REQUEST: &str = "010020000100014b28f881333e7c164ffc499ad9796f877f4e1051ee6d31bad19dec96c208b4726374e469135906992e1268c594d2a10c695d858c40a026e7965e7d86b83dd440b2c0185204b4d63525";
const RESPONSE: &str = "0140c8";
const EXPORTED: &str = "62d87a6ba569ee81014c2641f52bea36";
const RESPONSE_NONCE: &str = "c789e7151fcba46158ca84b04464910d";
const ENCAPSULATED_RESPONSE: &str = "c789e7151fcba46158ca84b04464910d86f9013e404feea014e7be4a441f234f857fbd";

fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex).expect("hex")
}

fn key_pair() -> KeyPair {
    let config = KeyConfig::parse(&bytes(KEY_CONFIG)).expect("accepted");
    KeyPair::from_parts(config, SecretKey::from_bytes(&bytes(SECRET_KEY).try_into().expect("32 bytes")))
}

fn secret() -> ResponseSecret {
    ResponseSecret::from_parts(Aead::Aes128Gcm, &bytes(ENC), &bytes(EXPORTED))
}

#[test]
fn key_configuration() {
    let config = KeyConfig::parse(&bytes(KEY_CONFIG)).expect("accepted");
    assert_eq!((config.key_id(), config.kem()), (1, Kem::X25519));
    assert_eq!(config.aeads(), [Aead::Aes128Gcm, Aead::ChaCha20Poly1305]);
    assert_eq!(hex::encode(config.encode()), KEY_CONFIG);
}

#[test]
fn request_opens() {
    let encapsulated = bytes(ENCAPSULATED_REQUEST);
    let request = EncapsulatedRequest::parse(&encapsulated).expect("accepted");
    assert_eq!((request.key_id(), hex::encode(request.enc())), (1, ENC.to_owned()));
    let named: [u8; 32] = Sha256::digest([vec![1], bytes(ENC)].concat()).into();
    assert_eq!(request.replay_key(), ReplayKey(named));
    let (plaintext, _) = request.open(&key_pair()).expect("opened");
    assert_eq!(hex::encode(&plaintext), REQUEST);
    let message = bhttp::Request::decode(&plaintext, 1024).expect("a truncated message");
    assert_eq!(message, bhttp::Request::new("GET", "example.com", "/"));
}

#[test]
fn request_opens_where_it_lies() {
    let mut buffer = bytes(ENCAPSULATED_REQUEST);
    let place = buffer.as_ptr();
    let context = open_in_place(&mut buffer, &key_pair()).expect("opened");
    assert_eq!((hex::encode(&buffer).as_str(), buffer.as_ptr()), (REQUEST, place));
    let sealed = context.seal(&bytes(RESPONSE)).expect("sealed");
    assert_eq!(ClientContext::new(secret()).open(&sealed).map(hex::encode), Ok(RESPONSE.to_owned()));

    let opens = |buffer: &[u8], key: &KeyPair| open_in_place(&mut buffer.to_vec(), key).err();
    let whole = bytes(ENCAPSULATED_REQUEST);
    for length in 0..whole.len() {
        let expected = if length < 7 + 32 + 16 { OpenError::Malformed } else { OpenError::Unauthentic };
        assert_eq!(opens(&whole[..length], &key_pair()), Some(expected), "{length}");
    }
    for place in 39..whole.len() {
        let mut changed = whole.clone();
        changed[place] ^= 1;
        assert_eq!(opens(&changed, &key_pair()), Some(OpenError::Unauthentic), "{place}");
    }
    let other = KeyPair::generate(2).expect("randomness");
    assert_eq!(opens(&whole, &other), Some(OpenError::UnknownKeyId { key_id: 1 }));
}

#[test]
fn response_key_is_derived() {
    let sealed = secret().seal(&bytes(RESPONSE_NONCE), &bytes(RESPONSE)).expect("sealed");
    assert_eq!(hex::encode(&sealed), ENCAPSULATED_RESPONSE);
    assert_eq!(sealed.capacity(), sealed.len(), "written once");
    let opened = ClientContext::new(secret()).open(&bytes(ENCAPSULATED_RESPONSE)).expect("opened");
    assert_eq!(hex::encode(&opened), RESPONSE);
    assert_eq!(bhttp::Response::decode(&opened, 1024), Ok(bhttp::Response::new(200)));
}

/// The context that opening yields has the exported secret that the RFC prints: what it seals opens under that secret.
#[test]
fn context_of_the_opened_request() {
    let encapsulated = bytes(ENCAPSULATED_REQUEST);
    let (_, context) = EncapsulatedRequest::parse(&encapsulated).expect("accepted").open(&key_pair()).expect("opened");
    let sealed = context.seal(&bytes(RESPONSE)).expect("sealed");
    assert_eq!(ClientContext::new(secret()).open(&sealed).map(hex::encode), Ok(RESPONSE.to_owned()));
}

#[test]
fn another_key_does_not_open() {
    let encapsulated = bytes(ENCAPSULATED_REQUEST);
    let request = EncapsulatedRequest::parse(&encapsulated).expect("accepted");
    let other = KeyPair::generate(1).expect("randomness");
    assert_eq!(request.open(&other).err(), Some(OpenError::Unauthentic));
    let other = KeyPair::generate(2).expect("randomness");
    assert_eq!(request.open(&other).err(), Some(OpenError::UnknownKeyId { key_id: 1 }));
}
