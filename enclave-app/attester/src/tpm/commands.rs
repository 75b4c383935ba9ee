//! The commands, one method each (TPM 2.0 Library, Part 3).

use std::io::{Read, Write};

use super::error::TpmError;
use super::exchange::{Command, Tpm};
use super::wire::{Reader, Writer};

const NV_READ_PUBLIC: Command = Command { name: "TPM2_NV_ReadPublic", code: 0x169 };
const NV_DEFINE_SPACE: Command = Command { name: "TPM2_NV_DefineSpace", code: 0x12A };
const NV_READ: Command = Command { name: "TPM2_NV_Read", code: 0x14E };
const NV_WRITE: Command = Command { name: "TPM2_NV_Write", code: 0x137 };
const QUOTE: Command = Command { name: "TPM2_Quote", code: 0x158 };
const PCR_READ: Command = Command { name: "TPM2_PCR_Read", code: 0x17E };
const READ_PUBLIC: Command = Command { name: "TPM2_ReadPublic", code: 0x173 };

/// `TPM_RH_OWNER`.
const OWNER: u32 = 0x4000_0001;
/// `TPM_RC_HANDLE` of the first handle: there is no such index.
const NO_SUCH_INDEX: u32 = 0x18B;
/// `TPMA_NV_OWNERWRITE` and `TPMA_NV_OWNERREAD`, as `tpm2_nvdefine` and Azure's own tools set them for the owner.
const OWNER_MAY: u32 = 0x0002_0002;

/// `TPM_ALG_SHA256`, `TPM_ALG_RSASSA`, and `TPM_ALG_NULL`: the key's own scheme.
pub(super) const SHA256: u16 = 0x000B;
const RSASSA: u16 = 0x0014;
const NULL: u16 = 0x0010;
/// `TPM_ALG_RSA`.
const RSA: u16 = 0x0001;

/// The most that is read or written at once (`TPM_PT_NV_BUFFER_MAX` of the TPMs at hand).
const CHUNK: u16 = 1_024;

/// The public area of an index, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NvPublic {
    /// `TPMA_NV`.
    pub attributes: u32,
    /// Bytes that it holds.
    pub size: u16,
}

/// A quote as the TPM made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// `TPMS_ATTEST`, the signed bytes.
    pub message: Vec<u8>,
    /// RSASSA-PKCS1-v1_5 with SHA-256 over them.
    pub signature: Vec<u8>,
}

/// The public half of an RSA key of 2,048 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RsaPublic {
    /// 256 bytes, big-endian.
    pub modulus: Vec<u8>,
    /// 65,537, where the TPM writes none.
    pub exponent: u32,
}

/// Values of a bank: PCR 0 to 23.
pub const PCRS: usize = 24;

/// The SHA-256 bank at one instant: its values, PCR 0 first.
pub type Pcrs = [[u8; 32]; PCRS];

impl<C: Read + Write> Tpm<C> {
    /// What index `index` is; `None` if there is none.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn nv_public(&mut self, index: u32) -> Result<Option<NvPublic>, TpmError> {
        let answer = match self.plain(NV_READ_PUBLIC, &index.to_be_bytes()) {
            Err(TpmError::Refused { code: NO_SUCH_INDEX, .. }) => return Ok(None),
            answer => answer?,
        };
        let mut reader = Reader::new(NV_READ_PUBLIC.name, &answer);
        let public = reader.sized("the public area of the index")?;
        reader.sized("the name of the index")?;
        reader.end()?;
        let mut reader = Reader::new(NV_READ_PUBLIC.name, public);
        let what = "the public area of the index that was asked for";
        if reader.u32(what)? != index {
            return Err(reader.wrong(what));
        }
        reader.u16(what)?;
        let attributes = reader.u32(what)?;
        reader.sized(what)?;
        let size = reader.u16(what)?;
        reader.end()?;
        Ok(Some(NvPublic { attributes, size }))
    }

    /// Makes an index of `size` bytes, which its owner may read and write.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn nv_define(&mut self, index: u32, size: u16) -> Result<(), TpmError> {
        let public = Writer::default().u32(index).u16(SHA256).u32(OWNER_MAY).sized(&[]).u16(size).finish();
        let parameters = Writer::default().sized(&[]).sized(&public).finish();
        let answer = self.authorised(NV_DEFINE_SPACE, &[OWNER], &parameters)?;
        Reader::new(NV_DEFINE_SPACE.name, &answer).end()
    }

    /// The first `size` bytes of an index.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn nv_read(&mut self, index: u32, size: u16) -> Result<Vec<u8>, TpmError> {
        let mut all = Vec::new();
        let mut offset = 0;
        while offset < size {
            let length = (size - offset).min(CHUNK);
            let parameters = Writer::default().u16(length).u16(offset).finish();
            let answer = self.authorised(NV_READ, &[OWNER, index], &parameters)?;
            let mut reader = Reader::new(NV_READ.name, &answer);
            let part = reader.sized("as many bytes as were asked for")?;
            if part.len() != usize::from(length) {
                return Err(reader.wrong("as many bytes as were asked for"));
            }
            reader.end()?;
            all.extend_from_slice(part);
            offset += length;
        }
        Ok(all)
    }

    /// Writes the beginning of an index, at most 1,024 bytes.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn nv_write(&mut self, index: u32, data: &[u8]) -> Result<(), TpmError> {
        let parameters = Writer::default().sized(data).u16(0).finish();
        let answer = self.authorised(NV_WRITE, &[OWNER, index], &parameters)?;
        Reader::new(NV_WRITE.name, &answer).end()
    }

    /// A quote of `key` over all PCRs of the SHA-256 bank, with `extra_data` in it.
    ///
    /// # Errors
    /// [`TpmError`], also when the key signs otherwise than with RSASSA and SHA-256.
    pub fn quote(&mut self, key: u32, extra_data: &[u8; 64]) -> Result<Quote, TpmError> {
        let parameters = Writer::default().sized(extra_data).u16(NULL).bytes(&selection([0xFF; 3])).finish();
        let answer = self.authorised(QUOTE, &[key], &parameters)?;
        let mut reader = Reader::new(QUOTE.name, &answer);
        let message = reader.sized("a quote")?.to_vec();
        let scheme = "a signature with RSASSA and SHA-256";
        if (reader.u16(scheme)?, reader.u16(scheme)?) != (RSASSA, SHA256) {
            return Err(reader.wrong(scheme));
        }
        let signature = reader.sized(scheme)?.to_vec();
        reader.end()?;
        Ok(Quote { message, signature })
    }

    /// The public half of `key`, which signs with RSA (Part 3, 12.4; Part 2, 12.2.4).
    ///
    /// # Errors
    /// [`TpmError`], also when it is a key of another kind or of other than 2,048 bits.
    pub fn read_public(&mut self, key: u32) -> Result<RsaPublic, TpmError> {
        let answer = self.plain(READ_PUBLIC, &Writer::default().u32(key).finish())?;
        let mut reader = Reader::new(READ_PUBLIC.name, &answer);
        let public = reader.sized("the public area of the key")?;
        reader.sized("the name of the key")?;
        reader.sized("the qualified name of the key")?;
        reader.end()?;
        let mut reader = Reader::new(READ_PUBLIC.name, public);
        let kind = "the public area of an RSA key";
        if reader.u16(kind)? != RSA {
            return Err(reader.wrong(kind));
        }
        // Hash of its name, attributes, and the policy that it is used under.
        reader.u16(kind)?;
        reader.u32(kind)?;
        reader.sized(kind)?;
        // Only a key that decrypts has an algorithm here.
        let signs = "a key that signs, by RSASSA with SHA-256 or by what it is asked for";
        if reader.u16(signs)? != NULL {
            return Err(reader.wrong(signs));
        }
        match reader.u16(signs)? {
            NULL => {}
            RSASSA if reader.u16(signs)? == SHA256 => {}
            _ => return Err(reader.wrong(signs)),
        }
        let bits = "a key of 2,048 bits";
        if reader.u16(bits)? != 2_048 {
            return Err(reader.wrong(bits));
        }
        let exponent = match reader.u32("an exponent")? {
            0 => 65_537,
            exponent => exponent,
        };
        let modulus = reader.sized(bits)?.to_vec();
        if modulus.len() != 256 {
            return Err(reader.wrong(bits));
        }
        reader.end()?;
        Ok(RsaPublic { modulus, exponent })
    }

    /// The SHA-256 bank. A TPM gives some values at a time (mostly eight), and says how often they were extended: values
    /// between which that number moves are not of one instant, and `None`.
    ///
    /// # Errors
    /// [`TpmError`], also when the TPM has no such bank.
    pub fn pcrs(&mut self) -> Result<Option<Pcrs>, TpmError> {
        let mut values = [[0; 32]; PCRS];
        let mut read = 0;
        let mut counter = None;
        while read < PCRS {
            let asked = (read..PCRS).fold(0_u32, |asked, number| asked | 1 << number);
            let [first, second, third, _] = asked.to_le_bytes();
            let answer = self.plain(PCR_READ, &selection([first, second, third]))?;
            let mut reader = Reader::new(PCR_READ.name, &answer);
            let counted = reader.u32("an update counter")?;
            if *counter.get_or_insert(counted) != counted {
                return Ok(None);
            }
            let bank = "a selection of the SHA-256 bank";
            if (reader.u32(bank)?, reader.u16(bank)?, reader.u8(bank)?) != (1, SHA256, 3) {
                return Err(reader.wrong(bank));
            }
            let selected = u32::from_le_bytes([reader.u8(bank)?, reader.u8(bank)?, reader.u8(bank)?, 0]);
            let given = reader.u32("the number of values")?;
            // The lowest that were asked for, without a gap: then each round gets on, and the rounds end.
            let expected = "the lowest of the registers that were asked for, a value each";
            for _ in 0..given {
                let Some(value) = values.get_mut(read) else { return Err(reader.wrong(expected)) };
                if selected >> read & 1 != 1 {
                    return Err(reader.wrong(expected));
                }
                *value = reader.sized(expected)?.try_into().map_err(|_| reader.wrong("values of 32 bytes"))?;
                read += 1;
            }
            if given == 0 || selected.count_ones() != given {
                return Err(reader.wrong(expected));
            }
            reader.end()?;
        }
        Ok(Some(values))
    }
}

/// `TPML_PCR_SELECTION` of one bank: bit *i* of byte *j* is PCR 8*j* + *i*.
fn selection(bits: [u8; 3]) -> Vec<u8> {
    Writer::default().u32(1).u16(SHA256).u8(3).bytes(&bits).finish()
}
