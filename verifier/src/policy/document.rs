//! A policy: what it says, to be read and to be judged by.

use std::fmt;
use std::sync::Arc;

use super::profile::Profile;
use crate::bytes::ReportData;
use crate::check::Tee;
use crate::platform::Platform;
use crate::platforms;
use crate::report::BoundTo;
use crate::roots::{PinnedRoots, TrustAnchors};
use crate::rule::Ask;
use crate::wrapping::Wrapping;

/// What a policy says, to be read: its roots, and what each field of each profile asks.
pub struct Document {
    pub(super) name: String,
    pub(super) version: Option<u64>,
    pub(super) text: Arc<str>,
    pub(super) anchors: TrustAnchors,
    /// One for each (TEE, wrapping), those of one TEE beside each other.
    pub(super) profiles: Vec<Profile>,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({}, {} profiles)", self.name, self.profiles.len())
    }
}

impl Document {
    /// Which of its author's policies this is: a later one has a higher number. `None` where it does not say. No verdict depends on
    /// it; whoever keeps policies lets none be taken back to an earlier one by it.
    pub fn version(&self) -> Option<u64> {
        self.version
    }

    /// The TOML that it was read from, whole.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its profiles, those of one TEE beside each other.
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    /// The roots in which the chains of a TEE may end.
    pub fn roots(&self, tee: Tee) -> PinnedRoots<'_> {
        self.anchors.of(platforms::vendor(tee))
    }

    fn profile(&self, tee: Tee, wrapping: Wrapping) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.tee == tee && profile.wrapping() == wrapping)
    }
}

/// What a relying party accepts.
#[derive(Clone)]
pub struct Policy {
    document: Arc<Document>,
    report_data: Option<ReportData>,
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({}, {} profiles)", self.document.name, self.document.profiles.len())
    }
}

impl Policy {
    /// Of a document that needs nothing more.
    pub(super) fn of(document: Document) -> Self {
        Self { document: Arc::new(document), report_data: None }
    }

    /// What it says, to be read.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// This policy, which now also expects exactly these 64 bytes, whatever its profiles say of report data.
    #[must_use]
    pub fn with_report_data(&self, report_data: ReportData) -> Self {
        Self { document: self.document.clone(), report_data: Some(report_data) }
    }

    /// Whether a profile for this TEE leaves the report data to the caller, who has named none: no evidence can be accepted
    /// by it, so that a command does better to ask for them than to judge. A policy without such a profile misses nothing.
    pub fn misses_report_data(&self, tee: Tee) -> bool {
        let asks = |profile: &&Profile| profile.tee == tee && profile.ask("report_data") == Some(&Ask::Caller);
        self.report_data.is_none() && self.document.profiles.iter().any(|profile| asks(&profile))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.document.name()
    }

    /// Whether every root is the vendor's; a policy that pins others, as for forged hardware, says so here.
    pub fn trusts_only_vendors(&self) -> bool {
        Tee::all().all(|tee| self.document.roots(tee).are_vendors())
    }

    /// The weakest claim that any profile makes; `None` where one makes no claim. Whoever makes evidence chooses by which
    /// profile it is judged.
    pub fn weakest_bound_to(&self) -> Option<BoundTo> {
        self.document.profiles.iter().map(Profile::bound_to).min().flatten()
    }

    /// The roots in which the chains of a platform may end.
    pub(crate) fn anchors<P: Platform>(&self) -> PinnedRoots<'_> {
        self.document.anchors.of(P::VENDOR)
    }

    pub(crate) fn report_data(&self) -> Option<&ReportData> {
        self.report_data.as_ref()
    }

    /// The profile for evidence of this platform in this wrapping, and the same in the types of the platform.
    pub(crate) fn profile<P: Platform>(&self, wrapping: Wrapping) -> Option<(&Profile, &P::Profile)> {
        let profile = self.document.profile(P::TEE, wrapping)?;
        Some((profile, P::rules(&*profile.own)?))
    }
}
