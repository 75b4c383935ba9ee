//! The keys of an issuer of JWTs that publishes them at an address (`admission.jwt.jwks_url`), asked for beside the request path.
//!
//! A set that cannot be used changes nothing: the last good one counts for `known_seconds`, and no longer. Before the first one, and after
//! that, tokens are refused; nobody is let in because keys are missing. They are asked for again when their answer has lived as long as
//! it says, within bounds, and at once when a token names a key that is not there: one question at a time, and never two within
//! [`config::Pauses::least`], however many tokens do.

pub mod config;
mod exchange;
mod location;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use self::config::{Pauses, UrlSettings};
use self::exchange::{Answer, Exchange};
use super::jwks::{Algorithm, Keys};
use crate::clock::{Clock, Now};

/// So many characters of a reason are kept.
const REASON: usize = 240;

/// The keys of one issuer, and what is known of them.
pub(crate) struct Issuer {
    settings: UrlSettings,
    ca: Option<Vec<u8>>,
    algorithms: Vec<Algorithm>,
    exchange: Exchange,
    state: Mutex<State>,
    called: Notify,
}

#[derive(Default)]
struct State {
    keys: Option<(Arc<Keys>, Confirmed)>,
    /// When the last question began.
    asked: Option<Instant>,
    /// When to ask again by itself; at once where it is not said.
    due: Option<Instant>,
    /// A token has named a key that is not there.
    is_called: bool,
    /// Failures in a row, and the reason of the newest.
    failures: u32,
    failure: Option<String>,
    taken: u64,
    failed: u64,
}

/// When the keys were read last.
#[derive(Clone, Copy)]
struct Confirmed {
    /// By the clock that tells ages.
    aged: Instant,
    is_end_said: bool,
}

/// How the keys stand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Where they are asked for.
    pub url: String,
    /// How many there are; 0 where none count.
    pub keys: u64,
    /// Seconds since they were read, if ever.
    pub age_seconds: Option<u64>,
    /// Seconds until they end, if nothing confirms them; 0 where none count.
    pub seconds: u64,
    /// Why the last question was not answered with keys.
    pub failure: Option<String>,
    /// Questions that were answered with keys since this process follows them.
    pub taken: u64,
    /// Questions that were not.
    pub failed: u64,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issuer({})", self.settings.location)
    }
}

impl Issuer {
    /// Of whom nothing is known yet.
    pub(crate) fn new(settings: &UrlSettings, algorithms: &[Algorithm], ca: Option<Vec<u8>>) -> Result<Self, String> {
        let exchange = Exchange::new(settings.location.clone(), ca.as_deref())?;
        Ok(Self {
            settings: settings.clone(),
            ca,
            algorithms: algorithms.to_vec(),
            exchange,
            state: Mutex::default(),
            called: Notify::new(),
        })
    }

    /// Whether it is what another configuration asks for.
    pub(crate) fn is_of(&self, settings: &UrlSettings, algorithms: &[Algorithm], ca: Option<&[u8]>) -> bool {
        self.settings == *settings && self.algorithms == algorithms && self.ca.as_deref() == ca
    }

    /// The keys that count now.
    pub(crate) fn keys(&self, now: &Now) -> Option<Arc<Keys>> {
        let state = self.lock();
        let (keys, confirmed) = state.keys.as_ref()?;
        (self.left(confirmed, now) > Duration::ZERO).then(|| Arc::clone(keys))
    }

    /// A token names a key that is not there.
    pub(crate) fn call(&self) {
        let was_called = std::mem::replace(&mut self.lock().is_called, true);
        if !was_called {
            self.called.notify_one();
        }
    }

    /// Whether it was asked yet.
    pub(crate) fn is_new(&self) -> bool {
        self.lock().asked.is_none()
    }

    /// Asks again and again; never ends. One at a time.
    pub(crate) async fn keep(&self, clock: &Clock) {
        loop {
            // Nothing is held while it waits.
            let (due, asked) = {
                let state = self.lock();
                (state.due, state.asked)
            };
            if let Some(due) = due {
                let earliest = asked.map_or(due, |asked| (asked + self.settings.pauses.least).min(due));
                tokio::select! {
                    () = sleep_until(due) => {}
                    () = self.is_called() => sleep_until(earliest).await,
                }
            }
            let _said = self.ask(clock).await;
        }
    }

    async fn is_called(&self) {
        while !self.lock().is_called {
            self.called.notified().await;
        }
    }

    /// Asks once. A set that cannot be used changes nothing.
    pub(crate) async fn ask(&self, clock: &Clock) -> Result<(), String> {
        let Pauses { least, retry, longest_retry, patience } = self.settings.pauses;
        {
            let mut state = self.lock();
            state.asked = Some(Instant::now());
            // Where this is broken off.
            state.due = Some(Instant::now() + retry);
        }
        let answer = self.exchange.ask(patience).await.and_then(|answer| self.read(answer));
        let now = clock.now();
        let mut state = self.lock();
        state.is_called = false;
        match answer {
            Ok((keys, max_age)) => {
                let after = max_age.unwrap_or(self.settings.refresh).max(least).min(self.settings.refresh);
                state.due = Some(now.mono + after);
                state.keys = Some((Arc::new(keys), Confirmed { aged: now.aged, is_end_said: false }));
                (state.taken, state.failures) = (state.taken.saturating_add(1), 0);
                if state.failure.take().is_some() {
                    tracing::info!(target: "audit", url = %self.settings.location, "the keys of tokens are answered again");
                }
                Ok(())
            }
            Err(why) => {
                let why: String = why.chars().take(REASON).collect();
                let mut after = retry.saturating_mul(1 << state.failures.min(16)).min(longest_retry);
                (state.failed, state.failures) = (state.failed.saturating_add(1), state.failures.saturating_add(1));
                let is_first = state.failure.replace(why.clone()).is_none();
                let left = state.keys.as_ref().map(|(_, confirmed)| self.left(confirmed, &now));
                if is_first {
                    tracing::warn!(
                        target: "audit", url = %self.settings.location, left_seconds = left.unwrap_or_default().as_secs(),
                        "the keys of tokens cannot be had, and what is known counts for so long: {why}"
                    );
                }
                match left {
                    Some(Duration::ZERO) => self.say_end(&mut state, &why),
                    // The end is said when it comes.
                    Some(left) => after = after.min(left),
                    None => {}
                }
                state.due = Some(now.mono + after);
                Err(why)
            }
        }
    }

    fn say_end(&self, state: &mut State, why: &str) {
        let Some((_, confirmed)) = &mut state.keys else { return };
        if !std::mem::replace(&mut confirmed.is_end_said, true) {
            tracing::error!(
                target: "audit", url = %self.settings.location,
                "nothing has confirmed the keys of tokens for `known_seconds`, and no token is taken any more: {why}"
            );
        }
    }

    fn read(&self, Answer { text, max_age }: Answer) -> Result<(Keys, Option<Duration>), String> {
        let keys = Keys::parse(&text)?;
        keys.for_any(&self.algorithms)?;
        Ok((keys, max_age))
    }

    /// How they stand now.
    pub(crate) fn standing(&self, now: &Now) -> Standing {
        let state = self.lock();
        let known = state.keys.as_ref().map(|(keys, confirmed)| (keys.count(), self.left(confirmed, now), confirmed));
        let keys = known.filter(|(_, left, _)| *left > Duration::ZERO).map_or(0, |(count, ..)| count);
        Standing {
            url: self.settings.location.to_string(),
            keys: u64::try_from(keys).unwrap_or(u64::MAX),
            age_seconds: known.map(|(_, _, confirmed)| age(confirmed, now).as_secs()),
            seconds: known.map_or(0, |(_, left, _)| left.as_secs()),
            failure: state.failure.clone(),
            taken: state.taken,
            failed: state.failed,
        }
    }

    /// How long they still count.
    fn left(&self, confirmed: &Confirmed, now: &Now) -> Duration {
        self.settings.known.saturating_sub(age(confirmed, now))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn age(confirmed: &Confirmed, now: &Now) -> Duration {
    now.aged.saturating_duration_since(confirmed.aged)
}
