//! `teegate models`: what verified instances behind a gateway serve, and what one model takes.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use teegate_client::oip::{Described, Metadata, TensorError};
use teegate_client::{Client, Error, Instance, Refused, Reply, Settings, SharedRuns, survey};
use teegate_protocol::manifest::Manifest;

use crate::gateway::{self, Failure, GatewayArgs, Means, fail};
use crate::output::{finish, note, plain};
use crate::verify::Format;
use crate::{exit, help, memory};

/// Verify what stands behind a gateway, and show the models it serves or what one of them takes.
#[derive(Args, Debug)]
#[command(after_help = help::MODELS)]
pub(crate) struct ModelsArgs {
    #[command(flatten)]
    gateway: GatewayArgs,
    /// The model to ask about; without it, all that are served
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// How the result is shown; the JSON of one model is its Open Inference Protocol metadata
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Runs the command.
pub(crate) fn run(args: &ModelsArgs) -> ExitCode {
    gateway::run(models(args))
}

async fn models(args: &ModelsArgs) -> Result<ExitCode, Failure> {
    let means = args.gateway.read().await.map_err(Failure::Input)?;
    match &args.name {
        None => served(args, means).await,
        Some(name) => one(args, means, name).await,
    }
}

/// A model as some manifest names it, and whether requests to it may share runs there.
type Named = (String, String, String, bool);

async fn served(args: &ModelsArgs, means: Means) -> Result<ExitCode, Failure> {
    let Means { gateway, policy, endorsements, settings } = means;
    let found = survey(&gateway, policy, endorsements, &settings).await?;
    let (instances, refused): (Vec<_>, Vec<_>) = found.into_iter().partition(Result::is_ok);
    let refused: Vec<Refused> = refused.into_iter().filter_map(Result::err).collect();
    let instances: Vec<Instance> = instances.into_iter().filter_map(Result::ok).collect();
    if instances.is_empty() {
        return Err(Error::NoCandidate { refused }.into());
    }
    refused.iter().for_each(|why| note(&format!("refused: {}", plain(&why.to_string()))));
    let mut models: Vec<Named> = instances.iter().flat_map(|instance| named(instance.manifest())).collect();
    models.sort();
    models.dedup();
    if let Some(path) = args.gateway.memory() {
        let mut seen = settings.memory.clone();
        instances.iter().for_each(|one| seen.remember(one.attested().seen()));
        memory::write(path, &seen).map_err(Failure::Input)?;
    }
    let text = match args.format {
        Format::Json => {
            let models: Vec<_> = models
                .iter()
                .map(|(name, version, sha256, shares_runs)| {
                    json!({ "name": name, "version": version, "sha256": sha256, "shares_runs": shares_runs })
                })
                .collect();
            let listed: Vec<_> = instances
                .iter()
                .map(|one| json!({ "instance": one.manifest().instance_id, "manifest": one.digest() }))
                .collect();
            format!("{}\n", json!({ "models": models, "verified": listed }))
        }
        Format::Text => {
            let seen = instances
                .iter()
                .map(|one| format!("verified   instance {} ({})\n", one.manifest().instance_id, one.bound_to_words()));
            let rows = models.iter().map(|(name, version, sha256, shares_runs)| {
                let shared = if *shares_runs { "  may share a run with other callers' requests" } else { "" };
                format!("{}  version {}  sha256:{sha256}{shared}\n", plain(name), plain(version))
            });
            format!("{}\n{}", seen.collect::<String>(), rows.collect::<String>())
        }
    };
    Ok(finish(&text, exit::ACCEPTED))
}

fn named(manifest: &Manifest) -> impl Iterator<Item = Named> {
    manifest
        .models
        .iter()
        .map(|model| (model.name.clone(), model.version.clone(), model.sha256.to_string(), manifest.shares_runs(model)))
}

/// What a model says of itself, inside the seal: `GET /v2/models/NAME`.
async fn one(args: &ModelsArgs, means: Means, name: &str) -> Result<ExitCode, Failure> {
    let Means { gateway, policy, endorsements, settings } = means;
    // Nothing runs, beside anybody.
    let settings = Settings { shared_runs: SharedRuns::Accepted, ..settings };
    let client = Client::connect(gateway, name, policy, endorsements, settings).await?;
    if let Some(path) = args.gateway.memory() {
        memory::write(path, &client.memory()).map_err(Failure::Input)?;
    }
    let reply = client.metadata().await?;
    let Reply { response, instance, .. } = &reply;
    let text = match args.format {
        Format::Json => format!("{}\n", String::from_utf8_lossy(&response.content)),
        Format::Text => match described(&response.content) {
            Ok(text) => {
                format!(
                    "verified   instance {} ({})\n\n{text}",
                    instance.manifest().instance_id,
                    instance.bound_to_words()
                )
            }
            Err(error) => {
                return Ok(fail(&format!("error: `{}`: {error}", plain(name)), exit::COULD_NOT_RUN));
            }
        },
    };
    Ok(finish(&text, exit::ACCEPTED))
}

fn described(json: &[u8]) -> Result<String, TensorError> {
    let Metadata { name, versions, inputs, outputs } = Metadata::parse(json)?;
    let versions: Vec<_> = versions.iter().map(|version| plain(version)).collect();
    let mut text = format!("{}  version {}\n", plain(&name), versions.join(", "));
    for (title, tensors) in [("takes", &inputs), ("gives", &outputs)] {
        for tensor in tensors {
            let Described { name, datatype, .. } = tensor;
            text += &format!("  {title}  {}  {}  {}\n", plain(name), plain(datatype), tensor.shape_words());
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_model_takes_is_said_in_a_line_for_each_tensor() {
        let json = br#"{"name":"m","versions":["1"],"platform":"onnx_onnxv1","inputs":[{"name":"x","datatype":"FP32","shape":[-1,30]}],
            "outputs":[{"name":"y\u001b","datatype":"INT64","shape":[]},
            {"name":"z","datatype":"BYTES","shape":[-1],"parameters":{"any_rank":true}}]}"#;
        assert_eq!(
            described(json).unwrap(),
            "m  version 1\n  takes  x  FP32  [any, 30]\n  gives  y\\u{1b}  INT64  []\n  gives  z  BYTES  of any shape\n"
        );
        for wrong in [&b"{}"[..], b"[]", br#"{"name":"m","inputs":{},"outputs":[]}"#] {
            let error = described(wrong).unwrap_err().to_string();
            assert!(error.starts_with("the metadata is not what the Open Inference Protocol v2 says: "), "{error}");
        }
    }
}
