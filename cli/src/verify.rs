//! `teegate verify`: evidence, endorsements, policy and time in; a verdict and the whole report out.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use teegate_encoding::hex;
use teegate_intake::evidence::OwnedEvidence;
use teegate_verifier::{Endorsements, Expired, Policy, Report, ReportData, Source, Tee, UnixTime};

use crate::answers::{self, Answer};
use crate::exit::{self, Stop};
use crate::format::{Inputs, Moment, ShownArgs};
use crate::online::OnlineArgs;
use crate::output;
use crate::values::ValuesArgs;
use crate::{caller, explain, help, instant, memory, supplied};

/// Decide whether evidence satisfies a policy, and say why or why not.
#[derive(Args)]
#[command(after_help = help::VERIFY)]
pub(crate) struct VerifyArgs {
    /// SEV-SNP report or TDX quote: raw, hexadecimal, base64, a hex dump, in a CMW, CoCo JSON, a member of other JSON, an attestation of
    /// Google's Go libraries, a bundle, a configfs-tsm report; `-` for standard input. Many files are answered in one report, and the
    /// highest status counts
    #[arg(value_name = "EVIDENCE", required_unless_present = "explain")]
    evidence: Vec<PathBuf>,

    /// Certificates, CRLs and collateral: a file or folder, recognised by content; may be given again
    #[arg(long, value_name = "PATH")]
    endorsements: Vec<PathBuf>,

    /// The event log of the boot, of a TD (CCEL; on Linux `/sys/firmware/acpi/tables/data/CCEL`) or of an Azure vTPM
    /// (`/sys/kernel/security/tpm0/binary_bios_measurements`), in place of one that the evidence carries; it is judged whether or not the
    /// policy requires one
    #[arg(long, value_name = "FILE")]
    event_log: Option<PathBuf>,

    /// What is asked of the evidence: a TOML file, `genuine` or `strict`
    #[arg(long, value_name = "FILE")]
    policy: Option<String>,

    #[command(flatten)]
    values: ValuesArgs,

    /// The time to verify at: RFC 3339 or seconds since 1970; now, if left out
    #[arg(long, value_name = "TIME", value_parser = instant::parse)]
    at: Option<UnixTime>,

    /// The report data that the evidence must carry: 64 bytes in hexadecimal
    #[arg(long, value_name = "HEX", value_parser = report_data)]
    report_data: Option<ReportData>,

    /// Keep in this file what was seen (JSON, locked through `FILE.lock`), and refuse CRLs, evaluations and TCBs that are older than what it holds
    #[arg(long, value_name = "FILE")]
    memory: Option<PathBuf>,

    /// Insist that the evidence is of this platform
    #[arg(long, value_enum)]
    tee: Option<TeeName>,

    #[command(flatten)]
    shown: ShownArgs,

    #[command(flatten)]
    online: OnlineArgs,

    /// Explain one check instead, or `all`: what it establishes, where it is written, what to do when it fails
    #[arg(long, value_name = "CHECK-ID", conflicts_with_all = NOT_EXPLAINED)]
    explain: Option<String>,
}

/// Every other option but that of colour: an explanation judges nothing. A test holds the list to the options.
const NOT_EXPLAINED: [&str; 22] = [
    "evidence",
    "endorsements",
    "event_log",
    "policy",
    "reference_values",
    "signed_by",
    "sigstore_bundle",
    "trusted_root",
    "certificate_identity",
    "certificate_oidc_issuer",
    "at",
    "report_data",
    "memory",
    "tee",
    "format",
    "long",
    "short",
    "quiet",
    "ear_key",
    "online",
    "source",
    "cache",
];

/// A platform, as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TeeName {
    /// AMD SEV-SNP
    #[value(alias = "sev-snp")]
    Snp,
    /// Intel TDX
    Tdx,
}

impl From<TeeName> for Tee {
    fn from(name: TeeName) -> Self {
        match name {
            TeeName::Snp => Tee::SevSnp,
            TeeName::Tdx => Tee::Tdx,
        }
    }
}

/// How a result is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Runs the command.
pub(crate) fn run(args: &VerifyArgs) -> ExitCode {
    if let Some(id) = &args.explain {
        return explain::run(id);
    }
    match verify(args) {
        Ok((text, status)) => output::finish(&text, status),
        Err(stop) => output::stop(&stop),
    }
}

fn verify(args: &VerifyArgs) -> Result<(String, u8), Stop> {
    // No default: the weak policy would accept what nobody asked about, and the strong one needs values of the user's own.
    let named = args.policy.as_deref().ok_or_else(|| NO_POLICY.to_owned())?;
    if args.event_log.is_some() && args.evidence.len() > 1 {
        return Err(ONE_LOG.to_owned().into());
    }
    let ear_key = args.shown.prepare()?;
    let (policy, policy_text) = args.values.policy(named, args.at)?;
    let supplied = supplied::endorsements(&args.endorsements)?;
    let moment = moment(args.at)?;
    answers::of(&args.evidence, &args.shown, ear_key.as_ref(), |path| {
        let evidence = supplied::evidence(path, args.tee.map(Tee::from), args.event_log.as_deref())?;
        let policy = caller::asks(policy.clone(), named, evidence.tee, args.report_data)?;
        let pool = args.online.pool(&evidence, &supplied, &policy, moment.at)?;
        let Judged { report, status, expired } =
            judge(&evidence, &pool.endorsements, &policy, moment, args.memory.as_deref())?;
        let by_the_user = |named: bool| named.then_some(Source::Supplied);
        let inputs = Inputs {
            policy: Source::Supplied,
            at: moment.named_by,
            report_data: by_the_user(args.report_data.is_some()),
            event_log: Inputs::event_log(&evidence, args.event_log.is_some()),
            endorsements: pool.brought_by,
        };
        Ok(Answer {
            report,
            status,
            expired,
            policy,
            named: named.to_owned(),
            policy_text: policy_text.clone(),
            report_data: args.report_data,
            inputs,
            in_vain: pool.in_vain,
            found: Answer::found(&evidence),
            preface: String::new(),
        })
    })
}

const ONE_LOG: &str =
    "an event log is that of one boot, and many files of evidence were named; give `--event-log` with one of them";

/// The time that the user named, or now.
pub(crate) fn moment(named: Option<UnixTime>) -> Result<Moment, String> {
    Ok(match named {
        Some(at) => Moment { at, named_by: Some(Source::Supplied) },
        None => Moment { at: instant::now()?, named_by: None },
    })
}

/// A verdict: its report, its exit status, and the endorsements that had expired.
pub(crate) struct Judged {
    pub(crate) report: Report,
    pub(crate) status: u8,
    pub(crate) expired: Vec<Expired>,
}

/// Judges `evidence`, against the memory in that file where one is named, which then learns from an acceptance. What came
/// along with the evidence counts only where it is among `endorsements`.
pub(crate) fn judge(
    evidence: &OwnedEvidence,
    endorsements: &Endorsements,
    policy: &Policy,
    moment: Moment,
    memory: Option<&Path>,
) -> Result<Judged, String> {
    let (presented, now) = (evidence.as_evidence(endorsements), moment.at);
    let verdict = match memory {
        None => teegate_verifier::verify(&presented, policy, now),
        Some(path) => memory::update(path, |known| {
            let verdict = teegate_verifier::verify_with(&presented, policy, now, known);
            if let Ok(attested) = &verdict {
                known.remember(attested.seen());
            }
            Ok(verdict)
        })?,
    };
    let (report, status) = match verdict {
        Ok(attested) => (attested.report().clone(), exit::ACCEPTED),
        Err(rejection) => (rejection.report().clone(), exit::of_rejection(rejection.stage())),
    };
    let report = if moment.named_by.is_some() { report.of_a_replay() } else { report };
    Ok(Judged { report, status, expired: teegate_verifier::expired(&presented, policy, now) })
}

/// The answer where `--policy` is left out.
pub(crate) const NO_POLICY: &str = "no policy given, so there is nothing to hold the evidence against; `--policy genuine` asks whether the \
     hardware is genuine, which is not whether to send to it; `--policy FILE` asks what that file says, and `strict` is the \
     template of such a file";

/// Parses the value of `--report-data`.
pub(crate) fn report_data(text: &str) -> Result<ReportData, String> {
    let mut bytes = [0; 64];
    match hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes) {
        Ok(()) => Ok(ReportData(bytes)),
        Err(_) => Err(format!("expected 128 hexadecimal digits (64 bytes), found {} characters", text.chars().count())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_data_is_sixty_four_bytes() {
        assert_eq!(report_data(&"0A".repeat(64)), Ok(ReportData([10; 64])));
        assert_eq!(report_data(&format!("0x{}", "0a".repeat(64))), Ok(ReportData([10; 64])));
        for wrong in ["", "0a", &"0a".repeat(63), &"0a".repeat(65), &"zz".repeat(64)] {
            assert!(report_data(wrong).unwrap_err().contains("expected 128 hexadecimal digits"), "{wrong}");
        }
    }
}
