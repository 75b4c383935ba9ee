//! Who signed a file of reference values, out of a Sigstore bundle under a trusted root. A library of others parses both; what is
//! held here is what `teegate-sigstore` promises of it.
//!
//! ```text
//! length of the bundle (2, little-endian)      the bundle      the trusted root
//! ```

use std::sync::LazyLock;

use teegate_forge::sigstore::{IDENTITY, ISSUER};
use teegate_forge::time::AT;
use teegate_fuzz_engine::{Effort, Target, mutate};
use teegate_sigstore::{Expected, TrustedRoot, verify};
use teegate_verifier::UnixTime;

use crate::hold;

pub(super) const TARGETS: &[Target] = &[Target {
    name: "sigstore",
    about: "a Sigstore bundle over a file, and the trusted root that it is verified under",
    effort: Effort::Walk,
    run: sigstore,
    mutate: parts,
    words: &[
        "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial",
        "tlogEntries",
        "timestampVerificationData",
        "inclusionProof",
        "checkpoint",
        "canonicalizedBody",
        "integratedTime",
        "validFor",
        "hashedrekord",
        "0.0.1",
        "0.0.2",
    ],
    max_bytes: 24_000,
}];

/// What the forge's bundles are over.
pub(crate) const FILE: &[u8] = b"schema = 1\nname = \"app 0.1.0\"\n";

static EXPECTED: LazyLock<Expected> = LazyLock::new(|| Expected::new(IDENTITY, ISSUER).expect("two names"));
static OTHERS: LazyLock<[Expected; 2]> = LazyLock::new(|| {
    [(IDENTITY, "https://accounts.example.com"), ("another@example.com", ISSUER)]
        .map(|(identity, issuer)| Expected::new(identity, issuer).expect("two names"))
});

fn split(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = input.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))
}

/// Both are JSON; the bundle changes more often.
fn parts(mutator: &mut mutate::Mutator<'_>, input: &mut Vec<u8>) {
    let Some((bundle, root)) = split(input) else { return mutate::bytes(mutator, input) };
    let (mut bundle, mut root) = (bundle.to_vec(), root.to_vec());
    let changed = if mutator.random.once_in(3) { &mut root } else { &mut bundle };
    mutate::json(mutator, changed);
    let Ok(length) = u16::try_from(bundle.len()) else { return };
    *input = [&length.to_le_bytes()[..], &bundle, &root].concat();
}

/// Whom the root lets vouch for one file, one identity and one issuer at one time vouches for no other.
fn sigstore(input: &[u8]) {
    let Some((bundle, root)) = split(input) else { return };
    let root = match TrustedRoot::read(root) {
        Ok(root) => root,
        Err(error) => return hold::message(input, &error.to_string()),
    };
    let at = UnixTime::from_seconds(AT);
    let judge = |file: &[u8], expected: &Expected, at| verify(file, bundle, &root, expected, at);
    let Some(signed) = hold::same(input, || judge(FILE, &EXPECTED, at)) else { return };
    assert!(signed.at() <= at, "signed after the time that was asked for");
    let before = UnixTime::from_seconds(signed.at().seconds().saturating_sub(1));
    let [issuer, identity] = &*OTHERS;
    // One thing is another each time, and that is what it is refused for.
    for (file, expected, at, why) in [
        (&b"another file"[..], &*EXPECTED, at, "artifact mismatch"),
        (FILE, issuer, at, "expected the issuer"),
        (FILE, identity, at, "expected the identity"),
        (FILE, &*EXPECTED, before, "which is after"),
    ] {
        let refused = judge(file, expected, at).map(|signed| signed.to_string());
        assert!(refused.as_ref().is_err_and(|error| error.to_string().contains(why)), "{why}: {refused:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds;

    /// A seed that is refused leads nowhere.
    #[test]
    fn seeds_are_accepted() {
        let seeds = seeds::of("sigstore");
        for (name, input) in &seeds {
            let (bundle, root) = split(input).unwrap();
            let root = TrustedRoot::read(root).unwrap_or_else(|error| panic!("{name}: {error}"));
            let signed = verify(FILE, bundle, &root, &EXPECTED, UnixTime::from_seconds(AT));
            assert_eq!(signed.unwrap_or_else(|error| panic!("{name}: {error}")).issuer(), ISSUER, "{name}");
        }
        assert_eq!(seeds.len(), 2);
    }
}
