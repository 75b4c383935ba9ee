//! The commands that give a software TPM what an Azure VM's has, and a few for tests, written by hand (TPM 2.0 Library, Part 3). Nothing here is
//! shared with the attester that is tested against it: a wrong length must not agree with itself.

use std::io::{self, Read, Write};

/// Handle of the attestation key.
pub const ATTESTATION_KEY: u32 = 0x8100_0003;
const OWNER: u32 = 0x4000_0001;
const PLATFORM: u32 = 0x4000_000C;
const ENDORSEMENT: u32 = 0x4000_000B;

/// TPM_ALG_SHA256.
pub const SHA256: u16 = 0x000B;
/// TPM_ALG_SHA1.
pub const SHA1: u16 = 0x0004;
const SHA384: u16 = 0x000C;
const SHA512: u16 = 0x000D;

/// Selections as a command writes them: banks, and the bits of their registers.
pub type Selections = [(u16, [u8; 3])];

/// A command without authorisation.
pub fn plain(code: u32, body: &[u8]) -> Vec<u8> {
    message(0x8001, code, body)
}

/// A command with the empty password for its first handle.
pub fn authorised(code: u32, handles: &[u32], parameters: &[u8]) -> Vec<u8> {
    let mut body: Vec<u8> = handles.iter().flat_map(|handle| handle.to_be_bytes()).collect();
    body.extend([0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0]);
    body.extend(parameters);
    message(0x8002, code, &body)
}

/// An answer of success; a refusal has no body and another code.
pub fn message(tag: u16, code: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(10 + body.len()).expect("a short message");
    [&tag.to_be_bytes()[..], &length.to_be_bytes(), &code.to_be_bytes(), body].concat()
}

/// TPM2B.
pub fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).expect("a TPM2B").to_be_bytes()[..], bytes].concat()
}

/// Four bytes, big-endian.
pub fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// Two bytes, big-endian, as a length.
pub fn half(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]))
}

/// One whole command or answer.
pub fn receive(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 10];
    stream.read_exact(&mut bytes)?;
    let length = word(&bytes, 2) as usize;
    if !(10..=4_096).contains(&length) {
        return Err(io::Error::other(format!("a message of {length} bytes")));
    }
    bytes.resize(length, 0);
    stream.read_exact(&mut bytes[10..])?;
    Ok(bytes)
}

/// Sends a command until the TPM takes it; gives what follows the header.
pub fn ask(stream: &mut (impl Read + Write), command: &[u8]) -> io::Result<Vec<u8>> {
    loop {
        stream.write_all(command)?;
        let answer = receive(stream)?;
        match word(&answer, 6) {
            0 => return Ok(answer[10..].to_vec()),
            // TPM_RC_RETRY: it has just started.
            0x922 => {}
            code => {
                return Err(io::Error::other(format!("command {:#x} is answered with {code:#x}", word(command, 6))));
            }
        }
    }
}

/// Makes an attestation key (RSA-2048, restricted, RSASSA with SHA-256) at its handle.
pub fn make_attestation_key(stream: &mut (impl Read + Write)) -> io::Result<()> {
    // fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign.
    let attributes = 0x0005_0072_u32.to_be_bytes();
    // A restricted key that signs has no symmetric algorithm.
    let parameters = [0x00, 0x10, 0x00, 0x14, 0x00, 0x0B, 0x08, 0x00, 0, 0, 0, 0];
    let public = [&[0, 1, 0, 0x0B][..], &attributes, &sized(&[]), &parameters, &sized(&[])].concat();
    let sensitive = sized(&[sized(&[]), sized(&[])].concat());
    let asked = [sensitive, sized(&public), sized(&[]), vec![0; 4]].concat();
    let made = ask(stream, &authorised(0x131, &[ENDORSEMENT], &asked))?;
    let handle = word(&made, 0);
    ask(stream, &authorised(0x120, &[OWNER, handle], &ATTESTATION_KEY.to_be_bytes()))?;
    ask(stream, &plain(0x165, &handle.to_be_bytes())).map(drop)
}

/// The modulus of the attestation key, 256 bytes.
pub fn modulus(stream: &mut (impl Read + Write)) -> io::Result<Vec<u8>> {
    let answer = ask(stream, &plain(0x173, &ATTESTATION_KEY.to_be_bytes()))?;
    let public = &answer[2..2 + half(&answer, 0)];
    // The modulus ends the public area.
    Ok(public[public.len() - 256..].to_vec())
}

/// Has the TPM keep registers of the SHA-256 bank alone, from its next start on (TPM2_PCR_Allocate).
pub fn keep_one_bank(stream: &mut (impl Read + Write)) -> io::Result<()> {
    let (none, all) = ([0; 3], [0xFF; 3]);
    let banks = selections(&[(SHA1, none), (SHA256, all), (SHA384, none), (SHA512, none)]);
    let answer = ask(stream, &authorised(0x12B, &[PLATFORM], &banks))?;
    // The length of what follows, and whether it was done.
    if answer.get(4) == Some(&1) { Ok(()) } else { Err(io::Error::other("the TPM keeps its banks")) }
}

/// TPM2_Shutdown, by which the next start is an orderly one.
pub fn shut_down(stream: &mut (impl Read + Write)) -> io::Result<()> {
    ask(stream, &plain(0x145, &[0, 0])).map(drop)
}

/// Extends a register of the SHA-256 bank.
pub fn extend(stream: &mut (impl Read + Write), register: u32, digest: &[u8; 32]) -> io::Result<()> {
    let values = [&[0, 0, 0, 1][..], &SHA256.to_be_bytes(), digest].concat();
    ask(stream, &authorised(0x182, &[register], &values)).map(drop)
}

/// The values of all registers of the SHA-256 bank.
pub fn registers(stream: &mut (impl Read + Write)) -> io::Result<Vec<Vec<u8>>> {
    let mut values = Vec::new();
    for byte in 0..3 {
        let mut bits = [0; 3];
        bits[byte] = 0xFF;
        let answer = ask(stream, &plain(0x17E, &selections(&[(SHA256, bits)])))?;
        // Counter, selections of one bank, and the number of values.
        let values_of_byte = answer[4 + 10 + 4..].chunks(34);
        values.extend(values_of_byte.map(|value| value[2..].to_vec()));
    }
    Ok(values)
}

/// TPML_PCR_SELECTION.
pub fn selections(banks: &Selections) -> Vec<u8> {
    let mut bytes = u32::try_from(banks.len()).expect("a few banks").to_be_bytes().to_vec();
    for (bank, bits) in banks {
        bytes.extend(bank.to_be_bytes());
        bytes.push(3);
        bytes.extend(bits);
    }
    bytes
}

/// The command for a quote with these bytes, over these registers.
pub fn quote_command(extra_data: &[u8], banks: &Selections) -> Vec<u8> {
    // TPM_ALG_NULL: by the key's own scheme.
    authorised(0x158, &[ATTESTATION_KEY], &[sized(extra_data), vec![0, 0x10], selections(banks)].concat())
}

/// A quote's message and signature.
pub fn quote(
    stream: &mut (impl Read + Write),
    extra_data: &[u8],
    banks: &Selections,
) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let answer = ask(stream, &quote_command(extra_data, banks))?;
    let length = half(&answer, 4);
    let message = answer[6..6 + length].to_vec();
    let signature = &answer[6 + length..];
    Ok((message, signature[6..6 + half(signature, 4)].to_vec()))
}
