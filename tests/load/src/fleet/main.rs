//! What the gateway adds and how that grows: the hop beside a proxy that proves nothing, a thousand instances beside one, and half
//! an hour without growth. `ci/gateway.sh` builds what it needs and calls it.

mod arguments;
mod ground;
mod hop;
mod size;
mod soak;

use std::process::ExitCode;

use teegate_load::{Outcome, machine, table};

use crate::arguments::{Arguments, USAGE};
use crate::ground::Ground;

/// The line of `gateway/BENCHMARKS.md` below which everything is the result of a run.
const MARK: &str = "<!-- Everything below is written by `ci/gateway.sh --write`. -->";

fn main() -> ExitCode {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    if arguments.iter().any(|argument| argument == "--help") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let run = || -> Outcome<()> {
        let arguments = Arguments::parse(arguments)?;
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(&arguments))
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("teegate-fleet: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Outcome<()> {
    let document =
        arguments.write.as_ref().map(|path| Outcome::Ok((path, std::fs::read_to_string(path)?))).transpose()?;
    let ground = Ground::find()?;
    let (mut text, mut aims) = (String::new(), Vec::new());
    for part in &arguments.parts {
        let (of_part, its_aims) = match part.as_str() {
            "hop" => hop::measured(&ground, arguments).await?,
            "size" => size::measured(&ground, arguments).await?,
            _ => (soak::measured(&ground, arguments).await?, Vec::new()),
        };
        text.push_str(&of_part);
        text.push('\n');
        aims.extend(its_aims);
    }
    let head = machine::described(&format!("ci/gateway.sh {}", arguments.to_words()))?;
    let mut result = format!("{head}\n\n{text}");
    if !aims.is_empty() {
        result.push_str("### What it is meant to be\n\n| what | aim | measured | |\n|---|---|---|---|\n");
        result.extend(aims.iter().map(|aim| format!("{aim}\n")));
    }
    println!("{result}");
    if let Some((path, document)) = document {
        std::fs::write(path, table::written_into(&document, MARK, &result)?)?;
    }
    Ok(())
}
