//! The client against an instance whose hardware is forged and a gateway that does as it is told: what is refused, what is
//! sealed again, what is never sent twice.

mod fake;
mod instance;
mod relay;
