//! Whoever stands behind a gateway, whatever it serves: nothing is sealed here, and nothing sent but questions that anybody may ask.

use teegate_intake::envelope::Refused;
use teegate_verifier::{Endorsements, Policy, Source, Verifier};

use crate::candidates::{self, Offered};
use crate::error::Error;
use crate::instance::{Freshness, Instance};
use crate::link::Gateway;
use crate::relayed;
use crate::settings::Settings;

/// Every instance that `gateway` offers, whatever it serves, verified under `policy`: of those that are refused, why. A gateway
/// offers at most three at once, in random order.
///
/// # Errors
/// The gateway offers none, or cannot be asked.
pub async fn survey(
    gateway: &Gateway,
    policy: Policy,
    endorsements: Endorsements,
    settings: &Settings,
) -> Result<Vec<Result<Instance, Refused>>, Error> {
    let offered = candidates::fetch(gateway, None, settings.wait).await?;
    let mut relayed = Endorsements::brought_by(Source::Relayed);
    let got = relayed::fetch(gateway, relayed::named(&offered), settings.observer.as_deref()).await;
    got.iter().for_each(|(_, statement)| relayed.extend(statement));
    let (trust, verifier, now) = (settings.trust(policy, endorsements), Verifier::new(), settings.clock);
    let mut found = Vec::new();
    for Offered { envelope, .. } in &offered {
        let trust = settings.trust_beside(&trust, envelope, &relayed, now()).await;
        let judged = Instance::verify(envelope, Freshness::Epoch, &trust, &verifier, &settings.memory, now());
        match &judged {
            Ok(instance) => settings.tell_verified(instance),
            Err(why) => settings.tell_refused(why),
        }
        found.push(judged);
    }
    Ok(found)
}
