//! Markdown for the summary of a CI job: a table of verdicts, one line a file, and what failed with what to do about it.
//!
//! Whatever may be a stranger's stands in a code span, which holds no markup, or is escaped to the last mark.

use teegate_verifier::{Check, Finding, Outcome, Report};

use super::about::{About, FOREIGN_ROOTS, File, rests_on_foreign_roots};
use super::several::shown;
use crate::output::plain;

/// The whole document.
pub(super) fn render(files: &[File<'_>]) -> String {
    let accepted = files.iter().filter(|file| file.status() == 0).count();
    let mut text = match files {
        [file] => format!("### Attestation: {}\n\n", mark(file)),
        _ => format!("### Attestation: {accepted} of {} accepted\n\n", files.len()),
    };
    text.push_str("| evidence | verdict | failed | valid until | policy |\n|---|---|---|---|---|\n");
    for file in files {
        text.push_str(&row(file));
    }
    for file in files {
        text.push_str(&details(file));
    }
    text
}

fn row(file: &File<'_>) -> String {
    let name = in_a_cell(&shown(file.name));
    match &file.outcome {
        Err(_) => format!("| {name} | {} | | | |\n", mark(file)),
        Ok((report, about)) => {
            let failed: Vec<_> = failures(report).map(|finding| span(finding.check().id())).collect();
            let until = report.valid_until().map(|end| end.to_string()).unwrap_or_default();
            format!("| {name} | {} | {} | {until} | {} |\n", mark(file), failed.join(", "), in_a_cell(about.named))
        }
    }
}

/// The verdict with its mark. What weakens an acceptance shows in the mark.
fn mark(file: &File<'_>) -> String {
    match &file.outcome {
        Ok((report, about)) if report.accepted() => {
            if reservations(report, about).is_empty() {
                "✅ accepted".to_owned()
            } else {
                "⚠️ accepted, with reservations".to_owned()
            }
        }
        _ => format!("❌ {}", file.verdict()),
    }
}

/// What an acceptance does not say, one sentence each.
fn reservations(report: &Report, about: &About<'_>) -> Vec<String> {
    let mut sentences = Vec::new();
    sentences.extend(report.warnings().map(str::to_owned));
    // The report warns of them itself; whatever it says, such an acceptance is never without one.
    if rests_on_foreign_roots(report) && sentences.is_empty() {
        sentences.push(FOREIGN_ROOTS.to_owned());
    }
    let waived = |check| matches!(report.finding(check).map(Finding::outcome), Some(Outcome::NotChecked { .. }));
    if waived(Check::SNP_GUEST_MEASUREMENT) || waived(Check::TDX_TD_MRTD) {
        sentences.push("the policy does not ask which code runs: genuine is not safe to send to".to_owned());
    } else if waived(Check::SNP_GUEST_REPORT_DATA) || waived(Check::TDX_TD_REPORT_DATA) {
        sentences.push(
            "the report data was not compared: nothing shows that the evidence was made now, or for you".to_owned(),
        );
    }
    sentences.extend(about.in_vain.iter().map(|missing| format!("not to be had: {missing}")));
    sentences
}

/// What is said of one file below the table; nothing of an acceptance without reservations.
fn details(file: &File<'_>) -> String {
    let mut text = String::new();
    match &file.outcome {
        Err(stop) => text.push_str(&format!("{}\n", escaped(&stop.message))),
        Ok((report, about)) => {
            if report.accepted() {
                for sentence in reservations(report, about) {
                    text.push_str(&format!("- {}\n", escaped(&sentence)));
                }
            }
            for finding in failures(report) {
                text.push_str(&format!(
                    "- **{}**: expected {}, found {}. {}\n",
                    span(finding.check().id()),
                    span(finding.expected()),
                    span(finding.actual()),
                    escaped(finding.remedy()),
                ));
            }
        }
    }
    if text.is_empty() { text } else { format!("\n#### {}\n\n{text}", span(&shown(file.name))) }
}

fn failures(report: &Report) -> impl Iterator<Item = &Finding> {
    report.findings().iter().filter(|finding| *finding.outcome() == Outcome::Fail)
}

/// A code span in a table, where a bar would end the cell.
fn in_a_cell(text: &str) -> String {
    span(text).replace('|', "\\|")
}

/// A code span, which a backtick would end.
fn span(text: &str) -> String {
    let text = plain(text).replace('`', "'");
    if text.trim().is_empty() { String::new() } else { format!("`{text}`") }
}

/// Text in which no flavour of Markdown finds a mark, a link or a tag (CommonMark 0.31, section 2.4; GitHub's extensions).
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    // An address is no link once its colon stands alone.
    for c in plain(text).replace("://", ":\u{0}//").chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '@' => safe.push_str("&#64;"),
            '\u{0}' => safe.push('\\'),
            // Commands in remedies are set off with backticks, and stay readable with quotes.
            '`' => safe.push('"'),
            '\\' | '*' | '_' | '[' | ']' | '#' | '!' | '|' | '~' | '$' => safe.extend(['\\', c]),
            _ => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        assert_eq!(span("a`|b\n<x>"), "`a'|b\\u{a}<x>`");
        assert_eq!(in_a_cell("a`|b"), "`a'\\|b`");
        assert_eq!(span(" "), "");
        assert_eq!(
            escaped("![x](https://e) <img> @me `run` a|b *c* \u{1b}"),
            "\\!\\[x\\](https:\\//e) &lt;img&gt; &#64;me \"run\" a\\|b \\*c\\* \\\\u{1b}"
        );
    }
}
