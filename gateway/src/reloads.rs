//! Which policy is in force, since when, and whether the last reload succeeded.

use std::sync::{Mutex, MutexGuard, PoisonError};

use teegate_encoding::hex;
use teegate_verifier::UnixTime;

/// So many characters of the reason of a refused reload are kept.
const REASON: usize = 400;

/// A policy as its author named it, and the digest of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyFile {
    /// Its `name`.
    pub name: String,
    /// SHA-256 of the bytes that were read, 64 hexadecimal digits: what `sha256sum` says of the file.
    pub sha256: String,
}

impl PolicyFile {
    /// Of the policy called `name`, read from `text`.
    pub fn of(name: &str, text: &str) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        Self { name: name.to_owned(), sha256: hex::encode(digest.as_ref()) }
    }
}

/// What became of the files that are read again.
#[derive(Debug)]
pub struct Reloads(Mutex<Record>);

/// What is known of them.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) policy: PolicyFile,
    /// Since when it is in force.
    pub(crate) since: UnixTime,
    /// How many reloads succeeded, and how many did not.
    pub(crate) taken: u64,
    pub(crate) refused: u64,
    /// The newest that succeeded: the start of the process, where there was none.
    pub(crate) succeeded_at: UnixTime,
    /// The newest, if it did not succeed: when, and why.
    pub(crate) failure: Option<(UnixTime, String)>,
    /// The keys that are written otherwise now, and that only a restart takes.
    pub(crate) restart: Vec<String>,
}

impl Reloads {
    /// At the start.
    pub fn new(policy: PolicyFile, now: UnixTime) -> Self {
        Self(Mutex::new(Record {
            policy,
            since: now,
            taken: 0,
            refused: 0,
            succeeded_at: now,
            failure: None,
            restart: Vec::new(),
        }))
    }

    /// A reload succeeded, and this is the policy in force. The same bytes are in force as long as they were.
    pub fn taken(&self, policy: PolicyFile, now: UnixTime) {
        let mut record = self.lock();
        if record.policy != policy {
            (record.policy, record.since) = (policy, now);
        }
        record.taken = record.taken.saturating_add(1);
        (record.succeeded_at, record.failure) = (now, None);
        let PolicyFile { name, sha256 } = &record.policy;
        tracing::info!(target: "audit", event = "reload_taken", policy = %name, policy_sha256 = %sha256, "reloaded");
    }

    /// A reload was refused; everything stays as it was.
    pub fn refused(&self, why: &str, now: UnixTime) {
        let mut record = self.lock();
        record.refused = record.refused.saturating_add(1);
        record.failure = Some((now, why.chars().take(REASON).collect()));
        tracing::error!(target: "audit", event = "reload_refused", why, "reload refused, everything stays as it was");
    }

    /// What the configuration says now of these keys takes a restart: the reload that was taken has left them as they were.
    pub fn need_restart(&self, keys: Vec<String>) {
        let mut record = self.lock();
        for key in keys.iter().filter(|key| !record.restart.contains(key)) {
            tracing::warn!("`{key}` has changed, which takes a restart: the reload leaves it as it was");
        }
        record.restart = keys;
    }

    pub(crate) fn record(&self) -> Record {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_are_in_force_as_long_as_they_were_and_a_success_ends_a_failure() {
        let at = UnixTime::from_seconds;
        let (old, new) = (PolicyFile::of("a", "text"), PolicyFile::of("a", "text "));
        // `printf text | sha256sum`
        assert_eq!(old.sha256, "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1");
        let reloads = Reloads::new(old.clone(), at(1));
        reloads.refused("line 147", at(2));
        let record = reloads.record();
        assert_eq!((record.since, record.failure), (at(1), Some((at(2), "line 147".to_owned()))));
        reloads.taken(old, at(3));
        let record = reloads.record();
        assert_eq!((record.since, record.succeeded_at, record.failure), (at(1), at(3), None), "the same bytes");
        reloads.taken(new.clone(), at(4));
        let record = reloads.record();
        assert_eq!((record.policy, record.since, record.taken, record.refused), (new, at(4), 2, 1));
    }
}
