//! `teegate policy init` and `teegate policy fill`: a first policy of one's own, and a template with its values in it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use teegate_encoding::hex;
use teegate_intake::evidence::OwnedEvidence;
use teegate_measurements::Rewritten;
use teegate_verifier::{BoundTo, Draft, Endorsements, FactValue, Policy, ReportData, Stage, Tee, UnixTime, verify};

use crate::atomic::{self, Existing};
use crate::exit::{self, Stop};
use crate::output::plain;
use crate::verify::TeeName;
use crate::{instant, output, policy, supplied, values};

/// Where the policy goes.
#[derive(Args)]
pub(crate) struct Output {
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file where it exists
    #[arg(long, requires = "output")]
    force: bool,
}

/// Options of `init`.
#[derive(Args)]
pub(crate) struct InitArgs {
    /// Evidence of the guest that the policy is to expect, in any form that `verify` reads
    #[arg(long, value_name = "EVIDENCE")]
    from: PathBuf,
    /// Insist that the evidence is of this platform
    #[arg(long, value_enum)]
    tee: Option<TeeName>,
    /// What the pinned measurements admit, which only you can know: `guest` any code of the guest, `pod` any of the pod,
    /// `workload` this code alone (verifier/LIMITATIONS.md)
    #[arg(long, value_enum, default_value_t = BoundToName::Guest)]
    bound_to: BoundToName,
    /// Of a TD whose RTMR0 is zero: why nobody has to judge its ACPI tables, which are code that the host supplies
    #[arg(long, value_name = "REASON")]
    unjudged_acpi_tables: Option<String>,
    /// Certificates, CRLs and collateral: with them the evidence is verified first, and of evidence that nobody vouches for no policy
    /// is made
    #[arg(long, value_name = "PATH")]
    endorsements: Vec<PathBuf>,
    /// The time to verify at: RFC 3339 or seconds since 1970; now, if left out
    #[arg(long, value_name = "TIME", value_parser = instant::parse)]
    at: Option<UnixTime>,
    /// The name of the policy
    #[arg(long, default_value = "own")]
    name: String,
    #[command(flatten)]
    output: Output,
}

/// Options of `fill`.
#[derive(Args)]
pub(crate) struct FillArgs {
    /// A template, such as `strict`
    #[arg(value_name = "FILE")]
    file: String,
    #[command(flatten)]
    values: values::ValuesArgs,
    /// Keep the profiles of this TEE alone, and take from the values what is of it: for files that hold values of both
    #[arg(long, value_enum)]
    tee: Option<TeeName>,
    /// Pin this root (a self-signed certificate, PEM) in place of the vendor's, `amd` or `intel`: for forged hardware, whose
    /// acceptance is never better than a warning; may be given again
    #[arg(long, value_name = "VENDOR=FILE", value_parser = root)]
    root: Vec<(String, PathBuf)>,
    #[command(flatten)]
    output: Output,
}

fn root(text: &str) -> Result<(String, PathBuf), String> {
    let (vendor, file) = text
        .split_once('=')
        .filter(|(vendor, file)| !vendor.is_empty() && !file.is_empty())
        .ok_or("expected a vendor and a file, such as `amd=forged-root.pem`")?;
    Ok((vendor.to_owned(), PathBuf::from(file)))
}

/// What evidence speaks for, as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BoundToName {
    /// The guest: whatever runs in it
    Guest,
    /// The pod: whatever runs in it
    Pod,
    /// This code and no other
    Workload,
}

impl From<BoundToName> for BoundTo {
    fn from(name: BoundToName) -> Self {
        match name {
            BoundToName::Guest => Self::Guest,
            BoundToName::Pod => Self::Pod,
            BoundToName::Workload => Self::Workload,
        }
    }
}

/// Writes a first policy.
pub(crate) fn init(args: &InitArgs) -> Result<(String, u8), Stop> {
    let evidence = supplied::evidence(&args.from, args.tee.map(Tee::from), None)?;
    let now = args.at.map_or_else(instant::now, Ok)?;
    let mut pool = supplied::endorsements(&args.endorsements)?.endorsements();
    pool.extend(&evidence.endorsements);
    let wrapping = evidence.wrapping();
    let genuine = Rewritten::of(teegate_measurements::GENUINE).and_then(|genuine| genuine.wrapped(wrapping));
    let genuine = genuine.and_then(|genuine| Policy::parse(&genuine.text())).map_err(|error| error.to_string())?;
    let vouched = verify(&evidence.as_evidence(&pool), &genuine, now);
    let vouched = match vouched {
        Err(rejection) if !args.endorsements.is_empty() => {
            let why = plain(&rejection.to_string());
            return Err(Stop {
                status: exit::of_rejection(rejection.stage()),
                message: format!("{why}; nothing was written"),
            });
        }
        verdict => verdict.is_ok(),
    };
    let facts = evidence.inspect();
    let facts = facts
        .map_err(|malformed| Stop::from(format!("this is no well-formed {} evidence: {malformed}", evidence.tee)))?;
    let text = first(&evidence, &facts, args)?;
    let verified = if vouched { "its maker vouches for it, at that time" } else { "nothing of it was verified" };
    let head = format!(
        "# Made by `teegate policy init` at {now} from the evidence `{}`.\n{}# The measurements are what that evidence shows, \
         and {verified}: compare them with what you built\n# before you send anything. `teegate policy explain` says what this policy asks, \
         `teegate policy lint` what is weak in it.\n\n",
        plain(&args.from.display().to_string()),
        commented(FIRST_USE),
    );
    let text = head + &text;
    let written = written(&args.output, &text)?;
    output::note(FIRST_USE);
    for line in remarks(&evidence, &facts, &pool, &text, vouched, now) {
        output::note(&line);
    }
    Ok(written)
}

/// What such a policy is, whoever vouches for the evidence.
const FIRST_USE: &str = "This is trust on first use: it expects from now on whatever ran when the evidence was taken; endorsements prove that \
                         the hardware is genuine, not that these are the measurements that you want";

/// As lines of a comment.
fn commented(text: &str) -> String {
    let mut lines = vec![String::from("#")];
    for word in text.split(' ') {
        if lines.last().is_some_and(|line| line.len() + word.len() > 126) {
            lines.push(String::from("#"));
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n") + ".\n"
}

/// What the author should know of the policy at once: who vouches for its values, and whether it accepts the evidence that it was
/// made of.
fn remarks(
    evidence: &OwnedEvidence,
    facts: &[(&'static str, FactValue)],
    pool: &Endorsements,
    text: &str,
    vouched: bool,
    now: UnixTime,
) -> Vec<String> {
    let stands = evidence.wrapping().report_data_fact();
    let report_data = facts.iter().find(|(name, _)| *name == stands).map(|(_, value)| value.to_string());
    let bytes = report_data.as_ref().and_then(|text| hex::decode(text).ok()?.try_into().ok()).map(ReportData);
    let mut lines = Vec::new();
    if !vouched {
        lines.push(
            "nobody vouches for these values yet: with `--endorsements` (and `--at` for recorded evidence) the evidence is verified \
             first; `teegate fetch EVIDENCE --into DIR` gets what that needs"
                .to_owned(),
        );
    }
    let shows = |name: &str| facts.iter().find(|(own, _)| *own == name).map(|(_, value)| value.to_string());
    let is_zeros = |digits: &String| digits.bytes().all(|digit| digit == b'0');
    // A policy of a guest mostly leaves PCR 8 alone.
    let names_pcr8 =
        shows("pcr8").is_some_and(|digits| !is_zeros(&digits) && text.contains(&format!("pcr8 = \"{digits}\"")));
    if names_pcr8 && shows("pcr11").as_ref().is_some_and(is_zeros) {
        lines.push(
            "PCR 11 is zero, so that no unified kernel image booted, and a boot loader may have extended PCR 8: compare it with \
             `teegate predict initdata` before you take it for a pod's"
                .to_owned(),
        );
    }
    let Ok(policy) = Policy::parse(text) else {
        lines.push(
            "it still needs reference values that this evidence does not show: `teegate policy explain` names them"
                .to_owned(),
        );
        return lines;
    };
    let Some(bytes) = bytes else {
        lines.push(
            "what the evidence reports is no challenge of 64 bytes, so that no policy which asks for one accepts it; take evidence over \
             64 bytes of your own (`teegate record`)"
                .to_owned(),
        );
        return lines;
    };
    let verdict = verify(&evidence.as_evidence(pool), &policy.with_report_data(bytes), now);
    match &verdict {
        Ok(_) => lines.push("it accepts the evidence that it was made of".to_owned()),
        Err(rejection) if !vouched && rejection.stage() != Stage::Appraise => {}
        Err(rejection) => lines.extend(rejection.failures().map(|finding| {
            let fields: Vec<_> = finding.check().fields().iter().map(|field| format!("`{}`", field.name)).collect();
            format!(
                "it refuses the evidence that it was made of by {} ({}): expected {}, found {}",
                finding.check(),
                fields.join(", "),
                plain(finding.expected()),
                plain(finding.actual())
            )
        })),
    }
    lines.push(format!(
        "it asks for the challenge; for this very evidence: --report-data {}",
        report_data.unwrap_or_default()
    ));
    lines
}

fn first(evidence: &OwnedEvidence, facts: &[(&'static str, FactValue)], args: &InitArgs) -> Result<String, Stop> {
    let shows = |field: &str| {
        let (_, value) = facts.iter().find(|(fact, _)| *fact == field)?;
        matches!(value, FactValue::Bytes(_) | FactValue::Number(_)).then(|| value.to_string())
    };
    let (subject, reason) = ((evidence.tee, evidence.wrapping()), args.unjudged_acpi_tables.as_deref());
    teegate_measurements::init_bearing(subject, &args.name, args.bound_to.into(), reason, shows)
        .map_err(|error| Stop::from(format!("what this evidence shows cannot be expected by a strict policy: {error}")))
}

/// Writes a template with its values in it.
pub(crate) fn fill(args: &FillArgs) -> Result<(String, u8), String> {
    let (text, kinds) = args.values.filled(&args.file, args.tee.map(Tee::from))?;
    // Before a root: what is wrong with the template is no fault of `--root`.
    Draft::parse(&text).map_err(|error| policy::refused(&args.file, &error))?;
    let read = |(vendor, file): &(String, PathBuf)| {
        let pem = policy::file_text(file).map_err(|what| format!("the root `{}`: {what}", file.display()))?;
        Ok((vendor.clone(), pem))
    };
    let roots = args.root.iter().map(read).collect::<Result<Vec<_>, String>>()?;
    let text = teegate_measurements::pinned(&text, &roots).map_err(|error| format!("`--root`: {error}"))?;
    // What is written loads by itself.
    Policy::parse(&text).map_err(|error| policy::refused(&args.file, &error))?;
    let written = written(&args.output, &text)?;
    kinds.iter().for_each(|kind| output::note(kind));
    if !roots.is_empty() {
        output::note(
            "this policy pins roots in place of a vendor's: whoever holds their keys can make evidence that it accepts, so no \
             acceptance under it is better than a warning",
        );
    }
    Ok(written)
}

fn written(Output { output: file, force }: &Output, text: &str) -> Result<(String, u8), String> {
    let Some(path) = file else { return Ok((text.to_owned(), exit::ACCEPTED)) };
    atomic::write(path, text.as_bytes(), if *force { Existing::Replace } else { Existing::Keep })?;
    Ok((format!("wrote {}\n", output::plain(&path.display().to_string())), exit::ACCEPTED))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn args(from: &Path, to: Option<PathBuf>, force: bool) -> InitArgs {
        InitArgs {
            from: from.to_owned(),
            tee: None,
            bound_to: BoundToName::Guest,
            unjudged_acpi_tables: None,
            endorsements: Vec::new(),
            at: None,
            name: "mine".to_owned(),
            output: Output { output: to, force },
        }
    }

    #[test]
    fn a_first_policy_loads_says_what_the_evidence_shows_and_is_not_written_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let report = folder.path().join("report.bin");
        let forged = teegate_forge::snp().measurement([0x2A; 48]).host_data([0x2B; 32]).build();
        std::fs::write(&report, forged.report).unwrap();
        let (text, status) = init(&args(&report, None, false)).unwrap();
        assert_eq!(status, 0);
        assert!(
            text.starts_with("# Made by `teegate policy init` at ") && text.contains("nothing of it was verified"),
            "{text}"
        );
        assert!(text.lines().nth(1).unwrap().starts_with("# This is trust on first use: "), "{text}");
        let policy = Policy::parse(&text).unwrap();
        assert_eq!((policy.name(), policy.document().profiles()[0].place()), ("mine", "sev-snp.own".to_owned()));
        assert!(text.contains(&format!("measurement = \"{}\"", "2a".repeat(48))), "{text}");

        let own = folder.path().join("own.toml");
        let (said, _) = init(&args(&report, Some(own.clone()), false)).unwrap();
        assert!(said.starts_with("wrote "), "{said}");
        let again = init(&args(&report, Some(own.clone()), false)).unwrap_err();
        assert!(again.message.contains("it exists already"), "{again:?}");
        init(&args(&report, Some(own), true)).unwrap();
    }

    /// Who names endorsements wants to be told by them, before a policy stands on disk.
    #[test]
    fn evidence_that_nobody_vouches_for_makes_no_policy_where_endorsements_were_named() {
        let folder = tempfile::tempdir().unwrap();
        let set = teegate_forge::snp().measurement([0x2A; 48]).host_data([0x2B; 32]).build();
        let (report, certificates) = (folder.path().join("report.bin"), folder.path().join("chain.pem"));
        std::fs::write(&report, &set.report).unwrap();
        std::fs::write(&certificates, set.chain_pem()).unwrap();
        let own = folder.path().join("own.toml");
        let with = InitArgs { endorsements: vec![certificates], ..args(&report, Some(own.clone()), false) };
        let refused = init(&with).unwrap_err();
        assert_eq!(refused.status, exit::of_rejection(Stage::Authenticate));
        assert!(
            refused.message.contains("snp.chain.ark-pinned") && refused.message.ends_with("; nothing was written"),
            "{refused:?}"
        );
        assert!(!own.exists());
        // The twin names none, and is told that nobody vouches.
        init(&args(&report, Some(own.clone()), false)).unwrap();
        let text = std::fs::read_to_string(own).unwrap();
        assert!(text.contains("\nbound_to = \"guest\"\n"), "what it admits is the author's to say: {text}");
    }

    #[test]
    fn a_policy_that_refuses_the_evidence_that_it_was_made_of_is_said_to() {
        let said = |builder: teegate_forge::snp::SnpBuilder| {
            let set = builder.measurement([0x2A; 48]).host_data([0x2B; 32]).at(teegate_forge::time::AT).build();
            let evidence = teegate_intake::evidence::recognise(&set.report, None).unwrap();
            let mut pool = Endorsements::new();
            set.certificates().into_iter().for_each(|der| pool.add_certificate(der));
            pool.add_crl(set.crl.clone().unwrap());
            let facts = evidence.inspect().unwrap();
            let text = first(&evidence, &facts, &args(Path::new("report.bin"), None, false)).unwrap();
            let text = format!("{text}\n[trust_anchors]\namd = ['''\n{}''']\n", set.ark_pem);
            let now = UnixTime::from_seconds(teegate_forge::time::AT);
            remarks(&evidence, &facts, &pool, &text, true, now)
        };
        let accepted = said(teegate_forge::snp());
        assert_eq!(accepted[0], "it accepts the evidence that it was made of");
        assert!(accepted[1].ends_with(&format!("--report-data {}", "00".repeat(64))), "{accepted:?}");
        let refused = said(teegate_forge::snp().debug());
        let debug = "it refuses the evidence that it was made of by snp.policy.debug (`debug`): expected ";
        assert!(refused[0].starts_with(debug), "{refused:?}");
    }

    #[test]
    fn a_root_is_pinned_in_what_is_filled_and_a_wrong_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("forged-root.pem");
        std::fs::write(&file, teegate_forge::snp().ark_pem()).unwrap();
        let filled = |vendor: &str, file: &Path| {
            let values = values::ValuesArgs::default();
            let root = vec![root(&format!("{vendor}={}", file.display())).unwrap()];
            let output = Output { output: None, force: false };
            fill(&FillArgs { file: "genuine".to_owned(), values, tee: None, root, output }).map(|(text, _)| text)
        };
        let policy = Policy::parse(&filled("amd", &file).unwrap()).unwrap();
        assert_eq!((policy.name(), policy.trusts_only_vendors()), ("genuine, under roots of its own", false));
        assert!(filled("arm", &file).unwrap_err().starts_with("`--root`: `arm`: no such vendor: expected "));
        let missing = filled("amd", &folder.path().join("none.pem")).unwrap_err();
        assert!(missing.contains("none.pem`: cannot be read: "), "{missing}");
        // What is wrong with the template is said of it, with a root and without.
        let empty = folder.path().join("empty.toml");
        std::fs::write(&empty, "").unwrap();
        for root in [vec![], vec![root(&format!("amd={}", file.display())).unwrap()]] {
            let output = Output { output: None, force: false };
            let (values, name) = (values::ValuesArgs::default(), empty.display().to_string());
            let refused = fill(&FillArgs { file: name.clone(), values, tee: None, root, output }).unwrap_err();
            assert!(refused.starts_with(&format!("policy `{name}`: ")), "{refused}");
        }
        std::fs::write(&file, "no PEM").unwrap();
        assert!(filled("amd", &file).unwrap_err().contains("expected certificates in PEM"));
        for wrong in ["amd", "=root.pem", "amd="] {
            assert!(root(wrong).unwrap_err().contains("such as `amd=forged-root.pem`"), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_evidence_and_what_pins_nobody_makes_no_policy() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("report.bin");
        std::fs::write(&file, "hello").unwrap();
        assert_eq!(init(&args(&file, None, false)).unwrap_err().status, exit::MALFORMED);
        std::fs::write(&file, teegate_forge::snp().measurement([0; 48]).build().report).unwrap();
        let refused = init(&args(&file, None, false)).unwrap_err();
        assert!(refused.message.contains("`measurement` does not pin who enforces it"), "{refused:?}");
    }

    /// Under a paravisor the policy is that of a node or of a pod, with the registers that the quote of the vTPM shows.
    #[test]
    fn evidence_of_an_azure_vtpm_makes_a_policy_that_accepts_it() {
        let set = teegate_forge::azure_snp().build();
        let teegate_forge::azure::PlatformSet::Snp(platform) = &set.platform else { panic!("SEV-SNP") };
        let evidence = teegate_intake::evidence::recognise(set.coco_evidence(2).as_bytes(), None).unwrap();
        let facts = evidence.inspect().unwrap();
        let mut pool = Endorsements::new();
        platform.certificates().into_iter().for_each(|der| pool.add_certificate(der));
        pool.add_crl(platform.crl.clone().unwrap());
        for (bound_to, names_initdata) in [(BoundToName::Guest, false), (BoundToName::Workload, true)] {
            let asked = InitArgs { bound_to, ..args(Path::new("evidence.json"), None, false) };
            let text = first(&evidence, &facts, &asked).unwrap();
            assert_eq!(text.contains("pcr8 = \"unchecked\""), !names_initdata, "{text}");
            let text = format!("{text}\n[trust_anchors]\namd = ['''\n{}''']\n", platform.ark_pem);
            let now = UnixTime::from_seconds(teegate_forge::time::AT);
            let said = remarks(&evidence, &facts, &pool, &text, true, now);
            assert_eq!(said[0], "it accepts the evidence that it was made of", "{said:?}");
            assert!(said.last().unwrap().ends_with(&"a5".repeat(64)), "{said:?}");
            // Whether PCR 8 is of initdata nobody can say where no unified kernel image booted.
            let mut by_grub = facts.clone();
            let zeros = |(name, value): &mut (&str, FactValue)| {
                if *name == "pcr11" {
                    *value = FactValue::Bytes((&[0_u8; 32][..]).into());
                }
            };
            by_grub.iter_mut().for_each(zeros);
            let text = first(&evidence, &by_grub, &asked).unwrap();
            let said = remarks(&evidence, &by_grub, &pool, &text, true, now);
            let warned =
                said.iter().any(|line| line.starts_with("PCR 11 is zero, so that no unified kernel image booted"));
            assert_eq!(warned, !text.contains("pcr8 = \"unchecked\""), "{said:?}");
            // A quote over something else than a challenge is said to be one.
            let short = |(name, value): &mut (&str, FactValue)| {
                if *name == evidence.wrapping().report_data_fact() {
                    *value = FactValue::Bytes((&[7_u8; 48][..]).into());
                }
            };
            let mut of_48 = facts.clone();
            of_48.iter_mut().for_each(short);
            let said = remarks(&evidence, &of_48, &pool, &text, true, now);
            assert!(
                said.last().unwrap().starts_with("what the evidence reports is no challenge of 64 bytes"),
                "{said:?}"
            );
        }
    }
}
