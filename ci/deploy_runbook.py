"""Walks deploy/README.md as an operator without Azure and without a cluster, for ci/deploy.py.

The commands are taken from the page as they stand and run in order, in a copy of deploy/. What needs Azure, a registry or a cluster is
counted and not run; what only makes an object is asked for without a server (`--dry-run=client`). Two things a person does between them are
done here: the digest of an image of one's own, and values for what a policy still needs.
"""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import deploy_start

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "deploy" / "README.md"
# The first words of what this machine has nothing to answer with.
ELSEWHERE = (
    "az ",
    "helm install ",
    "helm pull ",
    "skopeo ",
    "./ci/images.sh",
    "curl -s localhost",
    "kubectl apply ",
    "kubectl --namespace teegate rollout ",
    "kubectl --namespace teegate port-forward ",
    "kubectl --namespace teegate get pod ",
)
# What a gateway would have to answer: the command line is read, and nobody is there.
NOBODY_ANSWERS = ("teegate models ", "teegate infer ")
OTHER_DIGEST = "3" * 64


def walk(tools, teegate):
    if not teegate or not shutil.which("openssl"):
        print("skipped: the commands of deploy/README.md: `teegate` is not built, or openssl is not installed")
        return []
    text = PAGE.read_text()
    complaints = named_files(text)
    commands = [command for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) for command in joined(block)]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        shutil.copytree(ROOT / "deploy", folder / "deploy")
        # Step 3: an image of one's own, by its digest.
        images = folder / "deploy" / "base" / "kustomization.yaml"
        images.write_text(images.read_text().replace("2" * 64, OTHER_DIGEST))
        (folder / "input.json").write_text('{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1.0]}]}')
        ran, left = 0, 0
        for command in commands:
            if command.startswith(ELSEWHERE):
                left += 1
                continue
            ran += 1
            if command.startswith("teegate policy lint"):
                fill(folder)
            complaints += judged(command, run(command, folder, tools, teegate))
            if "teegate deploy initdata" in command:
                complaints += after_initdata(command, folder, tools, teegate)
    if ran < 13:
        complaints.append(f"deploy/README.md: only {ran} commands were found that need no cluster")
    print(f"commands of deploy/README.md: {ran} ran, {left} need Azure, a registry or a cluster")
    return complaints


def joined(block):
    """The commands of a block, a continued line as one."""
    return [line.strip() for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def run(command, folder, tools, teegate):
    if command.startswith(("kubectl create ", "kubectl --namespace teegate create ")):
        command += " --dry-run=client --output yaml"
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for name, program in {"teegate": teegate, "kubectl": tools / "kubectl", "helm": tools / "helm"}.items():
        if not (programs / name).exists():
            (programs / name).symlink_to(pathlib.Path(program).resolve())
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "KUBECONFIG": "/dev/null", "HOME": str(folder)}
    words = ["bash", "-e", "-o", "pipefail", "-c", command]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False, stdin=subprocess.DEVNULL)


def judged(command, done):
    if command.startswith(NOBODY_ANSWERS):
        # It knows each of its options, and says that it cannot come through.
        if "teegate.example.com" not in done.stderr or "--help" in done.stderr:
            return [f"deploy/README.md: `{command}`: {done.stderr.strip()[-300:]}"]
        return []
    # Remarks of lint are the reader's to weigh.
    fine = (0, 4) if command.startswith("teegate policy lint") else (0,)
    if done.returncode not in fine:
        return [f"deploy/README.md: `{command}` ends with {done.returncode}: {done.stderr.strip()[-300:]}"]
    return []


def after_initdata(command, folder, tools, teegate):
    """What the page says of this step: the files fit, the value is that of the other image, and without `--force` the policy is kept."""
    complaints = []
    check = command.replace("--force", "--check")
    done = run(check, folder, tools, teegate)
    if done.returncode:
        complaints.append(f"deploy/README.md: after `{command}`: {done.stderr.strip()[-300:]}")
    if OTHER_DIGEST not in (folder / "deploy/overlays/azure-peerpods/initdata/initdata.toml").read_text():
        complaints.append(f"deploy/README.md: `{command}` does not bind the image of step 3")
    images = folder / "deploy" / "base" / "kustomization.yaml"
    good = images.read_text()
    images.write_text(good.replace(OTHER_DIGEST, "4" * 64))
    kept = run(command.replace(" --force", ""), folder, tools, teegate)
    if kept.returncode != 4 or "does not accept this initdata" not in kept.stderr:
        complaints.append(f"deploy/README.md: a new image is taken by an old policy: {kept.stderr.strip()[-300:]}")
    images.write_text(good)
    return complaints


def fill(folder):
    policy = folder / "deploy/overlays/azure-peerpods/initdata/policy.toml"
    policy.write_text(deploy_start.filled(policy.read_text()))


def named_files(text):
    """Every file and folder of this repository that the page names is there."""
    named = set(re.findall(r"`((?:deploy|base|overlays|tests|cli|ci|measurements|gateway|docs)/[A-Za-z0-9_./-]+)`", text))
    places = (ROOT, ROOT / "deploy")
    missing = sorted(name for name in named if not any((place / name).exists() for place in places))
    if len(named) < 12:
        missing.append(f"only {len(named)} names were found")
    return [f"deploy/README.md: `{name}` is not there" for name in missing]
