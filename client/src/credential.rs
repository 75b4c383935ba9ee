//! What lets this client in at a gateway: a bearer token, RFC 6750, or a JWT in its place.
//!
//! It is put on the way to the gateway and nowhere else (`link/mod.rs`): never inside the seal, never towards a vendor or an
//! enclave, and never to whoever was not recognised by his certificate where there is TLS.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::HeaderValue;
use zeroize::Zeroizing;

/// The longest token; what a gateway reads of a request's head is 16 KiB.
const MOST_BYTES: usize = 12 << 10;

/// What lets this client in at a gateway. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Credential(Kept);

/// Where it is.
#[derive(Clone)]
enum Kept {
    Memory(Arc<Zeroizing<Vec<u8>>>),
    File(PathBuf),
}

impl Credential {
    /// A token at hand: one line of visible ASCII characters without a space.
    ///
    /// # Errors
    /// It is none. It is not repeated.
    pub fn token(text: &[u8]) -> Result<Self, CredentialError> {
        Ok(Self(Kept::Memory(Arc::new(line(text)?))))
    }

    /// The token in a file, which is read again for each exchange, so that one that is renewed there is renewed here.
    ///
    /// # Errors
    /// The file cannot be read now, or holds none.
    pub fn file(path: &Path) -> Result<Self, CredentialError> {
        read(path)?;
        Ok(Self(Kept::File(path.to_owned())))
    }

    /// The header field of now. Whatever prints header fields leaves its value out.
    pub(crate) fn field(&self) -> Result<HeaderValue, CredentialError> {
        let read = match &self.0 {
            Kept::Memory(token) => Arc::clone(token),
            Kept::File(path) => Arc::new(read(path)?),
        };
        let value = Zeroizing::new([b"Bearer ".as_slice(), &read].concat());
        let mut value = HeaderValue::from_bytes(&value).map_err(|_| CredentialError(NO_TOKEN.to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

/// There is nothing that can be shown. What was read is not repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialError(String);

impl CredentialError {
    /// With this sentence, which has nothing of a secret.
    pub(crate) fn new(why: String) -> Self {
        Self(why)
    }
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CredentialError {}

const NO_TOKEN: &str = "a token is one line of 1 to 12288 visible ASCII characters without a space";

fn line(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    let text = text.trim_ascii_end();
    if !(1..=MOST_BYTES).contains(&text.len()) || !text.iter().all(u8::is_ascii_graphic) {
        return Err(CredentialError(NO_TOKEN.to_owned()));
    }
    Ok(Zeroizing::new(text.to_vec()))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    let of_file = |why: &dyn fmt::Display| CredentialError(format!("token file `{}`: {why}", path.display()));
    let mut text = Zeroizing::new(Vec::new());
    let most = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX).saturating_add(2);
    File::open(path).and_then(|file| file.take(most).read_to_end(&mut text)).map_err(|error| of_file(&error))?;
    line(&text).map_err(|error| of_file(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_line_and_is_never_shown() {
        let credential = Credential::token(b"header.claims.signature\n").unwrap();
        let field = credential.field().unwrap();
        assert_eq!(field.as_bytes(), b"Bearer header.claims.signature");
        assert!(!format!("{credential:?} {field:?}").contains("claims"));
        for text in [&b""[..], b"\n", b"two words", b"two\nlines", b"\x00", &[b'a'; MOST_BYTES + 1]] {
            let error = Credential::token(text).unwrap_err().to_string();
            assert!(error.contains("1 to 12288 visible") && !error.contains("two"), "{error}");
        }
        assert!(Credential::token(&[b'a'; MOST_BYTES]).is_ok(), "the passing twin");
    }

    #[test]
    fn a_file_is_read_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        assert!(Credential::file(&path).unwrap_err().to_string().contains("token file `"));
        std::fs::write(&path, "first\n").unwrap();
        let credential = Credential::file(&path).unwrap();
        assert_eq!(credential.field().unwrap().as_bytes(), b"Bearer first");
        std::fs::write(&path, "second\n").unwrap();
        assert_eq!(credential.field().unwrap().as_bytes(), b"Bearer second");
        std::fs::write(&path, "not a token\n").unwrap();
        let error = credential.field().unwrap_err().to_string();
        assert!(error.contains("token`: a token is one line") && !error.contains("not a"), "{error}");
    }
}
