"""Renders deploy/ and holds it to what it claims; `ci/deploy.sh` brings the tools and calls this.

Each rule of the lint is a sentence that the runbook relies on. A rule that can no longer fail is found out as well: after the lint passed,
each mutation below is applied to what was rendered and has to be refused by its own words.
"""

import argparse
import copy
import hashlib
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
VERSION = "1.37"
# Kinds of other projects, which Kubernetes has no schema for.
CUSTOM = {("cert-manager.io/v1", "Certificate"), ("monitoring.coreos.com/v1", "ServiceMonitor")}
# The platforms whose guests measure an initdata, and the one whose digest each overlay carries.
INITDATA = {"azure-peerpods": "azure-snp", "kata-qemu-snp": "kata-snp", "kata-qemu-tdx": "kata-tdx"}
RUNTIME_CLASS = {"azure-peerpods": "kata-remote", "kata-qemu-snp": "kata-qemu-snp", "kata-qemu-tdx": "kata-qemu-tdx"}
ANNOTATION = "io.katacontainers.config.hypervisor.cc_init_data"
PRIVATE = {"10.0.0.0/8", "100.64.0.0/10", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"}
BY_DIGEST = re.compile(r"^[a-z0-9.:-]+/[a-z0-9._/-]+@sha256:[0-9a-f]{64}$")
# How many bytes each reference value has, for a policy that only has to load.
LENGTHS = {"measurement": 48, "mrtd": 48, "host_data": 32}


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    for name in ("tools", "teegate", "gateway", "write"):
        arguments.add_argument(f"--{name}", required=True)
    given = arguments.parse_args()
    tools = pathlib.Path(given.tools)
    complaints = []
    overlays = sorted(path.name for path in (DEPLOY / "overlays").iterdir())
    if given.write == "yes":
        complaints += write(tools, given.teegate)
    rendered = {name: kustomize(tools, DEPLOY / "overlays" / name) for name in overlays}
    rendered["base"] = kustomize(tools, DEPLOY / "base")
    for name, documents in rendered.items():
        complaints += [f"{name}: {what}" for what in schemas(documents) + lint(name, documents)]
    complaints += chart(tools, rendered)
    if not complaints:
        complaints += mutations(rendered)
    complaints += initdata(tools, given.teegate)
    complaints += check_config(given.gateway, rendered["base"])
    if complaints:
        print("\n".join(complaints), file=sys.stderr)
        sys.exit(1)
    objects = sum(len(documents) for documents in rendered.values())
    print(f"{len(rendered)} renderings, {objects} objects, valid under {VERSION}; {len(MUTATIONS)} mutations refused")


def run(*words, text=None):
    words = [str(word) for word in words]
    return subprocess.run(words, input=text, capture_output=True, text=True, timeout=120, check=False)


def kustomize(tools, folder):
    done = run(tools / "kubectl", "kustomize", folder)
    if done.returncode:
        sys.exit(f"{folder.relative_to(ROOT)}: {done.stderr.strip()}")
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def schemas(documents):
    complaints = []
    for document in documents:
        if (document["apiVersion"], document["kind"]) in CUSTOM:
            continue
        try:
            kubernetes_validate.validate(document, VERSION, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            complaints.append(f"{named(document)}: {str(error).strip().splitlines()[0]}")
    return complaints


def named(document):
    return f"{document['kind']} {document['metadata']['name']}"


def of(documents, kind, name=None):
    return [one for one in documents if one["kind"] == kind and name in (None, one["metadata"]["name"])]


def lint(overlay, documents):
    """What each rendering has to be, whatever its platform, and what is of one platform."""
    complaints = []

    def hold(is_held, what):
        if not is_held:
            complaints.append(what)

    labels = of(documents, "Namespace")[0]["metadata"]["labels"]
    hold(labels.get("pod-security.kubernetes.io/enforce") == "restricted", "Namespace: PodSecurity is not `restricted`")
    for workload in of(documents, "Deployment"):
        name = named(workload)
        pod = workload["spec"]["template"]["spec"]
        hold(pod.get("automountServiceAccountToken") is False, f"{name}: a token is mounted")
        hold(pod.get("enableServiceLinks") is False, f"{name}: each Service adds variables")
        hold(not pod.get("hostNetwork") and not pod.get("hostPID") and not pod.get("hostIPC"), f"{name}: a namespace of the host")
        context = pod.get("securityContext", {})
        hold(context.get("runAsNonRoot") is True and context.get("runAsUser", 0) > 0, f"{name}: it may run as root")
        hold(context.get("seccompProfile", {}).get("type") == "RuntimeDefault", f"{name}: no seccomp profile")
        hold(not any("hostPath" in volume for volume in pod.get("volumes", [])), f"{name}: a path of the host")
        hold(len(pod["containers"]) == 1 and not pod.get("initContainers"), f"{name}: more than one container")
        for container in pod["containers"]:
            own = container.get("securityContext", {})
            hold(BY_DIGEST.match(container["image"]), f"{name}: `{container['image']}` is no image by digest")
            hold(own.get("allowPrivilegeEscalation") is False and not own.get("privileged"), f"{name}: privileges")
            hold(own.get("readOnlyRootFilesystem") is True, f"{name}: the root can be written")
            hold(own.get("capabilities", {}) == {"drop": ["ALL"]}, f"{name}: capabilities")
            hold("lifecycle" not in container, f"{name}: a command by `lifecycle`")
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                hold("exec" not in container.get(probe, {}), f"{name}: `{probe}` runs a command")
            hold("readinessProbe" in container and "livenessProbe" in container, f"{name}: a probe is missing")
            hold("memory" in container.get("resources", {}).get("limits", {}), f"{name}: no limit of memory")
            hold(not any("valueFrom" in one for one in container.get("env", [])), f"{name}: a variable from elsewhere")
    measured = of(documents, "Deployment", "enclave-app")[0]["spec"]["template"]
    hold(not measured["spec"].get("volumes"), "Deployment enclave-app: a volume is content that the host chooses")
    wanted = RUNTIME_CLASS.get(overlay)
    hold(measured["spec"].get("runtimeClassName") == wanted, f"Deployment enclave-app: runtimeClassName is not {wanted}")
    carried = ANNOTATION in measured["metadata"].get("annotations", {})
    hold(carried == (overlay in INITDATA), "Deployment enclave-app: initdata is missing, or where nothing measures it")
    complaints += network(overlay, documents)
    for workload in of(documents, "Deployment"):
        selector = workload["spec"]["selector"]["matchLabels"]
        budgets = [one for one in of(documents, "PodDisruptionBudget") if one["spec"]["selector"]["matchLabels"] == selector]
        hold(len(budgets) == 1, f"{named(workload)}: no disruption budget")
    scalers = of(documents, "HorizontalPodAutoscaler")
    hold(len(scalers) == (0 if overlay == "dev-no-tee" else 1), "HorizontalPodAutoscaler: not one")
    for scaler in scalers:
        metric = scaler["spec"]["metrics"][0]["object"]["metric"]["name"]
        hold(metric == "teegate_gateway_in_flight", f"{named(scaler)}: it scales by `{metric}`")
    secret = of(documents, "Certificate")[0]["spec"]["secretName"]
    gateway = of(documents, "Deployment", "teegate-gateway")[0]["spec"]["template"]["spec"]
    secrets = {volume["secret"]["secretName"] for volume in gateway["volumes"] if "secret" in volume}
    hold(secret in secrets, "Certificate: the gateway does not mount it")
    hold(not of(documents, "Secret"), "a Secret is in the manifests")
    for webhook in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "ClusterRole", "ClusterRoleBinding"):
        hold(not of(documents, webhook), f"a {webhook} is in the manifests")
    return complaints


def network(overlay, documents):
    complaints = []
    policies = {one["metadata"]["name"]: one["spec"] for one in of(documents, "NetworkPolicy")}
    deny = policies.get("default-deny", {})
    if deny.get("podSelector") != {} or deny.get("policyTypes") != ["Ingress", "Egress"] or deny.get("ingress") or deny.get("egress"):
        complaints.append("NetworkPolicy default-deny: it does not deny everything")
    for name, spec in policies.items():
        for rule in spec.get("egress") or []:
            if not rule.get("to") or not rule.get("ports"):
                complaints.append(f"NetworkPolicy {name}: an egress rule without `to` or `ports` admits everything")
            for to in rule.get("to", []):
                block = to.get("ipBlock")
                if block and (set(block.get("except", [])) != PRIVATE or rule.get("ports") != [{"port": 443, "protocol": "TCP"}]):
                    complaints.append(f"NetworkPolicy {name}: an address block that is not the public ones at port 443")
    own = policies["enclave-app"]
    sources = [source for rule in own["ingress"] for source in rule.get("from", [{}])]
    if sources != [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "teegate-gateway"}}}]:
        complaints.append("NetworkPolicy enclave-app: others than the gateway reach it")
    if bool(own.get("egress")) != overlay.startswith("kata-qemu-"):
        complaints.append("NetworkPolicy enclave-app: it may ask somebody, or may not pull its image")
    return complaints


def chart(tools, rendered):
    """The chart with its defaults is the base, object by object; the namespace is helm's own. With a runtime class it is the overlay, save
    for the initdata, which is written from what it renders."""
    complaints, base = [], rendered["base"]
    linted = run(tools / "helm", "lint", "--strict", DEPLOY / "chart")
    if linted.returncode:
        complaints.append(f"chart: {linted.stdout.strip()} {linted.stderr.strip()}")
    done = run(tools / "helm", "template", "teegate", DEPLOY / "chart", "--namespace", "teegate")
    if done.returncode:
        return [*complaints, f"chart: {done.stderr.strip()}"]
    ours = {named(one): one for one in yaml.safe_load_all(done.stdout) if one}
    theirs = {named(one): one for one in base if one["kind"] != "Namespace"}
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            complaints.append(f"chart: `{name}` differs from the base{place(ours.get(name), theirs.get(name))}")
    for overlay, runtime in RUNTIME_CLASS.items():
        done = run(tools / "helm", "template", "teegate", DEPLOY / "chart", "--namespace", "teegate", "--set", f"enclaveApp.runtimeClassName={runtime}")
        ours = {named(one): one for one in yaml.safe_load_all(done.stdout) if one}
        theirs = {named(one): copy.deepcopy(one) for one in rendered[overlay] if one["kind"] != "Namespace"}
        theirs["Deployment enclave-app"]["spec"]["template"]["metadata"].pop("annotations", None)
        for name in sorted(ours.keys() | theirs.keys()):
            if ours.get(name) != theirs.get(name):
                complaints.append(f"chart: `{name}` differs from {overlay}{place(ours.get(name), theirs.get(name))}")
    changed = run(tools / "helm", "template", "teegate", DEPLOY / "chart", "--namespace", "teegate", "--set", "gateway.image.digest=")
    if not changed.returncode or "digest" not in changed.stderr:
        complaints.append("chart: an image without a digest is rendered")
    return complaints


def place(one, other, path=""):
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            if one.get(key) != other.get(key):
                return place(one.get(key), other.get(key), f"{path}.{key}")
    return f" at {path or 'the root'}: {str(one)[:120]} and {str(other)[:120]}"


def write(tools, teegate):
    if not teegate:
        return ["--write: `teegate` is not built; `cargo build -p teegate` builds it"]
    complaints = []
    for overlay, platform in INITDATA.items():
        folder = DEPLOY / "overlays" / overlay
        patch = folder / "initdata" / "patch.yaml"
        patch.parent.mkdir(exist_ok=True)
        if not patch.exists():
            patch.write_text(
                "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: enclave-app\n  namespace: teegate\n"
            )
        manifest = run(tools / "kubectl", "kustomize", folder)
        done = run(
            teegate, "deploy", "initdata", "-", "--name", "enclave-app", "--platform", platform, "--into", patch.parent, "--force",
            text=manifest.stdout,
        )
        if done.returncode:
            complaints.append(f"{overlay}: {done.stderr.strip()}")
    return complaints


def initdata(tools, teegate):
    if not teegate or run(teegate, "deploy", "--help").returncode:
        print("skipped: the initdata of the overlays against what they render: `teegate` is not built")
        return []
    complaints = []
    for overlay, platform in INITDATA.items():
        folder = DEPLOY / "overlays" / overlay
        manifest = run(tools / "kubectl", "kustomize", folder).stdout
        ask = [teegate, "deploy", "initdata", "-", "--name", "enclave-app", "--platform", platform, "--into", folder / "initdata", "--check"]
        done = run(*ask, text=manifest)
        if done.returncode:
            complaints.append(f"{overlay}: {done.stderr.strip()}; `ci/deploy.sh --write` writes it anew")
            continue
        # The passing twin stands above.
        drifted = run(*ask, text=manifest.replace("sha256:2222", "sha256:3333"))
        if drifted.returncode != 4 or "is not that of the manifest" not in drifted.stderr:
            complaints.append(f"{overlay}: another image is not noticed: {drifted.stderr.strip()}")
    return complaints


def check_config(gateway, base):
    if not gateway or not shutil.which("openssl"):
        print("skipped: a gateway in the rendered configuration: `teegate-gateway` is not built, or openssl is not installed")
        return []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        text = of(base, "ConfigMap", "teegate-gateway")[0]["data"]["gateway.toml"]
        (folder / "gateway.toml").write_text(text.replace("/etc/teegate/", f"{folder}/").replace("/var/lib/teegate", f"{folder}/state"))
        for below in ("policy", "receipt", "tls", "tokens"):
            (folder / below).mkdir()
        policy = (ROOT / "measurements" / "policy" / "azure-peer-pod.toml").read_text()
        fill = lambda match: f'{match[1]} = "{"2a" * LENGTHS.get(match[1], 32)}"'
        policy = re.sub(r'^(\w+) = "reference-value-needed"', fill, policy, flags=re.M)
        (folder / "policy" / "policy.toml").write_text(policy)
        (folder / "receipt" / "receipt.seed").write_text("11" * 32 + "\n")
        (folder / "tokens" / "tokens").write_text(f"{hashlib.sha256(b'for this test only').hexdigest()} default\n")
        made = run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
            "/CN=teegate.example.com", "-addext", "subjectAltName=DNS:teegate.example.com", "-keyout", folder / "tls" / "tls.key", "-out",
            folder / "tls" / "tls.crt",
        )
        if made.returncode:
            return [f"check-config: openssl: {made.stderr.strip()}"]
        done = run(gateway, "--config", folder / "gateway.toml", "--check-config")
        if done.returncode or "is in order" not in done.stdout:
            return [f"check-config: {done.stderr.strip()[-400:]}"]
        (folder / "gateway.toml").write_text((folder / "gateway.toml").read_text().replace("plain_http", "plain_htpp"))
        if not run(gateway, "--config", folder / "gateway.toml", "--check-config").returncode:
            return ["check-config: a key that is misspelt is taken"]
    return []


def container_of(documents, name):
    return of(documents, "Deployment", name)[0]["spec"]["template"]["spec"]["containers"][0]


def pod_of(documents, name):
    return of(documents, "Deployment", name)[0]["spec"]["template"]["spec"]


def policy_of(documents, name):
    return of(documents, "NetworkPolicy", name)[0]["spec"]


# Each: what is changed, and the words that have to refuse it.
MUTATIONS = [
    (lambda d: container_of(d, "enclave-app").update(image="ghcr.io/example/enclave-app:1.0"), "is no image by digest"),
    (lambda d: container_of(d, "enclave-app")["securityContext"].update(readOnlyRootFilesystem=False), "the root can be written"),
    (lambda d: container_of(d, "enclave-app")["securityContext"].update(privileged=True), "privileges"),
    (lambda d: container_of(d, "enclave-app")["securityContext"].update(capabilities={"drop": ["ALL"], "add": ["X"]}), "capabilities"),
    (lambda d: container_of(d, "enclave-app").update(readinessProbe={"exec": {"command": ["x"]}}), "runs a command"),
    (lambda d: container_of(d, "teegate-gateway").pop("livenessProbe"), "a probe is missing"),
    (lambda d: container_of(d, "teegate-gateway").update(env=[{"name": "A", "valueFrom": {}}]), "a variable from elsewhere"),
    (lambda d: container_of(d, "teegate-gateway").update(lifecycle={}), "a command by `lifecycle`"),
    (lambda d: container_of(d, "teegate-gateway")["resources"].pop("limits"), "no limit of memory"),
    (lambda d: pod_of(d, "enclave-app").update(volumes=[{"name": "v", "emptyDir": {}}]), "a volume is content"),
    (lambda d: pod_of(d, "teegate-gateway")["volumes"].append({"name": "h", "hostPath": {"path": "/"}}), "a path of the host"),
    (lambda d: pod_of(d, "enclave-app")["containers"].append(container_of(d, "teegate-gateway")), "more than one container"),
    (lambda d: pod_of(d, "enclave-app").update(automountServiceAccountToken=True), "a token is mounted"),
    (lambda d: pod_of(d, "enclave-app").pop("enableServiceLinks"), "adds variables"),
    (lambda d: pod_of(d, "enclave-app").update(hostPID=True), "a namespace of the host"),
    (lambda d: pod_of(d, "enclave-app")["securityContext"].update(runAsUser=0), "it may run as root"),
    (lambda d: pod_of(d, "enclave-app")["securityContext"].pop("seccompProfile"), "no seccomp profile"),
    (lambda d: pod_of(d, "enclave-app").pop("runtimeClassName"), "runtimeClassName is not kata-remote"),
    (lambda d: of(d, "Deployment", "enclave-app")[0]["spec"]["template"]["metadata"].pop("annotations"), "initdata is missing"),
    (lambda d: of(d, "Namespace")[0]["metadata"]["labels"].update({"pod-security.kubernetes.io/enforce": "baseline"}), "not `restricted`"),
    (lambda d: policy_of(d, "default-deny").update(egress=[{}]), "does not deny everything"),
    (lambda d: policy_of(d, "teegate-gateway")["egress"].append({}), "admits everything"),
    (lambda d: policy_of(d, "teegate-gateway")["egress"][2]["to"][0]["ipBlock"].pop("except"), "not the public ones"),
    (lambda d: policy_of(d, "enclave-app")["ingress"][0].pop("from"), "others than the gateway"),
    (lambda d: policy_of(d, "enclave-app").update(egress=[{"to": [{}], "ports": [{}]}]), "it may ask somebody"),
    (lambda d: d.remove(of(d, "PodDisruptionBudget", "enclave-app")[0]), "no disruption budget"),
    (lambda d: d.remove(of(d, "HorizontalPodAutoscaler")[0]), "HorizontalPodAutoscaler: not one"),
    (lambda d: of(d, "HorizontalPodAutoscaler")[0]["spec"]["metrics"][0]["object"]["metric"].update(name="cpu"), "scales by `cpu`"),
    (lambda d: of(d, "Certificate")[0]["spec"].update(secretName="x"), "does not mount it"),
    (lambda d: d.append({"kind": "Secret", "metadata": {"name": "x"}}), "a Secret is in the manifests"),
    (lambda d: d.append({"kind": "ClusterRole", "metadata": {"name": "x"}}), "a ClusterRole is in the manifests"),
]


def mutations(rendered):
    complaints = []
    for index, (mutate, words) in enumerate(MUTATIONS):
        documents = copy.deepcopy(rendered["azure-peerpods"])
        mutate(documents)
        if not any(words in what for what in lint("azure-peerpods", documents)):
            complaints.append(f"lint: mutation {index} is not refused by `{words}`")
    unknown = copy.deepcopy(rendered["base"])
    pod_of(unknown, "enclave-app")["newField"] = 1
    if not schemas(unknown):
        complaints.append("schemas: an unknown field is taken")
    return complaints


main()
