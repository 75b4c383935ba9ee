//! Two clients and one software TPM: teegate's own module, as it stands, and Microsoft's crate `azure-tpm`. Each has to read what the
//! other wrote, and to make the same of registers, keys and quotes. OpenSSL judges the signatures of both.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use azure_tpm::types::rsa_restricted_signing_public;
use azure_tpm::{RawTpm, Tpm as Theirs, TpmCommandExt};

/// The module itself and not its crate, which would bring a client of HTTP along.
#[path = "../../../enclave-app/attester/src/tpm/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the module opens devices and offers names as well, which this program has no use for"
)]
mod ours;

const REPORT: u32 = 0x0140_0001;
const USER_DATA: u32 = 0x0140_0002;
const ABSENT: u32 = 0x0140_0003;
const ATTESTATION_KEY: u32 = 0x8100_0003;

/// The way to the TPM for the other client: a command out, an answer in.
struct Wire(Mutex<UnixStream>);

impl RawTpm for Wire {
    fn transmit_raw(&self, command: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = self.0.lock().map_err(|_| io::Error::other("poisoned"))?;
        stream.write_all(command)?;
        let mut answer = vec![0; 10];
        stream.read_exact(&mut answer)?;
        let length = u32::from_be_bytes([answer[2], answer[3], answer[4], answer[5]]) as usize;
        answer.resize(length, 0);
        stream.read_exact(&mut answer[10..])?;
        Ok(answer)
    }
}

struct Swtpm(Child);

impl Drop for Swtpm {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("expected a folder for the state of the TPM")?;
    let (stream, theirs) = UnixStream::pair()?;
    let swtpm = Command::new("swtpm")
        .args([
            "socket",
            "--tpm2",
            "--server",
            "type=tcp,fd=0",
            "--flags",
            "not-need-init,startup-clear",
            "--terminate",
            "--tpmstate",
        ])
        .arg(format!("dir={folder}"))
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .spawn()?;
    let _swtpm = Swtpm(swtpm);
    let theirs = Theirs::from_raw_reference(Box::new(Wire(Mutex::new(stream.try_clone()?))));
    let mut ours = ours::Tpm::new(stream);
    let mut agreed = 0;
    let mut hold = |holds: bool, what: &str| {
        agreed += 1;
        if holds { Ok(()) } else { Err(format!("the two differ: {what}")) }
    };

    // A key like the one that the paravisor keeps, made by them.
    let key = theirs.create_primary(azure_tpm::types::Hierarchy::Owner, rsa_restricted_signing_public(), &[])?;
    theirs.evict_control(ATTESTATION_KEY, key.handle)?;
    theirs.flush_context(key.handle)?;

    // NV: what one defines and writes, the other reads, in more than one piece.
    let report: Vec<u8> = (0..1_500_u32).map(|at| u8::try_from(at % 251).unwrap_or_default()).collect();
    ours.nv_define(REPORT, 1_500)?;
    ours.nv_write(REPORT, &report[..1_024])?;
    hold(theirs.read_nv_index(REPORT)?[..1_024] == report[..1_024], "an index that we wrote")?;
    theirs.write_nv_index(REPORT, &report)?;
    hold(ours.nv_read(REPORT, 1_500)? == report, "an index that they wrote")?;
    hold(theirs.read_nv_index(REPORT)? == report, "the same, read by them")?;
    ours.nv_define(USER_DATA, 64)?;
    ours.nv_write(USER_DATA, &[0x5A; 64])?;
    hold(theirs.read_nv_index(USER_DATA)? == [0x5A; 64], "user data")?;
    for index in [REPORT, USER_DATA] {
        let (own, other) = (ours.nv_public(index)?.ok_or("an index is not there")?, theirs.nv_read_public(index)?);
        hold(own.size == other.data_size, "the size of an index")?;
    }
    hold(ours.nv_public(ABSENT)?.is_none() && theirs.find_nv_index(ABSENT)?.is_none(), "an index that is not there")?;

    // Registers, after something was measured.
    for register in [0_u32, 4, 8, 11, 23] {
        theirs.transmit_raw(&extend(register))?;
    }
    let all: Vec<u32> = (0..24).collect();
    let own = ours.pcrs()?.ok_or("the bank of SHA-256 is not there")?;
    let other = theirs.read_pcrs_sha256(&all)?;
    hold(other.len() == 24, "how many registers there are")?;
    for (register, value) in &other {
        hold(own[usize::try_from(*register)?].as_slice() == value.as_slice(), &format!("register {register}"))?;
    }
    hold(own[8] != [0; 32] && own[9] == [0; 32], "what was measured")?;

    // Quotes: over the same registers, under the same key; what differs is what was asked to be in them.
    let own_quote = ours.quote(ATTESTATION_KEY, &[0xC3; 64])?;
    let (message, signature) = theirs.quote_with_key(ATTESTATION_KEY, &all)?;
    let (own_said, other_said) = (ours::Attested::parse(&own_quote.message)?, ours::Attested::parse(&message)?);
    hold(own_said.is_over(&own) && other_said.is_over(&own), "what a quote is over")?;
    hold(own_said.pcr_digest == other_said.pcr_digest, "the digest of the registers")?;
    hold(own_said.extra_data == [0xC3; 64] && other_said.extra_data.is_empty(), "what was asked to be in it")?;
    let (fewer, _) = theirs.quote_with_key(ATTESTATION_KEY, &all[..23])?;
    hold(!ours::Attested::parse(&fewer)?.is_whole_bank, "a quote over fewer registers")?;
    let public = theirs.read_public(ATTESTATION_KEY)?;
    let own_public = ours.read_public(ATTESTATION_KEY)?;
    hold(public.ends_with(&own_public.modulus) && own_public.exponent == 65_537, "the key")?;
    let folder = Path::new(&folder);
    hold(is_signed(folder, &public, &own_quote.message, &own_quote.signature)?, "the signature of our quote")?;
    // They hand out the signature with the names of its algorithms and its length before it.
    let bare = signature.len().checked_sub(256).and_then(|at| signature.get(at..)).ok_or("a short signature")?;
    hold(is_signed(folder, &public, &message, bare)?, "the signature of their quote")?;
    hold(!is_signed(folder, &public, &message, &own_quote.signature)?, "a signature of another quote")?;

    println!("azure-tpm 0.1.1 and teegate's module agree in {agreed} answers of one swtpm");
    Ok(())
}

/// `TPM2_PCR_Extend` with one SHA-256 digest; TPM 2.0 Library, Part 3, 22.2.
fn extend(register: u32) -> Vec<u8> {
    let password = [&9_u32.to_be_bytes()[..], &0x4000_0009_u32.to_be_bytes(), &[0; 5]].concat();
    let body = [&register.to_be_bytes()[..], &password, &1_u32.to_be_bytes(), &[0, 0x0B], &[0xE7; 32]].concat();
    let length = u32::try_from(10 + body.len()).unwrap_or_default();
    [&[0x80, 0x02][..], &length.to_be_bytes(), &0x182_u32.to_be_bytes(), &body].concat()
}

/// Whether OpenSSL takes the signature, under the RSA key at the end of a public area.
fn is_signed(
    folder: &Path,
    public: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<bool, Box<dyn std::error::Error>> {
    let modulus = public.len().checked_sub(256).and_then(|at| public.get(at..)).ok_or("a short public area")?;
    // SubjectPublicKeyInfo of RSA with 2,048 bits and the exponent 65,537.
    let head = [
        0x30, 0x82, 0x01, 0x22, 0x30, 0x0D, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01, 0x05,
        0x00, 0x03, 0x82, 0x01, 0x0F, 0x00, 0x30, 0x82, 0x01, 0x0A, 0x02, 0x82, 0x01, 0x01, 0x00,
    ];
    let key = [&head[..], modulus, &[0x02, 0x03, 0x01, 0x00, 0x01]].concat();
    for (name, bytes) in [("key.der", key.as_slice()), ("message", message), ("signature", signature)] {
        std::fs::write(folder.join(name), bytes)?;
    }
    let done = Command::new("openssl")
        .args(["dgst", "-sha256", "-keyform", "DER", "-verify", "key.der", "-signature", "signature", "message"])
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    Ok(done.success())
}
