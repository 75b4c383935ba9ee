//! A policy made out of another one by program: the same but for some rules, so that a field which is added later is there too.

use teegate_verifier::place::readable;
use teegate_verifier::{PolicyError, Tee, Wrapping, fields_around, fields_of};

/// The document of a policy, with some of its rules written anew. Nothing is judged before the loader reads the result.
#[derive(Clone, Debug)]
pub struct Rewritten {
    document: toml::Table,
}

impl Rewritten {
    /// Begins with this text.
    ///
    /// # Errors
    /// It is not TOML.
    pub fn of(text: &str) -> Result<Self, PolicyError> {
        Ok(Self { document: toml::from_str(text).map_err(|error| PolicyError::new(readable(&error)))? })
    }

    /// Under this name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.document.insert("name".to_owned(), name.into());
        self
    }

    /// Without the profiles of every other TEE.
    #[must_use]
    pub fn only(mut self, tee: Tee) -> Self {
        for other in Tee::all().filter(|other| *other != tee) {
            self.document.remove(other.name());
        }
        self
    }

    /// With this root (PEM) in place of the vendor's: `amd` or `intel`.
    #[must_use]
    pub fn under_root(mut self, vendor: &str, pem: &str) -> Self {
        let anchors = self.document.entry("trust_anchors").or_insert_with(|| toml::Table::new().into());
        if let Some(anchors) = anchors.as_table_mut() {
            anchors.insert(vendor.to_owned(), vec![toml::Value::from(pem)].into());
        }
        self
    }

    /// With every profile for evidence in this wrapping, nothing asked of what lies around it.
    ///
    /// # Errors
    /// There is a field around it that something has to be asked of.
    pub fn wrapped(self, wrapping: Wrapping) -> Result<Self, PolicyError> {
        let profiles: Vec<_> = Tee::all().filter(|tee| self.document.contains_key(tee.name())).collect();
        profiles.into_iter().try_fold(self, |rewritten, tee| {
            let named = rewritten.rule(tee, "wrapping", &format!("\"{}\"", wrapping.word()))?;
            let around = fields_around(wrapping).into_iter();
            around.into_iter().try_fold(named, |rewritten, field| rewritten.rule(tee, field.name, "\"unchecked\""))
        })
    }

    /// With this rule, in TOML, in every profile of a TEE: `rule(Tee::SevSnp, "vmpl", "0")`.
    ///
    /// # Errors
    /// There is no such field, no such profile, or the rule is not TOML.
    pub fn rule(mut self, tee: Tee, field: &str, rule: &str) -> Result<Self, PolicyError> {
        let around = Wrapping::ALL.iter().flat_map(|wrapping| fields_around(*wrapping));
        let mut fields = fields_of(tee).into_iter().chain(around);
        let known = field == "bound_to" || field == "wrapping" || fields.any(|own| own.name == field);
        let profiles = self.document.get_mut(tee.name()).and_then(toml::Value::as_table_mut).filter(|_| known);
        let Some(profiles) = profiles else {
            return Err(PolicyError::new(format!("`{tee}.{field}`: no such field, or no profile for {tee}")));
        };
        let mut written: toml::Table =
            toml::from_str(&format!("rule = {rule}")).map_err(|error| PolicyError::new(readable(&error)))?;
        let value = written.remove("rule").filter(|_| written.is_empty());
        let Some(value) = value else {
            return Err(PolicyError::new(format!("`{tee}.{field}`: expected one rule, in TOML")));
        };
        for (_, profile) in profiles.iter_mut() {
            if let Some(profile) = profile.as_table_mut() {
                profile.insert(field.to_owned(), value.clone());
            }
        }
        Ok(self)
    }

    /// The text, which the loader has yet to read.
    pub fn text(&self) -> String {
        self.document.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GENUINE, differences};
    use teegate_verifier::Policy;

    #[test]
    fn what_is_rewritten_differs_in_that_and_in_nothing_else() {
        let genuine = Policy::parse(GENUINE).unwrap();
        let rewritten = |rewritten: Rewritten| Policy::parse(&rewritten.text()).unwrap();
        let start = || Rewritten::of(GENUINE).unwrap();
        assert_eq!(differences(&genuine, &rewritten(start().named("mine"))), []);
        assert_eq!(rewritten(start().named("mine")).name(), "mine");
        let changed = rewritten(start().rule(Tee::SevSnp, "vmpl", "0").unwrap());
        let fields: Vec<_> = differences(&genuine, &changed).iter().map(|one| (one.tee, one.field)).collect();
        assert_eq!(fields, [("sev-snp", "vmpl")]);
        let alone = rewritten(start().only(Tee::Tdx));
        assert_eq!(alone.document().profiles().iter().map(|one| one.tee()).collect::<Vec<_>>(), [Tee::Tdx]);
    }

    #[test]
    fn a_field_that_is_none_and_a_rule_that_is_no_toml_are_refused() {
        let start = || Rewritten::of(GENUINE).unwrap();
        for (tee, field, rule, why) in [
            (Tee::SevSnp, "mrtd", "1", "`sev-snp.mrtd`: no such field"),
            (Tee::Tdx, "vmpl", "1", "`tdx.vmpl`: no such field"),
            (Tee::SevSnp, "vmpl", "[", "line 1"),
            (Tee::SevSnp, "vmpl", "1\nx = 2", "`sev-snp.vmpl`: expected one rule, in TOML"),
        ] {
            let error = start().rule(tee, field, rule).unwrap_err().to_string();
            assert!(error.contains(why), "{tee} {field} {rule}: {error}");
        }
        let gone = start().only(Tee::Tdx).rule(Tee::SevSnp, "vmpl", "0").unwrap_err().to_string();
        assert!(gone.contains("`sev-snp.vmpl`: no such field, or no profile for sev-snp"), "{gone}");
        let no_toml = Rewritten::of("[").unwrap_err().to_string();
        assert!(no_toml.contains("line 1"), "{no_toml}");
    }
}
