//! The catalogue of checks: every id that a report can show, with the stage it belongs to, what it stops, where the
//! rule is written and what to do when it fails. Code, report and documentation all read this one list.

use std::fmt;

/// A trusted execution environment whose evidence is understood.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Tee {
    /// AMD SEV-SNP.
    SevSnp,
    /// Intel TDX.
    Tdx,
}

impl Tee {
    /// Its name in reports and policies.
    pub const fn name(self) -> &'static str {
        match self {
            Tee::SevSnp => "sev-snp",
            Tee::Tdx => "tdx",
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

macro_rules! catalogue {
    ($($variant:ident $id:literal $tee:ident $stage:ident {
        stops: $stops:literal, source: $source:literal, remedy: $remedy:literal,
    })+) => {
        /// One check of the catalogue, under its stable id.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Check {
            $(#[doc = concat!("`", $id, "`: ", $stops)] $variant,)+
        }

        impl Check {
            /// Every check, in the order of the walk.
            pub const ALL: &'static [Check] = &[$(Check::$variant,)+];

            /// Its stable id, as reports show it.
            pub const fn id(self) -> &'static str { match self { $(Check::$variant => $id,)+ } }
            /// The TEE whose evidence it judges; `None` where it judges any.
            pub const fn tee(self) -> Option<Tee> { match self { $(Check::$variant => catalogue!(@tee $tee),)+ } }
            /// Of what it speaks: the heading under which the documentation has it.
            const fn section(self) -> &'static str { match self { $(Check::$variant => catalogue!(@section $tee),)+ } }
            /// The stage it belongs to.
            pub const fn stage(self) -> Stage { match self { $(Check::$variant => Stage::$stage,)+ } }
            /// What it establishes, and which attack that stops.
            pub const fn stops(self) -> &'static str { match self { $(Check::$variant => $stops,)+ } }
            /// The document that the rule comes from.
            pub const fn source(self) -> &'static str { match self { $(Check::$variant => $source,)+ } }
            /// What to do when it fails.
            pub const fn remedy(self) -> &'static str { match self { $(Check::$variant => $remedy,)+ } }
        }
    };
    (@tee Any) => { None };
    (@tee Loader) => { None };
    (@tee Instance) => { None };
    (@tee $tee:ident) => { Some(Tee::$tee) };
    (@section Any) => { POLICY };
    (@section Loader) => { POLICY };
    (@section Instance) => { INSTANCES };
    (@section SevSnp) => { "AMD SEV-SNP" };
    (@section Tdx) => { "Intel TDX" };
}

const POLICY: &str = "Policy";
/// What gateway and client judge around the evidence of an instance.
const INSTANCES: &str = "Instances";

impl Check {
    /// The check with this id.
    pub fn from_id(id: &str) -> Option<Check> {
        Check::ALL.iter().copied().find(|check| check.id() == id)
    }

    /// The whole catalogue in Markdown: `CHECKS.md` is this text, and a test holds it to that.
    pub fn catalogue() -> String {
        let mut text =
            "# Checks\n\nEvery check that a report can show, by its stable id, in the order of the walk. Written by \
                        `teegate verify --explain all`; do not edit.\n"
                .to_owned();
        for title in [POLICY, "AMD SEV-SNP", "Intel TDX", INSTANCES] {
            text.push_str(&format!(
                "\n## {title}\n\n| id | rejects as | establishes | source | if it fails |\n|---|---|---|---|---|\n"
            ));
            for check in Check::ALL.iter().filter(|check| check.section() == title) {
                text.push_str(&format!(
                    "| `{}` | {} | {} | {} | {} |\n",
                    check.id(),
                    check.stage().rejection(),
                    check.stops(),
                    check.source(),
                    check.remedy()
                ));
            }
        }
        text
    }

    /// Whether it judges what an instance sends around its evidence, and the instance itself: client and gateway do, the
    /// verifier never sees it.
    pub fn is_around_evidence(self) -> bool {
        self.section() == INSTANCES
    }

    /// Whether it judges evidence. The loader's own rule has passed, or there would be no policy to appraise with.
    pub(crate) fn is_of_the_walk(self) -> bool {
        self != Check::PolicyBoundWithoutCode && !self.is_around_evidence()
    }

    /// Whether evidence of `tee` is judged by it.
    pub(crate) fn applies_to(self, tee: Tee) -> bool {
        self.is_of_the_walk() && self.tee().is_none_or(|own| own == tee)
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

catalogue! {
    PolicyProfile "policy.profile" Any Appraise {
        stops: "the policy has a profile for this type of evidence; evidence that nobody wrote a rule for is never accepted",
        source: "RFC 9334, section 8.5",
        remedy: "add a profile for this TEE to the policy",
    }

    PolicyBoundWithoutCode "policy.bound-without-code" Loader Appraise {
        stops: "a value that the host chooses or the guest extends counts only through the code that enforces it: a policy that expects HOST_DATA, MRCONFIGID, MROWNER, MROWNERCONFIG, RTMR3 or a claim in bound_to while the code is not pinned is refused when it is loaded. Pinned is what accepts no value that may be anybody's: for SEV-SNP the launch measurement, one VMPL, no debugging, no unnamed migration agent (and for what an ID block says, its key); for TDX MRTD, RTMR0 to RTMR2, no debugging, no profiling, no unnamed service TD",
        source: "RFC 9334, section 8.5; teegate, SECURITY.md",
        remedy: "pin the field that the message names in the same profile, or write the bound value as unchecked",
    }

    SnpBytesLength "snp.bytes.length" SevSnp Parse {
        stops: "the report is exactly 1,184 bytes, so that no byte is outside what is judged",
        source: "AMD 56860 rev. 1.58, table 23",
        remedy: "pass the bare ATTESTATION_REPORT; certificates behind it go into the endorsements",
    }
    SnpBytesVersion "snp.bytes.version" SevSnp Parse {
        stops: "the version is one whose layout is known (2, 3, 4 or 5), before any field that depends on it is read",
        source: "AMD 56860 rev. 1.58, table 23",
        remedy: "take the report from current firmware; update teegate if AMD has published a newer version",
    }
    SnpBytesReserved "snp.bytes.reserved" SevSnp Parse {
        stops: "reserved fields hold what AMD says, so that a field of a newer layout is never overlooked",
        source: "AMD 56860 rev. 1.58, table 23; guest policy",
        remedy: "take the report again; if the firmware is newer than this release, update teegate",
    }
    SnpBytesSignatureAlgorithm "snp.bytes.signature-algorithm" SevSnp Parse {
        stops: "the report says ECDSA P-384 with SHA-384, the one algorithm defined",
        source: "AMD 56860 rev. 1.58, table 23, SIGNATURE_ALGO",
        remedy: "take the report again from the guest device",
    }
    SnpBytesSigningKey "snp.bytes.signing-key" SevSnp Parse {
        stops: "the report is signed, by a VCEK or a VLEK; 7 means that nobody signed it",
        source: "AMD 56860 rev. 1.58, table 23, SIGNING_KEY",
        remedy: "ask the host to enable VCEK or VLEK signing (MaskChipKey off)",
    }
    SnpBytesVmpl "snp.bytes.vmpl" SevSnp Parse {
        stops: "the guest asked for this report (VMPL 0 to 3); 0xFFFFFFFF is a report that the host asked for, with REPORT_DATA of its choice",
        source: "AMD 56860 rev. 1.58, table 23, VMPL",
        remedy: "take the report inside the guest",
    }
    SnpProductKnown "snp.product.known" SevSnp Authenticate {
        stops: "family and model are of a known product, whose TCB layout and root are then the only ones used",
        source: "AMD 57230; CPUID Fn0000_0001",
        remedy: "update teegate when AMD publishes roots for a new product",
    }
    SnpTcbLayout "snp.tcb.layout" SevSnp Authenticate {
        stops: "the reserved bytes of every TCB version are zero in the layout of this product, so that no component is read from the wrong byte",
        source: "AMD 56860 (TCB_VERSION)",
        remedy: "check that the report was not rebuilt with the TCB layout of another product",
    }
    SnpChainPresent "snp.chain.present" SevSnp Authenticate {
        stops: "the certificates that this report needs were supplied",
        source: "AMD 57230",
        remedy: "the certificates of this chip were not supplied: `teegate fetch EVIDENCE --into DIR` asks AMD's key service (KDS), or `verify --online` does",
    }
    SnpChainArkPinned "snp.chain.ark-pinned" SevSnp Authenticate {
        stops: "the chain ends in an ARK that the verifier or the policy pins by key; a root that comes with the evidence proves nothing",
        source: "AMD 57230; roots of this build",
        remedy: "never add a root because evidence needs it: a forged chain looks just like this",
    }
    SnpChainPath "snp.chain.path" SevSnp Authenticate {
        stops: "ARK signs ASK (or ASVK), which signs the VCEK (or VLEK), with RSASSA-PSS, SHA-384, MGF1-SHA-384, salt 48, under RSA-4096 keys and no other parameters",
        source: "AMD 57230",
        remedy: "these certificates were not issued by AMD for this chip: `teegate fetch EVIDENCE --into DIR` asks AMD for those that were",
    }
    SnpChainNamesAndUsage "snp.chain.names-and-usage" SevSnp Authenticate {
        stops: "names, CA flags, key usage and path lengths are those of AMD's hierarchy, and no critical extension is unknown: a leaf cannot act as an authority",
        source: "AMD 57230, certificate profiles; RFC 5280, section 6.1",
        remedy: "these are not AMD's own certificates: `teegate fetch EVIDENCE --into DIR` asks AMD for them",
    }
    SnpChainLeafKind "snp.chain.leaf-kind" SevSnp Authenticate {
        stops: "the report's SIGNING_KEY, the kind of leaf (HWID for a VCEK, CSP_ID for a VLEK) and the intermediate agree: a key shared by a provider's fleet cannot pass as one chip's",
        source: "AMD 57230; AMD 56860 rev. 1.58, table 23",
        remedy: "supply the VCEK for a report signed by a VCEK, and the VLEK for one signed by a VLEK",
    }
    SnpChainCsp "snp.chain.csp" SevSnp Authenticate {
        stops: "a VLEK belongs to a provider that the policy names",
        source: "AMD 57230 (CSP_ID)",
        remedy: "name the provider in csp_ids, if you trust it",
    }
    SnpChainValidity "snp.chain.validity" SevSnp Authenticate {
        stops: "every certificate is valid at the stated time",
        source: "RFC 5280, section 4.1.2.5",
        remedy: "the certificate is not valid at this time: `teegate fetch EVIDENCE --into DIR` gets it again (AMD re-issues it with the same key), or state the time of the recording with `--at`",
    }
    SnpChainRevocation "snp.chain.revocation" SevSnp Authenticate {
        stops: "AMD has not revoked the intermediate: a CRL signed by the product's ARK, current at the stated time, does not list it",
        source: "RFC 5280, section 6.3; AMD 57230",
        remedy: "no current CRL was there, or the intermediate stands on one: `teegate fetch EVIDENCE --into DIR` or `verify --online` asks AMD for the current one; a chip under a revoked intermediate must not be used",
    }
    SnpChainLeafRevocation "snp.chain.leaf-revocation" SevSnp Authenticate {
        stops: "nothing: no list could name a VCEK or VLEK. The line stands here so that nobody takes the look-up of the intermediate for one of the leaf",
        source: "AMD 57230; RFC 5280, section 6.3",
        remedy: "answer a leaked leaf key with chip_ids, csp_ids or a higher minimum_tcb",
    }
    SnpChainAge "snp.chain.age" SevSnp Authenticate {
        stops: "AMD's CRL is not older than the policy allows, although it has not run out: whoever hands it in could choose one from before a revocation",
        source: "RFC 5280, section 6.3.3; teegate, SECURITY.md",
        remedy: "the CRL is older than `max_collateral_age` allows: `teegate fetch EVIDENCE --into DIR` or `verify --online` asks AMD for the current one",
    }
    SnpChainRollback "snp.chain.rollback" SevSnp Authenticate {
        stops: "AMD's revocation list is not older than one that the caller's memory has seen: nobody rolls a revocation back by supplying the list from before it",
        source: "RFC 5280, section 5.1.2.4 (thisUpdate); teegate, Memory",
        remedy: "an older CRL was supplied than was seen before: `teegate fetch EVIDENCE --into DIR` asks AMD for the current one; if it is that, the memory was written under another clock or root",
    }
    SnpLeafKey "snp.leaf.key" SevSnp Authenticate {
        stops: "the leaf holds a P-384 key",
        source: "AMD 57230",
        remedy: "supply the certificate that AMD issued",
    }
    SnpProductChain "snp.product.chain" SevSnp Authenticate {
        stops: "report, chain and leaf speak of the same product",
        source: "AMD 57230 (productName)",
        remedy: "supply the chain of this product (Bergamo and Siena use Genoa's)",
    }
    SnpLeafTcb "snp.leaf.tcb" SevSnp Authenticate {
        stops: "the leaf was issued for exactly the REPORTED_TCB: a key of old, broken firmware cannot vouch for a raised TCB",
        source: "AMD 57230 (SPL extensions)",
        remedy: "the certificate is for another TCB: `teegate fetch EVIDENCE --into DIR` asks AMD for the VCEK of the reported TCB",
    }
    SnpLeafChipId "snp.leaf.chip-id" SevSnp Authenticate {
        stops: "the VCEK was issued for the chip that the report names",
        source: "AMD 57230 (HWID)",
        remedy: "the certificate is for another chip: `teegate fetch EVIDENCE --into DIR` asks AMD for the VCEK of this one; a masked CHIP_ID must be allowed by the policy",
    }
    SnpSignature "snp.signature" SevSnp Authenticate {
        stops: "the report's bytes, as received, are signed by the leaf's key",
        source: "AMD 56860 rev. 1.58, table 23 (bytes 0 to 0x29F); signature format",
        remedy: "the bytes were altered, or another chip's certificate was supplied: take the evidence again",
    }
    SnpProductDenied "snp.product.denied" SevSnp Appraise {
        stops: "the policy does not deny this product; some attacks leave a product that no TCB floor can mend",
        source: "appraisal policy, denied_products",
        remedy: "move the workload to another generation, or lift the denial knowingly",
    }
    SnpTcbMinimum "snp.tcb.minimum" SevSnp Appraise {
        stops: "reported, committed, launch and current TCB reach the policy's minimum, component by component: known-bad firmware is refused",
        source: "AMD 56860 (TCB_VERSION; committed and reported TCB); appraisal policy, minimum_tcb",
        remedy: "the operator must update the platform's firmware",
    }
    SnpTcbBulletins "snp.tcb.bulletins" SevSnp Appraise {
        stops: "the platform has answered AMD's security bulletins, as far as AMD has said what a report shows once they are answered: a hole that is published and fixed is not left open",
        source: "AMD product security bulletins, figures as in BASELINE.md; appraisal policy, bulletins",
        remedy: "the operator must update the platform's firmware; or except the named bulletin knowingly",
    }
    SnpTcbRollback "snp.tcb.rollback" SevSnp Appraise {
        stops: "the chip reports no lower TCB than the caller's memory has seen of it: the key of older firmware stays valid, and whoever holds it can go back",
        source: "AMD 56860 (REPORTED_TCB); AMD 57230 (a VCEK for each TCB); teegate, Memory",
        remedy: "ask the operator why the firmware was rolled back; if it was meant, forget this chip",
    }
    SnpTcbOrder "snp.tcb.order" SevSnp Appraise {
        stops: "reported and committed do not exceed what runs, in TCB and in firmware version; by policy also reported <= committed and committed == current, again in both, which refuses provisional firmware",
        source: "AMD 56860 (TCB_VERSION; committed and reported TCB)",
        remedy: "the operator must commit the running firmware (SNP_COMMIT)",
    }
    SnpFirmwareMinimum "snp.firmware.minimum" SevSnp Appraise {
        stops: "the firmware that runs, and the one it can be rolled back to, are at least the policy's version",
        source: "AMD 56860 rev. 1.58, table 23 (CURRENT_*, COMMITTED_*)",
        remedy: "the operator must update the SEV firmware",
    }
    SnpMitigations "snp.mitigations" SevSnp Appraise {
        stops: "the mitigation vectors of launch and of now contain the bits that the policy requires",
        source: "AMD 56860 rev. 1.58, table 23 (LAUNCH_MIT_VECTOR, CURRENT_MIT_VECTOR)",
        remedy: "the operator must update the firmware; reports before version 5 cannot show mitigations",
    }
    SnpPlatformInfo "snp.platform.info" SevSnp Appraise {
        stops: "the platform shows what the policy requires (for example the alias check that answers BadRAM, CVE-2024-21944) and nothing it forbids",
        source: "AMD 56860 rev. 1.58, table 23 (PLATFORM_INFO)",
        remedy: "the operator must change the platform's configuration or firmware",
    }
    SnpPlatformAgrees "snp.platform.agrees" SevSnp Appraise {
        stops: "the platform shows what the guest's own launch policy demands of it (SMT off, RAPL off, ciphertext hiding)",
        source: "AMD 56860 rev. 1.58, table 23; guest policy",
        remedy: "firmware must refuse such a launch: report this platform to its operator",
    }
    SnpPolicyDebug "snp.policy.debug" SevSnp Appraise {
        stops: "the host may not debug, and so read, the guest",
        source: "AMD 56860, guest policy (DEBUG, bit 19)",
        remedy: "launch the guest with a policy whose DEBUG bit is 0; nothing secret belongs into this one",
    }
    SnpPolicyMigration "snp.policy.migration" SevSnp Appraise {
        stops: "no migration agent may move the guest, with its memory, to a place of the agent's choice",
        source: "AMD 56860, guest policy (MIGRATE_MA, bit 18)",
        remedy: "launch the guest with MIGRATE_MA 0, or name the agent in the policy",
    }
    SnpPolicyFlags "snp.policy.flags" SevSnp Appraise {
        stops: "the guest's launch policy has the flags that the appraisal policy asks for",
        source: "AMD 56860, guest policy",
        remedy: "launch the guest with the expected policy",
    }
    SnpGuestMeasurement "snp.guest.measurement" SevSnp Appraise {
        stops: "the guest started from exactly the expected code",
        source: "AMD 56860 rev. 1.58, table 23 (MEASUREMENT)",
        remedy: "compare with the measurement that the release publishes; other code runs here",
    }
    SnpGuestHostData "snp.guest.host-data" SevSnp Appraise {
        stops: "the host bound the expected value at launch, such as the digest of the container policy",
        source: "AMD 56860 rev. 1.58, table 23 (HOST_DATA)",
        remedy: "launch the guest with the expected initdata or policy",
    }
    SnpGuestSvn "snp.guest.guest-svn" SevSnp Appraise {
        stops: "the guest's security version is at least the expected one",
        source: "AMD 56860 rev. 1.58, table 23 (GUEST_SVN)",
        remedy: "launch a current release of the guest",
    }
    SnpGuestFamilyId "snp.guest.family-id" SevSnp Appraise {
        stops: "the ID block names the expected family of images",
        source: "AMD 56860 rev. 1.58, table 23 (FAMILY_ID)",
        remedy: "launch the guest with the expected ID block",
    }
    SnpGuestImageId "snp.guest.image-id" SevSnp Appraise {
        stops: "the ID block names the expected image",
        source: "AMD 56860 rev. 1.58, table 23 (IMAGE_ID)",
        remedy: "launch the guest with the expected ID block",
    }
    SnpGuestReportIdMa "snp.guest.report-id-ma" SevSnp Appraise {
        stops: "the guest is bound to the expected migration agent, or to none (all ones)",
        source: "AMD 56860 rev. 1.58, table 23 (REPORT_ID_MA)",
        remedy: "launch the guest without a migration agent, or name it",
    }
    SnpGuestVmpl "snp.guest.vmpl" SevSnp Appraise {
        stops: "the report comes from the expected privilege level: what runs in a lower one cannot speak for the paravisor above it",
        source: "AMD 56860 rev. 1.58, table 23 (VMPL)",
        remedy: "take the report at the expected VMPL",
    }
    SnpGuestIdKey "snp.guest.id-key" SevSnp Appraise {
        stops: "the ID block was signed by an expected key",
        source: "AMD 56860 rev. 1.58, table 23 (ID_KEY_DIGEST)",
        remedy: "launch the guest with an ID block signed by the expected key",
    }
    SnpGuestAuthorKey "snp.guest.author-key" SevSnp Appraise {
        stops: "the ID key was signed by an expected author, and the digest is zero if and only if no author key is in use",
        source: "AMD 56860 rev. 1.58, table 23 (AUTHOR_KEY_EN, AUTHOR_KEY_DIGEST)",
        remedy: "launch the guest with the expected author key",
    }
    SnpGuestReportData "snp.guest.report-data" SevSnp Appraise {
        stops: "the guest chose exactly the 64 bytes that the caller expects: this is not another's evidence, nor an old one",
        source: "AMD 56860 rev. 1.58, table 23 (REPORT_DATA)",
        remedy: "the evidence carries other bytes than were named (`--report-data`, or the policy): check that they are those of this recording; for your own challenge ask the guest again, and if they still differ, somebody relays another's evidence",
    }
    SnpPlatformAllowed "snp.platform.allowed" SevSnp Appraise {
        stops: "the chip is on the policy's list: who extracts one chip's key elsewhere is still refused",
        source: "AMD 56860 rev. 1.58, table 23 (CHIP_ID); appraisal policy, chip_ids",
        remedy: "add the chip to chip_ids, if it is yours",
    }

    TdxBytesHeader "tdx.bytes.header" Tdx Parse {
        stops: "the header says a TDX quote of version 4 or 5, with an ECDSA P-256 attestation key, by Intel's quoting enclave",
        source: "Intel TDX DCAP Quote Generation Library, quote format (Quote Header)",
        remedy: "pass a TDX quote; SGX quotes are not accepted here",
    }
    TdxBytesBody "tdx.bytes.body" Tdx Parse {
        stops: "the body is of a known type and has exactly that type's size",
        source: "Intel TDX DCAP Quote Generation Library, quote format (Quote Body Descriptor)",
        remedy: "take the quote again; update teegate for newer TDX modules",
    }
    TdxBytesLengths "tdx.bytes.lengths" Tdx Parse {
        stops: "every declared length fits into what remains and nested data ends exactly; only zero bytes may follow the quote",
        source: "Intel TDX DCAP Quote Generation Library, quote format (Quote Signature Data)",
        remedy: "pass the quote as the device returned it, without anything behind it",
    }
    TdxBytesCertificationData "tdx.bytes.certification-data" Tdx Parse {
        stops: "the quote carries its PCK chain (type 5), or names the platform (type 3) whose PCK chain was supplied",
        source: "Intel TDX DCAP Quote Generation Library, quote format (QE Certification Data)",
        remedy: "configure the platform's quote provider to embed the PCK chain (type 5)",
    }
    TdxChainRootPinned "tdx.chain.root-pinned" Tdx Authenticate {
        stops: "the chain ends in Intel's SGX root, pinned by key; a pre-production root bears the same name",
        source: "Intel SGX PCK Certificate and CRL Profile; roots of this build",
        remedy: "never add a root because evidence needs it: pre-production and forged chains look just like this",
    }
    TdxChainPck "tdx.chain.pck" Tdx Authenticate {
        stops: "the PCK certificate chains to the root through the Platform or the Processor CA, with Intel's names, CA flags and usages, and everything is valid at the stated time",
        source: "Intel SGX PCK Certificate and CRL Profile; RFC 5280, section 6.1",
        remedy: "take the quote again; its PCK chain is not what Intel issues, or not valid at this time",
    }
    TdxCollateralPresent "tdx.collateral.present" Tdx Authenticate {
        stops: "TCB info, QE identity, both CRLs and the TCB signing certificate were supplied",
        source: "Intel PCS API v4",
        remedy: "what is named was not supplied: `teegate fetch EVIDENCE --into DIR` asks Intel's PCS (or a PCCS, with `--source`) for it, or `verify --online` does; Intel sends the certificate of the signer only in the header `TCB-Info-Issuer-Chain`",
    }
    TdxChainRevocation "tdx.chain.revocation" Tdx Authenticate {
        stops: "Intel has not revoked the PCK certificate, its CA or the TCB signing certificate: both CRLs are signed by the right issuer and current",
        source: "Intel SGX PCK Certificate and CRL Profile; RFC 5280, section 6.3",
        remedy: "a CRL was not current, or one lists this chain: `teegate fetch EVIDENCE --into DIR` or `verify --online` asks Intel for the current ones; a platform whose PCK is revoked must not be used",
    }
    TdxPckExtension "tdx.pck.extension" Tdx Authenticate {
        stops: "the PCK certificate says, without contradiction, which platform and which TCB it stands for",
        source: "Intel SGX PCK Certificate and CRL Profile (SGX extension)",
        remedy: "take the quote again: this certificate is not in Intel's form",
    }
    TdxCollateralSigner "tdx.collateral.signer" Tdx Authenticate {
        stops: "TCB info and QE identity are signed, over the bytes as served, by Intel's TCB signing key: a PCK or anybody else's key cannot raise a TCB level",
        source: "Intel PCS API v4, Get TDX TCB Info, Get TDX QE Identity",
        remedy: "the collateral is not as Intel signed it: `teegate fetch EVIDENCE --into DIR` gets it unmodified",
    }
    TdxCollateralFresh "tdx.collateral.fresh" Tdx Authenticate {
        stops: "TCB info and QE identity are current at the stated time, belong to the same evaluation, and that evaluation is not older than the policy asks: yesterday's collateral cannot hide today's advisory",
        source: "Intel PCS API v4 (issueDate, nextUpdate, tcbEvaluationDataNumber)",
        remedy: "the collateral does not hold at this time, or is of another evaluation than the policy asks: `teegate fetch EVIDENCE --into DIR` or `verify --online` asks Intel for the current one, or state the time of the recording with `--at`",
    }
    TdxCollateralAge "tdx.collateral.age" Tdx Authenticate {
        stops: "TCB info, QE identity and CRLs are not older than the policy allows, although they have not run out: whoever hands them in could choose those from before a TCB recovery or a revocation",
        source: "Intel PCS API v4 (issueDate); RFC 5280, section 6.3.3; teegate, SECURITY.md",
        remedy: "the collateral is older than `max_collateral_age` or `max_root_crl_age` allows: `teegate fetch EVIDENCE --into DIR` or `verify --online` asks Intel for the current one",
    }
    TdxCollateralRollback "tdx.collateral.rollback" Tdx Authenticate {
        stops: "no CRL is older, and no evaluation lower, than one that the caller's memory has seen: Intel's CRL numbers never grow, so only the memory can tell an old list that is still inside its window",
        source: "RFC 5280, section 5.1.2.4 (thisUpdate); Intel PCS API v4 (tcbEvaluationDataNumber); teegate, Memory",
        remedy: "older collateral was supplied than was seen before: `teegate fetch EVIDENCE --into DIR` asks Intel for the current one; if it is that, the memory was written under another clock, root or update channel",
    }
    TdxTcbIdentity "tdx.tcb.identity" Tdx Authenticate {
        stops: "the TCB info is TDX's, of version 3, for this very FMSPC and PCEID",
        source: "Intel PCS API v4, TCB info V3",
        remedy: "the TCB info is another platform's: `teegate fetch EVIDENCE --into DIR` asks Intel for that of this FMSPC",
    }
    TdxQeSignature "tdx.qe.signature" Tdx Authenticate {
        stops: "the quoting enclave's report is signed by the platform's PCK",
        source: "Intel TDX DCAP Quote Generation Library, quote format (QE Report Signature)",
        remedy: "the quote was altered or carries another platform's chain: take it again",
    }
    TdxQeBinding "tdx.qe.binding" Tdx Authenticate {
        stops: "the quoting enclave vouches for the attestation key that signs this quote",
        source: "Intel TDX DCAP Quote Generation Library, quote format (QE Report, report data)",
        remedy: "the quote was altered: take it again",
    }
    TdxQeIdentity "tdx.qe.identity" Tdx Authenticate {
        stops: "the enclave that vouches is Intel's TD quoting enclave, not a debug build and not somebody's own",
        source: "Intel PCS API v4, Enclave Identity V2",
        remedy: "the quoting enclave is not the one that this identity describes: supply the identity of TDX's (`TD_QE`); if it is that, the platform runs an enclave that Intel does not know",
    }
    TdxSignature "tdx.signature" Tdx Authenticate {
        stops: "header and body, as received, are signed by the attestation key",
        source: "Intel TDX DCAP Quote Generation Library, quote format (Quote Signature)",
        remedy: "the quote was altered: take it again",
    }
    TdxTcbLevel "tdx.tcb.level" Tdx Appraise {
        stops: "the platform reaches a TCB level that Intel has judged; a platform below every level is refused",
        source: "Intel PCS API v4, Get TDX TCB Info (TCB level selection)",
        remedy: "the operator must update microcode, firmware and TDX module",
    }
    TdxTcbModule "tdx.tcb.module" Tdx Appraise {
        stops: "the TDX module is signed by Intel and of a version that Intel has judged",
        source: "Intel PCS API v4, TCB info V3 (tdxModule, tdxModuleIdentities)",
        remedy: "the operator must load a TDX module that Intel's TCB info lists",
    }
    TdxQeTcb "tdx.qe.tcb" Tdx Appraise {
        stops: "the quoting enclave's ISVSVN reaches a level that Intel has judged",
        source: "Intel PCS API v4, Enclave Identity V2 (tcbLevels)",
        remedy: "the operator must update the quoting enclave",
    }
    TdxTcbConvergence "tdx.tcb.convergence" Tdx Appraise {
        stops: "platform, module and quoting enclave converge to one status as Intel's library does it: an up-to-date platform does not hide a revoked module",
        source: "Intel SGX/TDX DCAP Quote Verification Library, TCB status convergence",
        remedy: "see the statuses of platform, module and quoting enclave",
    }
    TdxTcbRelaunch "tdx.tcb.relaunch" Tdx Appraise {
        stops: "for TD 1.5 the whole evaluation is repeated with TEE_TCB_SVN2, so that a TD launched on an old module is told apart from a platform that is old",
        source: "Intel SGX/TDX DCAP Quote Verification Library, TD relaunch",
        remedy: "launch the TD again on the updated module",
    }
    TdxTcbRollback "tdx.tcb.rollback" Tdx Appraise {
        stops: "the platform's PCK stands for no lower TCB than the caller's memory has seen of it: the PCK of older microcode stays valid, and whoever holds its key can go back",
        source: "Intel SGX PCK Certificate and CRL Profile (TCB components, PCESVN); teegate, Memory",
        remedy: "ask the operator why the platform was rolled back; if it was meant, forget this platform",
    }
    TdxTcbAccepted "tdx.tcb.accepted" Tdx Appraise {
        stops: "the converged status, its date and its advisories are what the policy accepts; Revoked never is",
        source: "appraisal policy, tcb_status; Intel PCS API v4 (tcbStatus)",
        remedy: "the operator must update the platform; or accept the named advisories knowingly",
    }
    TdxTdDebug "tdx.td.debug" Tdx Appraise {
        stops: "the TD is not under debug or profiling (TUD bits): the host cannot read it",
        source: "Intel TDX Module ABI Specification, TDATTRIBUTES",
        remedy: "launch the TD without DEBUG; nothing secret belongs into this one",
    }
    TdxTdAttributes "tdx.td.attributes" Tdx Appraise {
        stops: "the TD's attributes are those that the policy asks for, and none that it does not know",
        source: "Intel TDX Module ABI Specification, TDATTRIBUTES",
        remedy: "launch the TD with the expected attributes",
    }
    TdxTdXfam "tdx.td.xfam" Tdx Appraise {
        stops: "the TD uses only the processor features that the policy allows, and all that it requires",
        source: "Intel TDX Module ABI Specification, XFAM",
        remedy: "launch the TD with the expected features; prefer a mask to an exact value",
    }
    TdxTdServiceTd "tdx.td.service-td" Tdx Appraise {
        stops: "no service TD (such as a migration TD) is bound to this TD unless the policy names it, and it was not exchanged",
        source: "Intel TDX Module ABI Specification, MRSERVICETD",
        remedy: "launch the TD without a service TD, or name its hash in the policy",
    }
    TdxTdMrtd "tdx.td.mrtd" Tdx Appraise {
        stops: "the TD started from exactly the expected initial memory",
        source: "Intel TDX Module ABI Specification, TDINFO (MRTD)",
        remedy: "compare with the value that the release publishes; other code runs here",
    }
    TdxTdRtmr0 "tdx.td.rtmr0" Tdx Appraise {
        stops: "firmware configuration was measured as expected",
        source: "Intel TDX Module ABI Specification, TDINFO (RTMR)",
        remedy: "compare with the value that the release publishes",
    }
    TdxTdRtmr1 "tdx.td.rtmr1" Tdx Appraise {
        stops: "boot loader and kernel were measured as expected",
        source: "Intel TDX Module ABI Specification, TDINFO (RTMR)",
        remedy: "compare with the value that the release publishes",
    }
    TdxTdRtmr2 "tdx.td.rtmr2" Tdx Appraise {
        stops: "command line, initrd and what the OS measures are as expected",
        source: "Intel TDX Module ABI Specification, TDINFO (RTMR)",
        remedy: "compare with the value that the release publishes",
    }
    TdxTdRtmr3 "tdx.td.rtmr3" Tdx Appraise {
        stops: "what the guest extended at run time is as expected",
        source: "Intel TDX Module ABI Specification, TDINFO (RTMR)",
        remedy: "compare with the value that the release publishes",
    }
    TdxTdMrseam "tdx.td.mrseam" Tdx Appraise {
        stops: "the TDX module is exactly the expected one",
        source: "Intel TDX Module ABI Specification, TEE_TCB_INFO (MRSEAM)",
        remedy: "compare with the digests of Intel's module releases",
    }
    TdxTdMrconfigid "tdx.td.mrconfigid" Tdx Appraise {
        stops: "the host bound the expected configuration at launch",
        source: "Intel TDX Module ABI Specification, TDINFO (MRCONFIGID)",
        remedy: "launch the TD with the expected initdata",
    }
    TdxTdMrowner "tdx.td.mrowner" Tdx Appraise {
        stops: "the TD names the expected owner",
        source: "Intel TDX Module ABI Specification, TDINFO (MROWNER)",
        remedy: "launch the TD with the expected owner",
    }
    TdxTdMrownerconfig "tdx.td.mrownerconfig" Tdx Appraise {
        stops: "the TD names the expected owner configuration",
        source: "Intel TDX Module ABI Specification, TDINFO (MROWNERCONFIG)",
        remedy: "launch the TD with the expected owner configuration",
    }
    TdxTdReportData "tdx.td.report-data" Tdx Appraise {
        stops: "the TD chose exactly the 64 bytes that the caller expects: this is not another's evidence, nor an old one",
        source: "Intel TDX Module ABI Specification, REPORTDATA",
        remedy: "the evidence carries other bytes than were named (`--report-data`, or the policy): check that they are those of this recording; for your own challenge ask the TD again, and if they still differ, somebody relays another's evidence",
    }
    TdxPlatformAllowed "tdx.platform.allowed" Tdx Appraise {
        stops: "the platform is on the policy's list: physical attacks leave no other trace",
        source: "Intel SGX PCK Certificate and CRL Profile (PPID); appraisal policy, ppids",
        remedy: "add the platform to ppids, if it is yours",
    }
    TdxLogReplay "tdx.log.replay" Tdx Appraise {
        stops: "an event log, where one is supplied or the policy requires one, replays to all four RTMRs",
        source: "UEFI 2.10, section 38 (CCEL); TCG PC Client Platform Firmware Profile",
        remedy: "supply the event log of this boot, with every event up to the quote",
    }

    EnvelopeForm "envelope.form" Instance Parse {
        stops: "what an instance sends is one envelope, every member known and within its size, so that no two readers find different things in it",
        source: "RFC 9999 (CMW collections); teegate, protocol",
        remedy: "what answered is no enclave-app of this version: check the address, and the versions on both sides",
    }
    EnvelopeEndorsements "envelope.endorsements" Instance Parse {
        stops: "what the instance sends along as endorsements can be read as such",
        source: "RFC 9999 (CMW collections); teegate, protocol",
        remedy: "the instance sends something else as its endorsements: look at its attester; what it sends may be left out where you supply them",
    }
    EnvelopeEvidenceType "envelope.evidence-type" Instance Parse {
        stops: "the evidence is of a type that this release verifies; nothing is taken for another type",
        source: "teegate, protocol (media types of evidence)",
        remedy: "use an attester that gives a raw SEV-SNP report or a raw TDX quote, or update teegate",
    }
    ManifestForm "manifest.form" Instance Parse {
        stops: "the manifest is strict JSON with exactly the members of its version and a key that can be sealed to, so that what the evidence binds has one meaning",
        source: "teegate, protocol (manifest)",
        remedy: "what answered is no enclave-app of this version: check the versions on both sides",
    }
    ManifestWindow "manifest.window" Instance Authenticate {
        stops: "the manifest has begun, has not ended, is not longer than is accepted, and its key may still be sealed to: a key that leaked is of no use for longer",
        source: "teegate, protocol (manifest)",
        remedy: "compare the clocks of both sides; an enclave makes its next manifest by itself",
    }
    ChannelKey "channel.key" Instance Authenticate {
        stops: "the TLS key of the connection is the one that the manifest names: nobody stands between gateway and instance",
        source: "teegate, protocol (channel binding); RFC 8446, section 7.5",
        remedy: "something between gateway and instance ends the TLS connection: take it out, or let it pass TLS through",
    }
    BindingReportData "binding.report-data" Instance Appraise {
        stops: "the 64 bytes that the verdict shows are those that bind exactly this manifest, this challenge and this connection: the verifier was told to compare them, and its report is asked once more",
        source: "teegate, protocol (binding)",
        remedy: "somebody relays another's evidence: ask the instance again, over a connection of its own",
    }
    EnvelopeBoundTo "envelope.bound-to" Instance Appraise {
        stops: "the policy says what its evidence is bound to: one about hardware only does not decide about sending",
        source: "teegate, SECURITY.md",
        remedy: "pin the code in the policy and say `bound_to`: `teegate policy explain` tells what a policy admits",
    }
    ManifestModel "manifest.model" Instance Appraise {
        stops: "the instance serves the model that is asked for, by the digest in its manifest",
        source: "teegate, protocol (manifest)",
        remedy: "compare the name with the models that the enclave's configuration lists",
    }
    IdentityConflict "identity.conflict" Instance Appraise {
        stops: "an instance's id, receipt key and sealing keys belong to one TLS key: who copied them is refused, and so is the copied",
        source: "teegate, SECURITY.md",
        remedy: "two machines run with the same keys, or one was copied: stop both, and start them afresh",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_documentation_is_the_catalogue() {
        let written = include_str!("../CHECKS.md");
        assert!(written == Check::catalogue(), "CHECKS.md differs: teegate verify --explain all > verifier/CHECKS.md");
    }

    #[test]
    fn ids_are_unique_and_found_again() {
        let ids: HashSet<_> = Check::ALL.iter().map(|check| check.id()).collect();
        assert_eq!(ids.len(), Check::ALL.len());
        for check in Check::ALL {
            assert_eq!(Check::from_id(check.id()), Some(*check));
        }
        assert_eq!(Check::from_id("snp.signature.not"), None);
    }
}
