//! Where something was measured.

use std::time::{SystemTime, UNIX_EPOCH};

use teegate_verifier::UnixTime;

use crate::Outcome;

/// When and on what, and the command that did it.
pub fn described(command: &str) -> Outcome<String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let information = read("/proc/cpuinfo");
    let processor = information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let processors = std::thread::available_parallelism()?;
    let (kernel, load) = (read("/proc/sys/kernel/osrelease"), read("/proc/loadavg"));
    let load = load.split(' ').next().unwrap_or_default();
    let now = UnixTime::from_seconds(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    let built = if cfg!(debug_assertions) { "**Built for debugging: no number here means anything.** " } else { "" };
    Ok(format!(
        "{built}Measured at {now} on {processors} processors ({}), Linux {}, load {load} at the start:\n\n```sh\n{command}\n```",
        processor.map_or("of an unknown kind", |(_, name)| name),
        kernel.trim(),
    ))
}
