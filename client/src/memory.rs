//! What a client remembers from one run to the next, so that nobody can roll the vendors' statements back.
//!
//! A CRL or a TCB info stays valid for weeks. Within that time a gateway could go on serving the older one, which does not
//! yet list what the newer one revoked. A client that has seen the newer one refuses the older (`client.rollback`). The value
//! goes in with [`crate::Settings::memory`] and comes out with [`crate::Client::memory`]; where it is kept is the caller's
//! affair. Only statements of accepted evidence are remembered, so that nobody can plant a false future.
//!
//! The policy is not among them: it carries no version, and it comes from the caller and not from anybody on the way. A
//! caller who fetches policies from somewhere has to see to it that an older one does not come back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use teegate_verifier::{FactValue, Report, Tee, UnixTime};

/// At most so many statements: products and CAs are few, FMSPCs some dozens.
const MAX_STATEMENTS: usize = 1_024;

/// The newest statements seen so far. Serialises as a version and a table of names and numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    schema: Schema,
    /// By the name of a statement: when it was issued (Unix seconds), or its evaluation number.
    newest: BTreeMap<String, u64>,
}

/// The version of the serialised form: 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
struct Schema;

impl TryFrom<u32> for Schema {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        if version == 1 { Ok(Self) } else { Err(format!("memory of schema {version}: this version reads schema 1")) }
    }
}

impl From<Schema> for u32 {
    fn from(_: Schema) -> Self {
        1
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self { schema: Schema, newest: BTreeMap::new() }
    }
}

impl Memory {
    /// Refuses a report that rests on an older statement than one that was seen before, or has lost one; else remembers it.
    pub(crate) fn advance(&mut self, report: &Report) -> Result<(), String> {
        let statements = statements(report);
        for (name, value) in &statements {
            let seen = self.newest.get(name).copied().unwrap_or_default();
            if *value < seen {
                return Err(format!(
                    "`{name}` was rolled back: {}, and {} was seen before",
                    shown(name, *value),
                    shown(name, seen)
                ));
            }
        }
        for (name, value) in statements.into_iter().filter(|(_, value)| *value > 0) {
            if self.newest.len() < MAX_STATEMENTS || self.newest.contains_key(&name) {
                self.newest.insert(name, value);
            }
        }
        Ok(())
    }
}

/// What an accepted report rests on that has an order in time; 0 for what is missing.
fn statements(report: &Report) -> Vec<(String, u64)> {
    let time = |fact: &str| match report.fact(fact) {
        Some(FactValue::Text(text)) => UnixTime::parse(text).map(UnixTime::seconds).unwrap_or_default(),
        _ => 0,
    };
    let number = |fact: &str| match report.fact(fact) {
        Some(FactValue::Number(number)) => *number,
        _ => 0,
    };
    let word = |fact: &str| report.fact(fact).map(ToString::to_string).unwrap_or_default();
    match report.tee() {
        Tee::SevSnp => vec![(format!("crl of ARK {}", word("product")), time("crl_this_update"))],
        Tee::Tdx => vec![
            ("crl of Intel SGX Root CA".to_owned(), time("root_crl_this_update")),
            (format!("crl of {}", word("pck_ca")), time("pck_crl_this_update")),
            (format!("tcb evaluation of {}", word("fmspc")), number("tcb_evaluation_number")),
            ("qe evaluation".to_owned(), number("qe_evaluation_number")),
        ],
    }
}

fn shown(name: &str, value: u64) -> String {
    match (value, name.starts_with("crl ")) {
        (0, _) => "there is none now".to_owned(),
        (_, true) => format!("it is of {}", UnixTime::from_seconds(value)),
        (_, false) => format!("it is number {value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use teegate_forge::time::{AT, DAY};
    use teegate_verifier::{Endorsements, Evidence, Policy, verify};

    /// A report of genuine hardware whose CRL was issued `days` after [`AT`], or not supplied.
    fn report(days: Option<u64>) -> Report {
        let set = teegate_forge::snp().at(AT + days.unwrap_or_default() * DAY).build();
        let mut endorsements = Endorsements::new();
        set.certificates().into_iter().for_each(|certificate| endorsements.add_certificate(certificate));
        if days.is_some() {
            endorsements.add_crl(set.crl.clone().unwrap());
        }
        let (snp, _tdx) = teegate_measurements::GENUINE.split_once("[tdx.").unwrap();
        let policy = Policy::parse(&format!("{snp}\n[trust_anchors]\namd = ['''\n{}''']\n", set.ark_pem)).unwrap();
        let now = UnixTime::from_seconds(AT + 10 * DAY);
        verify(&Evidence::sev_snp(&set.report, &endorsements), &policy, now).unwrap().report().clone()
    }

    #[test]
    fn a_crl_may_become_newer_and_not_older() {
        let mut memory = Memory::default();
        memory.advance(&report(Some(1))).unwrap();
        memory.advance(&report(Some(1))).unwrap();
        memory.advance(&report(Some(5))).unwrap();
        let known = memory.clone();
        let error = memory.advance(&report(Some(1))).unwrap_err();
        assert!(error.contains("rolled back"), "{error}");
        let error = memory.advance(&report(None)).unwrap_err();
        assert!(error.contains("there is none now"), "{error}");
        assert_eq!(memory, known, "a refusal changes nothing");
    }

    #[test]
    fn it_survives_being_written_down() {
        let mut memory = Memory::default();
        memory.advance(&report(Some(5))).unwrap();
        let json = serde_json::to_string(&memory).unwrap();
        assert!(json.starts_with(r#"{"schema":1,"newest":{"crl of ARK genoa":"#), "{json}");
        let mut read: Memory = serde_json::from_str(&json).unwrap();
        assert_eq!(read, memory);
        assert!(read.advance(&report(Some(1))).is_err());
        assert!(
            serde_json::from_str::<Memory>(r#"{"schema":2,"newest":{}}"#).unwrap_err().to_string().contains("schema 2")
        );
    }
}
