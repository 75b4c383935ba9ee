//! A client that was told to ask the vendors: what the gateway did not hand on, it completes itself, and nothing that gateway or
//! instance chose stands in for an answer.

use std::sync::Arc;

use teegate_collateral::Fetcher;
use teegate_intake::endorsements::Loaded;
use teegate_intake::envelope::Carried;
use teegate_intake::evidence;
use teegate_verifier::{Endorsements, Policy, UnixTime};

use crate::instance::Trust;
use crate::observer::Observer;

/// Whom to ask, and what the user has.
#[derive(Clone, Debug)]
pub struct Online {
    fetcher: Arc<Fetcher>,
    supplied: Arc<Loaded>,
    policies: Vec<Policy>,
}

impl Online {
    /// Asks by `fetcher`. What the user has of his own is `supplied`: it counts beside the answers, and alone where nobody could be
    /// asked.
    pub fn new(fetcher: Fetcher, supplied: Loaded) -> Self {
        Self { fetcher: Arc::new(fetcher), supplied: Arc::new(supplied), policies: Vec::new() }
    }

    /// A certificate that vouches for evidence under `policy` too need not be asked for.
    #[must_use]
    pub fn beside(mut self, policy: Policy) -> Self {
        self.policies.push(policy);
        self
    }

    /// What `trust` becomes for one envelope. Of what was `relayed` only certificates count.
    pub(crate) async fn trust(
        &self,
        trust: &Trust,
        envelope: &[u8],
        relayed: &Endorsements,
        observer: Option<&dyn Observer>,
        now: UnixTime,
    ) -> Trust {
        let mut trust = Trust { carried: Carried::Certificates, ..trust.clone() };
        let note = |text: &str| {
            tracing::info!("{text}");
            observer.inspect(|observer| observer.note(text));
        };
        // What is no evidence needs nothing; the judgement says what is wrong with it.
        let completed = match evidence::recognise(envelope, None) {
            Err(_) => None,
            Ok(mut evidence) => {
                evidence.endorsements.extend(relayed);
                let policies: Vec<_> = [&trust.policy].into_iter().chain(&self.policies).cloned().collect();
                let completed = self.fetcher.complete_evidence(&evidence, &self.supplied, &policies, now).await;
                completed.unwrap_or_else(|error| {
                    note(&error.to_string());
                    None
                })
            }
        };
        match completed {
            None => trust.endorsements.extend(&self.supplied.endorsements()),
            Some(completed) => {
                completed.notes().iter().for_each(|text| note(text));
                trust.endorsements.extend(&completed.endorsements());
            }
        }
        trust
    }
}
