//! placeholder while the library takes shape
fn main() {}
