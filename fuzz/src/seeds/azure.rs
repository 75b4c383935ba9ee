//! Forged Azure confidential VMs.

use teegate_forge as forge;
use teegate_forge::azure::AzureSet;

use crate::forged::{SNP_DEVICE, Seeds, TDX_DEVICE};

pub(super) fn of(target: &str) -> Seeds {
    let snp = || forge::azure::AzureBuilder::on_snp(SNP_DEVICE.clone());
    let tdx = || forge::azure::AzureBuilder::on_tdx(TDX_DEVICE.clone());
    let parts = |tee: u8, AzureSet { hcl_report, quote, .. }: AzureSet| {
        let length = u16::try_from(quote.message.len()).expect("a short quote").to_le_bytes();
        [&[tee], &length[..], &quote.message, &hcl_report].concat()
    };
    let older = || snp().edit_hcl(|hcl| hcl.header_version = 1).edit_claims(|claims| claims.user_data.clear());
    match target {
        "azure_vtpm" => vec![
            ("sev-snp", parts(b's', snp().build())),
            ("tdx", parts(b't', tdx().build())),
            ("header-1-without-user-data", parts(b's', older().build())),
        ],
        "hcl_report" => vec![
            ("sev-snp", snp().build().hcl_report),
            ("tdx", tdx().build().hcl_report),
            ("header-1-without-user-data", older().build().hcl_report),
        ],
        "azure_vtpm_json" => vec![
            ("sev-snp-0", snp().build().coco_evidence(0).into_bytes()),
            ("sev-snp-2", snp().build().coco_evidence(2).into_bytes()),
            ("tdx-0", tdx().build().coco_evidence(0).into_bytes()),
            ("tdx-1", tdx().build().coco_evidence(1).into_bytes()),
        ],
        _ => Vec::new(),
    }
}
