//! What a platform is to the walk: three steps over types of its own, and the table of its checks.

use std::any::Any;
use std::fmt;

use serde::de::DeserializeOwned;

use crate::bytes::ReportData;
use crate::carriage::{Offered, Workload};
use crate::check::{Check, Tee};
use crate::evidence::Endorsements;
use crate::findings::{Findings, Stop};
use crate::judge::RulesInWords;
use crate::memory::Memory;
use crate::report::BoundTo;
use crate::roots::{PinnedRoots, Vendor};
use crate::rule::{Ask, Field, Pin, Undertaken};
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
    /// Who makes its hardware.
    const VENDOR: &'static Vendor;
    /// Every check that judges it, in the order of the walk.
    const CHECKS: &'static [Check];
    /// Those of them that a reader asks for first.
    const KEY_CHECKS: KeyChecks;
    /// What a policy says about it.
    type Profile: Rules + DeserializeOwned;
    /// What its bytes claim.
    type Claim<'a>;
    /// The claim, once somebody is traced who vouches for it.
    type Vouched<'a>;

    /// Every field that a policy can have for it, in the order in which policies are written.
    fn fields() -> Vec<&'static Field>;

    /// The fields by which this check is judged, in the same order.
    fn asked_by(check: Check) -> Vec<&'static Field>;

    /// Rules that a policy holds, where they are of this platform.
    fn rules(rules: &dyn Rules) -> Option<&Self::Profile> {
        (rules as &dyn Any).downcast_ref()
    }

    /// Bytes -> unverified, with every field stated as a fact. A profile may say how much of an encoding is tolerated.
    fn parse<'a>(
        bytes: &'a [u8],
        profile: Option<&Self::Profile>,
        findings: &mut Findings,
    ) -> Result<Unverified<Self::Claim<'a>>, Stop>;

    /// As [`Platform::parse`], for whoever only wants to see what the bytes say: with all that any profile would tolerate.
    fn read<'a>(bytes: &'a [u8], findings: &mut Findings) -> Result<Unverified<Self::Claim<'a>>, Stop> {
        Self::parse(bytes, None, findings)
    }

    /// Unverified -> vouched for. Ends at the first check that fails.
    fn authenticate<'a>(
        claim: Unverified<Self::Claim<'a>>,
        given: Given<'_, '_, Self::Profile>,
        findings: &mut Findings,
    ) -> Result<Self::Vouched<'a>, Stop>;

    /// What the authentic report offers to whatever carried it.
    fn offers<'v>(vouched: &'v Self::Vouched<'_>) -> Offered<'v>;

    /// Judges every rule of the profile, to the last.
    fn appraise(vouched: &Self::Vouched<'_>, wanted: Wanted<'_, Self::Profile>, findings: &mut Findings);

    /// The windows of every endorsement that this claim could use.
    fn look_at_windows(
        claim: &Self::Claim<'_>,
        endorsements: &Endorsements,
        anchors: PinnedRoots<'_>,
        profile: Option<&Self::Profile>,
        windows: &mut Windows,
    );
}

/// The checks of a TEE that a reader asks for first: whose hardware, which code, and what the workload put into it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct KeyChecks {
    /// The chain ends in a pinned root.
    pub root: Check,
    /// The signature on report or quote.
    pub signature: Check,
    /// The code that the guest was started with.
    pub code: Check,
    /// The fact that `code` judges.
    pub code_fact: &'static str,
    /// The 64 bytes that the workload chose.
    pub report_data: Check,
}

/// What a policy says about a platform, in types of that platform.
pub(crate) trait Rules: Any + fmt::Debug + Send + Sync {
    /// Every field, in the order in which policies are written, with what is asked there.
    fn asks(&self) -> Vec<(&'static Field, Ask)>;

    /// How evidence reaches the verifier that this is about.
    fn wrapping(&self) -> Wrapping;

    /// What its author says that accepted evidence speaks for.
    fn bound_to(&self) -> Option<BoundTo>;

    /// What counts only beside something else.
    fn undertaken(&self) -> Vec<Undertaken>;

    /// What pins the code that the hardware measures at launch, in this wrapping.
    fn code(&self) -> Vec<Pin>;

    /// A field that contradicts others, and what is wrong with it.
    fn contradiction(&self) -> Option<(&'static str, String)>;

    /// What its author bears for a written reason: the field that says so, and the reason.
    fn borne(&self) -> Option<(&'static str, &str)> {
        None
    }

    /// What its author says was rebuilt, rather than read from a running guest: the field that says so, and from what.
    fn rebuilt(&self) -> Option<(&'static str, &str)> {
        None
    }
}

/// What authentication is given, beside the claim.
pub(crate) struct Given<'g, 'm, P> {
    pub(crate) endorsements: &'g Endorsements,
    /// The roots in which its chain may end.
    pub(crate) anchors: PinnedRoots<'g>,
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
