//! The whole path under load, beside what it could at best be: the same model asked the same questions in every way, in turns, in one run,
//! every answer checked.
//!
//! 1. [`model`]: the questions, and the answers that [`engine`], ONNX Runtime in this process, gives to them.
//! 2. [`stage`]: the real programs as processes on loopback, on forged hardware; [`process`] starts them and reads what they used.
//! 3. [`ways`]: how a question gets its answer: in this process, from a plain server, sealed, sealed through a gateway.
//! 4. [`round`]: so many clients asking one way for so long, and what that took.
//! 5. [`table`]: medians and ratios, beside what they are meant to be.

pub mod arguments;
pub mod engine;
pub mod machine;
pub mod model;
pub mod process;
pub mod round;
pub mod stage;
pub mod table;
pub mod tls;
pub mod ways;

/// What can go wrong says so in words; whoever reads them mends it by hand.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
