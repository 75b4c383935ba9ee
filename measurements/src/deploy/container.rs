//! The container of a manifest: program, variables, user and rights, each written out.

use serde::Serialize;

use super::error::{DeployError, short};
use super::image;
use super::yaml::At;

/// The container, in the words of the agent policy's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its image, by digest: `registry/repository@sha256:…`.
    pub image: String,
    /// Command and arguments.
    pub args: Vec<String>,
    /// The folder that it starts in.
    pub directory: String,
    /// Its variables, `NAME=value`.
    pub env: Vec<String>,
    /// User number, not 0.
    pub user: u32,
    /// Group number, not 0.
    pub group: u32,
}

const CONTAINER_MEMBERS: [&str; 15] = [
    "args",
    "command",
    "env",
    "image",
    "imagePullPolicy",
    "livenessProbe",
    "name",
    "ports",
    "readinessProbe",
    "resources",
    "securityContext",
    "startupProbe",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "workingDir",
];

/// User and rights, of the pod and then of its container.
#[derive(Default)]
pub(super) struct Identity {
    user: Option<u32>,
    group: Option<u32>,
}

impl Identity {
    pub(super) fn take(&mut self, context: &At<'_>, known: &[&str]) -> Result<(), DeployError> {
        only(context, known, |name| match name {
            "sysctls" => "the policy admits none: leave it out",
            "fsGroup" | "supplementalGroups" => "the policy admits one group: leave it out",
            _ => "the policy does not hold it: leave it out",
        })?;
        let id = |at: At<'_>| match at.number()? {
            0 => Err(at.wrong("0 is root: write another, such as 65532")),
            id => Ok(id),
        };
        if let Some(user) = context.get("runAsUser")? {
            self.user = Some(id(user)?);
        }
        if let Some(group) = context.get("runAsGroup")? {
            self.group = Some(id(group)?);
        }
        Ok(())
    }
}

pub(super) fn container(container: &At<'_>, mut identity: Identity) -> Result<Container, DeployError> {
    only(container, &CONTAINER_MEMBERS, container_remedy)?;
    let name = container.needed("name", "expected one")?.text()?.to_owned();
    let image = container.needed("image", "expected one, by digest")?;
    image::check(image.text()?).map_err(|why| image.wrong(why))?;
    let mut args = words(&container.needed(
        "command",
        "the image's entry point would stand in, which the host reads and not the guest; write it out",
    )?)?;
    if let Some(more) = container.get("args")? {
        args.extend(words(&more)?);
    }
    let directory = container.needed("workingDir", "the image's would stand in; write `workingDir: /`")?;
    if !directory.text()?.starts_with('/') {
        return Err(directory.wrong("expected a path from `/`"));
    }
    let env = environment(container)?;
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(exec) = container.get(probe)?.map(|probe| probe.get("exec")).transpose()?.flatten() {
            return Err(
                exec.wrong("the policy refuses every command: probe with `tcpSocket`, or `httpGet` with scheme HTTPS")
            );
        }
    }
    if let Some(path) = container.get("terminationMessagePath")?
        && path.text()? != "/dev/termination-log"
    {
        return Err(path.wrong("expected `/dev/termination-log`, the one file that is mounted there"));
    }
    resources(container)?;
    let context = container.needed("securityContext", "expected a user, a read-only root and no capabilities")?;
    identity.take(
        &context,
        &[
            "allowPrivilegeEscalation",
            "capabilities",
            "privileged",
            "readOnlyRootFilesystem",
            "runAsGroup",
            "runAsNonRoot",
            "runAsUser",
            "seccompProfile",
        ],
    )?;
    for (name, expected) in [("allowPrivilegeEscalation", false), ("readOnlyRootFilesystem", true)] {
        let said = context.needed(name, &format!("write `{name}: {expected}`"))?;
        if said.truth()? != expected {
            return Err(said.wrong(format_args!("write `{expected}`: the policy admits nothing else")));
        }
    }
    if let Some(privileged) = context.get("privileged")?
        && privileged.truth()?
    {
        return Err(privileged.wrong("write `false`: the policy admits nothing else"));
    }
    let capabilities = context.needed("capabilities", "write `capabilities: { drop: [ALL] }`")?;
    only(&capabilities, &["drop"], |_| "the policy admits no capability: leave it out")?;
    if words(&capabilities.needed("drop", "write `drop: [ALL]`")?)? != ["ALL"] {
        return Err(capabilities.wrong("write `drop: [ALL]`: the policy admits no capability"));
    }
    let (Some(user), Some(group)) = (identity.user, identity.group) else {
        return Err(context.wrong(
            "`runAsUser` and `runAsGroup` are both needed: the image's would stand in; write for example 65532",
        ));
    };
    let image = image.text()?.to_owned();
    Ok(Container { name, image, args, directory: directory.text()?.to_owned(), env, user, group })
}

fn environment(container: &At<'_>) -> Result<Vec<String>, DeployError> {
    let why =
        "the image's `PATH` would stand in; write the variables that the container has, such as `PATH` with `/usr/bin`";
    let mut env: Vec<String> = Vec::new();
    let listed = container.needed("env", why)?;
    for one in listed.items()? {
        only(&one, &["name", "value"], |_| {
            "the value would be chosen after the guest was measured, by whoever runs the cluster: write it as `value`, or have the \
             workload fetch it once it is attested"
        })?;
        let name = one.needed("name", "expected one")?;
        let value = one.needed("value", "expected one, in quotes where it is a number")?;
        let (written, value_text) = (name.text()?, unexpanded(&value)?);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if written.is_empty() || !written.chars().all(is_plain) {
            return Err(name.wrong("expected letters, digits and `_`"));
        }
        if written.starts_with("LD_") {
            return Err(name.wrong("a variable of the dynamic loader puts other code into the process: leave it out"));
        }
        if written == "HOSTNAME" || written.starts_with("KUBERNETES_") {
            return Err(
                name.wrong("kubelet sets it, and the policy takes it in the form that kubelet gives it: leave it out")
            );
        }
        if env.iter().any(|known| known.split('=').next() == Some(written)) {
            return Err(name.wrong("it stands twice"));
        }
        env.push(format!("{written}={value_text}"));
    }
    if !env.iter().any(|known| known.starts_with("PATH=")) {
        return Err(listed.wrong(format_args!("`PATH` is missing: {why}")));
    }
    Ok(env)
}

/// Only what a guest is given anyway: a device would be refused by the policy.
fn resources(container: &At<'_>) -> Result<(), DeployError> {
    let Some(resources) = container.get("resources")? else { return Ok(()) };
    only(&resources, &["limits", "requests"], |_| "the policy admits no device: leave it out")?;
    for side in ["limits", "requests"] {
        if let Some(side) = resources.get(side)? {
            only(&side, &GIVEN_ANYWAY, |_| "the policy admits no device: leave it out")?;
        }
    }
    Ok(())
}

/// The last is what the webhook of peer pods counts machines by.
const GIVEN_ANYWAY: [&str; 4] = ["cpu", "memory", "ephemeral-storage", "kata.peerpods.io/vm"];

fn words(list: &At<'_>) -> Result<Vec<String>, DeployError> {
    list.items()?.iter().map(|item| unexpanded(item).map(str::to_owned)).collect()
}

/// Text in which kubelet replaces nothing.
fn unexpanded<'n>(at: &At<'n>) -> Result<&'n str, DeployError> {
    let text = at.text()?;
    if text.contains("$(") {
        return Err(at.wrong("kubelet would put another text in for `$(…)`: write it out"));
    }
    Ok(text)
}

pub(super) fn only(at: &At<'_>, known: &[&str], remedy: impl Fn(&str) -> &'static str) -> Result<(), DeployError> {
    // A switch that is off says nothing, and neither does a list of nothing.
    let says = |value: &At<'_>| !value.is_empty() && value.truth() != Ok(false);
    match at.members()?.into_iter().find(|(name, value)| !known.contains(name) && says(value)) {
        Some((name, value)) => Err(value.wrong(format_args!("`{}` is not admitted: {}", short(name), remedy(name)))),
        None => Ok(()),
    }
}

fn container_remedy(name: &str) -> &'static str {
    match name {
        "envFrom" => "its values would be chosen after the guest was measured: write each variable into `env`",
        "volumeMounts" | "volumeDevices" => {
            "what is mounted is content that the host chooses; put it into the image, whose digest is measured"
        }
        "lifecycle" => "the policy refuses every command of the host: leave it out",
        "stdin" | "stdinOnce" | "tty" => "the policy refuses every stream of the host: leave it out",
        _ => "teegate does not know that it is harmless: leave it out",
    }
}
