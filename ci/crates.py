"""The crates that a program of this workspace is built of, as cargo resolves them for it alone, with licences and their texts."""

import dataclasses
import hashlib
import json
import pathlib
import re
import subprocess

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.9 and 3.10: pip carries the same parser
    from pip._vendor import tomli as tomllib

TEXTS = re.compile(r"(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)", re.IGNORECASE)


@dataclasses.dataclass
class Crate:
    """One package. `linked` says whether its code can be in the program; else it only helped to build it."""

    name: str
    version: str
    licence: str
    checksum: "str | None"  # SHA-256 of the archive of the registry; none for a crate of this workspace
    folder: pathlib.Path
    linked: bool
    needs: list  # [(name, version)]


def of(root, package, target):
    """Every crate under `package`, itself included, sorted by name and version."""
    metadata = json.loads(cargo(root, "metadata", "--locked", "--format-version", "1", "--filter-platform", target))
    known = {(each["name"], each["version"]): each for each in metadata["packages"]}
    with open(root / "Cargo.lock", "rb") as file:
        locked = {(each["name"], each["version"]): each.get("checksum") for each in tomllib.load(file)["package"]}
    linked = tree(root, package, target, "normal,no-proc-macro")
    every = tree(root, package, target, "normal,build")
    crates = []
    for key in sorted(every):
        manifest = known[key]
        licence = manifest["license"]
        if not licence:
            raise ValueError(f"{key[0]} {key[1]} names no licence; ci/licences.sh says more")
        # `/` is the old spelling of OR.
        licence = re.sub(r"\s*/\s*", " OR ", licence)
        folder = pathlib.Path(manifest["manifest_path"]).parent
        crates.append(Crate(*key, licence, locked[key], folder, key in linked, sorted(every[key])))
    return crates


def tree(root, package, target, edges):
    """`{(name, version): {(name, version)}}`: who needs whom; features as they are for this package alone."""
    arguments = ["--package", package, "--edges", edges, "--target", target, "--prefix", "depth", "--format", " {p}"]
    return read_tree(cargo(root, "tree", "--locked", *arguments))


def read_tree(text):
    """Lines `DEPTH NAME vVERSION …` with each below what needs it; what was shown before ends in `(*)` and is not repeated."""
    needs, above = {}, []
    for line in text.splitlines():
        found = re.match(r"(\d+) (\S+) v(\S+)", line)
        if not found:
            raise ValueError(f"`cargo tree` says `{line[:80]}`, expected a depth, a name and a version")
        depth, key = int(found.group(1)), (found.group(2), found.group(3))
        needs.setdefault(key, set())
        del above[depth:]
        if above:
            needs[above[-1]].add(key)
        above.append(key)
    return needs


def cargo(root, *arguments):
    return subprocess.run(["cargo", *arguments], cwd=root, stdout=subprocess.PIPE, text=True, check=True).stdout


def licence_texts(crates):
    """One text with the licences that linked crates bring in their archives: each once, under the names of those that bring it."""
    bringers, texts, without = {}, {}, []
    for crate in [crate for crate in crates if crate.linked]:
        label = f"{crate.name} {crate.version}"
        paths = sorted(path for path in crate.folder.iterdir() if path.is_file() and TEXTS.match(path.name))
        if not paths:
            without.append(f"{label}: {crate.licence}")
        for path in paths:
            text = "\n".join(line.rstrip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()).strip("\n")
            key = hashlib.sha256(text.encode()).hexdigest()
            texts[key] = text
            bringers.setdefault(key, []).append(f"{label}, {path.name}")
    parts = ["Licences of the crates that this program is linked of, as their archives bring them. What each is under says the SBOM.\n"]
    if without:
        parts.append("No text is in the archives of:\n" + "".join(f"  {line}\n" for line in without))
    for key in sorted(texts, key=lambda key: bringers[key]):
        parts.append("=" * 80 + "\n" + "".join(f"{line}\n" for line in bringers[key]) + "-" * 80 + f"\n{texts[key]}\n")
    return "\n".join(parts).encode()
