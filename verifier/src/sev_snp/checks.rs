//! The checks of an SEV-SNP report, in the order of the walk.

use crate::check::{Tee, checks};

checks! {
    Some(Tee::SevSnp);

    SNP_BYTES_LENGTH "snp.bytes.length" Parse Derived {
        stops: "the report is exactly 1,184 bytes, so that no byte is outside what is judged",
        source: "AMD 56860 rev. 1.58, table 23",
        remedy: "pass the bare ATTESTATION_REPORT; certificates behind it go into the endorsements",
    }
    SNP_BYTES_VERSION "snp.bytes.version" Parse Derived {
        stops: "the version is one whose layout is known (2, 3, 4 or 5), before any field that depends on it is read",
        source: "AMD 56860 rev. 1.58, table 23",
        remedy: "take the report from current firmware; update teegate if AMD has published a newer version",
    }
    SNP_BYTES_RESERVED "snp.bytes.reserved" Parse Derived {
        stops: "reserved fields hold what AMD says, so that a field of a newer layout is never overlooked",
        source: "AMD 56860 rev. 1.58, table 23; guest policy",
        remedy: "take the report again; if the firmware is newer than this release, update teegate",
    }
    SNP_BYTES_SIGNATURE_ALGORITHM "snp.bytes.signature-algorithm" Parse Derived {
        stops: "the report says ECDSA P-384 with SHA-384, the one algorithm defined",
        source: "AMD 56860 rev. 1.58, table 23, SIGNATURE_ALGO",
        remedy: "take the report again from the guest device",
    }
    SNP_BYTES_SIGNING_KEY "snp.bytes.signing-key" Parse Derived {
        stops: "the report is signed, by a VCEK or a VLEK; 7 means that nobody signed it",
        source: "AMD 56860 rev. 1.58, table 23, SIGNING_KEY",
        remedy: "ask the host to enable VCEK or VLEK signing (MaskChipKey off)",
    }
    SNP_BYTES_VMPL "snp.bytes.vmpl" Parse Derived {
        stops: "the guest asked for this report (VMPL 0 to 3); 0xFFFFFFFF is a report that the host asked for, with REPORT_DATA of its choice",
        source: "AMD 56860 rev. 1.58, table 23, VMPL",
        remedy: "take the report inside the guest",
    }
    SNP_PRODUCT_KNOWN "snp.product.known" Authenticate Hardware {
        stops: "family and model are of a known product, whose TCB layout and root are then the only ones used",
        source: "AMD 57230; CPUID Fn0000_0001",
        remedy: "update teegate when AMD publishes roots for a new product",
    }
    SNP_TCB_LAYOUT "snp.tcb.layout" Authenticate Hardware {
        stops: "the reserved bytes of every TCB version are zero in the layout of this product, so that no component is read from the wrong byte",
        source: "AMD 56860 (TCB_VERSION)",
        remedy: "check that the report was not rebuilt with the TCB layout of another product",
    }
    SNP_CHAIN_PRESENT "snp.chain.present" Authenticate Vendor {
        stops: "the certificates that this report needs were supplied",
        source: "AMD 57230",
        remedy: "the certificates of this chip were not supplied: `teegate fetch EVIDENCE --into DIR` asks AMD's key service (KDS), or `verify --online` does",
    }
    SNP_CHAIN_ARK_PINNED "snp.chain.ark-pinned" Authenticate Vendor {
        stops: "the chain ends in an ARK that the verifier or the policy pins by key; a root that comes with the evidence proves nothing",
        source: "AMD 57230; roots of this build",
        remedy: "never add a root because evidence needs it: a forged chain looks just like this",
        claims: [Cryptography],
    }
    SNP_CHAIN_PATH "snp.chain.path" Authenticate Vendor {
        stops: "ARK signs ASK (or ASVK), which signs the VCEK (or VLEK), with RSASSA-PSS, SHA-384, MGF1-SHA-384, salt 48, under RSA-4096 keys and no other parameters",
        source: "AMD 57230",
        remedy: "these certificates were not issued by AMD for this chip: `teegate fetch EVIDENCE --into DIR` asks AMD for those that were",
        claims: [Cryptography],
    }
    SNP_CHAIN_NAMES_AND_USAGE "snp.chain.names-and-usage" Authenticate Vendor {
        stops: "names, CA flags, key usage and path lengths are those of AMD's hierarchy, and no critical extension is unknown: a leaf cannot act as an authority",
        source: "AMD 57230, certificate profiles; RFC 5280, section 6.1",
        remedy: "these are not AMD's own certificates: `teegate fetch EVIDENCE --into DIR` asks AMD for them",
    }
    SNP_CHAIN_LEAF_KIND "snp.chain.leaf-kind" Authenticate Vendor {
        stops: "the report's SIGNING_KEY, the kind of leaf (HWID for a VCEK, CSP_ID for a VLEK) and the intermediate agree: a key shared by a provider's fleet cannot pass as one chip's",
        source: "AMD 57230; AMD 56860 rev. 1.58, table 23",
        remedy: "supply the VCEK for a report signed by a VCEK, and the VLEK for one signed by a VLEK",
    }
    SNP_CHAIN_CSP "snp.chain.csp" Authenticate Vendor {
        stops: "a VLEK belongs to a provider that the policy names",
        source: "AMD 57230 (CSP_ID)",
        remedy: "name the provider in csp_ids, if you trust it",
        claims: [InstanceIdentity],
    }
    SNP_CHAIN_VALIDITY "snp.chain.validity" Authenticate Vendor {
        stops: "every certificate is valid at the stated time",
        source: "RFC 5280, section 4.1.2.5",
        remedy: "the certificate is not valid at this time: `teegate fetch EVIDENCE --into DIR` gets it again (AMD re-issues it with the same key), or state the time of the recording with `--at`",
    }
    SNP_CHAIN_REVOCATION "snp.chain.revocation" Authenticate Vendor {
        stops: "AMD has not revoked the intermediate: a CRL signed by the product's ARK, current at the stated time, does not list it",
        source: "RFC 5280, section 6.3; AMD 57230",
        remedy: "no current CRL was there, or the intermediate stands on one: `teegate fetch EVIDENCE --into DIR` or `verify --online` asks AMD for the current one; a chip under a revoked intermediate must not be used",
        claims: [Hardware],
    }
    SNP_CHAIN_LEAF_REVOCATION "snp.chain.leaf-revocation" Authenticate Vendor {
        stops: "nothing: no list could name a VCEK or VLEK. The line stands here so that nobody takes the look-up of the intermediate for one of the leaf",
        source: "AMD 57230; RFC 5280, section 6.3",
        remedy: "answer a leaked leaf key with chip_ids, csp_ids or a higher minimum_tcb",
    }
    SNP_CHAIN_AGE "snp.chain.age" Authenticate Vendor {
        stops: "AMD's CRL is not older than the policy allows, although it has not run out: whoever hands it in could choose one from before a revocation",
        source: "RFC 5280, section 6.3.3; teegate, SECURITY.md",
        remedy: "the CRL is older than `max_collateral_age` allows: `teegate fetch EVIDENCE --into DIR` or `verify --online` asks AMD for the current one",
    }
    SNP_CHAIN_ROLLBACK "snp.chain.rollback" Authenticate Derived {
        stops: "AMD's revocation list is not older than one that the caller's memory has seen: nobody rolls a revocation back by supplying the list from before it",
        source: "RFC 5280, section 5.1.2.4 (thisUpdate); teegate, Memory",
        remedy: "an older CRL was supplied than was seen before: `teegate fetch EVIDENCE --into DIR` asks AMD for the current one; if it is that, the memory was written under another clock or root",
    }
    SNP_LEAF_KEY "snp.leaf.key" Authenticate Vendor {
        stops: "the leaf holds a P-384 key",
        source: "AMD 57230",
        remedy: "supply the certificate that AMD issued",
    }
    SNP_PRODUCT_CHAIN "snp.product.chain" Authenticate Vendor {
        stops: "report, chain and leaf speak of the same product",
        source: "AMD 57230 (productName)",
        remedy: "supply the chain of this product (Bergamo and Siena use Genoa's)",
    }
    SNP_LEAF_TCB "snp.leaf.tcb" Authenticate Vendor {
        stops: "the leaf was issued for exactly the REPORTED_TCB: a key of old, broken firmware cannot vouch for a raised TCB",
        source: "AMD 57230 (SPL extensions)",
        remedy: "the certificate is for another TCB: `teegate fetch EVIDENCE --into DIR` asks AMD for the VCEK of the reported TCB",
    }
    SNP_LEAF_CHIP_ID "snp.leaf.chip-id" Authenticate Vendor {
        stops: "the VCEK was issued for the chip that the report names",
        source: "AMD 57230 (HWID)",
        remedy: "the certificate is for another chip: `teegate fetch EVIDENCE --into DIR` asks AMD for the VCEK of this one; a masked CHIP_ID must be allowed by the policy",
        claims: [InstanceIdentity],
    }
    SNP_SIGNATURE "snp.signature" Authenticate Hardware {
        stops: "the report's bytes, as received, are signed by the leaf's key",
        source: "AMD 56860 rev. 1.58, table 23 (bytes 0 to 0x29F); signature format",
        remedy: "the bytes were altered, or another chip's certificate was supplied: take the evidence again",
        claims: [Hardware Cryptography],
    }
    SNP_PRODUCT_DENIED "snp.product.denied" Appraise Vendor {
        stops: "the policy does not deny this product; some attacks leave a product that no TCB floor can mend",
        source: "appraisal policy, denied_products",
        remedy: "move the workload to another generation, or lift the denial knowingly",
        claims: [Hardware],
    }
    SNP_TCB_MINIMUM "snp.tcb.minimum" Appraise Hardware {
        stops: "reported, committed, launch and current TCB reach the policy's minimum, component by component: known-bad firmware is refused",
        source: "AMD 56860 (TCB_VERSION; committed and reported TCB); appraisal policy, minimum_tcb",
        remedy: "the operator must update the platform's firmware",
        claims: [Hardware],
    }
    SNP_TCB_BULLETINS "snp.tcb.bulletins" Appraise Derived {
        stops: "the platform has answered AMD's security bulletins, as far as AMD has said what a report shows once they are answered: a hole that is published and fixed is not left open",
        source: "AMD product security bulletins, figures as in BASELINE.md; appraisal policy, bulletins",
        remedy: "the operator must update the platform's firmware; or except the named bulletin knowingly",
        claims: [HardwareIfFailed],
    }
    SNP_TCB_ROLLBACK "snp.tcb.rollback" Appraise Derived {
        stops: "the chip reports no lower TCB than the caller's memory has seen of it: the key of older firmware stays valid, and whoever holds it can go back",
        source: "AMD 56860 (REPORTED_TCB); AMD 57230 (a VCEK for each TCB); teegate, Memory",
        remedy: "ask the operator why the firmware was rolled back; if it was meant, forget this chip",
        claims: [HardwareIfFailed],
    }
    SNP_TCB_ORDER "snp.tcb.order" Appraise Hardware {
        stops: "reported and committed do not exceed what runs, in TCB and in firmware version; by policy also reported <= committed and committed == current, again in both, which refuses provisional firmware",
        source: "AMD 56860 (TCB_VERSION; committed and reported TCB)",
        remedy: "the operator must commit the running firmware (SNP_COMMIT)",
        claims: [Hardware],
    }
    SNP_FIRMWARE_MINIMUM "snp.firmware.minimum" Appraise Hardware {
        stops: "the firmware that runs, and the one it can be rolled back to, are at least the policy's version",
        source: "AMD 56860 rev. 1.58, table 23 (CURRENT_*, COMMITTED_*)",
        remedy: "the operator must update the SEV firmware",
        claims: [HardwareIfFailed],
    }
    SNP_MITIGATIONS "snp.mitigations" Appraise Hardware {
        stops: "the mitigation vectors of launch and of now contain the bits that the policy requires",
        source: "AMD 56860 rev. 1.58, table 23 (LAUNCH_MIT_VECTOR, CURRENT_MIT_VECTOR)",
        remedy: "the operator must update the firmware; reports before version 5 cannot show mitigations",
        claims: [HardwareIfFailed],
    }
    SNP_PLATFORM_INFO "snp.platform.info" Appraise Hardware {
        stops: "the platform shows what the policy requires (for example the alias check that answers BadRAM, CVE-2024-21944) and nothing it forbids",
        source: "AMD 56860 rev. 1.58, table 23 (PLATFORM_INFO)",
        remedy: "the operator must change the platform's configuration or firmware",
        claims: [HardwareIfFailed],
    }
    SNP_PLATFORM_AGREES "snp.platform.agrees" Appraise Hardware {
        stops: "the platform shows what the guest's own launch policy demands of it (SMT off, RAPL off, ciphertext hiding)",
        source: "AMD 56860 rev. 1.58, table 23; guest policy",
        remedy: "firmware must refuse such a launch: report this platform to its operator",
        claims: [Hardware],
    }
    SNP_POLICY_DEBUG "snp.policy.debug" Appraise Hardware {
        stops: "the host may not debug, and so read, the guest",
        source: "AMD 56860, guest policy (DEBUG, bit 19)",
        remedy: "launch the guest with a policy whose DEBUG bit is 0; nothing secret belongs into this one",
        claims: [RuntimeOpaque Configuration],
    }
    SNP_POLICY_MIGRATION "snp.policy.migration" Appraise Hardware {
        stops: "no migration agent may move the guest, with its memory, to a place of the agent's choice",
        source: "AMD 56860, guest policy (MIGRATE_MA, bit 18)",
        remedy: "launch the guest with MIGRATE_MA 0, or name the agent in the policy",
        claims: [Configuration],
    }
    SNP_POLICY_FLAGS "snp.policy.flags" Appraise Hardware {
        stops: "the guest's launch policy has the flags that the appraisal policy asks for",
        source: "AMD 56860, guest policy",
        remedy: "launch the guest with the expected policy",
        claims: [Configuration],
    }
    SNP_GUEST_MEASUREMENT "snp.guest.measurement" Appraise Hardware {
        stops: "the guest started from exactly the expected code",
        source: "AMD 56860 rev. 1.58, table 23 (MEASUREMENT)",
        remedy: "compare with the measurement that the release publishes; other code runs here",
        claims: [Executables],
    }
    SNP_GUEST_HOST_DATA "snp.guest.host-data" Appraise Hardware {
        stops: "the host bound the expected value at launch, such as the digest of the container policy",
        source: "AMD 56860 rev. 1.58, table 23 (HOST_DATA)",
        remedy: "launch the guest with the expected initdata or policy",
        claims: [Configuration],
    }
    SNP_GUEST_SVN "snp.guest.guest-svn" Appraise Hardware {
        stops: "the guest's security version is at least the expected one",
        source: "AMD 56860 rev. 1.58, table 23 (GUEST_SVN)",
        remedy: "launch a current release of the guest",
    }
    SNP_GUEST_FAMILY_ID "snp.guest.family-id" Appraise Hardware {
        stops: "the ID block names the expected family of images",
        source: "AMD 56860 rev. 1.58, table 23 (FAMILY_ID)",
        remedy: "launch the guest with the expected ID block",
    }
    SNP_GUEST_IMAGE_ID "snp.guest.image-id" Appraise Hardware {
        stops: "the ID block names the expected image",
        source: "AMD 56860 rev. 1.58, table 23 (IMAGE_ID)",
        remedy: "launch the guest with the expected ID block",
    }
    SNP_GUEST_REPORT_ID_MA "snp.guest.report-id-ma" Appraise Hardware {
        stops: "the guest is bound to the expected migration agent, or to none (all ones)",
        source: "AMD 56860 rev. 1.58, table 23 (REPORT_ID_MA)",
        remedy: "launch the guest without a migration agent, or name it",
    }
    SNP_GUEST_VMPL "snp.guest.vmpl" Appraise Hardware {
        stops: "the report comes from the expected privilege level: what runs in a lower one cannot speak for the paravisor above it",
        source: "AMD 56860 rev. 1.58, table 23 (VMPL)",
        remedy: "take the report at the expected VMPL",
        claims: [Configuration],
    }
    SNP_GUEST_ID_KEY "snp.guest.id-key" Appraise Hardware {
        stops: "the ID block was signed by an expected key",
        source: "AMD 56860 rev. 1.58, table 23 (ID_KEY_DIGEST)",
        remedy: "launch the guest with an ID block signed by the expected key",
    }
    SNP_GUEST_AUTHOR_KEY "snp.guest.author-key" Appraise Hardware {
        stops: "the ID key was signed by an expected author, and the digest is zero if and only if no author key is in use",
        source: "AMD 56860 rev. 1.58, table 23 (AUTHOR_KEY_EN, AUTHOR_KEY_DIGEST)",
        remedy: "launch the guest with the expected author key",
    }
    SNP_GUEST_REPORT_DATA "snp.guest.report-data" Appraise Hardware {
        stops: "the guest chose exactly the 64 bytes that the caller expects: this is not another's evidence, nor an old one",
        source: "AMD 56860 rev. 1.58, table 23 (REPORT_DATA)",
        remedy: "the evidence carries other bytes than were named (`--report-data`, or the policy): check that they are those of this recording; for your own challenge ask the guest again, and if they still differ, somebody relays another's evidence",
    }
    SNP_PLATFORM_ALLOWED "snp.platform.allowed" Appraise Vendor {
        stops: "the chip is on the policy's list: who extracts one chip's key elsewhere is still refused",
        source: "AMD 56860 rev. 1.58, table 23 (CHIP_ID); appraisal policy, chip_ids",
        remedy: "add the chip to chip_ids, if it is yours",
        claims: [InstanceIdentity],
    }
}
