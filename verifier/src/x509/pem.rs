//! PEM (RFC 7468), as quotes carry their PCK chain: certificates only, one after the other.

/// The DER of every `CERTIFICATE` block in `text`, in order; `None` where something else stands between them.
///
/// Quotes end their chain in nothing, in a line feed, or in a line feed and a NUL: all three are accepted.
pub(crate) fn certificates(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    let mut rest = std::str::from_utf8(text).ok()?.trim_ascii();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (body, after) = rest.strip_prefix(BEGIN)?.split_once(END)?;
        if found.len() == MAX_CERTIFICATES {
            return None;
        }
        found.push(base64(body.as_bytes())?);
        rest = after.trim_ascii_start();
    }
    Some(found)
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
/// A chain of leaf, intermediate and root needs three.
const MAX_CERTIFICATES: usize = 8;

/// Base64 (RFC 4648, section 4) with padding, white space anywhere.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut digits, mut padding) = (0_u32, 0_u32, 0_u32);
    for byte in text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()) {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                padding += 1;
                continue;
            }
            _ => return None,
        };
        if padding > 0 {
            return None;
        }
        bits = bits << 6 | u32::from(value);
        digits += 1;
        if digits == 4 {
            let [_, first, second, third] = bits.to_be_bytes();
            bytes.extend([first, second, third]);
            (bits, digits) = (0, 0);
        }
    }
    // What is left over must be zero bits: one text for one value.
    match (digits, padding) {
        (0, 0) => {}
        (2, 2) if bits & 0xF == 0 => bytes.push(u8::try_from(bits >> 4).ok()?),
        (3, 1) if bits & 0x3 == 0 => bytes.extend(u16::try_from(bits >> 2).ok()?.to_be_bytes()),
        _ => return None,
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_for_one_value() {
        assert_eq!(base64(b"Zm9v\nYmFy").unwrap(), b"foobar");
        assert_eq!(base64(b"Zm9vYmE=").unwrap(), b"fooba");
        assert_eq!(base64(b"Zm9vYg==").unwrap(), b"foob");
        for wrong in [&b"Zm9vYh=="[..], b"Zm9vYg=", b"Zm9vYg", b"Zm9vYm=F", b"Zm9v=", b"Zm9v-_==", b"Z"] {
            assert_eq!(base64(wrong), None);
        }
    }

    #[test]
    fn chains_end_as_real_quotes_do() {
        let block = format!("{BEGIN}\nZm9v\n{END}");
        for end in ["", "\n", "\n\0"] {
            assert_eq!(certificates(format!("{block}\n{block}{end}").as_bytes()).unwrap().len(), 2);
        }
        assert_eq!(certificates(b"").unwrap().len(), 0);
        assert_eq!(certificates(format!("{block} and more").as_bytes()), None);
        assert_eq!(certificates(format!("{BEGIN}\nZm9v\n").as_bytes()), None);
        assert_eq!(certificates(block.repeat(9).as_bytes()), None);
    }
}
