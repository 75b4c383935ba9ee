"""Makes and checks the OCI images of enclave-app and teegate-gateway. Called by ci/images.sh; docs/IMAGES.md says what is in them.

    images.py make --programs DIR --onnxruntime DIR --out DIR [--commit COMMIT] [--measurements FILE] [--allow-paths]
    images.py check DIR
    images.py unpack LAYOUT DIR

Needs neither root nor a container engine: a layout is a folder of files, which oci.py writes. `make` reads the programs, the
libraries of this machine (a Debian or Ubuntu) and cargo's records, and runs none of the programs.
"""

import argparse
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import crates
import debian
import elf
import oci
import release
import sbom
from release import tell

ROOT = pathlib.Path(__file__).resolve().parent.parent
UID = 65532
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
RUNTIME = "opt/teegate/lib/libonnxruntime.so"  # where enclave-app looks when its configuration says nothing else
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
# Where a runtime mounts something: the root is read-only, so the places have to be there.
FOLDERS = ["dev", "etc/teegate", "proc", "sys", "tmp"]
# By name: its crate, what it carries beside itself and the C library, where models are mounted, and the bounds of all its layers
# together in bytes. The lower bound notices what is missing, the upper one what came along.
IMAGES = {
    "enclave-app": {
        "package": "teegate-enclave",
        "carries": "onnxruntime",
        "folders": ["models"],
        "command": ["--config", "/etc/teegate/enclave-app.toml"],
        "bytes": (43_500_000, 46_000_000),
    },
    "teegate-gateway": {
        "package": "teegate-gateway",
        "carries": "certificates",
        "folders": [],
        "command": ["--config", "/etc/teegate/gateway.toml"],
        "bytes": (19_500_000, 21_500_000),
    },
}
ANY_SIZE = (0, 1 << 40)
# What no image may hold: something that runs other programs, or installs some.
NEVER = re.compile(r"(^|/)(ba|da|a|z|k)?sh$|busybox|python|perl|(^|/)(apt|dpkg|env|su|sudo|ldconfig)\b")
PASSWD = f"nonroot:x:{UID}:{UID}::/:/nonexistent\n".encode()
GROUP = f"nonroot:x:{UID}:\n".encode()


class Refused(ValueError):
    """What ends this with one sentence."""


def make(arguments):
    out, onnxruntime = arguments.out, arguments.onnxruntime
    if out.exists():
        raise Refused(f"{out} is there already; remove it or name another folder")
    programs = {name: program(arguments.programs / name, arguments.allow_paths) for name in IMAGES}
    telling = {name: paths_in(data) for name, data in programs.items()}
    if any(telling.values()) and not arguments.allow_paths:
        raise Refused(f"the programs hold paths of this machine: {telling}; ci/images.sh builds them without, or --allow-paths takes them for a trial")
    rustc = dict(line.split(": ", 1) for line in tell("rustc", "-vV").splitlines() if ": " in line)
    version = re.search(r'^version = "([^"]+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE).group(1)
    out.mkdir(parents=True)
    images = []
    for name, image in IMAGES.items():
        files, described, triple, machine = system(programs[name], image, onnxruntime)
        target = f"{machine}-unknown-linux-gnu"
        built = crates.of(ROOT, image["package"], target)
        path = f"usr/bin/{name}"
        components = [(sbom.crate(each, image["package"], [sbom.file(path, programs[name])]), each.needs) for each in built]
        bom = sbom.document(name, version, image["package"], components, [*described, sbom.standard_library(rustc)])
        top = {
            path: (programs[name], oci.PROGRAM_MODE),
            f"usr/share/teegate/{name}.cdx.json": (bom, oci.FILE_MODE),
            "usr/share/doc/teegate/LICENSE-APACHE": ((ROOT / "LICENSE-APACHE").read_bytes(), oci.FILE_MODE),
            "usr/share/doc/teegate/LICENSE-MIT": ((ROOT / "LICENSE-MIT").read_bytes(), oci.FILE_MODE),
            "usr/share/doc/teegate/crates.txt": (crates.licence_texts(built), oci.FILE_MODE),
        }
        # The libraries change seldom, so they lie below and are pulled once.
        layers = [oci.layer(files, [*FOLDERS, *image["folders"]]), oci.layer(top)]
        config = {
            "architecture": ARCHITECTURES[machine],
            "os": "linux",
            "config": {
                "User": f"{UID}:{UID}",
                "Entrypoint": [f"/{path}"],
                "Cmd": image["command"],
                "Env": ["PATH=/usr/bin"],
                "WorkingDir": "/",
            },
        }
        annotations = {
            "org.opencontainers.image.title": name,
            "org.opencontainers.image.version": version,
            "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
        }
        digest = oci.write(out / name, layers, config, version, annotations)
        (out / f"{name}.cdx.json").write_bytes(bom)
        images.append(release.image(out / name, path, f"{name}.cdx.json", bom))
        print(f"{name} {digest} {sum(map(len, layers))} bytes, {len(built)} crates, libraries of {triple}")
    if any(telling.values()):
        print(f"note: no release manifest: the programs hold paths of this machine ({telling})")
        return
    measurements = covering(json.loads(arguments.measurements.read_bytes()), images) if arguments.measurements else []
    (out / "release.json").write_bytes(release.document(version, source(arguments.commit), release.toolchain(target), images, measurements))


def system(program, image, onnxruntime):
    """What stands below the program: files, components of the SBOM, the folder of the libraries and the machine."""
    carried, described, folders = {}, [], {}
    programs = [program]
    if image["carries"] == "onnxruntime":
        runtime = (onnxruntime / "lib/libonnxruntime.so").read_bytes()
        programs.append(runtime)
        carried[RUNTIME] = (runtime, oci.PROGRAM_MODE)
        for name in ("LICENSE", "ThirdPartyNotices.txt"):
            carried[f"usr/share/doc/onnxruntime/{name}"] = ((onnxruntime / name).read_bytes(), oci.FILE_MODE)
        pinned = (ROOT / "ci/onnxruntime.sh").read_text()
        if hashlib.sha256(runtime).hexdigest() not in pinned:
            raise Refused("libonnxruntime.so is not the library that ci/onnxruntime.sh pins; run it again")
        version = re.search(r"^version=(\S+)$", pinned, re.MULTILINE).group(1)
        described.append(sbom.onnxruntime(version, [sbom.file(RUNTIME, runtime)]))
    machine, _, _ = elf.read(program)
    triple = f"{machine}-linux-gnu"
    libraries, loader, _ = elf.closure(programs, [pathlib.Path(f"/lib/{triple}"), pathlib.Path(f"/usr/lib/{triple}")])
    # The loader looks in `/lib/TRIPLE` without a cache that would have to be made.
    copied = {f"lib/{triple}/{name}": path for name, path in libraries.items()} | {str(loader)[1:]: loader}
    for path, origin in sorted(copied.items()):
        carried[path] = (origin.read_bytes(), oci.PROGRAM_MODE)
        folders.setdefault(debian.package_of(origin), []).append(sbom.file(path, carried[path][0]))
    if image["carries"] == "certificates":
        bundle = debian.certificates()
        carried[CERTIFICATES] = (bundle, oci.FILE_MODE)
        folders["ca-certificates"] = [sbom.file(CERTIFICATES, bundle)]
    distribution = debian.release()
    packages = {package: debian.described(package) for package in sorted(folders)}
    for package, about in packages.items():
        carried[f"usr/share/doc/{about['name']}/copyright"] = (about["copyright"], oci.FILE_MODE)
        described.append(sbom.debian(about, distribution, folders[package]))
    for path, text in debian.texts(about["copyright"] for about in packages.values()).items():
        carried[path] = (text, oci.FILE_MODE)
    carried["etc/passwd"] = (PASSWD, oci.FILE_MODE)
    carried["etc/group"] = (GROUP, oci.FILE_MODE)
    return carried, described, triple, machine


def program(path, trial):
    """A program as it is shipped: as ci/release_programs.sh makes it, or for a trial one of another build without its symbols."""
    if not path.is_file():
        raise Refused(f"{path} is not there; ci/release_programs.sh builds it, or `cargo build --locked --release --bins` for a trial")
    if not trial:
        return path.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        target = pathlib.Path(folder) / path.name
        subprocess.run(["strip", "--strip-all", "-o", target, path], check=True)
        return target.read_bytes()


def covering(measurements, images):
    """What was predicted, with the digest of an image in the place of its name: whoever predicts it does not know the digest yet."""
    digests = {each["name"]: each["digest"] for each in images}
    for each in measurements:
        unknown = set(each["covers"]) - digests.keys()
        if unknown:
            raise Refused(f"the measurement {each['register']} covers {sorted(unknown)}; known are {sorted(digests)}")
    return [{**each, "covers": sorted(digests[name] for name in each["covers"])} for each in measurements]


def paths_in(data):
    """How often a program names a folder of whoever built it: the workspace, cargo's and rustup's, the home."""
    home = pathlib.Path.home()
    told = {ROOT, home, pathlib.Path(os.environ.get("CARGO_HOME", home / ".cargo")), pathlib.Path(tell("rustc", "--print", "sysroot").strip())}
    counts = {str(path): data.count(f"{path}/".encode()) for path in sorted(told) if len(str(path)) > 1}
    return {path: count for path, count in counts.items() if count}


def source(exported=None):
    """What was built: the commit, and whether the tree differs from it; neither where there is no git. `exported` is the commit of which
    whoever calls says that the tree is an export (`git archive`), which has no git of its own."""
    lock = hashlib.sha256((ROOT / "Cargo.lock").read_bytes()).hexdigest()
    try:
        commit = exported or tell("git", "-C", str(ROOT), "rev-parse", "HEAD").strip()
        modified = not exported and bool(tell("git", "-C", str(ROOT), "status", "--porcelain").strip())
    except (OSError, subprocess.CalledProcessError):
        commit, modified = None, None
    return {"commit": commit, "modified": modified, "cargo_lock_sha256": lock}


def check(arguments):
    """Holds what lies in a folder against what is promised of it, from the bytes that are there."""
    out = arguments.folder
    trial = not (out / "release.json").exists()
    for name, image in IMAGES.items():
        described, manifest, config, entries = oci.read(out / name)
        hold(name, ANY_SIZE if trial else image["bytes"], manifest, config, entries)
        bom = (out / f"{name}.cdx.json").read_bytes()
        accounted(name, json.loads(bom), {path: content for path, (_, content) in entries.items() if content is not None})
        if entries[f"usr/share/teegate/{name}.cdx.json"][1] != bom:
            raise Refused(f"{name}: the SBOM inside is not the one beside it")
        print(f"{name} {described['digest']} keeps what is promised: {len(entries)} entries, {sum(layer['size'] for layer in manifest['layers'])} bytes")
    if trial:
        print("note: not run: sizes and the release manifest, since the programs were taken with paths of this machine")
        return
    data = (out / "release.json").read_bytes()
    named = release.check(data)["images"]
    found = [release.image(out / name, f"usr/bin/{name}", f"{name}.cdx.json", (out / f"{name}.cdx.json").read_bytes()) for name in sorted(IMAGES)]
    departures = list(release.differences(named, found, "images"))
    if departures:
        raise Refused("\n  ".join(["release.json states what does not lie beside it", *departures]))
    print(f"release.json sha256:{hashlib.sha256(data).hexdigest()} {len(data)} bytes: what a signer signs")


def hold(name, bounds, manifest, config, entries):
    """No root, no shell, nothing that the user of the image could write, no link, no size beyond its bounds."""
    told = config["config"]
    if told["User"] != f"{UID}:{UID}" or told["Entrypoint"] != [f"/usr/bin/{name}"]:
        raise Refused(f"{name}: runs {told['Entrypoint']} as {told['User']}")
    for path, (entry, _) in entries.items():
        if not (entry.isfile() or entry.isdir()):
            raise Refused(f"{name}: `{path}` is neither a file nor a folder")
        if NEVER.search(path):
            raise Refused(f"{name}: `{path}` must not be in an image")
        if (entry.uid, entry.gid, entry.mtime) != (0, 0, 0) or entry.mode not in (oci.FOLDER_MODE, oci.FILE_MODE, oci.PROGRAM_MODE):
            raise Refused(f"{name}: `{path}` has mode {entry.mode:o}, owner {entry.uid}:{entry.gid}, time {entry.mtime}")
    least, most = bounds
    size = sum(layer["size"] for layer in manifest["layers"])
    if not least <= size <= most:
        raise Refused(f"{name}: {size} bytes, expected {least} to {most}; if the change is meant, correct the bounds in ci/images.py")


def accounted(name, bom, files):
    """Every file that can run, and every certificate, stands in the SBOM with its digest; and every package's licence in the image."""
    named = {file["name"][1:]: file["hashes"][0]["content"] for part in bom["components"] for file in part.get("components", [])}
    for path, digest in named.items():
        if path not in files or hashlib.sha256(files[path]).hexdigest() != digest:
            raise Refused(f"{name}: the SBOM names `{path}` with other bytes than lie in the image")
    for path, content in files.items():
        if path not in named and (content[:4] == b"\x7fELF" or path.endswith(".crt")):
            raise Refused(f"{name}: `{path}` does not stand in the SBOM")
    for part in bom["components"]:
        if part.get("purl", "").startswith("pkg:deb/") and not files.get(f"usr/share/doc/{part['name']}/copyright"):
            raise Refused(f"{name}: the licence of {part['name']} is not in the image")


def commit(text):
    if not re.fullmatch("[0-9a-f]{40}", text):
        raise argparse.ArgumentTypeError("expected the 40 hexadecimal digits of a commit")
    return text


def main():
    parser = argparse.ArgumentParser(description="Makes and checks the OCI images of enclave-app and teegate-gateway.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    made = verbs.add_parser("make")
    made.add_argument("--programs", type=pathlib.Path, required=True, help="the folder with enclave-app and teegate-gateway")
    made.add_argument("--onnxruntime", type=pathlib.Path, default=ROOT / ".cache/onnxruntime")
    made.add_argument("--out", type=pathlib.Path, required=True)
    made.add_argument("--commit", type=commit, help="of which the source is an export, made by `git archive`")
    made.add_argument("--measurements", type=pathlib.Path, help="a JSON list of what was predicted: docs/IMAGES.md")
    made.add_argument("--allow-paths", action="store_true", help="takes programs that hold paths of this machine; no release manifest then")
    made.set_defaults(run=make)
    checked = verbs.add_parser("check")
    checked.add_argument("folder", type=pathlib.Path)
    checked.set_defaults(run=check)
    unpacked = verbs.add_parser("unpack")
    unpacked.add_argument("layout", type=pathlib.Path)
    unpacked.add_argument("folder", type=pathlib.Path)
    unpacked.set_defaults(run=lambda arguments: oci.unpack(arguments.layout, arguments.folder))
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except (ValueError, KeyError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"images: {error}")


if __name__ == "__main__":
    main()
