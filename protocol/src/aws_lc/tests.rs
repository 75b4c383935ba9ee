//! The vectors of RFC 5869, 7748 and 8032, `ed25519-dalek` as the other side, and signatures that only lax rules let through.

use super::*;
use curve25519_dalek::EdwardsPoint;
use curve25519_dalek::constants::{ED25519_BASEPOINT_COMPRESSED, EIGHT_TORSION};
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use ed25519_dalek::{Signature, Signer, SigningKey, Verifier, VerifyingKey};
use sha2::{Digest, Sha256, Sha512};
use teegate_encoding::hex;

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).expect("hex of that length");
    bytes
}

#[test]
fn digests_of_parts_are_digests_of_the_whole() {
    let expected: [u8; 32] = Sha256::digest(b"one, two").into();
    assert_eq!(sha256(&[b"one, two"]), expected);
    assert_eq!(sha256(&[b"one", b"", b", two"]), expected);
    let empty: [u8; 32] = Sha256::digest(b"").into();
    assert_eq!((sha256(&[]), sha256(&[b""])), (empty, empty));
}

/// RFC 5869, appendix A: the test cases 1, 2 and 3. Output longer than one digest, a salt longer than a block, and no salt.
#[test]
fn hkdf_of_the_rfc() {
    let counted = |from: u8, to: u8| (from..=to).collect::<Vec<u8>>();
    let cases = [
        (
            (vec![0x0b; 22], counted(0x00, 0x0c), counted(0xf0, 0xf9)),
            "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            (counted(0x00, 0x4f), counted(0x60, 0xaf), counted(0xb0, 0xff)),
            "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (
            (vec![0x0b; 22], vec![], vec![]),
            "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ];
    for ((ikm, salt, info), prk, okm) in cases {
        let (first, second) = ikm.split_at(ikm.len() / 3);
        let extracted = hkdf_extract(&salt, &[first, second]);
        assert_eq!(hex::encode(*extracted), prk);
        let mut output = vec![0; okm.len() / 2];
        let (first, second) = info.split_at(info.len() / 2);
        hkdf_expand(&extracted, &[first, second], &mut output).expect("expanded");
        assert_eq!(hex::encode(output), okm);
    }
    assert_eq!(hkdf_expand(&[1; 32], &[], &mut [0; 255 * 32]), Ok(()));
    assert_eq!(hkdf_expand(&[1; 32], &[], &mut [0; 255 * 32 + 1]), Err(CryptoFailed), "more than the RFC gives");
}

/// RFC 7748, section 6.1.
#[test]
fn x25519_of_the_rfc() {
    let alice = X25519Key::from_bytes(&bytes("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
    let bob = X25519Key::from_bytes(&bytes("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
    let shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
    assert_eq!(hex::encode(alice.public()), "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    assert_eq!(hex::encode(bob.public()), "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    assert_eq!(alice.agree(bob.public()).map(|secret| hex::encode(*secret)), Ok(shared.to_owned()));
    assert_eq!(bob.agree(alice.public()).map(|secret| hex::encode(*secret)), Ok(shared.to_owned()));
}

/// RFC 8032, section 7.1: the tests 1, 2, 3 and SHA(abc).
#[test]
fn ed25519_of_the_rfc() {
    let cases = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            vec![],
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            vec![0x72],
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            vec![0xaf, 0x82],
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
        (
            "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
            "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
            Sha512::digest(b"abc").to_vec(),
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
        ),
    ];
    for (seed, public, message, signature) in cases {
        let key = Ed25519Key::from_seed(&bytes(seed));
        assert_eq!(hex::encode(key.public()), public);
        let signed = key.sign(&message).expect("signed");
        assert_eq!(hex::encode(signed), signature);
        assert!(ed25519_holds(&key.public(), &message, &signed));
        assert!(!ed25519_holds(&key.public(), &[message, vec![0]].concat(), &signed));
    }
}

/// Both sign the same bytes, and each accepts what the other signed; a flipped bit is refused by both.
#[test]
fn ed25519_dalek_signs_and_verifies_the_same() {
    for round in 0..64_u8 {
        let seed: [u8; 32] = Sha256::digest([round]).into();
        let message = Sha512::digest([round]).repeat(usize::from(round) / 4);
        let (ours, theirs) = (Ed25519Key::from_seed(&seed), SigningKey::from_bytes(&seed));
        assert_eq!(ours.public(), theirs.verifying_key().to_bytes());
        let signature = ours.sign(&message).expect("signed");
        assert_eq!(signature, theirs.sign(&message).to_bytes());
        assert!(both_hold(&ours.public(), &message, &signature));
        for bit in 0..512 {
            let mut flipped = signature;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!both_hold(&ours.public(), &message, &flipped), "{bit}");
        }
        for bit in 0..256 {
            let mut flipped = ours.public();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!both_hold(&flipped, &message, &signature), "{bit}");
        }
    }
}

/// What our rules say, which has to be what dalek's strict ones say.
fn both_hold(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let ours = ed25519_holds(key, message, signature);
    let theirs = VerifyingKey::from_bytes(key)
        .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok());
    assert_eq!(ours, theirs, "{} {}", hex::encode(key), hex::encode(signature));
    ours
}

/// What the library alone says.
fn library_holds(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
}

/// The signature `[s]B - [k]A = R` of whoever knows the scalar of the key, for an `R` of their choice.
fn signature_with(r: EdwardsPoint, scalar: Scalar, key: &[u8; 32], message: &[u8]) -> [u8; 64] {
    let r = r.compress().to_bytes();
    let k = Sha512::digest([r.as_slice(), key, message].concat());
    let s = Scalar::from_bytes_mod_order_wide(&k.into()) * scalar;
    [r, s.to_bytes()].concat().try_into().expect("64 bytes")
}

/// Under a key of order one, `[s]B = R` is a signature of every message. The library alone takes it.
#[test]
fn a_key_of_small_order_signs_nothing() {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(ED25519_BASEPOINT_COMPRESSED.as_bytes());
    signature[32] = 1;
    let key = EdwardsPoint::default().compress().to_bytes();
    assert!(library_holds(&key, b"a message", &signature) && library_holds(&key, b"another", &signature));
    assert!(!both_hold(&key, b"a message", &signature));
}

/// `R` of order one, in a signature that its key's owner can make. The library alone takes it.
#[test]
fn an_r_of_small_order_signs_nothing() {
    let seed = [7; 32];
    let key = Ed25519Key::from_seed(&seed).public();
    let hashed = Sha512::digest(seed);
    let scalar = Scalar::from_bytes_mod_order(clamp_integer(hashed[..32].try_into().expect("32 bytes")));
    let small = signature_with(EdwardsPoint::default(), scalar, &key, b"a message");
    assert!(library_holds(&key, b"a message", &small));
    assert!(!both_hold(&key, b"a message", &small));
}

/// All eight points, in every encoding that reads as one of them, and no other point.
#[test]
fn the_points_of_small_order_are_known() {
    let mut known = 0;
    for y in SMALL_ORDER {
        for sign in [0, 0x80] {
            let mut encoded = y;
            encoded[31] |= sign;
            assert!(is_small_order(&encoded), "{}", hex::encode(encoded));
            // `x` is zero where y is 1 or -1, and then has no sign: such an encoding need not be read.
            known += usize::from(CompressedEdwardsY(encoded).decompress().is_some_and(|point| point.is_small_order()));
        }
    }
    assert!(known >= 11, "{known}");
    for point in EIGHT_TORSION {
        assert!(is_small_order(&point.compress().to_bytes()));
    }
    let twice_base =
        CompressedEdwardsY(ED25519_BASEPOINT_COMPRESSED.to_bytes()).decompress().expect("a point") * Scalar::from(2_u8);
    for point in [ED25519_BASEPOINT_COMPRESSED, twice_base.compress()] {
        assert!(!is_small_order(point.as_bytes()) && is_reduced(point.as_bytes()));
    }
}

/// `y` from the prime on is another spelling of a smaller one: 19 numbers, each with and without the sign of `x`.
#[test]
fn a_key_has_one_encoding() {
    let mut below = PRIME;
    below[0] -= 1;
    assert!(is_reduced(&below) && is_reduced(&[0; 32]));
    for above in 0..19 {
        for sign in [0, 0x80] {
            let mut key = PRIME;
            key[0] += above;
            key[31] |= sign;
            assert!(!is_reduced(&key), "{above}");
            assert!(!ed25519_holds(&key, b"a message", &[1; 64]), "{above}");
        }
    }
}

/// `S` and `S` plus the order of the group are one number to whoever does not look: a second signature of a signed message.
#[test]
fn an_s_from_the_order_on_is_refused() {
    const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let key = Ed25519Key::from_seed(&[7; 32]);
    let good = key.sign(b"a message").expect("signed");
    assert!(both_hold(&key.public(), b"a message", &good));
    let (mut malleable, mut carry) = (good, 0_u16);
    for (to, add) in malleable[32..].iter_mut().zip(bytes::<32>(ORDER)) {
        let sum = u16::from(*to) + u16::from(add) + carry;
        (*to, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    let lax = VerifyingKey::from_bytes(&key.public()).expect("a key");
    assert!(
        lax.verify(b"a message", &Signature::from_bytes(&malleable)).is_err(),
        "dalek refuses it even by its lax rules"
    );
    assert!(!both_hold(&key.public(), b"a message", &malleable));
}

#[test]
fn two_keys_are_never_the_same() {
    let keys = || (X25519Key::generate().expect("randomness"), Ed25519Key::generate().expect("randomness"));
    let (first, second) = (keys(), keys());
    assert_ne!(first.0.public(), second.0.public());
    assert_ne!(first.1.public(), second.1.public());
}

#[test]
fn what_is_altered_does_not_open() {
    let (key, nonce) = ([3; 32], [4; NONCE_BYTES]);
    for (cipher, key) in [(Cipher::Aes128Gcm, &key[..16]), (Cipher::ChaCha20Poly1305, &key[..])] {
        let mut sealed = b"a message".to_vec();
        let tag = cipher.seal_in_place(key, nonce, b"beside", &mut sealed).expect("sealed");
        assert_eq!(cipher.open(key, nonce, b"beside", (&sealed, &tag)), Ok(b"a message".to_vec()));
        for bit in 0..8 * (sealed.len() + tag.len()) {
            let mut flipped = [sealed.as_slice(), &tag].concat();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let (text, tag) = flipped.split_at_mut(sealed.len());
            assert_eq!(cipher.open(key, nonce, b"beside", (text, tag)), Err(CryptoFailed), "{bit}");
            assert_eq!(cipher.open_in_place(key, nonce, b"beside", (text, tag)), Err(CryptoFailed), "{bit}");
            assert_ne!(&text[..], b"a message", "nothing is left of a message whose tag does not hold");
        }
        for length in 0..TAG_BYTES {
            assert_eq!(cipher.open(key, nonce, b"beside", (&sealed, &tag[..length])), Err(CryptoFailed), "{length}");
        }
        assert_eq!(cipher.open(key, nonce, b"", (&sealed, &tag)), Err(CryptoFailed));
        assert_eq!(cipher.seal_in_place(&key[1..], nonce, b"", &mut sealed), Err(CryptoFailed), "a shorter key");
    }
}
