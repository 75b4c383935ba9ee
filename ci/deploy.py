"""Renders deploy/ and holds it to what it claims; `ci/deploy.sh` brings the tools and calls this.

What is rendered is held to Kubernetes' schemas, to the lint of deploy_lint.py and, by deploy_start.py, to what the gateway makes of it; the
chart to the base and to its own schema of values.
"""

import argparse
import copy
import pathlib
import subprocess
import sys

import kubernetes_validate
import yaml

import deploy_lint
import deploy_runbook
import deploy_start
from deploy_lint import ANNOTATION, INITDATA, RUNTIME_CLASS, named

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
VERSION = "1.37"
# Kinds of other projects, which Kubernetes has no schema for.
CUSTOM = {("cert-manager.io/v1", "Certificate"), ("monitoring.coreos.com/v1", "ServiceMonitor")}
# Values that somebody mistyped, and the place that has to be named.
WRONG_VALUES = [
    ("gateway.replica=3", "replica"),
    ("gateway.replicas=three", "gateway/replicas"),
    ("gateway.existingPolicy=Teegate_Policy", "gateway/existingPolicy"),
    ("enclaveApp.runtimeClass=kata-remote", "runtimeClass"),
    ("enclaveApp.runtimeClassName=Kata Remote", "enclaveApp/runtimeClassName"),
    ("enclaveApp.image.tag=1.0", "tag"),
    ("gateway.image.repository=teegate-gateway", "gateway/image/repository"),
    ("certificate.enabled=yes", "certificate/enabled"),
    ("certificate.issuerRef.kind=clusterissuer", "certificate/issuerRef/kind"),
    ("autoscaling.maxReplicas=0", "autoscaling/maxReplicas"),
    ("networkPolicy.monitoringNamespace=", "networkPolicy/monitoringNamespace"),
    ("ingress.enabled=true", "ingress"),
]


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
        complaints += [f"{name}: {what}" for what in schemas(documents) + deploy_lint.lint(name, documents)]
    complaints += chart(tools, rendered)
    if not complaints:
        complaints += deploy_lint.mutations(rendered, schemas)
    complaints += initdata(tools, given.teegate)
    complaints += deploy_start.check_config(given.gateway, rendered)
    complaints += deploy_runbook.walk(tools, given.teegate)
    if complaints:
        print("\n".join(complaints), file=sys.stderr)
        sys.exit(1)
    objects = sum(len(documents) for documents in rendered.values())
    print(
        f"{len(rendered)} renderings, {objects} objects, valid under {VERSION}; {len(deploy_lint.MUTATIONS)} mutations and "
        f"{len(WRONG_VALUES)} mistyped values refused"
    )


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


def template(tools, *more):
    return run(tools / "helm", "template", "teegate", DEPLOY / "chart", "--namespace", "teegate", *more)


def chart(tools, rendered):
    """The chart with its defaults is the base, object by object; the namespace is helm's own. With a runtime class it is the overlay, save
    for the initdata, which is written from what it renders. A value that nobody reads is refused."""
    complaints = []
    linted = run(tools / "helm", "lint", "--strict", DEPLOY / "chart")
    if linted.returncode:
        complaints.append(f"chart: {linted.stdout.strip()} {linted.stderr.strip()}")
    for name, runtime in {"base": "", **RUNTIME_CLASS}.items():
        done = template(tools, "--set", f"enclaveApp.runtimeClassName={runtime}")
        if done.returncode:
            return [*complaints, f"chart: {done.stderr.strip()}"]
        ours = {named(one): one for one in yaml.safe_load_all(done.stdout) if one}
        theirs = {named(one): copy.deepcopy(one) for one in rendered[name] if one["kind"] != "Namespace"}
        theirs["Deployment enclave-app"]["spec"]["template"]["metadata"]["annotations"].pop(ANNOTATION, None)
        complaints += differences(name, ours, theirs)
    untouched = template(tools)
    same = {named(one): one for one in yaml.safe_load_all(untouched.stdout) if one}
    complaints += differences("base", same, {named(one): one for one in rendered["base"] if one["kind"] != "Namespace"})
    for digest in ("", "sha256:11", "latest"):
        changed = template(tools, "--set", f"gateway.image.digest={digest}")
        if not changed.returncode or "gateway.image.digest: expected sha256:" not in changed.stderr:
            complaints.append(f"chart: an image with the digest `{digest}` is rendered")
    for value, where in WRONG_VALUES:
        changed = template(tools, "--set", value)
        if not changed.returncode or where not in changed.stderr.replace(".", "/"):
            complaints.append(f"chart: `--set {value}` is taken, or refused without naming `{where}`: {changed.stderr.strip()}")
    # The initdata comes in by `annotations`, and what else the chart sets there stays.
    annotated = template(tools, "--set", "enclaveApp.runtimeClassName=kata-remote", "--set-string", f"enclaveApp.annotations.{ANNOTATION.replace('.', chr(92) + '.')}=H4sI")
    pods = [one for one in yaml.safe_load_all(annotated.stdout) if one and named(one) == "Deployment enclave-app"]
    if not pods or pods[0]["spec"]["template"]["metadata"]["annotations"] != {ANNOTATION: "H4sI", "linkerd.io/inject": "disabled"}:
        complaints.append(f"chart: an annotation does not come in as it is: {annotated.stderr.strip()}")
    return complaints


def differences(name, ours, theirs):
    wrong = [one for one in sorted(ours.keys() | theirs.keys()) if ours.get(one) != theirs.get(one)]
    return [f"chart: `{one}` differs from {name}{place(ours.get(one), theirs.get(one))}" for one in wrong]


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


main()
