//! The configuration as it is in force: what was written, and the defaults of everything else.

use toml::{Table, Value};

use super::Config;
use super::bounds::bounds;

/// Keys that are no numbers, and stand for nothing when they are absent.
const EMPTY: [&str; 2] = ["endorsements", "proxies"];

impl Config {
    /// As TOML that parses to the same from the same folder. It names files of keys and holds none.
    pub fn effective(&self) -> Table {
        let mut table = self.written.clone();
        for key in EMPTY {
            table.entry(key).or_insert_with(|| Value::Array(Vec::new()));
        }
        for bound in bounds() {
            let value = Value::Integer(i64::try_from(bound.default).unwrap_or(i64::MAX));
            match bound.name.split_once('.') {
                None => {
                    table.entry(bound.name).or_insert(value);
                }
                Some((name, key)) => {
                    let inner = table.entry(name).or_insert_with(|| Value::Table(Table::new()));
                    if let Some(inner) = inner.as_table_mut() {
                        inner.entry(key).or_insert(value);
                    }
                }
            }
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parsed(text: &str) -> Config {
        Config::parse(text, Path::new("/etc/teegate")).unwrap()
    }

    #[test]
    fn it_parses_to_the_same_and_shows_every_default() {
        let smallest =
            "listen = 'a:1'\noperator_listen = 'b:1'\npolicy = 'p.toml'\nadmission = 'none'\ninstances = ['a:1']\n";
        let more = "unbound_policy = 'why'\nendorsements = ['crl']\nretry_seconds = 7\n[hold]\nseconds = 3\n\
                    [tls]\ncertificate = 'c'\nkey = 'k'\n";
        for text in [smallest.to_owned(), format!("{smallest}{more}"), include_str!("../../example.toml").to_owned()] {
            let config = parsed(&text);
            let printed = toml::to_string(&config.effective()).unwrap();
            let again = parsed(&printed);
            let without = |config: &Config| format!("{:?}", Config { written: Table::new(), ..config.clone() });
            assert_eq!(without(&again), without(&config), "{printed}");
            assert_eq!(again.effective(), config.effective());
            assert!(printed.contains("reattest_seconds = 120\n") && printed.contains("[breaker]\n"), "{printed}");
        }
        let printed = toml::to_string(&parsed(&format!("{smallest}{more}")).effective()).unwrap();
        assert!(printed.contains("retry_seconds = 7\n") && printed.contains("\nseconds = 3\n"), "{printed}");
    }
}
