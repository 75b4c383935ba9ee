//! The log of the fleet: one line for each change of state of an address, with fields, and none for a retry.
//!
//! What is compared is where an address stands and why, by words of this program: the same refusal a thousand times is one line, and
//! the line that follows says how often it came. What an instance chooses freely (values that a check found, the words of an
//! error) makes no change, so that nobody fills a disk from outside; what it may choose between is the ids of checks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use teegate_protocol::manifest::ManifestDigest;
use teegate_verifier::UnixTime;

use crate::clock::Now;
use crate::config::Address;
use crate::trust::{Backend, Failed, Trusted};

/// Why an address is pending that has not been judged under the policy in force.
pub(crate) const NOT_ASKED: &str = "it was not asked yet under this policy";

/// Where an address stands, as operators are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Condition {
    /// It was not asked yet, or has to prove itself again.
    Pending,
    /// It may be sent to.
    Attested,
    /// It may be sent to, and is about to be left.
    Draining,
    /// Its evidence was refused.
    Rejected,
    /// It has no proof and does not answer.
    Unreachable,
}

impl Condition {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Pending, Self::Attested, Self::Draining, Self::Rejected, Self::Unreachable];

    /// Its name in logs, metrics and JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Attested => "attested",
            Self::Draining => "draining",
            Self::Rejected => "rejected",
            Self::Unreachable => "unreachable",
        }
    }
}

/// An address that does not answer.
#[derive(Clone, Debug)]
pub(crate) struct Silence {
    /// The kind of silence.
    pub(crate) kind: &'static str,
    /// The newest error, in words.
    pub(crate) words: String,
    /// How often it was asked in vain.
    pub(crate) tries: u64,
}

/// One address at one moment, as the fleet knows it.
#[derive(Debug)]
pub(crate) struct Sight<'a> {
    pub(crate) condition: Condition,
    /// Why it is no other, in a word of this program.
    pub(crate) why: &'static str,
    /// The proof that counts.
    pub(crate) proof: Option<&'a Arc<Trusted<Backend>>>,
    /// The checks that refused it.
    pub(crate) checks: &'a [&'static str],
    /// What they say.
    pub(crate) failed: &'a [Failed],
    pub(crate) silence: Option<&'a Silence>,
    /// How often it was refused without a proof in between.
    pub(crate) refusals: u64,
    pub(crate) is_full: bool,
}

impl Sight<'_> {
    /// How often it was refused or silent since it was last as it should be.
    pub(crate) fn tries(&self) -> u64 {
        match self.condition {
            Condition::Rejected => self.refusals,
            _ => self.silence.map_or(0, |silence| silence.tries),
        }
    }
}

/// Where every address stood last, and since when.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<Entries>);

/// The entries of a journal.
pub(crate) type Entries = BTreeMap<Address, Entry>;

/// Where an address stood last.
#[derive(Debug)]
pub(crate) struct Entry {
    key: Key,
    since: UnixTime,
    tries: u64,
}

impl Entry {
    /// Since when it stands so, if it does.
    pub(crate) fn since(&self, condition: Condition) -> Option<UnixTime> {
        (self.key.condition == condition).then_some(self.since)
    }
}

/// What makes a change when it is another.
#[derive(PartialEq, Eq, Debug)]
struct Key {
    condition: Condition,
    why: &'static str,
    checks: Vec<&'static str>,
    silence: Option<&'static str>,
    manifest: Option<ManifestDigest>,
}

impl Key {
    /// The same comparison as with the key of `sight`, which is not made: nearly every address stands where it stood.
    fn is_of(&self, sight: &Sight<'_>) -> bool {
        let Self { condition, why, checks, silence, manifest } = self;
        *condition == sight.condition
            && *why == sight.why
            && *checks == sight.checks
            && *silence == sight.silence.map(|silence| silence.kind)
            && manifest.as_ref() == sight.proof.map(|proof| proof.once().manifest().digest())
    }

    fn of(sight: &Sight<'_>) -> Self {
        Self {
            condition: sight.condition,
            why: sight.why,
            checks: sight.checks.to_vec(),
            silence: sight.silence.map(|silence| silence.kind),
            manifest: sight.proof.map(|proof| *proof.once().manifest().digest()),
        }
    }
}

/// One line of the log.
#[derive(Debug, Default)]
pub(crate) struct Line {
    event: &'static str,
    is_warning: bool,
    address: String,
    from: &'static str,
    to: &'static str,
    why: &'static str,
    /// Seconds in the state before, and how often it was refused or silent there.
    lasted: u64,
    tries: u64,
    checks: String,
    expected: String,
    found: String,
    manifest: String,
    instance: String,
    evidence: String,
    until: String,
    policy_version: u64,
}

impl Journal {
    /// The entries, for as long as nothing is written.
    pub(crate) fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compares what is seen at `now` with what was, takes it over, and returns the changes.
pub(crate) fn compare<'a>(
    entries: &mut Entries,
    sights: impl Iterator<Item = (&'a Address, Sight<'a>)>,
    now: &Now,
    policy_version: u64,
) -> Vec<Line> {
    let (mut lines, mut seen) = (Vec::new(), BTreeSet::new());
    for (address, sight) in sights {
        seen.insert(address);
        match entries.get_mut(address) {
            Some(known) if known.key.is_of(&sight) => known.tries = sight.tries(),
            known => {
                let known = known.as_deref();
                lines.push(line(address, known, &sight, now, policy_version));
                // Another reason is a change too, and the state is as old as it was.
                let since = known.filter(|known| known.key.condition == sight.condition).map(|known| known.since);
                let entry = Entry { key: Key::of(&sight), since: since.unwrap_or(now.wall), tries: sight.tries() };
                entries.insert(address.clone(), entry);
            }
        }
    }
    for (address, entry) in entries.extract_if(.., |address, _| !seen.contains(address)) {
        lines.push(Line {
            event: "instance_gone",
            address: address.as_str().to_owned(),
            from: entry.key.condition.name(),
            to: "gone",
            why: "it is not listed any more",
            lasted: now.wall.seconds().saturating_sub(entry.since.seconds()),
            tries: entry.tries,
            policy_version,
            ..Line::default()
        });
    }
    lines
}

fn line(address: &Address, known: Option<&Entry>, sight: &Sight<'_>, now: &Now, policy_version: u64) -> Line {
    let was = known.map(|known| known.key.condition);
    let is_new_manifest = was == Some(sight.condition) && sight.silence.is_none();
    let (event, is_warning) = match sight.condition {
        Condition::Attested if sight.silence.is_some() => ("instance_silent", true),
        Condition::Attested if is_new_manifest => ("instance_renewed", false),
        Condition::Attested => ("instance_attested", false),
        Condition::Draining => ("instance_draining", false),
        Condition::Rejected => ("instance_rejected", true),
        Condition::Unreachable => ("instance_unreachable", true),
        // From a proof to none: nobody may be sent there any more. Under a new policy that is so by design.
        Condition::Pending => ("instance_pending", was.is_some() && sight.why != NOT_ASKED),
    };
    let first = sight.failed.first();
    let mut line = Line {
        event,
        is_warning,
        address: address.as_str().to_owned(),
        from: was.map_or("unknown", Condition::name),
        to: sight.condition.name(),
        why: sight.silence.map_or(sight.why, |silence| silence.kind),
        lasted: known.map_or(0, |known| now.wall.seconds().saturating_sub(known.since.seconds())),
        tries: known.map_or(0, |known| known.tries),
        checks: sight.checks.join(","),
        expected: first.map(|failed| failed.expected.clone()).unwrap_or_default(),
        found: first.map(|failed| failed.found.clone()).unwrap_or_default(),
        policy_version,
        ..Line::default()
    };
    if let Some(silence) = sight.silence {
        line.found = silence.words.clone();
    }
    if let Some(proof) = sight.proof {
        let manifest = proof.once().manifest();
        line.manifest = manifest.digest().to_string();
        line.instance = manifest.manifest().instance_id.to_string();
        line.evidence = proof.once().evidence_digest().to_string();
        line.until = proof.valid_until().to_string();
    }
    line
}

impl Line {
    /// Writes it.
    pub(crate) fn write(self) {
        let some = |text: String| (!text.is_empty()).then_some(text);
        let Self { event, is_warning, address, from, to, why, lasted, tries, policy_version, .. } = self;
        let (checks, expected, found) = (some(self.checks), some(self.expected), some(self.found));
        let (until, manifest) = (some(self.until), some(self.manifest));
        let (instance, evidence) = (some(self.instance), some(self.evidence));
        macro_rules! say {
            ($level:ident) => {
                tracing::$level!(
                    target: "audit", event, address, from, to, why, checks, expected, found, until, manifest, instance,
                    evidence, lasted_seconds = lasted, tries, policy_version, "{address}: {from} -> {to}: {why}",
                )
            };
        }
        if is_warning { say!(warn) } else { say!(info) }
    }
}

#[cfg(test)]
pub(crate) mod tests;
