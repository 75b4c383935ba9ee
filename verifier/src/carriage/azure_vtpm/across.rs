//! What the fields of an Azure vTPM ask of each other and of the platform's: what pins the image that the guest boots, and what counts
//! only beside that.

use super::fields::field;
use super::profile::VtpmProfile;
use crate::bytes::Pcr;
use crate::report::BoundTo;
use crate::rule::{Expect, Pin, Undertaken, pin, pins};

/// Values that count only with the code that enforces them. Registers are the paravisor's word, so that any of them counts only
/// beside what pins the paravisor; PCR 8 is extended by the image, and what is claimed of a workload rests on the image too.
pub(crate) fn undertaken(profile: &VtpmProfile, code: Vec<Pin>, bound_to: Option<BoundTo>) -> Vec<Undertaken> {
    let mut said: Vec<_> = profile.boot().into_iter().map(|(name, _, rule)| (name, rule.is_asked())).collect();
    said.push(("pcr8", profile.pcr8.is_asked()));
    said.push(("secure_boot", profile.secure_boot.required().is_some()));
    let extended = vec![("pcr8", profile.pcr8.is_asked()), ("bound_to", bound_to.is_some())];
    vec![Undertaken { bound: said, code }, Undertaken { bound: extended, code: image(profile).into() }]
}

/// What pins the image that the guest boots. Registers 9, 11 and 12 of zeros count, since what boots another way leaves them so; but what
/// was started must stand in one of them: initial file system and command line in PCR 9 or 11; and where neither a unified kernel image
/// (PCR 11) nor the command line (PCR 12) need be there, in PCR 8, into which a boot loader like GRUB measures what it was told.
fn image(profile: &VtpmProfile) -> [Pin; 7] {
    let named = |name: &str, rule: &Expect<Pcr>| field(name).is_some_and(|field| pins(field, rule));
    let may_be_zero = |rule: &Expect<Pcr>| !rule.accepts_only(|Pcr(value)| *value != [0; 32]);
    let register = "an image of anybody's can extend it; name the value that your image boots to";
    let secure_boot = profile.secure_boot.required().is_some();
    [
        pin(
            "pcr4",
            named("pcr4", &profile.pcr4),
            "any boot loader may have run; name the value that your image boots to, which is never zero",
        ),
        pin("pcr9", named("pcr9", &profile.pcr9), register),
        pin("pcr11", named("pcr11", &profile.pcr11), register),
        pin("pcr12", named("pcr12", &profile.pcr12), register),
        pin(
            "pcr7",
            !secure_boot || named("pcr7", &profile.pcr7),
            "Secure Boot is required under keys of anybody's; name the value that your keys lead to",
        ),
        pin(
            "pcr9",
            !(may_be_zero(&profile.pcr9) && may_be_zero(&profile.pcr11)),
            "it may be zero and so may `pcr11`, so that initial file system and command line may have been measured nowhere; name the \
             values that your image boots to",
        ),
        pin(
            "pcr8",
            profile.pcr8.is_asked() || !may_be_zero(&profile.pcr11) || !may_be_zero(&profile.pcr12),
            "`pcr11` and `pcr12` may be zero, so that no unified kernel image need have booted and no command line was measured there; what \
             a boot loader like GRUB was told stands in PCR 8: write its value in place of `unchecked`",
        ),
    ]
}
