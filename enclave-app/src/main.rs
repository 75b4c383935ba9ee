//! Starts the enclave in the order of the argument: configuration, models loaded and digested, keys, manifest,
//! evidence, listener.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use teegate_attester::Attester;
use teegate_attester::aci::{Aci, Context};
use teegate_attester::azure_vtpm::AzureVtpm;
use teegate_attester::coco::Coco;
use teegate_attester::configfs_tsm::ConfigfsTsm;
use teegate_attester::imds::Imds;
use teegate_enclave::config::{AttesterConfig, Config};
use teegate_enclave::engine::process::{ModelProcess, Program, WORKER};
use teegate_enclave::engine::sealed::sealed;
use teegate_enclave::engine::{Engine, runtime, worker};
use teegate_enclave::environment;
use teegate_enclave::epoch::{Constants, Epochs};
use teegate_enclave::evidence::EvidenceActor;
use teegate_enclave::identity::Identity;
use teegate_enclave::model::{ModelFile, repository};
use teegate_enclave::open::{Model, Opener};
use teegate_enclave::server::{Service, tls};
use teegate_enclave::tensor::{MAX_ELEMENTS, MAX_RANK};
use teegate_enclave::workers::Workers;
use teegate_encoding::hex;
use teegate_protocol::manifest::{BatchedModel, ConfigDigest, Limits, ModelDigest, ModelEntry};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: enclave-app --config FILE
       enclave-app --config FILE --print-config    the effective configuration and its SHA-256, as the manifest shows it
       enclave-app --version
";

/// For work on threads that may block, after the last connection has ended.
const LAST: Duration = Duration::from_secs(2);

type Error = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let is_worker = std::env::args_os().skip(1).eq([WORKER]);
    let chosen = if is_worker { environment::OF_WORKERS } else { environment::OWN };
    // Before anything else: what follows runs in an environment that nobody outside chose.
    match environment::enter(chosen).map_err(Error::from).and_then(|()| command()) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("enclave-app: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Result<ExitCode, Error> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(|argument| argument.to_str().unwrap_or_default()).collect();
    match words.as_slice() {
        ["--config", _] => {
            let config = Config::load(&path(&arguments))?;
            run(config)?;
            Ok(ExitCode::SUCCESS)
        }
        ["--config", _, "--print-config"] => {
            let config = Config::load(&path(&arguments))?;
            println!("{}\n{}", config.effective()?, hex::encode(config.digest()?));
            Ok(ExitCode::SUCCESS)
        }
        [WORKER] => {
            worker::serve()?;
            Ok(ExitCode::SUCCESS)
        }
        ["--version"] => {
            println!("enclave-app {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
        ["--help" | "-h"] => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(format!("arguments are not understood\n{USAGE}").into()),
    }
}

/// The argument after `--config`.
fn path(arguments: &[std::ffi::OsString]) -> PathBuf {
    arguments.get(1).map(PathBuf::from).unwrap_or_default()
}

fn run(config: Config) -> Result<(), Error> {
    // No core dump and no debugger of the same user, before anything is loaded.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    log(environment::log_level()?);

    let models = load_models(&config)?;
    let identity = Arc::new(Identity::generate()?);

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(serve(config, models, identity));
    // Work that nobody waits for any more must not keep the process.
    runtime.shutdown_timeout(LAST);
    result
}

/// Only our own lines are written, at every level: what other crates would say about the traffic they carry is
/// not ours to judge. A panic says where, and not with which value.
fn log(level: tracing::Level) {
    let filter = format!("off,teegate_enclave={level},teegate_attester={level},enclave_app={level}");
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a thread panicked");
    }));
}

/// Every file is read, digested and checked before the first worker is started, and no relative path names anything
/// afterwards.
fn load_models(config: &Config) -> Result<Vec<Model>, Error> {
    let named = |name: &str, error: &dyn std::fmt::Display| format!("model `{name}`: {error}");
    let found = config.model_repository.as_deref().map(repository::list).transpose()?;
    let listed = config.models_with(found.unwrap_or_default())?;
    let mut files = Vec::new();
    for model in &listed {
        let file = ModelFile::find(&model.path, model.sha256.as_deref(), model.oci_manifest.as_deref());
        files.push(file.map_err(|error| named(&model.name, &error))?);
    }
    let library = std::path::absolute(&config.onnxruntime)?;
    environment::leave_working_directory()
        .map_err(|error| format!("working directory: no empty one could be entered: {error}"))?;
    let library = Arc::new(runtime::library(&library)?);
    let limits = &config.limits;
    let mut models = Vec::new();
    for (model, file) in listed.iter().zip(files) {
        let sha256 = ModelDigest(file.sha256());
        let bytes = sealed("model", file.bytes()).map_err(|error| named(&model.name, &error))?;
        drop(file);
        let bytes = Arc::new(bytes);
        let engines = (0..limits.workers_per_model + limits.spare_workers).map(|_| {
            let (library, bytes) = (Arc::clone(&library), Arc::clone(&bytes));
            Box::new(ModelProcess::new(Program::this(), library, bytes, limits.of_a_process())) as Box<dyn Engine>
        });
        let workers = Workers::start(&model.name, engines.collect(), limits.of_a_model(model))
            .map_err(|error| named(&model.name, &error))?;
        let entry = ModelEntry { name: model.name.clone(), version: model.version.clone(), sha256 };
        tracing::info!(model = entry.name, version = entry.version, sha256 = %entry.sha256, workers = workers.living(), "model loaded");
        models.push(Model { entry, workers });
    }
    Ok(models)
}

/// What the manifest says of the models whose requests share runs.
fn batched(config: &Config) -> Vec<BatchedModel> {
    let batched = config.models.iter().filter_map(|model| {
        let max_rows = model.batching.as_ref()?.max_rows as u64;
        Some(BatchedModel { name: model.name.clone(), version: model.version.clone(), max_rows })
    });
    batched.collect()
}

async fn serve(config: Config, models: Vec<Model>, identity: Arc<Identity>) -> Result<(), Error> {
    let attester: Box<dyn Attester> = match &config.attester {
        AttesterConfig::Coco { coco_url } => {
            Box::new(coco_url.parse::<Coco>().map_err(|error| format!("attester.coco_url: {error}"))?)
        }
        AttesterConfig::ConfigfsTsm {} => Box::new(ConfigfsTsm::new()),
        // Of the environment nothing is left that somebody outside chose.
        AttesterConfig::Aci {} => Box::new(Aci::new(Context::find(Path::new("/"), &|_| None)?)),
        AttesterConfig::AzureVtpm { device, imds_url, event_log } => {
            let imds = imds_url.parse::<Imds>().map_err(|error| format!("attester.imds_url: {error}"))?;
            Box::new(AzureVtpm::at(device, imds).with_event_log(event_log))
        }
    };
    let constants = Constants {
        models: models.iter().map(|model| model.entry.clone()).collect(),
        config_sha256: ConfigDigest(config.digest()?),
        limits: Limits {
            sealed_body_bytes: config.limits.sealed_body_bytes as u64,
            tensor_rank: MAX_RANK as u64,
            tensor_elements: MAX_ELEMENTS as u64,
            cross_tenant_batching: config.models.iter().any(|model| model.batching.is_some()),
            batching: batched(&config),
        },
        length: config.epochs.length(),
        grace: config.epochs.grace(),
        replay_capacity: config.limits.replay_capacity,
    };
    let actor = EvidenceActor::start(attester);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // The first evidence may be waited for, and who is told to end meanwhile ends.
    let epochs = tokio::select! {
        epochs = Epochs::start(Arc::clone(&identity), actor.clone(), constants) => epochs?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let mut rotation = tokio::spawn(Arc::clone(&epochs).rotate());

    let acceptor = tls(&identity)?;
    let opener = Opener::new(Arc::clone(&epochs), identity, models, config.limits.sealed_body_bytes);
    let service = Service::new(epochs, opener, &config.limits);
    // Without either task there would soon be no key and no evidence: better an end that is seen, and a new start.
    let mut defect = None;
    let end = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = &mut rotation => defect = Some("the task that makes epochs has ended"),
            () = actor.ended() => defect = Some("the task that takes evidence has ended"),
        }
    };
    let listener = tokio::net::TcpListener::bind(config.listen)
        .await
        .map_err(|error| format!("listen = `{}`: {error}", config.listen))?;
    println!("{}", serde_json::json!({ "listening": listener.local_addr()?.to_string() }));
    service.serve(listener, acceptor, end).await;
    defect.map_or(Ok(()), |defect| Err(defect.into()))
}
