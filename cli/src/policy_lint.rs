//! `teegate policy lint`: the weak places of a policy, what each opens, what to write instead; and which of them somebody bears,
//! why and until when (`--accept FILE`).

mod sarif;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;
use teegate_measurements::{Acknowledgements, Remark, Review, Reviewed, Stale, StaleKind};
use teegate_verifier::{Severity, UnixTime};

use crate::output::{self, plain, short};
use crate::screen::{Screen, Style, Tone};
use crate::values::{self, ValuesArgs};
use crate::{exit, help, instant, policy};

/// Weak or contradictory rules, with line and column, what each opens and what to write instead.
#[derive(Args)]
#[command(after_help = help::POLICY_LINT)]
pub(crate) struct LintArgs {
    /// A TOML file, or `genuine`
    #[arg(value_name = "FILE")]
    file: String,

    #[command(flatten)]
    values: ValuesArgs,

    /// Remarks that you bear, in TOML: `schema = 1`, and for each a table `[[accept]]` with `field`, `remark` (the word in brackets),
    /// `reason`, `until`, and perhaps `opens`, the very sentence. What is borne is shown and does not count. An entry whose time is
    /// over is an error, and one that no remark answers to a warning
    #[arg(long, value_name = "FILE")]
    accept: Option<PathBuf>,

    /// The time to hold `until`, and a CoRIM, against: RFC 3339 or seconds since 1970; now, if left out
    #[arg(long, value_name = "TIME", value_parser = instant::parse)]
    at: Option<UnixTime>,

    /// How to show it
    #[arg(long, value_enum, default_value_t = LintFormat::Text)]
    format: LintFormat,

    /// Nothing but errors: the exit status is the answer
    #[arg(long, short, conflicts_with = "format")]
    quiet: bool,
}

/// How remarks are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LintFormat {
    /// For people
    Text,
    /// For programs
    Json,
    /// For code scanning: a result for each remark, at its line and column
    Sarif,
}

/// The files that remarks are about.
struct Files<'a> {
    policy: &'a str,
    accept: Option<&'a Path>,
}

/// The remarks as they are wanted, and the status: whether any counts.
pub(crate) fn lint(args: &LintArgs) -> Result<(String, u8), String> {
    output::be_quiet(args.quiet);
    let text = policy::read_text(&args.file)?;
    let values = args.values.load(args.at)?;
    let given = values.clone().unwrap_or_default();
    let remarks = teegate_measurements::lint(&text, &given, &teegate_measurements::SHIPPED)
        .map_err(|error| policy::refused(&args.file, &error))?;
    let acknowledgements = args.accept.as_deref().map_or_else(|| Ok(Acknowledgements::default()), acknowledgements)?;
    let review = acknowledgements.review(remarks, args.at.map_or_else(instant::now, Ok)?);
    let status =
        if counting(&review).any(|severity| severity != Severity::Note) { exit::FOUND } else { exit::ACCEPTED };
    let files = Files { policy: &args.file, accept: args.accept.as_deref() };
    let shown = match args.format {
        LintFormat::Text => {
            Screen::shows(linted(&files, &review, Style::of_stdout()) + &values::origins(values.as_ref()))
        }
        LintFormat::Json => output::to_json(&json!({
            "schema": "teegate/policy-lint/1",
            "policy": args.file,
            "accept": args.accept.as_ref().map(|path| path.display().to_string()),
            "remarks": review.remarks,
            "stale": review.stale,
            "reference_values": values::listed(values.as_ref()),
        }))?,
        LintFormat::Sarif => output::to_json(&sarif::log(&files, &review, status))?,
    };
    Ok((shown, status))
}

/// What is not borne, and what is wrong with what should bear it.
fn counting(review: &Review) -> impl Iterator<Item = Severity> {
    let remarks = review.remarks.iter().filter(|reviewed| reviewed.acknowledged.is_none());
    remarks.map(|reviewed| reviewed.remark.severity).chain(review.stale.iter().map(|stale| stale.severity))
}

fn acknowledgements(path: &Path) -> Result<Acknowledgements, String> {
    let failed = |what: String| format!("acknowledgements `{}`: {what}", path.display());
    Acknowledgements::parse(&policy::file_text(path).map_err(failed)?).map_err(|error| failed(error.to_string()))
}

fn linted(files: &Files<'_>, review: &Review, style: Style) -> String {
    let mut text: String = review.remarks.iter().map(|reviewed| remark(files.policy, reviewed, style)).collect();
    let accept = files.accept.map(|path| path.display().to_string()).unwrap_or_default();
    review.stale.iter().for_each(|one| text += &stale(&accept, one, style));
    let count = |severity| counting(review).filter(|counted| *counted == severity).count();
    text += &format!(
        "errors: {}; warnings: {}; notes: {}",
        count(Severity::Error),
        count(Severity::Warning),
        count(Severity::Note)
    );
    if files.accept.is_some() {
        let borne = review.remarks.iter().filter(|reviewed| reviewed.acknowledged.is_some()).count();
        text += &format!("; acknowledged: {borne}");
    }
    text + "\n"
}

const fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Error => Tone::Bad,
        Severity::Warning => Tone::Caution,
        Severity::Note => Tone::Quiet,
    }
}

fn remark(file: &str, reviewed: &Reviewed, style: Style) -> String {
    let Remark { severity, kind, line, column, field, opens, instead } = &reviewed.remark;
    let word = match reviewed.acknowledged {
        Some(_) => style.paint(Tone::Quiet, &format!("acknowledged {}", severity.name())),
        None => style.paint(tone(*severity), severity.name()),
    };
    let mut text = format!("{}:{line}:{column}: {word}: {} [{}]\n", plain(file), plain(field), kind.name());
    text += &format!("    opens    {}\n    instead  {}\n", plain(opens), plain(instead));
    if let Some(borne) = &reviewed.acknowledged {
        text += &format!("    borne    until {}: {}\n", borne.until, plain(&borne.reason));
    }
    text
}

fn stale(file: &str, stale: &Stale, style: Style) -> String {
    let word = style.paint(tone(stale.severity), stale.severity.name());
    format!(
        "{}:{}:{}: {word}: {} [{}]\n    {}\n",
        plain(file),
        stale.line,
        stale.column,
        short(&stale.field),
        stale.remark.name(),
        what_is_wrong(stale),
    )
}

fn what_is_wrong(stale: &Stale) -> String {
    match stale.kind {
        StaleKind::Expired => {
            format!("the acknowledgement ended at {}, and the remark counts again: look at it anew", stale.until)
        }
        StaleKind::Unused => {
            "no such remark is made: take the acknowledgement out, or write its names as they are".to_owned()
        }
    }
}

#[cfg(test)]
impl LintArgs {
    /// As on the command line, with nothing beside the file.
    pub(crate) fn of(file: &str) -> Self {
        let (values, format) = (ValuesArgs::default(), LintFormat::Text);
        Self { file: file.to_owned(), values, accept: None, at: None, format, quiet: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(args: LintArgs) -> (serde_json::Value, u8) {
        let (text, status) = lint(&LintArgs { format: LintFormat::Json, ..args }).unwrap();
        (serde_json::from_str(&text).unwrap(), status)
    }

    #[test]
    fn lint_names_the_place_and_ends_with_four() {
        let (text, status) = lint(&LintArgs::of("genuine")).unwrap();
        assert_eq!(status, 4);
        let line = teegate_measurements::GENUINE.lines().position(|line| line.starts_with("measurement")).unwrap() + 1;
        let place = format!("genuine:{line}:1: error: sev-snp.genuine.measurement [unasked]\n    opens    any code");
        assert!(text.contains(&place), "{text}");
        assert!(text.lines().last().unwrap().starts_with("errors: 2; warnings: "), "{text}");
        let (json, status) = json(LintArgs::of("genuine"));
        assert_eq!((status, json["remarks"][0]["column"].as_u64()), (4, Some(1)));
        assert_eq!((&json["remarks"][0]["acknowledged"], &json["stale"]), (&serde_json::Value::Null, &json!([])));
    }

    /// A file that bears every remark about `genuine`, until then.
    fn bears_all(folder: &Path, until: &str) -> PathBuf {
        let (json, _) = json(LintArgs::of("genuine"));
        let mut names: Vec<_> = json["remarks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["field"].to_string(), one["remark"].to_string()))
            .collect();
        names.sort();
        names.dedup();
        let entry = |(field, remark): &(String, String)| {
            format!(
                "\n[[accept]]\nfield = {field}\nremark = {remark}\nreason = \"hardware alone is asked here\"\nuntil = \"{until}\"\n"
            )
        };
        let path = folder.join("accept.toml");
        std::fs::write(&path, format!("schema = 1\n{}", names.iter().map(entry).collect::<String>())).unwrap();
        path
    }

    #[test]
    fn what_is_acknowledged_is_shown_with_its_reason_and_counts_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let accept = Some(bears_all(folder.path(), "2027-01-01T00:00:00Z"));
        let at = |time: &str| LintArgs {
            accept: accept.clone(),
            at: Some(instant::parse(time).unwrap()),
            ..LintArgs::of("genuine")
        };
        let (text, status) = lint(&at("2026-12-31T23:59:59Z")).unwrap();
        assert_eq!(status, 0, "{text}");
        assert!(text.contains(": acknowledged error: sev-snp.genuine.measurement [unasked]\n"), "{text}");
        assert!(text.contains("\n    borne    until 2027-01-01T00:00:00Z: hardware alone is asked here\n"), "{text}");
        assert!(text.lines().last().unwrap().starts_with("errors: 0; warnings: 0; notes: 0; acknowledged: "), "{text}");

        // Its last second is the one before `until`.
        let (text, status) = lint(&at("2027-01-01T00:00:00Z")).unwrap();
        assert_eq!(status, 4);
        assert!(
            text.contains("\n    the acknowledgement ended at 2027-01-01T00:00:00Z, and the remark counts again"),
            "{text}"
        );
        assert!(text.contains(": error: sev-snp.genuine.measurement [unasked]\n    opens"), "{text}");
        let (over, _) = json(at("2027-01-01T00:00:00Z"));
        assert!(over["remarks"].as_array().unwrap().iter().all(|one| one["acknowledged"].is_null()));
        assert_eq!((&over["stale"][0]["severity"], &over["stale"][0]["kind"]), (&json!("error"), &json!("expired")));
    }

    #[test]
    fn an_acknowledgement_that_nothing_answers_to_is_a_warning_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let accept = bears_all(folder.path(), "2027-01-01T00:00:00Z");
        let all = std::fs::read_to_string(&accept).unwrap();
        let lines = all.lines().count();
        let one = "\n[[accept]]\nfield = \"sev-snp.genuine.debug\"\nremark = \"allowed\"\nreason = \"x\"\nuntil = \"2027-01-01T00:00:00Z\"\n";
        std::fs::write(&accept, all + one).unwrap();
        let args = LintArgs { at: Some(instant::parse("2026-06-01T00:00:00Z").unwrap()), ..LintArgs::of("genuine") };
        let args = LintArgs { accept: Some(accept), ..args };
        let (text, status) = lint(&args).unwrap();
        assert_eq!(status, 4, "{text}");
        let place = format!(
            "accept.toml:{}:1: warning: sev-snp.genuine.debug [allowed]\n    no such remark is made",
            lines + 2
        );
        assert!(text.contains(&place), "{text}");
        assert!(text.contains("\nerrors: 0; warnings: 1; notes: 0; acknowledged: "), "{text}");
    }

    #[test]
    fn sarif_has_a_rule_for_field_and_kind_and_suppresses_what_is_borne() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("own policy.toml");
        std::fs::write(&policy, teegate_measurements::GENUINE).unwrap();
        let own = || LintArgs { format: LintFormat::Sarif, ..LintArgs::of(policy.to_str().unwrap()) };
        let read = |args: &LintArgs| -> (serde_json::Value, u8) {
            let (text, status) = lint(args).unwrap();
            (serde_json::from_str(&text).unwrap(), status)
        };
        let (log, status) = read(&own());
        let run = &log["runs"][0];
        assert_eq!((status, &run["invocations"][0]["exitCode"]), (4, &json!(4)));
        let line = teegate_measurements::GENUINE.lines().position(|line| line.starts_with("measurement")).unwrap() + 1;
        let results = run["results"].as_array().unwrap();
        let result = results.iter().find(|one| one["ruleId"] == "policy.sev-snp.measurement.unasked").unwrap();
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["region"], json!({ "startLine": line, "startColumn": 1 }));
        assert!(place["artifactLocation"]["uri"].as_str().unwrap().ends_with("/own%20policy.toml"), "{place}");
        assert_eq!((&result["level"], result.get("suppressions")), (&json!("error"), None));
        for result in results {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
            let severity = result["level"].as_str().unwrap();
            assert!(["error", "warning", "note"].contains(&severity), "{result}");
        }

        let accept = Some(bears_all(folder.path(), "2027-01-01T00:00:00Z"));
        let at = |time: &str| LintArgs { accept: accept.clone(), at: Some(instant::parse(time).unwrap()), ..own() };
        let (log, status) = read(&at("2026-06-01T00:00:00Z"));
        let results = log["runs"][0]["results"].as_array().unwrap();
        let borne =
            json!([{ "kind": "external", "status": "accepted", "justification": "hardware alone is asked here" }]);
        assert!(status == 0 && results.iter().all(|result| result["suppressions"] == borne), "{results:#?}");

        let (log, status) = read(&at("2028-01-01T00:00:00Z"));
        let results = log["runs"][0]["results"].as_array().unwrap();
        let over: Vec<_> = results.iter().filter(|one| one["ruleId"] == "accept.expired").collect();
        assert!(status == 4 && !over.is_empty(), "{results:#?}");
        assert!(results.iter().all(|result| result["suppressions"] == json!([])), "{results:#?}");
        let uri = over[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].as_str().unwrap();
        assert!(uri.ends_with("/accept.toml"), "{uri}");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let refused =
            |accept: &Path| lint(&LintArgs { accept: Some(accept.to_owned()), ..LintArgs::of("genuine") }).unwrap_err();
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none.toml");
        assert!(refused(&missing).contains("none.toml`: cannot be read: "), "{}", refused(&missing));
        let wrong = folder.path().join("wrong.toml");
        std::fs::write(&wrong, "schema = 2\n").unwrap();
        assert!(
            refused(&wrong).ends_with("wrong.toml`: line 1, column 10: `schema`: expected 1"),
            "{}",
            refused(&wrong)
        );
    }
}
