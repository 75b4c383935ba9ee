"""Runs the README's commands against the service that its own line starts. Called by ci/walk.sh with the folder of the programs."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PORT = 8080
URL = f"http://127.0.0.1:{PORT}"
# Beside which the work is seconds: whatever hangs is ended.
READY_WITHIN, COMMAND_WITHIN, END_WITHIN = 120, 60, 30
ASKS_STATUS = "; echo $?"


def fail(words):
    sys.exit(f"walk: {words}")


def of_the_readme():
    """The folder that the service is told to write into, and each command with the lines that it is shown to say."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    started = re.search(r"^\./ci/demo\.sh --serve (\S+)", readme, re.MULTILINE)
    if not started:
        fail("README.md has no line `./ci/demo.sh --serve DIR`")
    block = re.search(r"^```console\n(.*?)^```", readme[started.end() :], re.MULTILINE | re.DOTALL)
    if not block:
        fail("README.md shows no commands behind its line `./ci/demo.sh --serve DIR`")
    steps = []
    for line in block.group(1).splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], []))
        elif line.strip() and line != "…":
            steps[-1][1].append(line)
    return started.group(1), steps


def is_taken():
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return True
    return False


def shows(pattern, line):
    """`…` stands for what differs from run to run."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("…"))), line) is not None


def until_it_serves(service):
    """What the service says until it serves, which it says last."""
    said = []
    watchdog = threading.Timer(READY_WITHIN, service.kill)
    watchdog.start()
    for line in service.stdout:
        said.append(line.rstrip("\n"))
        if line.startswith("serving "):
            watchdog.cancel()
            return said
    watchdog.cancel()
    fail("the service did not come up; it said\n" + "\n".join(said))


def run(command, folder, programs):
    """One command as somebody types it, with standard error where a terminal shows it."""
    environment = {**os.environ, "PATH": f"{programs}:{os.environ.get('PATH', '')}"}
    ran = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=COMMAND_WITHIN,
        text=True,
        check=False,
    )
    return ran.returncode, ran.stdout


def walk(programs, scratch):
    written, steps = of_the_readme()
    served = Path(os.path.normpath(scratch / "clone" / written))
    folder = served.parent
    folder.mkdir(parents=True)
    start = [ROOT / "ci/demo.sh", "--built", programs, "--serve", served]
    if is_taken():
        print(f"note: something else listens on port {PORT}: the walk goes by another one than the README's")
        start += ["--listen", "127.0.0.1:0"]
    service = subprocess.Popen(
        start, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        said = until_it_serves(service)
        url = (served / "gateway.url").read_text().strip()
        if "FORGED HARDWARE" not in said[0]:
            fail(f"the service does not begin with what it is: {said[0]}")
        # What the service names as the next commands is what the README prints.
        named = [line.strip().replace(f"{served}/", f"{served.name}/") for line in said if line.startswith("  teegate ")]
        printed = [command.removesuffix(ASKS_STATUS).replace(URL, url) for command, _ in steps]
        if named != printed:
            fail("the service names other commands than the README:\n" + "\n".join(named) + "\nand\n" + "\n".join(printed))
        lines = 0
        for command, shown in steps:
            status, output = run(command.replace(URL, url), folder, programs)
            rest = iter(output.splitlines())
            for pattern in shown:
                if not any(shows(pattern, line) for line in rest):
                    fail(f"`{pattern}` does not follow in what `{command}` says:\n{output}")
                lines += 1
            if status != 0:
                fail(f"`{command}` ended with {status}:\n{output}")
    finally:
        service.send_signal(signal.SIGINT)
        try:
            rest, _ = service.communicate(timeout=END_WITHIN)
        except subprocess.TimeoutExpired:
            service.kill()
            fail("the service did not end when it was asked to")
    if service.returncode != 0:
        fail(f"the service ended with {service.returncode}:\n{rest}")
    left = [pid for line in said for pid in re.findall(r"\(process (\d+)\)", line) if Path("/proc", pid).exists()]
    if left or (served / "gateway.url").exists():
        fail(f"the service has left something behind: processes {left}, {os.listdir(served)}")
    # A walk that is cut down to nothing would pass as well.
    whole = "\n".join(line for _, shown in steps for line in shown).splitlines()
    for part in ["execution receipt verified", "bound to the workload", "nothing was sealed and nothing of the request was sent"]:
        if not any(part in line for line in whole):
            fail(f"the README no longer shows `{part}`")
    if "4" not in whole:
        fail("the README no longer shows a refusal with status 4")
    print(f"walk: {len(steps)} commands of the README ran as printed, {lines} lines as shown")


def main():
    with tempfile.TemporaryDirectory(prefix="teegate-walk-") as scratch:
        walk(Path(sys.argv[1]), Path(scratch))


main()
