//! Who writes policies is not hostile, and what they write is not well formed: the loader and the readers of reference values.

use teegate_forge::time::AT;
use teegate_fuzz_engine::{Effort, Target, mutate};
use teegate_measurements::{ReferenceValues, SHIPPED, STRICT, differences, explain, fill, lint, reference_values};
use teegate_verifier::{Draft, Policy, UnixTime};

use crate::hold;

const WORDS: &[&str] = &[
    "\"unchecked\"",
    "\"rejected\"",
    "\"required\"",
    "\"caller\"",
    "\"if-supplied\"",
    "\"reference-value-needed\"",
    "at_least = ",
    "[sev-snp.",
    "[tdx.",
    "[trust_anchors]\n",
    "schema = 1\n",
    "measurement = ",
    "report_data = ",
    "bound_to = \"pod\"\n",
    "{}",
    "[]",
    "[0]",
    "weaker = \"because\"\n",
    "unjudged_acpi_tables = \"because\"\n",
    "any_of = ",
    "\"milan\"",
    "\"genoa\"",
    "true",
    "-1",
    "\"\"\"\n",
];

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "policy",
        about: "the loader of policies, and what explains, lints and compares them",
        effort: Effort::Walk,
        run: policy,
        mutate: mutate::text,
        words: WORDS,
        max_bytes: 12_000,
    },
    Target {
        name: "reference_values",
        about: "reference values in TOML",
        effort: Effort::Reader,
        run: values,
        mutate: mutate::text,
        words: &[
            "schema = 1\n",
            "name = 'a'\n",
            "[sev-snp]\n",
            "[tdx]\n",
            "measurement = ",
            "mrtd = ",
            "rtmr0 = ",
            "host_data = ",
            "[]",
            "source = ",
            "minimum_tcb = { milan = { } }\n",
        ],
        max_bytes: 2_048,
    },
    Target {
        name: "corim",
        about: "reference values in an unsigned CoRIM",
        effort: Effort::Reader,
        run: values,
        mutate: mutate::cbor,
        words: &["http://amd.com/please-permalink-me", "Intel Corporation", "TDX"],
        max_bytes: 2_048,
    },
];

fn policy(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let draft = Draft::parse(text);
    let policy = Policy::parse(text);
    match (&draft, &policy) {
        (Ok(draft), Ok(_)) => assert!(draft.needed().is_empty(), "complete, and something is needed"),
        (Err(error), Err(_)) => hold::message(input, &error.to_string()),
        (Ok(_), Err(error)) => hold::echo(input, &error.to_string()),
        (Err(error), Ok(_)) => panic!("a policy that is no draft: {error}"),
    }
    if let Ok(draft) = draft {
        assert!(!explain(draft.document()).is_empty(), "a policy that says nothing");
        let _ = lint(text, &ReferenceValues::new("none"), &SHIPPED);
        assert_eq!(draft.complete().is_ok(), policy.is_ok(), "completed by one and refused by the other");
    }
    if let Ok(policy) = policy {
        assert_eq!(differences(&policy, &policy), [], "another policy than itself");
        let again = Policy::parse(text).expect("loaded once");
        assert_eq!(differences(&policy, &again), [], "loaded twice, and two policies came");
    }
}

fn values(input: &[u8]) {
    let now = UnixTime::from_seconds(AT);
    match reference_values(input, now) {
        Ok(values) => {
            if hold::one_in_eight(input) {
                let _ = fill(STRICT, &values);
            }
        }
        Err(words) => hold::message(input, &words),
    }
}
