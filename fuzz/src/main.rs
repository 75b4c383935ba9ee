//! Runs a target by hand. `ci/fuzz.sh` builds it with LLVM's coverage counters and calls it.
//!
//! ```text
//! teegate-fuzz list
//! teegate-fuzz run TARGET [--executions N] [--seconds N] [--seed N] [--kept FOLDER]
//! teegate-fuzz replay TARGET FILE…
//! teegate-fuzz seeds [TARGET]         writes the first inputs of the corpus anew
//! ```

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use teegate_fuzz::{artifacts_folder, corpus_folder, read_corpus, read_folder, seeds, targets};
use teegate_fuzz_engine::{Finding, Run, Settings, Target, coverage, execute, minimise};

type Failure = Box<dyn std::error::Error>;

/// One that comes back has been away for less than this.
const HANGS_AFTER: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["list"] => list(),
        ["run", name, ref options @ ..] => named(name).and_then(|target| run(target, options)),
        ["replay", name, ref files @ ..] => named(name).and_then(|target| replay(target, files)),
        ["seeds", ref names @ ..] => write_seeds(names),
        _ => Err("teegate-fuzz list | run TARGET [--executions N] [--seconds N] [--seed N] [--kept FOLDER] | replay TARGET FILE… | seeds [TARGET]".into()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("teegate-fuzz: {error}");
            ExitCode::from(2)
        }
    }
}

fn named(name: &str) -> Result<&'static Target, Failure> {
    targets::named(name).ok_or_else(|| format!("no target `{name}`; `teegate-fuzz list` names them").into())
}

fn list() -> Result<bool, Failure> {
    for target in targets::all() {
        println!("{:<20} {:>10}  {}", target.name, target.effort.executions(), target.about);
    }
    Ok(true)
}

fn run(target: &'static Target, options: &[&str]) -> Result<bool, Failure> {
    let (mut executions, mut seconds, mut seed, mut kept) = (target.effort.executions(), None, 1, None);
    for pair in options.chunks(2) {
        match *pair {
            ["--executions", number] => executions = number.parse()?,
            ["--seconds", number] => seconds = Some(Duration::from_secs(number.parse()?)),
            ["--seed", number] => seed = number.parse()?,
            ["--kept", folder] => kept = Some(PathBuf::from(folder)),
            _ => return Err(format!("unknown option `{}`", pair.join(" ")).into()),
        }
    }
    let folder = artifacts_folder(target.name);
    let current = folder.join("current");
    let mut inputs = read_corpus(target.name)?;
    if let Some(folder) = &kept {
        std::fs::create_dir_all(folder)?;
        inputs.extend(read_folder(folder)?);
    }
    if !coverage::is_on() {
        eprintln!("{}: without coverage; ci/fuzz.sh builds with it", target.name);
    }
    watch(target.name, current.clone());
    let settings = Settings { executions, time: seconds, seed, current: Some(current.clone()) };
    let mut run = Run::new(target, settings)?;
    run.go(&inputs, |input| {
        if let Some(folder) = &kept {
            let _ = std::fs::write(folder.join(name_of(input)), input);
        }
    });
    for (finding, input) in &run.findings {
        let input = minimise(target, input, finding);
        report(target, finding, &write(&folder, &input)?);
    }
    // Another run of the same target may have taken it away; the figures of this one are not lost for that.
    let _ = std::fs::remove_file(&current);
    let figures = &run.figures;
    let rate = figures.executions as f64 / figures.time.as_secs_f64();
    println!(
        "| `{}` | {} | {:.0} | {:.0} | {} | {} | {} | {} KiB | {:.1} ms | {} |",
        target.name,
        figures.executions,
        figures.time.as_secs_f64(),
        rate,
        figures.edges,
        figures.features,
        figures.corpus,
        figures.heap.div_ceil(1024),
        figures.slowest.as_secs_f64() * 1e3,
        run.findings.len(),
    );
    Ok(run.findings.is_empty())
}

/// A target that never comes back cannot say so itself: the input lies in `current`, and the process ends.
fn watch(name: &'static str, current: PathBuf) {
    let modified = move || std::fs::metadata(&current).and_then(|file| file.modified()).ok();
    std::thread::spawn(move || {
        let mut last = modified();
        loop {
            std::thread::sleep(HANGS_AFTER);
            let now = modified();
            if now.is_some() && now == last {
                eprintln!(
                    "{name}: one execution takes longer than {HANGS_AFTER:?}; its input is in {}",
                    artifacts_folder(name).join("current").display()
                );
                std::process::abort();
            }
            last = now;
        }
    });
}

fn replay(target: &Target, files: &[&str]) -> Result<bool, Failure> {
    let mut well = true;
    for file in files {
        let mut input = std::fs::read(file)?;
        if Path::new(file).file_name().is_some_and(|name| name.to_string_lossy().starts_with("current")) {
            // The length stands in front, and what is left of a longer input behind.
            let length = u64::from_le_bytes(*input.first_chunk().ok_or("no length in front")?);
            input = input.get(8..8 + usize::try_from(length)?).ok_or("shorter than it says")?.to_vec();
        }
        let outcome = execute(target, &input);
        match &outcome.finding {
            Some(finding) => report(target, finding, Path::new(file)),
            None => println!("{file}: nothing found, {} bytes held, {:?}", outcome.heap, outcome.time),
        }
        well &= outcome.finding.is_none();
    }
    Ok(well)
}

fn report(target: &Target, finding: &Finding, path: &Path) {
    println!("{}: {finding}\n  input: {}", target.name, path.display());
}

fn write(folder: &Path, input: &[u8]) -> Result<PathBuf, Failure> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(name_of(input));
    std::fs::write(&path, input)?;
    Ok(path)
}

/// By what is in it (FNV-1a), so that the same input has one file.
fn name_of(input: &[u8]) -> String {
    let hash = input
        .iter()
        .fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3));
    format!("{hash:016x}")
}

fn write_seeds(names: &[&str]) -> Result<bool, Failure> {
    for target in targets::all().filter(|target| names.is_empty() || names.contains(&target.name)) {
        let folder = corpus_folder(target.name);
        std::fs::create_dir_all(&folder)?;
        for (name, input) in seeds::of(target.name) {
            std::fs::write(folder.join(name), input)?;
        }
    }
    Ok(true)
}
