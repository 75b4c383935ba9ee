//! Verifies a file under a Sigstore bundle: FILE BUNDLE TRUSTED_ROOT IDENTITY ISSUER. `ci/sigstore.sh` compares its answers.

#![expect(clippy::expect_used, reason = "a program for one script")]

use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs, process};

use teegate_sigstore::{Expected, TrustedRoot, verify};
use teegate_verifier::UnixTime;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [file, bundle, root, identity, issuer] = arguments.as_slice() else {
        eprintln!("expected FILE BUNDLE TRUSTED_ROOT IDENTITY ISSUER");
        process::exit(2)
    };
    let read = |path: &String| fs::read(path).expect("the file can be read");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
    let answer = TrustedRoot::read(&read(root)).and_then(|root| {
        let expected = Expected::new(identity, issuer)?;
        verify(&read(file), &read(bundle), &root, &expected, UnixTime::from_seconds(now))
    });
    match answer {
        Ok(signed) => println!("{signed}"),
        Err(error) => {
            println!("{error}");
            process::exit(1)
        }
    }
}
