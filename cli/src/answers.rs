//! What a command that verifies has to say of each file that it was given: a verdict, or why there is none. Of many files the highest
//! status counts, and one that cannot be read takes nothing from the others.

use std::path::{Path, PathBuf};

use teegate_intake::evidence::OwnedEvidence;
use teegate_verifier::{Expired, Policy, Report, ReportData};

use crate::exit::{self, Stop};
use crate::format::{self, About, File, Inputs, ReportFormat, ShownArgs, SigningKey};
use crate::output;

/// A verdict about one file, with all that goes into showing it.
pub(crate) struct Answer {
    pub(crate) report: Report,
    pub(crate) status: u8,
    pub(crate) expired: Vec<Expired>,
    pub(crate) policy: Policy,
    pub(crate) named: String,
    pub(crate) policy_text: String,
    pub(crate) report_data: Option<ReportData>,
    pub(crate) inputs: Inputs,
    pub(crate) in_vain: Vec<String>,
    /// The form that the evidence was found in, and the member of somebody's JSON.
    pub(crate) found: (&'static str, Option<String>),
    /// What is said before the report: whose question it answers. Lines, or nothing.
    pub(crate) preface: String,
}

impl Answer {
    /// How the evidence was found.
    pub(crate) fn found(evidence: &OwnedEvidence) -> (&'static str, Option<String>) {
        (evidence.form, evidence.member.clone())
    }

    fn about<'a>(&'a self, evidence: &'a Path, ear_key: Option<&'a SigningKey>) -> About<'a> {
        About {
            policy: &self.policy,
            named: &self.named,
            policy_text: &self.policy_text,
            evidence,
            form: self.found.0,
            member: self.found.1.as_deref(),
            preface: &self.preface,
            report_data: self.report_data,
            inputs: &self.inputs,
            in_vain: &self.in_vain,
            expired: &self.expired,
            ear_key,
        }
    }
}

/// Verifies each of `files` and gives what is to be written, and the status.
pub(crate) fn of(
    files: &[PathBuf],
    shown: &ShownArgs,
    ear_key: Option<&SigningKey>,
    verify: impl Fn(&Path) -> Result<Answer, Stop>,
) -> Result<(String, u8), Stop> {
    if let [file] = files {
        let answer = verify(file)?;
        let text = format::render(&answer.report, &answer.about(file, ear_key), shown)?;
        if shown.format == ReportFormat::Text && !answer.preface.is_empty() {
            return Ok((shown.screen().fit(format!("{}\n{text}", answer.preface)), answer.status));
        }
        // The report is the whole of standard output for programs, so that it validates.
        answer.preface.lines().for_each(output::note);
        return Ok((text, answer.status));
    }
    if shown.format == ReportFormat::Ear {
        return Err(ONE_RESULT.to_owned().into());
    }
    if files.iter().filter(|file| file.as_path() == Path::new("-")).count() > 1 {
        return Err("standard input (`-`) can be read once and was named twice".to_owned().into());
    }
    let outcomes: Vec<_> = files.iter().map(|file| (file, verify(file).map_err(|stop| stop.about(file)))).collect();
    for (file, outcome) in &outcomes {
        match outcome {
            Err(stop) => output::failed(&stop.message),
            Ok(answer) if shown.format != ReportFormat::Text => {
                answer.preface.lines().for_each(|line| output::note(&format!("`{}`: {line}", file.display())));
            }
            Ok(_) => {}
        }
    }
    let status =
        |outcome: &Result<Answer, Stop>| outcome.as_ref().map_or_else(|stop| stop.status, |answer| answer.status);
    let highest = outcomes.iter().map(|(_, outcome)| status(outcome)).max().unwrap_or(exit::COULD_NOT_RUN);
    let files: Vec<_> = outcomes
        .iter()
        .map(|(file, outcome)| File {
            name: file,
            outcome: outcome.as_ref().map(|answer| (&answer.report, answer.about(file, None))),
        })
        .collect();
    Ok((format::render_all(&files, highest, shown)?, highest))
}

const ONE_RESULT: &str = "an attestation result is about one piece of evidence, and whoever relies on it reads one token; call `--format ear` once for \
     each file";
