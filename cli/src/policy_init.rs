//! `teegate policy init` and `teegate policy fill`: a first policy of one's own, and a template with its values in it.

use std::path::PathBuf;

use clap::Args;
use teegate_intake::evidence::OwnedEvidence;
use teegate_verifier::{FactValue, Policy, Tee, inspect};

use crate::atomic::{self, Existing};
use crate::exit::{self, Stop};
use crate::verify::TeeName;
use crate::{instant, output, policy, supplied, values};

/// Where the policy goes.
#[derive(Args)]
pub(crate) struct Output {
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file where it exists
    #[arg(long, requires = "output")]
    force: bool,
}

/// Options of `init`.
#[derive(Args)]
pub(crate) struct InitArgs {
    /// Evidence of the guest that the policy is to expect, in any form that `verify` reads
    #[arg(long, value_name = "EVIDENCE")]
    from: PathBuf,
    /// Insist that the evidence is of this platform
    #[arg(long, value_enum)]
    tee: Option<TeeName>,
    /// The name of the policy
    #[arg(long, default_value = "own")]
    name: String,
    #[command(flatten)]
    output: Output,
}

/// Options of `fill`.
#[derive(Args)]
pub(crate) struct FillArgs {
    /// A template, such as `strict`
    #[arg(value_name = "FILE")]
    file: String,
    #[command(flatten)]
    values: values::ValuesArgs,
    #[command(flatten)]
    output: Output,
}

/// Writes a first policy.
pub(crate) fn init(args: &InitArgs) -> Result<(String, u8), Stop> {
    let evidence = supplied::evidence(&args.from, args.tee.map(Tee::from), None)?;
    let text = first(&evidence, &args.name)?;
    let now = instant::now()?;
    let head = format!(
        "# Made by `teegate policy init` at {now} from the evidence `{}`.\n# The measurements are what that evidence shows, and nothing of it \
         was verified: compare them with what you built\n# before you send anything. `teegate policy explain` says what this policy asks, \
         `teegate policy lint` what is weak in it.\n\n",
        output::plain(&args.from.display().to_string())
    );
    Ok(written(&args.output, &(head + &text))?)
}

fn first(evidence: &OwnedEvidence, name: &str) -> Result<String, Stop> {
    let facts = inspect(evidence.tee, &evidence.bytes);
    let facts = facts
        .map_err(|malformed| Stop::from(format!("this is no well-formed {} evidence: {malformed}", evidence.tee)))?;
    let shows = |field: &str| {
        let (_, value) = facts.iter().find(|(fact, _)| *fact == field)?;
        matches!(value, FactValue::Bytes(_) | FactValue::Number(_)).then(|| value.to_string())
    };
    teegate_measurements::init(evidence.tee, name, shows)
        .map_err(|error| Stop::from(format!("what this evidence shows cannot be expected by a strict policy: {error}")))
}

/// Writes a template with its values in it.
pub(crate) fn fill(args: &FillArgs) -> Result<(String, u8), String> {
    let (_, text) = args.values.policy(&args.file, None)?;
    // What is written loads by itself.
    Policy::parse(&text).map_err(|error| policy::refused(&args.file, &error))?;
    written(&args.output, &text)
}

fn written(Output { output: file, force }: &Output, text: &str) -> Result<(String, u8), String> {
    let Some(path) = file else { return Ok((text.to_owned(), exit::ACCEPTED)) };
    atomic::write(path, text.as_bytes(), if *force { Existing::Replace } else { Existing::Keep })?;
    Ok((format!("wrote {}\n", output::plain(&path.display().to_string())), exit::ACCEPTED))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn args(from: &Path, to: Option<PathBuf>, force: bool) -> InitArgs {
        InitArgs { from: from.to_owned(), tee: None, name: "mine".to_owned(), output: Output { output: to, force } }
    }

    #[test]
    fn a_first_policy_loads_says_what_the_evidence_shows_and_is_not_written_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let report = folder.path().join("report.bin");
        let forged = teegate_forge::snp().measurement([0x2A; 48]).host_data([0x2B; 32]).build();
        std::fs::write(&report, forged.report).unwrap();
        let (text, status) = init(&args(&report, None, false)).unwrap();
        assert_eq!(status, 0);
        assert!(
            text.starts_with("# Made by `teegate policy init` at ") && text.contains("nothing of it was verified"),
            "{text}"
        );
        let policy = Policy::parse(&text).unwrap();
        assert_eq!((policy.name(), policy.document().profiles()[0].place()), ("mine", "sev-snp.own".to_owned()));
        assert!(text.contains(&format!("measurement = \"{}\"", "2a".repeat(48))), "{text}");

        let own = folder.path().join("own.toml");
        let (said, _) = init(&args(&report, Some(own.clone()), false)).unwrap();
        assert!(said.starts_with("wrote "), "{said}");
        let again = init(&args(&report, Some(own.clone()), false)).unwrap_err();
        assert!(again.message.contains("it exists already"), "{again:?}");
        init(&args(&report, Some(own), true)).unwrap();
    }

    #[test]
    fn what_is_no_evidence_and_what_pins_nobody_makes_no_policy() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("report.bin");
        std::fs::write(&file, "hello").unwrap();
        assert_eq!(init(&args(&file, None, false)).unwrap_err().status, exit::MALFORMED);
        std::fs::write(&file, teegate_forge::snp().measurement([0; 48]).build().report).unwrap();
        let refused = init(&args(&file, None, false)).unwrap_err();
        assert!(refused.message.contains("`measurement` does not pin who enforces it"), "{refused:?}");
    }
}
