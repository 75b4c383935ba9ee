//! The bare signatures of a set: the very keys, messages and signatures, found with a reading of its own, and nothing else.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, ParsedPublicKey,
    RSA_PSS_2048_8192_SHA384, VerificationAlgorithm,
};
use teegate_encoding::der::{Der, INTEGER, SEQUENCE, context};
use teegate_encoding::pem;
use teegate_verifier::Tee;

use crate::Outcome;
use crate::set::Set;

/// One signature to verify.
pub struct Signed {
    algorithm: &'static dyn VerificationAlgorithm,
    key: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl Signed {
    fn new(algorithm: &'static dyn VerificationAlgorithm, key: &[u8], message: &[u8], signature: &[u8]) -> Self {
        Self { algorithm, key: key.to_vec(), message: message.to_vec(), signature: signature.to_vec() }
    }

    /// Whether it holds.
    pub fn holds(&self) -> bool {
        ParsedPublicKey::new(self.algorithm, &self.key)
            .is_ok_and(|key| key.verify_sig(&self.message, &self.signature).is_ok())
    }
}

/// The signatures of a set.
pub struct Signatures {
    /// Of certificates, lists and collateral, which are the same for all of its evidence.
    pub endorsements: Vec<Signed>,
    /// Of the quoting enclave's report, for each piece of evidence; none of AMD's.
    pub enclaves: Vec<Signed>,
    /// Of each piece of evidence itself.
    pub evidence: Vec<Signed>,
}

impl Signatures {
    /// Those of `set`, each of which holds.
    ///
    /// # Errors
    /// Something is not where it should be, or does not hold.
    pub fn of(set: &Set) -> Outcome<Self> {
        let mut documents = Vec::new();
        for certificate in &set.certificates {
            push_documents(certificate, &mut documents)?;
        }
        let quotes: Vec<_> = match set.tee {
            Tee::Tdx => set.evidence.iter().map(|quote| Quote::read(quote)).collect::<Outcome<_>>()?,
            _ => Vec::new(),
        };
        if let Some(quote) = quotes.first() {
            push_documents(quote.chain, &mut documents)?;
        }
        documents.sort();
        documents.dedup();
        let certificates: Vec<_> = documents.iter().map(|der| Document::certificate(der)).collect::<Outcome<_>>()?;
        let lists: Vec<_> = set.crls.iter().map(|der| Document::list(der)).collect::<Outcome<_>>()?;

        let mut endorsements = Vec::new();
        for document in certificates.iter().filter(|one| one.subject != one.issuer).chain(&lists) {
            let mut issuers = certificates.iter().filter(|issuer| issuer.subject == document.issuer);
            let signed = issuers.find_map(|issuer| {
                let algorithm = algorithm_of(issuer.key)?;
                let signed = Signed::new(algorithm, issuer.key, document.message, document.signature);
                signed.holds().then_some(signed)
            });
            endorsements.push(signed.ok_or("a certificate or a list that none of the certificates signed")?);
        }
        for (text, signature) in [&set.tcb_info, &set.qe_identity].into_iter().flatten() {
            let mut signed = certificates
                .iter()
                .filter(|signer| signer.key.len() == 65)
                .map(|signer| Signed::new(&ECDSA_P256_SHA256_FIXED, signer.key, text.as_bytes(), signature));
            endorsements.push(signed.find(Signed::holds).ok_or("collateral that none of the certificates signed")?);
        }

        let (mut enclaves, mut evidence) = (Vec::new(), Vec::new());
        for quote in &quotes {
            let mut signed = certificates
                .iter()
                .filter(|pck| pck.key.len() == 65)
                .map(|pck| Signed::new(&ECDSA_P256_SHA256_FIXED, pck.key, quote.qe_report, quote.qe_signature));
            enclaves.push(signed.find(Signed::holds).ok_or("a QE report that none of the certificates signed")?);
            let key = [&[4], quote.attestation_key].concat();
            evidence.push(Signed::new(&ECDSA_P256_SHA256_FIXED, &key, quote.signed, quote.signature));
        }
        if set.tee == Tee::SevSnp {
            for report in &set.evidence {
                let (message, signature) = report.split_at_checked(0x2A0).ok_or("a report that is too short")?;
                let signature = big_endian(signature).ok_or("a report without a signature")?;
                let mut signed = certificates
                    .iter()
                    .filter(|vek| vek.key.len() == 97)
                    .map(|vek| Signed::new(&ECDSA_P384_SHA384_FIXED, vek.key, message, &signature));
                evidence.push(signed.find(Signed::holds).ok_or("a report that none of the certificates signed")?);
            }
        }
        if !evidence.iter().all(Signed::holds) {
            return Err("evidence whose signature does not hold".into());
        }
        Ok(Self { endorsements, enclaves, evidence })
    }
}

/// The certificates of a PEM chain, or the one that it is.
fn push_documents(certificate: &[u8], documents: &mut Vec<Vec<u8>>) -> Outcome<()> {
    if certificate.starts_with(b"-----BEGIN") {
        documents.extend(pem::certificates(certificate).ok_or("a chain that is no PEM")?);
    } else {
        documents.push(certificate.to_vec());
    }
    Ok(())
}

fn algorithm_of(key: &[u8]) -> Option<&'static dyn VerificationAlgorithm> {
    match key.len() {
        65 => Some(&ECDSA_P256_SHA256_ASN1),
        97 => Some(&ECDSA_P384_SHA384_ASN1),
        length => (length > 256).then_some(&RSA_PSS_2048_8192_SHA384 as &dyn VerificationAlgorithm),
    }
}

/// What a certificate or a list is signed by, and over which bytes.
struct Document<'a> {
    message: &'a [u8],
    signature: &'a [u8],
    issuer: &'a [u8],
    subject: &'a [u8],
    key: &'a [u8],
}

impl<'a> Document<'a> {
    fn certificate(der: &'a [u8]) -> Outcome<Self> {
        let (mut fields, message, signature) = Self::open(der)?;
        fields.element(context(0))?;
        fields.element(INTEGER)?;
        fields.element(SEQUENCE)?;
        let issuer = fields.element(SEQUENCE)?.whole;
        fields.element(SEQUENCE)?;
        let subject = fields.element(SEQUENCE)?.whole;
        let mut info = fields.nested(SEQUENCE)?;
        info.element(SEQUENCE)?;
        Ok(Self { message, signature, issuer, subject, key: info.bit_string()? })
    }

    fn list(der: &'a [u8]) -> Outcome<Self> {
        let (mut fields, message, signature) = Self::open(der)?;
        fields.element(INTEGER)?;
        fields.element(SEQUENCE)?;
        Ok(Self { message, signature, issuer: fields.element(SEQUENCE)?.whole, subject: &[], key: &[] })
    }

    fn open(der: &'a [u8]) -> Outcome<(Der<'a>, &'a [u8], &'a [u8])> {
        let mut outer = Der::new(der).nested(SEQUENCE)?;
        let signed = outer.element(SEQUENCE)?;
        outer.element(SEQUENCE)?;
        Ok((Der::new(signed.content), signed.whole, outer.bit_string()?))
    }
}

/// What of a quote is signed, and by what: version 4, with a chain in it.
struct Quote<'a> {
    signed: &'a [u8],
    signature: &'a [u8],
    attestation_key: &'a [u8],
    qe_report: &'a [u8],
    qe_signature: &'a [u8],
    chain: &'a [u8],
}

impl<'a> Quote<'a> {
    fn read(quote: &'a [u8]) -> Outcome<Self> {
        let part = |from: usize, length: usize| quote.get(from..from + length).ok_or("a quote that is too short");
        let auth_length = part(1218, 2)?;
        let auth_length = usize::from(u16::from_le_bytes(auth_length.try_into()?));
        let chain_length = u32::from_le_bytes(part(1222 + auth_length, 4)?.try_into()?);
        Ok(Self {
            signed: part(0, 632)?,
            signature: part(636, 64)?,
            attestation_key: part(700, 64)?,
            qe_report: part(770, 384)?,
            qe_signature: part(1154, 64)?,
            chain: part(1226 + auth_length, usize::try_from(chain_length)?)?,
        })
    }
}

/// r and s of a report, 72 bytes each and little-endian, as a library wants them.
fn big_endian(signature: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = (signature.get(..48)?, signature.get(72..120)?);
    Some(r.iter().rev().chain(s.iter().rev()).copied().collect())
}
