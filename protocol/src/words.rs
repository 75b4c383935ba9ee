//! A stranger's text as an error repeats it: no more of it than a line can hold, and nothing in it that a terminal obeys.

use std::fmt::{self, Write as _};

/// This many characters are repeated.
const SHOWN: usize = 80;

/// Text of somebody else's, on its way into an error.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        for c in characters.by_ref().take(SHOWN) {
            // Quotes and backslashes are harmless, and serde has escaped them where it must.
            if matches!(c, '"' | '\'' | '\\') { f.write_char(c)? } else { write!(f, "{}", c.escape_debug())? }
        }
        if characters.next().is_some() { f.write_char('…') } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_repeated_and_no_more_and_nothing_that_moves_a_cursor() {
        assert_eq!(Shown("straße \"\u{1b}[2J\u{202E}\n").to_string(), "straße \"\\u{1b}[2J\\u{202e}\\n");
        assert_eq!(Shown(&"é".repeat(80)).to_string(), "é".repeat(80));
        assert_eq!(Shown(&"é".repeat(81)).to_string(), format!("{}…", "é".repeat(80)));
    }
}
