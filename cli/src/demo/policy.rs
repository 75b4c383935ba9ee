//! The policy of the demo: strict about everything that the forged guest says of itself, under a root that is pinned for one
//! run. No shipped policy trusts that root.

use std::path::Path;

use serde_json::Value;
use teegate_measurements::{ReferenceValues, Rewritten};
use teegate_verifier::Tee;

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

    /// Its root, PEM.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// What `teegate policy fill strict --reference-values … --root amd=…` makes of this guest.
    pub(super) fn strict_policy(&self) -> Result<String, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("the demo's own policy: {error}");
        let values = self.reference_values("demo");
        let values = ReferenceValues::parse(&values).map_err(|error| wrong(&error))?;
        let filled =
            teegate_measurements::fill(teegate_measurements::STRICT, &values).map_err(|error| wrong(&error))?;
        let roots = [("amd".to_owned(), self.root.clone())];
        teegate_measurements::pinned(filled.text(), &roots).map_err(|error| wrong(&error))
    }

    /// What it measures, as whoever publishes code would say it.
    pub(super) fn reference_values(&self, name: &str) -> String {
        format!(
            "# Reference values of FORGED hardware, for one run of `teegate demo --serve`. Whoever publishes real ones says how to\n\
             # compute them again from the source; these are what a forged guest was told to show.\n\
             schema = 1\nname = \"{name}, forged hardware\"\n\n[sev-snp]\n\
             source = \"the forged guest's own word\"\nmeasurement = {:?}\nhost_data = {:?}\n",
            self.measurement, self.host_data
        )
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
    pub(super) fn policy(&self, debug: Debug) -> Result<String, String> {
        let quoted = |text: &str| format!("{text:?}");
        // A policy that lets debug in may claim nothing about the workload: its loader would refuse that.
        let (debug, bound_to, host_data) = match debug {
            Debug::Rejected => ("\"rejected\"", "\"workload\"", quoted(&self.host_data)),
            Debug::Allowed => ("\"allowed\"", "\"unchecked\"", "\"unchecked\"".to_owned()),
        };
        // What does not differ between two runs is left to the measurement, which covers it on real hardware too.
        let rules = [
            ("bound_to", bound_to),
            ("products", &format!("[{:?}]", self.product)),
            ("signing_keys", "[\"vcek\"]"),
            ("revocation", "\"required\""),
            ("committed_firmware", "\"required\""),
            ("platform_info", "{ required = [\"alias-check-complete\"], forbidden = [], unknown = \"rejected\" }"),
            ("debug", debug),
            ("measurement", &quoted(&self.measurement)),
            ("host_data", &host_data),
            ("vmpl", "0"),
            ("report_data", "\"caller\""),
        ];
        let genuine = Rewritten::of(teegate_measurements::GENUINE)
            .map(|policy| policy.named("demo, forged hardware").only(Tee::SevSnp).under_root("amd", &self.root));
        let policy = rules.iter().try_fold(
            genuine.map_err(|error| format!("the shipped policy `genuine`: {error}"))?,
            |policy, (field, rule)| policy.rule(Tee::SevSnp, field, rule),
        );
        policy.map(|policy| policy.text()).map_err(|error| format!("the demo's own policy: {error}"))
    }
}
