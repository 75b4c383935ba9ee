//! Every attribute of a span, in one table: `docs/OPERATIONS.md` has the same rows, and a test holds the two together.
//!
//! What a value may be is said by its type, and no type here can hold a byte that a client chose: words of this program, numbers,
//! digests of what was judged, addresses of the configuration or of discovery, names of tenants. Names of HTTP and of errors are those
//! of OpenTelemetry's semantic conventions.

use std::net::IpAddr;

use teegate_protocol::manifest::{InstanceId, ManifestDigest};

use crate::caller::Tenant;
use crate::config::Address;

/// A word of this program: nothing that was read or received has this type.
type Word = &'static str;

/// A value as it is written down.
pub(super) enum Value {
    Text(String),
    Number(i64),
    Texts(Vec<Word>),
}

macro_rules! attributes {
    ($($variant:ident($type:ty), $name:literal, $help:literal;)*) => {
        /// One attribute of a span.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub(crate) enum Attribute {
            $(#[doc = $help] $variant($type),)*
        }

        /// The name of every attribute, and what it says.
        pub const ATTRIBUTES: &[(&str, &str)] = &[$(($name, $help)),*];

        impl Attribute {
            /// Its name, and its value.
            pub(super) fn written(&self) -> (Word, Value) {
                match self {
                    $(Self::$variant(value) => ($name, Write::write(value)),)*
                }
            }
        }
    };
}

attributes! {
    Method(Word), "http.request.method", "the method; `_OTHER` where it is none that HTTP defines";
    Route(Word), "http.route", "which endpoint; absent for a path that is none";
    Path(Word), "url.path", "the same: never the path as it was asked for";
    Scheme(Word), "url.scheme", "`https` where the gateway itself speaks TLS";
    Version(Word), "network.protocol.version", "`1.1` or `2`";
    ServerAddress(IpAddr), "server.address", "the address at which the gateway listens for clients";
    ServerPort(u16), "server.port", "and the port";
    Status(u16), "http.response.status_code", "the status that the client was answered";
    Size(u64), "http.request.body.size", "bytes of the sealed request";
    Error(Word), "error.type", "what went wrong: a problem, a kind of silence, or an outcome of the log";
    Tenant(Tenant), "teegate.tenant", "in whose name it was asked; `-` is nobody";
    Problem(Word), "teegate.problem", "the problem that the client was told";
    Manifest(ManifestDigest), "teegate.manifest", "digest of the manifest that the request was sealed to";
    Address(Address), "teegate.instance.address", "the address of an instance";
    Instance(InstanceId), "teegate.instance.id", "who was proven to be there";
    PolicyVersion(u64), "teegate.policy_version", "under which policy of this process";
    Checks(Vec<Word>), "teegate.failed_checks", "the checks that refused evidence";
    Outcome(Word), "teegate.outcome", "how it ended, in the words of log and metrics";
}

/// How a type is written. That a type has this is what lets it into the table.
trait Write {
    fn write(&self) -> Value;
}

impl Write for Word {
    fn write(&self) -> Value {
        Value::Text((*self).to_owned())
    }
}

impl Write for u16 {
    fn write(&self) -> Value {
        Value::Number((*self).into())
    }
}

impl Write for u64 {
    fn write(&self) -> Value {
        Value::Number(i64::try_from(*self).unwrap_or(i64::MAX))
    }
}

impl Write for IpAddr {
    fn write(&self) -> Value {
        Value::Text(self.to_string())
    }
}

impl Write for Tenant {
    fn write(&self) -> Value {
        Value::Text(self.name().to_owned())
    }
}

impl Write for Address {
    fn write(&self) -> Value {
        Value::Text(self.as_str().to_owned())
    }
}

impl Write for ManifestDigest {
    fn write(&self) -> Value {
        Value::Text(self.to_string())
    }
}

impl Write for InstanceId {
    fn write(&self) -> Value {
        Value::Text(self.to_string())
    }
}

impl Write for Vec<Word> {
    fn write(&self) -> Value {
        Value::Texts(self.clone())
    }
}
