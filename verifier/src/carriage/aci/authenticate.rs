//! Who vouches for the container group's context: the hardware for the digest of the security policy, and a named issuer for the
//! virtual machine that the hardware measured.

use super::Claim;
use super::did::Did;
use super::profile::AciProfile;
use super::uvm::{Endorsement, shown};
use crate::carriage::offered::{Offered, Workload};
use crate::check::Check;
use crate::findings::{Comparison, Findings, Stop};
use crate::report::Endorsement as Line;
use crate::rule::Waivable;
use crate::signature::{Share, Signatures};
use crate::statement::Source;
use crate::words::words;
use crate::x509::{cose, path};

/// What is known of the endorsement once it is authentic; nothing where the policy asks for none.
pub(crate) struct Vouched {
    pub(super) endorsed: Option<Endorsed>,
}

pub(super) struct Endorsed {
    pub(super) feed: String,
    pub(super) svn: u32,
}

/// Claim -> vouched for. Ends at the first check that fails.
pub(crate) fn authenticate(
    Claim { policy, endorsement }: Claim<'_>,
    profile: &AciProfile,
    offered: Offered<'_>,
    signatures: &mut Signatures<'_>,
    findings: &mut Findings,
) -> Result<(Vouched, Workload), Stop> {
    let workload = Workload { report_data: *offered.report_data };
    let (expected, actual) = match offered.host_data {
        Some(bound) => (words!("a policy with the SHA-256 {}", &bound[..]), words!("one with {}", &policy[..])),
        None => ("a TEE with HOST_DATA".into(), "another".into()),
    };
    findings.require(offered.host_data == Some(&policy), Comparison { check: Check::ACI_POLICY, expected, actual })?;
    let Waivable::Required(issuers) = &profile.uvm_issuers else {
        let judged = [
            Check::UVM_ISSUER,
            Check::UVM_CHAIN,
            Check::UVM_SIGNER,
            Check::UVM_ENDORSEMENT,
            Check::UVM_SIGNER_VALIDITY,
            Check::UVM_MEASUREMENT,
            Check::UVM_FEED,
            Check::UVM_SVN,
        ];
        let why = "the policy asks nobody to endorse the virtual machine";
        judged.into_iter().for_each(|check| findings.not_checked(check, "uvm_issuers", why));
        return Ok((Vouched { endorsed: None }, workload));
    };
    let endorsed = endorsed(endorsement, issuers, profile, offered, signatures, findings)?;
    Ok((Vouched { endorsed: Some(endorsed) }, workload))
}

fn endorsed(
    endorsement: Option<Endorsement<'_>>,
    issuers: &[Did],
    profile: &AciProfile,
    offered: Offered<'_>,
    signatures: &mut Signatures<'_>,
    findings: &mut Findings,
) -> Result<Endorsed, Stop> {
    let names = issuers.iter().map(Did::text).collect::<Vec<_>>().join(" or ");
    let said =
        endorsement.as_ref().map_or_else(|| "no endorsement".to_owned(), |endorsement| shown(endorsement.issuer));
    let named = endorsement.and_then(|endorsement| {
        let issuer = issuers.iter().find(|issuer| issuer.text() == endorsement.issuer)?;
        Some((endorsement, issuer))
    });
    let (expected, actual) = (format!("an endorsement by {names}").into(), said.into());
    let (endorsement, issuer) =
        findings.require_some(named, Comparison { check: Check::UVM_ISSUER, expected, actual })?;

    chain(&endorsement, issuer, signatures, findings)?;
    let signer = endorsement.path.first();
    let fits = signer.is_some_and(|signer| issuer.allows(signer));
    let expected = "a signer's certificate for the usages in the issuer's name".into();
    let actual = if fits { "one" } else { "a certificate for other usages" }.into();
    findings.require(fits, Comparison { check: Check::UVM_SIGNER, expected, actual })?;
    let holds =
        signer.is_some_and(|signer| cose::is_signed_by(&endorsement.message, &signer.key, Share::Carried, signatures));
    let compared = Comparison::of_signature(Check::UVM_ENDORSEMENT, "an endorsement that its signer signed", holds);
    findings.require(holds, compared)?;
    signer_validity(&endorsement, profile, findings)?;

    let same = endorsement.measurement.0 == *offered.launch_measurement;
    let expected = words!("{}, as the hardware measured", &offered.launch_measurement[..]);
    let actual = words!("{}", &endorsement.measurement.0[..]);
    findings.require(same, Comparison { check: Check::UVM_MEASUREMENT, expected, actual })?;
    findings.rests_on(Line {
        kind: "uvm-endorsement",
        name: shown(endorsement.feed).into(),
        source: Source::Evidence,
        from: None,
        until: signer.map(|signer| signer.not_after),
        statement: None,
    });
    Ok(Endorsed { feed: endorsement.feed.to_owned(), svn: endorsement.svn })
}

/// From the signer to the root that the issuer's name pins.
fn chain(
    endorsement: &Endorsement<'_>,
    issuer: &Did,
    signatures: &mut Signatures<'_>,
    findings: &mut Findings,
) -> Result<(), Stop> {
    let path = &endorsement.path;
    let now = findings.at();
    // The digest is compared before any signature is tried.
    let complaint = if issuer.is_rooted_in(endorsement.root) {
        let outside = path.iter().skip(1).find(|authority| !authority.is_valid_at(now));
        let outside = outside.map(|authority| {
            let (from, until) = (authority.not_before, authority.not_after);
            format!("{} is for {from} to {until}, not for {now}", path::said(authority))
        });
        path::complaint(path, Share::Carried, signatures).or(outside)
    } else {
        Some("a chain whose last certificate has another digest".to_owned())
    };
    let expected = words!("a chain to the root with the SHA-256 {}", &issuer.root()[..]);
    let holds = complaint.is_none();
    let actual = complaint.map_or_else(|| "one".into(), Into::into);
    findings.require(holds, Comparison { check: Check::UVM_CHAIN, expected, actual })?;
    path.iter()
        .skip(1)
        .for_each(|authority| findings.ends(authority.not_after, format!("{} (notAfter)", path::said(authority))));
    Ok(())
}

/// The signer's certificate is for a year, and what it signed is used for longer. A timestamp that came along could say when it
/// signed; whose timestamps count is one more chain, to a root that no policy names yet, so it is not taken apart.
fn signer_validity(endorsement: &Endorsement<'_>, profile: &AciProfile, findings: &mut Findings) -> Result<(), Stop> {
    let (Some(signer), now) = (endorsement.path.first(), findings.at()) else { return Ok(()) };
    if profile.uvm_signer_validity.required().is_none() {
        let timestamp = if endorsement.has_timestamp { "a timestamp" } else { "no timestamp" };
        let why = words!(
            "the signer's validity: its certificate is for {} to {}, and {} came along, which is not verified",
            signer.not_before,
            signer.not_after,
            timestamp
        );
        findings.not_checked(Check::UVM_SIGNER_VALIDITY, "uvm_signer_validity", why);
        return Ok(());
    }
    let expected = words!("a certificate that is valid at {}", now);
    let actual = words!("one for {} to {}", signer.not_before, signer.not_after);
    findings.require(signer.is_valid_at(now), Comparison { check: Check::UVM_SIGNER_VALIDITY, expected, actual })?;
    findings.ends(signer.not_after, format!("{} (notAfter)", path::said(signer)));
    Ok(())
}
