//! Which of the supplied certificates vouch for a report, where several would do. Whether they do is judged afterwards.
//!
//! Choosing runs downwards from the pin: intermediates that a pinned root signed, then leaves that one of those signed, then
//! the leaf whose key signed the report and that nothing else speaks against. What leads to no pinned root is passed over, whatever it says of itself, so that
//! adding junk to the pool cannot make genuine evidence look worse. Only where nothing leads to one, the most plausible of
//! what was passed over is handed on, so that the check that refuses it says what is wrong.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::leaf;
use super::powers::{authorities_complaint, leaf_complaint};
use super::report::{Report, SigningKey};
use super::roots::is_known_revoked;
use super::tcb::{Product, TcbVersion};
use crate::check::Check;
use crate::evidence::Endorsements;
use crate::findings::{Comparison, Findings, Stop};
use crate::report::{Roots, Text};
use crate::roots::PinnedRoots;
use crate::signature::Signatures;
use crate::stage::Signed;
use crate::time::UnixTime;
use crate::words::{listed, words};
use crate::x509::certificate::{Certificate, PublicKey};
use crate::x509::pool::{Candidate, candidates};
use crate::x509::revocation::{Lists, NoLists, Revocations};

/// The certificates that vouch for one report.
pub(super) struct Chain {
    pub(super) ark: Arc<Certificate>,
    pub(super) intermediate: Candidate,
    pub(super) leaf: Candidate,
    /// Whether the ARK signed the intermediate.
    pub(super) intermediate_is_signed: bool,
    /// Whether the intermediate signed the leaf.
    pub(super) leaf_is_signed: bool,
    /// What the ARK has revoked, where that is asked.
    pub(super) lists: Option<Result<Arc<Lists>, NoLists>>,
}

/// What a chain is chosen from, and by.
pub(super) struct Choice<'r, 's, 'm> {
    pub(super) report: &'r Report<'r>,
    pub(super) endorsements: &'r Endorsements,
    pub(super) anchors: PinnedRoots<'r>,
    /// What was revoked, where anybody asks.
    pub(super) lists: Option<Revocations<'r>>,
    pub(super) now: UnixTime,
    pub(super) signatures: &'s mut Signatures<'m>,
}

/// A bound on what is tried to say what is wrong, where nothing is right.
const MAX_DIAGNOSED: usize = 16;

impl Choice<'_, '_, '_> {
    /// Picks leaf, intermediate and anchor.
    pub(super) fn chain(mut self, findings: &mut Findings) -> Result<Chain, Stop> {
        // Whatever in the pool is a certificate; what is not is none of this report's business, unless something is missing.
        let (pool, unreadable) = candidates(&self.endorsements.certificates);
        let anchors = self.anchors.roots();

        let (wanted, other) = match self.report.signing_key {
            SigningKey::Vcek => ("SEV-VCEK", "SEV-VLEK"),
            SigningKey::Vlek => ("SEV-VLEK", "SEV-VCEK"),
        };
        let is_named = |name: &str| pool.iter().any(|held| held.certificate.common_name() == Some(name));
        if !is_named(wanted) && is_named(other) {
            let (expected, actual) = (format!("a {wanted} certificate"), format!("only a {other} certificate"));
            findings.require(
                false,
                Comparison { check: Check::SNP_CHAIN_LEAF_KIND, expected: expected.into(), actual: actual.into() },
            )?;
        }
        let leaves = self.rank_leaves(wanted, &pool);
        let missing = |name: &str, findings: &mut Findings| missing(name, pool.len(), unreadable, findings);
        let Some(best) = leaves.first().map(|leaf| leaf.held) else { return Err(missing(wanted, findings)) };
        let chain = match self.trace(&leaves, &pool, anchors) {
            Some((signed, chain)) => {
                if !signed {
                    self.look_no_further(findings)?;
                }
                state_presence(wanted, &chain.intermediate, findings)?;
                let lists = self.consult(&chain.ark);
                Chain { lists, ..chain }
            }
            None => {
                self.look_no_further(findings)?;
                let leaf = self.most_plausible_leaf(&leaves, best);
                let authority = self.most_plausible_issuer(leaf, &pool);
                let Some(intermediate) = authority else {
                    let issuer = best.certificate.issuer_name().unwrap_or("an issuer without a name");
                    return Err(missing(issuer, findings));
                };
                state_presence(wanted, intermediate, findings)?;
                self.untraced(leaf, intermediate, &pool, anchors, findings)?
            }
        };
        let roots = self.anchors.whose(&chain.ark);
        let source = match roots {
            Roots::Vendors => "pinned by this build",
            Roots::Policy => "pinned by the policy, not AMD's",
        };
        let actual = words!("{}, {}", chain.ark.name_or("?"), source);
        findings.require(true, Comparison { check: Check::SNP_CHAIN_ARK_PINNED, expected: names(anchors), actual })?;
        findings.anchored_in(roots);
        Ok(chain)
    }

    /// The leaves of this kind, those that suit the report best first.
    fn rank_leaves<'p>(&self, wanted: &str, pool: &'p [Candidate]) -> Vec<Leaf<'p>> {
        let named = pool.iter().filter(|leaf| leaf.certificate.common_name() == Some(wanted));
        // One alone is judged afterwards: nothing could stand in its place.
        let alone = named.clone().nth(1).is_none();
        let suits = |leaf: &Certificate| if alone { (true, true) } else { self.suitability(leaf) };
        let mut leaves: Vec<_> = named.map(|held| Leaf { suits: suits(&held.certificate), held }).collect();
        leaves.sort_by_key(|Leaf { suits, held }| {
            Reverse((*suits, held.certificate.is_valid_at(self.now), held.certificate.not_after))
        });
        leaves
    }

    /// Whether a leaf is for this chip, and for this TCB, by what it says.
    fn suitability(&self, leaf: &Certificate) -> (bool, bool) {
        let (hwid, _) = leaf::identity(leaf);
        let chip = hwid.is_some_and(|hwid| self.report.chip_id.0.starts_with(hwid));
        let product = leaf::product_name(leaf).and_then(Product::from_name);
        let tcb = product.is_some_and(|product| {
            let reported = TcbVersion::read(self.report.reported_tcb, product);
            reported.is_some_and(|reported| leaf::tcb(leaf, product) == Ok(reported))
        });
        (chip, tcb)
    }

    /// The chain in which every signature holds, up to a pinned root: of several, that of the leaf whose key signed the
    /// report (where the chip id is masked, several chips' leaves look alike) and that nothing speaks against. And whether it
    /// did, as far as that was asked.
    fn trace(
        &mut self,
        leaves: &[Leaf<'_>],
        pool: &[Candidate],
        anchors: &[Arc<Certificate>],
    ) -> Option<(bool, Chain)> {
        let authorities = self.authorities(leaves, pool, anchors);
        let mut traced: Option<Traced> = None;
        for Leaf { suits, held } in leaves {
            // A leaf that suits less is not looked at where one that suits more has been traced.
            if traced.as_ref().is_some_and(|traced| traced.suits > *suits) {
                break;
            }
            let mut issuers =
                authorities.iter().filter(|above| above.held.certificate.subject == held.certificate.issuer);
            let signed = issuers.find(|above| held.is_signed_by(&above.held.certificate.key, self.signatures));
            let Some(Authority { ark, held: issuer, serves }) = signed else { continue };
            let chain = || Chain {
                ark: (*ark).clone(),
                intermediate: (*issuer).clone(),
                leaf: (*held).clone(),
                intermediate_is_signed: true,
                leaf_is_signed: true,
                lists: None,
            };
            let alone = leaves.iter().filter(|other| other.suits == *suits).nth(1).is_none();
            if alone {
                return Some((true, chain()));
            }
            let leaf_serves = held.certificate.is_valid_at(self.now) && leaf_complaint(&held.certificate).is_none();
            let fit = (self.signed_the_report(held), *serves && leaf_serves);
            if fit == (true, true) {
                return Some((true, chain()));
            }
            if traced.as_ref().is_none_or(|traced| traced.fit < fit) {
                traced = Some(Traced { suits: *suits, fit, chain: chain() });
            }
        }
        traced.map(|traced| (traced.fit.0, traced.chain))
    }

    /// What would vouch for the report was not found, and not everything of the user's was looked at: that is what is wrong.
    fn look_no_further(&self, findings: &mut Findings) -> Result<(), Stop> {
        let Some(too_many) = self.signatures.too_many_certificates() else { return Ok(()) };
        let expected = "certificates that can all be looked at".into();
        findings.require(false, Comparison { check: Check::SNP_CHAIN_PATH, expected, actual: too_many.into() })
    }

    fn signed_the_report(&self, leaf: &Candidate) -> bool {
        matches!(&leaf.certificate.key, PublicKey::P384(key) if self.report.is_signed_by(key))
    }

    /// The intermediates that a pinned root signed. AMD has issued one again under the same name and key: what is neither
    /// revoked nor out of its time comes first.
    fn authorities<'p, 'a>(
        &mut self,
        leaves: &[Leaf<'_>],
        pool: &'p [Candidate],
        anchors: &'a [Arc<Certificate>],
    ) -> Vec<Authority<'p, 'a>> {
        let issuers: BTreeSet<_> = leaves.iter().map(|leaf| &leaf.held.certificate.issuer).collect();
        let mut authorities = Vec::new();
        for held in pool.iter().filter(|held| issuers.contains(&held.certificate.subject)) {
            let mut above = anchors.iter().filter(|ark| ark.subject == held.certificate.issuer);
            if let Some(ark) = above.find(|ark| held.is_signed_by(&ark.key, self.signatures)) {
                authorities.push(Authority { ark, held, serves: true });
            }
        }
        // One alone is judged afterwards: nothing could stand in its place.
        if authorities.len() > 1 {
            authorities.sort_by_cached_key(|Authority { ark, held, .. }| {
                let (stands, sound, is_valid) = self.standing(ark, &held.certificate);
                Reverse((stands, sound, is_valid, held.certificate.not_after))
            });
            for Authority { ark, held, serves } in &mut authorities {
                *serves = self.standing(ark, &held.certificate) == (true, true, true);
            }
        }
        authorities
    }

    /// Whether an intermediate is not revoked, has the powers that it needs, and is in its time.
    fn standing(&mut self, ark: &Certificate, intermediate: &Certificate) -> (bool, bool, bool) {
        let listed = match self.consult(ark) {
            Some(Ok(lists)) => lists.revocation(intermediate, &"").is_some(),
            _ => false,
        };
        let stands = !listed && !is_known_revoked(intermediate);
        (stands, authorities_complaint(ark, intermediate).is_none(), intermediate.is_valid_at(self.now))
    }

    fn consult(&mut self, ark: &Certificate) -> Option<Result<Arc<Lists>, NoLists>> {
        self.lists.as_mut().map(|lists| lists.of(ark, self.signatures))
    }

    /// Nothing leads to a pinned root: the leaf whose key signed the report, or the one that suits best.
    fn most_plausible_leaf<'p>(&self, leaves: &[Leaf<'p>], best: &'p Candidate) -> &'p Candidate {
        let several = leaves.len() > 1;
        let mut tried = leaves.iter().take(MAX_DIAGNOSED).map(|leaf| leaf.held);
        tried.find(|leaf| several && self.signed_the_report(leaf)).unwrap_or(best)
    }

    /// The intermediate whose key signed this leaf, the newest first.
    fn most_plausible_issuer<'p>(&mut self, leaf: &Candidate, pool: &'p [Candidate]) -> Option<&'p Candidate> {
        let mut issuers: Vec<_> =
            pool.iter().filter(|held| held.certificate.subject == leaf.certificate.issuer).collect();
        issuers.sort_by_key(|issuer| Reverse(issuer.certificate.not_before));
        let mut tried = issuers.iter().take(MAX_DIAGNOSED).copied();
        tried.find(|issuer| leaf.is_signed_by(&issuer.certificate.key, self.signatures)).or(issuers.first().copied())
    }

    /// A chain in which some signature does not hold. A root that was supplied is compared with the pinned one, and never
    /// used: one that borrows the pinned name for another key is a forgery, and named as one.
    fn untraced(
        &mut self,
        leaf: &Candidate,
        intermediate: &Candidate,
        pool: &[Candidate],
        anchors: &[Arc<Certificate>],
        findings: &mut Findings,
    ) -> Result<Chain, Stop> {
        let name = intermediate.certificate.issuer_name().unwrap_or("a root without a name");
        let mut named = anchors.iter().filter(|ark| ark.subject == intermediate.certificate.issuer);
        let signer = named.clone().find(|ark| intermediate.is_signed_by(&ark.key, self.signatures));
        let Some(ark) = signer.or_else(|| named.next()) else {
            return Err(not_pinned(anchors, name.to_owned(), findings));
        };
        let is_namesake = |held: &&Candidate| held.certificate.subject == ark.subject;
        let mut namesakes = pool.iter().filter(is_namesake).peekable();
        if signer.is_none() && namesakes.peek().is_some() && namesakes.all(|held| held.certificate.spki != ark.spki) {
            return Err(not_pinned(anchors, format!("another key under the name {name}"), findings));
        }
        Ok(Chain {
            ark: ark.clone(),
            intermediate: intermediate.clone(),
            leaf: leaf.clone(),
            intermediate_is_signed: signer.is_some(),
            leaf_is_signed: leaf.is_signed_by(&intermediate.certificate.key, self.signatures),
            lists: None,
        })
    }
}

/// A leaf, and whether it is for this chip and for this TCB, by what it says.
struct Leaf<'p> {
    suits: (bool, bool),
    held: &'p Candidate,
}

/// An intermediate that a pinned root signed.
struct Authority<'p, 'a> {
    ark: &'a Arc<Certificate>,
    held: &'p Candidate,
    /// Whether nothing speaks against it.
    serves: bool,
}

/// A chain in which every signature holds.
struct Traced {
    suits: (bool, bool),
    /// Whether its leaf's key signed the report, and whether nothing speaks against leaf and intermediate.
    fit: (bool, bool),
    chain: Chain,
}

fn names(anchors: &[Arc<Certificate>]) -> Text {
    listed(anchors.iter().filter_map(|anchor| anchor.name().as_ref()))
}

fn not_pinned(anchors: &[Arc<Certificate>], actual: String, findings: &mut Findings) -> Stop {
    let (check, expected) = (Check::SNP_CHAIN_ARK_PINNED, names(anchors));
    findings.fail(Comparison { check, expected, actual: actual.into() })
}

fn state_presence(wanted: &'static str, issuer: &Candidate, findings: &mut Findings) -> Result<(), Stop> {
    let actual = words!("{} and {}", wanted, issuer.certificate.name_or("an issuer without a name"));
    findings
        .require(true, Comparison { check: Check::SNP_CHAIN_PRESENT, expected: "leaf and intermediate".into(), actual })
}

fn missing(name: &str, supplied: usize, unreadable: usize, findings: &mut Findings) -> Stop {
    let actual = match unreadable {
        0 => format!("none among the {supplied} supplied"),
        count => format!("none among the {supplied} supplied; {count} more could not be read"),
    };
    let check = Check::SNP_CHAIN_PRESENT;
    findings.fail(Comparison { check, expected: format!("a certificate of {name}").into(), actual: actual.into() })
}
