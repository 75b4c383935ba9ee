//! `teegate infer`: verify an enclave, seal one inference request to it, send it, open the answer.
//!
//! Thin: everything that decides is in `teegate-client`. Exit status: 0 answered, 1 could not run, 2/3/4 evidence was
//! rejected (malformed, unauthentic, unacceptable: the furthest stage that any candidate reached), 5 something failed
//! after the request had been sealed; then the message says whether it was executed. An answer is written out before
//! anything else is: it may have cost a run that cannot be had again.

mod inputs;
mod outputs;
mod show;

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use teegate_client::{AnswerError, Client, Error, oip};
use teegate_verifier::Report;

use crate::gateway::{self, Failure, GatewayArgs, Means, fail};
use crate::output::note;
use crate::sealing::SealingArgs;
use crate::{exit, help, memory};
use inputs::{Content, InputArgs};
use outputs::OutputArgs;

/// Verify an enclave, seal one inference request to it, send it, open the answer.
#[derive(Args, Debug)]
#[command(after_help = help::INFER)]
pub(crate) struct InferArgs {
    #[command(flatten)]
    gateway: GatewayArgs,
    /// The model to ask
    #[arg(long, value_name = "NAME")]
    model: String,
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    sealing: SealingArgs,
    /// Write the verification report of the instance that answered to this file (JSON)
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    outputs: OutputArgs,
}

/// Runs the command.
pub(crate) fn run(args: InferArgs) -> ExitCode {
    gateway::run(infer(&args))
}

async fn infer(args: &InferArgs) -> Result<ExitCode, Failure> {
    let content = args.inputs.read().map_err(Failure::Input)?;
    let outputs = args.outputs.open(matches!(content, Content::Request(_, true))).map_err(Failure::Input)?;
    let Means { gateway, policy, endorsements, settings } = args.gateway.read().await.map_err(Failure::Input)?;
    let settings = args.sealing.applied_to(settings);
    // Opened first, so that a mistyped path is told before anything is sent; what it holds stays until there is an answer.
    let report = args.report.as_deref().map(Destination::open).transpose().map_err(Failure::Input)?;
    let client = Client::connect(gateway, &args.model, policy, endorsements, settings).await?;
    if let Some(path) = args.gateway.memory() {
        memory::write(path, &client.memory()).map_err(|e| Failure::Input(format!("{e}; nothing was sent")))?;
    }
    let is_in_files = matches!(content, Content::Files(_));
    let body = match content {
        Content::Request(body, _) if outputs.needs_raw() => {
            oip::ask_for_raw_outputs(&body).map_err(|error| Failure::Input(error.to_string()))?
        }
        Content::Request(body, _) => body,
        Content::Files(sources) => {
            let shown_by = args.gateway.models_command(&args.model);
            inputs::request(&client, sources, outputs.takes_raw(), &shown_by).await?
        }
    };
    let reply = client.infer_json(body).await;
    // A request in JSON is told by the enclave what to write into it.
    if is_in_files && matches!(reply, Err(Error::Answer(AnswerError::Declined { status: 406, .. }))) {
        note("an output that JSON has no words for comes with `--format text` or `--output FILE.npz`");
    }
    let answered = reply.as_ref().map_err(Error::clone).and_then(|reply| outputs.write(reply));
    // Another seal may have meant another verification, which may have seen newer statements.
    let remembered = args.gateway.memory().map_or(Ok(()), |path| memory::write(path, &client.memory()));
    let reported = match (report, &reply) {
        (Some(report), Ok(reply)) => report.write(reply.instance.attested().report()),
        _ => Ok(()),
    };
    let mut status = answered.map_err(Failure::Client)?;
    for failed in [remembered, reported].into_iter().filter_map(Result::err) {
        status = fail(&format!("error: {failed}; the answer was written as was asked"), exit::COULD_NOT_RUN);
    }
    Ok(status)
}

/// A file that can be written, and that keeps what it holds until it is.
struct Destination {
    file: File,
    path: PathBuf,
}

impl Destination {
    fn open(path: &Path) -> Result<Self, String> {
        let file = File::options().write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        Ok(Self { file, path: path.to_owned() })
    }

    fn write(mut self, report: &Report) -> Result<(), String> {
        let written = serde_json::to_vec_pretty(report).map_err(std::io::Error::from).and_then(|bytes| {
            // What is no file, such as a pipe, has no length.
            if self.file.metadata()?.is_file() {
                self.file.set_len(0)?;
            }
            self.file.write_all(&bytes)
        });
        written.map_err(|e| format!("the report cannot be written to {}: {e}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_cannot_be_written_says_so_and_ends_nothing() {
        let destination = Destination::open(Path::new("/dev/full")).unwrap();
        let verdict = teegate_verifier::verify(
            &teegate_verifier::Evidence::sev_snp(&[], &teegate_verifier::Endorsements::new()),
            &crate::policy::read("genuine").unwrap(),
            teegate_verifier::UnixTime::from_seconds(0),
        );
        let error = destination.write(verdict.unwrap_err().report()).unwrap_err();
        assert!(error.contains("the report cannot be written to /dev/full"), "{error}");
    }
}
