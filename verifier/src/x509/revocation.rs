//! What all the lists of one issuer say together.
//!
//! A pool may hold several lists of one issuer: old ones, ones of another distribution point, and ones that somebody
//! made up. Those that the issuer did not sign say nothing; one of the others must be current; and whatever any of them
//! revokes is revoked, so that adding a list can never make a certificate look better.

use super::certificate::Certificate;
use super::crl::Crl;
use super::der;
use crate::evidence::Brought;
use crate::signature::Signatures;
use crate::time::UnixTime;

/// The lists that an issuer signed, of which at least one is current.
pub(crate) struct Lists<'a>(Vec<Crl<'a>>);

/// Why there are none.
pub(crate) enum NoLists {
    /// Nothing was supplied that is a list of this issuer.
    Absent,
    /// What was supplied does not serve, and why.
    Unusable(String),
}

/// A bound on the signatures tried.
const MAX_LISTS: usize = 64;

impl<'a> Lists<'a> {
    /// Consults `pool` for the lists of `issuer` at `now`.
    pub(crate) fn consult(
        pool: &'a [Brought<Vec<u8>>],
        issuer: &Certificate<'_>,
        now: UnixTime,
        signatures: &mut Signatures<'_>,
    ) -> Result<Self, NoLists> {
        let name = issuer.common_name().unwrap_or("the issuer");
        let mut unreadable = 0_usize;
        let mut lists: Vec<Crl<'a>> = Vec::new();
        for brought in pool {
            match Crl::parse(&brought.statement) {
                Ok(crl) if crl.issuer == issuer.subject => lists.push(crl),
                Ok(_) => {}
                Err(_) => unreadable += 1,
            }
        }
        if lists.is_empty() {
            // Whose list an unreadable one is cannot be told: it may be the one that matters.
            return Err(match unreadable {
                0 => NoLists::Absent,
                count => NoLists::Unusable(format!("no list of {name}; {count} supplied could not be read")),
            });
        }
        lists.sort_by_key(|crl| std::cmp::Reverse((crl.is_current_at(now), crl.this_update)));
        lists.truncate(MAX_LISTS);
        let newest = lists.first().cloned();
        lists.retain(|crl| crl.this_update <= now && crl.is_signed_by(&issuer.key, signatures));
        if let Some(crl) = lists.iter().find(|crl| crl.has_critical_extension) {
            return Err(NoLists::Unusable(format!(
                "a list of {name} of {} with a critical extension",
                crl.this_update
            )));
        }
        if lists.iter().any(|crl| crl.is_current_at(now)) {
            return Ok(Self(lists));
        }
        Err(NoLists::Unusable(match (lists.first(), newest) {
            (Some(stale), _) => match stale.next_update {
                Some(next) => format!("the list of {name} is for {} to {next}, not for {now}", stale.this_update),
                None => format!("the list of {name} has no nextUpdate"),
            },
            (None, Some(newest)) if newest.this_update > now => {
                format!("the list of {name} is of {}, after {now}", newest.this_update)
            }
            (None, _) => format!("a list of {name} that it did not sign"),
        }))
    }

    /// Whether any of the lists names `certificate`. Its issuer must be theirs: a serial is unique only within one.
    pub(crate) fn revoke(&self, certificate: &Certificate<'_>) -> der::Result<bool> {
        let mut revoked = false;
        for crl in self.0.iter().filter(|crl| crl.issuer == certificate.issuer) {
            revoked |= crl.lists(certificate.serial)?;
        }
        Ok(revoked)
    }

    /// When the newest of them was issued.
    pub(crate) fn this_update(&self) -> Option<UnixTime> {
        self.0.iter().map(|crl| crl.this_update).max()
    }

    /// Until when one of them is current.
    pub(crate) fn next_update(&self) -> Option<UnixTime> {
        self.0.iter().filter_map(|crl| crl.next_update).max()
    }
}
