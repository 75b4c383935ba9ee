//! The base mode vectors of RFC 9180, appendix A.1.1 and A.2.1, and the `hpke` crate as the other side.

use super::*;
use ::hpke::aead::{Aead as PeerAead, AesGcm128, ChaCha20Poly1305};
use ::hpke::kdf::HkdfSha256;
use ::hpke::kem::X25519HkdfSha256;
use ::hpke::{Deserializable, Kem as _, OpModeR, OpModeS, Serializable, setup_receiver, setup_sender_with_rng};
use sha2::{Digest, Sha256};
use teegate_encoding::hex;

struct Vector {
    aead: Aead,
    sk_r: &'static str,
    sk_e: &'static str,
    pk_r: &'static str,
    enc: &'static str,
    shared_secret: &'static str,
    key: &'static str,
    base_nonce: &'static str,
    exporter_secret: &'static str,
    /// Of sequence number 0.
    ct: &'static str,
    /// 32 bytes each, for the contexts of [`EXPORTS`].
    exported: [&'static str; 3],
}

const INFO: &[u8] = b"Ode on a Grecian Urn";
const PLAINTEXT: &[u8] = b"Beauty is truth, truth beauty";
const AAD: &[u8] = b"Count-0";
const EXPORTS: [&[u8]; 3] = [b"", b"\0", b"TestContext"];

const VECTORS: [Vector; 2] = [
    Vector {
        aead: Aead::Aes128Gcm,
        sk_r: "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8",
        sk_e: "52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736",
        pk_r: "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d",
        enc: "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431",
        shared_secret: "fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc",
        key: "4531685d41d65f03dc48f6b8302c05b0",
        base_nonce: "56d890e5accaaf011cff4b7d",
        exporter_secret: "45ff1c2e220db587171952c0592d5f5ebe103f1561a2614e38f2ffd47e99e3f8",
        ct: "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a",
        exported: [
            "3853fe2b4035195a573ffc53856e77058e15d9ea064de3e59f4961d0095250ee",
            "2e8f0b54673c7029649d4eb9d5e33bf1872cf76d623ff164ac185da9e88c21a5",
            "e9e43065102c3836401bed8c3c3c75ae46be1639869391d62c61f1ec7af54931",
        ],
    },
    Vector {
        aead: Aead::ChaCha20Poly1305,
        sk_r: "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb",
        sk_e: "f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600",
        pk_r: "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a",
        enc: "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a",
        shared_secret: "0bbe78490412b4bbea4812666f7916932b828bba79942424abb65244930d69a7",
        key: "ad2744de8e17f4ebba575b3f5f5a8fa1f69c2a07f6e7500bc60ca6e3e3ec1c91",
        base_nonce: "5c4d98150661b848853b547f",
        exporter_secret: "a3b010d4994890e2c6968a36f64470d3c824c8f5029942feb11e7a74b2921922",
        ct: "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
        exported: [
            "4bbd6243b8bb54cec311fac9df81841b6fd61f56538a775e7c80a9f40160606e",
            "8c1df14732580e5501b00f82b10a1647b40713191b7c1240ac80e2b68808ba69",
            "5acb09211139c43b3090489a9da433e8a30ee7188ba8b0a9a1ccf0c229283e53",
        ],
    },
];

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).expect("hex of that length");
    bytes
}

#[test]
fn vectors_of_the_rfc() {
    for vector in VECTORS {
        let (receiver, ephemeral) =
            (X25519Key::from_bytes(&bytes(vector.sk_r)), X25519Key::from_bytes(&bytes(vector.sk_e)));
        assert_eq!(hex::encode(receiver.public()), vector.pk_r);
        assert_eq!(hex::encode(ephemeral.public()), vector.enc);
        let sent = encapsulate(&ephemeral, receiver.public()).expect("a secret");
        let received = decapsulate(&bytes(vector.enc), &receiver).expect("a secret");
        assert_eq!((hex::encode(*sent), &sent), (vector.shared_secret.to_owned(), &received));

        let context = || Context::new((Kem::X25519, vector.aead), &sent, INFO).expect("a context");
        assert_eq!(hex::encode(context().message_key().expect("a key")), vector.key);
        assert_eq!(hex::encode(context().base_nonce), vector.base_nonce);
        assert_eq!(hex::encode(*context().exporter_secret), vector.exporter_secret);
        for (exporter_context, expected) in EXPORTS.iter().zip(vector.exported) {
            let mut exported = [0; 32];
            context().export(exporter_context, &mut exported).expect("exported");
            assert_eq!(hex::encode(exported), expected);
        }

        let mut text = PLAINTEXT.to_vec();
        let tag = context().seal_in_place(AAD, &mut text).expect("sealed");
        assert_eq!(hex::encode([text.as_slice(), &tag].concat()), vector.ct);
        assert_eq!(context().open_in_place(AAD, (&mut text, &tag)), Ok(()));
        assert_eq!(text, PLAINTEXT);
        let tag = context().seal_in_place(AAD, &mut text).expect("sealed");
        assert_eq!(context().open_in_place(b"Count-1", (&mut text, &tag)), Err(CryptoFailed), "other associated data");
        assert_eq!(context().open_in_place(AAD, (&mut text, &tag[..15])), Err(CryptoFailed), "a shorter tag");
    }
}

/// The points of small order: whoever sends one of them would know the shared secret, because it is zero.
#[test]
fn a_key_of_small_order_agrees_on_nothing() {
    let key = X25519Key::from_bytes(&bytes(VECTORS[0].sk_r));
    let other = X25519Key::from_bytes(&bytes(VECTORS[0].sk_e));
    assert!(encapsulate(&other, key.public()).is_ok() && decapsulate(other.public(), &key).is_ok());
    // u of the points whose order divides eight, little-endian: 0, 1, two of order 8, -1, and 0 and 1 written as the prime and one above it.
    let small = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for point in small.map(bytes::<32>) {
        // The highest bit is not looked at (RFC 7748 section 5).
        for highest in [0, 0x80] {
            let mut point = point;
            point[31] |= highest;
            assert_eq!(encapsulate(&other, &point), Err(CryptoFailed), "{}", hex::encode(point));
            assert_eq!(decapsulate(&point, &key), Err(CryptoFailed), "{}", hex::encode(point));
        }
    }
}

#[test]
fn the_hpke_crate_seals_and_opens_the_same() {
    with_the_crate::<AesGcm128>(Aead::Aes128Gcm);
    with_the_crate::<ChaCha20Poly1305>(Aead::ChaCha20Poly1305);
}

/// Random keys, and messages, `info` and associated data of many lengths, both directions.
fn with_the_crate<A: PeerAead>(aead: Aead) {
    for round in 0..64_u16 {
        let chosen = Vec::from_iter((0..40_u16).flat_map(|part| {
            let seed = [aead.id(), round, part].map(u16::to_be_bytes).concat();
            <[u8; 32]>::from(Sha256::digest(seed))
        }));
        let length = |at: usize| usize::from(chosen[at]);
        let (info, aad) = (&chosen[..length(0)], &chosen[..length(1)]);
        let plaintext = &chosen[..4 * length(2)];

        // Ours seals, the crate opens.
        let (peer, peer_public) = X25519HkdfSha256::derive_keypair(&chosen[..32]);
        let peer_public: [u8; 32] = peer_public.to_bytes().into();
        let ephemeral = X25519Key::generate().expect("randomness");
        let secret = encapsulate(&ephemeral, &peer_public).expect("a secret");
        let context = || Context::new((Kem::X25519, aead), &secret, info).expect("a context");
        let (mut text, mut ours, mut theirs) = (plaintext.to_vec(), [0; 48], [0; 48]);
        context().export(b"label", &mut ours).expect("exported");
        let tag = context().seal_in_place(aad, &mut text).expect("sealed");
        let enc = Deserializable::from_bytes(ephemeral.public()).expect("32 bytes");
        let mut opener =
            setup_receiver::<A, HkdfSha256, X25519HkdfSha256>(&OpModeR::Base, &peer, &enc, info).expect("a context");
        assert_eq!(opener.open(&[text.as_slice(), &tag].concat(), aad).expect("opened"), plaintext);
        opener.export(b"label", &mut theirs).expect("exported");
        assert_eq!(ours, theirs);

        // The crate seals, ours opens.
        let receiver = X25519Key::generate().expect("randomness");
        let public = Deserializable::from_bytes(receiver.public()).expect("32 bytes");
        let (enc, mut sealer) = setup_sender_with_rng::<A, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &public,
            info,
            &mut Counting(chosen[3]),
        )
        .expect("a context");
        let sealed = sealer.seal(plaintext, aad).expect("sealed");
        sealer.export(b"label", &mut theirs).expect("exported");
        let enc: [u8; 32] = enc.to_bytes().into();
        let secret = decapsulate(&enc, &receiver).expect("a secret");
        let context = || Context::new((Kem::X25519, aead), &secret, info).expect("a context");
        let (text, tag) = sealed.split_at(plaintext.len());
        let mut text = text.to_vec();
        assert_eq!(context().open_in_place(aad, (&mut text, tag)), Ok(()));
        assert_eq!(text, plaintext);
        context().export(b"label", &mut ours).expect("exported");
        assert_eq!(ours, theirs);
    }
}

/// Bytes for the ephemeral keys of the crate: each other than the last, which is all that a test needs.
struct Counting(u8);

impl ::hpke::rand_core::TryRng for Counting {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for byte in bytes {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
        Ok(())
    }
}

impl ::hpke::rand_core::TryCryptoRng for Counting {}
