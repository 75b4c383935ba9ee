//! A bit of each byte of a bundle is flipped: every flip is refused, but for those in the name of who signed the checkpoint, which no
//! signature covers and nobody reads, and in the end of that line, which is cut off as space. And a bundle that is cut anywhere is an error.

use teegate_forge::sigstore::{IDENTITY, ISSUER};
use teegate_forge::time::AT;
use teegate_sigstore::{Expected, TrustedRoot, verify};
use teegate_verifier::UnixTime;

/// As a note writes it before the signature.
const UNCOVERED: &str = "log.forged.example ";

#[test]
fn no_byte_of_a_bundle_may_be_another() {
    let signed = teegate_forge::sigstore().build();
    let root = TrustedRoot::read(signed.trusted_root.as_bytes()).unwrap();
    let expected = Expected::new(IDENTITY, ISSUER).unwrap();
    let judge = |bundle: &[u8]| verify(&signed.file, bundle, &root, &expected, UnixTime::from_seconds(AT));
    judge(signed.bundle.as_bytes()).unwrap();

    let bytes = signed.bundle.as_bytes();
    let uncovered = signed.bundle.rfind(UNCOVERED).unwrap();
    let uncovered = uncovered..uncovered + UNCOVERED.len();
    let mut accepted = Vec::new();
    for (index, byte) in bytes.iter().enumerate() {
        let mut altered = bytes.to_vec();
        let flipped = byte ^ (1 << (index % 7));
        altered.splice(index..=index, [flipped]);
        match judge(&altered) {
            Ok(_) => accepted.push(index),
            Err(error) => assert!(error.to_string().chars().count() < 400, "{error}"),
        }
    }
    // The letter of the `\n` behind the signature.
    let end = uncovered.end + signed.bundle.get(uncovered.end..).unwrap().find("\\n").unwrap() + 1;
    assert!(accepted.iter().all(|index| uncovered.contains(index) || *index == end), "{accepted:?}, not {uncovered:?}");
    // The exception is one.
    assert!(!accepted.is_empty());
    for length in (0..bytes.len()).step_by(17) {
        judge(bytes.get(..length).unwrap()).unwrap_err();
    }
}
