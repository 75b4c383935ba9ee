"""Runs the programs out of the unpacked images, as root of this machine: chroot, uid 65532, no capability, root read-only.

    images_run.py ENCLAVE-APP-TREE GATEWAY-TREE WORK PROGRAMS

Called by ci/images.sh inside a mount namespace of its own, in which this script mounts what a container runtime would: `/proc`,
`/dev/null`, an empty `/tmp`. PROGRAMS holds `teegate` and `forge-guest`; without them, versions and configuration are all that runs.
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
UID = 65532
# In seconds; the work is a few of them, and whatever hangs is ended.
WITHIN = 300
# Enters an image and becomes its program, under the name that the demo starts. PR_CAP_AMBIENT_CLEAR_ALL takes what chroot needed.
ENTER = """#!{python} -IS
import ctypes, os, sys
os.chroot({tree!r})
os.chdir("/")
prctl = ctypes.CDLL(None).prctl
prctl(47, 4, 0, 0, 0)
prctl(38, 1, 0, 0, 0)
os.execve({program!r}, [{program!r}, *sys.argv[1:]], {{"PATH": "/usr/bin"}})
"""


def main():
    trees = {"enclave-app": pathlib.Path(sys.argv[1]), "teegate-gateway": pathlib.Path(sys.argv[2])}
    work, programs = pathlib.Path(sys.argv[3]), pathlib.Path(sys.argv[4])
    version = re.search(r'^version = "([^"]+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE).group(1)
    scratch, entered = work / "scratch", work / "bin"
    # The one that runs this may lie in a home, which uid 65532 cannot enter.
    python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else os.path.realpath(sys.executable)
    for folder in (scratch, entered):
        folder.mkdir()
    for name, tree in trees.items():
        mounted(tree, scratch)
        entry = entered / name
        entry.write_text(ENTER.format(python=python, tree=str(tree), program=f"/usr/bin/{name}"))
        entry.chmod(0o755)
        said = run([entry, "--version"]).split()
        if said[-1:] != [version]:
            fail(f"{name} --version says {said}, expected {version}")
    read_only(trees["enclave-app"])
    configured(entered, scratch)
    print("images: both programs run out of their images and read their configuration, as uid 65532 on a read-only root")
    for program in ("teegate", "forge-guest"):
        if not (programs / program).is_file():
            print(f"note: not run: a sealed inference through both images: {programs / program} is not there")
            return
        copied(programs / program, entered / program)
    sealed_inference(trees, entered, scratch)


def mounted(tree, scratch):
    """What a runtime mounts, then the root read-only."""
    call("mount", "--bind", tree, tree)
    call("mount", "--bind", "/proc", tree / "proc")
    call("mount", "-t", "tmpfs", "-o", "mode=755", "none", tree / "dev")
    (tree / "dev/null").touch()
    call("mount", "--bind", "/dev/null", tree / "dev/null")
    call("mount", "-t", "tmpfs", "-o", "mode=1777", "none", tree / "tmp")
    # What the demo writes lies under the same name inside.
    inside = tree / str(scratch)[1:]
    if not str(scratch).startswith("/tmp/"):
        fail(f"{scratch} is not under /tmp, the one place of an image where something can be mounted")
    inside.mkdir(parents=True)
    os.chmod(scratch, 0o755)
    os.chown(scratch, UID, UID)
    call("mount", "--bind", scratch, inside)
    call("mount", "-o", "remount,bind,ro", tree)


def read_only(tree):
    """The read-only root is not an accident of this test: root itself cannot write there."""
    try:
        (tree / "usr/x").touch()
    except OSError:
        return
    fail(f"{tree} can be written")


def configured(entered, scratch):
    """Each program reads a configuration; the gateway's needs a policy, so that its refusal of none is what is looked for."""
    config = scratch / "enclave-app.toml"
    config.write_text('listen = "127.0.0.1:0"\n[attester]\nsource = "coco"\n[[models]]\nname = "m"\nversion = "1"\npath = "/models/m.onnx"\n')
    said = run([entered / "enclave-app", "--config", config, "--print-config"])
    if "/opt/teegate/lib/libonnxruntime.so" not in said:
        fail(f"enclave-app --print-config says {said[:400]}")
    config = scratch / "gateway.toml"
    config.write_bytes((ROOT / "gateway/example.toml").read_bytes())
    said = run([entered / "teegate-gateway", "--config", config, "--check-config"], status=1)
    if "policy.toml" not in said:
        fail(f"teegate-gateway --check-config says {said[:400]}")


def sealed_inference(trees, entered, scratch):
    """The demonstration's service with both programs out of their images, and one sealed request to it."""
    # In this namespace alone, so that the demo finds under the image's own path what enclave-app then opens inside.
    call("mount", "-t", "tmpfs", "none", "/opt")
    pathlib.Path("/opt/teegate").mkdir()
    call("mount", "--bind", trees["enclave-app"] / "opt/teegate", "/opt/teegate")
    model, served = scratch / "model", scratch / "served"
    model.mkdir()
    for path in (ROOT / "enclave-app/models/breast-cancer").iterdir():
        if path.is_file():
            copied(path, model / path.name)
            os.chmod(model / path.name, 0o644)
    teegate = entered / "teegate"
    arguments = ["demo", "--serve", served, "--listen", "127.0.0.1:0"]
    arguments += ["--onnxruntime", "/opt/teegate/lib/libonnxruntime.so", "--model", model]
    errors = open(scratch / "service.log", "w+b")
    service = subprocess.Popen(as_user([teegate, *arguments]), cwd=scratch, env=environment(scratch), stdout=subprocess.PIPE, stderr=errors, text=True)
    watchdog = threading.Timer(WITHIN, service.kill)
    watchdog.start()
    try:
        said, address = "", None
        for line in service.stdout:
            said += line
            found = re.search(r"http://127\.0\.0\.1:[1-9]\d*", line)
            address = found.group(0) if found else address
            if line.startswith("serving "):
                break
        else:
            errors.seek(0)
            fail(f"the service did not come up; it said\n{said}{errors.read().decode(errors='replace')[-2000:]}")
        for name, tree in trees.items():
            without_rights(name, tree)
        policy = scratch / "served.toml"
        run([teegate, "policy", "fill", "strict", "--reference-values", served / "values.toml", "--root", f"amd={served}/forged-root.pem", "--output", policy], scratch)
        answer = run([teegate, "infer", "--gateway", address, "--model", "breast-cancer", "--input", served / "sample.json", "--policy", policy], scratch)
        if "execution receipt verified" not in answer or "probabilities" not in answer:
            fail(f"`teegate infer` says\n{answer}")
        print("images: a sealed inference went through teegate-gateway and enclave-app out of their images, on forged hardware")
    finally:
        service.send_signal(signal.SIGINT)
        try:
            service.wait(30)
        except subprocess.TimeoutExpired:
            service.kill()
        watchdog.cancel()


def without_rights(name, tree):
    """Whatever runs in an image is uid 65532, without a capability, and can gain none."""
    found = 0
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "root") != str(tree):
                continue
            status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
        except OSError:
            continue  # it has ended
        told = (set(status["Uid"].split()), int(status["CapEff"], 16), int(status["CapPrm"], 16), status["NoNewPrivs"])
        if told != ({str(UID)}, 0, 0, "1"):
            fail(f"a process of {name} has the user, capabilities and `NoNewPrivs` {told}")
        found += 1
    if not found:
        fail(f"no process runs in the image of {name}")


def as_user(command):
    """As uid 65532 with the one capability that entering an image takes."""
    drop = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
    return [*drop, "--bounding-set=-all,+sys_chroot", "--inh-caps=-all,+sys_chroot", "--ambient-caps=-all,+sys_chroot", *map(str, command)]


def environment(scratch):
    return {"PATH": "/usr/bin:/bin", "HOME": str(scratch), "TMPDIR": str(scratch)}


def run(command, folder="/", status=0):
    """What a command says; it has to end with `status`."""
    ran = subprocess.run(
        as_user(command),
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=WITHIN,
        text=True,
        check=False,
    )
    if ran.returncode != status:
        fail(f"`{' '.join(map(str, command))}` ended with {ran.returncode}, expected {status}:\n{ran.stdout[-2000:]}")
    return ran.stdout


def copied(source, target):
    target.write_bytes(source.read_bytes())
    target.chmod(0o755)



def call(*command):
    subprocess.run([str(part) for part in command], check=True)


def fail(words):
    sys.exit(f"images_run: {words}")


if __name__ == "__main__":
    main()
