//! What a service manager is told: systemd's `sd_notify` protocol, one datagram to the socket that `NOTIFY_SOCKET` names.
//!
//! Nothing is told where there is no such variable. The protocol is a few lines of text (sd_notify(3)); a socket is a path, or an abstract
//! name behind `@`.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tell {
    /// It listens; or a reload is over.
    Ready,
    /// A reload begins.
    Reloading,
    /// It finishes what is in flight, and ends.
    Stopping,
    /// It is alive.
    Alive,
}

/// The service manager, if there is one.
#[derive(Debug)]
pub struct Supervisor {
    to: Option<(UnixDatagram, SocketAddr)>,
    /// Within which time it wants to hear from us.
    watchdog: Option<Duration>,
}

/// The variables of the environment make no sense.
#[derive(Debug)]
pub struct BadEnvironment(&'static str, String);

impl fmt::Display for BadEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(variable, why) = self;
        write!(f, "`{variable}` of the environment is not understood: {why}")
    }
}

impl std::error::Error for BadEnvironment {}

impl Supervisor {
    /// The one that the environment of this process names.
    pub fn from_environment() -> Result<Self, BadEnvironment> {
        Self::named_by(|name| std::env::var_os(name), std::process::id())
    }

    fn named_by(variable: impl Fn(&str) -> Option<OsString>, own_id: u32) -> Result<Self, BadEnvironment> {
        let bad = |name, why: &dyn fmt::Display| BadEnvironment(name, why.to_string());
        let Some(name) = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(Self { to: None, watchdog: None });
        };
        let address = match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
            [b'/', ..] => SocketAddr::from_pathname(&name),
            _ => Err(io::Error::other("expected a path, or `@` and a name")),
        };
        let address = address.map_err(|why| bad("NOTIFY_SOCKET", &why))?;
        let socket = UnixDatagram::unbound().map_err(|why| bad("NOTIFY_SOCKET", &why))?;
        // A manager that does not read must not hold up a gateway.
        socket.set_nonblocking(true).map_err(|why| bad("NOTIFY_SOCKET", &why))?;
        let number = |name| match variable(name) {
            None => Ok(None),
            Some(text) => match text.to_str().and_then(|text| text.parse::<u64>().ok()) {
                Some(number) => Ok(Some(number)),
                None => Err(bad(name, &format!("expected a number, found {text:?}"))),
            },
        };
        let is_ours = number("WATCHDOG_PID")?.is_none_or(|id| id == u64::from(own_id));
        let watchdog = number("WATCHDOG_USEC")?.filter(|micros| is_ours && *micros > 0).map(Duration::from_micros);
        Ok(Self { to: Some((socket, address)), watchdog })
    }

    /// How often it wants to hear that we live: twice in its time.
    pub fn pulse(&self) -> Option<Duration> {
        self.watchdog.map(|within| within / 2)
    }

    /// Tells it. That it cannot be told is its own loss, and said in the log.
    pub fn tell(&self, what: Tell) {
        let Some((socket, address)) = &self.to else { return };
        let words = match what {
            Tell::Ready => "READY=1\n".to_owned(),
            Tell::Reloading => format!("RELOADING=1\nMONOTONIC_USEC={}\n", monotonic_micros()),
            Tell::Stopping => "STOPPING=1\n".to_owned(),
            Tell::Alive => "WATCHDOG=1\n".to_owned(),
        };
        if let Err(error) = socket.send_to_addr(words.as_bytes(), address) {
            tracing::warn!("the service manager cannot be told `{}`: {error}", words.trim_end().escape_debug());
        }
    }
}

/// By the clock that the manager compares with.
fn monotonic_micros() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(variables: &[(&str, &str)]) -> Result<Supervisor, BadEnvironment> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        Supervisor::named_by(find, 7)
    }

    fn heard(socket: &UnixDatagram) -> String {
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn it_is_told_over_a_path_and_over_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("teegate-test-{}", std::process::id());
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (socket, named) in [(by_path, path.to_str().unwrap().to_owned()), (by_name, format!("@{name}"))] {
            let supervisor = manager(&[("NOTIFY_SOCKET", &named)]).unwrap();
            let before = monotonic_micros();
            for what in [Tell::Ready, Tell::Reloading, Tell::Alive, Tell::Stopping] {
                supervisor.tell(what);
            }
            assert_eq!(heard(&socket), "READY=1\n");
            let reloading = heard(&socket);
            let micros =
                reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim_end().parse::<u64>().unwrap();
            assert!((before..=monotonic_micros()).contains(&micros), "{micros}");
            assert_eq!((heard(&socket), heard(&socket)), ("WATCHDOG=1\n".to_owned(), "STOPPING=1\n".to_owned()));
        }
    }

    #[test]
    fn the_watchdog_is_ours_or_somebody_elses_and_nonsense_is_refused() {
        let socket = ("NOTIFY_SOCKET", "/run/nobody");
        let pulse = |more: &[(&str, &str)]| manager(&[&[socket], more].concat()).unwrap().pulse();
        assert_eq!(pulse(&[]), None);
        assert_eq!(pulse(&[("WATCHDOG_USEC", "30000000")]), Some(Duration::from_secs(15)));
        assert_eq!(pulse(&[("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "7")]), Some(Duration::from_secs(15)));
        assert_eq!(pulse(&[("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "8")]), None, "another process");
        assert_eq!(manager(&[("WATCHDOG_USEC", "30000000")]).unwrap().pulse(), None, "nobody would hear it");
        for (variables, said) in [
            (
                [socket, ("WATCHDOG_USEC", "soon")],
                "`WATCHDOG_USEC` of the environment is not understood: expected a number",
            ),
            ([("NOTIFY_SOCKET", "run/x"), ("x", "")], "expected a path, or `@` and a name"),
        ] {
            let error = manager(&variables).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        // Nobody is there: that is said in the log, and nothing else happens.
        manager(&[socket]).unwrap().tell(Tell::Ready);
        manager(&[]).unwrap().tell(Tell::Ready);
    }
}
