//! Turns what people have into [`Evidence`](teegate_verifier::Evidence) and [`Endorsements`](teegate_verifier::Endorsements):
//! files, folders, envelopes, hexadecimal and base64 text, dumps, members of JSON, each recognised by its content and never by its name.
//!
//! And [`envelope`] is the one judgement of what an instance sends, for client and gateway alike.
//!
//! Nothing else is decided here. What is recognised is handed on byte for byte; whether to believe it is the verifier's question.
//! So a report of the wrong length still leaves this crate as a report, and signed text leaves it as the exact text that was
//! signed. What cannot be recognised is an [`IntakeError`] that says what was expected and what to do.

mod aci;
mod answer;
mod azure_vtpm;
pub mod bundle;
mod certificate_table;
mod cmw_cbor;
mod coco;
mod collateral;
mod dump;
mod encoded;
pub mod endorsements;
pub mod envelope;
mod error;
pub mod evidence;
mod files;
mod first_bytes;
pub mod forecast;
mod go_attestation;
mod json;
mod label;
mod lookalike;
mod member;
mod owned;
mod pem;
mod protobuf;
mod ra_tls;
mod respelt;
mod saved_response;
mod statement;
mod tsm;
mod unwrapped;
mod words;
mod wrapper;

pub use error::{Defect, IntakeError};
pub use label::Label;
pub use statement::Statement;
