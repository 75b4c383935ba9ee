"""Runs the README's commands, the last of them against the service that its own line starts. Called by ci/walk.sh with the folder
of the programs."""

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
# In seconds; the work is a few of them, and whatever hangs is ended.
READY_WITHIN, COMMAND_WITHIN, END_WITHIN = 120, 60, 30
ASKS_STATUS = "; echo $?"
# Where the README puts what it makes; here a temporary folder.
TRY = "../try"


def fail(words):
    sys.exit(f"walk: {words}")


class Readme:
    """The blocks of the README's walk, in their order: what sets it up, a verdict, what starts the service, what is asked of it."""

    def __init__(self):
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        section = re.search(r"^## A verdict.*?(?=^## )", text, re.MULTILINE | re.DOTALL)
        blocks = re.findall(r"^```(\w+)\n(.*?)^```", section.group(0) if section else "", re.MULTILINE | re.DOTALL)
        if [kind for kind, _ in blocks] != ["sh", "console", "sh", "console"]:
            fail(f"the walk of README.md should be sh, console, sh, console, and is {[kind for kind, _ in blocks]}")
        set_up, verdict, service, asked = (text for _, text in blocks)
        # Installing compiles everything a second time: the programs that are there take its place.
        self.set_up = "".join(line for line in set_up.splitlines(True) if not line.startswith("cargo install "))
        self.verdict, self.asked = self.steps(verdict), self.steps(asked)
        started = re.fullmatch(r"\./ci/demo\.sh --serve (\S+)\n", service)
        if not started:
            fail(f"the service of README.md is started by another command than `./ci/demo.sh --serve DIR`: {service}")
        self.served = started.group(1)

    @staticmethod
    def steps(block):
        """Each command with the lines that it is shown to say; `…` alone stands for any number of lines."""
        steps = []
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            elif line.strip() and line != "…":
                steps[-1][1].append(line)
        return steps


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
    """One command as somebody types it, with standard error where a terminal shows it: what it says, if it ends well."""
    environment = {**os.environ, "PATH": f"{programs}:{os.environ.get('PATH', '')}"}
    ran = subprocess.run(
        ["bash", "-uc", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=COMMAND_WITHIN,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        fail(f"`{command}` ended with {ran.returncode}:\n{ran.stdout}")
    return ran.stdout


def hold(command, shown, output):
    """The lines that the README shows, in their order, among those that the command said."""
    rest = iter(output.splitlines())
    for pattern in shown:
        if not any(shows(pattern, line) for line in rest):
            fail(f"`{pattern}` does not follow in what `{command}` says:\n{output}")


def is_whole(readme):
    """A walk that is cut down to nothing would pass as well."""
    shown = [line for _, lines in readme.asked for line in lines]
    for part in [
        "execution receipt verified",
        "bound to the workload",
        "snp.guest.measurement",
        "nothing was sealed and nothing of the request was sent",
    ]:
        if not any(part in line for line in shown):
            fail(f"the README no longer shows `{part}`")
    if "4" not in shown or not any(command.endswith(ASKS_STATUS) for command, _ in readme.asked):
        fail("the README no longer shows a refusal with status 4")


def asked_of(service, readme, served, programs):
    """What the service names as the next commands is what the README prints; each is run."""
    said = until_it_serves(service)
    if not said[0].startswith("FORGED HARDWARE"):
        fail(f"the service does not begin with what it is: {said[0]}")
    url = (served / "gateway.url").read_text(encoding="utf-8").strip()
    named = [line.strip().replace(f"{served}/", f"{served.name}/") for line in said if line.startswith("  teegate ")]
    printed = [command.removesuffix(ASKS_STATUS).replace(URL, url) for command, _ in readme.asked]
    if named != printed:
        fail("the service names other commands than the README:\n" + "\n".join(named) + "\nand\n" + "\n".join(printed))
    for command, shown in readme.asked:
        hold(command, shown, run(command.replace(URL, url), served.parent, programs))
    return [pid for line in said for pid in re.findall(r"\(process (\d+)\)", line)]


def walk(programs, folder):
    readme = Readme()
    is_whole(readme)
    run("set -e\n" + readme.set_up.replace(TRY, str(folder)), ROOT, programs)
    for command, shown in readme.verdict:
        hold(command, shown, run(command, folder, programs))

    served = Path(readme.served.replace(TRY, str(folder)))
    start = [ROOT / "ci/demo.sh", "--built", programs, "--serve", served]
    if is_taken():
        print(f"note: something else listens on port {PORT}: the walk goes by another one than the README's")
        start += ["--listen", "127.0.0.1:0"]
    service = subprocess.Popen(
        start, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        processes = asked_of(service, readme, served, programs)
    finally:
        service.send_signal(signal.SIGINT)
        try:
            rest, _ = service.communicate(timeout=END_WITHIN)
        except subprocess.TimeoutExpired:
            service.kill()
            fail("the service did not end when it was asked to")
    if service.returncode != 0:
        fail(f"the service ended with {service.returncode}:\n{rest}")
    left = [process for process in processes if Path("/proc", process).exists()]
    if not processes or left or (served / "gateway.url").exists():
        fail(f"the service has left something behind: of processes {processes} {left}; {os.listdir(served)}")
    steps = readme.verdict + readme.asked
    lines = sum(len(shown) for _, shown in steps)
    print(f"walk: {len(steps)} commands of the README ran as printed, {lines} lines as shown")


def main():
    with tempfile.TemporaryDirectory(prefix="teegate-walk-") as scratch:
        walk(Path(sys.argv[1]), Path(scratch))


main()
