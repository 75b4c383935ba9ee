//! One document, from whoever has it: kept and recent, else asked of every source in turn, again as long as that makes sense
//! and there is time, else kept and still valid.

use std::sync::Arc;
use std::time::Duration;

use teegate_verifier::UnixTime;

use crate::answer::{self, Read};
use crate::cache::{Cache, Kept};
use crate::clock::Clock;
use crate::document::Document;
use crate::failure::{Failure, Tried};
use crate::flight::Flights;
use crate::link::Link;
use crate::outcome::Origin;
use crate::pace::Pace;
use crate::settings::Patience;
use crate::source::Ask;

/// What all pursuits of one fetcher share.
#[derive(Debug)]
pub(crate) struct Means {
    pub(crate) link: Link,
    pub(crate) cache: Option<Cache>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) patience: Patience,
    pub(crate) flights: Flights<Result<Arc<Fetched>, Failure>>,
    pub(crate) pace: Pace,
}

/// A document that was asked for, as everybody who waited for it gets it.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    read: Read,
    origin: Origin,
    note: Option<String>,
}

/// The end of a pursuit that found something.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) read: Read,
    pub(crate) ask: Ask,
    pub(crate) origin: Origin,
    pub(crate) tried: Vec<Tried>,
}

/// What is needed, when it must hold, and until when (in the time of the clock) it may be waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pursuit<'p> {
    pub(crate) means: &'p Means,
    pub(crate) document: &'p Document,
    pub(crate) now: UnixTime,
    pub(crate) deadline: Duration,
}

/// One source's part in it.
struct Turn {
    ask: Ask,
    /// When it may be asked next; `None` once asking again makes no sense.
    next_at: Option<Duration>,
    times: u32,
    failure: Option<Failure>,
}

impl Pursuit<'_> {
    /// Asks `asks` in that order; on failure, what each of them said. What is wrong with kept files is added to `notes`.
    pub(crate) async fn run(&self, asks: Vec<Ask>, notes: &mut Vec<String>) -> Result<Found, Vec<Tried>> {
        for ask in &asks {
            match self.kept(ask) {
                Ok(Some((read, origin @ Origin::Cache { .. }))) => {
                    return Ok(Found { read, ask: ask.clone(), origin, tried: Vec::new() });
                }
                Ok(_) => {}
                Err(spoilt) => notes.push(spoilt),
            }
        }
        let mut turns: Vec<Turn> = asks.into_iter().map(|ask| Turn::new(ask, self.means)).collect();
        if let Some((index, fetched)) = self.ask_in_turn(&mut turns).await {
            let Fetched { read, origin, note } = fetched.as_ref().clone();
            notes.extend(note);
            let ask = turns.remove(index).ask;
            return Ok(Found { read, ask, origin, tried: turns.into_iter().filter_map(Turn::failed).collect() });
        }
        // Nobody answered. What was learnt earlier and still holds is better than nothing, and says that it is not new.
        let stale = turns.iter().find_map(|turn| Some((turn.ask.clone(), self.kept(&turn.ask).ok().flatten()?)));
        let tried: Vec<Tried> = turns.into_iter().filter_map(Turn::failed).collect();
        match stale {
            Some((ask, (read, origin))) => Ok(Found { read, ask, origin, tried }),
            None => Err(tried),
        }
    }

    /// What the cache has: a document that holds now, and whether it is recent. The error says what is wrong with the file.
    fn kept(&self, ask: &Ask) -> Result<Option<(Read, Origin)>, String> {
        let Some(cache) = &self.means.cache else { return Ok(None) };
        match cache.read(&ask.url.to_string()) {
            Kept::Nothing => Ok(None),
            Kept::Spoilt { path, reason } => {
                Err(format!("the cache file `{}` {reason}; it is not used, and will be replaced", path.display()))
            }
            Kept::Document { read, fetched_at } => match read.check(self.document, self.now) {
                Ok(()) => {
                    let is_fresh = self.is_fresh(&read, fetched_at);
                    let origin = if is_fresh { Origin::Cache { fetched_at } } else { Origin::Stale { fetched_at } };
                    Ok(Some((read, origin)))
                }
                // Its time is over, or has not come: nothing is wrong with the file, and it is of no use.
                Err(Failure::NotValidNow { .. }) => Ok(None),
                Err(other) => Err(format!("the cache file for {} is not used: {other}", ask.url)),
            },
        }
    }

    /// Whether there is no reason to ask again: nothing newer can be said, or three quarters of its time are still to come,
    /// and it was fetched lately.
    fn is_fresh(&self, read: &Read, fetched_at: UnixTime) -> bool {
        if self.document.is_immutable() {
            return true;
        }
        let wall = self.means.clock.wall();
        // A file from the future was dated by a wrong clock, this machine's or another's.
        let is_recent = wall
            .seconds()
            .checked_sub(fetched_at.seconds())
            .is_some_and(|age| Duration::from_secs(age) < self.means.patience.max_age);
        let window = read.until.seconds().saturating_sub(read.from.seconds());
        let over = self.now.seconds().saturating_sub(read.from.seconds());
        is_recent && over < window / 4 * 3
    }

    /// Asks whoever may be asked, waits, asks again; the first answer wins.
    async fn ask_in_turn(&self, turns: &mut [Turn]) -> Option<(usize, Arc<Fetched>)> {
        let Means { clock, patience, .. } = self.means;
        loop {
            for (index, turn) in turns.iter_mut().enumerate() {
                let elapsed = clock.elapsed();
                if elapsed < self.deadline && turn.next_at.is_some_and(|next_at| next_at <= elapsed) {
                    match self.ask(&turn.ask).await {
                        Ok(fetched) => return Some((index, fetched)),
                        Err(failure) => turn.failed_with(failure, self.means),
                    }
                }
            }
            for turn in turns.iter_mut() {
                turn.give_up_beyond(self.deadline, patience.max_wait, clock.elapsed());
            }
            let next_at = turns.iter().filter_map(|turn| turn.next_at).min()?;
            clock.sleep(next_at.saturating_sub(clock.elapsed())).await;
        }
    }

    /// One request, or the answer to the same request of somebody else.
    async fn ask(&self, ask: &Ask) -> Result<Arc<Fetched>, Failure> {
        let url = ask.url.to_string();
        let fetched = self.means.flights.join(&url, self.fetch(ask, &url)).await?;
        // Who else asked may have wanted it for another document in it, or for another time.
        fetched.read.check(self.document, self.now)?;
        Ok(fetched)
    }

    async fn fetch(&self, ask: &Ask, url: &str) -> Result<Arc<Fetched>, Failure> {
        let Means { link, cache, clock, patience, pace, .. } = self.means;
        // Somebody may have kept it between our look and our turn.
        if let Ok(Some((read, origin @ Origin::Cache { .. }))) = self.kept(ask) {
            return Ok(Arc::new(Fetched { read, origin, note: None }));
        }
        let started = clock.elapsed();
        pace.asked(ask, started, patience.vcek_interval);
        let deadline = patience.exchange.min(self.deadline.saturating_sub(started));
        let answer = link.exchange(ask, deadline, clock.wall()).await.inspect_err(|failure| {
            if let Some(wait) = failure.told_to_wait() {
                pace.told_to_wait(ask, clock.elapsed(), clock.elapsed().saturating_add(wait));
            }
        })?;
        let read = answer::read(&answer, ask)?;
        read.check(self.document, self.now)?;
        let kept = cache.as_ref().map_or(Ok(()), |cache| cache.write(url, &read, clock.wall()));
        let note = kept.err().map(|error| format!("the answer of {url} cannot be kept in the cache: {error}"));
        Ok(Arc::new(Fetched { read, origin: Origin::Service, note }))
    }
}

impl Turn {
    fn new(ask: Ask, means: &Means) -> Self {
        let next_at = means.pace.earliest(&ask, means.clock.elapsed());
        Self { ask, next_at: Some(next_at), times: 0, failure: None }
    }

    /// Notes a failure, and when to ask again, if ever.
    fn failed_with(&mut self, failure: Failure, means: &Means) {
        let Means { clock, patience, pace, .. } = means;
        self.times = self.times.saturating_add(1);
        let doubled = patience.first_wait.saturating_mul(1_u32.checked_shl(self.times - 1).unwrap_or(u32::MAX));
        let again = failure.again_after(doubled.min(patience.max_wait)).filter(|_| self.times < patience.attempts);
        let now = clock.elapsed();
        // Whoever still says "too many" after everything is left alone for longer than anybody here waits.
        if again.is_none() && matches!(failure, Failure::Throttled { .. }) {
            pace.told_to_wait(&self.ask, now, now.saturating_add(patience.max_wait.saturating_mul(2)));
        }
        self.next_at = again.map(|wait| pace.earliest(&self.ask, now.saturating_add(wait)));
        self.failure = Some(failure);
    }

    /// Gives up where the next attempt would come too late.
    fn give_up_beyond(&mut self, deadline: Duration, max_wait: Duration, now: Duration) {
        let Some(next_at) = self.next_at else { return };
        let wait = next_at.saturating_sub(now);
        if next_at >= deadline || wait > max_wait {
            self.next_at = None;
            let why = if wait.is_zero() { Failure::OutOfTime } else { Failure::LeftAlone { remaining: wait } };
            self.failure.get_or_insert(why);
        }
    }

    fn failed(self) -> Option<Tried> {
        let Self { ask, times, failure, .. } = self;
        failure.map(|failure| Tried { url: ask.url.to_string(), times, failure })
    }
}
