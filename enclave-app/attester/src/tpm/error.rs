//! Why a TPM gave no result.

/// How often a command is sent that is answered with *later*.
pub(super) const ATTEMPTS: u32 = 10;

/// Why a command has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum TpmError {
    /// The command could not be sent, or no answer be read.
    Channel {
        /// Which command.
        command: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The TPM said no.
    Refused {
        /// Which command.
        command: &'static str,
        /// Its response code (Part 2, `TPM_RC`).
        code: u32,
    },
    /// The TPM said *later* each time.
    Busy {
        /// Which command.
        command: &'static str,
        /// What it said last.
        code: u32,
    },
    /// The answer is not what the specification says.
    Malformed {
        /// Which command.
        command: &'static str,
        /// What was expected.
        expected: &'static str,
    },
}

impl std::fmt::Display for TpmError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Channel { command, source } => write!(f, "{command}: {source}"),
            Self::Refused { command, code } => write!(f, "{command}: the TPM answers with the response code {code:#x}"),
            Self::Busy { command, code } => {
                write!(f, "{command}: the TPM asked for a repetition {ATTEMPTS} times, at last with {code:#x}")
            }
            Self::Malformed { command, expected } => {
                write!(f, "{command}: the answer is malformed, expected {expected}")
            }
        }
    }
}

impl std::error::Error for TpmError {}
