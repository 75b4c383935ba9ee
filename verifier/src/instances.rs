//! The checks of what an instance sends around its evidence. The verifier judges none of them: client and gateway do, by one
//! judgement, and their ids stand in the same catalogue.

use crate::check::checks;

checks! {
    None;

    ENVELOPE_FORM "envelope.form" Parse Derived {
        stops: "what an instance sends is one envelope, every member known and within its size, so that no two readers find different things in it",
        source: "RFC 9999 (CMW collections); teegate, protocol",
        remedy: "what answered is no enclave-app of this version: check the address, and the versions on both sides",
    }
    ENVELOPE_ENDORSEMENTS "envelope.endorsements" Parse Derived {
        stops: "what the instance sends along as endorsements can be read as such",
        source: "RFC 9999 (CMW collections); teegate, protocol",
        remedy: "the instance sends something else as its endorsements: look at its attester; what it sends may be left out where you supply them",
    }
    ENVELOPE_EVIDENCE_TYPE "envelope.evidence-type" Parse Derived {
        stops: "the evidence is of a type that this release verifies, and holds what that type holds; nothing is taken for another type",
        source: "teegate, protocol (media types of evidence)",
        remedy: "use an attester that gives a raw SEV-SNP report, a raw TDX quote, or evidence of an Azure vTPM or of Confidential ACI, or update teegate",
    }
    MANIFEST_FORM "manifest.form" Parse Derived {
        stops: "the manifest is strict JSON with exactly the members of its version and a key that can be sealed to, so that what the evidence binds has one meaning",
        source: "teegate, protocol (manifest)",
        remedy: "what answered is no enclave-app of this version: check the versions on both sides",
    }
    MANIFEST_WINDOW "manifest.window" Authenticate Hardware {
        stops: "the manifest has begun, has not ended, is not longer than is accepted, and its key may still be sealed to: a key that leaked is of no use for longer",
        source: "teegate, protocol (manifest)",
        remedy: "compare the clocks of both sides; an enclave makes its next manifest by itself",
    }
    CHANNEL_KEY "channel.key" Authenticate Hardware {
        stops: "the TLS key of the connection is the one that the manifest names: nobody stands between gateway and instance",
        source: "teegate, protocol (channel binding); RFC 8446, section 7.5",
        remedy: "something between gateway and instance ends the TLS connection: take it out, or let it pass TLS through",
    }
    BINDING_REPORT_DATA "binding.report-data" Appraise Hardware {
        stops: "the 64 bytes that the verdict shows are those that bind exactly this manifest, this challenge and this connection: the verifier was told to compare them, and its report is asked once more",
        source: "teegate, protocol (binding)",
        remedy: "somebody relays another's evidence: ask the instance again, over a connection of its own",
    }
    ENVELOPE_BOUND_TO "envelope.bound-to" Appraise Asserted {
        stops: "the policy says what its evidence is bound to: one about hardware only does not decide about sending",
        source: "teegate, SECURITY.md",
        remedy: "pin the code in the policy and say `bound_to`: `teegate policy explain` tells what a policy admits",
    }
    MANIFEST_MODEL "manifest.model" Appraise Hardware {
        stops: "the instance serves the model that is asked for, by the digest in its manifest",
        source: "teegate, protocol (manifest)",
        remedy: "compare the name with the models that the enclave's configuration lists",
    }
    MANIFEST_SHARED_RUNS "manifest.shared-runs" Appraise Hardware {
        stops: "requests to the model are computed beside those of other callers by the caller's own wish only",
        source: "teegate, protocol (manifest)",
        remedy: "accept it (`infer --accept-shared-runs`), or have the instance run without `models.batching`",
    }
    IDENTITY_CONFLICT "identity.conflict" Appraise Derived {
        stops: "an instance's id, receipt key and sealing keys belong to one TLS key: who copied them is refused, and so is the copied",
        source: "teegate, SECURITY.md",
        remedy: "two machines run with the same keys, or one was copied: stop both, and start them afresh",
    }
}
