//! `teegate policy`: a policy in sentences, its weak places, and what another one changes.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;
use teegate_measurements::{Direction, Sentence, Side};
use teegate_verifier::{Document, Draft, Needed, Tee, Topic};

use crate::output;
use crate::policy_init::{FillArgs, InitArgs};
use crate::policy_lint::{self, LintArgs};
use crate::screen::Screen;
use crate::values::{self, ValuesArgs};
use crate::verify::Format;
use crate::{exit, help, policy, policy_init};

/// Explain a policy, find its weak places, or compare two
#[derive(Args)]
#[command(after_help = help::POLICY)]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// The policy in plain sentences: what is asked, and what is left open
    #[command(after_help = help::POLICY_EXPLAIN)]
    Explain {
        /// A TOML file, or `genuine`
        #[arg(value_name = "FILE")]
        file: String,
        #[command(flatten)]
        values: ValuesArgs,
        /// How to show it
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Weak or contradictory rules, with line and column, what each opens and what to write instead
    Lint(LintArgs),
    /// What B accepts that A refuses, and the reverse, field by field
    #[command(after_help = help::POLICY_DIFF)]
    Diff {
        /// A TOML file, or `genuine`
        #[arg(value_name = "A")]
        a: String,
        /// A TOML file, or `genuine`
        #[arg(value_name = "B")]
        b: String,
        #[command(flatten)]
        values: ValuesArgs,
        /// How to show it
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// A first policy of your own: `strict`, with the measurements that some evidence of your guest shows
    #[command(after_help = help::POLICY_INIT)]
    Init(InitArgs),
    /// A template with its reference values in it, which loads by itself
    #[command(after_help = help::POLICY_FILL)]
    Fill(FillArgs),
    /// The JSON Schema of policies, their TOML read as JSON; for editors and other programs
    #[command(after_help = help::POLICY_SCHEMA)]
    Schema,
}

/// Runs the command.
pub(crate) fn run(args: &PolicyArgs) -> ExitCode {
    let result = match &args.verb {
        Verb::Init(args) => {
            return match policy_init::init(args) {
                Ok((text, status)) => output::finish(&text, status),
                Err(stop) => output::stop(&stop),
            };
        }
        Verb::Fill(args) => policy_init::fill(args),
        Verb::Explain { file, values, format } => explain(file, values, *format),
        Verb::Lint(args) => policy_lint::lint(args),
        Verb::Diff { a, b, values, format } => diff(a, b, values, *format),
        Verb::Schema => Ok((teegate_measurements::schema(), exit::ACCEPTED)),
    };
    match result {
        Ok((text, status)) => output::finish(&text, status),
        Err(message) => output::fail(&message),
    }
}

fn explain(file: &str, values: &ValuesArgs, format: Format) -> Result<(String, u8), String> {
    let text = policy::read_text(file)?;
    let values = values.load(None)?;
    let (draft, filled);
    let (document, needed) = match &values {
        None => {
            draft = Draft::parse(&text).map_err(|error| policy::refused(file, &error))?;
            (draft.document(), draft.needed())
        }
        Some(values) => {
            filled = values::fill(file, &text, values)?;
            (filled.policy().document(), &[][..])
        }
    };
    let sentences = teegate_measurements::explain(document);
    let text = match format {
        Format::Text => {
            Screen::shows(explained(document, &sentences) + &still_needed(needed) + &values::origins(values.as_ref()))
        }
        Format::Json => output::to_json(&json!({
            "schema": "teegate/policy-explain/1",
            "policy": document.name(),
            "sentences": sentences,
            "needed": needed.iter().map(|one| json!({
                "field": place(one), "line": one.line, "column": one.column, "form": one.field.written.to_string(),
            })).collect::<Vec<_>>(),
            "reference_values": values::listed(values.as_ref()),
        }))?,
    };
    Ok((text, exit::ACCEPTED))
}

fn place(needed: &Needed) -> String {
    format!("{}.{}.{}", needed.tee, needed.profile, needed.field.name)
}

/// All that a template needs, in the order of the file.
fn still_needed(needed: &[Needed]) -> String {
    if needed.is_empty() {
        return String::new();
    }
    let line = |one: &Needed| {
        let (place, form) = (place(one), one.field.written);
        format!("  line {}, column {}: {}; {form}\n", one.line, one.column, output::plain(&place))
    };
    let lines: String = needed.iter().map(line).collect();
    format!("\nReference values that this template still needs; until they are there, nothing is accepted\n{lines}")
}

fn explained(document: &Document, sentences: &[Sentence]) -> String {
    let mut text = format!(
        "The policy `{}`. Evidence is accepted when every sentence under its kind of hardware holds;\nwhat is left open is asked of nobody.\n",
        output::plain(document.name())
    );
    for (tee, title) in [(Tee::SevSnp, "AMD SEV-SNP"), (Tee::Tdx, "Intel TDX")] {
        if !document.profiles().iter().any(|profile| profile.tee() == tee) {
            text += &format!("\n{title}: no profile; such evidence is refused.\n");
        }
    }
    for profile in document.profiles() {
        let title = if profile.tee() == Tee::SevSnp { "AMD SEV-SNP" } else { "Intel TDX" };
        let place = profile.place();
        let own: Vec<_> = sentences.iter().filter(|one| one.profile == place).collect();
        text += &format!("\n{title} [{}]\n", output::plain(&place));
        for (topic, title) in TOPICS {
            let of_topic: Vec<_> = own.iter().filter(|one| one.topic == topic && one.asked).collect();
            if !of_topic.is_empty() {
                text += &format!("\n  {title}\n");
            }
            of_topic.iter().for_each(|one| text += &format!("    {}\n", output::plain(&one.text)));
        }
        let open: Vec<_> = own.iter().filter(|one| !one.asked).collect();
        if !open.is_empty() {
            text += "\n  What is left open\n";
        }
        open.iter().for_each(|one| text += &format!("    {}: {}\n", one.field, output::plain(&one.text)));
        text += NEEDED;
    }
    text
}

const TOPICS: [(Topic, &str); 5] = [
    (Topic::Claim, "What an accepting verdict speaks for"),
    (Topic::Hardware, "Which hardware"),
    (Topic::Vouching, "Who vouches for it"),
    (Topic::Code, "Which code"),
    (Topic::Freshness, "For whom, and when"),
];

const NEEDED: &str = "
  What it takes to be accepted
    Well-formed evidence, signed by a key whose certificates lead to the roots named above and are valid at the time of the
    verdict, and a guest and platform for which each sentence above holds. `teegate verify --explain all` lists every check.
";

fn diff(a: &str, b: &str, values: &ValuesArgs, format: Format) -> Result<(String, u8), String> {
    let [one, other] = values.both(a, b)?;
    let differences = teegate_measurements::differences(&one, &other);
    if format == Format::Json {
        let document = json!({ "schema": "teegate/policy-diff/1", "a": a, "b": b, "differences": differences });
        return Ok((output::to_json(&document)?, exit::ACCEPTED));
    }
    let mut text = format!("A is `{}`, B is `{}`.\n", output::plain(a), output::plain(b));
    for (title, direction) in [
        ("What B accepts and A refuses", Direction::Wider),
        ("What A accepts and B refuses", Direction::Narrower),
        ("What each accepts and the other refuses", Direction::Different),
        ("What differs, though no evidence was found that one accepts and the other refuses", Direction::Unwitnessed),
        ("What B claims beyond A, of the same evidence", Direction::ClaimsMore),
        ("What B claims no longer, of the same evidence", Direction::ClaimsLess),
    ] {
        let own: Vec<_> = differences.iter().filter(|one| one.direction == direction).collect();
        if !own.is_empty() {
            text += &format!("\n{title}\n");
        }
        for one in own {
            let place = if one.field.is_empty() { one.tee.to_owned() } else { format!("{} {}", one.tee, one.field) };
            text += &format!("  {place}: {}\n", output::plain(&one.text));
            for example in &one.examples {
                let (takes, refuses) = if example.accepted_by == Side::A { ("A", "B") } else { ("B", "A") };
                let shows = output::plain(&example.text);
                text += &format!("    for example {shows}: {takes} accepts it, {refuses} refuses it\n");
            }
        }
    }
    if differences.is_empty() {
        text += "They accept the same evidence and claim the same of it.\n";
    }
    Ok((Screen::shows(text), exit::ACCEPTED))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lint(file: &str, _values: &ValuesArgs, _format: Format) -> Result<(String, u8), String> {
        policy_lint::lint(&LintArgs::of(file))
    }

    #[test]
    fn an_explanation_says_what_is_asked_and_what_is_open() {
        let (text, status) = explain("genuine", &ValuesArgs::default(), Format::Text).unwrap();
        assert_eq!(status, 0);
        for said in [
            "\nAMD SEV-SNP [sev-snp.genuine]\n",
            "\nIntel TDX [tdx.genuine]\n",
            "\n  Which hardware\n    The processor must be one of milan, genoa, turin.\n",
            "\n    A chain must end in a root of Intel that this release carries.\n",
            "\n    measurement: The launch measurement (MEASUREMENT): not asked, so any code at all can run in the guest.\n",
            "\n    bound_to: No claim is made about which code",
        ] {
            assert!(text.contains(said), "{said}\n{text}");
        }
        let (json, _) = explain("genuine", &ValuesArgs::default(), Format::Json).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["sentences"][0]["topic"], "claim");
        assert_eq!(json["sentences"][0]["asked"], false);
    }

    #[test]
    fn notes_alone_end_with_zero_and_a_template_says_all_that_it_needs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.toml");
        let host_data = format!("host_data = \"{}\"", "11".repeat(32));
        let own = teegate_measurements::STRICT
            .replace("host_data = \"reference-value-needed\"", &host_data)
            .replace("reference-value-needed", &"22".repeat(48))
            .replace("products = [\"milan\", ", "products = [");
        std::fs::write(&path, &own).unwrap();
        let path = path.to_str().unwrap();
        let (text, status) = lint(path, &ValuesArgs::default(), Format::Text).unwrap();
        assert_eq!((status, text.lines().last()), (0, Some("errors: 0; warnings: 0; notes: 2")));
        // All that a template needs, in the order of the file.
        let (linted, status) = lint("strict", &ValuesArgs::default(), Format::Text).unwrap();
        let (explained, _) = explain("strict", &ValuesArgs::default(), Format::Text).unwrap();
        assert_eq!(status, 4, "milan is a warning");
        let (_, needs) = explained.split_once("\nReference values that this template still needs").unwrap();
        let fields = [
            "sev-snp.strict.measurement",
            "sev-snp.strict.host_data",
            "tdx.strict.mrtd",
            "tdx.strict.rtmr0",
            "tdx.strict.rtmr1",
            "tdx.strict.rtmr2",
            "tdx.strict.mrconfigid",
        ];
        let remark = |field: &str| {
            linted.find(&format!(": note: {field} [needed]\n    opens    a reference value is needed here"))
        };
        for places in [fields.map(|field| needs.find(&format!(": {field}; "))), fields.map(remark)] {
            assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{explained}{linted}");
        }
        assert_eq!(needs.matches("  line ").count(), fields.len(), "{needs}");
        let (json, _) = explain("strict", &ValuesArgs::default(), Format::Json).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["needed"].as_array().unwrap().len(), fields.len());
        assert_eq!(json["needed"][0]["form"], "48 bytes in hexadecimal");

        let (text, status) = diff(path, "genuine", &ValuesArgs::default(), Format::Text).unwrap();
        assert_eq!(status, 0);
        assert!(text.contains("\nWhat B accepts and A refuses\n"), "{text}");
        assert!(
            text.contains("  sev-snp measurement: B no longer asks: any code at all can run in the guest."),
            "{text}"
        );
        assert!(
            text.contains("    for example 0x0 (no bit that has a name): B accepts it, A refuses it\n")
                && text.contains("    for example no revocation list supplied: B accepts it, A refuses it\n")
                && text.contains(&format!("    for example {}23: B accepts it, A refuses it\n", "2".repeat(94))),
            "{text}"
        );
        assert!(text.contains("\nWhat B claims no longer, of the same evidence\n  sev-snp bound_to: "), "{text}");
        let (same, _) = diff(path, path, &ValuesArgs::default(), Format::Text).unwrap();
        assert!(same.ends_with("They accept the same evidence and claim the same of it.\n"), "{same}");
        let (json, _) = diff("genuine", path, &ValuesArgs::default(), Format::Json).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let narrower = |one: &&serde_json::Value| one["direction"] == "narrower" && one["field"] == "vmpl";
        let vmpl = json["differences"].as_array().unwrap().iter().find(narrower).unwrap();
        assert_eq!(vmpl["examples"], serde_json::json!([{ "accepted_by": "a", "shows": 1, "text": "1" }]));
    }

    /// A report that hides its chip is on no list of chips, so that it is refused either way.
    #[test]
    fn a_difference_that_no_evidence_shows_stands_apart() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, masked: &str| {
            let chips = format!("chip_ids = [\"{}\"]", "11".repeat(64));
            let text = teegate_measurements::GENUINE
                .replace("chip_ids = \"unchecked\"", &chips)
                .replace("masked_chip_id = \"rejected\"", &format!("masked_chip_id = \"{masked}\""));
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (a, b) = (put("a.toml", "rejected"), put("b.toml", "allowed"));
        let (text, _) = diff(&a, &b, &ValuesArgs::default(), Format::Text).unwrap();
        let apart = "\nWhat differs, though no evidence was found that one accepts and the other refuses\n  sev-snp masked_chip_id: ";
        assert!(text.contains(apart), "{text}");
        assert!(!text.contains("accepts and A refuses") && !text.contains("for example"), "{text}");
        let (json, _) = diff(&a, &b, &ValuesArgs::default(), Format::Json).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["differences"][0]["direction"], "unwitnessed");
        assert_eq!(json["differences"][0]["examples"], serde_json::json!([]));
    }
}
