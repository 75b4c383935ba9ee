//! What is to come of each address, by the statements in hand (`teegate_intake::forecast`): judged anew when something changed on which
//! it rests, and else once an hour, since a forecast is a dozen verdicts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use teegate_intake::evidence::OwnedEvidence;
use teegate_intake::forecast::{Forecast, forecast};
use teegate_verifier::{Endorsements, Policy, UnixTime, Verifier};

use crate::config::Address;

/// How long a forecast counts while nothing changes.
const AGAIN_AFTER_SECONDS: u64 = 3_600;
/// Addresses of the past are forgotten beyond so many.
const MAX_ADDRESSES: usize = 4_096;

/// The forecasts of all addresses; all its clones are one.
#[derive(Clone, Debug, Default)]
pub struct Forecasts(Arc<Mutex<HashMap<Address, Kept>>>);

#[derive(Debug)]
struct Kept {
    /// SHA-256 of the policy and the statements that it was made with.
    grounds: Vec<u8>,
    forecast: Arc<Forecast>,
}

impl Forecasts {
    /// What is to come of accepted evidence. It takes as long as a dozen verdicts, or no time.
    pub(crate) fn of(
        &self,
        address: &Address,
        evidence: &OwnedEvidence,
        pool: &Endorsements,
        policy: &Policy,
        now: UnixTime,
    ) -> Arc<Forecast> {
        let grounds = digest(policy, pool);
        if let Some(known) = self.known(address, &grounds, now) {
            return known;
        }
        let made = Arc::new(forecast(&evidence.as_evidence(pool), policy, now, &Verifier::new()));
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_ADDRESSES && !kept.contains_key(address) {
            kept.clear();
        }
        kept.insert(address.clone(), Kept { grounds, forecast: Arc::clone(&made) });
        made
    }

    fn known(&self, address: &Address, grounds: &[u8], now: UnixTime) -> Option<Arc<Forecast>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.get(address).filter(|known| known.grounds == grounds)?;
        let age = now.seconds().checked_sub(known.forecast.at.seconds())?;
        (age < AGAIN_AFTER_SECONDS).then(|| Arc::clone(&known.forecast))
    }
}

fn digest(policy: &Policy, pool: &Endorsements) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    context.update(policy.document().text().as_bytes());
    for (kind, bytes, _) in pool.statements() {
        context.update(kind.as_bytes());
        context.update(bytes);
    }
    context.finish().as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use teegate_forge::snp::SnpBuilder;
    use teegate_intake::evidence;
    use teegate_verifier::{ReportData, verify};

    use super::*;
    use crate::trust::forged::{envelope, platform, revocations};
    use crate::trust::testing::{START, Who, policy};

    const DAY: u64 = 86_400;

    /// The forecast for this device with these lists, and a way to ask the verifier itself.
    fn forecast_of(device: &SnpBuilder, lists: &[Endorsements]) -> (Forecast, impl Fn(u64) -> bool) {
        let set = device.build();
        let text = envelope(&Who::new(1).manifest(0, None), &device.clone().report_data([7; 64]));
        let evidence = evidence::recognise(&text, None).unwrap();
        let mut pool = evidence.endorsements.clone();
        lists.iter().for_each(|list| pool.extend(list));
        let policy = policy(&set.ark_pem, [0x5e; 48]).with_report_data(ReportData([7; 64]));
        let now = UnixTime::from_seconds(START);
        let made = Forecasts::default().of(&Address::parse("a:1").unwrap(), &evidence, &pool, &policy, now);
        let is_accepted =
            move |at: u64| verify(&evidence.as_evidence(&pool), &policy, UnixTime::from_seconds(at)).is_ok();
        (Forecast::clone(&made), is_accepted)
    }

    #[test]
    fn the_end_is_where_the_verifier_has_it_to_the_second() {
        let list = |days: u64| revocations(&platform().crl_window(START - DAY, Some(START + days * DAY)));
        let leaf = platform().vek_validity(START - DAY, START + DAY);
        for (what, device, lists, end, check) in [
            ("a list", platform(), vec![list(2)], START + 2 * DAY, "snp.chain.revocation"),
            ("the later of two lists", platform(), vec![list(2), list(9)], START + 9 * DAY, "snp.chain.revocation"),
            ("a certificate, whose last second counts", leaf, vec![list(9)], START + DAY + 1, "snp.chain.validity"),
        ] {
            let (forecast, is_accepted) = forecast_of(&device, &lists);
            assert_eq!(forecast.accepted_until.map(UnixTime::seconds), Some(end), "{what}");
            assert_eq!(forecast.refused_by, [check], "{what}");
            assert!(is_accepted(end - 1) && !is_accepted(end), "{what}");
            let first = forecast.changes.iter().find(|change| !change.refused_by.is_empty()).unwrap();
            assert_eq!((first.at.seconds(), &first.refused_by[..]), (end, &[check][..]), "{what}");
        }
    }

    #[test]
    fn what_is_refused_now_says_so() {
        let (forecast, _) = forecast_of(&platform().debug(), &[revocations(&platform())]);
        assert_eq!((forecast.is_accepted(), &forecast.refused_by[..]), (false, &["snp.policy.debug"][..]));
        assert!(forecast.reason.starts_with("snp.policy.debug: expected"), "{}", forecast.reason);
    }

    #[test]
    fn a_forecast_is_made_again_when_its_grounds_change_or_an_hour_is_over() {
        let forecasts = Forecasts::default();
        let address = Address::parse("a:1").unwrap();
        let text = envelope(&Who::new(1).manifest(0, None), &platform());
        let evidence = evidence::recognise(&text, None).unwrap();
        let policy = policy(&platform().ark_pem(), [0x5e; 48]);
        let mut pool = evidence.endorsements.clone();
        let of = |pool: &Endorsements, after: u64| {
            forecasts.of(&address, &evidence, pool, &policy, UnixTime::from_seconds(START + after))
        };
        let first = of(&pool, 0);
        assert!(Arc::ptr_eq(&first, &of(&pool, 3_599)));
        assert!(!Arc::ptr_eq(&first, &of(&pool, 3_600)));
        let again = of(&pool, 3_600);
        pool.extend(&revocations(&platform()));
        assert!(!Arc::ptr_eq(&again, &of(&pool, 3_600)));
    }
}
