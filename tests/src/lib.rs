//! What the tests that cross crates share: the real programs as processes, and the network between them.

pub mod harness;
pub mod http;
pub mod wire;
