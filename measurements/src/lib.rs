//! What should be expected: the policies that teegate ships, as text and as files in `measurements/policy`; reference values out of
//! the files that people have; and the tools of whoever writes a policy: explain, lint, diff, fill, pin a root, schema.

mod corim;
mod covers;
pub mod deploy;
mod diff;
mod explain;
mod init;
mod lint;
mod pinned;
pub mod predict;
mod reference;
mod rewritten;
mod schema;
mod seen;
mod shipped;
mod values;
mod witness;
mod words;

pub use diff::{Difference, Direction, differences};
pub use explain::{Sentence, explain};
pub use init::{init, init_bearing};
pub use lint::{
    Acknowledged, Acknowledgements, AcknowledgementsError, Remark, RemarkKind, Review, Reviewed, Stale, StaleKind, lint,
};
pub use pinned::pinned;
pub use reference::{Filled, ReferenceValue, ReferenceValues, ReferenceValuesError, Stated, fill, only};
pub use rewritten::Rewritten;
pub use schema::schema;
pub use shipped::{ACI, AZURE_CVM_NODE, AZURE_PEER_POD, GENUINE, POLICIES, SEEN, SHIPPED, STRICT, Shipped};
pub use values::{reference_values, signed_reference_values};
pub use witness::{Example, Side};

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
        let open = STRICT.matches("= \"reference-value-needed\"").count();
        assert!(open > 0 && error.matches("(line ").count() == open, "{error}");
    }

    #[test]
    fn strict_loads_once_every_reference_value_is_there() {
        let filled =
            STRICT.replace("host_data = \"reference-value-needed\"", &format!("host_data = \"{}\"", "11".repeat(32)));
        let filled = filled.replace("reference-value-needed", &"22".repeat(48));
        assert_eq!(Policy::parse(&filled).unwrap().name(), "strict");
    }

    /// What two recorded guests showed, from a file of their own; the firmware of the TD left RTMR2 alone.
    #[test]
    fn strict_loads_with_the_values_of_recorded_guests() {
        let values = "schema = 1
            name = 'recorded'
            [sev-snp]
            measurement = '0x7f51e17f72a04d5422cb2c00998166536019a217376f3aa45a630e59c805a599847ff250dbffcd07e1ba639771d6f05d'
            host_data = '783f0057820acb99249af56cc3b07b4e8d80f65183167cba9cf437bb680f742f'
            [tdx]
            mrtd = 'dfba221b48a22af8511542ee796603f37382800840dcd978703909bf8e64d4c8a1e9de86e7c9638bfcba422f3886400a'
            rtmr0 = '9b529f3689e2e8ebb899e9abbbc3dab394d6545e8cdb28a2abb9cc2f377b83a65c01ba56b824cd3ee885df20051f5128'
            rtmr1 = 'ca5a979317ffe8a527a3b7aadab03976d7cb6eef1041fb9bd9d69e6fafa7252cdc10e4c2a55e7ecbd2ddb5cacc867430'
            rtmr2 = '000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000'
            mrconfigid = '000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000'
        ";
        let values = reference_values(values.as_bytes(), teegate_verifier::UnixTime::from_seconds(0)).unwrap();
        let filled = fill(STRICT, &values).unwrap();
        assert_eq!(filled.notes(), [] as [String; 0]);
        assert_eq!(differences(&Policy::parse(filled.text()).unwrap(), filled.policy()), []);
    }
}
