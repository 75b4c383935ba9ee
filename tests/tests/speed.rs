//! The speed of the verifier, kept: instructions and allocations of one call beyond those of the signatures that it cannot
//! do without. Time is noise on a shared machine; these two are the same on every run.
//!
//! valgrind counts them, of the program `teegate-speed` as it is built for release: each thing is done a few times and more
//! often, and the difference is divided. `ci/test.sh` builds the program and finds valgrind; without them nothing is shown,
//! and the test says so.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use teegate_speed::set::Set;
use teegate_speed::{forged, recorded};
use teegate_tests::harness::{note, root};

/// The most that a call may cost beyond its signatures.
struct Bound {
    case: &'static str,
    what: &'static str,
    instructions: i64,
    allocations: i64,
}

const BOUNDS: [Bound; 5] = [
    Bound { case: "tdx-cold", what: "cold", instructions: 300_000, allocations: 129 },
    Bound { case: "tdx-warm", what: "warm", instructions: 58_000, allocations: 39 },
    Bound { case: "tdx-hot", what: "warm", instructions: 57_000, allocations: 37 },
    Bound { case: "snp-cold", what: "cold", instructions: 112_000, allocations: 56 },
    Bound { case: "snp-warm", what: "warm", instructions: 47_000, allocations: 32 },
];

/// How often a thing is done for the lower and for the higher count: whatever happens once is in both.
const FEW: u16 = 2;
const MANY: u16 = 12;

#[test]
fn a_call_costs_little_beyond_its_signatures() {
    let Some(tools) = Tools::found() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let folder = |case: &str| {
        let folder = scratch.path().join(case);
        std::fs::create_dir(&folder).unwrap();
        let set: Set = match case {
            "tdx-warm" => forged::tdx_fleet(1, usize::from(MANY) + 1).remove(0),
            tdx if tdx.starts_with("tdx") => recorded::tdx(&recorded_crate("dcap-qvl")).unwrap(),
            _ => recorded::snp(&recorded_crate("sev")).unwrap(),
        };
        set.write(&folder).unwrap();
        folder
    };
    let folders: Vec<_> = BOUNDS.iter().map(|bound| folder(bound.case)).collect();
    let measured: Vec<_> = std::thread::scope(|scope| {
        let (tools, folders) = (&tools, &folders);
        // Two at a time: each case runs beside its own count of allocations.
        let costs = BOUNDS.iter().zip(folders).map(|(bound, folder)| {
            let allocations = scope.spawn(move || tools.beyond(Tool::Allocations, folder, bound.what));
            (tools.beyond(Tool::Instructions, folder, bound.what), allocations.join().unwrap())
        });
        costs.collect()
    });
    let mut exceeded = Vec::new();
    for (Bound { case, instructions, allocations, .. }, (used, made)) in BOUNDS.iter().zip(&measured) {
        let line = format!(
            "{case}: {used} instructions and {made} allocations beyond the signatures (at most {instructions} and {allocations})"
        );
        note(&line);
        if used > instructions || made > allocations {
            exceeded.push(line);
        }
    }
    assert!(exceeded.is_empty(), "slower than it was:\n{}", exceeded.join("\n"));
}

/// What is counted.
#[derive(Clone, Copy)]
enum Tool {
    Instructions,
    Allocations,
}

/// What counts, and what it is counted of.
struct Tools {
    valgrind: PathBuf,
    program: PathBuf,
}

impl Tools {
    /// Both, or a note of what is missing.
    fn found() -> Option<Self> {
        let own = root().join(".cache/valgrind/valgrind");
        let candidates = [PathBuf::from("valgrind"), own];
        let works = |path: &PathBuf| Command::new(path).arg("--version").output().is_ok_and(|run| run.status.success());
        let Some(valgrind) = candidates.into_iter().find(works) else {
            note("skipped: the speed of the verifier: valgrind is not installed, and ci/valgrind.sh was not run");
            return None;
        };
        let program = root().join("target/release/teegate-speed");
        let sources = ["verifier/src", "protocol/encoding/src", "tests/speed/src", "measurements/policy"];
        let newest = sources.iter().filter_map(|folder| newest_in(&root().join(folder))).max();
        let built = std::fs::metadata(&program).and_then(|found| found.modified()).ok();
        if built < newest {
            note(
                "skipped: the speed of the verifier: its program is not built, or older than its sources \
                 (cargo build --locked --release -p teegate-speed)",
            );
            return None;
        }
        Some(Self { valgrind, program })
    }

    /// What one time costs beyond its bare signatures.
    fn beyond(&self, tool: Tool, folder: &Path, what: &str) -> i64 {
        let once = |what: &str| {
            let [few, many] = [FEW, MANY].map(|count| self.count(tool, folder, what, count));
            (many - few) / i64::from(MANY - FEW)
        };
        once(what) - once(&format!("{what}-signatures"))
    }

    fn count(&self, tool: Tool, folder: &Path, what: &str, count: u16) -> i64 {
        let arguments = match tool {
            Tool::Instructions => ["--tool=callgrind", "--callgrind-out-file=/dev/null"],
            Tool::Allocations => ["--tool=dhat", "--dhat-out-file=/dev/null"],
        };
        let mut command = Command::new(&self.valgrind);
        command.args(arguments).arg(&self.program).arg(folder).args([what, &count.to_string()]);
        let run = command.output().unwrap();
        let said = String::from_utf8_lossy(&run.stderr).replace(',', "");
        assert!(run.status.success(), "{said}");
        // `Collected : 123`, and `Total: 456 bytes in 7 blocks`.
        let mut lines = said.lines().filter_map(|line| match tool {
            Tool::Instructions => line.split_once("Collected : "),
            Tool::Allocations => line.split_once("Total:").and_then(|(_, total)| total.split_once(" bytes in ")),
        });
        let number = lines.next().and_then(|(_, number)| number.split_whitespace().next()).unwrap_or_default();
        number.parse().unwrap_or_else(|_| panic!("{said}"))
    }
}

fn newest_in(folder: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let times = entries.filter_map(|entry| match entry.path() {
        path if path.is_dir() => newest_in(&path),
        path => std::fs::metadata(path).and_then(|found| found.modified()).ok(),
    });
    times.max()
}

/// Where cargo keeps the source of a pinned crate that carries recorded evidence.
fn recorded_crate(name: &str) -> PathBuf {
    let run = Command::new(root().join("ci/recorded.sh")).arg(name).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap().trim().into()
}
