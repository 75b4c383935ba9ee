//! `teegate bundle`: evidence and everything that its verification needs in one file, for whoever verifies it elsewhere, offline,
//! later. `create` verifies as `verify` does and keeps what it verified; `verify` asks the same question again, or one of the
//! verifier's own.

pub(crate) mod maker;
pub(crate) mod question;

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use teegate_intake::bundle::{self, Bundle, Conclusion, Kept, PolicyText, Verdict};
use teegate_verifier::{ReportData, Tee, UnixTime};

use crate::answers::{self, Answer};
use crate::atomic::{self, Existing};
use crate::exit::{self, Stop};
use crate::format::{Inputs, ReportFormat, ShownArgs};
use crate::output::{self, plain, short};
use crate::pool::Pool;
use crate::screen::Screen;
use crate::values::ValuesArgs;
use crate::verify::{self, Format, NO_POLICY, TeeName};
use crate::{bundle_show, caller, help, instant, supplied};
use maker::{CREATOR, called, change, file_name, shown};
use question::{Question, Wanted};

/// Keep evidence and all that its verification needs in one file, and verify that file.
#[derive(Args)]
#[command(after_help = help::BUNDLE)]
pub(crate) struct BundleArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Verify evidence as `teegate verify` does, and write all of it into one file, whatever the verdict
    Create(CreateArgs),
    /// Show what a bundle holds, with its digest checked and nothing verified
    Show(ShowArgs),
    /// Verify what a bundle holds: against its own policy, at its own time and for its own report data, or against a policy of yours,
    /// at your time and for yours
    Verify(VerifyArgs),
}

#[derive(Args)]
#[command(after_help = help::BUNDLE_CREATE)]
struct CreateArgs {
    /// Evidence in any form that `teegate verify` takes, `-` for standard input
    #[arg(value_name = "EVIDENCE")]
    evidence: PathBuf,

    /// Certificates, CRLs and collateral: a file or folder, recognised by content; may be given again
    #[arg(long, value_name = "PATH")]
    endorsements: Vec<PathBuf>,

    /// The event log of the boot, of a TD (CCEL) or of an Azure vTPM, in place of one that the evidence carries
    #[arg(long, value_name = "FILE")]
    event_log: Option<PathBuf>,

    /// What is asked of the evidence: a TOML file, `genuine` or `strict`
    #[arg(long, value_name = "FILE")]
    policy: Option<String>,

    #[command(flatten)]
    values: ValuesArgs,

    /// The time to verify at: RFC 3339 or seconds since 1970; now, if left out
    #[arg(long, value_name = "TIME", value_parser = instant::parse)]
    at: Option<UnixTime>,

    /// The report data that the evidence must carry: 64 bytes in hexadecimal
    #[arg(long, value_name = "HEX", value_parser = verify::report_data)]
    report_data: Option<ReportData>,

    /// Insist that the evidence is of this platform
    #[arg(long, value_enum)]
    tee: Option<TeeName>,

    /// The bundle to write
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,

    /// Replace the file if it is there
    #[arg(long)]
    force: bool,

    /// Nothing but errors: the exit status is the answer
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Args)]
#[command(after_help = help::BUNDLE_SHOW)]
struct ShowArgs {
    /// The bundle, `-` for standard input
    #[arg(value_name = "FILE")]
    bundle: PathBuf,

    /// How to show it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Args)]
#[command(after_help = help::BUNDLE_VERIFY)]
struct VerifyArgs {
    /// The bundle, `-` for standard input; many are answered in one report, and the highest status counts
    #[arg(value_name = "FILE", required = true)]
    bundles: Vec<PathBuf>,

    /// Ask this of the evidence instead: a TOML file, `genuine` or `strict`. It is your question then, so that its time is `--at` or
    /// now, and its report data `--report-data` or none: what the bundle says of either does not count
    #[arg(long, value_name = "FILE")]
    policy: Option<String>,

    /// Verify at this time instead: RFC 3339 or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = instant::parse)]
    at: Option<UnixTime>,

    /// Ask for this report data instead: 64 bytes in hexadecimal
    #[arg(long, value_name = "HEX", value_parser = verify::report_data)]
    report_data: Option<ReportData>,

    /// End with status 1 when the verdict is not the one that the bundle records
    #[arg(long, conflicts_with_all = ["policy", "at", "report_data"])]
    expect_recorded: bool,

    #[command(flatten)]
    shown: ShownArgs,
}

impl VerifyArgs {
    fn wanted(&self) -> Wanted<'_> {
        Wanted { policy: self.policy.as_deref(), at: self.at, report_data: self.report_data }
    }
}

/// Runs the command.
pub(crate) fn run(args: &BundleArgs) -> ExitCode {
    let outcome = match &args.verb {
        Verb::Create(args) => create(args),
        Verb::Show(args) => show(args),
        Verb::Verify(args) => verify(args),
    };
    match outcome {
        Ok((text, status)) => output::finish(&text, status),
        Err(stop) => output::stop(&stop),
    }
}

fn create(args: &CreateArgs) -> Result<(String, u8), Stop> {
    output::be_quiet(args.quiet);
    let named = args.policy.as_deref().ok_or_else(|| NO_POLICY.to_owned())?;
    // Filled in: the bundle holds a policy that loads by itself.
    let (asked, text) = args.values.policy(named, args.at)?;
    let evidence = supplied::evidence(&args.evidence, args.tee.map(Tee::from), args.event_log.as_deref())?;
    let asked = caller::asks(asked, named, evidence.tee, args.report_data)?;
    let loaded = supplied::endorsements(&args.endorsements)?;
    let moment = verify::moment(args.at)?;

    let kept = Kept::new(&evidence, loaded.statements().cloned());
    // Judged as it will be judged: from what the bundle holds, in the order in which the bundle holds it.
    let evidence = kept.to_evidence();
    let verify::Judged { report, status, .. } = verify::judge(&evidence, &evidence.endorsements, &asked, moment, None)?;
    let bundle = Bundle {
        kept,
        policy: PolicyText { name: file_name(named), text },
        at: moment.at,
        report_data: args.report_data,
        recorded: Conclusion::of(&report),
        creator: CREATOR.to_owned(),
    };
    let text = bundle.to_text().map_err(|defect| format!("the bundle: {defect}"))?;
    let digest = bundle.digest().map_err(|defect| format!("the bundle: {defect}"))?;
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    atomic::write(&args.output, text.as_bytes(), existing)?;
    if bundle.recorded.verdict == Verdict::Rejected {
        output::note("the bundle was written, and what it holds is REJECTED: it keeps a rejection, not an acceptance");
    }
    let file = plain(&args.output.display().to_string());
    let mut shown = format!("`{file}`: {} bytes, {digest}\n", text.len());
    let _infallible = write!(
        shown,
        "  {} evidence of {} bytes, {} endorsements, policy `{}`, at {}\n  {}; exit status {status}\n\
         Anywhere, offline: teegate bundle verify {file}\n",
        bundle.kept.tee,
        bundle.kept.evidence.len(),
        bundle.kept.statements.len(),
        plain(&called(&bundle.policy)),
        bundle.at,
        bundle.recorded,
    );
    Ok((Screen::shows(shown), status))
}

fn show(args: &ShowArgs) -> Result<(String, u8), Stop> {
    let bundle = read(&args.bundle)?;
    let digest = bundle.digest().map_err(|defect| defect.to_string())?;
    let text = match args.format {
        Format::Text => Screen::shows(bundle_show::text(&bundle, &digest)),
        Format::Json => bundle_show::json(&bundle, &digest)?,
    };
    Ok((text, exit::ACCEPTED))
}

fn verify(args: &VerifyArgs) -> Result<(String, u8), Stop> {
    let ear_key = args.shown.prepare()?;
    answers::of(&args.bundles, &args.shown, ear_key.as_ref(), |path| answer(args, path))
}

/// The verdict about one bundle.
fn answer(args: &VerifyArgs, path: &Path) -> Result<Answer, Stop> {
    let bundle = read(path)?;
    if args.policy.is_none() && args.shown.format == ReportFormat::Ear {
        return Err(NOT_UNDER_YOUR_KEY.to_owned().into());
    }
    let question = Question::of(&args.wanted(), &bundle)?;
    let evidence = bundle.kept.to_evidence();
    let verify::Judged { report, status, expired } =
        verify::judge(&evidence, &evidence.endorsements, &question.policy, question.moment, None)?;

    let digest = bundle.digest().map_err(|defect| defect.to_string())?;
    let concluded = Conclusion::of(&report);
    let (creator, recorded) = (short(&bundle.creator), shown(&bundle.recorded));
    let mut preface = format!("Bundle {digest}, made by {creator}, which concluded: {recorded}.\n");
    if args.policy.is_none() {
        preface.push_str(if question.policy.trusts_only_vendors() { ITS_OWN_POLICY } else { ITS_OWN_ROOTS });
    }
    if !question.departs.is_empty() {
        let _infallible =
            writeln!(preface, "Another question than the bundle's own was asked: {}.", question.departs.join("; "));
    } else if concluded != bundle.recorded {
        let _infallible = writeln!(
            preface,
            "THIS RELEASE CONCLUDES OTHERWISE ({CREATOR}): {}. The bytes are those that {creator} saw; what checks them has \
             changed.\n{}",
            shown(&concluded),
            change(&bundle.recorded, &concluded, &creator),
        );
        if args.expect_recorded {
            return Err(format!(
                "the verdict is not the recorded one: recorded by {creator}: {recorded}; now, by {CREATOR}: {}; leave out \
                 `--expect-recorded` to see why",
                shown(&concluded)
            )
            .into());
        }
    }
    let inputs = Inputs {
        policy: question.policy_by,
        at: question.moment.named_by,
        report_data: question.report_data_by,
        event_log: Inputs::event_log(&evidence, false),
        endorsements: Pool::of(&evidence).brought_by,
    };
    Ok(Answer {
        report,
        status,
        expired,
        policy: question.policy,
        named: question.named,
        policy_text: question.text,
        report_data: args.report_data,
        inputs,
        in_vain: Vec::new(),
        found: Answer::found(&evidence),
        preface,
    })
}

const NOT_UNDER_YOUR_KEY: &str = "an attestation result of a bundle's own policy would put your signature under a question that whoever made \
     the bundle asked; give `--policy`, and what it asks of you (`--report-data`, `--at`)";

const ITS_OWN_POLICY: &str = "\
The policy is the bundle's own: whoever made the bundle chose what is asked. To ask what you want to know, give `--policy`.
";

const ITS_OWN_ROOTS: &str = "\
The policy is the bundle's own AND PINS ROOTS OF ITS OWN: whoever made the bundle chose whom to trust. An acceptance under it
says nothing about AMD's or Intel's hardware. To ask what you want to know, give `--policy`.
";

/// Reads the bundle at `path`.
fn read(path: &Path) -> Result<Bundle, Stop> {
    supplied::no_stream(path)?;
    let (name, bytes) = if path == Path::new("-") {
        ("standard input".to_owned(), bounded(std::io::stdin().lock()))
    } else {
        (path.display().to_string(), File::open(path).and_then(bounded))
    };
    let bytes = bytes.map_err(|cause| format!("`{name}`: cannot be read: {cause}"))?;
    Bundle::parse(&bytes).map_err(|error| Stop::of_evidence(&error.named(name)))
}

/// One byte more than a bundle may have, so that a longer one is noticed.
fn bounded(source: impl std::io::Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(bundle::MAX_BYTES.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}
