//! `teegate verify`: evidence, endorsements, policy and time in; a verdict and the whole report out.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use teegate_intake::evidence::OwnedEvidence;
use teegate_verifier::{Endorsements, Policy, Report, ReportData, Tee, UnixTime};

use crate::output::{self, Style};
use crate::{exit, explain, instant, policy, show, supplied};

/// Decide whether evidence satisfies a policy, and say why or why not.
#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// SEV-SNP report or TDX quote: raw, hexadecimal, in a CMW, CoCo JSON, an attestation of Google's Go libraries, a bundle, a
    /// configfs-tsm folder; `-` for standard input
    #[arg(value_name = "EVIDENCE", required_unless_present = "explain")]
    evidence: Option<PathBuf>,

    /// Certificates, CRLs and collateral: a file or folder, recognised by content; may be given again
    #[arg(long, value_name = "PATH")]
    endorsements: Vec<PathBuf>,

    /// The event log of the TD's boot (CCEL; on Linux `/sys/firmware/acpi/tables/data/CCEL`), in place of one that the evidence
    /// carries; it is judged whether or not the policy requires one
    #[arg(long, value_name = "FILE")]
    event_log: Option<PathBuf>,

    /// What is asked of the evidence: a TOML file, `genuine` or `strict`
    #[arg(long, value_name = "FILE")]
    policy: Option<String>,

    /// The time to verify at: RFC 3339 or seconds since 1970; now, if left out
    #[arg(long, value_name = "TIME", value_parser = instant::parse)]
    at: Option<UnixTime>,

    /// The report data that the evidence must carry: 64 bytes in hexadecimal
    #[arg(long, value_name = "HEX", value_parser = report_data)]
    report_data: Option<ReportData>,

    /// Insist that the evidence is of this platform
    #[arg(long, value_enum)]
    tee: Option<TeeName>,

    /// How to show the report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Explain one check instead, or `all`: what it establishes, where it is written, what to do when it fails
    #[arg(long, value_name = "CHECK-ID", exclusive = true)]
    explain: Option<String>,
}

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
        Err(message) => output::fail(&message),
    }
}

fn verify(args: &VerifyArgs) -> Result<(String, u8), String> {
    let path = args.evidence.as_deref().ok_or("no evidence given")?;
    // No default: the weak policy would accept what nobody asked about, and the strong one needs values of the user's own.
    let named = args.policy.as_deref().ok_or(NO_POLICY)?;
    let mut policy = policy::read(named)?;
    if let Some(expected) = args.report_data {
        policy = policy.with_report_data(expected);
    }
    let evidence = supplied::evidence(path, args.tee.map(Tee::from), args.event_log.as_deref())?;
    let mut endorsements = supplied::endorsements(&args.endorsements)?.endorsements;
    endorsements.extend(&evidence.endorsements);
    let now = args.at.map_or_else(instant::now, Ok)?;

    let (report, status) = judge(&evidence, &endorsements, &policy, now);
    Ok((shown(&report, &policy, named, args.format)?, status))
}

/// The verdict with its exit status. What came along with the evidence counts only where it is among `endorsements`.
pub(crate) fn judge(
    evidence: &OwnedEvidence,
    endorsements: &Endorsements,
    policy: &Policy,
    now: UnixTime,
) -> (Report, u8) {
    match teegate_verifier::verify(&evidence.as_evidence(endorsements), policy, now) {
        Ok(attested) => (attested.report().clone(), exit::ACCEPTED),
        Err(rejection) => (rejection.report().clone(), exit::of_rejection(rejection.stage())),
    }
}

/// The answer where `--policy` is left out.
pub(crate) const NO_POLICY: &str = "no policy given, so there is nothing to hold the evidence against; `--policy genuine` asks whether the \
     hardware is genuine, which is not whether to send to it; `--policy FILE` asks what that file says, and `strict` is the \
     template of such a file";

/// The report in the form asked for; `named` is the policy as the user named it.
pub(crate) fn shown(report: &Report, policy: &Policy, named: &str, format: Format) -> Result<String, String> {
    match format {
        Format::Text => Ok(show::report(report, policy, named, Style::of_stdout())),
        Format::Json => {
            let mut text = serde_json::to_string_pretty(report)
                .map_err(|error| format!("the report cannot be written: {error}"))?;
            text.push('\n');
            Ok(text)
        }
    }
}

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
