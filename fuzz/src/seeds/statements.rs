//! Endorsements of a forged utility VM, a manifest of reference values under the headers that may stand around it, and bundles of a
//! forged Sigstore instance.

use teegate_forge as forge;
use teegate_forge::aci::cose::{bytes, map, number, tagged, text};
use teegate_forge::time::AT;

use crate::forged::Seeds;
use crate::targets::sigstore::FILE;

/// An unsigned CoRIM (`measurements/tests/corim.rs`).
const MANIFEST: &[u8] = include_bytes!("../../corpus/corim/accepted-2");

pub(super) fn of(target: &str) -> Seeds {
    let signed = |more: &[(Vec<u8>, Vec<u8>)]| {
        let known = [(number(1), number(-8)), (number(3), text("application/rim+cbor"))];
        let header = map(&[&known[..], more].concat());
        let length = u8::try_from(header.len()).expect("a short header");
        [&[length], &header[..], MANIFEST].concat()
    };
    let at = |days: i64| tagged(1, &number(i64::try_from(AT).expect("a time of this era") + days * 86_400));
    match target {
        "aci" => {
            let mut two = forge::aci();
            (two.feed, two.svn, two.chain) = ("another".to_owned(), "\"7\"".to_owned(), vec![0, 2]);
            vec![("endorsement", forge::aci().build().reference_info), ("two-certificates", two.build().reference_info)]
        }
        "signed_corim" => {
            let window = map(&[(number(0), at(-1)), (number(1), at(1))]);
            let meta = map(&[(number(0), map(&[(number(0), text("publisher"))])), (number(1), window)]);
            let claims = map(&[(number(1), text("publisher")), (number(4), at(1)), (number(5), at(-1))]);
            vec![
                ("bare", signed(&[])),
                ("dated", signed(&[(number(8), bytes(&meta))])),
                ("claims", signed(&[(number(15), claims)])),
            ]
        }
        "sigstore" => {
            let joined = |signed: forge::sigstore::Signed| {
                assert_eq!(signed.file, FILE, "another file than the target's");
                let length = u16::try_from(signed.bundle.len()).expect("a short bundle").to_le_bytes();
                [&length[..], signed.bundle.as_bytes(), signed.trusted_root.as_bytes()].concat()
            };
            let forged = forge::sigstore();
            vec![("rekor-1", joined(forged.build())), ("rekor-2", joined(forged.rekor_v2().build()))]
        }
        _ => Vec::new(),
    }
}
