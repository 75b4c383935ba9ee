//! An Azure confidential VM in place of the guest API: a device that answers as its vTPM does, and the metadata service of its host.

use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::Path;

use teegate_forge::azure::event_log::{BOOT, encode};
use teegate_forge::paravisor::{DEFECTS, Defect, Host, Machine, Paravisor, Terminal};

use crate::args::{Args, EventLog};
use crate::device::Device;

/// Writes its files, says where it is, and answers until the process is ended.
pub(crate) fn serve(args: &Args, device: &Device) -> Result<(), String> {
    match &args.qemu {
        None => on_a_device(args, device),
        Some(path) => for_a_machine(args, device, path),
    }
}

fn on_a_device(args: &Args, device: &Device) -> Result<(), String> {
    let mut paravisor = Paravisor::start(device.platform()).map_err(|error| no_tpm(&error))?;
    let registers = paravisor.registers().map_err(|error| format!("the software TPM: {error}"))?;
    let registers: Vec<_> = registers.iter().map(hex::encode).collect();
    write_files(args, device, &[("registers", registers.into())])?;
    write_log(args)?;
    let mut terminal = Terminal::open().map_err(|error| format!("no pseudo terminal: {error}"))?;
    say(args, device, "device", &terminal.path)?;
    let served = paravisor.serve(&mut terminal.ours, || defect(args.defect.as_deref()));
    served.map_err(|error| format!("the device: {error}"))
}

/// The same for a machine in QEMU, which turns the TPM on and extends its registers.
fn for_a_machine(args: &Args, device: &Device, path: &Path) -> Result<(), String> {
    let machine = Machine::provision().map_err(|error| no_tpm(&error))?;
    write_files(args, device, &[])?;
    let listener = UnixListener::bind(path).map_err(|error| format!("cannot listen on {}: {error}", path.display()))?;
    say(args, device, "qemu", path)?;
    let (mut qemu, _) = listener.accept().map_err(|error| format!("QEMU did not come: {error}"))?;
    let turned_on = Paravisor::of_a_machine(machine, device.platform());
    let (mut paravisor, mut control) = turned_on.map_err(|error| no_tpm(&error))?;
    let (sender, guests) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        if let Err(error) = control.relay(&mut qemu, |guest| drop(sender.send(guest))) {
            eprintln!("forge-guest: the control channel: {error}");
        }
    });
    let mut guest = guests.recv().map_err(|_| "QEMU has hung up before its machine started".to_owned())?;
    match paravisor.serve(&mut guest, || defect(args.defect.as_deref())) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(()),
        served => served.map_err(|error| format!("the machine: {error}")),
    }
}

fn no_tpm(error: &std::io::Error) -> String {
    format!("no software TPM (is swtpm installed?): {error}")
}

/// The log of what was extended into the registers, where a machine hands one out.
fn write_log(args: &Args) -> Result<(), String> {
    let log = match args.event_log {
        None | Some(EventLog::None) => return Ok(()),
        Some(EventLog::Own) => encode(&BOOT),
        Some(EventLog::Another) => encode(&BOOT[1..]),
    };
    std::fs::write(args.dir.join("event-log.bin"), log)
        .map_err(|error| format!("cannot write into `{}`: {error}", args.dir.display()))
}

fn write_files(args: &Args, device: &Device, more: &[(&str, serde_json::Value)]) -> Result<(), String> {
    device.write_files(&args.dir, more).map_err(|error| format!("cannot write into `{}`: {error}", args.dir.display()))
}

/// Starts the host's metadata service and says where it is, and where the TPM.
fn say(args: &Args, device: &Device, name: &str, path: &Path) -> Result<(), String> {
    let file = args.defect.clone();
    let refuses = move || defect(file.as_deref()) == Some(Defect::NoService);
    let host = Host::start(args.listen, device.platform(), refuses)
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    println!("{}", serde_json::json!({ "listening": host.address.to_string(), name: path.display().to_string() }));
    std::io::stdout().flush().map_err(|error| format!("cannot write to stdout: {error}"))?;
    eprintln!("forge-guest: a forged {} VM of Azure, its vTPM at {}", device.name(), path.display());
    Ok(())
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
