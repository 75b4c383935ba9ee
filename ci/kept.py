"""Says of every check in which file it is judged and which test keeps it, and writes that down for `--explain` and CHECKS.md.

`python3 ci/kept.py --write` writes verifier/src/kept.rs; without it, the file is held against the tree. Where a check is judged is
read from the constants that the code names; which test keeps it, from the cases in tests/tests/verifier and, for checks without a
case, from the list ELSEWHERE in coverage.rs, where each has its reason.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEPT = ROOT / "verifier/src/kept.rs"
CASES = ROOT / "tests/tests/verifier"
TABLES = [
    "policy/checks.rs",
    "sev_snp/checks.rs",
    "tdx/checks.rs",
    "carriage/azure_vtpm/checks.rs",
    "carriage/aci/checks.rs",
    "instances.rs",
]
# Where checks are judged. What only reads a report names checks too, and judges nothing.
JUDGES = ["verifier/src", "verifier/intake/src", "client/src", "gateway/src"]
HEADER = '''//! Where each check is judged, and the test that keeps it. Written by `python3 ci/kept.py --write`; do not edit.

/// By id: the file of the code, the test or why there can be none, and the file and the target of that test.
pub(crate) const KEPT: &[(&str, &str, &str, &str, &str)] = &[
'''


def main():
    rows = [row(*kept) for kept in every_check()]
    text = HEADER + "".join(rows) + "];\n"
    if "--write" in sys.argv[1:]:
        KEPT.write_text(text)
    elif not KEPT.exists() or KEPT.read_text() != text:
        print("verifier/src/kept.rs is not what the tree says: python3 ci/kept.py --write", file=sys.stderr)
        sys.exit(1)
    print(f"{len(rows)} checks, each with its code and its test")


def row(check, code, test):
    columns = [check, code, test, *target(test)]
    return "    (\n" + "".join(f'        "{column}",\n' for column in columns) + "    ),\n"


def target(test):
    """The file of a test, and what `cargo test` needs to be told to run it; nothing where no test can be."""
    crate, _, name = test.partition(", ") if re.match(r"\w+, ", test) else ("tests", "", test)
    if not re.match(r"[a-z0-9_]+::", name):
        return "", ""
    module = name.split("::")[0]
    if crate == "tests":
        files, arguments = sorted(CASES.rglob(f"{module}.rs")), "-p teegate-tests --test verifier"
    elif crate == "client":
        files, arguments = [ROOT / f"client/tests/client/{module}.rs"], "-p teegate-client --test client"
    else:
        files, arguments = [ROOT / f"{crate}/src/{module}/tests.rs"], f"-p teegate-{crate} --lib"
    if len(files) != 1 or not files[0].exists():
        print(f"`{test}`: not one file of that name: {files}", file=sys.stderr)
        sys.exit(1)
    function = name.split(": ")[0]
    if function.split("::")[-1] not in files[0].read_text():
        print(f"`{test}`: {files[0]} has no such function", file=sys.stderr)
        sys.exit(1)
    return files[0].relative_to(ROOT), f"{arguments} {function}"


def every_check():
    names = {}
    for table in TABLES:
        text = (ROOT / "verifier/src" / table).read_text()
        names |= dict(re.findall(r'^    ([A-Z0-9_]+) "([a-z0-9.-]+)" ', text, re.M))
    code, tests, elsewhere = judged(), kept_by(), exceptions()
    complaints = []
    for name, check in names.items():
        files = code.get(name, [])
        test = elsewhere.get(check) or tests.get(check)
        if not files:
            complaints.append(f"{check}: no file judges Check::{name}")
        if not test:
            complaints.append(f"{check}: no case and no line in ELSEWHERE")
        yield check, ", ".join(files), test
    if complaints:
        print("\n".join(complaints), file=sys.stderr)
        sys.exit(1)


def judged():
    """By the name of the constant, the files that name it."""
    found = {}
    for folder in JUDGES:
        for path in sorted((ROOT / folder).rglob("*.rs")):
            local = str(path.relative_to(ROOT))
            if path.name in ("checks.rs", "kept.rs", "check.rs", "findings.rs", "tests.rs") or "/tests/" in local:
                continue
            text = path.read_text().split("#[cfg(test)]\nmod tests")[0]
            # Tables that only name checks judge nothing.
            text = re.sub(r"&\[Check::[^\]]*\]|KEY_CHECKS: KeyChecks = KeyChecks \{.*?\};", "", text, flags=re.S)
            for name in sorted(set(re.findall(r"Check::([A-Z][A-Z0-9_]+)\b", text))):
                found.setdefault(name, []).append(local)
    return found


def kept_by():
    """By id, the function of its first case, as `cargo test` names it; else of one that names it beside another."""
    found, first = {}, {}
    # What lies around a platform comes after it: a check of the platform is kept by its own cases.
    for path in sorted(CASES.rglob("*.rs"), key=lambda path: (path.parent.name == "azure", path)):
        if path.stem in ("case", "coverage", "main"):
            continue
        function = None
        for line in path.read_text().splitlines():
            started = re.match(r"(?:pub(?:\(crate\))? )?fn (\w+)\([^)]*\) -> Vec<Case>", line)
            if re.match(r"(?:pub(?:\([a-z]+\))? )?(?:async )?fn ", line):
                function = started.group(1) if started else None
            if not function:
                continue
            test = f"{path.stem}::each::{function}"
            for check in re.findall(r'(?:refused|on_both)\("([a-z0-9.-]+)"', line):
                first.setdefault(check, test)
            for check in re.findall(r'"((?:snp|tdx|aci|uvm)\.[a-z0-9.-]+)"', line):
                found.setdefault(check, test)
    return found | first


def exceptions():
    """By id, what coverage.rs says of it."""
    text = (CASES / "documents/coverage.rs").read_text()
    table = text[text.index("const ELSEWHERE") : text.index("];", text.index("const ELSEWHERE"))]
    return dict(re.findall(r'\(\s*"([a-z0-9.-]+)",\s*"((?:[^"\\]|\\.)*)",?\s*\)', table))


if __name__ == "__main__":
    main()
