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
mod half;
mod inference;
mod metadata;
mod raw;
mod request;
mod tensor;
mod text;

pub use answer::{answer, json_part};
pub use check::{Outline, ask_for_raw_outputs, check_request};
pub use error::TensorError;
pub use half::{bf16_from_f32, f32_from_bf16, f32_from_fp16, fp16_from_f64};
pub use inference::Inference;
pub use metadata::{Described, Metadata};
pub use request::{Options, request, request_with};
pub use teegate_protocol::oip::Datatype;
pub use tensor::{Tensor, TensorData};

#[cfg(test)]
mod tests;
