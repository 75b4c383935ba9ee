//! What the fleet has to offer to a client that asks for a model.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::admission::Permission;
use teegate_protocol::manifest::ModelEntry;

use crate::balance::load::Load;
use crate::balance::outliers::{Judged, Peer, judge};
use crate::clock::Now;
use crate::fleet::{Fleet, Standing, State};
use crate::identity::{Identity, identity};
use crate::trust::{Offer, Trusted};

/// At most so many names of models are told to a client that asks for another one.
const NAMES: usize = 16;

/// What there is.
#[derive(Debug)]
pub(crate) enum Offers {
    /// One offer for each instance that runs the model, takes requests, and may be sealed to now.
    Some(Vec<Offered>),
    /// Nothing now; it may come.
    NotNow,
    /// Instances are attested, and none of them serves the model.
    Unknown(Served),
}

/// An instance that can be offered, and what is measured of it.
#[derive(Debug)]
pub(crate) struct Offered {
    pub(crate) offer: Arc<Trusted<Offer>>,
    pub(crate) load: Arc<Load>,
}

/// The models that are served, by name; the first of them, if there are many.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Served {
    names: BTreeSet<String>,
    are_all: bool,
}

impl Served {
    fn add(&mut self, name: &str) {
        if !self.names.contains(name) {
            self.names.insert(name.to_owned());
            if self.names.len() > NAMES {
                self.names.pop_last();
                self.are_all = false;
            }
        }
    }
}

/// At most so many characters of what a client asked for are repeated.
const REPEATED: usize = 80;

/// No attested instance serves the model that was asked for.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct NoSuchModel {
    asked: String,
    served: Served,
}

impl fmt::Display for NoSuchModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shortened = |name: &str| name.chars().take(REPEATED).collect::<String>();
        let names: Vec<String> = self.served.names.iter().map(|name| format!("`{}`", shortened(name))).collect();
        write!(f, "no attested instance serves `{}`; they serve ", shortened(&self.asked))?;
        match (names.as_slice(), self.served.are_all) {
            ([], _) => f.write_str("none"),
            (names, true) => f.write_str(&names.join(", ")),
            (names, false) => write!(f, "{} and others", names.join(", ")),
        }
    }
}

impl NoSuchModel {
    pub(crate) fn new(asked: String, served: Served) -> Self {
        Self { asked, served }
    }
}

impl Fleet {
    /// What there is for a client that asks for `model`, or for any, and may use what `permission` says. What it may not use is not
    /// there: the answer is the one that it would get without that.
    pub(crate) fn offers_for(&self, model: Option<&str>, permission: &Permission) -> Offers {
        let now = self.clock().now();
        let state = self.read();
        let mut offers: Vec<(Identity, Arc<Trusted<Offer>>)> = Vec::new();
        let mut served = Served { names: BTreeSet::new(), are_all: true };
        let (mut any_attested, mut may_come) = (false, model.is_none());
        let is_permitted =
            |manifest: &teegate_protocol::manifest::ManifestBytes| permission.admits(manifest.manifest());
        for route in state.routes.values() {
            let runs = |manifest: &teegate_protocol::manifest::ManifestBytes| {
                model.is_none_or(|name| manifest.manifest().model(name, None).is_some())
            };
            match route.standing(&now, state.appraisal.version) {
                Standing::Attested(backend) if !is_permitted(backend.once().manifest()) => continue,
                Standing::Attested(backend) => {
                    any_attested = true;
                    let proven = backend.once().manifest();
                    may_come |= runs(proven);
                    for model in &proven.manifest().models {
                        served.add(&model.name);
                    }
                }
                // It has proven to serve the model before, and the next check may be a moment away.
                Standing::Pending => {
                    may_come |= route.newest().is_some_and(|claimed| {
                        is_permitted(claimed) && runs(claimed) && now.wall.seconds() < claimed.manifest().not_after
                    });
                    continue;
                }
                Standing::Draining(_) | Standing::Rejected(_) => continue,
            }
            let Some(offer) = route.offer().filter(|_| !route.is_full()) else { continue };
            let Ok(offered) = offer.at(&now) else { continue };
            let manifest = offered.manifest();
            if is_permitted(manifest)
                && runs(manifest)
                && manifest.manifest().may_seal(now.wall.seconds())
                && offers.iter().all(|(known, _)| *known != identity(manifest))
            {
                offers.push((identity(manifest), Arc::clone(offer)));
            }
        }
        if !offers.is_empty() {
            Offers::Some(self.best_of(offers, &state, &now))
        } else if model.is_some_and(|name| !permission.names(name)) || (any_attested && !may_come) {
            Offers::Unknown(served)
        } else {
            Offers::NotNow
        }
    }

    /// Without those that rest or do much worse than the others, as long as somebody is left: whoever seals to one that rests is
    /// sent away again.
    fn best_of(&self, offers: Vec<(Identity, Arc<Trusted<Offer>>)>, state: &State, now: &Now) -> Vec<Offered> {
        let peers: Vec<Peer<&[ModelEntry]>> = offers
            .iter()
            .map(|(identity, offer)| Peer {
                load: state.load(identity).map(Arc::clone).unwrap_or_default(),
                group: offer.once().manifest().manifest().models.as_slice(),
            })
            .collect();
        let judged = judge(&peers, &self.outlier_limits, now.mono);
        let loads: Vec<Arc<Load>> = peers.into_iter().map(|peer| peer.load).collect();
        let is_good = |identity: &Identity, judged: Judged| {
            let rests = state.breaker(identity).is_some_and(|breaker| breaker.is_open(now.mono));
            judged == Judged::In && !rests
        };
        let is_any_good = offers.iter().zip(&judged).any(|((identity, _), judged)| is_good(identity, *judged));
        let mut best = Vec::with_capacity(offers.len());
        for (((identity, offer), judged), load) in offers.into_iter().zip(judged).zip(loads) {
            if let Judged::OutNow(reason) = judged {
                self.metrics.left_out(reason.name());
                let instance = offer.once().manifest().manifest().instance_id;
                tracing::warn!(target: "audit", %instance, reason = reason.name(), "left out of offers for a while");
            }
            if !is_any_good || is_good(&identity, judged) {
                best.push(Offered { offer, load });
            }
        }
        best
    }

    /// The offers alone.
    #[cfg(test)]
    pub(crate) fn offered(&self, model: Option<&str>) -> Vec<Arc<Trusted<Offer>>> {
        match self.offers_for(model, &Permission::everything()) {
            Offers::Some(offers) => offers.into_iter().map(|offered| offered.offer).collect(),
            Offers::NotNow | Offers::Unknown(_) => Vec::new(),
        }
    }
}
