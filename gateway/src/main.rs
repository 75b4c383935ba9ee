//! `teegate-gateway --config FILE`: reads its configuration, starts to attest, then listens.
//!
//! On standard output it prints one line of JSON once it listens; everything else goes to standard error. SIGHUP reads policy,
//! endorsements and the list of instances again, and nothing else; SIGTERM and SIGINT finish what is in flight and leave, the
//! second one without finishing.

use std::env::VarError;
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use teegate_encoding::hex;
use teegate_gateway::admission::{Gatekeeper, exposure};
use teegate_gateway::budget::Budget;
use teegate_gateway::clock::Clock;
use teegate_gateway::config::{Address, Config};
use teegate_gateway::fleet::Fleet;
use teegate_gateway::gateway::{Gateway, RouteLimits};
use teegate_gateway::hold::Hold;
use teegate_gateway::metrics::Metrics;
use teegate_gateway::open_files;
use teegate_gateway::polls::Polls;
use teegate_gateway::proxy::ForwardLimits;
use teegate_gateway::server::{Front, ServerLimits, serve_clients, serve_operator};
use teegate_gateway::tls::tls_acceptor_asking;
use teegate_gateway::trust::{Lifetimes, LinkSettings};
use teegate_gateway::watch::{WatchSettings, watch};
use teegate_protocol::receipt::ReceiptKey;
use teegate_verifier::{BoundTo, Endorsements, Policy};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Requests at a time on one HTTP/2 connection of the operator's tools.
const OPERATOR_STREAMS: u64 = 8;

const USAGE: &str = "usage: teegate-gateway --config FILE";

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
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = match arguments.as_slice() {
        [flag, path] if flag == "--config" => PathBuf::from(path),
        [flag] if flag == "--help" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    let ran = tokio::runtime::Runtime::new().map_err(Failure::from).and_then(|runtime| runtime.block_on(run(&path)));
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

async fn run(path: &Path) -> Result<(), Failure> {
    let config = Config::load(path)?;
    let open_files = open_files::raise();
    open_files::fits(&config, open_files)?;
    let (policy, endorsements) = load_policy(&config)?;
    let receipt_key = load_receipt_key(config.receipt_key.as_deref())?;
    let gatekeeper = Gatekeeper::load(&config.admission)?;
    let asking = |files| tls_acceptor_asking(files, gatekeeper.client_certificates());
    let tls = config.tls.as_ref().map(asking).transpose()?;
    let listener = bind(&config.listen).await?;
    let operator = bind(&config.operator_listen).await?;
    let plain_http = config.plain_http.as_deref();
    exposure::check("listen", listener.local_addr()?, tls.is_some(), plain_http)?;
    exposure::check("operator_listen", operator.local_addr()?, false, plain_http)?;

    let metrics = Arc::new(Metrics::default());
    let fleet = Arc::new(Fleet::new(
        &config.instances,
        policy,
        endorsements,
        Clock::system(),
        config.breaker,
        Arc::clone(&metrics),
    ));
    let watching = WatchSettings {
        link: LinkSettings::new(config.connect_timeout, config.attest_timeout)?,
        lives: Lifetimes { channel_age: config.channel_age, max_manifest_life: config.max_manifest_life },
        reattest: config.reattest,
        retry: config.retry,
        health: config.health,
        drain: config.drain_timeout,
    };
    watch_all(config.instances.clone(), &fleet, &watching, &metrics);

    let gateway = Arc::new(Gateway {
        fleet: Arc::clone(&fleet),
        gatekeeper,
        hold: Arc::new(Hold::new(config.hold_limits)),
        budget: Arc::new(Budget::new(config.budget_bytes, config.all_connections())),
        polls: Polls::new(config.max_long_polls),
        metrics: Arc::clone(&metrics),
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
    let clients = tokio::spawn(serve_clients(listener, front, Arc::clone(&gateway), limits, is_shutdown));
    tokio::spawn(serve_operator(operator, Arc::clone(&gateway), operator_limits, is_operator_stopped));

    let reloading = async {
        loop {
            let _ = hangup.recv().await;
            reload(path, &config, open_files, &gateway, &watching).await;
        }
    };
    let (mut terminate, mut interrupt) = tokio::select! {
        biased;
        signals = told_to_end.as_mut() => signals,
        never = reloading => never,
    };
    tracing::info!("shutting down: finishing what is in flight; a second signal ends it at once");
    gateway.drain();
    shutdown.send_replace(true);
    tokio::select! {
        ended = tokio::time::timeout(config.drain_timeout, clients) => if ended.is_err() {
            tracing::warn!("some requests did not finish within {} s", config.drain_timeout.as_secs());
        },
        _ = terminate.recv() => tracing::warn!("told twice: what is in flight is given up"),
        _ = interrupt.recv() => tracing::warn!("told twice: what is in flight is given up"),
    }
    stop_operator.send_replace(true);
    Ok(())
}

fn watch_all(addresses: Vec<Address>, fleet: &Arc<Fleet>, settings: &WatchSettings, metrics: &Arc<Metrics>) {
    for address in addresses {
        tokio::spawn(watch(address, Arc::clone(fleet), settings.clone(), Arc::clone(metrics)));
    }
}

/// Takes policy, endorsements and instances from the files as they are now. If one of them cannot be used, nothing changes.
async fn reload(path: &Path, running: &Config, open_files: u64, gateway: &Gateway, settings: &WatchSettings) {
    let (fleet, metrics) = (&gateway.fleet, &gateway.metrics);
    let loaded = Config::load(path).map_err(Failure::from).and_then(|config| {
        open_files::fits(&running.with_instances_of(&config), open_files)?;
        let (policy, endorsements) = load_policy(&config)?;
        let rules = gateway.gatekeeper.prepare(&config.admission)?;
        Ok((config, policy, endorsements, rules))
    });
    match loaded {
        Ok((config, policy, endorsements, rules)) => {
            for key in running.needs_restart(&config) {
                tracing::warn!("`{key}` has changed, which takes a restart: the reload leaves it as it was");
            }
            // Whoever may no longer ask is told with the rest, by the change of policy.
            gateway.gatekeeper.take(rules);
            // The policy first: nobody new is judged by the old one.
            fleet.set_policy(policy, endorsements).await;
            let added = fleet.set_addresses(&config.instances);
            watch_all(added, fleet, settings, metrics);
        }
        Err(Failure(why)) => tracing::error!("reload refused, everything stays as it was: {why}"),
    }
}

fn load_policy(config: &Config) -> Result<(Policy, Endorsements), Failure> {
    let path = &config.policy;
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read the policy `{}`: {error}", path.display()))?;
    let policy = Policy::parse(&text).map_err(|error| format!("policy `{}`: {error}", path.display()))?;
    match (policy.weakest_bound_to(), &config.unbound_policy) {
        (Some(BoundTo::Workload), _) => {}
        (Some(_), _) => tracing::warn!(
            "this policy admits evidence that is not bound to a workload: other code in the guest may hold the keys"
        ),
        (None, Some(reason)) => tracing::warn!(
            "this policy admits evidence that is bound to nothing that it names, so that any code may hold the keys; \
             the configuration says why (`unbound_policy`): {reason}"
        ),
        (None, None) => {
            return Err(Failure(format!(
                "policy `{}`: a profile does not say what its evidence is bound to (`bound_to`), so that any code may hold the \
                 keys: pin the code and claim \"workload\", or write `unbound_policy = \"why\"` into the configuration",
                path.display()
            )));
        }
    }
    if !policy.trusts_only_vendors() {
        tracing::warn!("this policy pins roots that are not the vendors': what it accepts may be forged hardware");
    }
    let endorsements = teegate_intake::endorsements::load_paths(&config.endorsements)?;
    Ok((policy, endorsements))
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
