"""The ACPI blobs that QEMU composes for a VM of a given shape, as the guest's firmware reads them.

QEMU runs without KVM, on this machine's processor alone. The blobs follow from the shape *and* from what firmware has set up when it reads
them (where PCI's windows lie, for one), and QEMU writes them at that moment; so the firmware runs until then, the VM is stopped, and the
three files are read out of fw_cfg, QEMU's box of files for firmware.
"""

import argparse
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

# What firmware reads, and the file that it becomes. `teegate predict tdx --acpi FOLDER` takes them by these names.
BLOBS = {"etc/acpi/tables": "acpi-tables", "etc/acpi/rsdp": "acpi-rsdp", "etc/table-loader": "table-loader"}
# Shapes that would start something else than what is declared, or let it run with another's help.
REFUSED = ("-accel", "-enable-kvm", "-S", "-s", "-gdb", "-qtest", "-qmp", "-trace", "-D", "-daemonize", "-display", "-nographic", "-bios", "-pflash")
# QEMU, docs/specs/fw_cfg.rst: the entry that lists the files, and the two ports that start a transfer.
DIRECTORY, DMA_HIGH, DMA_LOW = 0x19, 0x514, 0x518
SCRATCH = 0x100000
# TCG PC Client Platform Firmware Profile 1.05, section 10.2.
LOG_BEGINS, LOG_BYTES = b"Spec ID Event03\0", 1 << 16
LOG_ENDS = b"Exit Boot Services Returned with Success"


class Wrong(Exception):
    """What could not be done, and what helps."""


def connected(path, process, seconds=30):
    """The socket at `path`, once the process listens on it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            link = socket.socket(socket.AF_UNIX)
            link.connect(str(path))
            link.settimeout(60)
            return link.makefile("rwb", buffering=0)
        except OSError:
            link.close()
            time.sleep(0.05)
    raise Wrong(f"{process.args[0]} did not start; what it said stands above")


class Machine:
    """One QEMU, stopped before its first instruction."""

    def __init__(self, qemu, firmware, shape, folder, more=()):
        self.folder, self.trace = folder, folder / "trace"
        sockets = {name: folder / name for name in ("qtest", "qmp")}
        listen = [part for name, path in sockets.items() for part in (f"-{name}", f"unix:{path},server=on,wait=off")]
        command = [qemu, *shape, *more, "-bios", str(firmware), "-accel", "tcg", "-S", "-display", "none", *listen, "-qtest-log", "/dev/null"]
        self.process = subprocess.Popen([*command, "-trace", "fw_cfg_select", "-D", str(self.trace)], stdin=subprocess.DEVNULL)
        self.qtest = connected(sockets["qtest"], self.process)
        self.qmp = connected(sockets["qmp"], self.process)
        self.qmp.readline()  # the greeting
        self.order("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def order(self, command, **arguments):
        """A command of QEMU's monitor."""
        self.qmp.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while line := self.qmp.readline():
            answer = json.loads(line)
            if "error" in answer:
                raise Wrong(f"QEMU refuses {command}: {answer['error'].get('desc')}")
            if "return" in answer:
                return answer["return"]
        raise Wrong("QEMU ended; what it said stands above")

    def poke(self, line):
        """A command to the devices, as the processor would give it; the VM has to be stopped."""
        self.qtest.write(line.encode() + b"\n")
        while answer := self.qtest.readline():
            word, _, rest = answer.decode().strip().partition(" ")
            if word == "OK":
                return rest
            if word not in ("IRQ",):
                raise Wrong(f"QEMU refuses `{line[:40]}`: {answer.decode().strip()}")
        raise Wrong("QEMU ended; what it said stands above")

    def fw_cfg(self, key, length):
        """`length` bytes of an entry: control (select 8, read 2), length, address, all big-endian; zero is written back when it is done."""
        control = ((key << 16) | 0x0A).to_bytes(4, "big") + length.to_bytes(4, "big") + (SCRATCH + 16).to_bytes(8, "big")
        self.poke(f"write {SCRATCH:#x} 0x10 0x{control.hex()}")
        self.poke(f"outl {DMA_HIGH:#x} 0x0")
        self.poke(f"outl {DMA_LOW:#x} {int.from_bytes(SCRATCH.to_bytes(4, 'little'), 'big'):#x}")
        if self.memory(SCRATCH, 4) != bytes(4):
            raise Wrong(f"fw_cfg gave no {length} bytes of its entry {key:#x}")
        return self.memory(SCRATCH + 16, length)

    def memory(self, address, length):
        return bytes.fromhex(self.poke(f"read {address:#x} {length:#x}")[2:])

    def files(self):
        """Name to key and length: a number u32, then for each length u32, key u16, two bytes, name of 56, big-endian."""
        number = int.from_bytes(self.fw_cfg(DIRECTORY, 4), "big")
        listed = self.fw_cfg(DIRECTORY, 4 + 64 * number)[4:]
        entries = [listed[at : at + 64] for at in range(0, len(listed), 64)]
        return {one[8:].split(b"\0")[0].decode(): (int.from_bytes(one[4:6], "big"), int.from_bytes(one[:4], "big")) for one in entries}

    def run_until(self, holds, seconds, what):
        """Lets the VM run until `holds()`, and stops it."""
        self.order("cont")
        end = time.monotonic() + seconds
        while not holds():
            if self.process.poll() is not None:
                raise Wrong("QEMU ended; what it said stands above")
            if time.monotonic() > end:
                raise Wrong(f"{what} did not happen within {seconds} s (--limit)")
            time.sleep(0.1)
        self.order("stop")

    def selected(self, key):
        """Whether firmware has asked for this entry."""
        return self.trace.exists() and re.search(rf"key {key:#06x} ", self.trace.read_text(errors="replace")) is not None


def blobs(machine, limit):
    """The three blobs as the firmware of `machine` reads them, which is stopped behind that."""
    files = machine.files()
    missing = [name for name in BLOBS if name not in files]
    if missing:
        raise Wrong(f"this machine has no {', '.join(missing)}: ACPI is turned off in its shape")
    machine.run_until(lambda: all(machine.selected(files[name][0]) for name in BLOBS), limit, "that firmware reads the ACPI tables")
    # QEMU pads its files when it fills them, so their length is the one of now.
    files = machine.files()
    return {name: machine.fw_cfg(*files[name]) for name in BLOBS}


def records(log):
    """Where the records of a log with one bank of SHA-384 end, and how many there are: register u32, type u32, 1 u32, algorithm u16, digest of
    48, length u32, data. Behind the last stands filling, or what was in memory."""
    at, number = 32 + int.from_bytes(log[28:32], "little"), 0
    while log[at + 8 : at + 14] == b"\1\0\0\0\x0c\0" and log[at : at + 4] < b"\x18":
        at, number = at + 66 + int.from_bytes(log[at + 62 : at + 66], "little"), number + 1
    return at, number


def log_of(memory):
    """The event log with the most records among those in memory, where copies and remains of it lie."""
    begins = re.escape(b"\0\0\0\0\3\0\0\0" + bytes(20)) + b"...." + re.escape(LOG_BEGINS)
    logs = [memory[match.start() : match.start() + LOG_BYTES] for match in re.finditer(begins, memory, re.DOTALL)]
    log = max(logs, key=lambda log: records(log)[1], default=b"")
    return log[: records(log)[0]]


def measured(machine, limit):
    """The event log of a boot whose guest has left the firmware behind, out of the guest's memory."""
    size = sum(part["size"] for part in machine.order("query-memory-devices")) + machine.order("query-memory-size-summary")["base-memory"]
    dump = machine.folder / "memory"

    def log():
        machine.order("pmemsave", val=0, size=min(size, 0x80000000), filename=str(dump))
        return log_of(dump.read_bytes())

    next_look = [0.0]

    def holds():
        # A copy of the whole memory: not oftener than every few seconds.
        if time.monotonic() < next_look[0]:
            return False
        done = LOG_ENDS in log()
        next_look[0] = time.monotonic() + 5
        return done

    machine.run_until(holds, limit, "that a guest leaves the firmware behind (its shape has to name a -kernel)")
    return log()


# TPM 2.0 part 3, section 22.5, TPM2_PCR_Allocate: the platform without a password; the banks of SHA-1, SHA-256 and SHA-512 with no register,
# that of SHA-384 with all 24. It holds from the next start on, and TPM2_Shutdown makes that an orderly one.
ALLOCATE = "8002 00000037 0000012b 4000000c 00000009 40000009 0000 00 0000 00000004 0004 03 000000 000b 03 000000 000d 03 000000 000c 03 ffffff"
SHUTDOWN = "8001 0000000c 00000145 0000"


def tpm(folder):
    """A software TPM with a bank of SHA-384 alone, the digest of a TD's registers; its process, and what QEMU takes."""
    state, link = folder / "tpm", folder / "tpm.sock"
    state.mkdir()
    command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}"]
    try:
        once = subprocess.Popen([*command, "--server", f"type=unixio,path={link}", "--flags", "startup-clear"])
        try:
            stream = connected(link, once)
            for order in (ALLOCATE, SHUTDOWN):
                stream.write(bytes.fromhex(order))
                if (answer := stream.read(4096))[6:10] != bytes(4):
                    raise Wrong(f"the software TPM refuses its banks: {answer.hex()}")
        finally:
            once.kill()
            once.wait()
        link.unlink(missing_ok=True)
        process = subprocess.Popen([*command, "--ctrl", f"type=unixio,path={link}"])
    except OSError as error:
        raise Wrong(f"no software TPM: {error}; ci/swtpm.sh installs one") from error
    return process, ["-chardev", f"socket,id=tpm,path={link}", "-tpmdev", "emulator,id=tpm,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm"]


def version(qemu):
    try:
        said = subprocess.run([qemu, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Wrong(f"`{qemu}` does not run: {error}; name QEMU with --qemu") from error
    return said.stdout.splitlines()[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", required=True, type=pathlib.Path, metavar="FOLDER", help="where the files go")
    parser.add_argument("--firmware", required=True, type=pathlib.Path, metavar="FILE", help="the whole firmware image, as the host starts it")
    parser.add_argument("--qemu", default="qemu-system-x86_64", metavar="PROGRAM", help="the QEMU of the host: another version writes other tables")
    parser.add_argument("--limit", default=300, type=int, metavar="SECONDS")
    parser.add_argument("--measured", action="store_true", help="with a TPM, until a guest has left the firmware behind; keeps its event log as well")
    parser.add_argument("shape", nargs="*", metavar="-- ARGUMENT", help="QEMU's arguments that make the machine: -machine, -cpu, -smp, -m, -device")
    asked = parser.parse_args()
    refused = [word for word in asked.shape if word in REFUSED or "accel=" in word]
    if refused or not asked.shape:
        raise Wrong(f"{refused[0]} is not part of a shape" if refused else "no shape: behind `--`, name -machine, -smp, -m and the devices")
    if not asked.firmware.is_file():
        raise Wrong(f"{asked.firmware} is no file")
    # Before QEMU runs for what could not be written then.
    try:
        asked.into.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise Wrong(f"--into {asked.into}: it, or what it lies in, is a file; name a folder, which is made where there is none") from error
    except OSError as error:
        raise Wrong(f"--into {asked.into}: {error}") from error
    taken = [name for name in (*BLOBS.values(), "shape") if (asked.into / name).is_dir()]
    if taken or not os.access(asked.into, os.W_OK):
        raise Wrong(f"--into {asked.into}: " + (f"{taken[0]} in it is a folder" if taken else "nobody may write there as this user"))
    said = version(asked.qemu)
    with tempfile.TemporaryDirectory(prefix="teegate-acpi-") as temporary:
        folder = pathlib.Path(temporary)
        software, more = tpm(folder) if asked.measured else (None, ())
        try:
            with Machine(asked.qemu, asked.firmware, asked.shape, folder, more) as machine:
                read = blobs(machine, asked.limit)
                log = measured(machine, asked.limit) if asked.measured else None
        finally:
            if software:
                software.kill()
                software.wait()
    for name, content in read.items():
        (asked.into / BLOBS[name]).write_bytes(content)
    shape = " ".join(asked.shape) + (" with a TPM" if asked.measured else "")
    (asked.into / "shape").write_text(f"{said}: {shape}\n")
    if log is not None:
        (asked.into / "event-log").write_bytes(log)
    print(f"{asked.into}: the ACPI blobs of {said}, {shape}", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except Wrong as wrong:
        sys.exit(f"acpi.sh: {wrong}")
