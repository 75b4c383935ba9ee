//! Where a name stands in a TOML document, for errors and remarks that point at it: of the loader, and of the tools of who
//! writes policies.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where the last name of `path` begins; where the nearest table around it does, if it is not there.
pub fn key_offset(document: &DeTable<'_>, path: &[&str]) -> Option<usize> {
    let (name, rest) = path.split_first()?;
    let (key, value): (&Spanned<_>, _) = document.iter().find(|(key, _)| key.get_ref() == *name)?;
    let inner = match value.get_ref() {
        DeValue::Table(table) => key_offset(table, rest),
        _ => None,
    };
    inner.or(Some(key.span().start))
}

/// The library's error, which shows the line that it is about: shortened, since a line and a name may be as long as the file.
pub fn readable(error: &toml::de::Error) -> String {
    let shown = error.to_string();
    let is_source = |line: &str| line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit()).starts_with('|');
    let lines = shown.trim_end().lines();
    let shown = |line| if is_source(line) { shortened(line, SOURCE) } else { in_words(line) };
    lines.map(shown).collect::<Vec<_>>().join("\n")
}

/// Characters of a line of the document, and of a value or name out of it.
const SOURCE: usize = 80;
/// Characters of a message, which may name every field that there is.
const WORDS: usize = 1_000;

/// A message about a document: what it repeats of it is cut, and what was expected, which is ours, stays whole.
pub fn in_words(message: &str) -> String {
    let words = if let Some((ours, found)) = message.split_once(", found ") {
        format!("{}, found {}", names_cut(ours), shortened(found, SOURCE))
    } else if let Some((found, ours)) = message.rsplit_once("expected ").filter(|(found, _)| longer(found, SOURCE)) {
        format!("{}, expected {}", shortened(found, SOURCE), names_cut(ours))
    } else {
        names_cut(message)
    };
    shortened(&words, WORDS)
}

/// The words, where none is a name that is longer than a line.
fn names_cut(words: &str) -> String {
    words.split(' ').map(|word| shortened(word, SOURCE)).collect::<Vec<_>>().join(" ")
}

fn longer(text: &str, characters: usize) -> bool {
    text.char_indices().nth(characters).is_some()
}

/// The words of an error without what a long name in them would add.
pub fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Line and column of the character at this byte, from 1.
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or("");
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use crate::policy::Policy;

    /// What somebody sends in a bundle may be of any length; the error about it is not.
    #[test]
    fn errors_are_short_whatever_the_document_holds() {
        let genuine = include_str!("../../measurements/policy/genuine.toml");
        let long = "x".repeat(500_000);
        for text in [
            genuine.replace("vmpl = \"unchecked\"", &format!("vmpl = \"{long}\"")),
            genuine.replace("vmpl = ", &format!("{long} = ")),
            genuine
                .replace("[tdx.genuine]", &format!("[tdx.{long}]"))
                .replace("rtmr3 = \"unchecked\"", &format!("rtmr3 = \"{}\"", "11".repeat(48))),
            genuine.replace("products = [", &format!("products = [\"{long}\", ")),
            genuine.replace("chip_ids = \"unchecked\"", &format!("chip_ids = [\"{long}\"]")),
            genuine.replace("report_data = \"unchecked\"", &format!("report_data = \"{long}\"")),
            genuine.replace("schema = 1", &format!("schema = 1 {long}")),
            format!("{genuine}\n[{long}]\n"),
            include_str!("../../measurements/policy/strict.toml").replace(".strict]", &format!(".{long}]")),
        ] {
            let error = Policy::parse(&text).unwrap_err().to_string();
            assert!(error.len() < 2_000, "{} bytes", error.len());
            assert!(error.contains("line "), "{error}");
        }
    }

    /// A line of a value or a name, whoever words the message: the library of TOML, the loader, serde.
    #[test]
    fn a_value_and_a_name_are_repeated_up_to_a_line() {
        let genuine = include_str!("../../measurements/policy/genuine.toml");
        let (line, blanks) = ("b".repeat(81), "b ".repeat(41));
        for long in [&line, &blanks] {
            for (text, says) in [
                (
                    genuine.replace("vmpl = \"unchecked\"", &format!("vmpl = \"{long}\"")),
                    "a privilege level from 0 to 3",
                ),
                (
                    genuine.replace("measurement = \"unchecked\"", &format!("measurement = \"{long}\"")),
                    "96 hexadecimal digits",
                ),
                (format!("\"{long}\" = 1\n{genuine}"), "expected schema, name, version, trust_anchors"),
                (genuine.replace("products = [", &format!("products = [\"{long}\", ")), "genoa"),
            ] {
                let error = Policy::parse(&text).unwrap_err().to_string();
                assert!(!error.contains(long.as_str()), "{error}");
                assert!(error.contains(says), "what was expected is lost: {error}");
            }
        }
    }

    /// A profile's place is the name of its TEE and its own, which together are longer than either.
    #[test]
    fn a_place_is_repeated_up_to_a_line_as_well() {
        let genuine = include_str!("../../measurements/policy/genuine.toml");
        let strict = include_str!("../../measurements/policy/strict.toml");
        for name in ["b".repeat(79), "b".repeat(80), "b ".repeat(40), "b ".repeat(200)] {
            let named = |policy: &str| {
                policy.replace(".genuine]", &format!(".\"{name}\"]")).replace(".strict]", &format!(".\"{name}\"]"))
            };
            let genuine = named(genuine);
            assert_eq!(Policy::parse(&genuine).map(|_| ()), Ok(()), "the name alone is no fault");
            for (text, says) in [
                (named(strict), "a reference value is needed here"),
                (
                    genuine.replace("rtmr3 = \"unchecked\"", &format!("rtmr3 = \"{}\"", "11".repeat(48))),
                    "does not pin who enforces it",
                ),
                (genuine.replace("wrapping = ", "weaker = \"because\"\nwrapping = "), "`weaker`"),
                (
                    genuine.replace("out_of_date_grace = ", "out_of_date_grace = [5] # "),
                    "expected \"none\" or { days = … }",
                ),
                (genuine.replace("minimum_tcb = ", "minimum_tcb = { milan = [1] } # "), "each value beside its name"),
                (format!("{genuine}\n[tdx.b]\nwrapping = 1"), "wrapping"),
            ] {
                let error = Policy::parse(&text).unwrap_err().to_string();
                assert!(error.contains(says), "{error}");
                for whole in [
                    format!("sev-snp.{name}"),
                    format!("tdx.{name}"),
                    format!("sev-snp.\"{name}\""),
                    format!("tdx.\"{name}\""),
                ] {
                    let line: String = whole.chars().take(81).collect();
                    assert!(!error.contains(&line), "{error}");
                }
            }
        }
    }

    #[test]
    fn errors_of_the_whole_document_have_their_place_too() {
        let genuine = include_str!("../../measurements/policy/genuine.toml");
        let root = "# a\n[trust_anchors]\namd = [\"nonsense\"]\n";
        for (text, says) in [
            (genuine.replace("schema = 1", "schema = 2"), "this release reads policies of schema 1 (line "),
            (format!("{genuine}\n{root}"), "expected certificates in PEM (line "),
        ] {
            let error = Policy::parse(&text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            let line: usize = error.rsplit("(line ").next().unwrap().split(',').next().unwrap().parse().unwrap();
            let line = text.lines().nth(line - 1).unwrap();
            assert!(line.starts_with("schema") || line.starts_with("amd"), "{line}");
        }
    }
}
