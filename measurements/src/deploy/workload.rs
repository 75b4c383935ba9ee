//! The one container that a manifest asks for, whole: what its image's configuration would fill in is refused as missing, since it is
//! the host that reads that configuration.

use super::container::{Container, Identity, container, only};
use super::error::{DeployError, short};
use super::yaml::{At, documents};

/// What a measured guest may run, as a manifest says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// `Pod`, `Deployment` or `StatefulSet`.
    pub kind: &'static str,
    /// Its `apiVersion`.
    pub api_version: &'static str,
    /// Its name.
    pub name: String,
    /// Its namespace, where the manifest names one.
    pub namespace: Option<String>,
    /// Its runtime class.
    pub runtime_class: String,
    /// The annotation that the manifest holds already.
    pub annotation: Option<String>,
    /// The container.
    pub container: Container,
}

/// Where Kata finds the initdata.
pub(super) const ANNOTATION: &str = "io.katacontainers.config.hypervisor.cc_init_data";

const KINDS: [(&str, &str); 3] = [("Pod", "v1"), ("Deployment", "apps/v1"), ("StatefulSet", "apps/v1")];

/// What a pod may hold beside its container: where it runs, and nothing of what runs in it.
const POD_MEMBERS: [&str; 20] = [
    "affinity",
    "automountServiceAccountToken",
    "containers",
    "dnsConfig",
    "dnsPolicy",
    "enableServiceLinks",
    "imagePullSecrets",
    "nodeName",
    "nodeSelector",
    "os",
    "preemptionPolicy",
    "priorityClassName",
    "restartPolicy",
    "runtimeClassName",
    "schedulerName",
    "securityContext",
    "serviceAccountName",
    "terminationGracePeriodSeconds",
    "tolerations",
    "topologySpreadConstraints",
];

/// Annotations of Kata that say how large the guest is; every other one changes what the host starts.
const SIZES: [&str; 3] = [
    "io.katacontainers.config.hypervisor.default_memory",
    "io.katacontainers.config.hypervisor.default_vcpus",
    "io.katacontainers.config.hypervisor.machine_type",
];

impl Workload {
    /// Reads the one Pod, Deployment or StatefulSet of a manifest, YAML or JSON, or the one that is wanted: `NAME`, `KIND/NAME` or
    /// `KIND/NAMESPACE/NAME`. What else the file holds is left alone.
    ///
    /// # Errors
    /// [`DeployError`] names the place and what to write there.
    pub fn parse(manifest: &str, wanted: Option<&str>) -> Result<Self, DeployError> {
        let documents = documents(manifest)?;
        let wanted = wanted.map(Wanted::parse).transpose()?;
        let mut found: Vec<Candidate<'_>> = Vec::new();
        for document in &documents {
            let root = At::root(document);
            if root.is_empty() {
                continue;
            }
            let kind = root.needed("kind", "expected an object of Kubernetes")?;
            let kind = kind.text()?;
            if kind == "List" {
                return Err(root.wrong("a list: give the object itself, such as `kubectl get deployment NAME -o yaml`"));
            }
            let Some((kind, api_version)) = KINDS.into_iter().find(|(known, _)| *known == kind) else { continue };
            let candidate = Candidate { kind, api_version, root };
            let is_wanted = match &wanted {
                None => true,
                Some(wanted) => wanted.is(kind, candidate.name()?, candidate.namespace()?),
            };
            if is_wanted {
                found.push(candidate);
            }
        }
        match found.as_slice() {
            [Candidate { kind, api_version, root }] => read(kind, api_version, root),
            [] => {
                let named = wanted.map(|wanted| format!(" that is `{}`", short(wanted.written))).unwrap_or_default();
                Err(DeployError::new(format!("manifest: it holds no Pod, Deployment or StatefulSet{named}")))
            }
            [first, second, ..] => Err(several(&found, first, second)?),
        }
    }
}

/// An object that could be the one.
struct Candidate<'n> {
    kind: &'static str,
    api_version: &'static str,
    root: At<'n>,
}

impl<'n> Candidate<'n> {
    fn name(&self) -> Result<&'n str, DeployError> {
        self.root.needed("metadata", "expected its name")?.needed("name", "expected one")?.text()
    }

    fn namespace(&self) -> Result<Option<&'n str>, DeployError> {
        let metadata = self.root.needed("metadata", "expected its name")?;
        metadata.get("namespace")?.map(|at| at.text()).transpose()
    }

    /// What names it and, where that tells them apart, nothing else of the others.
    fn selector(&self, others: &[Self]) -> Result<String, DeployError> {
        let (kind, name) = (self.kind, self.name()?);
        let mut alike = 0;
        for other in others {
            alike += usize::from(other.kind == kind && other.name()? == name);
        }
        Ok(match self.namespace()? {
            Some(namespace) if alike > 1 => format!("{kind}/{}/{}", short(namespace), short(name)),
            _ => format!("{kind}/{}", short(name)),
        })
    }
}

/// Which one is wanted.
struct Wanted<'w> {
    written: &'w str,
    kind: Option<&'w str>,
    namespace: Option<&'w str>,
    name: &'w str,
}

impl<'w> Wanted<'w> {
    fn parse(written: &'w str) -> Result<Self, DeployError> {
        let mut parts = written.split('/');
        let (kind, namespace, name) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(name), None, ..) => (None, None, name),
            (Some(kind), Some(name), None, _) => (Some(kind), None, name),
            (Some(kind), Some(namespace), Some(name), None) => (Some(kind), Some(namespace), name),
            _ => (None, None, ""),
        };
        let is_known = |kind: &str| KINDS.iter().any(|(known, _)| known.eq_ignore_ascii_case(kind));
        if name.is_empty() || namespace == Some("") || kind.is_some_and(|kind| !is_known(kind)) {
            return Err(DeployError::new(format!(
                "`--name {}`: expected the name of a workload, or its kind before it, such as `Deployment/enclave-app` or \
                 `Pod/NAMESPACE/enclave-app`",
                short(written)
            )));
        }
        Ok(Self { written, kind, namespace, name })
    }

    fn is(&self, kind: &str, name: &str, namespace: Option<&str>) -> bool {
        self.name == name
            && self.kind.is_none_or(|wanted| wanted.eq_ignore_ascii_case(kind))
            && self.namespace.is_none_or(|wanted| Some(wanted) == namespace)
    }
}

/// Initdata is of one: each that it could be, by kind and place, and how to say which.
fn several(found: &[Candidate<'_>], first: &Candidate<'_>, second: &Candidate<'_>) -> Result<DeployError, DeployError> {
    let (one, other) = (first.selector(found)?, second.selector(found)?);
    let more = if found.len() > 2 { format!(" (and {} more)", found.len().saturating_sub(2)) } else { String::new() };
    let remedy = if one == other {
        "they are told apart by nothing: take one of them out".to_owned()
    } else {
        format!("say of which, such as `--name {one}`")
    };
    Ok(DeployError::new(format!(
        "manifest: a second workload: {} and {}{more}; initdata is of one, so {remedy}",
        first.root.named(&one),
        second.root.named(&other)
    )))
}

fn read(kind: &'static str, api_version: &'static str, root: &At<'_>) -> Result<Workload, DeployError> {
    let written = root.needed("apiVersion", "expected an object of Kubernetes")?;
    if written.text()? != api_version {
        return Err(written.wrong(format_args!("expected `{api_version}` for a {kind}")));
    }
    let metadata = root.needed("metadata", "expected its name")?;
    let name = metadata.needed("name", "the annotation is written for one workload")?.text()?.to_owned();
    let namespace = metadata.get("namespace")?.map(|at| at.text().map(str::to_owned)).transpose()?;
    let spec = root.needed("spec", "expected what to run")?;
    let (of_pod, pod) = match kind {
        "Pod" => (Some(metadata), spec),
        _ => {
            if let Some(claims) = spec.get("volumeClaimTemplates")?.filter(|at| !at.is_empty()) {
                return Err(claims.wrong("a volume is content that the host chooses: put models into the image"));
            }
            let template = spec.needed("template", "expected the pod")?;
            (template.get("metadata")?, template.needed("spec", "expected what to run")?)
        }
    };
    let annotation = match of_pod.map(|metadata| metadata.get("annotations")).transpose()?.flatten() {
        Some(annotations) => annotation(&annotations)?,
        None => None,
    };
    only(&pod, &POD_MEMBERS, pod_remedy)?;
    let mut identity = Identity::default();
    for (name, why) in [
        ("automountServiceAccountToken", "the token is a file that the host writes into the guest"),
        ("enableServiceLinks", "each service of the namespace would add variables that nobody measured"),
    ] {
        let said = pod.needed(name, &format!("write `{name}: false`; {why}"))?;
        if said.truth()? {
            return Err(said.wrong(format_args!("write `false`; {why}")));
        }
    }
    if let Some(context) = pod.get("securityContext")? {
        identity.take(
            &context,
            &["runAsNonRoot", "runAsUser", "runAsGroup", "seccompProfile", "supplementalGroupsPolicy"],
        )?;
    }
    let runtime_class = pod.needed(
        "runtimeClassName",
        "without it the pod runs beside others on a host that reads all of it; write `kata-remote`, `kata-qemu-snp` or `kata-qemu-tdx`",
    )?;
    let containers = pod.needed("containers", "expected one")?.items()?;
    let [own] = containers.as_slice() else {
        return Err(pod.wrong(format_args!(
            "{} containers: expected one, since whatever runs beside it in the guest can have its own keys attested; a sidecar that an \
             admission webhook adds counts as well",
            containers.len()
        )));
    };
    let container = container(own, identity)?;
    Ok(Workload {
        kind,
        api_version,
        name,
        namespace,
        runtime_class: runtime_class.text()?.to_owned(),
        annotation,
        container,
    })
}

fn annotation(annotations: &At<'_>) -> Result<Option<String>, DeployError> {
    let mut found = None;
    for (key, value) in annotations.members()? {
        if key == ANNOTATION {
            found = Some(value.text()?.to_owned());
        } else if key.starts_with("io.katacontainers.") && !SIZES.contains(&key) {
            return Err(
                value.wrong("it changes what the host starts, which the measurements then do not match: leave it out")
            );
        } else if key.starts_with("cdi.k8s.io/") {
            return Err(value.wrong("it adds a device, and the policy admits none: leave it out"));
        }
    }
    Ok(found)
}

fn pod_remedy(name: &str) -> &'static str {
    match name {
        "initContainers" | "ephemeralContainers" => {
            "whatever runs beside the container can have its own keys attested; do at build time what it does"
        }
        "volumes" => {
            "a volume (hostPath, ConfigMap, Secret, emptyDir and each other kind) is content that the host chooses; put configuration and \
             models into the image, whose digest is measured"
        }
        "hostNetwork" | "hostPID" | "hostIPC" | "shareProcessNamespace" => {
            "the policy admits the guest's own namespaces only: leave it out"
        }
        "hostname" | "subdomain" | "hostAliases" | "setHostnameAsFQDN" => {
            "the policy takes the name that kubelet gives: leave it out"
        }
        _ => "teegate does not know that it is harmless: leave it out",
    }
}
