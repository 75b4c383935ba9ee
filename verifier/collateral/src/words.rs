//! A service's text as an error repeats it: no more of it than a line can hold, and nothing in it that a terminal obeys. Whoever
//! answers in a service's place writes names, headers and certificates of any length.

/// This many characters are repeated.
const SHOWN: usize = 80;

/// Text of somebody else's, on its way into an error.
pub(crate) fn shown(text: &str) -> String {
    let mut characters = text.chars();
    let mut shown: String = characters.by_ref().take(SHOWN).flat_map(char::escape_debug).collect();
    shown.extend(characters.next().map(|_| '…'));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_repeated_and_no_more_and_nothing_that_moves_a_cursor() {
        assert_eq!(shown("a\u{1b}[2J\u{202E}\n"), "a\\u{1b}[2J\\u{202e}\\n");
        assert_eq!(shown(&"é".repeat(81)), format!("{}…", "é".repeat(80)));
    }
}
