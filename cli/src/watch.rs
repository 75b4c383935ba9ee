//! `teegate watch`: of every bundle in a folder, until when its evidence is accepted and what refuses it then. Offline, by the verifier's own
//! verdicts at instants to come: with the statements that are in the bundles, so that nothing is foreseen which is not written there.

mod sarif;
mod show;
mod within;

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use teegate_intake::bundle::{self, Bundle};
use teegate_intake::forecast::{Forecast, forecast};
use teegate_verifier::{UnixTime, Verifier};

use crate::bundle::question::{Question, Wanted};
use crate::exit::{self, Stop};
use crate::screen::Screen;
use crate::{help, instant, output, verify};

/// Say until when the evidence in each bundle of a folder is accepted, and what refuses it then.
///
/// Each bundle is judged now, and at every instant at which a statement in it ends or begins to count, against its own policy and for
/// its own report data, or against a policy of yours.
#[derive(Args)]
#[command(after_help = help::WATCH)]
pub(crate) struct WatchArgs {
    /// A folder of bundles, as `teegate bundle create` and a gateway's `refused_dir` make them; other files in it are passed over
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// What is too soon to end: a number and `m`, `h`, `d` or `w`
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = within::parse)]
    within: Duration,

    /// Ask this of the evidence instead: a TOML file, `genuine` or `strict`
    #[arg(long, value_name = "FILE")]
    policy: Option<String>,

    /// Look from this time: RFC 3339 or seconds since 1970; now, if left out
    #[arg(long, value_name = "TIME", value_parser = instant::parse)]
    at: Option<UnixTime>,

    /// How to show it
    #[arg(long, value_enum, default_value_t = WatchFormat::Text)]
    format: WatchFormat,
}

/// How a forecast is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WatchFormat {
    /// For people: what ends first stands first
    Text,
    /// For programs
    Json,
    /// For code scanning: a result for each bundle that is refused, or will be too soon
    Sarif,
}

/// One bundle.
pub(super) struct Watched {
    /// Its name in the folder.
    file: String,
    /// What is to come, or why nothing can be said.
    outcome: Result<Forecast, Stop>,
}

/// How one bundle stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// It is no bundle, or asks what cannot be asked.
    Unreadable,
    /// It is refused now.
    Refused,
    /// It is accepted now, and not for long.
    Ends,
    /// It is accepted for as long as was asked, and longer.
    Holds,
}

impl Standing {
    const fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Refused => "refused",
            Self::Ends => "ends",
            Self::Holds => "holds",
        }
    }
}

/// All bundles of a folder, seen at one time.
pub(super) struct View {
    folder: PathBuf,
    at: UnixTime,
    within: Duration,
    watched: Vec<Watched>,
}

impl View {
    fn standing(&self, watched: &Watched) -> Standing {
        match &watched.outcome {
            Err(_) => Standing::Unreadable,
            Ok(forecast) => match forecast.accepted_until {
                None => Standing::Refused,
                Some(until) if until.seconds() <= self.at.seconds().saturating_add(self.within.as_secs()) => {
                    Standing::Ends
                }
                Some(_) => Standing::Holds,
            },
        }
    }

    /// What is refused now counts before what will be; of several the highest.
    fn status(&self) -> u8 {
        let now = self.watched.iter().map(|watched| match &watched.outcome {
            Err(stop) => stop.status,
            Ok(forecast) => forecast.stage.map_or(exit::ACCEPTED, exit::of_rejection),
        });
        match now.max().unwrap_or(exit::COULD_NOT_RUN) {
            exit::ACCEPTED if self.watched.iter().any(|watched| self.standing(watched) == Standing::Ends) => {
                exit::ENDS_SOON
            }
            status => status,
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &WatchArgs) -> ExitCode {
    match watch(args) {
        Ok((text, status)) => output::finish(&text, status),
        Err(stop) => output::stop(&stop),
    }
}

fn watch(args: &WatchArgs) -> Result<(String, u8), Stop> {
    let at = verify::moment(args.at)?.at;
    let mut watched = Vec::new();
    for (file, bytes) in files(&args.folder)? {
        let outcome =
            bytes.and_then(|bytes| look(args, &file, &bytes, at)).map_err(|stop| stop.about(Path::new(&file)));
        watched.push(Watched { file, outcome });
    }
    if watched.is_empty() {
        return Err(format!(
            "`{}` holds no bundle; `teegate bundle create` makes one of evidence and all that its verification needs",
            args.folder.display()
        )
        .into());
    }
    let view = View { folder: args.folder.clone(), at, within: args.within, watched };
    let text = match args.format {
        WatchFormat::Text => Screen::shows(show::text(&view)),
        WatchFormat::Json => output::to_json(&show::json(&view))?,
        WatchFormat::Sarif => output::to_json(&sarif::log(&view))?,
    };
    Ok((text, view.status()))
}

/// What is to come of one bundle.
fn look(args: &WatchArgs, file: &str, bytes: &[u8], at: UnixTime) -> Result<Forecast, Stop> {
    let bundle = Bundle::parse(bytes).map_err(|error| Stop::of_evidence(&error.named(file.to_owned())))?;
    let question = Question::of(&Wanted { policy: args.policy.as_deref(), at: Some(at), report_data: None }, &bundle)?;
    let evidence = bundle.kept.to_evidence();
    let shown = evidence.as_evidence(&evidence.endorsements);
    Ok(forecast(&shown, &question.policy, at, &Verifier::new()))
}

/// What every bundle begins with, of whatever version.
const MARK: &[u8] = b"{\"schema\":\"teegate/bundle/";
/// As many files as are read in one call elsewhere.
const MAX_FILES: usize = 1_024;

/// A file by its name, with its bytes or why they cannot be read.
type Entry = (String, Result<Vec<u8>, Stop>);

/// The bundles of a folder by name, each with its bytes or why they cannot be read.
fn files(folder: &Path) -> Result<Vec<Entry>, Stop> {
    let cannot = |cause: std::io::Error| format!("`{}`: cannot be read: {cause}", folder.display());
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        // Opening a pipe that nobody writes to would never return.
        if fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_file()) {
            entries.push(entry);
        }
        if entries.len() > MAX_FILES {
            return Err(format!("`{}` holds more than {MAX_FILES} files", folder.display()).into());
        }
    }
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut files = Vec::new();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        match read(&entry.path()) {
            Ok(Some(bytes)) => files.push((name, Ok(bytes))),
            Ok(None) => {}
            Err(cause) => files.push((name, Err(Stop::from(format!("cannot be read: {cause}"))))),
        }
    }
    Ok(files)
}

/// The bytes of a bundle; `None` of what does not begin like one.
fn read(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let mut file = File::open(path)?.take(bundle::MAX_BYTES.saturating_add(1));
    let mut bytes = Vec::new();
    file.by_ref().take(u64::try_from(MARK.len()).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
    if bytes != MARK {
        return Ok(None);
    }
    file.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests;
