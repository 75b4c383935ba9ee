//! The checks of Confidential ACI, in the order of the walk.

use crate::check::checks;

checks! {
    None;

    UVM_FORM "uvm.form" Parse Derived {
        stops: "the endorsement of the utility VM is a COSE_Sign1 in the one form that is known: PS384 in the protected header, no label twice, a chain of certificates, and a payload of a launch measurement and a version with no member beside them or twice",
        source: "RFC 9052, 4.2; RFC 9360, 2; layout of recorded endorsements: verifier/src/carriage/aci/uvm.rs",
        remedy: "pass `reference-info-base64` of the container group as it was read",
    }
    ACI_POLICY "aci.policy" Authenticate Hardware {
        stops: "the security policy that came along is the one that the host bound at launch: HOST_DATA is its SHA-256, over its bytes without the base64",
        source: "AMD 56860 rev. 1.58, table 23 (HOST_DATA); Confidential ACI, security context",
        remedy: "pass `security-policy-base64` of the very container group whose report this is",
        claims: [Configuration],
    }
    UVM_ISSUER "uvm.issuer" Authenticate Asserted {
        stops: "an endorsement came along, and says that it is issued by one whom the policy names (did:x509): another issuer endorses what it likes",
        source: "appraisal policy, `uvm_issuers`; did:x509 method, version 0",
        remedy: "pass `reference-info-base64` beside the report; if its issuer is new, find out who it is before you name it in `uvm_issuers`",
        claims: [Executables],
    }
    UVM_CHAIN "uvm.chain" Authenticate Vendor {
        stops: "the certificates of the endorsement lead, each issued by the next, from the signer to a root, and that root is the one whose SHA-256 stands in the issuer's name; all above the signer's are valid now",
        source: "did:x509 method, version 0 (resolution); RFC 5280, 6.1; RFC 9360, 2",
        remedy: "pass the endorsement whole: its chain, the root included, stands in its header",
        claims: [Executables Cryptography],
    }
    UVM_SIGNER "uvm.signer" Authenticate Vendor {
        stops: "the signer's certificate is an end entity's for every extended key usage that the issuer's name asks for: the same root also certifies others",
        source: "did:x509 method, version 0 (policy `eku`); RFC 5280, 4.2.1.12",
        remedy: "use an endorsement of utility VMs; another statement of the same company stands here",
        claims: [Executables],
    }
    UVM_ENDORSEMENT "uvm.endorsement" Authenticate Vendor {
        stops: "the first certificate of the chain signed header and payload (PS384), over the bytes as received",
        source: "RFC 9052, 4.4 (Sig_structure); RFC 8230, 2",
        remedy: "pass the endorsement as it was read; somebody altered it",
        claims: [Executables Cryptography],
    }
    UVM_SIGNER_VALIDITY "uvm.signer-validity" Authenticate Vendor {
        stops: "the signer's certificate is valid now. It is for a year and containers run on: a policy that waives this answers roll-back by `uvm_svn`",
        source: "RFC 5280, 4.1.2.5",
        remedy: "start the container group anew, so that it gets a current endorsement; or waive it (`uvm_signer_validity = \"unchecked\"`) and raise `uvm_svn`",
        claims: [Executables],
    }
    UVM_MEASUREMENT "uvm.measurement" Authenticate Hardware {
        stops: "what is endorsed is the VM that the hardware measured: the launch measurement of the payload is MEASUREMENT of the report",
        source: "AMD 56860 rev. 1.58, table 23 (MEASUREMENT); layout of recorded endorsements",
        remedy: "pass report and endorsement of one container group",
        claims: [Executables],
    }
    UVM_FEED "uvm.feed" Appraise Vendor {
        stops: "the endorsement is of a line of releases that the policy names: the same issuer also endorses other virtual machines",
        source: "appraisal policy, `uvm_feeds`",
        remedy: "compare with `uvm_feeds`; another kind of virtual machine runs here",
        claims: [Executables],
    }
    UVM_SVN "uvm.guest-svn" Appraise Vendor {
        stops: "roll-back: the endorsed VM is of the version that the policy asks for, or a later one. It is not the GUEST_SVN of the report",
        source: "appraisal policy, `uvm_svn`",
        remedy: "start the container group anew, so that it runs a current utility VM",
        claims: [Executables],
    }
}
