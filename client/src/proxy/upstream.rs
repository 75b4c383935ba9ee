//! Whom requests are sealed to: a [`Client`] for each model that is asked for, made when it is first asked for.
//!
//! Some are *kept*: those for the models that the door was told to serve, or the one for any instance. They are verified before
//! anybody asks and again when what was verified ends, so that a rotation is said when it happens, and the door knows whether it is
//! ready.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use teegate_protocol::manifest::ManifestDigest;
use teegate_verifier::{Endorsements, Memory, Policy};
use tokio::sync::Notify;

use super::event::Event;
use crate::answer::Reply;
use crate::client::Client;
use crate::error::Error;
use crate::instance::Instance;
use crate::link::{Gateway, LinkError};
use crate::settings::Settings;
use crate::wanted::Wanted;

/// How many clients there are at most beside those that are kept: whoever asks for names that nobody serves makes no more.
const MAX_OTHERS: usize = 32;
/// How many instances are remembered as told.
const MAX_TOLD: usize = 64;
/// How often it is looked whether what was verified still holds.
const LOOK: Duration = Duration::from_secs(1);
/// How long a gateway is left alone that had nobody to offer.
const PAUSE: Duration = Duration::from_secs(3);

/// Who verifies, seals and opens.
pub(super) struct Upstream {
    gateway: Gateway,
    policy: Policy,
    endorsements: Endorsements,
    settings: Settings,
    kept: Vec<Wanted>,
    tell: Box<dyn Fn(Event) + Send + Sync>,
    state: Mutex<State>,
    /// What all clients have seen, against roll-back.
    memory: Arc<Mutex<Memory>>,
    /// Wakes whoever looks after the kept ones.
    doubt: Notify,
}

#[derive(Default)]
struct State {
    /// The most recently used first.
    clients: Vec<(Wanted, Arc<Client>)>,
    told: VecDeque<ManifestDigest>,
    lost: Option<Error>,
}

impl Upstream {
    pub(super) fn new(
        gateway: Gateway,
        policy: Policy,
        endorsements: Endorsements,
        settings: Settings,
        kept: Vec<Wanted>,
        tell: Box<dyn Fn(Event) + Send + Sync>,
    ) -> Self {
        let memory = Arc::new(Mutex::new(settings.memory.clone()));
        let (state, doubt) = (Mutex::default(), Notify::new());
        Self { gateway, policy, endorsements, settings, kept, tell, state, memory, doubt }
    }

    /// The client for what is wanted. Nobody is asked for it yet.
    pub(super) fn client(&self, wanted: &Wanted) -> Arc<Client> {
        self.with_state(|state| {
            let found = state.clients.iter().position(|(known, _)| known == wanted).map(|at| state.clients.remove(at));
            let entry = found.unwrap_or_else(|| {
                let (gateway, settings) = (self.gateway.clone(), self.settings.clone());
                let (policy, endorsements, memory) =
                    (self.policy.clone(), self.endorsements.clone(), Arc::clone(&self.memory));
                let client = Client::remembering(gateway, wanted.clone(), policy, endorsements, settings, memory);
                (wanted.clone(), Arc::new(client))
            });
            let client = Arc::clone(&entry.1);
            state.clients.insert(0, entry);
            while state.clients.len() > self.kept.len().saturating_add(MAX_OTHERS) {
                // There is one: there are more than are kept.
                let Some(oldest) = state.clients.iter().rposition(|(known, _)| !self.kept.contains(known)) else {
                    break;
                };
                state.clients.remove(oldest);
            }
            client
        })
    }

    /// Everything that was seen so far, against roll-back.
    pub(super) fn memory(&self) -> Memory {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Verifies for each that is kept.
    pub(super) async fn verify_kept(&self) -> Result<(), Error> {
        let mut verified = Vec::new();
        for wanted in &self.kept {
            verified.push(self.client(wanted).instance().await?);
        }
        let was_lost = self.with_state(|state| state.lost.take().is_some());
        if was_lost {
            self.with_state(|state| state.told.clear());
        }
        verified.iter().for_each(|instance| self.tell_once(instance));
        Ok(())
    }

    /// Keeps them verified, for ever.
    pub(super) async fn keep(&self) {
        loop {
            let pause = match self.verify_kept().await {
                Ok(()) => LOOK,
                Err(why) => {
                    self.lost(why);
                    PAUSE
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.doubt.notified() => {}
            }
        }
    }

    /// Whether requests find a verified instance now; why not, as far as is known.
    pub(super) fn readiness(&self) -> Result<(), Option<Error>> {
        if self.kept.iter().all(|wanted| self.client(wanted).at_hand().is_some()) {
            return Ok(());
        }
        Err(self.with_state(|state| state.lost.clone()))
    }

    /// Takes notice of how an exchange went.
    pub(super) fn heard(&self, outcome: &Result<Reply, Error>) {
        match outcome {
            Ok(reply) => {
                self.tell_once(&reply.instance);
                // Whoever looks after the kept ones finds out that they are back.
                if self.with_state(|state| state.lost.is_some()) {
                    self.doubt.notify_one();
                }
            }
            Err(error) if puts_all_in_doubt(error) => {
                let is_known = self.with_state(|state| {
                    state.clients.retain(|(wanted, _)| !self.kept.contains(wanted));
                    state.lost.is_some()
                });
                if !is_known {
                    self.doubt.notify_one();
                }
            }
            Err(_) => {}
        }
    }

    fn tell_once(&self, instance: &Arc<Instance>) {
        let is_news = self.with_state(|state| {
            let is_news = !state.told.contains(instance.digest());
            if is_news {
                state.told.push_front(*instance.digest());
                state.told.truncate(MAX_TOLD);
            }
            is_news
        });
        if is_news {
            (self.tell)(Event::Verified(Arc::clone(instance)));
        }
    }

    fn lost(&self, why: Error) {
        let was_lost = self.with_state(|state| state.lost.replace(why.clone()).is_some());
        if !was_lost {
            (self.tell)(Event::Lost(why));
        }
    }

    fn with_state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        // A panic elsewhere leaves at worst a client that is made again.
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether it says something of everybody behind this gateway, so that those who were verified have to be asked for again.
fn puts_all_in_doubt(error: &Error) -> bool {
    match error {
        Error::Unlisted(_) => true,
        Error::Relay(link) => matches!(link, LinkError::Unreachable { .. } | LinkError::Lost { .. }),
        _ => false,
    }
}
