//! Where words go: results to standard output, errors and notes to standard error.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::exit::{self, Stop};

/// Whether the user wants the status alone. The process has one of either stream, so it is said once.
static QUIET: AtomicBool = AtomicBool::new(false);

/// From here on nothing but errors is written.
pub(crate) fn be_quiet(wanted: bool) {
    QUIET.fetch_or(wanted, Ordering::Relaxed);
}

/// Writes a whole result and ends with `status`. A reader that has gone away (`| head`) changes nothing about the verdict.
pub(crate) fn finish(text: &str, status: u8) -> ExitCode {
    if QUIET.load(Ordering::Relaxed) {
        return ExitCode::from(status);
    }
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => fail(&format!("the result cannot be written: {error}")),
        _ => ExitCode::from(status),
    }
}

/// Says why there is no result.
pub(crate) fn fail(message: &str) -> ExitCode {
    say("error", message);
    ExitCode::from(exit::COULD_NOT_RUN)
}

/// Says why there is no report, and ends with the status that goes with the reason.
pub(crate) fn stop(stop: &Stop) -> ExitCode {
    say("error", &stop.message);
    ExitCode::from(stop.status)
}

/// Says why there is no result of one file among others.
pub(crate) fn failed(message: &str) {
    say("error", message);
}

/// Says something that the user should know and that changes no result.
pub(crate) fn note(message: &str) {
    if !QUIET.load(Ordering::Relaxed) {
        say("note", message);
    }
}

fn say(kind: &str, message: &str) {
    let lines: Vec<_> = message.lines().map(plain).collect();
    // With standard error closed there is nobody left to tell; the exit status still speaks.
    let _closed = writeln!(io::stderr().lock(), "{kind}: {}", lines.join("\n"));
}

/// Text that may come from hostile bytes, made safe for a terminal: no control characters, nothing that reorders what is read,
/// nothing that cannot be seen.
pub(crate) fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_unseen(c) {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Whether a character shows as nothing, as something else for everybody, or as an order to what stands around it: format characters (Cf),
/// line and paragraph separators (Zl, Zp), private use (Co), noncharacters, and what Unicode says to ignore where it is not known.
/// Unicode 16, DerivedGeneralCategory and DerivedCoreProperties.
const fn is_unseen(c: char) -> bool {
    // The last two code points of every plane are no characters.
    if c as u32 & 0xFFFE == 0xFFFE {
        return true;
    }
    matches!(
        c,
        '\u{AD}'
            | '\u{34F}'
            | '\u{600}'..='\u{605}'
            | '\u{61C}'
            | '\u{6DD}'
            | '\u{70F}'
            | '\u{890}'..='\u{891}'
            | '\u{8E2}'
            | '\u{115F}'..='\u{1160}'
            | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}'
            | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{3164}'
            | '\u{E000}'..='\u{F8FF}'
            | '\u{FDD0}'..='\u{FDEF}'
            | '\u{FE00}'..='\u{FE0F}'
            | '\u{FEFF}'
            | '\u{FFA0}'
            | '\u{FFF0}'..='\u{FFFB}'
            | '\u{110BD}'
            | '\u{110CD}'
            | '\u{13430}'..='\u{1343F}'
            | '\u{1BCA0}'..='\u{1BCA3}'
            | '\u{1D173}'..='\u{1D17A}'
            | '\u{E0000}'..='\u{E0FFF}'
            | '\u{F0000}'..='\u{10FFFF}'
    )
}

/// Text of somebody else's, at most as much as a line can hold, made safe for a terminal.
pub(crate) fn short(text: &str) -> String {
    const SHOWN: usize = 80;
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    plain(&short)
}

/// A document as programs read it, with a line end.
pub(crate) fn to_json(document: &impl serde::Serialize) -> Result<String, String> {
    let text =
        serde_json::to_string_pretty(document).map_err(|cause| format!("the result cannot be shown: {cause}"))?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_cannot_move_the_cursor_or_turn_a_line_around() {
        assert_eq!(plain("cc-us\u{1b}[2Jx\n"), "cc-us\\u{1b}[2Jx\\u{a}");
        assert_eq!(plain("a\u{202E}b"), "a\\u{202e}b");
        assert_eq!(plain("straße ✓"), "straße ✓");
    }

    /// One of each kind, and the neighbours that are letters.
    #[test]
    fn what_cannot_be_seen_is_spelt_out() {
        for c in [
            '\u{61C}',
            '\u{2028}',
            '\u{2029}',
            '\u{180E}',
            '\u{E0001}',
            '\u{E0041}',
            '\u{E007F}',
            '\u{AD}',
            '\u{200B}',
            '\u{202E}',
            '\u{2066}',
            '\u{2069}',
            '\u{206F}',
            '\u{FEFF}',
            '\u{FFF9}',
            '\u{E000}',
            '\u{F8FF}',
            '\u{F0000}',
            '\u{10FFFD}',
            '\u{FDD0}',
            '\u{FFFE}',
            '\u{FFFF}',
            '\u{1FFFE}',
            '\u{10FFFF}',
            '\u{1D173}',
            '\u{3164}',
            '\u{FE0F}',
            '\u{85}',
            '\u{7F}',
        ] {
            assert_eq!(plain(&format!("a{c}b")), format!("a\\u{{{:x}}}b", u32::from(c)));
        }
        for c in [
            'é',
            '\u{5D0}',
            '\u{627}',
            '\u{61B}',
            '\u{180A}',
            '\u{2027}',
            '\u{202F}',
            '\u{FFFD}',
            '字',
            '🦀',
            '\u{1FFFD}',
        ] {
            assert_eq!(plain(&c.to_string()), c.to_string());
        }
        assert_eq!(short(&"é".repeat(81)), format!("{}…", "é".repeat(80)));
    }
}
