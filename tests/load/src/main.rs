//! Measures the whole path under load, in every way in turns, and prints one table a model. `ci/load.sh` builds what it needs and
//! calls it; its options are in `arguments.rs`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use teegate_load::Outcome;
use teegate_load::arguments::{Arguments, USAGE};
use teegate_load::engine::Library;
use teegate_load::machine;
use teegate_load::model::Model;
use teegate_load::process::{Process, peak_here};
use teegate_load::round::{Watched, measure, measure_here};
use teegate_load::stage::{Place, Stage};
use teegate_load::table::{self, Table};
use teegate_load::ways::Caller;

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
            eprintln!("teegate-load: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Outcome<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).ok_or("no repository around tests/load")?;
    let document =
        arguments.write.as_ref().map(|path| Outcome::Ok((path, std::fs::read_to_string(path)?))).transpose()?;
    let place = Place::find(root)?;
    let library = Library::load(&place.library)?;
    let mut result = format!("{}\n\n", machine(arguments)?);
    let mut aims = Vec::new();
    for name in &arguments.models {
        let mut model = if name == "tiny" { Model::tiny(root)? } else { Model::minilm(root)? };
        if !model.file.is_file() {
            let remedy = if name == "tiny" { "check out the repository whole" } else { "run ci/minilm.sh" };
            return Err(format!("{} is not there: {remedy}", model.file.display()).into());
        }
        let bytes = model.bytes()?;
        model.answer_with(&mut library.session(&bytes, arguments.threads)?)?;
        let table = of_one(&place, &library, &bytes, Arc::new(model), arguments).await?;
        result.push_str(&table.to_markdown());
        result.push('\n');
        aims.extend(table.aims());
    }
    if !aims.is_empty() {
        result.push_str("### What it is meant to be\n\n| what | aim | measured | |\n|---|---|---|---|\n");
        result.extend(aims.iter().map(|aim| format!("{aim}\n")));
    }
    println!("{result}");
    if let Some((path, document)) = document {
        std::fs::write(path, table::written_into(&document, table::MARK, &result)?)?;
    }
    Ok(())
}

async fn of_one(
    place: &Place,
    library: &Library,
    bytes: &[u8],
    model: Arc<Model>,
    arguments: &Arguments,
) -> Outcome<Table> {
    let stage = Stage::start(place, &model, arguments).await?;
    let mut table = Table { model: model.name.to_owned(), notes: stage.missing.clone(), ..Table::default() };
    let sessions = (0..arguments.workers).map(|_| library.session(bytes, arguments.threads));
    let mut engines = sessions.collect::<Outcome<Vec<_>>>()?;
    let rows: Vec<_> =
        model.questions.iter().map(|question| (question.inputs.clone(), question.answer.clone())).collect();
    let batch = [(model.batch()?, model.answers())];
    let asked = |way: &str| arguments.ways.iter().any(|asked| asked == way);
    for round in 1..=arguments.rounds {
        if asked("in-process") {
            let sample = measure_here(&mut engines, &rows, 1, arguments.time)?;
            table.add(table::HERE, arguments.workers, sample);
            let sample = measure_here(&mut engines, &batch, rows.len(), arguments.time)?;
            table.add(table::HERE_BATCHED, arguments.workers, sample);
        }
        for &clients in &arguments.clients {
            eprintln!("{}: round {round} of {}, {clients} clients", model.name, arguments.rounds);
            let mut ways = ways(&stage, &asked);
            // Whoever comes first in a round comes last in another.
            let first = (round - 1) % ways.len().max(1);
            ways.rotate_left(first);
            for way in ways {
                let mut callers = Vec::with_capacity(clients);
                for _ in 0..clients {
                    callers.push(way.caller(&stage, &model).await.map_err(|e| format!("{}: {e}", way.name()))?);
                }
                let sample = measure(callers, &model, arguments.time, way.watched(&stage)).await;
                table.add(way.name(), clients, sample.map_err(|e| format!("{}, {clients} clients: {e}", way.name()))?);
            }
        }
    }
    table.rows.sort_by(|one, other| (one.clients, &one.way).cmp(&(other.clients, &other.way)));
    table.rows.sort_by_key(|row| !row.way.starts_with("a:"));
    table.peaks = peaks(&stage)?;
    Ok(table)
}

/// A way over the network.
enum Way<'a> {
    Plain,
    Sealed,
    Gateway,
    Shared,
    Peer(&'a str, &'a Process),
}

/// Those that were asked for, and the peers.
fn ways<'a>(stage: &'a Stage, asked: &impl Fn(&str) -> bool) -> Vec<Way<'a>> {
    let mut ways = Vec::new();
    ways.extend(asked("plain").then_some(Way::Plain));
    ways.extend(asked("sealed").then_some(Way::Sealed));
    ways.extend(asked("gateway").then_some(Way::Gateway));
    ways.extend(asked("shared").then_some(Way::Shared));
    ways.extend(stage.peers.iter().map(|(name, process)| Way::Peer(name, process)));
    ways
}

impl Way<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Plain => table::PLAIN,
            Self::Sealed => table::SEALED,
            Self::Gateway => table::GATEWAY,
            Self::Shared => table::SHARED,
            Self::Peer(name, _) => name,
        }
    }

    async fn caller(&self, stage: &Stage, model: &Model) -> Outcome<Caller> {
        match self {
            Self::Plain => Caller::plain(&stage.plain.address()?, model).await,
            Self::Sealed => Caller::sealed(stage, model).await,
            Self::Gateway => Caller::gateway(stage, model).await,
            Self::Shared => Caller::shared(stage, model).await,
            Self::Peer(_, process) => Caller::plain(&process.address()?, model).await,
        }
    }

    fn watched<'a>(&'a self, stage: &'a Stage) -> Watched<'a> {
        let enclave = Watched { server: Some(&stage.enclave), has_workers: true, gateway: None };
        match self {
            Self::Plain => Watched { server: Some(&stage.plain), ..Watched::default() },
            Self::Sealed => enclave,
            Self::Gateway | Self::Shared => Watched { gateway: Some(&stage.gateway), ..enclave },
            Self::Peer(_, process) => Watched { server: Some(process), ..Watched::default() },
        }
    }
}

fn peaks(stage: &Stage) -> Outcome<Vec<(String, u64)>> {
    let (enclave, workers) = stage.enclave.peak()?;
    let mut peaks = vec![
        ("this process, with the library and all clients".to_owned(), peak_here()?),
        ("plain".to_owned(), stage.plain.peak()?.0),
        ("enclave-app".to_owned(), enclave),
        ("its workers together, spare ones and those of shared runs among them".to_owned(), workers),
        ("gateway".to_owned(), stage.gateway.peak()?.0),
    ];
    for (name, process) in &stage.peers {
        let (own, below) = process.peak()?;
        peaks.push((name.clone(), own + below));
    }
    Ok(peaks)
}

/// Where and how it was measured.
fn machine(arguments: &Arguments) -> Outcome<String> {
    let words = arguments.to_words();
    let command = if arguments.peers.is_empty() { words } else { format!("--with-peers {words}") };
    Ok(format!(
        "{}\n\nMedians of {} rounds of {} s; CPU is processor time of the process, ratios are those of one round. Servers have {} \
         worker(s) of {} thread(s); clients and servers share the processors.",
        machine::described(&format!("ci/load.sh {command}"))?,
        arguments.rounds,
        arguments.time.as_secs_f64(),
        arguments.workers,
        arguments.threads,
    ))
}
