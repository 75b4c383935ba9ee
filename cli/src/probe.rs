//! `teegate probe`: what stands at an address. Its evidence is fetched and judged; nothing is sealed, and nothing is sent but questions that
//! anybody may ask.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use teegate_client::{Ask, Gateway, Probed, Stands, probe};
use teegate_intake::evidence;
use teegate_protocol::binding;
use teegate_protocol::evidence::Envelope;
use teegate_protocol::manifest::{ManifestBytes, ManifestDigest};
use teegate_verifier::{ReportData, Source};

use crate::answers::{self, Answer};
use crate::exit::{self, Stop};
use crate::format::{Inputs, ReportFormat, ShownArgs};
use crate::gateway::{self, CredentialArgs, Failure, Judging, JudgingArgs, MAX_SMALL_BYTES, read};
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
    /// Of a gateway's instances judge the evidence of the epoch, which clients seal by, and challenge nobody
    #[arg(long)]
    epoch: bool,
    #[command(flatten)]
    credential: CredentialArgs,
    /// CA certificates (PEM) by which a gateway is recognised that is shown a token or a certificate; without it by those of this machine
    #[arg(long, value_name = "FILE", requires = "CredentialArgs")]
    gateway_ca: Option<PathBuf>,
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
    let address = args.gateway().map_err(Failure::Input)?;
    let judging = args.judging.read(Some(&address)).await.map_err(Failure::Input)?;
    let Judging { policy, endorsements, settings, .. } = &judging;
    let (stands, mut found) = probe(&address, policy.clone(), endorsements.clone(), args.asked(), settings).await?;
    if let (Some(wanted), false) = (&args.manifest, found.is_empty()) {
        found = only(wanted, found).map_err(Failure::Input)?;
    }
    if found.len() > 1 && args.shown.format == ReportFormat::Ear {
        return Err(Failure::Input(format!(
            "an attestation result is about one instance, and the gateway offers several: name one with `--manifest DIGEST`: {}",
            digests(&found)
        )));
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

impl ProbeArgs {
    /// What is asked of a gateway's instances.
    fn asked(&self) -> Ask {
        match (self.epoch, self.manifest) {
            (true, _) => Ask::Epoch,
            (false, Some(manifest)) => Ask::FreshOf(manifest),
            (false, None) => Ask::Fresh,
        }
    }

    fn gateway(&self) -> Result<Gateway, String> {
        let mut gateway = Gateway::parse(&self.address).map_err(|error| error.to_string())?;
        if let Some(path) = &self.gateway_ca {
            gateway = gateway.with_pinned_ca(&read(path, MAX_SMALL_BYTES)?).map_err(|error| error.to_string())?;
        }
        self.credential.beside(gateway)
    }
}

/// The one with this manifest.
fn only(wanted: &ManifestDigest, mut found: Vec<Probed>) -> Result<Vec<Probed>, String> {
    match found.iter().position(|probed| digest(probed).as_ref() == Some(wanted)) {
        Some(at) => Ok(vec![found.swap_remove(at)]),
        None => Err(format!(
            "no instance with the manifest {wanted} is offered; a gateway names at most three at once, in random order; now: {}",
            digests(&found)
        )),
    }
}

/// The manifest that an instance shows, whatever it is worth.
fn digest(probed: &Probed) -> Option<ManifestDigest> {
    Envelope::parse(&probed.envelope).ok().map(|envelope| ManifestDigest::of(&envelope.manifest))
}

fn digests(found: &[Probed]) -> String {
    let digests: Vec<_> = found.iter().filter_map(digest).map(|digest| digest.to_string()).collect();
    if digests.is_empty() { "none that can be read".to_owned() } else { digests.join(", ") }
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
    let manifest = Envelope::parse(&probed.envelope).map_err(|error| error.to_string())?;
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

/// What stands there, and what of that was checked.
fn preface_of(stands: Stands, is_fresh: bool, is_key_checked: bool) -> &'static str {
    match stands {
        Stands::Gateway if is_fresh => {
            "a gateway that offers this instance, which answered a challenge of this probe, handed on by the gateway"
        }
        Stands::Gateway => {
            "a gateway that offers this instance; its evidence is that of the epoch, and the instance was not asked anything"
        }
        Stands::Enclave if is_key_checked => {
            "an enclave-app, asked with a challenge of this probe, over a connection whose TLS key its manifest has to name"
        }
        Stands::Enclave => {
            "an enclave-app, asked with a challenge of this probe; whether it is at the end of the connection was NOT checked: there was \
             no TLS, so that anything in between may have passed the challenge on"
        }
        _ => "something that shows evidence",
    }
}

/// What stands there, in lines.
fn preface(stands: Stands, manifest: &ManifestBytes, probed: &Probed) -> String {
    let said = manifest.manifest();
    let who = preface_of(stands, probed.nonce.is_some(), probed.tls_key.is_some());
    let models: Vec<_> = said.models.iter().map(|model| format!("{} {}", model.name, model.version)).collect();
    let models = if models.is_empty() { "none".to_owned() } else { models.join(", ") };
    format!(
        "what stands there: {who}\ninstance {}, manifest {}\nmodels, as it says: {}\n",
        said.instance_id,
        manifest.digest(),
        crate::output::plain(&models)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use teegate_client::{Refused, Trust};
    use teegate_protocol::evidence::{EvidenceKind, TeeEvidence};
    use teegate_verifier::{Check, Endorsements};

    fn probed(manifest: &[u8]) -> Probed {
        let evidence = TeeEvidence { kind: EvidenceKind::SnpReport, bytes: vec![1] };
        let envelope =
            Envelope { manifest: manifest.to_vec(), evidence, endorsements: None, event_log: None, nonce: None };
        Probed {
            envelope: envelope.to_json().unwrap(),
            trust: Trust::new(crate::policy::read("genuine").unwrap(), Endorsements::new()),
            nonce: None,
            tls_key: None,
            verdict: Err(Refused::by(Check::CHANNEL_KEY, None, "a test".to_owned())),
        }
    }

    #[test]
    fn of_several_instances_one_can_be_named() {
        let found = || vec![probed(b"one"), probed(b"two")];
        let two = ManifestDigest::of(b"two");
        let chosen = only(&two, found()).unwrap();
        assert_eq!((chosen.len(), digest(&chosen[0])), (1, Some(two)));
        let gone = ManifestDigest::of(b"three");
        let refused = only(&gone, found()).unwrap_err();
        assert!(refused.starts_with(&format!("no instance with the manifest {gone} is offered")), "{refused}");
        assert!(refused.contains(&two.to_string()), "{refused}");
        assert_eq!(manifest_digest(&two.to_string()), Ok(two));
        assert!(manifest_digest("aa").unwrap_err().starts_with("expected 64 hexadecimal digits"));
    }

    #[test]
    fn what_was_not_checked_is_said() {
        let enclave = preface_of(Stands::Enclave, true, true);
        assert!(enclave.contains("whose TLS key its manifest has to name"), "{enclave}");
        let plain = preface_of(Stands::Enclave, true, false);
        assert!(plain.contains("NOT checked") && plain.contains("no TLS") && !plain.contains("has to name"), "{plain}");
        let (fresh, epoch) = (preface_of(Stands::Gateway, true, false), preface_of(Stands::Gateway, false, false));
        assert!(fresh.contains("answered a challenge of this probe"), "{fresh}");
        assert!(epoch.contains("was not asked anything"), "{epoch}");
    }
}
