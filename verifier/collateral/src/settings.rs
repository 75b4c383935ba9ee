//! What a fetcher is told once: whom to ask, where to keep answers, and how much of anything it may use.

use std::path::PathBuf;
use std::time::Duration;

use crate::document::Update;
use crate::source::Source;

/// Settings of a [`Fetcher`](crate::Fetcher).
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whom to ask, in order; the first that answers wins, document by document.
    pub sources: Vec<Source>,
    /// The folder that answers are kept in; it is made where it does not exist. `None`: nothing is kept.
    pub cache: Option<PathBuf>,
    /// Which of Intel's evaluations.
    pub updates: Updates,
    /// By whom the services' TLS certificates are recognised.
    pub tls_roots: TlsRoots,
    /// What the services are told of the caller.
    pub user_agent: String,
    /// How much is read.
    pub limits: Limits,
    /// How long anything is waited for.
    pub patience: Patience,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sources: Source::vendors(),
            cache: None,
            updates: Updates::Standard,
            tls_roots: TlsRoots::System,
            user_agent: concat!("teegate/", env!("CARGO_PKG_VERSION")).to_owned(),
            limits: Limits::default(),
            patience: Patience::default(),
        }
    }
}

/// Which of Intel's evaluations are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Updates {
    /// The standard one.
    Standard,
    /// The newest.
    Early,
    /// Both; the verifier judges by the newer.
    Both,
}

impl Updates {
    pub(crate) const fn each(self) -> &'static [Update] {
        match self {
            Self::Standard => &[Update::Standard],
            Self::Early => &[Update::Early],
            Self::Both => &[Update::Standard, Update::Early],
        }
    }
}

/// Certificate authorities by which services are recognised. It is not what makes an answer believed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsRoots {
    /// Those of this machine (`SSL_CERT_FILE` and `SSL_CERT_DIR` are heeded), so that a cache or proxy of one's own, which
    /// the machine trusts, works as it stands.
    System,
    /// These alone, in PEM.
    Pem(Vec<u8>),
}

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of one answer. The largest in use, a TCB info, has 25 KB.
    pub max_body_bytes: usize,
    /// Of the header of one answer, in steps of the reader: less than twice as much is ever read. An issuer chain takes 3 KB.
    pub max_header_bytes: usize,
    /// Files of the cache; beyond them the one that was not used for longest goes.
    pub max_cache_files: u64,
    /// Bytes of the cache, likewise.
    pub max_cache_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_body_bytes: 1 << 20, max_header_bytes: 64 << 10, max_cache_files: 65_536, max_cache_bytes: 1 << 30 }
    }
}

/// How long anything is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a TCP connection and a TLS handshake.
    pub connect: Duration,
    /// For one exchange, from the request to the last byte of the answer.
    pub exchange: Duration,
    /// For everything that one piece of evidence needs.
    pub overall: Duration,
    /// How often one service is asked for one document.
    pub attempts: u32,
    /// Before the second attempt, where the service names no time; doubled before each further one.
    pub first_wait: Duration,
    /// The longest of those, and the longest `Retry-After` that is waited out. Beyond it the failure says when to try again.
    pub max_wait: Duration,
    /// Between two requests for the same VCEK, which is what AMD asks for.
    pub vcek_interval: Duration,
    /// Age from which a kept answer is asked for again, if the vendor can say something newer: what was revoked since is
    /// not to wait for a window of a month, or a year, to end.
    pub max_age: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            exchange: Duration::from_secs(20),
            overall: Duration::from_secs(120),
            attempts: 3,
            first_wait: Duration::from_secs(1),
            max_wait: Duration::from_secs(60),
            vcek_interval: Duration::from_secs(10),
            max_age: Duration::from_secs(24 * 60 * 60),
        }
    }
}
