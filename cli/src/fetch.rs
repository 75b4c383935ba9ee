//! `teegate fetch`: asks the vendors for what evidence needs, and writes each document into a folder for `--endorsements`.
//!
//! Nothing is verified here. What is written is the vendors' word only once `teegate verify` has found that they signed it.

use std::fmt::Write as _;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use teegate_collateral::{Fetcher, Obtained, Outcome, Source, Updates};
use teegate_intake::{endorsements, evidence};
use teegate_verifier::{Endorsements, Stage, Tee, UnixTime, needs_of};

use crate::exit::{self, Stop};
use crate::output::{self, plain};
use crate::screen::Screen;
use crate::verify::TeeName;
use crate::{help, instant, online, supplied};

/// Ask the vendors for what evidence needs, and write it into a folder.
///
/// Lists and collateral are asked for whatever came with the evidence: whoever made the evidence chose those. Nothing is
/// verified: `teegate verify EVIDENCE --endorsements DIR` does that, offline.
#[derive(Args)]
#[command(after_help = help::FETCH)]
pub(crate) struct FetchArgs {
    /// Evidence in any form that `teegate verify` takes, `-` for standard input
    #[arg(value_name = "EVIDENCE")]
    evidence: PathBuf,

    /// The folder to write into; it is made if it does not exist
    #[arg(long, value_name = "DIR")]
    into: PathBuf,

    /// Whom to ask, in order, in place of AMD and Intel: `kds`, `pcs`, `thim`, or `kds=URL`, `pcs=URL`, `pccs=URL`, `thim=URL`
    #[arg(long, value_name = "SOURCE", value_parser = Source::parse)]
    source: Vec<Source>,

    /// Keep answers in this folder, and ask again only when they are no longer recent
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,

    /// The time that documents must hold at: RFC 3339 or seconds since 1970; now, if left out
    #[arg(long, value_name = "TIME", value_parser = instant::parse)]
    at: Option<UnixTime>,

    /// Which of Intel's evaluations
    #[arg(long, value_enum, default_value_t = UpdateName::Standard)]
    update: UpdateName,

    /// For how many seconds to ask, everything together
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    timeout: u64,

    /// Insist that the evidence is of this platform
    #[arg(long, value_enum)]
    tee: Option<TeeName>,

    /// Nothing but errors: the exit status is the answer
    #[arg(long, short)]
    quiet: bool,
}

/// Which of Intel's evaluations, as the command line names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum UpdateName {
    /// The one that platform owners have had months to act on
    Standard,
    /// The newest
    Early,
    /// Both; verification judges by the newer
    Both,
}

/// Runs the command.
pub(crate) fn run(args: &FetchArgs) -> ExitCode {
    output::be_quiet(args.quiet);
    match fetch(args) {
        Ok((text, status)) => output::finish(&Screen::shows(text), status),
        Err(stop) => output::stop(&stop),
    }
}

fn fetch(args: &FetchArgs) -> Result<(String, u8), Stop> {
    supplied::no_stream(&args.evidence)?;
    let evidence =
        evidence::load(&args.evidence, args.tee.map(Tee::from)).map_err(|error| Stop::of_evidence(&error))?;
    supplied::note_member(&args.evidence, &evidence);
    let needs = match needs_of(&evidence.as_evidence(&evidence.endorsements)) {
        Ok(needs) => needs,
        Err(malformed) => {
            let text = format!(
                "MALFORMED evidence needs nothing: {}\n  to do: {}\n",
                plain(&malformed.to_string()),
                malformed.check().remedy()
            );
            return Ok((text, exit::of_rejection(Stage::Parse)));
        }
    };
    let now = args.at.map_or_else(instant::now, Ok)?;
    // Before anybody is asked: what cannot be written need not be fetched.
    let folder = args.into.as_path();
    fs::create_dir_all(folder).map_err(|error| format!("`{}`: cannot be written into: {error}", folder.display()))?;

    let updates = match args.update {
        UpdateName::Standard => Updates::Standard,
        UpdateName::Early => Updates::Early,
        UpdateName::Both => Updates::Both,
    };
    let timeout = Duration::from_secs(args.timeout);
    let settings = online::settings(&args.source, args.cache.clone(), updates, Some(timeout));
    let policies: Vec<_> = online::genuine().into_iter().collect();
    let held = teegate_collateral::held(&evidence, &Endorsements::new(), &policies, now);
    let outcome = online::runtime()?.block_on(Fetcher::new(settings).complete(&needs, &held, now));
    outcome.notes.iter().for_each(|text| output::note(text));

    let (mut text, mut failed) = (String::new(), false);
    for document in &outcome.documents {
        let how = match write(folder, document) {
            Ok(how) => how.to_owned(),
            Err(error) => {
                failed = true;
                format!("NOT WRITTEN: {error}")
            }
        };
        describe(document, &how, &mut text);
    }
    conclude(args, &outcome, &mut text);
    let status = match (failed, outcome.is_complete()) {
        (true, _) => exit::COULD_NOT_RUN,
        (false, true) => exit::ACCEPTED,
        (false, false) => exit::INCOMPLETE,
    };
    Ok((text, status))
}

/// Puts the document in place at once; says what that did. What is there and is no endorsement is left alone.
fn write(folder: &Path, document: &Obtained) -> Result<&'static str, String> {
    let path = folder.join(&document.file_name);
    let failed = |error: std::io::Error| error.to_string();
    let how = match existing(&path).map_err(failed)? {
        Existing::Nothing => "new",
        Existing::Bytes(bytes) if bytes == document.bytes => return Ok("unchanged"),
        Existing::Bytes(bytes) if is_endorsement(&bytes) => "replaces what was there before",
        Existing::Bytes(_) | Existing::Other => {
            return Err(
                "something else has that name, and is left alone; name another folder, or move it away".to_owned()
            );
        }
    };
    // As any other file that the user makes: there is no secret in it.
    let readable = fs::Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().permissions(readable).tempfile_in(folder).map_err(failed)?;
    file.write_all(&document.bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    Ok(how)
}

enum Existing {
    Nothing,
    Bytes(Vec<u8>),
    Other,
}

/// No document that is fetched is larger.
const MAX_BYTES: u64 = 2 << 20;

fn existing(path: &Path) -> std::io::Result<Existing> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Existing::Nothing),
        Err(error) => return Err(error),
    };
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return Ok(Existing::Other);
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(Existing::Bytes(bytes))
}

fn is_endorsement(bytes: &[u8]) -> bool {
    endorsements::recognise("what is there", bytes, &mut Endorsements::new()).is_ok()
}

fn describe(document: &Obtained, how: &str, text: &mut String) {
    let serves_as: Vec<_> = document.serves_as.iter().map(ToString::to_string).collect();
    // Writing to a string cannot fail.
    let _written = writeln!(
        text,
        "  {}  ({how})\n      {}\n      {}, {}\n      valid until {}",
        document.file_name,
        serves_as.join("; "),
        document.origin,
        plain(&document.url),
        document.valid_until,
    );
    for tried in &document.tried {
        let _written = writeln!(text, "      tried before: {}", plain(&tried.to_string()));
    }
}

fn conclude(args: &FetchArgs, outcome: &Outcome, text: &mut String) {
    let mut say = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    for held in &outcome.held {
        say(format!("  not asked for, because it came with the evidence and vouches for it: {held}"));
    }
    for missing in &outcome.missing {
        for (number, line) in missing.to_string().lines().enumerate() {
            say(format!("{}{}", if number == 0 { "  MISSING: " } else { "    " }, plain(line)));
        }
    }
    let folder = plain(&args.into.display().to_string());
    if outcome.is_complete() {
        say(format!("complete; nothing is verified yet: `teegate verify EVIDENCE --endorsements {folder} --policy …`"));
    } else {
        let count = outcome.missing.len();
        say(format!("incomplete: {count} not to be had, each with its reason above; what could be had is in {folder}"));
    }
}
