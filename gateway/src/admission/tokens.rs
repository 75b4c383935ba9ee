//! The file of tokens: of each the SHA-256 and whose it is, never the token.
//!
//! One line a token, 64 hexadecimal digits and the name of a tenant; what follows `#` is a remark. Such a line is made by
//!
//! ```sh
//! printf '%s team-a\n' "$(printf %s "$TOKEN" | sha256sum | cut -d' ' -f1)" >> tokens
//! ```

use std::path::Path;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use teegate_encoding::hex;

use super::secret::Secret;
use crate::caller::Tenant;

/// The largest file.
const MOST_BYTES: u64 = 1 << 20;
/// At most so many tokens: each is compared with what is shown.
const MOST_TOKENS: usize = 4_096;
/// SHA-256 of nothing, which is what a line says whose maker's variable was empty.
const OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Whose token is whose.
pub(crate) struct Tokens(Vec<([u8; 32], Tenant)>);

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

impl Tokens {
    /// The file at `path`; `tenant` knows the tenants by name.
    pub(crate) fn load(path: &Path, tenant: impl Fn(&str) -> Option<Tenant>) -> Result<Self, String> {
        let name = path.display();
        let text = super::config::read(path, MOST_BYTES).map_err(|error| format!("tokens: {error}"))?;
        let text = String::from_utf8(text).map_err(|_| format!("tokens `{name}`: it is not UTF-8"))?;
        Self::parse(&text, tenant).map_err(|error| format!("tokens `{name}`: {error}"))
    }

    fn parse(text: &str, known: impl Fn(&str) -> Option<Tenant>) -> Result<Self, String> {
        let mut tokens: Vec<([u8; 32], Tenant)> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let wrong = |what: &str| format!("line {}: {what}", number.saturating_add(1));
            let line = line.split_once('#').map_or(line, |(line, _)| line);
            let mut words = line.split_ascii_whitespace();
            let (sha256, tenant) = match (words.next(), words.next(), words.next()) {
                (None, ..) => continue,
                (Some(sha256), Some(tenant), None) => (sha256, tenant),
                _ => return Err(wrong("expected the SHA-256 of a token and the name of a tenant")),
            };
            let mut own = [0; 32];
            // The text is not repeated: whoever slips writes the token itself here.
            hex::decode_to_slice(sha256, &mut own).map_err(|_| {
                wrong("expected 64 hexadecimal digits, the SHA-256 of a token: `printf %s TOKEN | sha256sum`")
            })?;
            if sha256.eq_ignore_ascii_case(OF_NOTHING) {
                return Err(wrong("this is the SHA-256 of nothing: the token was empty when it was made"));
            }
            let tenant = known(tenant).ok_or_else(|| wrong("the tenant has no `[[tenant]]` in the configuration"))?;
            if tokens.iter().any(|(other, _)| *other == own) {
                return Err(wrong("this token stands here twice"));
            }
            if tokens.len() >= MOST_TOKENS {
                return Err(format!("there are more than {MOST_TOKENS} tokens"));
            }
            tokens.push((own, tenant));
        }
        Ok(Self(tokens))
    }

    /// Whose token this is. All are compared, whole, so that the time says nothing of which.
    pub(crate) fn find(&self, secret: &Secret<'_>) -> Option<Tenant> {
        let shown = digest(&SHA256, secret.expose());
        let mut found = None;
        for (own, tenant) in &self.0 {
            if verify_slices_are_equal(own, shown.as_ref()).is_ok() {
                found = Some(*tenant);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha256(text: &str) -> String {
        hex::encode(digest(&SHA256, text.as_bytes()))
    }

    fn parse(text: &str) -> Result<Tokens, String> {
        Tokens::parse(text, |name| ["one", "other"].contains(&name).then(|| Tenant::named(name)))
    }

    #[test]
    fn a_token_is_its_digest_and_of_one_tenant() {
        // By coreutils' `sha256sum`, as the documentation has it.
        assert_eq!(sha256("token-of-one-000"), "129810690d4184d23de252ee7c2a375679b9bbe47556ebef1518106851b8c56d");
        let text = format!(
            "# who may ask\n\n{} one # until the audit\n{}\tother\n",
            sha256("token-of-one-000"),
            sha256("token-of-other-0").to_uppercase()
        );
        let tokens = parse(&text).unwrap();
        let find = |token: &str| tokens.find(&Secret::new(token.as_bytes())).map(Tenant::name);
        assert_eq!((find("token-of-one-000"), find("token-of-other-0")), (Some("one"), Some("other")));
        for token in ["", "token-of-one-00", "token-of-one-0000", "Token-of-one-000", &sha256("token-of-one-000")] {
            assert_eq!(find(token), None, "{token}");
        }
        assert_eq!(format!("{tokens:?}"), "Tokens(2)");
    }

    #[test]
    fn what_is_no_line_is_named_and_never_repeated() {
        let one = sha256("token-of-one-000");
        for (text, said) in [
            (format!("\n{one}"), "line 2: expected the SHA-256 of a token and the name of a tenant"),
            (format!("{one} one other"), "line 1: expected the SHA-256 of a token and the name of a tenant"),
            ("my-secret-token-0 one".into(), "line 1: expected 64 hexadecimal digits"),
            (format!("{OF_NOTHING} one"), "line 1: this is the SHA-256 of nothing"),
            (format!("{one} nobody"), "line 1: the tenant has no `[[tenant]]`"),
            (format!("{one} one\n{one} other"), "line 2: this token stands here twice"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(said) && !error.contains("my-secret"), "{error}");
        }
        assert!(parse(&format!("{one} one\n")).is_ok(), "the passing twin");
    }
}
