//! A stranger's text as an error repeats it: no more of it than a line can hold, and nothing in it that a terminal obeys.

/// This many characters are repeated.
const SHOWN: usize = 80;

/// Text of somebody else's, on its way into an error.
pub(crate) fn shown(text: &str) -> String {
    let mut characters = text.chars();
    let mut shown = String::new();
    for c in characters.by_ref().take(SHOWN) {
        // Quotes and backslashes are harmless, and serde has escaped them where it must.
        if matches!(c, '"' | '\'' | '\\') { shown.push(c) } else { shown.extend(c.escape_debug()) }
    }
    shown.extend(characters.next().map(|_| '…'));
    shown
}

/// What `serde` says of JSON that does not fit. It quotes names and values: those are cut, and what was expected, which is ours, and
/// the place stay whole.
pub(crate) fn said(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match (message.rsplit_once(", expected "), message.rsplit_once(" at line ")) {
        (Some((found, expected)), _) => format!("{}, expected {expected}", shown(found)),
        (None, Some((found, place))) => format!("{} at line {place}", shown(found)),
        (None, None) => shown(&message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_repeated_and_no_more_and_nothing_that_moves_a_cursor() {
        assert_eq!(shown("straße \"\u{1b}[2J\u{202E}\n"), "straße \"\\u{1b}[2J\\u{202e}\\n");
        assert_eq!(shown(&"é".repeat(80)), "é".repeat(80));
        assert_eq!(shown(&"é".repeat(81)), format!("{}…", "é".repeat(80)));
    }

    #[test]
    fn what_was_expected_and_where_is_said_whole() {
        let long = "z".repeat(100_000);
        let error = serde_json::from_str::<u8>(&format!("\"{long}\"")).unwrap_err();
        let words = said(&error);
        assert!(
            words.starts_with("invalid type: string \"zzz")
                && words.ends_with("…, expected u8 at line 1 column 100002")
        );
        let error = serde_json::from_str::<u8>("[1").unwrap_err();
        assert_eq!(said(&error), error.to_string());
    }
}
