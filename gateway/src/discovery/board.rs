//! The board: what each source of addresses knows now. The one place where a doubt is said, once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::config::Address;
use crate::metrics::Metrics;

/// What one source knows now.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Sighting {
    /// Where instances are to be looked for.
    pub addresses: BTreeSet<Address>,
    /// How sure it is of that.
    pub certainty: Certainty,
}

/// How sure a source is of what it knows.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Certainty {
    /// It has not had an answer yet.
    #[default]
    Unasked,
    /// Its last question was answered.
    Current,
    /// Its last question was not answered, or not wholly: what it knew before is kept for a while. The reason, for the log.
    Doubtful(String),
}

/// What all sources know.
#[derive(Debug)]
pub struct Board {
    metrics: Arc<Metrics>,
    /// By post, the oldest first.
    sightings: Mutex<BTreeMap<u64, Sighting>>,
    changes: watch::Sender<u64>,
    /// How many there ever were: no number is given twice.
    posts: AtomicU64,
}

/// The place of one source on the board.
#[derive(Clone, Debug)]
pub struct Post {
    board: Arc<Board>,
    number: u64,
    /// As log and metrics call it. It comes from the configuration.
    name: Arc<str>,
}

impl Board {
    /// An empty board. Metrics show what stands on it.
    pub fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            metrics,
            sightings: Mutex::default(),
            changes: watch::Sender::new(0),
            posts: AtomicU64::new(0),
        })
    }

    /// A place for one more source, which knows nothing yet.
    pub fn post(self: &Arc<Self>, name: &str) -> Post {
        let mut sightings = self.lock();
        let number = self.posts.fetch_add(1, Ordering::Relaxed);
        sightings.insert(number, Sighting::default());
        let post = Post { board: Arc::clone(self), number, name: Arc::from(name) };
        drop(sightings);
        self.metrics.discovered(name, 0, false);
        post
    }

    /// What all sources know now, in the order of their posts.
    pub fn sightings(&self) -> Vec<Sighting> {
        self.lock().values().cloned().collect()
    }

    /// Takes a source off, with what it knew. Whatever it puts up later is nothing.
    pub(super) fn remove(&self, post: &Post) {
        let mut sightings = self.lock();
        sightings.remove(&post.number);
        self.metrics.undiscovered(post.name());
        drop(sightings);
        self.touch();
    }

    /// Gives a source that begins anew another place, with what it knew and `stays` of that. Whatever is put up under the old place
    /// from now on is nothing: a task that is ended may still be on its way there.
    pub(super) fn renew(self: &Arc<Self>, post: &Post, stays: impl FnMut(&Address) -> bool) -> Post {
        let mut sightings = self.lock();
        let number = self.posts.fetch_add(1, Ordering::Relaxed);
        let mut sighting = sightings.remove(&post.number).unwrap_or_default();
        sighting.addresses.retain(stays);
        let known = u64::try_from(sighting.addresses.len()).unwrap_or(u64::MAX);
        self.metrics.discovered(post.name(), known, sighting.certainty == Certainty::Current);
        sightings.insert(number, sighting);
        drop(sightings);
        self.touch();
        Post { number, ..post.clone() }
    }

    /// Wakes whoever follows the changes.
    pub(super) fn touch(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Wakes after every change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Sighting>> {
        self.sightings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Post {
    /// As log and metrics call the source.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts up what the source knows now. A doubt is said when it begins, when what was known is given up, and when it is over.
    pub fn put_up(&self, sighting: Sighting) {
        let (known, is_current) = (sighting.addresses.len(), sighting.certainty == Certainty::Current);
        let before = {
            let mut sightings = self.board.lock();
            let Some(place) = sightings.get_mut(&self.number) else { return };
            if *place == sighting {
                return;
            }
            // While it cannot be taken off: what is gone is not counted.
            self.board.metrics.discovered(self.name(), u64::try_from(known).unwrap_or(u64::MAX), is_current);
            std::mem::replace(place, sighting.clone())
        };
        let source = self.name();
        match (&before.certainty, &sighting.certainty) {
            (Certainty::Unasked | Certainty::Current, Certainty::Doubtful(why)) => {
                self.board.metrics.doubted(source);
                tracing::warn!(
                    target: "audit", source, known,
                    "discovery: no whole answer, what is known stays for a while: {why}"
                );
            }
            (Certainty::Doubtful(_), Certainty::Doubtful(why)) if known < before.addresses.len() => {
                tracing::warn!(
                    target: "audit", source, known, given_up = before.addresses.len().saturating_sub(known),
                    "discovery: addresses that nothing confirms any more are given up: {why}"
                );
            }
            (Certainty::Doubtful(_), Certainty::Current) => {
                tracing::info!(target: "audit", source, known, "discovery: answered again");
            }
            _ => {}
        }
        self.board.touch();
    }

    /// What the source knows now.
    pub(super) fn addresses(&self) -> BTreeSet<Address> {
        self.board.lock().get(&self.number).map(|sighting| sighting.addresses.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sighting(ports: &[u16], certainty: Certainty) -> Sighting {
        let addresses = ports.iter().map(|port| Address::parse(&format!("a:{port}")).unwrap()).collect();
        Sighting { addresses, certainty }
    }

    #[test]
    fn a_doubt_counts_once_and_nothing_new_wakes_nobody() {
        let metrics = Arc::new(Metrics::default());
        let board = Board::new(Arc::clone(&metrics));
        let post = board.post("dns:a");
        let mut changes = board.changes();
        let shown = |name: &str, value: u64| {
            let line = format!("teegate_gateway_discovery_{name}{{source=\"dns:a\"}} {value}\n");
            let text = metrics.render(&[]);
            assert!(text.contains(&line), "{line} is not in {text}");
        };
        shown("current", 0);
        post.put_up(sighting(&[1, 2], Certainty::Current));
        shown("addresses", 2);
        shown("current", 1);
        assert!(changes.has_changed().unwrap());
        changes.borrow_and_update();
        post.put_up(sighting(&[1, 2], Certainty::Current));
        assert!(!changes.has_changed().unwrap(), "nothing is new");
        for why in ["SERVFAIL", "no answer in time"] {
            post.put_up(sighting(&[1, 2], Certainty::Doubtful(why.into())));
            shown("doubt_total", 1);
            shown("current", 0);
        }
        post.put_up(sighting(&[], Certainty::Doubtful("SERVFAIL".into())));
        shown("addresses", 0);
        shown("doubt_total", 1);
        post.put_up(sighting(&[1], Certainty::Current));
        post.put_up(sighting(&[1], Certainty::Doubtful("SERVFAIL".into())));
        shown("doubt_total", 2);
    }

    #[test]
    fn who_begins_anew_keeps_what_stays_and_the_task_before_changes_nothing() {
        let metrics = Arc::new(Metrics::default());
        let board = Board::new(Arc::clone(&metrics));
        let (other, before) = (board.post("list"), board.post("dns:a"));
        other.put_up(sighting(&[9], Certainty::Current));
        before.put_up(sighting(&[1, 2], Certainty::Current));
        let now = board.renew(&before, |address| address.as_str() == "a:2");
        let expected = [sighting(&[9], Certainty::Current), sighting(&[2], Certainty::Current)];
        assert_eq!(board.sightings(), expected);
        before.put_up(sighting(&[1, 2], Certainty::Current));
        assert_eq!(board.sightings(), expected, "it was on its way when it was ended");
        let line = "teegate_gateway_discovery_addresses{source=\"dns:a\"} 1\n";
        assert!(metrics.render(&[]).contains(line));
        now.put_up(sighting(&[3], Certainty::Current));
        assert_eq!(board.sightings()[1], sighting(&[3], Certainty::Current));
    }
}
