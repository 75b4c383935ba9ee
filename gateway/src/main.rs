//! `teegate-gateway --config FILE`: reads its configuration, starts to attest, then listens. `--check-config` reads the same, judges the
//! folders that a start writes into, and starts nothing; `--print-config` shows it with its defaults; `status` asks a gateway that runs.
//!
//! On standard output it prints one line of JSON once it listens; everything else goes to standard error. SIGHUP, or a change of their
//! files, reads again what `docs/OPERATIONS.md` says that a reload takes, and nothing else; SIGTERM and SIGINT finish what is in flight and leave, the
//! second one without finishing.

mod command;

use std::env::VarError;
use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Parser as _;
use teegate_collateral::Fetcher;
use teegate_encoding::hex;
use teegate_gateway::admission::{Gatekeeper, exposure};
use teegate_gateway::budget::Budget;
use teegate_gateway::challenges::Challenges;
use teegate_gateway::clock::Clock;
use teegate_gateway::collateral::{self, Desk};
use teegate_gateway::config::{Config, ConfigError};
use teegate_gateway::discovery::gather::Discovery;
use teegate_gateway::discovery::sources;
use teegate_gateway::fleet::Fleet;
use teegate_gateway::foresight;
use teegate_gateway::freshness;
use teegate_gateway::gateway::{Gateway, RouteLimits};
use teegate_gateway::hold::Hold;
use teegate_gateway::metrics::Metrics;
use teegate_gateway::open_files;
use teegate_gateway::polls::Polls;
use teegate_gateway::proxy::ForwardLimits;
use teegate_gateway::published::{Contents, Published};
use teegate_gateway::refused::Refused;
use teegate_gateway::reload::{self, Loaded, Policies, Ratchet, Watched};
use teegate_gateway::reloads::Reloads;
use teegate_gateway::server::{Front, ServerLimits, serve_clients, serve_operator};
use teegate_gateway::state::StateDir;
use teegate_gateway::supervisor::{Supervisor, Tell};
use teegate_gateway::telemetry::{self, Receiver, Task, Tracer};
use teegate_gateway::tls::Certificates;
use teegate_gateway::trust::{Beside, Lifetimes, LinkSettings, Seen};
use teegate_gateway::watch::WatchSettings;
use teegate_protocol::receipt::ReceiptKey;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::command::{Command, Verb, status};

/// Requests at a time on one HTTP/2 connection of the operator's tools.
const OPERATOR_STREAMS: u64 = 8;

/// How late the log may be about a proof that lapsed.
const LAPSES_SEEN_WITHIN: Duration = Duration::from_secs(1);

/// Why the gateway does not run: a sentence for the operator.
struct Failure(String);

impl<E: fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

fn main() -> ExitCode {
    let filter = match log_filter() {
        Ok(filter) => filter,
        Err(Failure(why)) => {
            eprintln!("teegate-gateway: {why}");
            return ExitCode::FAILURE;
        }
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).json().init();
    let command = match Command::try_parse() {
        Ok(command) => command,
        Err(message) => {
            // `--help` and `--version` arrive here too; they are answers, not errors.
            let is_answer = !message.use_stderr() && message.print().is_ok();
            if !is_answer {
                let _ = message.print();
            }
            return if is_answer { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
    };
    let ran = tokio::runtime::Runtime::new().map_err(Failure::from).and_then(|runtime| runtime.block_on(obey(command)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(why)) => {
            eprintln!("teegate-gateway: {why}");
            ExitCode::FAILURE
        }
    }
}

/// What `TEEGATE_LOG` asks for; `info` when it does not say.
fn log_filter() -> Result<EnvFilter, Failure> {
    match std::env::var("TEEGATE_LOG") {
        Err(VarError::NotPresent) => Ok(EnvFilter::new("info")),
        Err(error) => Err(format!("`TEEGATE_LOG` is not understood: {error}"))?,
        Ok(text) => Ok(EnvFilter::try_new(&text).map_err(|error| {
            format!("`TEEGATE_LOG={text}` is not understood: {error}; expected for example `info`")
        })?),
    }
}

/// Does what the command line asks for.
async fn obey(command: Command) -> Result<(), Failure> {
    let said = match (command.verb, command.config) {
        (Some(Verb::Status(args)), _) => status(&args).await.map_err(Failure)?,
        // For whoever keeps the seed of the next key elsewhere, and configures `next_receipt_key` here.
        _ if command.public_key.is_some() => {
            format!("{}\n", load_receipt_key(command.public_key.as_deref())?.public())
        }
        (None, Some(path)) if command.check_config => {
            let prepared = prepare(&path)?;
            let notes = foresight::judge(&prepared.config, &prepared.loaded)?;
            prepared.in_words(&path, &notes)
        }
        (None, Some(path)) if command.print_config => printed(&path)?,
        (None, Some(path)) => return run(&path).await,
        // The command line does not parse without it.
        (None, None) => return Err(Failure("`--config FILE` is missing".to_owned())),
    };
    let mut output = std::io::stdout().lock();
    output.write_all(said.as_bytes())?;
    output.flush()?;
    Ok(())
}

/// Everything that a start reads.
struct Prepared {
    config: Config,
    open_files: u64,
    files: Watched,
    loaded: Loaded,
    receipt_key: ReceiptKey,
    published: Contents,
    certificates: Option<Arc<Certificates>>,
    gatekeeper: Gatekeeper,
    receiver: Option<Receiver>,
}

/// Reads and checks all of it; starts nothing.
fn prepare(path: &Path) -> Result<Prepared, Failure> {
    let config = load_config(path)?;
    let open_files = open_files::raise();
    open_files::fits(&config, open_files)?;
    let files = Watched::new(reload::files(path, &config), config.reload.every);
    let loaded = reload::load(&config)?;
    let receipt_key = load_receipt_key(config.receipt_key.as_deref())?;
    let published = Contents::load(config.client_policy.as_deref(), config.next_receipt_key.as_deref())?;
    let certificates = config.tls.as_ref().map(Certificates::load).transpose()?;
    let gatekeeper = Gatekeeper::load(&config.admission)?;
    let receiver = config.telemetry.as_ref().map(Receiver::load).transpose()?;
    Ok(Prepared { config, open_files, files, loaded, receipt_key, published, certificates, gatekeeper, receiver })
}

impl Prepared {
    /// What was found in order.
    fn in_words(&self, path: &Path, notes: &[String]) -> String {
        let Self { config, loaded, certificates, .. } = self;
        let file = loaded.file();
        let front = match certificates {
            Some(certificates) => format!("clients speak TLS under a certificate until {}", certificates.not_after()),
            None => "clients speak plain HTTP".to_owned(),
        };
        let notes: String = notes.iter().map(|note| format!("note: {note}\n")).collect();
        format!(
            "`{}` is in order: policy `{}` (sha256:{}), {} instances, {front}\n{notes}",
            path.display(),
            file.name,
            file.sha256,
            config.instances.len(),
        )
    }
}

/// The file is named, since a gateway reads several.
fn load_config(path: &Path) -> Result<Config, Failure> {
    Ok(Config::load(path).map_err(|error| match error {
        ConfigError::Unreadable { .. } => error.to_string(),
        error => format!("`{}`: {error}", path.display()),
    })?)
}

fn printed(path: &Path) -> Result<String, Failure> {
    let effective = toml::to_string(&load_config(path)?.effective())?;
    Ok(format!("# `{}` with its defaults; relative paths start from its folder.\n{effective}", path.display()))
}

async fn run(path: &Path) -> Result<(), Failure> {
    let Prepared { config, open_files, mut files, loaded, receipt_key, published, certificates, gatekeeper, receiver } =
        prepare(path)?;
    let state = config.state_dir.as_deref().map(StateDir::open).transpose()?.map(Arc::new);
    let seen = state.as_deref().map_or_else(|| Ok(Seen::default()), Seen::open)?;
    let ratchet = Ratchet::open(state.clone())?;
    ratchet.check(&loaded.policy, config.reload.weaker.as_deref())?;
    ratchet.take(&loaded.policy)?;
    let tls = certificates.as_ref().map(|shown| shown.acceptor_asking(gatekeeper.client_certificates())).transpose()?;
    let supervisor = Arc::new(Supervisor::from_environment()?);
    let listener = bind(&config.listen).await?;
    let operator = bind(&config.operator_listen).await?;
    let plain_http = config.plain_http.as_deref();
    exposure::check("listen", listener.local_addr()?, tls.is_some(), plain_http)?;
    exposure::check("operator_listen", operator.local_addr()?, false, plain_http)?;

    let metrics = Arc::new(Metrics::default());
    let server = listener.local_addr()?;
    let traced = config.telemetry.as_ref().map(|settings| Tracer::new(settings, server, Arc::clone(&metrics)));
    let (tracer, spans) = traced.map_or_else(Default::default, |(tracer, spans)| (tracer, Some(spans)));
    let fleet = Fleet::new(
        &[],
        loaded.policy.clone(),
        loaded.endorsements(),
        Clock::system(),
        config.breaker,
        Arc::clone(&metrics),
    );
    let fleet = Arc::new(fleet.with_outliers(config.outliers).remembering(seen.clone()));
    if let Some(state) = &state {
        tokio::spawn(seen.clone().keep_in(Arc::clone(state)));
    }
    let (desk, _own_cache) = desk(&config, state.as_deref(), &metrics, &tracer)?;
    if let Some(desk) = &desk {
        tokio::spawn(freshness::keep(Arc::clone(desk), Arc::clone(&fleet)));
    }
    let watching = WatchSettings {
        link: LinkSettings::new(config.connect_timeout, config.attest_timeout)?,
        lives: Lifetimes { channel_age: config.channel_age, max_manifest_life: config.max_manifest_life },
        reattest: config.reattest,
        retry: config.retry,
        health: config.health,
        drain: config.drain_timeout,
        beside: Beside {
            refused: keeper(&config, &metrics)?,
            desk: desk.clone(),
            tracer: tracer.clone(),
            ..Beside::default()
        },
    };
    let reloads = Arc::new(Reloads::new(loaded.file(), fleet.clock().now().wall));
    let policies = Policies::new(Arc::clone(&fleet), &loaded, ratchet, desk, Arc::clone(&reloads));
    let discovery = Discovery::start(&config.instances, &config.discovery, &fleet, &watching, &metrics)?;
    tokio::spawn(note_lapses(Arc::clone(&fleet)));
    if let Some(certificates) = certificates.clone() {
        tokio::spawn(certificates.keep_looking());
    }

    let gateway = Arc::new(Gateway {
        fleet: Arc::clone(&fleet),
        gatekeeper,
        hold: Arc::new(Hold::new(config.hold_limits)),
        budget: Arc::new(Budget::new(config.budget_bytes, config.all_connections())),
        polls: Polls::new(config.max_long_polls),
        challenges: Challenges::default(),
        published: Published::of(published),
        metrics: Arc::clone(&metrics),
        tracer,
        reloads,
        certificates: certificates.clone(),
        receipt_key,
        limits: RouteLimits {
            max_sealed_bytes: config.max_sealed_bytes,
            hold: config.hold,
            max_hold: config.max_hold,
            forward: ForwardLimits {
                pace: config.pace,
                answer: config.answer_timeout,
                max_answer_bytes: config.max_sealed_bytes,
            },
        },
        is_draining: AtomicBool::new(false),
    });
    let exporting = receiver.zip(spans).map(|(receiver, spans)| {
        let gateway = Arc::clone(&gateway);
        telemetry::export(receiver, spans, metrics, move || gateway.metrics_text())
    });
    tokio::spawn(keep_keys(Arc::clone(&gateway)));
    let limits = ServerLimits {
        connections: config.max_connections,
        streams: config.max_streams,
        header_read: config.header_read_timeout,
        answer: config.answer_timeout,
    };
    let operator_limits =
        ServerLimits { connections: config.max_operator_connections, streams: OPERATOR_STREAMS, ..limits };
    let front = Front { tls, proxies: Arc::new(config.proxies.clone()) };
    let (shutdown, is_shutdown) = tokio::sync::watch::channel(false);
    let (stop_operator, is_operator_stopped) = tokio::sync::watch::channel(false);
    // Whoever reads the announcement may signal at once.
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut told_to_end = std::pin::pin!(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        (terminate, interrupt)
    });
    announce(&listener, &operator, &gateway)?;
    supervisor.tell(Tell::Ready);
    if let Some(pulse) = supervisor.pulse() {
        tokio::spawn(keep_telling(Arc::clone(&supervisor), pulse, Arc::clone(&fleet)));
    }
    let clients = tokio::spawn(serve_clients(listener, front, Arc::clone(&gateway), limits, is_shutdown));
    tokio::spawn(serve_operator(operator, Arc::clone(&gateway), operator_limits, is_operator_stopped));

    let reloading = async {
        loop {
            tokio::select! {
                _ = hangup.recv() => {}
                () = files.changed() => {}
            }
            // Before they are read: what changes meanwhile is seen the next time.
            files.read_now();
            supervisor.tell(Tell::Reloading);
            if let Some(newer) = reload(path, &config, open_files, &policies, &discovery, &gateway).await {
                files.name(reload::files(path, &newer), newer.reload.every);
            }
            supervisor.tell(Tell::Ready);
        }
    };
    let (mut terminate, mut interrupt) = tokio::select! {
        biased;
        signals = told_to_end.as_mut() => signals,
        never = reloading => never,
    };
    tracing::info!("shutting down: finishing what is in flight; a second signal ends it at once");
    supervisor.tell(Tell::Stopping);
    gateway.drain();
    shutdown.send_replace(true);
    tokio::select! {
        ended = tokio::time::timeout(config.drain_timeout, clients) => if ended.is_err() {
            tracing::warn!("some requests did not finish within {} s", config.drain_timeout.as_secs());
        },
        _ = terminate.recv() => tracing::warn!("told twice: what is in flight is given up"),
        _ = interrupt.recv() => tracing::warn!("told twice: what is in flight is given up"),
    }
    if let Some(exporting) = exporting {
        exporting.end().await;
    }
    stop_operator.send_replace(true);
    if let Some(Err(why)) = state.map(|state| seen.keep(&state)) {
        tracing::error!("what was seen is not kept for the next start: {why}");
    }
    Ok(())
}

/// Tells the service manager that this process lives: that its tasks run, and that nobody sits on what they all need.
async fn keep_telling(supervisor: Arc<Supervisor>, pulse: Duration, fleet: Arc<Fleet>) {
    loop {
        fleet.note();
        supervisor.tell(Tell::Alive);
        tokio::time::sleep(pulse).await;
    }
}

/// The keys of tokens, where they are at an address.
async fn keep_keys(gateway: Arc<Gateway>) {
    gateway.gatekeeper.keep_keys(gateway.fleet.clock()).await;
}

/// A proof lapses by itself, and nobody is told but the log.
async fn note_lapses(fleet: Arc<Fleet>) {
    loop {
        tokio::time::sleep(LAPSES_SEEN_WITHIN).await;
        fleet.note();
    }
}

/// Takes all that a reload takes from the files as they are now. If one of them cannot be used, nothing changes. Gives
/// the configuration that it took.
async fn reload(
    path: &Path,
    running: &Config,
    open_files: u64,
    policies: &Policies,
    discovery: &Discovery,
    gateway: &Gateway,
) -> Option<Config> {
    let mut span = gateway.tracer.begin(Task::Reload);
    let loaded = async {
        let config = load_config(path)?;
        open_files::fits(&running.with_places_of(&config), open_files)?;
        let loaded = policies.next(&config)?;
        let rules = gateway.gatekeeper.prepare(&config.admission)?;
        let sources = sources::Prepared::of(&config.discovery)?;
        let published = Contents::load(config.client_policy.as_deref(), config.next_receipt_key.as_deref())?;
        rules.ask_for_keys(gateway.fleet.clock()).await?;
        Ok((config, loaded, rules, sources, published))
    };
    match loaded.await {
        Ok((config, loaded, rules, sources, published)) => {
            gateway.reloads.need_restart(running.needs_restart(&config));
            // Whoever may no longer ask is told at once, whether or not the policy is another.
            gateway.gatekeeper.take(rules);
            gateway.fleet.announce();
            // The policy first: nobody new is judged by the old one.
            policies.take(&loaded).await;
            discovery.take(&config.instances, &sources);
            gateway.published.take(published);
            span.ended("taken");
            Some(config)
        }
        Err(Failure(why)) => {
            policies.refused(&why);
            span.ended("refused");
            span.failed("refused");
            None
        }
    }
}

/// Where refused evidence is kept, if anywhere.
fn keeper(config: &Config, metrics: &Arc<Metrics>) -> Result<Option<Arc<Refused>>, Failure> {
    let folder = config.refused_dir.as_deref();
    let opened = folder.map(|folder| Refused::open(folder, config.refused, Arc::clone(metrics))).transpose();
    Ok(opened?.map(Arc::new))
}

/// Who asks the vendors, and the folder of what they answer where that ends with this process.
type OwnDesk = (Option<Arc<Desk>>, Option<tempfile::TempDir>);

/// Who asks the vendors, where that is configured.
fn desk(
    config: &Config,
    state: Option<&StateDir>,
    metrics: &Arc<Metrics>,
    tracer: &Tracer,
) -> Result<OwnDesk, Failure> {
    let limits = config.collateral.clone();
    if !limits.is_online {
        return Ok((None, None));
    }
    let (cache, own) = match (&limits.cache, state) {
        (Some(named), _) => (named.clone(), None),
        (None, Some(state)) => (state.folder("collateral"), None),
        (None, None) => {
            let own = tempfile::tempdir().map_err(|error| format!("no folder for the vendors' answers: {error}"))?;
            (own.path().to_owned(), Some(own))
        }
    };
    let fetcher = Fetcher::new(collateral::settings(&limits, cache));
    Ok((Some(Arc::new(Desk::new(fetcher, limits, Arc::clone(metrics)).traced(tracer.clone()))), own))
}

/// The seed as 64 hexadecimal digits, or a key that lives as long as this process.
fn load_receipt_key(path: Option<&Path>) -> Result<ReceiptKey, Failure> {
    let Some(path) = path else { return Ok(ReceiptKey::generate()?) };
    let name = path.display();
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("cannot read the receipt key `{name}`: {error}"))?;
    let mut seed = [0; 32];
    hex::decode_to_slice(text.trim(), &mut seed)
        .map_err(|_| format!("the receipt key `{name}` is not understood: expected 64 hexadecimal digits"))?;
    Ok(ReceiptKey::from_seed(&seed))
}

async fn bind(address: &str) -> Result<TcpListener, Failure> {
    Ok(TcpListener::bind(address).await.map_err(|error| format!("cannot listen on `{address}`: {error}"))?)
}

/// Tells whoever started this process where it listens, in one line of JSON.
fn announce(listener: &TcpListener, operator: &TcpListener, gateway: &Gateway) -> Result<(), Failure> {
    let line = serde_json::json!({
        "listening": listener.local_addr()?.to_string(),
        "operator": operator.local_addr()?.to_string(),
        "receipt_key": gateway.receipt_key.public().to_string(),
    });
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()?;
    Ok(())
}
