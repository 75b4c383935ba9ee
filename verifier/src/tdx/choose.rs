//! Which of the supplied collateral a platform is judged by, where several would do.
//!
//! Intel serves several evaluations of the same platform at once. As a rule the newest supplied one decides, so that adding an
//! older one to the pool cannot make a platform look better; a policy may say that the oldest does that is not below its
//! minimum. The others are kept, to show what they say and when one of them takes over. What Intel did not sign is passed
//! over while something signed is there, so that adding junk cannot make it look worse.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::profile::DecidingEvaluation;
use crate::bytes::Fmspc;
use crate::check::Check;
use crate::evidence::Endorsements;
use crate::findings::{Comparison, Findings, Stop};
use crate::intel::collateral::{Dated, QeIdentity, TcbInfo, TcbInfoHint};
use crate::intel::powers::signer_complaint;
use crate::report::{Endorsement, Text};
use crate::signature::{Scheme, Share, Signatures, Statement};
use crate::statement::{Brought, Item, Readable, Source};
use crate::time::UnixTime;
use crate::x509::certificate::{Certificate, PublicKey};
use crate::x509::pool::{Candidate, each_once};
use crate::x509::revocation::{Lists, NoLists, Revocations};

/// Subject of the certificates under which Intel signs TCB info and QE identity.
pub(super) const TCB_SIGNING_NAME: &str = "Intel SGX TCB Signing";

/// What of the pool one quote needs.
pub(super) struct Collateral {
    pub(super) tcb_info: Chosen<TcbInfo>,
    pub(super) qe_identity: Chosen<QeIdentity>,
    /// Who signed TCB info, QE identity and the others; where nobody did, who should have.
    pub(super) signers: Vec<Candidate>,
    /// Why the root did not sign the signers' certificates, in words; `None` where it did.
    pub(super) unsigned_signer: Option<String>,
    /// When another signer begins, who may have signed what nobody signs now.
    pub(super) next_signer: Option<UnixTime>,
    pub(super) root_lists: Result<Arc<Lists>, String>,
    pub(super) pck_lists: Result<Arc<Lists>, String>,
    /// Other TCB infos of this platform, and other QE identities, that are signed and hold now or later.
    pub(super) other_tcb_infos: Vec<Other<TcbInfo>>,
    pub(super) other_qe_identities: Vec<Other<QeIdentity>>,
}

/// A text that was chosen, and whether its signature holds.
pub(super) struct Chosen<T: Readable> {
    brought: Brought<T>,
    pub(super) is_signed: bool,
    /// The user brought more than is looked at, before anything was found that is signed.
    pub(super) is_one_of_too_many: bool,
}

impl<T: Readable> Chosen<T> {
    /// The text, to be read once its signature holds.
    pub(super) fn item(&self) -> &Item<T> {
        &self.brought.item
    }

    pub(super) fn source(&self) -> Source {
        self.brought.source
    }

    /// The line of the report for a verdict that rests on it.
    pub(super) fn line(&self, kind: &'static str, name: Text, until: UnixTime) -> Endorsement {
        Endorsement {
            kind,
            name: name.into(),
            source: self.brought.source,
            from: self.brought.from.clone().map(|place| Text::from(place).into()),
            until: Some(until),
            statement: Some((&self.brought.item).into()),
        }
    }
}

/// A signed text that the verdict does not rest on.
pub(super) struct Other<T: Readable> {
    pub(super) dated: Dated,
    pub(super) source: Source,
    pub(super) item: Arc<Item<T>>,
}

/// Which of several evaluations decides.
#[derive(Clone, Copy)]
pub(crate) struct Deciding {
    pub(super) which: DecidingEvaluation,
    /// The lowest number of a TCB info that may.
    pub(super) tcb_info: u32,
    /// The lowest number of a QE identity that may.
    pub(super) qe_identity: u32,
}

/// Where a text stands among several at one time: the greatest decides.
pub(super) type TimePlace = (bool, (bool, Reverse<u32>, u32), UnixTime);

impl Deciding {
    pub(super) fn place_of_tcb_info(self, dated: Dated, at: UnixTime) -> TimePlace {
        self.place(dated, self.tcb_info, at)
    }

    pub(super) fn place_of_qe_identity(self, dated: Dated, at: UnixTime) -> TimePlace {
        self.place(dated, self.qe_identity, at)
    }

    fn place(self, Dated { evaluation, from, until }: Dated, floor: u32, at: UnixTime) -> TimePlace {
        let rank = match self.which {
            DecidingEvaluation::Highest => (true, Reverse(0), evaluation),
            DecidingEvaluation::Lowest => (evaluation >= floor, Reverse(evaluation), 0),
        };
        (from <= at && at < until, rank, from)
    }
}

/// The chain that the quote's own part of the argument has established.
pub(super) struct Issuers<'c> {
    pub(super) root: &'c Certificate,
    pub(super) ca: &'c Certificate,
    pub(super) fmspc: Option<Fmspc>,
}

/// Picks what this platform needs; what of it is missing is named, all at once.
pub(super) fn choose_collateral(
    pool: &[Candidate],
    endorsements: &Endorsements,
    issuers: &Issuers<'_>,
    lists: &mut Revocations<'_>,
    deciding: Deciding,
    signatures: &mut Signatures<'_>,
    findings: &mut Findings,
) -> Result<Collateral, Stop> {
    let now = findings.at();
    let mut consult = |issuer: &Certificate| match lists.of(issuer, signatures) {
        Ok(lists) => Some(Ok(lists)),
        Err(NoLists::Unusable(why)) => Some(Err(why)),
        Err(NoLists::Absent) => None,
    };
    let (root_lists, pck_lists) = (consult(issuers.root), consult(issuers.ca));
    let signers = Signers::choose(pool, issuers.root, &root_lists, now, signatures);

    let is_for = |hint: &TcbInfoHint| issuers.fmspc.is_some_and(|fmspc| hint.is_for(&fmspc));
    let infos = rank(&endorsements.tcb_infos, |hint| {
        let dated = hint.dated();
        let suits = [hint.id == "TDX", is_for(hint), hint.is_of_the_known_form()];
        Place { suits, place: deciding.place_of_tcb_info(dated, now), dated }
    });
    let identities = rank(&endorsements.qe_identities, |hint| {
        let dated = hint.dated();
        let suits = [hint.id == "TD_QE", true, hint.is_of_the_known_form()];
        Place { suits, place: deciding.place_of_qe_identity(dated, now), dated }
    });
    let mut signed = Signed { by: &signers.trusted, used: BTreeSet::new(), has_stranger: false, signatures };
    let tcb_info = choose(&infos, &mut signed);
    let qe_identity = choose(&identities, &mut signed);

    let (no_info, no_identity) = (tcb_info.is_none(), qe_identity.is_none());
    let (no_root_list, no_pck_list) = (root_lists.is_none(), pck_lists.is_none());
    match (tcb_info, qe_identity, root_lists, pck_lists, signers.trusted.first()) {
        (Some(tcb_info), Some(qe_identity), Some(root_lists), Some(pck_lists), Some(first)) => {
            let all = Comparison {
                check: Check::TDX_COLLATERAL_PRESENT,
                expected: "a TCB info, a QE identity, CRLs of root and PCK CA, the TCB signing certificate".into(),
                actual: "all supplied; whether they are this platform's is judged below".into(),
            };
            findings.require(true, all)?;
            let other_tcb_infos = others(&infos, &tcb_info, now, &mut signed);
            let other_qe_identities = others(&identities, &qe_identity, now, &mut signed);
            let Signed { used, has_stranger, signatures, .. } = signed;
            let unsigned_signer = (!signers.are_signed).then(|| {
                let too_many = signatures.too_many_certificates();
                too_many.unwrap_or_else(|| "the TCB signing certificate is not signed by the pinned root".to_owned())
            });
            let by = used.into_iter().filter_map(|index| signers.trusted.get(index).cloned());
            let mut by: Vec<_> = by.collect();
            if by.is_empty() {
                by.push(first.clone());
            }
            Ok(Collateral {
                tcb_info,
                qe_identity,
                signers: by,
                unsigned_signer,
                next_signer: signers.next.filter(|_| has_stranger),
                root_lists,
                pck_lists,
                other_tcb_infos,
                other_qe_identities,
            })
        }
        _ => {
            let fmspc = issuers.fmspc.map_or_else(|| "unknown".to_owned(), |fmspc| fmspc.to_string());
            let names = [
                (no_info, format!("TCB info (TDX, FMSPC {fmspc})")),
                (no_identity, "QE identity (TD_QE)".to_owned()),
                (no_root_list, "CRL of Intel SGX Root CA".to_owned()),
                (no_pck_list, format!("CRL of {}", issuers.ca.common_name().unwrap_or("the PCK CA"))),
                (signers.trusted.is_empty(), format!("certificate `{TCB_SIGNING_NAME}`")),
            ];
            let names: Vec<_> = names.iter().filter(|(absent, _)| *absent).map(|(_, name)| name.as_str()).collect();
            Err(missing(&names, findings))
        }
    }
}

/// What the quote needs and the pool does not hold.
pub(super) fn missing(names: &[&str], findings: &mut Findings) -> Stop {
    findings.fail(Comparison {
        check: Check::TDX_COLLATERAL_PRESENT,
        expected: names.join(", ").into(),
        actual: "not supplied".into(),
    })
}

/// The certificates under which texts may be signed.
struct Signers {
    /// One for each key, the most plausible first; where the root signed none, or none of those serves, the most plausible
    /// alone, to be refused by name.
    trusted: Vec<Candidate>,
    are_signed: bool,
    /// When the next of another key begins.
    next: Option<UnixTime>,
}

/// How many keys are tried on one text. Intel has signed with one since 2018.
const MAX_SIGNERS: usize = 4;

impl Signers {
    /// Those that the root signed, that are not revoked and in their time, the latest first. Both of Intel's have one key and
    /// one serial; when Intel changes the key, texts under the old and under the new are in use at one time.
    fn choose(
        pool: &[Candidate],
        root: &Certificate,
        lists: &Option<Result<Arc<Lists>, String>>,
        now: UnixTime,
        signatures: &mut Signatures<'_>,
    ) -> Self {
        let mut held: Vec<_> =
            pool.iter().filter(|held| held.certificate.common_name() == Some(TCB_SIGNING_NAME)).collect();
        let lists = lists.as_ref().and_then(|lists| lists.as_ref().ok());
        let standing = |signer: &Certificate| {
            let is_revoked = lists.is_some_and(|lists| lists.revocation(signer, &"").is_some());
            let stands = signer.issuer == root.subject && !is_revoked;
            let sound = signer_complaint(signer).is_none() && signer.extension_complaint().is_none();
            (stands, sound, signer.is_valid_at(now))
        };
        if held.len() > 1 {
            held.sort_by_cached_key(|held| Reverse((standing(&held.certificate), held.certificate.not_after)));
        }
        let (mut best, mut trusted, mut next) = (None, Vec::<Candidate>::new(), None::<UnixTime>);
        for held in held.iter().filter(|held| held.certificate.issuer == root.subject) {
            let signer = &held.certificate;
            let is_known = trusted.iter().any(|known| known.certificate.key == signer.key);
            if is_known || trusted.len() == MAX_SIGNERS || !held.is_signed_by(&root.key, signatures) {
                continue;
            }
            best = best.or(Some(*held));
            match standing(signer) {
                (true, true, true) => trusted.push((*held).clone()),
                (true, true, false) if signer.not_before > now => {
                    next = next.into_iter().chain([signer.not_before]).min();
                }
                _ => {}
            }
        }
        if trusted.is_empty() {
            trusted.extend(best.or(held.first().copied()).cloned());
        }
        Self { trusted, are_signed: best.is_some(), next }
    }
}

/// Asks which of the signers signed a text.
struct Signed<'s, 'm> {
    by: &'s [Candidate],
    /// Which of them signed something.
    used: BTreeSet<usize>,
    /// Something that this platform could be judged by is signed by none of them.
    has_stranger: bool,
    signatures: &'s mut Signatures<'m>,
}

impl Signed<'_, '_> {
    fn holds<T: Readable>(&mut self, brought: &Brought<T>) -> bool {
        let share = Share::Texts(brought.source);
        let Some(signature) = &brought.item.signature else { return false };
        let signer = self.by.iter().position(|signer| {
            let PublicKey::P256(key) = &signer.certificate.key else { return false };
            let Item { bytes, name, .. } = &*brought.item;
            self.signatures.endorsement_holds(
                share,
                Scheme::EcdsaP256Fixed,
                key,
                Statement { message: bytes, signature, name },
            )
        });
        self.used.extend(signer);
        signer.is_some()
    }
}

/// Where a text stands, by what it says of itself, unsigned.
struct Place {
    /// Of which enclave or TEE it speaks, of which platform, in which form: all of them, or it is another's.
    suits: [bool; 3],
    place: TimePlace,
    dated: Dated,
}

/// One text of the pool.
struct Ranked<'g, T: Readable> {
    brought: &'g Brought<T>,
    place: Option<Place>,
}

/// The texts of the pool, each once, that which should decide first. One alone is not read before its signature holds.
fn rank<'g, T: Readable>(texts: &'g [Brought<T>], place: impl Fn(&T::Hint) -> Place) -> Vec<Ranked<'g, T>> {
    if let [only] = texts {
        return vec![Ranked { brought: only, place: None }];
    }
    let mut ranked: Vec<_> = each_once(texts)
        .into_iter()
        .map(|brought| Ranked { brought, place: brought.item.hint().map(&place) })
        .collect();
    ranked.sort_by(|one, other| {
        let key = |ranked: &Ranked<'_, T>| ranked.place.as_ref().map(|place| (place.suits, place.place));
        key(other).cmp(&key(one))
    });
    ranked
}

/// The first that is signed; an unsigned one only where nothing is, to be refused by name. What of the user's was not looked
/// at may be what should have decided: where there are too many, none does.
fn choose<T: Readable>(ranked: &[Ranked<'_, T>], signed: &mut Signed<'_, '_>) -> Option<Chosen<T>> {
    let (mut found, mut is_one_of_too_many) = (None, false);
    for text in ranked {
        let (source, share) = (text.brought.source, Share::Texts(text.brought.source));
        if source.is_the_users() && signed.signatures.is_spent(share) {
            is_one_of_too_many = true;
            break;
        }
        if signed.holds(text.brought) {
            found = Some(text);
            break;
        }
    }
    let chosen = found.or_else(|| ranked.first())?;
    Some(Chosen { brought: chosen.brought.clone(), is_signed: found.is_some(), is_one_of_too_many })
}

/// The others that suit as well, hold now or later, and are signed.
fn others<T: Readable>(
    ranked: &[Ranked<'_, T>],
    chosen: &Chosen<T>,
    now: UnixTime,
    signed: &mut Signed<'_, '_>,
) -> Vec<Other<T>> {
    let mut found = Vec::new();
    for Ranked { brought, place } in ranked {
        let Some(Place { suits: [true, true, true], dated, .. }) = place else { continue };
        let is_another = !Arc::ptr_eq(&brought.item, &chosen.brought.item);
        if !is_another || now >= dated.until {
            continue;
        }
        if signed.holds(brought) {
            found.push(Other { dated: *dated, source: brought.source, item: brought.item.clone() });
        } else {
            signed.has_stranger = true;
        }
    }
    found
}
