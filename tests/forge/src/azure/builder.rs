//! Builds one VM. What a real one would keep in step stays in step (other claims change the report data of the platform); to break such a pair, edit
//! one side of it.

use aws_lc_rs::digest::{SHA256, digest};

use super::claims::Claims;
use super::hcl::{Hcl, td_report};
use super::quote::{Attest, Quote, default_pcrs};
use crate::edits::Edits;
use crate::keys::{Key, RsaRole};
use crate::snp::{SnpBuilder, SnpSet};
use crate::tdx::{TdxBuilder, TdxSet};

/// Builds the evidence of one VM. A clone is the same VM with the same keys.
#[derive(Clone)]
pub struct AzureBuilder {
    platform: Platform,
    asked: Vec<u8>,
    user_data: Option<[u8; 64]>,
    ak: Key,
    signer: Option<Key>,
    platform_report_data: Option<[u8; 64]>,
    pcrs: Vec<Vec<u8>>,
    claims: Edits<Claims>,
    claims_text: Edits<String>,
    hcl: Edits<Hcl>,
    td_report: Edits<([u8; 64], [u8; 48])>,
    attest: Edits<Attest>,
    quote: Edits<Quote>,
}

#[derive(Clone)]
enum Platform {
    Snp(SnpBuilder),
    Tdx(TdxBuilder),
}

/// The platform's part of the evidence, and what vouches for it.
#[derive(Clone)]
pub enum PlatformSet {
    /// On SEV-SNP: the report also stands in the paravisor's.
    Snp(SnpSet),
    /// On TDX.
    Tdx(TdxSet),
}

/// The evidence of a VM.
#[derive(Clone)]
pub struct AzureSet {
    /// The paravisor's report.
    pub hcl_report: Vec<u8>,
    /// The quote of the vTPM.
    pub quote: Quote,
    /// What the platform signed, and who vouches for it.
    pub platform: PlatformSet,
}

impl AzureBuilder {
    /// On this SEV-SNP platform.
    pub fn on_snp(platform: SnpBuilder) -> Self {
        Self::new(Platform::Snp(platform.vmpl(0)))
    }

    /// On this TDX platform.
    pub fn on_tdx(platform: TdxBuilder) -> Self {
        Self::new(Platform::Tdx(platform))
    }

    fn new(platform: Platform) -> Self {
        Self {
            platform,
            asked: vec![0xA5; 64],
            user_data: None,
            ak: Key::rsa(RsaRole::Ak),
            signer: None,
            platform_report_data: None,
            pcrs: default_pcrs(),
            claims: Edits::default(),
            claims_text: Edits::default(),
            hcl: Edits::default(),
            td_report: Edits::default(),
            attest: Edits::default(),
            quote: Edits::default(),
        }
    }

    /// Any change to the SEV-SNP platform; nothing on TDX.
    pub fn snp(mut self, edit: impl FnOnce(SnpBuilder) -> SnpBuilder) -> Self {
        if let Platform::Snp(platform) = self.platform {
            self.platform = Platform::Snp(edit(platform));
        }
        self
    }

    /// Any change to the TDX platform; nothing on SEV-SNP.
    pub fn tdx(mut self, edit: impl FnOnce(TdxBuilder) -> TdxBuilder) -> Self {
        if let Platform::Tdx(platform) = self.platform {
            self.platform = Platform::Tdx(edit(platform));
        }
        self
    }

    /// What the guest asks to have attested, as qualifying data and as user data (with zeros behind it).
    pub fn asked(mut self, bytes: &[u8]) -> Self {
        self.asked = bytes.to_vec();
        self
    }

    /// The user data alone.
    pub fn user_data(mut self, bytes: [u8; 64]) -> Self {
        self.user_data = Some(bytes);
        self
    }

    /// The vTPM's key, in the claims and for the quote.
    pub fn ak(mut self, key: Key) -> Self {
        self.ak = key;
        self
    }

    /// The key that signs the quote alone.
    pub fn quote_signed_by(mut self, key: Key) -> Self {
        self.signer = Some(key);
        self
    }

    /// The 64 bytes in the platform's report, whatever the claims are.
    pub fn platform_report_data(mut self, bytes: [u8; 64]) -> Self {
        self.platform_report_data = Some(bytes);
        self
    }

    /// One register, in the vTPM: digest and list follow.
    pub fn pcr(mut self, number: usize, value: Vec<u8>) -> Self {
        self.pcrs[number] = value;
        self
    }

    /// Any change to the claims before they are hashed.
    pub fn edit_claims(mut self, edit: impl Fn(&mut Claims) + Send + Sync + 'static) -> Self {
        self.claims.push(edit);
        self
    }

    /// Any change to the text of the claims before it is hashed.
    pub fn edit_claims_text(mut self, edit: impl Fn(&mut String) + Send + Sync + 'static) -> Self {
        self.claims_text.push(edit);
        self
    }

    /// Any change to the paravisor's report, after the hardware has signed.
    pub fn edit_hcl(mut self, edit: impl Fn(&mut Hcl) + Send + Sync + 'static) -> Self {
        self.hcl.push(edit);
        self
    }

    /// REPORTDATA and MRTD of the TDREPORT in the paravisor's report.
    pub fn edit_td_report(mut self, edit: impl Fn(&mut ([u8; 64], [u8; 48])) + Send + Sync + 'static) -> Self {
        self.td_report.push(edit);
        self
    }

    /// Any change to what the vTPM signs, before it does.
    pub fn edit_attest(mut self, edit: impl Fn(&mut Attest) + Send + Sync + 'static) -> Self {
        self.attest.push(edit);
        self
    }

    /// Any change to the finished quote: message, signature, list of values.
    pub fn edit_quote(mut self, edit: impl Fn(&mut Quote) + Send + Sync + 'static) -> Self {
        self.quote.push(edit);
        self
    }

    /// Builds it.
    pub fn build(&self) -> AzureSet {
        let user_data = self.user_data.unwrap_or_else(|| {
            let mut bytes = [0; 64];
            bytes[..self.asked.len().min(64)].copy_from_slice(&self.asked[..self.asked.len().min(64)]);
            bytes
        });
        let claims = self.claims.apply(Claims::new(&self.ak, &Key::rsa(RsaRole::OtherAk), &user_data));
        let text = self.claims_text.apply(claims.to_json());
        let report_data = self.platform_report_data.unwrap_or_else(|| {
            let mut bytes = [0; 64];
            bytes[..32].copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
            bytes
        });
        let (kind, hardware, platform) = match &self.platform {
            Platform::Snp(device) => {
                let set = device.clone().report_data(report_data).build();
                (2, set.report.clone(), PlatformSet::Snp(set))
            }
            Platform::Tdx(device) => {
                let device = device.clone().report_data(report_data);
                let (report_data, mrtd) = self.td_report.apply((report_data, device.td_report_fields().mrtd));
                (4, td_report(&report_data, &mrtd), PlatformSet::Tdx(device.build()))
            }
        };
        let hcl_report = self.hcl.apply(Hcl::new(kind, hardware, text.into_bytes())).to_bytes();
        let message = self.attest.apply(Attest::new(&self.asked, &self.pcrs)).to_bytes();
        let signature = self.signer.as_ref().unwrap_or(&self.ak).sign_pkcs1_sha256(&message);
        let quote = self.quote.apply(Quote { message, signature, pcrs: self.pcrs.clone() });
        AzureSet { hcl_report, quote, platform }
    }
}
