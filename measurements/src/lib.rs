//! The policies that teegate ships, as text and as files in `measurements/policy`; and reference values out of the files
//! that people have.

mod corim;
mod values;

use teegate_verifier::Shipped;
pub use values::reference_values;

/// `genuine`: the hardware is genuine and the guest is not a debug guest. Not a reason to send anything.
pub const GENUINE: &str = include_str!("../policy/genuine.toml");

/// `strict`: everything on. A template: it is refused until reference values stand in it.
pub const STRICT: &str = include_str!("../policy/strict.toml");

/// What recorded platforms showed whose evidence was accepted, one table a record. No bytes of the records themselves.
pub const SEEN: &str = include_str!("../seen.toml");

/// What a policy is held against.
pub const SHIPPED: Shipped<'static> = Shipped { strict: STRICT, seen: SEEN };

#[cfg(test)]
mod tests {
    use super::*;
    use teegate_verifier::Policy;

    #[test]
    fn genuine_loads_and_trusts_only_the_vendors() {
        let policy = Policy::parse(GENUINE).unwrap();
        assert_eq!(policy.name(), "genuine");
        assert!(policy.trusts_only_vendors());
    }

    #[test]
    fn strict_names_the_reference_value_that_it_needs() {
        let error = Policy::parse(STRICT).unwrap_err().to_string();
        assert!(error.contains("reference value"), "{error}");
        assert!(error.contains("line ") && error.contains("= \"reference-value-needed\""), "{error}");
    }

    #[test]
    fn strict_loads_once_every_reference_value_is_there() {
        let filled =
            STRICT.replace("host_data = \"reference-value-needed\"", &format!("host_data = \"{}\"", "11".repeat(32)));
        let filled = filled.replace("reference-value-needed", &"22".repeat(48));
        assert_eq!(Policy::parse(&filled).unwrap().name(), "strict");
    }
}
