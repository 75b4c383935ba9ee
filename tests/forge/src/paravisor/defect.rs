//! What can be wrong at a paravisor, one thing at a time.

/// One defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// `user-data` is a byte shorter than what was written.
    UserDataShort,
    /// There is no `user-data`.
    UserDataAbsent,
    /// `user-data` stands twice.
    UserDataTwice,
    /// `user-data` in lower case. Not wrong: hexadecimal has two cases, and recorded VMs write the upper.
    UserDataLower,
    /// The report stays the first, whatever is written.
    NotRenewed,
    /// The claims in the report are the same JSON in other words than those that the hardware's report was made over.
    ClaimsRespelt,
    /// A second key with the id of the attestation key.
    SecondKey,
    /// The claims name the attestation key of another VM.
    OtherVm,
    /// The claims are said to be hashed with SHA-384.
    HashType2,
    /// The claims are said to be hashed with SHA-512.
    HashType3,
    /// The index says that it holds 65,535 bytes.
    HugeIndex,
    /// The claims say that they are 4 GiB long.
    HugeClaims,
    /// Quotes are over PCR 0 to 10 and 23, which anybody can reset, so that a list of their values has it in the place of PCR 11.
    Pcr23,
    /// Quotes are over the SHA-1 bank.
    Sha1Bank,
    /// Quotes are over two selections of the bank.
    TwoSelections,
    /// Quotes carry other bytes than those asked for.
    OtherExtraData,
    /// The first two quotes are answered with TPM_RC_RETRY. Not wrong: a TPM may say so.
    Retry,
    /// Every command is answered with TPM_RC_RETRY.
    AlwaysRetry,
    /// Quotes are never answered.
    Silent,
    /// The host's metadata service refuses.
    NoService,
}

/// Every defect by its name on the command line.
pub const DEFECTS: [(&str, Defect); 20] = [
    ("user-data-short", Defect::UserDataShort),
    ("user-data-absent", Defect::UserDataAbsent),
    ("user-data-twice", Defect::UserDataTwice),
    ("user-data-lower", Defect::UserDataLower),
    ("not-renewed", Defect::NotRenewed),
    ("claims-respelt", Defect::ClaimsRespelt),
    ("second-key", Defect::SecondKey),
    ("other-vm", Defect::OtherVm),
    ("hash-type-2", Defect::HashType2),
    ("hash-type-3", Defect::HashType3),
    ("huge-index", Defect::HugeIndex),
    ("huge-claims", Defect::HugeClaims),
    ("pcr-23", Defect::Pcr23),
    ("sha1-bank", Defect::Sha1Bank),
    ("two-selections", Defect::TwoSelections),
    ("other-extra-data", Defect::OtherExtraData),
    ("retry", Defect::Retry),
    ("always-retry", Defect::AlwaysRetry),
    ("silent", Defect::Silent),
    ("no-service", Defect::NoService),
];
