//! `teegate bundle`: evidence and everything that its verification needs in one file, for whoever verifies it elsewhere, offline,
//! later. `create` verifies as `verify` does and keeps what it verified; `verify` asks the same question again.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use teegate_intake::bundle::{self, Bundle, Conclusion, Kept, PolicyText, Verdict};
use teegate_verifier::{Policy, ReportData, Tee, UnixTime};

use crate::atomic::{self, Existing};
use crate::format::{self, About, ReportFormat, SigningKey};
use crate::output::{self, plain};
use crate::values::ValuesArgs;
use crate::verify::{self, Format, NO_POLICY, TeeName};
use crate::{bundle_show, exit, instant, policy, supplied};

/// Keep evidence and all that its verification needs in one file, and verify that file.
#[derive(Args)]
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
    /// Verify what a bundle holds, against its own policy and at its own time unless told otherwise
    Verify(VerifyArgs),
}

#[derive(Args)]
struct CreateArgs {
    /// Evidence in any form that `teegate verify` takes, `-` for standard input
    #[arg(value_name = "EVIDENCE")]
    evidence: PathBuf,

    /// Certificates, CRLs and collateral: a file or folder, recognised by content; may be given again
    #[arg(long, value_name = "PATH")]
    endorsements: Vec<PathBuf>,

    /// The event log of the TD's boot (CCEL), in place of one that the evidence carries
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
}

#[derive(Args)]
struct ShowArgs {
    /// The bundle, `-` for standard input
    #[arg(value_name = "FILE")]
    bundle: PathBuf,

    /// How to show it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Args)]
struct VerifyArgs {
    /// The bundle, `-` for standard input
    #[arg(value_name = "FILE")]
    bundle: PathBuf,

    /// Ask this of the evidence instead: a TOML file, `genuine` or `strict`
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

    /// How to show the report
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    format: ReportFormat,

    /// The private key that signs `--format ear`: PKCS#8 in PEM, P-256 or P-384
    #[arg(long, value_name = "FILE")]
    ear_key: Option<PathBuf>,
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
        Err(message) => output::fail(&message),
    }
}

fn create(args: &CreateArgs) -> Result<(String, u8), String> {
    let named = args.policy.as_deref().ok_or(NO_POLICY)?;
    // Filled in: the bundle holds a policy that loads by itself.
    let (asked, text) = args.values.policy(named, args.at)?;
    let asked = with_report_data(asked, args.report_data);
    let evidence = supplied::evidence(&args.evidence, args.tee.map(Tee::from), args.event_log.as_deref())?;
    let loaded = supplied::endorsements(&args.endorsements)?;
    let at = args.at.map_or_else(instant::now, Ok)?;

    let kept = Kept::new(&evidence, loaded.statements);
    // Judged as it will be judged: from what the bundle holds, in the order in which the bundle holds it.
    let evidence = kept.to_evidence();
    let verify::Judged { report, status, .. } = verify::judge(&evidence, &evidence.endorsements, &asked, at, None)?;
    let bundle = Bundle {
        kept,
        policy: PolicyText { name: file_name(named), text },
        at,
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
        "  {} evidence of {} bytes, {} endorsements, policy `{}`, at {at}\n  {}; exit status {status}\n\
         Anywhere, offline: teegate bundle verify {file}\n",
        bundle.kept.tee,
        bundle.kept.evidence.len(),
        bundle.kept.statements.len(),
        plain(&called(&bundle.policy)),
        bundle.recorded,
    );
    Ok((shown, status))
}

fn show(args: &ShowArgs) -> Result<(String, u8), String> {
    let bundle = read(&args.bundle)?;
    let digest = bundle.digest().map_err(|defect| defect.to_string())?;
    let text = match args.format {
        Format::Text => bundle_show::text(&bundle, &digest),
        Format::Json => bundle_show::json(&bundle, &digest)?,
    };
    Ok((text, exit::ACCEPTED))
}

fn verify(args: &VerifyArgs) -> Result<(String, u8), String> {
    let ear_key = SigningKey::for_format(args.ear_key.as_deref(), args.format)?;
    let bundle = read(&args.bundle)?;
    let mut overridden = Vec::new();
    let (named, text) = match &args.policy {
        Some(named) => {
            overridden.push(format!("policy `{}` and not its own, `{}`", plain(named), plain(&called(&bundle.policy))));
            (named.clone(), policy::read_text(named)?)
        }
        None => (called(&bundle.policy), bundle.policy.text.clone()),
    };
    let at = args.at.inspect(|at| overridden.push(format!("at {at} and not {}", bundle.at))).unwrap_or(bundle.at);
    if args.report_data.is_some() {
        overridden.push("report data of your own".to_owned());
    }
    let asked = parse_policy(&named, &text, args.report_data.or(bundle.report_data))?;
    let evidence = bundle.kept.to_evidence();
    let verify::Judged { report, status, expired } =
        verify::judge(&evidence, &evidence.endorsements, &asked, at, None)?;

    let digest = bundle.digest().map_err(|defect| defect.to_string())?;
    let concluded = Conclusion::of(&report);
    let (creator, recorded) = (plain(&bundle.creator), plain(&bundle.recorded.to_string()));
    let mut about = format!("Bundle {digest}, made by {creator}, which concluded: {recorded}.\n");
    if args.policy.is_none() {
        about.push_str(if asked.trusts_only_vendors() { ITS_OWN_POLICY } else { ITS_OWN_ROOTS });
    }
    if !overridden.is_empty() {
        let _infallible =
            writeln!(about, "Another question than the bundle's own was asked: {}.", overridden.join("; "));
    } else if concluded != bundle.recorded {
        let _infallible = writeln!(
            about,
            "THIS RELEASE CONCLUDES OTHERWISE ({CREATOR}): {}. The bytes are those that {creator} saw; what checks them \
             has changed.",
            plain(&concluded.to_string())
        );
        if args.expect_recorded {
            return Err(format!(
                "the verdict is not the recorded one: recorded by {creator}: {recorded}; now, by {CREATOR}: {concluded}; \
                 leave out `--expect-recorded` to see why"
            ));
        }
    }
    let context = About {
        policy: &asked,
        named: &named,
        policy_text: &text,
        evidence: &args.bundle,
        report_data: args.report_data.or(bundle.report_data),
        // The time is the bundle's, or another that was named: never now.
        replayed: true,
        expired: &expired,
        ear_key: ear_key.as_ref(),
    };
    let shown = format::render(&report, &context, args.format)?;
    if args.format == ReportFormat::Text {
        return Ok((format!("{about}\n{shown}"), status));
    }
    // The report is the whole of standard output for programs, so that it validates.
    about.lines().for_each(output::note);
    Ok((shown, status))
}

const ITS_OWN_POLICY: &str = "\
The policy is the bundle's own: whoever made the bundle chose what is asked. To ask what you want to know, give `--policy`.
";

const ITS_OWN_ROOTS: &str = "\
The policy is the bundle's own AND PINS ROOTS OF ITS OWN: whoever made the bundle chose whom to trust. An acceptance under it
says nothing about AMD's or Intel's hardware. To ask what you want to know, give `--policy`.
";

/// The release that writes and reads here.
const CREATOR: &str = concat!("teegate ", env!("CARGO_PKG_VERSION"));

fn parse_policy(named: &str, text: &str, report_data: Option<ReportData>) -> Result<Policy, String> {
    let asked = Policy::parse(text).map_err(|error| policy::refused(named, &error))?;
    Ok(with_report_data(asked, report_data))
}

fn with_report_data(asked: Policy, report_data: Option<ReportData>) -> Policy {
    report_data.map_or(asked.clone(), |expected| asked.with_report_data(expected))
}

/// Where a policy lay on the machine that made the bundle is nobody else's business, and the same policy makes the same bundle.
fn file_name(named: &str) -> String {
    Path::new(named).file_name().map_or_else(|| named.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// What to call a bundle's policy. A stranger may call anything `genuine`.
pub(crate) fn called(kept: &PolicyText) -> String {
    let built_in = matches!(kept.name.as_str(), "genuine" | "strict");
    let same = built_in && policy::read_text(&kept.name).is_ok_and(|text| text == kept.text);
    if built_in && !same { format!("{} (another text than this release's)", kept.name) } else { kept.name.clone() }
}

/// Reads the bundle at `path`.
fn read(path: &Path) -> Result<Bundle, String> {
    let (name, bytes) = if path == Path::new("-") {
        ("standard input".to_owned(), bounded(std::io::stdin().lock()))
    } else {
        (path.display().to_string(), File::open(path).and_then(bounded))
    };
    let bytes = bytes.map_err(|cause| format!("`{name}`: cannot be read: {cause}"))?;
    Bundle::parse(&bytes).map_err(|error| error.named(name).to_string())
}

/// One byte more than a bundle may have, so that a longer one is noticed.
fn bounded(source: impl std::io::Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(bundle::MAX_BYTES.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_called_by_its_file_name() {
        for (named, called) in [("genuine", "genuine"), ("/srv/secret/a.toml", "a.toml"), ("./genuine", "genuine")] {
            assert_eq!(file_name(named), called);
        }
    }
}
