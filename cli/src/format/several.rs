//! The verdicts about many files: in words with a heading for each and a list at the end, and as one object for programs.

use std::path::Path;

use serde::Serialize;

use super::about::{File, rests_on_foreign_roots};
use super::{Whole, text, weakness};
use crate::output::plain;
use crate::screen::{Screen, Tone};

/// The whole text.
pub(super) fn text(files: &[File<'_>], status: u8, screen: Screen) -> String {
    let mut page = String::new();
    for file in files {
        page.push_str(&format!("== {}\n\n", shown(file.name)));
        match &file.outcome {
            Ok((report, about)) => {
                if !about.preface.is_empty() {
                    page.push_str(&format!("{}\n", about.preface));
                }
                page.push_str(&text::whole(report, about, screen));
            }
            Err(stop) => {
                page.push_str(&format!("{}: {}\n", screen.style.paint(Tone::Bad, file.verdict()), plain(&stop.message)))
            }
        }
        page.push('\n');
    }
    let accepted = files.iter().filter(|file| file.status() == 0).count();
    page.push_str(&format!("== {} files, {accepted} accepted; exit status {status}\n\n", files.len()));
    let verdicts: Vec<_> = files.iter().map(in_short).collect();
    let column = verdicts.iter().map(|(verdict, _)| verdict.chars().count()).max().unwrap_or_default();
    for (file, (verdict, tone)) in files.iter().zip(&verdicts) {
        let padding = " ".repeat(column.saturating_sub(verdict.chars().count()));
        page.push_str(&format!("  {}{padding}  {}\n", screen.style.paint(*tone, verdict), shown(file.name)));
    }
    screen.fit(page)
}

/// The verdict in a few words, and whether it is a good one. What weakens it is never green.
fn in_short(file: &File<'_>) -> (String, Tone) {
    let verdict = file.verdict();
    match &file.outcome {
        Ok((report, _)) if rests_on_foreign_roots(report) => {
            (format!("{verdict}, not the vendors' hardware"), Tone::Caution)
        }
        Ok((report, about)) if report.accepted() => {
            let tone = if weakness::of(report, about.in_vain).is_empty() { Tone::Good } else { Tone::Caution };
            (verdict.to_owned(), tone)
        }
        _ => (verdict.to_owned(), Tone::Bad),
    }
}

/// The name of a file as people read it.
pub(super) fn shown(name: &Path) -> String {
    if name == Path::new("-") { "standard input".to_owned() } else { plain(&name.display().to_string()) }
}

/// Schema `teegate/reports/1`.
#[derive(Serialize)]
pub(super) struct Reports<'a> {
    schema: &'static str,
    status: u8,
    reports: Vec<Entry<'a>>,
}

/// One file: its report, or the error in its place.
#[derive(Serialize)]
struct Entry<'a> {
    evidence: String,
    status: u8,
    form: Option<&'a str>,
    member: Option<&'a str>,
    error: Option<&'a str>,
    report: Option<Whole<'a>>,
}

impl<'a> Reports<'a> {
    pub(super) fn of(files: &'a [File<'a>], status: u8) -> Self {
        let entry = |file: &'a File<'a>| {
            let (evidence, status) = (file.name.display().to_string(), file.status());
            match &file.outcome {
                Ok((report, about)) => Entry {
                    evidence,
                    status,
                    form: Some(about.form),
                    member: about.member,
                    error: None,
                    report: Some(Whole::of(report, about)),
                },
                Err(stop) => {
                    Entry { evidence, status, form: None, member: None, error: Some(&stop.message), report: None }
                }
            }
        };
        Self { schema: "teegate/reports/1", status, reports: files.iter().map(entry).collect() }
    }
}
