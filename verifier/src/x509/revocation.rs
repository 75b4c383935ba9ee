//! What all the lists of one issuer say together.
//!
//! A pool may hold several lists of one issuer: old ones, ones of another distribution point, and ones that somebody
//! made up. Those that the issuer did not sign say nothing; one of the others must be current; and whatever any of them
//! revokes is revoked, whatever its dates, so that adding a list can never make a certificate look better.

use std::cmp::Reverse;
use std::sync::Arc;

use super::certificate::Certificate;
use super::crl::Crl;
use super::pool::each_once;
use crate::evidence::{Brought, Source};
use crate::findings::Endorsement;
use crate::signature::{Share, Signatures};
use crate::time::UnixTime;

/// The lists that an issuer signed, at least one: those that are current first, the latest of each first.
pub(crate) struct Lists {
    issuer: String,
    lists: Vec<List>,
    now: UnixTime,
}

/// One list, and who brought it.
struct List {
    crl: Arc<Crl>,
    source: Source,
    from: Option<Arc<str>>,
}

/// Why there are none.
#[derive(Clone)]
pub(crate) enum NoLists {
    /// Nothing was supplied that is a list of this issuer.
    Absent,
    /// What was supplied does not serve, and why.
    Unusable(String),
}

impl Lists {
    /// Consults `pool` for the lists of `issuer` at `now`.
    pub(crate) fn consult(
        pool: &[Brought<Crl>],
        issuer: &Certificate,
        now: UnixTime,
        signatures: &mut Signatures<'_>,
    ) -> Result<Self, NoLists> {
        let name = issuer.common_name().unwrap_or("the issuer");
        let mut unreadable = 0_usize;
        let mut lists: Vec<List> = Vec::new();
        for brought in each_once(pool) {
            match brought.item.read() {
                Ok(crl) if crl.issuer == issuer.subject => {
                    lists.push(List { crl: crl.clone(), source: brought.source, from: brought.from.clone() });
                }
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
        lists.sort_by_key(|list| Reverse((list.crl.is_current_at(now), list.crl.this_update)));
        lists.retain(|list| list.crl.is_signed_by(Share::Of(list.source), &issuer.key, signatures));
        if lists.is_empty() {
            return Err(NoLists::Unusable(format!("a list of {name} that it did not sign")));
        }
        if let Some(List { crl, .. }) = lists.iter().find(|list| list.crl.has_critical_extension) {
            let why = format!("a list of {name} of {} with a critical extension", crl.this_update);
            return Err(NoLists::Unusable(why));
        }
        Ok(Self { issuer: name.to_owned(), lists, now })
    }

    /// Why these lists do not clear `certificate`, which is called `name` in reports; `None` where they do.
    pub(crate) fn complaint(&self, certificate: &Certificate, name: &str) -> Option<String> {
        self.revocation(certificate, name).or_else(|| self.staleness())
    }

    /// Whether any of the lists names `certificate`, in words. Its issuer must be theirs: a serial is unique only within one.
    /// What the issuer has taken back once stays taken back: neither the date of the entry nor that of the list matters.
    pub(crate) fn revocation(&self, certificate: &Certificate, name: &str) -> Option<String> {
        self.lists.iter().map(|list| &list.crl).filter(|crl| crl.issuer == certificate.issuer).find_map(|crl| match crl
            .lists(&certificate.serial)
        {
            Ok(None) => None,
            Ok(Some(since)) => {
                let (issuer, issued) = (&self.issuer, crl.this_update);
                Some(format!("{name} is revoked as of {since}, in the list of {issuer} of {issued}"))
            }
            Err(error) => Some(format!("a CRL that cannot be read: {}", error.0)),
        })
    }

    /// Why none of them is current.
    fn staleness(&self) -> Option<String> {
        let (issuer, now) = (&self.issuer, self.now);
        // The latest of those that are not of the future, or where all are, the first that will hold.
        let past = self.lists.iter().find(|list| list.crl.this_update <= now);
        let crl = &past.or_else(|| self.lists.last())?.crl;
        match crl.next_update {
            _ if crl.is_current_at(now) => None,
            None => Some(format!("the list of {issuer} has no nextUpdate")),
            Some(_) if crl.this_update > now => {
                Some(format!("the list of {issuer} is of {}, after {now}", crl.this_update))
            }
            Some(next) => Some(format!("the list of {issuer} is for {} to {next}, not for {now}", crl.this_update)),
        }
    }

    /// Those that are current.
    fn current(&self) -> impl Iterator<Item = &List> {
        self.lists.iter().filter(|list| list.crl.is_current_at(self.now))
    }

    /// When the newest of those that are current was issued.
    pub(crate) fn this_update(&self) -> Option<UnixTime> {
        self.current().next().map(|list| list.crl.this_update)
    }

    /// Until when one of those that are current stays so.
    pub(crate) fn next_update(&self) -> Option<UnixTime> {
        self.current().filter_map(|list| list.crl.next_update).max()
    }

    /// The line of the report for a verdict that rests on them.
    pub(crate) fn line(&self) -> Option<Endorsement> {
        self.current().next().map(|list| Endorsement {
            kind: "crl",
            name: self.issuer.clone(),
            source: list.source,
            from: list.from.as_deref().map(str::to_owned),
            until: list.crl.next_update,
        })
    }
}
