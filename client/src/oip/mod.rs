//! Requests and answers of the Open Inference Protocol v2, as a client writes and reads them.
//!
//! <https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol>, sections *Inference Request JSON
//! Object* and *Inference Response JSON Object*, with the binary tensor extension. Written flat, in row-major order; an answer
//! must be flat too.
//!
//! What is private stays out of messages: an error says where it stands and what was expected, and `Debug` says lengths;
//! neither repeats a byte of a request or an answer.

mod answer;
mod check;
mod error;
mod inference;
mod request;
mod tensor;
mod text;

pub use answer::{answer, json_part};
pub use check::{Outline, check_request};
pub use error::TensorError;
pub use inference::Inference;
pub use request::request;
pub use tensor::{Tensor, TensorData};

#[cfg(test)]
mod tests;
