//! The evidence of a VM as agents of Confidential Containers send it, in each version of its JSON.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::builder::{AzureSet, PlatformSet};
use crate::pem;

impl AzureSet {
    /// As `az-snp-vtpm` or `az-tdx-vtpm` evidence of this version: 0, 1 or 2.
    pub fn coco_evidence(&self, version: u8) -> String {
        let url = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let arrays = || {
            let pcrs = &self.quote.pcrs;
            json!({ "signature": self.quote.signature, "message": self.quote.message, "pcrs": pcrs })
        };
        let texts = || {
            let pcrs: Vec<_> = self.quote.pcrs.iter().map(hex::encode).collect();
            json!({
                "signature": hex::encode(&self.quote.signature),
                "message": hex::encode(&self.quote.message),
                "pcrs": pcrs,
            })
        };
        let evidence: Value = match (&self.platform, version) {
            (PlatformSet::Snp(set), 0) => {
                json!({ "quote": arrays(), "report": self.hcl_report, "vcek": pem::certificate(&set.vek) })
            }
            (PlatformSet::Snp(set), _) => {
                json!({ "version": version, "tpm_quote": texts(), "hcl_report": url(&self.hcl_report), "vcek": url(&set.vek) })
            }
            (PlatformSet::Tdx(set), 0) => {
                json!({ "tpm_quote": arrays(), "hcl_report": self.hcl_report, "td_quote": set.quote })
            }
            (PlatformSet::Tdx(set), _) => {
                json!({ "version": version, "tpm_quote": texts(), "hcl_report": url(&self.hcl_report), "td_quote": url(&set.quote) })
            }
        };
        evidence.to_string()
    }
}
