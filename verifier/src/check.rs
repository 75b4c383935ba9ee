//! A check, as a row of a table: its stable id, the stage it belongs to, what it stops, where the rule is written, on what
//! kind of statement it rests and what to do when it fails. Each platform owns its table; code, report and documentation all
//! read these rows.

use std::fmt;

use crate::kept::KEPT;

/// A row of what `ci/kept.py` writes.
type Kept = (&'static str, &'static str, &'static str, &'static str, &'static str);

/// A trusted execution environment whose evidence is understood.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Tee {
    /// AMD SEV-SNP.
    SevSnp,
    /// Intel TDX.
    Tdx,
}

impl Tee {
    /// All of them, in the order in which they are shown.
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::SevSnp, Self::Tdx].into_iter()
    }

    /// Its name in reports and policies.
    pub const fn name(self) -> &'static str {
        match self {
            Tee::SevSnp => "sev-snp",
            Tee::Tdx => "tdx",
        }
    }

    /// Its name in prose, with its vendor's.
    pub const fn title(self) -> &'static str {
        match self {
            Tee::SevSnp => "AMD SEV-SNP",
            Tee::Tdx => "Intel TDX",
        }
    }

    /// What its evidence is called, with its article.
    pub const fn evidence(self) -> &'static str {
        match self {
            Tee::SevSnp => "an SEV-SNP report",
            Tee::Tdx => "a TDX quote",
        }
    }
}

impl fmt::Display for Tee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The three steps of a verification, and of a rejection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Stage {
    /// What the bytes are: fails as *malformed*.
    Parse,
    /// Who vouches for them: fails as *unauthentic*.
    Authenticate,
    /// Whether we want them: fails as *unacceptable*.
    Appraise,
}

impl Stage {
    /// The word for a rejection at this stage.
    pub const fn rejection(self) -> &'static str {
        match self {
            Stage::Parse => "malformed",
            Stage::Authenticate => "unauthentic",
            Stage::Appraise => "unacceptable",
        }
    }
}

/// On what kind of statement a check rests: where the value that it found comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RestsOn {
    /// The hardware measured or reported it, and signed that.
    Hardware,
    /// The vendor signed it: certificates, revocation lists, TCB levels, identities.
    Vendor,
    /// It is derived here: from the form of the bytes, a replayed log, a table of this build, what was seen before.
    Derived,
    /// The author of the policy asserts it, or the caller does: nothing in the evidence shows it.
    Asserted,
}

impl RestsOn {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hardware => "hardware",
            Self::Vendor => "vendor",
            Self::Derived => "derived",
            Self::Asserted => "asserted",
        }
    }
}

/// What a check means for the claims of an attestation result (draft-ietf-rats-ar4si, section 2.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Claim {
    /// It is needed for *instance-identity*.
    InstanceIdentity,
    /// It is needed for *configuration*.
    Configuration,
    /// It is needed for *executables*.
    Executables,
    /// It is needed for *hardware*.
    Hardware,
    /// It is needed for *runtime-opaque*.
    RuntimeOpaque,
    /// Its failure says something of the hardware, and a policy may leave it unchecked.
    HardwareIfFailed,
    /// Its failure is one of cryptography.
    Cryptography,
}

/// What stands in the table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: &'static str,
    pub(crate) tee: Option<Tee>,
    pub(crate) stage: Stage,
    pub(crate) rests_on: RestsOn,
    pub(crate) stops: &'static str,
    pub(crate) source: &'static str,
    pub(crate) remedy: &'static str,
    pub(crate) claims: &'static [Claim],
}

/// One check, under its stable id. Each is a constant: `Check::SNP_SIGNATURE`.
#[derive(Clone, Copy)]
pub struct Check(pub(crate) &'static Row);

impl PartialEq for Check {
    fn eq(&self, other: &Self) -> bool {
        self.is(*other)
    }
}

impl Eq for Check {}

impl std::hash::Hash for Check {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl Check {
    /// Its stable id, as reports show it.
    pub const fn id(self) -> &'static str {
        self.0.id
    }

    /// The TEE whose evidence it judges; `None` where it judges any.
    pub const fn tee(self) -> Option<Tee> {
        self.0.tee
    }

    /// The stage it belongs to.
    pub const fn stage(self) -> Stage {
        self.0.stage
    }

    /// On what kind of statement it rests.
    pub const fn rests_on(self) -> RestsOn {
        self.0.rests_on
    }

    /// What it establishes, and which attack that stops.
    pub const fn stops(self) -> &'static str {
        self.0.stops
    }

    /// The document that the rule comes from.
    pub const fn source(self) -> &'static str {
        self.0.source
    }

    /// What to do when it fails.
    pub const fn remedy(self) -> &'static str {
        self.0.remedy
    }

    /// The files that judge it, from the root of the repository.
    pub fn code(self) -> &'static str {
        self.kept().map_or("", |(_, code, ..)| code)
    }

    /// The test that keeps it, as `cargo test -p teegate-tests --test verifier` names it, or why there can be none.
    pub fn test(self) -> &'static str {
        self.kept().map_or("", |(_, _, test, ..)| test)
    }

    /// The file of that test from the root of the repository, and what `cargo test --locked` is told to run it; `None` where there can
    /// be no test.
    pub fn test_file(self) -> Option<(&'static str, &'static str)> {
        self.kept().filter(|(.., file, _)| !file.is_empty()).map(|(.., file, arguments)| (*file, *arguments))
    }

    fn kept(self) -> Option<&'static Kept> {
        KEPT.iter().find(|(id, ..)| *id == self.id())
    }

    /// What it means for the claims of an attestation result.
    pub const fn claims(self) -> &'static [Claim] {
        self.0.claims
    }

    /// Whether it is this one: each stands in one row.
    pub(crate) fn is(self, other: Check) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// The table of a platform: one constant for each row, and all of them in the order of the walk.
macro_rules! checks {
    ($tee:expr; $($name:ident $id:literal $stage:ident $rests_on:ident {
        stops: $stops:literal, source: $source:literal, remedy: $remedy:literal,
        $(claims: [$($claim:ident)+],)?
    })+) => {
        impl $crate::check::Check {
            $(
                #[doc = concat!("`", $id, "`: ", $stops)]
                pub const $name: Self = {
                    static ROW: $crate::check::Row = $crate::check::Row {
                        id: $id,
                        tee: $tee,
                        stage: $crate::check::Stage::$stage,
                        rests_on: $crate::check::RestsOn::$rests_on,
                        stops: $stops,
                        source: $source,
                        remedy: $remedy,
                        claims: &[$($($crate::check::Claim::$claim),+)?],
                    };
                    Self(&ROW)
                };
            )+
        }

        /// Every check of this table, in the order of the walk.
        pub(crate) const CHECKS: &[$crate::check::Check] = &[$($crate::check::Check::$name,)+];
    };
}
pub(crate) use checks;
