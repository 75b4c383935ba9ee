//! Which certificates vouch for a quote's key, where several would do. Whether they do is judged afterwards.
//!
//! Choosing runs downwards from the pin, as for AMD: CAs that a pinned root signed, then PCK certificates that one of those
//! signed, then the one whose key signed the QE report. Only where nothing leads to a pinned root, the most plausible of what
//! was passed over is handed on, so that the check that refuses it says what is wrong.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::choose::missing;
use super::quote::{Certification, Quote};
use crate::check::Check;
use crate::findings::{Comparison, Findings, Stop};
use crate::intel::pck::{self, Pck};
use crate::intel::powers::{authority_complaint, signer_complaint};
use crate::report::{Roots, Text};
use crate::roots::PinnedRoots;
use crate::signature::{Scheme, Signatures, holds};
use crate::time::UnixTime;
use crate::words::{listed, words};
use crate::x509::certificate::{Certificate, PublicKey};
use crate::x509::pool::Candidate;
use crate::x509::revocation::Revocations;

/// Subject of every PCK certificate.
pub(super) const PCK_NAME: &str = "Intel SGX PCK Certificate";

/// The certificates that vouch for one quote's key.
pub(super) struct Chain {
    pub(super) root: Arc<Certificate>,
    pub(super) ca: Candidate,
    pub(super) leaf: Candidate,
    /// Whether the root signed the CA.
    pub(super) ca_is_signed: bool,
    /// Whether the CA signed the leaf.
    pub(super) leaf_is_signed: bool,
}

/// What a chain is chosen from, and by.
pub(super) struct Choice<'r, 's, 'm> {
    pub(super) quote: &'r Quote<'r>,
    /// The chain that stands in the quote, in whatever order.
    pub(super) carried: &'r [Candidate],
    pub(super) pool: &'r [Candidate],
    pub(super) lists: &'s mut Revocations<'r>,
    pub(super) anchors: PinnedRoots<'r>,
    pub(super) now: UnixTime,
    pub(super) signatures: &'s mut Signatures<'m>,
}

/// A bound on what is tried to say what is wrong, where nothing is right: platforms of a fleet that share a TCB.
const MAX_DIAGNOSED: usize = 64;

impl<'r> Choice<'r, '_, '_> {
    /// Picks leaf, CA and anchor.
    pub(super) fn chain(mut self, findings: &mut Findings) -> Result<Chain, Stop> {
        let anchors = self.anchors.roots();
        let leaves = self.leaves(findings)?;
        let chain = match self.trace(&leaves, anchors) {
            Some((true, chain)) => chain,
            Some((false, chain)) => {
                self.look_no_further(findings)?;
                chain
            }
            None => {
                self.look_no_further(findings)?;
                self.untraced(&leaves, anchors, findings)?
            }
        };
        // A root that comes with the quote is compared with the pinned one, and never used.
        let (subject, spki) = (&chain.root.subject, &chain.root.spki);
        let forged = self.carried.iter().map(|held| &held.certificate);
        let forged = forged.into_iter().find(|other| other.subject == *subject && other.spki != *spki);
        let roots = self.anchors.whose(&chain.root);
        let actual = match (forged, roots) {
            (Some(other), _) => words!("{}: another key under that name", other.shared_name_and_key()),
            (None, Roots::Vendors) => words!("{}, pinned by this build", chain.root.name_or("?")),
            (None, Roots::Policy) => words!("{}, pinned by the policy, not Intel's", chain.root.name_or("?")),
        };
        let pinned = Comparison { check: Check::TDX_CHAIN_ROOT_PINNED, expected: names(anchors), actual };
        findings.require(forged.is_none(), pinned)?;
        findings.anchored_in(roots);
        Ok(chain)
    }

    /// The PCK certificates that could be this quote's: its own, or of the pool for certification data of type 3.
    fn leaves(&self, findings: &mut Findings) -> Result<Vec<&'r Candidate>, Stop> {
        let is_pck = |held: &&Candidate| held.certificate.common_name() == Some(PCK_NAME);
        let mut leaves: Vec<&'r Candidate> = match &self.quote.certification {
            Certification::Chain(_) => self.carried.iter().filter(is_pck).collect(),
            Certification::Platform { cpu_svn, pce_svn, pce_id } => {
                let is_its = |pck: Pck| pck.cpu_svn == **cpu_svn && pck.pce_svn == *pce_svn && pck.pce_id == **pce_id;
                let names_it = |held: &&Candidate| pck::parse(&held.certificate).is_ok_and(is_its);
                self.pool.iter().filter(is_pck).filter(names_it).collect()
            }
        };
        if leaves.is_empty() {
            return Err(match self.quote.certification {
                Certification::Chain(_) => {
                    not_a_chain("a certificate named `Intel SGX PCK Certificate` in the quote's chain", findings)
                }
                Certification::Platform { .. } => {
                    missing(&["the PCK certificate of this platform and TCB (the quote carries none)"], findings)
                }
            });
        }
        leaves.sort_by_key(|leaf| Reverse((leaf.certificate.is_valid_at(self.now), leaf.certificate.not_after)));
        Ok(leaves)
    }

    /// The chain in which every signature holds, up to a pinned root: of several, that of the leaf whose key signed the QE
    /// report (several platforms share a TCB), and that nothing speaks against. And whether it did, as far as that was asked.
    fn trace(&mut self, leaves: &[&Candidate], anchors: &[Arc<Certificate>]) -> Option<(bool, Chain)> {
        let authorities = self.authorities(leaves, anchors);
        let alone = leaves.len() == 1;
        let mut traced: Option<((bool, bool), Chain)> = None;
        for leaf in leaves {
            let mut issuers =
                authorities.iter().filter(|above| above.held.certificate.subject == leaf.certificate.issuer);
            let issuer = issuers.find(|above| leaf.is_signed_by(&above.held.certificate.key, self.signatures));
            let Some(Authority { root, held, serves }) = issuer else { continue };
            let chain = || Chain {
                root: (*root).clone(),
                ca: (*held).clone(),
                leaf: (*leaf).clone(),
                ca_is_signed: true,
                leaf_is_signed: true,
            };
            if alone {
                return Some((true, chain()));
            }
            let fit = (self.signed_the_qe_report(leaf), *serves && self.leaf_serves(leaf, held));
            if fit == (true, true) {
                return Some((true, chain()));
            }
            if traced.as_ref().is_none_or(|(better, _)| *better < fit) {
                traced = Some((fit, chain()));
            }
        }
        traced.map(|((signed, _), chain)| (signed, chain))
    }

    fn signed_the_qe_report(&self, leaf: &Candidate) -> bool {
        let quote = self.quote;
        matches!(&leaf.certificate.key, PublicKey::P256(key) if holds(Scheme::EcdsaP256Fixed, key, quote.qe.bytes, quote.qe_signature))
    }

    /// Whether nothing speaks against a PCK certificate, the lists of its CA included.
    fn leaf_serves(&mut self, leaf: &Candidate, ca: &Candidate) -> bool {
        let lists = self.lists.of(&ca.certificate, self.signatures);
        let leaf = &leaf.certificate;
        leaf.is_valid_at(self.now)
            && signer_complaint(leaf).is_none()
            && leaf.extension_complaint().is_none()
            && lists.is_ok_and(|lists| lists.complaint(leaf, &"").is_none())
    }

    /// Whether a CA is not revoked, has the powers that it needs, and is in its time.
    fn standing(&mut self, root: &Certificate, ca: &Certificate) -> (bool, bool, bool) {
        let lists = self.lists.of(root, self.signatures);
        let stands = !lists.is_ok_and(|lists| lists.revocation(ca, &"").is_some());
        let sound = authority_complaint(ca, "", 0).is_none() && ca.extension_complaint().is_none();
        (stands, sound, ca.is_valid_at(self.now))
    }

    /// The CAs that a pinned root signed, from the pool or from the quote: what is not revoked and in its time first.
    fn authorities<'a>(&mut self, leaves: &[&Candidate], anchors: &'a [Arc<Certificate>]) -> Vec<Authority<'a>> {
        let issuers: BTreeSet<_> = leaves.iter().map(|leaf| &leaf.certificate.issuer).collect();
        let mut authorities: Vec<Authority<'a>> = Vec::new();
        for held in self.pool.iter().chain(self.carried) {
            let certificate = &held.certificate;
            let is_known = || authorities.iter().any(|known| known.held.certificate.is_the_same_as(certificate));
            if !issuers.contains(&certificate.subject) || is_known() {
                continue;
            }
            let mut above = anchors.iter().filter(|root| root.subject == certificate.issuer);
            if let Some(root) = above.find(|root| held.is_signed_by(&root.key, self.signatures)) {
                authorities.push(Authority { root, held: held.clone(), serves: true });
            }
        }
        // One alone is judged afterwards: nothing could stand in its place.
        if authorities.len() > 1 {
            authorities.sort_by_cached_key(|Authority { root, held, .. }| {
                let (stands, sound, is_valid) = self.standing(root, &held.certificate);
                Reverse((stands, sound, is_valid, held.certificate.not_after))
            });
            for Authority { root, held, serves } in &mut authorities {
                *serves = self.standing(root, &held.certificate) == (true, true, true);
            }
        }
        authorities
    }

    /// What would vouch for the quote was not found, and not everything of the user's was looked at: that is what is wrong.
    fn look_no_further(&self, findings: &mut Findings) -> Result<(), Stop> {
        let Some(too_many) = self.signatures.too_many_certificates() else { return Ok(()) };
        let expected = "certificates that can all be looked at".into();
        findings.require(false, Comparison { check: Check::TDX_CHAIN_PCK, expected, actual: too_many.into() })
    }

    /// A chain in which some signature does not hold.
    fn untraced(
        &mut self,
        leaves: &[&Candidate],
        anchors: &[Arc<Certificate>],
        findings: &mut Findings,
    ) -> Result<Chain, Stop> {
        const NO_CA: &str = "the CA that issued the PCK certificate, in the quote's chain or supplied";
        let signer = leaves.iter().take(MAX_DIAGNOSED).find(|leaf| leaves.len() > 1 && self.signed_the_qe_report(leaf));
        let Some(leaf) = signer.or_else(|| leaves.first()) else { return Err(not_a_chain(NO_CA, findings)) };
        let mut issuers = self.carried.iter().chain(self.pool);
        let Some(ca) = issuers.find(|held| held.certificate.subject == leaf.certificate.issuer) else {
            return Err(not_a_chain(NO_CA, findings));
        };
        let mut above = anchors.iter().filter(|root| root.subject == ca.certificate.issuer);
        let signer = above.clone().find(|root| ca.is_signed_by(&root.key, self.signatures));
        let Some(root) = signer.or_else(|| above.next()) else {
            let actual = ca.certificate.issuer_name().unwrap_or("a root without a name").to_owned();
            let pinned =
                Comparison { check: Check::TDX_CHAIN_ROOT_PINNED, expected: names(anchors), actual: actual.into() };
            return Err(findings.fail(pinned));
        };
        Ok(Chain {
            root: root.clone(),
            ca: ca.clone(),
            leaf: (*leaf).clone(),
            ca_is_signed: signer.is_some(),
            leaf_is_signed: leaf.is_signed_by(&ca.certificate.key, self.signatures),
        })
    }
}

/// A CA that a pinned root signed.
struct Authority<'a> {
    root: &'a Arc<Certificate>,
    held: Candidate,
    /// Whether nothing speaks against it.
    serves: bool,
}

fn names(anchors: &[Arc<Certificate>]) -> Text {
    listed(anchors.iter().map(|anchor| anchor.shared_name_and_key()))
}

/// The quote brings no chain that could be followed.
pub(super) fn not_a_chain(expected: &'static str, findings: &mut Findings) -> Stop {
    findings.fail(Comparison { check: Check::TDX_CHAIN_PCK, expected: expected.into(), actual: "none".into() })
}
