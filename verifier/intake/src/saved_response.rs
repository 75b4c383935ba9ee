//! An HTTP answer saved together with its header (`curl -i`): Intel's service sends the signed JSON as the body and the chain of
//! its signer as a header field, so whoever saves both saves one file.

/// The header and the body of the last answer in the file, if it begins like one. A proxy's own answer may stand before it.
pub(crate) fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut answer = None;
    let mut rest = bytes;
    while rest.starts_with(b"HTTP/") {
        let (header, body) = split_at_blank_line(rest);
        answer = Some((header, body));
        rest = body;
    }
    answer
}

/// Everything is header where no blank line stands, as in a file that holds only the header.
fn split_at_blank_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut start_of_line = 0;
    for (position, byte) in bytes.iter().enumerate() {
        if *byte != b'\n' {
            continue;
        }
        if matches!(bytes.get(start_of_line..position), Some([] | [b'\r'])) {
            return bytes.split_at(position.saturating_add(1));
        }
        start_of_line = position.saturating_add(1);
    }
    (bytes, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_answer_is_taken_apart_at_its_first_blank_line() {
        for (file, header, body) in [
            ("HTTP/1.1 200 OK\r\nA: b\r\n\r\n{\n\n}", "HTTP/1.1 200 OK\r\nA: b\r\n\r\n", "{\n\n}"),
            ("HTTP/2 200\na: b\n\n{}", "HTTP/2 200\na: b\n\n", "{}"),
            ("HTTP/1.1 200 connected\r\n\r\nHTTP/2 200\r\n\r\n{}", "HTTP/2 200\r\n\r\n", "{}"),
            ("HTTP/2 200\r\na: b", "HTTP/2 200\r\na: b", ""),
        ] {
            assert_eq!(split(file.as_bytes()), Some((header.as_bytes(), body.as_bytes())));
        }
        assert_eq!(split(b"TCB-Info-Issuer-Chain: x\r\n\r\n{}"), None);
    }
}
