//! `teegate inspect`: what evidence says. Nothing is verified, and the first words of the output say so.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use teegate_intake::evidence::{self, OwnedEvidence};
use teegate_verifier::{FactValue, Finding, Stage, Tee};

use crate::exit::{self, Stop};
use crate::help;
use crate::inspect_log;
use crate::output::{self, plain};
use crate::screen::{Length, Screen, Tone};
use crate::supplied;
use crate::verify::{Format, TeeName};

/// Show what evidence says, without verifying any of it.
#[derive(Args)]
#[command(after_help = help::INSPECT)]
pub(crate) struct InspectArgs {
    /// SEV-SNP report or TDX quote: raw, hexadecimal, base64, a hex dump, in a CMW, CoCo JSON, a member of other JSON, an attestation of
    /// Google's Go libraries, a bundle, a configfs-tsm report; `-` for standard input. Or a file that holds the event log of a boot: CCEL,
    /// or a TPM's
    #[arg(value_name = "EVIDENCE")]
    evidence: PathBuf,

    /// Insist that the evidence is of this platform
    #[arg(long, value_enum)]
    tee: Option<TeeName>,

    /// How to show it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Runs the command.
pub(crate) fn run(args: &InspectArgs) -> ExitCode {
    if let Some(log) = inspect_log::found(&args.evidence) {
        return match inspect_log::shown(&args.evidence, &log, args.format) {
            Ok((text, status)) => output::finish(&text, status),
            Err(stop) => output::stop(&stop),
        };
    }
    let loaded = supplied::no_stream(&args.evidence).map_err(Stop::from).and_then(|()| {
        evidence::load(&args.evidence, args.tee.map(Tee::from)).map_err(|error| Stop::of_evidence(&error))
    });
    let evidence = match loaded {
        Ok(evidence) => evidence,
        Err(stop) => return output::stop(&stop),
    };
    let facts = evidence.inspect();
    let status = if facts.is_ok() { exit::ACCEPTED } else { exit::of_rejection(Stage::Parse) };
    match args.format {
        Format::Text => {
            let screen = Screen::of_stdout(Some(Length::Whole));
            output::finish(&screen.fit(text(&evidence, &facts, screen)), status)
        }
        Format::Json => match serde_json::to_string_pretty(&Inspection::of(&evidence, &facts)) {
            Ok(json) => output::finish(&format!("{json}\n"), status),
            Err(error) => output::fail(&format!("the inspection cannot be written: {error}")),
        },
    }
}

type Facts = Result<Vec<(&'static str, FactValue)>, Box<Finding>>;

fn text(evidence: &OwnedEvidence, facts: &Facts, screen: Screen) -> String {
    let warning = screen.style.paint(Tone::Caution, "NOT VERIFIED.");
    let (kind, length) = (evidence.tee.name(), evidence.bytes.len());
    let carried = match evidence.endorsements.len() {
        0 => String::new(),
        number => format!(", with {number} certificates or other endorsements beside it"),
    };
    let member = evidence.member.as_ref().map(|member| format!(", in the member `{member}`")).unwrap_or_default();
    let mut text = format!(
        "{warning} This is what the bytes say, and anybody can write such bytes. No signature was checked.\n\
         To find out whether to believe them: `teegate verify`.\n\n  {kind} evidence, {length} bytes, found as {}{member}{carried}\n\n",
        evidence.form
    );
    match facts {
        Ok(facts) => {
            for (name, value) in facts {
                text.push_str(&format!("  {name:<26}  {}\n", screen.value(&plain(&value.to_string()))));
            }
        }
        Err(malformed) => {
            let word = screen.style.paint(Tone::Bad, "malformed");
            text.push_str(&format!(
                "  {word}: {}\n  to do: {}\n",
                plain(&malformed.to_string()),
                malformed.check().remedy()
            ));
        }
    }
    text
}

/// Schema `teegate/inspection/1`. `facts` is null when the bytes are not well formed, and `malformed` then says why.
#[derive(Serialize)]
struct Inspection<'a> {
    schema: &'static str,
    verified: bool,
    tee: &'static str,
    form: &'static str,
    member: Option<&'a str>,
    bytes: usize,
    malformed: Option<Defect>,
    facts: Option<InOrder<'a>>,
}

#[derive(Serialize)]
struct Defect {
    id: &'static str,
    message: String,
}

impl<'a> Inspection<'a> {
    fn of(evidence: &'a OwnedEvidence, facts: &'a Facts) -> Self {
        Self {
            schema: "teegate/inspection/1",
            verified: false,
            tee: evidence.tee.name(),
            form: evidence.form,
            member: evidence.member.as_deref(),
            bytes: evidence.bytes.len(),
            malformed: facts.as_ref().err().map(|error| Defect { id: error.check().id(), message: error.to_string() }),
            facts: facts.as_ref().ok().map(|facts| InOrder(facts)),
        }
    }
}

/// Facts as an object, in the order of the bytes.
struct InOrder<'a>(&'a [(&'static str, FactValue)]);

impl Serialize for InOrder<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
