//! The `teegate` command. Thin: it reads arguments, calls a library, shows the result. One file a verb.

mod answers;
mod atomic;
mod bundle;
mod bundle_show;
mod caller;
mod demo;
mod exit;
mod explain;
mod fetch;
mod format;
mod infer;
mod inspect;
mod instant;
mod memory;
mod online;
mod output;
mod policy;
mod policy_command;
mod policy_init;
mod pool;
mod record;
mod supplied;
mod values;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Verify before you send: whether evidence of a TEE is genuine, what it proves and what it does not.
#[derive(Parser)]
#[command(name = "teegate", version, after_help = exit::EXPLANATION, max_term_width = 120)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
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
    /// Explain a policy, find its weak places, or compare two
    Policy(policy_command::PolicyArgs),
    /// Verify an enclave, seal a request to it, send it, open the answer
    Infer(infer::InferArgs),
    /// Walk the whole path on this machine, on forged hardware and with a real model
    Demo(demo::DemoArgs),
}

fn main() -> ExitCode {
    let command = match Command::try_parse() {
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
    match command.verb {
        Verb::Verify(args) => verify::run(&args),
        Verb::Inspect(args) => inspect::run(&args),
        Verb::Fetch(args) => fetch::run(&args),
        Verb::Record(args) => record::run(&args),
        Verb::Bundle(args) => bundle::run(&args),
        Verb::Policy(args) => policy_command::run(&args),
        Verb::Infer(args) => infer::run(args),
        Verb::Demo(args) => demo::run(args),
    }
}
