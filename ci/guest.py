"""Boots our own guest four times in QEMU and has a gateway judge each boot. Called by ci/guest.sh.

    guest.py DIR... [--log FILE]        each program out of the first folder that has it

What is expected comes from files: `teegate predict` reads the image and the initdata, and the registers of no boot go into a policy.
"""

import argparse
import concurrent.futures
import hashlib
import http.client
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "guest"))
from machine import ROOT, Failed, Machine, Program, end_all, need, watch_signals  # noqa: E402

MODEL = "breast-cancer"
# In seconds; whatever hangs is ended.
COMES_WITHIN, COMMAND_WITHIN, ALL_WITHIN = 120, 120, 1800
OTHER_CMDLINE = "console=ttyS0 quiet panic=-1 rdinit=/init mitigations=off"
# Of each boot: whether the image and the initdata are those that are expected, and the check that refuses it.
CASES = {
    "good": ("good", "good", None),
    "other-initramfs": ("initramfs", "good", "hcl.pcr.boot"),
    "other-cmdline": ("cmdline", "good", "hcl.pcr.boot"),
    "other-initdata": ("good", "other", "hcl.pcr8"),
}
INITDATA = 'version = "0.1.0"\nalgorithm = "sha256"\n\n[data]\n"policy.rego" = \'\'\'\npackage agent_policy\n\ndefault ExecProcessRequest := {}\n\'\'\'\n'


def run(command, folder, status=0):
    """What a command says, on both streams; it has to end with `status`."""
    ran = subprocess.run(
        [str(part) for part in command], cwd=folder, env={}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_WITHIN, check=False
    )
    need(ran.returncode == status, f"`{' '.join(map(str, command))}` ended with {ran.returncode}, expected {status}:\n{ran.stdout[-3000:]}{ran.stderr[-3000:]}")
    return ran.stdout, ran.stderr


def toml(**members):
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in members.items())


def pcr7_without_keys():
    """PCR 7 of a firmware in which nobody has enrolled a key: the variables of Secure Boot, which is off, and a separator. TCG PC Client
    Platform Firmware Profile 1.05, section 3.3.4.8; UEFI_VARIABLE_DATA. It depends on no image, so that no prediction of one has it."""
    everybodys, of_images = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c"), uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
    variables = [(everybodys, "SecureBoot", b"\0"), (everybodys, "PK", b""), (everybodys, "KEK", b""), (of_images, "db", b""), (of_images, "dbx", b"")]
    events = [owner.bytes_le + struct.pack("<QQ", len(name), len(data)) + name.encode("utf-16-le") + data for owner, name, data in variables]
    register = bytes(32)
    for event in [*events, bytes(4)]:
        register = hashlib.sha256(register + hashlib.sha256(event).digest()).digest()
    return register.hex()


class Files:
    """What boots, and what is predicted of it, before anything boots."""

    def __init__(self, programs, work):
        self.programs, self.work = programs, work
        extra = work / "extra"
        extra.write_text("One file more than in the image that is expected.\n")
        made = [ROOT / "ci/uki.sh", "--programs", programs, "--out"]
        print(self.uki(made, "good", []), end="")
        again = work / "again.efi"
        self.make([*made, again])
        need(again.read_bytes() == (work / "good.efi").read_bytes(), "the same image, made twice, has other bytes")
        again.unlink()
        print("guest: the image, made twice, is the same bytes")
        self.uki(made, "initramfs", ["--extra", extra])
        self.uki(made, "cmdline", ["--cmdline", OTHER_CMDLINE])
        for name, text in [("good", "false"), ("other", "true")]:
            (work / f"{name}.toml").write_text(INITDATA.format(text))

    def uki(self, made, name, options):
        return self.make([*made, self.work / f"{name}.efi", *options])

    @staticmethod
    def make(command):
        made = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=COMMAND_WITHIN, check=False)
        need(made.returncode == 0, f"ci/uki.sh ended with {made.returncode}: {made.stderr}")
        return made.stdout

    def predicted(self, uki, initdata):
        """`{register: value}` of what an image and an initdata become."""
        teegate = self.programs / "teegate"
        predictions = [
            ["pcr", "--uki", self.work / f"{uki}.efi"],
            ["initdata", self.work / f"{initdata}.toml", "--platform", "azure-vtpm"],
        ]
        values = {7: pcr7_without_keys()}
        for prediction in predictions:
            answer = json.loads(run([teegate, "predict", *prediction, "--format", "json"], self.work)[0])
            values |= {int(one["field"][3:]): one["value"] for one in answer["values"] if one["field"].startswith("pcr")}
        need(sorted(values) == [4, 7, 8, 9, 11, 12], f"predicted are the registers {sorted(values)}")
        return values

    def policy(self, machine, folder):
        """The template for peer pods with what is expected: image and initdata by prediction, the paravisor by what was forged."""
        teegate = self.programs / "teegate"
        image = ["predict", "pcr", "--uki", self.work / "good.efi", "--tee", "snp", "--reference-values", "--name", "image"]
        pod = ["predict", "initdata", self.work / "good.toml", "--platform", "azure-vtpm", "--tee", "snp", "--reference-values", "--name", "pod"]
        (folder / "image.toml").write_text(run([teegate, *image], folder)[0])
        (folder / "pod.toml").write_text(run([teegate, *pod], folder)[0])
        (folder / "machine.toml").write_text(
            toml(schema=1, name="machine")
            + "[sev-snp]\n"
            + toml(source="the forged paravisor, and a firmware without keys", measurement=machine.values["measurement"], pcr7=pcr7_without_keys())
        )
        values = [word for name in ("image", "pod", "machine") for word in ("--reference-values", f"{name}.toml")]
        root = f"amd={folder}/forged/roots/amd.pem"
        run([teegate, "policy", "fill", "azure-peer-pod", *values, "--root", root, "--output", "policy.toml"], folder)


def gateway_of(files, machine, folder):
    (folder / "gateway.toml").write_text(
        toml(listen="127.0.0.1:0", operator_listen="127.0.0.1:0", policy="policy.toml", admission="none", instances=[machine.address])
        + toml(endorsements=[f"{folder}/forged/endorsements"], retry_seconds=1)
    )
    return Program("gateway", [files.programs / "teegate-gateway", "--config", folder / "gateway.toml"], folder)


def infer(files, gateway, folder, status):
    sample = ROOT / "enclave-app/models" / MODEL / "sample.json"
    asked = ["--gateway", f"http://{gateway.ready['listening']}", "--model", MODEL, "--input", sample, "--policy", "policy.toml"]
    return run([files.programs / "teegate", "infer", *asked, "--format", "json", "--wait", "30"], folder, status)


def judged(files, machine, folder, status):
    """What `teegate probe` finds at the guest itself: the checks that failed, and the registers that the TPM's quote is over."""
    asked = ["--policy", "policy.toml", "--endorsements", "forged/endorsements", "--format", "json"]
    report = json.loads(run([files.programs / "teegate", "probe", f"https://{machine.address}", *asked], folder, status)[0])
    registers = {int(name[3:]): value for name, value in report["facts"].items() if name.startswith("pcr")}
    need(len(registers) == 24, f"the quote is over {len(registers)} registers")
    return [one["id"] for one in report["checks"] if one["result"] == "fail"], registers


def accepted(files, gateway, folder):
    """A sealed inference goes through, and the answer is the model's."""
    outputs = [json.loads(text)["outputs"] for text in (infer(files, gateway, folder, 0)[0], (ROOT / "enclave-app/models" / MODEL / "expected.json").read_text())]
    need(outputs[0] == outputs[1] and outputs[0], f"the answer is {outputs[0]}, expected {outputs[1]}")


def refused(files, gateway, machine, folder, check):
    """The gateway refuses the instance by this check alone, says so, and relays nothing."""
    deadline = time.monotonic() + COMES_WITHIN
    while not (failed := failed_checks(gateway)):
        need(time.monotonic() < deadline, f"the gateway has refused nothing:\n{gateway.said()}")
        time.sleep(0.2)
    expected = f'teegate_gateway_instance_failed_check{{address="{machine.address}",check="{check}"}} 1'
    need(failed == [expected], f"the gateway refuses by {failed}, expected {expected}")
    # As rejected as what the client itself would have refused, and by that check.
    said = infer(files, gateway, folder, 4)[1]
    need(f"[{check}]" in said and "nothing was sealed and nothing of the request was sent" in said, f"`teegate infer` says {said}")


def failed_checks(gateway):
    connection = http.client.HTTPConnection(gateway.ready["operator"], timeout=60)
    connection.request("GET", "/metrics")
    metrics = connection.getresponse().read().decode()
    return [line for line in metrics.splitlines() if line.startswith("teegate_gateway_instance_failed_check{")]


def case(files, name):
    """One boot, judged. What it leaves: the registers of the quote."""
    uki, initdata, check = CASES[name]
    folder = files.work / name
    folder.mkdir()
    start = time.monotonic()
    machine = Machine(files.programs, folder, files.work / f"{uki}.efi", files.work / f"{initdata}.toml")
    running = [machine]
    try:
        files.policy(machine, folder)
        machine.booted()
        took = time.monotonic() - start
        failed, quoted = judged(files, machine, folder, 4 if check else 0)
        need(failed == ([check] if check else []), f"{name}: the checks that refuse are {failed}, expected {check}")
        for register, value in files.predicted(uki, initdata).items():
            need(quoted[register] == value, f"{name}: PCR {register} is {quoted[register]} in the quote, predicted is {value}")
        events = replayed(files, machine, folder, quoted)
        gateway = gateway_of(files, machine, folder)
        running.append(gateway)
        if check:
            refused(files, gateway, machine, folder, check)
        else:
            accepted(files, gateway, folder)
        verdict = f"refused by {check}" if check else "attested, a sealed inference answered"
        print(f"guest: {name}: {verdict}; listening after {took:.0f} s, {time.monotonic() - start:.0f} s in all; {events} events", flush=True)
        return quoted
    except Failed as error:
        raise Failed(f"{name}: {error}\n{machine.qemu.said()}") from error
    finally:
        for part in reversed(running):
            part.end()


def replayed(files, machine, folder, quoted):
    """The firmware's log of the boot adds up to the registers of the quote, but for those that nothing in it extends: initdata's (8), that of
    the kernel's IMA (10), and those from 12 on."""
    (folder / "boot.log").write_bytes(machine.log())
    log = json.loads(run([files.programs / "teegate", "inspect", "boot.log", "--format", "json"], folder)[0])
    registers = {int(name.removeprefix("sha256.pcr")): value for name, value in log["registers"].items() if name.startswith("sha256.pcr")}
    expected = {number: quoted[number] for number in (0, 1, 2, 3, 4, 5, 6, 7, 9, 11)}
    need(registers == expected, f"the log adds up to {registers}, the registers are {expected}")
    # And the first record of a log, which says in which form the others are.
    return len(log["events"]) + 1


def only_what_was_changed(registers):
    """Between two boots the registers differ that what was changed goes into, and no others."""
    changed = {"other-initramfs": {4, 9, 10, 11}, "other-cmdline": {4, 9, 10, 11}, "other-initdata": {8}}
    for name, expected in changed.items():
        differ = {number for number in range(24) if registers[name][number] != registers["good"][number]}
        need(differ == expected, f"{name}: the registers {sorted(differ)} differ from those of the good boot, expected {sorted(expected)}")
    print("guest: each change changes PCR 4, 9 and 11 (and 10, the kernel's own) or PCR 8, and no other of 24")


def find(folders, name):
    """A program, in the first of these folders that has it."""
    found = next((folder / name for folder in folders if (folder / name).is_file()), None)
    need(found, f"{name} lies in none of {', '.join(map(str, folders))}")
    return found


def boot_and_judge(arguments, work):
    programs = work / "programs"
    programs.mkdir()
    for name in ("enclave-app", "teegate", "teegate-gateway", "forge-guest"):
        (programs / name).symlink_to(find(arguments.programs, name).resolve())
    files = Files(programs, work)
    names = ["good"] if arguments.log else list(CASES)
    # Two at a time: a machine waits for its disk and its TPM while another computes.
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        boots = {name: pool.submit(case, files, name) for name in names}
        try:
            registers = {name: boot.result() for name, boot in boots.items()}
        except BaseException:
            end_all()
            raise
    if arguments.log:
        arguments.log.write_bytes((work / "good/boot.log").read_bytes())
        stated = arguments.log.with_suffix(".pcrs")
        stated.write_text("".join(f"pcr {number} {value}\n" for number, value in sorted(registers["good"].items())))
        print(f"guest: the log of the boot is in {arguments.log}, the registers of the quote are in {stated}")
    else:
        only_what_was_changed(registers)


def main():
    parser = argparse.ArgumentParser(prog="guest.sh")
    parser.add_argument("programs", type=pathlib.Path, nargs="+")
    parser.add_argument("--log", type=pathlib.Path)
    arguments = parser.parse_args()
    watch_signals()
    watchdog = threading.Timer(ALL_WITHIN, end_all)
    watchdog.daemon = True
    watchdog.start()
    start = time.monotonic()
    try:
        # Not under TMPDIR, which may be long: the path of a socket has a hundred bytes or so.
        with tempfile.TemporaryDirectory(prefix="teegate-guest-", dir="/tmp") as work:
            boot_and_judge(arguments, pathlib.Path(work))
    except (Failed, OSError, subprocess.TimeoutExpired) as error:
        sys.exit(f"guest: {error}")
    finally:
        end_all()
    print(f"guest: {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
