//! What a quote says (`TPMS_ATTEST` of type `TPM_ST_ATTEST_QUOTE`; TPM 2.0 Library, Part 2, 10.12.12). Read so that a quote over
//! something else is noticed where it was made; who verifies it reads it for itself.

use sha2::{Digest, Sha256};

use super::commands::{Pcrs, SHA256};
use super::error::TpmError;
use super::wire::Reader;

const WHAT: &str = "TPMS_ATTEST";
const MAGIC: u32 = 0xFF54_4347;
const QUOTE: u16 = 0x8018;

/// The members of a quote that bind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// What was asked to be in it.
    pub extra_data: Vec<u8>,
    /// Whether it is over exactly the 24 registers of the SHA-256 bank.
    pub is_whole_bank: bool,
    /// SHA-256 over their values.
    pub pcr_digest: Vec<u8>,
}

impl Attested {
    /// Reads a quote's message.
    ///
    /// # Errors
    /// [`TpmError::Malformed`].
    pub fn parse(message: &[u8]) -> Result<Self, TpmError> {
        let mut reader = Reader::new(WHAT, message);
        if (reader.u32("its magic number")?, reader.u16("its type")?) != (MAGIC, QUOTE) {
            return Err(reader.wrong("a quote"));
        }
        reader.sized("the signer's name")?;
        let extra_data = reader.sized("extraData")?.to_vec();
        reader.bytes(8 + 4 + 4 + 1, "clockInfo")?;
        reader.bytes(8, "firmwareVersion")?;
        let count = reader.u32("the PCR selection")?;
        let mut is_whole_bank = count == 1;
        for _ in 0..count {
            let bank = reader.u16("the PCR selection")?;
            let length = reader.u8("the PCR selection")?;
            let bits = reader.bytes(usize::from(length), "the PCR selection")?;
            is_whole_bank &= bank == SHA256 && bits == [0xFF; 3];
        }
        let pcr_digest = reader.sized("pcrDigest")?.to_vec();
        reader.end()?;
        Ok(Self { extra_data, is_whole_bank, pcr_digest })
    }

    /// Whether it is a quote over these values, all of them.
    pub fn is_over(&self, pcrs: &Pcrs) -> bool {
        self.is_whole_bank && self.pcr_digest == Sha256::digest(pcrs.as_flattened()).as_slice()
    }
}
