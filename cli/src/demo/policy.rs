//! The policy of the demo: strict about everything that the forged guest says of itself, under a root that is pinned for one
//! run. No shipped policy trusts that root.

use std::path::Path;

use serde_json::Value;

/// What a forged guest says of itself in the folder that it wrote, and the root that signed it.
pub(super) struct ForgedGuest {
    root: String,
    product: String,
    measurement: String,
    host_data: String,
}

/// Whether a policy lets a debug guest in. Only the careless gateway of the demo does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Debug {
    Rejected,
    Allowed,
}

impl ForgedGuest {
    /// Reads what the forged guest wrote into `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self, String> {
        let text = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))
        };
        let values: Value = serde_json::from_str(&text("values.json")?)
            .map_err(|e| format!("the forged guest's values.json is not JSON: {e}"))?;
        let value = |name: &str| {
            let value = values.get(name).and_then(Value::as_str).map(str::to_owned);
            value.ok_or_else(|| format!("the forged guest's values.json has no text `{name}`"))
        };
        Ok(Self {
            root: text("roots/amd.pem")?,
            product: value("product")?,
            measurement: value("measurement")?,
            host_data: value("host_data")?,
        })
    }

    /// What it measured.
    pub(super) fn measurement(&self) -> &str {
        &self.measurement
    }

    /// The same guest, as a policy expects it that was written for other code: one digit of the measurement differs.
    pub(super) fn with_other_measurement(&self) -> Self {
        let flipped = if self.measurement.starts_with('0') { '1' } else { '0' };
        let rest: String = self.measurement.chars().skip(1).collect();
        Self {
            root: self.root.clone(),
            product: self.product.clone(),
            measurement: format!("{flipped}{rest}"),
            host_data: self.host_data.clone(),
        }
    }

    /// A policy that accepts this guest and nothing else.
    pub(super) fn policy(&self, debug: Debug) -> String {
        let Self { root, product, measurement, host_data } = self;
        // A policy that lets debug in may claim nothing about the workload: its loader would refuse that.
        let (debug, bound_to, host_data) = match debug {
            Debug::Rejected => ("rejected", "workload", host_data.as_str()),
            Debug::Allowed => ("allowed", "unchecked", "unchecked"),
        };
        // What does not differ between two runs is left to the measurement, which covers it on real hardware too.
        format!(
            r#"schema = 1
name = "demo, forged hardware"

[trust_anchors]
amd = ['''
{root}''']

[sev-snp.forged-guest]
wrapping = "none"
bound_to = "{bound_to}"
products = ["{product}"]
denied_products = {{}}
signing_keys = ["vcek"]
csp_ids = "unchecked"
masked_chip_id = "rejected"
chip_ids = "unchecked"
revocation = "required"
max_collateral_age = "unchecked"
minimum_tcb = "unchecked"
bulletins = "unchecked"
committed_firmware = "required"
minimum_firmware = "unchecked"
mitigations = "unchecked"
platform_info = {{ required = ["alias-check-complete"], forbidden = [], unknown = "rejected" }}
debug = "{debug}"
migration_agent = "rejected"
policy_flags = "unchecked"
minimum_abi = "unchecked"
measurement = "{measurement}"
host_data = "{host_data}"
guest_svn = "unchecked"
family_id = "unchecked"
image_id = "unchecked"
report_id_ma = "unchecked"
vmpl = 0
id_key = "unchecked"
author_key = "unchecked"
report_data = "caller"
"#
        )
    }
}
