//! Why evidence was refused: three types, one for each stage, and in them one variant for each check.
//!
//! A variant carries both sides of its comparison, so that a reader needs no debugger. The same value, made before the
//! comparison is judged, also says what a check that *passed* compared: report and error cannot tell different stories.

use std::borrow::Cow;
use std::fmt;

use crate::bytes::{HostData, Measurement, ReportData};
use crate::checks::Check;
use crate::time::UnixTime;

/// A text that is usually a constant.
pub(crate) type Text = Cow<'static, str>;

/// One judged comparison: which check, and both sides.
pub(crate) trait Comparison {
    fn check(&self) -> Check;
    fn expected(&self) -> Text;
    fn actual(&self) -> Text;
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident { $($variant:ident { $($field:ident: $type:ty),* } => $expected:expr, $actual:expr;)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $(
                #[doc = concat!("The check of the same name, [`Check::", stringify!($variant), "`].")]
                #[allow(missing_docs, reason = "the fields are the two sides of the comparison, named for what they hold")]
                $variant { $($field: $type),* },
            )+
        }

        impl $name {
            /// The checks that fail at this stage, one for each variant.
            pub const CHECKS: &'static [Check] = &[$(Check::$variant,)+];

            /// The check that failed.
            pub const fn check(&self) -> Check { match self { $(Self::$variant { .. } => Check::$variant,)+ } }
        }

        impl Comparison for $name {
            fn check(&self) -> Check { $name::check(self) }
            #[allow(unused_variables, reason = "a variant may need only some of its fields on this side")]
            fn expected(&self) -> Text { match self { $(Self::$variant { $($field),* } => Text::from($expected),)+ } }
            #[allow(unused_variables, reason = "a variant may need only some of its fields on this side")]
            fn actual(&self) -> Text { match self { $(Self::$variant { $($field),* } => Text::from($actual),)+ } }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}: expected {}, found {}", self.check(), Comparison::expected(self), Comparison::actual(self))
            }
        }

        impl std::error::Error for $name {}
    )+};
}

reasons! {
    /// The bytes are not what they should be.
    Malformed {
        SnpBytesLength { actual: usize } => "1184 bytes", format!("{actual} bytes");
        SnpBytesVersion { actual: u32 } => "version 2, 3, 4 or 5", format!("version {actual}");
        SnpBytesReserved { field: &'static str, expected: Text, actual: Text } => format!("{field}: {expected}"), actual.clone();
        SnpBytesSignatureAlgorithm { actual: u32 } => "1 (ECDSA P-384 with SHA-384)", actual.to_string();
        SnpBytesSigningKey { actual: u32 } => "0 (VCEK) or 1 (VLEK)", signing_key(*actual);
        SnpBytesVmpl { actual: u32 } => "0, 1, 2 or 3", vmpl(*actual);
        TdxBytesHeader { field: &'static str, expected: Text, actual: Text } => format!("{field}: {expected}"), actual.clone();
        TdxBytesBody { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxBytesLengths { field: &'static str, expected: Text, actual: Text } => format!("{field}: {expected}"), actual.clone();
        TdxBytesCertificationData { expected: Text, actual: Text } => expected.clone(), actual.clone();
    }

    /// Nobody whom the verifier trusts vouches for the bytes.
    Unauthentic {
        SnpProductKnown { actual: Text } => "Milan, Genoa (with Bergamo and Siena) or Turin", actual.clone();
        SnpTcbLayout { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpChainPresent { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpChainArkPinned { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpChainPath { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpChainNamesAndUsage { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpChainLeafKind { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpChainCsp { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpChainValidity { certificate: &'static str, not_before: UnixTime, not_after: UnixTime, now: UnixTime }
            => format!("{certificate} valid at {now}"), format!("{certificate} valid from {not_before} to {not_after}");
        SnpChainRevocation { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpChainAge { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpChainRollback { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpLeafKey { actual: Text } => "a P-384 key", actual.clone();
        SnpProductChain { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpLeafTcb { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpLeafChipId { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpSignature { valid: bool } => "bytes 0 to 0x29F signed by the leaf's key", signature(*valid);
        TdxChainRootPinned { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxChainPck { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxCollateralPresent { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxChainRevocation { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxPckExtension { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxCollateralSigner { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxCollateralFresh { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxCollateralAge { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxCollateralRollback { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxTcbIdentity { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxQeSignature { valid: bool } => "QE report signed by the PCK", signature(*valid);
        TdxQeBinding { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxQeIdentity { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxSignature { valid: bool } => "header and body signed by the attestation key", signature(*valid);
    }

    /// The evidence is authentic, and the policy does not want it.
    Unacceptable {
        PolicyProfile { tee: &'static str, profile: Option<String> } => format!("a profile for {tee}"), profile.clone().unwrap_or_else(|| "none".to_owned());
        SnpProductDenied { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpTcbMinimum { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpTcbBulletins { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpTcbRollback { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpTcbOrder { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpFirmwareMinimum { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpMitigations { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpPlatformInfo { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpPlatformAgrees { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpPolicyDebug { expected: Text, debug: bool } => expected.clone(), if *debug { "DEBUG 1" } else { "DEBUG 0" };
        SnpPolicyMigration { expected: Text, migration: bool } => expected.clone(), if *migration { "MIGRATE_MA 1" } else { "MIGRATE_MA 0" };
        SnpPolicyFlags { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpGuestMeasurement { expected: Text, actual: Measurement } => expected.clone(), actual.to_string();
        SnpGuestHostData { expected: Text, actual: HostData } => expected.clone(), actual.to_string();
        SnpGuestSvn { expected: Text, actual: u32 } => expected.clone(), actual.to_string();
        SnpGuestFamilyId { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpGuestImageId { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpGuestReportIdMa { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpGuestVmpl { expected: Text, actual: u32 } => expected.clone(), actual.to_string();
        SnpGuestIdKey { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpGuestAuthorKey { expected: Text, actual: Text } => expected.clone(), actual.clone();
        SnpGuestReportData { expected: Text, actual: ReportData } => expected.clone(), actual.to_string();
        SnpPlatformAllowed { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxTcbLevel { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxTcbModule { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxQeTcb { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxTcbConvergence { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxTcbRelaunch { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxTcbRollback { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxTcbAccepted { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxTdDebug { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxTdAttributes { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxTdXfam { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxTdServiceTd { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxTdMrtd { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxTdRtmr0 { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxTdRtmr1 { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxTdRtmr2 { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxTdRtmr3 { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxTdMrseam { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxTdMrconfigid { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxTdMrowner { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxTdMrownerconfig { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxTdReportData { expected: Text, actual: ReportData } => expected.clone(), actual.to_string();
        TdxPlatformAllowed { expected: Text, actual: Text } => expected.clone(), actual.clone();
        TdxLogReplay { expected: Text, actual: Text } => expected.clone(), actual.clone();
    }
}

fn signing_key(actual: u32) -> Text {
    match actual {
        0 => "0 (VCEK)".into(),
        1 => "1 (VLEK)".into(),
        7 => "7 (not signed)".into(),
        other => format!("{other} (reserved)").into(),
    }
}

fn vmpl(actual: u32) -> Text {
    match actual {
        u32::MAX => "0xFFFFFFFF (asked for by the host)".into(),
        other => other.to_string().into(),
    }
}

/// A signature that fails says no more than that: which part of it failed is of use only to a forger.
fn signature(valid: bool) -> Text {
    Text::Borrowed(if valid { "a valid signature" } else { "no valid signature" })
}

/// Why evidence was refused, by stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The bytes are not what they should be.
    Malformed(Malformed),
    /// Nobody whom the verifier trusts vouches for the bytes.
    Unauthentic(Unauthentic),
    /// The policy does not want it: every finding, not only the first.
    Unacceptable(Vec<Unacceptable>),
    /// A check that applies was neither judged nor waived: never accepted, and an error of this library.
    Incomplete(Vec<Check>),
}

impl From<Malformed> for Reason {
    fn from(reason: Malformed) -> Self {
        Self::Malformed(reason)
    }
}

impl From<Unauthentic> for Reason {
    fn from(reason: Unauthentic) -> Self {
        Self::Unauthentic(reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(reason) => write!(f, "malformed: {reason}"),
            Self::Unauthentic(reason) => write!(f, "unauthentic: {reason}"),
            Self::Unacceptable(reasons) => {
                f.write_str("unacceptable: ")?;
                for (index, reason) in reasons.iter().enumerate() {
                    if index > 0 {
                        f.write_str("; ")?;
                    }
                    write!(f, "{reason}")?;
                }
                Ok(())
            }
            Self::Incomplete(checks) => {
                f.write_str("incomplete, and therefore refused: not judged")?;
                checks.iter().try_for_each(|check| write!(f, " {check}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Stage;

    #[test]
    fn checks_and_variants_are_one_to_one() {
        // Some rules are judged by others than the verifier, and one line can only say that nothing could fail there.
        let judged = |check: &Check| check.is_of_the_walk() && *check != Check::SnpChainLeafRevocation;
        let variants = [
            (Stage::Parse, Malformed::CHECKS),
            (Stage::Authenticate, Unauthentic::CHECKS),
            (Stage::Appraise, Unacceptable::CHECKS),
        ];
        for check in Check::ALL.iter().filter(|check| judged(check)) {
            let homes: Vec<_> = variants.iter().filter(|(_, checks)| checks.contains(check)).collect();
            assert_eq!(homes.len(), 1, "{check}");
            assert_eq!(homes[0].0, check.stage(), "{check}");
        }
        let listed: usize = variants.iter().map(|(_, checks)| checks.len()).sum();
        assert_eq!(listed, Check::ALL.iter().filter(|check| judged(check)).count());
    }
}
