//! OpenTelemetry: spans of what this process does, and the metrics of `/metrics`, over OTLP (HTTP, Protocol Buffers). Off unless
//! `[telemetry]` names a receiver; the gateway alone has it, since nothing in an enclave-app's configuration may weaken
//! confidentiality.
//!
//! **Nothing secret leaves by it, by type.** A span has a name out of one table ([`SPANS`]) and attributes out of another
//! ([`ATTRIBUTES`]), each with a type that no byte of a request fits into: words of this program, numbers, digests, addresses of
//! instances, tenants. No path, no query, no header, no body, no client's address is among them.
//!
//! **Nothing waits for it.** What has ended goes into a bounded queue, or is dropped and counted. Tasks beside the request path send
//! it; a receiver that is gone, slow or hostile costs what the queue cannot keep.
//!
//! `context` (what a client says of its trace) and `sampler` decide whether there is a span at all, `span` is what the rest of the
//! gateway holds, `scrape` reads the metrics' text again, `message` is what goes over the wire, `exporter` sends it by `receiver`.

mod attribute;
pub mod config;
mod context;
mod endpoint;
mod exporter;
mod headers;
mod message;
mod receiver;
mod sampler;
mod scrape;
mod span;

pub use self::attribute::ATTRIBUTES;
pub(crate) use self::attribute::Attribute;
pub use self::exporter::{Exporting, export};
pub use self::receiver::Receiver;
pub(crate) use self::span::Lineage;
pub use self::span::{Queue, SPANS, Span, Task, Tracer};

#[cfg(test)]
mod tests;
