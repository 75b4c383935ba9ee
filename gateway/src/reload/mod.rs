//! Policy and endorsements, read again: when their files change and on SIGHUP. What cannot be used, or may not follow what is in force,
//! changes nothing but a line in the log and a metric.
//!
//! A measurement is replaced in two steps, and no request is lost on the way: first a policy that admits the old and the new one, then,
//! when every instance runs the new code (`teegate_gateway_instances`), a policy that admits the new one alone. Under each, every
//! address proves itself again at once; who asks meanwhile is held.

pub mod config;
mod ratchet;
mod stamp;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use teegate_intake::endorsements;
use teegate_verifier::{Ask, BoundTo, Endorsements, Policy, Profile, Wrapping};

pub use self::ratchet::{Ratchet, Refused, sha256};
pub use self::stamp::{Stamp, Watched};
use crate::collateral::Desk;
use crate::config::Config;
use crate::fleet::Fleet;
use crate::reloads::{PolicyFile, Reloads};

/// No policy comes near this.
const MAX_POLICY_BYTES: u64 = 1 << 20;

/// Policy and endorsements as the files say.
#[derive(Debug)]
pub struct Loaded {
    /// The appraisal policy.
    pub policy: Policy,
    /// The operator's endorsements, each with its file.
    pub supplied: Arc<endorsements::Loaded>,
}

impl Loaded {
    /// The pool that the verifier chooses from.
    pub fn endorsements(&self) -> Endorsements {
        self.supplied.endorsements()
    }

    /// What the policy is called, and the digest of its file.
    pub fn file(&self) -> PolicyFile {
        PolicyFile::of(self.policy.name(), self.policy.document().text())
    }
}

/// Every file and folder that a reload reads: `config` itself, and what it names.
pub fn files(path: &Path, config: &Config) -> Vec<PathBuf> {
    [path, &config.policy]
        .into_iter()
        .chain(config.endorsements.iter().map(PathBuf::as_path))
        .chain(config.admission.files())
        .map(Path::to_owned)
        .collect()
}

/// Reads policy and endorsements, and warns of what the policy leaves open.
///
/// # Errors
/// A file cannot be read or used, or the policy claims nothing about its evidence and nobody said why.
pub fn load(config: &Config) -> Result<Loaded, String> {
    let path = config.policy.display();
    let text = read(&config.policy).map_err(|error| format!("cannot read the policy `{path}`: {error}"))?;
    let policy = Policy::parse(&text).map_err(|error| format!("policy `{path}`: {error}"))?;
    match (policy.weakest_bound_to(), &config.unbound_policy) {
        (Some(BoundTo::Workload), _) => {}
        (Some(_), _) => tracing::warn!(
            "this policy admits evidence that is not bound to a workload: other code in the guest may hold the keys"
        ),
        (None, Some(reason)) => tracing::warn!(
            "this policy admits evidence that is bound to nothing that it names, so that any code may hold the keys; \
             the configuration says why (`unbound_policy`): {reason}"
        ),
        (None, None) => {
            return Err(format!(
                "policy `{path}`: a profile does not say what its evidence is bound to (`bound_to`), so that any code may hold the \
                 keys: pin the code and claim \"workload\", or write `unbound_policy = \"why\"` into the configuration"
            ));
        }
    }
    if let Some(place) = takes_stale_claims(&policy) {
        return Err(format!(
            "policy `{path}`: [{place}] `user_data` is unchecked, so that the hardware's report may be older than the quote beside it: a \
             gateway asks for evidence of version 2, write \"required\""
        ));
    }
    if !policy.trusts_only_vendors() {
        tracing::warn!("this policy pins roots that are not the vendors': what it accepts may be forged hardware");
    }
    let supplied = endorsements::load(&config.endorsements).map_err(|error| error.to_string())?;
    Ok(Loaded { policy, supplied: Arc::new(supplied) })
}

/// The profile for an Azure vTPM, if there is one, that lets the paravisor's claims be older than what was asked.
fn takes_stale_claims(policy: &Policy) -> Option<String> {
    let stale = |profile: &&Profile| {
        profile.wrapping() == Wrapping::AzureVtpm && profile.ask("user_data") == Some(&Ask::Nothing)
    };
    policy.document().profiles().iter().find(stale).map(Profile::place)
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_POLICY_BYTES.saturating_add(1)).read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|length| length > MAX_POLICY_BYTES) {
        return Err(std::io::Error::other(format!("it has more than {MAX_POLICY_BYTES} bytes")));
    }
    Ok(text)
}

/// The policies of this process: what is in force, and what may follow it.
#[derive(Debug)]
pub struct Policies {
    fleet: Arc<Fleet>,
    ratchet: Ratchet,
    /// The operator's endorsements in force.
    supplied: Mutex<Arc<endorsements::Loaded>>,
    /// Who asks the vendors, and counts the operator's endorsements beside their answers.
    desk: Option<Arc<Desk>>,
    reloads: Arc<Reloads>,
}

impl Policies {
    /// The fleet has `first` already, which `ratchet` has taken; `reloads` is told what becomes of the next.
    pub fn new(
        fleet: Arc<Fleet>,
        first: &Loaded,
        ratchet: Ratchet,
        desk: Option<Arc<Desk>>,
        reloads: Arc<Reloads>,
    ) -> Self {
        let supplied = Mutex::new(Arc::clone(&first.supplied));
        if let Some(desk) = &desk {
            desk.supply(Arc::clone(&first.supplied));
        }
        Self { fleet, ratchet, supplied, desk, reloads }
    }

    /// What the files say now, if it may come into force.
    ///
    /// # Errors
    /// Why it may not.
    pub fn next(&self, config: &Config) -> Result<Loaded, String> {
        let loaded = load(config)?;
        let checked = self.ratchet.check(&loaded.policy, config.reload.weaker.as_deref());
        checked.map_err(|refused| format!("policy `{}`: {refused}", config.policy.display()))?;
        Ok(loaded)
    }

    /// Brings that into force. When this returns nothing is written under an older policy. Where only endorsements are new, the policy
    /// stays in force, and every address is judged again by them at once; where nothing is new, nothing happens.
    pub async fn take(&self, loaded: &Loaded) {
        let current = self.fleet.appraisal();
        let is_supply_new = {
            let mut supplied = self.supplied.lock().unwrap_or_else(PoisonError::into_inner);
            let is_new = supplied.found != loaded.supplied.found;
            *supplied = Arc::clone(&loaded.supplied);
            is_new
        };
        if let Some(desk) = &self.desk {
            desk.supply(Arc::clone(&loaded.supplied));
        }
        if let Err(error) = self.ratchet.take(&loaded.policy) {
            // What the files say now is what the operator wants now.
            tracing::error!("the policy in force is not kept for the next start: {error}");
        }
        if current.policy.document().text() == loaded.policy.document().text() {
            if is_supply_new {
                self.fleet.set_endorsements(loaded.endorsements());
            }
        } else {
            self.fleet.set_policy(loaded.policy.clone(), loaded.endorsements()).await;
            tracing::info!(
                target: "audit", name = loaded.policy.name(), sha256 = sha256(loaded.policy.document()),
                version = loaded.policy.document().version(), "another policy is in force"
            );
        }
        self.reloads.taken(loaded.file(), self.fleet.clock().now().wall);
    }

    /// Everything stays as it is.
    pub fn refused(&self, why: &str) {
        self.reloads.refused(why, self.fleet.clock().now().wall);
    }
}

#[cfg(test)]
mod tests;
