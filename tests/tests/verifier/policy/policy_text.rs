//! A policy as text, complete for both TEEs and strict about everything that the forged devices show; a test replaces
//! single fields of it.

use std::sync::LazyLock;

use teegate_forge as forge;
use teegate_forge::snp::Product;
use teegate_verifier::{Policy, Tee};

/// Fields in the order in which they are written, with their values in TOML.
#[derive(Clone)]
pub(crate) struct PolicyText {
    pub(crate) amd: Option<Vec<String>>,
    pub(crate) intel: Option<Vec<String>>,
    pub(crate) snp: Vec<(&'static str, String)>,
    pub(crate) tdx: Vec<(&'static str, String)>,
}

/// What the host chooses, and what is claimed on its strength.
pub(crate) const BOUND_SNP: [&str; 2] = ["host_data", "bound_to"];
/// The same for TDX, with what the guest extends.
pub(crate) const BOUND_TDX: [&str; 5] = ["mrconfigid", "mrowner", "mrownerconfig", "rtmr3", "bound_to"];

/// One ARK per product: the names differ, the forged key is the same.
pub(crate) static FORGED_ARKS: LazyLock<Vec<String>> = LazyLock::new(|| {
    [Product::Milan, Product::Genoa, Product::Turin].map(|product| forge::snp().product(product).ark_pem()).to_vec()
});

impl PolicyText {
    /// Pins these roots, and every value of the forged devices.
    pub(crate) fn pinning(amd: Option<Vec<String>>, intel: Option<Vec<String>>) -> Self {
        let hex = |byte: u8, length: usize| format!("\"{}\"", hex::encode(vec![byte; length]));
        let plain = |text: &str| text.to_owned();
        Self {
            amd,
            intel,
            snp: vec![
                ("wrapping", plain(r#""none""#)),
                ("bound_to", plain(r#""guest""#)),
                ("products", plain(r#"["milan", "genoa", "turin"]"#)),
                ("denied_products", plain("{}")),
                ("signing_keys", plain(r#"["vcek", "vlek"]"#)),
                ("csp_ids", plain(r#"["forged-cloud"]"#)),
                ("masked_chip_id", plain(r#""rejected""#)),
                ("chip_ids", plain(r#""unchecked""#)),
                ("revocation", plain(r#""required""#)),
                ("max_collateral_age", plain(r#""unchecked""#)),
                (
                    "minimum_tcb",
                    plain(
                        "{ milan = { bootloader = 4, tee = 0, snp = 24, microcode = 220 }, \
                         genoa = { bootloader = 10, tee = 0, snp = 27, microcode = 27 }, \
                         turin = { fmc = 1, bootloader = 1, tee = 1, snp = 4, microcode = 81 } }",
                    ),
                ),
                ("bulletins", plain(r#""unchecked""#)),
                ("committed_firmware", plain(r#""required""#)),
                ("minimum_firmware", plain(r#""1.55.29""#)),
                ("mitigations", plain(r#""unchecked""#)),
                (
                    "platform_info",
                    plain(r#"{ required = ["alias-check-complete"], forbidden = [], unknown = "rejected" }"#),
                ),
                ("debug", plain(r#""rejected""#)),
                ("migration_agent", plain(r#""rejected""#)),
                ("policy_flags", plain(r#"{ required = [], forbidden = ["cxl"], unknown = "rejected" }"#)),
                ("minimum_abi", plain(r#""unchecked""#)),
                ("measurement", hex(0x4D, 48)),
                ("host_data", hex(0, 32)),
                ("guest_svn", plain("0")),
                ("family_id", hex(0, 16)),
                ("image_id", hex(0, 16)),
                ("report_id_ma", hex(0xFF, 32)),
                ("vmpl", plain("[0]")),
                ("id_key", hex(0, 48)),
                ("author_key", hex(0, 48)),
                ("report_data", hex(0, 64)),
            ],
            tdx: vec![
                ("wrapping", plain(r#""none""#)),
                ("bound_to", plain(r#""guest""#)),
                ("trailing_bytes", plain(r#""zero""#)),
                ("ppids", plain(r#""unchecked""#)),
                ("minimum_evaluation_number", plain("17")),
                ("deciding_evaluation", plain(r#""highest""#)),
                ("one_evaluation", plain(r#""required""#)),
                ("max_collateral_age", plain(r#""unchecked""#)),
                ("max_root_crl_age", plain(r#""unchecked""#)),
                ("tcb_status", plain(r#"["UpToDate"]"#)),
                ("out_of_date_grace", plain(r#""none""#)),
                ("tcb_exceptions", plain("{}")),
                ("allowed_advisories", plain(r#""unchecked""#)),
                ("denied_advisories", plain(r#""unchecked""#)),
                ("minimum_tcb_date", plain(r#""unchecked""#)),
                ("debug", plain(r#""rejected""#)),
                ("profiling", plain(r#""rejected""#)),
                (
                    "attributes",
                    plain(
                        r#"{ required = ["sept-ve-disable"], forbidden = ["migratable", "perfmon", "tpa"], unknown = "rejected" }"#,
                    ),
                ),
                ("xfam", plain(r#"{ required = "0x3", allowed = "0x6dbe7" }"#)),
                ("service_td", plain(r#""none""#)),
                ("mrtd", hex(0x7D, 48)),
                ("rtmr0", hex(0xA0, 48)),
                ("rtmr1", hex(0xA1, 48)),
                ("rtmr2", hex(0xA2, 48)),
                ("rtmr3", hex(0xA3, 48)),
                ("mrseam", hex(0x5E, 48)),
                ("mrconfigid", hex(0, 48)),
                ("mrowner", hex(0, 48)),
                ("mrownerconfig", hex(0, 48)),
                ("event_log", plain(r#""unchecked""#)),
                ("report_data", hex(0, 64)),
            ],
        }
    }

    /// Replaces the value of one field of a TEE's profile.
    pub(crate) fn set(&mut self, tee: Tee, field: &str, value: &str) {
        let fields = if tee == Tee::SevSnp { &mut self.snp } else { &mut self.tdx };
        // No rules, and in few policies: what its author bears for a reason, and what was rebuilt.
        for said in ["unjudged_acpi_tables", "rebuilt_acpi_tables"] {
            if field == said && fields.iter().all(|(name, _)| *name != field) {
                fields.push((said, String::new()));
            }
        }
        let (_, own) = fields.iter_mut().find(|(name, _)| *name == field).unwrap_or_else(|| panic!("no field {field}"));
        value.clone_into(own);
    }

    /// Claims nothing of what the host chooses or the guest extends: a policy that allows debug may not.
    pub(crate) fn claim_nothing(&mut self) {
        self.claim_nothing_of(Tee::SevSnp);
        self.claim_nothing_of(Tee::Tdx);
    }

    /// The same of one TEE.
    pub(crate) fn claim_nothing_of(&mut self, tee: Tee) {
        let fields = if tee == Tee::SevSnp { &BOUND_SNP[..] } else { &BOUND_TDX };
        fields.iter().for_each(|field| self.set(tee, field, "\"unchecked\""));
    }

    /// As a file would hold it.
    pub(crate) fn to_toml(&self) -> String {
        let mut text = "schema = 1\nname = \"forged\"\n".to_owned();
        if self.amd.is_some() || self.intel.is_some() {
            text += "\n[trust_anchors]\n";
            for (vendor, roots) in [("amd", &self.amd), ("intel", &self.intel)] {
                if let Some(roots) = roots {
                    let roots: Vec<_> = roots.iter().map(|pem| format!("\"\"\"\n{pem}\"\"\"")).collect();
                    text += &format!("{vendor} = [{}]\n", roots.join(", "));
                }
            }
        }
        for (table, fields) in [("sev-snp", &self.snp), ("tdx", &self.tdx)] {
            if !fields.is_empty() {
                text += &format!("\n[{table}.forged]\n");
                fields.iter().for_each(|(field, value)| text += &format!("{field} = {value}\n"));
            }
        }
        text
    }

    /// Loaded.
    pub(crate) fn load(&self) -> Policy {
        let text = self.to_toml();
        Policy::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }
}
