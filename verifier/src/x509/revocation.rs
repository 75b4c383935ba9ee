//! What all the lists of one issuer say together.
//!
//! A pool may hold several lists of one issuer: old ones, ones of another distribution point, and ones that somebody
//! made up. Those that the issuer did not sign say nothing; one of the others must be current; and whatever any of them
//! revokes is revoked, whatever its dates, so that adding a list can never make a certificate look better. A list of the
//! user's that was not looked at might have been the one that says no: where there are too many, that is refused.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::certificate::Certificate;
use super::crl::Crl;
use super::pool::each_once;
use crate::report::{Endorsement, Text};
use crate::signature::{Share, Signatures};
use crate::statement::{Brought, Source, Stated};
use crate::time::UnixTime;

/// The lists that an issuer signed, at least one: those that are current first, the latest of each first.
pub(crate) struct Lists {
    issuer: Text,
    lists: Vec<List>,
    now: UnixTime,
}

/// One list, and who brought it.
struct List {
    crl: Arc<Crl>,
    source: Source,
    from: Option<Arc<str>>,
    statement: Stated,
}

/// What ends the time for which lists serve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// Their own nextUpdate.
    NextUpdate,
    /// The policy's limit on their age.
    Age,
}

/// Why there are none.
#[derive(Clone)]
pub(crate) enum NoLists {
    /// Nothing was supplied that is a list of this issuer.
    Absent,
    /// What was supplied does not serve, and why.
    Unusable(String),
}

/// The lists of a pool, by their issuer: consulted once for each, however many certificates it issued.
pub(crate) struct Revocations<'p> {
    pool: Vec<&'p Brought<Crl>>,
    now: UnixTime,
    consulted: Vec<(Issuer, Result<Arc<Lists>, NoLists>)>,
}

/// Name and key: two certificates of one issuer have the same lists.
#[derive(PartialEq, Eq)]
struct Issuer {
    subject: Bytes,
    spki: Bytes,
}

impl<'p> Revocations<'p> {
    pub(crate) fn new(pool: &'p [Brought<Crl>], now: UnixTime) -> Self {
        Self { pool: each_once(pool), now, consulted: Vec::new() }
    }

    /// What the lists of `issuer` say together.
    pub(crate) fn of(&mut self, issuer: &Certificate, signatures: &mut Signatures<'_>) -> Result<Arc<Lists>, NoLists> {
        let name = Issuer { subject: issuer.subject.clone(), spki: issuer.spki.clone() };
        if let Some((_, lists)) = self.consulted.iter().find(|(known, _)| *known == name) {
            return lists.clone();
        }
        let lists = Lists::consult(&self.pool, issuer, self.now, signatures).map(Arc::new);
        self.consulted.push((name, lists.clone()));
        lists
    }
}

impl Lists {
    /// Consults `pool` for the lists of `issuer` at `now`.
    fn consult(
        pool: &[&Brought<Crl>],
        issuer: &Certificate,
        now: UnixTime,
        signatures: &mut Signatures<'_>,
    ) -> Result<Self, NoLists> {
        let name = issuer.common_name().unwrap_or("the issuer");
        let mut unreadable = 0_usize;
        let mut lists: Vec<List> = Vec::new();
        for brought in pool {
            match brought.item.read() {
                Ok(crl) if crl.issuer == issuer.subject => {
                    lists.push(List {
                        crl: crl.clone(),
                        source: brought.source,
                        from: brought.from.clone(),
                        statement: (&brought.item).into(),
                    });
                }
                Ok(_) => {}
                // Whose list an unreadable one is cannot be told: of the user's, it may be the one that matters.
                Err(_) => unreadable += usize::from(brought.source.is_the_users()),
            }
        }
        if lists.is_empty() {
            return Err(match unreadable {
                0 => NoLists::Absent,
                count => NoLists::Unusable(format!("no list of {name}; {count} supplied could not be read")),
            });
        }
        lists.sort_by_key(|list| Reverse((list.crl.is_current_at(now), list.crl.this_update)));
        let (mut unsigned, mut passed_over) = (0_usize, 0_usize);
        lists.retain(|list| {
            let share = Share::Lists(list.source);
            let is_paid = !signatures.is_spent(share);
            let is_signed = list.crl.is_signed_by(share, &issuer.key, signatures);
            let counts = usize::from(!is_signed && list.source.is_the_users());
            if is_paid {
                unsigned += counts
            } else {
                passed_over += counts
            }
            is_signed
        });
        if passed_over > 0 {
            let why = format!("more lists of {name} than are looked at, {passed_over} unread: supply its newest");
            return Err(NoLists::Unusable(why));
        }
        if lists.is_empty() {
            return Err(match unsigned {
                0 => NoLists::Absent,
                _ => NoLists::Unusable(format!("a list of {name} that it did not sign")),
            });
        }
        if let Some(List { crl, .. }) = lists.iter().find(|list| list.crl.has_critical_extension) {
            let why = format!("a list of {name} of {} with a critical extension", crl.this_update);
            return Err(NoLists::Unusable(why));
        }
        Ok(Self { issuer: issuer.name_or("the issuer"), lists, now })
    }

    /// Why these lists do not clear `certificate`, which is called `name` in reports; `None` where they do.
    pub(crate) fn complaint(&self, certificate: &Certificate, name: &dyn fmt::Display) -> Option<String> {
        self.revocation(certificate, name).or_else(|| self.staleness())
    }

    /// Whether any of the lists names `certificate`, in words. Its issuer must be theirs: a serial is unique only within one.
    /// What the issuer has taken back once stays taken back: neither the date of the entry nor that of the list matters.
    pub(crate) fn revocation(&self, certificate: &Certificate, name: &dyn fmt::Display) -> Option<String> {
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

    /// Until when these lists serve, and what ends that. As one ends, an older one that holds for longer decides in its place,
    /// unless it is older than a limit on the age allows then, or a memory refuses it because it learned of a newer one.
    /// `too_old` gives the end of what was issued at a time.
    pub(crate) fn end(
        &self,
        too_old: Option<&dyn Fn(UnixTime) -> UnixTime>,
        is_remembered: bool,
    ) -> Option<(UnixTime, End)> {
        let newest = self.this_update()?;
        let mut at = self.now;
        loop {
            let current = self.lists.iter().map(|list| &list.crl).filter(|crl| crl.is_current_at(at));
            let decides = current.max_by_key(|crl| crl.this_update);
            let Some(decides) = decides.filter(|crl| !is_remembered || crl.this_update >= newest) else {
                return Some((at, End::NextUpdate));
            };
            let age_ends = too_old.map(|too_old| too_old(decides.this_update));
            if age_ends.is_some_and(|end| end <= at) {
                return Some((at, End::NextUpdate));
            }
            let later = self.lists.iter().map(|list| list.crl.this_update).filter(|from| *from > at);
            let changes = later.chain(decides.next_update).min()?;
            match age_ends {
                Some(end) if end < changes => return Some((end, End::Age)),
                _ => at = changes,
            }
        }
    }

    /// The line of the report for a verdict that rests on them.
    pub(crate) fn line(&self) -> Option<Endorsement> {
        self.current().next().map(|list| Endorsement {
            kind: "crl",
            name: self.issuer.clone().into(),
            source: list.source,
            from: list.from.clone().map(|place| Text::from(place).into()),
            until: list.crl.next_update,
            statement: Some(list.statement.clone()),
        })
    }
}
