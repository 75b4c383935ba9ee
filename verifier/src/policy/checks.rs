//! The checks that a policy brings with it, whatever the platform.

use crate::check::checks;

checks! {
    None;

    POLICY_PROFILE "policy.profile" Appraise Asserted {
        stops: "the policy has a profile for this type of evidence; evidence that nobody wrote a rule for is never accepted",
        source: "RFC 9334, section 8.5",
        remedy: "add a profile to the policy for this TEE and this wrapping of its evidence; `teegate policy init --from EVIDENCE` writes one",
    }
    POLICY_BOUND_WITHOUT_CODE "policy.bound-without-code" Appraise Asserted {
        stops: "a value that the host chooses or the guest extends counts only through the code that enforces it: a policy that expects HOST_DATA, MRCONFIGID, MROWNER, MROWNERCONFIG, RTMR3 or a claim in bound_to while the code is not pinned is refused when it is loaded. Pinned is what accepts no value that may be anybody's: for SEV-SNP the launch measurement, one VMPL, no debugging, no unnamed migration agent (and for what an ID block says, its key); for TDX MRTD, RTMR0 to RTMR2, no debugging, no profiling, no unnamed service TD; behind an Azure vTPM the registers of the image, and PCR 8 for whoever claims a workload; in Confidential ACI HOST_DATA",
        source: "RFC 9334, section 8.5; teegate, SECURITY.md",
        remedy: "pin the field that the message names in the same profile, or write the bound value as unchecked",
    }
}
