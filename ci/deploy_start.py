"""A gateway in the configurations that deploy/ renders, for ci/deploy.py.

It reads each of them (`--check-config`), with the policy that belongs to the platform, and it runs in one: what probes, monitor and autoscaler
ask for has to be there.
"""

import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request

from deploy_lint import of

ROOT = pathlib.Path(__file__).resolve().parent.parent
# The policy of a platform; one with initdata has its own.
POLICY = {"aci-virtual-node": "aci.toml", "azure-cvm-nodepool": "azure-cvm-node.toml"}
# How many bytes each reference value has, for a policy that only has to load.
LENGTHS = {"measurement": 48, "mrtd": 48, "rtmr0": 48, "rtmr1": 48, "rtmr2": 48, "host_data": 32}


def check_config(gateway, rendered):
    if not gateway or not shutil.which("openssl"):
        print("skipped: a gateway in the rendered configurations: `teegate-gateway` is not built, or openssl is not installed")
        return []
    complaints = []
    for name, documents in sorted(rendered.items()):
        with tempfile.TemporaryDirectory() as folder:
            complaints += [f"{name}: {what}" for what in checked(gateway, pathlib.Path(folder), name, documents)]
    return complaints


def checked(gateway, folder, name, documents):
    """The folder holds what the ConfigMaps and Secrets of the runbook would."""
    text = of(documents, "ConfigMap", "teegate-gateway")[0]["data"]["gateway.toml"]
    config = folder / "gateway.toml"
    config.write_text(text.replace("/etc/teegate/", f"{folder}/").replace("/var/lib/teegate", f"{folder}/state"))
    for below in ("policy", "receipt", "tls", "tokens"):
        (folder / below).mkdir()
    (folder / "policy" / "policy.toml").write_text(policy(name))
    (folder / "receipt" / "receipt.seed").write_text("11" * 32 + "\n")
    (folder / "tokens" / "tokens").write_text(f"{hashlib.sha256(b'for this test only').hexdigest()} default\n")
    names = of(documents, "Certificate")[0]["spec"]["dnsNames"]
    made = run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
        f"/CN={names[0]}", "-addext", f"subjectAltName=DNS:{names[0]}", "-keyout", folder / "tls" / "tls.key", "-out",
        folder / "tls" / "tls.crt",
    )
    if made.returncode:
        return [f"check-config: openssl: {made.stderr.strip()}"]
    done = run(gateway, "--config", config, "--check-config")
    if done.returncode or "is in order" not in done.stdout:
        return [f"check-config: {done.stderr.strip()[-400:]}"]
    # The failing twins: a key that is misspelt, and a Secret that somebody forgot.
    good = config.read_text()
    config.write_text(good.replace("plain_http", "plain_htpp"))
    misspelt = run(gateway, "--config", config, "--check-config")
    if not misspelt.returncode or "plain_htpp" not in misspelt.stderr:
        return ["check-config: a key that is misspelt is taken"]
    config.write_text(good)
    (folder / "tokens" / "tokens").rename(folder / "elsewhere")
    forgotten = run(gateway, "--config", config, "--check-config")
    (folder / "elsewhere").rename(folder / "tokens" / "tokens")
    if not forgotten.returncode or "tokens" not in forgotten.stderr:
        return ["check-config: tokens that are not there are not missed"]
    return running(gateway, config, documents) if name == "base" else []


def policy(name):
    """The appraisal policy of this rendering, whole."""
    own = ROOT / "deploy" / "overlays" / name / "initdata" / "policy.toml"
    text = own if own.exists() else ROOT / "measurements" / "policy" / POLICY.get(name, "azure-peer-pod.toml")
    return filled(text.read_text())


def filled(text):
    """The policy with some value where one is still needed."""

    def fill(match):
        if match[1] == "uvm_svn":
            return "uvm_svn = 100"
        return f'{match[1]} = "{"2a" * LENGTHS.get(match[1], 32)}"'

    return re.sub(r'^(\w+) = "reference-value-needed"', fill, text, flags=re.MULTILINE)


def running(gateway, config, documents):
    """Started: what asks it in a cluster finds what it asks for."""
    text = config.read_text().replace("0.0.0.0:8443", "127.0.0.1:0").replace("0.0.0.0:9090", "127.0.0.1:0")
    # Nobody is asked: no name server of the machine, and no vendor.
    config.write_text(text.replace("online = true", "online = false").replace("[[discovery.dns]]", '[discovery]\nname_servers = ["127.0.0.1:1"]\n\n[[discovery.dns]]'))
    started = subprocess.Popen([gateway, "--config", config], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        line = started.stdout.readline()
        if not line:
            return ["the gateway does not start in the rendered configuration"]
        address = json.loads(line)["operator"]
        return asked(address, documents)
    finally:
        started.terminate()
        started.wait(timeout=60)


def asked(address, documents):
    complaints = []
    container = of(documents, "Deployment", "teegate-gateway")[0]["spec"]["template"]["spec"]["containers"][0]
    # Alive; not ready, since it has attested nobody.
    for probe, expected in (("startupProbe", 200), ("livenessProbe", 200), ("readinessProbe", 503)):
        path = container[probe]["httpGet"]["path"]
        status, _ = get(f"http://{address}{path}")
        if status != expected:
            complaints.append(f"{probe}: {path} answers {status}, expected {expected}")
    for endpoint in of(documents, "ServiceMonitor")[0]["spec"]["endpoints"]:
        status, text = get(f"http://{address}{endpoint['path']}")
        for scaler in of(documents, "HorizontalPodAutoscaler"):
            metric = scaler["spec"]["metrics"][0]["object"]["metric"]["name"]
            if status != 200 or not re.search(rf"^# TYPE {metric} gauge$", text, re.MULTILINE):
                complaints.append(f"{endpoint['path']}: status {status}, and no gauge `{metric}`, by which the pods scale")
    return complaints


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def run(*words):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120, check=False)
