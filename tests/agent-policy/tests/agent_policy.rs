//! The agent policy of `teegate deploy initdata` in the engine of Kata's agent: our pod's requests pass, and each of them with one field
//! changed is refused.
//!
//! `requests.json` holds a request of each kind in the form that the agent of Kata 4 gives to its engine, `cases.json` one changed place
//! a line. A refusal says nothing of its reason, so that each case stands beside its passing twin: the same request, unchanged.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot set up its input should fail where it stands"
)]

use std::collections::BTreeSet;

use regorus::{Engine, Value};
use serde_json::Value as Json;
use teegate_measurements::deploy::{Deployment, Platform};

const MANIFEST: &str = include_str!("pod.yaml");

/// The engine as the agent makes it, and as Rego's first version would have it: agents differ in that.
fn engines() -> Vec<Engine> {
    let deployment = Deployment::of(MANIFEST, None, Platform::AzureSnp).unwrap();
    let initdata: toml::Table = toml::from_str(&deployment.initdata).unwrap();
    let policy = initdata["data"]["policy.rego"].as_str().unwrap();
    let engine = |is_version_0| {
        let mut engine = Engine::new();
        engine.set_rego_v0(is_version_0);
        engine.set_strict_builtin_errors(false);
        engine.add_data(Value::from_json_str(r#"{"pstate": {}}"#).unwrap()).unwrap();
        engine.add_policy("agent_policy".into(), policy.into()).unwrap();
        engine
    };
    vec![engine(true), engine(false)]
}

/// What the agent makes of an answer: only `true` lets a request in.
fn is_allowed(engine: &mut Engine, endpoint: &str, input: &Json) -> bool {
    engine.set_input_json(&input.to_string()).unwrap();
    let answer = engine.eval_query(format!("data.agent_policy.{endpoint}"), false);
    answer.is_ok_and(|answer| {
        matches!(answer.result.as_slice(), [one] if matches!(one.expressions.as_slice(), [said] if said.value == Value::Bool(true)))
    })
}

/// Puts a value at a JSON pointer, adds it to a list (`-`), or takes away what is there.
fn change(document: &mut Json, at: &str, value: Option<&Json>) {
    let (parent, name) = at.rsplit_once('/').unwrap();
    let name = name.replace("~1", "/");
    match (document.pointer_mut(parent).unwrap(), value) {
        (Json::Array(items), Some(value)) if name == "-" => items.push(value.clone()),
        (Json::Array(items), Some(value)) => items[name.parse::<usize>().unwrap()] = value.clone(),
        (Json::Array(items), None) => drop(items.remove(name.parse().unwrap())),
        (Json::Object(members), Some(value)) => drop(members.insert(name, value.clone())),
        (Json::Object(members), None) => assert!(members.remove(&name).is_some(), "{at}"),
        _ => panic!("{at}"),
    }
}

#[test]
fn our_pod_passes_and_each_changed_field_is_refused() {
    let requests: Json = serde_json::from_str(include_str!("requests.json")).unwrap();
    let cases: Vec<Json> = serde_json::from_str(include_str!("cases.json")).unwrap();
    let mut engines = engines();
    let (mut wrong, mut names, mut unchanged) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for case in &cases {
        let (name, request) = (case["name"].as_str().unwrap(), case["request"].as_str().unwrap());
        assert!(names.insert(name), "`{name}` stands twice");
        let mut input = requests[request]["input"].clone();
        let patches = case["patch"].as_array().unwrap();
        for patch in patches {
            change(&mut input, patch["at"].as_str().unwrap(), patch.get("value"));
        }
        assert_eq!(patches.is_empty(), input == requests[request]["input"], "`{name}` changes nothing");
        let endpoint = case.get("endpoint").unwrap_or(&requests[request]["endpoint"]).as_str().unwrap();
        let expected = case["allowed"].as_bool().unwrap();
        if expected && patches.is_empty() {
            unchanged.insert(request);
        }
        for (engine, version) in engines.iter_mut().zip(["0", "1"]) {
            if is_allowed(engine, endpoint, &input) != expected {
                wrong.push(format!("{name} (Rego {version}): expected {expected}"));
            }
        }
    }
    assert_eq!(wrong, [] as [String; 0]);
    // Every refusal has its passing twin.
    let kinds: BTreeSet<_> = requests.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(unchanged, kinds);
    let refused = cases.iter().filter(|case| case["allowed"] == false).count();
    assert!(refused > 250, "{refused}");
}

/// Every field of a request that can be let in, as paths, a list's items as one.
fn fields(value: &Json, path: &str, into: &mut BTreeSet<String>) {
    match value {
        // Names that others choose are no fields.
        Json::Object(members) if !members.is_empty() && !["OCI.Annotations", "OCI.Linux.Sysctl"].contains(&path) => {
            for (name, value) in members {
                fields(value, &if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, into);
            }
        }
        Json::Array(items) if items.iter().any(Json::is_object) => {
            for item in items {
                fields(item, &format!("{path}[]"), into);
            }
        }
        _ => drop(into.insert(path.to_owned())),
    }
}

/// The field that a JSON pointer leads to.
fn field_of(pointer: &str) -> String {
    let mut field = String::new();
    for name in pointer.split('/').skip(1) {
        if name == "-" || name.chars().all(|c| c.is_ascii_digit()) {
            field.push_str("[]");
        } else {
            let dot = if field.is_empty() { "" } else { "." };
            field.push_str(dot);
            field.push_str(&name.replace("~1", "/"));
        }
    }
    field
}

/// The page says of each field whether it is bound, and there is a case for what it says.
#[test]
fn every_field_is_bound_or_free_as_the_page_says() {
    let page = include_str!("../../../deploy/AGENT-POLICY.md");
    let requests: Json = serde_json::from_str(include_str!("requests.json")).unwrap();
    let cases: Vec<Json> = serde_json::from_str(include_str!("cases.json")).unwrap();
    let mut wrong = Vec::new();
    let mut rows = 0;
    for (request, heading) in [
        ("sandbox", "CreateSandbox"),
        ("container", "CreateContainer"),
        ("copy", "CopyFile"),
        ("interface", "UpdateInterface"),
        ("routes", "UpdateRoutes"),
        ("neighbours", "AddARPNeighbors"),
    ] {
        let section = page.split(&format!("\n## {heading}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
        let said: Vec<(&str, &str)> = section
            .lines()
            .filter_map(|line| {
                let mut cells = line.strip_prefix("| `")?.split(" | ");
                Some((cells.next()?.strip_suffix('`')?, cells.next()?))
            })
            .collect();
        let mut asked = BTreeSet::new();
        fields(&requests[request]["input"], "", &mut asked);
        let on_page: BTreeSet<String> = said.iter().map(|(field, _)| (*field).to_owned()).collect();
        assert_eq!(on_page.len(), said.len(), "{heading}: a field stands twice");
        assert_eq!(on_page, asked, "{heading}: fields of the page and of the request");
        for (field, how) in said {
            rows += 1;
            let is_of = |at: &str| {
                let at = field_of(at);
                at.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            // It alone: another change beside it could be the reason.
            let changes_it = |case: &&Json| {
                let patches = case["patch"].as_array().unwrap();
                case["request"] == request
                    && case.get("endpoint").is_none()
                    && !patches.is_empty()
                    && patches.iter().all(|patch| is_of(patch["at"].as_str().unwrap()))
            };
            let refused = cases.iter().filter(changes_it).filter(|case| case["allowed"] == false).count();
            let passed = cases.iter().filter(changes_it).filter(|case| case["allowed"] == true).count();
            match how {
                "bound" if refused > 0 => {}
                "free" if refused == 0 && passed > 0 => {}
                _ => wrong.push(format!("{heading}, `{field}`: {how}; {refused} cases refused, {passed} passed")),
            }
        }
    }
    assert_eq!(wrong, [] as [String; 0]);
    assert!(rows > 110, "{rows}");
}

/// The pod that the policy admits is the one of its manifest, and no other's.
#[test]
fn the_policy_of_another_manifest_refuses_our_pod() {
    let requests: Json = serde_json::from_str(include_str!("requests.json")).unwrap();
    for (old, new) in
        [("eac8fbc1eac8fbc1", "0123456701234567"), ("/usr/bin/enclave-app", "/usr/bin/other"), ("65532", "65533")]
    {
        let manifest = MANIFEST.replace(old, new);
        assert_ne!(manifest, MANIFEST);
        let deployment = Deployment::of(&manifest, None, Platform::AzureSnp).unwrap();
        let initdata: toml::Table = toml::from_str(&deployment.initdata).unwrap();
        let mut engine = Engine::new();
        engine.add_policy("agent_policy".into(), initdata["data"]["policy.rego"].as_str().unwrap().into()).unwrap();
        assert!(!is_allowed(&mut engine, "CreateContainerRequest", &requests["container"]["input"]), "{old}");
        assert!(is_allowed(&mut engine, "CreateContainerRequest", &requests["pause"]["input"]), "{old}");
    }
}
