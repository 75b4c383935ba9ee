//! The checks of a TDX quote, in the order of the walk.

use crate::check::{Tee, checks};

checks! {
    Some(Tee::Tdx);

    TDX_BYTES_HEADER "tdx.bytes.header" Parse Derived {
        stops: "the header says a TDX quote of version 4 or 5, with an ECDSA P-256 attestation key, by Intel's quoting enclave",
        source: "Intel TDX DCAP Quote Generation Library, quote format (Quote Header)",
        remedy: "pass a TDX quote; SGX quotes are not accepted here",
    }
    TDX_BYTES_BODY "tdx.bytes.body" Parse Derived {
        stops: "the body is of a known type and has exactly that type's size",
        source: "Intel TDX DCAP Quote Generation Library, quote format (Quote Body Descriptor)",
        remedy: "take the quote again; update teegate for newer TDX modules",
    }
    TDX_BYTES_LENGTHS "tdx.bytes.lengths" Parse Derived {
        stops: "every declared length fits into what remains and nested data ends exactly; only zero bytes may follow the quote",
        source: "Intel TDX DCAP Quote Generation Library, quote format (Quote Signature Data)",
        remedy: "pass the whole quote as the device returned it: nothing of it missing or changed, and nothing but zeros behind it",
    }
    TDX_BYTES_CERTIFICATION_DATA "tdx.bytes.certification-data" Parse Derived {
        stops: "the quote carries its PCK chain (type 5), or names the platform (type 3) whose PCK chain was supplied",
        source: "Intel TDX DCAP Quote Generation Library, quote format (QE Certification Data)",
        remedy: "configure the platform's quote provider to embed the PCK chain (type 5)",
    }
    TDX_CHAIN_ROOT_PINNED "tdx.chain.root-pinned" Authenticate Vendor {
        stops: "the chain ends in Intel's SGX root, pinned by key; a pre-production root bears the same name",
        source: "Intel SGX PCK Certificate and CRL Profile; roots of this build",
        remedy: "never add a root because evidence needs it: pre-production and forged chains look just like this",
        claims: [Cryptography],
    }
    TDX_CHAIN_PCK "tdx.chain.pck" Authenticate Vendor {
        stops: "the PCK certificate chains to the root through the Platform or the Processor CA, with Intel's names, CA flags and usages, and everything is valid at the stated time",
        source: "Intel SGX PCK Certificate and CRL Profile; RFC 5280, section 6.1",
        remedy: "recorded evidence: state the time of the recording with `--at`; else take the quote again: its PCK chain is not what Intel issues, or not valid at this time",
        claims: [Cryptography],
    }
    TDX_COLLATERAL_PRESENT "tdx.collateral.present" Authenticate Vendor {
        stops: "TCB info, QE identity, both CRLs and the TCB signing certificate were supplied",
        source: "Intel PCS API v4",
        remedy: "what is named was not supplied: `teegate fetch EVIDENCE --into DIR` asks Intel's PCS (or a PCCS, with `--source`) for it, or `verify --online` does; Intel sends the certificate of the signer only in the header `TCB-Info-Issuer-Chain`",
    }
    TDX_CHAIN_REVOCATION "tdx.chain.revocation" Authenticate Vendor {
        stops: "Intel has not revoked the PCK certificate, its CA or the TCB signing certificate: both CRLs are signed by the right issuer and current",
        source: "Intel SGX PCK Certificate and CRL Profile; RFC 5280, section 6.3",
        remedy: "a CRL was not current, or one lists this chain: `teegate fetch EVIDENCE --into DIR` or `verify --online` asks Intel for the current ones; a platform whose PCK is revoked must not be used",
        claims: [Hardware],
    }
    TDX_PCK_EXTENSION "tdx.pck.extension" Authenticate Vendor {
        stops: "the PCK certificate says, without contradiction, which platform and which TCB it stands for",
        source: "Intel SGX PCK Certificate and CRL Profile (SGX extension)",
        remedy: "take the quote again: this certificate is not in Intel's form",
    }
    TDX_COLLATERAL_SIGNER "tdx.collateral.signer" Authenticate Vendor {
        stops: "TCB info and QE identity are signed, over the bytes as served, by Intel's TCB signing key: a PCK or anybody else's key cannot raise a TCB level",
        source: "Intel PCS API v4, Get TDX TCB Info, Get TDX QE Identity",
        remedy: "the collateral is not as Intel signed it: `teegate fetch EVIDENCE --into DIR` gets it unmodified",
        claims: [Cryptography],
    }
    TDX_COLLATERAL_FRESH "tdx.collateral.fresh" Authenticate Vendor {
        stops: "TCB info and QE identity are current at the stated time, belong to the same evaluation, and that evaluation is not older than the policy asks: yesterday's collateral cannot hide today's advisory",
        source: "Intel PCS API v4 (issueDate, nextUpdate, tcbEvaluationDataNumber)",
        remedy: "the collateral does not hold at this time, or is of another evaluation than the policy asks: `teegate fetch EVIDENCE --into DIR` or `verify --online` asks Intel for the current one, or state the time of the recording with `--at`",
    }
    TDX_COLLATERAL_AGE "tdx.collateral.age" Authenticate Vendor {
        stops: "TCB info, QE identity and CRLs are not older than the policy allows, although they have not run out: whoever hands them in could choose those from before a TCB recovery or a revocation",
        source: "Intel PCS API v4 (issueDate); RFC 5280, section 6.3.3; teegate, SECURITY.md",
        remedy: "the collateral is older than `max_collateral_age` or `max_root_crl_age` allows: `teegate fetch EVIDENCE --into DIR` or `verify --online` asks Intel for the current one",
    }
    TDX_COLLATERAL_ROLLBACK "tdx.collateral.rollback" Authenticate Derived {
        stops: "no CRL is older, and no evaluation lower, than one that the caller's memory has seen: Intel's CRL numbers never grow, so only the memory can tell an old list that is still inside its window",
        source: "RFC 5280, section 5.1.2.4 (thisUpdate); Intel PCS API v4 (tcbEvaluationDataNumber); teegate, Memory",
        remedy: "older collateral was supplied than was seen before: `teegate fetch EVIDENCE --into DIR` asks Intel for the current one; if it is that, the memory was written under another clock, root or update channel",
    }
    TDX_TCB_IDENTITY "tdx.tcb.identity" Authenticate Vendor {
        stops: "the TCB info is TDX's, of version 3, for this very FMSPC and PCEID",
        source: "Intel PCS API v4, TCB info V3",
        remedy: "the TCB info is another platform's: `teegate fetch EVIDENCE --into DIR` asks Intel for that of this FMSPC",
    }
    TDX_QE_SIGNATURE "tdx.qe.signature" Authenticate Hardware {
        stops: "the quoting enclave's report is signed by the platform's PCK",
        source: "Intel TDX DCAP Quote Generation Library, quote format (QE Report Signature)",
        remedy: "the quote was altered or carries another platform's chain: take it again",
        claims: [Cryptography],
    }
    TDX_QE_BINDING "tdx.qe.binding" Authenticate Hardware {
        stops: "the quoting enclave vouches for the attestation key that signs this quote",
        source: "Intel TDX DCAP Quote Generation Library, quote format (QE Report, report data)",
        remedy: "the quote was altered: take it again",
        claims: [Cryptography],
    }
    TDX_QE_IDENTITY "tdx.qe.identity" Authenticate Vendor {
        stops: "the enclave that vouches is Intel's TD quoting enclave, not a debug build and not somebody's own",
        source: "Intel PCS API v4, Enclave Identity V2",
        remedy: "the quoting enclave is not the one that this identity describes: supply the identity of TDX's (`TD_QE`); if it is that, the platform runs an enclave that Intel does not know",
    }
    TDX_SIGNATURE "tdx.signature" Authenticate Hardware {
        stops: "header and body, as received, are signed by the attestation key",
        source: "Intel TDX DCAP Quote Generation Library, quote format (Quote Signature)",
        remedy: "the quote was altered: take it again",
        claims: [Hardware Cryptography],
    }
    TDX_TCB_LEVEL "tdx.tcb.level" Appraise Vendor {
        stops: "the platform reaches a TCB level that Intel has judged; a platform below every level is refused",
        source: "Intel PCS API v4, Get TDX TCB Info (TCB level selection)",
        remedy: "the operator must update microcode, firmware and TDX module",
        claims: [Hardware],
    }
    TDX_TCB_MODULE "tdx.tcb.module" Appraise Vendor {
        stops: "the TDX module is signed by Intel and of a version that Intel has judged",
        source: "Intel PCS API v4, TCB info V3 (tdxModule, tdxModuleIdentities)",
        remedy: "the operator must load a TDX module that Intel's TCB info lists",
        claims: [Hardware],
    }
    TDX_QE_TCB "tdx.qe.tcb" Appraise Vendor {
        stops: "the quoting enclave's ISVSVN reaches a level that Intel has judged",
        source: "Intel PCS API v4, Enclave Identity V2 (tcbLevels)",
        remedy: "the operator must update the quoting enclave",
        claims: [Hardware],
    }
    TDX_TCB_CONVERGENCE "tdx.tcb.convergence" Appraise Vendor {
        stops: "platform, module and quoting enclave converge to one status as Intel's library does it: an up-to-date platform does not hide a revoked module",
        source: "Intel SGX/TDX DCAP Quote Verification Library, TCB status convergence",
        remedy: "see the statuses of platform, module and quoting enclave",
        claims: [Hardware],
    }
    TDX_TCB_RELAUNCH "tdx.tcb.relaunch" Appraise Derived {
        stops: "for TD 1.5 the whole evaluation is repeated with TEE_TCB_SVN2, so that a TD launched on an old module is told apart from a platform that is old",
        source: "Intel SGX/TDX DCAP Quote Verification Library, TD relaunch",
        remedy: "launch the TD again on the updated module",
        claims: [HardwareIfFailed],
    }
    TDX_TCB_ROLLBACK "tdx.tcb.rollback" Appraise Derived {
        stops: "the platform's PCK stands for no lower TCB than the caller's memory has seen of it: the PCK of older microcode stays valid, and whoever holds its key can go back",
        source: "Intel SGX PCK Certificate and CRL Profile (TCB components, PCESVN); teegate, Memory",
        remedy: "ask the operator why the platform was rolled back; if it was meant, forget this platform",
        claims: [HardwareIfFailed],
    }
    TDX_TCB_ACCEPTED "tdx.tcb.accepted" Appraise Vendor {
        stops: "the converged status, its date and its advisories are what the policy accepts; Revoked never is",
        source: "appraisal policy, tcb_status; Intel PCS API v4 (tcbStatus)",
        remedy: "the operator must update the platform; or accept the named advisories knowingly",
        claims: [Hardware],
    }
    TDX_TD_DEBUG "tdx.td.debug" Appraise Hardware {
        stops: "the TD is not under debug or profiling (TUD bits): the host cannot read it",
        source: "Intel TDX Module ABI Specification, TDATTRIBUTES",
        remedy: "launch the TD without DEBUG; nothing secret belongs into this one",
        claims: [RuntimeOpaque Configuration],
    }
    TDX_TD_ATTRIBUTES "tdx.td.attributes" Appraise Hardware {
        stops: "the TD's attributes are those that the policy asks for, and none that it does not know",
        source: "Intel TDX Module ABI Specification, TDATTRIBUTES",
        remedy: "launch the TD with the expected attributes",
        claims: [Configuration],
    }
    TDX_TD_XFAM "tdx.td.xfam" Appraise Hardware {
        stops: "the TD uses only the processor features that the policy allows, and all that it requires",
        source: "Intel TDX Module ABI Specification, XFAM",
        remedy: "launch the TD with the expected features; prefer a mask to an exact value",
        claims: [Configuration],
    }
    TDX_TD_SERVICE_TD "tdx.td.service-td" Appraise Hardware {
        stops: "no service TD (such as a migration TD) is bound to this TD unless the policy names it, and it was not exchanged",
        source: "Intel TDX Module ABI Specification, MRSERVICETD",
        remedy: "launch the TD without a service TD, or name its hash in the policy",
        claims: [Configuration],
    }
    TDX_TD_MRTD "tdx.td.mrtd" Appraise Hardware {
        stops: "the TD started from exactly the expected initial memory",
        source: "Intel TDX Module ABI Specification, TDINFO (MRTD)",
        remedy: "compare with the value that the release publishes; other code runs here",
        claims: [Executables],
    }
    TDX_TD_RTMR0 "tdx.td.rtmr0" Appraise Hardware {
        stops: "firmware configuration was measured as expected",
        source: "Intel TDX Module ABI Specification, TDINFO (RTMR)",
        remedy: "compare with the value that the release publishes",
        claims: [Configuration],
    }
    TDX_TD_RTMR1 "tdx.td.rtmr1" Appraise Hardware {
        stops: "boot loader and kernel were measured as expected",
        source: "Intel TDX Module ABI Specification, TDINFO (RTMR)",
        remedy: "compare with the value that the release publishes",
        claims: [Executables],
    }
    TDX_TD_RTMR2 "tdx.td.rtmr2" Appraise Hardware {
        stops: "command line, initrd and what the OS measures are as expected",
        source: "Intel TDX Module ABI Specification, TDINFO (RTMR)",
        remedy: "compare with the value that the release publishes",
        claims: [Executables],
    }
    TDX_TD_RTMR3 "tdx.td.rtmr3" Appraise Hardware {
        stops: "what the guest extended at run time is as expected",
        source: "Intel TDX Module ABI Specification, TDINFO (RTMR)",
        remedy: "compare with the value that the release publishes",
    }
    TDX_TD_MRSEAM "tdx.td.mrseam" Appraise Hardware {
        stops: "the TDX module is exactly the expected one",
        source: "Intel TDX Module ABI Specification, TEE_TCB_INFO (MRSEAM)",
        remedy: "compare with the digests of Intel's module releases",
        claims: [HardwareIfFailed],
    }
    TDX_TD_MRCONFIGID "tdx.td.mrconfigid" Appraise Hardware {
        stops: "the host bound the expected configuration at launch",
        source: "Intel TDX Module ABI Specification, TDINFO (MRCONFIGID)",
        remedy: "launch the TD with the expected initdata",
        claims: [Configuration],
    }
    TDX_TD_MROWNER "tdx.td.mrowner" Appraise Hardware {
        stops: "the TD names the expected owner",
        source: "Intel TDX Module ABI Specification, TDINFO (MROWNER)",
        remedy: "launch the TD with the expected owner",
    }
    TDX_TD_MROWNERCONFIG "tdx.td.mrownerconfig" Appraise Hardware {
        stops: "the TD names the expected owner configuration",
        source: "Intel TDX Module ABI Specification, TDINFO (MROWNERCONFIG)",
        remedy: "launch the TD with the expected owner configuration",
    }
    TDX_TD_REPORT_DATA "tdx.td.report-data" Appraise Hardware {
        stops: "the TD chose exactly the 64 bytes that the caller expects: this is not another's evidence, nor an old one",
        source: "Intel TDX Module ABI Specification, REPORTDATA",
        remedy: "the evidence carries other bytes than were named (`--report-data`, or the policy): check that they are those of this recording; for your own challenge ask the TD again, and if they still differ, somebody relays another's evidence",
    }
    TDX_PLATFORM_ALLOWED "tdx.platform.allowed" Appraise Vendor {
        stops: "the platform is on the policy's list: physical attacks leave no other trace",
        source: "Intel SGX PCK Certificate and CRL Profile (PPID); appraisal policy, ppids",
        remedy: "add the platform to ppids, if it is yours",
        claims: [InstanceIdentity],
    }
    TDX_LOG_REPLAY "tdx.log.replay" Appraise Derived {
        stops: "an event log, where one is supplied or the policy requires one, replays to all four RTMRs; of each register the digests of the events that extend it are all that was extended, in this order. Not covered: the order between registers, records that extend nothing, and the data of an event beyond its digest",
        source: "UEFI 2.10, section 38 (CCEL); TCG PC Client Platform Firmware Profile",
        remedy: "supply the event log of this boot, with every event up to the quote; a log in which nothing extends a register shows nothing: hand in none, unless the policy requires one",
    }
}
