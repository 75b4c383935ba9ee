"""A virtual machine of QEMU without KVM, the forged Azure VM that its TPM and its metadata service belong to, and what it says."""

import base64
import gzip
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FIRMWARE = ROOT / ".cache/debian/usr/share/OVMF"
RELAY = ROOT / "ci/guest/relay.py"
METADATA_SERVICE = "169.254.169.254"
# In seconds. A boot takes some forty on an idle machine and minutes on a busy one; whatever hangs is ended.
READY_WITHIN, BOOTED_WITHIN, ENDED_WITHIN = 60, 900, 30

RUNNING = []
OVER = threading.Event()
LOCK = threading.Lock()


class Failed(Exception):
    """What ends a run with a few sentences."""


def need(condition, words):
    if not condition:
        raise Failed(words)


def end_all(*_):
    """Ends whatever runs, also when this script is asked to end in the middle; nothing starts from then on."""
    OVER.set()
    with LOCK:
        for process in RUNNING:
            if process.poll() is None:
                process.kill()


def on_signal(number, _):
    end_all()
    sys.exit(128 + number)


def watch_signals():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)


class Process:
    """A process of this run. Its standard output is read line by line, which is what is waited for."""

    def __init__(self, name, command, folder):
        self.name, self.log, self.lines, self.ended = name, folder / f"{name}.log", [], False
        self.changed = threading.Condition()
        with LOCK, open(self.log, "wb") as log:
            need(not OVER.is_set(), f"{name} is not started: the run is over")
            # No environment: the programs refuse a start under any LD_*.
            environment = {"PATH": os.environ.get("PATH", ""), "TMPDIR": str(folder)}
            # Ends with this script even where that is killed; swtpm ends with forge-guest, whose it is.
            command = ["setpriv", "--pdeathsig", "KILL", *map(str, command)]
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
            RUNNING.append(self.process)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.decode(errors="replace").strip())
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def until(self, what, is_it, within):
        """The first line that is it."""
        deadline = time.monotonic() + within
        with self.changed:
            while True:
                found = next((line for line in self.lines if is_it(line)), None)
                if found is not None:
                    return found
                late = time.monotonic() >= deadline
                need(not self.ended and not late, f"{self.name} has {'ended' if self.ended else 'not come so far'}, expected {what}; it said\n{self.said()}")
                self.changed.wait(deadline - time.monotonic())

    def said(self):
        return "\n".join(line[:200] for line in self.lines[-25:]) + "\n" + self.log.read_text(errors="replace")[-3000:]

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(ENDED_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failed(f"{self.name} did not end when it was asked to") from None


class Program(Process):
    """One of the programs, which says where it is in its first line."""

    def __init__(self, name, command, folder):
        super().__init__(name, command, folder)
        self.ready = json.loads(self.until("its first line", bool, READY_WITHIN))


def free_port():
    """A port that is free now; QEMU cannot choose one and say which."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def disk(initdata):
    """Initdata as Kata hands it to a guest: a block device with a magic word, the length, and gzip."""
    packed = gzip.compress(initdata, mtime=0)
    image = b"initdata" + len(packed).to_bytes(8, "little") + packed
    return image + bytes(-len(image) % 512)


class Machine:
    """One boot of an image with an initdata, from power-on to an enclave-app that listens."""

    def __init__(self, programs, folder, uki, initdata):
        self.folder, self.parts = folder, []
        boot = folder / "esp/EFI/BOOT"
        boot.mkdir(parents=True)
        os.link(uki, boot / "BOOTX64.EFI")
        (folder / "initdata.img").write_bytes(disk(initdata.read_bytes()))
        shutil.copyfile(FIRMWARE / "OVMF_VARS.fd", folder / "variables.fd")
        # What is forged: the paravisor, the hardware below it and its vendor, the host. The TPM is a software TPM.
        azure = ["--paravisor", "--qemu", folder / "tpm.sock", "--tee", "snp", "--listen", "127.0.0.1:0", "--dir", folder / "forged"]
        try:
            self.azure = self.started(Program("forge-guest", [programs / "forge-guest", *azure], folder))
            self.values = json.loads((folder / "forged/values.json").read_text())
            self.address = f"127.0.0.1:{free_port()}"
            self.qemu = self.started(Process("qemu", self.command(), folder))
        except BaseException:
            self.end()
            raise

    def started(self, part):
        self.parts.append(part)
        return part

    def command(self):
        folder, host = self.folder, self.azure.ready["listening"].replace(":", " ")
        # Nothing of the network is there but the host's metadata service and this host's way to the guest's one port.
        network = f"user,id=net,net=169.254.0.0/16,host=169.254.0.2,restrict=on,hostfwd=tcp:{self.address}-169.254.0.15:8443"
        network += f",guestfwd=tcp:{METADATA_SERVICE}:80-cmd:{sys.executable} {RELAY} {host}"
        return [
            "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "q35,smm=off", "-cpu", "max", "-smp", "1", "-m", "768",
            "-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio",
            "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={FIRMWARE}/OVMF_CODE.fd",
            "-drive", f"if=pflash,format=raw,unit=1,file={folder}/variables.fd",
            "-drive", f"if=none,id=esp,format=raw,readonly=on,file=fat:{folder}/esp", "-device", "virtio-blk-pci,drive=esp,bootindex=1",
            "-drive", f"if=none,id=initdata,format=raw,readonly=on,file={folder}/initdata.img", "-device", "virtio-blk-pci,drive=initdata",
            "-chardev", f"socket,id=tpm,path={folder}/tpm.sock", "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0",
            "-netdev", network, "-device", "virtio-net-pci,netdev=net,romfile=",
            "-object", "rng-random,filename=/dev/urandom,id=random", "-device", "virtio-rng-pci,rng=random",
        ]  # fmt: skip

    def booted(self):
        """Waits until enclave-app listens in it."""
        self.qemu.until("an enclave-app that listens", lambda line: '"listening"' in line, BOOTED_WITHIN)

    def registers(self):
        """The registers of its TPM after the boot, as the guest's kernel reads them: `{number: value}`."""
        told = [line.split()[2:] for line in self.qemu.lines if line.startswith("guest: pcr ")]
        return {int(number): value.lower() for number, value in told}

    def log(self):
        """The firmware's log of the boot."""
        return base64.b64decode("".join(line.split()[2] for line in self.qemu.lines if line.startswith("guest: log ") and line != "guest: log ends"))

    def end(self):
        for part in reversed(self.parts):
            part.end()
