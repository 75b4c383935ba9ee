//! `teegate probe`: what stands at an address. Its evidence is fetched and judged; nothing is sealed, and nothing is sent but questions that
//! anybody may ask.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use teegate_client::{Gateway, Probed, Stands, probe};
use teegate_intake::evidence;
use teegate_protocol::binding;
use teegate_protocol::manifest::{ManifestBytes, ManifestDigest};
use teegate_verifier::{ReportData, Source};

use crate::answers::{self, Answer};
use crate::exit::{self, Stop};
use crate::format::{Inputs, ShownArgs};
use crate::gateway::{self, Failure, Judging, JudgingArgs};
use crate::output::finish;
use crate::{help, memory};

/// Fetch and judge the evidence of what stands at an address, sending nothing.
#[derive(Args)]
#[command(after_help = help::PROBE)]
pub(crate) struct ProbeArgs {
    /// The address of a gateway or of an enclave-app: `http://HOST:PORT` or `https://…`; its TLS certificate is not judged, its
    /// evidence is
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// Of the instances that a gateway offers look at the one with this manifest (SHA-256, 64 hexadecimal digits)
    #[arg(long, value_name = "DIGEST", value_parser = manifest_digest)]
    manifest: Option<ManifestDigest>,
    #[command(flatten)]
    judging: JudgingArgs,
    #[command(flatten)]
    shown: ShownArgs,
}

/// Runs the command.
pub(crate) fn run(args: &ProbeArgs) -> ExitCode {
    gateway::run(look(args))
}

async fn look(args: &ProbeArgs) -> Result<ExitCode, Failure> {
    let ear_key = args.shown.prepare().map_err(Failure::Input)?;
    let address = Gateway::parse(&args.address).map_err(|error| Failure::Input(error.to_string()))?;
    let judging = args.judging.read().map_err(Failure::Input)?;
    let Judging { policy, endorsements, settings, .. } = &judging;
    let (stands, mut found) = probe(&address, policy.clone(), endorsements.clone(), settings).await?;
    if let (Some(wanted), false) = (&args.manifest, found.is_empty()) {
        found = only(wanted, found).map_err(Failure::Input)?;
    }
    let accepted = found.iter().filter_map(|probed| probed.verdict.as_ref().ok());
    if let Some(path) = args.judging.memory() {
        let mut seen = settings.memory.clone();
        accepted.for_each(|proven| seen.remember(proven.attested().seen()));
        memory::write(path, &seen).map_err(Failure::Input)?;
    }
    if found.is_empty() {
        return Err(Failure::Input(format!("the gateway at {address} offers no instance")));
    }
    let names: Vec<_> = (1..=found.len()).map(|number| name(&args.address, number, found.len())).collect();
    let answered = answers::of(&names, &args.shown, ear_key.as_ref(), |name| {
        let probed = names.iter().position(|one| one == name).and_then(|place| found.get(place));
        let probed = probed.ok_or_else(|| "an instance without a number".to_owned())?;
        answer(args, &judging, stands, probed)
    });
    match answered {
        Ok((text, status)) => Ok(finish(&text, status)),
        Err(stop) => Ok(gateway::fail(&format!("error: {}", stop.message), stop.status)),
    }
}

/// The one with this manifest.
fn only(wanted: &ManifestDigest, found: Vec<Probed>) -> Result<Vec<Probed>, String> {
    let of = |probed: &Probed| {
        teegate_protocol::evidence::Envelope::parse(&probed.envelope).ok().map(|one| ManifestDigest::of(&one.manifest))
    };
    let others: Vec<_> = found.iter().filter_map(of).map(|digest| digest.to_string()).collect();
    let found: Vec<_> = found.into_iter().filter(|probed| of(probed).as_ref() == Some(wanted)).take(1).collect();
    if found.is_empty() {
        let others = if others.is_empty() { "none that can be read".to_owned() } else { others.join(", ") };
        return Err(format!(
            "no instance with the manifest {wanted} is offered; a gateway names at most three at once, in random order; now: {others}"
        ));
    }
    Ok(found)
}

fn manifest_digest(text: &str) -> Result<ManifestDigest, String> {
    text.parse().map_err(|_| "expected 64 hexadecimal digits in lower case, as `teegate probe` shows them".to_owned())
}

/// What an instance is called: the address, with a number where there are several.
fn name(address: &str, number: usize, of: usize) -> PathBuf {
    PathBuf::from(if of == 1 { address.to_owned() } else { format!("{address}#{number}") })
}

fn answer(args: &ProbeArgs, judging: &Judging, stands: Stands, probed: &Probed) -> Result<Answer, Stop> {
    let report = match &probed.verdict {
        Ok(proven) => proven.attested().report(),
        Err(refused) => match &refused.rejection {
            Some(rejection) => rejection.report(),
            // It was refused around the evidence, which has no report of its own.
            None => {
                return Err(Stop { status: exit::of_rejection(refused.stage), message: refused.to_string() });
            }
        },
    };
    let status = report.stage().map_or(exit::ACCEPTED, exit::of_rejection);
    let evidence = evidence::recognise(&probed.envelope, None).map_err(|error| Stop::of_evidence(&error))?;
    let manifest = teegate_protocol::evidence::Envelope::parse(&probed.envelope).map_err(|error| error.to_string())?;
    let manifest = ManifestBytes::parse(manifest.manifest).map_err(|error| error.to_string())?;
    let expected = ReportData(match &probed.nonce {
        Some(nonce) => binding::fresh(manifest.digest(), nonce),
        None => binding::epoch(manifest.digest()),
    });
    let policy = judging.policy.with_report_data(expected);
    let expired = {
        let mut pool = probed.trust.endorsements.clone();
        pool.extend(&evidence.endorsements);
        teegate_verifier::expired(&evidence.as_evidence(&pool), &policy, (judging.settings.clock)())
    };
    let mut brought_by: Vec<Source> = Vec::new();
    for endorsement in report.endorsements() {
        if !brought_by.contains(&endorsement.source) {
            brought_by.push(endorsement.source);
        }
    }
    let inputs = Inputs {
        policy: Source::Supplied,
        at: None,
        report_data: Some(Source::Evidence),
        event_log: Inputs::event_log(&evidence, false),
        endorsements: brought_by,
    };
    Ok(Answer {
        report: report.clone(),
        status,
        expired,
        policy,
        named: args.judging.policy().to_owned(),
        policy_text: judging.policy_text.clone(),
        report_data: Some(expected),
        inputs,
        in_vain: Vec::new(),
        found: Answer::found(&evidence),
        preface: preface(stands, &manifest, probed),
    })
}

/// What stands there, in lines.
fn preface(stands: Stands, manifest: &ManifestBytes, probed: &Probed) -> String {
    let said = manifest.manifest();
    let who = match stands {
        Stands::Gateway => {
            "a gateway that offers this instance; its evidence is that of the epoch, and the instance was not asked anything"
        }
        Stands::Enclave if probed.tls_key.is_some() => {
            "an enclave-app, asked with a challenge of this probe, over a connection whose TLS key its manifest has to name"
        }
        Stands::Enclave => {
            "an enclave-app, asked with a challenge of this probe; whether it is at the end of the connection was NOT checked: there was \
             no TLS, so that anything in between may have passed the challenge on"
        }
        _ => "something that shows evidence",
    };
    let models: Vec<_> = said.models.iter().map(|model| format!("{} {}", model.name, model.version)).collect();
    let models = if models.is_empty() { "none".to_owned() } else { models.join(", ") };
    format!(
        "what stands there: {who}\ninstance {}, manifest {}\nmodels, as it says: {}\n",
        said.instance_id,
        manifest.digest(),
        crate::output::plain(&models)
    )
}
