//! The table of the fields that a profile for Confidential ACI has beside those of its platform.

use super::profile::AciProfile;
use crate::check::Check;
use crate::rule::{Ask, Asks as _, Field, Severity, Topic, Written};

/// One row.
pub(crate) struct Row {
    pub(crate) field: Field,
    /// What a profile asks there.
    pub(crate) asks: fn(&AciProfile) -> Ask,
    /// The check that judges it.
    pub(crate) check: Check,
}

/// All of them, in the order in which policies are written.
pub(crate) const FIELDS: &[Row] = &[
    Row {
        field: Field::new(
            "uvm_issuers",
            Topic::Code,
            "The issuer of the virtual machine's endorsement",
            "nobody need endorse the virtual machine, so that `measurement` alone says which one runs",
            Written::Texts {
                example: "did:x509:0:sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA::eku:1.2.3",
                pattern: "^did:x509:0:sha256:[A-Za-z0-9_-]{43}(::eku:[0-9]+(\\.[0-9]+)+){1,4}$",
            },
        ),
        asks: |profile| {
            let issuers = profile.uvm_issuers.required();
            issuers.map_or(Ask::Nothing, |issuers| Ask::names(issuers.iter().map(|issuer| issuer.text())))
        },
        check: Check::UVM_ISSUER,
    },
    Row {
        field: Field::new(
            "uvm_feeds",
            Topic::Code,
            "The line of releases that is endorsed",
            "any virtual machine that the issuer endorses can run",
            Written::Texts { example: "AnotherFeed", pattern: "" },
        )
        .weak(Severity::Warning, "the line of releases that Confidential ACI runs"),
        asks: |profile| {
            let feeds = profile.uvm_feeds.required();
            feeds.map_or(Ask::Nothing, |feeds| Ask::names(feeds.iter().map(String::as_str)))
        },
        check: Check::UVM_FEED,
    },
    Row {
        field: Field::new(
            "uvm_svn",
            Topic::Code,
            "The version of the endorsed virtual machine",
            "a virtual machine that is long known to be vulnerable can run",
            Written::Number,
        )
        .weak(Severity::Warning, "{ at_least = … } with the version that your container groups run"),
        asks: |profile| profile.uvm_svn.ask(),
        check: Check::UVM_SVN,
    },
    Row {
        field: Field::new(
            "uvm_signer_validity",
            Topic::Vouching,
            "The certificate of the endorsement's signer",
            "an endorsement counts after its signer's certificate has ended; `uvm_svn` answers roll-back",
            Written::Word(&["required", "unchecked"]),
        )
        .states(&[(1, "an endorsement whose signer's certificate has ended")]),
        asks: |profile| {
            profile.uvm_signer_validity.required().map_or(Ask::Nothing, |_| Ask::Word(1, "must be valid now"))
        },
        check: Check::UVM_SIGNER_VALIDITY,
    },
];
