//! The platforms that are understood: the one place in which a TEE leads to the types of its platform.

use crate::carriage;
use crate::check::{Check, Tee};
use crate::evidence::Evidence;
use crate::facts::FactValue;
use crate::findings::Findings;
use crate::platform::{KeyChecks, Platform};
use crate::report::Finding;
use crate::roots::Vendor;
use crate::rule::Field;
use crate::sev_snp::{SevSnp, SnpNeeds, snp_needs};
use crate::tdx::{Tdx, TdxNeeds, tdx_needs};
use crate::time::UnixTime;
use crate::wrapping::Wrapping;

/// What is to be done with a platform, whichever it is.
pub(crate) trait Task {
    /// What comes of it.
    type Outcome;

    fn with<P: Platform>(self) -> Self::Outcome;
}

/// Does it with the platform of this TEE.
pub(crate) fn of<T: Task>(tee: Tee, task: T) -> T::Outcome {
    match tee {
        Tee::SevSnp => task.with::<SevSnp>(),
        Tee::Tdx => task.with::<Tdx>(),
    }
}

/// What has to be asked of a vendor before evidence can be authenticated. Unverified hints.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Needs {
    /// Of an SEV-SNP report.
    SevSnp(SnpNeeds),
    /// Of a TDX quote.
    Tdx(TdxNeeds),
}

/// What the evidence says that it needs. The endorsements beside it are consulted for one thing: the PCK certificate of a
/// quote that carries none.
///
/// # Errors
/// The evidence is malformed, as [`crate::verify()`] would say too.
pub fn needs_of(evidence: &Evidence<'_>) -> Result<Needs, Box<Finding>> {
    match evidence.tee {
        Tee::SevSnp => snp_needs(evidence.bytes).map(Needs::SevSnp),
        Tee::Tdx => tdx_needs(evidence.bytes, evidence.endorsements).map(Needs::Tdx),
    }
}

/// What the bytes of evidence say, every field by its name. **Nothing is verified**: anybody can write such bytes.
///
/// # Errors
/// The evidence is malformed, as [`crate::verify()`] would say too.
pub fn inspect(tee: Tee, bytes: &[u8]) -> Result<Vec<(&'static str, FactValue)>, Box<Finding>> {
    struct Inspect<'a>(&'a [u8]);
    impl Task for Inspect<'_> {
        type Outcome = Result<Vec<(&'static str, FactValue)>, Box<Finding>>;

        fn with<P: Platform>(self) -> Self::Outcome {
            let mut findings = Findings::new(P::TEE, P::CHECKS, UnixTime::from_seconds(0));
            match P::read(self.0, &mut findings) {
                Ok(_) => Ok(findings.facts.iter().map(|(name, value)| (name, value.clone())).collect()),
                Err(stop) => Err(findings.failure(stop)),
            }
        }
    }
    of(tee, Inspect(bytes))
}

/// Every field that a profile of this TEE has, in the order in which policies are written.
pub fn fields_of(tee: Tee) -> Vec<&'static Field> {
    struct Fields;
    impl Task for Fields {
        type Outcome = Vec<&'static Field>;

        fn with<P: Platform>(self) -> Self::Outcome {
            P::fields()
        }
    }
    of(tee, Fields)
}

/// The field of a policy that names the code which the hardware of this TEE measures at launch.
pub(crate) fn code_field(tee: Tee) -> Option<&'static Field> {
    struct Code;
    impl Task for Code {
        type Outcome = Option<&'static Field>;

        fn with<P: Platform>(self) -> Self::Outcome {
            P::asked_by(P::KEY_CHECKS.code).first().copied()
        }
    }
    of(tee, Code)
}

/// Every field that a profile for this wrapping has beside those of its TEE, in the order in which policies are written.
pub fn fields_around(wrapping: Wrapping) -> Vec<&'static Field> {
    carriage::fields_of(wrapping)
}

impl Check {
    /// The fields of a policy by which it is judged; none where every policy asks the same.
    pub fn fields(self) -> Vec<&'static Field> {
        struct AskedBy(Check);
        impl Task for AskedBy {
            type Outcome = Vec<&'static Field>;

            fn with<P: Platform>(self) -> Self::Outcome {
                P::asked_by(self.0)
            }
        }
        match self.tee() {
            Some(tee) => of(tee, AskedBy(self)),
            None => carriage::asked_by(self),
        }
    }
}

/// What of a platform is the same for all of its evidence.
struct Constant {
    vendor: &'static Vendor,
    checks: &'static [Check],
    key_checks: KeyChecks,
}

fn constant(tee: Tee) -> Constant {
    struct Constants;
    impl Task for Constants {
        type Outcome = Constant;

        fn with<P: Platform>(self) -> Constant {
            Constant { vendor: P::VENDOR, checks: P::CHECKS, key_checks: P::KEY_CHECKS }
        }
    }
    of(tee, Constants)
}

/// Who makes the hardware of a TEE.
pub(crate) fn vendor(tee: Tee) -> &'static Vendor {
    constant(tee).vendor
}

/// Every check that judges the evidence of a TEE, in the order of the walk.
pub(crate) fn checks(tee: Tee) -> &'static [Check] {
    constant(tee).checks
}

impl Tee {
    /// Who makes its hardware.
    pub fn vendor(self) -> &'static str {
        vendor(self).name
    }

    /// The checks that a reader of its reports asks for first.
    pub fn key_checks(self) -> KeyChecks {
        constant(self).key_checks
    }
}
