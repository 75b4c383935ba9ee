//! What results are shown on: in colour or not, how wide, short or whole. Asked for once, on the command line; otherwise a terminal
//! gets colour, its own width and the short form, and whatever else reads along gets all of it, unbroken.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use clap::ValueEnum;

use crate::fold;

/// Whether results are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Coloured,
}

/// A meaning, which a terminal may show as a colour. The words say the same without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Bad,
    Caution,
    Quiet,
}

/// When results are coloured, as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal that is not dumb, unless `NO_COLOR` is set; elsewhere where `CLICOLOR_FORCE` is
    Auto,
    /// Everywhere: for the log of a CI job that shows colours
    Always,
    /// Nowhere
    Never,
}

/// What the command line said. The process has one standard output, so it is said once, before anything is shown.
static COLOUR: OnceLock<Colour> = OnceLock::new();

/// Takes the user's word about colour. The first word holds.
pub(crate) fn colour(asked: Colour) {
    COLOUR.get_or_init(|| asked);
}

impl Colour {
    fn is_wanted(self, is_terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> bool {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            // no-color.org; bixense.com/clicolors
            Self::Auto if set("NO_COLOR").is_some() => false,
            Self::Auto if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
            Self::Auto => is_terminal && set("TERM").is_none_or(|value| value != "dumb"),
        }
    }
}

impl Style {
    /// What standard output gets.
    pub(crate) fn of_stdout() -> Self {
        let asked = COLOUR.get().copied().unwrap_or(Colour::Auto);
        let is_wanted = asked.is_wanted(io::stdout().is_terminal(), |name| env::var_os(name));
        if is_wanted { Self::Coloured } else { Self::Plain }
    }

    /// `text` in the colour of `tone`.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "1;31",
            Tone::Caution => "33",
            Tone::Quiet => "2",
        };
        match self {
            Self::Plain => text.to_owned(),
            Self::Coloured => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }

    /// A heading, which says nothing good or bad.
    pub(crate) fn heading(self, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Coloured => format!("\u{1b}[1m{text}\u{1b}[0m"),
        }
    }
}

/// How much of a report is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// The verdict, what weakens it, what failed, and what was not asked, in a screenful
    Short,
    /// Every check
    Whole,
}

/// Whatever shows a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Screen {
    pub(crate) style: Style,
    pub(crate) length: Length,
    /// In columns. None where lines are not broken: somebody may look for what is in them.
    pub(crate) width: Option<usize>,
}

/// Longer lines are hard to read, shorter ones hold no digest.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=120;

impl Screen {
    /// Standard output, with a length that the user asked for or the one that goes with it.
    pub(crate) fn of_stdout(asked: Option<Length>) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let length = asked.unwrap_or(if is_terminal { Length::Short } else { Length::Whole });
        let is_broken = is_terminal || length == Length::Short;
        let columns = || {
            let named = env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|columns| *columns > 0);
            let of_terminal = || terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
            named.or_else(of_terminal).unwrap_or(80).clamp(*WIDTHS.start(), *WIDTHS.end())
        };
        Self { style: Style::of_stdout(), length, width: is_broken.then(columns) }
    }

    /// The text of a command that has one length, as standard output shows it.
    pub(crate) fn shows(text: String) -> String {
        Self::of_stdout(Some(Length::Whole)).fit(text)
    }

    /// The text as this shows it.
    pub(crate) fn fit(self, text: String) -> String {
        self.width.map(|width| fold::fold(&text, width)).unwrap_or(text)
    }

    /// Values as this shows them: digests in groups, where nobody looks for them with a program.
    pub(crate) fn value(self, text: &str) -> String {
        if self.width.is_some() { fold::grouped(text) } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_adds_and_changes_no_word() {
        assert_eq!(Style::Plain.paint(Tone::Bad, "FAIL"), "FAIL");
        assert_eq!(Style::Coloured.paint(Tone::Bad, "FAIL"), "\u{1b}[1;31mFAIL\u{1b}[0m");
    }

    #[test]
    fn colour_is_for_terminals_unless_somebody_says_otherwise() {
        let wanted = |colour: Colour, is_terminal, set: &[(&str, &str)]| {
            let variable =
                |name: &str| set.iter().find(|(own, _)| *own == name).map(|(_, value)| OsString::from(value));
            colour.is_wanted(is_terminal, variable)
        };
        for (colour, is_terminal, set, expected) in [
            (Colour::Auto, true, &[][..], true),
            (Colour::Auto, false, &[], false),
            (Colour::Auto, true, &[("NO_COLOR", "1")], false),
            (Colour::Auto, true, &[("NO_COLOR", "")], true),
            (Colour::Auto, true, &[("TERM", "dumb")], false),
            (Colour::Auto, true, &[("TERM", "xterm")], true),
            (Colour::Auto, false, &[("CLICOLOR_FORCE", "1")], true),
            (Colour::Auto, false, &[("CLICOLOR_FORCE", "0")], false),
            (Colour::Auto, false, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
            (Colour::Always, false, &[("NO_COLOR", "1")], true),
            (Colour::Never, true, &[("CLICOLOR_FORCE", "1")], false),
        ] {
            assert_eq!(wanted(colour, is_terminal, set), expected, "{colour:?} {is_terminal} {set:?}");
        }
    }
}
