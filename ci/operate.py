"""The questions of an operator, asked of a fleet on forged hardware. Called by ci/operate.sh with the folder of the programs."""

import hashlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODEL = "breast-cancer"
# In seconds; the work is a few of them, and whatever hangs is ended.
READY_WITHIN, COMES_WITHIN, END_WITHIN = 120, 90, 60
OTHER_CODE = "ab" * 48


def fail(words):
    sys.exit(f"operate: {words}")


def need(condition, words):
    if not condition:
        fail(words)


class Program:
    """One of the programs, which says where it listens in its first line."""

    def __init__(self, programs, folder, name, arguments):
        self.log = folder / f"{name}.log"
        with open(self.log, "wb") as log:
            # No environment: the enclave-app refuses a start under any LD_*.
            self.process = subprocess.Popen(
                [programs / arguments[0], *arguments[1:]], stdout=subprocess.PIPE, stderr=log, env={}, text=True
            )
        watchdog = threading.Timer(READY_WITHIN, self.process.kill)
        watchdog.start()
        line = self.process.stdout.readline()
        watchdog.cancel()
        need(line, f"{name} did not start:\n{self.log.read_text()}")
        self.said = json.loads(line)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(END_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            fail(f"{self.log.stem} did not end when it was asked to")


def toml(**members):
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in members.items())


def instance(running, programs, folder, name, *options):
    """A forged guest and the enclave-app in it: where that listens."""
    own = folder / name
    own.mkdir()
    arguments = ["forge-guest", "--listen", "127.0.0.1:0", "--tee", "snp", "--dir", str(own), *options]
    guest = Program(programs, folder, f"{name}-guest", arguments)
    running.append(guest)
    config = own / "enclave.toml"
    config.write_text(
        toml(listen="127.0.0.1:0", onnxruntime=str(ROOT / ".cache/onnxruntime/lib/libonnxruntime.so"))
        + "[attester]\n"
        + toml(source="coco", coco_url=f"http://{guest.said['listening']}")
        + "[[models]]\n"
        + toml(name=MODEL, version="1", path=str(ROOT / "enclave-app/models" / MODEL / "model.onnx"))
    )
    enclave = Program(programs, folder, f"{name}-enclave", ["enclave-app", "--config", str(config)])
    running.append(enclave)
    return enclave


def dead_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "127.0.0.1:%d" % probe.getsockname()[1]


class Fleet:
    """The gateway, and what its operator can ask."""

    def __init__(self, programs, folder, gateway):
        self.programs, self.folder, self.gateway = programs, folder, gateway
        self.operator = gateway.said["operator"]

    def run(self, *arguments, status=0):
        ran = subprocess.run(
            [self.programs / arguments[0], *arguments[1:]], cwd=self.folder, capture_output=True, text=True, timeout=60, check=False
        )
        need(ran.returncode == status, f"`{' '.join(map(str, arguments))}` ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
        return ran.stdout + ran.stderr

    def get(self, path):
        connection = http.client.HTTPConnection(self.operator, timeout=30)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def view(self):
        return json.loads(self.run("teegate-gateway", "status", "--operator", self.operator, "--json"))

    def status(self):
        return self.run("teegate-gateway", "status", "--operator", self.operator)

    def metric(self, series):
        found = [line.rsplit(" ", 1)[1] for line in self.get("/metrics")[1].splitlines() if line.startswith(series + " ")]
        return float(found[0]) if found else None

    def events(self, address=None):
        """The lines of the log that have an event, of one address or of all."""
        fields = [json.loads(line)["fields"] for line in self.gateway.log.read_text().splitlines() if line.startswith("{")]
        return [one for one in fields if "event" in one and address in (None, one.get("address"))]

    def until(self, what, holds):
        deadline = time.monotonic() + COMES_WITHIN
        while not holds():
            need(time.monotonic() < deadline, f"this did not come: {what}\n{self.status()}\n{self.gateway.log.read_text()[-4000:]}")
            time.sleep(0.1)


def ask(fleet, good, debug, other, dead, good_enclave):
    of = lambda address: next(one for one in fleet.view()["instances"] if one["address"] == address)
    fleet.until("ready", lambda: fleet.get("/readyz")[0] == 200)
    # Long enough that a log with a line for each retry would have several.
    fleet.until("refused again and again", lambda: min(of(debug)["tries"], of(other)["tries"], of(dead)["tries"]) >= 4)

    print("Which instances are in trouble, since when, and why?")
    drawn = fleet.status()
    print(drawn)
    for address, state, why in [
        (good, "attested", ""),
        (debug, "rejected", "snp.policy.debug: expected DEBUG 0, found DEBUG 1"),
        (other, "rejected", "snp.guest.measurement: expected"),
        (dead, "unreachable", "Connection refused"),
    ]:
        line = next((line for line in drawn.splitlines() if line.startswith(address + " ")), "")
        need(state in line and why in line, f"status says `{line}` of {address}, expected {state}: {why}")
    need(OTHER_CODE in of(other)["failed"][0]["found"], f"the measurement that was found: {of(other)['failed']}")
    proof = of(good)["proof"]
    need(proof["models"] == [{"name": MODEL, "version": "1"}] and len(proof["code"]) == 96, f"what was proven: {proof}")

    print("What does that check mean, and what helps?")
    print(fleet.run("teegate", "verify", "--explain", "snp.policy.debug"))

    print("Is it one instance or all of them?")
    for state, count in [("attested", 1), ("rejected", 2), ("unreachable", 1), ("pending", 0)]:
        found = fleet.metric('teegate_gateway_addresses{state="%s"}' % state)
        need(found == count, f"{found} addresses are {state}, expected {count}")
    for address, check in [(debug, "snp.policy.debug"), (other, "snp.guest.measurement")]:
        series = 'teegate_gateway_instance_failed_check{address="%s",check="%s"}' % (address, check)
        need(fleet.metric(series) == 1, f"no {series}")

    print("When did it begin? One line for each change, and none for a retry.")
    for address, event in [(debug, "instance_rejected"), (other, "instance_rejected"), (dead, "instance_unreachable")]:
        lines = [one for one in fleet.events(address) if one["event"] != "instance_pending"]
        need([one["event"] for one in lines] == [event], f"the log says of {address}: {lines}")
        print(json.dumps(lines[0]))

    print("\nWhich policy is in force, and what ends next?")
    policy = fleet.folder / "policy.toml"
    digest = hashlib.sha256(policy.read_bytes()).hexdigest()
    need(fleet.view()["policy"]["sha256"] == digest, "the digest in force is not that of the file")
    need(f'sha256="{digest}"' in fleet.get("/metrics")[1], "the digest is not in the metrics")
    end = fleet.view()["ends_first"]
    need(end["seconds"] > 0 and end["name"], f"what ends first: {end}")
    print(f"{digest}; {end['kind']} {end['name']} in {end['seconds']} s")

    print("\nDid my reload succeed?")
    whole = policy.read_text()
    policy.write_text("schema = 1\n")
    fleet.run("teegate-gateway", "--config", "gateway.toml", "--check-config", status=1)
    fleet.gateway.process.send_signal(signal.SIGHUP)
    fleet.until("a refused reload", lambda: fleet.metric("teegate_gateway_config_last_reload_successful") == 0)
    need("THE LAST WAS REFUSED" in fleet.status(), "status does not say that the reload was refused")
    need(fleet.view()["policy"]["sha256"] == digest and fleet.get("/readyz")[0] == 200, "the old policy went")
    policy.write_text(whole)
    fleet.gateway.process.send_signal(signal.SIGHUP)
    fleet.until("a reload that is taken", lambda: fleet.metric("teegate_gateway_config_last_reload_successful") == 1)
    fleet.until("ready after it", lambda: fleet.get("/readyz")[0] == 200)
    print("refused, and then taken: " + ", ".join(one["event"] for one in fleet.events() if one["event"].startswith("reload_")))

    print("\nWhy is nothing released any more?")
    good_enclave.process.kill()
    fleet.until("not ready", lambda: fleet.get("/readyz")[0] == 503)
    fleet.until("unreachable", lambda: of(good)["state"] == "unreachable")
    print(fleet.get("/readyz")[1] + json.dumps(fleet.events(good)[-1]))
    need("no instance is attested" in fleet.get("/readyz")[1], "readyz does not say why")
    need(fleet.events(good)[-1]["event"] == "instance_unreachable", f"the log: {fleet.events(good)}")


def operate(programs, folder):
    running = []
    try:
        good = instance(running, programs, folder, "good")
        debug = instance(running, programs, folder, "debug", "--debug")
        other = instance(running, programs, folder, "other", "--measurement", OTHER_CODE)
        values = json.loads((folder / "good/values.json").read_text())
        (folder / "values.toml").write_text(
            toml(schema=1, name="forged hardware, for one run")
            + "[sev-snp]\n"
            + toml(source="the forged guest's own word", measurement=values["measurement"], host_data=values["host_data"])
        )
        fill = [programs / "teegate", "policy", "fill", "strict", "--reference-values", folder / "values.toml"]
        for name in ("good", "debug", "other"):
            fill += ["--root", f"amd={folder / name / 'roots/amd.pem'}"]
        filled = subprocess.run([*fill, "--output", folder / "policy.toml"], capture_output=True, text=True, check=False)
        need(filled.returncode == 0, f"no policy: {filled.stderr}")
        dead = dead_address()
        addresses = [one.said["listening"] for one in (good, debug, other)]
        endorsements = [str(folder / name / "endorsements") for name in ("good", "debug", "other")]
        (folder / "gateway.toml").write_text(
            toml(listen="127.0.0.1:0", operator_listen="127.0.0.1:0", policy="policy.toml", admission="none", instances=[*addresses, dead])
            + toml(endorsements=endorsements, retry_seconds=1, reattest_seconds=30)
        )
        config = ["teegate-gateway", "--config", str(folder / "gateway.toml")]
        checked = subprocess.run([programs / config[0], *config[1:], "--check-config"], capture_output=True, text=True, check=False)
        need(checked.returncode == 0, f"the configuration is refused: {checked.stderr}")
        print(checked.stdout)
        gateway = Program(programs, folder, "gateway", config)
        running.append(gateway)
        ask(Fleet(programs, folder, gateway), *addresses, dead, good)
        running.remove(gateway)
        need(gateway.end() == 0, "the gateway did not end well")
        print("\noperate: every question was answered")
    finally:
        for program in reversed(running):
            program.process.kill()
            program.process.wait()


def main():
    with tempfile.TemporaryDirectory(prefix="teegate-operate-") as scratch:
        operate(Path(sys.argv[1]), Path(scratch))


main()
