//! What sealing, opening and receipts cost on aws-lc, beside the crates that did it before (RustCrypto, dalek) and beside nothing but the bare
//! operations that they cannot do without. All in one run, in turns; every answer is checked.
//!
//! `cargo run --release -p teegate-protocol --example crypto [BYTES [TURNS]]`: the length of a message, and how often each way has its turn.

#![expect(clippy::expect_used, reason = "a measurement that fails has nothing to say")]
#![expect(clippy::cast_precision_loss, reason = "times, for people")]

use aes_gcm::Aes128Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey as PeerKey, X25519, agree};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use curve25519_dalek::MontgomeryPoint;
use ed25519_dalek::{Signature, Signer, SigningKey};
use hpke::aead::AesGcm128;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use std::hint::black_box;
use std::time::{Duration, Instant};
use teegate_protocol::manifest::{ManifestDigest, ModelDigest};
use teegate_protocol::ohttp::{KeyPair, open_in_place, seal};
use teegate_protocol::receipt::{Execution, ReceiptKey, Salt, Signed};

/// How long a turn is. Of many short ones the quickest counts: others on the machine make a turn longer and none shorter.
const TURN: Duration = Duration::from_millis(2);

/// One thing, done in several ways.
struct Row<'a> {
    name: &'static str,
    /// On the crates of before; on aws-lc, alone or through this crate; and the bare operations of aws-lc in that.
    ways: [Option<Box<dyn FnMut() + 'a>>; 3],
}

impl<'a> Row<'a> {
    fn new(name: &'static str, before: impl FnMut() + 'a, now: impl FnMut() + 'a) -> Self {
        Self { name, ways: [Some(Box::new(before)), Some(Box::new(now)), None] }
    }

    fn over(mut self, bare: impl FnMut() + 'a) -> Self {
        self.ways[2] = Some(Box::new(bare));
        self
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u32>().expect("a number"));
    let (bytes, turns) = (arguments.next().unwrap_or(1024), arguments.next().unwrap_or(60));
    let message = vec![0x5a; usize::try_from(bytes).expect("a length")];
    println!("Messages of {bytes} bytes, AES-128-GCM: the quickest of {turns} turns each, in microseconds.\n");
    println!("| | crates of before | aws-lc | before / aws-lc | bare operations | aws-lc / bare |");
    println!("|---|---|---|---|---|---|");
    let (signed, sealed) = (Receipts::new(), Exchange::new(&message));
    for row in primitives(&message).into_iter().chain(sealed.rows()).chain(signed.rows()) {
        print(row, turns);
    }
}

fn print(mut row: Row<'_>, turns: u32) {
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..turns {
        for (way, times) in row.ways.iter_mut().zip(&mut times) {
            if let Some(way) = way {
                times.push(microseconds(way));
            }
        }
    }
    let [before, ours, bare] = times.map(quickest);
    let (was, over) = (ratio(before, ours), ratio(ours, bare));
    println!("| {} | {} | {} | {was} | {} | {over} |", row.name, shown(before), shown(ours), shown(bare));
}

/// One time of `way`, the mean of as many as fit into a turn.
fn microseconds(way: &mut dyn FnMut()) -> f64 {
    let (start, mut count) = (Instant::now(), 0_u64);
    while start.elapsed() < TURN {
        for _ in 0..8 {
            way();
        }
        count += 8;
    }
    start.elapsed().as_secs_f64() * 1e6 / count as f64
}

fn quickest(times: Vec<f64>) -> Option<f64> {
    times.into_iter().min_by(f64::total_cmp)
}

fn shown(time: Option<f64>) -> String {
    time.map_or_else(String::new, |time| format!("{time:.2}"))
}

fn ratio(upper: Option<f64>, lower: Option<f64>) -> String {
    upper.zip(lower).map_or_else(String::new, |(upper, lower)| format!("{:.2}", upper / lower))
}

/// The secret scalar and seed of all keys here, and those of an AEAD.
const SECRET: [u8; 32] = [7; 32];
const AEAD_KEY: [u8; 16] = [3; 16];
const AEAD_NONCE: [u8; 12] = [4; 12];

/// What the libraries offer, called alone.
fn primitives(message: &[u8]) -> Vec<Row<'_>> {
    let peer = MontgomeryPoint::mul_base_clamped([9; 32]).to_bytes();
    let shared = MontgomeryPoint(peer).mul_clamped(SECRET).to_bytes();
    let public = MontgomeryPoint::mul_base_clamped(SECRET).to_bytes();
    let key = bare_key();
    let (signer, old_signer) = (bare_signer(), SigningKey::from_bytes(&SECRET));
    let (verifier, old_verifier) = (signer.public_key().as_ref().to_vec(), old_signer.verifying_key());
    let signature = old_signer.sign(message);
    let sealed = old_seal(message);
    let expected = sealed.clone();
    vec![
        Row::new(
            "X25519: a key of 32 bytes",
            move || assert_eq!(MontgomeryPoint::mul_base_clamped(black_box(SECRET)).to_bytes(), public),
            move || assert_eq!(bare_key().compute_public_key().expect("a key").as_ref(), public),
        ),
        Row::new(
            "X25519: agreement",
            move || assert_eq!(MontgomeryPoint(peer).mul_clamped(black_box(SECRET)).to_bytes(), shared),
            move || assert_eq!(bare_agree(&key, peer), shared),
        ),
        Row::new(
            "Ed25519: signing",
            move || assert_eq!(old_signer.sign(message), signature),
            move || assert_eq!(signer.sign(message).as_ref(), signature.to_bytes()),
        ),
        Row::new(
            "Ed25519: verifying",
            move || assert!(old_verifier.verify_strict(message, &signature).is_ok()),
            move || bare_verify(&verifier, message, &signature.to_bytes()),
        ),
        Row::new(
            "AES-128-GCM: a key, and sealing in place",
            move || assert_eq!(old_seal(message), sealed),
            move || assert_eq!(bare_seal(message), expected),
        ),
    ]
}

fn bare_key() -> PrivateKey {
    PrivateKey::from_private_key(&X25519, &SECRET).expect("a key")
}

fn bare_agree(key: &PrivateKey, peer: [u8; 32]) -> Vec<u8> {
    agree(key, PeerKey::new(&X25519, peer), (), |agreed| Ok(agreed.to_vec())).expect("agreed")
}

fn bare_signer() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&SECRET).expect("a key")
}

fn bare_verify(key: &[u8], message: &[u8], signature: &[u8]) {
    assert!(UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok());
}

fn old_seal(message: &[u8]) -> Vec<u8> {
    let (mut text, cipher) = (message.to_vec(), Aes128Gcm::new(&AEAD_KEY.into()));
    cipher.encrypt_inout_detached(&AEAD_NONCE.into(), b"", text.as_mut_slice().into()).expect("sealed");
    text
}

fn bare_seal(message: &[u8]) -> Vec<u8> {
    let (mut text, nonce) = (message.to_vec(), Nonce::assume_unique_for_key(AEAD_NONCE));
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &AEAD_KEY).expect("a key"));
    let _ = black_box(key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut text).expect("sealed"));
    text
}

/// HMAC-SHA256 so often as a context of HPKE and its export take it: two for the shared secret, three extracts and four expands.
const HPKE_HMACS: usize = 9;
/// And the key and the nonce of a response: one extract and two expands.
const RESPONSE_HMACS: usize = 3;

fn bare_hmacs(count: usize) {
    for _ in 0..count {
        black_box(hmac::sign(&hmac::Key::new(HMAC_SHA256, &SECRET), &[5; 64]));
    }
}

const INFO: &[u8] = b"message/bhttp request\0\x01\0\x20\0\x01\0\x01";
const LABEL: &[u8] = b"message/bhttp response";

type OldKem = X25519HkdfSha256;

/// Whole steps of an exchange. What came before is the `hpke` crate without any framing, so it does a little less.
struct Exchange<'a> {
    message: &'a [u8],
    pair: KeyPair,
    request: Vec<u8>,
    old_secret: <OldKem as Kem>::PrivateKey,
    old_public: <OldKem as Kem>::PublicKey,
    old_request: ([u8; 32], Vec<u8>),
    bare_key: PrivateKey,
    bare_peer: [u8; 32],
}

impl<'a> Exchange<'a> {
    fn new(message: &'a [u8]) -> Self {
        let pair = KeyPair::generate(1).expect("randomness");
        let (request, _) = seal(pair.config(), message).expect("sealed");
        let (old_secret, old_public) = OldKem::derive_keypair(&[8; 32]);
        let old_request = old_request(&old_public, message);
        let bare_peer = old_public.to_bytes().into();
        Self { message, pair, request, old_secret, old_public, old_request, bare_key: bare_key(), bare_peer }
    }

    fn rows(&self) -> Vec<Row<'_>> {
        vec![
            Row::new(
                "request: sealing",
                || drop(black_box(old_request(&self.old_public, self.message))),
                || assert!(seal(self.pair.config(), self.message).is_ok()),
            )
            .over(|| self.bare(&bare_key())),
            Row::new(
                "request: opening",
                || self.old_open(),
                || {
                    let mut buffer = self.request.clone();
                    assert!(open_in_place(&mut buffer, &self.pair).is_ok());
                    assert_eq!(buffer, self.message);
                },
            )
            .over(|| self.bare(&self.bare_key)),
            Row {
                name: "request and response: sealing and opening each",
                ways: [
                    None,
                    Some(Box::new(|| {
                        let (mut request, client) = seal(self.pair.config(), self.message).expect("sealed");
                        let server = open_in_place(&mut request, &self.pair).expect("opened");
                        let answer = server.seal(&request).expect("sealed");
                        assert_eq!(client.open(&answer).expect("opened"), self.message);
                    })),
                    Some(Box::new(|| {
                        self.bare(&bare_key());
                        self.bare(&self.bare_key);
                        for _ in 0..2 {
                            bare_hmacs(RESPONSE_HMACS);
                            black_box(bare_seal(self.message));
                        }
                    })),
                ],
            },
        ]
    }

    fn old_open(&self) {
        let (enc, sealed) = &self.old_request;
        let enc = Deserializable::from_bytes(enc).expect("32 bytes");
        let mut context =
            hpke::setup_receiver::<AesGcm128, HkdfSha256, OldKem>(&OpModeR::Base, &self.old_secret, &enc, INFO)
                .expect("a context");
        assert_eq!(context.open(sealed, b"").expect("opened"), self.message);
        context.export(LABEL, &mut [0; 16]).expect("exported");
    }

    /// What either side of a request cannot do without, beside the making of a key.
    fn bare(&self, key: &PrivateKey) {
        black_box(bare_agree(key, self.bare_peer));
        bare_hmacs(HPKE_HMACS);
        black_box(bare_seal(self.message));
    }
}

fn old_request(public: &<OldKem as Kem>::PublicKey, message: &[u8]) -> ([u8; 32], Vec<u8>) {
    let (enc, mut context) =
        hpke::setup_sender::<AesGcm128, HkdfSha256, OldKem>(&OpModeS::Base, public, INFO).expect("a context");
    let sealed = context.seal(message, b"").expect("sealed");
    context.export(LABEL, &mut [0; 16]).expect("exported");
    (enc.to_bytes().into(), sealed)
}

/// Execution receipts. Before and bare are the signature alone, without the JSON.
struct Receipts {
    receipt: Execution,
    key: ReceiptKey,
    old_key: SigningKey,
    bare_key: Ed25519KeyPair,
    signed: Signed,
    covered: Vec<u8>,
}

impl Receipts {
    fn new() -> Self {
        let salt = Salt::generate().expect("randomness");
        let receipt = Execution {
            manifest: ManifestDigest([2; 32]),
            request_id: None,
            request: salt.digest(b"request"),
            output: salt.digest(b"output"),
            model: ModelDigest([3; 32]),
            claimed_time: 1_800_000_000,
        };
        let key = ReceiptKey::from_seed(&SECRET);
        let signed = receipt.sign(&key).expect("signed");
        let covered = [b"teegate/1 execution\0".as_slice(), &signed.bytes].concat();
        Self { receipt, key, old_key: SigningKey::from_bytes(&SECRET), bare_key: bare_signer(), signed, covered }
    }

    fn rows(&self) -> Vec<Row<'_>> {
        let signature = Signature::from_bytes(&self.signed.signature);
        let (public, old_public) = (self.key.public(), self.old_key.verifying_key());
        vec![
            Row::new(
                "receipt: writing and signing",
                move || assert_eq!(self.old_key.sign(&self.covered), signature),
                || assert_eq!(self.receipt.sign(&self.key).expect("signed"), self.signed),
            )
            .over(move || assert_eq!(self.bare_key.sign(&self.covered).as_ref(), signature.to_bytes())),
            Row::new(
                "receipt: verifying and reading",
                move || assert!(old_public.verify_strict(&self.covered, &signature).is_ok()),
                move || assert_eq!(Execution::verify(&self.signed, &public), Ok(self.receipt.clone())),
            )
            .over(move || bare_verify(public.as_bytes(), &self.covered, &self.signed.signature)),
        ]
    }
}
