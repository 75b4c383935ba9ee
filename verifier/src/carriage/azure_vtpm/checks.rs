//! The checks of an Azure vTPM, in the order of the walk.

use crate::check::checks;

checks! {
    None;

    HCL_BYTES "hcl.bytes" Parse Derived {
        stops: "the paravisor's report has the one layout that is known: header version 1 or 2, data version 1, SHA-256, the report type of this TEE, lengths that fit each other, and nothing but zeros behind the claims",
        source: "layout of recorded machines: verifier/src/carriage/azure_vtpm/hcl.rs",
        remedy: "pass the paravisor's report (NV index 0x01400001) whole and as it was read",
    }
    HCL_PRIVILEGE "hcl.privilege" Authenticate Hardware {
        stops: "on SEV-SNP the paravisor itself asked for the report, at VMPL 0: what runs below it could have claims of its own making attested",
        source: "AMD 56860 rev. 1.58, table 23 (VMPL)",
        remedy: "take the report out of the paravisor's; one that the guest asked for itself is another kind of evidence",
        claims: [Configuration],
    }
    HCL_BINDING "hcl.binding" Authenticate Hardware {
        stops: "what the hardware signed is the SHA-256 of the claims, over the bytes as stored, and zeros: they are of this paravisor, and of no other VM's; on TDX it is judged on the signed quote alone",
        source: "layout of recorded machines: verifier/src/carriage/azure_vtpm/hcl.rs",
        remedy: "pass report and quote of one machine, taken together; if they were, somebody altered the claims",
        claims: [InstanceIdentity Cryptography],
    }
    HCL_TDX_QUOTE "hcl.tdx-quote" Authenticate Derived {
        stops: "the TDREPORT inside the paravisor's report, which nobody outside of the machine can authenticate, says the same as the signed quote: REPORTDATA and MRTD",
        source: "Intel TDX module ABI (TDREPORT_STRUCT); Intel TDX DCAP quote, TD report body",
        remedy: "take the quote for the TDREPORT of this very report",
        claims: [InstanceIdentity],
    }
    HCL_AK "hcl.ak" Authenticate Hardware {
        stops: "the claims hold exactly one attestation key (HCLAkPub), RSA of 2,048 bits, and in no object of them a member twice, so that no two readers see two keys",
        source: "layout of recorded machines: verifier/src/carriage/azure_vtpm/claims.rs; RFC 7517",
        remedy: "take the paravisor's report again; claims with two keys are nobody's",
        claims: [InstanceIdentity],
    }
    HCL_QUOTE "hcl.quote" Authenticate Hardware {
        stops: "the vTPM with that key signed this quote; it is about all 24 registers of the SHA-256 bank and nothing else, so that no register which a guest can reset stands in the place of another; the values beside it are those that it is about; and it holds the 64 bytes that were asked for",
        source: "TPM 2.0 library, part 2, 10.12 (TPMS_ATTEST, TPMS_QUOTE_INFO); part 3, 18.4 (TPM2_Quote)",
        remedy: "ask the vTPM for a quote of all 24 registers of the SHA-256 bank with the 64 bytes as qualifying data, and pass all 24 values",
        claims: [InstanceIdentity Cryptography],
    }
    HCL_LAUNCH "hcl.launch" Appraise Hardware {
        stops: "the paravisor is one that the policy names by its launch measurement: another one could say what it likes of its vTPM",
        source: "appraisal policy, `measurement` (SEV-SNP) or `mrtd` (TDX)",
        remedy: "compare with the measurement of your machines' paravisor: nobody but Microsoft can recompute it, so it is pinned",
        claims: [Executables],
    }
    HCL_USER_DATA "hcl.user-data" Appraise Hardware {
        stops: "the claims themselves hold the 64 bytes that were asked for: the hardware's report is as fresh as the quote",
        source: "evidence of version 2 of Confidential Containers; NV index 0x01400002",
        remedy: "let the guest write its 64 bytes to NV index 0x01400002 before it reads the report, as agents of evidence version 2 do",
    }
    HCL_SECURE_BOOT "hcl.secure-boot" Appraise Hardware {
        stops: "the guest's firmware started with Secure Boot, as the paravisor says",
        source: "claims of the paravisor, `vm-configuration`",
        remedy: "create the VM with Secure Boot",
        claims: [Configuration],
    }
    HCL_PCR_BOOT "hcl.pcr.boot" Appraise Hardware {
        stops: "the guest booted exactly the expected image: boot loader, kernel, initial file system and command line (PCR 4, 9, 11 and 12; 7 with Secure Boot)",
        source: "TCG PC Client Platform Firmware Profile 1.06, 2.3.4; UAPI group, TPM2 PCR registry",
        remedy: "compare with the registers of your image; another image runs here, or the expected values are of another version of it",
        claims: [Executables],
    }
    HCL_PCR_8 "hcl.pcr8" Appraise Hardware {
        stops: "the pod was started with the expected initdata: PCR 8 is SHA-256 of 32 zero bytes and of the SHA-256 of that document. Of a node it is what the boot loader was told, or zero",
        source: "Confidential Containers: attestation agent, init-data on vTPM",
        remedy: "start the pod with the expected initdata, whose algorithm must be sha256; `teegate predict initdata` computes the register. Of a node, compare the commands and the command line of its boot loader",
        claims: [Configuration],
    }
    HCL_LOG_REPLAY "hcl.log.replay" Appraise Derived {
        stops: "an event log of the guest's boot leads to the registers that the vTPM quoted: to PCR 0 to 7, which only firmware extends, and to every other one that it has events of; of each register that `event_log_registers` names, the digests of the events that extend it are all that was extended, in this order. Not covered: the order between registers, records that extend nothing, the data of an event beyond its digest, and, above PCR 7, all events of a register left out together (it is then named as extended without an event)",
        source: "TCG PC Client Platform Firmware Profile 1.06, 2.3.4 and 10.2; systemd-pcrphase(8)",
        remedy: "take evidence and log from one boot of one machine (`/sys/kernel/security/tpm0/binary_bios_measurements`); a guest that extends, after its boot, a register which its log has events of has no log that replays: hand in none, unless the policy requires it, and likewise of a log in which nothing extends a register",
    }
}
