//! The client against an instance whose hardware is forged and a gateway that does as it is told: what is refused, what is
//! sealed again, what is never sent twice.

// The attribute tells clippy that these are tests throughout, their helpers too.
#[cfg(test)]
mod canary;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod instance;
#[cfg(test)]
mod online;
#[cfg(test)]
mod probe;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod published;
#[cfg(test)]
mod relay;
mod relayed;
#[cfg(test)]
mod wanted;
