//! Refused evidence, kept as bundles: what an operator looks at when an instance is not attested (`teegate bundle verify FILE`).
//!
//! One file for each address and check, the newest, under a number of our own: nothing that evidence says becomes a name. `index.json`
//! beside them says which is which. Bounded in files and bytes, the oldest goes first; whoever shows new evidence at every try has a
//! file written once a minute. A disk that is full costs the file and one line in the log, never a check.

pub mod config;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use teegate_intake::bundle::{Bundle, Conclusion, Kept, PolicyText};
use teegate_intake::{IntakeError, Statement};
use teegate_intake::{endorsements, evidence};
use teegate_verifier::{Endorsements, Policy, Report, ReportData, UnixTime};

use self::config::RefusedLimits;
use crate::metrics::Metrics;
use crate::state::write_whole;

/// Beside the bundles: which is which.
const INDEX: &str = "index.json";
/// The same address, refused by the same check, is kept again after so long.
const AGAIN_AFTER_SECONDS: u64 = 60;

/// Evidence that the verifier refused, and everything that it was judged by.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// Where it was shown.
    pub address: &'a str,
    /// What was shown.
    pub envelope: &'a [u8],
    /// Whether only certificates counted of what came along.
    pub only_certificates: bool,
    /// What counted beside that.
    pub endorsements: &'a Endorsements,
    /// What was asked of it.
    pub policy: &'a Policy,
    /// What it had to bind.
    pub report_data: ReportData,
    /// The refusal.
    pub report: &'a Report,
}

impl Case<'_> {
    /// The check by which it was refused, the first of them.
    fn check(&self) -> Option<&'static str> {
        let mut failed = self.report.findings().iter().filter(|finding| finding.outcome().name() == "fail");
        failed.next().map(|finding| finding.check().id())
    }

    /// All of it in one file.
    fn bundle(&self) -> Result<Bundle, IntakeError> {
        let evidence = evidence::recognise(self.envelope, None)?;
        let mut kept = Kept::new(&evidence, []);
        if self.only_certificates {
            kept.statements.retain(|statement| matches!(statement, Statement::Certificate(_)));
        }
        kept.statements.extend(Statement::all_of(self.endorsements));
        let document = self.policy.document();
        Ok(Bundle {
            kept,
            policy: PolicyText { name: document.name().to_owned(), text: document.text().to_owned() },
            at: self.report.at(),
            report_data: Some(self.report_data),
            recorded: Conclusion::of(self.report),
            creator: concat!("teegate-gateway ", env!("CARGO_PKG_VERSION")).to_owned(),
        })
    }
}

/// The folder of refused evidence.
#[derive(Debug)]
pub struct Refused {
    folder: PathBuf,
    limits: RefusedLimits,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    index: Index,
    /// Whether the last file could not be written: that is said once.
    is_failing: bool,
}

/// Which bundle is which, the one kept longest ago first.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Index {
    next: u64,
    kept: Vec<Row>,
}

/// One bundle.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    file: String,
    address: String,
    check: String,
    /// Unix time of the refusal, in seconds.
    at: u64,
    bytes: u64,
}

impl Refused {
    /// Goes on with what an earlier process left there.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(folder: &Path, limits: RefusedLimits, metrics: Arc<Metrics>) -> Result<Self, String> {
        let cannot = |error: io::Error| format!("`refused_dir`: `{}` cannot be used: {error}", folder.display());
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(cannot)?;
        let index = index_of(folder).map_err(cannot)?;
        let state = Mutex::new(State { index, is_failing: false });
        Ok(Self { folder: folder.to_owned(), limits, metrics, state })
    }

    /// Keeps the case, unless one like it was kept just now. It takes as long as the disk takes.
    pub fn keep(&self, case: &Case<'_>) {
        let Some(check) = case.check() else { return };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.index.is_recent(case.address, check, case.report.at()) {
            return;
        }
        match self.write(&mut state.index, case, check) {
            Ok(file) => {
                state.is_failing = false;
                self.metrics.kept_refused("kept");
                tracing::info!(target: "audit", address = case.address, check, bundle = file, "refused evidence kept");
            }
            Err(why) => {
                self.metrics.kept_refused("failed");
                if !std::mem::replace(&mut state.is_failing, true) {
                    tracing::error!(address = case.address, check, "refused evidence cannot be kept: {why}");
                }
            }
        }
    }

    fn write(&self, index: &mut Index, case: &Case<'_>, check: &'static str) -> Result<String, String> {
        let mut bundle = case.bundle().map_err(|error| error.to_string())?;
        let text = bundle.to_text().or_else(|_| {
            // Of a supply that is larger than a bundle, what the verdict came to look at.
            let used = case.report.endorsements().iter().filter_map(teegate_verifier::Endorsement::document);
            let used = used.filter_map(|document| endorsements::read("endorsement", &document).ok()).flatten();
            bundle.kept.statements = used.collect();
            bundle.to_text()
        });
        let text = text.map_err(|error| error.to_string())?;
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let row = index.take(case.address, check);
        let file = row.map_or_else(|| index.name(), |row| row.file);
        self.make_room(index, bytes);
        let written = write_whole(&self.folder, &self.folder.join(&file), text.as_bytes());
        written.map_err(|error| format!("`{}`: {error}", self.folder.join(&file).display()))?;
        let (address, at) = (case.address.to_owned(), case.report.at().seconds());
        index.kept.push(Row { file: file.clone(), address, check: check.to_owned(), at, bytes });
        let index_path = self.folder.join(INDEX);
        let written = serde_json::to_vec_pretty(&index).map_err(io::Error::from);
        let written = written.and_then(|index| write_whole(&self.folder, &index_path, &index));
        written.map_err(|error| format!("`{}`: {error}", index_path.display()))?;
        Ok(file)
    }

    /// Room for one more file of this length: the oldest go.
    fn make_room(&self, index: &mut Index, bytes: u64) {
        let is_full = |index: &Index| {
            let files = u64::try_from(index.kept.len()).unwrap_or(u64::MAX);
            let total = index.kept.iter().fold(bytes, |total, row| total.saturating_add(row.bytes));
            !index.kept.is_empty() && (files >= self.limits.files || total > self.limits.bytes)
        };
        while is_full(index) {
            let oldest = index.kept.remove(0);
            // One that is gone already is gone.
            let _removed = fs::remove_file(self.folder.join(oldest.file));
        }
    }
}

impl Index {
    fn is_recent(&self, address: &str, check: &str, now: UnixTime) -> bool {
        let row = self.kept.iter().find(|row| row.address == address && row.check == check);
        let age = row.and_then(|row| now.seconds().checked_sub(row.at));
        age.is_some_and(|age| age < AGAIN_AFTER_SECONDS)
    }

    /// Takes out the row of this address and check.
    fn take(&mut self, address: &str, check: &str) -> Option<Row> {
        let place = self.kept.iter().position(|row| row.address == address && row.check == check)?;
        Some(self.kept.remove(place))
    }

    /// The name of the next file.
    fn name(&mut self) -> String {
        let number = self.next;
        self.next = number.saturating_add(1);
        format!("{number:06}.json")
    }
}

/// What is in the folder: bundles that the index does not know, or all of them where it cannot be read, count as the oldest.
fn index_of(folder: &Path) -> io::Result<Index> {
    let read = fs::read(folder.join(INDEX)).ok();
    let mut index: Index = read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let mut there = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(file) = entry.file_name().into_string() else { continue };
        let Some(number) = file.strip_suffix(".json").and_then(|number| number.parse::<u64>().ok()) else { continue };
        index.next = index.next.max(number.saturating_add(1));
        there.push((number, file, entry.metadata()?.len()));
    }
    there.sort();
    index.kept.retain(|row| there.iter().any(|(_, file, _)| *file == row.file));
    let known: Vec<_> = index.kept.iter().map(|row| row.file.clone()).collect();
    let unknown = there.into_iter().filter(|(_, file, _)| !known.contains(file));
    let unknown =
        unknown.map(|(_, file, bytes)| Row { file, address: String::new(), check: String::new(), at: 0, bytes });
    index.kept.splice(0..0, unknown.collect::<Vec<_>>());
    Ok(index)
}

#[cfg(test)]
mod tests;
