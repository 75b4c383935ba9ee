"""Holds the house to its floors: no circle between the files of a crate, no arrow from a crate to one above it.

An arrow is a `use` line, a `pub use`, or a path written out (`crate::a::b`); tests are left out. A folder's `mod.rs` and its
children count like any other files, so a child that takes something from `super` which `mod.rs` takes from a child is a
circle. Which crate may stand on which is the list below; whatever `Cargo.toml` names beyond it is an arrow that runs up.
"""

import pathlib
import re
import sys
import tomllib

# Floors from the ground up: a crate may name those of lower floors only. Dev-dependencies are not looked at.
FLOORS = [
    ["teegate-encoding"],
    ["teegate-verifier", "teegate-protocol"],
    ["teegate-intake", "teegate-attester", "teegate-measurements", "teegate-sigstore"],
    ["teegate-collateral"],
    ["teegate-client", "teegate-gateway", "teegate-enclave"],
    ["teegate-files"],
    ["teegate"],
]
# Below, but not for these: the trusted base inside the TEE stays small, and the forger must not read what it forges for.
NEVER = {
    "teegate-enclave": {"teegate-verifier", "teegate-intake", "teegate-measurements", "teegate-collateral", "teegate-sigstore"},
    "teegate-attester": {"teegate-verifier"},
    "teegate-forge": {"teegate-verifier", "teegate-intake"},
}
# Inside the verifier: a file names only what stands on its own line or below it.
VERIFIER = [
    ["lib"],
    ["verify", "expiry", "hints", "catalogue"],
    ["walk"],
    ["policy"],
    ["platforms"],
    ["sev_snp", "tdx"],
    ["platform"],
    ["windows"],
    ["evidence"],
    ["devices"],
    ["intel", "roots", "carriage", "signer"],
    ["x509", "judge", "logs"],
    ["signature", "findings", "rule"],
    ["report", "stage", "instances"],
    ["statement", "facts", "memory", "check", "reader", "bytes", "time", "place", "wrapping", "words", "kept"],
]


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    with open(root / "Cargo.toml", "rb") as file:
        members = tomllib.load(file)["workspace"]["members"]
    complaints, crates = [], {}
    for member in members:
        with open(root / member / "Cargo.toml", "rb") as file:
            manifest = tomllib.load(file)
        name = manifest["package"]["name"]
        crates[name] = member
        complaints += arrows_up(name, manifest)
    for name, member in sorted(crates.items()):
        graph = arrows(root / member / "src")
        complaints += [f"{name}: circle: {' -> '.join(circle)}" for circle in circles(graph)]
        if name == "teegate-verifier":
            complaints += up_in_the_verifier(graph)
    if complaints:
        print("\n".join(complaints), file=sys.stderr)
        sys.exit(1)
    print(f"{len(crates)} crates, no circle and no arrow up")


def arrows_up(name, manifest):
    floor_of = {crate: floor for floor, crates in enumerate(FLOORS) for crate in crates}
    below = {crate for crate in manifest.get("dependencies", {}) if crate.startswith("teegate")}
    complaints = [f"{name} -> {other}: not for this crate" for other in sorted(below & NEVER.get(name, set()))]
    if name in floor_of:
        up = [other for other in sorted(below) if floor_of.get(other, -1) >= floor_of[name]]
        complaints += [f"{name} -> {other}: an arrow that does not run down" for other in up]
    return complaints


def up_in_the_verifier(graph):
    line_of = {name: line for line, names in enumerate(VERIFIER) for name in names}
    complaints = []
    for file, targets in sorted(graph.items()):
        for target in sorted(targets):
            one, other = file.split("/")[0], target.split("/")[0]
            unknown = [name for name in (one, other) if name not in line_of]
            if unknown:
                complaints.append(f"teegate-verifier: `{unknown[0]}` has no floor in ci/floors.py")
            elif line_of[other] < line_of[one]:
                complaints.append(f"teegate-verifier: {file} -> {target}: an arrow up")
    return sorted(set(complaints))


def arrows(source):
    """For each file of a crate, the files that it names. A file is called by its path below src, without `.rs`."""
    files = {}
    for path in sorted(source.rglob("*.rs")):
        relative = path.relative_to(source)
        if relative.name == "tests.rs" or "tests" in relative.parts:
            continue
        name = relative.with_suffix("")
        module = name.parent if name.name == "mod" else name
        key = () if str(module) in ("lib", "main", ".") else module.parts
        # main.rs and lib.rs side by side are two roots; the library is the one that others name.
        if key in files and str(module) == "main":
            continue
        files[key] = (str(name).removesuffix("/mod") if name.name == "mod" else str(name), path)
    graph = {}
    for module, (name, path) in files.items():
        targets = set()
        for named in paths(strip_tests(path.read_text()), module):
            target = resolve(named, files)
            if target is not None and target != module:
                targets.add(files[target][0])
        graph[name] = targets
    return graph


def resolve(named, files):
    """The file that a path leads into: the longest module that is a file."""
    for length in range(len(named), -1, -1):
        if tuple(named[:length]) in files:
            return tuple(named[:length])
    return None


def strip_tests(text):
    text = re.sub(r"//[^\n]*", "", text)
    text = re.sub(r'"(?:[^"\\]|\\.)*"', '""', text, flags=re.S)
    kept, position = [], 0
    for match in re.finditer(r"#\[cfg\(test\)\]\s*(?:pub(?:\([a-z]+\))?\s+)?mod\s+\w+\s*(\{|;)", text):
        if match.start() < position:
            continue
        kept.append(text[position : match.start()])
        position = match.end()
        depth = 1 if match.group(1) == "{" else 0
        while depth and position < len(text):
            depth += {"{": 1, "}": -1}.get(text[position], 0)
            position += 1
    return "".join(kept) + text[position:]


def paths(text, module):
    """Every path into this crate that the text names, as modules from the root."""
    for match in re.finditer(r"\b(?:pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", text):
        for path in unfold(match.group(1)):
            yield from absolute(path, module, text)
    rest = re.sub(r"\b(?:pub(?:\([^)]*\))?\s+)?use\s+[^;]+;", "", text)
    for match in re.finditer(r"\b((?:crate|super)(?:::\w+)+)", rest):
        yield from absolute(match.group(1).split("::"), module, text)


def absolute(path, module, text):
    head, *rest = path
    if head == "crate":
        yield rest
    elif head == "self":
        yield [*module, *rest]
    elif head == "super":
        base = list(module[:-1])
        while rest and rest[0] == "super":
            base, rest = base[:-1], rest[1:]
        yield [*base, *rest]
    elif re.search(rf"\bmod\s+{re.escape(head)}\s*;", text):
        yield [*module, head, *rest]


def unfold(tree):
    """`a::{b, c::{d, e as f}}` as its paths."""
    tree = tree.strip()
    if "{" not in tree:
        yield [part.strip().split(" as ")[0].strip() for part in tree.split("::") if part.strip()]
        return
    head, rest = tree.split("{", 1)
    prefix = [part.strip() for part in head.split("::") if part.strip()]
    depth, part, parts = 0, "", []
    for character in rest[: rest.rindex("}")]:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += character
    for part in [*parts, part]:
        if part.strip():
            for path in unfold(part):
                yield [*prefix, *([] if path == ["self"] else path)]


def circles(graph):
    """One circle for each strongly connected group of files."""
    index, low, stack, on, groups = {}, {}, [], set(), []

    def visit(start):
        work = [(start, iter(sorted(graph[start])))]
        index[start] = low[start] = len(index)
        stack.append(start)
        on.add(start)
        while work:
            node, targets = work[-1]
            for target in targets:
                if target not in graph:
                    continue
                if target not in index:
                    index[target] = low[target] = len(index)
                    stack.append(target)
                    on.add(target)
                    work.append((target, iter(sorted(graph[target]))))
                    break
                if target in on:
                    low[node] = min(low[node], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    group = []
                    while True:
                        member = stack.pop()
                        on.discard(member)
                        group.append(member)
                        if member == node:
                            break
                    if len(group) > 1:
                        groups.append(set(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return [one_circle(graph, group) for group in groups]


def one_circle(graph, group):
    start = sorted(group)[0]
    path, seen = [start], {start}
    while True:
        nexts = sorted(target for target in graph[path[-1]] if target in group)
        back = [target for target in nexts if target in path]
        if back and (len(path) > 1):
            return path[path.index(back[0]) :] + [back[0]]
        step = next((target for target in nexts if target not in seen), back[0] if back else None)
        if step is None:
            return path
        path.append(step)
        seen.add(step)


main()
