//! The command line, and `teegate-gateway status`, which asks a running gateway.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use teegate_gateway::status::{Screen, draw};
use teegate_gateway::view::{FLEET_PATH, FleetView, SCHEMA};
use tokio::net::TcpStream;

/// The longest answer that is read: a thousand instances take about a tenth of it.
const MOST_ANSWERED: usize = 64 << 20;
/// All of it together.
const PATIENCE: Duration = Duration::from_secs(10);
/// Wider lines are hard to read.
const WIDEST: usize = 160;

const AFTER_HELP: &str = "\
Examples:
  teegate-gateway --config gateway.toml
  teegate-gateway --config gateway.toml --check-config
  teegate-gateway --public-key receipt.seed
  teegate-gateway status --operator 127.0.0.1:9090

Signals: SIGHUP reads policy, endorsements and instances again; SIGTERM finishes what is in flight and ends.
TEEGATE_LOG: what is logged, in JSON on standard error (`info`; `audit=debug,info` for every attempt).
Exit status: 0 as asked, 1 with a sentence on standard error.";

const AFTER_STATUS: &str = "\
Examples:
  teegate-gateway status
  teegate-gateway status --operator 10.0.0.2:9090 --json

Exit status: 0 shown, 1 the gateway did not answer.";

/// Release sealed requests to attested enclaves, and to nobody else.
#[derive(Parser)]
#[command(name = "teegate-gateway", version, after_help = AFTER_HELP, max_term_width = 120)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Command {
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,

    /// The configuration, TOML; `example.toml` has every key
    #[arg(long, value_name = "FILE", required_unless_present = "public_key")]
    pub(crate) config: Option<PathBuf>,

    /// Print the public key of a receipt key's seed, for clients to pin, and for `next_receipt_key`
    #[arg(long, value_name = "SEED-FILE", conflicts_with_all = ["config", "check_config", "print_config"])]
    pub(crate) public_key: Option<PathBuf>,

    /// Read everything that a start reads, policy, endorsements, certificates and keys, and start nothing
    #[arg(long)]
    pub(crate) check_config: bool,

    /// Print the configuration with its defaults, as TOML that means the same beside that file
    #[arg(long, conflicts_with = "check_config")]
    pub(crate) print_config: bool,
}

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Ask a running gateway where every address stands, and why
    #[command(after_help = AFTER_STATUS)]
    Status(StatusArgs),
}

#[derive(Args)]
pub(crate) struct StatusArgs {
    /// Its `operator_listen`
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    operator: String,

    /// The answer as it is: JSON of schema `teegate/fleet/1`
    #[arg(long)]
    json: bool,
}

/// What is printed, or why nothing is.
pub(crate) async fn status(args: &StatusArgs) -> Result<String, String> {
    let operator = &args.operator;
    let bytes = tokio::time::timeout(PATIENCE, ask(operator))
        .await
        .map_err(|_| format!("`{operator}` did not answer within {} s", PATIENCE.as_secs()))??;
    let view: FleetView = serde_json::from_slice(&bytes).map_err(|error| {
        format!(
            "`{operator}` answered something else than `{SCHEMA}`: {error}; is it the `operator_listen` of a gateway?"
        )
    })?;
    if view.schema != SCHEMA {
        let found = view.schema.escape_debug().take(80).collect::<String>();
        return Err(format!(
            "`{operator}` answered schema `{found}`, expected `{SCHEMA}`: use the program of its version"
        ));
    }
    if args.json {
        let json = String::from_utf8(bytes).map_err(|error| error.to_string())?;
        return Ok(json + "\n");
    }
    let is_terminal = std::io::stdout().is_terminal();
    let columns = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0).min(WIDEST));
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    let screen = Screen { columns: columns.filter(|_| is_terminal), is_coloured: is_terminal && !no_color && !is_dumb };
    Ok(draw(&view, screen))
}

async fn ask(operator: &str) -> Result<Vec<u8>, String> {
    let tcp = TcpStream::connect(operator).await.map_err(|error| {
        format!("cannot reach `{operator}`: {error}; is the gateway running, and is this its `operator_listen`?")
    })?;
    let failed = |error: &dyn std::fmt::Display| format!("`{operator}` did not answer: {error}");
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await;
    let (mut sender, connection) = handshake.map_err(|error| failed(&error))?;
    tokio::spawn(connection);
    let request = http::Request::get(FLEET_PATH).header("host", "gateway").body(Empty::<bytes::Bytes>::new());
    let answer = sender.send_request(request.map_err(|error| failed(&error))?).await.map_err(|error| failed(&error))?;
    if answer.status() != http::StatusCode::OK {
        return Err(format!(
            "`{operator}` answered {} to `{FLEET_PATH}`: is it the `operator_listen` of a gateway of this version?",
            answer.status()
        ));
    }
    let body = Limited::new(answer.into_body(), MOST_ANSWERED).collect().await.map_err(|error| failed(&error))?;
    Ok(body.to_bytes().to_vec())
}
