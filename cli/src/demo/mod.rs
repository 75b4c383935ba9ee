//! `teegate demo`: the whole path on this machine.
//!
//! Part one stands on real hardware: recorded evidence of AMD and Intel processors, verified offline. Parts two and three
//! stand on forged hardware: the real programs, the real protocol and a real model, under a root that is pinned for one run.
//! They prove the plumbing and not the silicon, and the output says so.

/// Writes a line to standard output. A reader that has gone away (`| head`) ends nothing: the demo runs on and cleans up.
macro_rules! say {
    ($($words:tt)*) => {{
        let line = format!($($words)*);
        let _closed = std::io::Write::write_all(&mut std::io::stdout(), format!("{line}\n").as_bytes());
    }};
}

mod child;
mod exchange;
mod path;
mod policy;
mod published;
mod recorded;
mod refusals;
mod serve;
mod stage;
mod swap;
mod tap;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use teegate_verifier::UnixTime;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use self::stage::Place;
use crate::{exit, help, instant, output};

/// Walk the whole path on this machine, on forged hardware and with a real model, or keep it running to walk it yourself.
#[derive(Args, Debug)]
#[command(after_help = help::DEMO)]
pub(crate) struct DemoArgs {
    /// The source of the crate sev 8.0.0, which carries evidence of real AMD hardware [default: cargo's package cache]
    #[arg(long, value_name = "DIR")]
    sev_crate: Option<PathBuf>,
    /// The source of the crate dcap-qvl 0.7.1, which carries evidence of real Intel hardware [default: cargo's package cache]
    #[arg(long, value_name = "DIR")]
    dcap_qvl_crate: Option<PathBuf>,
    /// The ONNX Runtime library that enclave-app accepts; `ci/onnxruntime.sh` fetches it
    #[arg(long, value_name = "FILE", default_value = ".cache/onnxruntime/lib/libonnxruntime.so")]
    onnxruntime: PathBuf,
    /// The folder of the demonstration model
    #[arg(long, value_name = "DIR", default_value = "enclave-app/models/breast-cancer")]
    model: PathBuf,
    /// Verify the recorded evidence as of this time, whatever the verdict [default: a time at which all of it was valid]
    #[arg(long, value_name = "TIME", value_parser = instant::parse)]
    at: Option<UnixTime>,
    /// Only start the forged guest, enclave-app and gateway, write into this folder what a service would publish, and go on until
    /// Ctrl-C: for commands of your own
    #[arg(long, value_name = "DIR", conflicts_with_all = ["sev_crate", "dcap_qvl_crate", "at"])]
    serve: Option<PathBuf>,
    /// With --serve, where the gateway listens on loopback [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", requires = "serve", value_parser = serve::loopback)]
    listen: Option<SocketAddr>,
}

/// Runs the command.
pub(crate) fn run(args: DemoArgs) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return output::fail(&format!("the demo cannot start: {e}")),
    };
    let outcome = runtime.block_on(async {
        if let Some(folder) = &args.serve {
            let (_scratch, place) = place(&args)?;
            return serve::serve(&place, folder, args.listen.unwrap_or(serve::LISTEN)).await;
        }
        // Whichever ends first: everything that the other had started is dropped, and with it killed and removed.
        tokio::select! {
            outcome = demo(&args) => outcome,
            signal = interrupted() => Err(signal),
        }
    });
    match outcome {
        Ok(()) => ExitCode::from(exit::ACCEPTED),
        Err(message) => output::fail(&message),
    }
}

async fn demo(args: &DemoArgs) -> Result<(), String> {
    heading("Part 1 of 3: REAL hardware. Recorded evidence, verified check by check");
    recorded::run(args.sev_crate.as_deref(), args.dcap_qvl_crate.as_deref(), args.at)?;

    heading("Part 2 of 3: FORGED hardware. One inference, sealed from client to enclave");
    say!(
        "This machine needs no TEE for what follows: the reports below are signed by a forged AMD, whose root the policy"
    );
    say!(
        "pins for this one run. It shows the plumbing, that every byte goes where it should. It shows nothing about silicon.\n"
    );
    let (_scratch, place) = place(args)?;
    let (genuine, verified) = path::one_sealed_inference(&place).await?;

    heading("Part 3 of 3: FORGED hardware. Three requests that must not arrive");
    refusals::three(&place, &genuine, &verified).await?;
    genuine.end().await;

    heading("Done");
    say!(
        "Real hardware stood behind part 1 alone: signatures by AMD and Intel over recorded evidence, as of a stated time."
    );
    say!("Parts 2 and 3 ran the shipped programs unmodified on forged hardware: plumbing, not silicon.");
    Ok(())
}

/// Where everything lies that the programs need, and the temporary folder, which ends with its value.
fn place(args: &DemoArgs) -> Result<(TempDir, Place), String> {
    let scratch = tempfile::Builder::new()
        .prefix("teegate-demo-")
        .tempdir()
        .map_err(|e| format!("cannot make a temporary folder: {e}; is TMPDIR writable?"))?;
    let place = Place {
        scratch: scratch.path().to_owned(),
        onnxruntime: existing(&args.onnxruntime, "run `ci/onnxruntime.sh`, or name it with --onnxruntime")?,
        model: existing(&args.model, "run from the repository, or name it with --model")?,
    };
    Ok((scratch, place))
}

fn heading(text: &str) {
    say!("\n=== {text} ===\n");
}

/// The absolute path of a file that has to be there: the programs run in another folder.
fn existing(path: &Path, remedy: &str) -> Result<PathBuf, String> {
    path.canonicalize().map_err(|e| format!("{} cannot be used: {e}; {remedy}", path.display()))
}

/// Ends when this process is asked to end, and says by what.
async fn interrupted() -> String {
    let (Ok(mut terminate), Ok(mut hang_up), Ok(mut interrupt), Ok(mut quit)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::hangup()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::quit()),
    ) else {
        // Without handlers a signal ends the process as usual.
        return std::future::pending().await;
    };
    let by = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = hang_up.recv() => "SIGHUP",
        _ = interrupt.recv() => "SIGINT",
        _ = quit.recv() => "SIGQUIT",
    };
    format!("ended by {by}; the programs that the demo had started are stopped")
}
