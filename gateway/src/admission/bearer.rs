//! The bearer token in the head of a request: RFC 6750 section 2.1, once, and nowhere else. A query, a form or a cookie is not looked
//! at, since those end in logs.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::denied::Denied;
use super::secret::Secret;

/// No token is shorter: 16 random hexadecimal digits are 64 bits.
const LEAST_BYTES: usize = 16;

/// What the client shows, if it shows anything.
pub(crate) fn shown(headers: &HeaderMap) -> Result<Option<Secret<'_>>, Denied> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let value = match (all.next(), all.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.as_bytes(),
        (Some(_), Some(_)) => return Err(Denied::Twice),
    };
    let (scheme, token) = value.split_at_checked("Bearer ".len()).ok_or(Denied::Scheme)?;
    if !scheme.eq_ignore_ascii_case(b"Bearer ") {
        return Err(Denied::Scheme);
    }
    if token.len() < LEAST_BYTES || !is_b64token(token) {
        return Err(Denied::Unknown);
    }
    Ok(Some(Secret::new(token)))
}

/// `b64token` of RFC 6750: two of them with a comma between are none.
fn is_b64token(token: &[u8]) -> bool {
    let stem = token.strip_suffix(b"==").or_else(|| token.strip_suffix(b"=")).unwrap_or(token);
    stem.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn of(values: &[&str]) -> Result<Option<String>, Denied> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let shown = shown(&headers)?;
        Ok(shown.map(|secret| String::from_utf8(secret.expose().to_vec()).unwrap()))
    }

    #[test]
    fn one_token_is_read_and_nothing_that_could_be_two() {
        let bearer = |token: &str| format!("Bearer {token}");
        assert_eq!(of(&[]), Ok(None));
        for scheme in ["Bearer", "bearer", "BEARER"] {
            assert_eq!(of(&[&format!("{scheme} {TOKEN}==")]), Ok(Some(format!("{TOKEN}=="))));
        }
        assert_eq!(of(&[&bearer(TOKEN), &bearer(TOKEN)]), Err(Denied::Twice));
        for (value, denied) in [
            ("", Denied::Scheme),
            (TOKEN, Denied::Scheme),
            ("Basic MDEyMzQ1Njc4OWFiY2RlZg==", Denied::Scheme),
            (&format!("Bearer\t{TOKEN}"), Denied::Scheme),
            ("Bearer ", Denied::Unknown),
            ("Bearer 0123456789abcde", Denied::Unknown),
            (&bearer(&format!(" {TOKEN}")), Denied::Unknown),
            (&bearer(&format!("{TOKEN}, Bearer {TOKEN}")), Denied::Unknown),
            (&bearer(&format!("{TOKEN},{TOKEN}")), Denied::Unknown),
            (&bearer(&format!("{TOKEN}==={TOKEN}")), Denied::Unknown),
            (&bearer(&format!("\"{TOKEN}\"")), Denied::Unknown),
        ] {
            assert_eq!(of(&[value]), Err(denied), "{value}");
        }
    }
}
