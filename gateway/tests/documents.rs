//! `docs/OPERATIONS.md` and the README, held to the program: keys, metrics, endpoints, problems, events of the log, options.

#![expect(
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, which the lint does not recognise as such"
)]

use std::collections::BTreeSet;
use std::path::Path;

use teegate_gateway::config::{RELOADED, bounds};
use teegate_gateway::metrics::{Kind, METRICS};
use teegate_gateway::telemetry::{ATTRIBUTES, SPANS};
use teegate_gateway::view::FLEET_PATH;
use teegate_protocol::headers::{ENDORSEMENTS_PATH, HEALTH_PATH, INSTANCES_PATH, READY_PATH, RELAY_PATH};
use teegate_protocol::problem::ProblemKind;

const HANDBOOK: &str = include_str!("../../docs/OPERATIONS.md");
const README: &str = include_str!("../README.md");
const EXAMPLE: &str = include_str!("../example.toml");

/// The cells of the rows of a table: the first one under `heading` whose first column is called `first`.
fn table(heading: &str, first: &str) -> Vec<Vec<String>> {
    let section =
        HANDBOOK.split("\n## ").find(|section| section.starts_with(heading)).unwrap_or_else(|| panic!("{heading}"));
    let head = format!("| {first} |");
    let rows =
        section.lines().skip_while(|line| !line.starts_with(&head)).skip(2).take_while(|line| line.starts_with("| "));
    let cells = |line: &str| {
        let line = line.replace("\\|", "\u{0}");
        line.trim_matches('|').split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect::<Vec<_>>()
    };
    let rows: Vec<Vec<String>> = rows.map(cells).collect();
    assert!(!rows.is_empty(), "no table of `{first}` under {heading}");
    rows
}

/// What stands in backticks in a cell.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The cells of a column in backticks.
fn column(rows: &[Vec<String>], index: usize) -> BTreeSet<String> {
    rows.iter().flat_map(|row| quoted(&row[index]).into_iter().map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn written(rows: &[Vec<String>]) -> String {
    rows.iter().map(|row| format!("| {} |\n", row.join(" | "))).collect()
}

#[test]
fn every_number_of_the_configuration_stands_with_default_and_bounds() {
    let of = |bound: &teegate_protocol::limits::Limit, what: String| {
        vec![format!("`{}`", bound.name), bound.default.to_string(), format!("{} to {}", bound.least, bound.most), what]
    };
    let rows = table("Keys of the configuration", "key | default");
    let said: Vec<_> = rows.iter().map(|row| row.get(3).cloned().unwrap_or_default()).collect();
    let expected: Vec<_> =
        bounds().enumerate().map(|(at, bound)| of(bound, said.get(at).cloned().unwrap_or_default())).collect();
    assert!(rows == expected, "the table is:\n{}", written(&expected));
    assert!(said.iter().all(|what| what.len() > 10), "a number is not explained: {said:?}");
}

/// Whether it is a list of tables, whose keys stand by themselves.
fn is_of_tables(value: &toml::Value) -> bool {
    value.as_array().is_some_and(|list| list.first().is_some_and(toml::Value::is_table))
}

#[test]
fn every_other_key_stands_with_what_its_absence_means() {
    let example: toml::Table = EXAMPLE.parse().unwrap();
    // The keys that are no numbers, the commented ones of the example included.
    let mut keys: BTreeSet<String> =
        example.iter().filter(|(_, value)| value.is_str() || value.is_array()).map(|(key, _)| key.clone()).collect();
    for name in ["collateral", "discovery"] {
        let table = example[name].as_table().unwrap();
        let inner = table.iter().filter(|(_, value)| value.is_str() || value.is_array() || value.is_bool());
        keys.extend(inner.filter(|(_, value)| !is_of_tables(value)).map(|(key, _)| format!("{name}.{key}")));
    }
    for line in EXAMPLE.lines().filter_map(|line| line.strip_prefix("# ")) {
        if let Some((key, value)) = line.split_once(" = ") {
            let is_key = key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
                && (value.starts_with('"') || value.starts_with("false"));
            let in_tls = ["certificate", "key"].contains(&key);
            let of_admission =
                ["keys", "jwks_url", "jwks_ca", "issuer", "audience", "tenant_claim", "client_ca", "trust_domain"];
            if of_admission.contains(&key) && is_key {
                let table = if ["client_ca", "trust_domain"].contains(&key) { "spiffe" } else { "jwt" };
                keys.insert(format!("admission.{table}.{key}"));
                continue;
            }
            let key = match key {
                "weaker" => "reload.weaker",
                "cache" => "collateral.cache",
                "otlp_endpoint" => "telemetry.otlp_endpoint",
                "headers" => "telemetry.headers",
                "ca" => "telemetry.ca",
                "service_name" => "telemetry.service_name",
                "trust_parent" => "telemetry.trust_parent",
                "name" => "discovery.dns.name",
                "service" => "discovery.kubernetes.service",
                "namespace" => "discovery.kubernetes.namespace",
                key => key,
            };
            if is_key {
                keys.insert(if in_tls { format!("tls.{key}") } else { key.to_owned() });
            }
        }
    }
    let documented = column(&table("Keys of the configuration", "key | what it is"), 0);
    assert_eq!(documented, keys);
}

/// Which keys a reload takes is said once, and by the program.
#[test]
fn every_key_stands_under_what_takes_it() {
    let rows = table("Keys of the configuration", "taken");
    let [by_reload, by_restart] = [0, 1].map(|index| quoted(&rows[index][1]).into_iter().collect::<BTreeSet<_>>());
    assert!(rows[0][0].starts_with("by a reload") && rows[1][0] == "by a restart", "{rows:?}");
    assert_eq!(by_reload, BTreeSet::from(RELOADED));
    let (numbers, others) =
        (table("Keys of the configuration", "key | default"), table("Keys of the configuration", "key | what it is"));
    let all = column(&numbers, 0).into_iter().chain(column(&others, 0));
    let all: BTreeSet<String> = all.map(|key| key.split('.').next().unwrap_or_default().to_owned()).collect();
    let said: BTreeSet<String> = by_reload.union(&by_restart).map(|key| (*key).to_owned()).collect();
    assert_eq!(said, all);
    assert!(by_reload.is_disjoint(&by_restart));
}

#[test]
fn every_metric_stands_as_it_is_answered() {
    let of = |row: &teegate_gateway::metrics::Row| {
        let kind = match row.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<String> = row.labels.iter().map(|label| format!("`{label}`")).collect();
        vec![
            format!("`{}`", row.name.strip_prefix("teegate_gateway_").unwrap()),
            kind.to_owned(),
            labels.join(", "),
            row.help.to_owned(),
        ]
    };
    let expected: Vec<_> = METRICS.iter().map(of).collect();
    assert!(table("Metrics", "metric") == expected, "the table is:\n{}", written(&expected));
}

#[test]
fn every_span_and_every_attribute_stands_as_it_is_sent() {
    for (first, all) in [("span", SPANS), ("attribute", ATTRIBUTES)] {
        let of = |(name, help): &(&str, &str)| vec![format!("`{name}`"), (*help).to_owned()];
        let expected: Vec<_> = all.iter().map(of).collect();
        assert!(table("Spans", first) == expected, "the table is:\n{}", written(&expected));
    }
}

#[test]
fn every_endpoint_stands_with_its_listener() {
    let (clients, operator) = HANDBOOK.split_once("\nOn `operator_listen`").unwrap();
    let clients = clients.split_once("\nOn `listen`").unwrap().1;
    let operator = operator.split_once("\n## ").unwrap().0;
    for path in [INSTANCES_PATH, ENDORSEMENTS_PATH, RELAY_PATH, HEALTH_PATH, READY_PATH] {
        assert!(clients.contains(&format!("| `{path}` |")), "{path}");
    }
    for path in [FLEET_PATH, "/metrics", HEALTH_PATH, READY_PATH] {
        assert!(operator.contains(&format!("`{path}`")), "{path}");
    }
}

#[test]
fn every_problem_that_a_gateway_tells_stands_with_its_status() {
    let rows = table("Problems", "problem");
    let expected: BTreeSet<&str> =
        ProblemKind::ALL.iter().filter(|kind| kind.may_be_unsealed()).map(|kind| kind.name()).collect();
    // One is an enclave's alone.
    let documented = column(&rows, 0);
    assert_eq!(documented.iter().map(String::as_str).chain(["ohttp-key"]).collect::<BTreeSet<_>>(), expected);
    for row in &rows {
        let name = quoted(&row[0])[0];
        for kind in ProblemKind::ALL.iter().filter(|kind| kind.name() == name) {
            assert!(row[1].split(" or ").any(|status| status == kind.status().to_string()), "{name}: {}", row[1]);
        }
    }
}

/// Every event that a source file of the gateway names.
#[test]
fn every_event_of_the_log_stands() {
    let mut events = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let named = text.split('"').skip(1).step_by(2).filter(|word| {
                    let is_event = ["instance_", "reload_", "tls_"].iter().any(|start| word.starts_with(start));
                    is_event && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
                });
                if !path.to_str().unwrap().contains("tests") {
                    events.extend(named.map(str::to_owned));
                }
            }
        }
    }
    let documented = column(&table("The log", "event"), 0);
    // Names of metrics and of members look alike.
    let others = ["instance_id", "instance_state", "instance_failed_check", "reload_total"];
    events.retain(|event| {
        !others.contains(&event.as_str()) && !event.starts_with("tls_not") && !event.starts_with("tls_last")
    });
    assert_eq!(documented, events);
}

#[test]
fn the_readme_sets_up_what_the_example_has() {
    for said in ["--check-config", "example.toml", "teegate-gateway status", "docs/OPERATIONS.md", "alerts.yaml"] {
        assert!(README.contains(said), "{said}");
    }
}
