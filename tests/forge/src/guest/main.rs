//! `forge-guest`: the CoCo guest API of a confidential guest whose hardware is forged.
//!
//! It stands where the attestation agent stands inside a Kata guest, so that an enclave-app runs unmodified in front of it. Its roots are made when it
//! starts and end with it; a policy trusts them only by pinning the files it writes. What passes here proves the plumbing and never the silicon.

mod api;
mod args;
mod device;
mod driver;
mod vm;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use teegate_forge::services::Vendor;
use tokio::net::TcpListener;

fn main() -> ExitCode {
    let args = match args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(error) => {
            eprintln!("forge-guest: {error}\n\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("forge-guest: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: args::Args) -> Result<(), String> {
    eprintln!(
        "forge-guest: FORGED HARDWARE. Its evidence is signed under roots made for this run; it proves nothing about any silicon."
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| "the clock stands before 1970".to_owned())?;
    let device = device::Device::new(&args, now.as_secs());
    if args.paravisor {
        return vm::serve(&args, &device);
    }
    if args.driver || args.aci {
        return driver::serve(&args, &device, now.as_secs());
    }
    device
        .write_files(&args.dir, &[])
        .map_err(|error| format!("cannot write into `{}`: {error}", args.dir.display()))?;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("cannot start the runtime: {error}"))?.block_on(serve(args, device))
}

async fn serve(args: args::Args, device: device::Device) -> Result<(), String> {
    let listener =
        TcpListener::bind(args.listen).await.map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    let address = listener.local_addr().map_err(|error| format!("no local address: {error}"))?;
    let mut ready = serde_json::json!({ "listening": address.to_string() });
    // Kept until the process ends: the service ends with the value.
    let services = args.services.map(|at| {
        Vendor::start_at(at, device.services()).map_err(|error| format!("cannot serve the vendor on {at}: {error}"))
    });
    let services = services.transpose()?;
    if let Some(vendor) = &services {
        ready["services"] = vendor.address().to_string().into();
    }
    println!("{ready}");
    std::io::stdout().flush().map_err(|error| format!("cannot write to stdout: {error}"))?;
    eprintln!("forge-guest: forged {} answers the CoCo guest API on {address}", device.name());

    let api = Arc::new(api::Api::new(args, device));
    loop {
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                eprintln!("forge-guest: cannot accept a connection: {error}");
                continue;
            }
        };
        let api = Arc::clone(&api);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let api = Arc::clone(&api);
                async move { Ok::<_, std::convert::Infallible>(api.answer(&request).await) }
            });
            // A caller that hangs up in the middle is its own business.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
