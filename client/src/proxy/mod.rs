//! A door for programs that know nothing of attestation: plain HTTP/1.1 towards them, on this machine, and sealed from there on.
//!
//! What it proves: whatever a program asks leaves this process in one way only, sealed to a key of an instance that was verified
//! under the policy. There is no other hop and no fallback: where nobody can be verified, the answer is an error.
//!
//! 1. [`listen`](Listen): a loopback address, or a Unix socket that only this user can open.
//! 2. [`serve`](serve()): connections, bounded in number and in time.
//! 3. [`admit`](Access): a page in this user's browser is not this user's program.
//! 4. [`target`](self): which model a path names, and so who has to be verified.
//! 5. [`body`](self): read within a limit and a budget, at a [`Pace`]; `Content-Encoding` is taken off here.
//! 6. [`upstream`](Event): one [`crate::Client`] for each model that is asked for, and what is said about whom they verified.
//! 7. [`answer`](self): what came out of the seal, or an error in the words of the Open Inference Protocol.
//!
//! Of a request there travels its method, its path, its body, its `content-type` and its `inference-header-content-length`, and
//! nothing else: no query, no cookie, no credential, no name of the program.

mod admit;
mod answer;
mod body;
mod door;
mod encoding;
mod event;
mod listen;
mod pace;
mod said;
mod serve;
mod stall;
mod target;
mod upstream;

pub use admit::{Access, Hosts, Token, TokenError};
pub use answer::{TEEGATE_BOUND_TO, TEEGATE_EXECUTED, TEEGATE_RELEASE_CHECK};
pub use body::BodyLimits;
pub use door::{Proxy, ProxySettings};
pub use event::Event;
pub use listen::{Listen, ListenError, Listener};
pub use pace::Pace;
pub use serve::serve;
