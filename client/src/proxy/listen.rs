//! Where the door is: a loopback address, or a Unix socket of mode 0600. Anything else has to be asked for as dangerous.

use std::fmt;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use teegate_encoding::hex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A loopback address; port 0 is any that is free.
    Loopback(SocketAddr),
    /// A Unix socket, which this user alone can open.
    Unix(PathBuf),
    /// An address that others may reach, in plaintext.
    Dangerous(SocketAddr),
}

impl Listen {
    /// Reads `PORT`, `ADDRESS:PORT` with a loopback address, `localhost:PORT` or `unix:PATH`.
    pub fn parse(text: &str) -> Result<Self, ListenError> {
        let wrong = |reason: &str| Err(ListenError { place: text.to_owned(), reason: reason.to_owned() });
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { wrong("the path is missing") } else { Ok(Self::Unix(path.into())) };
        }
        let port = text.strip_prefix("localhost:").unwrap_or(text);
        let address = match port.parse::<u16>() {
            Ok(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            Err(_) => text.parse().ok(),
        };
        match address {
            Some(address) if address.ip().is_loopback() => Ok(Self::Loopback(address)),
            Some(_) => wrong(
                "it is no loopback address, and what comes in here is not encrypted; `--dangerous-listen` takes others",
            ),
            None => wrong("expected PORT, 127.0.0.1:PORT, [::1]:PORT or unix:PATH"),
        }
    }

    /// Listens there.
    pub async fn bind(&self) -> Result<Listener, ListenError> {
        let failed = |cause: io::Error| ListenError { place: self.to_string(), reason: cause.to_string() };
        match self {
            Self::Loopback(address) | Self::Dangerous(address) => {
                Ok(Listener(Bound::Tcp(TcpListener::bind(address).await.map_err(failed)?)))
            }
            Self::Unix(path) => unix(path).map(Listener).map_err(failed),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback(address) | Self::Dangerous(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Nobody can listen there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenError {
    place: String,
    reason: String,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on `{}`: {}", self.place, self.reason)
    }
}

impl std::error::Error for ListenError {}

/// A listener. A Unix socket is removed with it.
pub struct Listener(Bound);

enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener, Socket),
}

/// A stream of either kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Listener {
    /// Where it is, with the port that was free: `127.0.0.1:PORT` or `unix:PATH`.
    pub fn place(&self) -> String {
        match &self.0 {
            // A bound socket has an address.
            Bound::Tcp(tcp) => {
                tcp.local_addr().unwrap_or(SocketAddr::from((IpAddr::V4(Ipv4Addr::LOCALHOST), 0))).to_string()
            }
            Bound::Unix(_, socket) => format!("unix:{}", socket.path.display()),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match &self.0 {
            Bound::Tcp(tcp) => {
                let (stream, _) = tcp.accept().await?;
                // Without it every small answer would wait for an acknowledgement.
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Bound::Unix(unix, _) => Ok(Box::new(unix.accept().await?.0)),
        }
    }
}

/// A socket in the file system, as long as it is ours.
struct Socket {
    path: PathBuf,
    inode: (u64, u64),
}

impl Drop for Socket {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|inode| inode == self.inode) {
            let _gone = fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// Listens in a folder that only this user can enter, narrows the socket, and moves it to its place: at no time is it open to
/// anybody else. A socket that nobody listens on any more is replaced; whatever else is there stays.
fn unix(path: &Path) -> io::Result<Bound> {
    match fs::symlink_metadata(path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => {}
        Err(cause) => return Err(cause),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "there is something, and it is no socket"));
        }
        Ok(_) => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(ErrorKind::AddrInUse, "somebody listens there"));
            }
        }
    }
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|_| io::Error::other("the system gave no random bytes"))?;
    let beside = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = beside.join(format!(".tg-{}", hex::encode(random)));
    DirBuilder::new().mode(0o700).create(&folder)?;
    let place = folder.join("s");
    let bound = UnixListener::bind(&place).and_then(|listener| {
        fs::set_permissions(&place, Permissions::from_mode(0o600))?;
        let inode = inode(&place)?;
        fs::rename(&place, path)?;
        Ok(Bound::Unix(listener, Socket { path: path.to_owned(), inode }))
    });
    let _gone = fs::remove_file(&place);
    let _gone = fs::remove_dir(&folder);
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> PathBuf {
        let mut random = [0; 8];
        getrandom::fill(&mut random).unwrap();
        let folder = std::env::temp_dir().join(format!("teegate-listen-{}", hex::encode(random)));
        fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn only_this_machine_and_a_socket_are_places() {
        let loopback = |text: &str| Ok(Listen::Loopback(text.parse().unwrap()));
        for (text, place) in [
            ("8000", loopback("127.0.0.1:8000")),
            ("localhost:0", loopback("127.0.0.1:0")),
            ("127.0.0.2:1", loopback("127.0.0.2:1")),
            ("[::1]:8000", loopback("[::1]:8000")),
            ("unix:/run/door", Ok(Listen::Unix("/run/door".into()))),
        ] {
            assert_eq!(Listen::parse(text), place, "{text}");
        }
        for (text, reason) in [
            ("0.0.0.0:80", "no loopback address"),
            ("[::]:80", "no loopback address"),
            ("192.168.0.1:80", "--dangerous-listen"),
            ("[::ffff:127.0.0.1]:80", "no loopback address"),
            ("example.org:80", "expected PORT"),
            ("127.0.0.1", "expected PORT"),
            ("70000", "expected PORT"),
            ("unix:", "the path is missing"),
            ("", "expected PORT"),
        ] {
            let refused = Listen::parse(text).unwrap_err().to_string();
            assert!(
                refused.starts_with(&format!("cannot listen on `{text}`: ")) && refused.contains(reason),
                "{refused}"
            );
        }
    }

    #[tokio::test]
    async fn a_socket_is_this_users_alone_and_goes_with_its_listener() {
        let folder = folder();
        let path = folder.join("door");
        let listen = Listen::Unix(path.clone());
        let listener = listen.bind().await.unwrap();
        let found = fs::symlink_metadata(&path).unwrap();
        assert!(found.file_type().is_socket());
        assert_eq!(found.mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing else is left");
        assert_eq!(listener.place(), format!("unix:{}", path.display()));

        let refused = listen.bind().await.map(drop).unwrap_err().to_string();
        assert!(refused.contains("somebody listens there"), "{refused}");
        drop(listener);
        assert!(!path.exists());

        // One that a process left behind is replaced; anything else is not.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let listener = listen.bind().await.unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"mine").unwrap();
        drop(listener);
        assert_eq!(fs::read(&path).unwrap(), b"mine", "what is there now is somebody else's");
        let refused = listen.bind().await.map(drop).unwrap_err().to_string();
        assert!(refused.contains("no socket"), "{refused}");
        fs::remove_dir_all(folder).unwrap();
    }
}
