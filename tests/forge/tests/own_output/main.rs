//! What the forge makes, read back without its encoder: every signature verifies, every override moves its own bytes and no others, and
//! certificates have the shape of the vendors' real ones.

mod qemu;
mod reader;
mod shape;
mod signatures;
mod snp_fields;
mod tdx_fields;
