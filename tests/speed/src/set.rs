//! One thing to measure, as bytes: in memory, or as a folder of plain files that another process reads.

use std::path::Path;

use teegate_encoding::pem;
use teegate_verifier::{Endorsements, Evidence, Policy, Tee, UnixTime};

use crate::Outcome;

/// Evidence of one platform, with everything that it is judged by.
pub struct Set {
    /// Whose it is.
    pub tee: Tee,
    /// Reports or quotes, which share all that follows.
    pub evidence: Vec<Vec<u8>>,
    /// Certificates as their vendor serves them: PEM chains, and DER.
    pub certificates: Vec<Vec<u8>>,
    /// Revocation lists, DER.
    pub crls: Vec<Vec<u8>>,
    /// TCB info: the signed text, and r and s.
    pub tcb_info: Option<(String, [u8; 64])>,
    /// QE identity, likewise.
    pub qe_identity: Option<(String, [u8; 64])>,
    /// The policy, in TOML.
    pub policy: String,
    /// When it is judged.
    pub now: UnixTime,
}

impl Set {
    /// Its endorsements as a pool that nothing is known of yet: whoever begins cold begins here.
    ///
    /// # Errors
    /// A chain is no PEM.
    pub fn pool(&self) -> Outcome<Endorsements> {
        let mut pool = Endorsements::new();
        for certificate in &self.certificates {
            match certificate.starts_with(b"-----BEGIN") {
                false => pool.add_certificate(certificate.clone()),
                true => {
                    let chain = pem::certificates(certificate).ok_or("a chain that is no PEM")?;
                    chain.into_iter().for_each(|der| pool.add_certificate(der));
                }
            }
        }
        self.crls.iter().for_each(|crl| pool.add_crl(crl.clone()));
        if let Some((text, signature)) = &self.tcb_info {
            pool.add_tcb_info(text.clone(), *signature);
        }
        if let Some((text, signature)) = &self.qe_identity {
            pool.add_qe_identity(text.clone(), *signature);
        }
        Ok(pool)
    }

    /// One of its pieces of evidence, with a pool.
    ///
    /// # Panics
    /// Where it has none.
    pub fn evidence<'a>(&'a self, number: usize, pool: &'a Endorsements) -> Evidence<'a> {
        let bytes = &self.evidence[number % self.evidence.len()];
        Evidence::of(self.tee, bytes, pool)
    }

    /// The policy, read.
    ///
    /// # Errors
    /// It is none.
    pub fn policy(&self) -> Outcome<Policy> {
        Ok(Policy::parse(&self.policy)?)
    }

    /// Writes it into an empty folder.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn write(&self, folder: &Path) -> Outcome<()> {
        let numbered = [("evidence", &self.evidence), ("certificate", &self.certificates), ("crl", &self.crls)];
        for (name, files) in numbered {
            for (number, bytes) in files.iter().enumerate() {
                std::fs::write(folder.join(format!("{name}-{number}")), bytes)?;
            }
        }
        for (name, signed) in [("tcb-info", &self.tcb_info), ("qe-identity", &self.qe_identity)] {
            if let Some((text, signature)) = signed {
                std::fs::write(folder.join(name), text)?;
                std::fs::write(folder.join(format!("{name}.signature")), signature)?;
            }
        }
        std::fs::write(folder.join("tee"), self.tee.name())?;
        std::fs::write(folder.join("policy.toml"), &self.policy)?;
        std::fs::write(folder.join("now"), self.now.to_string())?;
        Ok(())
    }

    /// Reads what [`Set::write`] wrote.
    ///
    /// # Errors
    /// A file is missing or is not what it should be.
    pub fn read(folder: &Path) -> Outcome<Self> {
        let text = |name: &str| std::fs::read_to_string(folder.join(name));
        let numbered = |name: &str| {
            let files = (0..).map_while(|number| std::fs::read(folder.join(format!("{name}-{number}"))).ok());
            files.collect::<Vec<_>>()
        };
        let signed = |name: &str| -> Outcome<Option<(String, [u8; 64])>> {
            let Ok(body) = text(name) else { return Ok(None) };
            let signature = std::fs::read(folder.join(format!("{name}.signature")))?;
            Ok(Some((body, signature.as_slice().try_into()?)))
        };
        let tee = match text("tee")?.as_str() {
            "sev-snp" => Tee::SevSnp,
            "tdx" => Tee::Tdx,
            other => return Err(format!("unknown TEE {other}").into()),
        };
        let set = Self {
            tee,
            evidence: numbered("evidence"),
            certificates: numbered("certificate"),
            crls: numbered("crl"),
            tcb_info: signed("tcb-info")?,
            qe_identity: signed("qe-identity")?,
            policy: text("policy.toml")?,
            now: UnixTime::parse(&text("now")?)?,
        };
        if set.evidence.is_empty() { Err("a folder without evidence".into()) } else { Ok(set) }
    }
}
