//! Who vouches for a report: ARK -> ASK -> VCEK, or ARK -> ASVK -> VLEK (AMD 57230), then the report's own signature.

use super::choose::{Chain, Choice};
use super::leaf;
use super::powers::{authorities_complaint, leaf_complaint};
use super::profile::SnpProfile;
use super::report::{Report, SigningKey};
use super::roots::is_known_revoked;
use super::tcb::{Product, TcbVersion};
use crate::bytes::to_hex;
use crate::check::Check;
use crate::findings::{Comparison, Findings, Stop};
use crate::memory::{Memory, NO_MEMORY, Order, Statement};
use crate::platform::Given;
use crate::report::Text;
use crate::rule::{Revocation, Switch, Waivable};
use crate::stage::{Authentic, Unverified};
use crate::time::UnixTime;
use crate::words::{Value, Words, words};
use crate::x509::certificate::{Certificate, PublicKey, SignatureAlgorithm};
use crate::x509::revocation::{End, NoLists, Revocations};

/// A report that AMD's hierarchy vouches for.
pub(crate) struct Vouched<'a> {
    pub(crate) report: Authentic<Report<'a>>,
    pub(crate) product: Product,
    pub(crate) tcb: TcbVersions,
    /// The chip that the leaf was issued for, and whose root says so; `None` for a VLEK.
    pub(crate) chip: Option<Words>,
}

/// The four TCB versions of a report, in the layout of its product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TcbVersions {
    pub(crate) reported: TcbVersion,
    pub(crate) current: TcbVersion,
    pub(crate) committed: TcbVersion,
    pub(crate) launch: TcbVersion,
}

/// Unverified -> vouched for. Ends at the first check that fails.
pub(crate) fn authenticate<'a>(
    report: Unverified<Report<'a>>,
    mut given: Given<'_, '_, SnpProfile>,
    findings: &mut Findings,
) -> Result<Vouched<'a>, Stop> {
    let claimed = claimed_product(report.hints(), findings)?;
    let choice = Choice {
        report: report.hints(),
        endorsements: given.endorsements,
        anchors: given.anchors,
        lists: (given.profile.revocation != Revocation::Unchecked)
            .then(|| Revocations::new(&given.endorsements.crls, given.now)),
        now: given.now,
        signatures: &mut given.signatures,
    };
    let chain = choice.chain(findings)?;
    let product = check_path(&chain, findings)?;
    check_leaf_kind(report.hints(), &chain, given.profile, findings)?;
    check_validity(&chain, given.now, findings)?;
    check_revocation(&chain, &given, findings)?;
    let product = agree_on_product(claimed, product, &chain, findings)?;
    let tcb = read_tcb(report.hints(), product, findings)?;
    check_leaf(report.hints(), &chain, product, tcb.reported, given.profile, findings)?;

    let leaf = &chain.leaf.certificate;
    let PublicKey::P384(key) = &leaf.key else {
        return Err(findings.fail(leaf_key(leaf)));
    };
    let signed = report.authenticated_by(key);
    let expected = "bytes 0 to 0x29F signed by the leaf's key";
    let comparison = Comparison::of_signature(Check::SNP_SIGNATURE, expected, signed.is_some());
    let report = findings.require_some(signed, comparison)?;
    // By the certificate and not by the report, whose CHIP_ID the host can mask.
    let chip =
        leaf::identity(leaf).0.map(|hwid| words!("chip {} under {}", hwid, chain.ark.shared_name_and_key()).into());
    let lists = chain.lists.as_ref().and_then(|lists| lists.as_ref().ok()).and_then(|lists| lists.line());
    [Some(chain.leaf.line()), Some(chain.intermediate.line()), lists]
        .into_iter()
        .flatten()
        .for_each(|line| findings.rests_on(line));
    Ok(Vouched { report, product, tcb, chip })
}

fn leaf_key(leaf: &Certificate) -> Comparison {
    Comparison { check: Check::SNP_LEAF_KEY, expected: "a P-384 key".into(), actual: leaf.key.kind().into() }
}

const PRODUCTS: &str = "Milan, Genoa (with Bergamo and Siena) or Turin";

/// From version 3 on the report names its product by CPUID; before, only the chain does.
fn claimed_product(report: &Report<'_>, findings: &mut Findings) -> Result<Option<Product>, Stop> {
    let Some([family, model, _]) = report.cpuid else { return Ok(None) };
    let product = Product::from_cpuid(family, model);
    let cpuid = |number: u8| Value::Packed(number.into(), |number, f| write!(f, "{number:02X}h"));
    let name = product.map_or("unknown", Product::name);
    let actual = words!("{} (family {}, model {})", name, cpuid(family), cpuid(model));
    findings.require(
        product.is_some(),
        Comparison { check: Check::SNP_PRODUCT_KNOWN, expected: PRODUCTS.into(), actual },
    )?;
    Ok(product)
}

/// Signatures, then names and powers. Gives the product that the chain stands for.
fn check_path(chain: &Chain, findings: &mut Findings) -> Result<Product, Stop> {
    let (ark, intermediate, leaf) = (&*chain.ark, &*chain.intermediate.certificate, &*chain.leaf.certificate);
    const NO_NAME: &str = "the intermediate";
    const NO_LEAF_NAME: &str = "the leaf";
    let (issuer, kind) = (intermediate.common_name().unwrap_or(NO_NAME), leaf.common_name().unwrap_or(NO_LEAF_NAME));
    let complaint = [(ark, "the root"), (intermediate, issuer)]
        .into_iter()
        .find(|(authority, _)| !matches!(authority.key, PublicKey::Rsa { bits: 4096, .. }))
        .map(|(authority, name)| format!("{name} has {}", authority.key.kind()))
        .or_else(|| {
            [(intermediate, issuer), (leaf, kind)]
                .into_iter()
                .find(|(certificate, _)| certificate.algorithm != SignatureAlgorithm::RsaPssSha384)
                .map(|(_, name)| format!("{name} is signed with another algorithm or other parameters"))
        })
        .or_else(|| (!chain.intermediate_is_signed).then(|| format!("{issuer} is not signed by the pinned root")))
        .or_else(|| (!chain.leaf_is_signed).then(|| format!("{kind} is not signed by {issuer}")));
    let holds = complaint.is_none();
    let actual = complaint.map_or("every signature holds".into(), Text::from);
    let expected = "RSASSA-PSS, SHA-384, salt 48, from RSA-4096 keys, up to the pinned root".into();
    findings.require(holds, Comparison { check: Check::SNP_CHAIN_PATH, expected, actual })?;

    let (product, complaint) = match product_of(ark.common_name(), issuer) {
        Some(product) => (product, authorities_complaint(ark, intermediate).or_else(|| leaf_complaint(leaf))),
        None => (Product::Milan, Some(format!("{issuer} under {}", ark.common_name().unwrap_or("?")))),
    };
    let holds = complaint.is_none();
    let (kind, issuer) = (|| leaf.name_or(NO_LEAF_NAME), || intermediate.name_or(NO_NAME));
    let actual =
        complaint.map_or_else(|| words!("{} under {} under ARK-{}", kind(), issuer(), product.name()), Text::from);
    let expected = "AMD's names, authorities that may issue, a leaf that may not, no unknown critical extension".into();
    findings.require(holds, Comparison { check: Check::SNP_CHAIN_NAMES_AND_USAGE, expected, actual })?;
    Ok(product)
}

/// The product whose root and intermediate bear these names.
fn product_of(root: Option<&str>, intermediate: &str) -> Option<Product> {
    let named = root?.strip_prefix("ARK-")?;
    let product = Product::from_name(named).filter(|product| product.name() == named)?;
    let issues_leaves = intermediate.strip_prefix("SEV-VLEK-").or_else(|| intermediate.strip_prefix("SEV-"));
    (issues_leaves == Some(product.name())).then_some(product)
}

/// SIGNING_KEY, the leaf's identity and the intermediate tell the same story; a VLEK's provider is one that is wanted.
fn check_leaf_kind(
    report: &Report<'_>,
    chain: &Chain,
    profile: &SnpProfile,
    findings: &mut Findings,
) -> Result<(), Stop> {
    let (hwid, csp_id) = leaf::identity(&chain.leaf.certificate);
    let under_asvk = chain.intermediate.certificate.common_name().is_some_and(|name| name.starts_with("SEV-VLEK-"));
    let leaf = match (hwid, csp_id, under_asvk) {
        (Some(_), None, false) => Some(SigningKey::Vcek),
        (None, Some(_), true) => Some(SigningKey::Vlek),
        _ => None,
    };
    let wanted = profile.signing_keys.contains(&report.signing_key);
    let expected = words!(
        "a {} (HWID under the ASK, or CSP_ID under the ASVK), which the policy allows",
        report.signing_key.word()
    );
    let authority = if under_asvk { "the ASVK" } else { "the ASK" };
    let actual = match leaf {
        Some(key) if wanted => key.word().into(),
        Some(key) => words!("{}, which the policy does not allow", key.word()),
        None => {
            words!("HWID {}, CSP_ID {}, under {}", present(hwid.is_some()), present(csp_id.is_some()), authority)
        }
    };
    let holds = leaf == Some(report.signing_key) && wanted;
    if leaf == Some(report.signing_key) && !wanted {
        findings.advise(
            Check::SNP_CHAIN_LEAF_KIND,
            "report and leaf agree; the policy's `signing_keys` does not name this kind of key: name it there, if a fleet's key (vlek) \
             or a chip's (vcek) is what you want",
        );
    }
    findings.require(holds, Comparison { check: Check::SNP_CHAIN_LEAF_KIND, expected, actual })?;

    match (csp_id, &profile.csp_ids) {
        (None, _) => findings.not_applicable(Check::SNP_CHAIN_CSP, "a VCEK names no provider"),
        (Some(csp_id), Waivable::Unchecked) => findings.not_checked(
            Check::SNP_CHAIN_CSP,
            "csp_ids",
            format!("the policy takes any provider; this is {csp_id}"),
        ),
        (Some(csp_id), Waivable::Required(wanted)) => {
            let holds = wanted.iter().any(|wanted| wanted == csp_id);
            findings.require(
                holds,
                Comparison {
                    check: Check::SNP_CHAIN_CSP,
                    expected: wanted.join(", ").into(),
                    actual: csp_id.to_owned().into(),
                },
            )?;
        }
    }
    if let Some(csp_id) = csp_id {
        findings.facts.text("csp_id", csp_id.to_owned());
    }
    Ok(())
}

const fn present(present: bool) -> &'static str {
    if present { "present" } else { "absent" }
}

fn check_validity(chain: &Chain, now: UnixTime, findings: &mut Findings) -> Result<(), Stop> {
    let (ark, intermediate, leaf) = (&*chain.ark, &*chain.intermediate.certificate, &*chain.leaf.certificate);
    for (certificate, name) in [(ark, "the ARK"), (intermediate, "the intermediate"), (leaf, "the leaf")] {
        let (not_before, not_after) = (certificate.not_before, certificate.not_after);
        let validity = Comparison {
            check: Check::SNP_CHAIN_VALIDITY,
            expected: words!("{} valid at {}", name, now),
            actual: words!("{} valid from {} to {}", name, not_before, not_after),
        };
        findings.require(certificate.is_valid_at(now), validity)?;
        findings.ends(not_after, words!("{} (notAfter)", name));
    }
    Ok(())
}

/// The ARK's CRL lists intermediates. Leaves carry serial 0 and another issuer: they cannot be on it.
fn check_revocation(chain: &Chain, given: &Given<'_, '_, SnpProfile>, findings: &mut Findings) -> Result<(), Stop> {
    let (intermediate, leaf) = (&*chain.intermediate.certificate, &*chain.leaf.certificate);
    let not_on_it = words!(
        "AMD's CRL lists what the ARK issued; this leaf (serial {}) was issued by the intermediate and cannot be on it",
        &*leaf.serial
    );
    findings.not_applicable(Check::SNP_CHAIN_LEAF_REVOCATION, not_on_it);
    let known = is_known_revoked(intermediate);
    let lists = match &chain.lists {
        _ if known => None,
        None => {
            let why = "the policy does not ask for revocation";
            findings.not_checked(Check::SNP_CHAIN_REVOCATION, "revocation", why);
            findings.not_checked(Check::SNP_CHAIN_AGE, "revocation", why);
            findings.not_checked(Check::SNP_CHAIN_ROLLBACK, "revocation", why);
            return Ok(());
        }
        Some(Err(NoLists::Absent)) if given.profile.revocation == Revocation::IfSupplied => {
            let why = "no CRL of this product was supplied, and the policy does not insist";
            findings.not_checked(Check::SNP_CHAIN_REVOCATION, "revocation", why);
            findings.not_applicable(Check::SNP_CHAIN_AGE, "no CRL of this product was supplied");
            return check_rollback(&chain.ark, None, given.memory, findings);
        }
        Some(lists) => Some(lists),
    };
    let named = words!("the intermediate (serial {})", &*intermediate.serial);
    let complaint = match lists {
        None => Some(format!("{named} was revoked by AMD before this release")),
        Some(Err(NoLists::Absent)) => Some("none was supplied".to_owned()),
        Some(Err(NoLists::Unusable(why))) => Some(why.clone()),
        Some(Ok(lists)) => lists.complaint(intermediate, &named),
    };
    let ark_name = || chain.ark.name_or("the ARK");
    let expected = words!("a CRL of {}, current at {}, that does not list the intermediate", ark_name(), given.now);
    let holds = complaint.is_none();
    let actual = complaint
        .map_or_else(|| words!("the intermediate (serial {}) is not listed", &*intermediate.serial), Text::from);
    findings.require(holds, Comparison { check: Check::SNP_CHAIN_REVOCATION, expected, actual })?;
    let lists = lists.and_then(|lists| lists.as_ref().ok());
    let issued = lists.and_then(|lists| lists.this_update());
    if let Some(issued) = issued {
        findings.facts.text("crl_this_update", words!("{}", issued));
    }
    let most = given.profile.max_collateral_age.required();
    let too_old = most.map(|most| |issued| most.ends(issued));
    let too_old = too_old.as_ref().map(|ends| ends as &dyn Fn(UnixTime) -> UnixTime);
    match lists.and_then(|lists| lists.end(too_old, given.memory.is_some())) {
        Some((end, End::NextUpdate)) => findings.ends(end, words!("the CRL of {} (nextUpdate)", ark_name())),
        Some((end, End::Age)) => {
            findings.ends(end, words!("the age of the CRL of {} (max_collateral_age)", ark_name()));
        }
        None => {}
    }
    match (most, issued) {
        (Some(most), Some(issued)) => {
            let end = most.ends(issued);
            let expected = words!("a CRL of {} issued less than {} days before {}", ark_name(), most.days, given.now);
            let age = Comparison { check: Check::SNP_CHAIN_AGE, expected, actual: words!("issued {}", issued) };
            findings.require(given.now < end, age)?;
        }
        _ => {
            let why = "the policy sets no limit but the list's own end";
            findings.not_checked(Check::SNP_CHAIN_AGE, "max_collateral_age", why);
        }
    }
    check_rollback(&chain.ark, issued, given.memory, findings)
}

/// A list that is older than one that was seen before is refused, and so is none at all where there was one.
fn check_rollback(
    ark: &Certificate,
    issued: Option<UnixTime>,
    memory: Option<&Memory>,
    findings: &mut Findings,
) -> Result<(), Stop> {
    let order = issued.map_or(Order::Missing, Order::Issued);
    let name = words!("CRL of {}", ark.shared_name_and_key()).into();
    findings.seen.statements.push(Statement { name, order });
    let Some(memory) = memory else {
        findings.not_applicable(Check::SNP_CHAIN_ROLLBACK, NO_MEMORY);
        return Ok(());
    };
    let complaint = memory.older_statement(&findings.seen.statements);
    let holds = complaint.is_none();
    let actual = complaint.map_or("no older list".into(), Text::from);
    let expected = "no list older than one seen before".into();
    findings.require(holds, Comparison { check: Check::SNP_CHAIN_ROLLBACK, expected, actual })
}

/// Report, chain and leaf name one product. A report of version 2 has none of its own to name.
fn agree_on_product(
    claimed: Option<Product>,
    chained: Product,
    chain: &Chain,
    findings: &mut Findings,
) -> Result<Product, Stop> {
    if claimed.is_none() {
        findings.require(
            true,
            Comparison {
                check: Check::SNP_PRODUCT_KNOWN,
                expected: PRODUCTS.into(),
                actual: words!("{} (by the authenticated chain)", chained.name()),
            },
        )?;
    }
    let named = leaf::product_name(&chain.leaf.certificate);
    let holds = claimed.is_none_or(|claimed| claimed == chained) && named.and_then(Product::from_name) == Some(chained);
    let leaf = named.map_or("(none)".into(), |named| Text::Owned(named.to_owned()));
    let actual = words!("report {}, chain {}, leaf {}", claimed.map_or("(none)", Product::name), chained.name(), leaf);
    findings.require(holds, Comparison { check: Check::SNP_PRODUCT_CHAIN, expected: "one product".into(), actual })?;
    findings.facts.text("product", chained.word());
    Ok(chained)
}

fn read_tcb(report: &Report<'_>, product: Product, findings: &mut Findings) -> Result<TcbVersions, Stop> {
    let read = |bytes| TcbVersion::read(bytes, product);
    let all = [
        ("reported", report.reported_tcb),
        ("current", report.current_tcb),
        ("committed", report.committed_tcb),
        ("launch", report.launch_tcb),
    ];
    let wrong = all.iter().find(|(_, bytes)| read(bytes).is_none());
    let expected = words!("the layout of {}, reserved bytes zero", product.name());
    let layout = Comparison {
        check: Check::SNP_TCB_LAYOUT,
        expected,
        actual: wrong
            .map_or(Text::Borrowed("as expected"), |(name, bytes)| format!("{name} TCB {}", to_hex(*bytes)).into()),
    };
    findings.require(wrong.is_none(), layout)?;
    match (read(report.reported_tcb), read(report.current_tcb), read(report.committed_tcb), read(report.launch_tcb)) {
        (Some(reported), Some(current), Some(committed), Some(launch)) => {
            for (name, tcb) in [
                ("reported_tcb_version", reported),
                ("current_tcb_version", current),
                ("committed_tcb_version", committed),
                ("launch_tcb_version", launch),
            ] {
                findings.facts.text(name, words!("{}", tcb));
            }
            Ok(TcbVersions { reported, current, committed, launch })
        }
        _ => Err(Stop),
    }
}

/// The leaf's key is for this TCB and this chip.
fn check_leaf(
    report: &Report<'_>,
    chain: &Chain,
    product: Product,
    reported: TcbVersion,
    profile: &SnpProfile,
    findings: &mut Findings,
) -> Result<(), Stop> {
    let leaf = &chain.leaf.certificate;
    findings.require(matches!(leaf.key, PublicKey::P384(_)), leaf_key(leaf))?;

    let issued = leaf::tcb(leaf, product);
    let holds = issued == Ok(reported);
    let actual = match issued {
        Ok(tcb) => words!("issued for {}", tcb),
        Err(complaint) => complaint.into(),
    };
    findings.require(holds, Comparison { check: Check::SNP_LEAF_TCB, expected: words!("{}", reported), actual })?;

    let (hwid, _) = leaf::identity(leaf);
    match hwid {
        None => findings.not_applicable(Check::SNP_LEAF_CHIP_ID, "a VLEK is a provider's, not one chip's"),
        Some(_) if report.has_masked_chip_id() && profile.masked_chip_id == Switch::Allowed => {
            findings.not_checked(
                Check::SNP_LEAF_CHIP_ID,
                "masked_chip_id",
                "the report's CHIP_ID is masked, and the policy allows that",
            );
        }
        Some(hwid) => {
            let length = if product == Product::Turin { 8 } else { 64 };
            let rest_is_zero = report.chip_id.0.iter().skip(length).all(|byte| *byte == 0);
            let holds = hwid.len() == length
                && report.chip_id.0.starts_with(hwid)
                && rest_is_zero
                && !report.has_masked_chip_id();
            let expected = if report.has_masked_chip_id() {
                "a CHIP_ID that is not masked".into()
            } else {
                words!("HWID {}", report.chip_id.0.get(..length).unwrap_or(&[]))
            };
            let actual = words!("HWID {}", hwid);
            findings.require(holds, Comparison { check: Check::SNP_LEAF_CHIP_ID, expected, actual })?;
        }
    }
    Ok(())
}
