//! The quote of the vTPM: TPMS_ATTEST with TPMS_QUOTE_INFO (TPM 2.0 library, part 2, sections 10.12.12 and 10.12.1), big-endian, its
//! signature, and the values of the registers that it is about, which stand beside it.

use crate::findings::Findings;
use crate::reader::{OutOfBounds, Reader};
use crate::signature::{rsa_pkcs1_sha256_holds, sha256};
use crate::stage::Signed;

use super::claims::Key;

/// A quote of a TPM, as received.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TpmQuote {
    /// TPMS_ATTEST.
    pub message: Vec<u8>,
    /// RSASSA-PKCS1-v1_5 with SHA-256 over the message.
    pub signature: Vec<u8>,
    /// The values of the platform configuration registers, from 0 on.
    pub pcrs: Vec<Vec<u8>>,
}

impl std::fmt::Debug for TpmQuote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TpmQuote({} bytes, {} registers)", self.message.len(), self.pcrs.len())
    }
}

/// How many registers there are.
pub(super) const REGISTERS: usize = 24;

/// The registers of the SHA-256 bank, from 0 on.
pub(super) type Registers = [[u8; 32]; REGISTERS];

/// Their names in facts.
pub(super) const NAMES: [&str; REGISTERS] = [
    "pcr0", "pcr1", "pcr2", "pcr3", "pcr4", "pcr5", "pcr6", "pcr7", "pcr8", "pcr9", "pcr10", "pcr11", "pcr12", "pcr13",
    "pcr14", "pcr15", "pcr16", "pcr17", "pcr18", "pcr19", "pcr20", "pcr21", "pcr22", "pcr23",
];

impl TpmQuote {
    /// Its registers, where there are as many as a bank has and each is as long as SHA-256.
    pub(super) fn registers(&self) -> Option<Registers> {
        let mut registers = [[0; 32]; REGISTERS];
        if self.pcrs.len() != REGISTERS {
            return None;
        }
        for (to, from) in registers.iter_mut().zip(&self.pcrs) {
            *to = from.as_slice().try_into().ok()?;
        }
        Some(registers)
    }

    /// States what it says.
    pub(super) fn state(&self, findings: &mut Findings) {
        match Attest::read(&self.message) {
            Ok(attest) => findings.facts.bytes("extra_data", attest.extra_data),
            Err(_) => findings.facts.absent("extra_data"),
        }
        for (name, value) in NAMES.iter().zip(&self.pcrs) {
            findings.facts.bytes(name, value);
        }
    }
}

/// What the vTPM signs, parsed.
pub(super) struct Attest<'a> {
    message: &'a [u8],
    signature: &'a [u8],
    /// The bytes that whoever asked for the quote chose.
    pub(super) extra_data: &'a [u8],
    /// The one bank that it is about, with the bits of its registers; else how many banks there are.
    pub(super) selection: Selection<'a>,
    /// Digest over the registers that are selected, in ascending order.
    pub(super) digest: &'a [u8],
}

/// Which registers of which banks.
pub(super) enum Selection<'a> {
    One { bank: u16, bits: &'a [u8] },
    Several(u32),
}

/// TPM_GENERATED_VALUE.
const MAGIC: [u8; 4] = [0xFF, 0x54, 0x43, 0x47];
/// TPM_ST_ATTEST_QUOTE.
const QUOTE: [u8; 2] = [0x80, 0x18];

/// Why a message cannot be read, in words.
pub(super) struct Unreadable(pub(super) String);

impl From<OutOfBounds> for Unreadable {
    fn from(OutOfBounds { offset, wanted, left }: OutOfBounds) -> Self {
        Self(match wanted {
            0 => format!("{left} bytes behind the end, at {offset}"),
            _ => format!("{left} bytes where {wanted} are needed, at {offset}"),
        })
    }
}

impl<'a> Attest<'a> {
    /// Bytes -> quote. Nothing may follow.
    pub(super) fn read(message: &'a [u8]) -> Result<Self, Unreadable> {
        let mut reader = Reader::new(message);
        if *reader.array()? != MAGIC {
            return Err(Unreadable("bytes that no TPM has made (another magic number)".to_owned()));
        }
        if *reader.array()? != QUOTE {
            return Err(Unreadable("a statement of the TPM that is no quote".to_owned()));
        }
        let _signer = sized(&mut reader)?;
        let extra_data = sized(&mut reader)?;
        // clock, resetCount, restartCount
        reader.bytes(16)?;
        let safe = reader.u8()?;
        if safe > 1 {
            return Err(Unreadable(format!("{safe} where the clock is said to be safe or not")));
        }
        // firmwareVersion
        reader.bytes(8)?;
        let count = u32::from_be_bytes(*reader.array()?);
        if count != 1 {
            return Ok(Self { message, signature: &[], extra_data, selection: Selection::Several(count), digest: &[] });
        }
        let bank = u16::from_be_bytes(*reader.array()?);
        let length = reader.u8()?;
        let bits = reader.bytes(length.into())?;
        let digest = sized(&mut reader)?;
        reader.end()?;
        Ok(Self { message, signature: &[], extra_data, selection: Selection::One { bank, bits }, digest })
    }

    /// The same with the signature that came beside it.
    pub(super) fn signed(self, signature: &'a [u8]) -> Self {
        Self { signature, ..self }
    }

    /// Whether the digest is that of all registers, in order.
    pub(super) fn is_of(&self, registers: &Registers) -> bool {
        self.digest == sha256(&[registers.as_flattened()])
    }
}

impl Signed for Attest<'_> {
    type Key<'k> = &'k Key;

    fn is_signed_by(&self, key: &Key) -> bool {
        rsa_pkcs1_sha256_holds(&key.n, &key.e, self.message, self.signature)
    }
}

/// A TPM2B: two bytes of length, then so many.
fn sized<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], OutOfBounds> {
    let length = u16::from_be_bytes(*reader.array()?);
    reader.bytes(length.into())
}
