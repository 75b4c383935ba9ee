//! What a platform is to the walk: three steps over types of its own, and the table of its checks.

use serde::de::DeserializeOwned;

use crate::bytes::ReportData;
use crate::carriage::{Offered, Workload};
use crate::check::{Check, Tee};
use crate::evidence::Endorsements;
use crate::findings::{Findings, Stop};
use crate::judge::RulesInWords;
use crate::memory::Memory;
use crate::report::BoundTo;
use crate::roots::TrustAnchors;
use crate::rule::{Ask, Field, Undertaken};

use crate::signature::Signatures;
use crate::stage::Unverified;
use crate::time::UnixTime;
use crate::windows::Windows;
use crate::wrapping::Wrapping;
use crate::x509::chains::Chains;

/// A kind of evidence that is understood.
pub(crate) trait Platform {
    /// The TEE whose evidence it is.
    const TEE: Tee;
    /// Every check that judges it, in the order of the walk.
    const CHECKS: &'static [Check];
    /// What a policy says about it.
    type Profile: Rules + DeserializeOwned;
    /// What its bytes claim.
    type Claim<'a>;
    /// The claim, once somebody is traced who vouches for it.
    type Vouched<'a>;

    /// Bytes -> unverified, with every field stated as a fact. A profile may say how much of an encoding is tolerated.
    fn parse<'a>(
        bytes: &'a [u8],
        profile: Option<&Self::Profile>,
        findings: &mut Findings,
    ) -> Result<Unverified<Self::Claim<'a>>, Stop>;

    /// Unverified -> vouched for. Ends at the first check that fails.
    fn authenticate<'a>(
        claim: Unverified<Self::Claim<'a>>,
        given: Given<'_, '_, Self::Profile>,
        findings: &mut Findings,
    ) -> Result<Self::Vouched<'a>, Stop>;

    /// What the authentic report offers to whatever carried it.
    fn offers(vouched: &Self::Vouched<'_>) -> Offered;

    /// Judges every rule of the profile, to the last.
    fn appraise(vouched: &Self::Vouched<'_>, wanted: Wanted<'_, Self::Profile>, findings: &mut Findings);

    /// The windows of every endorsement that this claim could use.
    fn look_at_windows(
        claim: &Self::Claim<'_>,
        endorsements: &Endorsements,
        anchors: &TrustAnchors,
        profile: Option<&Self::Profile>,
        windows: &mut Windows,
    );
}

/// What a policy says about a platform, in types of that platform.
pub(crate) trait Rules {
    /// Every field, in the order in which policies are written, with what is asked there.
    fn asks(&self) -> Vec<(&'static Field, Ask)>;

    /// How evidence reaches the verifier that this is about.
    fn wrapping(&self) -> Wrapping;

    /// What its author says that accepted evidence speaks for.
    fn bound_to(&self) -> Option<BoundTo>;

    /// What counts only beside something else.
    fn undertaken(&self) -> Vec<Undertaken>;

    /// A field that contradicts others, and what is wrong with it.
    fn contradiction(&self) -> Option<(&'static str, String)>;
}

/// What authentication is given, beside the claim.
pub(crate) struct Given<'g, 'm, P> {
    pub(crate) endorsements: &'g Endorsements,
    pub(crate) anchors: &'g TrustAnchors,
    pub(crate) profile: &'g P,
    pub(crate) now: UnixTime,
    pub(crate) signatures: Signatures<'m>,
    /// The chains of quotes that were read before, where anything is remembered.
    pub(crate) chains: Option<&'g Chains>,
    pub(crate) memory: Option<&'g Memory>,
}

/// What an authentic claim is held against.
pub(crate) struct Wanted<'a, P> {
    pub(crate) profile: &'a P,
    /// What each field of it asks, in the order of the platform's table.
    pub(crate) rules: RulesInWords<'a>,
    /// What the workload chose, out of whatever carried the evidence.
    pub(crate) workload: &'a Workload,
    /// What the caller expects of the 64 bytes that the workload chose, whatever the profile says.
    pub(crate) report_data: Option<&'a ReportData>,
    pub(crate) memory: Option<&'a Memory>,
    /// The event log of the boot, where the caller has it.
    pub(crate) event_log: Option<&'a [u8]>,
}
