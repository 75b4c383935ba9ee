//! A statement that somebody signed whom the user names, by a public key or by certificates: a COSE_Sign1 (RFC 9052). Reference values
//! come so. Whoever is named vouches for all that they say; nothing here knows what that is.

use std::fmt;

use bytes::Bytes;
use teegate_encoding::cose::{Label, Sign1};

use crate::bytes::to_hex;
use crate::signature::{Share, Signatures, sha256};
use crate::time::UnixTime;
use crate::x509::certificate::{Certificate, PublicKey, public_key};
use crate::x509::{cose, path, pem};

/// A key file or a chain has a few KB.
const MAX_BYTES: usize = 64 * 1024;
const MAX_CERTIFICATES: usize = 8;

/// Who is to have signed.
#[derive(Debug)]
pub struct Signer(Named);

#[derive(Debug)]
enum Named {
    /// Whoever holds this key.
    Key { key: PublicKey, digest: [u8; 32] },
    /// The first of these, whose chain the others are.
    Chain(Vec<Certificate>),
    /// Whomever this root certified, the signer's chain standing in the message.
    Root(Bytes),
}

/// What was signed.
#[derive(Debug)]
pub struct SignedStatement<'a> {
    message: Sign1<'a>,
    by: String,
}

/// Why a signer or a signature is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerError(String);

impl fmt::Display for SignerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SignerError {}

fn refused<T>(what: impl Into<String>) -> Result<T, SignerError> {
    Err(SignerError(what.into()))
}

impl<'a> SignedStatement<'a> {
    /// What was signed.
    pub const fn payload(&self) -> &'a [u8] {
        self.message.payload()
    }

    /// The message itself: whatever else its protected header says was signed too.
    pub const fn message(&self) -> &Sign1<'a> {
        &self.message
    }

    /// Who signed it, in words.
    pub fn by(&self) -> &str {
        &self.by
    }
}

impl Signer {
    /// Reads PEM: one `PUBLIC KEY`; or certificates, the signer's first and each issued by the next, or a root alone.
    ///
    /// # Errors
    /// What is wrong, and what was expected.
    pub fn from_pem(text: &[u8]) -> Result<Self, SignerError> {
        const EXPECTED: &str = "expected PEM: one `PUBLIC KEY`, or `CERTIFICATE`s, the signer's first";
        if text.len() > MAX_BYTES {
            return refused(format!("{} bytes: expected at most {MAX_BYTES}", text.len()));
        }
        let Ok(text) = std::str::from_utf8(text) else { return refused(EXPECTED) };
        let (mut keys, mut certificates) = (Vec::new(), Vec::new());
        for block in pem::Blocks::new(text) {
            let block = block.map_err(|error| SignerError(error.to_string()))?;
            let der = block.decode().map_err(|error| SignerError(error.to_string()))?;
            match block.label {
                "PUBLIC KEY" => keys.push(Bytes::from(der)),
                "CERTIFICATE" => certificates.push(Bytes::from(der)),
                label if label.contains("PRIVATE KEY") => {
                    return refused(format!("a private key: nobody but its owner should have it; {EXPECTED}"));
                }
                _ => return refused(EXPECTED),
            }
        }
        match (keys.as_slice(), certificates.as_slice()) {
            ([spki], []) => {
                let key = public_key(spki).map_err(|error| SignerError(format!("the public key: {error}")))?;
                if key == PublicKey::Other {
                    return refused("a key of another kind: expected P-256, P-384, RSA or Ed25519");
                }
                Ok(Self(Named::Key { key, digest: sha256(&[spki]) }))
            }
            ([], [_, ..]) if certificates.len() <= MAX_CERTIFICATES => Self::from_certificates(&certificates),
            _ => refused(EXPECTED),
        }
    }

    fn from_certificates(certificates: &[Bytes]) -> Result<Self, SignerError> {
        let read = certificates.iter().map(Certificate::parse).collect::<Result<Vec<_>, _>>();
        let chain = read.map_err(|error| SignerError(format!("a certificate: {error}")))?;
        let is_authority = |certificate: &Certificate| certificate.powers().is_ok_and(|powers| powers.ca);
        match chain.as_slice() {
            [only] if is_authority(only) => Ok(Self(Named::Root(certificates.concat().into()))),
            _ => Ok(Self(Named::Chain(chain))),
        }
    }

    /// The message that fills `bytes`, if this signer signed it and, where certificates say who that is, they are valid at `now`.
    ///
    /// # Errors
    /// It is no such message, or signed by somebody else, or altered, or a certificate is outside of its time.
    pub fn signed<'a>(&self, bytes: &'a [u8], now: UnixTime) -> Result<SignedStatement<'a>, SignerError> {
        let message = Sign1::parse(bytes).map_err(|error| SignerError(format!("no signed statement: {error}")))?;
        if message.algorithm().is_none() {
            return refused(
                "signed with an algorithm that is not known here: expected ES256, ES384, PS256, PS384 or EdDSA",
            );
        }
        let mut signatures = Signatures::stateless();
        let by = match &self.0 {
            Named::Key { key, digest } => {
                holds(&message, key, &mut signatures)?;
                format!("the key with SHA-256 {}", to_hex(digest))
            }
            Named::Chain(chain) => by_chain(&message, chain, now, &mut signatures)?,
            Named::Root(root) => {
                let root = Certificate::parse(root).map_err(|error| SignerError(error.to_string()))?;
                let mut chain = carried(&message)?;
                if !chain.last().is_some_and(|last| last.is_the_same_as(&root)) {
                    chain.push(root);
                }
                by_chain(&message, &chain, now, &mut signatures)?
            }
        };
        Ok(SignedStatement { message, by })
    }
}

/// The chain in the header, as it stands there.
fn carried(message: &Sign1<'_>) -> Result<Vec<Certificate>, SignerError> {
    let Some(chain) = message.protected().get(Label::X5CHAIN).or_else(|| message.unprotected().get(Label::X5CHAIN))
    else {
        return refused(
            "a root was named, and the message carries no chain of certificates (x5chain): name its signer",
        );
    };
    let chain = chain.chain().map_err(|error| SignerError(error.to_string()))?;
    let read = chain.into_iter().map(|der| Certificate::parse(&Bytes::copy_from_slice(der)));
    let read = read.collect::<Result<Vec<_>, _>>();
    read.map_err(|error| SignerError(format!("a certificate of x5chain: {error}")))
}

/// Who signed, in words: the first of a chain that leads to its last, all of it valid at `now`.
fn by_chain(
    message: &Sign1<'_>,
    chain: &[Certificate],
    now: UnixTime,
    signatures: &mut Signatures<'_>,
) -> Result<String, SignerError> {
    let Some(signer) = chain.first() else { return refused("no certificate") };
    // A certificate that stands alone is believed for itself, as a key is.
    if chain.len() > 1
        && let Some(complaint) = path::complaint(chain, Share::Carried, signatures)
    {
        return refused(complaint);
    }
    if let Some(complaint) = signer.extension_complaint_in_a_path() {
        return refused(format!("{complaint} in {}", path::said(signer)));
    }
    if let Some(outside) = chain.iter().find(|certificate| !certificate.is_valid_at(now)) {
        let (name, from, until) = (path::said(outside), outside.not_before, outside.not_after);
        return refused(format!("{name} is for {from} to {until}, not for {now}"));
    }
    holds(message, &signer.key, signatures)?;
    Ok(format!("{} (key {})", path::said(signer), to_hex(&sha256(&[&signer.spki]))))
}

fn holds(message: &Sign1<'_>, key: &PublicKey, signatures: &mut Signatures<'_>) -> Result<(), SignerError> {
    if cose::is_signed_by(message, key, Share::Carried, signatures) {
        return Ok(());
    }
    let algorithm = message.algorithm().map_or("", |algorithm| algorithm.name());
    refused(format!("not signed by {}, which was named ({algorithm}): another's, or altered", key.kind()))
}
