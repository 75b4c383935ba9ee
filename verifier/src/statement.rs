//! A statement by a vendor: who brought it, its bytes, and what was found out about them so far.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

/// Who brought a statement to a verification. It decides nothing about whether the statement is believed, signatures do; it
/// decides who may spend whose share of the work, whose statements a memory learns from, and what a report says of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Source {
    /// The user named it.
    #[default]
    Supplied,
    /// A vendor's service was asked for it, now or before.
    Fetched,
    /// A gateway handed it on.
    Relayed,
    /// It was in a bundle.
    Bundle,
    /// It came with the evidence.
    Evidence,
}

impl Source {
    /// Every source, in the order in which their statements are tried.
    pub const ALL: [Self; 5] = [Self::Supplied, Self::Fetched, Self::Relayed, Self::Bundle, Self::Evidence];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Supplied => "supplied",
            Self::Fetched => "fetched",
            Self::Relayed => "relayed",
            Self::Bundle => "bundle",
            Self::Evidence => "evidence",
        }
    }

    /// Whether the user, or a vendor whom the user had asked, chose this statement. Whoever is judged, or stands between,
    /// chose the others: what of theirs was not looked at is passed over; of the user's it is refused, because it may be the
    /// statement that says no.
    pub const fn is_the_users(self) -> bool {
        matches!(self, Self::Supplied | Self::Fetched)
    }
}

impl serde::Serialize for Source {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One statement, and how it came here.
pub(crate) struct Brought<T: Readable> {
    pub(crate) item: Arc<Item<T>>,
    pub(crate) source: Source,
    /// A file, a URL, an age: for the report.
    pub(crate) from: Option<Arc<str>>,
}

impl<T: Readable> Clone for Brought<T> {
    fn clone(&self) -> Self {
        Self { item: self.item.clone(), source: self.source, from: self.from.clone() }
    }
}

/// The bytes of one statement, with what was found out about them: each once, however often the pool is used. Nothing that
/// is found out here is believed.
pub(crate) struct Item<T: Readable> {
    pub(crate) bytes: Bytes,
    /// r and s, big-endian, where the signature stands beside the text and not in it.
    pub(crate) signature: Option<[u8; 64]>,
    /// The digest of both, for whoever remembers it.
    pub(crate) name: OnceLock<[u8; 32]>,
    hint: OnceLock<Option<T::Hint>>,
    read: OnceLock<Result<Arc<T>, T::Error>>,
}

/// What the bytes of a statement are read as.
pub(crate) trait Readable: Sized + Send + Sync + 'static {
    /// What it says of itself, as far as choosing among several needs it.
    type Hint: Send + Sync;
    /// Why bytes are no such statement.
    type Error: Clone + Send + Sync;
    /// Reads what the statement says of itself; `None` where it says nothing.
    fn hint(bytes: &Bytes) -> Option<Self::Hint>;
    /// Reads all of it.
    fn read(bytes: &Bytes) -> Result<Self, Self::Error>;
}

impl<T: Readable> Item<T> {
    pub(crate) fn new(bytes: Bytes, signature: Option<[u8; 64]>) -> Self {
        Self { bytes, signature, name: OnceLock::new(), hint: OnceLock::new(), read: OnceLock::new() }
    }

    /// What the bytes say of themselves.
    pub(crate) fn hint(&self) -> Option<&T::Hint> {
        self.hint.get_or_init(|| T::hint(&self.bytes)).as_ref()
    }

    /// What the bytes say.
    pub(crate) fn read(&self) -> Result<&Arc<T>, T::Error> {
        self.read.get_or_init(|| T::read(&self.bytes).map(Arc::new)).as_ref().map_err(Clone::clone)
    }
}

/// A statement that a report keeps: shared with the pool that it came from, whatever is read in it.
#[derive(Clone)]
pub(crate) struct Stated(Arc<dyn Document>);

/// The bytes of a statement, and the signature that stands beside them in signed JSON.
pub(crate) trait Document: Send + Sync {
    fn bytes(&self) -> &[u8];
    fn signature(&self) -> Option<&[u8; 64]>;
}

impl<T: Readable> Document for Item<T> {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn signature(&self) -> Option<&[u8; 64]> {
        self.signature.as_ref()
    }
}

impl Stated {
    pub(crate) fn get(&self) -> &dyn Document {
        &*self.0
    }
}

impl<T: Readable> From<&Arc<Item<T>>> for Stated {
    fn from(item: &Arc<Item<T>>) -> Self {
        let item: Arc<dyn Document> = Arc::<Item<T>>::clone(item);
        Self(item)
    }
}

impl PartialEq for Stated {
    fn eq(&self, other: &Self) -> bool {
        self.get().bytes() == other.get().bytes() && self.get().signature() == other.get().signature()
    }
}

impl Eq for Stated {}

impl fmt::Debug for Stated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.get().bytes().len())
    }
}
