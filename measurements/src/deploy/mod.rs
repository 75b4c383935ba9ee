//! From a pod's manifest to everything that has to agree with it: the initdata with the agent's policy, the annotation that carries it
//! to the guest, and the appraisal policy that expects its digest. One step, so that none of them drifts from the others.

mod agent_policy;
mod container;
mod deployment;
mod drift;
mod error;
mod image;
mod initdata;
mod workload;
mod yaml;

pub use container::Container;
pub use deployment::Deployment;
pub use drift::{Deployed, drift};
pub use error::DeployError;
pub use initdata::Platform;
pub use workload::Workload;

#[cfg(test)]
mod tests;
