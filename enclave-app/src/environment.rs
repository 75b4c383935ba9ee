//! The process environment is chosen by whoever starts the process, and it reaches further than the configuration:
//! `LD_PRELOAD` puts code into the enclave, and ONNX Runtime reads two dozen variables of its own.
//!
//! So `LD_*` and an `/etc/ld.so.preload` are fatal, and everything else is dropped: the program replaces itself, once, by the same program with an
//! environment that it chose. That is also the only way to turn ONNX Runtime's telemetry off *before* it is
//! initialised. The library sends one event while its environment is being created, before the C interface can be asked
//! not to; `ORT_DISABLE_TELEMETRY`, read at that moment, prevents the uploader, the device identifier and the cache
//! file altogether (microsoft/onnxruntime, pull request 27379). Seen with 1.31.1 in a namespace without a network:
//! creating an environment without the variable starts a thread and writes a device identifier and a database below the
//! cache folder; with it, neither.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;

/// Read by ONNX Runtime when it is initialised: with `1` it creates no uploader, no identifier and no cache.
const TELEMETRY_OFF: (&str, &str) = ("ORT_DISABLE_TELEMETRY", "1");

/// Read by the C library: a block of so many bytes is mapped, and unmapped when it is freed. Otherwise the library raises
/// the threshold to the largest block that it has seen, and keeps freed blocks below it, of every thread: three times the
/// memory that was in use was seen to stay. That is the library's default at the start, fixed by being named.
const LARGE_BLOCKS: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "131072");

/// What an environment is made of: names and values.
pub type Chosen = [(&'static str, &'static str)];

/// All that this module chooses for this program.
pub const OWN: &Chosen = &[TELEMETRY_OFF, LARGE_BLOCKS];

/// And for its workers. ONNX Runtime without its arena takes and frees the same blocks in every run, and what is mapped anew
/// costs a fault for each page: a twentieth of a run of MiniLM. So blocks up to 2 MiB come from one heap, whose end goes
/// back to the system where more than 4 MiB of it are free.
pub const OF_WORKERS: &Chosen = &[
    TELEMETRY_OFF,
    ("MALLOC_MMAP_THRESHOLD_", "2097152"),
    ("MALLOC_TRIM_THRESHOLD_", "4194304"),
    ("MALLOC_ARENA_MAX", "1"),
];

/// The level of the log, the one thing that an environment may say.
const LOG_LEVEL: &str = "TEEGATE_LOG";

/// Libraries that the dynamic loader adds to every process.
const PRELOAD: &str = "/etc/ld.so.preload";

/// Why this environment cannot be used.
#[derive(Debug)]
pub enum EnvironmentError {
    /// A variable of the dynamic loader is set: other code may already run in this process.
    LoaderVariable(String),
    /// A file names libraries to load into every process.
    Preload,
    /// What lies at `/proc` is not the kernel's.
    Proc,
    /// `TEEGATE_LOG` is none of the levels.
    LogLevel(String),
    /// The program could not replace itself.
    Exec(std::io::Error),
}

impl std::fmt::Display for EnvironmentError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LoaderVariable(name) => write!(
                f,
                "environment: `{name}` is set, and variables of the dynamic loader can put other code into this process; start enclave-app without any `LD_*`"
            ),
            Self::Preload => write!(
                f,
                "`{PRELOAD}` is not empty or cannot be read, so other code may run in this process; start enclave-app without it"
            ),
            Self::Proc => {
                write!(f, "`/proc` is not the proc file system, so this program cannot find itself there; mount it")
            }
            Self::LogLevel(value) => {
                write!(f, "environment: `{LOG_LEVEL}` is `{value}`, expected one of error, warn, info, debug, trace")
            }
            Self::Exec(source) => {
                write!(f, "enclave-app could not start itself again with a clean environment: {source}")
            }
        }
    }
}

impl std::error::Error for EnvironmentError {}

/// The log level that the environment asks for.
///
/// # Errors
/// [`EnvironmentError::LogLevel`] for anything but the five levels.
pub fn log_level() -> Result<tracing::Level, EnvironmentError> {
    match std::env::var_os(LOG_LEVEL) {
        None => Ok(tracing::Level::INFO),
        Some(value) => match value.to_str() {
            Some("error") => Ok(tracing::Level::ERROR),
            Some("warn") => Ok(tracing::Level::WARN),
            Some("info") => Ok(tracing::Level::INFO),
            Some("debug") => Ok(tracing::Level::DEBUG),
            Some("trace") => Ok(tracing::Level::TRACE),
            _ => Err(EnvironmentError::LogLevel(value.to_string_lossy().into_owned())),
        },
    }
}

/// Returns when the environment is the chosen one; otherwise replaces the process by itself with that
/// environment. Does not return in that case: same process id, same arguments, same descriptors.
///
/// # Errors
/// [`EnvironmentError::LoaderVariable`] when any `LD_*` is set, [`EnvironmentError::Preload`] when a file does the same,
/// [`EnvironmentError::Proc`] when the program could be given another one for itself.
pub fn enter(chosen: &Chosen) -> Result<(), EnvironmentError> {
    let present: Vec<OsString> = std::env::vars_os().map(|(name, _)| name).collect();
    refuse_loader_variables(&present)?;
    refuse_preload(Path::new(PRELOAD))?;
    require_proc(Path::new("/proc/self"))?;
    let has = |(name, value): &(&str, &str)| std::env::var_os(name).is_some_and(|found| found == *value);
    let is_known = |name: &OsString| name == LOG_LEVEL || chosen.iter().any(|(own, _)| name == own);
    if chosen.iter().all(has) && present.iter().all(is_known) {
        return Ok(());
    }
    // `/proc/self/exe` is the very file that runs now, whatever has happened to its path.
    let mut again = std::process::Command::new("/proc/self/exe");
    let mut arguments = std::env::args_os();
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    again
        .args(arguments)
        .env_clear()
        .envs(chosen.iter().copied())
        .envs(std::env::vars_os().filter(|(name, _)| name == LOG_LEVEL));
    Err(EnvironmentError::Exec(again.exec()))
}

/// Leaves the working directory for one that is empty and already removed, so that no relative path names anything.
///
/// ONNX Runtime resolves a model's relative references against the working directory even when the model came from
/// memory.
///
/// # Errors
/// The last error, when no directory could be made in any of the places tried.
pub fn leave_working_directory() -> std::io::Result<()> {
    let name = format!("teegate-empty-{}", std::process::id());
    let mut last = std::io::Error::other("no place for an empty directory");
    for parent in [std::env::temp_dir(), "/dev/shm".into(), "/run".into()] {
        let empty = parent.join(&name);
        // `create_dir` fails on anything that already stands there, so what is entered is new and empty.
        let entered = std::fs::create_dir(&empty).and_then(|()| {
            let result = std::env::set_current_dir(&empty);
            std::fs::remove_dir(&empty).and(result)
        });
        match entered {
            Ok(()) => return Ok(()),
            Err(source) => last = source,
        }
    }
    Err(last)
}

/// Whether ONNX Runtime, initialised now, would keep its telemetry off.
pub fn telemetry_is_off() -> bool {
    std::env::var_os(TELEMETRY_OFF.0).is_some_and(|value| value == TELEMETRY_OFF.1)
}

fn refuse_loader_variables(names: &[OsString]) -> Result<(), EnvironmentError> {
    match names.iter().find(|name| name.as_encoded_bytes().starts_with(b"LD_")) {
        Some(name) => Err(EnvironmentError::LoaderVariable(name.to_string_lossy().into_owned())),
        None => Ok(()),
    }
}

fn refuse_preload(file: &Path) -> Result<(), EnvironmentError> {
    match std::fs::metadata(file) {
        Ok(found) if found.len() == 0 => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Ok(_) | Err(_) => Err(EnvironmentError::Preload),
    }
}

/// This program is started again, and its library loaded, by a path below `/proc`.
fn require_proc(directory: &Path) -> Result<(), EnvironmentError> {
    match rustix::fs::statfs(directory) {
        Ok(found) if found.f_type == rustix::fs::PROC_SUPER_MAGIC => Ok(()),
        Ok(_) | Err(_) => Err(EnvironmentError::Proc),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_for_every_process_and_another_proc_are_fatal() {
        let folder = std::env::temp_dir().join(format!("teegate-preload-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("ld.so.preload");
        assert!(refuse_preload(&file).is_ok());
        std::fs::write(&file, "").unwrap();
        assert!(refuse_preload(&file).is_ok());
        std::fs::write(&file, "/x.so").unwrap();
        assert!(matches!(refuse_preload(&file), Err(EnvironmentError::Preload)));
        assert!(require_proc(Path::new("/proc/self")).is_ok());
        assert!(matches!(require_proc(&folder), Err(EnvironmentError::Proc)));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn any_variable_of_the_loader_is_fatal() {
        for name in ["LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "LD_anything"] {
            match refuse_loader_variables(&["PATH".into(), name.into()]) {
                Err(EnvironmentError::LoaderVariable(named)) => assert_eq!(named, name),
                other => panic!("{name}: {other:?}"),
            }
        }
        assert!(refuse_loader_variables(&["PATH".into(), "OLD_PWD".into(), "LDFLAGS".into()]).is_ok());
    }
}
