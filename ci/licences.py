"""Checks `cargo metadata` against the licence list, the bans and the source rules of a cargo-deny configuration.

    licences.py DENY.TOML METADATA.JSON

It reads the same file as cargo-deny, so the two cannot disagree about the rules; it covers the whole lock file, every
platform, while cargo-deny looks at the targets named there. One rule is stricter: a package that is allowed only by an
exception must not be reachable from a crate that is shipped.
"""

import json
import re
import sys

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.9 and 3.10: pip carries the same parser
    from pip._vendor import tomli as tomllib

SHIPPED = {
    "teegate",
    "teegate-client",
    "teegate-collateral",
    "teegate-enclave",
    "teegate-files",
    "teegate-gateway",
    "teegate-intake",
    "teegate-measurements",
    "teegate-protocol",
    "teegate-sigstore",
    "teegate-verifier",
}


def satisfied(expression, allowed):
    """Whether an SPDX expression can be met with the licences in `allowed`; `/` is the old spelling of OR."""
    tokens = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))

    def either():
        met = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            met = both() or met
        return met

    def both():
        met = licence()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            met = licence() and met
        return met

    def licence():
        token = tokens.pop(0)
        if token == "(":
            met = either()
            tokens.pop(0)
            return met
        if tokens and tokens[0] == "WITH":
            token = f"{token} {tokens.pop(0)} {tokens.pop(0)}"
        return token in allowed

    met = either()
    return met and not tokens


def reachable(metadata, names):
    """Ids of everything that the named workspace crates link or run at build time, not what only their tests use."""
    links = {
        node["id"]: [d["pkg"] for d in node["deps"] if any(kind["kind"] != "dev" for kind in d["dep_kinds"])]
        for node in metadata["resolve"]["nodes"]
    }
    todo = [p["id"] for p in metadata["packages"] if p["source"] is None and p["name"] in names]
    seen = set()
    while todo:
        package = todo.pop()
        if package not in seen:
            seen.add(package)
            todo.extend(links[package])
    return seen


def problems(rules, metadata):
    """Yields one sentence for each package that breaks a rule."""
    packages = {p["id"]: p for p in metadata["packages"]}
    allowed = set(rules["licenses"]["allow"])
    exceptions = {e["crate"]: set(e["allow"]) for e in rules["licenses"]["exceptions"]}
    banned = {b["crate"]: b for b in rules["bans"]["deny"]}
    shipped = reachable(metadata, SHIPPED)

    missing = SHIPPED - {packages[i]["name"] for i in shipped}
    if missing:
        yield f"no such workspace crate: {', '.join(sorted(missing))}; correct SHIPPED in ci/licences.py"
    for package in packages.values():
        name, licence, source = package["name"], package["license"], package["source"]
        label = f"{name} {package['version']}"
        if not licence:
            yield f"{label} names no licence; read its files, then add an exception or remove it"
        elif not satisfied(licence, allowed):
            if not satisfied(licence, allowed | exceptions.get(name, set())):
                yield f"{label} is under `{licence}`, which ci/deny.toml does not allow"
            elif package["id"] in shipped:
                yield f"{label} is under `{licence}`, allowed only for what is not shipped, and a shipped crate reaches it"
        if source is not None and not source.startswith("registry+https://github.com/rust-lang/crates.io-index"):
            yield f"{label} comes from {source.split('+')[0]}, not from the public registry"
        if name in banned and "wrappers" not in banned[name]:
            yield f"{label} is banned: {banned[name]['reason']}"
    for node in metadata["resolve"]["nodes"]:
        dependent = packages[node["id"]]["name"]
        for dependency in node["deps"]:
            ban = banned.get(packages[dependency["pkg"]]["name"], {})
            if all(kind["kind"] == "dev" for kind in dependency["dep_kinds"]):
                continue
            if dependent not in ban.get("wrappers", [dependent]):
                yield f"{dependent} depends on {ban['crate']}, which is kept to {', '.join(ban['wrappers'])}: {ban['reason']}"


def main():
    with open(sys.argv[1], "rb") as file:
        rules = tomllib.load(file)
    with open(sys.argv[2], encoding="utf-8") as file:
        metadata = json.load(file)
    found = sorted(set(problems(rules, metadata)))
    for problem in found:
        print(f"licences: {problem}", file=sys.stderr)
    if found:
        sys.exit(1)
    print(
        f"licences: {len(metadata['packages'])} packages keep to ci/deny.toml (licences, bans, sources); advisories were"
        " not checked, `cargo deny --config ci/deny.toml check advisories` does that with the network"
    )


if __name__ == "__main__":
    main()
