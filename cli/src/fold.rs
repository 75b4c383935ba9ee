//! Text laid out for a terminal: long lines broken between words and hung under the cell that they continue, digests in groups
//! that an eye can compare.

/// At least this many columns stay for what hangs.
const ROOM: usize = 24;

/// Breaks every line of more than `width` columns. What continues a cell stands under its beginning.
pub(crate) fn fold(text: &str, width: usize) -> String {
    let mut folded = String::with_capacity(text.len());
    for line in text.lines() {
        // A command is there to be copied: broken, it is two.
        if columns(line) <= width || line.trim_start().starts_with("cargo ") {
            folded.push_str(line)
        } else {
            folded.push_str(&broken(line, width))
        }
        folded.push('\n');
    }
    folded
}

fn broken(line: &str, width: usize) -> String {
    let indent = " ".repeat(hang(line, width));
    let (mut text, mut at, mut is_fresh) = (String::new(), 0, true);
    let mut spaces = 0;
    for word in line.split(' ') {
        let needed = columns(word);
        // An empty word is one more space of a gap.
        if needed == 0 {
            spaces += 1;
            continue;
        }
        if !is_fresh && at + spaces + needed > width {
            text.push('\n');
            text.push_str(&indent);
            (at, spaces) = (indent.len(), 0);
        }
        text.push_str(&" ".repeat(spaces));
        at += spaces;
        for c in pieces(word) {
            let takes = columns(c);
            if at + takes > width {
                text.push('\n');
                text.push_str(&indent);
                at = indent.len();
            }
            text.push_str(c);
            at += takes;
        }
        (spaces, is_fresh) = (1, false);
    }
    text
}

/// The column under which a line goes on: where its last cell begins, cells being set apart by two spaces or more.
fn hang(line: &str, width: usize) -> usize {
    let (mut column, mut spaces, mut hang) = (0_usize, 0, 0);
    for piece in pieces(line) {
        let takes = columns(piece);
        if piece == " " {
            spaces += 1;
        } else if takes > 0 {
            if (spaces >= 2 || column == spaces) && column + ROOM <= width {
                hang = column;
            }
            spaces = 0;
        }
        column += takes;
    }
    hang
}

/// How many columns a text takes. Orders to the terminal, which begin with an escape and end with an `m`, take none.
fn columns(text: &str) -> usize {
    pieces(text).filter(|piece| !piece.starts_with('\u{1b}')).count()
}

/// Characters, and orders to the terminal whole.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = match first {
            '\u{1b}' => rest.find('m').map_or(rest.len(), |end| end + 1),
            c => c.len_utf8(),
        };
        let (piece, after) = rest.split_at_checked(end)?;
        rest = after;
        Some(piece)
    })
}

/// Hexadecimal of 16 bytes or more in groups of 4 bytes. All of it: who compares the ends alone compares what can be ground.
pub(crate) fn grouped(text: &str) -> String {
    const LONG: usize = 32;
    const GROUP: usize = 8;
    let mut grouped = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let is_of_a_word = |c: char| c.is_ascii_alphanumeric();
        let end = rest.find(|c| !is_of_a_word(c)).unwrap_or(rest.len());
        let Some((word, after)) = rest.split_at_checked(end) else { break };
        if word.len() >= LONG && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            for (index, c) in word.chars().enumerate() {
                if index > 0 && index % GROUP == 0 {
                    grouped.push(' ');
                }
                grouped.push(c);
            }
        } else {
            grouped.push_str(word);
        }
        let gap = after.find(is_of_a_word).unwrap_or(after.len());
        let Some((between, next)) = after.split_at_checked(gap) else { break };
        grouped.push_str(between);
        rest = next;
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_hangs_under_its_last_cell() {
        let line = "  \u{1b}[33m!\u{1b}[0m ANY CODE    this policy does not ask which code runs in the guest";
        assert_eq!(
            fold(line, 48),
            "  \u{1b}[33m!\u{1b}[0m ANY CODE    this policy does not ask which\n                code runs in the guest\n"
        );
        assert_eq!(fold("  short\n\nas it is\n", 48), "  short\n\nas it is\n");
        assert_eq!(fold("    one two three four five six seven", 28), "    one two three four five\n    six seven\n");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let text = format!("  name      {}\n{} {}\n", "x".repeat(200), "é".repeat(39), "字 ".repeat(90));
        for width in 40..=120 {
            let folded = fold(&text, width);
            assert!(folded.lines().all(|line| line.chars().count() <= width), "{width}: {folded}");
            let kept = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            assert_eq!(kept(&folded), kept(&text));
        }
    }

    #[test]
    fn digests_stand_in_groups_and_nothing_else_changes() {
        let digest = "0123456789abcdef".repeat(2);
        assert_eq!(grouped(&format!("found {digest}, no")), "found 01234567 89abcdef 01234567 89abcdef, no");
        for text in ["0123456789abcdef", "g0123456789abcdef0123456789abcdef", "it is 2026-06-01T00:00:00Z", "", "é"] {
            assert_eq!(grouped(text), text);
        }
    }
}
