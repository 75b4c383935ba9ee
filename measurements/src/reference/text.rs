//! Reference values as teegate writes them: TOML, version 1. Every error names line and column.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::collected::{ReferenceValue, ReferenceValues, ReferenceValuesError};
use teegate_encoding::hex;
use teegate_verifier::Tee;
use teegate_verifier::place::{in_words, position, readable};

impl ReferenceValues {
    /// Reads them from TOML.
    pub fn parse(text: &str) -> Result<Self, ReferenceValuesError> {
        let failed = |error: toml::de::Error| ReferenceValuesError(readable(&error));
        let document = DeTable::parse(text).map_err(failed)?;
        let reader = Reader { text };
        let mut values = Self::new(reader.head(document.get_ref())?);
        for (key, value) in document.get_ref().iter() {
            let tee = match key.get_ref().as_ref() {
                "schema" | "name" => continue,
                name => Tee::all().find(|tee| tee.name() == name),
            };
            let Some(tee) = tee else {
                let what = format!("`{}`: expected `schema`, `name`, {}", key.get_ref(), tables(" and "));
                return Err(reader.wrong(key.span().start, what));
            };
            let DeValue::Table(table) = value.get_ref() else {
                return Err(
                    reader.wrong(key.span().start, format!("`{tee}`: expected a table, each value beside its name"))
                );
            };
            reader.table(&mut values, tee, table)?;
        }
        if values.given().is_empty() {
            return Err(ReferenceValuesError(format!("no reference value: expected one below {}", tables(" or "))));
        }
        Ok(values)
    }
}

/// The names of the tables that may stand there.
fn tables(between: &str) -> String {
    Tee::all().map(|tee| format!("`[{tee}]`")).collect::<Vec<_>>().join(between)
}

struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    fn wrong(&self, offset: usize, what: impl std::fmt::Display) -> ReferenceValuesError {
        let (line, column) = position(self.text, offset);
        let what = in_words(&what.to_string());
        ReferenceValuesError(format!("{what} (line {line}, column {column})"))
    }

    /// Its name, once its version is known.
    fn head(&self, document: &DeTable<'_>) -> Result<String, ReferenceValuesError> {
        let member = |name: &str| document.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value);
        let schema = member("schema").ok_or_else(|| self.wrong(0, "`schema` is missing: expected `schema = 1`"))?;
        if number(schema.get_ref()) != Some(1) {
            let what = "`schema`: this release reads reference values of schema 1";
            return Err(self.wrong(schema.span().start, what));
        }
        let name =
            member("name").ok_or_else(|| self.wrong(0, "`name` is missing: expected what the values belong to"))?;
        match name.get_ref() {
            DeValue::String(name) if !name.trim().is_empty() => Ok(name.to_string()),
            _ => Err(self.wrong(name.span().start, "`name`: expected a text that says what the values belong to")),
        }
    }

    fn table(&self, values: &mut ReferenceValues, tee: Tee, table: &DeTable<'_>) -> Result<(), ReferenceValuesError> {
        let mut of_all = None;
        for (key, value) in table.iter().filter(|(key, _)| key.get_ref() == "source") {
            of_all = Some(self.source(key.span().start, value)?);
        }
        for (key, value) in table.iter().filter(|(key, _)| key.get_ref() != "source") {
            let Written { accepted, source, rebuilt } = self.field(value)?;
            let wrong = |error| self.wrong(key.span().start, error);
            values.add(tee, key.get_ref(), accepted, source.or_else(|| of_all.clone())).map_err(wrong)?;
            if let Some(shape) = rebuilt {
                values.rebuilt_from(tee, key.get_ref(), shape).map_err(wrong)?;
            }
        }
        Ok(())
    }

    /// A value, a list of values, or a table of either beside what is said of it.
    fn field(&self, value: &Spanned<DeValue<'_>>) -> Result<Written, ReferenceValuesError> {
        let DeValue::Table(table) = value.get_ref() else {
            return Ok(Written { accepted: self.accepted(value)?, source: None, rebuilt: None });
        };
        let (mut accepted, mut source, mut rebuilt) = (None, None, None);
        for (key, value) in table.iter() {
            match key.get_ref().as_ref() {
                "value" => accepted = Some(self.accepted(value)?),
                "at_least" => {
                    let least = number(value.get_ref())
                        .ok_or_else(|| self.wrong(value.span().start, "`at_least`: expected a number"))?;
                    accepted = Some(vec![ReferenceValue::AtLeast(least)]);
                }
                "source" => source = Some(self.source(key.span().start, value)?),
                REBUILT => rebuilt = Some(self.rebuilt(key.span().start, value)?),
                other => {
                    let what = format!("`{other}`: expected `value` or `at_least`, `source`, and `{REBUILT}` of RTMR0");
                    return Err(self.wrong(key.span().start, what));
                }
            }
        }
        if table.iter().filter(|(key, _)| !["source", REBUILT].contains(&&**key.get_ref())).count() > 1 {
            return Err(self.wrong(value.span().start, "expected `value` or `at_least`, not both"));
        }
        let accepted = accepted.ok_or_else(|| self.wrong(value.span().start, "`value` is missing"))?;
        Ok(Written { accepted, source, rebuilt })
    }

    fn accepted(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<ReferenceValue>, ReferenceValuesError> {
        match value.get_ref() {
            DeValue::Array(list) => list.iter().map(|value| self.one(value)).collect(),
            _ => Ok(vec![self.one(value)?]),
        }
    }

    fn one(&self, value: &Spanned<DeValue<'_>>) -> Result<ReferenceValue, ReferenceValuesError> {
        let read = match value.get_ref() {
            DeValue::String(text) => {
                hex::decode(text.strip_prefix("0x").unwrap_or(text)).ok().map(ReferenceValue::Bytes)
            }
            other => number(other).map(ReferenceValue::Number),
        };
        read.ok_or_else(|| self.wrong(value.span().start, "expected hexadecimal digits in quotes, or a number"))
    }

    fn source(&self, offset: usize, value: &Spanned<DeValue<'_>>) -> Result<String, ReferenceValuesError> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            _ => {
                Err(self.wrong(offset, "`source`: expected a text, such as the command that computes the value again"))
            }
        }
    }

    fn rebuilt(&self, offset: usize, value: &Spanned<DeValue<'_>>) -> Result<String, ReferenceValuesError> {
        match value.get_ref() {
            DeValue::String(text) if !text.trim().is_empty() => Ok(text.to_string()),
            _ => {
                let what =
                    format!("`{REBUILT}`: expected a text, the shape of the VM from which the tables were rebuilt");
                Err(self.wrong(offset, what))
            }
        }
    }
}

/// The field of a policy that repeats it has the same name.
pub(super) const REBUILT: &str = "rebuilt_acpi_tables";

/// A field as it is written.
struct Written {
    accepted: Vec<ReferenceValue>,
    source: Option<String>,
    rebuilt: Option<String>,
}

fn number(value: &DeValue<'_>) -> Option<u64> {
    match value {
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(tables: &str) -> String {
        format!("schema = 1\nname = \"app 0.1.0\"\n{tables}")
    }

    #[test]
    fn values_lists_and_sources_are_read() {
        let (one, two) = ("aB".repeat(48), "11".repeat(48));
        let values = ReferenceValues::parse(&whole(&format!(
            "[sev-snp]\nsource = \"make all\"\nmeasurement = [\"{one}\", \"{two}\"]\nguest_svn = {{ at_least = 3 }}\n\
             vmpl = 0x1\n[tdx]\nmrtd = {{ value = \"{one}\", source = \"make mrtd\" }}\n"
        )))
        .unwrap();
        assert_eq!(values.name(), "app 0.1.0");
        let (one, two) = (ReferenceValue::Bytes(vec![0xAB; 48]), ReferenceValue::Bytes(vec![0x11; 48]));
        let found = |tee, field| values.find(tee, field).map(|given| (given.accepted.clone(), given.source())).unwrap();
        assert_eq!(found(Tee::SevSnp, "measurement"), (vec![one.clone(), two], Some("make all")));
        assert_eq!(found(Tee::SevSnp, "guest_svn"), (vec![ReferenceValue::AtLeast(3)], Some("make all")));
        assert_eq!(found(Tee::SevSnp, "vmpl").0, [ReferenceValue::Number(1)]);
        assert_eq!(found(Tee::Tdx, "mrtd"), (vec![one], Some("make mrtd")));
        assert_eq!(values.given().len(), 4);
    }

    #[test]
    fn an_error_repeats_a_value_up_to_a_line() {
        let refused =
            |value: &str| ReferenceValues::parse(&whole(&format!("[tdx]\nmrtd = \"{value}\"\n"))).unwrap_err();
        let long = "ab".repeat(60);
        let line: String = format!("\"{long}").chars().take(80).collect();
        let says = format!("`tdx.mrtd`: expected 48 bytes in hexadecimal, found {line}… (line 4, column 1)");
        assert_eq!(refused(&long).to_string(), says);
        assert!(refused("ab").to_string().contains("found \"ab\" (line 4"));
    }

    #[test]
    fn a_prefix_changes_no_value() {
        let digits = "ab".repeat(48);
        let read = |value: &str| ReferenceValues::parse(&whole(&format!("[tdx]\nmrtd = \"{value}\"\n")));
        let plain = read(&digits).unwrap();
        assert_eq!(read(&format!("0x{digits}")).unwrap(), plain);
        for wrong in [format!("0x0x{digits}"), format!("x{digits}"), format!("0X{digits}"), "0x".to_owned()] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn errors_are_short_whatever_the_file_holds() {
        let long = "1".repeat(500_000);
        for tables in [
            format!("[tdx]\nmrtd = \"{long}\""),
            format!("[tdx]\n{long} = \"11\""),
            format!("[{long}]"),
            format!("[tdx]\nmrtd = \"{long}"),
        ] {
            let error = ReferenceValues::parse(&whole(&tables)).unwrap_err().to_string();
            assert!(error.len() < 2_000 && error.contains("line "), "{}", error.len());
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_line_and_column() {
        let refused = |text: &str| ReferenceValues::parse(text).unwrap_err().to_string();
        for (text, says) in [
            ("", "`schema` is missing: expected `schema = 1` (line 1, column 1)"),
            (
                "schema = 2\nname = \"a\"",
                "`schema`: this release reads reference values of schema 1 (line 1, column 10)",
            ),
            ("schema = 1\n", "`name` is missing"),
            (
                "schema = 1\nname = \" \"",
                "`name`: expected a text that says what the values belong to (line 2, column 8)",
            ),
            (&whole(""), "no reference value"),
            (&whole("[sgx]\n"), "`sgx`: expected `schema`, `name`, `[sev-snp]` and `[tdx]` (line 3, column 2)"),
            (&whole("tdx = [\"11\"]"), "`tdx`: expected a table, each value beside its name (line 3, column 1)"),
            (
                &whole("[tdx]\nmrtd = \"11\""),
                "`tdx.mrtd`: expected 48 bytes in hexadecimal, found \"11\" (line 4, column 1)",
            ),
            (&whole("[tdx]\nmrtd = \"xy\""), "expected hexadecimal digits in quotes, or a number (line 4, column 8)"),
            (&whole("[tdx]\nmrtd = []"), "`tdx.mrtd`: an empty list accepts nothing"),
            (&whole("[tdx]\nrtmr4 = \"11\""), "`tdx.rtmr4`: no such reference value"),
            (&whole("[sev-snp]\nvmpl = -1"), "or a number (line 4, column 8)"),
            (
                &whole("[sev-snp]\nguest_svn = { value = 1, at_least = 1 }"),
                "`value` or `at_least`, not both (line 4, column 13)",
            ),
            (&whole("[sev-snp]\nvmpl = { source = \"x\" }"), "`value` is missing (line 4, column 8)"),
            (
                &whole("[sev-snp]\nvmpl = { least = 1 }"),
                "`least`: expected `value` or `at_least`, `source`, and `rebuilt_acpi_tables` of RTMR0 (line 4, column 10)",
            ),
            (
                &whole("[sev-snp]\nvmpl = { value = 1, rebuilt_acpi_tables = \"q35\" }"),
                "`sev-snp.vmpl`: `rebuilt_acpi_tables` is of `tdx.rtmr0` alone (line 4, column 1)",
            ),
            (
                &whole(&format!("[tdx]\nrtmr0 = {{ value = \"{}\", rebuilt_acpi_tables = \" \" }}", "22".repeat(48))),
                "`rebuilt_acpi_tables`: expected a text, the shape of the VM",
            ),
            (
                &whole("[sev-snp]\nvmpl = { at_least = 1 }"),
                "`sev-snp.vmpl`: `at_least` does not fit: VMPL 0 is the most",
            ),
            (&whole("[sev-snp]\nguest_svn = { at_least = 0 }"), "accepts or refuses nothing"),
            (&whole("[sev-snp]\nvmpl = 1\nsource = 1"), "`source`: expected a text"),
            (&whole("[sev-snp]\nvmpl = 1\nvmpl = 1"), "duplicate key"),
            (&whole("[sev-snp]\nvmpl = 1 1"), "line 4, column 8"),
        ] {
            let error = refused(text);
            assert!(error.contains(says), "{text}\n{error}");
        }
    }
}
