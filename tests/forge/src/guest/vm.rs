//! An Azure confidential VM in place of the guest API: a device that answers as its vTPM does, and the metadata service of its host.

use std::io::Write;
use std::path::Path;

use teegate_forge::azure::event_log::{BOOT, encode};
use teegate_forge::paravisor::{DEFECTS, Defect, Host, Paravisor, Terminal};

use crate::args::{Args, EventLog};
use crate::device::Device;

/// Writes its files, says where it is, and answers until the process is ended.
pub(crate) fn serve(args: &Args, device: &Device) -> Result<(), String> {
    let paravisor = Paravisor::start(device.platform());
    let mut paravisor = paravisor.map_err(|error| format!("no software TPM (is swtpm installed?): {error}"))?;
    let registers = paravisor.registers().map_err(|error| format!("the software TPM: {error}"))?;
    let registers: Vec<_> = registers.iter().map(hex::encode).collect();
    device
        .write_files(&args.dir, &[("registers", registers.into())])
        .map_err(|error| format!("cannot write into `{}`: {error}", args.dir.display()))?;
    let log = match args.event_log {
        None | Some(EventLog::None) => None,
        Some(EventLog::Own) => Some(encode(&BOOT)),
        Some(EventLog::Another) => Some(encode(&BOOT[1..])),
    };
    if let Some(log) = log {
        std::fs::write(args.dir.join("event-log.bin"), log)
            .map_err(|error| format!("cannot write into `{}`: {error}", args.dir.display()))?;
    }
    let file = args.defect.clone();
    let refuses = move || defect(file.as_deref()) == Some(Defect::NoService);
    let host = Host::start(args.listen, device.platform(), refuses)
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    let mut terminal = Terminal::open().map_err(|error| format!("no pseudo terminal: {error}"))?;
    println!(
        "{}",
        serde_json::json!({ "listening": host.address.to_string(), "device": terminal.path.display().to_string() })
    );
    std::io::stdout().flush().map_err(|error| format!("cannot write to stdout: {error}"))?;
    eprintln!("forge-guest: a forged {} VM of Azure, its vTPM at {}", device.name(), terminal.path.display());
    let served = paravisor.serve(&mut terminal.ours, || defect(args.defect.as_deref()));
    served.map_err(|error| format!("the device: {error}"))
}

/// What the file names. A name that is none is an end that is seen.
fn defect(file: Option<&Path>) -> Option<Defect> {
    let name = std::fs::read_to_string(file?).ok()?;
    let known = DEFECTS.iter().find(|(known, _)| *known == name);
    let (_, defect) = known.unwrap_or_else(|| {
        eprintln!("forge-guest: no such defect: `{name}`");
        std::process::exit(2)
    });
    Some(*defect)
}
