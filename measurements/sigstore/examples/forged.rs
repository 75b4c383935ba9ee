//! Writes a forged instance's file, bundle and trusted root for each version of Rekor into a folder, for `ci/sigstore.sh`: a reader of
//! others has to accept them, or the tests of this crate test the forge.

#![expect(clippy::expect_used, reason = "a program for one script")]

use std::path::Path;
use std::{env, fs};

fn main() {
    let folder = env::args().nth(1).expect("a folder");
    for (name, builder) in [("v1", teegate_forge::sigstore()), ("v2", teegate_forge::sigstore().rekor_v2())] {
        let signed = builder.build();
        let put = |end: &str, bytes: &[u8]| {
            fs::write(Path::new(&folder).join(format!("{name}{end}")), bytes).expect("the folder can be written to");
        };
        put("", &signed.file);
        put(".sigstore.json", signed.bundle.as_bytes());
        put(".root.json", signed.trusted_root.as_bytes());
    }
}
