//! The quote of a vTPM: TPMS_ATTEST, big-endian (TPM 2.0 library, part 2, 10.12), made by a software key.

use aws_lc_rs::digest::{SHA256, digest};

/// TPM_ALG_SHA256.
const SHA256_BANK: u16 = 0x000B;

/// The fields of TPMS_ATTEST with TPMS_QUOTE_INFO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attest {
    /// TPM_GENERATED_VALUE.
    pub magic: u32,
    /// TPM_ST_ATTEST_QUOTE.
    pub kind: u16,
    /// A name of the key: algorithm and digest.
    pub qualified_signer: Vec<u8>,
    /// What whoever asked chose.
    pub extra_data: Vec<u8>,
    /// clock.
    pub clock: u64,
    /// resetCount.
    pub reset_count: u32,
    /// restartCount.
    pub restart_count: u32,
    /// safe.
    pub safe: u8,
    /// firmwareVersion.
    pub firmware_version: u64,
    /// Banks, each with the bits of its registers.
    pub selections: Vec<(u16, Vec<u8>)>,
    /// The count of selections, where it is not how many there are.
    pub selection_count: Option<u32>,
    /// pcrDigest.
    pub digest: Vec<u8>,
    /// What stands behind the end.
    pub trailing: Vec<u8>,
}

/// A quote as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// TPMS_ATTEST.
    pub message: Vec<u8>,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    pub signature: Vec<u8>,
    /// Values of the registers.
    pub pcrs: Vec<Vec<u8>>,
}

impl Attest {
    /// Of all 24 registers of the SHA-256 bank.
    pub fn new(extra_data: &[u8], pcrs: &[Vec<u8>]) -> Self {
        Self {
            magic: 0xFF54_4347,
            kind: 0x8018,
            qualified_signer: [&[0x00, 0x0B][..], &[0x5A; 32]].concat(),
            extra_data: extra_data.to_vec(),
            clock: 1_234_567,
            reset_count: 3,
            restart_count: 0,
            safe: 1,
            firmware_version: 0x2016_1004_0200_0000,
            selections: vec![(SHA256_BANK, vec![0xFF; 3])],
            selection_count: None,
            digest: pcr_digest(pcrs),
            trailing: Vec::new(),
        }
    }

    /// The bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.magic.to_be_bytes());
        bytes.extend(self.kind.to_be_bytes());
        sized(&mut bytes, &self.qualified_signer);
        sized(&mut bytes, &self.extra_data);
        bytes.extend(self.clock.to_be_bytes());
        bytes.extend(self.reset_count.to_be_bytes());
        bytes.extend(self.restart_count.to_be_bytes());
        bytes.push(self.safe);
        bytes.extend(self.firmware_version.to_be_bytes());
        let count = u32::try_from(self.selections.len()).expect("a few selections");
        bytes.extend(self.selection_count.unwrap_or(count).to_be_bytes());
        for (bank, bits) in &self.selections {
            bytes.extend(bank.to_be_bytes());
            bytes.push(u8::try_from(bits.len()).expect("a few bytes of bits"));
            bytes.extend(bits);
        }
        sized(&mut bytes, &self.digest);
        bytes.extend(&self.trailing);
        bytes
    }
}

fn sized(bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.extend(u16::try_from(value.len()).expect("a TPM2B").to_be_bytes());
    bytes.extend(value);
}

/// SHA-256 over these values, one after the other: what a quote of them holds.
pub fn pcr_digest(pcrs: &[Vec<u8>]) -> Vec<u8> {
    digest(&SHA256, &pcrs.concat()).as_ref().to_vec()
}

/// PCR 8 of a pod whose initdata has this SHA-256: extended once.
pub fn initdata_pcr(initdata: &[u8; 32]) -> Vec<u8> {
    digest(&SHA256, &[&[0; 32][..], initdata].concat()).as_ref().to_vec()
}

/// The registers of a guest that nothing is wrong with: a unified kernel image, an initdata of 32 bytes of 0x1D, and nothing extended at run time.
pub fn default_pcrs() -> Vec<Vec<u8>> {
    (0_u8..24)
        .map(|number| match number {
            8 => initdata_pcr(&[0x1D; 32]),
            0..=7 | 9 | 11 => digest(&SHA256, format!("forged register {number}").as_bytes()).as_ref().to_vec(),
            17..=22 => vec![0xFF; 32],
            _ => vec![0; 32],
        })
        .collect()
}
