//! The `teegate` command. Thin: it reads arguments, calls a library, shows the result. One file a verb.

mod answers;
mod atomic;
mod bundle;
mod bundle_show;
mod caller;
mod demo;
mod deploy;
mod exit;
mod explain;
mod fetch;
mod file;
mod fold;
mod format;
mod gateway;
mod help;
mod infer;
mod inspect;
mod inspect_log;
mod instant;
mod memory;
mod models;
mod nearest;
mod offered;
mod online;
mod output;
mod pinned;
mod policy;
mod policy_command;
mod policy_init;
mod policy_lint;
mod pool;
mod predict;
mod probe;
mod proxy;
mod receipt_keys;
mod record;
mod screen;
mod sealing;
mod supplied;
mod values;
mod verify;
mod vouched;
mod watch;
mod watcher;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::screen::Colour;

/// Verify before you send: whether evidence of a TEE is genuine, what it proves and what it does not.
#[derive(Parser)]
#[command(name = "teegate", version, after_help = help::TEEGATE, max_term_width = 120)]
struct Command {
    #[command(subcommand)]
    verb: Verb,

    /// Whether results are coloured
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Colour::Auto, global = true)]
    color: Colour,
}

#[derive(Subcommand)]
enum Verb {
    /// Decide whether evidence satisfies a policy, and say why or why not
    Verify(verify::VerifyArgs),
    /// Show what evidence says, without verifying any of it
    Inspect(inspect::InspectArgs),
    /// Ask AMD, Intel or Azure for what evidence needs, and write it into a folder
    Fetch(fetch::FetchArgs),
    /// On a TEE, take evidence and what a later check needs of this machine
    Record(record::RecordArgs),
    /// Keep evidence and all that its verification needs in one file, and verify that file
    Bundle(bundle::BundleArgs),
    /// Say until when the evidence in each bundle of a folder is accepted, and what refuses it then
    Watch(watch::WatchArgs),
    /// Explain a policy, find its weak places, or compare two
    Policy(policy_command::PolicyArgs),
    /// Compute what hardware will measure of a guest, before it runs
    Predict(predict::PredictArgs),
    /// Write what has to agree with a pod's manifest: the initdata, its annotation and the policy that expects it
    Deploy(deploy::DeployArgs),
    /// Verify an enclave, seal a request to it, send it, open the answer
    Infer(infer::InferArgs),
    /// Verify what stands behind a gateway, and show the models it serves or what one of them takes
    Models(models::ModelsArgs),
    /// Fetch and judge the evidence of what stands at an address, sending nothing
    Probe(probe::ProbeArgs),
    /// Open a door on this machine for any client: plaintext towards it, verified and sealed from there on
    Proxy(proxy::ProxyArgs),
    /// Show which key signs a gateway's release receipts, and which one will follow it
    ReceiptKeys(receipt_keys::ReceiptKeysArgs),
    /// Walk the whole path on this machine, on forged hardware and with a real model, or keep it running to walk it yourself
    Demo(demo::DemoArgs),
    /// Write a script that completes commands and options, for your shell
    Completions(offered::CompletionsArgs),
    /// Write the manual pages
    Man(offered::ManArgs),
}

/// The command that these words call.
fn parsed<I: IntoIterator<Item = T>, T: Into<OsString> + Clone>(words: I) -> Result<Command, clap::Error> {
    let mut known = Command::command();
    let matches = known.try_get_matches_from_mut(words)?;
    if let Some((verb, unused)) = matches.subcommand_matches("predict").and_then(predict::refused) {
        // Said with the usage of the command that was called.
        let called = known.find_subcommand_mut("predict").and_then(|predict| predict.find_subcommand_mut(verb));
        return Err(called
            .map_or_else(clap::Command::default, |called| called.clone())
            .error(ErrorKind::ArgumentConflict, unused));
    }
    Command::from_arg_matches(&matches).map_err(|error| error.format(&mut known))
}

fn main() -> ExitCode {
    let command = match parsed(std::env::args_os()) {
        Ok(command) => command,
        Err(message) => {
            // `--help` and `--version` arrive here too; they are answers, not errors.
            let status = if message.use_stderr() { exit::COULD_NOT_RUN } else { exit::ACCEPTED };
            return match message.print() {
                Ok(()) => ExitCode::from(status),
                Err(_closed) => ExitCode::from(exit::COULD_NOT_RUN),
            };
        }
    };
    screen::colour(command.color);
    match command.verb {
        Verb::Verify(args) => verify::run(&args),
        Verb::Inspect(args) => inspect::run(&args),
        Verb::Fetch(args) => fetch::run(&args),
        Verb::Record(args) => record::run(&args),
        Verb::Bundle(args) => bundle::run(&args),
        Verb::Watch(args) => watch::run(&args),
        Verb::Policy(args) => policy_command::run(&args),
        Verb::Predict(args) => predict::run(&args),
        Verb::Deploy(args) => deploy::run(&args),
        Verb::Infer(args) => infer::run(args),
        Verb::Models(args) => models::run(&args),
        Verb::Probe(args) => probe::run(&args),
        Verb::Proxy(args) => proxy::run(&args),
        Verb::ReceiptKeys(args) => receipt_keys::run(&args),
        Verb::Demo(args) => demo::run(args),
        Verb::Completions(args) => offered::completions(&args, Command::command()),
        Verb::Man(args) => offered::man(&args, Command::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command and all below it, each with the words that call it.
    fn walk(command: &mut clap::Command, called: &str, found: &mut Vec<(String, String)>) {
        found.push((called.to_owned(), command.render_long_help().to_string()));
        for below in command.get_subcommands_mut().filter(|below| below.get_name() != "help") {
            let called = format!("{called} {}", below.get_name());
            walk(below, &called, found);
        }
    }

    #[test]
    fn every_help_page_has_examples_that_parse_and_the_exit_statuses() {
        let mut pages = Vec::new();
        let mut command = Command::command();
        command.build();
        walk(&mut command, "teegate", &mut pages);
        assert!(pages.len() > 15, "{}", pages.len());
        for (called, page) in pages {
            assert!(page.contains("\nExit status: 0 ") || page.contains("\nExit status: that of"), "{called}: {page}");
            let (_, examples) = page.split_once("\nExamples:\n").unwrap_or_else(|| panic!("{called}: no example"));
            let examples: Vec<_> = examples.lines().take_while(|line| !line.is_empty()).collect();
            // A terminal that is narrow must not break them either.
            for example in &examples {
                let words: Vec<_> = example.split_whitespace().collect();
                let own = called == "teegate" || example.trim_start().starts_with(&called);
                assert!(own, "{called}: `{example}` shows another command");
                assert!(example.len() < 80, "{called}: `{example}` is broken by a narrow terminal");
                if let Err(error) = parsed(words) {
                    panic!("{called}: `{example}`: {error}");
                }
            }
            assert!(!examples.is_empty(), "{called}");
        }
    }

    #[test]
    fn an_explanation_stands_alone_and_may_be_coloured() {
        let mut command = Command::command();
        command.build();
        let verify = command.get_subcommands().find(|below| below.get_name() == "verify").unwrap();
        let explain = verify.get_arguments().find(|argument| argument.get_id() == "explain").unwrap();
        let conflicts: Vec<_> = verify.get_arg_conflicts_with(explain).iter().map(|other| other.get_id()).collect();
        for other in verify.get_arguments().map(clap::Arg::get_id) {
            let is_apart = ["explain", "help", "color"].iter().any(|apart| other == apart);
            assert_eq!(conflicts.contains(&other), !is_apart, "{other}");
        }
        let reads = |line: &str| Command::try_parse_from(line.split(' ')).is_ok();
        assert!(reads("teegate verify --explain snp.signature --color never"));
        assert!(!reads("teegate verify --explain snp.signature report.bin"));
    }

    #[test]
    fn what_is_misspelt_is_answered_with_what_comes_close() {
        for (line, meant) in [
            ("teegate verfy report.bin", "'verify'"),
            ("teegate bundle verfiy x", "'verify'"),
            ("teegate verify x --polcy genuine", "'--policy'"),
            ("teegate verify x --format jsno", "'json'"),
            ("teegate inspect x --color alway", "'always'"),
            ("teegate policy lnit x", "'lint'"),
        ] {
            let error =
                Command::try_parse_from(line.split(' ')).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(" similar ") && error.contains(meant), "{line}: {error}");
        }
        assert!(Command::try_parse_from("teegate verify x --policy genuine --quiet".split(' ')).is_ok());
        let both = Command::try_parse_from("teegate verify x --policy genuine --quiet --long".split(' '));
        assert_eq!(both.err().map(|error| error.kind()), Some(clap::error::ErrorKind::ArgumentConflict));
    }
}
